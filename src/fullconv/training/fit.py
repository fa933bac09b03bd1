"""One run from plan to package: prepare, fit, evaluate, pack."""

from __future__ import annotations

import errno
import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import lightning
import torch

from fullconv.data.dataset import Dataset
from fullconv.data.dataset_paths import description_path
from fullconv.data.description import FILE_NAME
from fullconv.errors import FullconvError, PackageError, PlanError, StorageError
from fullconv.evaluation.scores import Scores
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
from fullconv.store.package import (
    Geometry,
    HistoryEntry,
    ModelCard,
    NetworkCode,
    NetworkRecipe,
    PackageScores,
    find_package,
    save_package,
)
from fullconv.training.checkpoints import last_checkpoint
from fullconv.training.display import TrainingDisplay
from fullconv.training.engine import StopRequested, fit_network
from fullconv.training.experiment import Experiment, Plan
from fullconv.training.job import Job
from fullconv.training.plan import TrainingSet, resolve
from fullconv.training.recipes import overlaid
from fullconv.training.regimes import Patchwise
from fullconv.training.reuse import is_package, reuse
from fullconv.training.runs import PLAN_FILE, find_run, new_run, stored_dataset
from fullconv.training.status import Status, read_status, write_status
from fullconv.workspace import Workspace

TRANSFER = "transfer.json"


@dataclass(frozen=True)
class Run:
    """A finished run.

    Args:
        directory: with experiment.yaml, metrics.csv, checkpoints/, report/ and model/.
        experiment: as it ran.
        model: the best checkpoint.
        scores: on the test images, or on the validation images where there are no test images.
        split: which of the two.
    """

    directory: Path
    experiment: Plan
    model: Model
    scores: Scores
    split: str


def train(
    dataset: Dataset | Experiment | str | Path,
    network: str | None = None,
    *,
    workspace: Workspace | None = None,
    quiet: bool = False,
    settings: Mapping[str, Any] | None = None,
    **fields: Any,
) -> Run:
    """Train a network on a dataset.

    Args:
        dataset: a `Dataset`, its name or path, or a whole `Experiment` or the path of an experiment.yaml.
        network: a name of the catalogue, or file and function of a network of one's own, as "my_net.py:build".
        workspace: where the run goes; `Workspace.find()` if not given.
        quiet: show no progress.
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
    experiment, data = _experiment(dataset, asked, home)
    net = _network(experiment, data)
    grid = ScoreGrid.of(net)
    plan = resolve(experiment, TrainingSet(data.train.sizes, data.val.sizes, grid.field))
    _check_patches(plan, grid)
    report = _transfer(plan, net, data)
    directory = new_run(home, data.name, plan, net.file if isinstance(net, OwnNetwork) else None)
    return _execute(Job(directory, plan, data, net, grid, report, home, TrainingDisplay(quiet=quiet)))


def resume(run: str | Path, *, workspace: Workspace | None = None, quiet: bool = False) -> Run:
    """Continue a run that was stopped, killed or failed, from its last whole epoch.

    Raises:
        StorageError: it is no run, or it is still going on.
    """
    home = workspace or Workspace.find()
    directory = find_run(run, home)
    if read_status(directory).alive:
        raise StorageError("the run is still going on", where=directory, remedy="stop it first")
    plan = read_document(directory / PLAN_FILE, Plan, PlanError)
    data = Dataset.load(plan.dataset, home)
    begun_with = read_status(directory).data
    if begun_with not in (None, data.fingerprint):
        remedy = "undo the change, or train again from the start"
        raise PlanError("the dataset has changed since the run began", where=plan.dataset, remedy=remedy)
    net = _network(plan, data, directory)
    report = _recorded_transfer(directory) or _transfer(plan, net, data)
    grid = ScoreGrid.of(net)
    return _execute(Job(directory, plan, data, net, grid, report, home, TrainingDisplay(quiet=quiet)))


def _experiment(source: Any, settings: Mapping[str, Any], home: Workspace) -> tuple[Experiment, Dataset]:
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
    experiment = validate_document(overlaid(asked, settings), Experiment, where="the experiment", error=PlanError)
    if experiment.weights not in NAMED_WEIGHTS:
        weights = _found_weights(experiment.weights, home)
        experiment = experiment.model_copy(update={"weights": str(weights.expanduser().absolute())})
    if is_own_file(experiment.network):
        experiment = experiment.model_copy(update={"network": absolute_name(experiment.network)})
    return experiment, data


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


def _check_patches(plan: Plan, grid: ScoreGrid) -> None:
    """Patches that hold no whole field have no loss inside.

    Raises:
        PlanError: they are smaller than the receptive field, or the field is the whole image.
    """
    if not isinstance(plan.regime, Patchwise) or plan.regime.loss_at != "inside":
        return
    remedy = "say regime.loss_at: center or pixels, choose larger patches, or a network with a smaller field"
    if not grid.is_local:
        raise PlanError("the scores of this network read the whole image", where="regime.loss_at", remedy=remedy)
    if any(side < field for side, field in zip(plan.crop, grid.field, strict=True)):
        fields, sides = ("×".join(map(str, size)) for size in (grid.field, plan.crop))
        raise PlanError(f"no receptive field of {fields} pixels lies inside a patch of {sides}", remedy=remedy)


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


def _execute(job: Job) -> Run:
    """Fit, evaluate and pack; whatever happens, status.json tells it."""
    directory, display = job.directory, job.display
    status = Status.now("running", read_status(directory), error=None, data=job.data.fingerprint)
    try:
        write_status(directory, status)
        write_atomically(directory / TRANSFER, _transfer_text(job.transfer))
        display.say(_opening(job))
        if job.transfer.warning:
            status = status.model_copy(update={"warnings": (job.transfer.warning,)})
            display.say(f"Warning: {job.transfer.warning}.")
        with display, own_mistakes(job.net):
            fit_network(job, status)
        run = _finish(job)
    except BaseException as problem:
        state, error = _verdict(problem, directory)
        said = error or (problem if state == "failed" else None)
        with suppress(OSError, FullconvError):  # a full disk takes no last word
            ended = Status.now(state, read_status(directory), error=None if said is None else str(said))
            write_status(directory, ended)
        if error is None or error is problem:
            raise
        raise error from problem
    write_status(directory, Status.now("done", read_status(directory), progress=1.0, seconds_left=0.0))
    return run


def _verdict(problem: BaseException, directory: Path) -> tuple[Any, FullconvError | None]:
    """The state that an exception leaves a run in, and the sentence for the person."""
    again = f"continue with `fullconv train --resume {directory.name}`"
    if isinstance(problem, StopRequested | KeyboardInterrupt):
        return "aborted", None
    if isinstance(problem, FullconvError):
        return "failed", problem
    if isinstance(problem, FloatingPointError):
        return "failed", PlanError(str(problem), where=directory, remedy="lower the learning rate and train again")
    if isinstance(problem, OSError) and problem.errno in (errno.ENOSPC, errno.EDQUOT):
        return "failed", StorageError("no space left on the disk", where=directory, remedy=f"free some and {again}")
    if isinstance(problem, OSError):
        what = problem.strerror or str(problem)
        return "failed", StorageError(what, where=problem.filename or directory, remedy=f"mend that and {again}")
    if isinstance(problem, MemoryError | torch.OutOfMemoryError) or "can't allocate memory" in str(problem):
        remedy = "use a smaller batch_size or crop"
        return "failed", PlanError("there is not enough memory for this batch", where=directory, remedy=remedy)
    return "failed", None


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
