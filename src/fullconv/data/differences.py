"""Where label maps of one image differ, and which of them is right there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from fullconv.data.classes import ClassTable, SegmentationClass
from fullconv.data.pictures import RIGHT, UNDEFINED, Picture

SAME, FIRST, SECOND, NEITHER, UNKNOWN, DIFFERENT = range(6)
"""States of a pixel: all say the same (and are right, where the truth is known); of two that differ, only the first or
only the second is right; none is right; the truth is undefined; they differ and no truth is known."""

COLORS = (RIGHT, (64, 156, 255), (255, 152, 0), (190, 60, 90), UNDEFINED, (255, 152, 0))
"""Of the states, in their order."""

STATES = ClassTable(
    classes=tuple(
        SegmentationClass(name=name, color=color, value=place, codes=(place,))
        for place, (name, color) in enumerate(
            zip(("same", "first", "second", "neither", "unknown", "different"), COLORS, strict=True)
        )
    )
)
"""The states as classes, for what draws label maps."""


def difference_states(
    maps: Sequence[npt.NDArray[Any]], truth: npt.NDArray[Any] | None = None, *, ignore: int = 255
) -> npt.NDArray[np.uint8]:
    """(H, W) the state of every pixel.

    Args:
        maps: (H, W) class indices of two or more models, in one order of classes; of one, with truth, for its errors.
        truth: (H, W) in the same order, `ignore` where it is undefined. Of more than two maps it tells only where all
            are right and where none is; what lies between counts as different.

    >>> first, second = np.array([[0, 0, 1, 1, 0]]), np.array([[0, 1, 0, 1, 1]])
    >>> difference_states([first, second]).tolist()
    [[0, 5, 5, 0, 5]]
    >>> difference_states([first, second], np.array([[0, 0, 0, 0, 255]])).tolist()
    [[0, 1, 2, 3, 4]]
    """
    if truth is None:
        return np.where(alike(maps), SAME, DIFFERENT).astype(np.uint8)
    right = [labels == truth for labels in maps]
    state = np.full(truth.shape, DIFFERENT, dtype=np.uint8)
    if len(maps) == 2:
        state[right[0]] = FIRST
        state[right[1]] = SECOND
    state[np.logical_and.reduce(right)] = SAME
    state[~np.logical_or.reduce(right)] = NEITHER
    state[truth == ignore] = UNKNOWN
    return state


def difference_map(
    maps: Sequence[npt.NDArray[Any]], truth: npt.NDArray[Any] | None = None, *, ignore: int = 255
) -> Picture:
    """The states of `difference_states` as a picture, (H, W, 3) uint8.

    >>> difference_map([np.array([[0]]), np.array([[0]])]).tolist() == [[list(RIGHT)]]
    True
    """
    return np.asarray(np.array(COLORS, dtype=np.uint8)[difference_states(maps, truth, ignore=ignore)])


def alike(maps: Sequence[npt.NDArray[Any]]) -> npt.NDArray[np.bool_]:
    """(H, W) whether all say the same."""
    return np.asarray(np.logical_and.reduce([labels == maps[0] for labels in maps[1:]]))


def difference_key(names: Sequence[str], *, truth: bool) -> list[tuple[tuple[int, int, int], str]]:
    """What the colours of a difference map mean: (colour, sentence).

    >>> [said for _, said in difference_key(["a", "b"], truth=True)]
    ['both right', 'only a right', 'only b right', 'neither right', 'undefined']
    >>> [said for _, said in difference_key(["a", "b", "c"], truth=False)]
    ['all the same', 'different']
    """
    if not truth:
        return [
            (COLORS[SAME], "both the same" if len(names) == 2 else "all the same"),
            (COLORS[DIFFERENT], "different"),
        ]
    if len(names) == 2:
        said = ["both right", f"only {names[0]} right", f"only {names[1]} right", "neither right", "undefined"]
        return list(zip(COLORS, said, strict=False))
    states = ((SAME, "all right"), (DIFFERENT, "some right"), (NEITHER, "none right"), (UNKNOWN, "undefined"))
    return [(COLORS[state], said) for state, said in states]
