"""The integer engine beside ONNX Runtime: the same model, the same bits.

QLinearMatMul, QLinearConv, QLinearAdd, QLinearGlobalAveragePool
└── for any shape, scale and zero point: the bits are those of ONNX Runtime
QLinearSigmoid
└── at most one step from it
a network that ONNX Runtime quantised statically
├── with QOperator: it is imported, and each answer has the bits of ONNX Runtime
├── the artifact folder has the same bytes each time
└── with QDQ, dynamically, or not at all: it is refused, with what to do
"""

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import (
    CalibrationDataReader,
    QuantFormat,
    QuantType,
    quantize_dynamic,
    quantize_static,
)

from offchain_worker import manifest as manifests
from offchain_worker.backends import open_for
from offchain_worker.errors import ConversionFailed
from offchain_worker.integer.from_onnx import convert, import_onnx
from offchain_worker.integer.graph import Graph

pytestmark = pytest.mark.extended

MANY = settings(max_examples=60, deadline=None)
ABOUT = {"name": "n", "task": "t", "source": "s", "licence": "Apache-2.0"}
U8 = TensorProto.UINT8


def constants(**arrays):
    return [numpy_helper.from_array(np.asarray(array), name) for name, array in arrays.items()]


def one_node(node, shapes, out_rank, initializers):
    """A model of one node with inputs of uint8."""
    inputs = [helper.make_tensor_value_info(name, U8, shape) for name, shape in shapes.items()]
    output = helper.make_tensor_value_info("y", U8, [None] * out_rank)
    graph = helper.make_graph([node], "g", inputs, [output], initializers)
    opsets = [helper.make_opsetid("", 13), helper.make_opsetid("com.microsoft", 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8)


def session(model):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    data = model if isinstance(model, str) else model.SerializeToString()
    return onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])


def both(model, **inputs):
    nodes, tensors = convert(model)
    ours = Graph(nodes, tensors, dict.fromkeys(inputs, "uint8"), {"y": "uint8"})
    return ours.run(inputs)["y"], session(model).run(["y"], inputs)[0]


def scale_for(sums, spread):
    return np.float32((abs(sums).max() + 1) / spread)


@given(st.integers(0, 2**32 - 1))
@MANY
def test_matmul__has_the_bits_of_onnx_runtime(seed):
    rng = np.random.default_rng(seed)
    rows, width, columns = rng.integers(1, 9), rng.integers(1, 1500), rng.integers(1, 40)
    x = rng.integers(0, 256, (rows, width)).astype(np.uint8)
    weights = rng.integers(-64, 64, (width, columns)).astype(np.int8)
    zero = rng.integers(0, 256)
    scales = rng.uniform(0.001, 0.1, columns).astype(np.float32)
    sums = ((x.astype(int) - zero) @ weights.astype(int)) * scales
    given_ = constants(
        xs=np.float32(0.02),
        xz=np.uint8(zero),
        w=weights,
        ws=scales,
        wz=np.zeros(columns, np.int8),
        ys=scale_for(sums * 0.02, rng.uniform(20, 500)),
        yz=np.uint8(rng.integers(0, 256)),
    )
    node = helper.make_node("QLinearMatMul", ["x", "xs", "xz", "w", "ws", "wz", "ys", "yz"], ["y"])

    ours, theirs = both(one_node(node, {"x": x.shape}, 2, given_), x=x)

    assert ours.tobytes() == theirs.tobytes()


