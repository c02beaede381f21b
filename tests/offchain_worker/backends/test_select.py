"""backends.select and backends.profile

measure_apart
├── it measures a model in a process of its own, and returns what the model said
├── when the backend prints something: it is measured all the same
├── when the backend cannot run the model: it raises BackendNotSupported with the reason
└── when the process crashes: it raises BackendNotSupported
choose
├── it returns the fastest first, and asks only once for a machine
├── when a backend disagrees with the reference: it is left out, however fast
├── when a backend fails: it is left out
├── when none runs the model: it raises BackendNotSupported with the reasons
├── when hardware or versions change: it measures again
└── when the file of figures is damaged: it measures again
"""

from dataclasses import replace

import numpy as np
import pytest
from made_up_model import CHILDSIDE, write_made_up

from offchain_worker.backends import profile
from offchain_worker.backends.profile import Profile, measure_apart
from offchain_worker.backends.select import choose
from offchain_worker.errors import BackendNotSupported
from offchain_worker.hardware import detect

HERE = {"onnx:cpu": "ok", "onnx:cuda": "ok", "onnx:rocm": "needs an AMD GPU", "mlx:cpu": "ok"}
CID = "bafy-magika"


class Bench:
    """Stands for machines that this one is not: figures and outputs by backend."""

    def __init__(self, **outcomes):
        self.outcomes = {name.replace("_", ":"): outcome for name, outcome in outcomes.items()}
        self.asked = []

    def __call__(self, folder, name):
        self.asked.append(name)
        outcome = self.outcomes[name]
        if isinstance(outcome, Exception):
            raise outcome
        p50_ms, output = outcome
        figures = Profile(name, p50_ms, p50_ms * 2, p50_ms, 50, {"1": 1000 / p50_ms}, 1.0, 1 << 20)
        return figures, {"y": np.array(output, np.float32)}


def test_choose__returns_the_fastest_first_and_measures_once(magika_folder, tmp_path):
    bench = Bench(onnx_cpu=(2.0, [1, 2]), onnx_cuda=(0.5, [1.001, 2]))

    first = choose(magika_folder, CID, tmp_path, here=HERE, measure=bench)
    second = choose(magika_folder, CID, tmp_path, here=HERE, measure=bench)

    assert [found.backend for found in first] == ["onnx:cuda", "onnx:cpu"]
    assert second == first
    assert bench.asked == ["onnx:cpu", "onnx:cuda"]


def test_choose__when_a_backend_disagrees__leaves_it_out(magika_folder, tmp_path):
    bench = Bench(onnx_cpu=(2.0, [1, 2]), onnx_cuda=(0.1, [2, 1]))

    found = choose(magika_folder, CID, tmp_path, here=HERE, measure=bench)

    assert [profile.backend for profile in found] == ["onnx:cpu"]


def test_choose__when_a_backend_fails__leaves_it_out(magika_folder, tmp_path):
    bench = Bench(onnx_cpu=(2.0, [1, 2]), onnx_cuda=BackendNotSupported("out of memory"))

    found = choose(magika_folder, CID, tmp_path, here=HERE, measure=bench)

    assert [profile.backend for profile in found] == ["onnx:cpu"]


def test_choose__when_none_runs_it__says_why(magika_folder, tmp_path):
    failed = BackendNotSupported("out of memory")
    bench = Bench(onnx_cpu=failed, onnx_cuda=failed)

    with pytest.raises(BackendNotSupported, match="'onnx' on this machine, got: onnx:cpu: out of"):
        choose(magika_folder, CID, tmp_path, here=HERE, measure=bench)


def test_choose__when_versions_change_or_figures_are_damaged__measures_again(
    magika_folder, tmp_path
):
    bench = Bench(onnx_cpu=(2.0, [1, 2]), onnx_cuda=(0.5, [1, 2]))
    machine = detect()
    choose(magika_folder, CID, tmp_path, hardware=machine, here=HERE, measure=bench)

    newer = replace(machine, versions={**machine.versions, "onnxruntime": "99"})
    choose(magika_folder, CID, tmp_path, hardware=newer, here=HERE, measure=bench)
    for file in tmp_path.iterdir():
        file.write_text('[{"backend": "onnx:cpu"')
    choose(magika_folder, CID, tmp_path, hardware=machine, here=HERE, measure=bench)

    assert bench.asked == ["onnx:cpu", "onnx:cuda"] * 3


def test_measure_apart__measures_a_real_model(magika_folder, monkeypatch):
    found, outputs = measure_apart(magika_folder, "onnx:cpu")

    assert found.backend == "onnx:cpu"
    assert 0 < found.p50_ms <= found.p99_ms
    assert found.cpu_p50_ms > 0
    assert set(found.per_second) == {"1", "4", "16"}
    assert found.peak_bytes > 1 << 20
    assert outputs["target_label"].shape == (1, 214)


def test_measure_apart__when_the_backend_prints__measures_it_all_the_same(tmp_path, monkeypatch):
    write_made_up(tmp_path / "model")
    monkeypatch.setenv("PYTHONPATH", str(CHILDSIDE))

    found, outputs = measure_apart(tmp_path / "model", "made-up:cpu")

    assert found.backend == "made-up:cpu"
    assert set(outputs) == {"y"}


def test_measure_apart__when_the_backend_cannot__says_why(magika_folder, tmp_path):
    with pytest.raises(BackendNotSupported, match="a backend of onnx for format 'onnx', got 'ref"):
        measure_apart(magika_folder, "reference")


def test_measure_apart__when_the_process_crashes__raises_not_supported(magika_folder, monkeypatch):
    monkeypatch.setattr(profile.sys, "executable", "/bin/false")

    with pytest.raises(BackendNotSupported, match="to run this model, got: 1"):
        measure_apart(magika_folder, "onnx:cpu")
