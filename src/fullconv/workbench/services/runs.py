"""Runs as they are shown: their state, how far they are, what was said, what they need."""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

import psutil
from pydantic import BaseModel, ConfigDict

from fullconv.data.classes import ClassTable
from fullconv.errors import FullconvError, NetworkError, PackageError, PlanError, StorageError
from fullconv.evaluation.report import curve_baselines
from fullconv.files import read_document
from fullconv.networks.catalogue import parse_name
from fullconv.process_identity import process_lives
from fullconv.store.package import read_card
from fullconv.training.checkpoints import last_checkpoint
from fullconv.training.runs import PLAN_FILE
from fullconv.training.settings.experiment import Experiment
from fullconv.training.status import Change, Status, read_status
from fullconv.workbench.annotations import Annotations, read_annotations, write_annotations
from fullconv.workbench.refusals import NotThere
from fullconv.workbench.reported import reported
from fullconv.workbench.services.jobs import JobView
from fullconv.workbench.services.plan_parts import file_name, opened_dataset
from fullconv.workbench.services.system import Card, cards_of
from fullconv.workbench.tables import OPEN
from fullconv.workbench.workbench import Workbench

State = Literal["queued", "running", "done", "failed", "aborted", "killed"]


class Said(BaseModel):
    """What the guard of a run has to say.

    Args:
        sentence: what is wrong. cause: the likeliest. remedy: what to do.
    """

    sentence: str
    cause: str | None = None
    remedy: str | None = None

    @classmethod
    def of(cls, warning: str) -> Said:
        """From a warning as it lies in status.json.

        >>> Said.of("the loss stands still; likely cause: a tiny rate; remedy: raise it").remedy
        'raise it'
        """
        sentence, _, rest = warning.partition("; likely cause: ")
        cause, _, remedy = rest.partition("; remedy: ")
        return cls(sentence=sentence, cause=cause or None, remedy=remedy or None)


class Hardware(BaseModel):
    """What a run computes on.

    Args:
        host: name of the machine. process: number of its process, while it lives.
        device: "cpu" or "cuda". devices: processes that train together. precision: of the arithmetic.
        memory: bytes that the process and those it started hold. cpu: cores that they keep busy; none where it runs on
            another machine, or not at all.
        cards: graphics cards on which it computes now; all of the machine's where the driver does not tell which.
        computed_on: what the report says of the machine.
    """

    host: str | None
    process: int | None
    device: str | None
    devices: int
    precision: str | None
    memory: int | None = None
    cpu: float | None = None
    cards: tuple[Card, ...] = ()
    computed_on: str | None = None


class RunScores(BaseModel):
    """Scores of the best epoch.

    Args:
        split: of whose images. pixel_accuracy, mean_accuracy, mean_iou, frequency_weighted_iou: 0 to 1.
    """

    split: str
    pixel_accuracy: float | None
    mean_accuracy: float | None
    mean_iou: float | None
    frequency_weighted_iou: float | None


