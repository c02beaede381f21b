"""Smaller weights for ONNX models, so made that CPUs agree on the bits of int8."""

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper
from onnxruntime.quantization import QuantType, quantize_dynamic
from onnxruntime.quantization.matmul_nbits_quantizer import MatMulNBitsQuantizer, QuantFormat
from onnxruntime.transformers.float16 import convert_float_to_float16

from offchain_worker.errors import ConversionFailed

INT4_BLOCK = 16


def quantize(model: Any, precision: str) -> Any:
    """Return a float32 `onnx.ModelProto` in another precision; inputs and outputs stay as they are.

    - "int8": weights of matrix products in 7 bits, one scale for each column; activations in 8 bits. With the full
      range of 8 bits, x86 CPUs without VNNI saturate sums of two products to 16 bits, so CPUs would not agree.
    - "int4": weights of matrix products in blocks of 16, each with scale and zero point; computation in float32.
    - "float16": weights and computation.
    - "float32": nothing changes.

    Raises:
        ConversionFailed: The model has no product with such weights, so that nothing would be smaller.
    """
    if precision == "float16":
        return convert_float_to_float16(model, keep_io_types=True, disable_shape_infer=True)
    if precision == "int8":
        with tempfile.TemporaryDirectory() as folder:
            source, target = Path(folder) / "source.onnx", Path(folder) / "target.onnx"
            onnx.save(model, str(source))
            quantize_dynamic(
                source,
                target,
                weight_type=QuantType.QInt8,
                per_channel=True,
                reduce_range=True,
                op_types_to_quantize=["MatMul", "Gemm"],
                extra_options={"MatMulConstBOnly": True},
            )
            return _require(onnx.load(str(target)), precision, "MatMulInteger")
    if precision == "int4":
        _split_gemm(model)
        quantizer = MatMulNBitsQuantizer(
            model, block_size=INT4_BLOCK, is_symmetric=False, quant_format=QuantFormat.QOperator
        )
        quantizer.process()
        return _require(quantizer.model.model, precision, "MatMulNBits")
    return model


def _require(model: Any, precision: str, operator: str) -> Any:
    """Return the model if it has such an operator: else it would be called smaller, and be the same."""
    if not any(node.op_type == operator for node in model.graph.node):
        raise ConversionFailed(
            f"expected a model with products of matrices for precision {precision!r} in ONNX, got none: choose another "
            "precision or format"
        )
    return model


def _split_gemm(model: Any) -> None:
    """Write each Gemm with constant weights as MatMul and Add, which can be quantised to 4 bits."""
    graph = model.graph
    constants = {tensor.name: tensor for tensor in graph.initializer}
    nodes, turned_names = [], set()
    for node in graph.node:
        options = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
        plain = options.get("alpha", 1.0) == options.get("beta", 1.0) == 1.0
        is_weight = node.op_type == "Gemm" and node.input[1] in constants
        if not (is_weight and plain and not options.get("transA", 0)):
            nodes.append(node)
            continue
        weights, name = constants[node.input[1]], node.input[1]
        if options.get("transB", 0):
            turned = np.ascontiguousarray(numpy_helper.to_array(weights).T)
            turned_names.add(name)
            name = f"{node.output[0]}.weights"
            graph.initializer.append(numpy_helper.from_array(turned, name))
        has_bias = len(node.input) > 2 and node.input[2]
        product = f"{node.output[0]}.product" if has_bias else node.output[0]
        nodes.append(onnx.helper.make_node("MatMul", [node.input[0], name], [product], product))
        if has_bias:
            ends = ([product, node.input[2]], [node.output[0]])
            nodes.append(onnx.helper.make_node("Add", *ends, f"{product}.bias"))
    del graph.node[:]
    graph.node.extend(nodes)
    left = turned_names - {name for node in nodes for name in node.input}
    for name in left:  # else the weights would be in the file twice
        graph.initializer.remove(constants[name])
