"""À trous rules for what looks at a neighbourhood: the own stride goes, the dilation is that of the incoming map."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from typing import Any

import torch
import torch.nn.functional as F
from torch import fx, nn

from fullconv.geometry.operations import Operation
from fullconv.geometry.states import Tag
from fullconv.surgery.rewriting import AXES, Rewriting, Spacings, raw, refuse, twin
from fullconv.surgery.spaced_windows import (
    SpacedAvgPool2d,
    SpacedLPPool2d,
    SpacedMaxPool2d,
    SpacedPad2d,
    SpacedPool2d,
    SpacedWindow,
)

_MODES = {"reflect": "reflect", "replicate": "replicate"}


def _tags(work: Rewriting, source: fx.Node) -> tuple[Tag, Tag]:
    """What the last two dimensions run over."""
    tags = work.plane(source).tags
    return tags[-2], tags[-1]


def convolution(work: Rewriting, op: Operation) -> Spacings:
    """Weights stay; stride, padding and dilation change."""
    source = work.source(op)
    tags, before = _tags(work, source), work.spacings[source]
    kernel, dilation, stride = _kernel(op), op.pair(5, "dilation", 1), op.pair(3, "stride", 1)
    spans = [d * (k - 1) for k, d in zip(kernel, dilation, strict=True)]
    amounts = _padding(op, spans)
    spacing = [before[tag].cells for tag in tags]
    steps = [work.step(op, tag, t) for tag, t in zip(tags, stride, strict=True)]
    after = before
    for i, tag in enumerate(tags):
        longer = Fraction(sum(amounts[i]) - spans[i])
        after = after.along(tag, work.passed(op, tag, stride[i], steps[i], longer))
    if spacing == [1, 1] and tuple(steps) == stride:
        return after
    mode = getattr(op.module, "padding_mode", "zeros")
    aside = spacing != [1, 1] and (mode != "zeros" or any(first != last for first, last in amounts))
    padding: Any = tuple(f * first for f, (first, _) in zip(spacing, amounts, strict=True))
    if spacing == [1, 1] and op.module is not None:
        padding = op.module.padding
    settings = {
        "stride": tuple(steps),
        "padding": (0, 0) if aside else padding,
        "dilation": tuple(f * d for f, d in zip(spacing, dilation, strict=True)),
    }
    if aside:
        source = _padded(work, op, source, mode, amounts, spacing)
    _convolve(work, op, source, settings, "zeros" if aside else mode)
    return after


def _convolve(work: Rewriting, op: Operation, source: fx.Node, settings: dict[str, Any], mode: str) -> None:
    if op.module is None:
        weight, bias, groups = raw(op, 1, "weight"), raw(op, 2, "bias"), raw(op, 6, "groups", 1)
        work.become(op.node, F.conv2d, source, weight, bias, **settings, groups=groups)
        return
    layer: Any = twin(op.module)
    for name, value in settings.items():
        setattr(layer, name, value)
    layer.padding_mode = mode
    work.become_module(op, layer, source)


def _kernel(op: Operation) -> tuple[int, int]:
    if op.module is not None:
        return op.pair(0, "kernel_size")
    weight = op.values[0][1].get("weight", None)
    weight = op.values[0][0][1] if weight is None else weight
    return int(weight.shape[-2]), int(weight.shape[-1])


def _padding(op: Operation, spans: Sequence[int]) -> list[tuple[int, int]]:
    """(before, after) for rows and columns."""
    padding = op.fixed(4, "padding", 0)
    if padding == "same":
        return [(span // 2, span - span // 2) for span in spans]
    return [(0, 0)] * 2 if padding == "valid" else [(p, p) for p in op.pair(4, "padding", 0)]


def _padded(
    work: Rewriting, op: Operation, source: fx.Node, mode: str, amounts: list[tuple[int, int]], spacing: list[int]
) -> fx.Node:
    """A padding of its own in front of the convolution."""
    (top, bottom), (left, right) = amounts
    if mode == "zeros":
        rows, cols = spacing
        return work.insert(op.node, F.pad, source, (cols * left, cols * right, rows * top, rows * bottom))
    layer = SpacedPad2d(_MODES[mode], left, right, top, bottom, spacing=(spacing[0], spacing[1]))
    return work.insert_module(op.node, f"{op.name}_padding", layer, source)


def transposed_convolution(work: Rewriting, op: Operation) -> Spacings:
    """Of stride 1 it is dilated like any other; with a stride it spreads cells and has no à trous form."""
    source = work.source(op)
    tags, before = _tags(work, source), work.spacings[source]
    stride, dilation = op.pair(3, "stride", 1), op.pair(7, "dilation", 1)
    padding, more = op.pair(4, "padding", 0), op.pair(5, "output_padding", 0)
    spacing = [before[tag].cells for tag in tags]
    if spacing == [1, 1]:
        return unruly(work, op)
    if stride != (1, 1) or more != (0, 0):
        raise refuse(
            op,
            "a transposed convolution that enlarges the map has no à trous form",
            "rarefy the encoder alone, before its scores are upsampled",
        )
    settings = {
        "padding": tuple(f * p for f, p in zip(spacing, padding, strict=True)),
        "dilation": tuple(f * d for f, d in zip(spacing, dilation, strict=True)),
    }
    after = before
    for i, tag in enumerate(tags):
        longer = Fraction(dilation[i] * (_kernel(op)[i] - 1) - 2 * padding[i])
        after = after.along(tag, work.passed(op, tag, 1, 1, longer))
    if op.module is None:
        weight, bias, groups = raw(op, 1, "weight"), raw(op, 2, "bias"), raw(op, 6, "groups", 1)
        work.become(op.node, F.conv_transpose2d, source, weight, bias, **settings, groups=groups)
    else:
        layer = twin(op.module)
        for name, value in settings.items():
            setattr(layer, name, value)
        work.become_module(op, layer, source)
    return after


def pooling(work: Rewriting, op: Operation) -> Spacings:
    """Max, average and LP pooling; torch's own layer where it has what is needed."""
    source = work.source(op)
    tags, before = _tags(work, source), work.spacings[source]
    power, largest = op.kind == "lp_pool2d", op.kind == "max_pool2d"
    at = 2 if power else 1
    kernel = op.pair(at, "kernel_size")
    stride = kernel if op.fixed(at + 1, "stride") in (None, [], ()) else op.pair(at + 1, "stride")
    padding = (0, 0) if power else op.pair(at + 2, "padding", 0)
    dilation = op.pair(4, "dilation", 1) if largest else (1, 1)
    ceil = bool(op.fixed({"max_pool2d": 5, "avg_pool2d": 4, "lp_pool2d": 4}[op.kind], "ceil_mode", False))
    windows, after = [], before
    for i, tag in enumerate(tags):
        step = work.step(op, tag, stride[i])
        longer = object() if ceil else Fraction(2 * padding[i] - dilation[i] * (kernel[i] - 1))
        after = after.along(tag, work.passed(op, tag, stride[i], step, longer))
        windows.append(SpacedWindow(kernel[i], stride[i], padding[i], dilation[i], ceil, before[tag].cells, step))
    if all(window.spacing == 1 and window.step == window.stride for window in windows):
        return after
    if op.parts > 1:
        raise refuse(op, "the indices that it returns count the cells of the strided map")
    layer = _max_pool(windows) if largest else _power_pool(op, windows) if power else _avg_pool(op, windows)
    work.become_module(op, layer, source)
    return after


