"""The twelve classes of the generated street scenes: SYNTHIA's, in its order, with its colours."""

from __future__ import annotations

from fullconv.data.classes import ClassTable, SegmentationClass

SKY, BUILDING, ROAD, SIDEWALK, FENCE, VEGETATION, POLE, CAR, SIGN, PEDESTRIAN, BICYCLIST, VOID = range(12)

_COLORS = {
    "sky": (128, 128, 128),
    "building": (128, 0, 0),
    "road": (128, 64, 128),
    "sidewalk": (0, 0, 192),
    "fence": (64, 64, 128),
    "vegetation": (128, 128, 0),
    "pole": (192, 192, 128),
    "car": (64, 0, 128),
    "sign": (192, 128, 128),
    "pedestrian": (64, 64, 0),
    "bicyclist": (0, 128, 192),
    "void": (0, 0, 0),
}

_ENTRIES = tuple(
    SegmentationClass(name=name, color=color, value=value, codes=(value,))
    for value, (name, color) in enumerate(_COLORS.items())
)

SCENE_CLASSES = ClassTable(classes=_ENTRIES[:VOID], ignored=_ENTRIES[VOID:])
"""Sky 0 … bicyclist 10; void, 11 in the label maps, is ignored."""


def class_file() -> str:
    """The text of `classes.txt`: one line `id name r g b` per class, void included.

    >>> class_file().splitlines()[0]
    '0 sky 128 128 128'
    """
    return "".join(
        f"{entry.value} {entry.name} {' '.join(map(str, entry.color))}\n"
        for entry in (*SCENE_CLASSES.classes, *SCENE_CLASSES.ignored)
    )
