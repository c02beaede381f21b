"""backends

import offchain_worker
└── it loads neither numpy nor a runtime
open_backend
├── when the name is unknown: it raises BackendUnknown with the closest name
├── when its package is not installed: it raises BackendNotInstalled with the command to install it
├── when its package is there and cannot be loaded: it raises BackendNotInstalled with the package's reason
├── when the device is unknown: it raises BackendUnknown with the closest name
├── when the device is not here: it raises BackendNotSupported with what it needs
└── it opens a backend under its own name
open_for
├── when no backend runs the format: it raises BackendNotSupported
├── when the chosen backend does not run the format: it raises BackendNotSupported
└── it opens the preferred backend that is here, or the chosen one
check_inputs
├── when one is missing, not asked for, or of wrong kind, dtype, shape or size, or NaN: it raises BadInput
└── when all is as in the manifest: it says nothing
check_outputs
└── when one is NaN: it raises BadOutput
check_options
└── when an option is unknown: it raises BadModel with the closest name
"""

import subprocess
import sys

import numpy as np
import onnxruntime
import pytest

from offchain_worker import backends
from offchain_worker.backends import BACKENDS, FORMATS, base, open_backend, open_for
from offchain_worker.errors import (
    BackendNotInstalled,
    BackendNotSupported,
    BackendUnknown,
    BadInput,
    BadModel,
    BadOutput,
)
from offchain_worker.manifest import TensorSpec

SPECS = (TensorSpec("x", "float32", (-1, 3)),)
GOOD = np.zeros((2, 3), np.float32)


def test_import__loads_neither_numpy_nor_a_runtime():
    program = (
        "import sys, offchain_worker.backends.base as base, offchain_worker.worker\n"
        "assert 'onnxruntime' not in sys.modules and 'coincurve' not in sys.modules\n"
        "[sys.modules.pop(name) for name in list(sys.modules) if name.startswith('numpy')]\n"
        "[sys.modules.pop(name) for name in list(sys.modules) if name.startswith('offchain_worker')]\n"
        "import offchain_worker\n"
        "assert not [name for name in sys.modules if name.startswith('numpy')]\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_open_backend__when_name_is_unknown__names_the_closest():
    with pytest.raises(
        BackendUnknown, match=r"of coreml, .*torch, got 'onyx'; did you mean 'onnx'\?"
    ):
        open_backend("onyx")


def test_open_backend__when_package_is_not_installed__says_how_to_install_it(monkeypatch):
    monkeypatch.delitem(sys.modules, BACKENDS["onnx"], raising=False)
    monkeypatch.setitem(sys.modules, "onnxruntime", None)

    with pytest.raises(
        BackendNotInstalled, match="'onnx', which is not installed: pip install onnxruntime"
    ):
        open_backend("onnx")


@pytest.mark.parametrize(
    "error", [ImportError("cannot import name 'x'"), OSError("libcudart.so.13: no such file")]
)
def test_open_backend__when_its_package_cannot_be_loaded__says_why(monkeypatch, error):
    def broken(name):
        raise error

    monkeypatch.setattr(backends, "import_module", broken)

    with pytest.raises(BackendNotInstalled, match=rf"can be loaded, got: {error}.*pip install"):
        open_backend("torch")


@pytest.mark.parametrize("name", ["mlx", "torch", "coreml", "coreml-cpu"])
def test_open_backend__when_an_extra_is_not_installed__says_which(monkeypatch, name):
    for package in ("mlx", "torch", "coreml"):
        monkeypatch.setitem(sys.modules, package, None)
    monkeypatch.setitem(sys.modules, "mlx.core", None)
    monkeypatch.setitem(sys.modules, "coremltools", None)
    monkeypatch.delitem(sys.modules, BACKENDS[name], raising=False)
    monkeypatch.delitem(sys.modules, "offchain_worker.mil.program", raising=False)

    with pytest.raises(BackendNotInstalled, match=rf"pip install 'lattice\[.*{name[:3]}"):
        open_backend(name)


@pytest.mark.parametrize("name", ["onnx", "reference"])
def test_open_backend__when_device_is_unknown__names_the_closest(name):
    with pytest.raises(BackendUnknown, match=r"got 'cpuu'; did you mean 'cpu'\?"):
        open_backend(f"{name}:cpuu")


def test_open_backend__when_device_is_not_here__says_what_it_needs(monkeypatch):
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CPUExecutionProvider"])

    with pytest.raises(
        BackendNotSupported, match=r"onnxruntime-gpu for device 'cuda' .* here: cpu"
    ):
        open_backend("onnx:cuda")


@pytest.mark.parametrize("name", ["onnx", "reference", "onnx:cpu"])
def test_open_backend__opens_it_under_its_own_name(name):
    assert open_backend(name).name == name.partition(":")[0]


def test_open_for__when_no_backend_runs_the_format__raises_not_supported():
    with pytest.raises(BackendNotSupported, match=r"got 'onnxx'; did you mean 'onnx'\?"):
        open_for("onnxx")


def test_open_for__when_choice_does_not_run_the_format__raises_not_supported():
    with pytest.raises(
        BackendNotSupported, match="a backend of onnx for format 'onnx', got 'reference'"
    ):
        open_for("onnx", "reference")


@pytest.mark.parametrize("format", ["onnx", "reference"])
def test_open_for__opens_the_preferred_or_the_chosen(format):
    assert open_for(format).name == FORMATS[format][0]
    assert open_for(format, FORMATS[format][-1]).name == FORMATS[format][-1]


def test_open_for__when_the_preferred_is_not_here__opens_the_next(monkeypatch):
    monkeypatch.setitem(FORMATS, "either", ("onnx:cuda", "reference"))
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CPUExecutionProvider"])

    assert open_for("either").name == "reference"


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({}, r"an input named 'x', got \[\]"),
        ({"x": GOOD, "xx": GOOD}, r"only inputs named \['x'\], got 'xx'; did you mean 'x'"),
        ({"x": [1.0]}, "a tensor as input 'x', got list"),
        ({"x": GOOD.astype(np.float64)}, "of dtype float32, got float64"),
        ({"x": GOOD[:, :2]}, r"of shape \('any', 3\), got \(2, 2\)"),
        ({"x": GOOD[0]}, r"of shape \('any', 3\), got \(3,\)"),
        ({"x": np.full((2, 3), np.nan, np.float32)}, "finite numbers in input 'x'"),
        (
            {"x": np.broadcast_to(np.float32(0), (base.MAX_TENSOR_BYTES // 8, 3))},
            "of at most 268435456 bytes",
        ),
    ],
)
def test_check_inputs__when_wrong__raises_bad_input(inputs, message):
    with pytest.raises(BadInput, match=message):
        base.check_inputs(inputs, SPECS)


def test_check_inputs__when_as_in_the_manifest__says_nothing():
    base.check_inputs({"x": GOOD}, SPECS)


def test_check_outputs__when_nan__raises_bad_output():
    with pytest.raises(BadOutput, match="finite numbers in output 'x'"):
        base.check_outputs({"x": GOOD + np.nan}, SPECS)


def test_check_options__when_unknown__names_the_closest():
    with pytest.raises(BadModel, match=r"\(threads\), got 'thread'; did you mean 'threads'\?"):
        base.check_options(["thread"], ["threads"], "onnx")
