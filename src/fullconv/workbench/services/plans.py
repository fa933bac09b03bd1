"""Plans before they run: checked, resolved, with their learning rate, memory and, on request, time."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping
from math import ceil
from typing import Any

from PIL import Image
from pydantic import BaseModel, ConfigDict

from fullconv.data.pictures import Picture, colorize, overlay
from fullconv.data.statistics import Commonest
from fullconv.errors import PlanError
from fullconv.files import dump_yaml
from fullconv.training.forecast.forecasting import Forecast, forecast_of
from fullconv.training.loaders import views_in_epoch
from fullconv.training.rate_preview import rate_curve
from fullconv.training.seen_samples import seen_samples
from fullconv.training.settings.experiment import Experiment, Plan
from fullconv.workbench.jobs.waiting_runs import planning
from fullconv.workbench.mistakes import as_wrong_fields
from fullconv.workbench.services.experiment_schema import ExperimentFields
from fullconv.workbench.services.jobs import JobView
from fullconv.workbench.services.plan_parts import Parts, assumed_transfer, file_name, parts_of, start_of
from fullconv.workbench.services.plan_settings import Asked, asked
from fullconv.workbench.workbench import Workbench

CURVE_POINTS = 200
LARGEST_PREVIEW = 4_000_000
MOST_SAMPLES = 16
SHOWN_SIDE = 384
EXAMPLE: dict[str, Any] = {"dataset": "streets", "epochs": 60, "optimization": {"learning_rate": [0.002, 0.005]}}

Source = Mapping[str, Any] | str
"""Fields of an experiment, or the same as YAML."""


class PlanRequest(BaseModel):
    """A plan to look at, or to train.

    Args:
        experiment: fields of an experiment, or the same as YAML text; a list where one value belongs makes a run of
            each of its values, as folds do.
    """

    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": {"experiment": EXAMPLE}})

    experiment: ExperimentFields


class BatchMemory(BaseModel):
    """What a batch of that size takes, in bytes over the idle process.

    Args:
        batch_size: views. weights: with gradients, the optimiser's state and averages. activations: kept for the
            backward pass. other: all else. total: the peak.
    """

    batch_size: int
    weights: int
    activations: int
    other: int
    total: int


class Memory(BaseModel):
    """Memory of a plan.

    Args:
        batches: by size. free: bytes that there are. room: for the training process. loader: for its loaders.
        largest_batch: that fits; 0 for none.
        fits: whether the plan does. unknown: why that cannot be told.
        advice: what to do where it does not.
    """

    batches: list[BatchMemory]
    free: int
    room: int
    loader: int
    largest_batch: int | None
    fits: bool | None
    unknown: str | None
    advice: str | None

    @classmethod
    def of(cls, found: Forecast) -> Memory:
        """From a forecast."""
        batches = []
        for each in found.batches:
            weights = each.parameters + each.gradients + each.optimizer + each.average
            other = each.total - weights - each.activations
            batches.append(
                BatchMemory(
                    batch_size=each.batch_size,
                    weights=weights,
                    activations=each.activations,
                    other=other,
                    total=each.total,
                )
            )
        return cls(
            batches=batches,
            free=found.free,
            room=found.room,
            loader=found.loader,
            largest_batch=found.largest_batch,
            fits=found.fits,
            unknown=found.unknown,
            advice=None if found.fallback is None else found.fallback.meaning,
        )


class PlanView(BaseModel):
    """A plan that would run.

    Args:
        plan: every setting, nothing left open; of several runs the first. yaml: the same as text.
        axes: settings given as lists, by path. runs: how many runs they make.
        steps_per_epoch, steps: of the optimiser.
        curve: (step, learning rate) over the run.
        images: by split. stride: of the finest scores. ceiling: best mean IoU that this stride allows on the dataset.
        classes: share of the labelled training pixels. commonest: what always saying the commonest class scores.
        weights: where start values come from.
        warnings: what to know before it runs.
        memory: where it was asked for.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "plan": {"dataset": "streets", "network": "fcn4s-mobilenet_v2-features", "batch_size": 8},
                "yaml": "dataset: streets\nnetwork: fcn4s-mobilenet_v2-features\nbatch_size: 8\n",
                "axes": {"optimization.learning_rate": [0.002, 0.005]},
                "runs": 2,
                "steps_per_epoch": 18,
                "steps": 1080,
                "curve": [[0, 0.00008], [108, 0.002], [1079, 0.0000002]],
                "images": {"train": 140, "val": 30, "test": 30},
                "stride": 4,
                "ceiling": 0.95,
                "classes": {"road": 0.31, "car": 0.04},
                "commonest": {"name": "road", "pixel_accuracy": 0.31, "mean_iou": 0.026},
                "weights": "auto",
                "warnings": [],
                "memory": None,
            }
        }
    )

    plan: dict[str, Any]
    yaml: str
    axes: dict[str, list[Any]]
    runs: int
    steps_per_epoch: int
    steps: int
    curve: list[tuple[int, float]]
    images: dict[str, int]
    stride: int
    ceiling: float | None
    classes: dict[str, float]
    commonest: Commonest | None
    weights: str
    warnings: list[str]
    memory: Memory | None


