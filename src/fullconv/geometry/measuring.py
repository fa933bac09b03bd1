"""The reach of a network measured, as a check on the arithmetic: a NaN goes in, and where do NaNs come out."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import Any

import torch
from torch import nn

from fullconv.errors import NetworkError
from fullconv.geometry.geometry import Reach, geometry_of
from fullconv.geometry.meta_values import bands_of, dtype_of

_ROWS_AT_ONCE = 8
_FIRST_LENGTH, _LONGEST = 256, 8192
_WIDTHS = (32, 64, 96, 128, 224, 256, 384, 512)


def measure_reach(net: nn.Module, *, channels: int | None = None, period: int | None = None) -> Reach:
    """Put a NaN into one row (then one column) of an image after the other and see which outputs turn NaN.

    Whatever is multiplied with NaN or compared with it is NaN, so this does not depend on the weights and sees every
    pixel that is read, while the support of a gradient is only a lower bound.

    Args:
        net: takes (N, C, H, W) float images, returns (N, K, h, w); real weights, on the CPU, in evaluation.
        channels: of the image; what the first convolution reads if not given.
        period: how many neighbouring rows are tried; the total stride if not given, which are all phases there are.

    Returns:
        The reach, comparable with `geometry_of(net).reach`.

    Raises:
        NetworkError: NaNs reach the border of every image tried: the network is not local.

    >>> measure_reach(nn.Conv2d(1, 1, (3, 5), padding=(1, 2)))
    Reach(up=1, down=1, left=2, right=2)
    """
    bands = channels or bands_of(net)
    periods = (period, period) if period is not None else geometry_of(net, channels=bands).total_stride
    up, down = _along(net, bands, 2, periods[0])
    left, right = _along(net, bands, 3, periods[1])
    return Reach(up, down, left, right)


def _along(net: nn.Module, channels: int, axis: int, period: int) -> tuple[int, int]:
    """Reach before and after a cell along one axis of the image."""
    length = max(_FIRST_LENGTH, 8 * period)
    length += -length % (2 * period)
    width = _narrowest(net, channels, axis, length)
    while length <= _LONGEST:
        start = length // 2
        extents = _extents(net, channels, axis, period, length, width, start)
        unread = next((row for row, extent in enumerate(extents or ()) if extent is not None), 0)
        if unread:  # a network may leave rows out; one that is read tells the stride
            start += unread
            extents = _extents(net, channels, axis, period, length, width, start)
        if extents is not None:
            return _reach(extents, start, period)
        length *= 2
    raise NetworkError(f"a NaN in one {'row' if axis == 2 else 'column'} reaches the border of every image tried")


def _narrowest(net: nn.Module, channels: int, axis: int, length: int) -> int:
    for width in _WIDTHS:
        try:
            _output(net, _image(1, channels, axis, length, width))
        except RuntimeError:  # too small for the pools
            continue
        return width
    raise NetworkError("the network takes no image of up to 512 pixels", remedy="give its channels")


def _extents(
    net: nn.Module, channels: int, axis: int, period: int, length: int, width: int, start: int
) -> list[tuple[int, int] | None] | None:
    """First and last output that a NaN in each of the rows reaches; None where one reaches the border."""
    found: list[tuple[int, int] | None] = []
    rows = range(start, start + period + 1)
    for first in range(0, len(rows), _ROWS_AT_ONCE):
        chosen = rows[first : first + _ROWS_AT_ONCE]
        images = _image(len(chosen), channels, axis, length, width)
        for image, row in zip(images, chosen, strict=True):
            image.select(axis - 1, row).fill_(float("nan"))
        struck = _output(net, images).isnan().any(dim=1).any(dim=4 - axis)
        for line in struck:
            hit = line.nonzero().flatten()
            if len(hit) and (hit[0] == 0 or hit[-1] == len(line) - 1):
                return None
            found.append((int(hit[0]), int(hit[-1])) if len(hit) else None)
    return found


def _reach(extents: list[tuple[int, int] | None], start: int, period: int) -> tuple[int, int]:
    shifts = [
        later[0] - early[0] for early, later in [(extents[0], extents[-1])] if early is not None and later is not None
    ]
    if not shifts:
        raise NetworkError("no row tried reaches an output", remedy="give another period")
    stride = Fraction(period, shifts[0])
    before = after = 0
    for row, extent in enumerate(extents, start):
        if extent is not None:
            before = max(before, int(stride * extent[1]) - row)
            after = max(after, row - int(stride * extent[0]))
    return before, after


def _image(count: int, channels: int, axis: int, length: int, width: int) -> torch.Tensor:
    height, across = (length, width) if axis == 2 else (width, length)
    return torch.zeros(count, channels, height, across)


def _output(net: nn.Module, images: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        result: Any = net(images.to(dtype_of(net)))
    while not isinstance(result, torch.Tensor):
        result = result.get("out", next(iter(result.values()))) if isinstance(result, Mapping) else result[0]
    return result
