"""À trous rules for what moves cells about: paddings, slices, sizes, reshapes, and branches that meet."""

from __future__ import annotations

import operator
from fractions import Fraction
from typing import Any

import torch
import torch.nn.functional as F
from torch import fx

from fullconv.geometry.operations import Operation
from fullconv.geometry.states import Plane, Tag
from fullconv.surgery.rewriting import AXES, Rewriting, Spacing, Spacings, cut, original_sizes, raw, refuse
from fullconv.surgery.spaced_windows import SpacedPad2d, SpacedPool2d
from fullconv.surgery.window_rules import blocks, respaced, unruly


def joining(work: Rewriting, op: Operation) -> Spacings:
    """Values that meet cell by cell; where their borders may differ, all are cut to the smallest."""
    maps = work.maps(op)
    joined = work.spacings[maps[0]]
    standing = {node: node for node in maps}
    for tag in AXES:
        sources = [node for node in maps if {tag, "cells"} & set(work.plane(node).tags)] or maps[:1]
        found = [work.spacings[node][tag] for node in sources]
        apart = {spacing.cells for spacing in found}
        if len(apart) > 1:
            first, *_, last = sorted(apart)
            raise refuse(
                op,
                f"branches meet whose strides were reduced by different factors, {first} and {last}",
                "name the strided layers of all branches",
            )
        if len(sources) == 1 or apart == {1}:
            joined = joined.along(tag, found[0])
            continue
        if len({spacing.end for spacing in found}) > 1:
            _cut(work, op, tag, sources, standing)
        joined = joined.along(tag, _shortest(work, op, tag, found))
    return joined


def _cut(work: Rewriting, op: Operation, tag: Tag, sources: list[fx.Node], standing: dict[fx.Node, fx.Node]) -> None:
    """Cut each value to the sizes of the others; `standing` says what stands for it among the arguments by now."""
    if any("cells" in work.plane(node).tags for node in sources):
        raise refuse(op, "maps whose rows and columns are flattened meet with borders that differ")
    one_of_each = {work.spacings[node][tag].end: work.spacings[node][tag] for node in sources}
    for node in sources:
        shorter = standing[node]
        for other in one_of_each.values():
            if other.end != work.spacings[node][tag].end:
                dim = work.plane(node).tags.index(tag)
                shorter = work.insert(op.node, cut, shorter, dim, work.size(op.node, other.at))
        op.node.replace_input_with(standing[node], shorter)
        standing[node] = shorter


def _shortest(work: Rewriting, op: Operation, tag: Tag, found: list[Spacing]) -> Spacing:
    numbers = [spacing.end for spacing in found if isinstance(spacing.end, Fraction)]
    at = work.place(op.node, tag) or found[0].at
    same = len({spacing.end for spacing in found}) == 1
    end = found[0].end if same else min(numbers) if len(numbers) == len(found) else object()
    return Spacing(found[0].cells, end, at)


