"""One run from plan to package: prepare, fit, evaluate, pack."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import lightning

from fullconv.data.dataset import Dataset
from fullconv.data.dataset_paths import description_path
from fullconv.data.description import FILE_NAME
from fullconv.data.folds import fold_of
from fullconv.errors import FullconvError, PackageError, PlanError
from fullconv.files import read_document, validate_document, write_atomically
from fullconv.networks.catalogue import build_network, parse_name
from fullconv.networks.normalization import Normalization
from fullconv.networks.own_file import (
    COPY,
    OwnNetwork,
    absolute_name,
    copied_name,
    is_own_file,
    own_mistakes,
    own_network,
    short_name,
)
from fullconv.networks.own_weights import load_own_weights
from fullconv.networks.reference import AnyFCN
from fullconv.networks.score_grid import ScoreGrid
from fullconv.networks.weights import NAMED_WEIGHTS, TransferReport, load_weights
from fullconv.prediction.evaluating import evaluate
from fullconv.prediction.model import Model
from fullconv.store.package import Geometry, HistoryEntry, ModelCard, PackageScores, find_package, save_package
from fullconv.store.recipe import NetworkCode, NetworkRecipe
from fullconv.training.checkpoints import last_checkpoint
from fullconv.training.display import TrainingDisplay
from fullconv.training.distribution.launching import run_processes
from fullconv.training.distribution.processes import LONGEST_WAIT, Processes, from_first, launched, on_these, placed
from fullconv.training.endings import verdict
from fullconv.training.engine import fit_network, load_best
from fullconv.training.experiment import Experiment, Plan
from fullconv.training.finished import Run, finished_run
from fullconv.training.forecast.shortage import shortage
from fullconv.training.job import Job
from fullconv.training.loaders import prepare_samples
from fullconv.training.plan import TrainingSet, check_processes, resolve
from fullconv.training.plan_checks import check_classes, check_patches, patch_of
from fullconv.training.rate_change import with_learning_rate
from fullconv.training.recipes import overlaid, with_recipe
from fullconv.training.reuse import is_package, reuse
from fullconv.training.runs import PLAN_FILE, find_run, new_run, stored_dataset
from fullconv.training.status import Status, idle_status, read_status, write_status
from fullconv.workspace import Workspace

TRANSFER = "transfer.json"


def train(
    dataset: Dataset | Experiment | str | Path,
    network: str | None = None,
    *,
    workspace: Workspace | None = None,
    quiet: bool = False,
    cluster: str | None = None,
    settings: Mapping[str, Any] | None = None,
    **fields: Any,
) -> Run:
    """Train a network on a dataset.

    Args:
        dataset: a `Dataset`, its name or path, or a whole `Experiment` or the path of an experiment.yaml.
        network: a name of the catalogue, or file and function of a network of one's own, as "my_net.py:build".
        workspace: where the run goes; `Workspace.find()` if not given.
        quiet: show no progress.
        cluster: address of a Ray cluster that trains instead of this machine, as "http://head:8265".
        settings, fields: fields of `Experiment`, as a mapping or by name.

    Returns:
        The finished `Run`; its folder holds the model package and the report.

    Raises:
        PlanError: a setting is unknown or does not fit the data.
        DataError, NetworkError, StorageError: see there.

    Source: Long, Shelhamer, Darrell, CVPR 2015, sections 3.4 and 4.3.
    """
    home = workspace or Workspace.find()
    asked = {**(settings or {}), **fields} | ({} if network is None else {"network": network})
    if cluster is not None:
        from fullconv.training.distribution.cluster import train_on_cluster

        return train_on_cluster(cluster, dataset, workspace=home, quiet=quiet, settings=asked)
    return train_as(None, dataset, asked, workspace=home, quiet=quiet)


def train_as(
    name: str | None,
    dataset: Dataset | Experiment | str | Path,
    settings: Mapping[str, Any],
    *,
    workspace: Workspace,
    quiet: bool = False,
) -> Run:
    """Train in a run folder of that name; of time, dataset and network if none is given."""
    with launched() as processes:

        def prepared() -> Job:
            experiment, data = experiment_for(dataset, settings, workspace)
            experiment = on_these(experiment, processes)
            plan, net, grid, report = readied(experiment, data)
            own = net.file if isinstance(net, OwnNetwork) else None
            directory = new_run(workspace, data.name, plan, own, name=name)
            return Job(directory, plan, data, net, grid, report, workspace, TrainingDisplay(quiet=quiet))

        return _together(prepared, workspace, processes)


def readied(experiment: Experiment, data: Dataset) -> tuple[Plan, AnyFCN, ScoreGrid, TransferReport]:
    """The plan with nothing left open, and the network with its start values: all that a run works with.

    Raises:
        PlanError: settings contradict each other, the data or the machine.
        NetworkError: the network or its weights cannot be had.
    """
    net = _network(experiment, data)
    grid = ScoreGrid.of(net)
    plan = resolve(experiment, TrainingSet(data.train.sizes, data.val.sizes, patch_of(grid)))
    check_patches(plan, net, grid)
    check_classes(plan, data)
    report = _transfer(plan, net, data)
    if plan.optimization.backbone == "frozen" and not report.pretrained:
        remedy = "give weights, or say slow or free"
        where = "optimization.backbone"
        raise PlanError("frozen random weights learn nothing", where=where, remedy=remedy)
    return plan, net, grid, report


def resume(
    run: str | Path, *, learning_rate: float | None = None, workspace: Workspace | None = None, quiet: bool = False
) -> Run:
    """Continue a run that was stopped, killed or failed, from its last whole epoch.

    Args:
        run: its name or folder.
        learning_rate: another peak rate from here on, in the plan of the run too; none to keep it.
        workspace: where it lies; `Workspace.find()` if not given.
        quiet: show no progress.

    Raises:
        StorageError: it is no run, or it is still going on.
        PlanError: the dataset has changed since, or another rate is given for a run that is done.
    """
    home = workspace or Workspace.find()
    with launched() as processes:

        def prepared() -> Job:
            directory = find_run(run, home)
            status = idle_status(directory)
            job = _opened(directory, home, quiet=quiet)
            if status.data not in (None, job.data.fingerprint):
                remedy = "undo the change, or train again from the start"
                raise PlanError("the dataset has changed since the run began", where=job.plan.dataset, remedy=remedy)
            check_processes(placed(job.plan, processes))
            return job if learning_rate is None else with_learning_rate(job, learning_rate)

        return _together(prepared, home, processes)


def _opened(directory: Path, home: Workspace, *, quiet: bool) -> Job:
    """What a run works with, from its folder."""
    plan = read_document(directory / PLAN_FILE, Plan, PlanError)
    data = _held_out(plan, Dataset.load(plan.dataset, home))
    net = _network(plan, data, directory)
    report = _recorded_transfer(directory) or _transfer(plan, net, data)
    return Job(directory, plan, data, net, ScoreGrid.of(net), report, home, TrainingDisplay(quiet=quiet))


def _together(prepared: Callable[[], Job], home: Workspace, processes: Processes) -> Run:
    """The first process prepares, all fit, the first scores and packs; the others wait for that."""
    jobs: list[Job] = []

    def begun() -> Path:
        jobs.append(prepared())
        if processes.count > 1:
            prepare_samples(jobs[0].data, jobs[0].plan, home)
        return jobs[0].directory

    directory = from_first(processes, begun)
    if jobs:
        return _execute(jobs[0], processes)
    _work(directory, home.root, True, processes)
    while (status := read_status(directory)).state == "running":  # the first one scores and packs
        if status.seconds_since_heartbeat > LONGEST_WAIT.total_seconds():
            break
        time.sleep(0.5)
    return finished_run(directory)


def _work(directory: Path, home: Path, quiet: bool, processes: Processes) -> None:
    """What a process does that others were started with: fit, from the run's folder."""
    job = _opened(directory, Workspace(home), quiet=quiet)
    with job.display, own_mistakes(job.net):
        fit_network(job, read_status(directory), processes)


