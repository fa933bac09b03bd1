"""Runs that waited for a job which ended before it began them."""

from __future__ import annotations

from contextlib import suppress

from fullconv.errors import FullconvError
from fullconv.training.status import State, Status, read_status, write_status
from fullconv.workspace import Workspace


def settle(home: Workspace, subject: str | None, state: State, error: str | None) -> None:
    """Write into a run's folder how its job ended, if the run still waits there; nobody else would say so.

    Args:
        home: the workspace.
        subject: of the job; anything but "run:NAME" is let alone.
        state: "failed" or "aborted". error: the sentence.
    """
    kind, _, name = (subject or "").partition(":")
    if kind != "run":
        return
    with suppress(FullconvError, OSError):
        directory = home.run(name)
        status = read_status(directory)
        if status.state == "queued" and not status.process:
            ended = Status.now(state, status, error=error)
            write_status(directory, ended.model_copy(update={"process": 0, "started": 0.0}))
