"""A run before it runs: memory per batch size, the largest batch that fits, time, and what scores to expect."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import nn

from fullconv.data.dataset import Dataset
from fullconv.data.statistics import Commonest
from fullconv.errors import NetworkError
from fullconv.networks.reference import AnyFCN
from fullconv.networks.score_grid import ScoreGrid
from fullconv.networks.weights import TransferReport
from fullconv.training.display import TrainingDisplay
from fullconv.training.forecast.fallback import Fallback, fallback_for
from fullconv.training.forecast.memory import MemoryForecast, StepMemory, memory_of
from fullconv.training.forecast.room import SHARE, free_memory
from fullconv.training.forecast.several import Several, one_of, processes_of, several, sharing, together
from fullconv.training.forecast.trial import OutOfMemory, Trial, try_out
from fullconv.training.job import Job
from fullconv.training.loaders import views_in_epoch
from fullconv.training.settings.experiment import Experiment, Plan
from fullconv.workspace import Workspace

if TYPE_CHECKING:
    from fullconv.training.rate_finder import RateSweep

BATCHES = (1, 2, 4, 8, 16, 32, 64)
LARGEST_BATCH = 256
WORKER = 350 * 2**20
"""Bytes of a loader process, before a trial has measured them."""
LONGEST_CHECK_SECONDS = 240.0
CHECKED_STEPS = 6
"""What a short trial costs, in steps and what goes with them."""
SMALLER = 0.85
MOST_FALLBACKS = 3
"""How many times a fall-back that took more than was forecast is replaced by a smaller one."""
REPORT_SECONDS = 3.0
"""What report and package take on two cores, whatever the run."""


@dataclass(frozen=True)
class Times:
    """Expected seconds.

    Args:
        step: of the optimiser's batches, loader included.
        epoch: training alone.
        validation: of all validation images, once.
        preparation: decoding and resizing all images before the first run with them.
        start: until the first step, and until the first validation can begin.
        evaluation: of the finished model, with report and package.
        run: all of it.
    """

    step: float
    epoch: float
    validation: float
    preparation: float
    start: float
    evaluation: float
    run: float


@dataclass(frozen=True)
class Forecast:
    """What is known of a run before it runs.

    Args:
        plan: with nothing left open.
        recommended: the plan that fits: the same, or with the fall-back's settings.
        batches: memory of a process for a number of views in each step, the plan's among them; empty where shapes
            alone do not tell it.
        unknown: why they do not.
        free: bytes that a run may take.
        loader: bytes of the loader's processes, of each that trains.
        largest_batch: that fits, of all processes together, 0 for none; at most about as many as there are training
            views.
        checked: one real step of that batch was done, and its peak is `peak`.
        fallback: where the plan's batch does not fit; its batch is that of one process.
        trial: real steps of the recommended plan; none where they were not wanted, or memory did not suffice.
        times: from those; of several processes extrapolated, with the lesser efficiency of `several`.
        several: where several processes train together.
        steps: of the optimiser in an epoch.
        stride: of the finest scores.
        ceiling: best mean IoU that this stride allows on the dataset; none where it was not measured.
        classes: name → share of the labelled training pixels.
        commonest: what always saying the commonest class scores.
        transfer: where the weights come from; warning: what a missing transfer costs.
    """

    plan: Plan
    recommended: Plan
    batches: tuple[StepMemory, ...]
    unknown: str | None
    free: int
    loader: int
    largest_batch: int | None
    checked: bool
    peak: int | None
    fallback: Fallback | None
    trial: Trial | None
    times: Times | None
    several: Several | None
    steps: int
    images: Mapping[str, int]
    stride: int
    ceiling: float | None
    classes: Mapping[str, float]
    commonest: Commonest | None
    transfer: str
    warning: str | None

    @property
    def share(self) -> float:
        """Of what is free, that a run may take."""
        return SHARE

    @property
    def room(self) -> int:
        """Bytes for a training process."""
        return round(SHARE * self.free / sharing(self.plan)) - self.loader

    @property
    def fits(self) -> bool | None:
        """Whether the plan fits as it is; None where that cannot be told."""
        return None if self.unknown else self.fallback is None

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        batches = [asdict(each) | {"training": each.training, "total": each.total} for each in self.batches]
        return {
            "format": 1,
            "plan": self.plan.model_dump(mode="json"),
            "recommended": self.recommended.model_dump(mode="json"),
            "fits": self.fits,
            "fallback": None if self.fallback is None else asdict(self.fallback),
            "memory": {
                "batches": batches,
                "free": self.free,
                "loader": self.loader,
                "largest_batch": self.largest_batch,
                "checked": self.checked,
                "peak": self.peak,
                "unknown": self.unknown,
            },
            "trial": None if self.trial is None else asdict(self.trial),
            "times": None if self.times is None else asdict(self.times),
            "processes": None if self.several is None else asdict(self.several),
            "steps_per_epoch": self.steps,
            "images": dict(self.images),
            "stride": self.stride,
            "ceiling": self.ceiling,
            "classes": dict(self.classes),
            "commonest": None if self.commonest is None else self.commonest.model_dump(),
            "weights": self.transfer,
            "warning": self.warning,
        }


def forecast(
    dataset: Dataset | Experiment | str | Path,
    network: str | None = None,
    *,
    workspace: Workspace | None = None,
    memory: float | None = None,
    trial: bool = True,
    settings: Mapping[str, Any] | None = None,
    **fields: Any,
) -> Forecast:
    """What a run would take and what it could reach; nothing of it is kept on disk.

    Args:
        dataset, network, settings, fields: as for `train`.
        workspace: where datasets lie by name; `Workspace.find()` if not given.
        memory: GiB that the run may take; none for what is free now on the plan's device.
        trial: do a few real steps, in a process of their own, for the time and to check the largest batch.

    Raises:
        PlanError, DataError, NetworkError: as for `train`.

    >>> import fullconv as fc
    >>> fc.forecast("streets", "fcn8s-vgg16", batch_size=4).largest_batch  # doctest: +SKIP
    3
    """
    home = workspace or Workspace.find()
    asked = {**(settings or {}), **fields} | ({} if network is None else {"network": network})
    with _asked_for(dataset, asked, home) as (experiment, data):
        from fullconv.training.preparing import readied

        plan, net, grid, report = readied(experiment, data)
        return forecast_of(plan, data, net, grid, report, memory=memory, trial=trial)


def swept_rate(plan: Plan, dataset: Dataset | str | Path, *, workspace: Workspace) -> RateSweep:
    """A learning rate for a plan, from a short sweep; nothing of it is kept on disk.

    Args:
        plan: as `forecast` recommends it: one that fits into memory.
        dataset, workspace: see `forecast`.
    """
    from fullconv.training.preparing import readied
    from fullconv.training.rate_finder import find_learning_rate

    one = one_of(plan)  # which takes the step of all, part by part
    steps = plan.optimization.model_copy(update={"accumulate": plan.optimization.accumulate * processes_of(plan)})
    plan = one.model_copy(update={"optimization": steps})
    settings = plan.model_dump(mode="json", exclude={"dataset"})
    with _asked_for(dataset, settings, workspace) as (experiment, data), tempfile.TemporaryDirectory() as folder:
        wanted, net, grid, report = readied(experiment, data)
        aside = Path(folder)
        display = TrainingDisplay()
        return find_learning_rate(Job(aside, wanted, data, net, grid, report, Workspace(aside), display))


@contextmanager
def _asked_for(source: Any, settings: Mapping[str, Any], home: Workspace) -> Iterator[tuple[Experiment, Dataset]]:
    """Experiment and data; a dataset that is not stored yet is stored aside, for as long as this lasts."""
    from fullconv.training.preparing import experiment_for

    if not isinstance(source, Dataset):
        yield experiment_for(source, settings, home)
        return
    with tempfile.TemporaryDirectory() as folder:
        yield experiment_for(source, settings, _Aside(home.root, Path(folder)))


@dataclass(frozen=True)
class _Aside(Workspace):
    """A workspace whose datasets lie elsewhere."""

    aside: Path

    @property
    def datasets(self) -> Path:
        return self.aside


def forecast_of(
    plan: Plan,
    data: Dataset,
    net: AnyFCN,
    grid: ScoreGrid,
    report: TransferReport,
    *,
    memory: float | None = None,
    trial: bool = False,
) -> Forecast:
    """The same of a plan in which nothing is open.

    Args:
        plan, data, net, grid, report: what a run would work with; without a trial the network needs no weights, only
            their shapes.
        memory, trial: see `forecast`.
    """
    free = free_memory(plan.device) if memory is None else round(memory * 2**30)
    loader = 0 if plan.device == "cuda" else (plan.workers + min(1, plan.workers)) * WORKER
    one, count = one_of(plan), processes_of(plan)
    room = round(SHARE * free / sharing(plan)) - loader
    told = memory_of(one, data, net, grid, pretrained=report.pretrained)
    views = views_in_epoch(data.train, plan, grid)
    unknown: str | None = None
    batches: tuple[StepMemory, ...] = ()
    largest: int | None = None
    fallback: Fallback | None = None
    try:
        batches = tuple(told.of(size) for size in sorted({one.batch_size, *BATCHES}))
        largest = told.largest_batch(room, most=min(LARGEST_BATCH, ceil(views / count)))
        if told.of(one.batch_size).total > room:
            fallback = fallback_for(one, told, room, batch_norm=_has_batch_norm(net, plan))
    except NetworkError as problem:
        unknown = problem.problem
    fitting = one if fallback is None else fallback.applied(one)
    tried = None
    if trial and (fallback is None or fallback.fits):
        tried = _tried(fitting, data, sharing(plan))
    if trial and fallback is not None and fallback.fits and not _stays_within(tried, room):
        fallback, tried = _smaller_fallback(one, told, tried, data, room, batch_norm=_has_batch_norm(net, plan))
        fitting = fallback.applied(one)
    recommended = together(fitting, plan)
    checked, peak = False, None
    if tried is not None and largest:
        here = (
            largest
            if memory is None
            else min(largest, told.largest_batch(round(SHARE * free_memory(plan.device) / sharing(plan))))
        )
        if here == largest:
            largest, checked, peak = _checked(fitting, data, largest, tried, room)
    total = fallback.total if fallback else None if unknown else told.of(one.batch_size).total
    step = None if tried is None else tried.step
    group = several(recommended, net, total=total, loader=loader, step=step)
    batches_in_epoch = ceil(views / recommended.batch_size)
    return Forecast(
        plan=plan,
        recommended=recommended,
        batches=batches,
        unknown=unknown,
        free=free,
        loader=loader,
        largest_batch=None if largest is None else largest * count,
        checked=checked,
        peak=peak,
        fallback=fallback,
        trial=tried,
        times=None if tried is None else times_of(tried, recommended, data, batches_in_epoch, group),
        several=group,
        steps=ceil(batches_in_epoch / recommended.optimization.accumulate),
        images={name: len(data.split(name)) for name in ("train", "val", "test")},
        stride=net.stride,
        ceiling=data.statistics.stride_ceiling.get(net.stride),
        classes=_shares(data),
        commonest=data.statistics.commonest,
        transfer=report.source,
        warning=report.warning,
    )


def times_of(tried: Trial, plan: Plan, data: Dataset, batches: int, group: Several | None = None) -> Times:
    """Seconds of a whole run, from a few steps of it.

    Args:
        tried: of the run, or of one of its processes with its share of the batch.
        batches: in an epoch.
        group: the processes, where there are several.
    """
    count = 1
    if group is not None and group.efficiency is not None:
        tried, count = replace(tried, step=tried.step / group.efficiency[0]), group.count
    epoch = batches * tried.step + tried.between
    validation = ceil(len(data.val) / count) * tried.validation
    evaluation = len(data.test or data.val) * tried.validation + REPORT_SECONDS
    preparation = (len(data.train) + len(data.val)) * tried.preparation
    validations = plan.epochs // plan.validate_every + (plan.epochs % plan.validate_every > 0)
    run = tried.start + preparation + plan.epochs * epoch + validations * validation + evaluation
    return Times(tried.step, epoch, validation, preparation, tried.start, evaluation, run)


def _tried(plan: Plan, data: Dataset, sharing: int) -> Trial | None:
    try:
        return try_out(plan, data, sharing=sharing)
    except OutOfMemory:
        return None


def _checked(plan: Plan, data: Dataset, batch: int, tried: Trial, room: int) -> tuple[int, bool, int | None]:
    """The largest batch, one real step of it, and its peak; smaller where that step showed that it must be."""
    while batch > plan.batch_size:
        if CHECKED_STEPS * tried.step * batch / plan.batch_size > LONGEST_CHECK_SECONDS:
            return batch, False, None
        try:
            found = try_out(plan.model_copy(update={"batch_size": batch}), data, short=True)
        except OutOfMemory:
            batch = max(plan.batch_size, int(SMALLER * batch))
            continue
        if found.peak is None or found.peak <= room:
            return batch, found.peak is not None, found.peak
        batch = max(plan.batch_size, min(int(SMALLER * batch), int(batch * room / found.peak)))
    return plan.batch_size, tried.peak is not None, tried.peak


def _stays_within(tried: Trial | None, room: int) -> bool:
    """Whether real steps took no more than there is, as far as that was measured."""
    return tried is not None and (tried.peak is None or tried.peak <= room)


def _smaller_fallback(
    plan: Plan, told: MemoryForecast, tried: Trial | None, data: Dataset, room: int, *, batch_norm: bool
) -> tuple[Fallback, Trial | None]:
    """What fits where real steps of the first fall-back showed that it does not: the forecast is held to what it missed
    by, and tried again."""
    allowed = room
    for _ in range(MOST_FALLBACKS):
        over = SMALLER if tried is None or tried.peak is None else min(SMALLER, room / tried.peak)
        allowed = round(allowed * over)
        fallback = fallback_for(plan, told, allowed, batch_norm=batch_norm)
        tried = _tried(fallback.applied(plan), data, sharing(plan)) if fallback.fits else None
        if not fallback.fits or _stays_within(tried, room):
            return fallback, tried
    return fallback, tried


def _has_batch_norm(net: nn.Module, plan: Plan) -> bool:
    return plan.optimization.batch_norm == "batch" and any(
        isinstance(module, nn.modules.batchnorm._BatchNorm) for module in net.modules()
    )


def _shares(data: Dataset) -> dict[str, float]:
    pixels = data.statistics.splits["train"].pixels
    total = sum(pixels.values())
    return {name: count / total if total else 0.0 for name, count in pixels.items()}