class RunView(BaseModel):
    """A run.

    Args:
        name: of its folder. state: "killed" is one whose process is gone without a word.
        dataset, network, group, weights, seed: of its plan.
        epoch, epochs, progress: how far it is; progress from 0 to 1. seconds_left: of the training.
        best_mean_iou: on the validation images so far. scores: of the finished model.
        warnings: of the guard. error: the sentence that ended it.
        history: its states with their times.
        job: its latest job in the queue; none where it was started from a shell.
        hardware: what it computes on.
        resumable: it can go on. can_abort: it waits or runs. has_checkpoint, has_report, has_model: what there is.
        tags, note: that people gave it.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "name": "20260102-090000-streets-fcn4s-mobilenet_v2-features",
                "state": "running",
                "dataset": "streets",
                "network": "fcn4s-mobilenet_v2-features",
                "group": None,
                "weights": "auto",
                "seed": 0,
                "epoch": 24,
                "epochs": 60,
                "progress": 0.4,
                "seconds_left": 812.0,
                "best_mean_iou": 0.58,
                "scores": None,
                "warnings": [],
                "error": None,
                "history": [{"state": "queued", "when": "2026-01-02T09:00:00.000+00:00"}],
                "job": None,
                "hardware": {"host": "ada", "process": 4711, "device": "cpu", "devices": 1, "precision": "fp32"},
                "resumable": False,
                "can_abort": True,
                "has_checkpoint": True,
                "has_report": False,
                "has_model": False,
                "tags": ["paper"],
                "note": "",
            }
        }
    )

    name: str
    state: State
    dataset: str
    network: str
    group: str | None
    weights: str
    seed: int
    epoch: int
    epochs: int
    progress: float
    seconds_left: float | None
    best_mean_iou: float | None
    scores: RunScores | None
    warnings: list[Said]
    error: str | None
    history: list[Change]
    job: JobView | None
    hardware: Hardware
    resumable: bool
    can_abort: bool
    has_checkpoint: bool
    has_report: bool
    has_model: bool
    tags: tuple[str, ...]
    note: str


class ClassColor(BaseModel):
    """A class.

    Args:
        name: of it. color: red, green, blue, 0 to 255.
    """

    name: str
    color: tuple[int, int, int]


class ChartFacts(BaseModel):
    """What charts show beside the run's own numbers.

    Args:
        classes: that the run learned, with their colours; those that its dataset has, as long as there is no model.
        baselines: pixel_accuracy and mean_iou of always saying the commonest class. commonest: its name.
        ceiling: best mean IoU that the network's stride allows on the dataset.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "classes": [{"name": "road", "color": [128, 64, 128]}],
                "baselines": {"pixel_accuracy": 0.34, "mean_iou": 0.03},
                "commonest": "road",
                "ceiling": 0.93,
            }
        }
    )

    classes: list[ClassColor]
    baselines: dict[str, float]
    commonest: str | None
    ceiling: float | None


def directory_of(bench: Workbench, name: str) -> Path:
    """The folder of a run.

    Raises:
        NotThere: there is none of that name.
    """
    with suppress(StorageError):
        directory = bench.home.run(name)
        if (directory / PLAN_FILE).is_file():
            return directory
    raise NotThere(f"there is no run {name[:100]!r}", where="runs", remedy="look at the list of runs")


def run_of(bench: Workbench, name: str) -> RunView:
    """One run, as it is now.

    Raises:
        NotThere: there is none. PlanError, StorageError: its folder is damaged.
    """
    directory = directory_of(bench, name)
    status, plan = read_status(directory), plan_of(directory)
    job = job_of_run(bench, name)
    is_open = job is not None and job.state in OPEN
    notes = read_annotations(directory)
    state: Any = status.shown
    return RunView(
        name=name,
        state=state,
        dataset=plan.dataset,
        network=plan.network,
        group=plan.group,
        weights=file_name(plan.weights),
        seed=plan.seed,
        epoch=status.epoch,
        epochs=status.epochs,
        progress=status.progress,
        seconds_left=status.seconds_left,
        best_mean_iou=status.best_mean_iou,
        scores=_scores(directory),
        warnings=[Said.of(warning) for warning in status.warnings],
        error=status.error or (job.error if job is not None and state in ("failed", "killed") else None),
        history=list(status.with_its_end().history),
        job=job,
        hardware=_hardware(status, plan, directory),
        resumable=state != "done" and not status.alive and not is_open,
        can_abort=status.alive or is_open,
        has_checkpoint=last_checkpoint(directory) is not None,
        has_report=(directory / "report" / "report.html").is_file(),
        has_model=(directory / "model" / "model.yaml").is_file(),
        tags=notes.tags,
        note=notes.note,
    )


def plan_of(directory: Path) -> Experiment:
    """The plan of a run.

    Raises:
        PlanError: it is damaged.
    """
    return read_document(directory / PLAN_FILE, Experiment, PlanError)


def job_of_run(bench: Workbench, name: str) -> JobView | None:
    """The latest job that works, worked or will work on a run."""
    found = bench.queue.jobs(subject=f"run:{name}", limit=1)
    return JobView.of(found[0]) if found else None


