"""What came of a job whose process is gone and did not say so: the files that it works on tell."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from fullconv.data.description import FILE_NAME, DatasetDescription
from fullconv.errors import FullconvError
from fullconv.files import read_document
from fullconv.training.status import read_status
from fullconv.workbench.reported import reported
from fullconv.workbench.stored import RESULTS, SHARES, StoredEvaluation, StoredPrediction, directory_of, read_stored
from fullconv.workbench.tables import Job
from fullconv.workspace import Workspace


@dataclass(frozen=True)
class Outcome:
    """How a job ended.

    Args:
        state: "done", "failed" or "aborted". error: the sentence. result: what it made.
    """

    state: str
    error: str | None = None
    result: dict[str, Any] | None = None


def outcome_of(home: Workspace, job: Job) -> Outcome | None:
    """How a job ended, as far as its files say; None where it was cut short, or where they cannot tell."""
    look = _LOOKS.get(job.kind)
    with suppress(FullconvError, OSError, ValueError, LookupError, TypeError):  # files of any content
        return None if look is None else look(home, job)
    return None


def trained(home: Workspace, name: str) -> dict[str, Any]:
    """The result of a training whose run is done, whatever became of its report."""
    found = None
    with suppress(LookupError, TypeError):
        found = reported(home.run(name))["scores"]["mean_iou"]
    known = isinstance(found, int | float) and math.isfinite(found)
    return {"run": name, "mean_iou": found if known else None}


def _training(home: Workspace, job: Job) -> Outcome | None:
    status = read_status(home.run(job.payload["run"]))
    if status.state == "done":
        return Outcome("done", result=trained(home, job.payload["run"]))
    began = (status.identity, job.identity)
    same = abs(status.started - (job.started or 0.0)) < 1.0 if None in began else status.identity == job.identity
    own = status.process == job.process and same
    if status.state in ("failed", "aborted") and own:
        return Outcome(status.state, error=status.error)
    return None


def _dataset(home: Workspace, job: Job) -> Outcome | None:
    made = read_document(home.dataset(job.payload["name"]) / FILE_NAME, DatasetDescription)
    if job.begun is None or datetime.fromisoformat(made.created).timestamp() < math.floor(job.begun):
        return None
    return Outcome("done", result={"dataset": made.name, "images": made.statistics.images})


def _evaluation(home: Workspace, job: Job) -> Outcome | None:
    found = read_stored(home, StoredEvaluation, job.payload["name"])
    result = {"evaluation": job.payload["name"], "mean_iou": found.mean_iou}
    return Outcome("done", result=result) if found.done else None


def _prediction(home: Workspace, job: Job) -> Outcome | None:
    name = job.payload["name"]
    found = read_stored(home, StoredPrediction, name)
    if not found.done:
        return None
    lines = (directory_of(home, StoredPrediction, name) / RESULTS / SHARES).read_text(encoding="utf-8").splitlines()
    return Outcome("done", result={"prediction": name, "images": len(lines) - 1, "failed": len(found.failed)})


_LOOKS: Mapping[str, Callable[[Workspace, Job], Outcome | None]] = {
    "train": _training,
    "dataset": _dataset,
    "evaluate": _evaluation,
    "predict": _prediction,
}
