"""To ONNX with a KV cache: a model that writes text as one step, which takes what was computed for earlier tokens.

Inputs are `input_ids` of shape (1, tokens), int32, and `past` of shape (2 layers, 1, heads, earlier tokens, size),
float32: the keys of all layers, then their values. Outputs are `logits` of shape (1, tokens, vocabulary) and `present`,
what `past` grows by.
"""

import logging
import tempfile
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from transformers import DynamicCache

from offchain_worker.errors import ConversionFailed
from offchain_worker.generation import PAST, PRESENT
from offchain_worker.pipeline.convert_onnx import OPSET, rename_outputs
from offchain_worker.transformers_model import Original, draw

_TOKENS, _EARLIER = 3, 5
"""Sizes of the sample: neither 1, which would be taken for a size that never changes, nor the same."""


class Step(torch.nn.Module):  # type: ignore[misc]  # torch is optional, so Any to mypy
    """One step of a model."""

    def __init__(self, model: torch.nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(
        self, input_ids: torch.Tensor, past: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return logits and what `past` grows by."""
        cache, layers, earlier = DynamicCache(), past.shape[0] // 2, past.shape[3]
        for at in range(layers):
            cache.update(past[at], past[layers + at], at)
        found = self.model(input_ids=input_ids, past_key_values=cache, use_cache=True)
        keys = [layer.keys[:, :, earlier:] for layer in cache.layers]
        values = [layer.values[:, :, earlier:] for layer in cache.layers]
        return found.logits, torch.stack(keys + values)


def convert(original: Original) -> Any:
    """Return the model as a float32 `onnx.ModelProto`.

    Raises:
        ConversionFailed: The model has no such cache, or PyTorch does not export it.
    """
    step = Step(original.model).eval()
    free = torch.export.Dim.DYNAMIC
    try:
        (spec,) = original.inputs
        tokens = torch.from_numpy(draw(spec, np.random.default_rng(0), 0))[:, :_TOKENS]
        with (
            warnings.catch_warnings(),
            torch.no_grad(),
            tempfile.TemporaryDirectory() as folder,
        ):
            warnings.simplefilter("ignore")  # of the exporter, about its own future
            logging.getLogger("torch.onnx").setLevel(logging.ERROR)
            program = torch.onnx.export(
                step,
                (tokens, _past(original, tokens)),
                input_names=["input_ids", PAST],
                dynamo=True,
                dynamic_shapes=({1: free}, {3: free}),
                opset_version=OPSET,
                verbose=False,
            )
            program.save(str(Path(folder) / "model.onnx"))
            model = onnx.load(str(Path(folder) / "model.onnx"))
        rename_outputs(model, ("logits", PRESENT))
        onnx.checker.check_model(model)
    except Exception as error:  # the exporter has no common root for what it raises
        raise ConversionFailed(
            f"expected a model whose step torch {torch.__version__} exports to ONNX, got: "
            f"{' '.join(str(error).split())[:200]}"
        ) from error
    return model


def _past(original: Original, tokens: torch.Tensor) -> torch.Tensor:
    """Return what the model keeps of a few tokens, in the form of the input."""
    cache = DynamicCache()
    original.model(input_ids=tokens[:, [0] * _EARLIER], past_key_values=cache, use_cache=True)
    return torch.stack(
        [layer.keys for layer in cache.layers] + [layer.values for layer in cache.layers]
    )
