"""How fast the integer engine is beside ONNX Runtime, on one thread. Writes results/integer.json.

Two networks with random weights, quantised by ONNX Runtime: dense layers (1.8 million weights) and convolutions of the
size of a small image classifier. Both engines run in turns, and their answers have to be the same bits. Needs what
`pip install 'lattice[pipeline]'` installs.
"""

from __future__ import annotations

import datetime
import json
import os
import platform
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
os.environ.update({"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"})

import numpy as np  # noqa: E402 -- the path and the threads have to be set first
import onnx  # noqa: E402
import onnxruntime  # noqa: E402
from onnx import TensorProto, helper, numpy_helper  # noqa: E402
from onnxruntime.quantization import (  # noqa: E402
    CalibrationDataReader,
    QuantFormat,
    QuantType,
    quantize_static,
)

from offchain_worker import manifest as manifests  # noqa: E402
from offchain_worker.backends import open_for  # noqa: E402
from offchain_worker.integer.from_onnx import import_onnx  # noqa: E402

RESULTS = ROOT / "benchmarks/results/integer.json"
ROUNDS = 60
RNG = np.random.default_rng(1)


class Samples(CalibrationDataReader):  # type: ignore[misc]
    """A few random inputs to calibrate with."""

    def __init__(self, shape: tuple[int | str, ...]) -> None:
        sizes = tuple(1 if isinstance(size, str) else size for size in shape)
        self._left = [{"x": RNG.normal(0, 1, sizes).astype(np.float32)} for _ in range(4)]

    def get_next(self) -> dict[str, Any] | None:
        return self._left.pop() if self._left else None


class Network:
    """An ONNX graph in the making; each layer follows the one before. A size of the input that is a name is free."""

    def __init__(self, shape: tuple[int | str, ...]) -> None:
        self.shape = shape
        self._nodes: list[Any] = []
        self._weights: list[Any] = []
        self._last = "x"

    def layer(self, kind: str, shape: tuple[int, ...] = (), **options: Any) -> None:
        """Add an operator, with weights of this shape if it has any."""
        inputs, output = [self._last], f"v{len(self._nodes)}"
        if shape:
            fan = shape[0] if kind == "MatMul" else int(np.prod(shape[1:]))
            array = RNG.normal(0, fan**-0.5, shape).astype(np.float32)
            inputs.append(f"w{len(self._nodes)}")
            self._weights.append(numpy_helper.from_array(array, inputs[1]))
        self._nodes.append(helper.make_node(kind, inputs, [output], output, **options))
        self._last = output

    def quantised(self, folder: Path) -> Path:
        """Write it, and quantise it statically."""
        ends = [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
            for name, shape in (("x", self.shape), (self._last, None))
        ]
        graph = helper.make_graph(self._nodes, "n", ends[:1], ends[1:], self._weights)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
        model = onnx.shape_inference.infer_shapes(model)
        onnx.save(model, str(folder / "float.onnx"))
        quantize_static(
            str(folder / "float.onnx"),
            str(folder / "integer.onnx"),
            Samples(self.shape),
            quant_format=QuantFormat.QOperator,
            weight_type=QuantType.QInt8,
            per_channel=True,
            reduce_range=True,
        )
        return folder / "integer.onnx"


def dense() -> Network:
    """1.8 million weights in three layers."""
    network = Network((1, 1024))
    for shape in ((1024, 1024), (1024, 640), (640, 160)):
        network.layer("MatMul", shape)
        network.layer("Relu")
    return network


def convolutions() -> Network:
    """Eleven convolutions on an image of 64 by 64, half of them depthwise; 26 million products."""
    network = Network((1, 3, 64, 64))
    network.layer("Conv", (32, 3, 3, 3), pads=[1] * 4, strides=[2, 2])
    network.layer("Relu")
    width = 32
    for wider, stride in ((64, 1), (128, 2), (128, 1), (256, 2), (256, 1)):
        network.layer("Conv", (width, 1, 3, 3), pads=[1] * 4, strides=[stride] * 2, group=width)
        network.layer("Conv", (wider, width, 1, 1))
        network.layer("Relu")
        width = wider
    network.layer("GlobalAveragePool")
    return network


def measure(network: Network, folder: Path) -> dict[str, Any]:
    """Run both engines in turns; returns the median of each, in milliseconds."""
    path = network.quantised(folder)
    about = {"name": "n", "task": "t", "source": "s", "licence": "Apache-2.0"}
    import_onnx(path, folder / "model", **about)
    ours = open_for("integer")
    ours.load(folder / "model", manifests.load(folder / "model"))
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    inputs = {"x": RNG.normal(0, 1, network.shape).astype(np.float32)}
    taken: dict[str, list[float]] = {"integer_ms": [], "onnxruntime_ms": []}
    for _ in range(ROUNDS):
        started = time.perf_counter()
        (found,) = ours.run(inputs).values()
        middle = time.perf_counter()
        (expected,) = session.run(None, inputs)
        taken["integer_ms"].append((middle - started) * 1000)
        taken["onnxruntime_ms"].append((time.perf_counter() - middle) * 1000)
        assert found.tobytes() == expected.tobytes(), "expected the bits of ONNX Runtime"
    return {name: round(float(np.median(values)), 3) for name, values in taken.items()}


def main() -> None:
    rows = {}
    for make in (dense, convolutions):
        with tempfile.TemporaryDirectory() as folder:
            rows[make.__name__] = measure(make(), Path(folder))
        print(make.__name__, rows[make.__name__], flush=True)
    report = {
        "date": datetime.date.today().isoformat(),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, {platform.system()}",
        "onnxruntime": onnxruntime.__version__,
        "numpy": np.__version__,
        "load_average": [round(load, 1) for load in os.getloadavg()],
        "rounds": ROUNDS,
        "median": rows,
    }
    RESULTS.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
