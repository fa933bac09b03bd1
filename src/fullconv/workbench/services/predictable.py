"""The models that can predict: those of the store, and those of runs."""

from __future__ import annotations

from pydantic import BaseModel

from fullconv.store.package import CARD, read_card
from fullconv.workbench.services.predictions import Package
from fullconv.workbench.stored import PackageKind
from fullconv.workbench.workbench import Workbench


class Predictable(BaseModel):
    """A model to choose.

    Args:
        name: of it. kind: of the store, or of a run.
        network: by name. dataset: that it was scored on. mean_iou: there.
    """

    name: str
    kind: PackageKind
    network: str | None
    dataset: str | None
    mean_iou: float | None


def predictable_models(bench: Workbench) -> list[Predictable]:
    """Models of the store, then runs that have one, the newest first; looked for now, not when the last look was."""
    bench.catalogue.refresh()
    found = []
    for kind in ("model", "run"):
        for entry in bench.catalogue.entries("model" if kind == "model" else "run"):
            directory = bench.home.models / entry.name if kind == "model" else bench.home.runs / entry.name / "model"
            if entry.problem is None and (directory / CARD).is_file():
                found.append(
                    Predictable(
                        name=entry.name,
                        kind="model" if kind == "model" else "run",
                        network=entry.network,
                        dataset=entry.dataset,
                        mean_iou=entry.mean_iou,
                    )
                )
    return found


def heads_of(package: Package) -> tuple[str, ...]:
    """Heads of a model; none where it has only one."""
    return read_card(package.directory).network.heads
