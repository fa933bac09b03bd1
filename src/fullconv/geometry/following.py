"""An image followed through a traced network: the state of every node, and the obstacles met."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import fx

from fullconv.geometry import local_rules as local
from fullconv.geometry import shape_rules as shape
from fullconv.geometry.fields import Field
from fullconv.geometry.in_place import STALE
from fullconv.geometry.operations import Operation, filled, operation
from fullconv.geometry.reshape_rules import reshaping
from fullconv.geometry.states import WHOLE, Blocked, Lost, Obstacle, Plane, State, Whole, depends, planes
from fullconv.geometry.tracing import Trace


def _own(op: Operation) -> State:
    """A module that says itself what it reads: `reads(field) -> field`, and `reads_cols` where columns differ."""
    plane = local.joined(op, op.states)
    if not isinstance(plane, Plane):
        return plane
    rule: Callable[[Field], Field] = op.module.reads  # type: ignore[assignment,union-attr]
    across: Callable[[Field], Field] = getattr(op.module, "reads_cols", rule)
    return replace(plane, rows=rule(plane.rows), cols=across(plane.cols))


def _opaque(op: Operation) -> State:
    name = type(op.module).__name__
    if any(hasattr(op.module, setting) for setting in ("kernel_size", "ceil_mode")):
        raise Blocked("size-dependent-padding", f"the padding of this {name} is computed from the size of the image")
    if "attention" in name.lower() or "attn" in name.lower():
        raise Blocked("attention", f"every cell attends to others ({name})")
    raise Blocked("unknown", f"the inside of this {name} cannot be traced")


def _unknown(op: Operation) -> State:
    raise Blocked("unknown", f"nothing is known of the operation {getattr(op.node.target, '__name__', op.node.target)}")


_RULES: dict[str, Callable[[Operation], State]] = {
    "own": _own,
    "opaque": _opaque,
    "elementwise": shape.elementwise,
    "conv2d": local.convolution,
    "conv_transpose2d": local.transposed_convolution,
    "pad": local.padding,
    "circular_pad": local.padding,
    "interpolate": local.resizing,
    "adaptive_pool": local.adaptive_pooling,
    "getitem": local.slicing,
    "narrow": local.narrowing,
    "unfold": local.unfolding,
    "cat": shape.concatenation,
    "stack": shape.stacking,
    "split": shape.splitting,
    "permute": shape.permutation,
    "reduce": shape.reduction,
    "attribute": shape.attribute,
    "choose": local.choosing,
    "glu": shape.gating,
    "batch_norm": shape.batch_norm,
    "layer_norm": shape.layer_norm,
    "linear": shape.linear,
    "product": shape.product,
    "attention": shape.attention,
    "softmax": shape.softmax,
    "normalize": shape.normalizing,
    "unsqueeze": shape.unsqueezing,
    "expand": shape.expanding,
    **dict.fromkeys(("max_pool2d", "avg_pool2d", "lp_pool2d"), local.pooling),
    **dict.fromkeys(("pixel_shuffle", "pixel_unshuffle"), local.shuffling),
    **dict.fromkeys(("reshape", "flatten", "squeeze"), reshaping),
    **dict.fromkeys(("instance_norm", "group_norm"), shape.whole_map_norm),
    **dict.fromkeys(("roll", "rot90", "flip", "repeat"), shape.wrapping),
}


def follow(trace: Trace) -> tuple[dict[fx.Node, State], dict[fx.Node, Obstacle]]:
    """The state of every node of a network, and the nodes that are obstacles.

    After an obstacle the rest is followed as far as it makes sense: a norm keeps the cells where they are, after
    global pooling there are none.
    """
    states: dict[fx.Node, State] = {}
    obstacles: dict[fx.Node, Obstacle] = {}
    sized: set[fx.Node] = set()
    image_seen = False
    for node in trace.graph.graph.nodes:
        if node.op == "placeholder":
            states[node] = None if image_seen else Plane(Field.image(), Field.image())
            image_seen = True
        elif node.op == "get_attr":
            states[node] = None
        elif node.op == "output":
            states[node] = filled(node.args[0], states.get)
        else:
            op = operation(trace, node, states)
            states[node] = _state(op, trace, obstacles, sized)
            if states[node] is None and _of_size(node, trace, sized):
                sized.add(node)
        if STALE in node.meta and depends(states[node]):
            reason = f"a tensor that shares its memory is changed in place ({node.meta[STALE]}), and it is read later"
            obstacles[node] = Obstacle(trace.name(node), "changed-in-place", reason)
    return states, obstacles


def _of_size(node: fx.Node, trace: Trace, sized: set[fx.Node]) -> bool:
    """Whether a value that does not depend on the image's content depends on its size."""
    first, second = trace.values[node]
    if _holds_tensor(first):
        return any(source in sized for source in node.all_input_nodes)
    return type(first) in (int, float, tuple, list, torch.Size) and bool(first != second)


def _state(op: Operation, trace: Trace, obstacles: dict[fx.Node, Obstacle], sized: set[fx.Node]) -> State:
    result = trace.values[op.node][0]
    if op.kind == "size" or not _holds_tensor(result) or not depends(op.states):
        return None
    if not planes(op.states) and op.kind not in ("getitem", "attribute"):
        return _wholes(result)
    try:
        state = _RULES.get(op.kind, _unknown)(op)
        if op.kind in _WITH_VALUES and any(source in sized for source in op.node.all_input_nodes):
            raise Blocked("size-dependent", "it uses a value computed from the size of the image", state)
        _check(state, trace, *trace.values[op.node])
    except Lost:
        return _wholes(result)
    except Blocked as found:
        obstacles[op.node] = Obstacle(op.name, found.kind, found.reason)
        return _wholes(result) if isinstance(found.state, Whole) else found.state
    return state


_WITH_VALUES = frozenset(("elementwise", "cat", "stack", "product", "linear", "conv2d", "conv_transpose2d", "reduce"))
"""Kinds whose arguments are values to compute with, not sizes to move dimensions by."""


def _check(state: State, trace: Trace, first: Any, second: Any) -> None:
    """A result's dimensions are those that the rule says, and run over all of the image or nothing of it.

    Raises:
        Blocked: a map of fixed size was cut out, such as the first row, or the rule does not fit.
    """
    if isinstance(state, tuple) and isinstance(first, list | tuple):
        for part in zip(state, first, second, strict=True):
            _check(part[0], trace, *part[1:])
    if not isinstance(state, Plane) or not isinstance(first, torch.Tensor) or trace.sizes[0] == trace.sizes[1]:
        return
    if len(state.tags) != first.ndim:
        raise Blocked("unknown", "it has other dimensions than expected")
    for dim, tag in enumerate(state.tags):
        if (dim in state.spatial) != (first.shape[dim] != second.shape[dim]):
            raise Blocked("fixed-size", f"it has a fixed number of {tag}" if tag else "its size changes with the image")


def _wholes(result: Any) -> State:
    return tuple(_wholes(part) for part in result) if isinstance(result, list | tuple) else WHOLE


def _holds_tensor(value: Any) -> bool:
    if isinstance(value, list | tuple):
        return any(_holds_tensor(part) for part in value)
    if isinstance(value, Mapping):
        return _holds_tensor(list(value.values()))
    return hasattr(value, "shape")
