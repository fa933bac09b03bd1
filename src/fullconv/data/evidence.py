"""The codes of all label files of a dataset together: which are meant, which are traces of smoothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from fullconv.data.class_files import Color
from fullconv.data.label_files import NO_CODE, Survey, pack_colors, unpack_color
from fullconv.errors import DataError

_NEAR = 32


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
    lossy = any(survey.lossy for survey in surveys)
    blurred = len(codes) > 2 and (lossy or speckle > max(8, len(codes) // 2))
    main = _peaks(codes, pixels) if blurred else tuple(int(code) for code in codes)
    return Evidence(codes, pixels, runs, main, blurred)


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


def blurred_note(evidence: Evidence) -> str:
    return (
        f"the labels hold {len(evidence.codes)} different values, {len(evidence.codes) - len(evidence.main)} of them "
        "between or near the meant ones: they were JPEG-compressed or smoothed"
    )


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


def counted(number: int, noun: str) -> str:
    """A number of things.

    >>> counted(1, "image"), counted(2, "image")
    ('1 image', '2 images')
    """
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
