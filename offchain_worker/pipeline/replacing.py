"""Writes an artifact folder beside the place where it belongs, and moves it there when it is whole."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from offchain_worker.errors import BadModel
from offchain_worker.manifest import FILE_NAME
from offchain_worker.storage.disk import work_folder


@contextmanager
def replacing(to: Path, source: Path) -> Iterator[Path]:
    """Give a path for a new folder, which takes the place of `to` when the context is left without an error.

    Args:
        to: Where the folder belongs. Its parents are made.
        source: What it is made from.

    Raises:
        BadModel: As `require_place`.
    """
    require_place(to, source)
    with work_folder(to) as work:
        yield work / "new"
        if to.exists():
            to.rename(work / "old")
        (work / "new").rename(to)


def require_place(to: Path, source: Path) -> None:
    """Check that an artifact folder may be written to `to`.

    Raises:
        BadModel: What is there is no artifact folder, or `source` lies in it: neither may be lost.
    """
    if source.resolve().is_relative_to(to.resolve()):
        raise BadModel(f"expected a place outside of the model's own folder to write to, got {to}")
    if (to.exists() or to.is_symlink()) and not (to / FILE_NAME).is_file():
        raise BadModel(f"expected nothing, or an artifact folder, at {to}: move what is there")
