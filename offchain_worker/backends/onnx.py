"""ONNX Runtime. One thread unless the manifest says otherwise, as what it does to the graph changes bits."""

from functools import partial
from pathlib import Path
from typing import Any

import onnxruntime

from offchain_worker.backends.base import Arrays, check_inputs, check_options, pick_device
from offchain_worker.errors import BadModel, first_line
from offchain_worker.manifest import Manifest, inside

_LEVELS = {
    "none": onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL,
    "basic": onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC,
    "extended": onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED,
    "all": onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL,
}
_PROVIDERS = {
    "cpu": ("CPUExecutionProvider", ""),
    "cuda": ("CUDAExecutionProvider", "an NVIDIA GPU and package onnxruntime-gpu"),
    "rocm": ("ROCMExecutionProvider", "an AMD GPU and package onnxruntime-rocm"),
    "coreml": ("CoreMLExecutionProvider", "macOS and package onnxruntime for it"),
}
_MAX_THREADS = 64
_DTYPES = {
    "tensor(bool)": "bool",
    "tensor(float16)": "float16",
    "tensor(float)": "float32",
    "tensor(double)": "float64",
    **{
        f"tensor({sign}int{bits})": f"{sign}int{bits}"
        for sign in ("", "u")
        for bits in (8, 16, 32, 64)
    },
}


class Backend:
    """Runs an ONNX model.

    Options of the manifest's `runtime`: `intra_op_num_threads` (1 to 64, 1 unless given) and `graph_optimization_level`
    ("none", "basic", "extended", "all"; "all" unless given). Operators outside the standard sets are not loaded.
    Devices: "cpu" (unless named), "cuda", "rocm", "coreml"; what one of these lacks runs on the CPU.
    Not thread-safe: use one instance per worker thread.
    """

    name = "onnx"

    def __init__(self, device: str = "cpu") -> None:
        known = {
            name: (partial(_has, provider), needs) for name, (provider, needs) in _PROVIDERS.items()
        }
        self.device = pick_device(self.name, device, known)
        self._manifest: Manifest | None = None
        self._session: Any = None

    def load(self, folder: Path, manifest: Manifest) -> None:
        """Load the model. See `base.Backend.load`."""
        options = _session_options(manifest)
        path = inside(folder, manifest.files[0])
        try:
            session = onnxruntime.InferenceSession(
                str(path),
                options,
                providers=list(dict.fromkeys((_PROVIDERS[self.device][0], "CPUExecutionProvider"))),
            )
        except Exception as error:  # its errors have no public root
            raise BadModel(
                f"expected a model that ONNX Runtime loads, got {path.name}: {first_line(error)}"
            ) from error
        for kind, tensors, specs in (
            ("inputs", session.get_inputs(), manifest.inputs),
            ("outputs", session.get_outputs(), manifest.outputs),
        ):
            said = {spec.name: spec.dtype for spec in specs}
            found = {tensor.name: _DTYPES.get(tensor.type, tensor.type) for tensor in tensors}
            if said != found:
                raise BadModel(
                    f"expected the {kind} of the manifest, {said}, got {found} in {path.name}"
                )
        self._manifest, self._session = manifest, session

    def run(self, inputs: Arrays) -> Arrays:
        """Run the model once. See `base.Backend.run`."""
        if self._manifest is None:
            raise RuntimeError("expected load() before run()")
        check_inputs(inputs, self._manifest.inputs)
        names = [spec.name for spec in self._manifest.outputs]
        try:
            return dict(zip(names, self._session.run(names, inputs), strict=True))
        except Exception as error:  # its errors have no public root
            raise BadModel(
                f"expected a model that runs on what its manifest allows, got: {first_line(error)}"
            ) from error

    def close(self) -> None:
        """Free the model."""
        self._session = self._manifest = None


def _has(provider: str) -> bool:
    return provider in onnxruntime.get_available_providers()


def _session_options(manifest: Manifest) -> Any:
    known = ("intra_op_num_threads", "graph_optimization_level")
    check_options(manifest.runtime, known, Backend.name)
    threads = manifest.runtime.get("intra_op_num_threads", 1)
    level = manifest.runtime.get("graph_optimization_level", "all")
    if type(threads) is not int or not 1 <= threads <= _MAX_THREADS:
        raise BadModel(
            f"expected runtime.intra_op_num_threads from 1 to {_MAX_THREADS}, got {threads!r}"
        )
    if level not in _LEVELS:
        raise BadModel(
            f"expected runtime.graph_optimization_level of {', '.join(_LEVELS)}, got {level!r}"
        )
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.graph_optimization_level = _LEVELS[str(level)]
    options.log_severity_level = (
        4  # failures come back as exceptions; its log would tell them twice
    )
    return options
