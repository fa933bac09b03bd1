"""Label maps as polygons along the borders of pixels, in the form of GeoJSON (RFC 7946)."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
from contourpy import FillType, contour_generator

from fullconv.data.classes import ClassTable

MEDIA_TYPE = "application/geo+json"
Points = npt.NDArray[np.float64]


def polygons_of(
    labels: npt.NDArray[Any], classes: ClassTable, *, simplify: float = 0.0, smallest: int = 0
) -> dict[str, Any]:
    """A feature for every connected region of a class.

    Coordinates are pixels: x to the right and y down from the top left corner of the image, whole numbers where nothing
    is simplified. A program that takes them for longitude and latitude shows the image upside down.

    Args:
        labels: (H, W) class indices; pixels of no class belong to no region.
        classes: names, colours and own ids.
        simplify: pixels by which a line may differ from the border; each region is simplified by itself.
        smallest: regions of fewer pixels are left out.

    Returns:
        A FeatureCollection; `properties` are class, value (the dataset's own id), color and pixels.

    >>> from fullconv.data.classes import SegmentationClass
    >>> table = ClassTable(classes=(SegmentationClass(name="sky", color=(70, 130, 180), value=23, codes=(23,)),))
    >>> found = polygons_of(np.array([[255, 0], [255, 0]], dtype=np.uint8), table)["features"][0]
    >>> found["properties"]["pixels"], found["geometry"]["coordinates"]
    (2, [[[1, 0], [2, 0], [2, 2], [1, 2], [1, 0]]])
    """
    features = []
    present = np.unique(labels)
    for index in (int(index) for index in present if index < len(classes)):
        entry = classes.classes[index]
        for rings in _regions(labels == index):
            areas = [_area(ring) for ring in rings]
            pixels = round(abs(areas[0]) - sum(abs(hole) for hole in areas[1:]))
            if pixels < smallest:
                continue
            drawn = [_drawn(ring, simplify) for ring in rings]
            if not drawn[0]:
                continue
            features.append(
                {
                    "type": "Feature",
                    "properties": {
                        "class": entry.name,
                        "value": entry.value,
                        "color": "#{:02x}{:02x}{:02x}".format(*entry.color),
                        "pixels": pixels,
                    },
                    "geometry": {"type": "Polygon", "coordinates": [ring for ring in drawn if ring]},
                }
            )
    return {"type": "FeatureCollection", "features": features}


def _regions(mask: npt.NDArray[np.bool_]) -> Iterator[list[Points]]:
    """The rings of every region, the outer one first: (n, 2) corners x, y without the first one again.

    contourpy draws a line through the middles of the pixels' edges, which it cuts a corner off at every turn; where the
    line goes from an upright edge to a lying one, the corner between the two is put back.
    """
    framed = np.pad(mask, 1).astype(np.float64)
    lines = contour_generator(z=framed, fill_type=FillType.OuterOffset).filled(0.5, 2.0)
    for points, offsets in zip(*lines, strict=True):
        if points is None or offsets is None:
            continue
        bounds = [int(offset) for offset in offsets]
        yield [_corners(points[first : end - 1] - 0.5) for first, end in pairwise(bounds)]


def _corners(middles: Points) -> Points:
    """The corners of a ring from the middles of the edges that it passes."""
    upright = middles[:, 0] == np.round(middles[:, 0])  # the middle of an upright edge lies on a whole x
    after, upright_after = np.roll(middles, -1, axis=0), np.roll(upright, -1)
    turns = upright != upright_after
    x = np.where(upright, middles[:, 0], after[:, 0])[turns]
    y = np.where(upright, after[:, 1], middles[:, 1])[turns]
    return np.stack([x, y], axis=1)


def _area(ring: Points) -> float:
    x, y = ring[:, 0], ring[:, 1]
    return float(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))) / 2


def _drawn(ring: Points, tolerance: float) -> list[list[float | int]]:
    """A closed ring of GeoJSON, or nothing where too little of it is left."""
    kept = ring if tolerance <= 0 else _simplified(ring, tolerance)
    if len(kept) < 3:
        return []
    return [[int(x), int(y)] for x, y in (*kept, kept[0])]


def _simplified(ring: Points, tolerance: float) -> Points:
    """Some of the corners, so that no other one lies further than the tolerance from the line (Douglas, Peucker 1973).

    The ring is cut at its first corner and at the one farthest from it.
    """
    far = int(np.argmax(((ring - ring[0]) ** 2).sum(axis=1)))
    closed = np.concatenate([ring, ring[:1]])
    keep = np.zeros(len(closed), dtype=bool)
    keep[[0, far]] = True
    open_parts = [(0, far), (far, len(ring))]
    while open_parts:
        first, last = open_parts.pop()
        if last - first < 2:
            continue
        start, line = closed[first], closed[last] - closed[first]
        beside = closed[first + 1 : last] - start
        length = float(np.hypot(*line))
        away = np.abs(line[0] * beside[:, 1] - line[1] * beside[:, 0]) / length if length else np.hypot(*beside.T)
        worst = int(np.argmax(away))
        if away[worst] > tolerance:
            middle = first + 1 + worst
            keep[middle] = True
            open_parts += [(first, middle), (middle, last)]
    return np.asarray(ring[keep[:-1]])
