"""A comparison in numbers: for programs, and as a table for people."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from rich.table import Table

from fullconv.evaluation.scores import percent
from fullconv.prediction.comparing import Comparison, ImageRow

SCORES = (
    ("pixel_accuracy", "pixel accuracy"),
    ("mean_accuracy", "mean accuracy"),
    ("mean_iou", "mean IoU"),
    ("frequency_weighted_iou", "frequency-weighted IoU"),
)
"""The scores of the FCN paper, as `Scores` names them and as people do."""


@dataclass(frozen=True)
class ClassRow:
    """A class in a comparison.

    Args:
        name, color: of it.
        share: of the pixels that bear it in the truth; None without truth.
        shares: of the pixels that each model gives it.
        iou: of each model; NaN where it neither occurs nor is predicted; empty without truth.
        lacking: who does not have it: names of models, and "truth".
    """

    name: str
    color: tuple[int, int, int]
    share: float | None
    shares: tuple[float, ...]
    iou: tuple[float, ...]
    lacking: tuple[str, ...]

    @property
    def difference(self) -> float | None:
        """IoU of the last model less that of the first, or of the shares where there is no truth; None if undefined."""
        values = self.iou or self.shares
        difference = values[-1] - values[0]
        return None if math.isnan(difference) else difference


def class_rows(comparison: Comparison) -> list[ClassRow]:
    """The classes in their joint order."""
    scores = comparison.scores
    lacking = comparison.lacking
    return [
        ClassRow(
            name=entry.name,
            color=entry.color,
            share=float(np.nan_to_num(scores[0].shares[place])) if scores else None,
            shares=tuple(float(share) for share in comparison.shares[:, place]),
            iou=tuple(float(score.iou[place]) for score in scores),
            lacking=lacking.get(entry.name, ()),
        )
        for place, entry in enumerate(comparison.classes.table.classes)
    ]


def facts_of(comparison: Comparison, about: Mapping[str, Any], shown: Sequence[ImageRow] = ()) -> dict[str, Any]:
    """Everything as plain numbers for JSON; what is not defined is None.

    Args:
        about: what to put first: dataset, split and the like.
        shown: images that a picture shows.
    """
    pairs = [(first, second) for second in range(len(comparison.names)) for first in range(second)]
    return {
        "format": 1,
        **about,
        "images": len(comparison.rows),
        "models": [
            {"name": name, "scores": comparison.scores[place].as_dict() if comparison.with_truth else None}
            for place, name in enumerate(comparison.names)
        ],
        "disagreement": {
            "all": comparison.disagreement,
            "pairs": [
                {
                    "models": [comparison.names[first], comparison.names[second]],
                    "share": comparison.between(first, second),
                }
                for first, second in pairs
            ],
        },
        "classes": [
            {
                "name": row.name,
                "share": row.share,
                "predicted": list(row.shares),
                "iou": [number(value) for value in row.iou],
                "difference": row.difference,
                "lacking": list(row.lacking),
            }
            for row in class_rows(comparison)
        ],
        "per_image": [
            {
                "key": row.key,
                "disagreement": row.disagreement,
                "pixel_accuracy": [number(value) for value in row.pixel_accuracy],
                "mean_iou": [number(value) for value in row.mean_iou],
            }
            for row in comparison.rows
        ],
        "failed": [{"key": key, "reason": reason} for key, reason in comparison.failed],
        "shown": [row.key for row in shown],
    }


def table_of(comparison: Comparison) -> Table:
    """A rich table: the scores, then IoU per class; without truth the share that each model gives each class."""
    table = Table()
    table.add_column("score" if comparison.with_truth else "share of the pixels")
    for name in comparison.names:
        table.add_column(plain(name), justify="right")
    two = len(comparison.names) == 2
    if two:
        table.add_column("difference", justify="right")
    for field, name in SCORES if comparison.with_truth else ():
        values = [float(getattr(score, field)) for score in comparison.scores]
        table.add_row(name, *map(percent, values), *([signed(values[1] - values[0])] if two else []))
    if comparison.with_truth:
        table.add_section()
    for row in class_rows(comparison):
        said = [percent(value) for value in row.iou or row.shares]
        ending = f" (not in {', '.join(row.lacking)})" if row.lacking else ""
        table.add_row(plain(row.name + ending), *said, *([signed(row.difference)] if two else []))
    images = len(comparison.rows)
    table.caption = (
        f"{images} image{'s' if images != 1 else ''} · the models differ on {percent(comparison.disagreement)}"
    )
    table.caption += " of the pixels"
    return table


def signed(difference: float | None) -> str:
    """A difference of two shares as people read it.

    >>> signed(0.0312), signed(-0.2), signed(None)
    ('+3.1', '−20.0', '–')
    """
    if difference is None or math.isnan(difference):
        return "–"
    return f"{100 * difference:+.1f}".replace("-", "−")


def number(value: float) -> float | None:
    """A number for JSON: None where it is not defined."""
    return None if math.isnan(value) else float(value)


def plain(text: str) -> str:
    """Text that rich shows as it is.

    >>> plain("a[b]")
    'a\\\\[b]'
    """
    return text.replace("[", r"\[")
