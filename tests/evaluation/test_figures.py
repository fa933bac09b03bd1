"""Figures: what they show, that they are pictures, and that they leave matplotlib's global state alone."""

from __future__ import annotations

import io
import subprocess
import sys
from itertools import pairwise
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from fullconv.evaluation.figures import INK, confusion_figure, histogram_figure, to_png, to_svg
from fullconv.evaluation.scores import Scores


def scores_of(count: int) -> Scores:
    counts = np.random.default_rng(0).integers(0, 20, (count, count))
    counts[np.arange(count), np.arange(count)] = 500
    return Scores.from_confusion(counts, [f"class {index}" for index in range(count)])


def test_each_cell_shows_its_share_of_the_true_class() -> None:
    figure = confusion_figure(Scores.from_confusion([[3, 1], [0, 4]], ["road", "sky"]))
    axes = figure.axes[0]
    shown = {text.get_position(): text.get_text() for text in axes.texts}
    assert {(round(x - 0.5), round(y - 0.52)): text for (x, y), text in shown.items()} == {
        (0, 0): "75",
        (1, 0): "25",
        (1, 1): "100",
    }
    assert [label.get_text() for label in axes.get_yticklabels()] == ["road", "sky"]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["road", "sky"]


def test_a_class_that_does_not_occur_is_masked() -> None:
    figure = confusion_figure(Scores.from_confusion([[3, 1], [0, 0]], ["road", "sky"]))
    mask = np.ma.getmaskarray(figure.axes[0].collections[0].get_array()).reshape(2, 2)
    assert mask.tolist() == [[False, False], [True, True]]


@pytest.mark.parametrize("count", [1, 2, 12, 21, 40, 60, 200])
def test_any_number_of_classes_is_drawn_in_full(count: int) -> None:
    picture = Image.open(io.BytesIO(to_png(confusion_figure(scores_of(count)), dpi=50)))
    pixels = np.asarray(picture.convert("L"))
    assert pixels.shape[0] > 80
    assert pixels.min() < 100
    assert (pixels[[0, -1]] == 255).all()
    assert (pixels[:, [0, -1]] == 255).all()


@pytest.mark.parametrize("count", [12, 40])
def test_names_and_numbers_do_not_run_into_each_other(count: int) -> None:
    figure = confusion_figure(scores_of(count))
    to_png(figure)
    axes = figure.axes[0]
    for texts, low, high in ((axes.get_yticklabels(), "y0", "y1"), (axes.get_xticklabels(), "x0", "x1")):
        extents = [text.get_window_extent() for text in texts]
        boxes = sorted((getattr(extent, low), getattr(extent, high)) for extent in extents)
        assert all(before[1] <= after[0] for before, after in pairwise(boxes))
    cell = axes.get_window_extent().width / count
    assert all(text.get_window_extent().width < cell for text in axes.texts)


def test_names_are_text_and_never_formulas() -> None:
    names = ["$x^2$ $", "a_b", "Straße", "道路", "a very long name of a class indeed", "<b>"]
    figure = confusion_figure(Scores.from_confusion(np.eye(6, dtype=int), names))
    assert to_png(figure)[:4] == b"\x89PNG"
    labels = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert labels == [*names[:4], "a very long name of a c…", "<b>"]


def test_the_svg_is_one_element_in_the_ink_of_the_page() -> None:
    svg = to_svg(confusion_figure(Scores.from_confusion(np.eye(2, dtype=int), ["--><script>", "b"])))
    assert ElementTree.fromstring(svg).tag.endswith("svg")
    assert "currentColor" in svg
    assert INK not in svg
    assert "script" not in svg
    assert "<!--" not in svg


def test_a_figure_can_be_written_as_png_and_svg_in_any_order() -> None:
    figure = histogram_figure([0.1, 0.2], label="mean IoU")
    first = to_png(figure)
    to_svg(figure)
    assert to_png(figure) == first
    assert Image.open(io.BytesIO(first)).convert("RGB").getpixel((0, 0)) == (255, 255, 255)


def test_undefined_scores_are_left_out_of_the_histogram() -> None:
    figure = histogram_figure([0.02, float("nan"), 0.97, 1.0], label="mean IoU")
    heights = [bar.get_height() for bar in figure.axes[0].patches]
    assert len(heights) == 20
    assert (heights[0], heights[19], sum(heights)) == (1, 2, 3)


def test_drawing_leaves_pyplot_unloaded() -> None:
    code = (
        "import sys; from fullconv.evaluation.figures import *; to_png(histogram_figure([0.5], label='x')); "
        "sys.exit('matplotlib.pyplot' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
