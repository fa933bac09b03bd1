"""Class files: names, ids and colours in the many ways that tools write them."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from fullconv.data.classes import IGNORED_NAMES
from fullconv.errors import DataError

Color = tuple[int, int, int]

_STEMS = (
    *("classes", "class_names", "class_dict", "labels", "labelmap", "label_map", "label_colors", "label_colours"),
    *("classnames", "class_labels", "names", "categories", "meta", "config"),
)
_VAGUE_STEMS = frozenset({"labels", "names", "categories", "meta", "config"})
"""Files of these names may be about anything, so one that names no classes is passed over."""

_COLOR_STEMS = ("colormap", "color_map", "colourmap", "colour_map", "colors", "colours", "palette")
_ENDINGS = (".txt", ".csv", ".json", ".tsv")
_ID_WORDS = frozenset({"id", "index", "value", "class_id", "label_id", "number", "idx", "pixel"})
_COLOR_WORDS = frozenset({"r", "red", "color_rgb"})
_HEX = re.compile(r"(?:#|0[xX])([0-9A-Fa-f]{6})")
_NUMBER = re.compile(r"[+-]?\d+(?:\.0*)?")


@dataclass(frozen=True)
class ClassEntry:
    """One class as a class file names it.

    Args:
        name: its name; empty for a line of a bare colour map.
        id: the id that label files use, None where the file gives none (then the line counts from 0).
        color: red, green, blue, None where the file gives none.
        ignored: whether the file says so; None where it says nothing.
    """

    name: str
    id: int | None = None
    color: Color | None = None
    ignored: bool | None = None

    @property
    def is_ignored(self) -> bool:
        """Ignored as the file says, else by its name (void, ignore, unlabelled …)."""
        return self.name.strip("_").lower() in IGNORED_NAMES if self.ignored is None else self.ignored


def find_class_file(folders: Iterable[Path]) -> Path | None:
    """The first class file in these folders: classes.txt, labels.txt, labelmap.txt, classes.json and their kin.

    Lists of image files are passed over, and so are files of vague names (names.txt, labels.txt, config.json …) that
    cannot be understood; a classes.txt that cannot be understood is returned, so that reading it says why.
    """
    for folder in folders:
        for stem in _STEMS:
            for ending in _ENDINGS:
                path = folder / f"{stem}{ending}"
                if path.is_file() and _names_classes(path):
                    return path
    return None


def read_class_file(path: Path) -> tuple[ClassEntry, ...]:
    """Read a class file: text with tolerant columns, DIGITS' labels and colour map, CVAT's labelmap, CSV or JSON.

    A file of bare names is completed with the colours of a colour map (`colormap.txt`, `palette.txt` …) beside it.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "classes.txt"
    >>> _ = path.write_text("# id name r g b\\n7 road 128 64 128\\n11 traffic light 250 170 30\\n")
    >>> [(entry.id, entry.name, entry.color) for entry in read_class_file(path)]
    [(7, 'road', (128, 64, 128)), (11, 'traffic light', (250, 170, 30))]

    Raises:
        DataError: the file cannot be read or a line of it cannot be understood; the sentence names the line.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise DataError("no such class file", where=path, remedy="check the path") from None
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"cannot be read as text ({error})", where=path, remedy="save it as UTF-8 text") from error
    entries = _parse_json(text, path) if path.suffix.lower() == ".json" else parse_class_text(text, path)
    if not entries:
        raise DataError("names no classes", where=path, remedy="write one class per line: id name red green blue")
    if all(not entry.name for entry in entries):
        raise DataError(
            "is a colour map without names",
            where=path,
            remedy="give the file of names; the colour map beside it is read",
        )
    if all(entry.color is None for entry in entries):
        entries = _with_colormap(entries, path)
    return _checked(entries, path)


