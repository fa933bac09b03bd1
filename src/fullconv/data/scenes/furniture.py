"""Street furniture: lamp posts, traffic signs and lights, fences, bins."""

from __future__ import annotations

import math
from dataclasses import dataclass
from random import Random

from fullconv.data.scenes.camera import Pixel
from fullconv.data.scenes.canvas import BARS, BOARDS, Canvas, Paint
from fullconv.data.scenes.classes import FENCE, POLE, SIGN, VOID
from fullconv.data.scenes.conditions import Color, Conditions, mixed
from fullconv.data.scenes.shadows import ShadowMap
from fullconv.data.scenes.things import Footprint

STEEL: tuple[Color, ...] = ((0.42, 0.43, 0.44), (0.22, 0.24, 0.24), (0.16, 0.22, 0.19), (0.55, 0.55, 0.54))
SNOW: Color = (0.84, 0.86, 0.90)
LAMPLIGHT: Color = (1.0, 0.86, 0.58)


@dataclass(frozen=True)
class LampPost:
    """A post with an arm over the road.

    Args:
        x, z: where.
        height: of the lamp.
        arm: reach of the arm, positive to the right (metres).
        color: of the metal.
    """

    x: float
    z: float
    height: float
    arm: float
    color: Color

    @property
    def footprint(self) -> Footprint:
        return self.x - 0.15, self.x + 0.15, self.z - 0.15, self.z + 0.15

    def cast(self, shadows: ShadowMap) -> None:
        shadows.box((self.x - 0.1, self.x + 0.1, self.z - 0.1, self.z + 0.1), self.height)

    def draw(self, canvas: Canvas, conditions: Conditions) -> None:
        column, row, depth = canvas.camera.project((self.x, 0.0, self.z))
        unit = canvas.camera.focal / depth
        paint = Paint(self.color, POLE)
        top = row - self.height * unit
        end = column + self.arm * unit
        shine = Paint(mixed(self.color, (1.0, 1.0, 1.0), 0.35), POLE)
        canvas.limb((column, row), (column, row - 1.0 * unit), (0.38 * unit, 0.34 * unit), depth, paint)
        canvas.limb((column, row - 0.9 * unit), (column, top), (0.30 * unit, 0.22 * unit), depth, paint)
        left = column - 0.05 * unit
        canvas.limb((left, row - 0.1 * unit), (left, top + 0.1 * unit), (0.09 * unit, 0.07 * unit), depth, shine)
        canvas.limb((column, top), (end, top - 0.25 * unit), (0.18 * unit, 0.14 * unit), depth, paint)
        lit = Paint(LAMPLIGHT, POLE, glow=1.0) if conditions.lamps_on else Paint((0.75, 0.75, 0.72), POLE)
        canvas.limb(
            (end - 0.3 * unit, top - 0.2 * unit),
            (end + 0.3 * unit, top - 0.2 * unit),
            (0.3 * unit, 0.3 * unit),
            depth,
            paint,
        )
        canvas.limb(
            (end - 0.2 * unit, top - 0.1 * unit),
            (end + 0.2 * unit, top - 0.1 * unit),
            (0.16 * unit, 0.16 * unit),
            depth,
            lit,
        )


