"""A few real steps of a run in a process of their own: how much memory they take, and how long they last.

The process may be ended by the system where memory does not suffice, and nothing else is lost.
"""

from __future__ import annotations

import multiprocessing
import re
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

import psutil
import torch

from fullconv.data.dataset import Dataset
from fullconv.errors import FullconvError
from fullconv.hardware import memory_ran_out
from fullconv.training.display import TrainingDisplay
from fullconv.training.distribution.interrupts import deaf_to_interrupts
from fullconv.training.distribution.processes import Processes
from fullconv.training.job import Job
from fullconv.training.loaders import prepare_samples, workers_without_main
from fullconv.training.settings.experiment import Plan
from fullconv.training.status import Status
from fullconv.workspace import Workspace

PIXELS = 8_000_000
FEWEST_STEPS, MOST_STEPS = 3, 40
VALIDATED_PIXELS = 4_000_000
FEWEST_VALIDATED, MOST_VALIDATED = 2, 20


@dataclass(frozen=True)
class Trial:
    """What a few real steps showed.

    Args:
        batch_size: views in a step.
        idle: bytes of the process before it began.
        peak: bytes over that; on a GPU, of its memory; none where this system does not tell.
        workers: bytes of all loader processes.
        steps: timed ones.
        step: seconds of one, loader included.
        between: seconds between two epochs: checkpoint, refilling the loader.
        validation: seconds per validation image.
        preparation: seconds per image that is decoded and resized for the first time.
        start: seconds until the first step, preparation aside, and those that the first validation takes longer than
            others: both start processes that read.
    """

    batch_size: int
    idle: int
    peak: int | None
    workers: int
    steps: int
    step: float
    between: float
    validation: float
    preparation: float
    start: float


@dataclass(frozen=True)
class _Request:
    plan: Plan
    data: Dataset
    threads: int


class OutOfMemory(Exception):
    """The steps needed more memory than there is."""


def try_out(plan: Plan, data: Dataset, *, short: bool = False, sharing: int = 1) -> Trial:
    """Train as planned, on a few of the images, twice a few steps and a validation; nothing of it stays.

    Args:
        plan: what would run; its loader, workers, regime and precision are used as they are.
        data: all splits.
        short: as few steps as show the memory.
        sharing: processes that will share the cores; the trial takes no more than the share of one.

    Raises:
        OutOfMemory: the process was ended for want of memory, or could not get any.
        FullconvError: it failed as the run would.
    """
    area = plan.batch_size * plan.crop[0] * plan.crop[1]
    steps = 2 if short else min(MOST_STEPS, max(FEWEST_STEPS, PIXELS // area))
    train = data.train.samples[: steps * plan.batch_size]
    largest = max(plan.resize.size(*size)[0] * plan.resize.size(*size)[1] for size in data.val.sizes)
    count = 1 if short else min(MOST_VALIDATED, max(FEWEST_VALIDATED, VALIDATED_PIXELS // largest))
    views = max(1, round(steps * plan.batch_size / len(train)))
    few = {"epochs": 2, "views": views, "validate_every": 1, "patience": None, "devices": 1, "nodes": 1, "loggers": ()}
    request = _Request(
        plan.model_copy(update=few),
        data.subset([*train, *data.val.samples[:count]]),
        max(1, torch.get_num_threads() // sharing),
    )
    context = multiprocessing.get_context("spawn")
    receiving, sending = context.Pipe(duplex=False)
    process = context.Process(target=_work, args=(sending, request), daemon=False)
    with workers_without_main(), deaf_to_interrupts():
        process.start()
    sending.close()
    try:
        found = receiving.recv()
    except EOFError:
        found = None
    except BaseException:  # Ctrl-C
        process.kill()
        raise
    finally:
        receiving.close()
        process.join()
    if found is None or isinstance(found, MemoryError):
        raise OutOfMemory
    if isinstance(found, Exception):
        raise found
    assert isinstance(found, Trial)
    return found


def _work(sending: Connection, request: _Request) -> None:
    """What the process does."""
    torch.set_num_threads(request.threads)
    with suppress(OSError):  # before anything else where memory runs out
        Path("/proc/self/oom_score_adj").write_text("1000")
    try:
        found: Trial | Exception = _measured(request)
    except FullconvError as problem:
        found = FullconvError(problem.problem, where=problem.where, remedy=problem.remedy)
    except Exception as problem:
        if memory_ran_out(problem):
            found = MemoryError()
        elif isinstance(problem, RuntimeError):
            found = FullconvError(str(problem))
        else:
            found = FullconvError(f"the trial failed with {type(problem).__name__}: {problem}")
    sending.send(found)
    sending.close()


def _measured(request: _Request) -> Trial:
    from fullconv.training.engine import fit_network
    from fullconv.training.preparing import readied

    plan, data = request.plan, request.data
    idle = int(psutil.Process().memory_info().rss)
    began = time.monotonic()
    watch = _Stopwatch()
    with tempfile.TemporaryDirectory() as folder:
        home = Workspace(Path(folder))
        before = time.monotonic()
        prepare_samples(data, plan, home)
        preparation = time.monotonic() - before
        _, net, grid, report = readied(plan, data)
        job = Job(Path(folder), plan, data, net, grid, report, home, watch)
        _measure_from_here()  # building a network may take more for a moment than training it
        fit_network(job, Status.now("running", epochs=plan.epochs), Processes())
    first, second = ([moment for epoch, moment in watch.steps if epoch == number] for number in (1, 2))
    step = (second[-1] - second[0]) / (len(second) - 1) if len(second) > 1 else second[0] - watch.validations[0]
    first_validation, validation = watch.validations[0] - first[-1], watch.validations[1] - second[-1]
    return Trial(
        batch_size=plan.batch_size,
        idle=idle,
        peak=_peak_over(idle, plan.device),
        workers=watch.workers,
        steps=len(second),
        step=step,
        between=max(0.0, second[0] - watch.validations[0] - step),
        validation=validation / len(data.val),
        preparation=preparation / (len(data.train) + len(data.val)),
        start=max(0.0, first[0] - began - preparation - step) + max(0.0, first_validation - validation),
    )


class _Stopwatch(TrainingDisplay):
    """Notes when steps and validations end, and what the loader's processes take."""

    def __init__(self) -> None:
        super().__init__(quiet=True)
        self.steps: list[tuple[int, float]] = []
        self.validations: list[float] = []
        self.workers = 0

    def step(self, step: int, epoch: int, epochs: int, loss: float, learning_rate: float) -> None:
        """One training step is done."""
        self.steps.append((epoch, time.monotonic()))

    def validated(self, epoch: int, epochs: int, row: Mapping[str, float | None], best: float) -> None:
        """One validation is done."""
        self.validations.append(time.monotonic())
        with suppress(psutil.Error):
            children = psutil.Process().children(recursive=True)
            self.workers = max(self.workers, sum(int(child.memory_full_info().uss) for child in children))


def _measure_from_here() -> None:
    """The peak of this process counts from here on, where the system allows that."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()


def _peak_over(idle: int, device: str) -> int | None:
    """Bytes over those, at most until now."""
    if device == "cuda":
        return int(torch.cuda.max_memory_reserved())
    if not sys.platform.startswith("linux"):
        return None
    found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    return None if found is None else int(found[1]) * 1024 - idle
