"""The scores of a segmentation, all from one confusion matrix over the whole set."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.table import Table

from fullconv.errors import DataError

Values = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Scores:
    """The four scores of the FCN paper and their parts per class.

    With n_ij pixels of class i predicted as j and t_i = Σ_j n_ij: pixel accuracy Σ n_ii / Σ t_i; mean accuracy, the
    mean of n_ii / t_i; mean IoU, the mean of n_ii / (t_i + Σ_j n_ji − n_ii); frequency-weighted IoU Σ t_i·IoU_i / Σ
    t_i. A mean skips the classes whose denominator is 0; a class that was predicted but never occurs counts as 0 in the
    mean IoU. Per class, what has no denominator is NaN. (Long, Shelhamer, Darrell 2015, section 5.)

    Args:
        names: class names.
        confusion: (classes, classes) int64 counts, row = truth, column = prediction.

    >>> scores = Scores.from_confusion([[3, 1, 0], [1, 5, 0], [0, 0, 0]], ["road", "sky", "car"])
    >>> scores.pixel_accuracy, scores.mean_accuracy
    (0.8, 0.7916666666666667)
    >>> scores.iou.round(3)
    array([0.6  , 0.714,   nan])
    >>> round(scores.mean_iou, 3), round(scores.frequency_weighted_iou, 3)
    (0.657, 0.669)
    """

    names: tuple[str, ...]
    confusion: npt.NDArray[np.int64]

    @classmethod
    def from_confusion(cls, matrix: Any, names: Sequence[str]) -> Scores:
        """Scores of a confusion matrix (nested lists, array or tensor).

        Raises:
            DataError: the matrix is not square, not of one row per name, or holds negative counts.
        """
        counts = np.array(matrix.cpu().numpy() if hasattr(matrix, "cpu") else matrix)
        if counts.shape != (len(names), len(names)):
            raise DataError(
                f"a confusion matrix of shape {counts.shape} does not fit {len(names)} class names",
                remedy="give one row, one column and one name per class",
            )
        if counts.size and counts.min() < 0:
            raise DataError("a confusion matrix holds negative counts", remedy="give counts of pixels")
        counts = counts.astype(np.int64)
        counts.setflags(write=False)
        return cls(names=tuple(names), confusion=counts)

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Scores:
        """The inverse of `as_dict`: everything is computed again from the confusion matrix."""
        return cls.from_confusion(content["confusion"], [entry["name"] for entry in content["per_class"]])

    @cached_property
    def true_pixels(self) -> npt.NDArray[np.int64]:
        """(classes,) how many pixels bear the class in the truth: t_i."""
        return np.asarray(self.confusion.sum(axis=1))

    @cached_property
    def predicted_pixels(self) -> npt.NDArray[np.int64]:
        """(classes,) how many counted pixels were predicted as the class."""
        return np.asarray(self.confusion.sum(axis=0))

    @cached_property
    def correct_pixels(self) -> npt.NDArray[np.int64]:
        """(classes,) how many pixels of the class were found: n_ii."""
        return self.confusion.diagonal()

    @property
    def pixels(self) -> int:
        """How many pixels were counted."""
        return int(self.confusion.sum())

    @cached_property
    def shares(self) -> Values:
        """(classes,) share of the counted pixels that bear the class in the truth."""
        return _ratio(self.true_pixels, np.full(len(self.names), self.pixels))

    @cached_property
    def iou(self) -> Values:
        """(classes,) intersection over union; NaN for a class that neither occurs nor is predicted."""
        return _ratio(self.correct_pixels, self.true_pixels + self.predicted_pixels - self.correct_pixels)

    @cached_property
    def accuracy(self) -> Values:
        """(classes,) share of the class's pixels that were found (recall); NaN for a class that does not occur."""
        return _ratio(self.correct_pixels, self.true_pixels)

    @cached_property
    def precision(self) -> Values:
        """(classes,) share of the pixels predicted as the class that bear it; NaN for a class never predicted."""
        return _ratio(self.correct_pixels, self.predicted_pixels)

    @cached_property
    def dice(self) -> Values:
        """(classes,) 2·n_ii / (t_i + Σ_j n_ji); NaN for a class that neither occurs nor is predicted."""
        return _ratio(2 * self.correct_pixels, self.true_pixels + self.predicted_pixels)

    @property
    def pixel_accuracy(self) -> float:
        return int(self.correct_pixels.sum()) / self.pixels if self.pixels else float("nan")

    @property
    def mean_accuracy(self) -> float:
        return _mean(self.accuracy)

    @property
    def mean_iou(self) -> float:
        return _mean(self.iou)

    @property
    def mean_dice(self) -> float:
        return _mean(self.dice)

    @property
    def frequency_weighted_iou(self) -> float:
        return float(np.nansum(self.shares * self.iou)) if self.pixels else float("nan")

    def as_dict(self) -> dict[str, Any]:
        """Plain numbers for JSON; what is not defined is None.

        >>> Scores.from_confusion([[4, 1], [0, 5]], ["a", "b"]).as_dict()["pixel_accuracy"]
        0.9
        """
        rows = zip(self.names, self.iou, self.accuracy, self.precision, self.dice, self.shares, strict=True)
        return {
            "pixel_accuracy": _number(self.pixel_accuracy),
            "mean_accuracy": _number(self.mean_accuracy),
            "mean_iou": _number(self.mean_iou),
            "frequency_weighted_iou": _number(self.frequency_weighted_iou),
            "mean_dice": _number(self.mean_dice),
            "pixels": self.pixels,
            "per_class": [
                {
                    "name": name,
                    "iou": _number(iou),
                    "accuracy": _number(accuracy),
                    "precision": _number(precision),
                    "dice": _number(dice),
                    "share": _number(share),
                }
                for name, iou, accuracy, precision, dice, share in rows
            ],
            "confusion": self.confusion.tolist(),
        }

    def table(self) -> Table:
        """A rich table: one row per class, the means below."""
        table = Table(show_footer=True)
        table.add_column("class", "mean")
        table.add_column("IoU", percent(self.mean_iou), justify="right")
        table.add_column("accuracy", percent(self.mean_accuracy), justify="right")
        table.add_column("precision", percent(_mean(self.precision)), justify="right")
        table.add_column("Dice", percent(self.mean_dice), justify="right")
        table.add_column("share", justify="right")
        rows = zip(self.names, self.iou, self.accuracy, self.precision, self.dice, self.shares, strict=True)
        for name, *values in rows:
            table.add_row(name.replace("[", r"\["), *(percent(value) for value in values))
        table.caption = (
            f"pixel accuracy {percent(self.pixel_accuracy)} · mean accuracy {percent(self.mean_accuracy)} · "
            f"mean IoU {percent(self.mean_iou)} · frequency-weighted IoU {percent(self.frequency_weighted_iou)}"
        )
        return table

    def __str__(self) -> str:
        stream = io.StringIO()
        Console(file=stream, width=100, no_color=True).print(self.table())
        return stream.getvalue()

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Scores):
            return NotImplemented
        return self.names == other.names and np.array_equal(self.confusion, other.confusion)

    __hash__ = None  # type: ignore[assignment]


def percent(value: float) -> str:
    """A share as people read it; a dash where it is not defined.

    >>> percent(0.5943), percent(float("nan"))
    ('59.4 %', '–')
    """
    return "–" if np.isnan(value) else f"{100 * value:.1f} %"


def _ratio(part: npt.NDArray[np.int64], whole: npt.NDArray[np.int64]) -> Values:
    result = np.full(part.shape, np.nan)
    np.divide(part, whole, out=result, where=whole > 0)
    return result


def _mean(values: Values) -> float:
    defined = values[~np.isnan(values)]
    return float(defined.mean()) if defined.size else float("nan")


def _number(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
