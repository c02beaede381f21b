"""What a family is: an architecture of the transformers library, small enough to be built from random numbers."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Family:
    """One row of the zoo. Inputs and outputs follow from the architecture (`transformers_model.py`)."""

    name: str
    """Its name in reports, such as "bert"."""
    architecture: str
    """Class of the transformers library, as `architectures` in a config.json."""
    config: str
    """Class of its configuration."""
    sizes: Mapping[str, Any]
    """What makes the configuration small. A value of type `Nested` becomes a configuration itself."""
    sequence: int = 16
    """Tokens of an input of text."""
    samples: int = 4000
    """Samples of an input of sound, or frames of one of features."""
    mlx: bool = False
    """Whether mlx-lm has it."""
    mlx_lacks: str = ""
    """For a family that writes text and is not in MLX: the cause, with the place in mlx-lm that says so."""


@dataclass(frozen=True, slots=True)
class Nested:
    """A configuration inside a configuration, such as the backbone of a detector."""

    config: str
    sizes: Mapping[str, Any] = field(default_factory=dict)
