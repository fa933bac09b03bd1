"""All of REST, under /api/v1."""

from __future__ import annotations

from fastapi import APIRouter

from fullconv.workbench.api import (
    checks,
    compare,
    dataset_images,
    datasets,
    evaluations,
    folder_predictions,
    groups,
    jobs,
    layers,
    lists,
    models,
    networks,
    plans,
    predictions,
    runs,
    system,
    trials,
    weights,
)
from fullconv.workbench.api.problems import Problem

router = APIRouter(
    prefix="/api/v1",
    responses={
        "default": {
            "description": "A problem: what is wrong, where, and what to do (RFC 9457).",
            "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
            "model": Problem,
        }
    },
)
for part in (
    system,
    lists,
    jobs,
    predictions,
    datasets,
    dataset_images,
    checks,
    networks,
    plans,
    runs,
    groups,
    layers,
    trials,
    folder_predictions,
    evaluations,
    compare,
    models,
    weights,
):
    router.include_router(part.router)
