"""The integer engine beside ONNX Runtime: the same model, the same bits.

QLinearMatMul, QLinearConv, QLinearAdd, QLinearGlobalAveragePool
└── for any shape, scale and zero point: the bits are those of ONNX Runtime
QLinearSigmoid
└── at most one step from it
a network that ONNX Runtime quantised statically
├── with QOperator or QDQ: it is imported, and each answer has the bits of ONNX Runtime
├── the artifact folder has the same bytes each time
└── dynamically, not at all, or with a float operator in between: it is refused, with the reason
import_integer
├── it writes what was measured into the manifest, and that rows may run together
├── when the engine computes something else: it raises CheckFailed and leaves nothing, unless that is accepted
└── when outputs hardly vary: it raises CheckFailed
lattice model import FILE --format integer
├── it checks, packages and stores the model
└── when it is no such file, has no licence, or another format is named: one line says what to do
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
from offchain_worker.errors import CheckFailed, ConversionFailed
from offchain_worker.integer.from_onnx import convert, import_onnx
from offchain_worker.integer.graph import Graph
from offchain_worker.pipeline.import_integer import import_integer
from offchain_worker.storage.cid import Cid
from offchain_worker.storage.store import EmbeddedStore
from oracle import config
from oracle.cli import main

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


@pytest.mark.parametrize("form", [QuantFormat.QOperator, QuantFormat.QDQ])
def test_network__imported_has_the_bits_of_onnx_runtime(network, tmp_path, form):
    path = quantise(network, tmp_path / "q.onnx", form)
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


@pytest.mark.parametrize("form", ["mixed", "dynamic", "float", "noise"])
def test_network__in_another_form__is_refused(network, tmp_path, form):
    path = network
    if form == "mixed":  # a float operator between integers
        model = onnx.load(str(network))
        model.graph.node[-1].output[0] = "z"
        model.graph.node.append(helper.make_node("Softmax", ["z"], ["y"], "softmax"))
        onnx.save(model, str(tmp_path / "softmax.onnx"))
        path = quantise(tmp_path / "softmax.onnx", tmp_path / "q.onnx", QuantFormat.QDQ)
    elif form == "dynamic":
        path = tmp_path / "q.onnx"
        quantize_dynamic(str(network), str(path), op_types_to_quantize=["MatMul", "Gemm"])
    elif form == "noise":
        path = tmp_path / "q.onnx"
        path.write_bytes(b"no model")

    with pytest.raises(ConversionFailed, match=r"QOperator|expected an ONNX model"):
        import_onnx(path, tmp_path / "model", **ABOUT)
    assert not (tmp_path / "model").exists()


def test_network__when_a_shape_is_not_stated__is_refused(network, tmp_path):
    path = quantise(network, tmp_path / "q.onnx", QuantFormat.QOperator)
    model = onnx.load(str(path))
    model.graph.input[0].type.tensor_type.ClearField("shape")
    onnx.save(model, str(path))

    with pytest.raises(ConversionFailed, match="expected a shape of 'x', got none"):
        import_onnx(path, tmp_path / "model", **ABOUT)
    assert not (tmp_path / "model").exists()


IMPORT = {"name": "n", "origin": "file q.onnx", "licence": "Apache-2.0"}


def test_import_integer__notes_what_was_measured(network, tmp_path):
    path = quantise(network, tmp_path / "q.onnx", QuantFormat.QDQ)

    manifest, report = import_integer(path, tmp_path / "to/model", **IMPORT)

    assert manifests.load(tmp_path / "to/model") == manifest
    assert manifest.check == {"max_abs": 0.0, "cosine": 1.0, "inputs": 8, "same_bits": True}
    assert (manifest.max_batch, manifest.source, report.same_bits) == (8, "file q.onnx", True)


def test_import_integer__when_the_engine_computes_something_else__refuses_unless_accepted(
    network, tmp_path, monkeypatch
):
    path = quantise(network, tmp_path / "q.onnx", QuantFormat.QOperator)
    run = Graph.run
    monkeypatch.setattr(
        Graph, "run", lambda self, x: {n: a[:, ::-1].copy() for n, a in run(self, x).items()}
    )

    with pytest.raises(CheckFailed, match="does not compute what ONNX Runtime computes"):
        import_integer(path, tmp_path / "model", **IMPORT)
    assert not (tmp_path / "model").exists()
    manifest, _ = import_integer(path, tmp_path / "model", **IMPORT, accept_error=True)
    assert manifest.check["accepted_error"] is True
    assert "same_bits" not in manifest.check


def test_import_integer__when_outputs_hardly_vary__refuses(network, tmp_path):
    model = onnx.load(str(network))
    (last,) = [t for t in model.graph.initializer if t.name == "w5"]
    last.CopyFrom(numpy_helper.from_array(np.zeros_like(numpy_helper.to_array(last)), "w5"))
    onnx.save(model, str(tmp_path / "zero.onnx"))
    path = quantise(tmp_path / "zero.onnx", tmp_path / "q.onnx", QuantFormat.QOperator)

    with pytest.raises(CheckFailed, match="expected outputs that vary"):
        import_integer(path, tmp_path / "model", **IMPORT)


@pytest.fixture
def lattice_import(tmp_path, capsys):
    """Run `lattice model import` with a home folder; returns what it said and its exit code."""
    home = tmp_path / "home"
    home.mkdir()
    values = {
        "chain.rpc_urls": ["http://127.0.0.1:1"],
        "chain.deployment": "d",
        "key.source": "env",
    }
    (home / config.FILE_NAME).write_text(config.template(values))

    def run(*arguments):
        code = 0
        try:
            main(["model", "import", "--home", str(home), *map(str, arguments)])
        except SystemExit as ended:
            code = ended.code
        out, err = capsys.readouterr()
        return code, out + err

    run.store = home / "store"
    return run


def test_lattice_model_import__checks_packages_and_stores(network, tmp_path, lattice_import):
    path = quantise(network, tmp_path / "q.onnx", QuantFormat.QDQ)

    options = ("--format", "integer", "--licence", "MIT", "--to", tmp_path / "out")
    code, said = lattice_import(path, *options)

    manifest = manifests.load(tmp_path / "out/integer-int8")
    cid = said.split("in the store: ")[1].split()[0]
    assert code == 0, said
    assert "the same bits, up to 8 rows at once" in said
    assert (manifest.name, manifest.licence, manifest.source) == ("q", "MIT", "file q.onnx")
    assert EmbeddedStore(lattice_import.store).has(Cid.parse(cid))


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--format", "integer"], "expected a licence for file q.onnx"),
        (["--format", "onnx", "--licence", "MIT"], "expected an ONNX file with --format integer"),
    ],
)
def test_lattice_model_import__when_something_is_missing__says_what(
    network, tmp_path, lattice_import, arguments, reason
):
    path = quantise(network, tmp_path / "q.onnx", QuantFormat.QOperator)

    code, said = lattice_import(path, *arguments)

    assert (code, reason in said) == (1, True), said
    assert "expected an ONNX file with" in lattice_import("nothing.onnx", "--format", "integer")[1]
