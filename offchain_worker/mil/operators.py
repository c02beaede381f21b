"""What each operator of a Core ML program computes: `OPERATORS`, by name.

The words are those of coremltools' `mil.ops.defs`. Results are cast to the declared dtype by the caller.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch.nn import functional

from offchain_worker.mil.values import DTYPES, Arguments

Operator = Callable[[Arguments], Any]


def _linear(a: Arguments) -> torch.Tensor:
    return functional.linear(a.tensor("x"), a.tensor("weight"), a.optional("bias"))


def _matmul(a: Arguments) -> torch.Tensor:
    x, y = a.tensor("x"), a.tensor("y")
    x = x.transpose(-1, -2) if a.flag("transpose_x") else x
    y = y.transpose(-1, -2) if a.flag("transpose_y") else y
    return x @ y


def _attention(a: Arguments) -> torch.Tensor:
    return functional.scaled_dot_product_attention(
        a.tensor("query"), a.tensor("key"), a.tensor("value"), attn_mask=a.optional("attn_mask")
    )


def _padding(
    a: Arguments, sizes: list[int], kernel: list[int], strides: list[int], dilations: list[int]
) -> list[int]:
    """Return pairs (before, after) for each axis of space, flat."""
    kind, axes = a.text("pad_type", "valid"), len(kernel)
    if kind == "custom":
        return a.numbers("pad", [0] * 2 * axes)
    if kind == "valid":
        return [0] * 2 * axes
    pairs = []
    for size, width, stride, dilation in zip(sizes, kernel, strides, dilations, strict=True):
        outputs = -(-size // stride)
        total = max((outputs - 1) * stride + (width - 1) * dilation + 1 - size, 0)
        less = total // 2
        pairs += [less, total - less] if kind == "same" else [total - less, less]
    return pairs


def _padded(x: torch.Tensor, pairs: list[int], value: float = 0.0) -> torch.Tensor:
    """Pad the last axes; PyTorch wants the last axis first."""
    if not any(pairs):
        return x
    flat = [size for at in range(len(pairs) - 2, -1, -2) for size in pairs[at : at + 2]]
    return functional.pad(x, flat, value=value)


def _conv(a: Arguments) -> torch.Tensor:
    x, weight = a.tensor("x"), a.tensor("weight")
    axes = x.dim() - 2
    strides, dilations = a.numbers("strides", [1] * axes), a.numbers("dilations", [1] * axes)
    pairs = _padding(a, list(x.shape[2:]), list(weight.shape[2:]), strides, dilations)
    run = (functional.conv1d, functional.conv2d, functional.conv3d)[axes - 1]
    return run(
        _padded(x, pairs), weight, a.optional("bias"), strides, 0, dilations, a.whole("groups", 1)
    )


def _conv_transpose(a: Arguments) -> torch.Tensor:
    x = a.tensor("x")
    axes = x.dim() - 2
    pairs = a.numbers("pad", [0] * 2 * axes)
    if a.text("pad_type", "valid") not in ("custom", "valid") or pairs[::2] != pairs[1::2]:
        raise NotImplementedError("conv_transpose with uneven padding")
    run = (functional.conv_transpose1d, functional.conv_transpose2d, functional.conv_transpose3d)
    return run[axes - 1](
        x,
        a.tensor("weight"),
        a.optional("bias"),
        a.numbers("strides", [1] * axes),
        pairs[::2],
        0,
        a.whole("groups", 1),
        a.numbers("dilations", [1] * axes),
    )


def _pooling(a: Arguments) -> tuple[torch.Tensor, list[int], list[int], list[int]]:
    x, kernel = a.tensor("x"), a.numbers("kernel_sizes")
    strides = a.numbers("strides", [1] * len(kernel))
    pairs = _padding(a, list(x.shape[2:]), kernel, strides, [1] * len(kernel))
    return x, kernel, strides, pairs


def _max_pool(a: Arguments) -> torch.Tensor:
    x, kernel, strides, pairs = _pooling(a)
    run = (functional.max_pool1d, functional.max_pool2d, functional.max_pool3d)[len(kernel) - 1]
    return run(_padded(x, pairs, float("-inf")), kernel, strides, 0, ceil_mode=a.flag("ceil_mode"))


def _avg_pool(a: Arguments) -> torch.Tensor:
    x, kernel, strides, pairs = _pooling(a)
    if pairs[::2] != pairs[1::2]:
        raise NotImplementedError("avg_pool with uneven padding")
    run = (functional.avg_pool1d, functional.avg_pool2d, functional.avg_pool3d)[len(kernel) - 1]
    outside = not a.flag("exclude_padding_from_average")
    return run(x, kernel, strides, pairs[::2], a.flag("ceil_mode"), outside)


def _reshape(a: Arguments) -> torch.Tensor:
    x = a.tensor("x")
    shape = a.numbers("shape")
    return x.reshape([x.shape[at] if size == 0 else size for at, size in enumerate(shape)])


def _expand_dims(a: Arguments) -> torch.Tensor:
    x, axes = a.tensor("x"), a.numbers("axes")
    rank = x.dim() + len(axes)
    for axis in sorted(axis % rank for axis in axes):
        x = x.unsqueeze(axis)
    return x


def _squeeze(a: Arguments) -> torch.Tensor:
    x = a.tensor("x")
    if "axes" not in a:
        return x.squeeze()
    for axis in sorted((axis % x.dim() for axis in a.numbers("axes")), reverse=True):
        x = x.squeeze(axis)
    return x


def _slice_by_index(a: Arguments) -> torch.Tensor:
    x = a.tensor("x")
    rank = x.dim()
    begin, end = a.numbers("begin"), a.numbers("end")
    strides = a.numbers("stride", [1] * rank)
    from_start, to_end = a.flags("begin_mask", rank), a.flags("end_mask", rank)
    one = a.flags("squeeze_mask", rank)
    for axis in range(rank):
        size = x.shape[axis]
        if one[axis]:
            places = torch.tensor([begin[axis] % size])
        else:
            first = None if from_start[axis] else begin[axis]
            last = None if to_end[axis] else end[axis]
            places = torch.tensor(range(size)[first : last : strides[axis]], dtype=torch.int64)
        if len(places) != size or strides[axis] < 0:
            x = x.index_select(axis, places)
    for axis in reversed(range(rank)):
        x = x.squeeze(axis) if one[axis] else x
    return x


def _slice_by_size(a: Arguments) -> torch.Tensor:
    x = a.tensor("x")
    for axis, (first, size) in enumerate(zip(a.numbers("begin"), a.numbers("size"), strict=True)):
        x = x.narrow(axis, first, x.shape[axis] - first if size == -1 else size)
    return x


def _concat(a: Arguments) -> torch.Tensor:
    parts = [part.reshape(1) if part.dim() == 0 else part for part in a.tensors("values")]
    axis = a.whole("axis")
    if a.flag("interleave"):  # first of each, second of each, ...
        axis %= parts[0].dim()
        return torch.stack(parts, axis + 1).flatten(axis, axis + 1)
    return torch.cat(parts, axis)


def _split(a: Arguments) -> list[torch.Tensor]:
    x, axis = a.tensor("x"), a.whole("axis")
    if "split_sizes" in a:
        return list(torch.split(x, a.numbers("split_sizes"), axis))
    return list(torch.split(x, x.shape[axis] // a.whole("num_splits"), axis))


def _pad(a: Arguments) -> torch.Tensor:
    x, pairs, mode = a.tensor("x"), a.numbers("pad"), a.text("mode", "constant")
    if mode == "constant":
        return _padded(x, pairs, a.number("constant_val", 0.0))
    flat = [size for at in range(len(pairs) - 2, -1, -2) for size in pairs[at : at + 2]]
    while flat[-2:] == [0, 0]:  # PyTorch reflects and repeats only along the last axes
        flat = flat[:-2]
    return functional.pad(x, flat, mode=mode) if flat else x


def _layer_norm(a: Arguments) -> torch.Tensor:
    x = a.tensor("x")
    axes = a.numbers("axes", list(range(x.dim())))
    wide = x.float()
    centred = wide - wide.mean(axes, keepdim=True)
    y = centred * torch.rsqrt(centred.square().mean(axes, keepdim=True) + a.number("epsilon", 1e-5))
    if (gamma := a.optional("gamma")) is not None:
        y = y * gamma.float()
    if (beta := a.optional("beta")) is not None:
        y = y + beta.float()
    return y


def _batch_norm(a: Arguments) -> torch.Tensor:
    return functional.batch_norm(
        a.tensor("x"),
        a.tensor("mean"),
        a.tensor("variance"),
        a.optional("gamma"),
        a.optional("beta"),
        eps=a.number("epsilon", 1e-5),
    )


def _instance_norm(a: Arguments) -> torch.Tensor:
    gamma, beta = a.optional("gamma"), a.optional("beta")
    return functional.instance_norm(
        a.tensor("x"), weight=gamma, bias=beta, eps=a.number("epsilon", 1e-5)
    )


def _gelu(a: Arguments) -> torch.Tensor:
    exact = a.text("mode", "EXACT") == "EXACT"
    return functional.gelu(a.tensor("x"), approximate="none" if exact else "tanh")


def _gather(a: Arguments) -> torch.Tensor:
    x, places = a.tensor("x"), a.tensor("indices").long()
    if a.whole("batch_dims", 0):
        raise NotImplementedError("gather with batch_dims")
    axis = a.whole("axis", 0) % x.dim()
    places = torch.where(places < 0, places + x.shape[axis], places)
    found = x.index_select(axis, places.reshape(-1))
    return found.reshape([*x.shape[:axis], *places.shape, *x.shape[axis + 1 :]])


def _gather_nd(a: Arguments) -> torch.Tensor:
    x, places = a.tensor("x"), a.tensor("indices").long()
    if a.whole("batch_dims", 0):
        raise NotImplementedError("gather_nd with batch_dims")
    return x[tuple(places.unbind(-1))]


def _gather_along_axis(a: Arguments) -> torch.Tensor:
    x, places, axis = a.tensor("x"), a.tensor("indices").long(), a.whole("axis", 0)
    return torch.gather(x, axis, torch.where(places < 0, places + x.shape[axis], places))


def _one_hot(a: Arguments) -> torch.Tensor:
    classes = a.whole("one_hot_vector_size")
    hot = functional.one_hot(a.tensor("indices").long(), classes).movedim(-1, a.whole("axis", -1))
    return torch.where(hot.bool(), a.tensor("on_value"), a.tensor("off_value"))


def _band_part(a: Arguments) -> torch.Tensor:
    x, lower, upper = a.tensor("x"), a.whole("lower", -1), a.whole("upper", -1)
    x = x if upper < 0 else torch.tril(x, upper)
    return x if lower < 0 else torch.triu(x, -lower)


def _fill(a: Arguments) -> torch.Tensor:
    value = a.tensor("value") if "value" in a else torch.tensor(0.0)
    return value.reshape(()).expand(a.numbers("shape")).clone()


def _range(a: Arguments) -> torch.Tensor:
    return torch.arange(a.tensor("start").item(), a.tensor("end").item(), a.tensor("step").item())


def _cumsum(a: Arguments) -> torch.Tensor:
    x, axis = a.tensor("x"), a.whole("axis", 0)
    x = x.flip(axis) if a.flag("reverse") else x
    total = torch.cumsum(x, axis)
    total = total - x if a.flag("exclusive") else total
    return total.flip(axis) if a.flag("reverse") else total


def _upsample(mode: str) -> Operator:
    def run(a: Arguments) -> torch.Tensor:
        factors = (a.number("scale_factor_height", 1.0), a.number("scale_factor_width", 1.0))
        corners = {"align_corners": a.flag("align_corners")} if mode == "bilinear" else {}
        x = a.tensor("x")
        return functional.interpolate(x, scale_factor=factors, mode=mode, **corners)

    return run


def _softplus(a: Arguments) -> torch.Tensor:
    return functional.softplus(a.tensor("x"))


def _unary(function: Callable[[torch.Tensor], torch.Tensor]) -> Operator:
    return lambda a: function(a.tensor("x"))


def _binary(function: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]) -> Operator:
    return lambda a: function(a.tensor("x"), a.tensor("y"))


def _reduce(function: Callable[[torch.Tensor, list[int], bool], torch.Tensor]) -> Operator:
    def run(a: Arguments) -> torch.Tensor:
        x = a.tensor("x")
        return function(x, a.numbers("axes", list(range(x.dim()))), a.flag("keep_dims"))

    return run


def _real_div(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    if x.is_floating_point() or y.is_floating_point():
        return torch.true_divide(x, y)
    return torch.div(x, y, rounding_mode="trunc")  # of two integers Core ML makes an integer


OPERATORS: dict[str, Operator] = {
    "linear": _linear,
    "matmul": _matmul,
    "scaled_dot_product_attention": _attention,
    "conv": _conv,
    "conv_transpose": _conv_transpose,
    "max_pool": _max_pool,
    "avg_pool": _avg_pool,
    "reshape": _reshape,
    "transpose": lambda a: a.tensor("x").permute(a.numbers("perm")),
    "expand_dims": _expand_dims,
    "squeeze": _squeeze,
    "slice_by_index": _slice_by_index,
    "slice_by_size": _slice_by_size,
    "concat": _concat,
    "stack": lambda a: torch.stack(a.tensors("values"), a.whole("axis")),
    "split": _split,
    "tile": lambda a: a.tensor("x").repeat(a.numbers("reps")),
    "reverse": lambda a: a.tensor("x").flip(a.numbers("axes")),
    "pad": _pad,
    "layer_norm": _layer_norm,
    "batch_norm": _batch_norm,
    "instance_norm": _instance_norm,
    "softmax": lambda a: torch.softmax(a.tensor("x"), a.whole("axis", -1)),
    "gelu": _gelu,
    "softplus": _softplus,
    "leaky_relu": lambda a: functional.leaky_relu(a.tensor("x"), a.number("alpha", 0.01)),
    "elu": lambda a: functional.elu(a.tensor("x"), a.number("alpha", 1.0)),
    "sigmoid_hard": lambda a: torch.clamp(
        a.tensor("x") * a.number("alpha", 0.2) + a.number("beta", 0.5), 0, 1
    ),
    "rsqrt": lambda a: torch.rsqrt(a.tensor("x") + a.number("epsilon", 1e-12)),
    "inverse": lambda a: torch.reciprocal(a.tensor("x") + a.number("epsilon", 1e-4)),
    "log": lambda a: torch.log(a.tensor("x") + a.number("epsilon", 1e-45)),
    "clip": lambda a: torch.clamp(a.tensor("x"), a.number("alpha"), a.number("beta")),
    "select": lambda a: torch.where(a.tensor("cond").bool(), a.tensor("a"), a.tensor("b")),
    "cast": lambda a: a.tensor("x").to(DTYPES[a.text("dtype", "")]),
    "gather": _gather,
    "gather_nd": _gather_nd,
    "gather_along_axis": _gather_along_axis,
    "one_hot": _one_hot,
    "band_part": _band_part,
    "shape": lambda a: torch.tensor(list(a.tensor("x").shape)),
    "fill": _fill,
    "fill_like": lambda a: torch.full_like(a.tensor("ref_tensor"), a.number("value")),
    "range_1d": _range,
    "cumsum": _cumsum,
    "reduce_argmax": lambda a: a.tensor("x").argmax(a.whole("axis", -1), a.flag("keep_dims")),
    "reduce_argmin": lambda a: a.tensor("x").argmin(a.whole("axis", -1), a.flag("keep_dims")),
    "reduce_mean": _reduce(lambda x, axes, keep: x.mean(axes, keep)),
    "reduce_sum": _reduce(lambda x, axes, keep: x.sum(axes, keep)),
    "reduce_max": _reduce(lambda x, axes, keep: x.amax(axes, keep)),
    "reduce_min": _reduce(lambda x, axes, keep: x.amin(axes, keep)),
    "reduce_l2_norm": _reduce(lambda x, axes, keep: x.square().sum(axes, keep).sqrt()),
    "reduce_sum_square": _reduce(lambda x, axes, keep: x.square().sum(axes, keep)),
    "upsample_nearest_neighbor": _upsample("nearest"),
    "upsample_bilinear": _upsample("bilinear"),
    "identity": _unary(lambda x: x),
    "relu": _unary(torch.relu),
    "relu6": _unary(functional.relu6),
    "sigmoid": _unary(torch.sigmoid),
    "silu": _unary(functional.silu),
    "tanh": _unary(torch.tanh),
    "sqrt": _unary(torch.sqrt),
    "square": _unary(torch.square),
    "exp": _unary(torch.exp),
    "abs": _unary(torch.abs),
    "sin": _unary(torch.sin),
    "cos": _unary(torch.cos),
    "erf": _unary(torch.erf),
    "floor": _unary(torch.floor),
    "ceil": _unary(torch.ceil),
    "round": _unary(torch.round),
    "sign": _unary(torch.sign),
    "logical_not": _unary(torch.logical_not),
    "add": _binary(torch.add),
    "sub": _binary(torch.sub),
    "mul": _binary(torch.mul),
    "real_div": _binary(_real_div),
    "floor_div": _binary(torch.floor_divide),
    "mod": _binary(torch.remainder),
    "pow": _binary(torch.pow),
    "maximum": _binary(torch.maximum),
    "minimum": _binary(torch.minimum),
    "equal": _binary(torch.eq),
    "not_equal": _binary(torch.ne),
    "greater": _binary(torch.gt),
    "greater_equal": _binary(torch.ge),
    "less": _binary(torch.lt),
    "less_equal": _binary(torch.le),
    "logical_and": _binary(torch.logical_and),
    "logical_or": _binary(torch.logical_or),
    "logical_xor": _binary(torch.logical_xor),
}
