"""A picture of simple shapes: edges of every direction, corners, curves and stripes, to see what filters answer to."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from fullconv.networks.normalization import Normalization

WIDTH, HEIGHT = 320, 240
_FINER = 4
_CELL = 80
_PAPER, _INK = (236, 232, 222), (28, 32, 40)
_RED, _GREEN, _BLUE, _YELLOW = (200, 56, 48), (52, 140, 76), (44, 92, 184), (232, 184, 40)


@cache
def simple_shapes() -> npt.NDArray[np.uint8]:
    """The picture: (240, 320, 3) uint8, always the same.

    Twelve fields of 80×80 pixels: a square, a disc, a triangle, a star; stripes across, upright and oblique, a
    checkerboard; rings, a cross, a ramp of grey, and a clock, which AlexNet is said to see in such pictures anyway.

    Source: the seed article's figure 6, whose input is a picture of simple shapes.

    >>> simple_shapes().shape, simple_shapes().dtype
    ((240, 320, 3), dtype('uint8'))
    """
    picture = Image.new("RGB", (WIDTH * _FINER, HEIGHT * _FINER), _PAPER)
    draw = ImageDraw.Draw(picture)
    fields = (
        *(_square, _disc, _triangle, _star),
        *(_lying_stripes, _upright_stripes, _oblique_stripes, _checkerboard),
        *(_rings, _cross, _ramp, _clock),
    )
    for number, field in enumerate(fields):
        row, column = divmod(number, WIDTH // _CELL)
        field(draw, column * _CELL, row * _CELL)
    small = picture.resize((WIDTH, HEIGHT), Image.Resampling.BOX)
    found = np.asarray(small).copy()
    found.setflags(write=False)
    return found


def shapes_for(channels: int, dtype: str, normalization: Normalization) -> npt.NDArray[Any]:
    """The picture as a model takes images: (240, 320, channels) of its dtype.

    A model of three 8-bit bands gets it in colour. Others get it in grey in every band; where values are not bytes,
    black and white lie two deviations below and above the mean that the model was trained on.

    >>> shapes_for(5, "uint16", Normalization(scale=65535, mean=(0.5,) * 5, std=(0.1,) * 5)).shape
    (240, 320, 5)
    """
    colors = simple_shapes()
    if channels == 3 and dtype == "uint8":
        return colors
    grey = np.asarray(Image.fromarray(colors).convert("L"))
    if dtype == "uint8":
        return np.repeat(grey[..., None], channels, axis=-1)
    from_mean = (grey[..., None].astype(np.float64) / 255 - 0.5) * 4
    mean, std = np.array(normalization.mean), np.array(normalization.std)
    values = np.broadcast_to((mean + from_mean * std) * normalization.scale, (*grey.shape, channels))
    if dtype == "uint16":
        values = values.round().clip(0, 65535)
    return np.asarray(values.astype(dtype))


def _polygon(draw: ImageDraw.ImageDraw, points: Sequence[tuple[float, float]], color: tuple[int, int, int]) -> None:
    draw.polygon([(x * _FINER, y * _FINER) for x, y in points], fill=color)


def _box(
    draw: ImageDraw.ImageDraw, x: float, y: float, width: float, height: float, color: tuple[int, int, int]
) -> None:
    _polygon(draw, [(x, y), (x + width, y), (x + width, y + height), (x, y + height)], color)


def _circle(draw: ImageDraw.ImageDraw, x: float, y: float, radius: float, color: tuple[int, int, int]) -> None:
    draw.ellipse([(value * _FINER) for value in (x - radius, y - radius, x + radius, y + radius)], fill=color)


def _square(draw: ImageDraw.ImageDraw, x: int, y: int) -> None:
    _box(draw, x + 18, y + 18, 44, 44, _BLUE)


def _disc(draw: ImageDraw.ImageDraw, x: int, y: int) -> None:
    _circle(draw, x + 40, y + 40, 25, _RED)


def _triangle(draw: ImageDraw.ImageDraw, x: int, y: int) -> None:
    _polygon(draw, [(x + 40, y + 14), (x + 66, y + 62), (x + 14, y + 62)], _GREEN)


def _star(draw: ImageDraw.ImageDraw, x: int, y: int) -> None:
    points = []
    for corner in range(10):
        radius, angle = (28 if corner % 2 == 0 else 12), math.pi * (corner / 5 - 0.5)
        points.append((x + 40 + radius * math.cos(angle), y + 41 + radius * math.sin(angle)))
    _polygon(draw, points, _YELLOW)


def _lying_stripes(draw: ImageDraw.ImageDraw, x: int, y: int) -> None:
    for line in range(6):
        _box(draw, x + 14, y + 14 + 9 * line, 52, 4.5, _INK)


def _upright_stripes(draw: ImageDraw.ImageDraw, x: int, y: int) -> None:
    for line in range(6):
        _box(draw, x + 14 + 9 * line, y + 14, 4.5, 52, _INK)


def _oblique_stripes(draw: ImageDraw.ImageDraw, x: int, y: int) -> None:
    for line in range(5):
        left = x + 10 + 9 * line
        _polygon(draw, [(left + 16, y + 14), (left + 21, y + 14), (left + 7, y + 66), (left + 2, y + 66)], _INK)


def _checkerboard(draw: ImageDraw.ImageDraw, x: int, y: int) -> None:
    for row in range(6):
        for column in range(6):
            if (row + column) % 2 == 0:
                _box(draw, x + 16 + 8 * column, y + 16 + 8 * row, 8, 8, _INK)


def _rings(draw: ImageDraw.ImageDraw, x: int, y: int) -> None:
    for number, radius in enumerate((28, 22, 16, 10, 4)):
        _circle(draw, x + 40, y + 40, radius, _INK if number % 2 == 0 else _PAPER)


def _cross(draw: ImageDraw.ImageDraw, x: int, y: int) -> None:
    _box(draw, x + 34, y + 14, 12, 52, _RED)
    _box(draw, x + 14, y + 34, 52, 12, _RED)


def _ramp(draw: ImageDraw.ImageDraw, x: int, y: int) -> None:
    for step in range(52):
        level = round(255 * step / 51)
        _box(draw, x + 14 + step, y + 18, 1, 44, (level, level, level))


def _clock(draw: ImageDraw.ImageDraw, x: int, y: int) -> None:
    _circle(draw, x + 40, y + 40, 27, _INK)
    _circle(draw, x + 40, y + 40, 24, (255, 255, 255))
    for hour in range(12):
        angle = math.pi * hour / 6
        _circle(draw, x + 40 + 20 * math.sin(angle), y + 40 - 20 * math.cos(angle), 1.5, _INK)
    for angle, length, width in ((math.pi * 5 / 3, 12, 3), (math.pi / 3, 17, 2)):
        end = (x + 40 + length * math.sin(angle), y + 40 - length * math.cos(angle))
        draw.line([(x + 40) * _FINER, (y + 40) * _FINER, end[0] * _FINER, end[1] * _FINER], _INK, width * _FINER)
