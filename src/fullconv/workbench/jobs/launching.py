"""The process of a job: what it is started with, and how it is ended."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import suppress

import psutil

from fullconv.workbench.jobs.logs import log_path
from fullconv.workbench.jobs.worker import CLAIM, CODE, DATABASE, HOME
from fullconv.workbench.settings import ServerSettings
from fullconv.workbench.tables import Job

FEW = 4
"""A job aside takes one core in so many while trainings run."""


def launch(job: Job, settings: ServerSettings, *, beside: bool) -> subprocess.Popen[bytes]:
    """Start the process of a claimed job; it leads a session of its own, and outlives the server.

    Args:
        beside: trainings run on this machine.
    """
    assert job.id is not None
    path = log_path(settings.home, job.id)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)  # of a job of that number in a database that is gone, or of a process that never began
    environment = environment_of(job, settings, os.environ, beside=beside, cores=_cores())
    with path.open("ab") as stream:
        return subprocess.Popen(
            [sys.executable, "-m", "fullconv.workbench.jobs.worker", str(job.id)],
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=subprocess.STDOUT,
            env=environment,
            start_new_session=True,
        )


def environment_of(
    job: Job, settings: ServerSettings, own: os._Environ[str] | dict[str, str], *, beside: bool, cores: int
) -> dict[str, str]:
    """What the process of a job is told: whose it is, which card it sees, how many threads it may take.

    Args:
        own: the server's environment.
        beside: trainings run on this machine. cores: of it.
    """
    environment = {name: value for name, value in own.items() if name != "FULLCONV_TOKEN"}
    environment |= {DATABASE: settings.database_url, CLAIM: job.claim or "", HOME: str(settings.home.root)}
    environment |= {CODE: "1" if settings.allow_code else "0", "PYTHONUNBUFFERED": "1"}
    environment.setdefault("GOMP_SPINCOUNT", "1000")
    on_card = job.slot_kind == "gpu"
    environment["CUDA_VISIBLE_DEVICES"] = card_of(job.slot or 0, own.get("CUDA_VISIBLE_DEVICES")) if on_card else ""
    if job.slot_kind == "aside" and beside and job.kind != "forecast":  # which has to see what a training would
        environment.setdefault("OMP_NUM_THREADS", str(max(1, cores // FEW)))
    return environment


def card_of(slot: int, visible: str | None) -> str:
    """Which graphics card a slot is.

    Args:
        visible: cards that the server sees, as CUDA_VISIBLE_DEVICES has them; none for all.

    >>> card_of(1, None), card_of(1, "2,3"), card_of(0, "GPU-8a7e")
    ('1', '3', 'GPU-8a7e')
    """
    cards = [card.strip() for card in (visible or "").split(",") if card.strip()]
    return cards[slot % len(cards)] if cards else str(slot)


def kill_session(process: int) -> None:
    """Kill the process of a job and what it started; it leads its own group."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process, signal.SIGKILL)


def kill_leftovers(process: int) -> None:
    """Kill what the process of a job started, when that process itself is gone.

    Its number is not given to another process while one of its group lives. So if there is a process of that number,
    the group has died long ago, and that one is somebody else's.
    """
    if is_gone(process):
        kill_session(process)


def is_gone(process: int) -> bool:
    """Whether no process of that number lives."""
    try:
        return psutil.Process(process).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def is_held(process: int) -> bool:
    """Whether somebody stopped a process on purpose: with SIGSTOP, or in a debugger."""
    try:
        return psutil.Process(process).status() in (psutil.STATUS_STOPPED, psutil.STATUS_TRACING_STOP)
    except psutil.NoSuchProcess:
        return False


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