def annotate_run(bench: Workbench, name: str, annotations: Annotations) -> Annotations:
    """Write tags and a note beside a run."""
    bench.must_be_writable()
    directory = directory_of(bench, name)
    write_annotations(directory, annotations)
    bench.catalogue.refresh()
    return read_annotations(directory)


def chart_facts(bench: Workbench, name: str) -> ChartFacts:
    """Classes with their colours, and the levels that curves are measured by; what is not known is left out."""
    directory = directory_of(bench, name)
    plan = plan_of(directory)
    try:
        data = opened_dataset(bench.home, plan.dataset)
    except (FullconvError, OSError):  # the dataset is gone; the charts stay
        return ChartFacts(classes=_colored(learned_classes(directory)), baselines={}, commonest=None, ceiling=None)
    levels = curve_baselines(data.statistics)
    stride = 0
    with suppress(NetworkError):  # the grid of somebody's own network is not known
        stride = parse_name(plan.network).stride
    return ChartFacts(
        classes=_colored(learned_classes(directory, data.classes)),
        baselines=levels.get("baselines", {}),
        commonest=levels.get("commonest"),
        ceiling=data.statistics.stride_ceiling.get(stride),
    )


def learned_classes(directory: Path, present: ClassTable | None = None) -> ClassTable | None:
    """The classes that a run learned: those of its dataset may have been changed since.

    Args:
        directory: of the run.
        present: the classes that its dataset has now. They give the colours, and all else where there is no model yet.
    """
    try:
        card = read_card(directory / "model")
    except PackageError:
        return present
    table = card.classes[card.network.heads[0]] if isinstance(card.classes, dict) else card.classes
    colors = {} if present is None else {entry.name: entry.color for entry in present.classes}
    classes = (entry.model_copy(update={"color": colors.get(entry.name, entry.color)}) for entry in table.classes)
    return ClassTable(classes=tuple(classes), ignored=table.ignored)


def _colored(table: ClassTable | None) -> list[ClassColor]:
    return [] if table is None else [ClassColor(name=entry.name, color=entry.color) for entry in table.classes]


def _scores(directory: Path) -> RunScores | None:
    with suppress(ValueError, KeyError, TypeError):
        content = reported(directory)
        return RunScores(split=content["split"], **{name: content["scores"][name] for name in _NAMES})
    return None


_NAMES = ("pixel_accuracy", "mean_accuracy", "mean_iou", "frequency_weighted_iou")


def _hardware(status: Status, plan: Experiment, directory: Path) -> Hardware:
    found = Hardware(
        host=status.host if status.process else None,
        process=status.process if status.alive else None,
        device=plan.device,
        devices=plan.devices * plan.nodes,
        precision=plan.precision,
    )
    with suppress(KeyError, TypeError):
        found.computed_on = str(reported(directory)["facts"]["computed on"])
    if found.process is not None:
        with suppress(psutil.Error):
            own = psutil.Process(found.process)
            if process_lives(own.pid, status.started, status.identity):
                family = [own, *own.children(recursive=True)]
                found.memory = sum(process.memory_info().rss for process in family)
                found.cpu = _busy_cores(family)
                if plan.device == "cuda":
                    found.cards = cards_of({process.pid for process in family})
    return found


_times: dict[int, tuple[float, float]] = {}
"""Process → when it was last looked at, and the seconds of processor time it had used by then."""


def _busy_cores(family: list[psutil.Process]) -> float | None:
    """Cores kept busy since somebody last looked."""
    used = 0.0
    for process in family:
        with suppress(psutil.Error):
            times = process.cpu_times()
            used += times.user + times.system
    now = time.monotonic()
    before = _times.get(family[0].pid)
    if before is None or now - before[0] > 1.0:
        _times[family[0].pid] = (now, used)
    if len(_times) > 100:
        _times.clear()
    if before is None or now <= before[0]:
        return None
    return max(0.0, (used - before[1]) / (now - before[0]))
