"""Several class tables under one order, by name: what models of different classes can be compared in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from fullconv.data.classes import ClassTable, SegmentationClass
from fullconv.data.colormaps import voc_colormap

Color = tuple[int, int, int]


@dataclass(frozen=True, eq=False)
class JointClasses:
    """The classes of several tables: those of the first in their order, then what only later ones have.

    Args:
        table: all of them; a class has the colour that the first table with it gives, or another one where that colour
            is taken. `value` is the place in this table.
        orders: for each table, own index → index in `table`; ignored stays ignored.
        partial: class that not every table has → places of the tables that have it.

    >>> road = SegmentationClass(name="road", color=(128, 64, 128), value=7, codes=(7,))
    >>> sky = SegmentationClass(name="sky", color=(70, 130, 180), value=1, codes=(1,))
    >>> joint = JointClasses.of([ClassTable(classes=(road,)), ClassTable(classes=(sky, road))])
    >>> joint.table.names, joint.partial
    (('road', 'sky'), {'sky': (1,)})
    >>> joint.labels(np.array([[0, 1, 255]], dtype=np.uint8), of=1)
    array([[  1,   0, 255]], dtype=uint8)
    """

    table: ClassTable
    orders: tuple[npt.NDArray[np.unsignedinteger], ...]
    partial: dict[str, tuple[int, ...]]

    @classmethod
    def of(cls, tables: Sequence[ClassTable]) -> JointClasses:
        """The classes of one or more tables; names are the same where every letter is."""
        found: dict[str, Color] = {}
        for entry in (entry for table in tables for entry in table.classes):
            if entry.name not in found:
                found[entry.name] = _free_color(entry.color, set(found.values()))
        names = list(found)
        joint = ClassTable(
            classes=tuple(
                SegmentationClass(name=name, color=color, value=place, codes=())
                for place, (name, color) in enumerate(found.items())
            )
        )
        owners = {name: tuple(place for place, table in enumerate(tables) if name in table.names) for name in names}
        return cls(
            table=joint,
            orders=tuple(_order(table, joint) for table in tables),
            partial={name: having for name, having in owners.items() if len(having) < len(tables)},
        )

    def labels(self, labels: npt.NDArray[Any], *, of: int) -> npt.NDArray[np.unsignedinteger]:
        """(H, W) class indices of one table → those of `table`.

        Args:
            of: which table.
        """
        return np.asarray(self.orders[of][labels])


def _order(table: ClassTable, joint: ClassTable) -> npt.NDArray[np.unsignedinteger]:
    order = np.full(table.ignore_index + 1, joint.ignore_index, dtype=joint.label_dtype)
    places = {name: place for place, name in enumerate(joint.names)}
    order[: len(table)] = [places[name] for name in table.names]
    return order


def _free_color(wanted: Color, taken: set[Color]) -> Color:
    """The colour itself, else the first one of VOC's map that no class has; black is the last choice."""
    if wanted not in taken:
        return wanted
    for red, green, blue in voc_colormap()[1:].tolist():
        if (red, green, blue) not in taken:
            return red, green, blue
    return wanted
