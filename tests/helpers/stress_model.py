"""An ONNX model that does what it is asked to: takes long, takes memory, gives NaN, or just answers.

Written byte by byte, because the package that makes such files is not part of the tests' needs. Input `ask` of shape
(3,), int64: rounds of a loop, elements of a float32 array that is made, and a number whose square root is taken. Output
`y` of shape (1,), float32.
"""

import struct
from pathlib import Path

import numpy as np

from offchain_worker.manifest import Manifest, Step, TensorSpec
from offchain_worker.payload import encode
from offchain_worker.pipeline import write_folder
from offchain_worker.storage.cid import Cid
from offchain_worker.storage.store import EmbeddedStore

FLOAT, INT64, BOOL = 1, 7, 9
MANIFEST = Manifest(
    name="stress",
    task="test",
    format="onnx",
    precision="float32",
    files=("stress.onnx",),
    inputs=(TensorSpec("ask", "int64", (3,)),),
    outputs=(TensorSpec("y", "float32", (1,)),),
    preprocess=Step("tensor"),
    postprocess=Step("tensor"),
    runtime={},
    source="tests/helpers/stress_model.py",
    licence="Apache-2.0",
    units="inference",
)


def ask(*, rounds: int = 1, elements: int = 1, root_of: int = 4) -> bytes:
    """Return a payload for the model."""
    return encode({"ask": np.array([rounds, elements, root_of], np.int64)})


def add_stress(store: EmbeddedStore, folder: Path) -> Cid:
    """Add the model's folder to a store, and return its CID."""
    write_folder(folder, MANIFEST, {"stress.onnx": model()})
    return store.add_folder(folder)


def model() -> bytes:
    body = b"".join(
        (
            part(1, node("Identity", ["go"], ["go_on"])),
            part(1, node("Add", ["v", "one"], ["v_next"])),
            part(2, b"body"),
            part(11, value("i", INT64, [])),
            part(11, value("go", BOOL, [])),
            part(11, value("v", FLOAT, [1])),
            part(12, value("go_on", BOOL, [])),
            part(12, value("v_next", FLOAT, [1])),
        )
    )
    loop = part(1, b"body") + part(6, body) + number(20, 5)
    axis = part(1, b"axis") + number(3, 0) + number(20, 2)
    graph = b"".join(
        (
            part(1, node("Split", ["ask"], ["rounds", "elements", "root"], axis)),
            part(1, node("Loop", ["rounds", "", "zero"], ["counted"], loop)),
            part(1, node("ConstantOfShape", ["elements"], ["many"])),
            part(1, node("ReduceSum", ["many"], ["sum"])),
            part(
                1,
                node("Cast", ["root"], ["radicand"], part(1, b"to") + number(3, 1) + number(20, 2)),
            ),
            part(1, node("Sqrt", ["radicand"], ["rooted"])),
            part(1, node("Add", ["counted", "sum"], ["part"])),
            part(1, node("Add", ["part", "rooted"], ["y"])),
            part(2, b"stress"),
            part(5, tensor("zero", 0.0)),
            part(5, tensor("one", 1.0)),
            part(11, value("ask", INT64, [3])),
            part(12, value("y", FLOAT, [1])),
        )
    )
    return number(1, 8) + part(7, graph) + part(8, part(1, b"") + number(2, 13))


def varint(n: int) -> bytes:
    out = bytearray()
    while n > 127:
        out.append(n & 127 | 128)
        n >>= 7
    return bytes([*out, n])


def number(field: int, n: int) -> bytes:
    return varint(field << 3) + varint(n)


def part(field: int, data: bytes) -> bytes:
    return varint(field << 3 | 2) + varint(len(data)) + data


def node(kind: str, inputs: list[str], outputs: list[str], attribute: bytes = b"") -> bytes:
    names = b"".join(part(1, name.encode()) for name in inputs)
    names += b"".join(part(2, name.encode()) for name in outputs)
    return names + part(4, kind.encode()) + (part(5, attribute) if attribute else b"")


def value(name: str, dtype: int, shape: list[int]) -> bytes:
    dims = b"".join(part(1, number(1, size)) for size in shape)
    return part(1, name.encode()) + part(2, part(1, number(1, dtype) + part(2, dims)))


def tensor(name: str, content: float) -> bytes:
    return (
        number(1, 1)
        + number(2, FLOAT)
        + part(8, name.encode())
        + part(9, struct.pack("<f", content))
    )