def parse_class_text(text: str, where: object) -> tuple[ClassEntry, ...]:
    """Lines with a name and, in any order, an id and a colour; separated by blanks, tabs, commas, semicolons or colons.

    >>> parse_class_text("background:0,0,0::\\nleaf:0,176,0::\\n", "labelmap.txt")[1]
    ClassEntry(name='leaf', id=None, color=(0, 176, 0), ignored=None)
    >>> parse_class_text("64 128 64 Animal", "label_colors.txt")[0].color
    (64, 128, 64)
    """
    header: list[str] = []
    rows: list[tuple[int, list[int], list[int], str, Color | None]] = []
    for number, line in enumerate(text.splitlines(), 1):
        line = line.strip()
        if not line:
            continue
        if line.startswith("//") or (line.startswith("#") and not _HEX.match(line)):
            header = header or _words(line)
            continue
        fields = _fields(line)
        numbers = [(place, int(float(field))) for place, field in enumerate(fields) if _NUMBER.fullmatch(field)]
        names = [field for field in fields if not _NUMBER.fullmatch(field) and not _HEX.fullmatch(field)]
        hexes = [match[1] for field in fields if (match := _HEX.fullmatch(field))]
        if not rows and not numbers and _looks_like_header(fields):
            header = [field.lower() for field in fields]
            continue
        color = None if not hexes else _rgb(int(hexes[0], 16))
        name = " ".join(names).strip().strip("\"'")
        rows.append((number, [value for _, value in numbers], [place for place, _ in numbers], name, color))
    usual, _ = Counter(len(row[1]) for row in rows).most_common(1)[0] if rows else (0, 0)
    id_first = _id_comes_first(rows, header)
    entries = []
    for number, values, places, name, color in rows:
        if len(values) not in (0, 1, 3, 4) or (color is not None and len(values) > 1) or len(values) != usual:
            others = f" where other lines have {usual}" if len(values) != usual else ", which make no id and colour"
            raise DataError(
                f"line {number} has {len(values)} numbers{others}",
                where=where,
                remedy="write one class per line: id name red green blue",
            )
        own_id: int | None = None
        if len(values) in (1, 4):
            gap = next((n for n in range(1, len(places)) if places[n] - places[n - 1] > 1), None)
            first = id_first if gap is None else gap == 1
            own_id = values[0] if first else values[-1]
            values = values[1:] if first else values[:-1]
        if len(values) == 3:
            if not all(0 <= value <= 255 for value in values):
                raise DataError(f"line {number}: {tuple(values)} is no colour", where=where, remedy="use 0 to 255")
            color = (values[0], values[1], values[2])
        entries.append(ClassEntry(name, own_id, color))
    return tuple(entries)


def _fields(line: str) -> list[str]:
    for separator in ("\t", ";", ","):
        if separator in line and ":" not in line:
            fields = [field.strip().strip("\"'") for field in line.split(separator)]
            return [
                part for field in fields for part in (_blanks(field) if _mostly_numbers(field) else [field]) if part
            ]
    if ":" in line:
        return [part for part in re.split(r"[:,;\s]+", line) if part]
    return _blanks(line)


def _blanks(text: str) -> list[str]:
    return [part or quoted for quoted, part in re.findall(r"[\"']([^\"']*)[\"']|(\S+)", text)]


def _mostly_numbers(field: str) -> bool:
    """Whether a field such as "64 128 64" or "7 road 128 64 128" holds several columns by itself."""
    return len(re.findall(r"(?:^|\s)\d+(?=\s|$)", field)) >= 2


def _words(line: str) -> list[str]:
    return re.findall(r"[a-z_]+", line.lower())


def _looks_like_header(fields: list[str]) -> bool:
    words = {field.lower() for field in fields}
    return len(words) > 1 and bool(words & (_ID_WORDS | _COLOR_WORDS))


def _id_comes_first(rows: list[tuple[int, list[int], list[int], str, Color | None]], header: list[str]) -> bool:
    """Of four numbers in a row: is the first the id? By the header, else by which column counts up, in small steps."""
    for word in header:
        if word in _ID_WORDS:
            return True
        if word in _COLOR_WORDS:
            return False
    first = [row[1][0] for row in rows if len(row[1]) == 4]
    last = [row[1][-1] for row in rows if len(row[1]) == 4]
    if last != sorted(set(last)):
        return True
    return first == sorted(set(first)) and max(first, default=0) <= max(last, default=0)


def _with_colormap(entries: tuple[ClassEntry, ...], path: Path) -> tuple[ClassEntry, ...]:
    """Colours from the colour map beside a file of names, line by line as DIGITS pairs them."""
    for stem in _COLOR_STEMS:
        beside = path.with_name(f"{stem}.txt")
        if beside.is_file() and beside != path:
            colors = [entry.color for entry in parse_class_text(beside.read_text(encoding="utf-8-sig"), beside)]
            places = [position if entry.id is None else entry.id for position, entry in enumerate(entries)]
            if len(colors) <= max(places) or None in colors:
                raise DataError(
                    f"has {len(colors)} colours for {len(entries)} names in {path.name}",
                    where=beside,
                    remedy="write one colour (red green blue) per line, in the order of the names",
                )
            return tuple(replace(entry, color=colors[place]) for entry, place in zip(entries, places, strict=True))
    return entries


def _parse_json(text: str, path: Path) -> tuple[ClassEntry, ...]:
    try:
        content = json.loads(text)
    except ValueError as error:
        raise DataError(f"is not valid JSON ({error})", where=path, remedy="mend the syntax there") from None
    if isinstance(content, dict):
        for key in ("classes", "labels", "categories", "class_names", "names", "items"):
            if isinstance(content.get(key), (list, dict)):
                content = content[key]
                break
    pairs = content.items() if isinstance(content, dict) else enumerate(content) if isinstance(content, list) else ()
    return tuple(_json_entry(key, value, path) for key, value in pairs)


