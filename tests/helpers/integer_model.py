"""A small integer model with every operator, and its answer computed a second time in plain Python numbers."""

from pathlib import Path

import numpy as np

from offchain_worker import safetensors
from offchain_worker.backends.base import Arrays
from offchain_worker.integer.graph import GRAPH_FILE, WEIGHTS_FILE, Node, to_json
from offchain_worker.manifest import Manifest, Step, TensorSpec
from offchain_worker.pipeline import write_folder

MANIFEST = Manifest(
    name="small-integers",
    task="image-classification",
    format="integer",
    precision="int8",
    files=(GRAPH_FILE, WEIGHTS_FILE),
    inputs=(TensorSpec("x", "float32", (-1, 3, 6, 6)),),
    outputs=(TensorSpec("y", "float32", (-1, 4)),),
    preprocess=Step("tensor"),
    postprocess=Step("tensor"),
    runtime={},
    source="tests/helpers/integer_model.py",
    licence="Apache-2.0",
    units="inference",
)
NODES = (
    Node("quantize", ("x",), "q"),
    Node(
        "conv",
        ("q",),
        "c",
        {"pads": [1, 1, 1, 1], "strides": [1, 1], "dilations": [1, 1], "groups": [1]},
    ),
    Node("add", ("c", "c"), "a"),
    Node("lookup", ("a",), "l"),
    Node("max_pool", ("l",), "m", {"kernel": [2, 2], "pads": [0] * 4, "strides": [2, 2]}),
    Node("global_average", ("m",), "g"),
    Node("reshape", ("g",), "r", {"shape": [0, -1]}),
    Node("matmul", ("r",), "f"),
    Node("dequantize", ("f",), "y"),
)


def u8(value: int) -> np.ndarray:
    """A zero point."""
    return np.array(value, np.uint8)


def f32(value: float) -> np.ndarray:
    """A scale."""
    return np.array(value, np.float32)


def tensors() -> Arrays:
    """Weights that are always the same."""
    rng = np.random.default_rng(5)
    return {
        "q.scale": f32(0.05),
        "q.output_zero": u8(120),
        "c.weights": rng.integers(-64, 64, (8, 3, 3, 3)).astype(np.int8),
        "c.bias": rng.integers(-900, 900, 8).astype(np.int32),
        "c.factors": rng.uniform(0.001, 0.004, 8).astype(np.float32),
        "c.input_zero": u8(120),
        "c.output_zero": u8(128),
        "a.first_scale": f32(0.1),
        "a.first_zero": u8(128),
        "a.second_scale": f32(0.1),
        "a.second_zero": u8(128),
        "a.output_scale": f32(0.25),
        "a.output_zero": u8(125),
        "l.table": np.arange(255, -1, -1).astype(np.uint8),
        "l.input_zero": u8(125),
        "g.input_scale": f32(0.25),
        "g.input_zero": u8(130),
        "g.output_scale": f32(0.1),
        "g.output_zero": u8(100),
        "f.weights": rng.integers(-64, 64, (8, 4)).astype(np.int8),
        "f.bias": rng.integers(-900, 900, 4).astype(np.int32),
        "f.factors": rng.uniform(0.004, 0.009, 4).astype(np.float32),
        "f.input_zero": u8(100),
        "f.output_zero": u8(128),
        "y.scale": f32(0.125),
        "y.input_zero": u8(128),
    }


def round_back(total: int, factor: np.float32, zero: int) -> int:
    """The definition: the sum to float32, times the factor, to the nearest integer, ties to even, within 8 bits."""
    return max(0, min(255, round(float(np.float32(total) * factor)) + zero))


def plain(x: np.ndarray) -> np.ndarray:
    """What the model answers, without any of its operators."""
    t = tensors()
    rows = []
    for image in x:
        q = [
            [[round_back(1, np.float32(v) / t["q.scale"], 120) - 120 for v in r] for r in c]
            for c in image
        ]
        means = []
        for kernel, bias, factor in zip(t["c.weights"], t["c.bias"], t["c.factors"], strict=True):
            grid = np.zeros((6, 6), int)
            for i in range(6):
                for j in range(6):
                    total = int(bias)
                    for c in range(3):
                        for u in range(3):
                            for v in range(3):
                                if 0 <= i + u - 1 < 6 and 0 <= j + v - 1 < 6:
                                    total += int(kernel[c, u, v]) * q[c][i + u - 1][j + v - 1]
                    one = round_back(total, factor, 128)
                    twice = round(2 * (one - 128) * 0.1 / 0.25 + 125)
                    grid[i, j] = 255 - max(0, min(255, twice))
            best = [grid[i : i + 2, j : j + 2].max() for i in (0, 2, 4) for j in (0, 2, 4)]
            factor = t["g.input_scale"] / (t["g.output_scale"] * np.float32(9))
            means.append(round_back(int(sum(best)) - 9 * 130, factor, 100) - 100)
        row = []
        for column, bias, factor in zip(t["f.weights"].T, t["f.bias"], t["f.factors"], strict=True):
            total = int(bias) + sum(int(w) * m for w, m in zip(column, means, strict=True))
            row.append(np.float32(round_back(total, factor, 128) - 128) * t["y.scale"])
        rows.append(row)
    return np.array(rows, np.float32)


def write_integer(folder: Path) -> tuple[Arrays, Arrays]:
    """Write the artifact folder; returns inputs and the answer to them."""
    files = {GRAPH_FILE: to_json(NODES), WEIGHTS_FILE: safetensors.write(tensors())}
    write_folder(folder, MANIFEST, files)
    x = np.random.default_rng(6).normal(0, 3, (2, 3, 6, 6)).astype(np.float32)
    return {"x": x}, {"y": plain(x)}
