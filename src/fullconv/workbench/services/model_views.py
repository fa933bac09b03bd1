"""Models as they are shown."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict

from fullconv.data.classes import ClassTable
from fullconv.networks.own_file import COPY
from fullconv.store.package import CARD, WEIGHTS, Geometry, HistoryEntry, ModelCard, PackageScores
from fullconv.workbench.annotations import FILE as NOTES
from fullconv.workbench.annotations import Annotations
from fullconv.workbench.services.predictions import Package
from fullconv.workbench.stored import PackageKind

_ABOUT = {CARD: "description", WEIGHTS: "weights", COPY: "code of the network", NOTES: "tags and note"}


class ModelClass(BaseModel):
    """A class of a model.

    Args:
        name, color: of it. value: id that its label maps bear. iou: on the first of the scored sets.
    """

    name: str
    color: tuple[int, int, int]
    value: int
    iou: float | None


class ModelHead(BaseModel):
    """Classes that a network scores together.

    Args:
        name: of the head; none where there is one. classes: in the order of the scores. ignored: that do not count.
    """

    name: str | None
    classes: tuple[ModelClass, ...]
    ignored: tuple[ModelClass, ...]


class FileFacts(BaseModel):
    """A file of a package.

    Args:
        name: of it. size: bytes. about: what it holds.
    """

    name: str
    size: int
    about: str


class ModelFacts(BaseModel):
    """A model.

    Args:
        name: in the store, or of the run. kind: which of the two.
        namesake: a run's, while the store has a model of the same name, which is meant where no kind is said.
        network: in the catalogue, or file and function. heads: sets of classes that it scores, one as a rule.
        members: networks that vote.
        needs_code: its network is somebody's own Python file. usable: it may predict here. why_not: else.
        parameters: of the network; none where the weights cannot be read.
        channels, dtype: of the images. resize: how they are brought to another size first, in a sentence.
        geometry: stride, reach and what stands in the way of exact tiles.
        scores: with the data they come from. licence: as it was said. history: what happened to it.
        made_with: program and version. files: of the package. size: bytes of all.
        used_by: runs that start from it, and models that come from it.
        tags, note: that people gave it.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "name": "streets",
                "kind": "model",
                "namesake": False,
                "network": "fcn4s-mobilenet_v2-features",
                "heads": [
                    {
                        "name": None,
                        "classes": [{"name": "road", "color": [128, 64, 128], "value": 3, "iou": 0.91}],
                        "ignored": [{"name": "void", "color": [0, 0, 0], "value": 11, "iou": None}],
                    }
                ],
                "members": 1,
                "needs_code": False,
                "usable": True,
                "why_not": None,
                "parameters": 2250000,
                "channels": 3,
                "dtype": "uint8",
                "resize": None,
                "geometry": {"stride": 4, "total_stride": 32, "reach": [245, 245, 245, 245], "obstacles": []},
                "scores": [
                    {
                        "dataset": "streets",
                        "split": "test",
                        "images": 60,
                        "pixel_accuracy": 0.89,
                        "mean_accuracy": 0.71,
                        "mean_iou": 0.63,
                        "frequency_weighted_iou": 0.81,
                        "iou": {"road": 0.91},
                    }
                ],
                "licence": "CC-BY-4.0",
                "history": [{"when": "2026-01-02T09:40:00+00:00", "what": "trained on streets", "details": {}}],
                "made_with": "fullconv 0.1.0",
                "files": [{"name": "model.safetensors", "size": 9100000, "about": "weights"}],
                "size": 9103000,
                "used_by": [],
                "tags": ["paper"],
                "note": "",
            }
        }
    )

    name: str
    kind: PackageKind
    namesake: bool
    network: str
    heads: tuple[ModelHead, ...]
    members: int
    needs_code: bool
    usable: bool
    why_not: str | None
    parameters: int | None
    channels: int
    dtype: str
    resize: str | None
    geometry: Geometry
    scores: tuple[PackageScores, ...]
    licence: str | None
    history: tuple[HistoryEntry, ...]
    made_with: str
    files: tuple[FileFacts, ...]
    size: int
    used_by: tuple[str, ...]
    tags: tuple[str, ...]
    note: str


def facts_of(
    card: ModelCard,
    package: Package,
    *,
    notes: Annotations,
    parameters: int | None,
    used_by: tuple[str, ...],
    allow_code: bool,
    namesake: bool,
) -> ModelFacts:
    """Everything in one."""
    tables = card.classes if isinstance(card.classes, dict) else {None: card.classes}
    iou = card.scores[0].iou if card.scores else {}
    files = tuple(
        FileFacts(name=path.name, size=path.stat().st_size, about=_ABOUT.get(path.name, ""))
        for path in sorted(package.directory.iterdir())
        if path.is_file() and not path.name.startswith(".")
    )
    needs_code = card.network.code is not None
    return ModelFacts(
        name=package.name,
        kind=package.kind,
        namesake=namesake,
        network=card.network.name,
        heads=tuple(_head(name, table, iou if len(tables) == 1 else {}) for name, table in tables.items()),
        members=card.network.members,
        needs_code=needs_code,
        usable=allow_code or not needs_code,
        why_not=_WHY_NOT if needs_code and not allow_code else None,
        parameters=parameters,
        channels=card.network.channels,
        dtype=card.image_dtype,
        resize=_resize(card),
        geometry=card.geometry,
        scores=card.scores,
        licence=card.licence,
        history=card.history,
        made_with=card.made_with,
        files=files,
        size=sum(file.size for file in files),
        used_by=used_by,
        tags=notes.tags,
        note=notes.note,
    )


_WHY_NOT = (
    "Its network is a Python file of its own. Read that file; if you trust it, start the workbench with --allow-code."
)


def _head(name: str | None, table: ClassTable, iou: dict[str, float | None]) -> ModelHead:
    def shown(entries: Any) -> tuple[ModelClass, ...]:
        return tuple(
            ModelClass(name=entry.name, color=entry.color, value=entry.value, iou=iou.get(entry.name))
            for entry in entries
        )

    return ModelHead(name=name, classes=shown(table.classes), ignored=shown(table.ignored))


def _resize(card: ModelCard) -> str | None:
    if card.resize.longest_side is not None:
        return f"larger images are made smaller, to {card.resize.longest_side} pixels on the longest side"
    if card.resize.scale not in (None, 1.0):
        return f"images are resized by the factor {card.resize.scale:g}"
    return None
