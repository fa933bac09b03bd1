"""Groups of runs: what differs between them, what they score, how far the scores spread."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict
from sqlmodel import col, select

from fullconv.errors import FullconvError, PlanError, StorageError
from fullconv.files import read_document
from fullconv.training.group_summary import SUMMARY
from fullconv.training.runs import PLAN_FILE
from fullconv.training.settings.experiment import Experiment
from fullconv.workbench.database import reading
from fullconv.workbench.refusals import NotThere
from fullconv.workbench.storable import column_text
from fullconv.workbench.tables import CatalogueEntry
from fullconv.workbench.workbench import Workbench
from fullconv.workspace import checked_name

GROUP_SCORES = ("pixel_accuracy", "mean_accuracy", "mean_iou", "frequency_weighted_iou")


class Spread(BaseModel):
    """A score over the runs of a group.

    Args:
        mean: over them. deviation: the standard deviation.
    """

    mean: float | None
    deviation: float | None


class GroupRun(BaseModel):
    """A run in a group.

    Args:
        run: its name. settings: those in which the runs differ, by their path in the plan.
        state: now; none where its folder is gone.
        split: of whose images the scores are.
        pixel_accuracy, mean_accuracy, mean_iou, frequency_weighted_iou: 0 to 1, once it is done.
        heads: of a network with several, the mean IoU of each.
        error: the sentence that ended it.
    """

    run: str
    settings: dict[str, Any] = {}
    state: str | None = None
    split: str | None = None
    pixel_accuracy: float | None = None
    mean_accuracy: float | None = None
    mean_iou: float | None = None
    frequency_weighted_iou: float | None = None
    heads: dict[str, float | None] = {}
    error: str | None = None


class GroupView(BaseModel):
    """A group of runs.

    Args:
        name: of it. summed_up: whether its summary is written, as `groups/<name>/summary.json`.
        axes: settings that differ, by their path in the plan, with their values.
        runs: in the order of the values; those without a result, and those that are not in the summary, last.
        missing: names of the runs that the summary found without a result.
        spread: of each score over the runs that have one. heads: of the mean IoU of each head.
        ensemble: the model of the store that is all folds as one.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "name": "streets-seed",
                "summed_up": True,
                "axes": {"seed": [0, 1]},
                "runs": [
                    {
                        "run": "20260102-090000-streets-fcn4s-mobilenet_v2-features",
                        "settings": {"seed": 0},
                        "state": "done",
                        "split": "test",
                        "pixel_accuracy": 0.91,
                        "mean_accuracy": 0.7,
                        "mean_iou": 0.62,
                        "frequency_weighted_iou": 0.85,
                        "heads": {},
                        "error": None,
                    }
                ],
                "missing": ["20260102-091000-streets-fcn4s-mobilenet_v2-features"],
                "spread": {"mean_iou": {"mean": 0.62, "deviation": 0.0}},
                "heads": {},
                "ensemble": None,
            }
        }
    )

    name: str
    summed_up: bool
    axes: dict[str, list[Any]]
    runs: list[GroupRun]
    missing: list[str]
    spread: dict[str, Spread]
    heads: dict[str, Spread]
    ensemble: str | None


class GroupEntry(BaseModel):
    """A group in the list.

    Args:
        name: of it. runs: how many there are. done: of them. summed_up: whether its summary is written.
    """

    model_config = ConfigDict(
        json_schema_extra={"example": {"name": "streets-seed", "runs": 3, "done": 3, "summed_up": True}}
    )

    name: str
    runs: int
    done: int
    summed_up: bool


class _Scored(BaseModel):
    run: str
    settings: dict[str, Any] = {}
    split: str | None = None
    scores: dict[str, Any] = {}
    heads: dict[str, dict[str, Any]] = {}


class _Missing(BaseModel):
    run: str
    error: str | None = None


class _Summary(BaseModel):
    axes: dict[str, list[Any]] = {}
    runs: list[_Scored] = []
    missing: list[_Missing] = []
    ensemble: str | None = None
    spread: dict[str, Spread] = {}
    heads: dict[str, dict[str, Spread]] = {}


def list_groups(bench: Workbench) -> list[GroupEntry]:
    """All groups by name: those with runs, and those with a summary."""
    states: dict[str, list[str | None]] = {}
    with reading(bench.engine) as session:
        query = select(CatalogueEntry.group, CatalogueEntry.state).where(CatalogueEntry.kind == "run")
        for group, state in session.exec(query.where(col(CatalogueEntry.group).is_not(None))).all():
            states.setdefault(str(group), []).append(state)
    written = {path.parent.name for path in bench.home.groups.glob(f"[!.]*/{SUMMARY}")}
    found = []
    for name in sorted({*states, *written}):
        own = states.get(name, [])
        found.append(GroupEntry(name=name, runs=len(own), done=own.count("done"), summed_up=name in written))
    return found


