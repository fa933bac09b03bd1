"""Cars and vans: a body and a cabin, each a side view drawn out to the car's width."""

from __future__ import annotations

import math
from dataclasses import dataclass
from random import Random

from fullconv.data.scenes.camera import Point
from fullconv.data.scenes.canvas import PAINT, Canvas, Paint
from fullconv.data.scenes.classes import CAR
from fullconv.data.scenes.conditions import Color, Conditions, mixed, scaled
from fullconv.data.scenes.shadows import ShadowMap
from fullconv.data.scenes.things import Footprint

COLORS: tuple[Color, ...] = (
    (0.82, 0.82, 0.82), (0.55, 0.56, 0.58), (0.32, 0.33, 0.35), (0.10, 0.10, 0.11), (0.52, 0.10, 0.10),
    (0.15, 0.22, 0.45), (0.20, 0.33, 0.24), (0.70, 0.58, 0.20), (0.45, 0.36, 0.28), (0.35, 0.48, 0.58),
)  # fmt: skip
GLASS: Color = (0.14, 0.17, 0.20)
TYRE: Color = (0.07, 0.07, 0.08)
RIM: Color = (0.55, 0.56, 0.58)
ARCH: Color = (0.03, 0.03, 0.04)
SNOW: Color = (0.84, 0.86, 0.90)

Profile = tuple[tuple[float, float], ...]
"""A side view: positions along the car (−0.5 rear to 0.5 front, in lengths) and heights (metres)."""

# Body, cabin, side window, (length, width, height), position of the wheels.
_SHAPES: dict[str, tuple[Profile, Profile, Profile, tuple[float, float, float]]] = {
    "sedan": (
        ((-0.5, 0.28), (-0.5, 0.72), (-0.47, 0.92), (0.30, 0.92), (0.48, 0.74), (0.5, 0.55), (0.5, 0.28)),
        ((-0.40, 0.90), (-0.27, 1.42), (0.10, 1.44), (0.28, 0.90)),
        ((-0.34, 0.95), (-0.25, 1.34), (0.08, 1.36), (0.22, 0.95)),
        (4.5, 1.8, 1.44),
    ),
    "hatchback": (
        ((-0.5, 0.28), (-0.5, 0.95), (0.30, 0.95), (0.48, 0.78), (0.5, 0.55), (0.5, 0.28)),
        ((-0.49, 0.93), (-0.40, 1.48), (0.10, 1.50), (0.30, 0.93)),
        ((-0.42, 0.98), (-0.36, 1.40), (0.08, 1.42), (0.23, 0.98)),
        (3.9, 1.75, 1.5),
    ),
    "van": (
        ((-0.5, 0.30), (-0.5, 1.15), (0.36, 1.15), (0.48, 0.95), (0.5, 0.6), (0.5, 0.30)),
        ((-0.5, 1.13), (-0.49, 2.05), (0.20, 2.08), (0.38, 1.13)),
        ((0.02, 1.2), (0.02, 1.85), (0.17, 1.88), (0.31, 1.2)),
        (5.0, 1.95, 2.08),
    ),
}


