"""Jobs that wait or run, and what they work with: nobody deletes it under them."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

from fullconv.errors import FullconvError
from fullconv.workbench.refusals import Conflict
from fullconv.workbench.stored import PackageKind, StoredEvaluation, StoredPrediction, read_stored
from fullconv.workbench.tables import OPEN, Job
from fullconv.workbench.workbench import Workbench
from fullconv.workspace import Workspace

Wanted = StoredEvaluation | StoredPrediction
MOST = 10_000


def wanted_by(home: Workspace, job: Job) -> Wanted | None:
    """What a job was asked to score or to predict: its payload names only the folder; None where it is another kind."""
    name = str(job.payload.get("name"))
    with suppress(FullconvError):  # gone or damaged: the job will say so
        if job.kind == "evaluate":
            return read_stored(home, StoredEvaluation, name)
        if job.kind == "predict":
            return read_stored(home, StoredPrediction, name)
    return None


def refuse_open_work(bench: Workbench, name: str, works_with: Callable[[Job, Wanted | None], bool]) -> None:
    """Raise Conflict where a job that waits or runs works with something.

    Args:
        name: of it. works_with: whether a job does.
    """
    for job in bench.queue.jobs(states=OPEN, limit=MOST):
        if works_with(job, wanted_by(bench.home, job)):
            raise Conflict(f"job {job.id} ({job.title}) works with it", where=name, remedy="wait for it, or abort it")


def refuse_open_work_on_model(bench: Workbench, name: str, kind: PackageKind) -> None:
    """The same for a model of the store or of a run: evaluations and predictions work with it."""
    refuse_open_work(bench, name, lambda _, wanted: wanted is not None and (wanted.model, wanted.kind) == (name, kind))
