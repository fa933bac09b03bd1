"""The learning rate of a plan over its run, as points, as a figure, and as lines of text."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from fullconv.evaluation.figures import INK, TRAIN, plain_axes
from fullconv.training.settings.optimization import Optimization
from fullconv.training.settings.policies import rate_at

Point = tuple[int, float]
"""Step and learning rate."""

MOST_POINTS = 500


def rate_curve(optimization: Optimization, steps: int, *, points: int = MOST_POINTS) -> list[Point]:
    """The rate of parameters that start from nothing, from the first step to the last.

    Args:
        optimization: of a plan; what is open in it is decided as for a run.
        steps: of the optimiser in the whole run.
        points: at most, evenly spaced.

    >>> rate_curve(Optimization(optimizer="sgd", policy="poly"), 4)
    [(0, 0.05), (1, 0.0385944...), (2, 0.0267943...), (3, 0.0143587...)]
    """
    plan = optimization.decided()
    assert plan.learning_rate is not None
    places = np.unique(np.linspace(0, steps - 1, min(points, steps)).round().astype(int))
    return [
        (int(step), plan.learning_rate * rate_at(plan.policy, int(step), steps, plan.warmup or 0.0)) for step in places
    ]


def rate_figure(curve: Sequence[Point]) -> Figure:
    """The curve, drawn like those of a report.

    Args:
        curve: from `rate_curve`.

    >>> rate_figure([(0, 0.1), (1, 0.05)]).axes[0].get_xlabel()
    'step'
    """
    figure, axes = plain_axes()
    steps, rates = zip(*curve, strict=True)
    axes.plot(steps, rates, color=TRAIN, linewidth=1.8, marker="o" if len(curve) <= 2 else None, markersize=4)
    axes.set_ylim(bottom=0)
    axes.set_xlabel("step", color=INK)
    axes.set_title("learning rate", color=INK, fontsize=11, loc="left")
    return figure


def rate_text(curve: Sequence[Point], *, width: int = 60, height: int = 10) -> str:
    """The curve in characters, for a terminal.

    Args:
        curve: from `rate_curve`.
        width, height: characters of the plot itself.

    >>> print(rate_text([(step, 0.1 - 0.01 * step) for step in range(10)], width=10, height=4))
    0.1000 ┤●●
           ┤  ●●●
           ┤     ●●●
    0.0100 ┤        ●●
           └──────────
            0        9
    """
    steps, rates = (np.array(values, dtype=float) for values in zip(*curve, strict=True))
    columns = np.interp(np.linspace(steps[0], steps[-1], width), steps, rates)
    span = float(rates.max() - rates.min())
    share = (columns - rates.min()) / span if span > 0 else np.ones(width)
    rows = ((1 - share) * (height - 1)).round().astype(int)
    labels = {0: f"{rates.max():.3g}", height - 1: f"{rates.min():.3g}"} if span > 0 else {0: f"{rates.max():.3g}"}
    if min(rates) >= 1e-3 and max(rates) < 10:
        labels = {row: f"{float(text):.4f}" for row, text in labels.items()}
    margin = max(map(len, labels.values()))
    lines = [
        f"{labels.get(row, ''):>{margin}} ┤"
        + "".join(_mark(row, *places) for places in zip([rows[0], *rows], rows, strict=False))
        for row in range(height)
    ]
    first, last = str(curve[0][0]), str(curve[-1][0])
    lines.append(" " * (margin + 1) + "└" + "─" * width)
    lines.append(" " * (margin + 2) + first + last.rjust(width - len(first)))
    return "\n".join(line.rstrip() for line in lines)


def _mark(row: int, before: int, here: int) -> str:
    """A point, or the way to it from the column before."""
    return "●" if row == here else "│" if min(before, here) < row < max(before, here) else " "
