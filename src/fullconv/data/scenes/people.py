"""Pedestrians and cyclists, built of limbs in an upright plane that faces the camera."""

from __future__ import annotations

import math
from dataclasses import dataclass
from random import Random

from fullconv.data.scenes.camera import Pixel
from fullconv.data.scenes.canvas import Canvas, Paint
from fullconv.data.scenes.classes import BICYCLIST, PEDESTRIAN
from fullconv.data.scenes.conditions import Color, Conditions, scaled
from fullconv.data.scenes.shadows import ShadowMap
from fullconv.data.scenes.things import Footprint

SKIN: tuple[Color, ...] = ((0.80, 0.62, 0.50), (0.68, 0.48, 0.36), (0.45, 0.30, 0.22), (0.85, 0.70, 0.60))
HAIR: tuple[Color, ...] = ((0.12, 0.09, 0.07), (0.30, 0.20, 0.12), (0.55, 0.42, 0.24), (0.50, 0.50, 0.50))
CLOTHES: tuple[Color, ...] = (
    (0.12, 0.13, 0.16), (0.20, 0.24, 0.38), (0.55, 0.12, 0.12), (0.60, 0.58, 0.54), (0.85, 0.84, 0.80),
    (0.28, 0.36, 0.24), (0.45, 0.34, 0.22), (0.75, 0.60, 0.20), (0.40, 0.42, 0.45), (0.25, 0.42, 0.55),
    (0.48, 0.25, 0.42),
)  # fmt: skip
TROUSERS: tuple[Color, ...] = (
    (0.14, 0.16, 0.24),
    (0.10, 0.10, 0.11),
    (0.38, 0.34, 0.28),
    (0.26, 0.30, 0.40),
    (0.45, 0.44, 0.42),
)
SHOE: Color = (0.08, 0.07, 0.07)


@dataclass(frozen=True)
class Pedestrian:
    """Someone walking or standing.

    Args:
        x, z: where.
        height: metres.
        stride: how far the legs are apart, −1 to 1, in the plane of the picture.
        frontal: whether seen from the front or back (else from the side).
        skirt: whether in a skirt or long coat.
        skin, hair, top, legs: colours.
    """

    x: float
    z: float
    height: float
    stride: float
    frontal: bool
    skirt: bool
    skin: Color
    hair: Color
    top: Color
    legs: Color

    @classmethod
    def random(cls, chance: Random, x: float, z: float) -> Pedestrian:
        child = chance.random() < 0.12
        return cls(
            x=x,
            z=z,
            height=chance.uniform(1.15, 1.4) if child else chance.uniform(1.6, 1.9),
            stride=chance.uniform(-1, 1),
            frontal=chance.random() < 0.6,
            skirt=chance.random() < 0.25,
            skin=chance.choice(SKIN),
            hair=chance.choice(HAIR),
            top=chance.choice(CLOTHES),
            legs=chance.choice(TROUSERS),
        )

    @property
    def footprint(self) -> Footprint:
        return self.x - 0.3, self.x + 0.3, self.z - 0.2, self.z + 0.2

    def cast(self, shadows: ShadowMap) -> None:
        shadows.box((self.x - 0.18, self.x + 0.18, self.z - 0.1, self.z + 0.1), 0.93 * self.height)

    def draw(self, canvas: Canvas, conditions: Conditions) -> None:
        column, row, depth = canvas.camera.project((self.x, 0.0, self.z))
        unit = canvas.camera.focal / depth * self.height / 1.75

        def at(across: float, up: float) -> Pixel:
            return column + across * unit, row - up * unit

        def limb(start: Pixel, end: Pixel, widths: tuple[float, float], color: Color) -> None:
            canvas.limb(start, end, (widths[0] * unit, widths[1] * unit), depth, Paint(color, PEDESTRIAN))

        swing = 0.30 * self.stride * (0.35 if self.frontal else 1.0)
        hip = 0.09 if self.frontal else 0.02
        wide = 0.23 if self.frontal else 0.15
        sleeve = scaled(self.top, 0.82)
        for side, shade in ((-1, 0.8), (1, 1.0)):
            foot = at(side * (hip + 0.02) + side * swing, 0.05)
            knee = at(side * hip + side * 0.55 * swing + 0.03 * (not self.frontal), 0.5)
            leg = scaled(self.legs, shade)
            limb(at(side * hip, 0.9), knee, (0.19, 0.15), leg)
            limb(knee, foot, (0.15, 0.11), leg)
            toe = at(side * (hip + 0.02) + side * swing + (0.02 * side if self.frontal else 0.11), 0.03)
            limb(foot, toe, (0.11, 0.09), SHOE)
        limb(at(-wide, 1.38), at(-wide - 0.04 + 0.6 * swing, 0.92), (0.12, 0.09), sleeve)
        torso = [at(-wide, 1.44), at(wide, 1.44), at(wide - 0.05, 0.86), at(-wide + 0.05, 0.86)]
        canvas.flat(torso, depth, Paint(self.top, PEDESTRIAN))
        limb(at(-wide + 0.06, 1.43), at(wide - 0.06, 1.43), (0.12, 0.12), self.top)
        if self.skirt:
            flare = [at(-wide + 0.04, 0.98), at(wide - 0.04, 0.98), at(wide + 0.06, 0.45), at(-wide - 0.06, 0.45)]
            canvas.flat(flare, depth, Paint(scaled(self.top, 0.9), PEDESTRIAN))
        limb(at(wide, 1.38), at(wide + 0.04 - 0.6 * swing, 0.92), (0.12, 0.09), sleeve)
        for hand in (at(-wide - 0.04 + 0.6 * swing, 0.88), at(wide + 0.04 - 0.6 * swing, 0.88)):
            canvas.ellipse(hand, (0.05 * unit, 0.05 * unit), depth, Paint(self.skin, PEDESTRIAN))
        limb(at(0, 1.44), at(0, 1.54), (0.11, 0.11), self.skin)
        canvas.ellipse(at(0, 1.66), (0.115 * unit, 0.14 * unit), depth, Paint(self.hair, PEDESTRIAN))
        canvas.ellipse(at(0.02, 1.62), (0.085 * unit, 0.10 * unit), depth, Paint(self.skin, PEDESTRIAN))


