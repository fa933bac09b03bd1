"""How a run ends before its time: the state it is left in, and the one sentence that says why and how to go on."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

from fullconv.errors import FullconvError, PlanError, StorageError
from fullconv.hardware import memory_ran_out
from fullconv.training.distribution.interrupts import Terminated
from fullconv.training.guard.reading_faults import SampleError
from fullconv.training.stopping import StopRequested

FULL = (errno.ENOSPC, errno.EDQUOT)


def verdict(problem: BaseException, directory: Path) -> tuple[Any, FullconvError | None]:
    """The state that an exception leaves a run in, and the sentence for the person; None where it has its own.

    Args:
        problem: what ended the run.
        directory: its folder.

    >>> verdict(OSError(28, "No space left on device"), Path("runs/one"))[1].remedy
    'free some and continue with `fullconv train --resume one`'
    """
    again = f"continue with `fullconv train --resume {directory.name}`"
    if isinstance(problem, Terminated):
        return "aborted", FullconvError("the system told it to end (SIGTERM)", remedy=again)
    if isinstance(problem, StopRequested | KeyboardInterrupt):
        return "aborted", None
    if isinstance(problem, SampleError):
        advice = "" if problem.remedy is None else f"{problem.remedy}, then "
        return "failed", SampleError(problem.problem, where=problem.where, remedy=advice + again)
    if _is_full(problem) or (isinstance(problem, StorageError) and _is_full(problem.__cause__)):
        return "failed", StorageError("no space left on the disk", where=directory, remedy=f"free some and {again}")
    if isinstance(problem, FullconvError):
        return "failed", problem
    if isinstance(problem, OSError):
        what = problem.strerror or str(problem)
        return "failed", StorageError(what, where=problem.filename or directory, remedy=f"mend that and {again}")
    if memory_ran_out(problem):
        remedy = "use a smaller batch_size or crop"
        return "failed", PlanError("there is not enough memory for this batch", where=directory, remedy=remedy)
    if isinstance(problem, RuntimeError) and "DataLoader worker" in str(problem):
        remedy = f"close other programs, or set workers to 0 in {directory / 'experiment.yaml'}, and {again}"
        return "failed", PlanError("a loader process was killed, most likely for want of memory", remedy=remedy)
    return "failed", None


def _is_full(problem: BaseException | None) -> bool:
    return isinstance(problem, OSError) and problem.errno in FULL
