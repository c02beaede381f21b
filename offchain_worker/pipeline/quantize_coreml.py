"""Smaller weights for Core ML programs. Computation stays in the program's own precision."""

from typing import Any, Literal

import coremltools.optimize.coreml as optimize

INT4_BLOCK = 32
PALETTE_GROUP = 16

Int4 = Literal["palettes", "blocks"]


def quantize(model: Any, precision: str, int4: Int4 = "palettes") -> Any:
    """Return `model` with weights of another precision.

    Args:
        model: An `MLModel`.
        precision: "int8": linear, one scale for each output channel. "int4": as `int4` says. Others change nothing.
        int4: "palettes": 16 values chosen by k-means for each group of 16 channels; closest to the original.
            "blocks": linear with one scale for each 32 weights; a few times faster to make.
    """
    if precision == "int8":
        how = optimize.OpLinearQuantizerConfig(mode="linear_symmetric", dtype="int8")
        return optimize.linear_quantize_weights(model, optimize.OptimizationConfig(how))
    if precision == "int4" and int4 == "blocks":
        how = optimize.OpLinearQuantizerConfig(
            mode="linear_symmetric", dtype="int4", granularity="per_block", block_size=INT4_BLOCK
        )
        return optimize.linear_quantize_weights(model, optimize.OptimizationConfig(how))
    if precision == "int4":
        how = optimize.OpPalettizerConfig(
            mode="kmeans", nbits=4, granularity="per_grouped_channel", group_size=PALETTE_GROUP
        )
        return optimize.palettize_weights(model, optimize.OptimizationConfig(how))
    return model
