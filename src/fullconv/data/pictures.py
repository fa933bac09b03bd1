"""Pictures of labels: colours, overlays, legends, error maps, and label files that any viewer shows in colour."""

from __future__ import annotations

import io
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from fullconv.data.classes import ClassTable
from fullconv.errors import DataError
from fullconv.files import write_atomically

Picture = npt.NDArray[np.uint8]
"""(H, W, 3) uint8 red, green, blue."""

RIGHT = (38, 50, 56)
WRONG = (255, 152, 0)
UNDEFINED = (255, 255, 255)
"""Colours of the error map; undefined (ignored) pixels are white everywhere."""

_STRETCH_PERCENTILES = (2.0, 98.0)
_STRETCH_SAMPLES = 1_000_000


def colorize(labels: npt.NDArray[Any], classes: ClassTable) -> Picture:
    """Labels in the colours of their classes, ignored pixels white.

    Args:
        labels: (H, W) contiguous class indices, `classes.ignore_index` where ignored.
        classes: names and colours.

    Returns:
        (H, W, 3) uint8.

    >>> from fullconv.data.classes import SegmentationClass
    >>> table = ClassTable(classes=(SegmentationClass(name="sky", color=(70, 130, 180), value=0, codes=(0,)),))
    >>> colorize(np.array([[0, 255]], dtype=np.uint8), table).tolist()
    [[[70, 130, 180], [255, 255, 255]]]
    """
    return np.asarray(_color_table(classes)[labels])


def overlay(
    image: npt.NDArray[Any],
    labels: npt.NDArray[Any],
    classes: ClassTable,
    *,
    opacity: float = 0.5,
    outline: bool = True,
) -> Picture:
    """The image with its labels laid over it; ignored pixels show the image alone.

    Args:
        image: (H, W) or (H, W, C) of any band count and type, see `display_rgb`.
        labels: (H, W) contiguous class indices.
        classes: names and colours.
        opacity: of the colours, 0 (image only) to 1 (colours only).
        outline: draw the class borders in the full colour.

    Returns:
        (H, W, 3) uint8.

    Raises:
        DataError: image and labels differ in size, or the opacity lies outside 0 to 1.

    >>> from fullconv.data.classes import SegmentationClass
    >>> table = ClassTable(classes=(SegmentationClass(name="sky", color=(100, 0, 200), value=0, codes=(0,)),))
    >>> image, labels = np.zeros((1, 2, 3), dtype=np.uint8), np.array([[0, 255]], dtype=np.uint8)
    >>> overlay(image, labels, table, outline=False).tolist()
    [[[50, 0, 100], [0, 0, 0]]]
    """
    if not 0 <= opacity <= 1:
        raise DataError(f"an opacity of {opacity} is not possible", remedy="choose a number from 0 to 1")
    _same_size(image, labels, "the image", "the labels")
    below = display_rgb(image)
    weight = round(256 * opacity)
    mixed = below.astype(np.uint16)
    mixed *= np.uint16(256 - weight)
    above = colorize(labels, classes)
    mixed += above.astype(np.uint16) * np.uint16(weight) if weight < 256 else above.astype(np.uint16) << 8
    mixed >>= 8
    result = mixed.astype(np.uint8)
    if outline:
        border = class_borders(labels)
        result[border] = above[border]
    ignored = labels >= len(classes)
    result[ignored] = below[ignored]
    return result


