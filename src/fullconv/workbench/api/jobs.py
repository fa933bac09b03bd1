"""REST: the queue."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Path, Query, status
from pydantic import BaseModel, ConfigDict

from fullconv.workbench.api.access import Bench
from fullconv.workbench.api.examples import LOG, shows
from fullconv.workbench.services import jobs as service
from fullconv.workbench.services import retrying
from fullconv.workbench.services.jobs import JobView, Log

router = APIRouter(prefix="/jobs", tags=["jobs"])
Number = Annotated[int, Path(description="Number of the job.", ge=1, le=2**31 - 1, examples=[7])]
State = Literal["queued", "claimed", "running", "done", "failed", "aborted"]


class Place(BaseModel):
    """Where a waiting job goes.

    Args:
        before: number of the job that comes after it; none for the end.
    """

    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": {"before": 5}})

    before: int | None = None


@router.get("")
def list_jobs(
    bench: Bench,
    state: Annotated[list[State] | None, Query(description="Only jobs in these states.")] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 200,
) -> list[JobView]:
    """Jobs, the latest first; with state=queued alone in the order in which they will start."""
    return service.list_jobs(bench, states=tuple(state or ()), limit=limit)


@router.get("/{number}")
def read_job(bench: Bench, number: Number) -> JobView:
    """One job."""
    return service.job_of(bench, number)


@router.get("/{number}/log", responses=shows(LOG))
def read_log(
    bench: Bench, number: Number, offset: Annotated[int, Query(ge=0, le=2**62, description="In bytes.")] = 0
) -> Log:
    """What a job said, from a place on."""
    return service.log_of(bench, number, offset)


@router.post("/{number}/abort")
def abort_job(bench: Bench, number: Number) -> JobView:
    """Stop a job: at once where it waits, else as soon as it can."""
    return service.abort_job(bench, number)


@router.post("/{number}/retry", status_code=status.HTTP_201_CREATED)
def retry_job(bench: Bench, number: Number) -> JobView:
    """Do a failed or aborted job again; a run goes on from its last whole epoch."""
    return retrying.retry_job(bench, number)


@router.post("/{number}/move")
def move_job(bench: Bench, number: Number, place: Place) -> JobView:
    """Change the order of what waits."""
    return service.move_job(bench, number, place.before)


@router.delete("/{number}", status_code=status.HTTP_204_NO_CONTENT)
def remove_job(bench: Bench, number: Number) -> None:
    """Forget a job that has ended, with its log."""
    service.remove_job(bench, number)
