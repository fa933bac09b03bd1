"""What stands in a street has a footprint, casts a shadow and can be drawn; nearer things hide farther ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from fullconv.data.scenes.canvas import Canvas
from fullconv.data.scenes.conditions import Conditions
from fullconv.data.scenes.shadows import ShadowMap

Footprint = tuple[float, float, float, float]
"""Left, right, near, far on the ground (metres)."""


class Thing(Protocol):
    """Anything that stands on the ground."""

    @property
    def footprint(self) -> Footprint: ...

    def cast(self, shadows: ShadowMap) -> None:
        """Add its shadow."""

    def draw(self, canvas: Canvas, conditions: Conditions) -> None:
        """Paint it over what lies behind it."""


def back_to_front(things: Sequence[Thing], *, camera_x: float) -> list[Thing]:
    """An order in which every thing comes after all that it can hide.

    Footprints are boxes along the axes, so of two that do not overlap one lies behind the other: farther along the
    street, or farther to the same side of the camera.
    """
    if not things:
        return []
    left, right, near, far = np.array([thing.footprint for thing in things]).T
    behind = near[:, None] >= far[None, :]
    level = ~behind & ~behind.T
    aside = (left[:, None] >= right[None, :]) & (right[None, :] > camera_x)
    aside |= (right[:, None] <= left[None, :]) & (left[None, :] < camera_x)
    first = behind | (level & aside & ~aside.T)
    np.fill_diagonal(first, False)
    waiting = np.ones(len(things), dtype=bool)
    order = []
    unmet = first.sum(axis=0)
    for _ in things:
        # Overlapping footprints can leave a circle: the farthest of the least hindered goes first.
        free = np.where(waiting, unmet - far * 1e-4, np.inf)
        chosen = int(free.argmin())
        order.append(things[chosen])
        waiting[chosen] = False
        unmet = unmet - first[chosen]
    return order
