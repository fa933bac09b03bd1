"""Pixels counted under one class table, as another one would have counted them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from fullconv.data.classes import ClassTable


def class_mapping(old: ClassTable, new: ClassTable) -> npt.NDArray[np.intp] | None:
    """Where each class of a table goes when the classes are renamed, merged or dropped.

    Args:
        old, new: two tables of the same label files.

    Returns:
        (old classes,) the index in `new`, `len(new)` where it is ignored there; None where counting again is the only
        way: a class was ignored before, or is divided now.

    >>> from fullconv.data.class_edits import ClassEdits
    >>> from fullconv.data.classes import SegmentationClass
    >>> entries = [
    ...     SegmentationClass(name=name, color=(i, i, i), value=i, codes=(i,))
    ...     for i, name in enumerate(("car", "bus", "sky"))
    ... ]
    >>> table = ClassTable(classes=tuple(entries))
    >>> edited = ClassEdits(merge={"vehicle": ("car", "bus")}, drop=("sky",)).apply(table)
    >>> class_mapping(table, edited).tolist(), class_mapping(edited, table)
    ([0, 0, 1], None)
    """
    goal = {code: index for index, entry in enumerate(new.classes) for code in entry.codes}
    mapping = np.empty(len(old), dtype=np.intp)
    for index, entry in enumerate(old.classes):
        goals = {goal.pop(code, len(new)) for code in entry.codes}
        if len(goals) > 1:
            return None
        mapping[index] = goals.pop() if goals else len(new)
    return None if goal else mapping


def mapped_counts(
    counts: npt.NDArray[np.int64], mapping: npt.NDArray[np.intp], classes: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Counts (…, old classes) under another table.

    Args:
        counts: pixels per class.
        mapping: from `class_mapping`.
        classes: of the new table.

    Returns:
        (…, classes) counts, and (…) pixels that are ignored beyond those that were.

    >>> counts, ignored = mapped_counts(np.array([[5, 2, 1]]), np.array([0, 0, 1]), 1)
    >>> counts.tolist(), ignored.tolist()
    ([[7]], [1])
    """
    target = np.zeros((len(mapping), classes + 1), dtype=np.int64)
    target[np.arange(len(mapping)), mapping] = 1
    moved = counts @ target
    return moved[..., :classes], moved[..., classes]
