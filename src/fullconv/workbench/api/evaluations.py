"""REST: models against datasets, as jobs."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path, status
from starlette.responses import Response

from fullconv.workbench.api.access import Bench
from fullconv.workbench.api.examples import SCORES, shows
from fullconv.workbench.api.predictions import NAME
from fullconv.workbench.services import evaluations as service
from fullconv.workbench.services.evaluations import EvaluationView, EvaluationWish
from fullconv.workbench.services.jobs import JobView

router = APIRouter(prefix="/evaluations", tags=["predictions"])
Name = Annotated[str, Path(description="Of the evaluation.", pattern=NAME, examples=["20260102-090000-streets"])]
_PAGE: dict[int | str, dict[str, Any]] = {
    200: {"description": "The report.", "content": {"text/html": {"schema": {"type": "string"}}}}
}


@router.post("", status_code=status.HTTP_201_CREATED)
def evaluate_model(bench: Bench, wish: EvaluationWish) -> JobView:
    """Score a model on a split of a dataset, as a job; its subject is `evaluation:NAME`."""
    return service.evaluate_model(bench, wish)


@router.get("")
def list_evaluations(bench: Bench) -> list[EvaluationView]:
    """All evaluations, the newest first."""
    return service.list_evaluations(bench)


@router.get("/{name}")
def read_evaluation(bench: Bench, name: Name) -> EvaluationView:
    """One of them."""
    return service.evaluation_of(bench, name)


@router.get("/{name}/scores", responses=shows(SCORES))
def read_scores(bench: Bench, name: Name) -> dict[str, Any]:
    """All scores of it: per class, with the confusion matrix, per image."""
    return service.scores_of(bench, name)


@router.get("/{name}/report", responses=_PAGE, response_class=Response)
def read_report(bench: Bench, name: Name) -> Response:
    """Its report: scores, confusion matrix, worst and best images."""
    return Response(service.report_of(bench, name), media_type="text/html; charset=utf-8")


@router.delete("/{name}", status_code=status.HTTP_204_NO_CONTENT)
def delete_evaluation(bench: Bench, name: Name) -> None:
    """Delete it."""
    service.delete_evaluation(bench, name)
