"""Which label format a dataset uses, decided over all its files and explained in one sentence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from fullconv.counted import counted
from fullconv.data.class_files import ClassEntry, Color
from fullconv.data.class_tables import Naming, pack, table_by_color, table_by_id
from fullconv.data.classes import ClassTable
from fullconv.data.evidence import (
    Evidence,
    gather,
    in_colors,
    listed,
    one_channel,
    palette_colors,
    palettes_agree,
    refuse_instances,
    refuse_out_of_range,
    refuse_photographs,
    smoothing_notes,
)
from fullconv.data.label_files import NO_CODE, Survey, unpack_color
from fullconv.data.labels import Kind, LabelFormat
from fullconv.errors import DataError

_SPREAD = 8
"""Grey levels that lie at least this far apart are codes, not ids."""

_SMALL = 40
"""Levels up to here beside 255 are ids and an ignored border, however far apart they lie."""

_MOST_CODES = 32
_VOC_BORDER = 0xE0E0C0


@dataclass(frozen=True)
class Decision:
    """How the labels are to be read, and as which classes.

    Args:
        named_by: the class file or known dataset whose names were taken; "" where there is none.
        notes: what a person should know about the choice.
        smoothed: whether the files hold in-between values that smoothing or JPEG left.
    """

    format: LabelFormat
    classes: ClassTable
    named_by: str = ""
    notes: tuple[str, ...] = ()
    smoothed: bool = False


def decide(surveys: Sequence[Survey], naming: Naming, *, forced: Kind | None = None, known: str = "") -> Decision:
    """Choose the format of label files that hold one code per pixel.

    Args:
        surveys: what each label file holds.
        naming: names from a class file or a known dataset.
        forced: the format to take whatever the files look like.
        known: the name of the dataset layout that was recognised.

    Raises:
        DataError: the files contradict each other, a forced format, or look like photographs.
    """
    storages = {survey.storage for survey in surveys}
    if "wide" in storages:
        return _decide_wide(surveys, naming, forced)
    if forced == "colors":
        return _decide_colors(surveys, naming, known, forced=True)
    if "color" not in storages:
        if storages == {"palette"} and forced is None:
            if not palettes_agree(surveys):
                return _decide_colors(surveys, naming, known, because="the palettes of the files differ")
            if _palette_contradicts(surveys, naming):
                because = f"their colours stand for other ids in {naming.source}"
                border = palette_colors(surveys, [255]).get(255)
                return _decide_colors(surveys, naming, known, because=because, border=border)
        return _decide_levels(surveys, naming, forced, known, palette="palette" in storages)
    if "palette" in storages and forced is None:
        return _decide_colors(surveys, naming, known)
    if not _levels_in_colors(gather([in_colors(survey) for survey in surveys]), naming):
        if forced is None:
            return _decide_colors(surveys, naming, known)
        path = next(survey.path for survey in surveys if survey.storage == "color")
        raise DataError(
            f"holds colours, which cannot be read as {forced!r}", where=path, remedy="use the format 'colors'"
        )
    return _decide_levels([one_channel(survey) for survey in surveys], naming, forced, known, palette=False)


def _decide_levels(
    surveys: Sequence[Survey], naming: Naming, forced: Kind | None, known: str, *, palette: bool
) -> Decision:
    evidence = gather(surveys, _named_levels(surveys, naming))
    if forced is None:
        refuse_photographs(evidence, surveys)
    refuse_out_of_range(evidence, surveys)
    if not naming.entries:
        refuse_instances(evidence, surveys)
    if naming.source == known and not set(evidence.main) <= set(naming.ids) | {255, NO_CODE}:
        naming = Naming(ignore=naming.ignore)
    levels = [code for code in evidence.main if code != NO_CODE]
    wide = any(survey.bits > 8 for survey in surveys)
    colors = palette_colors(surveys, levels) if palette else {}
    border = palette and pack(colors.get(255, (0, 0, 0))) == _VOC_BORDER
    meaning = (
        _level_kind(levels, naming, wide=wide, palette=palette, border=border)
        if forced in (None, "palette")
        else forced
    )
    void = _void_level(levels, meaning, wide=wide)
    notes: list[str] = []
    by_color = None if palette else _by_grey_color(levels, naming)
    if by_color is None:
        naming, notes = _fitting(levels, naming, meaning, void, palette=palette)
    else:
        notes.append(f"classes were told apart by the colours of {naming.source}, since its ids do not fit")
        naming, void = Naming(by_color, naming.source, naming.ignore), None
        meaning = "codes"
    notes += smoothing_notes(evidence)
    kind: Kind = forced or ("palette" if palette else meaning)
    table = table_by_id(levels, naming, void=void, colors=colors)
    return Decision(
        LabelFormat(kind=kind, explanation=_explain(kind, levels, void, naming, known)),
        table,
        naming.source,
        tuple(notes),
        evidence.blurred,
    )


def _named_levels(surveys: Sequence[Survey], naming: Naming) -> set[int]:
    """The levels that the class file names, by id, by grey colour, or by being as many as its names."""
    named = {entry.color[0] for entry in naming.entries if entry.color and len(set(entry.color)) == 1}
    if naming.entries and all(entry.id is None for entry in naming.entries):
        found = {int(code) for survey in surveys for code in survey.codes}
        named |= found if len(found) == len(naming.entries) else set()
    return named | set(naming.ids)


def _level_kind(levels: Sequence[int], naming: Naming, *, wide: bool, palette: bool, border: bool) -> Kind:
    """What levels mean: two of them, ids, or codes; a class file whose ids fit decides.

    Palette indices are ids, and so are small grey levels beside 255, which then is ignored.
    """
    ids = set(naming.ids)
    kept = sum(not entry.is_ignored for entry in naming.entries)
    fits = bool(ids) and set(levels) <= ids | {255, 65535}
    top = max(levels, default=0)
    if set(levels) <= {0, top} and top in (255, 65535) and not (border or (fits and (kept > 2 or top in ids))):
        return "binary"
    if wide:
        return "ids16"
    in_order = naming.entries and all(entry.id is None for entry in naming.entries) and kept == len(levels)
    small = top == 255 and len(levels) > 2 and max(level for level in levels if level != 255) <= _SMALL
    if palette or (small and not in_order):
        return "ids"
    if not fits and 1 < len(levels) <= _MOST_CODES and np.diff(sorted(levels)).min() >= _SPREAD:
        return "codes"
    return "ids"


def _void_level(levels: Sequence[int], kind: Kind, *, wide: bool) -> int | None:
    """The level that stands for nothing: 65535, or 255 where no larger id says that it is one of many."""
    if kind in ("binary", "codes"):
        return None
    if 65535 in levels:
        return 65535
    border = 255 in levels and max(levels) == 255 and not (wide and 254 in levels)
    return 255 if border else None


def _fitting(
    levels: Sequence[int], naming: Naming, kind: Kind, void: int | None, *, palette: bool
) -> tuple[Naming, list[str]]:
    """Names for levels that a class file does not count by the same ids."""
    entries = naming.entries
    if not entries:
        if kind == "binary":
            return Naming(_two(levels), naming.source, naming.ignore), []
        return naming, []
    given = any(entry.id is not None for entry in entries)
    meant = sorted(level for level in levels if level != void or level in naming.ids)
    unlike = kind in ("codes", "binary") or (palette and not set(meant) <= set(naming.ids))
    if unlike and not given and len(entries) == len(meant):
        renamed = tuple(
            ClassEntry(entry.name, level, entry.color, entry.ignored)
            for entry, level in zip(entries, meant, strict=True)
        )
        note = f"the names of {naming.source} were given to the levels {listed(meant)} in this order"
        return Naming(renamed, naming.source, naming.ignore), [note]
    only_names = not given and all(entry.name.lower() != "background" for entry in entries)
    if only_names and 0 in meant and meant[-1] == len(entries) and kind in ("ids", "ids16"):
        shifted = (
            ClassEntry("background", 0),
            *(ClassEntry(entry.name, index, entry.color, entry.ignored) for index, entry in enumerate(entries, 1)),
        )
        note = f"{naming.source} names {len(entries)} classes for the ids 1 to {meant[-1]}; 0 was named background"
        return Naming(shifted, naming.source, naming.ignore), [note]
    if kind in ("codes", "binary") and not set(meant) & set(naming.ids) - {0}:
        raise DataError(
            f"its classes do not fit the levels {listed(meant)} of the labels",
            where=naming.source,
            remedy="give each class the level as its id: id name red green blue",
        )
    return naming, []


def _two(levels: Sequence[int]) -> tuple[ClassEntry, ...]:
    """Background, and every other level as foreground; the highest comes first, since it becomes the class's id."""
    others = sorted((level for level in levels if level), reverse=True) or [255]
    return (
        ClassEntry("background", 0, (0, 0, 0)),
        *(ClassEntry("foreground", level, (255, 255, 255)) for level in others),
    )