def _fit(job: Job, status: Status, processes: Processes) -> None:
    """Fit here, or in processes that are started for it."""
    if processes.count > 1 or job.plan.devices == 1:
        fit_network(job, status, processes)
        return
    prepare_samples(job.data, job.plan, job.home)
    run_processes(
        _work,
        job.directory,
        job.home.root,
        count=job.plan.devices,
        cuda=job.plan.device == "cuda",
        quiet=job.display.quiet,
    )
    write_status(job.directory, Status.now("running", read_status(job.directory)))  # of this process again


def experiment_for(source: Any, settings: Mapping[str, Any], home: Workspace) -> tuple[Experiment, Dataset]:
    """What was asked for with the settings laid over it, and the data; paths are made absolute."""
    if isinstance(source, Dataset):
        data, asked = source, {"dataset": stored_dataset(source, home)}
    else:
        if isinstance(source, Experiment):
            asked = source.model_dump(mode="json")
        elif Path(source).suffix in (".yaml", ".yml") and Path(source).name != FILE_NAME:
            asked = read_document(Path(source), Experiment, PlanError).model_dump(mode="json")
            if is_own_file(asked["network"]) and (Path(source).parent / COPY).is_file():  # a run's plan, to run again
                asked["network"] = copied_name(asked["network"], Path(source).parent)
        else:
            asked = {"dataset": str(source)}
        data = Dataset.load(asked["dataset"], home)
        path = description_path(asked["dataset"], home).absolute()
        asked["dataset"] = path.parent.name if path.parent.parent == home.datasets else str(path)
    if "dataset" in settings:
        raise PlanError("the dataset is given already", where="dataset", remedy="leave it out of the settings")
    asked = with_recipe(asked, settings)
    experiment = validate_document(overlaid(asked, settings), Experiment, where="the experiment", error=PlanError)
    if experiment.weights not in NAMED_WEIGHTS:
        weights = _found_weights(experiment.weights, home)
        experiment = experiment.model_copy(update={"weights": str(weights.expanduser().absolute())})
    if is_own_file(experiment.network):
        experiment = experiment.model_copy(update={"network": absolute_name(experiment.network)})
    return experiment, _held_out(experiment, data)


