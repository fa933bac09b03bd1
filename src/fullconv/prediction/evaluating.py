"""A model against a dataset: one confusion matrix, the scores of every image, and the report."""

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
from fullconv.evaluation.report import ImageResult, write_report
from fullconv.evaluation.scores import Scores
from fullconv.prediction.model import Model
from fullconv.progress import track

SHOWN_IMAGES = 6
"""How many of the worst and of the best images a report shows."""


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
    names = dataset.classes.names
    total = np.zeros((len(names), len(names)), dtype=np.int64)
    rows: list[dict[str, Any]] = []
    indices = range(len(dataset))
    for index in track(indices, "evaluating") if progress else indices:
        image, truth = dataset[index]
        labels = _predicted(model, dataset, index, image, order)
        counts = count_confusion(truth, labels, len(names), dataset.classes.ignore_index)
        total += counts
        one = Scores.from_confusion(counts, names)
        key = dataset.samples[index].key
        rows.append({"key": key, "pixel_accuracy": one.pixel_accuracy, "mean_iou": one.mean_iou})
    scores = Scores.from_confusion(total, names)
    if report is not None:
        _write(report, model, dataset, rows, scores, order, run)
    return scores


def _predicted(
    model: Model, dataset: Dataset, index: int, image: npt.NDArray[Any], order: npt.NDArray[np.unsignedinteger]
) -> npt.NDArray[np.unsignedinteger]:
    """(H, W) what the model says of a sample, in the dataset's class indices."""
    return np.asarray(order[model.label(model.checked(image, where=dataset.samples[index].image))])


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
    rows: Sequence[dict[str, Any]],
    total: Scores,
    order: npt.NDArray[np.unsignedinteger],
    run: Path | None,
) -> None:
    places = {row["key"]: index for index, row in enumerate(rows)}
    worst, best = worst_and_best(rows, SHOWN_IMAGES)
    results = []
    for key in (*worst, *best):
        index = places[key]
        image, truth = dataset[index]
        labels = _predicted(model, dataset, index, image, order)
        results.append(ImageResult(key, image, truth, labels, rows[index]["pixel_accuracy"], rows[index]["mean_iou"]))
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
        warnings=_warnings(run),
    )


def _warnings(run: Path | None) -> list[str]:
    """What was said during the training."""
    if run is None or not (run / "status.json").is_file():
        return []
    return [str(said) for said in json.loads((run / "status.json").read_text(encoding="utf-8"))["warnings"]]


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
