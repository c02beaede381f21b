"""PyTorch: runs a model of the transformers library as the hub has it. What every conversion is compared with."""

from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from offchain_worker.backends.base import Arrays, check_inputs, check_options, pick_device
from offchain_worker.errors import BadModel, BadOutput, one_line
from offchain_worker.generation import go_on
from offchain_worker.manifest import Manifest, inside
from offchain_worker.transformers_model import Original, from_folder

_DEVICES: dict[str, tuple[Callable[[], bool], str]] = {
    "cpu": (lambda: True, ""),
    "cuda": (
        lambda: torch.cuda.is_available() and torch.version.hip is None,
        "an NVIDIA GPU, its driver, and a build of torch for CUDA",
    ),
    "rocm": (
        lambda: torch.cuda.is_available() and torch.version.hip is not None,
        "an AMD GPU, its driver, and a build of torch for ROCm",
    ),
    "mps": (lambda: torch.backends.mps.is_available(), "a Mac with Apple silicon"),
}


class Backend:
    """Runs a folder with `config.json` and `model.safetensors` in float32. No code of the folder is run.

    Devices: "cpu" (unless named), "cuda", "rocm", "mps". Not thread-safe: use one instance per worker thread.
    """

    name = "torch"

    def __init__(self, device: str = "cpu") -> None:
        self.device = pick_device(self.name, device, _DEVICES)
        self._place = "cuda" if device == "rocm" else device
        self._manifest: Manifest | None = None
        self._model: Original | None = None

    def load(self, folder: Path, manifest: Manifest) -> None:
        """Load the model. See `base.Backend.load`."""
        check_options(manifest.runtime, (), self.name)
        for name in manifest.files:
            inside(folder, name)
        model = from_folder(folder)
        for kind, said, found in (
            ("inputs", manifest.inputs, [spec.name for spec in model.inputs]),
            ("outputs", manifest.outputs, list(model.outputs)),
        ):
            names = [spec.name for spec in said]
            if names != found:
                raise BadModel(
                    f"expected the {kind} of the model, {found}, got {names} in the manifest"
                )
        self._model = model.to(self._place)
        self._manifest = manifest

    def run(self, inputs: Arrays) -> Arrays:
        """Run the model once. See `base.Backend.run`."""
        if self._manifest is None or self._model is None:
            raise RuntimeError("expected load() before run()")
        check_inputs(inputs, self._manifest.inputs)
        try:
            given = {
                name: torch.from_numpy(np.asarray(array, order="C")).to(self._place)
                for name, array in inputs.items()
            }
            with torch.inference_mode():
                found = self._model(**given)
        except Exception as error:  # what a model raises has no common root
            raise BadModel(
                f"expected a model that runs on what its manifest allows, got: {one_line(error)}"
            ) from error
        return {
            spec.name: tensor.cpu().numpy()
            for spec, tensor in zip(self._manifest.outputs, found, strict=True)
        }

    def generate(self, prompt: Sequence[int], most: int, stop: Collection[int]) -> list[int]:
        """Continue a prompt, with the library's KV cache. See `offchain_worker.generation`."""
        if self._manifest is None or self._model is None:
            raise RuntimeError("expected load() before generate()")
        model, cache = self._model.model, None

        def logits_after(fresh: list[int]) -> Any:
            nonlocal cache
            tokens = torch.tensor([fresh], device=self._place)
            found = model(input_ids=tokens, past_key_values=cache, use_cache=True)
            cache = found.past_key_values
            return found.logits[0, -1].float().cpu().numpy()

        try:
            with torch.inference_mode():
                return go_on(logits_after, prompt, most, stop)
        except BadOutput:
            raise
        except Exception as error:  # what a model raises has no common root
            raise BadModel(
                f"expected a model that continues a prompt, got: {one_line(error)}"
            ) from error

    def close(self) -> None:
        """Free the model."""
        self._model = self._manifest = None
