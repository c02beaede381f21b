"""Files that are large, and another implementation as the witness for their CIDs.

another implementation (npm ipfs-car)
└── gives the same CIDs for 0, 1, 1 MiB ± 1, 128 MiB ± 1 and more than 1 GiB, and for folders
a model of 1 GiB
└── is stored, verified and retrieved through a gateway with less than 200 MB of memory
"""

import json
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
MIB = 1 << 20
WITNESS = "ipfs-car@3.1.0"
MOST_MEMORY_BYTES = 200_000_000
PROGRAM = """
import asyncio, json, resource, sys
from pathlib import Path
from offchain_worker.storage.cid import Cid
from offchain_worker.storage.peers.gateway import Gateway
from offchain_worker.storage.service import StorageService
from offchain_worker.storage.store import EmbeddedStore

async def main(action, home, what, url):
    async with Gateway(url) as peer:
        service = StorageService(EmbeddedStore(Path(home)), [peer])
        if action == "store":
            done = await service.store(Path(what))
            found = str(done.cid), done.size_bytes
        elif action == "verify":
            done = await service.verify(Cid.parse(what), 1 << 40)
            found = what, done.size_bytes
        else:
            await service.retrieve(Cid.parse(what), Path(home) / "copy", 1 << 40)
            found = what, (Path(home) / "copy").stat().st_size
    print(json.dumps([*found, most_memory()]))

def most_memory():
    # In bytes, since the program began: `ru_maxrss` on Linux counts what the test held when it forked.
    scale = 1 if sys.platform == "darwin" else 1024
    children = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * scale
    if sys.platform != "linux":
        return max(children, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * scale)
    (line,) = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM")]
    return max(children, int(line.split()[1]) * 1024)

asyncio.run(main(*sys.argv[1:]))
"""


@pytest.fixture(scope="module")
def witness(tmp_path_factory):
    """Install the other implementation into a folder of its own; returns what gives its CID of a path."""
    folder = tmp_path_factory.mktemp("npm")
    npm = ROOT / ".venv/bin/npm"
    options = ["--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
    subprocess.run([npm, "install", "--prefix", folder, *options, WITNESS], check=True)

    def cid_of(path):
        car = folder / "out.car"
        program = folder / "node_modules/.bin/ipfs-car"
        wrap = [] if path.is_dir() else ["--no-wrap"]
        command = [program, "pack", path, *wrap, "--output", car]
        environment = os.environ | {"PATH": f"{ROOT / '.venv/bin'}{os.pathsep}{os.environ['PATH']}"}
        shown = subprocess.run(
            command, check=True, capture_output=True, text=True, env=environment
        ).stdout
        car.unlink()
        return shown.strip().splitlines()[-1]

    return cid_of


@pytest.mark.parametrize(
    "size",
    [0, 1, MIB - 1, MIB, MIB + 1, 128 * MIB - 1, 128 * MIB, 128 * MIB + 1, 1025 * MIB + 7],
)
def test_cid__is_that_of_another_implementation(tmp_path, witness, size):
    path = tmp_path / "file"
    with path.open("wb") as file:
        file.write(b"start"[:size])
        file.truncate(size)

    assert str(scan(path, threads=2).cid) == witness(path)


def test_cid__of_a_folder_is_that_of_another_implementation(tmp_path, witness):
    folder = tmp_path / "folder"
    for number in range(60):
        path = folder / f"{number % 7}/é{number}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(os.urandom(number * 5_000))

    assert str(scan(folder).cid) == witness(folder)


def run(action, home, what, url):
    command = [sys.executable, "-c", PROGRAM, action, str(home), str(what), url]
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    return json.loads(done.stdout)


def test_model_of_1_gib__is_stored_verified_and_retrieved_in_little_memory(tmp_path):
    path = tmp_path / "model"
    with path.open("wb") as file:
        for _ in range(1024):
            file.write(os.urandom(MIB))
    server = IpfsServer(EmbeddedStore(tmp_path / "theirs"))
    try:
        cid, size, storing = run("store", tmp_path / "theirs", path, server.url)
        verified, checked, verifying = run("verify", tmp_path / "theirs", cid, server.url)
        _, length, retrieving = run("retrieve", tmp_path / "ours", cid, server.url)
    finally:
        server.stop()

    assert (size, checked, length, verified) == (1 << 30, 1 << 30, 1 << 30, cid)
    assert scan(tmp_path / "ours/copy", threads=2).cid == scan(path, threads=2).cid
    assert max(storing, verifying, retrieving) < MOST_MEMORY_BYTES
