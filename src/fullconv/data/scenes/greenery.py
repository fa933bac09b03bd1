"""Trees, conifers, bushes and hedges through the seasons."""

from __future__ import annotations

import math
from dataclasses import dataclass
from random import Random

from fullconv.data.scenes.canvas import LEAVES, Canvas, Paint
from fullconv.data.scenes.classes import VEGETATION
from fullconv.data.scenes.conditions import Color, Conditions, mixed, scaled
from fullconv.data.scenes.shadows import ShadowMap
from fullconv.data.scenes.things import Footprint

SNOW: Color = (0.84, 0.86, 0.90)
BARK: Color = (0.27, 0.21, 0.16)
FOLIAGE: dict[str, tuple[Color, ...]] = {
    "spring": ((0.36, 0.50, 0.20), (0.42, 0.55, 0.25), (0.80, 0.62, 0.66), (0.33, 0.44, 0.19)),
    "summer": ((0.20, 0.36, 0.13), (0.25, 0.40, 0.16), (0.17, 0.30, 0.14), (0.30, 0.42, 0.18)),
    "autumn": ((0.58, 0.36, 0.14), (0.54, 0.25, 0.13), (0.60, 0.49, 0.20), (0.38, 0.36, 0.17)),
    "winter": ((0.24, 0.28, 0.18), (0.20, 0.26, 0.19)),
}
NEEDLES: Color = (0.16, 0.29, 0.19)


@dataclass(frozen=True)
class Tree:
    """A trunk and a crown of leaves; bare branches where the season took them; or a conifer.

    Args:
        x, z: where it stands.
        height: to the crown's top.
        radius: of the crown.
        kind: "leaves", "bare" or "conifer".
        color: of the crown.
        seed: decides the crown's shape.
    """

    x: float
    z: float
    height: float
    radius: float
    kind: str
    color: Color
    seed: int

    @classmethod
    def random(cls, chance: Random, x: float, z: float, conditions: Conditions, *, scale: float = 1.0) -> Tree:
        height = chance.uniform(4.5, 8.5) * scale
        kind = "leaves"
        if chance.random() < (0.6 if conditions.season == "winter" else 0.15):
            kind = "conifer"
        elif conditions.season == "winter":
            kind = "bare"
        color = NEEDLES if kind == "conifer" else chance.choice(FOLIAGE[conditions.season])
        return cls(
            x=x,
            z=z,
            height=height,
            radius=height * (0.24 if kind == "conifer" else chance.uniform(0.27, 0.36)),
            kind=kind,
            color=scaled(color, chance.uniform(0.85, 1.2)),
            seed=chance.getrandbits(32),
        )

    @property
    def footprint(self) -> Footprint:
        reach = 0.4
        return self.x - reach, self.x + reach, self.z - reach, self.z + reach

    def cast(self, shadows: ShadowMap) -> None:
        shadows.box((self.x - 0.15, self.x + 0.15, self.z - 0.15, self.z + 0.15), 0.6 * self.height)
        if self.kind != "bare":
            shadows.ball(self.x, self.height - self.radius, self.z, self.radius)

    def draw(self, canvas: Canvas, conditions: Conditions) -> None:
        chance = Random(self.seed)
        column, row, depth = canvas.camera.project((self.x, 0.0, self.z))
        scale = canvas.camera.focal / depth
        if self.kind == "conifer":
            self._draw_conifer(canvas, conditions, chance, (column, row), depth, scale)
            return
        fork = row - 0.42 * self.height * scale
        bark = Paint(BARK, VEGETATION)
        thick = max(0.05 * self.height, 0.28) * scale
        canvas.limb((column, row), (column, fork), (thick, 0.75 * thick), depth, bark)
        if self.kind == "bare":
            self._draw_branch(
                canvas, conditions, chance, (column, fork), 90.0, 0.3 * self.height * scale, 0.7 * thick, depth
            )
            return
        top = row - (self.height - self.radius) * scale
        canvas.limb((column, fork), (column, top), (0.75 * thick, 0.4 * thick), depth, bark)
        self._draw_crown(canvas, conditions, chance, (column, top), depth, scale)

    def _draw_crown(
        self,
        canvas: Canvas,
        conditions: Conditions,
        chance: Random,
        center: tuple[float, float],
        depth: float,
        scale: float,
    ) -> None:
        radius = self.radius * scale
        count = 9 if radius < 12 else 20
        blobs = []
        for step in range(count):
            angle, out = 2.4 * step + chance.uniform(-0.4, 0.4), math.sqrt((step + 0.5) / count) * 0.78
            blobs.append((out * math.cos(angle), -out * math.sin(angle) * 0.95, chance.uniform(0.30, 0.44)))
        for x, y, size in sorted(blobs, key=lambda blob: -blob[1]):
            light = 0.88 - 0.26 * y + chance.uniform(-0.07, 0.07)
            color = mixed(scaled(self.color, light), SNOW, conditions.snow * max(0.0, 0.2 - 0.7 * y))
            spot = (center[0] + x * radius, center[1] + y * radius)
            grain = (self.x, self.z, float(chance.randrange(64)))
            canvas.ellipse(
                spot,
                (size * radius, 0.9 * size * radius),
                depth,
                Paint(color, VEGETATION, LEAVES, grain),
                light=0.3 - 0.35 * y,
            )

    def _draw_conifer(
        self,
        canvas: Canvas,
        conditions: Conditions,
        chance: Random,
        base: tuple[float, float],
        depth: float,
        scale: float,
    ) -> None:
        column, row = base
        height, radius = self.height * scale, self.radius * scale
        canvas.limb(base, (column, row - 0.2 * height), (0.3 * scale, 0.3 * scale), depth, Paint(BARK, VEGETATION))
        tiers = 5
        for tier in range(tiers):
            low, high = 0.10 + 0.17 * tier, 0.10 + 0.17 * tier + (0.3 if tier < tiers - 1 else 0.22)
            width = radius * (1.0 - 0.17 * tier)
            color = scaled(self.color, 0.85 + 0.09 * tier + chance.uniform(-0.04, 0.04))
            droop = 0.03 * height
            corners = [
                (column - width, row - low * height + droop), (column - 0.5 * width, row - low * height),
                (column, row - low * height + droop), (column + 0.5 * width, row - low * height),
                (column + width, row - low * height + droop), (column, row - high * height),
            ]  # fmt: skip
            paint = Paint(mixed(color, SNOW, 0.25 * conditions.snow), VEGETATION, LEAVES, (self.x, self.z, float(tier)))
            canvas.flat(corners, depth, paint, light=0.35)
            if conditions.snow > 0.2:
                cap = [(column - 0.45 * width, row - (low + 0.12) * height), (column, row - (low + 0.08) * height),
                       (column + 0.5 * width, row - (low + 0.13) * height), (column, row - high * height)]  # fmt: skip
                canvas.flat(cap, depth, Paint(SNOW, VEGETATION, LEAVES, (self.x, self.z, 9.0)), light=0.35)

    def _draw_branch(
        self,
        canvas: Canvas,
        conditions: Conditions,
        chance: Random,
        start: tuple[float, float],
        angle: float,
        length: float,
        width: float,
        depth: float,
        levels: int = 6,
    ) -> None:
        if width < 1.7 or not levels:
            return
        turn = math.radians(angle)
        end = (start[0] + length * math.cos(turn), start[1] - length * math.sin(turn))
        canvas.limb(
            start, end, (width, 0.7 * width), depth, Paint(mixed(BARK, SNOW, 0.25 * conditions.snow), VEGETATION)
        )
        for side in (-1, 1) if chance.random() < 0.6 else (-1, 0.1, 1):
            bend = angle + side * chance.uniform(18, 42)
            self._draw_branch(
                canvas,
                conditions,
                chance,
                end,
                bend,
                length * chance.uniform(0.62, 0.82),
                0.66 * width,
                depth,
                levels - 1,
            )


