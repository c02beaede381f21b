"""Operators of PyTorch that coremltools 9.0 lacks or gets wrong. Importing this file registers them.

Each entry is there because a family of the zoo needs it; `check.py` would refuse a model that one of them spoils.
"""

from typing import Any

import numpy as np
from coremltools.converters.mil import Builder as mb
from coremltools.converters.mil.frontend.torch import ops
from coremltools.converters.mil.frontend.torch.torch_op_registry import _TORCH_OPS_REGISTRY
from coremltools.converters.mil.mil import types


def _dtype(context: Any, node: Any, positional: Any) -> str | None:
    """Return the dtype that a factory function is asked for, as MIL names it."""
    asked = ops._get_kwinputs(context, node, "dtype", default=[positional])[0]
    if asked is None or asked.val is None:
        return None
    return str(ops.NUM_TO_DTYPE_STRING[int(np.asarray(asked.val))])


def _filled(context: Any, node: Any, value: float) -> None:
    """Add a tensor of the asked size in which every element is `value`; its dtype is that of the first input."""
    inputs = ops._get_inputs(context, node)
    like, size = inputs[0], inputs[1]
    dtype = _dtype(context, node, inputs[2] if len(inputs) > 2 else None)
    if dtype is None:
        dtype = (
            "int32" if types.is_int(like.dtype) else "bool" if types.is_bool(like.dtype) else "fp32"
        )
    if isinstance(size, list):
        size = mb.concat(values=size, axis=0) if size else None
    elif size.val is not None and np.asarray(size.val).size == 0:
        size = None
    if size is None:
        kind = {"bool": np.bool_, "int32": np.int32}.get(dtype, np.float32)
        context.add(mb.const(val=kind(value), name=node.name), node.name)
        return
    full = mb.fill(shape=size, value=float(value))
    same = mb.identity(x=full, name=node.name)
    context.add(
        same if dtype == "fp32" else mb.cast(x=full, dtype=dtype, name=node.name), node.name
    )


def _new_ones(context: Any, node: Any) -> None:
    """Add ones of another tensor's dtype."""
    _filled(context, node, 1)


def _new_zeros(context: Any, node: Any) -> None:
    """Add zeros of another tensor's dtype."""
    _filled(context, node, 0)


def _diff(context: Any, node: Any) -> None:
    """Add the differences of neighbours along one axis."""
    inputs = ops._get_inputs(context, node)
    x = inputs[0]
    axis = inputs[2] if len(inputs) > 2 else None
    axis = ops._get_kwinputs(context, node, "dim", default=[axis])[0]
    at = (-1 if axis is None or axis.val is None else int(axis.val)) % x.rank
    before = inputs[3] if len(inputs) > 3 else None
    before = ops._get_kwinputs(context, node, "prepend", default=[before])[0]
    if before is not None:
        x = mb.concat(values=ops.promote_input_dtypes([before, x]), axis=at)
    zeros, all_of_it = [0] * x.rank, [True] * x.rank
    but_one = [axis != at for axis in range(x.rank)]
    begin = [int(axis == at) for axis in range(x.rank)]
    end = [-int(axis == at) for axis in range(x.rank)]
    later = mb.slice_by_index(x=x, begin=begin, end=zeros, end_mask=all_of_it)
    earlier = mb.slice_by_index(x=x, begin=zeros, end=end, end_mask=but_one)
    context.add(mb.sub(x=later, y=earlier, name=node.name))


def _gelu(context: Any, node: Any) -> None:
    """Add GELU. coremltools reads `approximate` by place only; `torch.export` gives it by name."""
    inputs = ops._get_inputs(context, node)
    how = inputs[1] if len(inputs) > 1 else None
    how = ops._get_kwinputs(context, node, "approximate", default=[how])[0]
    tanh = how is not None and (how if isinstance(how, str) else how.val) == "tanh"
    mode = "TANH_APPROXIMATION" if tanh else "EXACT"
    context.add(mb.gelu(x=inputs[0], mode=mode, name=node.name))


def _on_truth_values(logical: Any, on_numbers: Any) -> Any:
    def convert(context: Any, node: Any) -> None:
        x, y = ops._get_inputs(context, node, expected=2)
        if types.is_bool(x.dtype) and types.is_bool(y.dtype):
            context.add(logical(x=x, y=y, name=node.name))
        elif x.val is not None and y.val is not None:
            value = on_numbers(np.asarray(x.val), np.asarray(y.val))
            context.add(mb.const(val=value, name=node.name))
        else:
            raise NotImplementedError(f"{node.kind} on integers, which Core ML lacks")

    return convert


def _scalar(context: Any, node: Any, dtype: Any, name: str) -> None:
    """Add a tensor with one element as a scalar. coremltools fails on NumPy scalars and on shapes such as (1, 1)."""
    x = ops._get_inputs(context, node, expected=1)[0]
    if any(size != 1 for size in x.shape):
        raise ValueError(f"expected one element to cast to {name}, got shape {x.shape}")
    if x.can_be_folded_to_const():
        value = dtype(np.asarray(x.val).reshape(-1)[0])
        context.add(mb.const(val=value, name=node.name), node.name)
        return
    if len(x.shape) > 0:
        x = mb.squeeze(x=x, name=node.name + "_item")
    context.add(mb.cast(x=x, dtype=name, name=node.name), node.name)


def _register() -> None:
    known = _TORCH_OPS_REGISTRY
    ops._cast = _scalar
    for function in (_new_ones, _new_zeros, _diff, _gelu):
        known.set_func_by_name(function, function.__name__[1:])
    for name in ("alias", "lift", "detach_copy"):
        if known.get_func(name) is None:
            known.set_func_by_name(known.get_func("noop"), name)
    for name in ("where.scalarother", "where.scalar", "where.scalarself"):
        known.set_func_by_name(ops.where, name)
    for names, logical, on_numbers in (
        (
            ("__and__", "and", "and_", "bitwise_and", "bitwise_and.tensor"),
            mb.logical_and,
            np.bitwise_and,
        ),
        (("__or__", "or", "or_", "bitwise_or", "bitwise_or.tensor"), mb.logical_or, np.bitwise_or),
    ):
        for name in names:
            known.set_func_by_name(_on_truth_values(logical, on_numbers), name)


_register()
