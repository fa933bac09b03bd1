"""Trials: an image on a model, to be looked at; what the page Test shows."""

from __future__ import annotations

import logging
import math
import time
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from fullconv.errors import DataError, FullconvError
from fullconv.workbench.predicting.answers import shares_of
from fullconv.workbench.predicting.labelling import Labelled
from fullconv.workbench.predicting.large import is_large
from fullconv.workbench.predicting.opened import Opened
from fullconv.workbench.refusals import NotThere
from fullconv.workbench.services.layer_images import Located, locate
from fullconv.workbench.services.predictions import Package, package_of
from fullconv.workbench.trials.kept import Trial, identifier
from fullconv.workbench.trials.pyramid import FRAME, TILE, Layer, Pyramid, level_count
from fullconv.workbench.trials.truth import Truth
from fullconv.workbench.trials.views import TrialClass, TrialView, TrialWish
from fullconv.workbench.workbench import Workbench

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Ready:
    """A model, and an image as it takes it.

    Args:
        truth: what its dataset knows of it.
        seconds: that reading took.
    """

    opened: Opened
    located: Located
    image: npt.NDArray[Any]
    truth: Truth | None
    seconds: float


async def open_trial(bench: Workbench, wish: TrialWish) -> TrialView:
    """Label an image, to look at it. A small one is done when this returns, a large one goes on beside.

    Raises:
        NotThere: no such model or image.
        Forbidden: the path lies outside the allowed folders.
        DataError: the image cannot be read or does not fit the model.
        TooLarge: it does not fit into the memory.
        Busy: too many wait already.
    """
    package = package_of(bench, wish.model, wish.kind)
    with ExitStack() as stack:
        stack.enter_context(bench.predictor.place())
        located = await bench.predictor.beside(lambda: locate(bench, wish.image))
        stack.enter_context(bench.predictor.memory.taken(await bench.predictor.beside(located.decoded_bytes)))
        ready = await bench.predictor.beside(lambda: _readied(bench, wish, package, located))
        height, width = ready.image.shape[:2]
        view = TrialView(
            id=identifier(),
            model=package.name,
            kind=package.kind,
            head=ready.opened.head,
            heads=ready.opened.heads,
            image=wish.image,
            title=ready.located.title,
            width=width,
            height=height,
            levels=level_count(height, width),
            tile=TILE,
            frame=FRAME,
        )
        trial = await bench.predictor.beside(lambda: bench.trials.add(view))
        if is_large(ready.opened, (height, width)):
            bench.trials.go_on(_beside(bench, trial, ready, stack.pop_all()))
        else:
            try:
                await _compute(bench, trial, ready)
            except BaseException:
                await bench.predictor.beside(lambda: bench.trials.drop(trial.view.id))
                raise
    return trial.view


def trial_of(bench: Workbench, name: str) -> TrialView:
    """One that is kept."""
    return bench.trials.get(name).view


def tile_of(bench: Workbench, name: str, layer: Layer, level: int, column: int, row: int) -> bytes:
    """A piece of the image, of its labels, or of the truth, as a PNG file.

    Raises:
        NotThere: no such trial or tile, or it is not computed yet.
    """
    pyramid = bench.trials.get(name).pyramid
    if pyramid is None:
        raise NotThere("it is not computed yet", where="trial", remedy="ask again in a moment")
    return pyramid.tile(layer, level, column, row)


def _readied(bench: Workbench, wish: TrialWish, package: Package, located: Located) -> _Ready:
    begun = time.perf_counter()
    opened = bench.predictor.models.get(package.directory, wish.head)
    image = located.load(opened.model)
    return _Ready(opened, located, image, _truth(bench, wish.image, opened), time.perf_counter() - begun)


def _truth(bench: Workbench, image: str, opened: Opened) -> Truth | None:
    kind, _, rest = image.partition(":")
    if kind != "dataset":
        return None
    name, _, key = rest.partition(":")
    dataset = bench.datasets.open(name)
    sample = dataset.sample(dataset.index.keys.index(key))
    if not sample.labels:
        return None
    return Truth.of(dataset.decoder.label(sample), dataset.classes, opened.model.classes)


async def _beside(bench: Workbench, trial: Trial, ready: _Ready, place: ExitStack) -> None:
    """The whole work for a large image; who looks at it is told how far it is."""
    with place:
        try:
            await _compute(bench, trial, ready)
        except FullconvError as problem:
            trial.view = trial.view.model_copy(update={"state": "failed", "error": str(problem)})
        except Exception as problem:  # nobody waits for it, so that its last word must not be lost
            log.exception("labelling %s", trial.view.title)
            said = f"cannot be computed ({type(problem).__name__}); see the server's log."
            trial.view = trial.view.model_copy(update={"state": "failed", "error": said})


async def _compute(bench: Workbench, trial: Trial, ready: _Ready) -> None:
    def told(progress: float) -> None:
        trial.view = trial.view.model_copy(update={"progress": round(progress, 4)})

    begun = time.perf_counter()
    labelled = await bench.predictor.label(ready.opened, ready.image, surest=True, on_progress=told)
    took = time.perf_counter() - begun
    await bench.predictor.beside(lambda: _finish(trial, ready, labelled, took))


def _finish(trial: Trial, ready: _Ready, labelled: Labelled, took: float) -> None:
    """Write the pictures, and then the numbers."""
    prediction, truth = labelled.prediction, ready.truth
    assert labelled.surest is not None
    if truth is not None and truth.labels.shape != prediction.labels.shape:
        raise DataError("its label map has another size", where=trial.view.title, remedy="check the dataset")
    pyramid = Pyramid.build(
        trial.folder,
        prediction.image,
        prediction.labels,
        labelled.surest,
        None if truth is None else truth.labels,
        classes=len(prediction.classes),
    )
    update: dict[str, Any] = {
        "state": "done",
        "progress": 1.0,
        "classes": tuple(TrialClass(**entry.model_dump()) for entry in shares_of(prediction)),
        "seconds": {
            "decoding": ready.seconds,
            "waiting": max(0.0, took - labelled.network),
            "network": labelled.network,
        },
    }
    if truth is not None:
        scores = truth.scores(prediction.labels, prediction.classes)
        counts = np.bincount(truth.labels.ravel(), minlength=len(prediction.classes))[: len(prediction.classes)]
        shares = counts / truth.labels.size
        update |= {
            "classes": tuple(
                entry.model_copy(update={"truth": float(share), "iou": _number(iou)})
                for entry, share, iou in zip(update["classes"], shares, scores.iou, strict=True)
            ),
            "undefined": float(1 - shares.sum()),
            "missing": truth.missing,
            "pixel_accuracy": _number(scores.pixel_accuracy),
            "mean_iou": _number(scores.mean_iou),
        }
    trial.pyramid = pyramid
    trial.view = trial.view.model_copy(update=update)


def _number(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
