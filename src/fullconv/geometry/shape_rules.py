"""Operations that move dimensions about, or work along channels; over places of the image they are obstacles."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from fullconv.geometry.local_rules import joined, one_plane
from fullconv.geometry.modes import Moded
from fullconv.geometry.operations import Operation
from fullconv.geometry.states import WHOLE, Blocked, Plane, State, Tag, depends, planes, words

_PLACES = ("rows", "cols", "cells")


def elementwise(operation: Operation) -> State:
    """One value in, one out; several tensors meet cell by cell."""
    state = joined(operation, operation.states)
    if isinstance(state, Plane) and operation.shapes is not None:
        state = _broadcast(state, operation)
        if operation.called in _ALONG_CHANNELS:
            if len(state.tags) > 1 and state.tags[1] in _PLACES:
                raise Blocked("unknown", f"it works along the {words(state.tags[1])}, not along channels")
        else:
            _refuse_spatial_constants(state, operation)
    return state


_ALONG_CHANNELS = frozenset(
    ("LocalResponseNorm", "local_response_norm", "ChannelShuffle", "channel_shuffle", "PReLU", "prelu")
)
"""Work along the second dimension, whatever that is."""


def _broadcast(plane: Plane, operation: Operation) -> Plane:
    """The tags of a result with more dimensions than the plane: new ones come first."""
    assert operation.shapes is not None
    missing = len(operation.shapes[0]) - len(plane.tags)
    new: list[Tag] = [""] * max(0, missing)
    return plane.tagged(*new, *plane.tags)


def _refuse_spatial_constants(plane: Plane, operation: Operation) -> None:
    """A parameter with a value of its own per row or column, such as a position embedding, fits one size only."""
    arguments = [*operation.values[0][0], *operation.values[0][1].values()]
    _refuse_constants(plane, operation.states, arguments)


def _refuse_constants(plane: Plane, states: Sequence[State], arguments: Sequence[Any]) -> None:
    for state, value in zip(states, arguments, strict=True):
        shape = getattr(value, "shape", ())
        if state is not None or not shape:
            continue
        for back in range(1, min(len(shape), len(plane.tags)) + 1):
            if shape[-back] > 1 and plane.tags[-back] in _PLACES:
                raise Blocked("fixed-size", "it has a value of its own for every place (a position embedding)", plane)


def concatenation(operation: Operation) -> State:
    """Along channels; joining along rows or columns is an obstacle."""
    state = _gathered(operation)
    if isinstance(state, Plane):
        tag = state.tags[int(operation.fixed(1, "dim", 0))]
        if tag:
            raise Blocked("fixed-size", f"it joins maps along the {words(tag)}")
    return state


def _gathered(operation: Operation) -> State:
    """A list of tensors of one size, cell by cell."""
    states = list(operation.args[0] if operation.args else operation.kwargs["tensors"])
    state = joined(operation, states)
    if isinstance(state, Plane):
        positional, named = operation.values[0]
        _refuse_constants(state, states, positional[0] if positional else named["tensors"])
    return state


def stacking(operation: Operation) -> State:
    """Along a new dimension."""
    state = _gathered(operation)
    return _with_dimension(state, int(operation.fixed(1, "dim", 0))) if isinstance(state, Plane) else state


def _with_dimension(plane: Plane, dim: int) -> Plane:
    """The tags with a new dimension there."""
    tags = list(plane.tags)
    tags.insert(dim if dim >= 0 else len(tags) + 1 + dim, "")
    return plane.tagged(*tags)


def splitting(operation: Operation) -> State:
    """Along channels."""
    plane = one_plane(operation)
    removes = operation.called == "unbind"
    dim = int(operation.fixed(1 if removes else 2, "dim", 0))
    if plane.tags[dim]:
        raise Blocked("unknown", f"it splits the map along the {words(plane.tags[dim])}")
    if removes:
        tags = list(plane.tags)
        del tags[dim]
        plane = plane.tagged(*tags)
    return tuple([plane] * operation.parts)


def permutation(operation: Operation) -> State:
    """permute, transpose, movedim."""
    plane = one_plane(operation)
    name = operation.called
    count = len(plane.tags)
    if name == "permute":
        given = operation.values[0][0][1:] or [operation.values[0][1]["dims"]]
        order = list(given[0]) if isinstance(given[0], list | tuple) else list(given)
    elif name == "movedim":
        source, target = (_several(operation.fixed(at, key)) for at, key in ((1, "source"), (2, "destination")))
        moved = {there % count: here % count for here, there in zip(source, target, strict=True)}
        rest = iter(dim for dim in range(count) if dim not in moved.values())
        order = [moved[dim] if dim in moved else next(rest) for dim in range(count)]
    else:
        order = list(range(count))
        keys = ("axis0", "axis1") if "axis0" in operation.kwargs or "axis1" in operation.kwargs else ("dim0", "dim1")
        first, second = (int(operation.fixed(at, key)) for at, key in enumerate(keys, 1))
        order[first], order[second] = order[second], order[first]
    return plane.tagged(*(plane.tags[dim] for dim in order))


def _several(dims: Any) -> list[int]:
    return [int(dim) for dim in dims] if isinstance(dims, list | tuple) else [int(dims)]


def attribute(operation: Operation) -> State:
    """A tensor read from an attribute: `x.max(1).values`, `x.data`, `x.mT`."""
    source, name = operation.args[0], operation.node.args[1]
    if isinstance(source, tuple):
        return source[("values", "indices").index(str(name))]  # type: ignore[no-any-return]
    if not isinstance(source, Plane):
        return WHOLE
    if name in ("data", "real"):
        return source
    if name in ("mT", "mH"):
        return source.tagged(*source.tags[:-2], source.tags[-1], source.tags[-2])
    raise Blocked("unknown", f"nothing is known of the attribute {name}")


def reduction(operation: Operation) -> State:
    """Over channels it is local; over rows or columns it reads the whole map."""
    plane = one_plane(operation)
    name = operation.called
    dims = operation.both(2 if "norm" in name or name == "topk" else 1, "dim")[0]
    if isinstance(dims, torch.Tensor) or "other" in operation.kwargs:  # the larger of two, cell by cell
        return elementwise(operation)
    if dims is None or isinstance(dims, bool):
        raise Blocked("global-pooling", f"it takes the {name} of the whole map")
    chosen = {int(dim) % len(plane.tags) for dim in (dims if isinstance(dims, list | tuple) else [dims])}
    if chosen & plane.spatial:
        raise Blocked("global-pooling", f"it takes the {name} over all rows or columns")
    keeps = operation.dimensions == len(plane.tags)
    left = plane if keeps else plane.tagged(*(tag for dim, tag in enumerate(plane.tags) if dim not in chosen))
    return left if operation.shapes is not None else (left, left)


def batch_norm(operation: Operation) -> State:
    """Local in evaluation; in training it reads the whole batch."""
    plane = one_plane(operation)
    if isinstance(operation.module, Moded):
        training = operation.module.training
    elif operation.module is not None:
        training = operation.module.training or getattr(operation.module, "running_mean", None) is None
    else:
        training = bool(operation.both(5, "training", False)[0])
    if training:
        raise Blocked(
            "batch-statistics", "batch norm in training mode takes its statistics from the whole batch", plane
        )
    return plane


def whole_map_norm(operation: Operation) -> State:
    """Group and instance norm, but for an instance norm that keeps running statistics."""
    plane, module = one_plane(operation), operation.module
    if isinstance(module, nn.InstanceNorm2d) and module.running_mean is not None and not module.training:
        return plane
    name = operation.kind.replace("_", " ")
    raise Blocked("normalization", f"{name} takes its statistics from the whole map", plane)


def layer_norm(operation: Operation) -> State:
    """Per pixel it is local; over rows and columns it is not."""
    plane = one_plane(operation)
    over = operation.both(1, "normalized_shape")[0]
    count = 1 if isinstance(over, int) else len(over)
    if any(plane.tags[-back] in _PLACES for back in range(1, count + 1)):
        raise Blocked("normalization", "layer norm takes its statistics over rows and columns", plane)
    return plane


def linear(operation: Operation) -> State:
    """Along the last dimension: channels, or an obstacle."""
    plane = one_plane(operation)
    if len(planes(operation.states)) > 1:
        raise Blocked("attention", "its weights are cells of the map")
    if plane.tags[-1] in _PLACES:
        raise Blocked("fixed-size", f"its weights connect all {words(plane.tags[-1])}")
    return plane.tagged(*plane.tags[:-1], "")


def product(operation: Operation) -> State:
    """Matrix products: channels of one cell with weights are local; cells with cells are attention."""
    found = planes(operation.states)
    if not found:
        return WHOLE if depends(operation.states) else None
    if len(found) > 1:
        raise Blocked("attention", "it multiplies cells of the map with each other (attention)")
    (plane,) = found
    name = operation.called
    if name == "einsum":
        return _summed(operation, plane)
    leads = isinstance(operation.args[0], Plane) and name in ("matmul", "bmm", "mm")
    if leads and plane.tags[-1] not in _PLACES:
        return plane.tagged(*plane.tags[:-1], "")
    raise Blocked("fixed-size", "it multiplies rows, columns or cells with weights of a fixed size")


def _summed(operation: Operation, plane: Plane) -> Plane:
    """An einsum of a map with weights that leaves rows and columns as they are."""
    equation = operation.args[0].replace(" ", "") if isinstance(operation.args[0], str) else ""
    entering, arrow, leaving = equation.partition("->")
    indices = entering.split(",")
    if not arrow or "." in equation or len(indices) != len(operation.args) - 1:
        raise Blocked("unknown", "nothing is known of this einsum")
    own = next(letters for letters, state in zip(indices, operation.args[1:], strict=True) if state is plane)
    others = "".join(letters for letters, state in zip(indices, operation.args[1:], strict=True) if state is not plane)
    tags = dict(zip(own, plane.tags, strict=True))
    places = [letter for letter, tag in tags.items() if tag in _PLACES]
    if len(tags) < len(own) or any(letter in others or letter not in leaving for letter in places):
        raise Blocked("fixed-size", "it multiplies rows, columns or cells with weights of a fixed size")
    return plane.tagged(*(tags.get(letter, "") for letter in leaving))


def attention(operation: Operation) -> State:
    raise Blocked("attention", "every cell attends to all others (attention)")


def softmax(operation: Operation) -> State:
    """Over channels it is local."""
    plane = one_plane(operation)
    dim = operation.both(1, "dim")[0]
    if dim is not None and plane.tags[int(dim)] in _PLACES:
        raise Blocked("attention", "it takes a softmax over the places of the map")
    return plane


def normalizing(operation: Operation) -> State:
    """Division by a norm: over channels it is local."""
    plane = one_plane(operation)
    if plane.tags[int(operation.both(2, "dim", 1)[0])] in _PLACES:
        raise Blocked("attention", "it weighs the places of the map against each other (attention)")
    return plane


def unsqueezing(operation: Operation) -> State:
    """A new dimension of size one."""
    plane = one_plane(operation)
    return _with_dimension(plane, int(operation.fixed(1, "dim")))


def expanding(operation: Operation) -> State:
    """Repeating values along dimensions that run over nothing of the image."""
    plane = one_plane(operation)
    return _broadcast(plane, operation)


def gating(operation: Operation) -> State:
    """One half of the channels opens and closes the other."""
    plane = one_plane(operation)
    tag = plane.tags[int(operation.fixed(1, "dim", -1))]
    if tag:
        raise Blocked("attention", f"one half of the {words(tag)} weighs the other")
    return plane


def wrapping(operation: Operation) -> State:
    """Rolls, flips, repetitions and rotations: of channels they are local, of the map they are not."""
    plane = one_plane(operation)
    name = operation.called
    given = list(operation.values[0][0][1:])
    if name == "repeat_interleave":
        dim = operation.both(2, "dim")[0]
        if dim is not None and not plane.tags[int(dim)] and operation.shapes is not None:
            return plane
    elif name == "repeat":
        times = _several(operation.values[0][1].get("repeats") or (given[0] if len(given) == 1 else given))
        if len(times) >= len(plane.tags):
            touched = [tag for tag, count in zip(reversed(plane.tags), reversed(times), strict=False) if count != 1]
            if not any(touched):
                new: list[Tag] = [""] * (len(times) - len(plane.tags))
                return plane.tagged(*new, *plane.tags)
    elif name in ("flip", "roll"):
        dims = operation.both(2, "dims")[0] if name == "roll" else operation.values[0][1].get("dims") or given
        if name == "flip" and len(dims) == 1:
            dims = dims[0]
        if dims not in (None, (), []) and not any(plane.tags[dim] for dim in _several(dims)):
            return plane
    raise Blocked("fixed-size", f"it turns the map around ({name})", WHOLE)
