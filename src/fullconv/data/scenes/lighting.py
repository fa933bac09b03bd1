"""From surfaces to a photograph: positions along the rays, light, shadow, lamps, haze and the camera's own traits."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from fullconv.data.scenes import texture
from fullconv.data.scenes.camera import Camera
from fullconv.data.scenes.canvas import CLOUDS, FACADE, GRASS, SUPERSAMPLING, Surfaces
from fullconv.data.scenes.classes import ROAD, SIDEWALK
from fullconv.data.scenes.conditions import Conditions

Array = npt.NDArray[np.floating[Any]]

LAMP: tuple[float, float, float] = (0.95, 0.74, 0.42)
HORIZON = 1500.0
"""Depth (metres) given to what is infinitely far."""


def photograph(
    surface_map: npt.NDArray[np.int32],
    surfaces: Surfaces,
    shadow: Array,
    camera: Camera,
    conditions: Conditions,
    lamps: list[tuple[float, float, float]],
    seed: int,
) -> npt.NDArray[np.uint8]:
    """The picture (H, W, 3) uint8 of a painted scene.

    Args:
        surface_map: (3H, 3W) rows of the table.
        surfaces: the table.
        shadow: (H, W), 1 where the sun does not reach the ground.
        camera, conditions: the scene's own.
        lamps: where lamps burn (x, y, z).
        seed: of clouds and sensor noise.
    """
    generator = np.random.default_rng(seed)
    middle = SUPERSAMPLING // 2
    number = np.ascontiguousarray(surface_map[middle::SUPERSAMPLING, middle::SUPERSAMPLING])
    right, up = camera.rays()
    plane = surfaces.plane[number]
    inverse = plane[..., 0] * right + plane[..., 1] * up + plane[..., 2]
    depth = 1.0 / np.maximum(inverse, 1.0 / HORIZON)
    cos, sin = camera.turn
    across = right * depth
    x = camera.x + across * np.float32(cos) + depth * np.float32(sin)
    y = camera.y + up * depth
    z = depth * np.float32(cos) - across * np.float32(sin)
    color, emitted = _colors(number, surfaces, (x, y, z, depth), (right, up), camera, conditions, generator)

    ground = np.isin(surfaces.label, (ROAD, SIDEWALK)) | (surfaces.material == GRASS)
    sun = surfaces.sun[number] * (1.0 - shadow * ground[number])
    light = surfaces.ambient[number][..., None] * np.array(conditions.ambient, dtype=np.float32)
    light += sun[..., None] * np.array(conditions.sun, dtype=np.float32)
    if conditions.lamps_on:
        light += _lamplight((x, y, z), camera, conditions, lamps)
    glow = surfaces.glow[number][..., None]
    color *= light + glow * (1.0 - light)
    color += emitted
    clear = np.exp(-depth / np.float32(conditions.haze))
    clear[surfaces.material[number] == CLOUDS] = 1.0
    haze = np.array(conditions.sky_bottom, dtype=np.float32)
    color = haze + (color - haze) * clear[..., None]
    color += _edges(surface_map, number, surfaces, conditions) * clear[..., None]
    return _exposed(color, conditions, generator)


def _colors(
    number: npt.NDArray[np.int32],
    surfaces: Surfaces,
    place: tuple[Array, Array, Array, Array],
    rays: tuple[Array, Array],
    camera: Camera,
    conditions: Conditions,
    generator: np.random.Generator,
) -> tuple[Array, Array]:
    """Colours in white light, and light of windows, (H, W, 3) each."""
    height, width = number.shape
    flat = number.ravel()
    x, y, z, depth = (part.ravel() for part in place)
    color = np.empty((flat.size, 3), dtype=np.float32)
    emitted = np.zeros((flat.size, 3), dtype=np.float32)
    material = surfaces.material[flat]
    shift = float(generator.uniform(0, 256))
    for kind in np.unique(surfaces.material):
        pixels = np.flatnonzero(material == kind)
        if kind == CLOUDS:
            rows, columns = np.divmod(pixels, width)
            color[pixels] = texture.sky(rays[0][0, columns], rays[1][rows, 0], conditions, shift)
            continue
        rows_of = flat[pixels]
        grain = depth[pixels] / np.float32(camera.focal)
        at = texture.Spots(x[pixels], y[pixels], z[pixels], grain, surfaces.color[rows_of], surfaces.params[rows_of])
        color[pixels] = texture.textured(int(kind), at, conditions)
        if kind == FACADE and conditions.lamps_on:
            emitted[pixels] = texture.window_light(at, conditions)
    return color.reshape(height, width, 3), emitted.reshape(height, width, 3)


def _lamplight(
    place: tuple[Array, Array, Array], camera: Camera, conditions: Conditions, lamps: list[tuple[float, float, float]]
) -> Array:
    """Light of the street's lamps and of the own headlights, (H, W, 3)."""
    x, y, z = place
    strength = np.zeros_like(x)
    for lamp_x, lamp_y, lamp_z in sorted(lamps, key=lambda lamp: lamp[2])[:6]:
        distance = (x - lamp_x) ** 2 + (y - lamp_y) ** 2 + (z - lamp_z) ** 2
        strength += 1.0 / (1.0 + distance / 14.0)
    if conditions.time == "night":
        aside = (x - camera.x) / (1.5 + 0.22 * z)
        strength += 0.55 * np.exp(-aside * aside - z / 22.0) * (y < 1.6)
    power = 0.95 if conditions.time == "night" else 0.25
    return (power * strength)[..., None] * np.array(LAMP, dtype=np.float32)


def _edges(
    surface_map: npt.NDArray[np.int32], number: npt.NDArray[np.int32], surfaces: Surfaces, conditions: Conditions
) -> Array:
    """How much a pixel's mean colour differs from its centre's: zero but at edges, (H, W, 3)."""
    light = surfaces.ambient[:, None] * np.array(conditions.ambient) + surfaces.sun[:, None] * np.array(conditions.sun)
    glow = surfaces.glow[:, None]
    lit = np.clip(surfaces.color * (light + glow * (1 - light)), 0, 1)
    table = np.zeros((len(lit), 4), dtype=np.uint8)
    table[:, :3] = np.round(lit * 255)
    packed = table.view(np.uint32).ravel()
    height, width = surface_map.shape
    fine = Image.frombuffer("RGBX", (width, height), packed[surface_map], "raw", "RGBX", 0, 1)
    mean = np.asarray(fine.reduce(SUPERSAMPLING))[..., :3]
    return (mean.astype(np.float32) - table[number][..., :3]) / np.float32(255)


def _exposed(color: Array, conditions: Conditions, generator: np.random.Generator) -> npt.NDArray[np.uint8]:
    """Exposure, white balance, darker corners and the sensor's noise."""
    height, width = color.shape[:2]
    rows, columns = np.linspace(-1, 1, height, dtype=np.float32), np.linspace(-1, 1, width, dtype=np.float32)
    corner = 1.0 - 0.09 * (rows[:, None] ** 2 + columns[None, :] ** 2)
    gain = np.array(conditions.exposure, dtype=np.float32) / max(float(np.minimum(color, 1.0).mean()), 0.02)
    color = color * (255 * corner)[..., None] * np.clip(gain, 0.6, 1.9)
    color += generator.standard_normal(color.shape, dtype=np.float32) * np.float32(255 * conditions.grain)
    return np.clip(color, 0, 255).astype(np.uint8)
