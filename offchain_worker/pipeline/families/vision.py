"""Families that look at images."""

from typing import Any

from offchain_worker.pipeline.families.base import Family, Nested

SIZES: dict[str, Any] = {
    "hidden_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 128,
    "image_size": 64,
    "patch_size": 16,
}
_LABELS = {"num_labels": 5}
_STAGES = {"hidden_sizes": [16, 32, 48, 64], "depths": [1, 1, 1, 1]}
_RESNET = _STAGES | {"embedding_size": 16, "layer_type": "basic"}
_SWIN = {
    "image_size": 64,
    "patch_size": 4,
    "embed_dim": 24,
    "depths": [1, 1],
    "num_heads": [2, 4],
    "window_size": 4,
}
_EFFICIENTNET = {
    "width_coefficient": 0.25,
    "depth_coefficient": 0.3,
    "image_size": 64,
    "hidden_dim": 320,
}
_SEGFORMER = {
    "hidden_sizes": [16, 32, 40, 64],
    "depths": [1, 1, 1, 1],
    "num_attention_heads": [1, 2, 4, 4],
    "decoder_hidden_size": 32,
}
_DETR = {
    "use_timm_backbone": False,
    "use_pretrained_backbone": False,
    "backbone": None,
    "backbone_config": Nested("ResNetConfig", _RESNET | {"out_features": ["stage4"]}),
    "d_model": 64,
    "encoder_layers": 1,
    "decoder_layers": 1,
    "encoder_attention_heads": 4,
    "decoder_attention_heads": 4,
    "encoder_ffn_dim": 64,
    "decoder_ffn_dim": 64,
    "num_queries": 10,
    "image_size": 64,
}

FAMILIES = (
    Family("vit", "ViTForImageClassification", "ViTConfig", SIZES | _LABELS),
    Family("deit", "DeiTForImageClassification", "DeiTConfig", SIZES | _LABELS),
    Family("beit", "BeitForImageClassification", "BeitConfig", SIZES | _LABELS),
    Family("swin", "SwinForImageClassification", "SwinConfig", _SWIN | _LABELS),
    Family(
        "convnext",
        "ConvNextForImageClassification",
        "ConvNextConfig",
        _STAGES | _LABELS | {"image_size": 64},
    ),
    Family(
        "resnet",
        "ResNetForImageClassification",
        "ResNetConfig",
        _RESNET | _LABELS | {"image_size": 64},
    ),
    Family(
        "mobilenet-v1",
        "MobileNetV1ForImageClassification",
        "MobileNetV1Config",
        {"depth_multiplier": 0.25, "image_size": 64, "min_depth": 4} | _LABELS,
    ),
    Family(
        "mobilenet-v2",
        "MobileNetV2ForImageClassification",
        "MobileNetV2Config",
        {"depth_multiplier": 0.35, "image_size": 64} | _LABELS,
    ),
    Family(
        "efficientnet",
        "EfficientNetForImageClassification",
        "EfficientNetConfig",
        _EFFICIENTNET | _LABELS,
    ),
    Family("dinov2", "Dinov2Model", "Dinov2Config", SIZES | {"mlp_ratio": 2}),
    Family(
        "segformer",
        "SegformerForSemanticSegmentation",
        "SegformerConfig",
        _SEGFORMER | _LABELS | {"image_size": 64},
    ),
    Family("detr", "DetrForObjectDetection", "DetrConfig", _DETR | _LABELS),
)
