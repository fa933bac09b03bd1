"""Figures of an evaluation, drawn by matplotlib without its global state: as PNG files and as SVG inside a page."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from fullconv.evaluation.scores import Scores

INK = "#1f2429"
"""Colour of text and axes; in a page it becomes the colour of the text around the figure."""
TRAIN, VALIDATION, BASELINE = "#d9730d", "#2f7ed8", "#8a8f98"

_NUMBERS_UP_TO = 45
_NAMES_UP_TO = 150
_LONGEST_NAME = 24


def confusion_figure(scores: Scores) -> Figure:
    """The confusion matrix, each row as shares of its true class; the colour scale widens small shares.

    Up to 45 classes each cell bears its percentage, up to 150 each row and column its name. Rows of classes that do not
    occur are grey.

    >>> confusion_figure(Scores.from_confusion([[3, 1], [0, 4]], ["road", "sky"])).axes[0].get_ylabel()
    'truth'
    """
    count = len(scores.names)
    shares = np.full((count, count), np.nan)
    np.divide(scores.confusion, scores.true_pixels[:, None], out=shares, where=scores.true_pixels[:, None] > 0)
    cell = 0.42 if count <= 15 else 0.36 if count <= 25 else 0.26 if count <= _NUMBERS_UP_TO else 12 / count
    letters = 9 if count <= 25 else 8 if count <= _NUMBERS_UP_TO or count > _NAMES_UP_TO else max(4.5, 60 * cell)
    side = count * cell + 1.9
    figure = Figure(figsize=(side + (0.7 if count > _NUMBERS_UP_TO else 0.0), side), layout="constrained")
    axes = figure.add_subplot()
    colors = colormaps["Blues"].with_extremes(bad="#c8ccd1")
    mesh = axes.pcolormesh(
        np.ma.masked_invalid(shares),
        cmap=colors,
        norm=PowerNorm(0.5, vmin=0, vmax=1),
        edgecolors="white",
        linewidth=0.6 if count <= _NUMBERS_UP_TO else 0,
        rasterized=count > _NUMBERS_UP_TO,
    )
    axes.set_facecolor("none")
    axes.set(xlim=(0, count), ylim=(count, 0), aspect="equal")
    step = 1 if count <= _NAMES_UP_TO else -(-count // 50)
    places = np.arange(0, count, step)
    names = [_short(scores.names[place]) for place in places]
    style: dict[str, Any] = {"fontsize": letters, "color": INK, "parse_math": False}
    axes.xaxis.tick_top()
    axes.xaxis.set_label_position("top")
    axes.set_xticks(places + 0.5, names, rotation=90, **style)
    axes.set_yticks(places + 0.5, names, **style)
    axes.tick_params(length=0, colors=INK)
    axes.set_xlabel("prediction", color=INK)
    axes.set_ylabel("truth", color=INK)
    for spine in axes.spines.values():
        spine.set_visible(False)
    if count <= _NUMBERS_UP_TO:
        _write_percentages(axes, shares)
    else:
        bar = figure.colorbar(mesh, ax=axes, shrink=0.6, ticks=[0, 0.01, 0.1, 0.25, 0.5, 1.0])
        bar.ax.set_yticklabels(["0", "1 %", "10 %", "25 %", "50 %", "100 %"], color=INK)
    return figure


def _write_percentages(axes: Axes, shares: npt.NDArray[np.float64]) -> None:
    small = 8 if len(shares) <= 25 else 7
    for row, column in np.argwhere(shares >= 0.005):
        share = shares[row, column]
        axes.text(
            column + 0.5,
            row + 0.52,
            f"{100 * share:.0f}",
            ha="center",
            va="center",
            fontsize=small,
            color="#ffffff" if share > 0.35 else "#101418",
            fontweight="bold" if row == column else "normal",
        )


def histogram_figure(values: Sequence[float], *, label: str) -> Figure:
    """How many images score what, in 20 steps from 0 to 1; undefined scores are left out.

    >>> histogram_figure([0.5, 0.7, float("nan")], label="mean IoU").axes[0].get_xlabel()
    'mean IoU'
    """
    figure, axes = plain_axes()
    known = np.asarray(values, dtype=np.float64)
    known = known[np.isfinite(known)]
    axes.hist(known, bins=20, range=(0, 1), color=VALIDATION)
    axes.set_xlabel(label, color=INK)
    axes.set_ylabel("images", color=INK)
    axes.yaxis.set_major_locator(MaxNLocator(5, integer=True))
    return figure


def plain_axes() -> tuple[Figure, Axes]:
    """A figure of the size of a chart in the report, with quiet axes."""
    figure = Figure(figsize=(5.2, 3.2), layout="constrained")
    axes = figure.add_subplot()
    axes.set_facecolor("none")
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(INK)
    axes.tick_params(colors=INK)
    axes.grid(axis="y", color=BASELINE, alpha=0.25, linewidth=0.8)
    axes.set_axisbelow(True)
    return figure, axes


def to_png(figure: Figure, *, dpi: int = 150) -> bytes:
    """The figure as PNG on white."""
    return _printed(figure, FigureCanvasAgg(figure).print_png, dpi=dpi, facecolor="white")


def to_svg(figure: Figure) -> str:
    """The figure as an SVG element without background, its ink in the colour of the surrounding text.

    >>> figure, axes = plain_axes()
    >>> to_svg(figure)[:4], INK in to_svg(figure)
    ('<svg', False)
    """
    nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    text = _printed(figure, FigureCanvasSVG(figure).print_svg, dpi=150, facecolor="none", metadata=nothing).decode()
    text = re.sub(r"<!--.*?-->", "", text[text.index("<svg") :], flags=re.DOTALL)
    return re.sub(r"\s*\n\s*", "\n", text).replace(INK, "currentColor")


def _printed(figure: Figure, write: Any, *, dpi: int, facecolor: str, **options: Any) -> bytes:
    stream = io.BytesIO()
    figure.set_dpi(dpi)
    figure.patch.set_facecolor(facecolor)
    with warnings.catch_warnings():
        # A class name in a script that the font lacks shows as boxes here; the tables show it right.
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        write(stream, **options)
    return stream.getvalue()


def _short(name: str) -> str:
    return name if len(name) <= _LONGEST_NAME else name[: _LONGEST_NAME - 1] + "…"
