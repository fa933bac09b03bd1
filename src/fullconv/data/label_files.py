"""One label file → integer codes, and a survey of what it holds; nothing is known of classes here."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from fullconv.data.images import StoredPixels, read_stored
from fullconv.errors import DataError

Storage = Literal["grey", "palette", "color", "wide"]
"""How a label file keeps its codes: one channel, palette indices, 8-bit colours, several channels of 16 bits."""

NO_CODE = -1
"""Stands for pixels without a code: NaN in float files, images without a label."""

_MAX_CODES_KEPT = 4096
_LOSSY_SUFFIXES = frozenset({".jpg", ".jpeg"})


@dataclass(frozen=True)
class Survey:
    """What one label file holds.

    Args:
        path: the file.
        storage: how the codes are kept.
        bits: bits of one level: 1, 2, 4, 8, 16 or 32.
        codes: (n,) int64, ascending: levels, palette indices or 0xRRGGBB.
        pixels: (n,) pixels of each code.
        runs: (n,) horizontal runs of each code; pixels / runs near 1 means speckle.
        cores: (n,) pixels whose four neighbours have the same code; 0 where a code draws thin lines only.
        palette: (256, 3) uint8 where the file has one.
        distinct: number of codes in the file; only the 4096 commonest are kept in `codes`.
        lossy: the file is a JPEG.
    """

    path: Path
    storage: Storage
    bits: int
    codes: npt.NDArray[np.int64]
    pixels: npt.NDArray[np.int64]
    runs: npt.NDArray[np.int64]
    cores: npt.NDArray[np.int64]
    palette: npt.NDArray[np.uint8] | None = field(repr=False)
    distinct: int
    lossy: bool


def storage_of(stored: StoredPixels) -> Storage:
    """How the codes of a label file are kept."""
    if stored.palette is not None:
        return "palette"
    bands = 1 if stored.array.ndim == 2 else stored.array.shape[2]
    if bands <= 2:
        return "grey"
    return "color" if stored.array.dtype == np.uint8 else "wide"


def pack_colors(colors: npt.NDArray[np.uint8]) -> npt.NDArray[np.int32]:
    """(…, 3 or 4) uint8 colours → (…) int32 codes 0xRRGGBB; alpha is left out.

    >>> [hex(code) for code in pack_colors(np.array([[255, 0, 16], [0, 1, 2]], dtype=np.uint8))]
    ['0xff0010', '0x102']
    """
    packed = np.empty((*colors.shape[:-1], 4), dtype=np.uint8)
    packed[..., 0] = colors[..., 2]
    packed[..., 1] = colors[..., 1]
    packed[..., 2] = colors[..., 0]
    packed[..., 3] = 0
    return packed.view("<i4")[..., 0].astype(np.int32, copy=False)


def unpack_color(code: int) -> tuple[int, int, int]:
    """0xRRGGBB → (red, green, blue).

    >>> unpack_color(0x804000)
    (128, 64, 0)
    """
    return code >> 16 & 255, code >> 8 & 255, code & 255


def color_codes(stored: StoredPixels, path: Path) -> npt.NDArray[np.int32]:
    """(H, W) codes 0xRRGGBB of a label file, whether it keeps colours, a palette or grey levels.

    Raises:
        DataError: the file has 16-bit levels, which are no 24-bit colours, or says more than colours do.
    """
    _refuse_lost_bands(stored, path)
    array = stored.array
    if stored.palette is not None:
        return np.asarray(pack_colors(stored.palette)[array])
    if array.dtype != np.uint8:
        raise DataError(
            f"holds {array.dtype} levels where 8-bit colours are needed",
            where=path,
            remedy="save the labels as 8-bit RGB or choose another --format",
        )
    if array.ndim == 3 and array.shape[2] >= 3:
        return pack_colors(array[:, :, :4])
    grey = array if array.ndim == 2 else array[:, :, 0]
    scale = 255 if stored.bits == 1 else 255 // (2**stored.bits - 1) if stored.bits < 8 else 1
    return grey.astype(np.int32) * (0x010101 * scale)


def level_codes(stored: StoredPixels, path: Path, channel: int = 0) -> npt.NDArray[Any]:
    """(H, W) integer levels of a label file: palette indices, grey levels, or one channel of several.

    Bilevel files give 0 and 255; float files must hold whole numbers, NaN becomes `NO_CODE`.

    Raises:
        DataError: the channel is not there, another one says more, or the levels are no whole numbers.
    """
    _refuse_lost_bands(stored, path)
    array = stored.array
    if array.ndim == 3:
        if channel >= array.shape[2]:
            raise DataError(
                f"has {array.shape[2]} channels and no channel {channel}",
                where=path,
                remedy="check that all label files were made the same way",
            )
        array = array[:, :, channel]
    if stored.bits == 1:
        return array * np.uint8(255)
    if array.dtype.kind == "f":
        missing = ~np.isfinite(array)
        whole = np.where(missing, NO_CODE, array)
        codes = whole.astype(np.int32)
        if not np.array_equal(codes, whole):
            row, column = np.argwhere(codes != whole)[0]
            raise DataError(
                f"pixel (row {row}, column {column}) is {array[row, column]:g}, which is no class id",
                where=path,
                remedy="labels need whole numbers; was an image or a score map given as label?",
            )
        return codes
    return array if array.dtype in (np.uint8, np.uint16) else array.astype(np.int32)


def _refuse_lost_bands(stored: StoredPixels, path: Path) -> None:
    """Files are read by one band or, if of 8 bits, by the first three; what an alpha or many others say must not go."""
    array = stored.array
    bands = 1 if array.ndim == 2 else array.shape[2]
    if bands > 4:
        raise DataError(
            f"has {bands} bands, and nothing tells which of them holds the labels",
            where=path,
            remedy="save the labels with one band of class ids, or as RGB",
        )
    if array.dtype != np.uint8 or bands not in (2, 4) or array[:, :, -1].min() == array[:, :, -1].max():
        return
    # One colour with two alphas means two things; a transparent colour that is nowhere opaque is told by itself.
    colors = array[:, :, 0] if bands == 2 else pack_colors(array[:, :, :3])
    pairs = np.unique(colors.astype(np.int64) << 8 | array[:, :, -1])
    twice = pairs[:-1][pairs[:-1] >> 8 == pairs[1:] >> 8]
    if twice.size:
        code = int(twice[0]) >> 8
        what = f"the level {code}" if bands == 2 else f"the colour {unpack_color(code)}"
        raise DataError(
            f"has an alpha channel that tells pixels of {what} apart, which would be lost",
            where=path,
            remedy="save the labels without alpha, with a colour or id of its own for transparent pixels",
        )


def survey_label(path: Path) -> Survey:
    """Decode a label file once and count its codes.

    Raises:
        DataError: the file cannot be read.
    """
    stored = read_stored(path)
    storage = storage_of(stored)
    codes = color_codes(stored, path) if storage == "color" else level_codes(stored, path)
    found, pixels, runs = count_codes(codes)
    cores = count_cores(codes, found)
    distinct = len(found)
    if distinct > _MAX_CODES_KEPT:
        kept = np.sort(np.argpartition(pixels, -_MAX_CODES_KEPT)[-_MAX_CODES_KEPT:])
        found, pixels, runs, cores = found[kept], pixels[kept], runs[kept], cores[kept]
    lossy = path.suffix.lower() in _LOSSY_SUFFIXES
    return Survey(path, storage, stored.bits, found, pixels, runs, cores, stored.palette, distinct, lossy)


def count_codes(
    codes: npt.NDArray[Any],
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Codes that occur, how many pixels each has, and in how many horizontal runs.

    Sorting runs instead of pixels makes this fast on label images, whose runs are long.

    >>> [counts.tolist() for counts in count_codes(np.array([[7, 7, 0], [0, 7, 7]]))]
    [[0, 7], [2, 4], [1, 2]]
    """
    flat = codes.ravel()
    if flat.size == 0:
        none = np.zeros(0, dtype=np.int64)
        return none, none, none
    starts = np.concatenate(([0], np.flatnonzero(flat[1:] != flat[:-1]) + 1))
    lengths = np.diff(starts, append=flat.size)
    found, run_code = np.unique(flat[starts], return_inverse=True)
    pixels = np.bincount(run_code, weights=lengths).astype(np.int64)
    return found.astype(np.int64), pixels, np.bincount(run_code).astype(np.int64)


def count_cores(codes: npt.NDArray[Any], found: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Per code that occurs: its pixels whose neighbours left, right, above and below have the same code.

    >>> label = np.zeros((5, 6), dtype=np.uint8)
    >>> label[:, 3] = 7
    >>> count_cores(label, np.array([0, 7])).tolist()
    [3, 0]
    """
    inner = codes[1:-1, 1:-1]
    same = (inner == codes[1:-1, :-2]) & (inner == codes[1:-1, 2:])
    same &= (inner == codes[:-2, 1:-1]) & (inner == codes[2:, 1:-1])
    found_cores, counts, _ = count_codes(inner[same])
    cores = np.zeros(len(found), dtype=np.int64)
    cores[np.searchsorted(found, found_cores)] = counts
    return cores
