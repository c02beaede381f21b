"""What both backends of Core ML programs check of an artifact folder."""

from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from offchain_worker import safe_json
from offchain_worker.errors import BadModel
from offchain_worker.manifest import Manifest, TensorSpec, inside

DTYPES = {65568: "float32", 65552: "float16", 131104: "int32", 65600: "float64"}
"""Of a package's tensors, by Core ML's numbers."""

_MODEL = "Data/com.apple.CoreML/model.mlmodel"


def package_of(folder: Path, manifest: Manifest) -> Path:
    """Return the package of an artifact folder: the folder around the manifest's first file.

    Raises:
        BadModel: The first file is not the model of a package, or a file is missing or a symlink.
    """
    for name in manifest.files:
        inside(folder, name)
    first = PurePosixPath(manifest.files[0])
    package = first.parents[2] if len(first.parents) > 3 else PurePosixPath()
    if str(first) != f"{package}/{_MODEL}" or package.suffix != ".mlpackage":
        raise BadModel(
            f"expected a first file NAME.mlpackage/{_MODEL} of format 'coreml', got {manifest.files[0]!r}"
        )
    _check_index(folder, str(package))
    return folder / package


def _check_index(folder: Path, package: str) -> None:
    """Check the package's own list of parts, which Core ML opens first and the interpreter does not need."""
    file = inside(folder, f"{package}/Manifest.json")
    try:
        plain = safe_json.loads(file.read_bytes())
        root = plain["itemInfoEntries"][plain["rootModelIdentifier"]]["path"]
    except (ValueError, KeyError, TypeError) as error:
        raise BadModel(
            f"expected {package}/Manifest.json that names the model, got bad {error}"
        ) from None
    if root != _MODEL.removeprefix("Data/"):
        raise BadModel(f"expected {package}/Manifest.json to name {_MODEL!r}, got {root!r}")


def tensors_of(descriptions: Any) -> tuple[TensorSpec, ...]:
    """Return inputs or outputs as a package states them; a shape that it leaves open is empty.

    Raises:
        BadModel: One is no tensor, or of a dtype that Core ML does not have.
    """
    found = []
    for described in descriptions:
        array = described.type.multiArrayType
        if described.type.WhichOneof("Type") != "multiArrayType" or array.dataType not in DTYPES:
            raise BadModel(
                f"expected tensors of {', '.join(DTYPES.values())}, got {described.name!r}, which is none"
            )
        found.append(TensorSpec(described.name, DTYPES[array.dataType], tuple(array.shape)))
    return tuple(found)


def check_tensors(
    manifest: Manifest, inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec]
) -> None:
    """Compare a manifest with what the program itself says.

    Raises:
        BadModel: Names differ, or dtypes of inputs do.
    """
    for kind, said, found in (
        (
            "inputs",
            {spec.name: spec.dtype for spec in manifest.inputs},
            {s.name: s.dtype for s in inputs},
        ),
        (
            "outputs",
            dict.fromkeys(spec.name for spec in manifest.outputs),
            dict.fromkeys(s.name for s in outputs),
        ),
    ):
        if said != found:
            raise BadModel(
                f"expected the {kind} of the program, {found}, got {said} in the manifest"
            )
