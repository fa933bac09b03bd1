"""Model packages: a folder with everything that prediction needs, and no code but a network's own file."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field, model_validator
from safetensors import SafetensorError
from safetensors.torch import load_file, save

from fullconv._version import VERSION
from fullconv.data.classes import ClassTable
from fullconv.data.resizing import Resize
from fullconv.errors import NetworkError, PackageError
from fullconv.evaluation.scores import Scores
from fullconv.files import disk_errors, dump_yaml, read_document, staged_directory, write_atomically
from fullconv.geometry.geometry import geometry_of
from fullconv.networks.catalogue import build_network
from fullconv.networks.normalization import Normalization
from fullconv.networks.own_file import COPY, OwnFile, OwnNetwork, is_own_file
from fullconv.networks.reference import AnyFCN
from fullconv.networks.several_heads import SeveralHeads

CARD = "model.yaml"
WEIGHTS = "model.safetensors"


class NetworkCode(BaseModel):
    """What the network needs run: a function in the package's network.py.

    Args:
        function: builds the network.
        sha256: of the file.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    function: str = Field(pattern=r"^\w+$")
    sha256: str

    @classmethod
    def of(cls, file: OwnFile) -> NetworkCode:
        return cls(function=file.function, sha256=file.sha256)


Count = Annotated[int, Field(ge=1)]


class NetworkRecipe(BaseModel):
    """How to build the network again.

    Args:
        name: in the catalogue; with code, file and function as they were called in training.
        classes: how many scores each pixel gets; for several heads the name of each with that number.
        channels: bands of the images.
        code: none for a network of the catalogue.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    classes: Count | dict[str, Count]
    channels: int = Field(ge=1)
    code: NetworkCode | None = None

    @model_validator(mode="after")
    def _of_one_kind(self) -> NetworkRecipe:
        if is_own_file(self.name) != (self.code is not None):
            raise ValueError("code belongs to networks named as a Python file, and to no others")
        if self.code is not None and self.heads:
            raise ValueError("a network from a Python file has one head")
        return self

    @property
    def heads(self) -> tuple[str, ...]:
        """Names of the heads; empty where there is one, which needs no name."""
        return tuple(self.classes) if isinstance(self.classes, dict) else ()

    def build(self) -> AnyFCN:
        """A network of the catalogue; runs no code that is not FullConv's.

        Raises:
            NetworkError: there is none of that name.
        """
        counts = tuple(self.classes.values()) if isinstance(self.classes, dict) else self.classes
        return build_network(self.name, classes=counts, channels=self.channels)

    def build_from(self, directory: Path, *, allow_code: bool) -> AnyFCN:
        """The network of the package in a folder.

        Raises:
            PackageError: it needs code that may not be run, or that is not the code it was saved with.
        """
        if self.code is None or isinstance(self.classes, dict):
            return self.build()
        where = directory / COPY
        if not allow_code:
            raise PackageError(
                f"this network ({self.name}) is Python code, and loading the model would run it",
                where=where,
                remedy="read the file; if you trust it, say --allow-code (in Python, allow_code=True)",
            )
        remedy = "copy the package again from where it came"
        try:
            file = OwnFile.read(f"{where}:{self.code.function}")
        except NetworkError as problem:
            raise PackageError("the network's code is missing or unreadable", where=where, remedy=remedy) from problem
        if file.sha256 != self.code.sha256:
            raise PackageError("is not the code that the model was saved with", where=where, remedy=remedy)
        return file.build(self.classes, self.channels)


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
        try:
            found = geometry_of(net.eval())
        except NetworkError as problem:  # a network of the user's may do what no arithmetic follows
            return cls(stride=net.stride, obstacles=(problem.problem,))
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
    """The contents of model.yaml.

    With several heads `classes` has a table for each, under the names that the recipe gives them.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal[1] = 1
    name: str
    made_with: str = f"fullconv {VERSION}"
    network: NetworkRecipe
    classes: ClassTable | dict[str, ClassTable]
    image_dtype: str = "uint8"
    normalization: Normalization
    resize: Resize = Resize()
    geometry: Geometry
    scores: tuple[PackageScores, ...] = ()
    licence: str | None = None
    history: tuple[HistoryEntry, ...] = ()

    @model_validator(mode="after")
    def _a_table_per_head(self) -> ModelCard:
        counts = self.network.classes
        tables = self.classes if isinstance(self.classes, dict) else None
        if (tables is None) != (not isinstance(counts, dict)):
            raise ValueError("the network and its classes must have the same heads")
        if tables is not None and {name: len(table) for name, table in tables.items()} != counts:
            raise ValueError("every head needs a table of as many classes as it scores")
        return self

    def of_head(self, name: str) -> ModelCard:
        """The card of one of several heads, as if the network had no other."""
        assert isinstance(self.classes, dict)
        table = self.classes[name]
        network = self.network.model_copy(update={"classes": len(table)})
        return self.model_copy(update={"network": network, "classes": table})


def save_package(directory: Path, net: AnyFCN, card: ModelCard, *, replace: bool = False) -> Path:
    """Write model.yaml and model.safetensors into a new folder; nothing is left behind when that fails.

    With a network of the user's own its file is written too, as network.py.

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
    # Copies, since one tensor under two names is none that safetensors writes.
    state = {name: value.detach().cpu() for name, value in net.state_dict().items()}
    tensors = {name: value.clone(memory_format=torch.contiguous_format) for name, value in state.items()}
    with staged_directory(directory) as folder:
        write_atomically(folder / WEIGHTS, save(tensors, metadata={"format": "pt"}))
        if isinstance(net, OwnNetwork):
            write_atomically(folder / COPY, net.file.content)
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


def load_package(directory: Path, *, allow_code: bool = False) -> tuple[AnyFCN, ModelCard]:
    """The network with its weights, in evaluation mode, and the description. No code is run unless asked.

    Args:
        directory: the package.
        allow_code: run the package's network.py, if its network is the user's own.

    Raises:
        PackageError: a file is missing, damaged or does not fit the recipe, or the network needs code run.
    """
    card = read_card(directory)
    net = card.network.build_from(directory, allow_code=allow_code)
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


def one_head(net: AnyFCN, card: ModelCard, name: str | None) -> tuple[AnyFCN, ModelCard]:
    """What is loaded, as the model of one set of classes.

    Args:
        net, card: see `load_package`.
        name: of the head, where there are several.

    Returns:
        The network of that head alone, with the same parameters, and its description; those given where there is one.

    Raises:
        PackageError: there are several heads and none is named, or none has that name.
    """
    heads = card.network.heads
    if not heads and name is None:
        return net, card
    if not heads:
        raise PackageError(f"has one head, and none named {name!r}", where=card.name, remedy="name no head")
    if name not in heads:
        problem = f"has {len(heads)} heads" if name is None else f"has no head {name!r}"
        raise PackageError(problem, where=card.name, remedy=f"name one of {', '.join(heads)} (--head, head=…)")
    assert isinstance(net, SeveralHeads)
    return net.only(heads.index(name)).eval(), card.of_head(name)


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