@dataclass(frozen=True)
class Hedge:
    """A clipped hedge: a box of leaves."""

    footprint: Footprint
    height: float
    color: Color

    def cast(self, shadows: ShadowMap) -> None:
        shadows.box(self.footprint, self.height)

    def draw(self, canvas: Canvas, conditions: Conditions) -> None:
        left, right, near, far = self.footprint
        top = self.height
        middle = ((left + right) / 2, top / 2, (near + far) / 2)
        leaves = Paint(self.color, VEGETATION, LEAVES, (left, near, 1.0))
        crest = Paint(mixed(scaled(self.color, 1.15), SNOW, conditions.snow), VEGETATION, LEAVES, (left, near, 2.0))
        canvas.face([(left, top, near), (right, top, near), (right, top, far), (left, top, far)], crest, inside=middle)
        for x in (left, right):
            canvas.face([(x, 0, near), (x, 0, far), (x, top, far), (x, top, near)], leaves, inside=middle)
        canvas.face([(left, 0, near), (right, 0, near), (right, top, near), (left, top, near)], leaves, inside=middle)


@dataclass(frozen=True)
class Bush:
    """A round bush."""

    x: float
    z: float
    radius: float
    color: Color
    seed: int

    @property
    def footprint(self) -> Footprint:
        half = 0.7 * self.radius
        return self.x - half, self.x + half, self.z - half, self.z + half

    def cast(self, shadows: ShadowMap) -> None:
        shadows.ball(self.x, 0.4 * self.radius, self.z, self.radius)

    def draw(self, canvas: Canvas, conditions: Conditions) -> None:
        chance = Random(self.seed)
        column, row, depth = canvas.camera.project((self.x, 0.0, self.z))
        radius = self.radius * canvas.camera.focal / depth
        for step in range(7):
            x, y = (-0.6, 0.6, 0.0, -0.35, 0.4, -0.1, 0.2)[step], (0.3, 0.3, 0.35, 0.65, 0.6, 0.8, 0.95)[step]
            color = mixed(scaled(self.color, 0.75 + 0.4 * y), SNOW, conditions.snow * max(0.0, y - 0.3))
            size = radius * chance.uniform(0.42, 0.55)
            spot = (column + x * radius, min(row - y * radius, row - 0.8 * size))
            canvas.ellipse(
                spot, (size, 0.9 * size), depth, Paint(color, VEGETATION, LEAVES, (self.x, self.z, float(step)))
            )
