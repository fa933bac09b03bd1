"""The course of a run in a few points, for a line as small as a word."""

from __future__ import annotations

from fullconv.workbench.services.runs import directory_of
from fullconv.workbench.workbench import Workbench

POINTS = 60


def sparkline(bench: Workbench, name: str, *, points: int = POINTS) -> list[float]:
    """Validation mean IoU of a run so far, thinned out to so many points; training loss before the second validation.

    Raises:
        NotThere: there is no such run.
    """
    feed = bench.feeds.of(directory_of(bench, name))
    feed.look()
    rows = feed.rows
    scores = [row["mean_iou"] for row in rows if row.get("split") == "val" and "mean_iou" in row]
    losses = [row["loss"] for row in rows if row.get("split") == "train" and "loss" in row]
    values = [float(value) for value in (scores if len(scores) > 1 else losses)]
    step = max(1, -(-len(values) // points))
    return [*values[::step], *([values[-1]] if values and (len(values) - 1) % step else [])]


def drawn(values: list[float], *, width: int = 120, height: int = 28) -> str:
    """The points of an SVG polyline; nothing for fewer than two.

    >>> drawn([0.0, 1.0], width=10, height=4)
    '0.0,3.0 10.0,1.0'
    """
    if len(values) < 2:
        return ""
    low, high = min(values), max(values)
    span = (high - low) or 1.0
    inner = height - 2
    across = width / (len(values) - 1)
    return " ".join(
        f"{index * across:.1f},{1 + inner * (1 - (value - low) / span):.1f}" for index, value in enumerate(values)
    )
