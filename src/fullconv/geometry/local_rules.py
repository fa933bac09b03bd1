"""Operations that look at a neighbourhood: convolutions, pooling, padding, resizing, shuffles."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction

from fullconv.geometry.fields import Field
from fullconv.geometry.operations import Operation, is_computed
from fullconv.geometry.states import WHOLE, Blocked, Lost, Plane, State, Tag, Whole, depends, planes

_TAPS = {"nearest": 1, "nearest-exact": 1, "bilinear": 2, "bicubic": 4}

_LARGEST_DENOMINATOR = 100
"""Of a factor of interpolation; after so many cells they lie on whole pixels again."""


def one_plane(operation: Operation) -> Plane:
    """The tensor that the operation reads, where the others are weights.

    Raises:
        Lost: that one may depend on the whole image already.
    """
    found = next((state for state in operation.states if isinstance(state, Plane | Whole)), WHOLE)
    if isinstance(found, Whole):
        raise Lost
    return found


def _each_axis(operation: Operation, change: Callable[[Field, int], Field]) -> State:
    """Change the fields of the last two dimensions of an (N, C, H, W) plane; `change` gets 0 for the first of them."""
    plane = one_plane(operation)
    if len(planes(operation.states)) > 1:
        raise Blocked("attention", "its weights are cells of the map")
    if len(plane.tags) < 3 or not {plane.tags[-2], plane.tags[-1]} <= {"rows", "cols"} or plane.tags[-3]:
        raise Blocked("unknown", "it slides over dimensions that are not the rows and columns of the image")
    for axis, dimension in enumerate((-2, -1)):
        tag = plane.tags[dimension]
        plane = plane.along(tag, change(plane.field(tag), axis))
    return plane


def convolution(operation: Operation) -> State:
    """Dilated, grouped, strided, with any padding."""
    kernel = _kernel(operation)
    stride, dilation = operation.pair(3, "stride", 1), operation.pair(5, "dilation", 1)
    if getattr(operation.module, "padding_mode", "zeros") == "circular":
        raise Blocked("fixed-size", "its padding wraps around the image")
    padding = operation.fixed(4, "padding", 0)
    if padding == "same":
        before = tuple(d * (k - 1) // 2 for k, d in zip(kernel, dilation, strict=True))
    else:
        before = (0, 0) if padding == "valid" else operation.pair(4, "padding", 0)
    return _each_axis(
        operation,
        lambda field, i: field.window(kernel[i], stride=stride[i], padding=before[i], dilation=dilation[i]),
    )


def transposed_convolution(operation: Operation) -> State:
    """With any stride, padding and dilation; output padding adds cells at the end and does not change the map."""
    kernel = _kernel(operation)
    stride, padding = operation.pair(3, "stride", 1), operation.pair(4, "padding", 0)
    dilation = operation.pair(7, "dilation", 1)
    return _each_axis(
        operation,
        lambda field, i: field.spread(kernel[i], stride=stride[i], padding=padding[i], dilation=dilation[i]),
    )


def _kernel(operation: Operation) -> tuple[int, int]:
    if operation.module is not None:
        return operation.pair(0, "kernel_size")
    arguments, named = operation.values[0]
    weight = named["weight"] if "weight" in named else arguments[1]
    return int(weight.shape[-2]), int(weight.shape[-1])


def pooling(operation: Operation) -> State:
    """Max, average and LP pooling; a partial cell that rounding up adds at the end does not change the map."""
    at = 2 if operation.kind == "lp_pool2d" else 1
    kernel = operation.pair(at, "kernel_size")
    stride = kernel if operation.fixed(at + 1, "stride") in (None, []) else operation.pair(at + 1, "stride")
    padding = (0, 0) if operation.kind == "lp_pool2d" else operation.pair(at + 2, "padding", 0)
    dilation = operation.pair(at + 3, "dilation", 1) if operation.kind == "max_pool2d" else (1, 1)
    plane = _each_axis(
        operation,
        lambda field, i: field.window(kernel[i], stride=stride[i], padding=padding[i], dilation=dilation[i]),
    )
    # Indices count the cells of a map of one size.
    return (plane, WHOLE) if operation.shapes is None else plane


def padding(operation: Operation) -> State:
    """Any padding by a fixed number of cells, also a negative one; what is added lies outside the image."""
    plane = one_plane(operation)
    amounts = operation.both(1, "padding" if operation.module is not None else "pad")
    mode = operation.both(2, "mode", "constant")[0]
    if mode == "circular" or operation.kind == "circular_pad":
        raise Blocked("fixed-size", "its padding wraps around the image", plane)
    first, second = ([value] * 4 if isinstance(value, int) else list(value) for value in amounts)
    computed = operation.computed(1, "pad")
    for index in range(0, len(first), 2):
        tag = plane.tags[-1 - index // 2]
        if tag in ("rows", "cols"):
            if first[index] != second[index] or computed:
                reason = "its padding is computed from the size of the image"
                raise Blocked("size-dependent-padding", reason, plane)
            plane = plane.along(tag, plane.field(tag).moved(-int(first[index])))
        elif tag and (first[index] or first[index + 1]):
            raise Blocked("unknown", "it pads flattened cells")
    return plane


def resizing(operation: Operation) -> State:
    """Nearest, bilinear and bicubic interpolation by a fixed factor."""
    mode = operation.both(3, "mode", "nearest")[0]
    if operation.both(1, "size")[0] is not None:
        raise Blocked("resizing", "it resizes to a given size", WHOLE)
    if operation.both(4, "align_corners")[0]:
        raise Blocked("resizing", "it aligns the corners, so its factor depends on the size of the image", WHOLE)
    if mode not in _TAPS:
        raise Blocked("unknown", f"it resizes by {mode}")
    factor = operation.fixed(2, "scale_factor")
    factors = [factor, factor] if isinstance(factor, int | float) else [factor[0], factor[-1]]
    exact = [Fraction(value).limit_denominator(_LARGEST_DENOMINATOR) for value in factors]
    crooked = next((value for value, simple in zip(factors, exact, strict=True) if float(simple) != value), None)
    if crooked is not None:
        raise Blocked("resizing", f"its factor {crooked} is no ratio of small numbers, so its cells drift", WHOLE)
    if operation.both(5, "recompute_scale_factor")[0] and any(value.denominator > 1 for value in exact):
        raise Blocked("resizing", "it works its factor out anew from the size of the image", WHOLE)
    antialias, half = bool(operation.both(6, "antialias", False)[0]), mode != "nearest"
    return _each_axis(
        operation, lambda field, i: field.resized(exact[i], taps=_TAPS[mode], antialias=antialias, half=half)
    )


def shuffling(operation: Operation) -> State:
    """Pixel shuffle and unshuffle."""
    if operation.kind == "pixel_shuffle":
        up = int(operation.fixed(1, "upscale_factor"))
        return _each_axis(operation, lambda field, i: field.repeated(up))
    down = int(operation.fixed(1, "downscale_factor"))
    return _each_axis(operation, lambda field, i: field.blocks(down))


def adaptive_pooling(operation: Operation) -> State:
    """To one cell: global pooling; to a fixed number of cells: windows that depend on the size; both are obstacles."""
    plane = one_plane(operation)
    wanted = operation.both(1, "output_size")[0]
    sizes = [wanted, wanted] if not isinstance(wanted, list | tuple) else [wanted[0], wanted[-1]]
    if all(size is None for size in sizes):
        return plane
    if "1d" in operation.called and not plane.tags[-1]:
        return plane
    if sizes == [1, 1]:
        raise Blocked("global-pooling", "it pools the whole map into one cell")
    raise Blocked("adaptive-pooling", f"it divides the map, whatever its size, into {sizes[0]}×{sizes[1]} windows")


def slicing(operation: Operation) -> State:
    """Slices and indices: a fixed start moves the map, a step thins it out, an end cuts cells off."""
    source = operation.args[0]
    index, other = operation.values[0][0][1], operation.values[1][0][1]
    if isinstance(source, tuple | list):
        part: State = source[index]
        if isinstance(part, Whole) and planes(source):
            raise Blocked("fixed-size", "its indices count the cells of a map of one size")
        return part
    if not isinstance(source, Plane):
        return source  # type: ignore[no-any-return]
    items, others = (list(value) if isinstance(value, tuple) else [value] for value in (index, other))
    raw = operation.node.args[1]
    written = list(raw) if isinstance(raw, tuple) else [raw]
    before = operation.values[0][0][0].shape
    tags: list[Tag] = []
    plane, dim = source, 0
    for position, (item, second, kept) in enumerate(zip(items, others, written, strict=True)):
        if item is Ellipsis:
            rest = len(items) - position - 1 - sum(later is None for later in items[position + 1 :])
            while dim < len(before) - rest:
                tags.append(source.tags[dim])
                dim += 1
            continue
        if item is None:
            tags.append("")
            continue
        tag = source.tags[dim]
        dim += 1
        if isinstance(item, slice):
            tags.append(tag)
            if tag in ("rows", "cols"):
                moving = isinstance(kept, slice) and is_computed((kept.start, kept.step))
                plane = plane.along(tag, _sliced(plane.field(tag), item, second, computed=moving))
            elif tag == "cells" and (item.start, item.stop, item.step) != (None, None, None):
                raise Blocked("unknown", "it cuts flattened cells")
        elif tag:
            raise Blocked("unknown", "it picks single cells of the map")
        elif not isinstance(item, int):
            tags.append("")
    return plane.tagged(*tags, *source.tags[dim:])


def _sliced(field: Field, item: slice, second: slice, *, computed: bool) -> Field:
    start, step = item.start or 0, item.step or 1
    if computed or start != (second.start or 0) or step != (second.step or 1):
        raise Blocked("size-dependent", "it cuts at a place computed from the size of the image")
    if start < 0 or step < 0:
        raise Blocked("size-dependent", "it counts from the far end of the image")
    return field.window(1, stride=step, padding=-start)


def narrowing(operation: Operation) -> State:
    """`narrow(dim, start, length)`."""
    plane = one_plane(operation)
    tag = plane.tags[int(operation.fixed(1, "dim"))]
    if tag in ("rows", "cols"):
        start = int(operation.fixed(2, "start"))
        return plane.along(tag, _sliced(plane.field(tag), slice(start, None), slice(start, None), computed=False))
    if tag:
        raise Blocked("unknown", "it cuts flattened cells")
    return plane


def choosing(operation: Operation) -> State:
    """`select(dim, index)` and `index_select(dim, indices)` of channels."""
    plane = one_plane(operation)
    dim = int(operation.fixed(1, "dim")) % len(plane.tags)
    if plane.tags[dim]:
        raise Blocked("unknown", "it picks single cells of the map")
    return plane if operation.called == "index_select" else plane.tagged(*plane.tags[:dim], *plane.tags[dim + 1 :])


def unfolding(operation: Operation) -> State:
    """`tensor.unfold(dim, size, step)`: windows along one dimension, their cells in a new last one."""
    plane = one_plane(operation)
    if operation.node.op != "call_method":
        raise Blocked("unknown", "it gathers windows into columns")
    tag = plane.tags[int(operation.fixed(1, "dimension"))]
    if tag not in ("rows", "cols"):
        raise Blocked("unknown", "it unfolds a dimension that is not the rows or columns of the image")
    size, step = int(operation.fixed(2, "size")), int(operation.fixed(3, "step"))
    moved = plane.along(tag, plane.field(tag).window(size, stride=step))
    return moved.tagged(*plane.tags, "row offset" if tag == "rows" else "col offset")


def joined(operation: Operation, states: list[State]) -> State:
    """Branches that meet, cell by cell: each cell reads what any branch reads.

    Raises:
        Blocked: the branches have different strides, so that no cell of the one lies on one of the other.
    """
    found = planes(states)
    if not found:
        return WHOLE if depends(states) else None
    first = max(found, key=lambda plane: len(plane.tags))
    for other in found:
        if other is first:
            continue
        if (other.rows.stride, other.cols.stride) != (first.rows.stride, first.cols.stride):
            raise Blocked(
                "misaligned",
                f"branches of stride {first.rows.stride} and {other.rows.stride} meet in it",
            )
        skew = (
            max(first.skew[0], other.skew[0], abs(first.rows.center - other.rows.center)),
            max(first.skew[1], other.skew[1], abs(first.cols.center - other.cols.center)),
        )
        wider = first.rows if first.rows.size >= other.rows.size else other.rows
        wide = first.cols if first.cols.size >= other.cols.size else other.cols
        first = replace(
            first,
            tags=_met(first.tags, other.tags),
            rows=replace(first.rows.joined(other.rows), center=wider.center),
            cols=replace(first.cols.joined(other.cols), center=wide.center),
            skew=skew,
        )
    return first


def _met(tags: tuple[Tag, ...], others: tuple[Tag, ...]) -> tuple[Tag, ...]:
    """The tags of a tensor that two make, the last dimensions on one another; one without a tag is spread out."""
    found = list(tags)
    for back, other in enumerate(reversed(others), 1):
        if found[-back] and other and found[-back] != other:
            raise Blocked("misaligned", "maps meet in it whose dimensions lie in another order")
        found[-back] = found[-back] or other
    met = [tag for tag in found if tag]
    if len(met) > len(set(met)):
        raise Blocked("attention", "every cell meets all others in it")
    return tuple(found)
