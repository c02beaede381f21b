"""What a store of content-addressed files can do. The embedded store is one; an IPFS node can be another.

A store moves blocks; how files and folders are made of blocks is in `layout.py`, the same for every store. What a
store gives back is always checked against its CID, so it need not be trusted.
"""

from pathlib import Path
from typing import Protocol

from offchain_worker.storage.cid import Cid


class Store(Protocol):
    """Files and folders by CID, in the profile `unixfs-v1-2025`."""

    def get(self, cid: Cid) -> bytes:
        """Return one block, at most 2 MiB, whose hash has been checked.

        Raises:
            ArtifactMissing: It is not here.
            CorruptedBlock: What is here is something else.
        """
        ...

    def add_bytes(self, data: bytes) -> Cid:
        """Store `data` as a file and return its CID."""
        ...

    def add_file(self, path: Path) -> Cid:
        """Store a file of any size and return its CID. Durable when it returns."""
        ...

    def add_folder(self, path: Path) -> Cid:
        """Store a folder with all that is in it, hidden files too, and return its CID. Durable when it returns.

        Raises:
            BadArtifact: It holds a symlink or something else that is neither file nor folder, or too many entries.
        """
        ...

    def read(self, cid: Cid, max_bytes: int) -> bytes:
        """Return the content of a file.

        Raises:
            ArtifactTooLarge: It is longer than `max_bytes`.
            BadArtifact: `cid` is not a file.
            ArtifactMissing, CorruptedBlock: As `get`.
        """
        ...

    def export(self, cid: Cid, to: Path, max_bytes: int) -> None:
        """Write a file or folder to `to`, which must not exist. It appears whole or not at all.

        Raises:
            FileExistsError: Something is at `to`.
            ArtifactTooLarge: All files together are longer than `max_bytes`.
            BadArtifact: It holds something other than files and folders, or a name that could leave the folder.
            ArtifactMissing, CorruptedBlock: As `get`.
        """
        ...