@given(st.integers(0, 2**32 - 1))
@MANY
def test_conv__has_the_bits_of_onnx_runtime(seed):
    rng = np.random.default_rng(seed)
    groups, channels, each = rng.integers(1, 4), rng.integers(1, 9), rng.integers(1, 9)
    height, width = rng.integers(1, 4, 2)
    x = rng.integers(0, 256, (2, groups * channels, *rng.integers(7, 14, 2))).astype(np.uint8)
    shape = (groups * each, channels, height, width)
    weights = rng.integers(-64, 64, shape).astype(np.int8)
    given_ = constants(
        xs=np.float32(0.02),
        xz=np.uint8(rng.integers(0, 256)),
        w=weights,
        ws=rng.uniform(0.001, 0.1, shape[0]).astype(np.float32),
        wz=np.zeros(shape[0], np.int8),
        ys=np.float32(rng.uniform(0.05, 2)),
        yz=np.uint8(rng.integers(0, 256)),
        b=rng.integers(-3000, 3000, shape[0]).astype(np.int32),
    )
    node = helper.make_node(
        "QLinearConv",
        ["x", "xs", "xz", "w", "ws", "wz", "ys", "yz", "b"],
        ["y"],
        kernel_shape=[int(height), int(width)],
        pads=[int(n) for n in rng.integers(0, 3, 4)],
        strides=[int(n) for n in rng.integers(1, 3, 2)],
        dilations=[int(n) for n in rng.integers(1, 3, 2)],
        group=int(groups),
    )

    ours, theirs = both(one_node(node, {"x": x.shape}, 4, given_), x=x)

    assert ours.tobytes() == theirs.tobytes()


@given(st.integers(0, 2**32 - 1))
@MANY
def test_add__has_the_bits_of_onnx_runtime(seed):
    rng = np.random.default_rng(seed)
    a, b = (grid.astype(np.uint8).reshape(1, -1) for grid in np.meshgrid(range(256), range(256)))
    names = ("as", "az", "bs", "bz", "ys", "yz")
    values = [
        np.float32(rng.uniform(0.001, 1)) if at % 2 == 0 else np.uint8(rng.integers(0, 256))
        for at in range(6)
    ]
    node = helper.make_node(
        "QLinearAdd",
        ["a", "as", "az", "b", "bs", "bz", "ys", "yz"],
        ["y"],
        domain="com.microsoft",
    )
    given_ = constants(**dict(zip(names, values, strict=True)))

    ours, theirs = both(one_node(node, {"a": a.shape, "b": b.shape}, 2, given_), a=a, b=b)

    assert ours.tobytes() == theirs.tobytes()


@given(st.integers(0, 2**32 - 1))
@MANY
def test_global_average__has_the_bits_of_onnx_runtime(seed):
    rng = np.random.default_rng(seed)
    x = rng.integers(0, 256, (2, rng.integers(1, 40), *rng.integers(1, 15, 2))).astype(np.uint8)
    given_ = constants(
        xs=np.float32(rng.uniform(0.01, 0.1)),
        xz=np.uint8(rng.integers(0, 256)),
        ys=np.float32(rng.uniform(0.01, 0.1)),
        yz=np.uint8(rng.integers(0, 256)),
    )
    node = helper.make_node(
        "QLinearGlobalAveragePool",
        ["x", "xs", "xz", "ys", "yz"],
        ["y"],
        domain="com.microsoft",
        channels_last=0,
    )

    ours, theirs = both(one_node(node, {"x": x.shape}, 4, given_), x=x)

    assert ours.tobytes() == theirs.tobytes()


@given(st.integers(0, 2**32 - 1))
@MANY
def test_sigmoid__is_at_most_one_step_from_onnx_runtime(seed):
    rng = np.random.default_rng(seed)
    x = np.arange(256, dtype=np.uint8).reshape(1, 256)
    given_ = constants(
        xs=np.float32(rng.uniform(0.01, 0.2)),
        xz=np.uint8(rng.integers(0, 256)),
        ys=np.float32(1 / 256),
        yz=np.uint8(0),
    )
    node = helper.make_node(
        "QLinearSigmoid", ["x", "xs", "xz", "ys", "yz"], ["y"], domain="com.microsoft"
    )

    ours, theirs = both(one_node(node, {"x": x.shape}, 2, given_), x=x)

    assert abs(ours.astype(int) - theirs.astype(int)).max() <= 1