@dataclass(frozen=True)
class Car:
    """A car on the road.

    Args:
        x, z: its middle.
        heading: 0 looks along +z (away from the camera), 180 towards it, ±90 across (degrees).
        kind: sedan, hatchback or van.
        color: of the paint.
        driving: whether its lights are on in the dark.
    """

    x: float
    z: float
    heading: float
    kind: str
    color: Color
    driving: bool

    @classmethod
    def random(cls, chance: Random, x: float, z: float, heading: float, *, driving: bool) -> Car:
        kind = chance.choices(("sedan", "hatchback", "van"), weights=(5, 4, 2))[0]
        color = scaled(chance.choice(COLORS), chance.uniform(0.85, 1.15))
        return cls(x, z, heading, kind, color, driving)

    @property
    def size(self) -> tuple[float, float, float]:
        """Length, width, height."""
        return _SHAPES[self.kind][3]

    @property
    def footprint(self) -> Footprint:
        length, width, _ = self.size
        along = abs(math.cos(math.radians(self.heading)))
        half_z = (length * along + width * (1 - along)) / 2
        half_x = (width * along + length * (1 - along)) / 2
        return self.x - half_x, self.x + half_x, self.z - half_z, self.z + half_z

    def cast(self, shadows: ShadowMap) -> None:
        shadows.box(self.footprint, 0.75 * self.size[2])

    def draw(self, canvas: Canvas, conditions: Conditions) -> None:
        body, cabin, window, (length, width, height) = _SHAPES[self.kind]
        half = width / 2
        sides = sorted((-half, half), key=lambda t: -canvas.camera.view(self._at(0, t, 0.5))[2])
        under: list[Point] = [
            self._at(s, t, 0.06) for s, t in ((-0.47, -half), (0.47, -half), (0.47, half), (-0.47, half))
        ]
        canvas.face(under, Paint((0.03, 0.03, 0.03), CAR))
        for end in (-0.36, 0.32):
            for t in sides:
                inner = t - math.copysign(0.24, t)
                nose = end + 0.07
                tail = end - 0.07
                for s in (nose, tail):
                    tread = [
                        self._at(s, t, 0.02),
                        self._at(s, inner, 0.02),
                        self._at(s, inner, 0.5),
                        self._at(s, t, 0.5),
                    ]
                    canvas.face(tread, Paint(TYRE, CAR))
        paint = Paint(self.color, CAR, PAINT)
        self._solid(canvas, body, half, half, paint, skip_glass=True)
        self._ends(canvas, conditions, half)
        roof = Paint(mixed(self.color, SNOW, 0.9 * conditions.snow), CAR, PAINT) if not self.driving else paint
        self._solid(canvas, cabin, half * 0.96, half * 0.84, roof, skip_glass=False)
        inside = self._at(0, 0, 1.0)
        belt = cabin[0][1]
        for t in sides:

            def flank(s: float, y: float, t: float = t) -> Point:
                """A point just outside the side, which leans in above the belt line."""
                return self._at(s, t * (0.965 - 0.12 * (y - belt) / (height - belt)) if y > belt else t * 1.003, y)

            canvas.face([flank(s, y) for s, y in window], Paint(GLASS, CAR, PAINT), inside=inside)
            if self.kind != "van":
                pillar = ((-0.09, belt), (-0.065, belt), (-0.065, height - 0.06), (-0.09, height - 0.06))
                canvas.face([flank(s, y) for s, y in pillar], paint, inside=inside)
            seam = Paint(scaled(self.color, 0.45), CAR, PAINT)
            for s in (-0.08, 0.19):
                line = ((s, 0.36), (s + 0.006, 0.36), (s + 0.006, belt), (s, belt))
                canvas.face([flank(s, y) for s, y in line], seam, inside=inside)
            sill = ((-0.5, 0.28), (0.5, 0.28), (0.5, 0.36), (-0.5, 0.36))
            canvas.face([flank(s, y) for s, y in sill], Paint((0.10, 0.10, 0.11), CAR), inside=inside)
            for s in (-0.31, 0.31):
                self._wheel(canvas, s, t * 1.005, length, inside)

    def _at(self, s: float, t: float, y: float) -> Point:
        """A point of the car: along (lengths), to its right (metres), up (metres)."""
        angle = math.radians(self.heading)
        along = s * self.size[0]
        east, north = math.sin(angle), math.cos(angle)
        return self.x + along * east + t * north, y, self.z + along * north - t * east

    def _solid(
        self, canvas: Canvas, profile: Profile, low: float, high: float, paint: Paint, *, skip_glass: bool
    ) -> None:
        bottom, top = min(y for _, y in profile), max(y for _, y in profile)
        inside = self._at(0, 0, (bottom + top) / 2)

        def half(y: float) -> float:
            return low + (high - low) * (y - bottom) / (top - bottom)

        last = len(profile) - 1
        for i, (s, y) in enumerate(profile[:-1]):
            s2, y2 = profile[i + 1]
            strip = [
                self._at(s, -half(y), y),
                self._at(s, half(y), y),
                self._at(s2, half(y2), y2),
                self._at(s2, -half(y2), y2),
            ]
            canvas.face(strip, paint, inside=inside)
            if not skip_glass and i in (0, last - 1):
                canvas.face([_toward(strip, corner, 0.86) for corner in strip], Paint(GLASS, CAR, PAINT), inside=inside)
        for side in (-1, 1):
            canvas.face([self._at(s, side * half(y), y) for s, y in profile], paint, inside=inside)

    def _ends(self, canvas: Canvas, conditions: Conditions, half: float) -> None:
        inside = self._at(0, 0, 0.6)
        dark = conditions.lamps_on and self.driving
        front = Paint((1.0, 0.97, 0.85), CAR, glow=1.0) if dark else Paint((0.85, 0.86, 0.86), CAR)
        rear = Paint((0.95, 0.10, 0.08), CAR, glow=0.9) if dark else Paint((0.55, 0.07, 0.07), CAR)
        plate, grille, bumper = (
            Paint((0.85, 0.85, 0.80), CAR),
            Paint((0.08, 0.08, 0.09), CAR),
            Paint((0.16, 0.16, 0.17), CAR),
        )
        low = 0.28
        for s, lamp in ((0.503, front), (-0.503, rear)):
            self._patch(canvas, s, (-half, half), (low, 0.42), bumper, inside)
            for side in (-1, 1):
                inner, outer = sorted((side * (half - 0.42), side * (half - 0.05)))
                self._patch(canvas, s, (inner, outer), (0.55, 0.74) if s < 0 else (0.45, 0.58), lamp, inside)
        self._patch(canvas, 0.503, (-0.45, 0.45), (0.43, 0.56), grille, inside)
        self._patch(canvas, -0.503, (-0.27, 0.27), (0.45, 0.57), plate, inside)

    def _patch(
        self,
        canvas: Canvas,
        s: float,
        across: tuple[float, float],
        up: tuple[float, float],
        paint: Paint,
        inside: Point,
    ) -> None:
        corners = ((across[0], up[0]), (across[1], up[0]), (across[1], up[1]), (across[0], up[1]))
        canvas.face([self._at(s, t, y) for t, y in corners], paint, inside=inside)

    def _wheel(self, canvas: Canvas, s: float, t: float, length: float, inside: Point) -> None:
        for radius, color, out in ((0.40, ARCH, 0.997), (0.34, TYRE, 1.0), (0.21, RIM, 1.005)):
            rim = []
            for step in range(12):
                angle = step * math.pi / 6
                height = max(0.34 + radius * math.sin(angle), 0.0 if color != ARCH else 0.28)
                rim.append(self._at(s + radius * math.cos(angle) / length, t * out, height))
            canvas.face(rim, Paint(color, CAR), inside=inside)


def _toward(corners: list[Point], corner: Point, share: float) -> Point:
    count = len(corners)
    x, y, z = (sum(point[i] for point in corners) / count for i in range(3))
    return x + share * (corner[0] - x), y + share * (corner[1] - y), z + share * (corner[2] - z)
