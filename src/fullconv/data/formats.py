"""Which label format a dataset uses, decided over all its files and explained in one sentence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fullconv.data.class_files import ClassEntry, Color
from fullconv.data.class_tables import Naming, table_by_color, table_by_id
from fullconv.data.classes import ClassTable
from fullconv.data.label_files import NO_CODE, Survey, pack_colors, unpack_color
from fullconv.data.labels import Kind, LabelFormat
from fullconv.errors import DataError

_SPREAD = 8
"""Grey levels that lie at least this far apart are codes, not ids."""

_MOST_CODES = 32
_NEAR = 32
_VOC_BORDER = 0xE0E0C0


@dataclass(frozen=True)
class Decision:
    """How the labels are to be read, and as which classes.

    Args:
        notes: what a person should know about the choice.
    """

    format: LabelFormat
    classes: ClassTable
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Evidence:
    """The codes of all label files together.

    Args:
        codes: (n,) ascending; pixels, runs: (n,) of each.
        main: the codes that are meant: all, or without the in-between values that smoothing and JPEG leave.
        blurred: whether there are such values.
    """

    codes: npt.NDArray[np.int64]
    pixels: npt.NDArray[np.int64]
    runs: npt.NDArray[np.int64]
    main: tuple[int, ...]
    blurred: bool


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
        return _decide_colors(surveys, naming, forced=True)
    if "color" not in storages:
        if storages == {"palette"} and forced is None and not _palettes_agree(surveys):
            return _decide_colors(surveys, naming, recolored=True)
        return _decide_levels(surveys, naming, forced, known, palette="palette" in storages)
    everything = gather([_in_colors(survey) for survey in surveys])
    channel = _id_channel(everything, naming)
    if forced is None and channel is None:
        return _decide_colors(surveys, naming)
    if channel is None:
        path = next(survey.path for survey in surveys if survey.storage == "color")
        raise DataError(
            f"holds colours, which cannot be read as {forced!r}", where=path, remedy="use the format 'colors'"
        )
    return _decide_levels([_one_channel(survey) for survey in surveys], naming, forced, known, palette=False)


def gather(surveys: Sequence[Survey]) -> Evidence:
    """Add the codes of all files up and tell the meant ones from those that smoothing or JPEG left."""
    if not surveys:
        none = np.zeros(0, dtype=np.int64)
        return Evidence(none, none, none, (), False)
    joined = np.concatenate([survey.codes for survey in surveys])
    codes, place = np.unique(joined, return_inverse=True)
    pixels = np.bincount(place, weights=np.concatenate([survey.pixels for survey in surveys])).astype(np.int64)
    runs = np.bincount(place, weights=np.concatenate([survey.runs for survey in surveys])).astype(np.int64)
    speckle = int((pixels < 2 * runs).sum())
    blurred = len(codes) > 2 and (
        any(survey.lossy for survey in surveys) or speckle > max(8, len(codes) // 2) or len(codes) > 256
    )
    main = _peaks(codes, pixels) if blurred else tuple(int(code) for code in codes)
    return Evidence(codes, pixels, runs, main, blurred)


def _peaks(codes: npt.NDArray[np.int64], pixels: npt.NDArray[np.int64]) -> tuple[int, ...]:
    """Codes with at least a thousandth of the pixels that are not near a commoner one."""
    channels = np.stack([codes >> 16 & 255, codes >> 8 & 255, codes & 255], axis=1)
    kept: list[int] = []
    for index in np.argsort(-pixels, kind="stable")[:1000]:
        if pixels[index] * 1000 < pixels.sum():
            break
        if not kept or np.abs(channels[kept] - channels[index]).max(axis=1).min() > _NEAR:
            kept.append(int(index))
    return tuple(sorted(int(codes[index]) for index in kept))


def _refuse_photographs(evidence: Evidence, surveys: Sequence[Survey]) -> None:
    meant = evidence.pixels[np.isin(evidence.codes, evidence.main)].sum()
    if evidence.blurred and 2 * meant < evidence.pixels.sum():
        worst = max(surveys, key=lambda survey: survey.distinct)
        raise DataError(
            f"the label files look like photographs ({worst.distinct} different values in this one)",
            where=worst.path,
            remedy="give the folder of images first and the folder of labels second",
        )


def _decide_levels(
    surveys: Sequence[Survey], naming: Naming, forced: Kind | None, known: str, *, palette: bool
) -> Decision:
    evidence = gather(surveys)
    if forced is None:
        _refuse_photographs(evidence, surveys)
    levels = [code for code in evidence.main if code != NO_CODE]
    bits = max(survey.bits for survey in surveys)
    top = 255 if bits <= 8 else 65535
    _refuse_out_of_range(evidence, surveys)
    by_grey = _by_grey_color(levels, naming)
    kind = forced or _level_kind(levels, naming, top, wide=bits > 8)
    if forced is None and palette and kind in ("ids", "binary", "codes"):
        kind_taken: Kind = "palette"
    elif forced is None and by_grey is not None:
        kind_taken = kind = "codes"
    else:
        kind_taken = kind
    channel = 0
    colors = _palette_colors(surveys, levels) if palette else None
    notes: list[str] = []
    void = None if kind in ("binary", "codes") else top if top in levels or bits > 8 else 255
    if void == 65535 and 65535 not in levels:
        void = 255 if 255 in levels and bits <= 8 else None
    if by_grey is not None and kind == "codes":
        naming = Naming(by_grey, naming.source, naming.ignore)
    elif palette and (by_color := _by_palette_color(levels, colors or {}, naming)) is not None:
        naming = Naming(by_color, naming.source, naming.ignore)
        notes.append(f"names were matched to palette indices by the colours of {naming.source}")
    else:
        naming, more = _fitting(levels, naming, kind, void)
        notes += more
    if evidence.blurred:
        notes.append(_blurred_note(evidence))
    table = table_by_id(levels, naming, void=void, colors=colors)
    explanation = _explain(kind_taken, levels, evidence, void, naming, known)
    return Decision(LabelFormat(kind=kind_taken, explanation=explanation, channel=channel), table, tuple(notes))


def _level_kind(levels: Sequence[int], naming: Naming, top: int, *, wide: bool) -> Kind:
    ids = set(naming.ids)
    kept = sum(not entry.is_ignored for entry in naming.entries)
    fits = bool(ids) and set(levels) <= ids | {top}
    if set(levels) <= {0, top} and top in levels and not (fits and (kept > 2 or top in ids)):
        return "binary"
    if wide:
        return "ids16"
    if fits:
        return "ids"
    gaps = np.diff(sorted(levels))
    if 1 < len(levels) <= _MOST_CODES and gaps.min() >= _SPREAD:
        return "codes"
    return "ids"


def _fitting(levels: Sequence[int], naming: Naming, kind: Kind, void: int | None) -> tuple[Naming, list[str]]:
    """Names for levels that a class file does not count by the same ids."""
    entries = naming.entries
    if not entries:
        if kind == "binary":
            return Naming(_two(levels), naming.source, naming.ignore), []
        return naming, []
    given = any(entry.id is not None for entry in entries)
    meant = sorted(level for level in levels if level != void or level in naming.ids)
    if kind in ("codes", "binary") and not given and len(entries) == len(meant):
        renamed = tuple(
            ClassEntry(entry.name, level, entry.color, entry.ignored)
            for entry, level in zip(entries, meant, strict=True)
        )
        note = f"the names of {naming.source} were given to the levels {_listed(meant)} in this order"
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
            f"its classes do not fit the levels {_listed(meant)} of the labels",
            where=naming.source,
            remedy="give each class the level as its id: id name red green blue",
        )
    return naming, []


def _two(levels: Sequence[int]) -> tuple[ClassEntry, ...]:
    top = max(levels)
    return ClassEntry("background", 0, (0, 0, 0)), ClassEntry("foreground", top, (255, 255, 255))


def _decide_colors(
    surveys: Sequence[Survey], naming: Naming, *, forced: bool = False, recolored: bool = False
) -> Decision:
    evidence = gather([_in_colors(survey) for survey in surveys])
    if not forced:
        _refuse_photographs(evidence, surveys)
    notes = [_blurred_note(evidence)] if evidence.blurred else []
    found = list(evidence.main)
    given = naming.colors
    if naming.entries and not given:
        notes.append(f"{naming.source} has no colours, so its names cannot be told apart; give each name a colour")
        naming = Naming((), "", naming.ignore)
    elif given:
        _refuse_foreign_colors(found, given, naming, surveys)
        explanation = f"Colours: {len(set(found) & set(given))} of the colours in {naming.source} occur in the labels."
    if not naming.entries:
        border = [code for code in found if code == _VOC_BORDER]
        entries = [ClassEntry(f"class_{n}", n, unpack_color(code)) for n, code in enumerate(found, 1) if not border]
        if border:
            kept = [code for code in found if code != _VOC_BORDER]
            entries = [ClassEntry(f"class_{n}", n, unpack_color(code)) for n, code in enumerate(kept, 1)]
            entries.append(ClassEntry("void", 255, unpack_color(_VOC_BORDER), True))
        naming = Naming(tuple(entries), "", naming.ignore)
        explanation = f"Colours: {len(found)} different ones occur and no class file names them."
    if recolored:
        explanation = explanation.replace(
            "Colours:", "Palette colours (the palettes of the files differ, so indices mean nothing):"
        )
    return Decision(LabelFormat(kind="colors", explanation=explanation), table_by_color(found, naming), tuple(notes))


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
    _refuse_out_of_range(evidence, surveys)
    levels = [code for code in evidence.main if code != NO_CODE]
    explanation = (
        f"SYNTHIA: files have several 16-bit channels; ids {_listed(levels)} are in the first, instances in another."
    )
    return Decision(LabelFormat(kind="synthia", explanation=explanation), table_by_id(levels, naming, void=65535))


def _refuse_out_of_range(evidence: Evidence, surveys: Sequence[Survey]) -> None:
    for bad in evidence.codes[(evidence.codes > 65535) | (evidence.codes < NO_CODE)][:1]:
        path = next(survey.path for survey in surveys if bad in survey.codes)
        raise DataError(f"{bad} is no class id", where=path, remedy="ids are 0 to 65535")


def _palettes_agree(surveys: Sequence[Survey]) -> bool:
    """Whether every index that is used has one colour in all files."""
    colors = np.full(256, -1, dtype=np.int64)
    for survey in surveys:
        if survey.palette is None or survey.bits > 8:
            return True
        own = pack_colors(survey.palette)[survey.codes]
        known = colors[survey.codes]
        if ((known >= 0) & (known != own)).any():
            return False
        colors[survey.codes] = own
    return True


def _palette_colors(surveys: Sequence[Survey], levels: Sequence[int]) -> dict[int, Color]:
    colors: dict[int, Color] = {}
    for survey in surveys:
        if survey.palette is not None:
            for code in survey.codes:
                if 0 <= code < len(survey.palette):
                    colors.setdefault(int(code), unpack_color(int(pack_colors(survey.palette[code]))))
    return {level: colors[level] for level in levels if level in colors}


def _by_palette_color(levels: Sequence[int], colors: dict[int, Color], naming: Naming) -> tuple[ClassEntry, ...] | None:
    """Entries with palette indices as ids, where the ids of the class file do not fit but its colours do."""
    if not naming.entries or set(levels) <= set(naming.ids) | {255}:
        return None
    by_color = {entry.color: entry for entry in naming.entries if entry.color is not None}
    if not all(colors.get(level) in by_color for level in levels):
        return None
    return tuple(
        ClassEntry(by_color[colors[level]].name, level, colors[level], by_color[colors[level]].ignored)
        for level in levels
    )


def _by_grey_color(levels: Sequence[int], naming: Naming) -> tuple[ClassEntry, ...] | None:
    """Entries whose grey colours are the levels, where their ids are not."""
    if not naming.entries or set(levels) <= set(naming.ids) | {255}:
        return None
    greys = {entry.color[0]: entry for entry in naming.entries if entry.color and len(set(entry.color)) == 1}
    if not set(levels) <= set(greys):
        return None
    return tuple(ClassEntry(entry.name, level, entry.color, entry.ignored) for level, entry in greys.items())


def _in_colors(survey: Survey) -> Survey:
    """The survey with codes as 0xRRGGBB."""
    if survey.storage == "color":
        return survey
    if survey.palette is not None:
        codes = pack_colors(survey.palette)[survey.codes].astype(np.int64)
    else:
        codes = survey.codes * 0x010101
    return Survey(**{**vars(survey), "codes": codes, "storage": "color"})


def _id_channel(evidence: Evidence, naming: Naming) -> int | None:
    """0 where colour files keep levels in the first channel: all grey, or small ids in red alone."""
    given = naming.colors
    if given and set(evidence.main) <= set(given):
        return None
    red, green, blue = evidence.codes >> 16, evidence.codes >> 8 & 255, evidence.codes & 255
    if np.array_equal(red, green) and np.array_equal(red, blue):
        return 0
    only_red = not green.any() and not blue.any() and len(red) > 1
    return 0 if only_red and red.max() < 128 and np.diff(np.sort(red)).min() < _SPREAD else None


def _one_channel(survey: Survey) -> Survey:
    codes = survey.codes >> 16 if survey.storage == "color" else survey.codes
    return Survey(**{**vars(survey), "codes": codes, "storage": "grey"})


def _explain(
    kind: Kind, levels: Sequence[int], evidence: Evidence, void: int | None, naming: Naming, known: str
) -> str:
    prefix = f"{known}: " if known else ""
    border = f", {void} ignored" if void is not None and void in levels and void not in naming.ids else ""
    ids = _listed([level for level in levels if level != void or not border])
    sentences = {
        "ids": f"8-bit class ids: the grey levels are the small numbers {ids}{border}.",
        "palette": f"Palette PNG: the indices {ids} are the ids{border}.",
        "binary": f"Binary: the only grey levels are {ids}.",
        "codes": f"Grey codes: the few levels {ids} lie too far apart to be ids.",
        "ids16": f"16-bit class ids: the levels are {ids}{border}.",
    }
    return prefix + sentences.get(kind, f"Read as {kind}: the levels are {ids}{border}.")


def _blurred_note(evidence: Evidence) -> str:
    return (
        f"the labels hold {len(evidence.codes)} different values, {len(evidence.codes) - len(evidence.main)} of them "
        "between or near the meant ones: they were JPEG-compressed or smoothed"
    )


def _listed(values: Sequence[int]) -> str:
    """Numbers in a sentence; runs are shortened.

    >>> _listed([0, 1, 2, 3, 7])
    '0-3, 7'
    """
    parts: list[str] = []
    ordered = sorted(values)
    start = 0
    for end in range(1, len(ordered) + 1):
        if end == len(ordered) or ordered[end] != ordered[end - 1] + 1:
            first, last = ordered[start], ordered[end - 1]
            parts.append(str(first) if first == last else f"{first}-{last}" if last - first > 1 else f"{first}, {last}")
            start = end
    return ", ".join(parts[:12]) + (" …" if len(parts) > 12 else "")
