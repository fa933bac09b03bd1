"""Another learning rate for a run that goes on: what to do about one that was too large."""

from __future__ import annotations

from dataclasses import replace

from fullconv.errors import PlanError
from fullconv.files import validate_document, write_document
from fullconv.training.job import Job
from fullconv.training.runs import PLAN_FILE
from fullconv.training.settings.experiment import Plan
from fullconv.training.settings.optimization import Optimization, with_rate
from fullconv.training.status import Status, read_status, write_status

CHANGED = "the learning rate was changed from"


def rate_was_changed(status: Status) -> bool:
    """Whether a run was resumed at another rate than it began with."""
    return any(CHANGED in warning for warning in status.warnings)


def with_learning_rate(job: Job, rate: float) -> Job:
    """The same run with another peak learning rate; its plan and its warnings say so.

    Args:
        job: of a run that is not done.
        rate: of parameters that start from nothing; that of transferred ones changes in proportion.

    Raises:
        PlanError: the run is done, or the rate is not above 0.
        StorageError: the plan cannot be written.
    """
    status = read_status(job.directory)
    if status.state == "done":
        remedy = "train again from the start"
        raise PlanError("the run is done; no rate can change it", where=job.directory, remedy=remedy)
    before = job.plan.optimization
    asked = before.model_dump() | {"learning_rate": rate}
    validate_document(asked, Optimization, where="learning_rate", error=PlanError)
    if rate == before.learning_rate:
        return job
    plan = job.plan.model_copy(update={"optimization": with_rate(before, rate)})
    plan = Plan.model_validate(plan.model_dump())
    note = (
        f"after epoch {status.epoch} {CHANGED} {before.learning_rate:g} to {rate:g}: "
        "experiment.yaml alone does not give this run again"
    )
    write_document(job.directory / PLAN_FILE, plan)
    write_status(job.directory, Status.now(status.state, status, warnings=(*status.warnings, note)))
    return replace(job, plan=plan)
