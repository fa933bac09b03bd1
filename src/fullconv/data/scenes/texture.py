"""How colours vary over a surface, in metres of the street: asphalt, slabs, bricks, windows, leaves, boards, clouds."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from fullconv.data.scenes import canvas as materials
from fullconv.data.scenes.conditions import Conditions

Array = npt.NDArray[np.floating[Any]]


class Spots(NamedTuple):
    """Pixels of one material (P): where they are in the street, and what their surface says."""

    x: Array
    y: Array
    z: Array
    grain: Array
    color: Array
    params: Array

    def fade(self, period: float) -> Array:
        """1 where a pattern of this period (metres) is resolved, 0 where pixels are larger than it."""
        share: Array = np.clip(1.4 - 2.0 * self.grain / period, 0.0, 1.0)
        return share


@cache
def _noise_tile() -> Array:
    """(256, 256) periodic noise of a few octaves, mean 0, standard deviation 1."""
    generator = np.random.default_rng(20170)
    waves = np.fft.fftfreq(256) * 256
    size = np.hypot(waves[:, None], waves[None, :])
    white = np.fft.fft2(generator.standard_normal((256, 256)))
    tile = np.fft.ifft2(white / np.maximum(size, 6.0) ** 0.9).real
    tile -= tile.mean()
    rough: Array = (tile / tile.std()).astype(np.float32).ravel()
    return rough


@cache
def _cloud_tile() -> Array:
    """(1024, 1024) the same, but smooth: nothing finer than 16 texels."""
    generator = np.random.default_rng(20171)
    waves = np.fft.fftfreq(1024) * 1024
    size = np.hypot(waves[:, None], waves[None, :])
    white = np.fft.fft2(generator.standard_normal((1024, 1024)))
    tile = np.fft.ifft2(white * np.exp(-((size / 64) ** 2)) / np.maximum(size, 12.0)).real
    tile -= tile.mean()
    smooth: Array = (tile / tile.std()).astype(np.float32).ravel()
    return smooth


def noise(u: Array, v: Array) -> Array:
    """Noise at places given in texels; standard deviation 1."""
    columns = u.astype(np.int32) & 255
    rows = v.astype(np.int32) & 255
    found: Array = _noise_tile()[(rows << 8) | columns]
    return found


def clouds(u: Array, v: Array) -> Array:
    """Smooth noise, whose blobs are about one unit wide; standard deviation 1."""
    columns = (u * 16).astype(np.int32) & 1023
    rows = (v * 16).astype(np.int32) & 1023
    found: Array = _cloud_tile()[(rows << 10) | columns]
    return found


def chance_of(first: Array, second: Array, seed: Array) -> Array:
    """A number in 0 … 1 for every cell (integer-valued first and second), the same each time."""
    mixed = np.sin(first * 12.9898 + second * 78.233 + seed * 37.719) * 43758.547
    fraction: Array = mixed - np.floor(mixed)
    return fraction


def _fraction(values: Array) -> Array:
    fraction: Array = values - np.floor(values)
    return fraction


def _band(offset: Array, half: Array | float, blur: Array) -> Array:
    """1 within `half` of the middle, 0 beyond, with an edge as wide as a pixel."""
    inside: Array = np.clip((half - np.abs(offset)) / blur + 0.5, 0.0, 1.0)
    return inside


def _blend(color: Array, other: Array | tuple[float, float, float], share: Array) -> Array:
    target = np.asarray(other, dtype=np.float32)
    return color + (target - color) * share[:, None]


def _plain(at: Spots, conditions: Conditions) -> Array:
    color: Array = at.color * (1.0 + 0.03 * noise(at.x * 40 + at.y * 7, at.z * 40 + at.y * 50))[:, None]
    return color


def _asphalt(at: Spots, conditions: Conditions) -> Array:
    fine = noise(at.x * 40, at.z * 40) * at.fade(0.15)
    coarse = clouds(at.x * 0.8, at.z * 0.3)
    color: Array = at.color * (1.0 + 0.09 * fine + 0.07 * coarse)[:, None]
    if conditions.snow:
        slush = np.clip(clouds(at.x * 1.3 + 9, at.z * 0.12) * 0.45 + 1.2 * conditions.snow - 0.75, 0.0, 0.75)
        color = _blend(color, (0.80, 0.82, 0.85), slush)
    return color


def _slabs(at: Spots, conditions: Conditions) -> Array:
    size = at.params[:, 0]
    u, v = at.x / size, at.z / size
    blur = at.grain / size + 0.02
    joint = 1.0 - _band(_fraction(u) - 0.5, 0.47, blur) * _band(_fraction(v) - 0.5, 0.47, 2 * blur)
    tone = chance_of(np.floor(u), np.floor(v), size) - 0.5
    change = 0.16 * tone * at.fade(0.6) - 0.45 * joint * at.fade(0.4) + 0.05 * noise(at.x * 40, at.z * 40)
    color: Array = at.color * (1.0 + change)[:, None]
    if conditions.snow:
        cover = np.clip(clouds(at.x * 0.7, at.z * 0.5 + 33) * 0.4 + 1.5 * conditions.snow - 0.7, 0.0, 0.9)
        color = _blend(color, (0.84, 0.86, 0.90), cover)
    return color


def _grass(at: Spots, conditions: Conditions) -> Array:
    blades = noise(at.x * 50, at.z * 25) * at.fade(0.15)
    color: Array = at.color * (1.0 + 0.22 * blades + 0.12 * clouds(at.x * 0.7, at.z * 0.5))[:, None]
    if conditions.season == "autumn":
        fallen = np.clip(clouds(at.x * 5, at.z * 4) - 0.5, 0.0, 0.8)
        color = _blend(color, (0.62, 0.36, 0.12), fallen)
    return color


def _masonry(at: Spots, u: Array, share: Array | float) -> Array:
    """Change of brightness by courses of bricks where `share` is 1, by plain render where it is 0."""
    course = at.y / 0.24
    shifted = u / 0.5 + 0.5 * (np.floor(course) % 2)
    blur = at.grain / 0.24 + 0.05
    joint = 1.0 - _band(_fraction(course) - 0.5, 0.41, blur) * _band(_fraction(shifted) - 0.5, 0.45, blur)
    tone = chance_of(np.floor(course), np.floor(shifted), np.zeros_like(u)) - 0.5
    bricks = (0.32 * tone + 0.25 * joint) * at.fade(0.3)
    render = 0.05 * noise(u * 40, at.y * 40) * at.fade(0.15) + 0.07 * clouds(u * 0.6, at.y * 0.25)
    change: Array = bricks * share + render
    return change


def _bricks(at: Spots, conditions: Conditions) -> Array:
    u = at.x * at.params[:, 0] + at.z * at.params[:, 1]
    return at.color * (1.0 + _masonry(at, u, 1.0))[:, None]


def _tiles(at: Spots, conditions: Conditions) -> Array:
    u = at.x * at.params[:, 0] + at.z * at.params[:, 1]
    course = _fraction(at.y / 0.22) - 0.5
    change = 0.45 * course * at.fade(0.3) + 0.08 * clouds(u * 2, at.y * 2)
    color: Array = at.color * (1.0 + change)[:, None]
    if conditions.snow:
        color = _blend(color, (0.84, 0.86, 0.90), np.clip(0.9 * conditions.snow + 0.2 * clouds(0.4 * u, at.y), 0, 0.9))
    return color


def _facade(at: Spots, conditions: Conditions) -> Array:
    """Windows in rows and columns; shop windows and a door below; curtains, or light in the dark."""
    along_x, along_z, start, bay, storey, wide, high, seed, shop, bricks = at.params.T
    u = at.x * along_x + at.z * along_z + start
    column, row = np.floor(u / bay), np.floor(at.y / storey)
    ground = row <= 0
    wide = np.where(ground & (shop > 0), 0.86, wide)
    high = np.where(ground & (shop > 0), 0.72, high)
    door = ground & (chance_of(column, row, seed) < 0.28)
    across, up = (_fraction(u / bay) - 0.5) * bay, (_fraction(at.y / storey) - 0.54) * storey
    half_wide, half_high = 0.5 * wide * bay, 0.5 * high * storey
    up = np.where(door, at.y - 1.05, up)
    half_high = np.where(door, 1.05, half_high)
    half_wide = np.where(door, 0.55, half_wide)
    blur = at.grain + 0.01
    frame = _band(across, half_wide + 0.10, blur) * _band(up, half_high + 0.10, blur)
    glass = _band(across, half_wide, blur) * _band(up, half_high, blur)
    mullion = _band(across, 0.035, blur) + _band(up - 0.2 * half_high, 0.03, blur)
    glass *= 1.0 - 0.8 * np.minimum(mullion, 1.0) * ~door
    color = at.color * (1.0 + _masonry(at, u, bricks))[:, None]
    # A sill's shadow and the damp at the wall's foot.
    color *= (1.0 - 0.25 * _band(across, half_wide + 0.12, blur) * _band(up + half_high + 0.22, 0.08, blur))[:, None]
    color *= np.clip(0.78 + 0.28 * at.y, 0.0, 1.0)[:, None]
    trim = np.where(at.color.mean(axis=1) > 0.58, np.float32(0.32), np.float32(0.78))
    color += (trim[:, None] - color) * (0.8 * frame)[:, None]
    pick = chance_of(column, row, seed + 3)
    tone = (0.10 + 0.22 * pick + 0.10 * (up / half_high) * pick)[:, None]
    pane = tone * np.array((0.86, 0.98, 1.1), dtype=np.float32)
    curtain = (pick > 0.72) & (np.abs(across) > 0.45 * half_wide) & ~door
    pane = np.where(curtain[:, None], np.float32(0.55), pane)
    pane = np.where(door[:, None], (0.16 + 0.3 * pick)[:, None] * np.array((1.0, 0.72, 0.5), dtype=np.float32), pane)
    return color + (pane - color) * glass[:, None]


def window_light(at: Spots, conditions: Conditions) -> Array:
    """Light that comes out of windows in the dark, red, green, blue (P, 3)."""
    along_x, along_z, start, bay, storey, wide, high, seed, shop, _ = at.params.T
    u = at.x * along_x + at.z * along_z + start
    column, row = np.floor(u / bay), np.floor(at.y / storey)
    display = (row <= 0) & (shop > 0)
    wide, high = np.where(display, 0.86, wide), np.where(display, 0.72, high)
    blur = at.grain + 0.01
    across, up = (_fraction(u / bay) - 0.5) * bay, (_fraction(at.y / storey) - 0.54) * storey
    glass = _band(across, 0.5 * wide * bay, blur) * _band(up, 0.5 * high * storey, blur)
    glass *= 1.0 - 0.8 * _band(across, 0.035, blur)
    pick = chance_of(column, row, seed + 11)
    lit = (pick < np.where(display, 0.7, conditions.lit_windows)) & (at.y > 0.3)
    warm = 0.55 + 1.2 * (pick % 0.1) * 3
    light: Array = (glass * lit * warm)[:, None] * np.array((1.0, 0.82, 0.5), dtype=np.float32)
    return light


def _leaves(at: Spots, conditions: Conditions) -> Array:
    offset = at.params[:, 2] * 17
    fine = noise(at.x * 55 + at.z * 11 + offset, at.y * 55 + at.z * 9) * at.fade(0.12)
    coarse = clouds(at.x * 4 + at.z * 3, at.y * 4 + offset)
    color: Array = at.color * (1.0 + 0.24 * fine + 0.24 * coarse)[:, None]
    if conditions.snow:
        color = _blend(color, (0.84, 0.86, 0.90), np.clip(0.7 * coarse - 0.9 + conditions.snow, 0, 0.7))
    return color


def _fence_posts(at: Spots) -> tuple[Array, Array, Array]:
    u = at.x * at.params[:, 0] + at.z * at.params[:, 1]
    blur = at.grain + 0.005
    post = _band((_fraction(u / 2.2) - 0.5) * 2.2, 0.08, blur)
    return u, blur, post


def _boards(at: Spots, conditions: Conditions) -> Array:
    u, blur, post = _fence_posts(at)
    pitch = at.params[:, 4]
    gap = 1.0 - _band((_fraction(u / pitch) - 0.5) * pitch, 0.42 * pitch, blur)
    tone = chance_of(np.floor(u / pitch), np.zeros_like(u), pitch) - 0.5
    rail = _band(at.y - 0.3 * at.params[:, 3], 0.06, blur) + _band(at.y - 0.8 * at.params[:, 3], 0.06, blur)
    change = 0.25 * tone - 0.65 * gap + 0.06 * noise(u * 30, at.y * 5) - 0.22 * rail * (1 - gap)
    color: Array = at.color * np.clip(1.0 + change * (1 - post) + 0.12 * post, 0.1, 2.0)[:, None]
    return color


def _bars(at: Spots, conditions: Conditions) -> Array:
    u, blur, post = _fence_posts(at)
    pitch = at.params[:, 4]
    bar = _band((_fraction(u / pitch) - 0.5) * pitch, 0.16 * pitch, blur)
    rail = _band(at.y - 0.15, 0.06, blur) + _band(at.y - 0.85 * at.params[:, 3], 0.05, blur)
    solid = np.clip(np.maximum(bar, rail) + post, 0.0, 1.0)
    behind = np.array((0.30, 0.32, 0.24), dtype=np.float32) * (1.0 + 0.15 * noise(u * 5, at.y * 5))[:, None]
    color: Array = behind + (at.color - behind) * solid[:, None]
    return color


def _car_paint(at: Spots, conditions: Conditions) -> Array:
    shine = np.clip((at.y - 0.45) / 0.9, 0.0, 1.0)
    color: Array = at.color * (0.72 + 0.36 * shine)[:, None] + np.float32(0.05) * shine[:, None]
    return color


_SHADERS: dict[int, Callable[[Spots, Conditions], Array]] = {
    materials.PLAIN: _plain,
    materials.ASPHALT: _asphalt,
    materials.SLABS: _slabs,
    materials.GRASS: _grass,
    materials.FACADE: _facade,
    materials.BRICKS: _bricks,
    materials.TILES: _tiles,
    materials.LEAVES: _leaves,
    materials.BOARDS: _boards,
    materials.BARS: _bars,
    materials.PAINT: _car_paint,
}


def textured(material: int, at: Spots, conditions: Conditions) -> Array:
    """The colours (P, 3) of pixels of one material in white light."""
    return _SHADERS[material](at, conditions)


def sky(slope_right: Array, slope_up: Array, conditions: Conditions, shift: float) -> Array:
    """The sky's colour (P, 3) by direction: a gradient, and clouds that flatten towards the horizon."""
    rise = np.clip(slope_up / 0.8, 0.0, 1.0)
    bottom, top = (np.array(color, dtype=np.float32) for color in (conditions.sky_bottom, conditions.sky_top))
    color = bottom + (top - bottom) * np.sqrt(rise)[:, None]
    stretch = 1.0 / (slope_up + 0.16)
    drift = clouds(slope_right * stretch * 1.6 + shift, stretch * 1.6 + shift)
    drift += 0.5 * clouds(slope_right * stretch * 4.2, stretch * 4.2 + shift)
    amount, tint = {"clear": (0.35, 0.1), "overcast": (0.9, 0.45), "fog": (0.1, 0.0)}[conditions.weather]
    cover = np.clip(0.55 * drift - 0.5 + amount, 0.0, 1.0) * amount
    cloud = bottom * 0.95 + tint * (top - bottom)
    clouded: Array = color + (cloud - color) * (0.8 * cover)[:, None]
    return clouded
