"""Packages the model that the PyPI package `magika` ships (file types, 3 MB of ONNX) as an artifact folder."""

from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

from offchain_worker.errors import ToolNotInstalled
from offchain_worker.manifest import Manifest, Step, TensorSpec
from offchain_worker.pipeline import write_folder

VERSION = "1.0.3"
MODEL = "standard_v3_3"

_CONFIG, _CONTENT_TYPES = "config.min.json", "content_types_kb.min.json"

MANIFEST = Manifest(
    name=f"magika-{MODEL}",
    task="file-type",
    format="onnx",
    precision="float32",
    files=("model.onnx",),
    inputs=(TensorSpec("bytes", "int32", (-1, 2048)),),
    outputs=(TensorSpec("target_label", "float32", (-1, 214)),),
    preprocess=Step("magika", {"config": _CONFIG}),
    postprocess=Step("magika", {"config": _CONFIG, "content_types": _CONTENT_TYPES}),
    runtime={"intra_op_num_threads": 1, "graph_optimization_level": "all"},
    source=f"https://github.com/google/magika, package magika {VERSION}, model {MODEL}",
    licence="Apache-2.0",
    units="inference",
)


def import_magika(to_folder: Path) -> Manifest:
    """Write the artifact folder, which must not exist. The same bytes each time, so the same CID.

    Raises:
        ToolNotInstalled: The package is not installed, or in another version, which has another model.
    """
    spec = find_spec("magika")
    if spec is None or spec.origin is None:
        raise ToolNotInstalled(
            f"expected package 'magika', which is not installed: pip install magika=={VERSION}"
        )
    found = metadata.version("magika")
    if found != VERSION:
        raise ToolNotInstalled(
            f"expected magika {VERSION}, got {found}: pip install magika=={VERSION}"
        )
    package = Path(spec.origin).parent
    model = package / "models" / MODEL
    files = {
        "model.onnx": model / "model.onnx",
        _CONFIG: model / _CONFIG,
        _CONTENT_TYPES: package / "config" / _CONTENT_TYPES,
    }
    write_folder(to_folder, MANIFEST, {name: path.read_bytes() for name, path in files.items()})
    return MANIFEST
