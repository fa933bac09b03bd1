"""Codes that were found and names that were given → the class table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from fullconv.data.class_files import ClassEntry, Color
from fullconv.data.classes import ClassTable, SegmentationClass
from fullconv.data.colormaps import voc_colormap
from fullconv.data.label_files import pack_colors, unpack_color
from fullconv.errors import DataError


@dataclass(frozen=True)
class Naming:
    """Where names come from and which of them the user wants ignored.

    Args:
        entries: the classes of the class file (or of a known dataset); empty where there is none.
        source: the file or the dataset, for sentences.
        ignore: names, ids or #rrggbb colours to ignore besides void, ignore, unlabelled …
    """

    entries: tuple[ClassEntry, ...] = ()
    source: str = ""
    ignore: Sequence[str] = field(default=())

    @property
    def ids(self) -> dict[int, ClassEntry]:
        """Id → entry; entries without an id count from 0 in the order of the file."""
        return {index if entry.id is None else entry.id: entry for index, entry in enumerate(self.entries)}

    @property
    def colors(self) -> dict[int, ClassEntry]:
        """0xRRGGBB → entry.

        Raises:
            DataError: one colour stands for two classes that are not both ignored.
        """
        found: dict[int, ClassEntry] = {}
        for entry in self.entries:
            if entry.color is None:
                continue
            code = pack(entry.color)
            other = found.setdefault(code, entry)
            if other.name != entry.name and not (other.is_ignored and entry.is_ignored):
                raise DataError(
                    f"the colour {entry.color} stands for {other.name} and {entry.name}",
                    where=self.source,
                    remedy="give each class its own colour",
                )
        return found


def pack(color: Color) -> int:
    """(red, green, blue) → 0xRRGGBB.

    >>> hex(pack((128, 64, 0)))
    '0x804000'
    """
    return int(pack_colors(np.array(color, dtype=np.uint8)))


def table_by_id(
    found: Sequence[int], naming: Naming, *, void: int | None = None, colors: Mapping[int, Color] | None = None
) -> ClassTable:
    """Classes of files that hold ids or levels.

    Args:
        found: codes that occur; without a class file these are the classes.
        naming: names by id.
        void: the code that is ignored unless the class file names it (255 in most sets).
        colors: code → colour, from a palette; else the class file's, else the VOC colour map.

    >>> table_by_id([0, 3, 255], Naming(), void=255).names
    ('class_0', 'class_3')
    """
    named = naming.ids or {code: ClassEntry(f"class_{code}") for code in found if code not in (void, -1)}
    spare = voc_colormap(max([*named, 255]) + 1)
    classes: list[SegmentationClass] = []
    ignored: list[SegmentationClass] = []
    for code, entry in named.items():
        color = entry.color or (colors or {}).get(code) or _triple(spare[code])
        made = SegmentationClass(name=entry.name, color=color, value=code, codes=(code,))
        (ignored if _ignores(naming, entry, code) else classes).append(made)
    if void is not None and void in found and void not in named:
        color = (colors or {}).get(void, (255, 255, 255))
        ignored.append(SegmentationClass(name=_free_name("void", named), color=color, value=void, codes=(void,)))
    return build_table(classes, ignored, naming)


def table_by_color(found: Sequence[int], naming: Naming) -> ClassTable:
    """Classes of files that hold colours; without a class file the colours found are named class_1, class_2 …

    >>> [(entry.name, entry.color) for entry in table_by_color([0, 0xFF0000], Naming()).classes]
    [('class_1', (0, 0, 0)), ('class_2', (255, 0, 0))]
    """
    if naming.entries:
        ids = {id(entry): code for code, entry in naming.ids.items()}
        rows = [(code, entry, ids[id(entry)]) for code, entry in naming.colors.items()]
    else:
        rows = [(code, ClassEntry(f"class_{index}"), index) for index, code in enumerate(found, 1)]
    classes: list[SegmentationClass] = []
    ignored: list[SegmentationClass] = []
    for code, entry, value in rows:
        made = SegmentationClass(name=entry.name, color=unpack_color(code), value=value, codes=(code,))
        (ignored if _ignores(naming, entry, value, code) else classes).append(made)
    return build_table(classes, ignored, naming)


def build_table(
    classes: Sequence[SegmentationClass], ignored: Sequence[SegmentationClass], naming: Naming
) -> ClassTable:
    """Join entries of one name, check what the user wants ignored, and make the table.

    Raises:
        DataError: nothing is left, or a name to ignore is not there.
    """
    everything = (*classes, *ignored)
    for wanted in naming.ignore:
        if not any(_is_meant(wanted, entry.name, entry.value, entry.codes) for entry in everything):
            raise DataError(
                f"there is no class {wanted!r} to ignore",
                remedy=f"classes are: {', '.join(entry.name for entry in everything)}",
            )
    if not classes:
        raise DataError(
            "every class is ignored, so nothing is left to learn",
            where=naming.source or None,
            remedy="keep at least one class",
        )
    return ClassTable(classes=_joined(classes), ignored=_joined(ignored))


def _joined(entries: Sequence[SegmentationClass]) -> tuple[SegmentationClass, ...]:
    by_name: dict[str, SegmentationClass] = {}
    for entry in entries:
        first = by_name.get(entry.name)
        by_name[entry.name] = (
            entry if first is None else first.model_copy(update={"codes": (*first.codes, *entry.codes)})
        )
    return tuple(by_name.values())


def _ignores(naming: Naming, entry: ClassEntry, value: int, *codes: int) -> bool:
    return entry.is_ignored or any(_is_meant(wanted, entry.name, value, codes) for wanted in naming.ignore)


def _is_meant(wanted: str, name: str, value: int, codes: Sequence[int]) -> bool:
    """Whether a name, an id or a #rrggbb colour given by the user stands for this class."""
    text = wanted.strip().lower()
    if text.startswith("#") and len(text) == 7:
        return any(f"#{code:06x}" == text for code in codes)
    return text == name.lower() or text == str(value)


def _free_name(name: str, named: Mapping[int, ClassEntry]) -> str:
    taken = {entry.name for entry in named.values()}
    return name if name not in taken else f"{name}_border"


def _triple(color: Sequence[int]) -> Color:
    return int(color[0]), int(color[1]), int(color[2])