class Samples(CalibrationDataReader):
    def __init__(self):
        rng = np.random.default_rng(2)
        self._left = [{"x": rng.normal(0, 1, (1, 3, 16, 16)).astype(np.float32)} for _ in range(8)]

    def get_next(self):
        return self._left.pop() if self._left else None


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    """Convolutions, one of them depthwise, with a way around; pooling; two dense layers. In float32."""
    rng = np.random.default_rng(4)

    def weights(*shape):
        return (rng.normal(0, 1, shape) / np.sqrt(np.prod(shape[1:]))).astype(np.float32)

    given_ = constants(
        w1=weights(16, 3, 3, 3),
        b1=weights(16),
        w2=weights(16, 1, 3, 3),
        w3=weights(16, 16, 1, 1),
        w4=weights(32, 16).T.copy(),
        b4=weights(32),
        w5=weights(32, 5),
    )
    nodes = [
        helper.make_node("Conv", ["x", "w1", "b1"], ["c1"], "c1", pads=[1] * 4),
        helper.make_node("Relu", ["c1"], ["r1"], "r1"),
        helper.make_node("MaxPool", ["r1"], ["m"], "m", kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("Conv", ["m", "w2"], ["c2"], "c2", pads=[1] * 4, group=16),
        helper.make_node("Conv", ["c2", "w3"], ["c3"], "c3"),
        helper.make_node("Add", ["m", "c3"], ["s"], "s"),
        helper.make_node("GlobalAveragePool", ["s"], ["g"], "g"),
        helper.make_node("Flatten", ["g"], ["f"], "f"),
        helper.make_node("Gemm", ["f", "w4", "b4"], ["h"], "h"),
        helper.make_node("Relu", ["h"], ["r2"], "r2"),
        helper.make_node("MatMul", ["r2", "w5"], ["y"], "o"),
    ]
    graph = helper.make_graph(
        nodes,
        "network",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 3, 16, 16])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 5])],
        given_,
    )
    path = tmp_path_factory.mktemp("network") / "float.onnx"
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.save(model, str(path))
    return path


def quantise(network, to, format):
    quantize_static(
        str(network),
        str(to),
        Samples(),
        quant_format=format,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
        per_channel=True,
        reduce_range=True,
    )
    return to


def test_network__imported_has_the_bits_of_onnx_runtime(network, tmp_path):
    path = quantise(network, tmp_path / "q.onnx", QuantFormat.QOperator)
    x = np.random.default_rng(9).normal(0, 1, (20, 3, 16, 16)).astype(np.float32)

    manifest = import_onnx(path, tmp_path / "model", **ABOUT)
    backend = open_for("integer")
    backend.load(tmp_path / "model", manifests.load(tmp_path / "model"))
    ours = backend.run({"x": x})["y"]

    assert manifest.format == "integer"
    assert ours.tobytes() == session(str(path)).run(None, {"x": x})[0].tobytes()
    assert len(np.unique(ours)) > 20
    real = session(str(network)).run(None, {"x": x})[0]
    assert np.corrcoef(ours.ravel(), real.ravel())[0, 1] > 0.98


def test_network__imported_twice__is_the_same_artifact(network, tmp_path):
    path = quantise(network, tmp_path / "q.onnx", QuantFormat.QOperator)
    for name in ("one", "two"):
        import_onnx(path, tmp_path / name, **ABOUT)

    one, two = (
        {file.name: file.read_bytes() for file in (tmp_path / name).iterdir()}
        for name in ("one", "two")
    )
    assert one == two


@pytest.mark.parametrize("form", ["qdq", "dynamic", "float"])
def test_network__in_another_form__is_refused(network, tmp_path, form):
    path = network
    if form == "qdq":
        path = quantise(network, tmp_path / "q.onnx", QuantFormat.QDQ)
    elif form == "dynamic":
        path = tmp_path / "q.onnx"
        quantize_dynamic(str(network), str(path), op_types_to_quantize=["MatMul", "Gemm"])

    with pytest.raises(ConversionFailed, match="QOperator"):
        import_onnx(path, tmp_path / "model", **ABOUT)
    assert not (tmp_path / "model").exists()