def _held_out(plan: Experiment, data: Dataset) -> Dataset:
    """The dataset with the plan's fold held out, if it has one."""
    if plan.folds is None:
        return data
    if plan.fold is None:
        remedy = "say fold=…, or train all of them by fc.sweep or `fullconv train --folds`"
        raise PlanError("a run holds out one fold", where="folds", remedy=remedy)
    return fold_of(data, plan.fold, plan.folds, group_by=plan.group_by)


def _found_weights(weights: str, home: Workspace) -> Path:
    """A weight file as it is; else the model package of that folder, run or name, if there is one."""
    path = Path(weights).expanduser()
    if path.is_file():
        return path
    with suppress(PackageError):
        return find_package(weights, home.models, home.runs)
    return path


def _network(plan: Experiment, data: Dataset, run: Path | None = None) -> AnyFCN:
    """The network with its start values; one of the user's own comes from the copy in the run, if there is a run."""
    lightning.seed_everything(plan.seed, verbose=False)
    classes, channels = len(data.classes), data.channels
    if is_own_file(plan.network):
        name = plan.network if run is None else copied_name(plan.network, run)
        return own_network(name, classes=classes, channels=channels)
    return build_network(plan.network, classes=classes, channels=channels)


def _transfer(plan: Plan, net: AnyFCN, data: Dataset) -> TransferReport:
    if plan.weights not in NAMED_WEIGHTS and is_package(Path(plan.weights)):
        return reuse(net, plan.network, Path(plan.weights), data.classes.names)
    if isinstance(net, OwnNetwork):
        return load_own_weights(net, plan.weights)
    return load_weights(net, parse_name(plan.network).backbone, plan.weights)


def _transfer_text(report: TransferReport) -> str:
    """transfer.json: every parameter of the network, and where it came from."""
    normalization = None if report.normalization is None else report.normalization.model_dump()
    return json.dumps(asdict(report) | {"normalization": normalization}, indent=1)


