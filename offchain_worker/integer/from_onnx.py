"""Makes an integer model from a static ONNX model.

ONNX Runtime's `quantize_static(..., weight_type=QuantType.QInt8)` makes one, in the QOperator form or with
QuantizeLinear and DequantizeLinear around float operators (QDQ). Use `per_channel=True` and `reduce_range=True`: with
weights of 7 bits ONNX Runtime, too, has the same bits on every CPU.

QDQ is brought to the QOperator form by ONNX Runtime's own optimiser. Where that leaves a float operator, and for
dynamic and float models, the import is refused with the operator's name.
"""

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import numpy_helper

from offchain_worker import safetensors
from offchain_worker.backends.base import Arrays
from offchain_worker.errors import BadModel, ConversionFailed, one_line
from offchain_worker.integer.graph import GRAPH_FILE, WEIGHTS_FILE, Graph, Node, to_json
from offchain_worker.manifest import Manifest, Step, TensorSpec
from offchain_worker.pipeline import write_folder

_DTYPES = {
    onnx.TensorProto.FLOAT: "float32",
    onnx.TensorProto.UINT8: "uint8",
    onnx.TensorProto.INT8: "int8",
}


def import_onnx(
    model: Path, to_folder: Path, *, name: str, task: str, source: str, licence: str
) -> Manifest:
    """Write an artifact folder, which must not exist. The same model gives the same bytes.

    Args:
        model: The ONNX file.
        to_folder: Where to.
        name: As in `Manifest`, like the others.
        task: What it is for.
        source: Where it comes from.
        licence: SPDX identifier.

    Raises:
        ConversionFailed: The model uses an operator or an option that the engine has not.
    """
    proto, nodes, tensors = _open(model)
    known = {tensor.name for tensor in proto.graph.initializer}
    inputs = tuple(_spec(value) for value in proto.graph.input if value.name not in known)
    outputs = tuple(_spec(value) for value in proto.graph.output)
    try:
        Graph(
            nodes,
            tensors,
            {spec.name: spec.dtype for spec in inputs},
            {spec.name: spec.dtype for spec in outputs},
        )
    except BadModel as error:
        raise ConversionFailed(
            f"expected a model that the integer engine can run: {error}"
        ) from error
    manifest = Manifest(
        name=name,
        task=task,
        format="integer",
        precision="int8",
        files=(GRAPH_FILE, WEIGHTS_FILE),
        inputs=inputs,
        outputs=outputs,
        preprocess=Step("tensor"),
        postprocess=Step("tensor"),
        runtime={},
        source=source,
        licence=licence,
        units="inference",
    )
    files = {GRAPH_FILE: to_json(nodes), WEIGHTS_FILE: safetensors.write(tensors)}
    write_folder(to_folder, manifest, files)
    return manifest


def _open(path: Path) -> tuple[Any, list[Node], Arrays]:
    """Return an ONNX model with its nodes and tensors; if it is in the QDQ form, of what it was brought to."""
    try:
        model = onnx.load(str(path))
    except Exception as error:  # protobuf and the disk, without a common root
        raise ConversionFailed(
            f"expected an ONNX model, got {path.name}: {one_line(error)}"
        ) from error
    try:
        return model, *convert(model)
    except ConversionFailed:
        if not _is_qdq(model):
            raise
    joined = _joined(path)
    return joined, *convert(joined)


def _is_qdq(model: Any) -> bool:
    """Whether a float operator takes what was dequantised."""
    floats = {node.output[0] for node in model.graph.node if node.op_type == "DequantizeLinear"} - {
        value.name for value in model.graph.output
    }
    return bool(floats)


