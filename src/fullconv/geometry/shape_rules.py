"""Operations that move dimensions about, or work along channels; over places of the image they are obstacles."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from fullconv.geometry.local_rules import joined, one_plane
from fullconv.geometry.operations import Operation
from fullconv.geometry.states import WHOLE, Blocked, Plane, State, Tag, Whole, depends, planes

_PLACES = ("rows", "cols", "cells")


def elementwise(operation: Operation) -> State:
    """One value in, one out; several tensors meet cell by cell."""
    state = joined(operation, operation.states)
    if isinstance(state, Plane) and operation.shapes is not None:
        state = _broadcast(state, operation)
        _refuse_spatial_constants(state, operation)
    return state


def _broadcast(plane: Plane, operation: Operation) -> Plane:
    """The tags of a result with more dimensions than the plane: new ones come first."""
    assert operation.shapes is not None
    missing = len(operation.shapes[0]) - len(plane.tags)
    new: list[Tag] = [""] * max(0, missing)
    return plane.tagged(*new, *plane.tags)


def _refuse_spatial_constants(plane: Plane, operation: Operation) -> None:
    """A parameter with a value of its own per row or column, such as a position embedding, fits one size only."""
    arguments = [*operation.values[0][0], *operation.values[0][1].values()]
    for state, value in zip(operation.states, arguments, strict=True):
        shape = getattr(value, "shape", ())
        if state is not None or not shape:
            continue
        for back in range(1, min(len(shape), len(plane.tags)) + 1):
            if shape[-back] > 1 and plane.tags[-back] in _PLACES:
                raise Blocked("fixed-size", "it has a value of its own for every place (a position embedding)", plane)


def concatenation(operation: Operation) -> State:
    """Along channels; joining along rows or columns is an obstacle."""
    tensors = operation.args[0] if operation.args else operation.kwargs["tensors"]
    state = joined(operation, list(tensors))
    if isinstance(state, Plane):
        tag = state.tags[int(operation.fixed(1, "dim", 0))]
        if tag:
            raise Blocked("fixed-size", f"it joins maps along the {_words(tag)}")
    return state


def stacking(operation: Operation) -> State:
    """Along a new dimension."""
    tensors = operation.args[0] if operation.args else operation.kwargs["tensors"]
    state = joined(operation, list(tensors))
    if not isinstance(state, Plane):
        return state
    tags = list(state.tags)
    dim = int(operation.fixed(1, "dim", 0))
    tags.insert(dim if dim >= 0 else len(tags) + 1 + dim, "")
    return state.tagged(*tags)


def splitting(operation: Operation) -> State:
    """Along channels."""
    plane = one_plane(operation)
    if isinstance(plane, Whole):
        return WHOLE
    removes = operation.called == "unbind"
    dim = int(operation.fixed(1 if removes else 2, "dim", 0))
    if plane.tags[dim]:
        raise Blocked("unknown", f"it splits the map along the {_words(plane.tags[dim])}")
    if removes:
        tags = list(plane.tags)
        del tags[dim]
        plane = plane.tagged(*tags)
    return tuple([plane] * operation.parts)


def permutation(operation: Operation) -> State:
    """permute, transpose, movedim."""
    plane = one_plane(operation)
    if isinstance(plane, Whole):
        return WHOLE
    name = operation.called
    count = len(plane.tags)
    if name == "permute":
        given = operation.values[0][0][1:] or [operation.values[0][1]["dims"]]
        order = list(given[0]) if isinstance(given[0], list | tuple) else list(given)
    elif name == "movedim":
        raise Blocked("unknown", "it moves dimensions by movedim")
    else:
        order = list(range(count))
        first, second = int(operation.fixed(1, "dim0")), int(operation.fixed(2, "dim1"))
        order[first], order[second] = order[second], order[first]
    return plane.tagged(*(plane.tags[dim] for dim in order))


def reshaping(operation: Operation) -> State:
    """view, reshape, flatten: rows and columns may be flattened together, divided into blocks and put together again.

    Raises:
        Blocked: rows or columns are mixed with something else.
    """
    plane = one_plane(operation)
    if isinstance(plane, Whole):
        return WHOLE
    assert operation.shapes is not None
    before = tuple(tuple(values[0][0].shape) for values in operation.values)
    groups = _groups(before[0], operation.shapes[0])
    if groups is None or _groups(before[1], operation.shapes[1]) != groups:
        raise Blocked("flattening", "it reshapes the map in a way that depends on the size of the image")
    tags: list[Tag] = []
    for old, new in groups:
        plane, own = _regrouped(plane, [plane.tags[dim] for dim in old], operation, old, new)
        tags += own
    return plane.tagged(*tags)


def _groups(before: Sequence[int], after: Sequence[int]) -> list[tuple[list[int], list[int]]] | None:
    """Dimensions before and after that hold the same values, in the smallest groups."""
    groups: list[tuple[list[int], list[int]]] = []
    i = j = 0
    while i < len(before) or j < len(after):
        old, new = [], []
        if i < len(before):
            old.append(i)
            i += 1
        if j < len(after):
            new.append(j)
            j += 1
        while prod(before[k] for k in old) != prod(after[k] for k in new):
            if prod(before[k] for k in old) < prod(after[k] for k in new):
                if i == len(before):
                    return None
                old.append(i)
                i += 1
            else:
                if j == len(after):
                    return None
                new.append(j)
                j += 1
        groups.append((old, new))
    return groups


def _regrouped(
    plane: Plane, tags: list[Tag], operation: Operation, old: list[int], new: list[int]
) -> tuple[Plane, list[Tag]]:
    """The tags of dimensions that came out of a group of others."""
    assert operation.shapes is not None
    mine = [tag for tag in tags if tag]
    if not mine:
        return plane, [""] * len(new)
    sizes = [[shape[dim] for shape in operation.shapes] for dim in new]
    large = [index for index, (first, second) in enumerate(sizes) if max(first, second) > 1]
    found: list[Tag] = [""] * len(new)
    full = [tag for tag, dim in zip(tags, old, strict=True) if tag or operation.values[0][0][0].shape[dim] > 1]
    if full == ["rows", "cols"] and len(large) == 1:
        found[large[0]] = "cells"
        return plane, found
    if full == ["cells"] and len(large) == 2:
        return plane, _in_order(found, large, ("rows", "cols"))
    if len(full) == 1 and len(large) <= 1:
        if large:
            found[large[0]] = full[0]
        return plane, found
    if len(full) == 1 and full[0] in ("rows", "cols") and len(large) == 2:
        outer, inner = sizes[large[0]], sizes[large[1]]
        if inner[0] == inner[1] and outer[0] != outer[1]:
            tag = full[0]
            offset: Tag = "row offset" if tag == "rows" else "col offset"
            return plane.along(tag, plane.field(tag).blocks(inner[0])), _in_order(found, large, (tag, offset))
        raise Blocked("attention", f"it divides the {_words(full[0])} into a fixed number of parts (a grid partition)")
    if (
        len(full) == 2
        and full[0] in ("rows", "cols")
        and full[1] in ("", "row offset", "col offset")
        and len(large) == 1
    ):
        tag = full[0]
        factor = operation.values[0][0][0].shape[old[tags.index(tag) + 1]]
        found[large[0]] = tag
        return plane.along(tag, plane.field(tag).repeated(int(factor))), found
    if set(full) <= {"", "row offset", "col offset"}:
        return plane, found
    if {"rows", "cols"} <= set(mine) and full[0] == "" and operation.shapes[0][0] > operation.values[0][0][0].shape[0]:
        raise Blocked("attention", "it moves windows of the map into the batch (a window partition)")
    raise Blocked("flattening", "it flattens the map, so what follows reads all of it at a fixed size")


def _in_order(found: list[Tag], places: Sequence[int], tags: Sequence[Tag]) -> list[Tag]:
    for place, tag in zip(places, tags, strict=True):
        found[place] = tag
    return found


def reduction(operation: Operation) -> State:
    """Over channels it is local; over rows or columns it reads the whole map."""
    plane = one_plane(operation)
    if isinstance(plane, Whole):
        return WHOLE
    name = operation.called
    if name in ("max", "min") and len(planes(operation.states)) > 1:
        return elementwise(operation)
    dims = operation.both(2 if name in ("norm", "topk", "vector_norm") else 1, "dim")[0]
    if dims is None or isinstance(dims, bool):
        raise Blocked("global-pooling", f"it takes the {name} of the whole map")
    chosen = {int(dim) % len(plane.tags) for dim in (dims if isinstance(dims, list | tuple) else [dims])}
    if chosen & plane.spatial:
        raise Blocked("global-pooling", f"it takes the {name} over all rows or columns")
    keeps = operation.shapes is None or len(operation.shapes[0]) == len(plane.tags)
    left = plane if keeps else plane.tagged(*(tag for dim, tag in enumerate(plane.tags) if dim not in chosen))
    return left if operation.shapes is not None else (left, left)


def batch_norm(operation: Operation) -> State:
    """Local in evaluation; in training it reads the whole batch."""
    plane = one_plane(operation)
    if isinstance(plane, Whole):
        return WHOLE
    if operation.module is not None:
        training = operation.module.training or getattr(operation.module, "running_mean", None) is None
    else:
        training = bool(operation.both(5, "training", False)[0])
    if training:
        raise Blocked(
            "batch-statistics", "batch norm in training mode takes its statistics from the whole batch", plane
        )
    return plane


def whole_map_norm(operation: Operation) -> State:
    """Group and instance norm."""
    name = operation.kind.replace("_", " ")
    raise Blocked("normalization", f"{name} takes its statistics from the whole map", one_plane(operation))


def layer_norm(operation: Operation) -> State:
    """Per pixel it is local; over rows and columns it is not."""
    plane = one_plane(operation)
    if isinstance(plane, Whole):
        return WHOLE
    over = operation.both(1, "normalized_shape")[0]
    count = 1 if isinstance(over, int) else len(over)
    if any(plane.tags[-back] in _PLACES for back in range(1, count + 1)):
        raise Blocked("normalization", "layer norm takes its statistics over rows and columns", plane)
    return plane


def linear(operation: Operation) -> State:
    """Along the last dimension: channels, or an obstacle."""
    plane = one_plane(operation)
    if isinstance(plane, Whole):
        return WHOLE
    if plane.tags[-1] in _PLACES:
        raise Blocked("fixed-size", f"its weights connect all {_words(plane.tags[-1])}")
    return plane.tagged(*plane.tags[:-1], "")


def product(operation: Operation) -> State:
    """Matrix products: channels of one cell with weights are local; cells with cells are attention."""
    found = planes(operation.states)
    if not found:
        return WHOLE if depends(operation.states) else None
    if len(found) > 1 or operation.called == "einsum":
        raise Blocked("attention", "it multiplies cells of the map with each other (attention)")
    (plane,) = found
    name = operation.called
    leads = isinstance(operation.args[0], Plane) and name in ("matmul", "bmm", "mm")
    if leads and plane.tags[-1] not in _PLACES:
        return plane.tagged(*plane.tags[:-1], "")
    raise Blocked("fixed-size", "it multiplies rows, columns or cells with weights of a fixed size")


def attention(operation: Operation) -> State:
    raise Blocked("attention", "every cell attends to all others (attention)")


def softmax(operation: Operation) -> State:
    """Over channels it is local."""
    plane = one_plane(operation)
    if isinstance(plane, Whole):
        return WHOLE
    dim = operation.both(1, "dim")[0]
    if dim is not None and plane.tags[int(dim)] in _PLACES:
        raise Blocked("attention", "it takes a softmax over the places of the map")
    return plane


def normalizing(operation: Operation) -> State:
    """Division by a norm: over channels it is local."""
    plane = one_plane(operation)
    if isinstance(plane, Whole):
        return WHOLE
    if plane.tags[int(operation.both(2, "dim", 1)[0])] in _PLACES:
        raise Blocked("attention", "it weighs the places of the map against each other (attention)")
    return plane


def unsqueezing(operation: Operation) -> State:
    """A new dimension of size one."""
    plane = one_plane(operation)
    if isinstance(plane, Whole):
        return WHOLE
    tags = list(plane.tags)
    dim = int(operation.fixed(1, "dim"))
    tags.insert(dim if dim >= 0 else len(tags) + 1 + dim, "")
    return plane.tagged(*tags)


def expanding(operation: Operation) -> State:
    """Repeating values along dimensions that run over nothing of the image."""
    plane = one_plane(operation)
    return plane if isinstance(plane, Whole) else _broadcast(plane, operation)


def wrapping(operation: Operation) -> State:
    """Rolls, flips and rotations of the map."""
    raise Blocked("fixed-size", f"it turns the map around ({operation.called})", WHOLE)


def _words(tag: Tag) -> str:
    return {"rows": "rows", "cols": "columns", "cells": "cells"}.get(tag, tag)
