"""Houses, blocks of flats, offices and the skyline behind them."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from fullconv.data.scenes.camera import Point
from fullconv.data.scenes.canvas import BRICKS, FACADE, PLAIN, TILES, Canvas, Paint
from fullconv.data.scenes.classes import BUILDING
from fullconv.data.scenes.conditions import Color, Conditions, mixed, scaled
from fullconv.data.scenes.shadows import ShadowMap
from fullconv.data.scenes.things import Footprint

WALLS: tuple[Color, ...] = (
    (0.62, 0.60, 0.57), (0.50, 0.50, 0.50), (0.40, 0.41, 0.43), (0.72, 0.69, 0.62), (0.80, 0.77, 0.70),
    (0.55, 0.33, 0.26), (0.46, 0.27, 0.22), (0.60, 0.44, 0.30), (0.66, 0.56, 0.36), (0.50, 0.54, 0.42),
    (0.42, 0.48, 0.40), (0.45, 0.52, 0.60), (0.58, 0.64, 0.70), (0.70, 0.50, 0.42), (0.36, 0.34, 0.33),
)  # fmt: skip
ROOFS: tuple[Color, ...] = (
    (0.45, 0.22, 0.16), (0.52, 0.30, 0.20), (0.30, 0.30, 0.32), (0.38, 0.36, 0.35), (0.26, 0.22, 0.20),
)  # fmt: skip
SNOW: Color = (0.86, 0.88, 0.92)


@dataclass(frozen=True)
class Building:
    """A box with windows and a flat, gabled or hipped roof.

    Args:
        footprint: left, right, near, far.
        height: of the walls.
        floors: how many.
        roof: 0 for a flat roof, else the ridge's height over the walls.
        wall, top: colours of walls and roof.
        bay: metres from window to window.
        opening: a window's share of its bay's width and of its floor's height.
        shop: whether the ground floor has shop windows.
        bricks: whether the wall is of visible bricks.
        seed: decides which windows are lit or curtained.
    """

    footprint: Footprint
    height: float
    floors: int
    roof: float
    wall: Color
    top: Color
    bay: float
    opening: tuple[float, float]
    shop: bool
    bricks: bool
    seed: float

    @classmethod
    def random(cls, chance: Random, footprint: Footprint, *, floors: int) -> Building:
        """A house of so many floors."""
        storey = chance.uniform(2.8, 3.4)
        offices = floors >= 4 and chance.random() < 0.3
        bricks = not offices and chance.random() < 0.4
        wall = chance.choice(WALLS[5:8] + WALLS[13:14] if bricks else WALLS)
        return cls(
            footprint=footprint,
            height=floors * storey + 0.6,
            floors=floors,
            roof=0.0 if offices or chance.random() < 0.3 else chance.uniform(1.8, 3.6),
            wall=scaled(wall, chance.uniform(0.85, 1.12)),
            top=scaled(chance.choice(ROOFS), chance.uniform(0.85, 1.15)),
            bay=chance.uniform(1.9, 2.6) if offices else chance.uniform(2.3, 3.4),
            opening=(chance.uniform(0.78, 0.9), chance.uniform(0.6, 0.75))
            if offices
            else (chance.uniform(0.36, 0.5), chance.uniform(0.45, 0.58)),
            shop=chance.random() < (0.45 if floors >= 3 else 0.1),
            bricks=bricks,
            seed=chance.uniform(0, 1000),
        )

    def cast(self, shadows: ShadowMap) -> None:
        shadows.box(self.footprint, self.height + 0.5 * self.roof)

    def draw(self, canvas: Canvas, conditions: Conditions) -> None:
        left, right, near, far = self.footprint
        height = self.height
        middle = ((left + right) / 2, height / 2, (near + far) / 2)
        facade = self._wall(0.0, 1.0, -near, far - near)
        gable = self._wall(1.0, 0.0, -left, right - left)
        if self.roof:
            self._draw_roof(canvas, conditions, gable)
        for x in (left, right):
            canvas.face([(x, 0, near), (x, 0, far), (x, height, far), (x, height, near)], facade, inside=middle)
        for z in (near,):
            canvas.face([(left, 0, z), (right, 0, z), (right, height, z), (left, height, z)], gable, inside=middle)

    def _wall(self, along_x: float, along_z: float, start: float, length: float) -> Paint:
        bays = max(1, round(length / self.bay))
        storey = (self.height - 0.6) / self.floors
        params = (along_x, along_z, start, length / bays, storey, *self.opening, self.seed)
        return Paint(self.wall, BUILDING, FACADE, (*params, float(self.shop), float(self.bricks)))

    def _draw_roof(self, canvas: Canvas, conditions: Conditions, gable: Paint) -> None:
        left, right, near, far = self.footprint
        eaves, ridge, middle = self.height, self.height + self.roof, (left + right) / 2
        center = (middle, eaves, (near + far) / 2)
        over = 0.35
        color = mixed(self.top, SNOW, conditions.snow)
        tiles = Paint(color, BUILDING, TILES, (0.0, 1.0, 0.0, 0.35))
        low = eaves - 0.1
        for x in (left - over, right + over):
            slope: list[Point] = [(x, low, near - over), (x, low, far + over)]
            canvas.face([*slope, (middle, ridge, far + over), (middle, ridge, near - over)], tiles, inside=center)
        canvas.face([(left, eaves, near), (right, eaves, near), (middle, ridge, near)], Paint(
            self.wall, BUILDING, BRICKS if self.bricks else PLAIN, (1.0, 0.0, 0.0)), inside=center)  # fmt: skip
        chimney = (middle + 0.8, near + 0.3 * (far - near))
        _block(canvas, (chimney[0], chimney[0] + 0.7, chimney[1], chimney[1] + 0.9), eaves, ridge + 0.9, gable.color)


def _block(canvas: Canvas, footprint: Footprint, bottom: float, top: float, color: Color) -> None:
    left, right, near, far = footprint
    middle = ((left + right) / 2, (bottom + top) / 2, (near + far) / 2)
    paint = Paint(scaled(color, 0.8), BUILDING, BRICKS, (1.0, 1.0, 0.0))
    for x in (left, right):
        canvas.face([(x, bottom, near), (x, bottom, far), (x, top, far), (x, top, near)], paint, inside=middle)
    canvas.face(
        [(left, bottom, near), (right, bottom, near), (right, top, near), (left, top, near)], paint, inside=middle
    )


@dataclass(frozen=True)
class Skyline:
    """Distant blocks on the horizon, pale in the haze."""

    blocks: tuple[tuple[float, float, float, float, Color], ...]

    @classmethod
    def random(cls, chance: Random, *, distance: float) -> Skyline:
        blocks = []
        x = -1.3 * distance
        while x < 1.3 * distance:
            width = chance.uniform(10, 26)
            if chance.random() < 0.85:
                height = chance.uniform(7, 26) * (1.5 if chance.random() < 0.15 else 1.0)
                blocks.append((x, x + width, distance + chance.uniform(0, 40), height, chance.choice(WALLS)))
            x += width
        return cls(tuple(sorted(blocks, key=lambda block: -block[2])))

    def draw(self, canvas: Canvas) -> None:
        for number, (left, right, z, height, color) in enumerate(self.blocks):
            params = (
                1.0,
                0.0,
                -left,
                (right - left) / round((right - left) / 3),
                3.2,
                0.5,
                0.5,
                float(number),
                0.0,
                0.0,
            )
            canvas.face(
                [(left, 0, z), (right, 0, z), (right, height, z), (left, height, z)],
                Paint(color, BUILDING, FACADE, params),
            )
