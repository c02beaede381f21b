"""To MLX, through mlx-lm: language models that write text."""

from pathlib import Path
from typing import Any

import mlx.core as mx
from mlx.utils import tree_map
from mlx_lm.utils import _get_classes, load_model, quantize_model, save_config, save_model

from offchain_worker.errors import ConversionFailed
from offchain_worker.safe_json import loads
from offchain_worker.transformers_model import CONFIG

GROUP_SIZE = 32
_BITS = {"int8": 8, "int4": 4}


def convert(source: Path, to: Path, precision: str) -> None:
    """Write `config.json` and `model.safetensors` into the folder `to`.

    Args:
        source: Folder of the hub's model.
        to: Folder that exists.
        precision: "float32", "float16", or weights of "int8" or "int4" with one scale for each 32.

    Raises:
        ConversionFailed: mlx-lm does not have the family, or the weights need several files.
    """
    try:
        with mx.stream(mx.cpu):
            config = loads((source / CONFIG).read_bytes())
            _refuse_window(config)
            wanted = _older_names(config)
            model, config = load_model(
                source, model_config=wanted, get_model_classes=_classes, trust_remote_code=False
            )
            dtype = mx.float16 if precision == "float16" else mx.float32
            model.update(tree_map(lambda array: array.astype(dtype), model.parameters()))
            if precision in _BITS:
                model, config = quantize_model(model, config, GROUP_SIZE, _BITS[precision])
            save_model(to, model)
            save_config(config, to / CONFIG)
    except ConversionFailed:
        raise
    except Exception as error:  # mlx-lm has no common root for what it raises
        raise ConversionFailed(
            f"expected a model that mlx-lm converts, got: {' '.join(str(error).split())[:300]}"
        ) from error
    index = to / "model.safetensors.index.json"
    index.unlink(missing_ok=True)


def _refuse_window(config: Any) -> None:
    """mlx-lm would take every token into account, and nobody would notice before a text is longer than the window."""
    if config.get("model_type") == "mistral" and config.get("sliding_window"):
        raise ConversionFailed(
            f"expected a mistral that attends to all tokens, as mlx-lm does, got sliding_window "
            f"{config['sliding_window']}: use another format"
        )


def _older_names(config: Any) -> dict[str, Any]:
    """Return settings under the names that mlx-lm reads, where transformers 5 writes others."""
    rope = config.get("rope_parameters") or {}
    theta, share = rope.get("rope_theta"), rope.get("partial_rotary_factor")
    found = {
        "rope_theta": theta,
        "rotary_emb_base": theta,
        "partial_rotary_factor": share,
        "rotary_pct": share,
        "n_ctx": config.get("n_positions"),
    }
    return {
        name: value for name, value in found.items() if value is not None and name not in config
    }


def _classes(config: dict[str, Any]) -> tuple[Any, Any]:
    """Return mlx-lm's classes for a configuration. Weights of gpt2 lose the word that transformers puts before them."""
    model, arguments = _get_classes(config)
    if config.get("model_type") != "gpt2":
        return model, arguments

    class Gpt2(model):  # type: ignore[misc, valid-type]  # mlx-lm is optional, so Any to mypy
        def sanitize(self, weights: dict[str, Any]) -> Any:
            return super().sanitize(
                {name.removeprefix("transformer."): array for name, array in weights.items()}
            )

    return Gpt2, arguments
