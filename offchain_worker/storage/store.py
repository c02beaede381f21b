"""The embedded store: one file per block on this disk, named by its CID. No node, no network.

Writes go to a temporary file that is synced and then renamed, so a block is there whole or not at all, and two
processes may add the same thing at once. Reads hash what they read.
"""

import io
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from offchain_worker.errors import ArtifactMissing, CorruptedBlock
from offchain_worker.storage.cid import Cid
from offchain_worker.storage.export import export, sync
from offchain_worker.storage.layout import Put, import_file, import_folder, read_file


class EmbeddedStore:
    """Keeps blocks under `root`. Contract and errors as `storage.base.Store`. Safe to share between threads."""

    def __init__(self, root: Path) -> None:
        """Open the store, and make its folder if there is none.

        Args:
            root: Folder of the store. Blocks are in `blocks/`, in 1,024 subfolders.
        """
        self._blocks = root / "blocks"
        self._incoming = root / "incoming"
        self._blocks.mkdir(parents=True, exist_ok=True)
        self._incoming.mkdir(exist_ok=True)

    def has(self, cid: Cid) -> bool:
        """Whether the block is here; says nothing about the rest of its file or folder."""
        return self._path(cid).is_file()

    def get(self, cid: Cid) -> bytes:
        """Return one block, checked."""
        path = self._path(cid)
        try:
            block = path.read_bytes()
        except FileNotFoundError:
            raise ArtifactMissing(
                f"expected block {cid} in the store, which has none: fetch it first"
            ) from None
        if not cid.matches(block):
            raise CorruptedBlock(
                f"expected the content of {cid} in {path}, got {len(block)} other bytes: "
                "check this disk, then add the artifact again, which writes the block anew"
            )
        return block

    def add_bytes(self, data: bytes) -> Cid:
        """Store `data` as a file."""
        with self._adding() as put:
            return import_file(io.BytesIO(data), put).cid

    def add_file(self, path: Path) -> Cid:
        """Store a file."""
        with self._adding() as put, path.open("rb") as file:
            return import_file(file, put).cid

    def add_folder(self, path: Path) -> Cid:
        """Store a folder with all that is in it."""
        with self._adding() as put:
            return import_folder(path, put).cid

    def put(self, cid: Cid, block: bytes) -> None:
        """Store one block that came from elsewhere. Durable when it returns.

        Raises:
            CorruptedBlock: `block` is not what `cid` names; nothing is stored.
        """
        if not cid.matches(block):
            raise CorruptedBlock(f"expected the content of {cid}, got {len(block)} other bytes")
        with self._adding() as put:
            put(cid, block)

    def read(self, cid: Cid, max_bytes: int) -> bytes:
        """Return the content of a file."""
        return b"".join(read_file(cid, self.get, max_bytes))

    def export(self, cid: Cid, to: Path, max_bytes: int) -> None:
        """Write a file or folder to `to`, whole or not at all."""
        export(cid, self.get, to, max_bytes)

    def _path(self, cid: Cid) -> Path:
        name = str(cid)
        return self._blocks / name[-3:-1] / name

    @contextmanager
    def _adding(self) -> Iterator[Put]:
        """Give a `Put`, and make the names of what was put durable at the end."""
        touched: set[Path] = set()

        def put(cid: Cid, block: bytes) -> None:
            path = self._path(cid)
            if self._holds(path, block):
                return
            path.parent.mkdir(exist_ok=True)
            with tempfile.NamedTemporaryFile(dir=self._incoming, delete=False) as file:
                try:
                    file.write(block)
                    file.flush()
                    os.fsync(file.fileno())
                    Path(file.name).replace(path)
                except BaseException:
                    Path(file.name).unlink(missing_ok=True)
                    raise
            touched.add(path.parent)

        yield put
        for folder in touched:
            sync(folder)
        if touched:
            sync(self._blocks)

    @staticmethod
    def _holds(path: Path, block: bytes) -> bool:
        """Whether this very block is stored already. A damaged one is not, and is written anew."""
        try:
            return path.stat().st_size == len(block) and path.read_bytes() == block
        except FileNotFoundError:
            return False
