"""Where the sun does not reach the ground."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFilter

from fullconv.data.scenes.camera import Camera, Pixel
from fullconv.data.scenes.conditions import Color


class ShadowMap:
    """Shadows on the ground as the camera sees them.

    Args:
        camera: gives the perspective.
        sun_direction: unit vector towards the sun; its height decides how long shadows are.
    """

    def __init__(self, camera: Camera, sun_direction: Color) -> None:
        self.camera = camera
        self._map = Image.new("L", (camera.width, camera.height), 0)
        self._pen = ImageDraw.Draw(self._map)
        east, up, north = sun_direction
        self._drift = (-east / up, -north / up)

    def box(self, footprint: tuple[float, float, float, float], height: float, *, bottom: float = 0.0) -> None:
        """A box's shadow: footprint (left, right, near, far), metres."""
        left, right, near, far = footprint
        base = [(left, near), (right, near), (right, far), (left, far)]
        low = [self._fallen(x, z, bottom) for x, z in base]
        high = [self._fallen(x, z, height) for x, z in base]
        for i in range(4):
            j = (i + 1) % 4
            self._fill([low[i], low[j], high[j], high[i]])
        self._fill(low)
        self._fill(high)

    def ball(self, x: float, y: float, z: float, radius: float) -> None:
        """The shadow of something round whose middle is at height y."""
        east, north = self._drift
        stretch = math.hypot(1.0, math.hypot(east, north))
        length = math.hypot(east, north) or 1.0
        east, north = east / length, north / length
        middle = self._fallen(x, z, y)
        points = []
        for step in range(12):
            angle = step * math.pi / 6
            along, across = radius * stretch * math.cos(angle), radius * math.sin(angle)
            points.append((middle[0] + along * east - across * north, middle[1] + along * north + across * east))
        self._fill(points)

    def reaches(self, x: float, z: float) -> bool:
        """Whether the place on the ground lies in a shadow drawn so far; places out of sight do not."""
        column, row, _ = self.camera.project((x, 0.0, z))
        inside = 0 <= column < self.camera.width and 0 <= row < self.camera.height
        return inside and self._map.getpixel((int(column), int(row))) != 0

    def finished(self) -> npt.NDArray[np.float32]:
        """(H, W) float32, 1 in full shadow, edges a little soft."""
        soft = self._map.filter(ImageFilter.BoxBlur(1))
        return np.asarray(soft, dtype=np.float32) / np.float32(255)

    def _fallen(self, x: float, z: float, height: float) -> Pixel:
        return x + self._drift[0] * height, z + self._drift[1] * height

    def _fill(self, points: list[Pixel]) -> None:
        corners = self.camera.outline([(x, 0.0, z) for x, z in points])
        if len(corners) >= 3:
            self._pen.polygon([(math.floor(x), math.floor(y)) for x, y in corners], fill=255)
