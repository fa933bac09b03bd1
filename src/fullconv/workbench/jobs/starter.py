"""The part of a server that keeps the slots busy: starts claimed jobs and finds those whose process died or hangs."""

from __future__ import annotations

import logging
import subprocess
import threading
from dataclasses import dataclass, field

import psutil
from sqlalchemy.exc import SQLAlchemyError

from fullconv.errors import FullconvError
from fullconv.process_identity import identity_of, process_lives
from fullconv.workbench.jobs.endings import forget_ending, read_ending
from fullconv.workbench.jobs.launching import is_gone, is_held, kill_leftovers, kill_session, launch
from fullconv.workbench.jobs.logs import last_lines, log_path
from fullconv.workbench.jobs.outcomes import Outcome, outcome_of
from fullconv.workbench.jobs.queue import Queue
from fullconv.workbench.jobs.reporting import GRACE_SECONDS
from fullconv.workbench.jobs.waiting_runs import settle_ended, settle_forgotten
from fullconv.workbench.jobs.watch import Watch
from fullconv.workbench.settings import ServerSettings
from fullconv.workbench.tables import ACTIVE, Job

LOOK_SECONDS = 0.5
START_SECONDS = 90.0
"""How long a server that cannot be looked at may take to launch a process for a job that it claimed."""
SILENT_SECONDS = 180.0
"""How long a running job may be silent, wherever it runs, before that is told."""
TOLD_SECONDS = 30.0
"""How long it may go on being silent after that, before it counts as dead."""
STRANGER_SECONDS = 5.0
"""How long a job may be silent when another process seems to have its number."""
_TROUBLE = (SQLAlchemyError, FullconvError, OSError, psutil.Error)

log = logging.getLogger(__name__)
_children: dict[str, subprocess.Popen[bytes]] = {}
"""By claim: processes that were not seen to end. The program keeps them, since they outlive every starter."""


