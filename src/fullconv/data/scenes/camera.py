"""Perspective: from metres in the street to pixels, and back along the rays.

World axes: x to the right of the street's middle line, y up from the road, z along the street; the camera stands at
z = 0 and looks along +z, turned by a small yaw. Pitch is a shift of the lens, so that what is upright stays upright.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from random import Random

import numpy as np
import numpy.typing as npt

Point = tuple[float, float, float]
Pixel = tuple[float, float]

NEAR = 0.4
"""Nothing closer than this (metres) is drawn; polygons are clipped there."""


@dataclass(frozen=True)
class Camera:
    """A pinhole camera.

    Args:
        width, height: of the picture, in pixels.
        focal: focal length in pixels.
        center_x: column of the optical axis.
        horizon: row of the horizon.
        x, y: where the camera stands (metres).
        yaw: turn to the right (radians).

    >>> camera = Camera(width=480, height=360, focal=400.0, center_x=240.0, horizon=180.0, x=0.0, y=1.5, yaw=0.0)
    >>> camera.project((1.0, 0.0, 10.0))
    (280.0, 240.0, 10.0)
    """

    width: int
    height: int
    focal: float
    center_x: float
    horizon: float
    x: float
    y: float
    yaw: float

    @classmethod
    def random(cls, chance: Random, size: tuple[int, int], *, lane: float) -> Camera:
        """A camera about as high as a car's or a van's windscreen, near the lane's middle."""
        width, height = size
        return cls(
            width=width,
            height=height,
            focal=chance.uniform(0.78, 0.98) * math.sqrt(width * height),
            center_x=width * chance.uniform(0.47, 0.53),
            horizon=height * chance.uniform(0.46, 0.58),
            x=lane + chance.uniform(-0.5, 0.5),
            y=chance.uniform(1.35, 2.3),
            yaw=math.radians(chance.gauss(0.0, 4.5)),
        )

    @cached_property
    def turn(self) -> tuple[float, float]:
        """Cosine and sine of the yaw."""
        return math.cos(self.yaw), math.sin(self.yaw)

    def view(self, point: Point) -> Point:
        """World → camera axes: right, up, depth (metres)."""
        cos, sin = self.turn
        x, y, z = point[0] - self.x, point[1] - self.y, point[2]
        return x * cos - z * sin, y, x * sin + z * cos

    def project(self, point: Point) -> tuple[float, float, float]:
        """World → column, row (pixels; a pixel's centre is at .5) and depth (metres, at least `NEAR`)."""
        x, y, depth = self.view(point)
        depth = max(depth, NEAR)
        scale = self.focal / depth
        return self.center_x + x * scale, self.horizon - y * scale, depth

    def outline(self, points: list[Point]) -> list[Pixel]:
        """A polygon's corners in the picture, clipped at the near plane; empty if it lies behind the camera."""
        seen = [self.view(point) for point in points]
        if min(point[2] for point in seen) < NEAR:
            seen = _clip(seen)
        focal, column, row = self.focal, self.center_x, self.horizon
        return [(column + focal * x / z, row - focal * y / z) for x, y, z in seen]

    def rays(self) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        """Slopes right (1, W) and up (H, 1) per metre of depth, through the pixels' centres."""
        columns = (np.arange(self.width, dtype=np.float32) + 0.5 - self.center_x) / self.focal
        rows = (self.horizon - 0.5 - np.arange(self.height, dtype=np.float32)) / self.focal
        return columns[None, :].astype(np.float32), rows[:, None].astype(np.float32)


def _clip(points: list[Point]) -> list[Point]:
    kept: list[Point] = []
    for (ax, ay, az), (bx, by, bz) in zip(points, [*points[1:], points[0]], strict=True):
        if az >= NEAR:
            kept.append((ax, ay, az))
        if (az >= NEAR) != (bz >= NEAR):
            share = (NEAR - az) / (bz - az)
            kept.append((ax + share * (bx - ax), ay + share * (by - ay), NEAR))
    return kept
