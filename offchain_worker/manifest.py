"""What an artifact folder says of itself: `manifest.json`, read strictly.

It is part of the model version's identity: whatever changes the bits of an output stands in it.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from offchain_worker import safe_json
from offchain_worker.errors import BadModel, did_you_mean

FILE_NAME = "manifest.json"
SCHEMA = 1
MAX_BYTES = 1 << 20
MAX_BATCH = 64
"""Largest `max_batch` of a manifest."""
UNITS = ("inference",)
"""What one unit of a price may be: "inference" is one run of the model, so such a job charges one unit."""

_DTYPES = (
    *("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"),
    *("float16", "float32", "float64"),
)
MAX_FORMAT = 16
"""Characters of a format, as the registry keeps them."""
_TEXTS = ("name", "task", "format", "precision", "source", "licence", "units")
_OPTIONAL = ("check", "max_batch")
_KEYS = ("lattice", *_TEXTS, "files", "inputs", "outputs", "preprocess", "postprocess", "runtime")


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """Name, shape and dtype of one input or output of a model."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    """-1 where the size is free."""


@dataclass(frozen=True, slots=True)
class Step:
    """How payload values become tensors, or tensors an answer: a kind in `processing/` and its options."""

    kind: str
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Manifest:
    """One model version."""

    name: str
    task: str
    """What it is for, such as "file-type"."""
    format: str
    """Format of its files, such as "onnx". Says which backends can run it."""
    precision: str
    """Of its weights, such as "float32"."""
    files: tuple[str, ...]
    """Files that hold the model, inside the folder. The first is the one that a backend opens."""
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    preprocess: Step
    postprocess: Step
    runtime: Mapping[str, str | int | float | bool]
    """Options of the runtime that change bits. Its backend knows which there are."""
    source: str
    """Where it comes from, for people."""
    licence: str
    """SPDX identifier."""
    units: str
    """What one unit of the price is, one of `UNITS`."""
    check: Mapping[str, str | int | float | bool] = field(default_factory=dict)
    """How far a converted model was from its original, for people. Left out of the text when empty."""
    max_batch: int = 1
    """Most rows that may run at once, because a check found no bit of a row that depends on the others (see
    `backends/batching.py`). Left out of the text when 1."""

    def to_json(self) -> str:
        """Return the text of `manifest.json`; the same manifest gives the same text."""
        plain: dict[str, Any] = {"lattice": SCHEMA}
        for name in _KEYS[1:]:
            plain[name] = _to_plain(getattr(self, name))
        if self.check:
            plain["check"] = dict(self.check)
        if self.max_batch > 1:
            plain["max_batch"] = self.max_batch
        return json.dumps(plain, indent=2, ensure_ascii=False) + "\n"


def parse(text: str | bytes) -> Manifest:
    """Read the text of a manifest.

    Raises:
        BadModel: A field is missing, unknown, double or of the wrong kind; the message names it.
    """
    try:
        plain = safe_json.loads(text, object_pairs_hook=_no_doubles, parse_constant=_no_constants)
    except ValueError as error:
        raise BadModel(f"expected {FILE_NAME} in JSON, got: {error}") from None
    _check_keys(plain, _KEYS, "the manifest", _OPTIONAL)
    if plain["lattice"] != SCHEMA or type(plain["lattice"]) is not int:
        raise BadModel(
            f'expected "lattice": {SCHEMA}, got {plain["lattice"]!r}: this worker knows no other'
        )
    for name in _TEXTS:
        _text(plain[name], name)
    if not plain["format"].isascii() or len(plain["format"]) > MAX_FORMAT:
        raise BadModel(
            f"expected a format of at most {MAX_FORMAT} characters in ASCII, got {plain['format']!r}"
        )
    if plain["units"] not in UNITS:
        hint = did_you_mean(plain["units"], UNITS)
        raise BadModel(f"expected units of {', '.join(UNITS)}, got {plain['units']!r}{hint}")
    return Manifest(
        **{name: plain[name] for name in _TEXTS},
        files=tuple(_path(item, "files") for item in _list(plain["files"], "files")),
        inputs=_specs(plain["inputs"], "inputs"),
        outputs=_specs(plain["outputs"], "outputs"),
        preprocess=_step(plain["preprocess"], "preprocess"),
        postprocess=_step(plain["postprocess"], "postprocess"),
        runtime=_scalars(plain["runtime"], "runtime"),
        check=_scalars(plain.get("check", {}), "check"),
        max_batch=_max_batch(plain),
    )


def load(folder: Path) -> Manifest:
    """Read the manifest of an artifact folder, and check that the files it names are there.

    Raises:
        BadModel: As `parse`, or a file is missing.
    """
    path = inside(folder, FILE_NAME)
    if path.stat().st_size > MAX_BYTES:
        raise BadModel(
            f"expected a {FILE_NAME} of at most {MAX_BYTES} bytes, got {path.stat().st_size}"
        )
    manifest = parse(path.read_bytes())
    for name in manifest.files:
        inside(folder, name)
    return manifest


def inside(folder: Path, name: str) -> Path:
    """Return the path of a regular file inside `folder`, reached without any symlink.

    Raises:
        BadModel: `name` leaves the folder, or there is no such file.
    """
    path = folder
    for part in PurePosixPath(_path(name, "path")).parts:
        path = path / part
        if path.is_symlink():
            raise BadModel(f"expected no symlink in the artifact folder, got {name!r}")
    if not path.is_file():
        raise BadModel(f"expected a file {name!r} in the artifact folder, which has none")
    return path


def _path(value: Any, place: str) -> str:
    name = _text(value, place)
    parts = name.split("/")
    if any(part in ("", ".", "..") for part in parts) or any(sign in name for sign in "\\\0:"):
        raise BadModel(f"expected a path inside the artifact folder in {place}, got {name!r}")
    return name


def _specs(value: Any, place: str) -> tuple[TensorSpec, ...]:
    specs = []
    for item in _list(value, place):
        _check_keys(item, ("name", "dtype", "shape"), place)
        name, dtype, shape = _text(item["name"], place), item["dtype"], item["shape"]
        if dtype not in _DTYPES:
            raise BadModel(
                f"expected a dtype of {', '.join(_DTYPES)} for {name!r} in {place}, got {dtype!r}"
            )
        if not isinstance(shape, list) or any(type(size) is not int or size < -1 for size in shape):
            raise BadModel(
                f"expected a list of sizes, -1 for free, for {name!r} in {place}, got {shape!r}"
            )
        specs.append(TensorSpec(name, dtype, tuple(shape)))
    if len({spec.name for spec in specs}) != len(specs):
        raise BadModel(f"expected different names in {place}, got one twice")
    return tuple(specs)


def _max_batch(plain: Mapping[str, Any]) -> int:
    value = plain.get("max_batch", 1)
    if type(value) is not int or not 1 <= value <= MAX_BATCH:
        raise BadModel(f"expected max_batch from 1 to {MAX_BATCH}, got {value!r}")
    shapes = [item["shape"] for item in (*plain["inputs"], *plain["outputs"])]
    if value > 1 and not all(shape[:1] == [-1] for shape in shapes):
        raise BadModel(
            f"expected tensors whose first size is free for max_batch {value}, got {shapes}"
        )
    return value


def _step(value: Any, place: str) -> Step:
    if not isinstance(value, dict) or "kind" not in value:
        raise BadModel(f'expected {place} as a map with "kind", got {value!r}')
    options = {name: option for name, option in value.items() if name != "kind"}
    return Step(_text(value["kind"], f"{place}.kind"), options)


def _scalars(value: Any, place: str) -> dict[str, str | int | float | bool]:
    if not isinstance(value, dict):
        raise BadModel(f"expected {place} as a map, got {value!r}")
    for name, option in value.items():
        if not isinstance(option, str | int | float | bool):
            raise BadModel(
                f"expected text, a number or a truth value as {place}.{name}, got {option!r}"
            )
        if isinstance(option, float) and not math.isfinite(option):
            raise BadModel(f"expected a finite number as {place}.{name}, got {option!r}")
    return value


def _check_keys(
    value: Any, keys: tuple[str, ...], place: str, optional: tuple[str, ...] = ()
) -> None:
    if not isinstance(value, dict):
        raise BadModel(f"expected a map in {place}, got {value!r}")
    if missing := [key for key in keys if key not in value]:
        raise BadModel(f"expected field {missing[0]!r} in {place}, which is missing")
    if extra := [key for key in value if key not in (*keys, *optional)]:
        raise BadModel(
            f"expected only known fields in {place}, got {extra[0]!r}{did_you_mean(extra[0], keys)}"
        )


def _list(value: Any, place: str) -> list[Any]:
    if not isinstance(value, list) or not value:
        raise BadModel(f"expected a list with at least one entry in {place}, got {value!r}")
    return value


def _text(value: Any, place: str) -> str:
    if not isinstance(value, str) or not value:
        raise BadModel(f"expected text that is not empty in {place}, got {value!r}")
    return value


def _to_plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_to_plain(item) for item in value]
    if isinstance(value, TensorSpec):
        return {"name": value.name, "dtype": value.dtype, "shape": list(value.shape)}
    if isinstance(value, Step):
        return {"kind": value.kind, **value.options}
    return dict(value) if isinstance(value, Mapping) else value


def _no_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    plain = dict(pairs)
    if len(plain) != len(pairs):
        raise ValueError("a field twice in one map")
    return plain


def _no_constants(name: str) -> Any:
    raise ValueError(f"{name}, which is no JSON")