def _max_pool(windows: list[SpacedWindow]) -> nn.Module:
    if any(window.ceil_mode or window.before > window.kernel // 2 for window in windows):
        return SpacedMaxPool2d(*windows)
    kernel, step, padding, dilation = zip(*((w.kernel, w.step, w.before, w.taps) for w in windows), strict=True)
    return nn.MaxPool2d(kernel, step, padding, dilation)


def _avg_pool(op: Operation, windows: list[SpacedWindow]) -> nn.Module:
    counts_padding = bool(op.both(5, "count_include_pad", True)[0])
    divisor = op.both(6, "divisor_override")[0]
    if any(window.ceil_mode or window.spacing > 1 for window in windows):
        return SpacedAvgPool2d(*windows, count_include_pad=counts_padding, divisor_override=divisor)
    kernel, step, padding = zip(*((w.kernel, w.step, w.padding) for w in windows), strict=True)
    return nn.AvgPool2d(kernel, step, padding, count_include_pad=counts_padding, divisor_override=divisor)


def _power_pool(op: Operation, windows: list[SpacedWindow]) -> nn.Module:
    return SpacedLPPool2d(*windows, norm_type=float(op.both(1, "norm_type")[0]))


def respaced(work: Rewriting, op: Operation) -> Spacings:
    """A pool or a padding that an earlier rewriting put there."""
    source, module = work.source(op), op.module
    after = before = work.spacings[source]
    if isinstance(module, SpacedPad2d):
        rows, cols = module.spacing
        layer: nn.Module = twin(module)
        layer.spacing = (rows * before.rows.cells, cols * before.cols.cells)  # type: ignore[assignment]
        after = unruly(work, op)
    else:
        assert isinstance(module, SpacedPool2d)
        windows = []
        for tag, window in zip(AXES, (module.rows, module.cols), strict=True):
            step = work.step(op, tag, window.step)
            after = after.along(tag, work.passed(op, tag, window.step, step, object()))
            windows.append(replace(window, spacing=window.spacing * before[tag].cells, step=step))
        layer = module.over(*windows)
    work.become_module(op, layer, source)
    return after


def resizing(work: Rewriting, op: Operation) -> Spacings:
    """Interpolation and pixel shuffles: as they are, or refused."""
    source = work.source(op)
    if not work.spacings[source].is_original:
        raise refuse(
            op,
            f"enlarging a map ({op.called}) has no à trous form",
            "rarefy the encoder alone, before its maps are upsampled",
        )
    return unruly(work, op)


def unruly(work: Rewriting, op: Operation) -> Spacings:
    """An operation left as it is, after which the size follows no simple rule."""
    spacings = work.spacings[work.source(op)]
    for tag in AXES:
        spacings = spacings.along(tag, work.passed(op, tag, 1, 1, object()))
    return spacings


def unshuffling(work: Rewriting, op: Operation) -> Spacings:
    """Pixel unshuffle: blocks of cells that lie apart."""
    source = work.source(op)
    tags, before = _tags(work, source), work.spacings[source]
    block = int(op.fixed(1, "downscale_factor"))
    steps = [work.step(op, tag, block) for tag in tags]
    spacing = [before[tag].cells for tag in tags]
    after = before
    for i, tag in enumerate(tags):
        after = after.along(tag, work.passed(op, tag, block, steps[i], Fraction(1 - block)))
    if spacing != [1, 1] or steps != [block, block]:
        work.become(op.node, unshuffled, source, block, tuple(spacing), tuple(steps))
    return after


def blocks(maps: torch.Tensor, dims: int, dim: int, size: int, spacing: int, step: int) -> torch.Tensor:
    """Cells `step·o + spacing·j`, j < size, along one of the `dims` dimensions as two: o and, right after it, j.

    >>> blocks(torch.arange(6), 1, 0, 2, 2, 1)
    tensor([[0, 2], [1, 3], [2, 4], [3, 5]])
    """
    found = maps.unfold(dim, spacing * (size - 1) + 1, step)[..., ::spacing]
    return found.permute(*range(dim + 1), dims, *range(dim + 1, dims))


def unshuffled(maps: torch.Tensor, size: int, spacing: tuple[int, int], step: tuple[int, int]) -> torch.Tensor:
    """`pixel_unshuffle` of (N, C, H, W) maps whose original cells lie apart."""
    parts = blocks(blocks(maps, 4, 3, size, spacing[1], step[1]), 5, 2, size, spacing[0], step[0])
    return parts.permute(0, 1, 3, 5, 2, 4).flatten(1, 3)
