"""backends.batching

join and split
└── any inputs of one kind come apart as they were put together
largest_batch
├── when each row has the bits that it has alone: as many as are checked
├── when a row depends on the others, or on how many there are: 1
├── when the first size of an input or output is fixed, or the model fails on a batch: 1
└── integer models pass
"""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from integer_model import write_integer

from offchain_worker import manifest as manifests
from offchain_worker.backends import open_for
from offchain_worker.backends.batching import (
    MOST,
    join,
    kind_of,
    largest_batch,
    rows_of,
    sample_inputs,
    split,
)
from offchain_worker.errors import BadModel
from offchain_worker.manifest import TensorSpec


class Model:
    """Runs a function of `x`, and remembers how many rows came at once."""

    def __init__(self, function):
        self.function, self.rows = function, []

    def run(self, inputs):
        self.rows.append(rows_of(inputs))
        return {"y": self.function(inputs["x"])}


@pytest.fixture(scope="module")
def manifest(xor_folder):
    return replace(
        manifests.load(xor_folder),
        inputs=(TensorSpec("x", "float32", (-1, 3)),),
        outputs=(TensorSpec("y", "float32", (-1, 3)),),
    )


@given(st.lists(st.integers(1, 5), min_size=1, max_size=6), st.integers(0, 2**32 - 1))
def test_split__gives_back_what_was_joined(rows, seed):
    rng = np.random.default_rng(seed)
    parts = [{"a": rng.normal(size=(n, 2)), "b": rng.integers(0, 9, n)} for n in rows]

    found = split(join(parts), rows)

    assert len({kind_of(part) for part in parts}) == 1
    assert [rows_of(part) for part in found] == rows
    for part, expected in zip(found, parts, strict=True):
        assert part.keys() == expected.keys()
        assert all(np.array_equal(part[name], expected[name]) for name in part)


def test_largest_batch__when_rows_are_independent__is_what_was_checked(manifest):
    model = Model(lambda x: x * np.float32(2))

    assert largest_batch(model, manifest) == MOST
    assert sorted(set(model.rows)) == list(range(1, MOST + 1))


@pytest.mark.parametrize(
    "function",
    [
        lambda x: x - x.mean(axis=0, keepdims=True),
        lambda x: x + np.float32(len(x) > 7) * np.float32(1e-7),
        lambda x: x[::-1],
        lambda x: x[:1],
    ],
    ids=["mean of all", "last bit in a batch of eight", "order", "one answer"],
)
def test_largest_batch__when_rows_depend_on_each_other__is_one(manifest, function):
    assert largest_batch(Model(function), manifest) == 1


@pytest.mark.parametrize("part", ["inputs", "outputs"])
def test_largest_batch__when_a_size_is_fixed__is_one(manifest, part):
    fixed = replace(manifest, **{part: (TensorSpec("x", "float32", (1, 3)),)})
    model = Model(lambda x: x)

    assert largest_batch(model, fixed) == 1
    assert model.rows == []


def test_largest_batch__when_a_batch_fails__is_one(manifest):
    def only_one(x):
        if len(x) > 1:
            raise BadModel("one row at a time")
        return x

    assert largest_batch(Model(only_one), manifest) == 1


def test_largest_batch__of_an_integer_model__is_what_was_checked(tmp_path):
    write_integer(tmp_path / "integer")
    manifest = manifests.load(tmp_path / "integer")
    backend = open_for("integer")
    backend.load(tmp_path / "integer", manifest)

    assert largest_batch(backend, manifest) == MOST


def test_sample_inputs__follow_the_manifest_and_the_seed(manifest):
    first, again, other = (sample_inputs(manifest, 2, seed=seed) for seed in (1, 1, 2))

    assert first["x"].shape == (2, 3)
    assert first["x"].tobytes() == again["x"].tobytes() != other["x"].tobytes()
