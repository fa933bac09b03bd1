"""A model against a dataset: one confusion matrix per head, the scores of every image, and the report."""

from __future__ import annotations

import json
import platform
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torchvision

from fullconv._version import VERSION
from fullconv.data.dataset import Dataset
from fullconv.errors import DataError
from fullconv.evaluation.counting import count_confusion
from fullconv.evaluation.gallery import worst_and_best
from fullconv.evaluation.report import HeadScores, ImageResult, write_report
from fullconv.evaluation.scores import Scores
from fullconv.hardware import named
from fullconv.prediction.head_truth import HeadTruth
from fullconv.prediction.model import Model
from fullconv.progress import track

SHOWN_IMAGES = 6
"""How many of the worst and of the best images a report shows."""


def evaluate(
    model: Model, dataset: Dataset, *, report: Path | None = None, run: Path | None = None, progress: bool = True
) -> Scores:
    """Score a model on all images of a dataset (or of one of its splits).

    Args:
        model: its classes must be the dataset's, by name, in any order; or, of one of several heads, groups of them.
        dataset: with labels, at the original size of the images.
        report: folder for scores.json, report.html and figures.
        run: the training run whose curves go into the report.

    Returns:
        `Scores` from one confusion matrix over all pixels of all images.

    Raises:
        DataError: the dataset is empty or has other classes.

    Source: Long, Shelhamer, Darrell, CVPR 2015, section 5 (metrics).
    """
    return _scored([model], dataset, report, run, progress=progress)[0]


def evaluate_heads(
    model: Model, dataset: Dataset, *, report: Path | None = None, run: Path | None = None, progress: bool = True
) -> dict[str, Scores]:
    """Score every head whose classes can be derived from the dataset's, all by one pass over the images.

    Args:
        model, dataset, report, run: see `evaluate`; the report's pictures are of the first head that is scored.

    Returns:
        Name of the head → its `Scores`; empty for a model with a single head.

    Raises:
        DataError: the dataset is empty, or no head's classes can be derived from its own.

    >>> import fullconv as fc
    >>> scores = fc.evaluate_heads(fc.load("runs/two-heads"), fc.Dataset.load("streets").test)  # doctest: +SKIP
    >>> scores["geometric"].mean_iou  # doctest: +SKIP
    0.71
    """
    heads = derivable_heads(model, dataset) if model.heads else []
    scores = _scored(heads, dataset, report, run, progress=progress) if heads else []
    return {str(head.head): found for head, found in zip(heads, scores, strict=True)}


def derivable_heads(model: Model, dataset: Dataset) -> list[Model]:
    """The model by each of its heads whose classes can be derived from the dataset's, the first head first.

    Raises:
        DataError: there is none; the sentence says why for the first.
    """
    found, problems = [], []
    for name in model.heads:
        head = model.of_head(name)
        try:
            HeadTruth.of(head, dataset.classes, where=dataset.name)
            found.append(head)
        except DataError as problem:
            problems.append(problem)
    if not found:
        raise problems[0]
    return found


def _scored(
    models: Sequence[Model], dataset: Dataset, report: Path | None, run: Path | None, *, progress: bool
) -> list[Scores]:
    """Scores of the heads of one network, or of one model, by one pass over the images; the report if asked for."""
    if not len(dataset):
        raise DataError("there are no images to evaluate on", where=dataset.name, remedy="choose another split")
    truths = [HeadTruth.of(model, dataset.classes, where=dataset.name) for model in models]
    totals = [np.zeros((len(truth.classes), len(truth.classes)), dtype=np.int64) for truth in truths]
    rows: list[list[dict[str, Any]]] = [[] for _ in models]
    indices = range(len(dataset))
    for index in track(indices, "evaluating") if progress else indices:
        image, labels = dataset[index]
        image = models[0].checked(image, where=dataset.samples[index].image)
        for place, (truth, said) in enumerate(zip(truths, _said(models, image), strict=True)):
            names, ignore = truth.classes.names, truth.classes.ignore_index
            counts = count_confusion(truth.truth(labels), truth.predicted(said), len(names), ignore)
            totals[place] += counts
            one = Scores.from_confusion(counts, names)
            key = dataset.samples[index].key
            rows[place].append({"key": key, "pixel_accuracy": one.pixel_accuracy, "mean_iou": one.mean_iou})
    scores = [Scores.from_confusion(total, truth.classes.names) for total, truth in zip(totals, truths, strict=True)]
    if report is not None:
        several = zip(models, scores, truths, rows, strict=True) if models[0].heads else ()
        heads = [HeadScores(str(model.head), found, truth.classes, own) for model, found, truth, own in several]
        _write(report, models[0], dataset, rows[0], scores[0], truths[0], run, heads)
    return scores


