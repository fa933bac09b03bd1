"""What stands where: plots along both sides, then everything on pavement and roadway."""

from __future__ import annotations

from random import Random

from fullconv.data.scenes.buildings import Building
from fullconv.data.scenes.conditions import Color, Conditions, scaled
from fullconv.data.scenes.furniture import STEEL, Bin, Fence, LampPost, TrafficSign
from fullconv.data.scenes.greenery import FOLIAGE, NEEDLES, Bush, Hedge, Tree
from fullconv.data.scenes.ground import Street
from fullconv.data.scenes.people import Cyclist, Pedestrian
from fullconv.data.scenes.things import Footprint, Thing
from fullconv.data.scenes.vehicles import Car

WOOD: tuple[Color, ...] = (
    (0.45, 0.33, 0.22),
    (0.55, 0.44, 0.32),
    (0.62, 0.60, 0.56),
    (0.36, 0.38, 0.36),
    (0.74, 0.72, 0.68),
)


def plots(chance: Random, street: Street, conditions: Conditions) -> list[Thing]:
    """Buildings, gardens, parks and fences along both sides of the street, and what closes its end."""
    things: list[Thing] = []
    gaps = [(near - street.pavement, far + street.pavement) for near, far in street.side_streets]
    suburb = chance.random() < 0.35
    for side in (-1, 1):
        z = -9.0
        while z < street.length:
            gap = next((gap for gap in gaps if gap[0] - 3.0 <= z < gap[1]), None)
            if gap is not None:
                z = gap[1]
                continue
            stop = min(z + chance.uniform(8, 17), *(gap[0] for gap in gaps if gap[0] > z), street.length + 9.0)
            draw = chance.random()
            if draw < (0.42 if suburb else 0.85):
                depth = chance.uniform(9, 14)
                things.append(
                    Building.random(chance, _across(side, street.edge, depth, z, stop), floors=chance.randint(2, 6))
                )
            elif draw < 0.95:
                things += _garden(chance, street, conditions, side, z, stop, house=True)
            else:
                things += _garden(chance, street, conditions, side, z, stop, house=False)
            z = stop
    if street.closed:
        x = -45.0
        while x < 45.0:
            wide = chance.uniform(10, 18)
            floors = chance.randint(3, 6)
            place = (x, x + wide, street.length + 10.0, street.length + 22.0)
            things.append(Building.random(chance, place, floors=floors))
            x += wide
    return things


def _across(side: int, start: float, depth: float, near: float, far: float) -> Footprint:
    first, second = sorted((side * start, side * (start + depth)))
    return first, second, near, far


def _garden(
    chance: Random, street: Street, conditions: Conditions, side: int, near: float, far: float, *, house: bool
) -> list[Thing]:
    things: list[Thing] = []
    depth = chance.uniform(4, 7) if house else 14.0
    green = chance.choice((*FOLIAGE[conditions.season], NEEDLES))
    border = chance.random()
    if border < 0.72:
        height = chance.uniform(1.1, 1.9)
        boards = chance.random() < 0.55
        color = scaled(chance.choice(WOOD if boards else STEEL), chance.uniform(0.85, 1.15))
        things.append(Fence(_across(side, street.edge + 0.05, 0.1, near, far), height, boards, color))
    elif border < 0.9:
        things.append(Hedge(_across(side, street.edge + 0.1, 0.9, near, far), chance.uniform(1.0, 1.8), green))
    if house:
        place = _across(side, street.edge + depth, chance.uniform(8, 11), near + 0.8, far - 0.8)
        things.append(Building.random(chance, place, floors=chance.randint(1, 2)))
    for _ in range(chance.randint(1, 2) if house else chance.randint(2, 4)):
        x = side * (street.edge + 1.0 + chance.uniform(0.4, max(0.6, depth - 2.0)))
        z = chance.uniform(near + 1, max(near + 1.1, far - 1))
        if chance.random() < 0.65:
            things.append(Tree.random(chance, x, z, conditions))
        else:
            things.append(Bush(x, z, chance.uniform(0.7, 1.3), green, chance.getrandbits(32)))
    return things


class Pavement:
    """Places things without letting two stand in one spot."""

    def __init__(self) -> None:
        self.things: list[Thing] = []

    def add(self, thing: Thing, *, margin: float = 0.15) -> None:
        """Add a thing unless its place is taken."""
        left, right, near, far = thing.footprint
        for other in self.things:
            a, b, c, d = other.footprint
            if left < b + margin and a < right + margin and near < d + margin and c < far + margin:
                return
        self.things.append(thing)


def street_life(chance: Random, street: Street, conditions: Conditions, *, lane: float) -> list[Thing]:
    """Cars, people, lamps, signs, trees and bins."""
    place = Pavement()
    _add_riders(chance, street, place)
    _add_cars(chance, street, place, lane)
    _add_posts(chance, street, conditions, place)
    _add_walkers(chance, street, place)
    for _ in range(chance.choice((0, 1, 1, 2, 3))):
        side = chance.choice((-1, 1))
        x = side * (street.edge - chance.uniform(0.5, 0.9))
        color = chance.choice(((0.15, 0.25, 0.18), (0.30, 0.30, 0.32), (0.55, 0.42, 0.12), (0.20, 0.24, 0.40)))
        place.add(Bin(x, chance.uniform(5, 24), chance.uniform(0.9, 1.3), chance.uniform(0.6, 0.9), color))
    return place.things


