"""peers.http_client: the real package `ipfshttpclient`, and a server that speaks Kubo's RPC.

ClientNode
├── gives the blocks of a folder, pins it, says so, and unpins it, twice without an error
├── when the node gives another block: it is found out
└── when the node is dead: it raises PeerFailed
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from ipfs_server import IpfsServer

from offchain_worker.storage.chunking import scan
from offchain_worker.storage.store import EmbeddedStore

pytestmark = pytest.mark.extended

ROOT = Path(__file__).parents[3]
PACKAGES = ("ipfshttpclient==0.7.0", "multiaddr==0.0.9")
"""For a folder of its own: the client's dependencies are older than those of the project."""
PROGRAM = """
import asyncio, sys
from pathlib import Path
from urllib.parse import urlsplit
import ipfshttpclient
from offchain_worker.errors import WorkerError
from offchain_worker.storage.cid import Cid
from offchain_worker.storage.fetch import Limits
from offchain_worker.storage.peers.http_client import ClientNode
from offchain_worker.storage.service import StorageService
from offchain_worker.storage.store import EmbeddedStore

async def main(url, root, home):
    root, where = Cid.parse(root), urlsplit(url)
    client = ipfshttpclient.Client(f"/ip4/{where.hostname}/tcp/{where.port}/http", timeout=(3, 30))
    node = ClientNode(client)
    service = StorageService(EmbeddedStore(Path(home) / "store"), [node], [node])
    try:
        await service.retrieve(root, Path(home) / "copy", 1 << 40)
        before = await node.is_pinned(root)
        await service.pin(root, 1 << 40)
        pinned = await node.is_pinned(root)
        await service.unpin(root)
        await service.unpin(root)
        print(before, pinned, await node.is_pinned(root))
        await node.block(root)
    except WorkerError as error:
        print(type(error).__name__, error)

asyncio.run(main(*sys.argv[1:]))
"""


@pytest.fixture(scope="module")
def packages(tmp_path_factory):
    folder = tmp_path_factory.mktemp("packages")
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--target", folder, *PACKAGES]
    subprocess.run(command, check=True, stderr=subprocess.DEVNULL)  # it warns of other folders
    return folder


@pytest.fixture
def model(tmp_path):
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "weights").write_bytes(os.urandom(3_000_000))
    (folder / "empty").write_bytes(b"")
    return folder


@pytest.fixture
def node(tmp_path, model):
    server = IpfsServer(EmbeddedStore(tmp_path / "theirs"), car=False)
    server.root = server.store.add(model).cid
    server.store.pins.remove(server.root)
    yield server
    server.stop()


def run(packages, node, home):
    path = os.pathsep.join([str(packages), str(ROOT)])
    command = [sys.executable, "-c", PROGRAM, node.url, str(node.root), str(home)]
    done = subprocess.run(
        command,
        env=os.environ | {"PYTHONPATH": path},
        check=True,
        capture_output=True,
        text=True,
        timeout=300,
    )
    return done.stdout.splitlines()


def test_client_node__gives_blocks_and_pins(packages, node, model, tmp_path):
    first, second = run(packages, node, tmp_path)

    assert first == "False True False"
    assert second.startswith("PeerFailed ipfshttpclient: ")  # what nobody keeps is deleted there
    assert scan(tmp_path / "copy") == scan(model)


def test_client_node__when_it_gives_another_block__is_found_out(packages, node, tmp_path):
    node.change = lambda cid, block: block[:-1] + b"?" if len(block) > 1000 else block

    (said,) = run(packages, node, tmp_path)

    assert said.startswith("ArtifactMissing")
    assert not (tmp_path / "copy").exists()


def test_client_node__when_it_is_dead__raises(packages, node, tmp_path):
    node.stop()

    (said,) = run(packages, node, tmp_path)

    assert said.startswith("ArtifactMissing")
    assert "ConnectionError" in said
