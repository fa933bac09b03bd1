"""One map of surfaces, painted back to front; image and labels are both read from it, so they never disagree.

Every polygon is a surface: a row in a table (class, material, colour, plane, light …). The map holds the row's number
at three times the picture's resolution. The middle one of nine samples is the pixel's centre and gives the label; the
mean colour of all nine smooths the image's edges.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from fullconv.data.scenes.camera import Camera, Pixel, Point
from fullconv.data.scenes.conditions import Color

SUPERSAMPLING = 3

(PLAIN, CLOUDS, ASPHALT, SLABS, GRASS, FACADE, BRICKS, TILES, LEAVES, BOARDS, BARS, PAINT) = range(12)
"""Materials: how a surface's colour varies over it (texture.py)."""


class Paint(NamedTuple):
    """How a surface looks and what it is.

    Args:
        color: its colour in white light.
        label: its class.
        material: one of the materials above.
        params: the material's numbers, ten at most.
        glow: how much of its colour it emits by itself.
    """

    color: Color
    label: int
    material: int = PLAIN
    params: tuple[float, ...] = ()
    glow: float = 0.0


class Surfaces(NamedTuple):
    """The table's columns, one row per surface (S): float32 unless said."""

    label: npt.NDArray[np.uint8]
    material: npt.NDArray[np.uint8]
    color: npt.NDArray[np.float32]
    plane: npt.NDArray[np.float32]
    ambient: npt.NDArray[np.float32]
    sun: npt.NDArray[np.float32]
    glow: npt.NDArray[np.float32]
    params: npt.NDArray[np.float32]


class Canvas:
    """What has been painted so far.

    Args:
        camera: gives the perspective.
        sun_direction: unit vector towards the sun.
    """

    def __init__(self, camera: Camera, sun_direction: Color) -> None:
        self.camera = camera
        self._sun_direction = sun_direction
        self.sunlit = 1.0
        size = (camera.width * SUPERSAMPLING, camera.height * SUPERSAMPLING)
        self._map = Image.new("I", size, 0)
        self._pen = ImageDraw.Draw(self._map)
        self._rows: list[tuple[float, ...]] = []

    def background(self, paint: Paint) -> None:
        """The first surface: it fills the picture and lies infinitely far away."""
        number = self._add(paint, (0.0, 0.0, 0.0), 1.0, 0.0)
        self._map.paste(number, (0, 0, *self._map.size))

    def face(self, points: list[Point], paint: Paint, *, inside: Point | None = None) -> None:
        """A flat polygon in the street; with a point inside the solid it belongs to, its back is not drawn."""
        camera = self.camera
        (ax, ay, az), (bx, by, bz), (cx, cy, cz) = points[0], points[1], points[2]
        ux, uy, uz, vx, vy, vz = bx - ax, by - ay, bz - az, cx - ax, cy - ay, cz - az
        nx, ny, nz = uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx
        length = math.sqrt(nx * nx + ny * ny + nz * nz)
        if length < 1e-9:
            return
        nx, ny, nz = nx / length, ny / length, nz / length
        if inside is not None and nx * (ax - inside[0]) + ny * (ay - inside[1]) + nz * (az - inside[2]) < 0:
            nx, ny, nz = -nx, -ny, -nz
        facing = nx * (camera.x - ax) + ny * (camera.y - ay) - nz * az
        if abs(facing) < 1e-3 or (inside is not None and facing < 0):
            return
        if facing < 0:
            nx, ny, nz, facing = -nx, -ny, -nz, -facing
        corners = camera.outline(points)
        if len(corners) < 3:
            return
        cos, sin = camera.turn
        plane = (-(nx * cos - nz * sin) / facing, -ny / facing, -(nx * sin + nz * cos) / facing)
        east, up, north = self._sun_direction
        lambert = max(0.0, nx * east + ny * up + nz * north)
        self._fill(corners, self._add(paint, plane, 0.78 + 0.22 * ny, lambert * self.sunlit))

    def flat(self, corners: list[Pixel], depth: float, paint: Paint, *, light: float = 0.55) -> None:
        """A polygon given in pixels, upright at one depth (metres); `light` is its share of the sun."""
        self._fill(corners, self._add(paint, (0.0, 0.0, 1.0 / depth), 0.85, light * self.sunlit))

    def ellipse(
        self, center: Pixel, radius: tuple[float, float], depth: float, paint: Paint, *, light: float = 0.55
    ) -> None:
        """An ellipse given in pixels, upright at one depth (metres)."""
        number = self._add(paint, (0.0, 0.0, 1.0 / depth), 0.85, light * self.sunlit)
        left, top = (SUPERSAMPLING * (c - r) - 0.5 for c, r in zip(center, radius, strict=True))
        right, bottom = (SUPERSAMPLING * (c + r) - 0.5 for c, r in zip(center, radius, strict=True))
        self._pen.ellipse((left, top, max(right, left), max(bottom, top)), fill=number)

    def limb(self, start: Pixel, end: Pixel, widths: tuple[float, float], depth: float, paint: Paint) -> None:
        """A tapering bar with round ends, in pixels; `widths` at the start and at the end."""
        (ax, ay), (bx, by) = start, end
        length = math.hypot(bx - ax, by - ay) or 1.0
        nx, ny = (ay - by) / length / 2, (bx - ax) / length / 2
        first, last = widths
        corners = [
            (ax + nx * first, ay + ny * first),
            (bx + nx * last, by + ny * last),
            (bx - nx * last, by - ny * last),
            (ax - nx * first, ay - ny * first),
        ]
        self.flat(corners, depth, paint)
        number = len(self._rows) - 1
        for (x, y), width in ((start, first), (end, last)):
            left, top = SUPERSAMPLING * (x - width / 2) - 0.5, SUPERSAMPLING * (y - width / 2) - 0.5
            side = SUPERSAMPLING * width
            self._pen.ellipse((left, top, left + side, top + side), fill=number)

    def finished(self) -> tuple[npt.NDArray[np.int32], Surfaces]:
        """The map (3H, 3W) int32 of row numbers, and the table."""
        table = np.array(self._rows, dtype=np.float32)
        return np.asarray(self._map), Surfaces(
            label=table[:, 0].astype(np.uint8),
            material=table[:, 1].astype(np.uint8),
            color=table[:, 2:5],
            plane=table[:, 5:8],
            ambient=table[:, 8],
            sun=table[:, 9],
            glow=table[:, 10],
            params=table[:, 11:],
        )

    def _fill(self, corners: list[Pixel], number: int) -> None:
        self._pen.polygon(
            [(math.floor(SUPERSAMPLING * x), math.floor(SUPERSAMPLING * y)) for x, y in corners], fill=number
        )

    def _add(self, paint: Paint, plane: Point, ambient: float, sun: float) -> int:
        padding = (0.0,) * (10 - len(paint.params))
        self._rows.append(
            (paint.label, paint.material, *paint.color, *plane, ambient, sun, paint.glow, *paint.params, *padding)
        )
        return len(self._rows) - 1
