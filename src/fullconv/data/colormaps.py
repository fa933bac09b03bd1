"""Colours for classes that come without any."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


def voc_colormap(count: int = 256) -> npt.NDArray[np.uint8]:
    """The PASCAL VOC colour map: the bits of the class id spread over red, green and blue.

    Returns:
        (count, 3) uint8.

    >>> voc_colormap(4).tolist()
    [[0, 0, 0], [128, 0, 0], [0, 128, 0], [128, 128, 0]]
    """
    ids = np.arange(count)
    colors = np.zeros((count, 3), dtype=np.uint8)
    for bit in range(8):
        for channel in range(3):
            colors[:, channel] |= (((ids >> (3 * bit + channel)) & 1) << (7 - bit)).astype(np.uint8)
    return colors
