"""Examples of answers, for the OpenAPI document, where an answer is put together from parts that have their own."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from fullconv.workbench.services.jobs import JobView
from fullconv.workbench.services.listing import Entry
from fullconv.workbench.services.system import System

Responses = dict[int | str, dict[str, Any]]


def of(model: type[BaseModel]) -> Any:
    """The example that a model has of itself.

    >>> of(JobView)["state"]
    'running'
    """
    return model.model_json_schema()["example"]


def shows(example: Any, *, form: str = "application/json", status: int = 200) -> Responses:
    """What a route says of its answer, for `responses`.

    >>> shows([1], status=201)
    {201: {'content': {'application/json': {'example': [1]}}}}
    """
    return {status: {"content": {form: {"example": example}}}}


PAGE = {"entries": [of(Entry)], "total": 1}
LOG = {"text": "epoch 1 of 60: loss 1.21, mean IoU 0.31\n", "offset": 41}
HOME = {
    "system": of(System),
    "jobs": [of(JobView)],
    "courses": {"7": [0.21, 0.34, 0.41]},
    "ended": [],
    "repeatable": [],
    "counts": {"dataset": 1, "run": 4, "model": 3, "group": 1},
}
VALUES = {"state": ["done", "running"], "dataset": ["streets"], "group": [], "tag": ["paper"]}
OUTCOMES = [{"name": "20260102-090000-streets-fcn4s-mobilenet_v2-features", "problem": None}]
CLONE = {"experiment": {"dataset": "streets", "epochs": 60}, "yaml": "dataset: streets\nepochs: 60\n"}
SCORES = {
    "title": "fcn4s-mobilenet_v2-features on streets",
    "split": "test",
    "scores": {"pixel_accuracy": 0.93, "mean_accuracy": 0.71, "mean_iou": 0.62, "frequency_weighted_iou": 0.88},
}
POLYGONS = {
    "type": "FeatureCollection",
    "features": [
        {
            "type": "Feature",
            "properties": {"class": "road", "pixels": 5000},
            "geometry": {"type": "Polygon", "coordinates": [[[0, 0], [100, 0], [100, 50], [0, 50], [0, 0]]]},
        }
    ],
}
