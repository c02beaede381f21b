"""Families for text and images in one space."""

from offchain_worker.pipeline.families import encoders, vision
from offchain_worker.pipeline.families.base import Family

_TEXT = {key: size for key, size in encoders.SIZES.items() if key != "max_position_embeddings"}
_CLIP_TEXT = _TEXT | {
    "max_position_embeddings": 32,
    "projection_dim": 32,
    "bos_token_id": 254,
    "eos_token_id": 255,
}

FAMILIES = (
    Family("clip-text", "CLIPTextModelWithProjection", "CLIPTextConfig", _CLIP_TEXT),
    Family(
        "clip-vision",
        "CLIPVisionModelWithProjection",
        "CLIPVisionConfig",
        vision.SIZES | {"projection_dim": 32},
    ),
    Family(
        "siglip-text",
        "SiglipTextModel",
        "SiglipTextConfig",
        _TEXT | {"max_position_embeddings": 16},
    ),
    Family("siglip-vision", "SiglipVisionModel", "SiglipVisionConfig", vision.SIZES),
    Family("blip-vision", "BlipVisionModel", "BlipVisionConfig", vision.SIZES),
)
