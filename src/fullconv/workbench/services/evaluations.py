"""Evaluations as jobs: a model against a split of a dataset."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from fullconv.store.package import read_card
from fullconv.workbench.jobs.waiting_runs import planning
from fullconv.workbench.predicting.opened import chosen_head
from fullconv.workbench.refusals import Conflict, NotThere
from fullconv.workbench.services.jobs import JobView
from fullconv.workbench.services.predictions import package_of
from fullconv.workbench.stored import (
    REPORT,
    PackageKind,
    StoredEvaluation,
    add_stored,
    all_stored,
    directory_of,
    now,
    read_stored,
)
from fullconv.workbench.workbench import Workbench

SUBJECT = "evaluation:"
"""Jobs work on this and its name."""


class EvaluationWish(BaseModel):
    """A model to be scored.

    Args:
        model: of the store, or a run. kind: only there; the store first if not given.
        head: of a model with several; the first if not given.
        dataset: its name. split: of it.
    """

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        json_schema_extra={"example": {"model": "streets", "dataset": "streets", "split": "test"}},
    )

    model: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")
    kind: PackageKind | None = None
    head: str | None = Field(default=None, max_length=200)
    dataset: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")
    split: Literal["train", "val", "test"] = "test"


class EvaluationView(BaseModel):
    """A model against a dataset.

    Args:
        name: of it. model: that is scored. kind: of the store, or of a run. head: that was asked.
        dataset: its name. split: of it. images: how many.
        created: ISO 8601. done: it is finished. job: the latest that does it; none where the server was
            killed before it came into the queue, or its job was forgotten.
        pixel_accuracy, mean_accuracy, mean_iou, frequency_weighted_iou: the scores, once it is done.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "name": "20260102-090000-streets-on-streets",
                "model": "streets",
                "kind": "model",
                "head": None,
                "dataset": "streets",
                "split": "test",
                "images": 72,
                "created": "2026-01-02T09:00:00+00:00",
                "done": True,
                "job": 12,
                "pixel_accuracy": 0.91,
                "mean_accuracy": 0.7,
                "mean_iou": 0.62,
                "frequency_weighted_iou": 0.85,
            }
        }
    )

    name: str
    model: str
    kind: PackageKind
    head: str | None
    dataset: str
    split: Literal["train", "val", "test"]
    images: int | None
    created: str
    done: bool
    job: int | None
    pixel_accuracy: float | None
    mean_accuracy: float | None
    mean_iou: float | None
    frequency_weighted_iou: float | None


def evaluate_model(bench: Workbench, wish: EvaluationWish) -> JobView:
    """Score a model on a split of a dataset, as a job; its `subject` names the evaluation."""
    bench.must_be_writable()
    with planning(bench.home):
        return _started(bench, wish)


def _started(bench: Workbench, wish: EvaluationWish) -> JobView:
    package = package_of(bench, wish.model, wish.kind)
    splits = bench.datasets.open(wish.dataset).head.statistics.splits
    if wish.split not in splits or not splits[wish.split].images:
        there = ", ".join(name for name, counts in splits.items() if counts.images)
        raise NotThere(f"{wish.dataset} has no images for {wish.split}", where="split", remedy=f"it has {there}")
    asked = StoredEvaluation(
        model=package.name,
        kind=package.kind,
        head=chosen_head(read_card(package.directory).network.heads, wish.head),
        dataset=wish.dataset,
        split=wish.split,
        created=now(),
    )
    name = add_stored(bench.home, asked, f"{package.name}-on-{wish.dataset}")
    try:
        job = bench.queue.add(
            "evaluate",
            title=f"{package.name} against {wish.dataset} ({wish.split})",
            payload={"name": name},
            subject=f"{SUBJECT}{name}",
            device="either",
        )
    except BaseException:
        if not bench.queue.may_have(f"{SUBJECT}{name}"):
            shutil.rmtree(directory_of(bench.home, StoredEvaluation, name), ignore_errors=True)
        raise
    return JobView.of(job)


def list_evaluations(bench: Workbench) -> list[EvaluationView]:
    """All of them, the newest first."""
    jobs = bench.queue.latest(SUBJECT)
    return [_view(name, asked, jobs) for name, asked in all_stored(bench.home, StoredEvaluation)]


def evaluation_of(bench: Workbench, name: str) -> EvaluationView:
    """One of them."""
    asked = read_stored(bench.home, StoredEvaluation, name)
    return _view(name, asked, bench.queue.latest(f"{SUBJECT}{name}"))


def scores_of(bench: Workbench, name: str) -> dict[str, Any]:
    """All scores, per class and with the confusion matrix, as `fullconv evaluate --json` gives them.

    Raises:
        NotThere: it is not done yet.
    """
    path = directory_of(bench.home, StoredEvaluation, name) / REPORT / "scores.json"
    if not path.is_file():
        raise NotThere("it is not done yet", where=name, remedy="wait for its job")
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return content


def report_of(bench: Workbench, name: str) -> bytes:
    """Its report as a page of HTML.

    Raises:
        NotThere: it is not done yet.
    """
    path = directory_of(bench.home, StoredEvaluation, name) / REPORT / "report.html"
    if not path.is_file():
        raise NotThere("it is not done yet", where=name, remedy="wait for its job")
    return path.read_bytes()


def delete_evaluation(bench: Workbench, name: str) -> None:
    """Delete it.

    Raises:
        Conflict: its job is still open.
    """
    bench.must_be_writable()
    directory = directory_of(bench.home, StoredEvaluation, name)
    with bench.queue.adding() as step:  # nobody does it again meanwhile
        if step.open_jobs([f"{SUBJECT}{name}"]):
            raise Conflict("its job is still open", where=name, remedy="abort it first")
        gone = bench.scratch.set_aside(directory)
    shutil.rmtree(gone, ignore_errors=True)


def _view(name: str, asked: StoredEvaluation, jobs: Mapping[str, int]) -> EvaluationView:
    return EvaluationView(name=name, job=jobs.get(f"{SUBJECT}{name}"), **asked.model_dump(exclude={"format"}))
