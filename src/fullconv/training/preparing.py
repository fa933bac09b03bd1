"""From what was asked for to what a run works with: settings, data, the network and its start values."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import lightning

from fullconv.data.dataset import Dataset
from fullconv.data.dataset_paths import description_path
from fullconv.data.description import FILE_NAME
from fullconv.data.folds import fold_of
from fullconv.errors import PackageError, PlanError
from fullconv.files import read_document, validate_document
from fullconv.networks.catalogue import build_network, check_name, parse_name
from fullconv.networks.checkpointing import set_checkpointing
from fullconv.networks.own_file import (
    COPY,
    OwnFile,
    OwnNetwork,
    absolute_name,
    copied_name,
    is_own_file,
    own_network,
)
from fullconv.networks.own_weights import load_own_weights
from fullconv.networks.reference import AnyFCN
from fullconv.networks.score_grid import ScoreGrid
from fullconv.networks.weights import NAMED_WEIGHTS, TransferReport, load_weights
from fullconv.store.package import find_package
from fullconv.store.stored_weights import find_weights
from fullconv.training.display import LOG, TrainingDisplay
from fullconv.training.heads import class_counts
from fullconv.training.job import Job
from fullconv.training.plan import TrainingSet, resolve
from fullconv.training.plan_checks import check_classes, check_patches, patch_of
from fullconv.training.reuse import is_package, reuse
from fullconv.training.runs import PLAN_FILE, stored_dataset
from fullconv.training.settings.experiment import Experiment, Plan
from fullconv.training.settings.recipes import overlaid, with_recipe
from fullconv.training.transfer_record import recorded_transfer
from fullconv.workspace import Workspace


def asked_for(source: Any, settings: Mapping[str, Any]) -> Experiment:
    """What was asked for with the settings laid over it, checked as far as that goes before any data is looked at.

    Args:
        source: a dataset, its name or path, an `Experiment`, or the path of an experiment.yaml.
        settings: fields of `Experiment`.

    Raises:
        PlanError: a field is unknown, or its value is not allowed.
        NetworkError: there is no network of that name, or no such file.

    >>> asked_for("streets", {"optimization": {"lr": 0.1}})
    Traceback (most recent call last):
    fullconv.errors.PlanError: the experiment: optimization.lr: there is no such field; perhaps \
    optimization.learning_rate is meant.
    """
    if isinstance(source, Dataset):
        asked: dict[str, Any] = {"dataset": source.name}
    elif isinstance(source, Experiment):
        asked = source.model_dump(mode="json")
    elif Path(source).suffix in (".yaml", ".yml") and Path(source).name != FILE_NAME:
        asked = read_document(Path(source), Experiment, PlanError).model_dump(mode="json")
        if is_own_file(asked["network"]) and (Path(source).parent / COPY).is_file():  # a run's plan, to run again
            asked["network"] = copied_name(asked["network"], Path(source).parent)
    else:
        asked = {"dataset": str(source)}
    if "dataset" in settings:
        raise PlanError("the dataset is given already", where="dataset", remedy="leave it out of the settings")
    asked = with_recipe(asked, settings)
    experiment = validate_document(overlaid(asked, settings), Experiment, where="the experiment", error=PlanError)
    if is_own_file(experiment.network):
        OwnFile.read(experiment.network)  # it is there; nothing of it runs yet
    else:
        check_name(experiment.network)
    return experiment


def experiment_for(source: Any, settings: Mapping[str, Any], home: Workspace) -> tuple[Experiment, Dataset]:
    """What was asked for with the settings laid over it, and the data; paths are made absolute."""
    experiment = asked_for(source, settings)
    if isinstance(source, Dataset):
        data = held_out(experiment, source)
        name = stored_dataset(source, home)
    else:
        whole = Dataset.load(experiment.dataset, home)
        data = held_out(experiment, whole)
        path = description_path(experiment.dataset, home).absolute()
        name = path.parent.name if path.parent.parent == home.datasets else str(path)
    changes = {"dataset": name}
    if experiment.weights not in NAMED_WEIGHTS:
        changes["weights"] = str(_found_weights(experiment.weights, home).expanduser().absolute())
    if is_own_file(experiment.network):
        changes["network"] = absolute_name(experiment.network)
    return experiment.model_copy(update=changes), data


def readied(experiment: Experiment, data: Dataset) -> tuple[Plan, AnyFCN, ScoreGrid, TransferReport]:
    """The plan with nothing left open, and the network with its start values: all that a run works with.

    Raises:
        PlanError: settings contradict each other, the data or the machine.
        NetworkError: the network or its weights cannot be had.
    """
    net = network_of(experiment, data)
    grid = ScoreGrid.of(net)
    plan = resolve(experiment, TrainingSet(data.train.sizes, data.val.sizes, patch_of(grid)))
    check_patches(plan, net, grid)
    check_classes(plan, data)
    report = transfer_of(plan, net, data)
    if plan.optimization.backbone == "frozen" and not report.pretrained:
        remedy = "give weights, or say slow or free"
        where = "optimization.backbone"
        raise PlanError("frozen random weights learn nothing", where=where, remedy=remedy)
    return plan, net, grid, report


def opened(directory: Path, home: Workspace, *, quiet: bool, first: bool = True) -> Job:
    """What a run works with, from its folder; the first process keeps the run's log."""
    plan = read_document(directory / PLAN_FILE, Plan, PlanError)
    data = held_out(plan, Dataset.load(plan.dataset, home))
    net = network_of(plan, data, directory)
    report = recorded_transfer(directory) or transfer_of(plan, net, data)
    display = TrainingDisplay(quiet=quiet, log=directory / LOG if first else None)
    return Job(directory, plan, data, net, ScoreGrid.of(net), report, home, display)


