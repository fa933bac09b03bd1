"""Groups of a dataset's classes as classes of their own: what further heads of a network learn and are scored on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from fullconv.data.classes import ClassTable, SegmentationClass

Groups = Mapping[str, Sequence[str]]
"""Name of a group → the classes in it; classes in none are ignored."""


def missing_members(groups: Groups, classes: ClassTable) -> list[str]:
    """Classes that groups name and a dataset has not, sorted."""
    return sorted({member for members in groups.values() for member in members} - set(classes.names))


def group_table(groups: Groups, classes: ClassTable) -> ClassTable:
    """The groups as classes 0, 1, 2 …, each with the colour of its first member.

    Args:
        groups: of classes that there are (see `missing_members`).
        classes: of the dataset.

    >>> sky, road, car = (SegmentationClass(name=name, color=(9, 9, value), value=value, codes=(value,))
    ...                   for value, name in enumerate(("sky", "road", "car")))
    >>> table = group_table({"above": ["sky"], "below": ["road", "car"]}, ClassTable(classes=(sky, road, car)))
    >>> table.names, table.colors.tolist()
    (('above', 'below'), [[9, 9, 0], [9, 9, 1]])
    """
    known = {one.name: one for one in classes.classes}
    return ClassTable(
        classes=tuple(
            SegmentationClass(name=group, color=known[members[0]].color, value=index, codes=(index,))
            for index, (group, members) in enumerate(groups.items())
        )
    )


def group_lookup(groups: Groups, classes: ClassTable) -> npt.NDArray[np.unsignedinteger]:
    """(ignore + 1,) what becomes of every class index of a dataset and of the ignored one: the index of its group.

    >>> sky, road, car = (SegmentationClass(name=name, color=(0, 0, 0), value=value, codes=(value,))
    ...                   for value, name in enumerate(("sky", "road", "car")))
    >>> lookup = group_lookup({"above": ["sky"], "below": ["car"]}, ClassTable(classes=(sky, road, car)))
    >>> lookup[[0, 1, 2, 255]]
    array([  0, 255,   1, 255], dtype=uint8)
    """
    table = group_table(groups, classes)
    lookup = np.full(classes.ignore_index + 1, table.ignore_index, dtype=table.label_dtype)
    for index, members in enumerate(groups.values()):
        lookup[[classes.names.index(member) for member in members]] = index
    return lookup
