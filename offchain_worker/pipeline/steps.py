"""A model that writes text as one step of a loop, with what it computed for earlier tokens (a KV cache) as tensors.

`past` has the shape (2 layers, 1, heads, earlier tokens, size), float32: the keys of all layers, then their values.
`present` is what it grows by. Where a format allows it, `past` grows; else it has a fixed length, and `position` says
how much of it counts.
"""

from typing import Any

import torch
from transformers import DynamicCache

from offchain_worker.errors import ConversionFailed
from offchain_worker.transformers_model import Original

_MASKED = -10_000.0
"""Added to the score of a place that does not count; within the range of half precision."""


class GrowingStep(torch.nn.Module):  # type: ignore[misc]  # torch is optional, so Any to mypy
    """Takes any number of tokens after any number of earlier ones."""

    def __init__(self, model: torch.nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(
        self, input_ids: torch.Tensor, past: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return logits and `present`."""
        cache = _cache_of(past)
        found = self.model(input_ids=input_ids, past_key_values=cache, use_cache=True)
        return found.logits, _rows_of(cache, past.shape[3])


class FixedStep(torch.nn.Module):  # type: ignore[misc]
    """Takes one token at `position`, the number of earlier ones; the places of `past` from there on do not count."""

    def __init__(self, model: torch.nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(
        self, input_ids: torch.Tensor, position: torch.Tensor, past: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return logits and `present`."""
        cache = _cache_of(past)
        counts = torch.arange(past.shape[3], dtype=torch.int32) < position
        mask = torch.cat([torch.where(counts, 0.0, _MASKED), torch.zeros(1)])
        found = self.model(
            input_ids=input_ids,
            past_key_values=cache,
            attention_mask=mask[None, None, None],
            position_ids=position[None],
            use_cache=True,
        )
        return found.logits, _rows_of(cache, past.shape[3])


def past_of(original: Original, length: int) -> torch.Tensor:
    """Return what a model keeps of `length` tokens."""
    cache = DynamicCache()
    tokens = torch.ones((1, length), dtype=torch.int32)
    original.model(input_ids=tokens, past_key_values=cache, use_cache=True)
    return _rows_of(cache, 0)


def require_full_attention(original: Original) -> None:
    """Check that every token counts for every later one, as `FixedStep` has it.

    Raises:
        ConversionFailed: The model has a window.
    """
    config = original.model.config
    kinds = set(getattr(config, "layer_types", None) or [])
    window = getattr(config, "sliding_window", None)
    if kinds - {"full_attention"} or (not kinds and window):
        raise ConversionFailed(
            f"expected a model in which each token counts for all later ones, got a window of {window}"
        )


def _cache_of(past: torch.Tensor) -> Any:
    cache, layers = DynamicCache(), past.shape[0] // 2
    for at in range(layers):
        cache.update(past[at], past[layers + at], at)
    return cache


def _rows_of(cache: Any, start: int) -> torch.Tensor:
    keys = [layer.keys[:, :, start:] for layer in cache.layers]
    return torch.stack(keys + [layer.values[:, :, start:] for layer in cache.layers])
