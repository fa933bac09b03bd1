"""The classes of a dataset as a table that can be edited: names, colours, which become one, which do not count."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from nicegui import ui

from fullconv.data.class_edits import ClassEdits
from fullconv.data.classes import ClassTable, SegmentationClass

STYLE = """
.class-row { display: grid; gap: .2rem .7rem; align-items: center; width: 100%;
  grid-template-columns: 2.4rem minmax(7rem, 14rem) minmax(7rem, 12rem) 7.5rem 1fr }
.class-row + .class-row { border-top: 1px solid var(--line) }
.class-row input[type=color] { width: 2.2rem; height: 1.7rem; padding: 0; border: 1px solid var(--line);
  border-radius: 4px; background: none; cursor: pointer }
.class-row.left-out .q-field { opacity: .55 }
.share-bar { height: .55rem; border-radius: 3px; background: var(--accent); min-width: 1px }
@media (max-width: 700px) {
  .class-row { padding: .3rem 0;
    grid-template: "color name counts" "color into into" ". share share" / 2.4rem 1fr auto }
  .class-row .into { grid-area: into } .class-row .counts { grid-area: counts } .class-row .share { grid-area: share } }
"""


@dataclass
class ClassRow:
    """One class as it is in the label files, and what shall become of it.

    Args:
        found: the class in the files. counted_before: whether it counts unless told otherwise.
        name, color: of it from now on; the colour as `#rrggbb`.
        into: name in the files of the class that it becomes part of.
        counts: whether it counts.
    """

    found: SegmentationClass
    counted_before: bool
    name: str
    color: str
    into: str | None = None
    counts: bool = True

    @property
    def recolored(self) -> bool:
        return self.color != hex_color(self.found.color)


def rows_of(unedited: ClassTable, edits: ClassEdits) -> list[ClassRow]:
    """What a table shows of classes that were edited before."""
    base = ClassEdits(keep=edits.keep, remap=edits.remap).apply(unedited)
    counted = {entry.value for entry in unedited.classes}
    goal = {code: entry for entry in edits.apply(unedited).classes for code in entry.codes}
    entries = (*base.classes, *base.ignored)
    names = {entry.value: entry.name for entry in entries}
    rows = []
    for entry in entries:
        if not entry.codes:
            continue
        now = goal.get(entry.codes[0])
        own = now is not None and now.value == entry.value
        rows.append(
            ClassRow(
                found=entry,
                counted_before=entry.value in counted,
                name=now.name if own and now is not None else entry.name,
                color=hex_color(now.color if own and now is not None else entry.color),
                into=names.get(now.value) if now is not None and not own else None,
                counts=now is not None,
            )
        )
    return rows


def edits_of(rows: list[ClassRow], remap: dict[str, str] | None = None) -> ClassEdits:
    """The edits that a table stands for.

    >>> road, lane = (SegmentationClass(name=name, color=(0, 0, i), value=i, codes=(i,))
    ...               for i, name in enumerate(("road", "lane")))
    >>> table = ClassTable(classes=(road, lane))
    >>> rows = rows_of(table, ClassEdits())
    >>> rows[0].name, rows[1].into = "way", "road"
    >>> edits_of(rows).apply(table).classes[0].codes
    (0, 1)
    """
    alone = [row for row in rows if row.into is None]
    parts: dict[str, list[str]] = {}
    for row in rows:
        if row.into is not None:
            parts.setdefault(row.into, []).append(row.found.name)
    renamed = {row.found.name: row.name.strip() for row in alone if row.counts or row.counted_before}
    return ClassEdits(
        keep=tuple(row.found.name for row in rows if not row.counted_before and (row.counts or row.into is not None)),
        remap=remap or {},
        rename={old: new for old, new in renamed.items() if new != old},
        merge={renamed.get(name, name): (renamed.get(name, name), *members) for name, members in parts.items()},
        drop=tuple(renamed[row.found.name] for row in alone if row.counted_before and not row.counts),
        recolor={renamed[row.found.name]: row.color for row in alone if row.counts and row.recolored},
    )


def hex_color(color: tuple[int, int, int]) -> str:
    """A colour as `#rrggbb`.

    >>> hex_color((128, 64, 0))
    '#804000'
    """
    return "#{:02x}{:02x}{:02x}".format(*color)


class ClassEditor:
    """The table on a page.

    Args:
        rows: what it shows and changes.
        on_change: called after every change; what it returns is awaited where it can be.
        editable: whether anything can be changed.
    """

    def __init__(self, rows: list[ClassRow], on_change: Callable[[], object], *, editable: bool = True) -> None:
        self.rows = rows
        self._on_change = on_change
        self._editable = editable
        self._shares: dict[str, ui.element] = {}
        self._numbers: dict[str, ui.label] = {}
        with ui.column().classes("w-full").style("gap: 0") as self.element:
            for row in rows:
                self._row(row)

    def show_shares(self, shares: dict[str, float]) -> None:
        """Show the share of each class, by its present name, 0 to 1; what has none is not counted."""
        largest = max(shares.values(), default=0.0) or 1.0
        for row in self.rows:
            own = shares.get(row.name) if row.counts and row.into is None else None
            said = "" if own is None else f"{100 * own:.2f} %"
            if row.into is not None:
                said = f"part of {row.into}"
            elif not row.counts:
                said = "ignored"
            self._numbers[row.found.name].text = said
            self._shares[row.found.name].style(f"width: {60 * (own or 0) / largest:.1f}%")

    def _row(self, row: ClassRow) -> None:
        name = row.found.name
        with ui.element("div").classes("class-row").mark(f"class-{name}") as line:
            self._color(row)
            text = ui.input(value=row.name, validation={"a name is needed": lambda value: bool((value or "").strip())})
            text.props("dense borderless hide-bottom-space maxlength=200 debounce=500").props["aria-label"] = (
                f"Name of {name}"
            )
            text.on_value_change(
                lambda event: self._changed(row, line, name=str(event.value or "").strip() or row.name)
            )
            others = {other.found.name: f"into {other.found.name}" for other in self.rows if other is not row}
            into = ui.select({"": "a class of its own", **others}, value=row.into or "")
            into.classes("into").props("dense borderless options-dense").props["aria-label"] = f"Merge {name} into"
            into.on_value_change(lambda event: self._merged(row, line, into, event.value or None))
            counts = ui.switch("counts", value=row.counts).classes("counts")
            counts.props["aria-label"] = f"{name} counts"
            counts.on_value_change(lambda event: self._changed(row, line, counts=bool(event.value)))
            with ui.row().classes("share items-center no-wrap").style("gap: .5rem; min-width: 0"):
                self._shares[name] = ui.element("span").classes("share-bar").style("width: 0")
                self._numbers[name] = ui.label().classes("faint").style("white-space: nowrap")
            for field in (text, into, counts):
                field.set_enabled(self._editable)
        self._mark(row, line)

    def _color(self, row: ClassRow) -> None:
        picker = ui.element("input").props('type="color"')
        picker.props["value"] = row.color
        picker.props["aria-label"] = f"Colour of {row.found.name}"
        if not self._editable:
            picker.props["disabled"] = True
        picker.on("change", lambda event: self._colored(row, event.args), js_handler="(e) => emit(e.target.value)")

    def _colored(self, row: ClassRow, value: object) -> object:
        text = str(value).lower()
        if len(text) != 7 or not text.startswith("#") or any(one not in "0123456789abcdef" for one in text[1:]):
            return None
        row.color = text
        return self._on_change()

    def _merged(self, row: ClassRow, line: ui.element, field: ui.select, into: str | None) -> object:
        goal = next((other for other in self.rows if other.found.name == into), None)
        if goal is not None and (goal.into is not None or any(other.into == row.found.name for other in self.rows)):
            ui.notify("A class that is part of another one cannot take others in.", type="warning")
            field.value = row.into or ""
            return None
        return self._changed(row, line, into=into)

    def _changed(self, row: ClassRow, line: ui.element, **values: object) -> object:
        if all(getattr(row, name) == value for name, value in values.items()):
            return None
        for name, value in values.items():
            setattr(row, name, value)
        self._mark(row, line)
        return self._on_change()

    @staticmethod
    def _mark(row: ClassRow, line: ui.element) -> None:
        left_out = not row.counts or row.into is not None
        line.classes(add="left-out") if left_out else line.classes(remove="left-out")
