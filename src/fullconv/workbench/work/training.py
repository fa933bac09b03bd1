"""Jobs that train."""

from __future__ import annotations

from typing import Any

from fullconv.errors import FullconvError
from fullconv.training.fit import resume
from fullconv.training.status import read_status
from fullconv.training.sweep import sweep
from fullconv.workbench.jobs.kinds import JobContext, Payload


def train_run(payload: Payload, context: JobContext) -> dict[str, Any]:
    """Begin a run that waits, or go on with one that was stopped.

    Args:
        payload: `run`, its name; `learning_rate`, another one from here on, if given.
    """
    directory = context.home.run(payload["run"])

    def standing() -> dict[str, Any]:
        try:
            status = read_status(directory)
        except FullconvError:
            return {}
        done = f"epoch {status.epoch} of {status.epochs}"
        return {"progress": status.progress, "seconds_left": status.seconds_left, "message": done}

    with context.reporter.asking(standing):
        run = resume(directory, learning_rate=payload.get("learning_rate"), workspace=context.home)
    return {"run": run.directory.name, "mean_iou": run.scores.mean_iou}


def close_group(payload: Payload, context: JobContext) -> dict[str, Any]:
    """Sum up a group of runs; those that are not done are trained here.

    Args:
        payload: `dataset`, `settings` with lists of values, `group`.
    """
    context.reporter.say("summing up")
    done = sweep(payload["dataset"], group=payload["group"], workspace=context.home, settings=payload["settings"])
    return {"group": done.group, "runs": [run.directory.name for run in done.runs]}
