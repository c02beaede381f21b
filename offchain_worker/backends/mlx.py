"""MLX: language models of mlx-lm, on the GPU of a Mac, and for checks on any CPU."""

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
from mlx_lm.models.cache import make_prompt_cache
from mlx_lm.utils import load_model

from offchain_worker.backends.base import Arrays, check_inputs, check_options, pick_device
from offchain_worker.errors import BadInput, BadModel, BadOutput, first_line
from offchain_worker.generation import go_on
from offchain_worker.manifest import Manifest, inside
from offchain_worker.safe_json import loads

CONFIG, WEIGHTS = "config.json", "model.safetensors"

_DEVICES = {
    "cpu": (lambda: True, ""),
    "gpu": (mx.metal.is_available, "a Mac with Apple silicon"),
}


class Backend:
    """Runs a folder with `config.json` and `model.safetensors` as mlx-lm writes it. No code of the folder is run.

    It takes `input_ids` of shape (batch, tokens), int32, and gives `logits` of shape (batch, tokens, vocabulary),
    float32. Devices: "gpu" on a Mac unless named, "cpu". Not thread-safe: use one instance per worker thread.
    """

    name = "mlx"

    def __init__(self, device: str = "") -> None:
        best = "gpu" if mx.metal.is_available() else "cpu"
        self.device = pick_device(self.name, device or best, _DEVICES)
        self._place = mx.Device(mx.gpu if self.device == "gpu" else mx.cpu)
        self._manifest: Manifest | None = None
        self._model: Any = None
        self._vocabulary = 0

    def load(self, folder: Path, manifest: Manifest) -> None:
        """Load the model. See `base.Backend.load`."""
        check_options(manifest.runtime, (), self.name)
        names = ([spec.name for spec in manifest.inputs], [spec.name for spec in manifest.outputs])
        if names != (["input_ids"], ["logits"]):
            raise BadModel(
                f"expected input 'input_ids' and output 'logits' of format 'mlx', got {names}"
            )
        inside(folder, WEIGHTS)
        try:
            config = loads(inside(folder, CONFIG).read_bytes())
            self._vocabulary = int(config["vocab_size"])
        except (ValueError, KeyError, TypeError) as error:
            raise BadModel(f"expected {CONFIG} in JSON with vocab_size, got: {error}") from None
        try:
            with mx.stream(self._place):
                self._model, _ = load_model(folder, trust_remote_code=False)
        except Exception as error:  # mlx-lm has no common root for what it raises
            raise BadModel(
                f"expected a model that mlx-lm loads, got: {first_line(error)}"
            ) from error
        self._manifest = manifest

    def run(self, inputs: Arrays) -> Arrays:
        """Run the model once. See `base.Backend.run`."""
        if self._manifest is None:
            raise RuntimeError("expected load() before run()")
        check_inputs(inputs, self._manifest.inputs)
        tokens = inputs["input_ids"]
        check_tokens(tokens, self._vocabulary)
        try:
            with mx.stream(self._place):
                logits = self._model(mx.array(np.asarray(tokens, order="C"))).astype(mx.float32)
                return {"logits": np.array(logits)}
        except Exception as error:  # mlx has no common root for what it raises
            raise BadModel(
                f"expected a model that runs on what its manifest allows, got: {first_line(error)}"
            ) from error

    def generate(self, prompt: Sequence[int], most: int, stop: Collection[int]) -> list[int]:
        """Continue a prompt, with mlx-lm's KV cache. See `offchain_worker.generation`."""
        if self._manifest is None:
            raise RuntimeError("expected load() before generate()")
        check_tokens(np.array(prompt), self._vocabulary)
        try:
            with mx.stream(self._place):
                cache = make_prompt_cache(self._model)

                def logits_after(fresh: list[int]) -> np.ndarray[Any, Any]:
                    logits = self._model(mx.array([fresh]), cache=cache)[0, -1]
                    return np.array(logits.astype(mx.float32))

                return go_on(logits_after, prompt, most, stop)
        except BadOutput:
            raise
        except Exception as error:  # mlx has no common root for what it raises
            raise BadModel(
                f"expected a model that continues a prompt, got: {first_line(error)}"
            ) from error

    def close(self) -> None:
        """Free the model."""
        self._model = self._manifest = None


def check_tokens(tokens: np.ndarray[Any, Any], vocabulary: int) -> None:
    """Check that tokens are in the vocabulary: MLX reads beyond the end of a table without a word.

    Raises:
        BadInput: One is not.
    """
    if tokens.size and not 0 <= int(tokens.min()) <= int(tokens.max()) < vocabulary:
        raise BadInput(
            f"expected tokens from 0 to {vocabulary - 1} in 'input_ids', got {int(tokens.min())} to {int(tokens.max())}"
        )
