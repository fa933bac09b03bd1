"""The codes of all label files of a dataset together: which are meant, which are traces of smoothing."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from fullconv.data.class_files import Color
from fullconv.data.label_files import NO_CODE, Survey, pack_colors, unpack_color
from fullconv.errors import DataError

_NEAR = 32
_THIN = 50
"""A code draws thin lines only where at most one in this many of its pixels lies inside."""

_APART = 16
_MOST_MEANT = 512
_MOST_ENDS = 48
_MOST_CLASSES = 1000


@dataclass(frozen=True)
class Evidence:
    """The codes of all label files together.

    Args:
        codes: (n,) ascending; pixels: (n,) of each.
        main: the codes that are meant: all, or without the in-between values that smoothing and JPEG leave.
        blurred: whether there are such values.
        doubtful: a code that may be one of them, since it draws thin lines only, or may be a class of borders.
    """

    codes: npt.NDArray[np.int64]
    pixels: npt.NDArray[np.int64]
    main: tuple[int, ...]
    blurred: bool
    doubtful: int | None = None


def gather(surveys: Sequence[Survey], named: Collection[int] = ()) -> Evidence:
    """Add the codes of all files up and tell the meant ones from those that smoothing or JPEG left.

    Args:
        surveys: what each label file holds.
        named: codes that a class file names; these are meant, however they look.
    """
    if not surveys:
        none = np.zeros(0, dtype=np.int64)
        return Evidence(none, none, (), False)
    joined = np.concatenate([survey.codes for survey in surveys])
    codes, place = np.unique(joined, return_inverse=True)

    def added(counts: Sequence[npt.NDArray[np.int64]]) -> npt.NDArray[np.int64]:
        return np.bincount(place, weights=np.concatenate(counts), minlength=len(codes)).astype(np.int64)

    pixels = added([survey.pixels for survey in surveys])
    speckle = int((pixels < 2 * added([survey.runs for survey in surveys])).sum())
    lossy = any(survey.lossy for survey in surveys)
    if len(codes) > 2 and (lossy or speckle > max(8, len(codes) // 2)):
        return Evidence(codes, pixels, _peaks(codes, pixels), True)
    eight_bits = all(survey.bits <= 8 and survey.storage in ("grey", "color") for survey in surveys)
    if not eight_bits or not 2 < len(codes) <= _MOST_MEANT:
        return Evidence(codes, pixels, tuple(codes.tolist()), False)
    thin = added([survey.cores for survey in surveys]) * _THIN <= pixels
    color = any(survey.storage == "color" for survey in surveys)
    traces, doubtful = _traces(codes, pixels, thin & ~np.isin(codes, list(named)), color=color)
    return Evidence(codes, pixels, tuple(codes[~traces].tolist()), bool(traces.any()), doubtful)


def _traces(
    codes: npt.NDArray[np.int64], pixels: npt.NDArray[np.int64], thin: npt.NDArray[np.bool_], *, color: bool
) -> tuple[npt.NDArray[np.bool_], int | None]:
    """(n,) which codes are in-between values of smooth edges, or the one code that is either that or a class.

    Such a code draws thin lines only and lies between two commoner codes, far from both. One code alone may be a class
    of borders, so there must be two. Where they are, rarer thin codes in the same range mix three classes.
    """
    points = (np.stack([codes >> 16, codes >> 8 & 255, codes & 255], axis=1) if color else codes[:, None]).astype(float)
    traces = np.zeros(len(codes), dtype=np.bool_)
    for index in np.flatnonzero(thin):
        ends = np.flatnonzero(pixels > pixels[index])
        ends = ends[np.argsort(-pixels[ends], kind="stable")[:_MOST_ENDS]]
        meant = ends[~thin[ends]]
        far = not meant.size or np.abs(points[meant] - points[index]).max(axis=1).min() >= _APART - 1
        traces[index] = far and _lies_between(points[index], points[ends])
    if traces.sum() == 1:
        return np.zeros_like(traces), int(codes[traces][0])
    if traces.any():
        low, high = points[~thin].min(axis=0, initial=255), points[~thin].max(axis=0, initial=0)
        inside = ((points >= low) & (points <= high)).all(axis=1)
        traces |= thin & inside & (pixels <= pixels[traces].max())
    return traces, None


def _lies_between(point: npt.NDArray[np.float64], ends: npt.NDArray[np.float64]) -> bool:
    """Whether a point lies on the line between two of the ends, but for rounding."""
    first, second = np.triu_indices(len(ends), 1)
    along = ends[second] - ends[first]
    share = ((point - ends[first]) * along).sum(axis=1) / np.maximum((along**2).sum(axis=1), 1)
    off = np.abs(ends[first] + share[:, None] * along - point).max(axis=1, initial=0)
    return bool(((share > 0) & (share < 1) & (off <= 1.5)).any())


def _peaks(codes: npt.NDArray[np.int64], pixels: npt.NDArray[np.int64]) -> tuple[int, ...]:
    """Codes with at least 1/200 of the pixels that are not near a commoner one."""
    channels = np.stack([codes >> 16 & 255, codes >> 8 & 255, codes & 255], axis=1)
    kept: list[int] = []
    for index in np.argsort(-pixels, kind="stable")[:1000]:
        if pixels[index] * 200 < pixels.sum():
            break
        if not kept or np.abs(channels[kept] - channels[index]).max(axis=1).min() > _NEAR:
            kept.append(int(index))
    return tuple(sorted(int(codes[index]) for index in kept))


def refuse_photographs(evidence: Evidence, surveys: Sequence[Survey]) -> None:
    meant = evidence.pixels[np.isin(evidence.codes, evidence.main)].sum()
    if evidence.blurred and 2 * meant < evidence.pixels.sum():
        worst = max(surveys, key=lambda survey: survey.distinct)
        raise DataError(
            f"the label files look like photographs ({worst.distinct} different values in this one)",
            where=worst.path,
            remedy="give the folder of images first and the folder of labels second",
        )


def refuse_instances(evidence: Evidence, surveys: Sequence[Survey]) -> None:
    """Raise DataError where there are more codes than anyone's classes; to be asked where no class file names them."""
    if len(evidence.main) > _MOST_CLASSES:
        worst = max(surveys, key=lambda survey: survey.distinct)
        raise DataError(
            f"the labels hold {len(evidence.main)} different codes, {worst.distinct} of them in this file: "
            "are they instance labels, which number every object?",
            where=worst.path,
            remedy="give the label files of the classes, or a class file that names every code",
        )


