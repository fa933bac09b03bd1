"""Model packages: a folder with everything that prediction needs, and no code but a network's own file."""

from __future__ import annotations

import shutil
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import BaseModel, ConfigDict, JsonValue, model_validator
from safetensors import SafetensorError
from safetensors.torch import load_file, save

from fullconv._version import VERSION
from fullconv.data.classes import ClassTable
from fullconv.data.resizing import Resize
from fullconv.errors import NetworkError, PackageError
from fullconv.evaluation.scores import Scores
from fullconv.files import disk_errors, dump_yaml, read_document, staged_directory, write_atomically
from fullconv.geometry.geometry import geometry_of
from fullconv.networks.ensemble import Ensemble
from fullconv.networks.normalization import Normalization
from fullconv.networks.own_file import COPY, OwnNetwork
from fullconv.networks.reference import AnyFCN
from fullconv.networks.several_heads import SeveralHeads
from fullconv.plain_yaml import refuse_references
from fullconv.store.recipe import NetworkRecipe

CARD = "model.yaml"
WEIGHTS = "model.safetensors"
_LARGEST = 64 * 2**20
"""Bytes of a description that holds the sign of references."""


class PackageScores(BaseModel):
    """Scores and the data that they come from; with several heads, of which of them."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    head: str | None = None
    dataset: str
    split: str
    images: int
    pixel_accuracy: float | None
    mean_accuracy: float | None
    mean_iou: float | None
    frequency_weighted_iou: float | None
    iou: dict[str, float | None] = {}

    @classmethod
    def of(cls, scores: Scores, *, dataset: str, split: str, images: int, head: str | None = None) -> PackageScores:
        """The figures of an evaluation; what is not defined is left out."""
        content = scores.as_dict()
        names = ("pixel_accuracy", "mean_accuracy", "mean_iou", "frequency_weighted_iou")
        per_class = {entry["name"]: entry["iou"] for entry in content["per_class"]}
        figures = {name: content[name] for name in names}
        return cls(head=head, dataset=dataset, split=split, images=images, iou=per_class, **figures)


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

        >>> from fullconv.networks.catalogue import build_network
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
    details: dict[str, JsonValue] = {}

    @classmethod
    def now(cls, what: str, **details: Any) -> HistoryEntry:
        return cls(when=datetime.now(UTC).isoformat(timespec="seconds"), what=what, details=details)


class ModelCard(BaseModel):
    """The contents of model.yaml.

    With several heads `classes` has a table for each, under the names that the recipe gives them. Where the classes of
    a head are groups of a dataset's, `groups` holds what is in them: head → group → names of the dataset's classes.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal[1] = 1
    name: str
    made_with: str = f"fullconv {VERSION}"
    network: NetworkRecipe
    classes: ClassTable | dict[str, ClassTable]
    groups: dict[str, dict[str, tuple[str, ...]]] | None = None
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
        for name, members in (self.groups or {}).items():
            table = self.classes if isinstance(self.classes, ClassTable) else self.classes.get(name)
            if table is None or set(members) != set(table.names):
                raise ValueError(f"the groups of head {name} are not its classes")
        return self

    def of_head(self, name: str) -> ModelCard:
        """The card of one of several heads, as if the network had no other."""
        assert isinstance(self.classes, dict)
        table = self.classes[name]
        network = self.network.model_copy(update={"classes": len(table)})
        groups = {name: self.groups[name]} if self.groups and name in self.groups else None
        first = name == next(iter(self.classes))  # which scores without a name are of
        scores = tuple(entry for entry in self.scores if entry.head == name or (first and entry.head is None))
        return self.model_copy(update={"network": network, "classes": table, "groups": groups, "scores": scores})

    @property
    def members(self) -> dict[str, tuple[str, ...]] | None:
        """Of a card of one head: what is in each of its classes, where these are groups of a dataset's classes."""
        return next(iter((self.groups or {}).values()), None) if isinstance(self.classes, ClassTable) else None


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
        member = net.members[0] if isinstance(net, Ensemble) else net
        if isinstance(member, OwnNetwork):
            write_atomically(folder / COPY, member.file.content)
        write_atomically(folder / CARD, dump_yaml(card.model_dump(mode="json", exclude_none=True)))
    return directory


def read_card(directory: Path) -> ModelCard:
    """The description of a package.

    Raises:
        PackageError: this is no package, or its description is damaged.
    """
    if not (directory / CARD).is_file():
        raise PackageError("is no model package", where=directory, remedy=f"name a folder that holds {CARD}")
    with suppress(OSError):  # reading it says what is wrong
        if b"&" in (directory / CARD).read_bytes():  # which every reference needs
            refuse_references(directory / CARD, largest=_LARGEST, error=PackageError)
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
        name: of the head, where there are several; the first if not given.

    Returns:
        The network of that head alone, with the same parameters, and its description; those given where there is one.

    Raises:
        PackageError: no head has that name.
    """
    heads = card.network.heads
    if not heads and name is None:
        return net, card
    if not heads:
        raise PackageError(f"has one head, and none named {name!r}", where=card.name, remedy="name no head")
    chosen = heads[0] if name is None else name
    if chosen not in heads:
        remedy = f"name one of {', '.join(heads)} (--head, head=…)"
        raise PackageError(f"has no head {chosen!r}", where=card.name, remedy=remedy)
    assert isinstance(net, SeveralHeads | Ensemble)
    return net.only(heads.index(chosen)).eval(), card.of_head(chosen)


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