@dataclass
class Starter:
    """A thread beside the server. Several servers may each have one: the queue sees to it that no job runs twice.

    Args:
        settings: of the server.
        queue: where jobs wait.
        watch: what was seen of jobs; made here if not given.
    """

    settings: ServerSettings
    queue: Queue
    watch: Watch = field(default_factory=Watch)
    _killed: dict[str, str] = field(default_factory=dict)
    _said: dict[str, str] = field(default_factory=dict)
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
        """Once: close what died, settle runs that wait for nothing, start what may start."""
        self.watch.look()
        for job in self.queue.jobs(states=ACTIVE):
            try:
                self._check(job)
                self._said.pop(f"job {job.id}", None)
            except Exception as problem:  # the others are looked after all the same
                self._warn(f"job {job.id}", problem)
        for claim in [claim for claim, child in list(_children.items()) if child.poll() is not None]:
            _children.pop(claim, None)
        settle_forgotten(self.settings.home, self.queue, self.watch)
        while not self._over.is_set() and (claimed := self.queue.claim(self.settings.slots)) is not None:
            self._launch(claimed)

    def _loop(self) -> None:
        while not self._over.is_set():
            try:
                self.look()
                self._said.pop("jobs", None)
            except Exception as problem:  # the next look may do better, and no job starts without one
                self._warn("jobs", problem)
            self._over.wait(LOOK_SECONDS)

    def _warn(self, what: str, problem: Exception) -> None:
        """Say what could not be looked after; what goes on is said once, and what nobody thought of with its place."""
        said = f"{type(problem).__name__}: {problem}"
        if self._said.get(what) != said:
            self._said[what] = said
            unforeseen = not isinstance(problem, _TROUBLE)
            log.warning("%s could not be looked after: %s", what, said if unforeseen else problem, exc_info=unforeseen)

    def _launch(self, job: Job) -> None:
        assert job.id is not None
        assert job.claim is not None
        here = [other for other in self.queue.jobs(states=ACTIVE) if other.host == self.queue.host]
        beside = any(other.slot_kind in ("cpu", "gpu") for other in here)
        try:
            child = launch(job, self.settings, beside=beside)
        except BaseException:
            self.queue.give_back(job.id, job.claim)
            raise
        _children[job.claim] = child
        started, identity = psutil.Process(child.pid).create_time(), identity_of(child.pid)
        self.queue.launched(job.id, job.claim, process=child.pid, started=started, identity=identity)

    def _check(self, job: Job) -> None:
        """Close a job whose process is gone; kill one that does not stop or hangs; give back one that never began."""
        process = job.process
        if job.state == "claimed":
            self._check_claimed(job)
        elif job.host != self.queue.host:
            if self._is_silent(job):
                self._close(job, "failed", f"nothing was heard of it on {job.host} for {_minutes()}")
        elif process is None or self._is_gone(job, process):
            said = "its process ended without a word: killed, or out of memory"
            self._close(job, "failed", self._killed.pop(job.claim or "", said))
        elif self._must_end(job):
            kill_session(process)
        elif self._is_silent(job) and not is_held(process):
            self._killed[job.claim or ""] = f"it hung: nothing was heard of it for {_minutes()}, and it was killed"
            kill_session(process)

    def _check_claimed(self, job: Job) -> None:
        assert job.id is not None
        assert job.claim is not None
        waited = self.watch.unchanged(("claimed", job.id), job.claim)
        child, here, process = _children.get(job.claim), job.host == self.queue.host, job.process
        gone = here and (process is None or not process_lives(process, job.started or 0.0, job.identity))
        if child is not None or job.launched is not None:
            if gone if child is None else child.poll() is not None:
                self._close(job, "failed", "its process ended before it began")
            elif here and job.launched is not None and process is not None and self._must_end(job):
                kill_session(process)
        elif gone or waited > START_SECONDS:
            if job.abort_at is not None:
                self._close(job, "aborted", None)
            else:
                self.queue.give_back(job.id, job.claim)

    def _is_gone(self, job: Job, process: int) -> bool:
        """Whether the process of a running job of this machine is.

        Where it has no identity, one of that number that began at another time is another one; but beginnings are told
        by the clock, which may have been set since. So it is taken for the same while the job's heart beats.
        """
        if is_gone(process):
            return True
        if job.identity is not None:
            return not process_lives(process, job.started or 0.0, job.identity)
        silent = self.watch.unchanged(("heartbeat", job.claim), job.heartbeat)
        return silent > STRANGER_SECONDS and not process_lives(process, job.started or 0.0)

    def _must_end(self, job: Job) -> bool:
        """Whether a job was told to stop, and has had more than its time to do so."""
        told = self.watch.unchanged(("told to stop", job.id), job.abort_at)
        return job.abort_at is not None and told > GRACE_SECONDS * 1.5

    def _is_silent(self, job: Job) -> bool:
        """Whether nothing is heard of a job any more, though whoever looks can write where it would write."""
        assert job.id is not None
        assert job.claim is not None
        if self.watch.unchanged(("heartbeat", job.claim), job.heartbeat) < SILENT_SECONDS:
            return False
        held = job.host == self.queue.host and job.process is not None and is_held(job.process)
        said = f"nothing was heard of it for {_minutes()}"
        if held:
            said += f": its process was stopped, and kill -CONT {job.process} lets it go on"
        if job.message != said:
            self.queue.note(job.id, job.claim, said)
        return self.watch.unchanged(("silence told", job.claim), (job.heartbeat, held)) > TOLD_SECONDS

    def _close(self, job: Job, state: str, error: str | None) -> None:
        """Write down how a job ended: as its files say, if they do."""
        assert job.id is not None
        assert job.claim is not None
        launched = job.state == "running" or job.launched is not None
        if launched and job.host == self.queue.host and job.process is not None:
            kill_leftovers(job.process)
        home = self.settings.home
        found = read_ending(home, job.id, job.claim) or outcome_of(home, job)
        if found is None:
            found = Outcome("aborted") if job.abort_at is not None else Outcome(state, error)
        tail = last_lines(log_path(home, job.id)) if found.state == "failed" else None
        if self.queue.end(job.id, job.claim, found.state, error=found.error, tail=tail, result=found.result):
            settle_ended(home, self.queue, job.subject, "failed" if found.state == "failed" else "aborted", found.error)
        forget_ending(home, job.id)


def _minutes() -> str:
    return f"{SILENT_SECONDS / 60:.0f} minutes"