def refuse_out_of_range(evidence: Evidence, surveys: Sequence[Survey]) -> None:
    for bad in evidence.codes[(evidence.codes > 65535) | (evidence.codes < NO_CODE)][:1]:
        path = next(survey.path for survey in surveys if bad in survey.codes)
        raise DataError(f"{bad} is no class id", where=path, remedy="ids are 0 to 65535")


def palettes_agree(surveys: Sequence[Survey]) -> bool:
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


def palette_colors(surveys: Sequence[Survey], levels: Sequence[int]) -> dict[int, Color]:
    colors: dict[int, Color] = {}
    for survey in surveys:
        if survey.palette is not None:
            for code in survey.codes:
                if 0 <= code < len(survey.palette):
                    colors.setdefault(int(code), unpack_color(int(pack_colors(survey.palette[code]))))
    return {level: colors[level] for level in levels if level in colors}


def in_colors(survey: Survey) -> Survey:
    """The survey with codes as 0xRRGGBB."""
    if survey.storage == "color":
        return survey
    if survey.palette is not None:
        codes = pack_colors(survey.palette)[survey.codes].astype(np.int64)
    else:
        codes = survey.codes * 0x010101
    return replace(survey, codes=codes, storage="color")


def one_channel(survey: Survey) -> Survey:
    codes = survey.codes >> 16 if survey.storage == "color" else survey.codes
    return replace(survey, codes=codes, storage="grey")


def smoothing_notes(evidence: Evidence) -> list[str]:
    """What a person should know of in-between values: that there are some, or one that may be one."""
    if evidence.blurred:
        return [
            f"the labels hold {len(evidence.codes)} different values, {len(evidence.codes) - len(evidence.main)} of "
            "them between or near the meant ones: they were JPEG-compressed or smoothed"
        ]
    if evidence.doubtful is None:
        return []
    code = evidence.doubtful
    text = str(code) if code < 256 else f"({', '.join(map(str, unpack_color(code)))})"
    return [
        f"the value {text} only draws thin lines and lies between two others; it was taken for a class, "
        "but smoothing leaves such values too"
    ]


def listed(values: Sequence[int]) -> str:
    """Numbers in a sentence; runs are shortened.

    >>> listed([0, 1, 2, 3, 7])
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
