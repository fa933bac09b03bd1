"""The curves of a training run, read from its metrics.csv."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure

from fullconv.evaluation.figures import BASELINE, INK, TRAIN, VALIDATION, plain_axes
from fullconv.evaluation.metrics_table import read_rows

Series = tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]
"""Steps and values, (n,) each."""

CURVES = {
    "loss": "loss",
    "learning_rate": "learning rate",
    "pixel_accuracy": "pixel accuracy",
    "mean_iou": "mean IoU",
}
"""Column of metrics.csv → what the figure calls it."""

_SPLITS = {"train": ("training", TRAIN), "val": ("validation", VALIDATION)}
_SMOOTHED_FROM = 100
_LOG_FROM = 50.0


def read_metrics(path: Path) -> dict[tuple[str, str], Series]:
    """The numbers of a metrics.csv by column and split.

    Cells that are empty, no number or not finite are left out, and so is a last line that was cut off while it was
    written.

    Args:
        path: the file; columns `step` and `split` ("train" or "val") and any others.

    Returns:
        (column, split) → steps and values in the order of the file; pairs without a value are missing.

    Raises:
        DataError: the file cannot be read or has no column `step` or `split`.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = (Path(folder) / "metrics.csv").write_text("step,split,loss\\n1,train,2.5\\n2,train,\\n2,val,2.0\\n")
    ...     read_metrics(Path(folder) / "metrics.csv")
    {('loss', 'train'): (array([1.]), array([2.5])), ('loss', 'val'): (array([2.]), array([2.]))}
    """
    points: dict[tuple[str, str], list[tuple[float, float]]] = {}
    for row in read_rows(path):
        step = _number(row["step"])
        for column, cell in row.items():
            value = _number(cell)
            if column not in ("step", "split") and step is not None and value is not None:
                points.setdefault((column, row["split"]), []).append((step, value))
    return {key: (np.array(pairs)[:, 0], np.array(pairs)[:, 1]) for key, pairs in points.items()}


def curve_figures(
    metrics: Mapping[tuple[str, str], Series],
    *,
    nothing_learnt: float | None = None,
    baselines: Mapping[str, float] | None = None,
    commonest: str = "commonest class",
) -> dict[str, Figure]:
    """Loss, learning rate, pixel accuracy and mean IoU over the steps, training beside validation.

    Args:
        metrics: from `read_metrics`.
        nothing_learnt: draws this loss, that of equal scores for all classes.
        baselines: "pixel_accuracy" and "mean_iou" of always saying the commonest class.
        commonest: what that line is called.

    Returns:
        Column → figure, for the columns that hold numbers.

    >>> steps = np.arange(3.0)
    >>> list(curve_figures({("loss", "train"): (steps, 1 / (1 + steps)), ("seconds", "train"): (steps, steps)}))
    ['loss']
    """
    figures = {}
    for column, title in CURVES.items():
        present = {split: metrics[column, split] for split in _SPLITS if (column, split) in metrics}
        if not present:
            continue
        level = (baselines or {}).get(column)
        line = None if level is None else (level, f"{commonest} alone")
        if column == "loss" and nothing_learnt:
            line = (nothing_learnt, f"nothing learnt: {nothing_learnt:.2f}")
        figures[column] = _curve(column, title, present, line)
    return figures


def _curve(column: str, title: str, present: Mapping[str, Series], line: tuple[float, str] | None) -> Figure:
    figure, axes = plain_axes()
    for split, (steps, values) in present.items():
        name, color = _SPLITS[split]
        if len(values) >= _SMOOTHED_FROM and column != "learning_rate":
            axes.plot(steps, values, color=color, linewidth=0.8, alpha=0.3)
            steps, values = _smoothed(steps, values)
        few = len(values) <= 2
        axes.plot(steps, values, color=color, linewidth=1.8, marker="o" if few else None, markersize=4, label=name)
    if column in ("pixel_accuracy", "mean_iou"):
        axes.set_ylim(0, 1)
    elif column == "loss":
        every = np.concatenate([values for _, values in present.values()])
        if every.min() > 0 and every.max() > _LOG_FROM * every.min():
            axes.set_yscale("log")
    else:
        axes.set_ylim(bottom=0)
    if line is not None:
        axes.axhline(line[0], color=BASELINE, linestyle="--", linewidth=1.2, label=line[1])
    axes.set_xlabel("step", color=INK)
    axes.set_title(title, color=INK, fontsize=11, loc="left")
    if column != "learning_rate":
        legend = axes.legend(frameon=False, labelcolor=INK, fontsize=9)
        for text in legend.get_texts():
            text.set_parse_math(False)
    return figure


def _smoothed(steps: npt.NDArray[np.float64], values: npt.NDArray[np.float64]) -> Series:
    """Running mean over a fiftieth of the points."""
    window = max(2, len(values) // 50)
    kernel = np.full(window, 1 / window)
    return np.convolve(steps, kernel, "valid"), np.convolve(values, kernel, "valid")


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None
