"""Smaller weights for Core ML programs. Computation stays in the program's own precision.

Only weights of products and tables are touched. Left to itself, coremltools quantises every large constant, position
embeddings that were folded into one tensor among them: MiniLM fell from a cosine of 0.9995 to 0.9907 in int8, and to
0.81 in int4.
"""

from typing import Any

import coremltools.optimize.coreml as optimize

INT4_BLOCK = 16
PALETTE_GROUP = 16

_PRODUCTS = ("linear", "matmul", "conv", "conv_transpose")
_TABLES = ("gather", "gather_along_axis")


def quantize(model: Any, precision: str) -> Any:
    """Return an `MLModel` with weights of another precision.

    - "int8": linear, one scale for each output channel.
    - "int4": products linear, one scale and zero point for each 16 weights; tables as in int8. Seconds.
    - "int4-palettes": products by 16 values that k-means chooses for each group of 16 channels; tables as in int8.
      Minutes.
    - Any other changes nothing.
    """
    if precision not in ("int8", "int4", "int4-palettes"):
        return model
    channels = optimize.OpLinearQuantizerConfig(mode="linear_symmetric", dtype="int8")
    if precision == "int4-palettes":
        palettes = optimize.OpPalettizerConfig(
            mode="kmeans", nbits=4, granularity="per_grouped_channel", group_size=PALETTE_GROUP
        )
        model = optimize.palettize_weights(model, _only(_PRODUCTS, palettes))
        return optimize.linear_quantize_weights(model, _only(_TABLES, channels))
    how = channels
    if precision == "int4":
        how = optimize.OpLinearQuantizerConfig(
            mode="linear", dtype="int4", granularity="per_block", block_size=INT4_BLOCK
        )
    operators = {**dict.fromkeys(_PRODUCTS, how), **dict.fromkeys(_TABLES, channels)}
    return optimize.linear_quantize_weights(
        model, optimize.OptimizationConfig(op_type_configs=operators)
    )


def _only(operators: tuple[str, ...], how: Any) -> Any:
    return optimize.OptimizationConfig(op_type_configs=dict.fromkeys(operators, how))
