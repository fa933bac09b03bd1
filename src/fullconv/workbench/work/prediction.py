"""Jobs that apply a model: to a folder of images, or to a dataset whose truth is known."""

from __future__ import annotations

import math
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fullconv.data.dataset import Dataset
from fullconv.errors import DataError
from fullconv.prediction.evaluating import evaluate
from fullconv.prediction.folder import find_images, predict_files, readable
from fullconv.prediction.model import Model
from fullconv.workbench.jobs.kinds import JobContext, Payload
from fullconv.workbench.stored import (
    REPORT,
    RESULTS,
    UPLOADS,
    Failed,
    StoredEvaluation,
    StoredPrediction,
    directory_of,
    read_stored,
    write_stored,
)


def predict_folder(payload: Payload, context: JobContext) -> dict[str, Any]:
    """Label all images of a folder; what an earlier try has done is kept.

    Args:
        payload: `name` of the directory in predictions/; `roots`, the folders that images may lie in, if there are any.
    """
    name = payload["name"]
    asked = read_stored(context.home, StoredPrediction, name)
    directory = directory_of(context.home, StoredPrediction, name)
    source = Path(asked.source) if asked.source is not None else directory / UPLOADS
    _refuse_outsiders(source, [Path(root) for root in payload.get("roots", ())])
    context.reporter.say("opening the model")
    model = _model(asked, context)
    with context.reporter.following():
        done = predict_files(
            model, [source], directory / RESULTS, probabilities=asked.probabilities, skip_existing=True
        )
    failed = tuple(
        Failed(image=readable(os.path.relpath(path, source)), problem=readable(problem.replace(str(path), path.name)))
        for path, problem in done.failed
    )
    write_stored(context.home, asked, name, done=True, failed=failed)
    return {"prediction": name, "images": len(done.written) + done.skipped, "failed": len(failed)}


def evaluate_model(payload: Payload, context: JobContext) -> dict[str, Any]:
    """Score a model on a split of a dataset.

    Args:
        payload: `name` of the directory in evaluations/.
    """
    name = payload["name"]
    asked = read_stored(context.home, StoredEvaluation, name)
    report = directory_of(context.home, StoredEvaluation, name) / REPORT
    shutil.rmtree(report, ignore_errors=True)
    context.reporter.say("opening model and dataset")
    model = _model(asked, context)
    data = Dataset.load(asked.dataset, context.home).split(asked.split)
    with context.reporter.following():
        scores = evaluate(model, data, report=report)
    names = ("pixel_accuracy", "mean_accuracy", "mean_iou", "frequency_weighted_iou")
    figures = {figure: _number(getattr(scores, figure)) for figure in names}
    write_stored(context.home, asked, name, done=True, images=len(data), **figures)
    return {"evaluation": name, "mean_iou": figures["mean_iou"]}


def _model(asked: StoredPrediction | StoredEvaluation, context: JobContext) -> Model:
    home = context.home
    package = home.model(asked.model) if asked.kind == "model" else home.run(asked.model) / "model"
    return Model.load(package, workspace=home, head=asked.head, allow_code=context.allow_code)


def _refuse_outsiders(source: Path, roots: Sequence[Path]) -> None:
    """Links in a folder that a visitor named lead nowhere that the visitor may not name.

    Raises:
        DataError: one does.
    """
    for path, _ in find_images([source]) if roots else ():
        real = Path(os.path.realpath(path))
        if not any(real.is_relative_to(root) for root in roots):
            raise DataError("leads outside the allowed folders", where=path.name, remedy="put the image itself there")


def _number(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
