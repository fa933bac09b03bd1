"""view, reshape, flatten: where rows and columns are after their dimensions were joined or divided."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import prod

from fullconv.geometry.local_rules import one_plane
from fullconv.geometry.operations import Operation
from fullconv.geometry.states import Blocked, Plane, State, Tag, words


def reshaping(operation: Operation) -> State:
    """view, reshape, flatten: rows and columns may be flattened together, divided into blocks and put together again.

    Raises:
        Blocked: rows or columns are mixed with something else.
    """
    plane = one_plane(operation)
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
        across = old[tags.index("cols")]
        first, second = (values[0][0].shape[across] for values in operation.values)
        return replace(plane, widths=(first, second)), found
    if full == ["cells"] and len(large) == 2:
        if plane.widths != tuple(sizes[large[1]]):
            raise Blocked("flattening", "it cuts the flattened map into rows of another length")
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
        raise Blocked("attention", f"it divides the {words(full[0])} into a fixed number of parts (a grid partition)")
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
