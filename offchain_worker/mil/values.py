"""Arguments of an operator of a Core ML program, read as what the operator needs."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

DTYPES = {
    "bool": torch.bool,
    "fp16": torch.float16,
    "fp32": torch.float32,
    "int8": torch.int8,
    "int16": torch.int16,
    "int32": torch.int32,
    "uint8": torch.uint8,
    "uint16": torch.int32,  # PyTorch computes little with it; Core ML uses it for places in small tables
}


class Arguments:
    """Arguments by name: tensors, lists of tensors, or text."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        self._values = values

    def __contains__(self, name: str) -> bool:
        return self._values.get(name) is not None

    def tensor(self, name: str) -> torch.Tensor:
        """Return a tensor."""
        return as_tensor(self._values[name])

    def optional(self, name: str) -> torch.Tensor | None:
        """Return a tensor, or None when it is not given."""
        return self.tensor(name) if name in self else None

    def tensors(self, name: str) -> list[torch.Tensor]:
        """Return a list of tensors."""
        return [as_tensor(value) for value in self._values[name]]

    def numbers(self, name: str, default: list[int] | None = None) -> list[int]:
        """Return whole numbers, such as a shape."""
        if name not in self and default is not None:
            return default
        value = self._values[name]
        if isinstance(value, list | tuple):
            return [int(as_tensor(item)) for item in value]
        return [int(item) for item in as_tensor(value).reshape(-1).tolist()]

    def number(self, name: str, default: float | None = None) -> float:
        """Return one number."""
        if name not in self and default is not None:
            return default
        return float(as_tensor(self._values[name]))

    def whole(self, name: str, default: int | None = None) -> int:
        """Return one whole number."""
        if name not in self and default is not None:
            return default
        return int(as_tensor(self._values[name]))

    def flag(self, name: str) -> bool:
        """Return a truth value, false when it is not given."""
        return name in self and bool(as_tensor(self._values[name]))

    def flags(self, name: str, count: int) -> list[bool]:
        """Return truth values, all false when they are not given."""
        if name not in self:
            return [False] * count
        return [bool(item) for item in as_tensor(self._values[name]).reshape(-1).tolist()]

    def text(self, name: str, default: str) -> str:
        """Return a word."""
        return str(self._values[name]) if name in self else default


def as_tensor(value: Any) -> torch.Tensor:
    """Return a tensor of what coremltools gives as a constant."""
    if torch.is_tensor(value):
        return value
    array = np.asarray(value)
    if array.dtype in (np.uint16, np.uint32, np.int64, np.uint64):
        array = array.astype(np.int32)  # Core ML computes with no wider integers
    return torch.from_numpy(np.array(array, order="C"))
