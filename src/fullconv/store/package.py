"""Model packages: a folder with everything that prediction needs, and no code."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from safetensors import SafetensorError
from safetensors.torch import load_file, save

from fullconv._version import VERSION
from fullconv.data.classes import ClassTable
from fullconv.data.resizing import Resize
from fullconv.errors import PackageError
from fullconv.evaluation.scores import Scores
from fullconv.files import disk_errors, dump_yaml, read_document, staged_directory, write_atomically
from fullconv.geometry.geometry import geometry_of
from fullconv.networks.catalogue import build_network
from fullconv.networks.normalization import Normalization
from fullconv.networks.reference import AnyFCN

CARD = "model.yaml"
WEIGHTS = "model.safetensors"


class NetworkRecipe(BaseModel):
    """How to build the network again: its catalogue name and arguments."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    classes: int = Field(ge=1)
    channels: int = Field(ge=1)

    def build(self) -> AnyFCN:
        return build_network(self.name, classes=self.classes, channels=self.channels)


class PackageScores(BaseModel):
    """Scores and the data that they come from."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    dataset: str
    split: str
    images: int
    pixel_accuracy: float | None
    mean_accuracy: float | None
    mean_iou: float | None
    frequency_weighted_iou: float | None
    iou: dict[str, float | None] = {}

    @classmethod
    def of(cls, scores: Scores, *, dataset: str, split: str, images: int) -> PackageScores:
        """The figures of an evaluation; what is not defined is left out."""
        content = scores.as_dict()
        names = ("pixel_accuracy", "mean_accuracy", "mean_iou", "frequency_weighted_iou")
        per_class = {entry["name"]: entry["iou"] for entry in content["per_class"]}
        figures = {name: content[name] for name in names}
        return cls(dataset=dataset, split=split, images=images, iou=per_class, **figures)


class Geometry(BaseModel):
    """What is known of the network's grid, in pixels.

    Args:
        stride: of the finest scores.
        total_stride: tiles are exact where their origins lie on multiples of it.
        reach: how far up, down, left and right an output can read; none where it reads the whole image.
        obstacles: what makes it read the whole image, by module.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    stride: int
    total_stride: int | None = None
    reach: tuple[int, int, int, int] | None = None
    obstacles: tuple[str, ...] = ()

    @classmethod
    def of(cls, net: AnyFCN) -> Geometry:
        """The geometry of a network; it is put into evaluation.

        >>> Geometry.of(build_network("fcn8s-squeezenet1_1", classes=2)).reach
        (118, 127, 118, 127)
        """
        found = geometry_of(net.eval())
        reach = found.reach if found.is_local else None
        return cls(
            stride=net.stride,
            total_stride=max(found.total_stride),
            reach=None if reach is None else (reach.up, reach.down, reach.left, reach.right),
            obstacles=tuple(str(obstacle) for obstacle in found.obstacles),
        )


class HistoryEntry(BaseModel):
    """One event in the life of a model."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    when: str
    what: str
    details: dict[str, Any] = {}

    @classmethod
    def now(cls, what: str, **details: Any) -> HistoryEntry:
        return cls(when=datetime.now(UTC).isoformat(timespec="seconds"), what=what, details=details)


class ModelCard(BaseModel):
    """The contents of model.yaml."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal[1] = 1
    name: str
    made_with: str = f"fullconv {VERSION}"
    network: NetworkRecipe
    classes: ClassTable
    image_dtype: str = "uint8"
    normalization: Normalization
    resize: Resize = Resize()
    geometry: Geometry
    scores: tuple[PackageScores, ...] = ()
    licence: str | None = None
    history: tuple[HistoryEntry, ...] = ()


def save_package(directory: Path, net: AnyFCN, card: ModelCard, *, replace: bool = False) -> Path:
    """Write model.yaml and model.safetensors into a new folder; nothing is left behind when that fails.

    Args:
        directory: the folder to make.
        replace: take the place of a package that is there already.

    Raises:
        StorageError: the folder exists and holds something, or cannot be written.
    """
    if replace and directory.exists():
        fresh, old = directory.with_name(f".{directory.name}.new"), directory.with_name(f".{directory.name}.old")
        for leftover in (fresh, old):
            shutil.rmtree(leftover, ignore_errors=True)
        save_package(fresh, net, card)
        with disk_errors(directory):
            directory.rename(old)
            fresh.rename(directory)
        shutil.rmtree(old, ignore_errors=True)
        return directory
    tensors = {name: value.detach().cpu().contiguous() for name, value in net.state_dict().items()}
    with staged_directory(directory) as folder:
        write_atomically(folder / WEIGHTS, save(tensors, metadata={"format": "pt"}))
        write_atomically(folder / CARD, dump_yaml(card.model_dump(mode="json", exclude_none=True)))
    return directory


def read_card(directory: Path) -> ModelCard:
    """The description of a package.

    Raises:
        PackageError: this is no package, or its description is damaged.
    """
    if not (directory / CARD).is_file():
        raise PackageError("is no model package", where=directory, remedy=f"name a folder that holds {CARD}")
    return read_document(directory / CARD, ModelCard, PackageError)


def load_package(directory: Path) -> tuple[AnyFCN, ModelCard]:
    """The network with its weights, in evaluation mode, and the description. Runs no code from the package.

    Raises:
        PackageError: a file is missing, damaged or does not fit the recipe.
    """
    card = read_card(directory)
    net = card.network.build()
    path = directory / WEIGHTS
    remedy = "copy the package again from where it came"
    try:
        tensors = load_file(path)
    except (OSError, SafetensorError) as problem:
        raise PackageError(f"weights cannot be read ({problem})", where=path, remedy=remedy) from problem
    try:
        net.load_state_dict(tensors)
    except RuntimeError as problem:
        raise PackageError(f"weights do not fit {card.network.name}", where=path, remedy=remedy) from problem
    return net.eval(), card


def find_package(where: str | Path, models: Path, runs: Path) -> Path:
    """The folder of a package, given as a folder, a run, its name in the store, or the name of a run.

    Raises:
        PackageError: nothing of that name is a package.
    """
    given = Path(where).expanduser()
    name = str(where)
    candidates = [given, given.parent if given.name == CARD else given, given / "model"]
    if given.name == name:
        candidates += [models / name, runs / name / "model"]
    for candidate in candidates:
        if (candidate / CARD).is_file():
            return candidate
    raise PackageError(
        "no model package there or by that name", where=where, remedy="give a package folder, a run, or a stored name"
    )