def _said(models: Sequence[Model], image: npt.NDArray[Any]) -> list[npt.NDArray[np.unsignedinteger]]:
    """(H, W) per head, in the model's class indices."""
    if len(models) == 1:
        return [models[0].label(image)]
    labels = models[0].label_heads(image)
    return [labels[str(model.head)] for model in models]


def _write(
    directory: Path,
    model: Model,
    dataset: Dataset,
    rows: Sequence[dict[str, Any]],
    total: Scores,
    truth: HeadTruth,
    run: Path | None,
    heads: Sequence[HeadScores],
) -> None:
    places = {row["key"]: index for index, row in enumerate(rows)}
    worst, best = worst_and_best(rows, SHOWN_IMAGES)
    results = []
    for key in (*worst, *best):
        index = places[key]
        image, labels = dataset[index]
        said = truth.predicted(model.label(model.checked(image, where=dataset.samples[index].image)))
        row = rows[index]
        results.append(ImageResult(key, image, truth.truth(labels), said, row["pixel_accuracy"], row["mean_iou"]))
    split = "/".join(sorted({sample.split or "" for sample in dataset.samples}))
    metrics = None if run is None else run / "metrics.csv"
    write_report(
        directory,
        title=f"{model.card.network.name} on {dataset.name}",
        scores=total,
        classes=truth.classes,
        split=split,
        results=results,
        image_scores=rows,
        metrics_csv=metrics if metrics is not None and metrics.is_file() else None,
        facts=_facts(model, dataset, run),
        statistics=dataset.statistics,
        evaluated=_today(),
        warnings=_status(run).get("warnings", ()),
        nothing_learnt=_status(run).get("zero_score_loss"),
        heads=heads,
        dataset_classes=dataset.classes,
    )


def _status(run: Path | None) -> dict[str, Any]:
    """What the training said of itself."""
    if run is None or not (run / "status.json").is_file():
        return {}
    said: dict[str, Any] = json.loads((run / "status.json").read_text(encoding="utf-8"))
    return said


def _today() -> str:
    now = datetime.now().astimezone()
    return f"Evaluated on {now.day} {now:%B %Y, %H:%M}."


def _facts(model: Model, dataset: Dataset, run: Path | None) -> dict[str, str]:
    card = model.card
    heights, widths = zip(*dataset.sizes, strict=True)
    sizes = f"{min(widths)}×{min(heights)}"
    if min(heights) != max(heights) or min(widths) != max(widths):
        sizes += f" to {max(widths)}×{max(heights)}"
    parameters = sum(parameter.numel() for parameter in model.net.parameters())
    size = f"{parameters / 1e6:.2f} million parameters"
    facts = {
        "network": f"{card.network.name}, {size}, output stride {card.geometry.stride}",
        "images": f"{len(dataset)} of {sizes} pixels, {card.network.channels} band(s), {card.image_dtype}",
        "ignored": ", ".join(entry.name for entry in dataset.classes.ignored) or "nothing",
    }
    for entry in card.history:
        details = ", ".join(f"{key} {value}" for key, value in entry.details.items())
        facts[entry.what] = f"{entry.when}: {details}"
    if run is not None:
        facts["run"] = run.name
    facts["computed on"] = named(model.device)
    facts["versions"] = (
        f"fullconv {VERSION}, torch {torch.__version__}, torchvision {torchvision.__version__}, "
        f"Python {platform.python_version()}"
    )
    return facts
