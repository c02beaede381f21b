"""`lattice model import` of a hub's model: look, ask, fetch, convert, check, store."""

import os
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from offchain_worker.errors import BadModel, ConversionFailed, ToolNotInstalled
from offchain_worker.manifest import Manifest
from offchain_worker.pipeline import hub
from offchain_worker.storage.store import EmbeddedStore
from oracle.cli.common import say

if TYPE_CHECKING:
    from offchain_worker.pipeline.report import Report

FORMATS = ("coreml", "mlx", "onnx", "torch")
INTEGER = "integer"
"""Format that an ONNX file is converted to; the others come from models of a hub."""
PRECISIONS = {
    "none": "float32",
    "fp16": "float16",
    "int8": "int8",
    "int4": "int4",
    "int4-palettes": "int4-palettes",
}
SHAPES = ("fixed", "enumerated", "flexible")
COMPUTE_UNITS = ("all", "cpu_and_ne", "cpu_and_gpu", "cpu_only")
TOKENS_HELP = "Length of a text where the format fixes it, of the longest where it does not."


def import_from_hub(
    name: str,
    store: EmbeddedStore,
    to: Path | None,
    *,
    format_: str,
    quantize: str,
    revision: str,
    tokens: int,
    shapes: str,
    compute_units: str,
    licence: str | None,
    accept_error: bool,
    yes: bool,
) -> None:
    """Import the hub's model `name`, or the folder of that name.

    Raises:
        HubRefused, BadModel, ConversionFailed, CheckFailed: as the pipeline says.
        ToolNotInstalled: the packages for converting are not installed.
    """
    folder = Path(name)
    if format_ == INTEGER or folder.is_file():
        return _import_integer(folder, store, to, format_, licence, accept_error)
    called = name.rpartition("/")[2]
    if folder.is_dir():
        called = _name_of(folder)
        origin = f"folder {called}"
    elif folder.is_absolute() or name.startswith((".", "~")) or name.count("/") > 1:
        raise BadModel(f"expected a folder that exists, or a hub's ORGANISATION/NAME, got {name!r}")
    else:
        found = hub.look(name, revision)
        licence, origin = licence or found.licence, found.source
        say(f"{found.repo} at {found.revision[:12]}: {found.size_bytes:,} bytes, licence {licence}")
        if not yes:
            click.confirm("Download it?", abort=True)
        folder = hub.fetch(found)
    if not licence:
        raise BadModel(f"expected a licence for {origin}: name it with --licence")
    try:
        from offchain_worker.pipeline.importing import import_folder
        from offchain_worker.pipeline.package import CoreMl
    except ModuleNotFoundError as error:
        raise ToolNotInstalled(
            f"expected package {error.name!r}, which is not installed: pip install "
            "'lattice[pipeline,text,torch,coreml]'"
        ) from error
    with ExitStack() as stack:
        target = to or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        bar = stack.enter_context(_bar())
        task = bar.add_task("opening", total=None)
        missing: list[str] = []
        done = import_folder(
            folder,
            target,
            _formats(format_, folder),
            PRECISIONS[quantize],
            name=called,
            origin=origin,
            licence=licence,
            sequence=tokens,
            coreml=CoreMl(shapes, compute_units),
            accept_error=accept_error,
            progress=lambda step: bar.update(task, description=step),
            left_out=None
            if format_ != "all"
            else lambda format, error: missing.append(f"{format}: {error}"),
        )
        for imported in done:
            bar.update(task, description=f"storing {imported.folder.name}")
            _store(bar, store, imported.folder, imported.manifest, imported.report)
    if missing:
        raise ConversionFailed(f"expected all formats, got none for {'; '.join(missing)}")


def _import_integer(
    file: Path,
    store: EmbeddedStore,
    to: Path | None,
    format_: str,
    licence: str | None,
    accept_error: bool,
) -> None:
    """Import a static 8-bit ONNX model to the integer engine."""
    if format_ != INTEGER or not file.is_file():
        raise BadModel(
            f"expected an ONNX file with --format {INTEGER}, or a hub's model with another format, got {file} with "
            f"--format {format_}"
        )
    if not licence:
        raise BadModel(f"expected a licence for file {file.name}: name it with --licence")
    try:
        from offchain_worker.pipeline.import_integer import import_integer
    except ModuleNotFoundError as error:
        raise ToolNotInstalled(
            f"expected package {error.name!r}, which is not installed: pip install 'lattice[pipeline]'"
        ) from error
    with ExitStack() as stack:
        target = to or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        bar = stack.enter_context(_bar())
        task = bar.add_task("opening", total=None)
        manifest, report = import_integer(
            file,
            target / "integer-int8",
            name=file.stem,
            origin=f"file {file.name}",
            licence=licence,
            accept_error=accept_error,
            progress=lambda step: bar.update(task, description=step),
        )
        _store(bar, store, target / "integer-int8", manifest, report)


def _store(
    bar: Progress, store: EmbeddedStore, folder: Path, manifest: Manifest, report: "Report"
) -> None:
    """Store an artifact folder, and say what was measured of it."""
    cid = store.add_folder(folder)
    notes = [f"cosine {report.cosine:.6f}", f"largest difference {report.max_abs:.1e}"]
    if report.same_bits:
        notes.append("the same bits")
    if manifest.preprocess.kind == "tensor" and manifest.inputs[0].name == "input_ids":
        notes.append("without tokenizer.json: requests carry tokens, not text")
    if manifest.max_batch > 1:
        notes.append(f"up to {manifest.max_batch} rows at once")
    if "accepted_error" in manifest.check:
        notes.append("ACCEPTED ALTHOUGH IT DIFFERS")
    bar.console.print(
        f"{folder.name} is in the store: {cid} ({', '.join(notes)})",
        soft_wrap=True,
        highlight=False,
    )


def _name_of(path: Path) -> str:
    """Return the last name of a path, also of one that ends in ".." or "."."""
    return os.path.basename(os.path.abspath(path))


def _formats(chosen: str, folder: Path) -> list[str]:
    """Return the formats to make. "all" leaves out MLX for what is no language model."""
    if chosen != "all":
        return [chosen]
    file = folder / "config.json"
    text = (
        file.read_bytes() if file.is_file() else b""
    )  # whoever opens the model says what is wrong
    writes = any(word in text for word in (b"ForCausalLM", b"LMHead"))
    return ["onnx", "coreml", *(["mlx"] if writes else [])]


def _bar() -> Progress:
    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        TimeElapsedColumn(),
        console=Console(stderr=False),
        transient=True,
    )
