"""What the page of a report shows: rows of its tables and pictures of its galleries, from scores and results."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from fullconv.data.classes import ClassTable
from fullconv.evaluation.gallery import ImageResult, longest_side, pictures_of, split_results
from fullconv.evaluation.scores import Scores

if TYPE_CHECKING:
    from fullconv.data.statistics import Statistics

_LISTED_IMAGES = 300
_LISTED_CONFUSIONS = 12


@dataclass(frozen=True)
class HeadScores:
    """One of several sets of classes that a network was scored on.

    Args:
        name: of the head.
        scores: of the whole split.
        classes: names and colours, in the order of the scores.
        image_scores: one mapping per image of the split: `key`, `pixel_accuracy`, `mean_iou`.
    """

    name: str
    scores: Scores
    classes: ClassTable
    image_scores: Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Baseline:
    """The scores of always saying the commonest class."""

    name: str
    scores: Scores


def commonest_scores(scores: Scores) -> Baseline:
    """What always saying the commonest class of this truth scores: the least that a network must pass.

    >>> commonest_scores(Scores.from_confusion([[3, 3], [0, 4]], ["road", "sky"])).scores.pixel_accuracy
    0.6
    """
    commonest = int(scores.true_pixels.argmax())
    counts = np.zeros_like(scores.confusion)
    counts[:, commonest] = scores.true_pixels
    return Baseline(scores.names[commonest], Scores.from_confusion(counts, scores.names))


def class_rows(scores: Scores, classes: ClassTable) -> list[dict[str, Any]]:
    columns = zip(
        classes.classes, scores.iou, scores.accuracy, scores.precision, scores.dice, scores.shares, strict=True
    )
    return [
        {
            "name": entry.name,
            "color": css(entry.color),
            "iou": iou,
            "width": 0.0 if math.isnan(iou) else round(100 * float(iou), 1),
            "accuracy": accuracy,
            "precision": precision,
            "dice": dice,
            "share": share,
        }
        for entry, iou, accuracy, precision, dice, share in columns
    ]


def largest_confusions(scores: Scores) -> list[dict[str, Any]]:
    """Pairs of classes by how many pixels of the first were taken for the second."""
    wrong = scores.confusion.copy()
    np.fill_diagonal(wrong, 0)
    order = wrong.ravel().argsort(kind="stable")[::-1][:_LISTED_CONFUSIONS]
    pairs = (divmod(int(position), len(scores.names)) for position in order)
    return [
        {
            "truth": scores.names[true],
            "prediction": scores.names[predicted],
            "of_class": wrong[true, predicted] / scores.true_pixels[true],
            "of_errors": wrong[true, predicted] / wrong.sum(),
        }
        for true, predicted in pairs
        if wrong[true, predicted]
    ]


def galleries(results: Sequence[ImageResult], classes: ClassTable) -> list[dict[str, Any]]:
    longest = longest_side(len(results))
    worst, best = split_results(results)
    return [
        {
            "title": heading,
            "results": [{"result": result, "pictures": pictures_of(result, classes, longest)} for result in chosen],
        }
        for heading, chosen in (("Worst images", worst), ("Best images", best))
        if chosen
    ]


def listed_images(image_scores: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Worst first, as many as a page bears; undefined ones last."""
    return sorted(
        image_scores,
        key=lambda entry: (math.isnan(defined(entry["mean_iou"])), defined(entry["mean_iou"]), str(entry["key"])),
    )[:_LISTED_IMAGES]


def dataset_facts(statistics: Statistics, classes: ClassTable) -> dict[str, Any]:
    totals = {name: sum(split.pixels.values()) for name, split in statistics.splits.items()}
    return {
        "splits": [
            {
                "name": name,
                "images": split.images,
                "pixels": totals[name] + split.ignored_pixels,
                "ignored": split.ignored_pixels / max(1, totals[name] + split.ignored_pixels),
            }
            for name, split in statistics.splits.items()
        ],
        "classes": [
            {
                "name": entry.name,
                "color": css(entry.color),
                "splits": [
                    {
                        "share": split.pixels.get(entry.name, 0) / max(1, totals[name]),
                        "images": split.images_with.get(entry.name, 0),
                    }
                    for name, split in statistics.splits.items()
                ],
            }
            for entry in classes.classes
        ],
        "sizes": statistics.sizes[:6],
        "other_sizes": max(0, len(statistics.sizes) - 6),
        "ceiling": sorted(statistics.stride_ceiling.items(), reverse=True),
        "commonest": statistics.commonest,
    }


def css(color: Sequence[int]) -> str:
    """A colour as style sheets write it."""
    return "#{:02x}{:02x}{:02x}".format(*color)


def defined(value: float | None) -> float:
    """NaN for None."""
    return float("nan") if value is None else float(value)