def group_of(bench: Workbench, name: str) -> GroupView:
    """One group: its summary, with what has become of its runs since.

    Raises:
        NotThere: there is none. StorageError: its summary is damaged.
    """
    with reading(bench.engine) as session:
        query = select(CatalogueEntry).where(CatalogueEntry.kind == "run", CatalogueEntry.group == column_text(name))
        known = {entry.name: entry for entry in session.exec(query.order_by(col(CatalogueEntry.name))).all()}
    summary = _summary(bench, name)
    if summary is None and not known:
        raise NotThere(f"there is no group {name[:100]!r}", where="groups", remedy="look at the list of groups")
    found = summary or _Summary()
    runs = [_scored(one, known.pop(one.run, None)) for one in found.runs]
    runs += [_unscored(one.run, known.pop(one.run, None), one.error) for one in found.missing]
    runs += [_unscored(entry.name, entry) for entry in known.values()]
    axes = found.axes
    if summary is None:  # their plans tell what differs
        axes, settings = differing({run.run: _plan(bench, run.run) for run in runs})
        runs = [run.model_copy(update={"settings": settings[run.run]}) for run in runs]
    return GroupView(
        name=name,
        summed_up=summary is not None,
        axes=axes,
        runs=runs,
        missing=[one.run for one in found.missing],
        spread=found.spread,
        heads={head: scores["mean_iou"] for head, scores in found.heads.items() if "mean_iou" in scores},
        ensemble=None if found.ensemble is None else Path(found.ensemble).name,
    )


def _summary(bench: Workbench, name: str) -> _Summary | None:
    try:
        path = bench.home.groups / checked_name(name) / SUMMARY
        content = json.loads(path.read_text(encoding="utf-8"), parse_constant=lambda _: None)
        return _Summary.model_validate(content)
    except (StorageError, OSError):
        return None
    except ValueError:
        remedy = "ask for the same group once more: what is done stays"
        raise StorageError("is damaged", where=f"groups/{name}/{SUMMARY}", remedy=remedy) from None


def _scored(one: _Scored, entry: CatalogueEntry | None) -> GroupRun:
    return GroupRun(
        run=one.run,
        settings=one.settings,
        state=None if entry is None else entry.state,
        split=one.split,
        heads={head: _number(scores.get("mean_iou")) for head, scores in one.heads.items()},
        **{score: _number(one.scores.get(score)) for score in GROUP_SCORES},
    )


def _unscored(name: str, entry: CatalogueEntry | None, error: str | None = None) -> GroupRun:
    if entry is None:
        return GroupRun(run=name, error=error)
    facts = entry.facts
    return GroupRun(
        run=name,
        state=entry.state,
        split=facts.get("split") or None,
        error=facts.get("error") or entry.problem,
        mean_iou=entry.mean_iou,
        pixel_accuracy=entry.pixel_accuracy,
        mean_accuracy=facts.get("mean_accuracy"),
        frequency_weighted_iou=facts.get("frequency_weighted_iou"),
    )


def differing(plans: dict[str, dict[str, Any]]) -> tuple[dict[str, list[Any]], dict[str, dict[str, Any]]]:
    """The settings in which plans differ.

    Args:
        plans: documents by name.

    Returns:
        Path → values in the order of the plans; and name → path → value.

    >>> differing({"a": {"seed": 0, "loss": {"terms": "dice"}}, "b": {"seed": 1, "loss": {"terms": "dice"}}})
    ({'seed': [0, 1]}, {'a': {'seed': 0}, 'b': {'seed': 1}})
    """
    flat = {name: dict(_leaves(plan)) for name, plan in plans.items()}
    axes: dict[str, list[Any]] = {}
    for path in dict.fromkeys(path for leaves in flat.values() for path in leaves):
        values: list[Any] = []
        for value in (leaves.get(path) for leaves in flat.values()):
            if value not in values:
                values.append(value)
        if len(values) > 1:
            axes[path] = values
    return axes, {name: {path: leaves.get(path) for path in axes} for name, leaves in flat.items()}


def _leaves(plan: dict[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in plan.items():
        if isinstance(value, dict):
            yield from _leaves(value, f"{above}{name}.")
        else:
            yield f"{above}{name}", value


def _plan(bench: Workbench, run: str) -> dict[str, Any]:
    """A run's plan as it is written; nothing where it cannot be read."""
    try:
        return read_document(bench.home.run(run) / PLAN_FILE, Experiment, PlanError).model_dump(mode="json")
    except FullconvError:
        return {}


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None
