"""One scene from its seed and index."""

from __future__ import annotations

from random import Random

import numpy as np
import numpy.typing as npt

from fullconv.data.scenes.buildings import Skyline
from fullconv.data.scenes.camera import Camera
from fullconv.data.scenes.canvas import CLOUDS, SUPERSAMPLING, Canvas, Paint
from fullconv.data.scenes.classes import SKY, VOID
from fullconv.data.scenes.conditions import Conditions, mixed, random_conditions
from fullconv.data.scenes.furniture import Bin, LampPost, TrafficSign
from fullconv.data.scenes.greenery import Bush, Tree
from fullconv.data.scenes.ground import Street, draw_ground
from fullconv.data.scenes.layout import plots, street_life
from fullconv.data.scenes.lighting import photograph
from fullconv.data.scenes.people import Cyclist, Pedestrian
from fullconv.data.scenes.shadows import ShadowMap
from fullconv.data.scenes.things import Thing, back_to_front
from fullconv.errors import DataError

DEFAULT_SIZE = (480, 360)
SMALLEST, LARGEST = 32, 4096

# Widths (metres) that must cover so many pixels, or the thing is left out.
_VISIBLE: tuple[tuple[type, float, float], ...] = (
    (LampPost, 0.28, 2.6),
    (TrafficSign, 0.9, 8.5),
    (Pedestrian, 0.5, 7.0),
    (Cyclist, 0.6, 7.5),
    (Bin, 0.7, 6.0),
    (Tree, 2.8, 14.0),
    (Bush, 1.6, 10.0),
)


def generate_scene(
    seed: int, index: int, size: tuple[int, int] = DEFAULT_SIZE
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    """A street with exact labels, the same every time for the same seed, index and size.

    Args:
        seed: of the whole set.
        index: of the scene in the set; its season, time of day, weather and street follow from both.
        size: width and height in pixels, 32 to 4096 each.

    Returns:
        The image (H, W, 3) uint8 and the labels (H, W) uint8: the ids of `SCENE_CLASSES`, 11 for void.

    Raises:
        DataError: the size is out of range.

    >>> image, labels = generate_scene(0, 3, (160, 120))
    >>> image.shape, labels.shape, int(labels.max()) <= 11
    ((120, 160, 3), (120, 160), True)
    """
    check_size(size)
    chance = Random(f"{seed}/{index}")
    conditions = random_conditions(chance)
    street = Street.random(chance)
    lane = street.half * 0.46
    camera = Camera.random(chance, size, lane=lane)
    buildings = [thing for thing in plots(chance, street, conditions) if _large_enough(thing, camera)]
    life = street_life(chance, street, conditions, lane=lane)
    life = [thing for thing in life if _large_enough(thing, camera)]
    skyline = Skyline.random(chance, distance=street.length + chance.uniform(40, 90))
    hood = chance.random() < 0.22

    shadows = ShadowMap(camera, conditions.sun_direction)
    canvas = Canvas(camera, conditions.sun_direction)
    canvas.background(Paint(mixed(conditions.sky_bottom, conditions.sky_top, 0.5), SKY, CLOUDS, glow=1.0))
    skyline.draw(canvas)
    draw_ground(canvas, street, conditions)
    for thing in buildings:
        thing.cast(shadows)
    shaded = {id(thing) for thing in life if shadows.reaches(*_foot(thing))}
    for thing in life:
        thing.cast(shadows)
    for thing in back_to_front([*buildings, *life], camera_x=camera.x):
        canvas.sunlit = 0.15 if id(thing) in shaded else 1.0
        thing.draw(canvas, conditions)
    if hood:
        _draw_hood(canvas, chance)
    surface_map, surfaces = canvas.finished()
    lamps = [(thing.x + thing.arm, thing.height - 0.3, thing.z) for thing in life if isinstance(thing, LampPost)]
    image = photograph(surface_map, surfaces, shadows.finished(), camera, conditions, lamps, chance.getrandbits(32))
    middle = SUPERSAMPLING // 2
    return image, surfaces.label[surface_map[middle::SUPERSAMPLING, middle::SUPERSAMPLING]]


def scene_conditions(seed: int, index: int) -> Conditions:
    """Season, time of day and weather of a scene, without drawing it.

    >>> scene_conditions(0, 3).season in ("spring", "summer", "autumn", "winter")
    True
    """
    return random_conditions(Random(f"{seed}/{index}"))


def check_size(size: tuple[int, int]) -> None:
    """Raise `DataError` if a scene cannot have this width and height.

    >>> check_size((480, 0))
    Traceback (most recent call last):
    fullconv.errors.DataError: a scene cannot be 480x0 pixels; choose a width and height from 32 to 4096.
    """
    if not all(SMALLEST <= side <= LARGEST for side in size):
        raise DataError(
            f"a scene cannot be {size[0]}x{size[1]} pixels",
            remedy=f"choose a width and height from {SMALLEST} to {LARGEST}",
        )


def _foot(thing: Thing) -> tuple[float, float]:
    left, right, near, far = thing.footprint
    return (left + right) / 2, (near + far) / 2


def _large_enough(thing: Thing, camera: Camera) -> bool:
    _, _, depth = camera.project((thing.footprint[0], 0.0, thing.footprint[2]))
    return all(width * camera.focal / depth >= pixels for kind, width, pixels in _VISIBLE if isinstance(thing, kind))


def _draw_hood(canvas: Canvas, chance: Random) -> None:
    width, height = canvas.camera.width, canvas.camera.height
    tone = chance.uniform(0.08, 0.5)
    size = (0.72 * width, chance.uniform(0.07, 0.12) * height)
    canvas.ellipse((0.5 * width, height), size, 1.2, Paint((tone, tone, 1.05 * tone), VOID), light=0.7)
