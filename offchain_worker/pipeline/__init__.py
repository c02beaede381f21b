"""Makes artifact folders. `PACKAGED` are those that need no download: they come from packages that are installed."""

import tempfile
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path

from offchain_worker.errors import ToolNotInstalled
from offchain_worker.manifest import FILE_NAME, Manifest, parse
from offchain_worker.storage.base import Store
from offchain_worker.storage.cid import Cid

PACKAGED = {
    "xor": ("offchain_worker.pipeline.xor_model", "write_xor"),
    "magika": ("offchain_worker.pipeline.magika_model", "import_magika"),
}
"""Module and function, `function(to_folder) -> Manifest`, by name."""


def add_packaged(name: str, store: Store) -> Cid:
    """Make the artifact folder of this name, add it to the store, and return its CID.

    Raises:
        ToolNotInstalled: It comes from a package that is not installed.
    """
    module, function = PACKAGED[name]
    make: Callable[[Path], Manifest] = getattr(import_module(module), function)
    with tempfile.TemporaryDirectory() as folder:
        make(Path(folder) / name)
        return store.add_folder(Path(folder) / name)


def add_packaged_as(cid: Cid, store: Store) -> bool:
    """Add the packaged artifact folder with this CID to the store, if there is one that can be made here."""
    for name in PACKAGED:
        try:
            if add_packaged(name, store) == cid:
                return True
        except ToolNotInstalled:
            continue
    return False


def write_folder(to: Path, manifest: Manifest, files: Mapping[str, bytes]) -> None:
    """Write an artifact folder. `to` must not exist; its parent must."""
    to.mkdir()
    for name, data in files.items():
        (to / name).write_bytes(data)
    write_manifest(to, manifest)


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write `manifest.json` into an artifact folder.

    Raises:
        BadModel: Nobody could read it, such as one without a licence.
    """
    text = manifest.to_json()
    parse(text)
    (folder / FILE_NAME).write_text(text, encoding="utf-8", newline="\n")
