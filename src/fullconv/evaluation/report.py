"""The report of an evaluation: scores.json for programs, figures, and one self-contained page for people."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
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
from fullconv.evaluation.gallery import ImageResult
from fullconv.evaluation.report_parts import (
    HeadScores,
    class_rows,
    commonest_scores,
    css,
    dataset_facts,
    defined,
    galleries,
    largest_confusions,
    listed_images,
)
from fullconv.evaluation.scores import Scores, percent
from fullconv.files import write_atomically

if TYPE_CHECKING:
    from fullconv.data.statistics import Statistics

__all__ = ["HeadScores", "ImageResult", "write_report"]

_CHARTS = ("image_scores", "loss", "learning_rate", "pixel_accuracy", "mean_iou")
_FIGURES = ("confusion", *_CHARTS)


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
    heads: Sequence[HeadScores] = (),
    dataset_classes: ClassTable | None = None,
    nothing_learnt: float | None = None,
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
        heads: of a network with several heads all that were scored, first the one that the rest is of.
        dataset_classes: those of the statistics, where they are not `classes`.
        nothing_learnt: the loss of equal scores for all classes, drawn beside the curve.

    Returns:
        The path of report.html. It is one file that loads nothing from elsewhere.

    Raises:
        DataError: scores and classes differ, or metrics_csv is no metrics file.
        StorageError: the disk is full or the folder cannot be written.
    """
    if scores.names != classes.names:
        raise DataError("the scores are of other classes than the class table", remedy="give the table of the dataset")
    content = {
        "format": 1,
        "title": title,
        "split": split,
        "evaluated": evaluated,
        "scores": scores.as_dict(),
        "commonest": _commonest(scores),
        "images": list(image_scores),
        "heads": {
            head.name: {
                "scores": head.scores.as_dict(),
                "commonest": _commonest(head.scores),
                "images": list(head.image_scores),
            }
            for head in heads
        },
        "facts": dict(facts),
        "warnings": list(warnings),
    }
    figures: dict[str, Figure] = {"confusion": confusion_figure(scores)}
    if image_scores:
        figures["image_scores"] = histogram_figure(
            [defined(entry["mean_iou"]) for entry in image_scores], label="mean IoU of the image"
        )
    figures |= {f"confusion_{head.name}": confusion_figure(head.scores) for head in heads[1:]}
    curves: dict[str, Figure] = {}
    if metrics_csv is not None and metrics_csv.is_file():
        curves = curve_figures(read_metrics(metrics_csv), nothing_learnt=nothing_learnt, **curve_baselines(statistics))
    page = _page(
        title=title,
        split=split,
        evaluated=evaluated,
        scores=scores,
        parts=[
            _part(heads[0].name if heads else None, scores, classes, figures["confusion"]),
            *(_part(head.name, head.scores, head.classes, figures[f"confusion_{head.name}"]) for head in heads[1:]),
        ],
        figures={name: Markup(to_svg(figure)) for name, figure in (figures | curves).items() if name in _CHARTS},
        curves=list(curves),
        warnings=warnings,
        galleries=galleries(results, classes),
        images=listed_images(image_scores),
        image_count=len(image_scores),
        facts=facts,
        dataset=None if statistics is None else dataset_facts(statistics, dataset_classes or classes),
    )
    write_atomically(directory / "scores.json", json.dumps(_plain(content), ensure_ascii=False, indent=1) + "\n")
    for file in (directory / "figures").glob("*.png"):
        if file.stem in _FIGURES or file.stem.startswith("confusion_"):
            file.unlink()
    for name, figure in (figures | curves).items():
        write_atomically(directory / "figures" / f"{name}.png", to_png(figure))
    write_atomically(directory / "report.html", page)
    return directory / "report.html"


def _commonest(scores: Scores) -> dict[str, Any]:
    baseline = commonest_scores(scores)
    return {
        "name": baseline.name,
        "pixel_accuracy": baseline.scores.pixel_accuracy,
        "mean_iou": baseline.scores.mean_iou,
    }


def _part(head: str | None, scores: Scores, classes: ClassTable, confusion: Figure) -> dict[str, Any]:
    """What the page shows of one set of classes."""
    return {
        "head": head,
        "scores": scores,
        "baseline": commonest_scores(scores),
        "rows": class_rows(scores, classes),
        "confusions": largest_confusions(scores),
        "figure": Markup(to_svg(confusion)),
        "width": confusion.get_figwidth(),
    }


def _page(**content: Any) -> str:
    folder = Path(__file__).parent
    environment = Environment(
        loader=FileSystemLoader(folder),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["percent"] = lambda value: percent(defined(value))
    style = Markup((folder / "report.css").read_text(encoding="utf-8"))
    return environment.get_template("report.html").render(
        style=style, right=css(RIGHT), wrong=css(WRONG), undefined_color=css(UNDEFINED), **content
    )


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


def _plain(value: Any) -> Any:
    """What JSON can hold: undefined numbers become null, NumPy numbers plain ones."""
    if isinstance(value, Mapping):
        return {str(key): _plain(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(part) for part in value]
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value