def class_borders(labels: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    """(H, W) bool: pixels whose right or lower neighbour bears another label.

    >>> class_borders(np.array([[0, 0, 1], [0, 0, 1]])).astype(int)
    array([[0, 1, 0],
           [0, 1, 0]])
    """
    border = np.zeros(labels.shape, dtype=bool)
    border[:, :-1] |= labels[:, :-1] != labels[:, 1:]
    border[:-1] |= labels[:-1] != labels[1:]
    return border


def error_map(truth: npt.NDArray[Any], prediction: npt.NDArray[Any], classes: ClassTable) -> Picture:
    """Where the prediction is right (dark), wrong (orange), and where the truth is undefined (white).

    Raises:
        DataError: the two differ in size.

    >>> from fullconv.data.classes import SegmentationClass
    >>> table = ClassTable(classes=(SegmentationClass(name="sky", color=(70, 130, 180), value=0, codes=(0,)),))
    >>> error_map(np.array([[0, 255]]), np.array([[0, 0]]), table).tolist() == [[list(RIGHT), list(UNDEFINED)]]
    True
    """
    _same_size(truth, prediction, "the truth", "the prediction")
    state = (truth != prediction).astype(np.uint8)
    state[truth >= len(classes)] = 2
    return np.asarray(np.array([RIGHT, WRONG, UNDEFINED], dtype=np.uint8)[state])


def display_rgb(image: npt.NDArray[Any]) -> Picture:
    """Any image as red, green, blue for a screen.

    One or two bands become grey (the first band), more than three show the first three. uint8 stays as it is; other
    types are stretched band by band from their 2nd to their 98th percentile, and what is no number (NaN, infinity)
    becomes black.

    Args:
        image: (H, W) or (H, W, C), any numeric type.

    Returns:
        (H, W, 3) uint8.

    >>> display_rgb(np.array([[[0], [9000]]], dtype=np.uint16)).tolist()
    [[[0, 0, 0], [255, 255, 255]]]
    """
    bands = image[..., None] if image.ndim == 2 else image
    bands = bands[..., :3] if bands.shape[-1] >= 3 else bands[..., :1]
    if bands.dtype != np.uint8:
        bands = np.stack([_stretched(bands[..., band]) for band in range(bands.shape[-1])], axis=-1)
    return np.ascontiguousarray(np.broadcast_to(bands, (*bands.shape[:2], 3)))


def legend(classes: ClassTable, shares: Sequence[float] | None = None, *, height: int = 14) -> Image.Image:
    """Colour fields and names of the classes, one below the other, with the share of the picture where given.

    Args:
        classes: names and colours.
        shares: per class 0 to 1, in the order of the classes; classes with a share of 0 are left out.
        height: size of the letters in pixels.

    >>> from fullconv.data.classes import SegmentationClass
    >>> table = ClassTable(classes=(SegmentationClass(name="sky", color=(70, 130, 180), value=0, codes=(0,)),))
    >>> legend(table).mode, legend(table, [0.25]).width > legend(table).width
    ('RGB', True)
    """
    rows = [
        (entry.color, entry.name, "" if shares is None else f"{100 * shares[index]:.1f} %")
        for index, entry in enumerate(classes.classes)
        if shares is None or shares[index] > 0
    ]
    font = font_of(height)
    line, edge = round(height * 1.6), round(height * 0.6)
    names = max((font.getlength(name) for _, name, _ in rows), default=0)
    numbers = max((font.getlength(number) for _, _, number in rows), default=0)
    text = 2 * edge + line
    width = round(text + names + numbers + edge * (2 if numbers else 1))
    picture = Image.new("RGB", (width, max(1, len(rows)) * line + 2 * edge), (255, 255, 255))
    draw = ImageDraw.Draw(picture)
    for row, (color, name, number) in enumerate(rows):
        top = edge + row * line
        draw.rectangle((edge, top + 2, edge + line, top + line - 3), fill=color, outline=(120, 120, 120))
        draw.text((text, top + line // 2), name, fill=(20, 20, 20), font=font, anchor="lm")
        draw.text((width - edge, top + line // 2), number, fill=(20, 20, 20), font=font, anchor="rm")
    return picture


def grid(rows: Sequence[Sequence[Picture]], *, gap: int = 6) -> Picture:
    """Pictures of one size side by side and below each other, on white.

    >>> grid([[np.zeros((2, 3, 3), np.uint8)] * 2], gap=1).shape
    (2, 7, 3)
    """
    height, width = rows[0][0].shape[:2]
    across, down = max(len(row) for row in rows), len(rows)
    sheet = np.full((down * (height + gap) - gap, across * (width + gap) - gap, 3), 255, dtype=np.uint8)
    for row, pictures in enumerate(rows):
        for column, picture in enumerate(pictures):
            top, left = row * (height + gap), column * (width + gap)
            sheet[top : top + height, left : left + width] = picture
    return sheet


def label_png(labels: npt.NDArray[Any], classes: ClassTable) -> bytes:
    """Labels as a PNG file with the dataset's own ids, so that they read back as what the dataset uses.

    Ids up to 255 become an 8-bit palette file that every viewer shows in the class colours; higher ones a 16-bit grey
    file.

    Args:
        labels: (H, W) contiguous class indices, `classes.ignore_index` where ignored.
        classes: names, colours and own ids.

    >>> from fullconv.data.classes import SegmentationClass
    >>> table = ClassTable(classes=(SegmentationClass(name="sky", color=(70, 130, 180), value=23, codes=(23,)),))
    >>> picture = Image.open(io.BytesIO(label_png(np.zeros((2, 2), dtype=np.uint8), table)))
    >>> picture.mode, picture.getpixel((0, 0)), picture.convert("RGB").getpixel((0, 0))
    ('P', 23, (70, 130, 180))
    """
    ids = np.ascontiguousarray(classes.own_ids(labels))
    picture = Image.fromarray(ids)
    if ids.dtype == np.uint8:
        picture.putpalette(classes.palette())
    stream = io.BytesIO()
    picture.save(stream, format="PNG")
    return stream.getvalue()


def save_label_png(path: Path, labels: npt.NDArray[Any], classes: ClassTable) -> None:
    """Write labels as `label_png` makes them, whole or not at all.

    Args:
        path: the file.
        labels: (H, W) contiguous class indices, `classes.ignore_index` where ignored.
        classes: names, colours and own ids.

    Raises:
        StorageError: the disk is full or the folder cannot be written.
    """
    write_atomically(path, label_png(labels, classes))


def _color_table(classes: ClassTable) -> Picture:
    table = np.full((classes.ignore_index + 1, 3), UNDEFINED, dtype=np.uint8)
    table[: len(classes)] = classes.colors
    return table


def _stretched(band: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    values = band.astype(np.float32)
    known = np.isfinite(values)
    sample = values[known][:: max(1, values.size // _STRETCH_SAMPLES)]
    if not sample.size:
        return np.zeros(band.shape, dtype=np.uint8)
    low, high = np.percentile(sample, _STRETCH_PERCENTILES)
    if high <= low:
        low, high = float(sample.min()), float(sample.max())
    values[~known] = low
    values -= low
    values *= 255 / (high - low) if high > low else 0
    return np.asarray(np.rint(values.clip(0, 255)).astype(np.uint8))


def _same_size(first: npt.NDArray[Any], second: npt.NDArray[Any], one: str, other: str) -> None:
    if first.shape[:2] != second.shape[:2]:
        sizes = [f"{width}×{height}" for height, width in (first.shape[:2], second.shape[:2])]
        raise DataError(f"{one} is {sizes[0]} pixels and {other} {sizes[1]}", remedy="give both the same size")


@lru_cache(maxsize=8)
def font_of(height: int, *, bold: bool = False) -> Any:
    """DejaVu Sans, which matplotlib brings along and which knows Latin, Greek, Cyrillic and more; else Pillow's own.

    Args:
        height: of the letters, in pixels.
    """
    import matplotlib

    file = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / ("DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf")
    return ImageFont.truetype(str(file), height) if file.is_file() else ImageFont.load_default(height)
