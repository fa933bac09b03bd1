"""What planning works with, kept for the next question: datasets, shapes of networks, start values."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TypeVar

from torch import nn

from fullconv.data.dataset import Dataset
from fullconv.data.description import FILE_NAME
from fullconv.networks.backbones import without_weights
from fullconv.networks.catalogue import build_network, parse_name
from fullconv.networks.normalization import Normalization
from fullconv.networks.own_file import is_own_file, own_network
from fullconv.networks.reference import AnyFCN
from fullconv.networks.score_grid import ScoreGrid
from fullconv.networks.weights import TransferReport, cached_imagenet
from fullconv.training.heads import class_counts
from fullconv.training.loaders import normalization_of
from fullconv.training.plan import TrainingSet, resolve
from fullconv.training.plan_checks import check_classes, check_patches, patch_of
from fullconv.training.preparing import network_of, transfer_of
from fullconv.training.settings.experiment import Experiment, Plan
from fullconv.workbench.workbench import Workbench
from fullconv.workspace import Workspace

Value = TypeVar("Value")
Key = tuple[object, ...]


class _Kept:
    """A few values that took long to make, the latest used ones."""

    def __init__(self, most: int) -> None:
        self.most = most
        self._values: OrderedDict[Key, object] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: Key, make: Callable[[], Value]) -> Value:
        with self._lock:
            if key in self._values:
                self._values.move_to_end(key)
                return self._values[key]  # type: ignore[return-value]
        value = make()
        with self._lock:
            self._values[key] = value
            while len(self._values) > self.most:
                self._values.popitem(last=False)
        return value


_datasets = _Kept(4)
_shapes = _Kept(48)
_transfers = _Kept(24)


@dataclass(frozen=True)
class Shape:
    """A network of which only the shapes are known.

    Args:
        net: without weights. grid: of its scores.
    """

    net: AnyFCN
    grid: ScoreGrid


@dataclass(frozen=True)
class Parts:
    """A plan and what it was made of.

    Args:
        plan: nothing is open in it.
        data: all splits; with folds, the shares of them, and not the images that a run will hold out.
        shape: of the network.
    """

    plan: Plan
    data: Dataset
    shape: Shape


def parts_of(bench: Workbench, experiment: Experiment) -> Parts:
    """The plan of an experiment, without the weights of its network.

    Raises:
        PlanError, NetworkError, DataError: as `train`.
    """
    data = dataset_of(bench, experiment)
    shape = shape_of(experiment, data)
    plan = resolve(experiment, TrainingSet(data.train.sizes, data.val.sizes, patch_of(shape.grid)))
    check_patches(plan, shape.net, shape.grid)
    check_classes(plan, data)
    return Parts(plan, data, shape)


def dataset_of(bench: Workbench, experiment: Experiment) -> Dataset:
    """The dataset of an experiment; with folds, so many images held out for validation as a fold has."""
    data = opened_dataset(bench.home, experiment.dataset)
    if experiment.folds is None:
        return data
    pool = [index for index, sample in enumerate(data.samples) if sample.split in ("train", "val")]
    held = {index for place, index in enumerate(pool) if place % experiment.folds == 0}
    samples = tuple(
        replace(sample, split="val" if index in held else "train") if sample.split in ("train", "val") else sample
        for index, sample in enumerate(data.samples)
    )
    return replace(data, samples=samples)


def opened_dataset(home: Workspace, name: str) -> Dataset:
    """A dataset by its name in the workspace, or by the path of its dataset.yaml."""
    path = Path(name) if "/" in name else home.dataset(name) / FILE_NAME
    found = path.stat()
    key = (str(path), found.st_mtime_ns, found.st_size)
    return _datasets.get(key, lambda: Dataset.load(path, home))


def shape_of(experiment: Experiment, data: Dataset) -> Shape:
    """The network of an experiment, without weights; one from a Python file is built as it is."""
    name, channels = experiment.network, data.channels
    if is_own_file(name):
        net = own_network(name, classes=len(data.classes), channels=channels)
        return Shape(net, ScoreGrid.of(net))
    classes = class_counts(experiment.heads, data.classes)

    def made() -> Shape:
        net: nn.Module = without_weights(partial(build_network, name, classes=classes, channels=channels))
        return Shape(net, ScoreGrid.of(net))  # type: ignore[arg-type]

    kept = _shapes.get((name, classes, channels), made)
    # A copy, which costs little without weights: following a network changes it for a while, and others ask as well.
    return Shape(deepcopy(kept.net), kept.grid)


@dataclass(frozen=True)
class Start:
    """Where the start values come from.

    Args:
        source: in words. warning: what a missing transfer costs. pretrained: whether any were transferred.
        normalization: of the images.
    """

    source: str
    warning: str | None
    pretrained: bool
    normalization: Normalization


def start_of(plan: Plan, data: Dataset) -> Start:
    """What a run of this plan would start from: the network is built and filled for that, once."""
    names = tuple(data.classes.names)

    def made() -> Start:
        report = transfer_of(plan, network_of(plan, data), data)
        normalization = report.normalization or normalization_of(data, pretrained=report.pretrained)
        return Start(report.source, report.warning, report.pretrained, normalization)

    return _transfers.get((plan.network, plan.weights, data.fingerprint, names, str(plan.heads)), made)


def assumed_transfer(plan: Experiment) -> TransferReport:
    """What is known of a run's start values without looking for them."""
    pretrained = plan.weights != "random"
    warning = None
    if plan.weights == "auto" and not is_own_file(plan.network):
        backbone = parse_name(plan.network).backbone
        if cached_imagenet(backbone) is None:
            warning = (
                f"ImageNet weights for {backbone} are not on this machine: they are downloaded when the run begins, "
                "or it starts from random weights"
            )
    return TransferReport(plan.weights, copied=("backbone",) if pretrained else (), warning=warning)


def file_name(weights: str) -> str:
    """Weights as people read them.

    >>> file_name("/home/ada/fullconv/models/streets"), file_name("auto")
    ('streets', 'auto')
    """
    parts: Sequence[str] = Path(weights).parts
    return parts[-2] if len(parts) > 1 and parts[-1] == "model" else parts[-1]
