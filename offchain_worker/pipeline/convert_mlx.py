"""To MLX, through mlx-lm: language models that write text."""

from pathlib import Path
from typing import Any

import mlx.core as mx
from mlx.utils import tree_map
from mlx_lm.utils import load_model, quantize_model, save_config, save_model

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
            wanted = _older_names(loads((source / CONFIG).read_bytes()))
            model, config = load_model(source, model_config=wanted, trust_remote_code=False)
            dtype = mx.float16 if precision == "float16" else mx.float32
            model.update(tree_map(lambda array: array.astype(dtype), model.parameters()))
            if precision in _BITS:
                model, config = quantize_model(model, config, GROUP_SIZE, _BITS[precision])
            save_model(to, model)
            save_config(config, to / CONFIG)
    except Exception as error:  # mlx-lm has no common root for what it raises
        raise ConversionFailed(
            f"expected a model that mlx-lm converts, got: {' '.join(str(error).split())[:300]}"
        ) from error
    index = to / "model.safetensors.index.json"
    index.unlink(missing_ok=True)


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
