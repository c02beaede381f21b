"""offchain_worker.integer: the operators against plain integers, and graphs that are not one.

operators
├── the rounding is that of an algorithm on integers alone
├── matmul and conv give the sums of int64, for any shape, also beyond what float32 holds
└── add is within one step of the real sum, whatever the scales
Graph
├── it computes what the model's definition says
├── the batch does not change bits
├── when a node is unknown, comes too early, takes another dtype or lacks a tensor: it raises BadModel
├── when sums could overflow: it raises BadModel
└── when shapes do not fit each other: it raises BadModel
from_json
└── when it is malformed: it raises BadModel
"""

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from integer_model import NODES, plain, tensors, u8, write_integer

from offchain_worker.backends import open_for
from offchain_worker.errors import BadModel
from offchain_worker.integer.graph import Graph, from_json, to_json
from offchain_worker.integer.operators import Arguments, add, conv, matmul

QUICK = settings(max_examples=60, deadline=None)
FLOAT32 = {"x": "float32"}, {"y": "float32"}
factors = st.floats(2**-20, 2.0, width=32)


def to_significand(value: int) -> tuple[int, int]:
    """Round a number to 24 bits, ties to even: (significand, exponent)."""
    shift = max(value.bit_length() - 24, 0)
    whole, rest = divmod(value, 1 << shift)
    whole += 2 * rest > 1 << shift or (2 * rest == 1 << shift and whole & 1)
    return whole, shift


def rounded_by_integers(total: int, factor: float, zero: int) -> int:
    """The way back to 8 bits without floating point."""
    numerator, denominator = float(factor).as_integer_ratio()
    exponent = -(denominator.bit_length() - 1)
    whole, shift = to_significand(abs(total))
    product, more = to_significand(whole * numerator)
    exponent += shift + more
    if exponent < 0:
        product, rest = divmod(product, 1 << -exponent)
        half = 1 << (-exponent - 1)
        product += rest > half or (rest == half and product & 1)
    else:
        product <<= exponent
    return max(0, min(255, (product if total >= 0 else -product) + zero))


def product(weights, bias, factor, zero=0, **numbers):
    count = weights.shape[1] if weights.ndim == 2 else weights.shape[0]
    given = {
        "weights": weights,
        "bias": bias,
        "factors": np.full(count, factor, np.float32),
        "input_zero": u8(zero),
        "output_zero": u8(128),
    }
    return (matmul if weights.ndim == 2 else conv)(Arguments("n", numbers, given))


@given(st.integers(-(2**31) + 1, 2**31 - 1), factors, st.integers(0, 255))
@settings(max_examples=400, deadline=None)
def test_rounding__is_that_of_integers_alone(total, factor, zero):
    given_ = {
        "weights": np.zeros((1, 1), np.int8),
        "bias": np.array([total], np.int32),
        "factors": np.array([factor], np.float32),
        "input_zero": u8(0),
        "output_zero": u8(zero),
    }
    found = matmul(Arguments("n", {}, given_))(np.zeros((1, 1), np.uint8))

    assert int(found[0, 0]) == rounded_by_integers(total, factor, zero)


@pytest.mark.parametrize("width", [1, 7, 516, 3000])
@given(st.integers(0, 255), st.integers(0, 2**32 - 1))
@settings(max_examples=15, deadline=None)
def test_matmul__gives_the_sums_of_int64(width, zero, seed):
    rng = np.random.default_rng(seed)
    x = rng.integers(0, 256, (2, 3, width)).astype(np.uint8)
    weights = rng.integers(-128, 128, (width, 5)).astype(np.int8)
    bias = rng.integers(-(2**20), 2**20, 5).astype(np.int32)
    sums = (x.astype(np.int64) - zero) @ weights.astype(np.int64) + bias
    factor = np.float32(100 / (abs(sums).max() + 1))

    found = product(weights, bias, factor, zero)(x)

    assert found.tolist() == [
        [[rounded_by_integers(int(s), float(factor), 128) for s in row] for row in rows]
        for rows in sums
    ]


@given(st.data())
@QUICK
def test_conv__gives_the_sums_of_int64(data):
    draw = lambda low, high: data.draw(st.integers(low, high))  # noqa: E731 -- short
    groups, channels, each = draw(1, 3), draw(1, 3), draw(1, 3)
    height, width, size = draw(1, 3), draw(1, 3), draw(6, 9)
    pads, zero = [draw(0, 2) for _ in range(4)], draw(0, 255)
    (down, across), (taller, wider) = ([draw(1, 2), draw(1, 2)] for _ in range(2))
    rng = np.random.default_rng(draw(0, 2**32 - 1))
    x = rng.integers(0, 256, (2, groups * channels, size, size + 1)).astype(np.uint8)
    weights = rng.integers(-128, 128, (groups * each, channels, height, width)).astype(np.int8)
    bias = rng.integers(-5000, 5000, groups * each).astype(np.int32)
    numbers = {
        "pads": pads,
        "strides": [down, across],
        "dilations": [taller, wider],
        "groups": [groups],
    }

    found = product(weights, bias, 0.002, zero, **numbers)(x)

    top, left, bottom, right = pads
    padded = np.full((2, groups * channels, size + top + bottom, size + 1 + left + right), zero)
    padded[:, :, top : top + size, left : left + size + 1] = x
    for n, o, i, j in np.ndindex(*found.shape):
        first = o // each * channels
        window = padded[
            n,
            first : first + channels,
            i * down : i * down + (height - 1) * taller + 1 : taller,
            j * across : j * across + (width - 1) * wider + 1 : wider,
        ]
        total = int(((window.astype(np.int64) - zero) * weights[o]).sum() + bias[o])
        assert found[n, o, i, j] == rounded_by_integers(total, float(np.float32(0.002)), 128)


