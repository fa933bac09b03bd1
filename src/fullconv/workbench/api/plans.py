"""REST: plans before they run."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, status

from fullconv.workbench.api.access import Bench
from fullconv.workbench.services import plans as service
from fullconv.workbench.services.jobs import JobView
from fullconv.workbench.services.plan_form import FormField, form_fields
from fullconv.workbench.services.plans import PlanRequest, PlanView, Samples

router = APIRouter(prefix="/plans", tags=["plans"])


@router.post("")
def view_plan(
    bench: Bench,
    wanted: PlanRequest,
    memory: Annotated[bool, Query(description="Tell the memory too; takes a second or two.")] = True,
) -> PlanView:
    """What would run: every setting decided, the learning rate over the run, memory, and the largest batch that fits.

    Nothing is kept. Every wrong field is listed under `errors`.
    """
    return service.view_plan(bench, wanted.experiment, memory=memory)


@router.get("/fields")
def read_fields() -> list[FormField]:
    """Every setting of a plan: what it means, its kind, its default, its bounds."""
    return list(form_fields())


@router.post("/forecast", status_code=status.HTTP_202_ACCEPTED)
def start_forecast(bench: Bench, wanted: PlanRequest) -> JobView:
    """Time a few real steps and check the largest batch, in a job; its result is what `fullconv plan --json` prints."""
    return service.start_forecast(bench, wanted.experiment)


@router.post("/samples")
def view_samples(
    bench: Bench,
    wanted: PlanRequest,
    epoch: Annotated[int, Query(ge=1, le=100_000)] = 1,
    first: Annotated[int, Query(ge=0, le=1_000_000, description="Place in the epoch, from 0.")] = 0,
    count: Annotated[int, Query(ge=1, le=service.MOST_SAMPLES)] = 8,
) -> Samples:
    """Training samples as training will see them, augmented: the very pixels of that place of that epoch."""
    return service.view_samples(bench, wanted.experiment, epoch=epoch, first=first, count=count)
