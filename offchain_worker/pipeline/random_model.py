"""Builds a model of a family from random numbers: real architecture, no download."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers

from offchain_worker.pipeline.families.base import Family, Nested
from offchain_worker.transformers_model import Input, Original, describe, draw


def build(family: Family, seed: int = 0) -> Original:
    """Return a model with weights that let its output depend on its input. The same seed gives the same weights."""
    return describe(_model(family, seed), sequence=family.sequence, samples=family.samples)


def save(family: Family, to: Path, seed: int = 0) -> None:
    """Write such a model as the hub would serve it: config.json and model.safetensors."""
    _model(family, seed).save_pretrained(to, safe_serialization=True)


def _model(family: Family, seed: int) -> Any:
    torch.manual_seed(seed)
    model = getattr(transformers, family.architecture)(_config(family.config, family.sizes)).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim >= 2:
                # The libraries' own small initial weights make outputs that hardly depend on the input.
                parameter.normal_(0, parameter[0].numel() ** -0.5)
            else:
                parameter.add_(0.05 * torch.randn_like(parameter))
        _settle_batch_norms(model)
    return model


def _settle_batch_norms(model: Any) -> None:
    """Let batch norms see a batch, as in training: else the signal fades from layer to layer."""
    norms = [part for part in model.modules() if isinstance(part, torch.nn.BatchNorm2d)]
    if norms:
        size = getattr(model.config, "image_size", None) or 64
        for norm in norms:
            norm.weight.normal_(1, 0.05)  # some begin with zeros, which let nothing through
            norm.momentum = None  # the plain mean over what it sees
            norm.train()
        spec = Input("pixel_values", "image", (8, 3, size, size))
        model(torch.from_numpy(draw(spec, np.random.default_rng(0), 0)))
        model.eval()


def _config(name: str, sizes: Any) -> Any:
    values = {
        key: _config(value.config, value.sizes) if isinstance(value, Nested) else value
        for key, value in sizes.items()
    }
    return getattr(transformers, name)(**values)
