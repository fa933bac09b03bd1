"""The report of an evaluation: scores.json for programs, figures, and one self-contained page for people."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from matplotlib.figure import Figure

from fullconv.data.classes import ClassTable
from fullconv.data.pictures import RIGHT, UNDEFINED, WRONG
from fullconv.errors import DataError
from fullconv.evaluation.curves import curve_figures, read_metrics
from fullconv.evaluation.figures import confusion_figure, histogram_figure, to_png, to_svg
from fullconv.evaluation.gallery import ImageResult, longest_side, pictures_of, split_results
from fullconv.evaluation.scores import Scores, percent
from fullconv.files import write_atomically

if TYPE_CHECKING:
    from fullconv.data.statistics import Statistics

__all__ = ["ImageResult", "write_report"]

_LISTED_IMAGES = 300
_LISTED_CONFUSIONS = 12
_FIGURES = ("confusion", "image_scores", "loss", "learning_rate", "pixel_accuracy", "mean_iou")


def write_report(
    directory: Path,
    *,
    title: str,
    scores: Scores,
    classes: ClassTable,
    split: str,
    results: Sequence[ImageResult],
    image_scores: Sequence[Mapping[str, Any]],
    metrics_csv: Path | None,
    facts: Mapping[str, str],
    statistics: Statistics | None,
    evaluated: str,
    warnings: Sequence[str] = (),
) -> Path:
    """Write scores.json, report.html and figures/*.png; what an earlier evaluation left there is replaced.

    Args:
        directory: made if missing.
        title: heading of the page.
        scores: of the whole split.
        classes: names and colours, in the order of the scores.
        split: which part of the dataset was evaluated.
        results: worst and best images, already chosen (`gallery.worst_and_best`), in any order.
        image_scores: one mapping per image of the split: `key`, `pixel_accuracy`, `mean_iou`, more as wished.
        metrics_csv: the training run's curves; left out where None or not there.
        facts: label → text: network, data, training, hardware, versions.
        statistics: of the dataset.
        evaluated: when, as people read it.
        warnings: said during the training.

    Returns:
        The path of report.html. It is one file that loads nothing from elsewhere.

    Raises:
        DataError: scores and classes differ, or metrics_csv is no metrics file.
        StorageError: the disk is full or the folder cannot be written.
    """
    if scores.names != classes.names:
        raise DataError("the scores are of other classes than the class table", remedy="give the table of the dataset")
    baseline = commonest_scores(scores)
    content = {
        "format": 1,
        "title": title,
        "split": split,
        "evaluated": evaluated,
        "scores": scores.as_dict(),
        "commonest": {
            "name": baseline.name,
            "pixel_accuracy": baseline.scores.pixel_accuracy,
            "mean_iou": baseline.scores.mean_iou,
        },
        "images": list(image_scores),
        "facts": dict(facts),
        "warnings": list(warnings),
    }
    figures: dict[str, Figure] = {"confusion": confusion_figure(scores)}
    if image_scores:
        figures["image_scores"] = histogram_figure(
            [_defined(entry["mean_iou"]) for entry in image_scores], label="mean IoU of the image"
        )
    curves: dict[str, Figure] = {}
    if metrics_csv is not None and metrics_csv.is_file():
        curves = curve_figures(read_metrics(metrics_csv), classes=len(classes), **curve_baselines(statistics))
    page = _page(
        title=title,
        split=split,
        evaluated=evaluated,
        scores=scores,
        baseline=baseline,
        class_rows=_class_rows(scores, classes),
        confusions=_largest_confusions(scores),
        figures={name: Markup(to_svg(figure)) for name, figure in (figures | curves).items()},
        curves=list(curves),
        warnings=warnings,
        confusion_width=figures["confusion"].get_figwidth(),
        galleries=_galleries(results, classes),
        images=_listed_images(image_scores),
        image_count=len(image_scores),
        facts=facts,
        dataset=None if statistics is None else _dataset(statistics, classes),
    )
    write_atomically(directory / "scores.json", json.dumps(_plain(content), ensure_ascii=False, indent=1) + "\n")
    for name in _FIGURES:
        file = directory / "figures" / f"{name}.png"
        if name in figures | curves:
            write_atomically(file, to_png((figures | curves)[name]))
        else:
            file.unlink(missing_ok=True)
    write_atomically(directory / "report.html", page)
    return directory / "report.html"


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


def _page(**content: Any) -> str:
    folder = Path(__file__).parent
    environment = Environment(
        loader=FileSystemLoader(folder),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["percent"] = lambda value: percent(_defined(value))
    style = Markup((folder / "report.css").read_text(encoding="utf-8"))
    return environment.get_template("report.html").render(
        style=style, right=_css(RIGHT), wrong=_css(WRONG), undefined_color=_css(UNDEFINED), **content
    )


def _class_rows(scores: Scores, classes: ClassTable) -> list[dict[str, Any]]:
    columns = zip(
        classes.classes, scores.iou, scores.accuracy, scores.precision, scores.dice, scores.shares, strict=True
    )
    return [
        {
            "name": entry.name,
            "color": _css(entry.color),
            "iou": iou,
            "width": 0.0 if math.isnan(iou) else round(100 * float(iou), 1),
            "accuracy": accuracy,
            "precision": precision,
            "dice": dice,
            "share": share,
        }
        for entry, iou, accuracy, precision, dice, share in columns
    ]


def _largest_confusions(scores: Scores) -> list[dict[str, Any]]:
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


def _galleries(results: Sequence[ImageResult], classes: ClassTable) -> list[dict[str, Any]]:
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


def _listed_images(image_scores: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Worst first, as many as a page bears; undefined ones last."""
    return sorted(
        image_scores,
        key=lambda entry: (math.isnan(_defined(entry["mean_iou"])), _defined(entry["mean_iou"]), str(entry["key"])),
    )[:_LISTED_IMAGES]


def _dataset(statistics: Statistics, classes: ClassTable) -> dict[str, Any]:
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
                "color": _css(entry.color),
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


def curve_baselines(statistics: Statistics | None) -> dict[str, Any]:
    """What always saying the commonest class scores on the validation images, where its pixels are known.

    Args:
        statistics: of the dataset.

    Returns:
        `baselines`, with pixel_accuracy and mean_iou, and `commonest`, the name; nothing where nothing is known.
    """
    if statistics is None or statistics.commonest is None:
        return {}
    commonest = statistics.commonest
    validation = statistics.splits.get("val")
    if validation is not None and any(validation.pixels.values()):
        found = commonest_scores(
            Scores.from_confusion(np.diag(list(validation.pixels.values())), list(validation.pixels))
        )
        levels = {"pixel_accuracy": found.scores.pixel_accuracy, "mean_iou": found.scores.mean_iou}
        return {"baselines": levels, "commonest": found.name}
    levels = {"pixel_accuracy": commonest.pixel_accuracy, "mean_iou": commonest.mean_iou}
    return {"baselines": levels, "commonest": commonest.name}


def _css(color: Sequence[int]) -> str:
    return "#{:02x}{:02x}{:02x}".format(*color)


def _defined(value: float | None) -> float:
    return float("nan") if value is None else float(value)


def _plain(value: Any) -> Any:
    """What JSON can hold: undefined numbers become null, NumPy numbers plain ones."""
    if isinstance(value, Mapping):
        return {str(key): _plain(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(part) for part in value]
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value