def _decide_colors(
    surveys: Sequence[Survey],
    naming: Naming,
    known: str,
    *,
    forced: bool = False,
    because: str = "",
    border: Color | None = None,
) -> Decision:
    """Read by colour; `because` says why palette images are, `border` is a colour to ignore if it is no class."""
    named = {pack(entry.color) for entry in naming.entries if entry.color is not None}
    evidence = gather([in_colors(survey) for survey in surveys], named)
    if not forced:
        refuse_photographs(evidence, surveys)
    notes = smoothing_notes(evidence)
    found = list(evidence.main)
    if naming.source == known and not set(found) <= set(naming.colors):
        naming = Naming(ignore=naming.ignore)
    given = naming.colors
    if naming.entries and not given:
        notes.append(f"{naming.source} has no colours, so its names cannot be told apart; give each name a colour")
        naming = Naming((), "", naming.ignore)
    elif given:
        _refuse_foreign_colors(found, given, naming, surveys)
        known_colors = len(set(found) & set(given))
        explanation = f"The labels are coloured: {known_colors} of the {len(given)} colours of {naming.source} occur."
    if not naming.entries:
        refuse_instances(evidence, surveys)
        kept = [code for code in found if code != _VOC_BORDER or len(found) == 1]
        entries = [ClassEntry(f"class_{n}", n, unpack_color(code)) for n, code in enumerate(kept, 1)]
        if len(kept) < len(found):
            entries.append(ClassEntry("void", 255, unpack_color(_VOC_BORDER), True))
        naming = Naming(tuple(entries), "", naming.ignore)
        explanation = f"The labels are coloured: {counted(len(found), 'colour')} and no class file that names them."
    elif border is not None and pack(border) not in given:
        free = next(value for value in range(255, -1, -1) if value not in naming.ids)
        entries = [replace(entry, id=number) for number, entry in naming.ids.items()]
        entries.append(ClassEntry("void", free, border, True))
        naming = Naming(tuple(entries), naming.source, naming.ignore)
    if because:
        explanation = explanation.replace("are coloured:", f"are palette images read by colour, since {because}:")
        notes.append(f"the colours of the palette images tell the classes, not their indices, since {because}")
    table = table_by_color(found, naming)
    format = LabelFormat(kind="colors", explanation=explanation)
    return Decision(format, table, naming.source, tuple(notes), evidence.blurred)