def _add_riders(chance: Random, street: Street, place: Pavement) -> None:
    for _ in range(chance.choice((1, 1, 2, 2, 3))):
        z = chance.uniform(5.0, 18)
        if chance.random() < 0.5:
            side = chance.choice((-1, 1))
            place.add(Cyclist.random(chance, side * (street.half - chance.uniform(0.5, 1.4)), z, facing=0), margin=0.6)
        else:
            x = chance.uniform(-street.half, street.half)
            place.add(Cyclist.random(chance, x, z, facing=chance.choice((-1, 1))), margin=0.6)


def _add_cars(chance: Random, street: Street, place: Pavement, lane: float) -> None:
    for z in (chance.uniform(8, 20), chance.uniform(24, 45)):
        if chance.random() < 0.45:
            place.add(Car.random(chance, lane + chance.uniform(-0.3, 0.3), z, 0.0, driving=True), margin=0.5)
        if chance.random() < 0.5:
            place.add(Car.random(chance, -lane + chance.uniform(-0.3, 0.3), z + 3, 180.0, driving=True), margin=0.5)
    for near, far in street.side_streets:
        if chance.random() < 0.5:
            heading = chance.choice((-90.0, 90.0))
            z = near + (0.28 if heading > 0 else 0.72) * (far - near)
            place.add(Car.random(chance, chance.uniform(-9, 9), z, heading, driving=True), margin=0.5)
    for side in (-1, 1):
        if chance.random() < 0.3 or (side > 0 and street.half < 3.9):
            continue
        z = chance.uniform(5.5, 10)
        while z < min(street.length, 75):
            clear = all(z + 4 < near or z - 4 > far for near, far in street.side_streets)
            clear = clear and (street.zebra is None or abs(z - street.zebra - 1.6) > 5)
            if clear and chance.random() < 0.6:
                x = side * (street.half - 1.15 + chance.uniform(-0.1, 0.1))
                place.add(Car.random(chance, x, z, 0.0 if side > 0 else 180.0, driving=False), margin=0.3)
            z += chance.uniform(5.6, 8.5)


def _add_posts(chance: Random, street: Street, conditions: Conditions, place: Pavement) -> None:
    spacing, height, steel = chance.uniform(13, 20), chance.uniform(4.6, 6.8), chance.choice(STEEL)
    curb = street.half + max(0.45, 0.5 * street.verge)
    for side in (-1, 1):
        if chance.random() < 0.85:
            z = chance.uniform(5.5, 14)
            while z < 60:
                place.add(LampPost(side * curb, z, height, -side * chance.uniform(0.9, 1.3), steel))
                z += spacing
        if chance.random() < 0.3:
            _add_railing(chance, street, place, side)
        for _ in range(chance.choice((1, 1, 2, 2, 3))):
            place.add(TrafficSign.random(chance, side * curb, chance.uniform(5.5, 22)))
        if chance.random() < 0.55:
            z = chance.uniform(6, 14)
            gap = chance.uniform(7, 12)
            while z < 70:
                if all(z + 2 < near or z - 2 > far for near, far in street.side_streets):
                    place.add(Tree.random(chance, side * (curb + 0.4), z, conditions, scale=0.9))
                z += gap


def _add_railing(chance: Random, street: Street, place: Pavement, side: int) -> None:
    """A railing between pavement and roadway, in pieces so that posts and people fit between them."""
    height, boards, color = chance.uniform(0.9, 1.15), chance.random() < 0.2, chance.choice((*STEEL, *WOOD))
    z, end = chance.uniform(-1, 8), chance.uniform(20, 45)
    while z < end:
        if all(z + 4 < near - 1 or z > far + 1 for near, far in street.side_streets):
            start = street.half + 0.2 if not street.verge else street.half + street.verge
            place.add(Fence(_across(side, start, 0.08, z, z + 3.9), height, boards, color), margin=0.0)
        z += 4.0


def _add_walkers(chance: Random, street: Street, place: Pavement) -> None:
    for _ in range(chance.randint(5, 10)):
        side = chance.choice((-1, 1))
        x = side * chance.uniform(street.half + street.verge + 0.6, street.edge - 0.5)
        place.add(Pedestrian.random(chance, x, chance.uniform(4.0, 16)), margin=0.05)
    if chance.random() < 0.5:
        z = chance.uniform(7, 20) if street.zebra is None else street.zebra + chance.uniform(0.4, 2.8)
        for _ in range(chance.randint(1, 3)):
            place.add(Pedestrian.random(chance, chance.uniform(-street.half, street.half), z), margin=0.05)