def held_out(plan: Experiment, data: Dataset) -> Dataset:
    """The dataset with the plan's fold held out, if it has one."""
    if plan.folds is None:
        return data
    if plan.fold is None:
        remedy = "say fold=…, or train all of them by fc.sweep or `fullconv train --folds`"
        raise PlanError("a run holds out one fold", where="folds", remedy=remedy)
    return fold_of(data, plan.fold, plan.folds, group_by=plan.group_by)


def _found_weights(weights: str, home: Workspace) -> Path:
    """A weight file as it is; else the model package of that folder, run or name, or stored weights, if there are."""
    path = Path(weights).expanduser()
    if path.is_file():
        return path
    with suppress(PackageError):
        return find_package(weights, home.models, home.runs)
    return find_weights(weights, home.models) or path


def network_of(plan: Experiment, data: Dataset, run: Path | None = None) -> AnyFCN:
    """The network with its start values; one of the user's own comes from the copy in the run, if there is a run."""
    net: AnyFCN
    lightning.seed_everything(plan.seed, verbose=False)
    classes, channels = len(data.classes), data.channels
    if plan.heads is not None:
        if is_own_file(plan.network):
            remedy = "leave heads out, or choose a network of the catalogue"
            raise PlanError("a network from a Python file has one head", where="heads", remedy=remedy)
        net = build_network(plan.network, classes=class_counts(plan.heads, data.classes), channels=channels)
    elif is_own_file(plan.network):
        name = plan.network if run is None else copied_name(plan.network, run)
        net = own_network(name, classes=classes, channels=channels)
    else:
        net = build_network(plan.network, classes=classes, channels=channels)
    set_checkpointing(net, plan.checkpointing)
    return net


def transfer_of(plan: Plan, net: AnyFCN, data: Dataset) -> TransferReport:
    if plan.weights not in NAMED_WEIGHTS and is_package(Path(plan.weights)):
        if plan.heads is not None:
            remedy = "give a weight file, such as the model's model.safetensors"
            raise PlanError("several heads do not start from a model", where="weights", remedy=remedy)
        return reuse(net, plan.network, Path(plan.weights), data.classes.names)
    if isinstance(net, OwnNetwork):
        return load_own_weights(net, plan.weights)
    return load_weights(net, parse_name(plan.network).backbone, plan.weights)