def _refuse_foreign_colors(
    found: Sequence[int], given: dict[int, ClassEntry], naming: Naming, surveys: Sequence[Survey]
) -> None:
    if set(found) & set(given):
        return
    swapped = {(code & 255) << 16 | code & 0xFF00 | code >> 16 for code in found}
    hint = " (with red and blue swapped they would)" if swapped & set(given) else ""
    raise DataError(
        f"none of its {len(given)} colours occurs in the labels{hint}; the first of {len(found)} there is "
        f"{unpack_color(found[0])} in {surveys[0].path.name}",
        where=naming.source,
        remedy="correct the colours, or give the right class file with --classes",
    )


def _decide_wide(surveys: Sequence[Survey], naming: Naming, forced: Kind | None) -> Decision:
    other = next((survey for survey in surveys if survey.storage != "wide"), None)
    if other is not None or forced not in (None, "synthia"):
        path = surveys[0].path if other is None else other.path
        raise DataError(
            "does not have several 16-bit channels like the other label files"
            if other
            else f"has several 16-bit channels, which cannot be read as {forced!r}",
            where=path,
            remedy="keep label files of one kind in a dataset",
        )
    evidence = gather(surveys)
    refuse_out_of_range(evidence, surveys)
    levels = [code for code in evidence.main if code != NO_CODE]
    explanation = (
        f"The labels have several 16-bit channels, as in SYNTHIA: the first holds the ids {listed(levels)}, "
        "another the instances."
    )
    if not naming.entries:
        refuse_instances(evidence, surveys)
    table = table_by_id(levels, naming, void=65535)
    return Decision(LabelFormat(kind="synthia", explanation=explanation), table, naming.source)


