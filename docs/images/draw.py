"""Draw the pictures of docs/explanation/geometry.md.

Run: python docs/images/draw.py
"""

from __future__ import annotations

from itertools import product
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from fullconv.data.scenes import generate_scene
from fullconv.geometry.geometry import geometry_of
from fullconv.networks.catalogue import build_network
from fullconv.networks.score_grid import CellScores

HERE = Path(__file__).parent
INK, FIRST, SECOND = "#444444", "#d1495b", "#00798c"


def windows(photo: np.ndarray) -> Figure:
    """A sliding window, and the grid of scores that it makes."""
    figure = Figure(figsize=(10, 3.6), layout="constrained")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2, width_ratios=(3, 1))
    left.imshow(photo)
    for row, column in product(range(3), range(5)):
        corner = (32 * column + 1, 32 * row + 1)
        chosen = {(0, 0): FIRST, (2, 4): SECOND}.get((row, column))
        left.add_patch(
            Rectangle(corner, 96, 96, fill=False, edgecolor=chosen or "white", linewidth=2.5 if chosen else 0.6)
        )
    left.set_title("fifteen windows of 96 pixels, 32 apart, share nearly all of what they compute", fontsize=9)
    right.imshow(np.full((3, 5, 3), 0.93))
    for row, column in product(range(3), range(5)):
        color = {(0, 0): FIRST, (2, 4): SECOND}.get((row, column), "white")
        right.add_patch(Rectangle((column - 0.5, row - 0.5), 1, 1, facecolor=color, edgecolor=INK, linewidth=0.6))
    right.set_xlim(-0.6, 4.6)
    right.set_ylim(2.6, -0.6)
    right.set_title("one dense pass: a score per window", fontsize=9)
    for axes in (left, right):
        axes.set_axis_off()
    return figure


def phases(name: str, first: int = 320, count: int = 64) -> Figure:
    """What each pixel of a row reads, and each cell of the score grid before it."""
    net = build_network(name, classes=2).eval()
    pixels, cells = (geometry_of(part).output for part in (net, CellScores(net)))
    assert pixels is not None
    assert cells is not None
    figure = Figure(figsize=(10, 4.2), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    places = np.arange(first, first + count)
    extents = np.array([pixels.cols.extent(int(place)) for place in places])
    axes.vlines(places, extents[:, 0], extents[:, 1], color=SECOND, linewidth=3, alpha=0.35, label="read by a pixel")
    axes.plot(places, places, color=INK, linewidth=1, label="the pixel itself")
    stride = int(cells.cols.stride)
    grid = [
        cell
        for cell in range(2 * first // stride)
        if first <= cells.cols.stride * cell + cells.cols.center < first + count
    ]
    at = [float(cells.cols.stride * cell + cells.cols.center) for cell in grid]
    fields = np.array([cells.cols.extent(cell) for cell in grid])
    axes.vlines(
        at, fields[:, 0], fields[:, 1], color=FIRST, linewidth=1.4, label=f"read by a cell (every {stride} pixels)"
    )
    axes.set_xlabel("pixel of the result")
    axes.set_ylabel("pixels of the image")
    axes.set_title(f"{name}: a pixel reads the cells around it, so the field steps with its phase", fontsize=9)
    axes.set_ylim(extents.min() - 20, extents.max() + 90)
    axes.legend(frameon=False, fontsize=8, loc="upper left")
    axes.spines[["top", "right"]].set_visible(False)
    return figure


def main() -> None:
    """Write the pictures beside this file."""
    photo, _ = generate_scene(5, 3, size=(226, 162))
    for name, figure in (("windows", windows(np.asarray(photo))), ("phases", phases("fcn32s-compact"))):
        figure.savefig(HERE / f"{name}.png", dpi=110)


if __name__ == "__main__":
    main()
