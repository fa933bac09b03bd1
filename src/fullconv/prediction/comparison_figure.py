"""A comparison as one picture: a row per image with the input, every model, where they differ, and the truth."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from fullconv.data.classes import ClassTable
from fullconv.data.differences import difference_key, difference_map
from fullconv.data.pictures import Picture, colorize, display_rgb, font_of, overlay
from fullconv.evaluation.scores import percent
from fullconv.prediction.comparing import ComparedImage, Comparison

View = Literal["overlay", "labels"]
COLUMN = 360
"""Pixels of a column's width."""
GAP = 8
EDGE = 16
TEXT = 15
SMALL = 12
INK, FAINT, PAPER = (27, 31, 36), (90, 100, 114), (255, 255, 255)


def comparison_figure(
    images: Sequence[ComparedImage],
    comparison: Comparison,
    *,
    networks: Sequence[str] = (),
    view: View = "overlay",
    opacity: float = 0.5,
    caption: str = "",
) -> Image.Image:
    """The picture.

    Args:
        images: its rows.
        comparison: what stands in the headings: names, and scores over all images, not only those shown.
        networks: of the models, for the headings.
        view: label maps over the image, or in the classes' colours alone.
        opacity: of the colours over the image.
        caption: a line below.

    Returns:
        RGB, columns of `COLUMN` pixels.

    Source: Heinrich, Image Segmentation Using DIGITS 5, 2016, figure 1 (input, two models, truth).
    """
    with_truth = any(seen.truth is not None for seen in images)
    headings = [["input"], *_model_headings(comparison, networks)]
    two = len(comparison.names) == 2
    headings += [["difference" if two else "differences", f"on {percent(comparison.disagreement)} of the pixels"]]
    headings += [["truth"]] if with_truth else []
    rows = [_panels(seen, comparison.classes.table, view, opacity, with_truth) for seen in images]
    width = 2 * EDGE + len(headings) * (COLUMN + GAP) - GAP
    key = _key(images, comparison, width - 2 * EDGE)
    head = EDGE + round(1.5 * TEXT) + round(1.5 * SMALL) * (max(map(len, headings)) - 1) + GAP
    heights = [row[0].shape[0] + round(1.6 * SMALL) + GAP for row in rows]
    said = round(1.8 * SMALL) if caption else 0
    sheet = Image.new("RGB", (width, head + sum(heights) + key.height + said + EDGE), PAPER)
    draw = ImageDraw.Draw(sheet)
    for place, lines in enumerate(headings):
        left, top = EDGE + place * (COLUMN + GAP), EDGE
        for line, text in enumerate(lines):
            height = SMALL if line else TEXT
            font, ink = font_of(height, bold=not line), FAINT if line else INK
            draw.text((left, top), shortened(text, font, COLUMN), fill=ink, font=font)
            top += round(1.5 * height)
    top = head
    for seen, panels, height in zip(images, rows, heights, strict=True):
        for place, panel in enumerate(panels):
            sheet.paste(Image.fromarray(panel), (EDGE + place * (COLUMN + GAP), top))
        font = font_of(SMALL)
        draw.text(
            (EDGE, top + panels[0].shape[0] + 2), shortened(_line(seen), font, width - 2 * EDGE), FAINT, font=font
        )
        top += height
    sheet.paste(key, (EDGE, top))
    if caption:
        draw.text((EDGE, top + key.height), caption, fill=FAINT, font=font_of(SMALL))
    return sheet


def shortened(text: str, font: Any, width: float) -> str:
    """A text that fits, its middle left out where it does not: names tend to differ at their ends.

    >>> shortened("a-very-long-name-of-a-run", font_of(12), 100)
    'a-very-…f-a-run'
    """
    if font.getlength(text) <= width:
        return text
    for kept in range(len(text) - 1, 1, -1):
        cut = f"{text[: kept // 2]}…{text[len(text) - (kept + 1) // 2 :]}"
        if font.getlength(cut) <= width:
            return cut
    return "…"


def _model_headings(comparison: Comparison, networks: Sequence[str]) -> list[list[str]]:
    found = []
    for place, name in enumerate(comparison.names):
        lines = [name, *networks[place : place + 1]]
        if comparison.with_truth:
            score = comparison.scores[place]
            lines.append(f"mean IoU {percent(score.mean_iou)} · pixels {percent(score.pixel_accuracy)}")
        found.append(lines)
    return found


def _line(seen: ComparedImage) -> str:
    return f"{seen.key} · different on {percent(seen.disagreement)}"


def _panels(seen: ComparedImage, classes: ClassTable, view: View, opacity: float, with_truth: bool) -> list[Picture]:
    """Pictures of one row, all of one size."""
    height, width = seen.maps[0].shape
    size = (COLUMN, min(2 * COLUMN, max(1, round(COLUMN * height / width))))
    image = np.asarray(Image.fromarray(display_rgb(seen.image)).resize(size, Image.Resampling.LANCZOS))
    maps = [_nearest(labels, size) for labels in seen.maps]
    truth = None if seen.truth is None else _nearest(seen.truth, size)

    def drawn(labels: npt.NDArray[Any]) -> Picture:
        return colorize(labels, classes) if view == "labels" else overlay(image, labels, classes, opacity=opacity)

    panels = [image, *map(drawn, maps), difference_map(maps, truth, ignore=classes.ignore_index)]
    if with_truth:
        panels.append(np.full_like(image, 255) if truth is None else drawn(truth))
    return panels


def _nearest(labels: npt.NDArray[Any], size: tuple[int, int]) -> npt.NDArray[Any]:
    return np.asarray(Image.fromarray(labels).resize(size, Image.Resampling.NEAREST))


def _key(images: Sequence[ComparedImage], comparison: Comparison, width: int) -> Image.Image:
    """Colours of the classes that occur in the pictures, and those of the differences, line by line."""
    table = comparison.classes.table
    there: set[int] = set()
    for seen in images:
        for labels in (*seen.maps, *(() if seen.truth is None else (seen.truth,))):
            there.update(np.unique(labels).tolist())
    classes = [(entry.color, entry.name) for place, entry in enumerate(table.classes) if place in there]
    with_truth = any(seen.truth is not None for seen in images)
    groups = [classes, difference_key(comparison.names, truth=with_truth)]
    font, line = font_of(SMALL), round(1.8 * SMALL)
    places: list[tuple[int, int, tuple[int, int, int], str]] = []
    top = GAP
    for group in groups:
        left = 0
        for color, name in group:
            text = shortened(name, font, width - 2 * line)
            needed = round(line + font.getlength(text) + 1.5 * SMALL)
            if left and left + needed > width:
                left, top = 0, top + line
            places.append((left, top, color, text))
            left += needed
        top += line
    picture = Image.new("RGB", (width, top + GAP), PAPER)
    draw = ImageDraw.Draw(picture)
    for left, height, color, text in places:
        draw.rectangle((left, height + 2, left + SMALL + 2, height + SMALL + 4), fill=color, outline=(120, 120, 120))
        draw.text((left + line, height + line // 2), text, fill=INK, font=font, anchor="lm")
    return picture