def _json_entry(key: str | int, value: Any, path: Path) -> ClassEntry:
    """{"name": …, "color": …}, name: colour, id: name, name: id, or a bare name in a list."""
    named = isinstance(key, str) and not key.isdecimal()
    own_id = int(key) if isinstance(key, str) and key.isdecimal() else None
    match value:
        case str() if not named:
            return ClassEntry(value, own_id)
        case int() if named:
            return ClassEntry(str(key), value)
        case str() if named and value.isdecimal() and len(value) < 6:
            return ClassEntry(str(key), int(value))
        case str() | [*_] if named:
            return ClassEntry(str(key), None, _json_color(value, path))
        case [_, *_]:
            return ClassEntry(f"class_{key}", own_id, _json_color(value, path))
        case dict():
            fields = {field.lower(): content for field, content in value.items()}
            name = next(
                (fields[word] for word in ("readable", "name", "title", "label", "class") if word in fields), key
            )
            color = next((fields[word] for word in ("color", "colour", "rgb", "hex") if word in fields), None)
            numbers = (_json_id(fields.get(word)) for word in ("id", "index", "value"))
            given = next((number for number in numbers if number is not None), own_id)
            ignored = fields.get("ignore", fields.get("ignoreineval"))
            if ignored is None and "evaluate" in fields:
                ignored = not fields["evaluate"]
            ignored = None if ignored is None else bool(ignored)
            return ClassEntry(str(name), given, None if color is None else _json_color(color, path), ignored)
    raise DataError(f"{str(value)[:60]!r} is no class", where=path, remedy='write {"name": …, "color": [r, g, b]}')


def _json_id(value: Any) -> int | None:
    """An id written as 7, 7.0 or "7"; None for anything else, such as the keys of annotation tools."""
    if isinstance(value, str) and _NUMBER.fullmatch(value.strip()):
        value = float(value)
    return int(value) if isinstance(value, (int, float)) and float(value).is_integer() else None


def _json_color(value: Any, path: Path) -> Color:
    if isinstance(value, str) and (match := re.fullmatch(r"#?([0-9A-Fa-f]{6})", value)):
        return _rgb(int(match[1], 16))
    if (
        isinstance(value, list)
        and len(value) in (3, 4)
        and all(isinstance(part, int) and 0 <= part <= 255 for part in value)
    ):
        return value[0], value[1], value[2]
    raise DataError(f"{str(value)[:60]!r} is no colour", where=path, remedy='write [r, g, b] or "#rrggbb"')


def _rgb(code: int) -> Color:
    return code >> 16, code >> 8 & 255, code & 255


def _names_classes(path: Path) -> bool:
    """Whether a file with a common name is about classes and not, say, a list of image files or a configuration."""
    try:
        if path.stem in ("meta", "config"):
            content = json.loads(path.read_bytes()) if path.suffix == ".json" else None
            if not isinstance(content, dict) or not isinstance(content.get("classes", content.get("labels")), list):
                return False
        entries = read_class_file(path)
    except (DataError, OSError, ValueError):
        return path.stem not in _VAGUE_STEMS
    return not any(re.search(r"[\\/]|\.(?:jpe?g|png|bmp|tiff?|webp)\b", entry.name, re.I) for entry in entries)


def _checked(entries: tuple[ClassEntry, ...], path: Path) -> tuple[ClassEntry, ...]:
    """Every class has a name and an id of its own; either all have ids or none."""
    given = [entry.id for entry in entries if entry.id is not None]
    twice = next((value for value in given if given.count(value) > 1), None)
    if twice is not None:
        names = [entry.name for entry in entries if entry.id == twice]
        raise DataError(f"the id {twice} stands for {' and '.join(names)}", where=path, remedy="give each its own id")
    wrong = next((value for value in given if not -1 <= value <= 65535), None)
    if wrong is not None:
        raise DataError(f"{wrong} is no class id", where=path, remedy="use 0 to 65535")
    entries = tuple(entry for entry in entries if entry.id != -1)
    given = [value for value in given if value != -1]
    if 0 < len(given) < len(entries):
        unnumbered = next(entry for entry in entries if entry.id is None)
        raise DataError(f"{unnumbered.name!r} has no id, but others have", where=path, remedy="give all an id or none")
    named = tuple(
        entry if entry.name else replace(entry, name=f"class_{position if entry.id is None else entry.id}")
        for position, entry in enumerate(entries)
    )
    names = [entry.name for entry in named]
    if same := next((name for name in names if names.count(name) > 1), None):
        colors = [entry.color for entry in named if entry.name == same]
        if len(set(colors)) < len(colors):
            raise DataError(f"the class {same!r} is there twice", where=path, remedy="remove or rename one of them")
    return named
