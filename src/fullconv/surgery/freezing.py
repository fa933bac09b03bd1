"""Settings that a classifier computes from the size of its image, held at what they are for the native size."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import Any

import torch.nn.functional as F
from torch import fx, nn

from fullconv.geometry.operations import Operation, operation
from fullconv.geometry.tracing import Trace, trace_of
from fullconv.surgery.owners import owner

_WINDOWED = ("pad", "conv2d", "conv_transpose2d", "max_pool2d", "avg_pool2d", "lp_pool2d")


def freeze(trace: Trace) -> Trace:
    """The same graph where every window of native size is treated as the classifier treats its image.

    Padding computed from the size of the image gets the amounts of the native size, resizing to a given size its
    factor, adaptive pooling its windows (none where the map has the wanted size already); pooling whose window is the
    whole map becomes global pooling. Other settings stay as they are.
    """
    trace = replace(trace, values=dict(trace.values), names=dict(trace.names))
    for node in list(trace.graph.graph.nodes):
        if node.op not in ("call_function", "call_method", "call_module"):
            continue
        op = operation(trace, node, {})
        if op.kind in _WINDOWED and node.op == "call_function":
            _hold_numbers(node, trace)
        if op.kind in ("max_pool2d", "avg_pool2d"):
            _tell_global(op, trace)
        elif op.kind == "interpolate":
            _hold_factor(op, trace)
        elif op.kind == "adaptive_pool":
            _hold_windows(op, trace)
    trace.graph.graph.eliminate_dead_code()
    for node in list(trace.graph.graph.nodes):
        if node.op == "call_function" and operation(trace, node, {}).kind == "conv2d":
            _adopt(operation(trace, node, {}), trace)
    trace.graph.graph.lint()
    trace.graph.recompile()
    return trace_of(trace.graph, trace.opaque, input_size=trace.sizes[0], channels=trace.channels)


def _hold_numbers(node: fx.Node, trace: Trace) -> None:
    """Numbers among the arguments become constants."""

    def held(source: fx.Node) -> Any:
        value = trace.values[source][0]
        return value if isinstance(value, int | float | tuple | list) else source

    node.args, node.kwargs = fx.map_arg((node.args, node.kwargs), held)


def _sides(op: Operation, trace: Trace) -> tuple[tuple[int, ...], tuple[int, ...]] | None:
    """Rows and columns before and after an operation on (N, C, H, W), at native size."""
    source = next((value for value in (*op.node.args, *op.node.kwargs.values()) if isinstance(value, fx.Node)), None)
    before = None if source is None else trace.shapes(source)
    if before is None or op.shapes is None or len(before[0]) != 4:
        return None
    return before[0][-2:], op.shapes[0][-2:]


def _source(op: Operation) -> fx.Node:
    return op.node.all_input_nodes[0]


def _replace(op: Operation, trace: Trace, function: Any, *arguments: Any, **named: Any) -> None:
    graph = trace.graph.graph
    with graph.inserting_after(op.node):
        other = graph.call_function(function, (_source(op), *arguments), named)
    _exchange(op, trace, other)


def _exchange(op: Operation, trace: Trace, other: fx.Node) -> None:
    other.meta.update(op.node.meta)
    for known in (trace.values, trace.names):
        known[other] = known[op.node]  # type: ignore[index]
    op.node.replace_all_uses_with(other)
    trace.graph.graph.erase_node(op.node)


def _adopt(op: Operation, trace: Trace) -> None:
    """A convolution by a function becomes one by a module, at the path of the layer that the weights belong to."""
    graph, settings = trace.graph.graph, ("input", "weight", "bias", "stride", "padding", "dilation", "groups")
    given: dict[str, Any] = {**dict(zip(settings, op.node.args, strict=False)), **op.node.kwargs}
    source, weight, bias = (given.pop(name, None) for name in settings[:3])
    path = owner(trace.graph, weight, bias)
    if path is None or any(isinstance(value, fx.Node) for value in given.values()):
        return
    old = trace.graph.get_submodule(path)
    own, groups = old.get_parameter("weight"), given.get("groups", 1)
    kernel = (own.shape[2], own.shape[3])
    new = nn.Conv2d(own.shape[1] * groups, own.shape[0], kernel, bias=bias is not None, device="meta", **given)
    new.weight = own
    if bias is not None:
        new.bias = old.get_parameter("bias")
    trace.graph.add_submodule(path, new.eval())
    with graph.inserting_after(op.node):
        _exchange(op, trace, graph.call_module(path, (source,)))


def _tell_global(op: Operation, trace: Trace) -> None:
    sides = _sides(op, trace)
    kernel = op.both(1, "kernel_size")[0]
    kernel = (kernel, kernel) if isinstance(kernel, int) else tuple(kernel)
    if sides is None or sides[1] != (1, 1) or sides[0] == (1, 1) or not _reads_all(op, kernel, sides[0]):
        return
    _replace(op, trace, F.adaptive_avg_pool2d if op.kind == "avg_pool2d" else F.adaptive_max_pool2d, 1)


def _reads_all(op: Operation, kernel: tuple[int, ...], sides: tuple[int, ...]) -> bool:
    """Whether a window covers the whole map, and no cell beside it counts."""
    padding = op.pair(3, "padding", 0)
    covers = all(size - before >= side for size, before, side in zip(kernel, padding, sides, strict=True))
    if op.kind == "max_pool2d":
        return covers and op.pair(4, "dilation", 1) == (1, 1)
    counted = any(padding) and bool(op.both(5, "count_include_pad", True)[0])
    return covers and not counted and not op.both(6, "divisor_override")[0]


def _hold_factor(op: Operation, trace: Trace) -> None:
    sides = _sides(op, trace)
    if sides is None or op.both(1, "size")[0] is None or op.both(4, "align_corners")[0]:
        return
    factors = [Fraction(after, before) for before, after in zip(*sides, strict=True)]
    if any(factor.denominator != 1 for factor in factors):
        return
    mode = op.both(3, "mode", "nearest")[0]
    antialias = bool(op.both(6, "antialias", False)[0])
    _replace(op, trace, F.interpolate, scale_factor=[float(f) for f in factors], mode=mode, antialias=antialias)


def _hold_windows(op: Operation, trace: Trace) -> None:
    """Adaptive pooling to several cells; to one cell it stays as it is."""
    sides = _sides(op, trace)
    if sides is None or sides[1] == (1, 1) or "return_indices" in op.kwargs:
        return
    (height, width), (rows, cols) = sides
    if (height, width) == (rows, cols):
        op.node.replace_all_uses_with(_source(op))
        trace.graph.graph.erase_node(op.node)
    elif height % rows == 0 and width % cols == 0:
        windows = (height // rows, width // cols)
        _replace(op, trace, F.max_pool2d if "ax" in op.called else F.avg_pool2d, windows)
