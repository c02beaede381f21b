"""Smaller weights for ONNX models, so made that CPUs agree on the bits of int8."""

import tempfile
from pathlib import Path
from typing import Any

import onnx
from onnxruntime.quantization import QuantType, quantize_dynamic
from onnxruntime.quantization.matmul_nbits_quantizer import MatMulNBitsQuantizer, QuantFormat
from onnxruntime.transformers.float16 import convert_float_to_float16

INT4_BLOCK = 16


def quantize(model: Any, precision: str) -> Any:
    """Return a float32 `onnx.ModelProto` in another precision; inputs and outputs stay as they are.

    - "int8": weights of matrix products in 7 bits, one scale for each column; activations in 8 bits. With the full
      range of 8 bits, x86 CPUs without VNNI saturate sums of two products to 16 bits, so CPUs would not agree.
    - "int4": weights of matrix products in blocks of 16, each with scale and zero point; computation in float32.
    - "float16": weights and computation.
    - "float32": nothing changes.
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
            return onnx.load(str(target))
    if precision == "int4":
        quantizer = MatMulNBitsQuantizer(
            model, block_size=INT4_BLOCK, is_symmetric=False, quant_format=QuantFormat.QOperator
        )
        quantizer.process()
        return quantizer.model.model
    return model