def _recorded_transfer(directory: Path) -> TransferReport | None:
    """What was transferred when the run began; None where it did not get that far."""
    if last_checkpoint(directory) is None or not (directory / TRANSFER).is_file():
        return None
    content = json.loads((directory / TRANSFER).read_text())
    normalization = content["normalization"]
    return TransferReport(
        source=content["source"],
        copied=tuple(content["copied"]),
        adapted=tuple((name, how) for name, how in content["adapted"]),
        initialised=tuple(content["initialised"]),
        warning=content["warning"],
        normalization=Normalization.model_validate(normalization) if normalization else None,
    )


def _execute(job: Job, processes: Processes) -> Run:
    """Fit, evaluate and pack; whatever happens, status.json tells it."""
    directory, display = job.directory, job.display
    # Another process may have taken it up while this one prepared.
    status = Status.now("running", idle_status(directory, mine=True), error=None, data=job.data.fingerprint)
    try:
        write_status(directory, status)
        write_atomically(directory / TRANSFER, _transfer_text(job.transfer))
        display.say(_opening(job))
        for warning in filter(None, (job.transfer.warning, shortage(job))):
            kept = [said for said in status.warnings if said != warning]
            status = status.model_copy(update={"warnings": (warning, *kept)})
            write_status(directory, status)
            display.say(f"Warning: {warning}.")
        with display, own_mistakes(job.net):
            _fit(job, status, processes)
        load_best(job.net, directory)
        run = _finish(job)
    except BaseException as problem:
        state, error = verdict(problem, directory)
        said = error or (problem if state == "failed" else None)
        with suppress(OSError, FullconvError):  # a full disk takes no last word
            ended = Status.now(state, read_status(directory), error=None if said is None else str(said))
            write_status(directory, ended)
        if error is None or error is problem:
            raise
        raise error from problem
    write_status(directory, Status.now("done", read_status(directory), progress=1.0, seconds_left=0.0))
    return run


def _opening(job: Job) -> str:
    plan = job.plan
    height, width = plan.crop
    return (
        f"Training {plan.network} on {job.data.name}: {len(job.data.train)} images, {len(job.data.classes)} classes; "
        f"{plan.epochs} epochs of {plan.views} view(s) of {width}×{height} pixels, batch {plan.batch_size}, "
        f"{plan.precision} on {plan.device}; weights: {job.transfer.source}\nRun folder: {job.directory}"
    )


def _recipe(job: Job) -> NetworkRecipe:
    """How a package builds the network again."""
    name, code = job.plan.network, None
    if isinstance(job.net, OwnNetwork):
        name, code = short_name(name), NetworkCode.of(job.net.file)
    return NetworkRecipe(name=name, classes=len(job.data.classes), channels=job.data.channels, code=code)


def _finish(job: Job) -> Run:
    """Score the best checkpoint and pack it."""
    directory, plan, data = job.directory, job.plan, job.data
    learnt = HistoryEntry.now(
        f"trained on {data.name}", run=directory.name, weights=job.transfer.source, seed=plan.seed, epochs=plan.epochs
    )
    card = ModelCard(
        name=directory.name,
        network=_recipe(job),
        classes=data.classes,
        image_dtype=data.dtype,
        normalization=job.normalization,
        resize=plan.resize,
        geometry=Geometry.of(job.net),
        history=(learnt,),
    )
    split = "test" if len(data.test) else "val"
    job.display.say(f"Evaluating the best checkpoint on the {split} images …")
    held_out = data.split(split)
    model = Model(job.net, card, device=plan.device)
    scores = evaluate(model, held_out, report=directory / "report", run=directory, progress=not job.display.quiet)
    entry = PackageScores.of(scores, dataset=data.name, split=split, images=len(held_out))
    card = card.model_copy(update={"scores": (entry,)})
    package = directory / "model"
    save_package(package, job.net, card, replace=True)
    return Run(directory, plan, Model(job.net, card, package, device=plan.device), scores, split)
