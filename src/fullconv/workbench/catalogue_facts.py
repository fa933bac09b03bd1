"""What the catalogue says of a dataset, a run, a model, or weights: read from its directory."""

from __future__ import annotations

import math
from contextlib import suppress
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

from fullconv.data.description import FILE_NAME as DATASET_FILE
from fullconv.data.description import DatasetDescription
from fullconv.errors import PackageError, PlanError
from fullconv.files import read_document
from fullconv.store.package import ModelCard, read_card
from fullconv.store.stored_weights import FILE as WEIGHTS_FILE
from fullconv.store.stored_weights import read_weights_card
from fullconv.training.runs import PLAN_FILE
from fullconv.training.settings.experiment import Experiment
from fullconv.training.status import read_status
from fullconv.workbench.reported import reported
from fullconv.workbench.run_standings import SCORES, Standings


def made(directory: Path) -> str:
    """When a directory was made, as far as the file system tells."""
    with suppress(OSError):
        return datetime.fromtimestamp(directory.stat().st_mtime, UTC).isoformat(timespec="seconds")
    return ""


def dataset_facts(directory: Path) -> dict[str, Any]:
    """Of a dataset."""
    description = read_document(directory / DATASET_FILE, DatasetDescription)
    classes = description.edits.apply(description.table())
    statistics = description.statistics
    return {
        "created": description.created,
        "facts": {
            "images": statistics.images,
            "splits": {split: counts.images for split, counts in statistics.splits.items()},
            "classes": [{"name": entry.name, "color": list(entry.color)} for entry in classes.classes],
            "label_format": description.label_format.kind,
            "channels": description.channels,
            "dtype": description.dtype,
            "root": description.root,
            "problems": len(description.problems),
        },
    }


def run_facts(directory: Path, standings: Standings) -> dict[str, Any]:
    """Of a run; while it goes on, its plan and the rows of metrics.csv that are known are not read again."""
    status = read_status(directory)
    file = directory / PLAN_FILE
    plan = _plan(file, _changed(file))
    scores = reported(directory).get("scores", {})
    tested = {name: _number(scores.get(name)) for name in SCORES}
    stands = standings.of(directory, goes_on=status.shown == "running")
    best = stands.pop("best_mean_iou", None)
    return {
        "created": _begun(directory, status.heartbeat),
        "state": status.shown,
        "dataset": plan.dataset,
        "network": plan.network,
        "group": plan.group,
        "mean_iou": tested.pop("mean_iou"),
        "pixel_accuracy": tested.pop("pixel_accuracy"),
        "best_mean_iou": best if status.best_mean_iou is None else status.best_mean_iou,
        "facts": {
            "epoch": status.epoch,
            "epochs": status.epochs,
            "progress": status.progress,
            "seconds_left": status.seconds_left,
            "warnings": list(status.warnings),
            "error": status.error,
            **tested,
            **stands,
            **_packed(directory / "model"),
            "weights": plan.weights,
            "seed": plan.seed,
            "regime": plan.regime.kind,
        },
    }


@lru_cache(maxsize=64)
def _plan(file: Path, changed: tuple[int, int]) -> Experiment:
    return read_document(file, Experiment, PlanError)


def _changed(file: Path) -> tuple[int, int]:
    try:
        found = file.stat()
    except OSError:
        return 0, 0
    return found.st_mtime_ns, found.st_size


def _packed(directory: Path) -> dict[str, Any]:
    """Of the model of a run; the split of its scores is None only where there is no model."""
    try:
        card = read_card(directory)
    except PackageError:
        return {"split": None}
    return _card_facts(card) | {"split": card.scores[0].split if card.scores else ""}


def _card_facts(card: ModelCard) -> dict[str, Any]:
    tables = card.classes if isinstance(card.classes, dict) else {"": card.classes}
    return {
        "split": card.scores[0].split if card.scores else None,
        "licence": card.licence,
        "classes": [entry.name for table in tables.values() for entry in table.classes],
        "stride": card.geometry.stride,
        "reach": card.geometry.reach,
        "channels": card.network.channels,
        "dtype": card.image_dtype,
        "made_with": card.made_with,
    }


def _number(value: Any) -> float | None:
    """A score, if it is one: JSON in a database holds nothing else."""
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None


def _begun(directory: Path, heartbeat: str) -> str:
    with suppress(OSError):
        return datetime.fromtimestamp((directory / PLAN_FILE).stat().st_mtime, UTC).isoformat(timespec="seconds")
    return heartbeat


def model_facts(directory: Path) -> dict[str, Any]:
    """Of a model of the store."""
    card = read_card(directory)
    best = card.scores[0] if card.scores else None
    return {
        "created": next((entry.when for entry in card.history), "") or made(directory),
        "dataset": best.dataset if best else None,
        "network": card.network.name,
        "mean_iou": _number(best.mean_iou) if best else None,
        "pixel_accuracy": _number(best.pixel_accuracy) if best else None,
        "facts": _card_facts(card),
    }


def weights_facts(directory: Path) -> dict[str, Any]:
    """Of weights that runs can start from."""
    card, file = read_weights_card(directory), directory / WEIGHTS_FILE
    if not file.is_file():
        raise PackageError("its weights are gone", where=file, remedy="delete it, and upload them again")
    return {
        "created": card.added,
        "facts": {
            "source": card.source,
            "tensors": card.tensors,
            "values": card.values,
            "licence": card.licence,
            "bytes": file.stat().st_size,
        },
    }
