"""Runs whose folders wait for a job: made together with it, and never left waiting when there is none."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path

from sqlmodel import col, select

from fullconv.errors import FullconvError
from fullconv.files import disk_errors
from fullconv.training.status import State, Status, read_status, write_status
from fullconv.workbench.database import reading
from fullconv.workbench.jobs.queue import Queue
from fullconv.workbench.jobs.watch import Watch
from fullconv.workbench.refusals import Busy, Conflict
from fullconv.workbench.tables import OPEN, CatalogueEntry, Job
from fullconv.workspace import Workspace, checked_name

LOCK = ".planning"
FORGOTTEN_SECONDS = 5.0
"""How long a run waits without a job before it is settled."""
PATIENCE_SECONDS = 20.0
"""How long somebody who deletes waits for those who plan."""
NEVER_QUEUED = (
    "it waited and was in no queue: the server was killed before it came there, or the list of jobs is gone; "
    "let it go on, or delete it"
)


@contextmanager
def planning(home: Workspace) -> Iterator[None]:
    """Held while folders of runs wait and their jobs are not in the queue yet: nobody takes them for forgotten, and
    nobody takes away what they need.

    The system lets go of it when the process is killed. Several may plan at the same time.
    """
    with _locked(home, fcntl.LOCK_SH):
        yield


@contextmanager
def taking_away(home: Workspace) -> Iterator[None]:
    """Held while what runs and jobs may need is looked after and deleted, renamed or changed: nobody plans meanwhile.

    It waits for those who plan; what they made is there then.

    Raises:
        Busy: that takes long.
    """
    end = time.monotonic() + PATIENCE_SECONDS
    while True:
        with _locked(home, fcntl.LOCK_EX | fcntl.LOCK_NB) as alone:
            if alone:
                yield
                return
        if time.monotonic() > end:
            raise Busy("runs are being planned, which may need it", where="the queue", remedy="ask again in a moment")
        time.sleep(0.05)


@contextmanager
def planning_group(home: Workspace, group: str) -> Iterator[None]:
    """Held while the runs of a group are planned: two who ask for the same group do not make its runs twice.

    Raises:
        Conflict: somebody plans it just now.
    """
    with _locked(home, fcntl.LOCK_EX | fcntl.LOCK_NB, f"{LOCK}-{checked_name(group)}") as alone:
        if not alone:
            raise Conflict("this group is being planned already", where=group, remedy="wait a moment, and look at it")
        yield


@contextmanager
def _locked(home: Workspace, how: int, name: str = LOCK) -> Iterator[bool]:
    """Whether the lock was got; where the file system knows no locks, it always is."""
    with disk_errors(home.jobs):
        home.jobs.mkdir(parents=True, exist_ok=True)
        lock = os.open(home.jobs / name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        try:
            fcntl.flock(lock, how)
        except BlockingIOError:
            yield False
            return
        except OSError:
            pass
        yield True
    finally:
        os.close(lock)


def settle(home: Workspace, subject: str | None, state: State, error: str | None) -> None:
    """Write into a run's folder how its job ended, if the run still waits there; nobody else would say so.

    For the process of the job itself, whose run nobody else can take up.

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
        if _waits(status):
            write_status(directory, Status.now(state, status, error=error).of_nobody())


def settle_ended(home: Workspace, queue: Queue, subject: str | None, state: State, error: str | None) -> None:
    """The same from outside, when the job has ended: unless another one was put into the queue meanwhile.

    Args:
        queue: held while it is written, so that nobody lets the run go on just then.
        home, subject, state, error: see `settle`.
    """
    with queue.adding() as step:
        if subject is None or not step.open_jobs([subject]):
            settle(home, subject, state, error)


def settle_forgotten(home: Workspace, queue: Queue, watch: Watch) -> list[str]:
    """Runs that wait and have had no open job for a while: their state becomes that of their last job, or "failed".

    Nothing is started: whoever asked for such a run got no answer, and may have asked again.

    Args:
        watch: of the one who looks.

    Returns:
        Names of those that were settled.
    """
    with reading(queue.engine) as session:
        query = select(CatalogueEntry.name).where(CatalogueEntry.kind == "run", CatalogueEntry.state == "queued")
        waiting = set(session.exec(query))
        jobs = session.exec(select(Job.subject).where(col(Job.subject).startswith("run:"), col(Job.state).in_(OPEN)))
        waiting -= {str(subject).partition(":")[2] for subject in jobs}
    settled = []
    for name in sorted(waiting):
        with suppress(FullconvError, OSError):
            status = read_status(home.run(name))
            since = watch.unchanged(("waiting", name), status.heartbeat)
            if _waits(status) and since > FORGOTTEN_SECONDS and _settled(home, queue, home.run(name)):
                settled.append(name)
    return settled


def _settled(home: Workspace, queue: Queue, directory: Path) -> bool:
    """Settle a run for good, unless somebody plans, or it got a job meanwhile."""
    with _locked(home, fcntl.LOCK_EX | fcntl.LOCK_NB) as alone:
        subject, status = f"run:{directory.name}", read_status(directory)
        last = next(iter(queue.jobs(subject=subject, limit=1)), None)
        if not alone or not _waits(status) or (last is not None and last.state in OPEN):
            return False
        state: State = "failed"
        error: str | None = NEVER_QUEUED
        if last is not None and (last.ended or 0.0) >= datetime.fromisoformat(status.heartbeat).timestamp():
            state, error = ("aborted", None) if last.state == "aborted" else ("failed", last.error)
        settle(home, subject, state, error)
        return True


def _waits(status: Status) -> bool:
    return status.state == "queued" and not status.process