def _palette_contradicts(surveys: Sequence[Survey], naming: Naming) -> bool:
    """Whether all used palette colours are those of classes, but an index is not the id of its colour's class.

    An index 255 of another colour is a border and proves nothing; two indices of one colour: an unfinished palette.
    """
    if not naming.entries:
        return False
    levels = sorted({int(code) for survey in surveys for code in survey.codes})
    colors = palette_colors(surveys, levels)
    ids: dict[Color, set[int]] = {}
    for number, entry in naming.ids.items():
        if entry.color is not None:
            ids.setdefault(entry.color, set()).add(number)
    meant = [level for level in levels if level != 255 or colors.get(255) in ids]
    told = {colors[level] for level in meant if level in colors}
    if len(told) < len(meant) or not told <= set(ids):
        return False
    for color in told:
        entries = [naming.ids[number] for number in ids[color]]
        if len({entry.name for entry in entries}) > 1 and not all(entry.is_ignored for entry in entries):
            return False
    return any(level not in ids[colors[level]] for level in meant)


def _by_grey_color(levels: Sequence[int], naming: Naming) -> tuple[ClassEntry, ...] | None:
    """Entries whose grey colours are the levels, where their ids are not."""
    if not naming.entries or set(levels) <= set(naming.ids) | {255}:
        return None
    greys = {entry.color[0]: entry for entry in naming.entries if entry.color and len(set(entry.color)) == 1}
    if not set(levels) <= set(greys):
        return None
    return tuple(ClassEntry(entry.name, level, entry.color, entry.ignored) for level, entry in greys.items())


def _levels_in_colors(evidence: Evidence, naming: Naming) -> bool:
    """Whether colour files keep levels in their first channel: all is grey, or red alone has small ids."""
    given = {pack(entry.color) for entry in naming.entries if entry.color is not None}
    if given and set(evidence.main) <= given:
        return False
    red, green, blue = evidence.codes >> 16, evidence.codes >> 8 & 255, evidence.codes & 255
    if np.array_equal(red, green) and np.array_equal(red, blue):
        return True
    only_red = not green.any() and not blue.any() and len(red) > 1
    return only_red and bool(red.max() < 128 and np.diff(np.sort(red)).min() < _SPREAD)


def _explain(kind: Kind, levels: Sequence[int], void: int | None, naming: Naming, known: str) -> str:
    voided = void is not None and void in levels and (void not in naming.ids or naming.ids[void].is_ignored)
    ignored = f", {void} is ignored" if voided else ""
    ids = listed([level for level in levels if not voided or level != void])
    labels = f"the labels, laid out as in {known}," if known else "the labels"
    sentence = {
        "ids": f"{labels} are 8-bit class ids: their levels are the small numbers {ids}{ignored}.",
        "palette": f"{labels} are palette images: the indices {ids} are the ids{ignored}.",
        "binary": f"{labels} are binary: their only levels are {ids}.",
        "codes": f"{labels} are grey codes: their few levels {ids} lie too far apart to be ids.",
        "ids16": f"{labels} are class ids of more than 8 bits: their levels are {ids}{ignored}.",
    }.get(kind, f"{labels} are read as {kind}: their levels are {ids}{ignored}.")
    return sentence[0].upper() + sentence[1:]
