"""Classes renamed, merged, remapped, dropped, kept or given other colours, without touching the files."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from pydantic import BaseModel, ConfigDict, ValidationError

from fullconv.data.classes import ClassTable, SegmentationClass
from fullconv.errors import DataError

_HEX_COLOR = re.compile(r"#([0-9A-Fa-f]{6})")
_LARGEST_ID = 65535
IGNORE = "ignore"
"""The target of a remapping that means "these pixels do not count"."""


class ClassEdits(BaseModel):
    """What to change in the classes found on disk; applied in the order of the fields.

    Args:
        keep: names of ignored classes that are classes after all (`void`, `unknown` …).
        remap: code in the label files (an id, or a colour as `#rrggbb`) → name of a class, or `ignore`.
        rename: old name → new name.
        merge: name → names that become this one class.
        drop: names that are ignored from now on.
        recolor: name → colour as `#rrggbb`; the names are those after all other edits.

    >>> ClassEdits(rename={"car": "vehicle"}, drop=("sky",)).rename
    {'car': 'vehicle'}
    """

    model_config = ConfigDict(
        frozen=True, extra="forbid", json_schema_extra={"example": {"recolor": {"road": "#804080"}}}
    )

    keep: tuple[str, ...] = ()
    remap: dict[str, str] = {}
    rename: dict[str, str] = {}
    merge: dict[str, tuple[str, ...]] = {}
    drop: tuple[str, ...] = ()
    recolor: dict[str, str] = {}

    @property
    def without_colors(self) -> ClassEdits:
        """All that decides what a pixel counts as."""
        return self.model_copy(update={"recolor": {}})

    def apply(self, table: ClassTable) -> ClassTable:
        """The class table after all edits.

        Raises:
            DataError: a name or code that the dataset does not have, a new name that is taken, or no class left.

        >>> entries = [
        ...     SegmentationClass(name=name, color=(i, i, i), value=i, codes=(i,))
        ...     for i, name in enumerate(("car", "bus", "sky"))
        ... ]
        >>> edits = ClassEdits(merge={"vehicle": ("car", "bus")}, drop=("sky",))
        >>> edited = edits.apply(ClassTable(classes=tuple(entries)))
        >>> [(entry.name, entry.codes) for entry in edited.classes], edited.ignored[0].name
        ([('vehicle', (0, 1))], 'sky')
        """
        draft = _Draft(list(table.classes), list(table.ignored))
        for name in self.keep:
            draft.keep(name)
        for code, target in self.remap.items():
            draft.remap(parse_code(code), target)
        for old, new in self.rename.items():
            draft.rename(old, new)
        for name, members in self.merge.items():
            draft.merge(name, members)
        for name in self.drop:
            draft.drop(name)
        for name, color in self.recolor.items():
            draft.recolor(name, color)
        return draft.table()

    def remapped_codes(self, *, colors: bool) -> dict[str, int]:
        """The remapped codes, as written → as in the label files.

        Args:
            colors: whether the label files hold colours, not ids.

        Raises:
            DataError: a colour for files of ids, an id for files of colours, or an id beyond 16 bits.

        >>> ClassEdits(remap={"7": "ignore"}).remapped_codes(colors=False)
        {'7': 7}
        """
        codes = {text: parse_code(text) for text in self.remap}
        for text, code in codes.items():
            if text.startswith("#") != colors:
                held, example = ("colours", "#804080") if colors else ("ids", "7")
                raise DataError(
                    f"{text!r} is no code of these labels, which hold {held}",
                    where="--remap",
                    remedy=f"write a code such as {example}",
                )
            if not colors and code > _LARGEST_ID:
                raise DataError(f"{text} is beyond {_LARGEST_ID}", where="--remap", remedy="ids have 16 bits at most")
        return codes


def parse_code(text: str) -> int:
    """A code of a label file: an id as decimal digits, or a colour `#rrggbb`.

    >>> parse_code("7"), hex(parse_code("#804080"))
    (7, '0x804080')
    >>> parse_code("seven")
    Traceback (most recent call last):
    fullconv.errors.DataError: 'seven' is no code of a label file; give an id such as 7 or a colour such as #804080.
    """
    if text.isdecimal():
        return int(text)
    if match := _HEX_COLOR.fullmatch(text):
        return int(match[1], 16)
    raise DataError(f"{text!r} is no code of a label file", remedy="give an id such as 7 or a colour such as #804080")


def parse_color(text: str) -> tuple[int, int, int]:
    """A colour `#rrggbb` as red, green, blue.

    >>> parse_color("#804080")
    (128, 64, 128)
    """
    match = _HEX_COLOR.fullmatch(text)
    if match is None:
        raise DataError(f"{text!r} is no colour", where="recolor", remedy="write it as #rrggbb, such as #804080")
    red, green, blue = bytes.fromhex(match[1])
    return red, green, blue


def parse_pairs(options: Iterable[str], *, option: str) -> dict[str, str]:
    """`OLD=NEW` options of the shell as a dict.

    >>> parse_pairs(["car=vehicle"], option="--rename")
    {'car': 'vehicle'}
    >>> parse_pairs(["car"], option="--rename")
    Traceback (most recent call last):
    fullconv.errors.DataError: --rename: 'car' has no equals sign; write it as LEFT=RIGHT.
    """
    pairs: dict[str, str] = {}
    for text in options:
        left, sign, right = (part.strip() for part in text.partition("="))
        if not sign:
            raise DataError(f"{text!r} has no equals sign", where=option, remedy="write it as LEFT=RIGHT")
        if not left or not right:
            raise DataError(f"{text!r} lacks one side", where=option, remedy="write it as LEFT=RIGHT")
        if left in pairs:
            raise DataError(f"{left!r} is given twice", where=option, remedy="give it once")
        pairs[left] = right
    return pairs


class _Draft:
    """A class table while it is being edited."""

    def __init__(self, classes: list[SegmentationClass], ignored: list[SegmentationClass]) -> None:
        self.classes = classes
        self.ignored = ignored

    def keep(self, name: str) -> None:
        entry = self._find(name, self.ignored, "ignored class")
        self.ignored.remove(entry)
        position = next((i for i, other in enumerate(self.classes) if other.value > entry.value), len(self.classes))
        self.classes.insert(position, entry)

    def remap(self, code: int, target: str) -> None:
        if target == IGNORE and not any(entry.name == IGNORE for entry in self.classes):
            if not self.ignored:
                value = ClassTable(classes=tuple(self.classes)).ignore_value
                self.ignored.append(SegmentationClass(name=IGNORE, color=(255, 255, 255), value=value, codes=()))
            goal = self.ignored[0]
        else:
            goal = self._find(target, self.classes, "class")
        for entries in (self.classes, self.ignored):
            for position, entry in enumerate(entries):
                codes = tuple(other for other in entry.codes if other != code)
                if entry is goal or entry.name == goal.name:
                    codes = (*codes, code)
                entries[position] = entry.model_copy(update={"codes": codes})
        self.classes = [entry for entry in self.classes if entry.codes]

    def rename(self, old: str, new: str) -> None:
        entry = self._find(old, self.classes, "class")
        if any(other.name == new for other in self.classes if other is not entry):
            raise DataError(
                f"cannot rename {old!r} to {new!r}, which is a class already", remedy=f"merge them: {new}={old},{new}"
            )
        if not new:
            raise DataError(f"cannot rename {old!r} to nothing", remedy="give a name")
        self.classes[self.classes.index(entry)] = entry.model_copy(update={"name": new})

    def merge(self, name: str, members: Sequence[str]) -> None:
        if not members:
            raise DataError(f"nothing is merged into {name!r}", remedy=f"name the classes: {name}=car,bus")
        parts = [self._find(member, self.classes, "class") for member in dict.fromkeys(members)]
        base = next((entry for entry in self.classes if entry.name == name), parts[0])
        parts = [base, *(entry for entry in parts if entry is not base)]
        codes = tuple(code for entry in parts for code in entry.codes)
        position = self.classes.index(base)
        self.classes[position] = base.model_copy(update={"name": name, "codes": codes})
        self.classes = [entry for entry in self.classes if entry not in parts[1:]]

    def drop(self, name: str) -> None:
        entry = self._find(name, self.classes, "class")
        self.classes.remove(entry)
        self.ignored.append(entry)

    def recolor(self, name: str, color: str) -> None:
        entry = self._find(name, [*self.classes, *self.ignored], "class")
        entries = self.classes if entry in self.classes else self.ignored
        entries[entries.index(entry)] = entry.model_copy(update={"color": parse_color(color)})

    def table(self) -> ClassTable:
        if not self.classes:
            raise DataError("no class is left after dropping and merging", remedy="keep at least two classes")
        try:
            return ClassTable(classes=tuple(self.classes), ignored=tuple(self.ignored))
        except ValidationError as error:
            cause = error.errors()[0]["msg"].removeprefix("Value error, ")
            raise DataError(f"the edited classes contradict each other: {cause}", remedy="correct the edits") from error

    @staticmethod
    def _find(name: str, entries: list[SegmentationClass], what: str) -> SegmentationClass:
        found = next((entry for entry in entries if entry.name == name), None)
        if found is None:
            names = ", ".join(entry.name for entry in entries) or "none"
            raise DataError(f"no {what} is named {name!r}", remedy=f"choose from: {names}")
        return found
