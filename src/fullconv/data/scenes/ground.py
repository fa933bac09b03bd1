"""The ground of a street: roadway, markings, pavements, verges, side streets, gardens."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from fullconv.data.scenes.canvas import ASPHALT, GRASS, PLAIN, SLABS, Canvas, Paint
from fullconv.data.scenes.classes import ROAD, SIDEWALK, VEGETATION
from fullconv.data.scenes.conditions import Color, Conditions, mixed, scaled

SNOW: Color = (0.84, 0.86, 0.90)
MEADOW: dict[str, Color] = {
    "spring": (0.34, 0.47, 0.20),
    "summer": (0.33, 0.42, 0.18),
    "autumn": (0.42, 0.38, 0.19),
    "winter": (0.36, 0.35, 0.22),
}
FAR = 700.0


@dataclass(frozen=True)
class Street:
    """The street's measures (metres); its middle line is x = 0.

    Args:
        half: half the roadway's width.
        pavement: the pavements' width.
        verge: width of a strip of grass between roadway and pavement, 0 for none.
        length: how far it goes before it ends at a building or in the distance.
        side_streets: where others cross it: (near, far).
        closed: whether a building stands across its end.
        asphalt, slabs: colours.
        slab: edge of a paving slab.
        marked: whether it has a middle line.
        zebra: where a pedestrian crossing begins, or None.
    """

    half: float
    pavement: float
    verge: float
    length: float
    side_streets: tuple[tuple[float, float], ...]
    closed: bool
    asphalt: Color
    slabs: Color
    slab: float
    marked: bool
    zebra: float | None

    @classmethod
    def random(cls, chance: Random) -> Street:
        length = chance.uniform(45, 100)
        crossing = chance.uniform(20, 45)
        side_streets = ((crossing, crossing + chance.uniform(8, 11)),) if chance.random() < 0.5 else ()
        grey = chance.uniform(0.32, 0.54)
        light = chance.uniform(0.36, 0.62)
        tint = chance.choice(((1.0, 1.0, 1.0), (1.06, 1.0, 0.92), (1.1, 0.96, 0.86), (0.97, 1.0, 1.03)))
        return cls(
            half=chance.uniform(3.3, 5.0),
            pavement=chance.uniform(3.2, 5.6),
            verge=chance.uniform(0.8, 1.6) if chance.random() < 0.2 else 0.0,
            length=length,
            side_streets=side_streets,
            closed=chance.random() < 0.8,
            asphalt=(grey * chance.uniform(0.95, 1.08), grey, grey * chance.uniform(0.94, 1.06)),
            slabs=(light * tint[0], light * tint[1], light * tint[2]),
            slab=chance.uniform(0.6, 1.0),
            marked=chance.random() < 0.75,
            zebra=(crossing - 5.0 if side_streets else chance.uniform(9, 30)) if chance.random() < 0.45 else None,
        )

    @property
    def edge(self) -> float:
        """Where the pavements end and plots begin."""
        return self.half + self.verge + self.pavement


def draw_ground(canvas: Canvas, street: Street, conditions: Conditions) -> None:
    """Paint the ground from what lies under to what lies over."""
    snow = conditions.snow
    meadow = Paint(mixed(MEADOW[conditions.season], SNOW, 0.8 * snow), VEGETATION, GRASS, (snow,))
    asphalt = Paint(mixed(street.asphalt, SNOW, 0.25 * snow), ROAD, ASPHALT, (snow,))
    slabs = Paint(mixed(street.slabs, SNOW, 0.6 * snow), SIDEWALK, SLABS, (street.slab, snow))
    curb = Paint(mixed(scaled(street.slabs, 1.12), SNOW, 0.4 * snow), SIDEWALK)
    half, edge, length = street.half, street.edge, street.length
    end = length + 15.0
    _field(canvas, -FAR, FAR, -1.0, FAR, meadow)
    for side in (-1, 1):
        outer, inner = side * edge, side * (half + street.verge)
        _field(canvas, inner, outer, -1.0, end, slabs)
        _field(canvas, side * half, side * (half + 0.24), -1.0, end, curb)
    _field(canvas, -half, half, -1.0, end, asphalt)
    for near, far in street.side_streets:
        for side in (-1, 1):
            far_x = side * 80.0
            for start, stop in ((near - street.pavement, near), (far, far + street.pavement)):
                _field(canvas, side * edge, far_x, start, stop, slabs)
        _field(canvas, -80.0, 80.0, near, far, asphalt)
    if street.closed:
        _field(canvas, -60.0, 60.0, length - 4.0, length + 4.0, slabs)
    _draw_markings(canvas, street, conditions)


def _draw_markings(canvas: Canvas, street: Street, conditions: Conditions) -> None:
    white = Paint(mixed((0.78, 0.78, 0.75), street.asphalt, 0.5 * conditions.snow), ROAD, PLAIN)
    breaks = [(near - 6.0, far + 1.0) for near, far in street.side_streets]
    if street.marked:
        z = 1.0
        while z < min(street.length, 70.0):
            if not any(near < z + 3 and z < far for near, far in breaks):
                _field(canvas, -0.08, 0.08, z, z + 3.0, white)
            z += 6.0
        for side in (-1, 1):
            x = side * (street.half - 0.35)
            stop = breaks[0][0] if breaks else street.length
            _field(canvas, x - 0.06, x + 0.06, -1.0, stop, white)
    if street.zebra is not None:
        x = -street.half + 0.5
        while x < street.half - 0.6:
            _field(canvas, x, x + 0.5, street.zebra, street.zebra + 3.2, white)
            x += 1.0


def _field(canvas: Canvas, left: float, right: float, near: float, far: float, paint: Paint) -> None:
    canvas.face([(left, 0, near), (right, 0, near), (right, 0, far), (left, 0, far)], paint)
