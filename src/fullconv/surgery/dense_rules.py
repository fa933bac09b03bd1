"""What each operation of a classifier's head becomes in the dense network."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import fx, nn

from fullconv.geometry.operations import Operation
from fullconv.geometry.tracing import DROPS
from fullconv.surgery.building import Builder
from fullconv.surgery.dense_layers import layer_norm, linear
from fullconv.surgery.windows import Pooling, Refused, Windows, moved, pooling

_AFFINE = frozenset(("add", "sub", "iadd", "isub", "neg", "contiguous", "to", "float", "clone", "detach"))
_SCALING = frozenset(("mul", "imul", "truediv", "itruediv", "div", "multiply"))
_CHANNELWISE = frozenset(("LocalResponseNorm", "ChannelShuffle", "Dropout2d"))
"""Work along the second dimension; the functions have other names than the layers."""


def windows_in(values: Any) -> list[Windows]:
    """All windows among arguments, however nested."""
    if isinstance(values, Windows):
        return [values]
    if isinstance(values, dict):
        return windows_in(list(values.values()))
    return [found for value in values for found in windows_in(value)] if isinstance(values, list | tuple) else []


def elementwise(builder: Builder, op: Operation, args: list[Any], named: dict[str, Any]) -> Windows:
    """Activations, dropout, arithmetic: the same operation on the dense map."""
    found = windows_in([args, named])
    first = found[0]
    if any(other.window != first.window or not torch.equal(other.layout, first.layout) for other in found):
        found = [builder.ordered(window) for window in found]
        first = max(found, key=lambda window: window.size)
        if any(window.window != first.window or window.shape not in (first.shape, _one(first)) for window in found):
            raise Refused("it joins values of different shapes")
    if op.shapes is None or op.shapes[0] != first.shape:
        raise Refused("it changes the number of values")
    if _is_channelwise(builder, op, args) and not first.per_channel:
        raise Refused("it takes the cells of the map for channels")
    _stays_affine(builder, op, len(found))
    stand_ins = iter(found)
    order = {id(window): next(stand_ins) for window in windows_in([args, named])}

    def stands_for(value: Any) -> Any:
        if isinstance(value, Windows):
            return order[id(value)].node
        return builder.aligned(value, first) if isinstance(value, fx.Node) else value

    return first.on(_same(builder, op, args, named, stands_for))


def _is_channelwise(builder: Builder, op: Operation, args: list[Any]) -> bool:
    if op.called in ("PReLU", "prelu"):
        slopes = op.module.weight if isinstance(op.module, nn.PReLU) else builder.native(args[1])
        return bool(slopes.numel() > 1)
    return op.called in _CHANNELWISE or op.called in ("local_response_norm", "channel_shuffle", "dropout2d")


def _one(windows: Windows) -> tuple[int, ...]:
    """The shape of a single value that meets all channels of a cell."""
    return (windows.shape[0], *(1 for _ in windows.shape[1:]))


def _same(
    builder: Builder, op: Operation, args: list[Any], named: dict[str, Any], stands_for: Callable[[Any], Any]
) -> fx.Node:
    def each(value: Any) -> Any:
        if isinstance(value, list | tuple):
            return type(value)(each(part) for part in value)
        return stands_for(value)

    arguments, settings = tuple(each(value) for value in args), {name: each(value) for name, value in named.items()}
    node = builder.copied(op, lambda source: None)
    node.args, node.kwargs = arguments, settings
    return node


def _stays_affine(builder: Builder, op: Operation, count: int) -> None:
    """Behind pooling that was left out only what commutes with averaging will do."""
    if builder.dropped is None:
        return
    name = op.called
    drops = isinstance(op.module, nn.Identity | nn.modules.dropout._DropoutNd) or name in DROPS or "dropout" in name
    if drops or name in _AFFINE or (name in _SCALING and count == 1):
        return
    refuse_nonlinear(builder, op)


def refuse_nonlinear(builder: Builder, op: Operation) -> None:
    if builder.dropped is not None:
        raise Refused(f'the head is not linear after {builder.dropped}, so that cannot be left out (pool="window" can)')


def movement(builder: Builder, op: Operation, args: list[Any], named: dict[str, Any]) -> Any:
    """Reshapes, permutations, slices: only the layout changes."""
    source, *rest = args
    if isinstance(source, tuple | list):
        return source[rest[0]] if op.kind == "getitem" else _joining(builder, op, args, named)
    rest = [value.layout if isinstance(value, Windows) else value for value in rest]
    if op.module is not None:
        return moved(source, op.module)
    if op.node.op == "call_method":
        return moved(source, lambda layout: getattr(layout, str(op.node.target))(*rest, **named))
    return moved(source, lambda layout: op.node.target(layout, *rest, **named))  # type: ignore[operator]


def _joining(builder: Builder, op: Operation, args: list[Any], named: dict[str, Any]) -> Windows:
    """cat and stack: maps one after the other along their channels, and layouts as the classifier joins them."""
    parts = windows_in(args[0])
    if len(parts) != len(args[0]) or len({part.window for part in parts}) > 1:
        raise Refused("it joins values of the map with others")
    channels = sum(part.channels for part in parts)
    cells = parts[0].size // parts[0].channels
    layouts, before = [], 0
    for part in parts:
        first = part.layout[0] + before * cells
        layouts.append(torch.stack([first, first + channels * cells]))
        before += part.channels
    layout = op.node.target(layouts, *args[1:], **named)  # type: ignore[operator]
    node = builder.call(torch.cat, [part.node for part in parts], dim=1)
    return Windows(node, channels, parts[0].window, layout).laid(layout)


def convolution(builder: Builder, op: Operation, args: list[Any], named: dict[str, Any]) -> Windows:
    """A 1×1 convolution of what was pooled."""
    source = args[0]
    kernel = op.module.kernel_size if isinstance(op.module, nn.Conv2d) else tuple(builder.native(args[1]).shape[-2:])
    if tuple(kernel) != (1, 1) or op.shapes is None or op.shapes[0][-2:] != source.shape[-2:]:
        raise Refused("it is no 1×1 convolution")
    source = builder.ordered(source)
    node = _same(builder, op, [source, *args[1:]], named, lambda v: v.node if isinstance(v, Windows) else v)
    return Windows.of_map(node, op.shapes[0][1], source.window)


def batch_norm(builder: Builder, op: Operation, args: list[Any], named: dict[str, Any]) -> Windows:
    """Per channel, as everywhere."""
    source = args[0] if args[0].per_channel else builder.ordered(args[0])
    if not source.per_channel:
        raise Refused("it has statistics of its own for every place of the map")
    old = op.module
    if isinstance(old, nn.BatchNorm1d):
        new = nn.BatchNorm2d(
            old.num_features, old.eps, old.momentum, old.affine, old.track_running_stats, device="meta"
        )
        for name, value in (*old._parameters.items(), *old._buffers.items()):
            setattr(new, name, value)
        return source.on(builder.module(str(op.node.target), new.train(old.training), source.node))
    return source.on(_same(builder, op, [source, *args[1:]], named, lambda v: v.node if isinstance(v, Windows) else v))


def softmax(builder: Builder, op: Operation, args: list[Any], named: dict[str, Any]) -> Windows:
    """Over the classes."""
    refuse_nonlinear(builder, op)
    source = builder.ordered(args[0])
    dim = op.both(1, "dim")[0]
    if dim is None or source.window != (1, 1) or source.shape[int(dim)] != source.channels:
        raise Refused("it takes a softmax over something else than the channels")
    function = F.log_softmax if "log" in op.called.lower() else F.softmax
    return source.on(builder.call(function, source.node, dim=1))


def normalize(builder: Builder, op: Operation, args: list[Any], named: dict[str, Any]) -> Windows:
    """Division by the norm over the channels."""
    refuse_nonlinear(builder, op)
    source = builder.ordered(args[0])
    order, dim, eps = op.both(1, "p", 2.0)[0], op.both(2, "dim", 1)[0], op.both(3, "eps", 1e-12)[0]
    if source.window != (1, 1) or source.shape[int(dim)] != source.channels:
        raise Refused("it takes a norm over something else than the channels")
    return source.on(builder.call(F.normalize, source.node, p=order, dim=1, eps=eps))


def adaptive_pool(builder: Builder, op: Operation, args: list[Any], named: dict[str, Any]) -> Windows:
    """Global pooling to one cell."""
    source: Windows = args[0]
    dims = (-2, -1) if "2d" in op.called else (-1,)
    if op.shapes is None or any(op.shapes[0][dim] != 1 for dim in dims):
        raise Refused(f"it divides the map of {source.window[0]}×{source.window[1]} cells into unequal windows")
    how = "amax" if "ax" in op.called.replace("adaptive", "").replace("Adaptive", "") else "mean"
    return _pooled(builder, op, source, pooling(source, dims, keepdim=True), how)


def reduction(builder: Builder, op: Operation, args: list[Any], named: dict[str, Any]) -> Windows:
    """Mean, sum and maximum over the map."""
    source: Windows = args[0]
    dims = op.both(1, "dim")[0]
    if op.called not in ("mean", "sum", "amax") or dims is None or op.shapes is None:
        raise Refused(f"the {op.called} of a map has no sliding form here")
    chosen = list(dims) if isinstance(dims, list | tuple) else [int(dims)]
    if source.window == (1, 1) and [source.shape[dim] for dim in chosen] == [source.channels] != [1]:
        return _over_channels(builder, op, builder.ordered(source))
    how = pooling(source, chosen, keepdim=len(op.shapes[0]) == len(source.shape))
    return _pooled(builder, op, source, how, op.called)


def _over_channels(builder: Builder, op: Operation, source: Windows) -> Windows:
    refuse_nonlinear(builder, op)
    assert op.shapes is not None
    node = builder.call(getattr(torch, op.called), source.node, dim=1, keepdim=True)
    return Windows.of_channels(node, op.shapes[0])


def _pooled(builder: Builder, op: Operation, source: Windows, found: Pooling, how: str) -> Windows:
    if found.kernel is None or found.kernel == (1, 1):
        node = source.node
    elif builder.drop_pooling:
        if how != "mean":
            raise Refused(f'it takes the {how.removeprefix("a")}, which cannot be left out (pool="window" slides it)')
        node, builder.dropped = source.node, op.name
    elif how == "amax":
        node = builder.pool(op, nn.MaxPool2d(found.kernel, stride=1), source.node)
    else:
        divisor = 1 if how == "sum" else None
        node = builder.pool(op, nn.AvgPool2d(found.kernel, stride=1, divisor_override=divisor), source.node)
    return Windows(node, source.channels, found.window, found.layout)


def normalization(builder: Builder, op: Operation, args: list[Any], named: dict[str, Any]) -> Windows:
    """Layer norm over all channels of a cell."""
    refuse_nonlinear(builder, op)
    return layer_norm(builder, op, args, named)


MOVEMENTS = frozenset(
    ("reshape", "flatten", "squeeze", "unsqueeze", "permute", "getitem", "narrow", "split", "expand", "cat", "stack")
)

RULES: dict[str, Callable[[Builder, Operation, list[Any], dict[str, Any]], Any]] = {
    **dict.fromkeys(MOVEMENTS, movement),
    "elementwise": elementwise,
    "linear": linear,
    "conv2d": convolution,
    "batch_norm": batch_norm,
    "layer_norm": normalization,
    "softmax": softmax,
    "normalize": normalize,
    "adaptive_pool": adaptive_pool,
    "reduce": reduction,
}
