"""The part of a server that keeps the slots busy: starts claimed jobs and finds those whose process died."""

from __future__ import annotations

import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field

from sqlalchemy.exc import SQLAlchemyError

from fullconv.errors import FullconvError
from fullconv.training.status import process_lives
from fullconv.workbench.jobs.logs import last_lines, log_path
from fullconv.workbench.jobs.queue import Queue
from fullconv.workbench.jobs.reporting import GRACE_SECONDS
from fullconv.workbench.jobs.waiting_runs import settle
from fullconv.workbench.jobs.worker import CLAIM, CODE, DATABASE, HOME
from fullconv.workbench.settings import ServerSettings
from fullconv.workbench.tables import ACTIVE, Job

LOOK_SECONDS = 0.5
START_SECONDS = 90.0
"""How long a claimed job may take to say its first word: imports on a slow disk."""
SILENT_SECONDS = 120.0
"""How long a job on another machine may be silent before it counts as dead."""

log = logging.getLogger(__name__)
_children: dict[str, subprocess.Popen[bytes]] = {}
"""By claim: processes that were not seen to end. The program keeps them, since they outlive every starter."""


@dataclass
class Starter:
    """A thread beside the server. Several servers may each have one: the queue sees to it that no job runs twice.

    Args:
        settings: of the server.
        queue: where jobs wait.
    """

    settings: ServerSettings
    queue: Queue
    _over: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to look."""
        self._thread = threading.Thread(target=self._loop, name="starter", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Look no more; jobs that run go on."""
        self._over.set()
        if self._thread is not None:
            self._thread.join(timeout=10)

    def look(self) -> None:
        """Once: close what died, start what may start."""
        for job in self.queue.jobs(states=ACTIVE):
            self._check(job)
        for claim in [claim for claim, child in list(_children.items()) if child.poll() is not None]:
            _children.pop(claim, None)
        while not self._over.is_set() and (claimed := self.queue.claim(self.settings.slots)) is not None:
            self._launch(claimed)

    def _loop(self) -> None:
        while not self._over.is_set():
            try:
                self.look()
            except (SQLAlchemyError, FullconvError, OSError) as problem:  # the next look may do better
                log.warning("jobs could not be looked after: %s", problem)
            self._over.wait(LOOK_SECONDS)

    def _launch(self, job: Job) -> None:
        assert job.id is not None
        assert job.claim is not None
        home = self.settings.home
        path = log_path(home, job.id)
        path.parent.mkdir(parents=True, exist_ok=True)
        environment = {name: value for name, value in os.environ.items() if name != "FULLCONV_TOKEN"}
        environment |= {DATABASE: self.settings.database_url, CLAIM: job.claim, HOME: str(home.root)}
        environment |= {CODE: "1" if self.settings.allow_code else "0", "PYTHONUNBUFFERED": "1"}
        environment.setdefault("GOMP_SPINCOUNT", "1000")
        if job.device == "gpu":
            environment["CUDA_VISIBLE_DEVICES"] = _card(job.slot or 0)
        command = [sys.executable, "-m", "fullconv.workbench.jobs.worker", str(job.id)]
        with path.open("ab") as stream:
            child = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=subprocess.STDOUT,
                env=environment,
                start_new_session=True,
            )
        _children[job.claim] = child

    def _check(self, job: Job) -> None:
        """Close a job whose process is gone; kill one that does not stop; give back one that never began."""
        assert job.id is not None
        assert job.claim is not None
        now = time.time()
        if job.state == "claimed":
            self._check_claimed(job, now)
            return
        if job.host != socket.gethostname():
            if now - (job.heartbeat or now) > SILENT_SECONDS:
                self._close(job, "failed", f"nothing was heard of it on {job.host} for {SILENT_SECONDS:.0f} s")
            return
        if job.process is None or not process_lives(job.process, job.started or 0.0):
            aborted = job.abort_at is not None
            said = None if aborted else "its process ended without a word: killed, or out of memory"
            self._close(job, "aborted" if aborted else "failed", said)
        elif job.abort_at is not None and now - job.abort_at > GRACE_SECONDS * 1.5 and job.process is not None:
            _kill_session(job.process)

    def _check_claimed(self, job: Job, now: float) -> None:
        assert job.id is not None
        assert job.claim is not None
        mine = _children.get(job.claim)
        died = mine is not None and mine.poll() is not None
        if not died and (mine is not None or now - (job.claimed_at or now) < START_SECONDS):
            return  # it is starting
        if job.abort_at is not None:
            self._close(job, "aborted", None)
        elif died:
            self._close(job, "failed", "its process ended before it began")
        else:
            self.queue.give_back(job.id, job.claim)

    def _close(self, job: Job, state: str, error: str | None) -> None:
        assert job.id is not None
        assert job.claim is not None
        tail = last_lines(log_path(self.settings.home, job.id)) if state == "failed" else None
        if self.queue.end(job.id, job.claim, state, error=error, tail=tail):
            settle(self.settings.home, job.subject, "failed" if state == "failed" else "aborted", error)


def _kill_session(process: int) -> None:
    """Kill a worker and what it started; it leads its own group."""
    try:
        os.killpg(process, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        return


def _card(slot: int) -> str:
    """Which graphics card a slot is, where only some of them are visible to the server."""
    visible = [card for card in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if card]
    return visible[slot] if slot < len(visible) else str(slot)
