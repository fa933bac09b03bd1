"""A run that has ended well."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from fullconv.errors import FullconvError, PlanError
from fullconv.evaluation.scores import Scores
from fullconv.files import read_document
from fullconv.networks.own_file import is_own_file
from fullconv.prediction.model import Model
from fullconv.training.runs import PLAN_FILE
from fullconv.training.settings.experiment import Plan
from fullconv.training.status import read_status


@dataclass(frozen=True)
class Run:
    """A finished run.

    Args:
        directory: with experiment.yaml, metrics.csv, checkpoints/, report/ and model/.
        experiment: as it ran.
        model: the best checkpoint.
        scores: on the test images, or on the validation images where there are no test images.
        split: which of the two.
        heads: the scores of every head by name, the first one first; empty for a network with one.
    """

    directory: Path
    experiment: Plan
    model: Model
    scores: Scores
    split: str
    heads: Mapping[str, Scores] = field(default_factory=dict)


def finished_run(directory: Path) -> Run:
    """A run that has ended well, from its folder.

    Raises:
        FullconvError: it has not, or a part of it cannot be read.
    """
    status = read_status(directory)
    if status.state != "done":
        raise FullconvError(status.error or f"the run is {status.state}", where=directory)
    plan = read_document(directory / PLAN_FILE, Plan, PlanError)
    model = Model.load(directory / "model", allow_code=is_own_file(plan.network))
    content = json.loads((directory / "report" / "scores.json").read_text())
    scores = Scores.from_dict(content["scores"])
    heads = {name: Scores.from_dict(found["scores"]) for name, found in content.get("heads", {}).items()}
    return Run(directory, plan, model, scores, model.card.scores[0].split, heads)