def _joined(path: Path) -> Any:
    """Let ONNX Runtime join each float operator with the quantising around it."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    options.log_severity_level = 4
    with tempfile.TemporaryDirectory() as folder:
        options.optimized_model_filepath = str(Path(folder) / "joined.onnx")
        try:
            onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
            return onnx.load(options.optimized_model_filepath)
        except Exception as error:  # its errors have no public root
            raise ConversionFailed(
                f"expected a model that ONNX Runtime loads, got {path.name}: {one_line(error)}"
            ) from error


def convert(model: Any) -> tuple[list[Node], Arrays]:
    """Return the nodes of an `onnx.ModelProto`, and their tensors. Errors as `import_onnx`."""
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    nodes: list[Node] = []
    tensors: Arrays = {}
    for proto in model.graph.node:
        if proto.op_type == "Constant":
            value = onnx.helper.get_node_attr_value(proto, "value")
            constants[proto.output[0]] = numpy_helper.to_array(value)
            continue
        if proto.op_type not in _CONVERT:
            raise ConversionFailed(
                f"expected operators of {', '.join(sorted(_CONVERT))}, got {proto.op_type} ({proto.name}): quantise "
                "statically, with QuantFormat.QOperator, and leave no float operator"
            )
        node, own = _CONVERT[proto.op_type](_Source(proto, constants))
        nodes.append(node)
        tensors |= {f"{node.output}.{role}": np.array(own[role], order="C") for role in own}
    return nodes, tensors


class _Source:
    """One node of the ONNX model."""

    def __init__(self, proto: Any, constants: Arrays) -> None:
        self._proto = proto
        self._constants = constants
        self._attributes = {
            attribute.name: onnx.helper.get_attribute_value(attribute)
            for attribute in proto.attribute
        }

    def fail(self, expected: str, got: object) -> ConversionFailed:
        return ConversionFailed(
            f"expected {expected} in {self._proto.op_type} ({self._proto.name}), got {got}"
        )

    def has(self, at: int) -> bool:
        return at < len(self._proto.input) and bool(self._proto.input[at])

    def constant(self, at: int, what: str) -> Any:
        name = self._proto.input[at] if self.has(at) else None
        if name not in self._constants:
            raise self.fail(f"a constant as {what}", f"{name!r}, which is computed")
        return self._constants[name]

    def one(self, at: int, what: str) -> Any:
        """A constant with one number in it."""
        found = self.constant(at, what)
        if found.size != 1:
            raise self.fail(f"one number as {what}", f"{found.size}")
        return found.reshape(())

    def option(self, name: str, default: Any) -> Any:
        return self._attributes.get(name, default)

    def require(self, **options: Any) -> None:
        """Refuse the node if an option is another than the one the engine has."""
        for name, only in options.items():
            found = self.option(name, only)
            found = found.decode() if isinstance(found, bytes) else found
            if found != only:
                raise self.fail(f"{name} = {only}", found)

    def node(self, operator: str, inputs: Sequence[int] = (0,), **numbers: Any) -> Node:
        for at in inputs:
            if self._proto.input[at] in self._constants:
                raise self.fail(
                    "a computed input (use QuantFormat.QOperator)",
                    f"the constant {self._proto.input[at]!r}",
                )
        names = tuple(self._proto.input[at] for at in inputs)
        return Node(operator, names, self._proto.output[0], numbers)


_Converted = tuple[Node, Arrays]


def _quantize(s: _Source) -> _Converted:
    own = {"scale": s.one(1, "scale"), "output_zero": s.one(2, "zero point")}
    return s.node("quantize"), own


def _dequantize(s: _Source) -> _Converted:
    node = s.node("dequantize")
    return node, {"scale": s.one(1, "scale"), "input_zero": s.one(2, "zero point")}


def _products(s: _Source, weights: Any, weight_at: int, bias: Any, output_at: int) -> Arrays:
    """The tensors of a product: weights with one column or channel for each of `count` outputs."""
    count = weights.shape[1] if weights.ndim == 2 else weights.shape[0]
    scales, zeros = s.constant(weight_at + 1, "scale"), s.constant(weight_at + 2, "zero point")
    if weights.dtype != np.int8 or zeros.any():
        raise s.fail("weights of int8 with zero point 0", f"{weights.dtype}, {zeros.ravel()[:4]}")
    product = s.one(1, "scale") * scales.reshape(-1)  # each step rounds to float32
    factors = (product / s.one(output_at, "scale")).astype(np.float32)
    return {
        "weights": weights,
        "bias": np.zeros(count, np.int32) if bias is None else bias.reshape(-1).astype(np.int32),
        "factors": np.broadcast_to(factors, (count,)),
        "input_zero": s.one(2, "zero point"),
        "output_zero": s.one(output_at + 1, "zero point"),
    }


def _matmul(s: _Source) -> _Converted:
    return s.node("matmul"), _products(s, _matrix(s), 3, None, 6)


def _gemm(s: _Source) -> _Converted:
    s.require(alpha=1.0, transA=0)
    if not s.has(8):
        raise s.fail("an output of 8 bits", "float32")
    weights = _matrix(s)
    weights = weights.T if s.option("transB", 0) else weights
    bias = s.constant(6, "bias") if s.has(6) else None
    return s.node("matmul"), _products(s, weights, 3, bias, 7)


def _matrix(s: _Source) -> Any:
    weights = s.constant(3, "weights")
    if weights.ndim != 2:
        raise s.fail("weights that are a matrix", weights.shape)
    return weights


def _conv(s: _Source) -> _Converted:
    weights = s.constant(3, "weights")
    if weights.ndim != 4:
        raise s.fail("a convolution over height and width", weights.shape)
    s.require(auto_pad="NOTSET", kernel_shape=list(weights.shape[2:]))
    node = s.node(
        "conv",
        pads=list(s.option("pads", [0] * 4)),
        strides=list(s.option("strides", [1, 1])),
        dilations=list(s.option("dilations", [1, 1])),
        groups=[int(s.option("group", 1))],
    )
    bias = s.constant(8, "bias") if s.has(8) else None
    return node, _products(s, weights, 3, bias, 6)


def _add(s: _Source) -> _Converted:
    roles = (
        "first_scale",
        "first_zero",
        "second_scale",
        "second_zero",
        "output_scale",
        "output_zero",
    )
    places = (1, 2, 4, 5, 6, 7)
    own = {role: s.one(at, role) for role, at in zip(roles, places, strict=True)}
    return s.node("add", (0, 3)), own


def _table(function: Callable[[_Source, Any], Any]) -> Callable[[_Source], _Converted]:
    def make(s: _Source) -> _Converted:
        zero, scale = s.one(2, "zero point"), s.one(3, "scale")
        out = s.one(4, "zero point")
        each = np.arange(256).astype(np.uint8).view(zero.dtype)
        values = (each.astype(np.int32) - int(zero)).astype(np.float32) * s.one(1, "scale")
        found = function(s, values.astype(np.float64)).astype(np.float32)
        info = np.iinfo(out.dtype)
        whole = np.clip(np.rint(found / scale) + int(out), info.min, info.max)
        return s.node("lookup"), {"table": whole.astype(out.dtype), "input_zero": zero}

    return make


def _global_average(s: _Source) -> _Converted:
    s.require(channels_last=0)
    roles = ("input_scale", "input_zero", "output_scale", "output_zero")
    return s.node("global_average"), {role: s.one(at + 1, role) for at, role in enumerate(roles)}


def _max_pool(s: _Source) -> _Converted:
    s.require(auto_pad="NOTSET", ceil_mode=0, storage_order=0, dilations=[1, 1])
    kernel = list(s.option("kernel_shape", []))
    pads, strides = s.option("pads", [0] * 4), s.option("strides", [1, 1])
    return s.node("max_pool", kernel=kernel, pads=list(pads), strides=list(strides)), {}


def _reshape(s: _Source) -> _Converted:
    s.require(allowzero=0)
    shape = [int(size) for size in s.constant(1, "shape")]
    return s.node("reshape", shape=shape), {}


def _flatten(s: _Source) -> _Converted:
    s.require(axis=1)
    return s.node("reshape", shape=[0, -1]), {}


def _spec(value: Any) -> TensorSpec:
    kind = value.type.tensor_type
    if kind.elem_type not in _DTYPES:
        raise ConversionFailed(
            f"expected inputs and outputs of {', '.join(_DTYPES.values())}, got another for {value.name!r}"
        )
    if not kind.HasField("shape"):
        raise ConversionFailed(
            f"expected a shape of {value.name!r}, got none: state its sizes, or names for those that are free"
        )
    sizes = (d.dim_value if d.HasField("dim_value") else -1 for d in kind.shape.dim)
    return TensorSpec(value.name, _DTYPES[kind.elem_type], tuple(sizes))


_CONVERT: dict[str, Callable[[_Source], _Converted]] = {
    "QuantizeLinear": _quantize,
    "DequantizeLinear": _dequantize,
    "QLinearMatMul": _matmul,
    "QGemm": _gemm,
    "QLinearConv": _conv,
    "QLinearAdd": _add,
    "QLinearSigmoid": _table(lambda _, x: 1 / (1 + np.exp(-x))),
    "QLinearLeakyRelu": _table(lambda s, x: np.where(x < 0, x * s.option("alpha", 0.01), x)),
    "QLinearGlobalAveragePool": _global_average,
    "MaxPool": _max_pool,
    "Reshape": _reshape,
    "Flatten": _flatten,
}
