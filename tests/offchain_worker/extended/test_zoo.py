"""The zoo in ONNX and MLX: a third of the families in ONNX, and all that mlx-lm has in MLX; the others are refused.

(test_check.py has every family in Core ML; benchmarks/bench_zoo.py all of them in everything.)
"""

import onnx
import pytest

from offchain_worker.errors import ConversionFailed
from offchain_worker.pipeline import check, quantize_onnx
from offchain_worker.pipeline.families import FAMILIES, decoders
from offchain_worker.pipeline.package import About, write_package
from offchain_worker.pipeline.random_model import save
from offchain_worker.pipeline.report import LIMITS
from offchain_worker.transformers_model import from_folder

pytestmark = pytest.mark.extended

ABOUT = About("small", "test", "tests", "Apache-2.0")
THIRD = list(FAMILIES)[::3]
IN_MLX = [name for name, family in FAMILIES.items() if family.mlx]


def report_of(name, format, precision, folder):
    family = FAMILIES[name]
    save(family, folder / "source")
    original = from_folder(folder / "source", sequence=family.sequence, samples=family.samples)
    manifest = write_package(
        original, folder / "source", folder / "model", format, precision, ABOUT
    )
    return check.check(original, folder / "model", manifest)


@pytest.mark.parametrize("name", THIRD)
def test_onnx__computes_what_the_original_computes(name, tmp_path):
    assert report_of(name, "onnx", "float32", tmp_path).max_abs <= 1e-3


@pytest.mark.parametrize("name", IN_MLX)
def test_mlx__computes_what_the_original_computes(name, tmp_path):
    assert report_of(name, "mlx", "float32", tmp_path).max_abs <= 1e-3


@pytest.mark.parametrize("name", [name for name, f in FAMILIES.items() if f.mlx_lacks])
def test_mlx__of_a_family_that_it_does_not_compute_rightly__is_refused(name, tmp_path):
    with pytest.raises(ConversionFailed, match=r"attends to all tokens|not supported"):
        report_of(name, "mlx", "float32", tmp_path)


def test_families__that_write_text__are_in_mlx_or_say_why():
    for family in decoders.FAMILIES:
        assert family.mlx != bool(family.mlx_lacks), family.name


@pytest.mark.parametrize("precision", ["float16", "int8"])
@pytest.mark.parametrize("format", ["onnx", "coreml", "mlx"])
def test_smaller_weights__stay_within_their_limit(format, precision, tmp_path):
    report = report_of("llama", format, precision, tmp_path)

    assert report.cosine >= LIMITS[precision].cosine


@pytest.mark.parametrize("name", ["gpt2", "bert-classifier"])
def test_onnx__in_int4__has_no_product_left_in_float32(name, tmp_path):
    """gpt2 writes its layers as Gemm, which the quantiser leaves alone."""
    report = report_of(name, "onnx", "int4", tmp_path)

    model = onnx.load(str(tmp_path / "model/model.onnx"))
    kinds = [node.op_type for node in model.graph.node]
    constants = {tensor.name for tensor in model.graph.initializer}
    products = [node for node in model.graph.node if node.op_type in ("MatMul", "Gemm")]
    assert kinds.count("MatMulNBits") >= 8
    assert not [node.name for node in products if node.input[1] in constants]
    assert LIMITS["int4"].cosine <= report.cosine < 0.99999


@pytest.mark.parametrize("precision", ["int8", "int4"])
def test_onnx__when_there_is_nothing_to_make_smaller__is_refused(precision):
    node = onnx.helper.make_node("Relu", ["x"], ["y"])
    ends = [onnx.helper.make_tensor_value_info(n, onnx.TensorProto.FLOAT, [1, 2]) for n in "xy"]
    graph = onnx.helper.make_graph([node], "g", ends[:1], ends[1:])
    model = onnx.helper.make_model(graph, ir_version=8)

    with pytest.raises(ConversionFailed, match=f"products of matrices for precision '{precision}'"):
        quantize_onnx.quantize(model, precision)
