"""Runs that begin and go on: from a plan, from lists of values, once more, or where they stopped."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from fullconv.files import dump_yaml
from fullconv.networks.own_file import COPY, copied_name, is_own_file
from fullconv.training.fit import plan_run
from fullconv.training.settings.experiment import Experiment
from fullconv.training.status import Status, read_status, write_status
from fullconv.training.sweep import PlannedSweep, group_name, plan_sweep
from fullconv.workbench.jobs.adding import Adding
from fullconv.workbench.jobs.waiting_runs import planning, planning_group
from fullconv.workbench.mistakes import as_wrong_fields
from fullconv.workbench.own_code import refuse_code
from fullconv.workbench.refusals import Conflict
from fullconv.workbench.services.jobs import JobView
from fullconv.workbench.services.plan_settings import Asked, asked
from fullconv.workbench.services.plans import Source
from fullconv.workbench.services.runs import directory_of, plan_of
from fullconv.workbench.tables import OPEN, Job
from fullconv.workbench.workbench import Workbench

MACHINE = {"device", "workers"}


class Started(BaseModel):
    """What was put into the queue.

    Args:
        runs: names of the runs, in the order of the values; of a group that was begun before, those there are already
            stay as they are, if they are done.
        jobs: one for each run that has something to do.
        group: of several runs, its name. closing: the job that will sum them up.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "runs": ["20260102-090000-streets-fcn4s-mobilenet_v2-features"],
                "jobs": [],
                "group": None,
                "closing": None,
            }
        }
    )

    runs: list[str]
    jobs: list[JobView]
    group: str | None = None
    closing: JobView | None = None


class Clone(BaseModel):
    """A run's plan as a new one would be asked for.

    Args:
        experiment: what differs from the defaults. yaml: the same as text.
    """

    experiment: dict[str, Any]
    yaml: str


def start_runs(bench: Workbench, source: Source) -> Started:
    """Plan a run, or one for every combination of the lists' values, and put them into the queue.

    This builds the network and looks for its weights: keep it off the event loop.

    Args:
        source: fields of an `Experiment`, or the same as YAML.

    Raises:
        WrongFields: with every wrong field; nothing is begun then.
        Conflict: the group is being planned by somebody else. StorageError: it is in the queue already.
    """
    bench.must_be_writable()
    wanted = asked(bench, source)
    with planning(bench.home):
        return _start_group(bench, wanted) if wanted.axes else _start_one(bench, wanted)


def resume_run(bench: Workbench, name: str, *, learning_rate: float | None = None) -> JobView:
    """Let a run go on from its last whole epoch, or begin where it has none.

    Args:
        learning_rate: another peak rate from here on.

    Raises:
        Conflict: it is going on, waits already, or is done.
        Forbidden: its network is from a Python file, and that is not allowed.
    """
    bench.must_be_writable()
    payload: dict[str, Any] = {"run": name}
    if learning_rate is not None:
        payload["learning_rate"] = learning_rate
    plan = plan_of(directory_of(bench, name))
    refuse_code(plan.network, allowed=bench.settings.allow_code)
    with planning(bench.home), bench.queue.adding() as step:  # whoever asks at the same moment sees what this one did
        directory = directory_of(bench, name)
        status = read_status(directory)
        _must_stand_still(step.latest(f"run:{name}"), name, status)
        job = _queue(step, directory, plan, payload)
        if plan.group is not None:
            _sum_up_again(step, plan.group, job)
        write_status(directory, Status.waiting(status.with_its_end(), error=None))
    return JobView.of(job)


def retry_run(bench: Workbench, name: str) -> Started:
    """Train the plan of a run once more from the start, as a run of its own.

    Raises:
        WrongFields: the plan cannot run any more.
    """
    bench.must_be_writable()
    experiment = clone_of(bench, name).experiment
    return start_runs(bench, {key: value for key, value in experiment.items() if key != "group"})