@given(*[st.floats(2**-10, 2**10, width=32)] * 3, *[st.integers(0, 255)] * 3)
@QUICK
def test_add__is_within_one_step_of_the_real_sum(first, second, output, zero1, zero2, zero3):
    given_ = {
        "first_scale": np.float32(first),
        "second_scale": np.float32(second),
        "output_scale": np.float32(output),
        "first_zero": u8(zero1),
        "second_zero": u8(zero2),
        "output_zero": u8(zero3),
    }
    given_ = {name: np.asarray(value) for name, value in given_.items()}
    x, y = np.meshgrid(np.arange(256, dtype=np.uint8), np.arange(256, dtype=np.uint8))

    found = add(Arguments("n", {}, given_))(x, y).astype(int)

    real = ((x.astype(int) - zero1) * first + (y.astype(int) - zero2) * second) / output + zero3
    lost = 2**-14 * (1 + max(first, second) / output)  # numbers up to 256 in 24 bits, a few times
    assert abs(found - np.clip(real, 0, 255)).max() <= 0.5 + lost


def test_graph__computes_what_the_definition_says(tmp_path):
    inputs, expected = write_integer(tmp_path / "model")
    backend = open_for("integer")
    from offchain_worker import manifest

    backend.load(tmp_path / "model", manifest.load(tmp_path / "model"))

    assert backend.run(inputs)["y"].tobytes() == expected["y"].tobytes()
    assert len(np.unique(expected["y"])) > 3


def test_run__whatever_the_batch__gives_the_same_bits():
    graph = Graph(NODES, tensors(), *FLOAT32)
    x = np.random.default_rng(1).normal(0, 3, (7, 3, 6, 6)).astype(np.float32)

    together = graph.run({"x": x})["y"]

    alone = np.concatenate([graph.run({"x": x[i : i + 1]})["y"] for i in range(7)])
    assert together.tobytes() == alone.tobytes() == plain(x).tobytes()


def with_node(at, **changes):
    return [*NODES[:at], replace(NODES[at], **changes), *NODES[at + 1 :]]


@pytest.mark.parametrize(
    ("nodes", "changes", "message"),
    [
        (with_node(1, operator="convolve"), {}, "expected an operator of"),
        (with_node(1, inputs=("m",)), {}, "come before it"),
        (with_node(1, inputs=("q", "q")), {}, "expected 1 inputs"),
        (with_node(1, inputs=("x",)), {}, "input 'x' of node 'c' of uint8, got float32"),
        (with_node(2, output="c"), {}, "a new name"),
        (with_node(1, numbers={}), {}, "1 numbers 'groups'"),
        (with_node(4, numbers=NODES[4].numbers | {"kernel": [2, 1 << 20]}), {}, "numbers 'kernel'"),
        (NODES[:-1], {}, "expected tensors of nodes only, got some of 'y'"),
        (NODES, {"c.bias": None}, "tensor 'bias' of int32"),
        (NODES, {"c.weights": np.zeros((8, 3, 3, 3), np.uint8)}, "tensor 'weights' of int8"),
        (NODES, {"q.scale": np.array(0, np.float32)}, "above zero"),
        (NODES, {"c.factors": np.full(8, np.nan, np.float32)}, "above zero"),
        (NODES, {"f.bias": np.full(4, 2**31 - 1, np.int32)}, "within int32"),
        (NODES, {"l.table": np.zeros(9, np.uint8)}, "a table of 256"),
        (NODES, {"z.scale": np.array(1, np.float32)}, "got some of 'z'"),
    ],
)  # fmt: skip
def test_graph__when_it_is_malformed__raises(nodes, changes, message):
    given_ = {name: array for name, array in (tensors() | changes).items() if array is not None}

    with pytest.raises(BadModel, match=message):
        Graph(nodes, given_, *FLOAT32)


def test_run__when_shapes_do_not_fit__raises():
    wider = {"f.weights": np.zeros((9, 4), np.int8)}
    graph = Graph(NODES, tensors() | wider, *FLOAT32)

    with pytest.raises(BadModel, match="shapes that fit node 'f'"):
        graph.run({"x": np.zeros((1, 3, 6, 6), np.float32)})
    with pytest.raises(BadModel, match="input of shape"):
        graph.run({"x": np.zeros((1, 2, 6, 6), np.float32)})


def test_from_json__reads_what_to_json_wrote_and_refuses_the_rest():
    good = to_json(NODES)

    assert from_json(good) == NODES
    node = json.loads(good)["nodes"][0]
    for broken in (
        b"{",
        b"[]",
        b'{"nodes": []}',
        json.dumps({"nodes": [node], "more": 1}).encode(),
        json.dumps({"nodes": [node | {"more": 1}]}).encode(),
        json.dumps({"nodes": [node | {"inputs": "x"}]}).encode(),
        json.dumps({"nodes": [node | {"output": 3}]}).encode(),
        json.dumps({"nodes": [node] * 10_001}).encode(),
    ):
        with pytest.raises(BadModel):
            from_json(broken)
