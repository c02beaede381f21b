"""backends.reference

load
├── when there is a runtime option, a second file, or weights that fit neither each other nor the manifest: BadModel
run
├── when the input is wrong: it raises BadInput
├── before load: it raises RuntimeError
├── xor: it gives the table of exclusive or
└── it is matmul, add, and max(0, y) between layers
"""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from offchain_worker import safetensors
from offchain_worker.backends.reference import Backend
from offchain_worker.errors import BadInput, BadModel
from offchain_worker.manifest import TensorSpec
from offchain_worker.pipeline.xor_model import MANIFEST


def zeros(*shape):
    return np.zeros(shape, np.float32)


GOOD = {"w0": zeros(2, 2), "b0": zeros(2), "w1": zeros(2, 1), "b1": zeros(1)}


def loaded(folder, tensors, manifest=MANIFEST):
    folder.mkdir(exist_ok=True)
    (folder / MANIFEST.files[0]).write_bytes(safetensors.write(tensors))
    backend = Backend()
    backend.load(folder, manifest)
    return backend


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        ({}, "expected tensors w0, b0"),
        ({"w0": zeros(2, 1)}, "expected tensors w0, b0"),
        ({"w0": zeros(2, 1), "b1": zeros(1)}, "expected tensors w0, b0"),
        (GOOD | {"w1": zeros(3, 1)}, r"w1 of shape \(2, n\)"),
        (GOOD | {"b1": zeros(2)}, "b1 of shape"),
        (GOOD | {"w0": zeros(2)}, r"w0 of shape \(any, n\)"),
        (GOOD | {"w0": np.zeros((2, 2))}, "float32, got"),
        (GOOD | {"w0": zeros(3, 2)}, r"'x' of shape \(any, 3\)"),
        (GOOD | {"w1": zeros(2, 4), "b1": zeros(4)}, r"'y' of shape \(any, 4\)"),
    ],
)
def test_load__when_weights_do_not_fit__raises_bad_model(tmp_path, tensors, message):
    with pytest.raises(BadModel, match=message):
        loaded(tmp_path, tensors)


@pytest.mark.parametrize(
    ("manifest", "message"),
    [
        (replace(MANIFEST, runtime={"threads": 1}), r"\(none\), got 'threads'"),
        (replace(MANIFEST, files=("xor.safetensors", "b")), "one file"),
        (replace(MANIFEST, inputs=(TensorSpec("x", "float64", (-1, 2)),)), "'x' of shape"),
        (replace(MANIFEST, inputs=(TensorSpec("x", "float32", (2,)),)), "'x' of shape"),
    ],
)
def test_load__when_manifest_does_not_fit__raises_bad_model(tmp_path, manifest, message):
    with pytest.raises(BadModel, match=message):
        loaded(tmp_path, GOOD, manifest)


def test_run__when_input_is_wrong__raises_bad_input(tmp_path):
    with pytest.raises(BadInput, match="of shape"):
        loaded(tmp_path, GOOD).run({"x": zeros(1, 3)})


def test_run__before_load_and_after_close__raises_runtime_error(tmp_path):
    backend = loaded(tmp_path, GOOD)
    backend.close()

    with pytest.raises(RuntimeError, match="load"):
        backend.run({"x": zeros(1, 2)})
    with pytest.raises(RuntimeError, match="load"):
        Backend().run({"x": zeros(1, 2)})


def test_run__xor__gives_the_table(xor_folder, xor_values):
    backend = Backend()
    backend.load(xor_folder, MANIFEST)

    outputs = backend.run(xor_values)

    assert outputs["y"].dtype == np.float32
    assert outputs["y"].tolist() == [[0.0], [1.0], [1.0], [0.0]]


@given(data=st.data())
def test_run__is_matmul_add_and_max_between_layers(tmp_path_factory, data):
    numbers = st.integers(-8, 8)  # exact in float32

    def draw(*shape):
        size = int(np.prod(shape))
        drawn = data.draw(st.lists(numbers, min_size=size, max_size=size))
        return np.array(drawn, np.float32).reshape(shape)

    w0, b0, w1, b1, x = draw(2, 3), draw(3), draw(3, 1), draw(1), draw(4, 2)
    folder = tmp_path_factory.mktemp("layers")

    found = loaded(folder, {"w0": w0, "b0": b0, "w1": w1, "b1": b1}).run({"x": x})["y"]

    hidden = [[max(0, sum(r[i] * w0[i, j] for i in range(2)) + b0[j]) for j in range(3)] for r in x]
    assert found.tolist() == [[sum(h[i] * w1[i, 0] for i in range(3)) + b1[0]] for h in hidden]