def padding(work: Rewriting, op: Operation) -> Spacings:
    """As many more cells as the original's lie apart."""
    source = work.source(op)
    plane, before = work.plane(source), work.spacings[source]
    amounts: Any = op.module.padding if op.module is not None else raw(op, 1, "pad")
    if isinstance(amounts, fx.Node):
        raise refuse(op, "its amounts are computed while the network runs")
    amounts = [amounts] * 4 if isinstance(amounts, int) else list(amounts)
    after = before
    factors: list[int] = []
    for index, (first, last) in enumerate(zip(amounts[::2], amounts[1::2], strict=True), 1):
        tag = plane.tags[-index]
        factors.append(before[tag].cells if tag in AXES else 1)
        if tag in AXES:
            known = isinstance(first, int) and isinstance(last, int)
            after = after.along(tag, work.passed(op, tag, 1, 1, Fraction(first + last) if known else object()))
    if all(factor == 1 for factor in factors):
        return after
    mode = str(op.both(2, "mode", "constant")[0])
    names = {"ReflectionPad2d": "reflect", "ReplicationPad2d": "replicate"}
    mode = names.get(op.called, "constant") if op.module is not None else mode
    if mode == "constant":
        scaled = [work.times(op.node, amount, factors[i // 2]) for i, amount in enumerate(amounts)]
        value = getattr(op.module, "value", 0.0) if op.module is not None else raw(op, 3, "value", None)
        work.become(op.node, F.pad, source, tuple(scaled), "constant", value)
    elif all(isinstance(amount, int) for amount in amounts) and plane.tags[-2:] == AXES:
        left, right, top, bottom = [*amounts, 0, 0][:4]
        layer = SpacedPad2d(mode, left, right, top, bottom, spacing=(before.rows.cells, before.cols.cells))
        work.become_module(op, layer, source)
    else:
        raise refuse(op, f"its padding ({mode}) is computed while the network runs")
    return after


def slicing(work: Rewriting, op: Operation) -> Spacings:
    """Starts and ends move with the cells; a step is a stride."""
    source = op.node.args[0]
    if not isinstance(source, fx.Node) or isinstance(work.states[source], tuple):
        return work.spacings[work.source(op)]
    index: Any = op.node.args[1]
    values = op.values[0][0][1]
    items = list(index) if isinstance(index, tuple | list) else [index]
    known = list(values) if isinstance(values, tuple | list) else [values]
    tags = iter(_indexed(work.plane(source), known))
    before, after, changed = work.spacings[source], work.spacings[source], False
    for position, item in enumerate(known):
        tag = next(tags)
        if tag not in AXES or not isinstance(item, slice):
            continue
        step = item.step or 1
        kept, apart = work.step(op, tag, step), before[tag].cells
        given = items[position] if isinstance(items[position], slice) else item
        after = after.along(tag, work.passed(op, tag, step, kept, _shortened(given)))
        if apart > 1 or kept != step:
            start, stop = (work.times(op.node, value, apart) for value in (given.start, given.stop))
            items[position], changed = slice(start, stop, kept), True
    if changed:
        work.become(op.node, operator.getitem, source, tuple(items))
    return after


def _indexed(plane: Plane, items: list[Any]) -> list[Tag]:
    """What each item of an index picks from."""
    tags: list[Tag] = []
    dim = 0
    for position, item in enumerate(items):
        if item is None:
            tags.append("")
        elif item is Ellipsis:
            tags.append("")
            rest = sum(later is not None for later in items[position + 1 :])
            dim = len(plane.tags) - rest
        else:
            tags.append(plane.tags[dim])
            dim += 1
    return tags


def _shortened(item: slice) -> Fraction | object:
    start, stop = item.start or 0, item.stop
    if not isinstance(start, int) or not (stop is None or (isinstance(stop, int) and stop < 0)):
        return object()
    return Fraction((stop or 0) - start)


def narrowing(work: Rewriting, op: Operation) -> Spacings:
    """`narrow` as a slice, which may end before its length is reached."""
    source = work.source(op)
    dim = int(op.fixed(1, "dim")) % len(work.plane(source).tags)
    tag = work.plane(source).tags[dim]
    if tag not in AXES or work.spacings[source][tag].cells == 1:
        return unruly(work, op)
    start, length = raw(op, 2, "start"), raw(op, 3, "length")
    computed = isinstance(start, fx.Node) or isinstance(length, fx.Node)
    stop = work.insert(op.node, operator.add, start, length) if computed else start + length
    apart = work.spacings[source][tag].cells
    part = slice(work.times(op.node, start, apart), work.times(op.node, stop, apart))
    work.become(op.node, operator.getitem, source, (*[slice(None)] * dim, part))
    return unruly(work, op)


def measuring(work: Rewriting, op: Operation) -> None:
    """Sizes: the network goes on computing with those of the original."""
    source = work.source(op)
    plane, spacings = work.plane(source), work.spacings[source]
    if spacings.is_original:
        return
    asked = raw(op, 1, "name") if op.called == "getattr" else op.called
    if asked in ("numel", "nelement"):
        raise refuse(op, "it counts all values of the map")
    if asked not in ("shape", "size"):
        return
    if "cells" in plane.tags:
        raise refuse(op, "it asks for the size of a map whose rows and columns are flattened into one")
    apart = tuple(spacings[tag].cells if tag in AXES else 1 for tag in plane.tags)
    dim = None if asked == "shape" else raw(op, 1, "dim")
    if dim is None:
        work.become(op.node, original_sizes, source, apart)
    elif apart[dim] > 1:
        sizes = work.insert(op.node, original_sizes, source, apart)
        work.become(op.node, operator.getitem, sizes, dim)


def reshaping(work: Rewriting, op: Operation) -> Spacings:
    """view and reshape: sizes of rows and columns are those of the new map; blocks are cells that lie apart."""
    source = work.source(op)
    old, new = work.plane(source), work.plane(op.node)
    before = after = work.spacings[source]
    value, tags, changed = source, list(old.tags), not before.is_original
    places: dict[Tag, tuple[fx.Node, int]] = {tag: before[tag].at for tag in AXES}
    for tag in AXES:
        ratio = new.field(tag).stride / old.field(tag).stride
        if ratio < 1 and before[tag].cells > 1:
            raise refuse(op, "enlarging a map by a reshape has no à trous form")
        if ratio < 1:
            after = after.along(tag, work.passed(op, tag, 1, 1, object()))
        if ratio <= 1:
            continue
        block = int(ratio)
        step, dim = work.step(op, tag, block), tags.index(tag)
        after = after.along(tag, work.passed(op, tag, block, step, Fraction(1 - block)))
        if step != block or before[tag].cells > 1:
            changed = True
            value = work.insert(op.node, blocks, value, len(tags), dim, block, before[tag].cells, step)
            tags.insert(dim + 1, "row offset" if tag == "rows" else "col offset")
    if not changed or op.kind in ("flatten", "squeeze"):
        return after
    for tag in AXES:
        if value is not source and tag in tags:
            places[tag] = (value, tags.index(tag))
    work.become(op.node, torch.reshape, value, _sizes(work, op, new, places))
    return after


def _sizes(work: Rewriting, op: Operation, new: Plane, places: dict[Tag, tuple[fx.Node, int]]) -> tuple[Any, ...]:
    """The sizes that a call names, with those of rows and columns taken from the new maps."""
    given: Any = op.node.args[1:] or (op.node.kwargs.get("shape", op.node.kwargs.get("size")),)
    if len(given) == 1 and isinstance(given[0], tuple | list):
        given = given[0]
    if len(given) == 1 and isinstance(given[0], fx.Node) and len(new.tags) > 1:
        given = [work.insert(op.node, operator.getitem, given[0], dim) for dim in range(len(new.tags))]
    if len(given) != len(new.tags):
        raise refuse(op, f"the sizes given to this {op.called} cannot be followed")
    sizes = list(given)
    for dim, tag in enumerate(new.tags):
        if tag in AXES:
            sizes[dim] = work.size(op.node, places[tag])
        elif tag == "cells" and given[dim] != -1:
            rows, cols = (work.size(op.node, places[axis]) for axis in AXES)
            sizes[dim] = work.insert(op.node, operator.mul, rows, cols)
    return tuple(sizes)


def expanding(work: Rewriting, op: Operation) -> Spacings:
    """Along dimensions that run over nothing of the image; the other sizes are those of the new map."""
    source = work.source(op)
    before = work.spacings[source]
    if not before.is_original:
        places = {tag: before[tag].at for tag in AXES}
        work.become(op.node, torch.Tensor.expand, source, *_sizes(work, op, work.plane(op.node), places))
    return before


def own(work: Rewriting, op: Operation) -> Spacings:
    """A module that says itself what it reads stays as it is where nothing lies apart, or where it looks at each cell
    alone."""
    if isinstance(op.module, SpacedPool2d | SpacedPad2d):
        return respaced(work, op)
    source = work.source(op)
    old, new = work.plane(source), work.plane(op.node)
    same_size = op.shapes is not None and op.shapes == work.trace.shapes(source)
    if not work.spacings[source].is_original:
        if not same_size or any(old.field(tag) != new.field(tag) for tag in AXES):
            raise refuse(op, f"nothing is known of how to dilate a {op.called}")
        return joining(work, op)
    return unruly(work, op)


def consistent(sizes: tuple[int, ...], new: tuple[int, ...], apart: tuple[int, ...]) -> bool:
    """Whether a new shape has as many cells of the original as the original.

    >>> consistent((2, 8, 3), (2, 8, 9), (1, 1, 4)), consistent((2, 8, 2), (2, 8, 9), (1, 1, 4))
    (True, False)
    """
    return len(sizes) == len(new) and all(
        -(-have // cells) == want for want, have, cells in zip(sizes, new, apart, strict=True)
    )
