"""One run from plan to package: prepare, fit, evaluate, pack."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from fullconv.counted import counted
from fullconv.data.dataset import Dataset
from fullconv.errors import FullconvError, PlanError
from fullconv.files import write_atomically
from fullconv.networks.own_file import (
    OwnNetwork,
    own_mistakes,
)
from fullconv.training.display import LOG, TrainingDisplay
from fullconv.training.distribution.interrupts import deaf_to_sigterm, ended_by_sigterm
from fullconv.training.distribution.launching import run_processes
from fullconv.training.distribution.processes import LONGEST_WAIT, Processes, from_first, launched, on_these, placed
from fullconv.training.endings import verdict
from fullconv.training.engine import fit_network, load_best
from fullconv.training.finished import Run, finished_run
from fullconv.training.forecast.shortage import shortage
from fullconv.training.job import Job
from fullconv.training.loaders import prepare_samples
from fullconv.training.packing import packed_run
from fullconv.training.plan import check_processes
from fullconv.training.preparing import experiment_for, opened, readied
from fullconv.training.rate_change import with_learning_rate
from fullconv.training.runs import find_run, new_run
from fullconv.training.settings.experiment import Experiment
from fullconv.training.status import Status, idle_status, read_status, write_status
from fullconv.training.transfer_record import TRANSFER, transfer_text
from fullconv.workspace import Workspace


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
            display = TrainingDisplay(quiet=quiet, log=directory / LOG)
            return Job(directory, plan, data, net, grid, report, workspace, display)

        return _together(prepared, workspace, processes)


def plan_run(dataset: Dataset | Experiment | str | Path, settings: Mapping[str, Any], *, workspace: Workspace) -> Path:
    """The folder of a run that is planned to the end and waits: `resume` begins it.

    Args:
        dataset, settings: see `train`.
        workspace: where the run goes.

    Raises:
        PlanError, DataError, NetworkError, StorageError: as `train`.
    """
    experiment, data = experiment_for(dataset, settings, workspace)
    plan, net, _, _ = readied(experiment, data)
    own = net.file if isinstance(net, OwnNetwork) else None
    return new_run(workspace, data.name, plan, own, waiting=True)


def resume(
    run: str | Path, *, learning_rate: float | None = None, workspace: Workspace | None = None, quiet: bool = False
) -> Run:
    """Continue a run that was stopped, killed or failed, from its last whole epoch, or begin one that waits.

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
            job = opened(directory, home, quiet=quiet)
            if status.data not in (None, job.data.fingerprint):
                remedy = "undo the change, or train again from the start"
                raise PlanError("the dataset has changed since the run began", where=job.plan.dataset, remedy=remedy)
            check_processes(placed(job.plan, processes))
            return job if learning_rate is None else with_learning_rate(job, learning_rate)

        return _together(prepared, home, processes)


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
    _wait_for_end(directory)
    return finished_run(directory)


def _wait_for_end(directory: Path) -> None:
    """Wait while the first process scores and packs; its clock is not asked, which somebody may set."""
    heard, since = None, time.monotonic()
    while (status := read_status(directory)).state == "running":
        if status.heartbeat != heard:
            heard, since = status.heartbeat, time.monotonic()
        if time.monotonic() - since > LONGEST_WAIT.total_seconds():
            break
        time.sleep(0.5)


def _work(directory: Path, home: Path, quiet: bool, processes: Processes) -> None:
    """What a process does that others were started with: fit, from the run's folder."""
    job = opened(directory, Workspace(home), quiet=quiet, first=processes.first)
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


def _execute(job: Job, processes: Processes) -> Run:
    """Fit, evaluate and pack; whatever happens, status.json tells it."""
    directory, display = job.directory, job.display
    # Another process may have taken it up while this one prepared.
    before = idle_status(directory, mine=True).with_its_end()
    status = Status.now("running", before, error=None, data=job.data.fingerprint)
    try:
        write_status(directory, status)
        write_atomically(directory / TRANSFER, transfer_text(job.transfer))
        display.say(_opening(job))
        for warning in filter(None, (job.transfer.warning, shortage(job))):
            kept = [said for said in status.warnings if said != warning]
            status = status.model_copy(update={"warnings": (warning, *kept)})
            write_status(directory, status)
            display.say(f"Warning: {warning}.")
        with ended_by_sigterm():
            with display, own_mistakes(job.net):
                _fit(job, status, processes)
            load_best(job.net, directory)
            run = packed_run(job)
    except BaseException as problem:
        state, error = verdict(problem, directory)
        said = error or (problem if state == "failed" else None)
        with deaf_to_sigterm(), suppress(OSError, FullconvError):  # a full disk takes no last word
            ended = Status.now(state, read_status(directory), error=None if said is None else str(said))
            write_status(directory, ended)
            display.note(f"The run {'was ' if state == 'aborted' else ''}{state}. {said or ''}".rstrip())
        if error is None or error is problem or state == "aborted":
            raise
        raise error from problem
    write_status(directory, Status.now("done", read_status(directory), progress=1.0, seconds_left=0.0))
    display.note(f"The run is done: mean IoU {run.scores.mean_iou:.3f} on the {run.split} images.")
    return run


def _opening(job: Job) -> str:
    plan = job.plan
    height, width = plan.crop
    return (
        f"Training {plan.network} on {job.data.name}: {counted(len(job.data.train), 'image')}, "
        f"{counted(len(job.data.classes), 'class')}; {counted(plan.epochs, 'epoch')} of "
        f"{counted(plan.views, 'view')} per image, {width}×{height} pixels, batch {plan.batch_size}, "
        f"{plan.precision} on {plan.device}; weights: {job.transfer.source}\nRun folder: {job.directory}"
    )
