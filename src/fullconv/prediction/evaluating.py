"""A model against a dataset: one confusion matrix, the scores of every image, and the report."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from dataclasses import dataclass
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
from fullconv.evaluation.report import ImageResult, write_report
from fullconv.evaluation.scores import Scores
from fullconv.prediction.model import Model
from fullconv.progress import track

SHOWN_IMAGES = 6
"""How many of the worst and of the best images a report shows."""


@dataclass(frozen=True)
class ImageScores:
    """One image's part in the evaluation.

    Args:
        key: of the sample.
        confusion: (classes, classes) counts of this image alone.
        scores: made from them; for finding images, never for averaging.
    """

    key: str
    confusion: npt.NDArray[np.int64]
    scores: Scores


def evaluate(
    model: Model, dataset: Dataset, *, report: Path | None = None, run: Path | None = None, progress: bool = True
) -> Scores:
    """Score a model on all images of a dataset (or of one of its splits).

    Args:
        model: its classes must be the dataset's, by name; their order may differ.
        dataset: with labels, at the original size of the images.
        report: folder for scores.json, report.html and figures.
        run: the training run whose curves go into the report.

    Returns:
        `Scores` from one confusion matrix over all pixels of all images.

    Raises:
        DataError: the dataset is empty or has other classes.

    Source: Long, Shelhamer, Darrell, CVPR 2015, section 5 (metrics).
    """
    if not len(dataset):
        raise DataError("there are no images to evaluate on", where=dataset.name, remedy="choose another split")
    order = _class_order(model, dataset)
    images: list[ImageScores] = []
    keys = range(len(dataset))
    for index in track(keys, "evaluating") if progress else keys:
        image, truth = dataset[index]
        labels = order[model.label(image)]
        counts = count_confusion(truth, labels, len(dataset.classes), dataset.classes.ignore_index)
        scores = Scores.from_confusion(counts, dataset.classes.names)
        images.append(ImageScores(dataset.samples[index].key, scores.confusion, scores))
    total = Scores.from_confusion(np.sum([entry.confusion for entry in images], axis=0), dataset.classes.names)
    if report is not None:
        _write(report, model, dataset, images, total, order, run)
    return total


def _class_order(model: Model, dataset: Dataset) -> npt.NDArray[np.unsignedinteger]:
    """Table from the model's class index to the dataset's."""
    ours, theirs = model.classes.names, dataset.classes.names
    if set(ours) != set(theirs):
        odd = sorted(set(ours) ^ set(theirs))
        raise DataError(
            f"model and dataset have different classes: {', '.join(odd[:5])}",
            where=dataset.name,
            remedy="rename or merge classes in dataset.yaml",
        )
    return np.array([theirs.index(name) for name in ours], dtype=dataset.classes.label_dtype)


def _write(
    directory: Path,
    model: Model,
    dataset: Dataset,
    images: Sequence[ImageScores],
    total: Scores,
    order: npt.NDArray[np.unsignedinteger],
    run: Path | None,
) -> None:
    rows = [_image_row(entry) for entry in images]
    places = {entry.key: index for index, entry in enumerate(images)}
    worst, best = worst_and_best(rows, SHOWN_IMAGES)
    results = []
    for key in (*worst, *best):
        index = places[key]
        image, truth = dataset[index]
        scores = images[index].scores
        labels = order[model.label(image)]
        results.append(ImageResult(images[index].key, image, truth, labels, scores.pixel_accuracy, scores.mean_iou))
    split = "/".join(sorted({sample.split or "" for sample in dataset.samples}))
    metrics = None if run is None else run / "metrics.csv"
    write_report(
        directory,
        title=f"{model.card.network.name} on {dataset.name}",
        scores=total,
        classes=dataset.classes,
        split=split,
        results=results,
        image_scores=rows,
        metrics_csv=metrics if metrics is not None and metrics.is_file() else None,
        facts=_facts(model, dataset, run),
        statistics=dataset.statistics,
        evaluated=_today(),
    )


def _today() -> str:
    now = datetime.now().astimezone()
    return f"Evaluated on {now.day} {now:%B %Y, %H:%M}."


def _image_row(entry: ImageScores) -> dict[str, Any]:
    return {"key": entry.key, "pixel_accuracy": entry.scores.pixel_accuracy, "mean_iou": entry.scores.mean_iou}


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
    facts["computed on"] = _hardware(model)
    facts["versions"] = (
        f"fullconv {VERSION}, torch {torch.__version__}, torchvision {torchvision.__version__}, "
        f"Python {platform.python_version()}"
    )
    return facts


def _hardware(model: Model) -> str:
    if model.device.type == "cuda":
        return torch.cuda.get_device_name(model.device)
    return f"CPU, {torch.get_num_threads()} threads, {platform.machine()}"