@dataclass(frozen=True)
class TrafficSign:
    """A sign, or a traffic light, on a post.

    Args:
        x, z: where.
        kind: ban, warning, stop, order, crossing, direction or light.
        height: of the sign's middle.
        size: of the sign (metres).
        color: of the post.
    """

    x: float
    z: float
    kind: str
    height: float
    size: float
    color: Color

    @classmethod
    def random(cls, chance: Random, x: float, z: float, *, kind: str | None = None) -> TrafficSign:
        kind = kind or chance.choice(("ban", "warning", "stop", "order", "crossing", "direction", "light", "yield"))
        return cls(x, z, kind, chance.uniform(2.3, 2.9), chance.uniform(0.8, 1.05), chance.choice(STEEL))

    @property
    def footprint(self) -> Footprint:
        return self.x - 0.2, self.x + 0.2, self.z - 0.1, self.z + 0.1

    def cast(self, shadows: ShadowMap) -> None:
        shadows.box((self.x - 0.06, self.x + 0.06, self.z - 0.06, self.z + 0.06), self.height)
        shadows.box(
            (self.x - 0.4, self.x + 0.4, self.z - 0.05, self.z + 0.05), self.height + 0.4, bottom=self.height - 0.4
        )

    def draw(self, canvas: Canvas, conditions: Conditions) -> None:
        column, row, depth = canvas.camera.project((self.x, 0.0, self.z))
        unit = canvas.camera.focal / depth
        top = row - (self.height + 0.3) * unit
        canvas.limb((column, row), (column, top), (0.22 * unit, 0.20 * unit), depth, Paint(self.color, POLE))
        left, shine = column - 0.04 * unit, Paint(mixed(self.color, (1.0, 1.0, 1.0), 0.35), POLE)
        canvas.limb((left, row - 0.1 * unit), (left, top), (0.06 * unit, 0.06 * unit), depth, shine)
        center = (column, row - self.height * unit)
        half = self.size * unit / 2
        glow = 0.12 if conditions.lamps_on else 0.0

        def plate(shape: list[Pixel], share: float, color: Color, glow: float = glow) -> None:
            corners = [(center[0] + share * half * x, center[1] - share * half * y) for x, y in shape]
            canvas.flat(corners, depth, Paint(color, SIGN, glow=glow))

        circle, square = _regular(16), [(-0.9, -0.9), (0.9, -0.9), (0.9, 0.9), (-0.9, 0.9)]
        if self.kind == "ban":
            plate(circle, 1.0, _RED)
            plate(circle, 0.72, _WHITE)
            plate([(-0.1, -0.45), (0.12, -0.45), (0.12, 0.45), (-0.1, 0.45)], 1.0, _BLACK)
        elif self.kind in ("warning", "yield"):
            up = 1.0 if self.kind == "warning" else -1.0
            triangle = [(-1.05, -0.85 * up), (1.05, -0.85 * up), (0.0, 1.0 * up)]
            inner = [(-0.62, -0.58 * up), (0.62, -0.58 * up), (0.0, 0.5 * up)]
            plate(triangle, 1.0, _RED)
            plate(inner, 1.0, _WHITE)
        elif self.kind == "stop":
            plate(_regular(8, 0.125), 1.08, _RED)
            plate([(-0.7, -0.18), (0.7, -0.18), (0.7, 0.18), (-0.7, 0.18)], 1.0, _WHITE)
        elif self.kind == "order":
            plate(circle, 1.0, _BLUE)
            plate(
                [(-0.12, -0.6), (0.12, -0.6), (0.12, 0.1), (0.4, 0.1), (0.0, 0.65), (-0.4, 0.1), (-0.12, 0.1)],
                1.0,
                _WHITE,
            )
        elif self.kind == "crossing":
            plate(square, 1.0, _BLUE)
            plate([(-0.6, -0.6), (0.6, -0.6), (0.0, 0.6)], 1.0, _WHITE)
        elif self.kind == "direction":
            plate([(-1.5, -0.5), (1.1, -0.5), (1.6, 0.0), (1.1, 0.5), (-1.5, 0.5)], 1.0, _YELLOW)
            plate([(-1.1, -0.12), (0.8, -0.12), (0.8, 0.12), (-1.1, 0.12)], 1.0, _BLACK)
        else:
            plate([(-0.55, -1.35), (0.55, -1.35), (0.55, 1.35), (-0.55, 1.35)], 1.0, _BLACK)
            on = int(self.x * 7 + self.z) % 3
            for place, color in enumerate(((0.95, 0.12, 0.08), (0.98, 0.75, 0.10), (0.15, 0.9, 0.35))):
                bright = 1.0 if place == on else 0.22
                dot = [(0.36 * x, 0.36 * y + 0.85 * (1 - place)) for x, y in _regular(10)]
                plate(dot, 1.0, (color[0] * bright, color[1] * bright, color[2] * bright), 0.9 if place == on else 0.0)


_RED: Color = (0.72, 0.08, 0.09)
_WHITE: Color = (0.90, 0.90, 0.88)
_BLUE: Color = (0.08, 0.22, 0.58)
_YELLOW: Color = (0.88, 0.70, 0.10)
_BLACK: Color = (0.06, 0.06, 0.06)


def _regular(count: int, turn: float = 0.0) -> list[Pixel]:
    angles = [2 * math.pi * (step + turn * 4) / count for step in range(count)]
    return [(math.sin(angle), math.cos(angle)) for angle in angles]


@dataclass(frozen=True)
class Fence:
    """A fence between the pavement and a garden: boards or iron bars, with posts.

    Args:
        footprint: left, right, near, far; thin along x or along z.
        height: metres.
        boards: wooden boards (else bars).
        color: of the wood or iron.
    """

    footprint: Footprint
    height: float
    boards: bool
    color: Color

    def cast(self, shadows: ShadowMap) -> None:
        shadows.box(self.footprint, self.height)

    def draw(self, canvas: Canvas, conditions: Conditions) -> None:
        left, right, near, far = self.footprint
        x, top = (left + right) / 2, self.height
        params = (0.0, 1.0, 0.0, self.height, 0.4 if self.boards else 0.22)
        paint = Paint(self.color, FENCE, BOARDS if self.boards else BARS, params)
        canvas.face([(x, 0, near), (x, 0, far), (x, top, far), (x, top, near)], paint)
        rail = Paint(mixed(self.color, SNOW, 0.8 * conditions.snow), FENCE)
        canvas.face([(x, top - 0.06, near), (x, top - 0.06, far), (x, top + 0.05, far), (x, top + 0.05, near)], rail)


@dataclass(frozen=True)
class Bin:
    """A bin or a box on the pavement: void, as it is none of the classes."""

    x: float
    z: float
    height: float
    width: float
    color: Color

    @property
    def footprint(self) -> Footprint:
        half = self.width / 2
        return self.x - half, self.x + half, self.z - half, self.z + half

    def cast(self, shadows: ShadowMap) -> None:
        shadows.box(self.footprint, self.height)

    def draw(self, canvas: Canvas, conditions: Conditions) -> None:
        left, right, near, far = self.footprint
        top = self.height
        middle = (self.x, top / 2, self.z)
        paint = Paint(self.color, VOID)
        lid = Paint(mixed(self.color, SNOW, conditions.snow), VOID)
        canvas.face([(left, top, near), (right, top, near), (right, top, far), (left, top, far)], lid, inside=middle)
        for x in (left, right):
            canvas.face([(x, 0, near), (x, 0, far), (x, top, far), (x, top, near)], paint, inside=middle)
        canvas.face([(left, 0, near), (right, 0, near), (right, top, near), (left, top, near)], paint, inside=middle)
