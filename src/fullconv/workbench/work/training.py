"""Jobs that train, sum up groups of runs, and try plans out."""

from __future__ import annotations

from typing import Any

from fullconv.errors import FullconvError
from fullconv.training.fit import resume
from fullconv.training.forecast.forecasting import forecast
from fullconv.training.group_summary import sum_up
from fullconv.training.status import read_status
from fullconv.training.stopping import StopRequested
from fullconv.workbench.jobs.kinds import JobContext, Payload
from fullconv.workbench.jobs.outcomes import trained
from fullconv.workbench.jobs.waiting_runs import settle
from fullconv.workbench.own_code import refuse_code, refuse_code_of


def train_run(payload: Payload, context: JobContext) -> dict[str, Any]:
    """Begin a run that waits, or go on with one that was stopped.

    Args:
        payload: `run`, its name; `learning_rate`, another one from here on, if given.
    """
    directory = context.home.run(payload["run"])
    if read_status(directory).state == "done":  # the process that did it was killed before it could say so
        return trained(context.home, directory.name)

    def standing() -> dict[str, Any]:
        try:
            status = read_status(directory)
        except FullconvError:
            return {}
        done = f"epoch {status.epoch} of {status.epochs}"
        return {"progress": status.progress, "seconds_left": status.seconds_left, "message": done}

    try:
        refuse_code_of(directory, allowed=context.allow_code)
        with context.reporter.asking(standing):
            run = resume(directory, learning_rate=payload.get("learning_rate"), workspace=context.home)
    except BaseException as problem:
        stopped = isinstance(problem, KeyboardInterrupt | StopRequested)
        settle(
            context.home, f"run:{directory.name}", "aborted" if stopped else "failed", None if stopped else str(problem)
        )
        raise
    return trained(context.home, run.directory.name)


def close_group(payload: Payload, context: JobContext) -> dict[str, Any]:
    """Sum up a group of runs as they stand; nothing is trained, and what is missing is said.

    Args:
        payload: `group`, its name; `axes`, what differs; `runs`, names.
    """
    context.reporter.say("summing up")
    runs = [context.home.run(name) for name in payload["runs"]]
    for run in runs:  # their models are opened
        refuse_code_of(run, allowed=context.allow_code)
    with context.reporter.following():
        done = sum_up(payload["group"], payload["axes"], runs, workspace=context.home)
    for one in done.missing:
        print(f"{one.run} has no result: it is {one.state}. {one.error or ''}".rstrip())
    return {
        "group": done.group,
        "runs": [run.directory.name for run in done.runs],
        "best": done.best.directory.name,
        "missing": [one.run for one in done.missing],
        "ensemble": None if done.ensemble is None else done.group,
    }


def forecast_plan(payload: Payload, context: JobContext) -> dict[str, Any]:
    """Do a few real steps of a plan, for its time and its largest batch.

    Args:
        payload: `dataset`, its name; `settings`, of an experiment.
    """
    refuse_code(str(payload["settings"].get("network", "")), allowed=context.allow_code)
    context.reporter.say("doing a few steps")
    return forecast(payload["dataset"], workspace=context.home, settings=payload["settings"]).as_dict()