@dataclass(frozen=True)
class Cyclist:
    """Someone on a bicycle, seen from the side or from the front or back.

    Args:
        x, z: where.
        facing: 1 rides to the right, −1 to the left, 0 along the street.
        skin, top, legs, frame: colours.
        helmet: the helmet's colour.
        pedal: position of the pedals (radians).
    """

    x: float
    z: float
    facing: int
    skin: Color
    top: Color
    legs: Color
    frame: Color
    helmet: Color
    pedal: float

    @classmethod
    def random(cls, chance: Random, x: float, z: float, *, facing: int) -> Cyclist:
        return cls(
            x=x,
            z=z,
            facing=facing,
            skin=chance.choice(SKIN),
            top=chance.choice(CLOTHES),
            legs=chance.choice(TROUSERS),
            frame=chance.choice(CLOTHES),
            helmet=chance.choice((*CLOTHES, *HAIR)),
            pedal=chance.uniform(0, 2 * math.pi),
        )

    @property
    def footprint(self) -> Footprint:
        if self.facing:
            return self.x - 0.9, self.x + 0.9, self.z - 0.25, self.z + 0.25
        return self.x - 0.3, self.x + 0.3, self.z - 0.4, self.z + 0.4

    def cast(self, shadows: ShadowMap) -> None:
        left, right, near, far = self.footprint
        shadows.box((left + 0.15, right - 0.15, near + 0.15, far - 0.15), 0.9)
        shadows.box((self.x - 0.2, self.x + 0.2, self.z - 0.15, self.z + 0.15), 1.6)

    def draw(self, canvas: Canvas, conditions: Conditions) -> None:
        column, row, depth = canvas.camera.project((self.x, 0.0, self.z))
        unit = canvas.camera.focal / depth
        _Rider(self, canvas, column, row, depth, unit).draw()