def clone_of(bench: Workbench, name: str) -> Clone:
    """A run's plan as the start of another one; where it computes is decided anew."""
    directory = directory_of(bench, name)
    plan = plan_of(directory)
    if is_own_file(plan.network) and (directory / COPY).is_file():
        plan = plan.model_copy(update={"network": copied_name(plan.network, directory)})
    told = plan.model_dump(mode="json", exclude_defaults=True, exclude=MACHINE)
    shown = {"dataset": plan.dataset, "network": plan.network, **told}
    ordered = {key: shown[key] for key in Experiment.model_fields if key in shown}
    return Clone(experiment=ordered, yaml=dump_yaml(ordered))


def _start_one(bench: Workbench, wanted: Asked) -> Started:
    with as_wrong_fields():
        directory = plan_run(wanted.dataset, wanted.settings, workspace=bench.home)
    try:
        with bench.queue.adding() as step:
            job = _queue(step, directory, plan_of(directory), {"run": directory.name})
    except BaseException:
        _take_back(bench, [directory])
        raise
    return Started(runs=[directory.name], jobs=[JobView.of(job)])


def _start_group(bench: Workbench, wanted: Asked) -> Started:
    group = group_name(wanted.dataset, wanted.settings)
    with planning_group(bench.home, group):
        with as_wrong_fields():
            planned = plan_sweep(wanted.dataset, wanted.settings, group=group, workspace=bench.home)
        return _queue_group(bench, planned)


def _queue_group(bench: Workbench, planned: PlannedSweep) -> Started:
    names = [directory.name for directory in planned.runs]
    jobs, stopped = [], []
    try:
        with bench.queue.adding() as step:
            after = step.open_jobs([f"run:{name}" for name in names])
            for directory in planned.runs:
                status = read_status(directory)
                if f"run:{directory.name}" in after or status.state == "done" or status.alive:
                    continue
                jobs.append(_queue(step, directory, plan_of(directory), {"run": directory.name}))
                if status.state != "queued":
                    stopped.append((directory, status))
            closing = step.job(
                "group",
                title=f"Summary of {planned.group}",
                payload={"group": planned.group, "axes": planned.axes, "runs": names},
                subject=f"group:{planned.group}",
                device="either",
                after=[*after.values(), *(job.id for job in jobs if job.id is not None)],
            )
            for directory, status in stopped:
                write_status(directory, Status.waiting(status.with_its_end(), error=None))
    except BaseException:
        _take_back(bench, planned.made)
        raise
    views = [JobView.of(job) for job in jobs]
    return Started(runs=names, jobs=views, group=planned.group, closing=JobView.of(closing))


def _take_back(bench: Workbench, made: Sequence[Path]) -> None:
    """Delete folders of runs that did not come into the queue; what may have come there stays, to be settled if not."""
    for directory in made:
        if not bench.queue.may_have(f"run:{directory.name}"):
            shutil.rmtree(directory, ignore_errors=True)


def _queue(step: Adding, directory: Path, plan: Experiment, payload: Mapping[str, Any]) -> Job:
    return step.job(
        "train",
        title=f"{plan.network} on {Path(plan.dataset).stem if '/' in plan.dataset else plan.dataset}",
        payload=payload,
        subject=f"run:{directory.name}",
        device="gpu" if plan.device == "cuda" else "cpu",
    )


def _must_stand_still(job: Job | None, name: str, status: Status) -> None:
    if job is not None and job.state == "queued":
        raise Conflict("the run waits in the queue already", where=name, remedy="let it, or abort it first")
    if status.alive or (job is not None and job.state in OPEN):
        raise Conflict("the run is going on", where=name, remedy="abort it first")
    if status.state == "done":
        raise Conflict("the run is done", where=name, remedy="train again from the start, or with another plan")


def _sum_up_again(step: Adding, group: str, job: Job) -> None:
    """The group of a run that goes on is summed up when it ends: by the job that waits for that, or by another one."""
    known = step.latest(f"group:{group}")
    if known is None or known.id is None or job.id is None:
        return
    if known.state == "queued":
        step.let_wait(known.id, [job.id])
    elif known.state not in OPEN:
        runs = [f"run:{name}" for name in known.payload.get("runs", [])]
        step.job(
            "group",
            title=known.title,
            payload=known.payload,
            subject=known.subject,
            device=known.device,
            after=list(step.open_jobs(runs).values()),
        )