class SampleView(BaseModel):
    """A training sample as training sees it.

    Args:
        key: of the image that it is cut from.
        place: in the epoch, from 0.
        width, height: pixels.
        picture, labels, overlay: as data addresses (PNG or JPEG), smaller than the sample where that is large.
    """

    key: str
    place: int
    width: int
    height: int
    picture: str
    labels: str
    overlay: str


class Samples(BaseModel):
    """Samples of one epoch, in the order in which a run takes them.

    Args:
        epoch: from 1. seed: of the plan. samples: from the place asked for.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "epoch": 1,
                "seed": 0,
                "samples": [
                    {
                        "key": "train/scene_00017",
                        "place": 0,
                        "width": 320,
                        "height": 256,
                        "picture": "data:image/jpeg;base64,/9j/4AAQ…",
                        "labels": "data:image/png;base64,iVBORw0K…",
                        "overlay": "data:image/jpeg;base64,/9j/4AAQ…",
                    }
                ],
            }
        }
    )

    epoch: int
    seed: int
    samples: list[SampleView]


def view_plan(bench: Workbench, source: Source, *, memory: bool = True) -> PlanView:
    """What would run; of several runs the first.

    Args:
        source: fields of an `Experiment`, or the same as YAML.
        memory: tell the memory too, which takes a second or two.

    Raises:
        WrongFields: with every wrong field.
    """
    wanted = asked(bench, source)
    with as_wrong_fields():
        parts = parts_of(bench, wanted.first)
        return _view(wanted, parts, memory=memory)


def _view(wanted: Asked, parts: Parts, *, memory: bool) -> PlanView:
    plan, data, shape = parts.plan, parts.data, parts.shape
    report = assumed_transfer(plan)
    found = forecast_of(plan, data, shape.net, shape.grid, report) if memory else None
    per_epoch = ceil(
        ceil(views_in_epoch(data.train, plan, shape.grid) / plan.batch_size) / plan.optimization.accumulate
    )
    steps = per_epoch * plan.epochs
    pixels = data.statistics.splits["train"].pixels
    total = max(1, sum(pixels.values()))
    shown = plan_as_asked(plan)
    return PlanView(
        plan=shown,
        yaml=dump_yaml(shown),
        axes=wanted.axes,
        runs=wanted.runs,
        steps_per_epoch=per_epoch,
        steps=steps,
        curve=rate_curve(plan.optimization, steps, points=CURVE_POINTS),
        images={name: len(data.split(name)) for name in ("train", "val", "test")},
        stride=shape.net.stride,
        ceiling=data.statistics.stride_ceiling.get(shape.net.stride),
        classes={name: count / total for name, count in pixels.items()},
        commonest=data.statistics.commonest,
        weights=file_name(plan.weights),
        warnings=_warnings(plan, parts, report.warning, found),
        memory=None if found is None else Memory.of(found),
    )


def plan_as_asked(plan: Experiment) -> dict[str, Any]:
    """A plan as a document: none of its fields left out but those that say nothing."""
    return plan.model_dump(mode="json", exclude_none=True)


def _warnings(plan: Plan, parts: Parts, warning: str | None, found: Forecast | None) -> list[str]:
    said = [] if warning is None else [warning]
    if not parts.shape.grid.is_local:
        said.append("the scores of this network read the whole image: large images cannot be predicted tile by tile")
    if found is not None and found.fits is False:
        assert found.fallback is not None
        said.append(f"a batch of {plan.batch_size} does not fit into memory; what fits: {found.fallback.meaning}")
    return said


def start_forecast(bench: Workbench, source: Source) -> JobView:
    """Time a few real steps of a plan, and check its largest batch, in a job.

    On a processor it does not wait for trainings. On a graphics card it needs the card that it measures: it waits for
    the training that goes on there, and goes before those that wait.

    Raises:
        WrongFields: with every wrong field.
    """
    bench.must_be_writable()
    with planning(bench.home):
        wanted = asked(bench, source)
        with as_wrong_fields():
            plan = parts_of(bench, wanted.first).plan
        settings = wanted.first.model_dump(mode="json", exclude={"dataset"})
        job = bench.queue.add(
            "forecast",
            title=f"Time of {plan.network} on {wanted.dataset}",
            payload={"dataset": wanted.dataset, "settings": settings},
            device="gpu" if plan.device == "cuda" else "aside",
            first=True,
        )
    return JobView.of(job)


def view_samples(bench: Workbench, source: Source, *, epoch: int = 1, first: int = 0, count: int = 8) -> Samples:
    """The very pixels that a run would learn from.

    With folds, the images are not those of a fold: which ones are held out is decided when the run begins.

    Args:
        source: as for `view_plan`.
        epoch: from 1. first: place in it, from 0. count: how many samples.

    Raises:
        WrongFields: with every wrong field; or views are too large to be shown.
    """
    wanted = asked(bench, source)
    with as_wrong_fields():
        parts = parts_of(bench, wanted.first)
        _check_size(parts)
        start = start_of(parts.plan, parts.data)
        found = seen_samples(
            parts.data.train,
            parts.plan,
            start.normalization,
            parts.shape.grid,
            epoch=epoch,
            first=first,
            count=min(count, MOST_SAMPLES),
        )
    classes = parts.data.classes
    shown = []
    for place, sample in enumerate(found, start=first):
        picture = sample.picture(parts.data.dtype)
        height, width = sample.labels.shape
        shown.append(
            SampleView(
                key=sample.key,
                place=place,
                width=width,
                height=height,
                picture=_address(picture, "JPEG"),
                labels=_address(colorize(sample.labels, classes), "PNG"),
                overlay=_address(overlay(picture, sample.labels, classes), "JPEG"),
            )
        )
    return Samples(epoch=epoch, seed=parts.plan.seed, samples=shown)


def _check_size(parts: Parts) -> None:
    plan = parts.plan
    largest = max(height * width for height, width in (plan.resize.size(*size) for size in parts.data.train.sizes))
    if max(largest, plan.crop[0] * plan.crop[1]) > 16 * LARGEST_PREVIEW:
        raise PlanError("views or images of this size are not shown beforehand", where="crop", remedy="make it smaller")


def _address(picture: Picture, kind: str) -> str:
    image = Image.fromarray(picture)
    image.thumbnail((SHOWN_SIDE, SHOWN_SIDE), Image.Resampling.NEAREST if kind == "PNG" else Image.Resampling.LANCZOS)
    stream = io.BytesIO()
    image.save(stream, format=kind, **({"quality": 88} if kind == "JPEG" else {}))
    return f"data:image/{kind.lower()};base64,{base64.b64encode(stream.getvalue()).decode()}"