@dataclass(frozen=True)
class _Rider:
    cyclist: Cyclist
    canvas: Canvas
    column: float
    row: float
    depth: float
    unit: float

    def draw(self) -> None:
        if self.cyclist.facing:
            self._draw_side()
        else:
            self._draw_front()

    def _at(self, across: float, up: float) -> Pixel:
        return self.column + (self.cyclist.facing or 1) * across * self.unit, self.row - up * self.unit

    def _limb(
        self, start: tuple[float, float], end: tuple[float, float], widths: tuple[float, float], color: Color
    ) -> None:
        scale = self.unit
        self.canvas.limb(
            self._at(*start),
            self._at(*end),
            (widths[0] * scale, widths[1] * scale),
            self.depth,
            Paint(color, BICYCLIST),
        )

    def _disc(self, center: tuple[float, float], radius: tuple[float, float], color: Color) -> None:
        size = (radius[0] * self.unit, radius[1] * self.unit)
        self.canvas.ellipse(self._at(*center), size, self.depth, Paint(color, BICYCLIST))

    def _draw_side(self) -> None:
        rider = self.cyclist
        rear, front, crank, saddle, bars = (-0.52, 0.34), (0.52, 0.34), (-0.05, 0.32), (-0.22, 0.92), (0.36, 1.02)
        for wheel in (rear, front):
            self._disc(wheel, (0.35, 0.35), (0.06, 0.06, 0.07))
            self._disc(wheel, (0.29, 0.29), (0.42, 0.42, 0.43))
            self._disc(wheel, (0.05, 0.05), (0.10, 0.10, 0.10))
        pedal = (crank[0] + 0.16 * math.cos(rider.pedal), crank[1] + 0.16 * math.sin(rider.pedal))
        other = (2 * crank[0] - pedal[0], 2 * crank[1] - pedal[1])
        hip, shoulder = (-0.2, 1.0), (0.16, 1.48)
        self._leg(hip, other, scaled(rider.legs, 0.75))
        for start, end in (
            (rear, crank),
            (crank, saddle),
            (saddle, (0.33, 0.84)),
            (crank, (0.33, 0.8)),
            (rear, saddle),
        ):
            self._limb(start, end, (0.06, 0.06), rider.frame)
        self._limb(front, bars, (0.06, 0.06), rider.frame)
        self._limb((saddle[0] - 0.1, 0.95), (saddle[0] + 0.1, 0.95), (0.08, 0.06), (0.08, 0.08, 0.08))
        self._limb((bars[0] - 0.08, 1.04), (bars[0] + 0.04, 1.04), (0.06, 0.06), (0.08, 0.08, 0.08))
        self._leg(hip, pedal, rider.legs)
        self._limb(hip, shoulder, (0.27, 0.32), rider.top)
        self._limb(shoulder, (0.3, 1.22), (0.12, 0.1), scaled(rider.top, 0.82))
        self._limb((0.3, 1.22), (bars[0], 1.06), (0.09, 0.08), rider.skin)
        self._head((0.26, 1.72))

    def _leg(self, hip: tuple[float, float], pedal: tuple[float, float], color: Color) -> None:
        knee = ((hip[0] + pedal[0]) / 2 + 0.17, (hip[1] + pedal[1]) / 2 + 0.06)
        self._limb(hip, knee, (0.2, 0.15), color)
        self._limb(knee, pedal, (0.14, 0.11), color)
        self._limb(pedal, (pedal[0] + 0.12, pedal[1] - 0.02), (0.09, 0.08), SHOE)

    def _draw_front(self) -> None:
        rider = self.cyclist
        lift = 0.12 * math.sin(rider.pedal)
        self._limb((0, 0.06), (0, 0.62), (0.13, 0.13), (0.06, 0.06, 0.07))
        for side in (-1, 1):
            knee = (side * 0.17, 0.68 + side * lift)
            self._limb((side * 0.1, 1.0), knee, (0.2, 0.16), scaled(rider.legs, 1.0 if side > 0 else 0.85))
            self._limb(knee, (side * 0.14, 0.3 + side * lift), (0.15, 0.11), scaled(rider.legs, 0.95))
            self._limb((side * 0.14, 0.27 + side * lift), (side * 0.16, 0.24 + side * lift), (0.11, 0.1), SHOE)
        self._limb((0, 0.4), (0, 0.98), (0.07, 0.07), rider.frame)
        self._limb((0, 1.02), (0, 1.4), (0.36, 0.4), rider.top)
        for side in (-1, 1):
            self._limb((side * 0.2, 1.42), (side * 0.3, 1.06), (0.13, 0.1), scaled(rider.top, 0.82))
        self._limb((-0.3, 1.03), (0.3, 1.03), (0.06, 0.06), (0.08, 0.08, 0.08))
        self._head((0.0, 1.72))

    def _head(self, center: tuple[float, float]) -> None:
        x, y = center
        self._limb((x - 0.03, y - 0.22), (x, y - 0.1), (0.12, 0.11), self.cyclist.skin)
        self._disc((x + 0.01, y - 0.02), (0.10, 0.13), self.cyclist.skin)
        self._disc((x - 0.01, y + 0.06), (0.14, 0.10), self.cyclist.helmet)
