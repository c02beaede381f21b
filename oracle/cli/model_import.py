"""`lattice model import` of a hub's model: look, ask, fetch, convert, check, store."""

import tempfile
from contextlib import ExitStack
from pathlib import Path

import click
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from offchain_worker.errors import BadModel, ToolNotInstalled
from offchain_worker.pipeline import hub
from offchain_worker.storage.store import EmbeddedStore
from oracle.cli.common import say

FORMATS = ("coreml", "mlx", "onnx", "torch")
PRECISIONS = {
    "none": "float32",
    "fp16": "float16",
    "int8": "int8",
    "int4": "int4",
    "int4-palettes": "int4-palettes",
}
TOKENS_HELP = "Length of a text, where the format fixes it."


def import_from_hub(
    name: str,
    store: EmbeddedStore,
    to: Path | None,
    *,
    format_: str,
    quantize: str,
    revision: str,
    tokens: int,
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
    origin = f"folder {folder.name}"
    if not folder.is_dir():
        found = hub.look(name, revision)
        licence, origin = licence or found.licence, found.source
        say(f"{found.repo} at {found.revision[:12]}: {found.size_bytes:,} bytes, licence {licence}")
        if not yes:
            click.confirm("Download it?", abort=True)
        folder = hub.fetch(found)
    if licence is None:
        raise BadModel(f"expected a licence for {origin}: name it with --licence")
    try:
        from offchain_worker.pipeline.importing import import_folder
    except ModuleNotFoundError as error:
        raise ToolNotInstalled(
            f"expected package {error.name!r}, which is not installed: pip install "
            "'lattice[pipeline,text,torch,coreml]'"
        ) from error
    with ExitStack() as stack:
        target = to or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        bar = stack.enter_context(_bar())
        task = bar.add_task("opening", total=None)
        done = import_folder(
            folder,
            target,
            _formats(format_, folder),
            PRECISIONS[quantize],
            name=name.rstrip("/").rpartition("/")[2],
            origin=origin,
            licence=licence,
            sequence=tokens,
            accept_error=accept_error,
            progress=lambda step: bar.update(task, description=step),
        )
        for imported in done:
            bar.update(task, description=f"storing {imported.folder.name}")
            cid = store.add_folder(imported.folder)
            accepted = (
                ", ACCEPTED ALTHOUGH IT DIFFERS"
                if "accepted_error" in imported.manifest.check
                else ""
            )
            bar.console.print(
                f"{imported.folder.name} is in the store: {cid} (cosine {imported.report.cosine:.6f}, largest "
                f"difference {imported.report.max_abs:.1e}{accepted})",
                soft_wrap=True,
                highlight=False,
            )


def _formats(chosen: str, folder: Path) -> list[str]:
    """Return the formats to make. "all" leaves out MLX for what is no language model."""
    if chosen != "all":
        return [chosen]
    writes = any(word in (folder / "config.json").read_text() for word in ("ForCausalLM", "LMHead"))
    return ["onnx", "coreml", *(["mlx"] if writes else [])]


def _bar() -> Progress:
    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        TimeElapsedColumn(),
        console=Console(stderr=False),
        transient=True,
    )
