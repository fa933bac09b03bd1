"""Runs that are stopped and deleted."""

from __future__ import annotations

import os
import shutil
import signal
import socket
from pathlib import Path

from fullconv.errors import FullconvError
from fullconv.process_identity import process_lives
from fullconv.store.package import read_card
from fullconv.training.status import Status, read_status
from fullconv.workbench.jobs.waiting_runs import taking_away
from fullconv.workbench.refusals import Conflict, Forbidden
from fullconv.workbench.services.jobs import abort_job
from fullconv.workbench.services.open_work import refuse_open_work_on_model
from fullconv.workbench.services.runs import RunView, directory_of, job_of_run, run_of
from fullconv.workbench.tables import OPEN
from fullconv.workbench.workbench import Workbench


def abort_run(bench: Workbench, name: str) -> RunView:
    """Stop a run: in the queue, in its job, or, where it was started from a shell of this machine, in its process.

    It ends after the step in hand and can go on later. This does not wait for that.

    Raises:
        Conflict: it neither waits nor runs, or runs on another machine.
        Forbidden: its process is somebody else's.
    """
    bench.must_be_writable()
    directory = directory_of(bench, name)
    job = job_of_run(bench, name)
    if job is not None and job.state in OPEN:
        abort_job(bench, job.id)
        return run_of(bench, name)
    status = read_status(directory)
    if not status.alive:
        raise Conflict(f"the run is {status.shown}", where=name, remedy="only what waits or runs can be aborted")
    _interrupt(name, status)
    return run_of(bench, name)


def delete_run(bench: Workbench, name: str) -> None:
    """Remove a run with everything in its folder.

    Raises:
        Conflict: it waits or runs, or another run or a model needs it; the sentence names which.
    """
    bench.must_be_writable()
    with taking_away(bench.home):
        directory = directory_of(bench, name)
        bench.catalogue.refresh()
        needed = needed_by(bench, name)
        if needed:
            what = ", ".join(needed[:3]) + (f" and {len(needed) - 3} more" if len(needed) > 3 else "")
            raise Conflict(f"the run is needed by {what}", where=name, remedy="delete these first")
        refuse_open_work_on_model(bench, name, "run")
        with bench.queue.adding() as step:  # nobody lets it go on meanwhile
            if _is_alive(directory_of(bench, name)) or step.open_jobs([f"run:{name}"]):
                raise Conflict("the run is going on or waits in the queue", where=name, remedy="abort it first")
            gone = bench.scratch.set_aside(directory)
    shutil.rmtree(gone, ignore_errors=True)
    bench.feeds.forget(directory)
    bench.catalogue.refresh()


def needed_by(bench: Workbench, name: str) -> list[str]:
    """Runs that start from this one's weights, as far as the catalogue knows them, and models whose history names it.

    >>> from fullconv.workbench.settings import ServerSettings
    >>> from fullconv.workspace import Workspace
    >>> import tempfile
    >>> needed_by(Workbench(ServerSettings(Workspace(Path(tempfile.mkdtemp())))), "first")
    []
    """
    directory = bench.home.run(name)
    found = []
    for other in bench.catalogue.entries("run"):
        weights = other.facts.get("weights")
        if other.name != name and isinstance(weights, str) and Path(weights).is_relative_to(directory):
            found.append(f"run {other.name}")
    models = sorted(bench.home.models.glob("[!.]*")) if bench.home.models.is_dir() else []
    found += [f"model {model.name}" for model in models if _comes_from(model, name)]
    return found


def _is_alive(directory: Path) -> bool:
    try:
        return read_status(directory).alive
    except FullconvError:  # a damaged one can be removed
        return False


def _comes_from(model: Path, run: str) -> bool:
    try:
        history = read_card(model).history
    except FullconvError:
        return False
    return any(run == entry.details.get("run") or run in _listed(entry.details.get("runs")) for entry in history)


def _listed(value: object) -> list[object]:
    return value if isinstance(value, list) else []


def _interrupt(name: str, status: Status) -> None:
    """Ctrl-C for the process of a run, if it still is the one that said its number."""
    if status.host != socket.gethostname():
        raise Conflict(f"the run goes on on {status.host}", where=name, remedy="stop it there with Ctrl-C")
    if not process_lives(status.process, status.started, status.identity):
        raise Conflict("the run has ended just now", where=name, remedy="look at it again")
    try:
        os.kill(status.process, signal.SIGINT)
    except ProcessLookupError:
        raise Conflict("the run has ended just now", where=name, remedy="look at it again") from None
    except PermissionError:
        raise Forbidden(
            "the run's process belongs to another user", where=name, remedy="ask whoever started it"
        ) from None
