"""ONNX int8 weights as quantize_onnx makes them, on emulated CPUs

A product of matrices in int8 multiplies unsigned activations with signed weights. CPUs with VNNI add four products in
32 bits. Those with AVX2 only add pairs in 16 bits, and saturate there.

quantize
├── its weights are within 7 bits, so no pair of products saturates: both kinds of CPU give the same bits
└── with the full range of 8 bits they would not
"""

import numpy as np
import pytest
from onnx import numpy_helper

from offchain_worker.pipeline import convert_onnx, quantize_onnx
from offchain_worker.pipeline.families import FAMILIES
from offchain_worker.pipeline.random_model import build

pytestmark = pytest.mark.extended


def on_vnni(activations, weights):
    return activations.astype(np.int64) @ weights.astype(np.int64)


def on_avx2(activations, weights):
    pairs = activations.astype(np.int64)[:, :, None] * weights.astype(np.int64)[None]
    pairs = pairs.reshape(len(activations), -1, 2, weights.shape[1]).sum(axis=2)
    return np.clip(pairs, -(2**15), 2**15 - 1).sum(axis=1)


@pytest.fixture(scope="module")
def model():
    return convert_onnx.convert(build(FAMILIES["bert"]))


def weights_of(model):
    arrays = [numpy_helper.to_array(tensor) for tensor in model.graph.initializer]
    return [array for array in arrays if array.dtype == np.int8 and array.ndim == 2]


def worst_activations(weights, rng):
    """Return activations that make the largest pairs, and random ones."""
    return np.concatenate(
        [
            np.full((1, len(weights)), 255, np.uint8),
            rng.integers(0, 256, (8, len(weights)), np.uint8),
            np.where(weights.T[:16] > 0, 255, 0).astype(np.uint8),
        ]
    )


def test_quantize__makes_weights_on_which_cpus_agree(model, rng):
    found = weights_of(quantize_onnx.quantize(model, "int8"))

    assert len(found) >= 12  # six products in each of two layers
    for weights in found:
        activations = worst_activations(weights, rng)
        assert np.abs(weights.astype(int)).max() <= 64
        assert np.array_equal(on_avx2(activations, weights), on_vnni(activations, weights))


def test_quantize__with_the_full_range__cpus_would_not_agree(model, rng):
    found = weights_of(quantize_onnx.quantize(model, "int8"))
    doubled = [np.clip(weights.astype(int) * 2, -128, 127).astype(np.int8) for weights in found]

    differ = [
        not np.array_equal(
            on_avx2(worst_activations(weights, rng), weights),
            on_vnni(worst_activations(weights, rng), weights),
        )
        for weights in doubled
    ]

    assert any(differ)


def test_quantize__leaves_only_integer_products_of_weights(model):
    nodes = quantize_onnx.quantize(model, "int8").graph.node

    kinds = [node.op_type for node in nodes]
    assert kinds.count("MatMulInteger") >= 12
