"""What must hold of a workbench after kills: nothing lost, nothing done twice, nothing broken, nothing left waiting."""

from __future__ import annotations

import re
import threading
import time
from collections import Counter, defaultdict
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import psutil
from sqlalchemy.exc import SQLAlchemyError

from fullconv.errors import FullconvError
from fullconv.evaluation.metrics_table import read_rows
from fullconv.process_identity import process_lives
from fullconv.training.finished import finished_run
from fullconv.training.runs import list_runs
from fullconv.training.status import read_status
from fullconv.workbench.database import check_integrity
from fullconv.workbench.jobs.queue import Queue
from fullconv.workbench.jobs.worker import BEGINS, HOME
from fullconv.workbench.tables import ACTIVE, OPEN, Job
from fullconv.workspace import Workspace

LOOK_SECONDS = 0.05
END_SECONDS = 30.0
"""How long a process may take to end after its last word."""
MOST_JOBS = 100_000
_BEGUN = re.compile(rf"^(?P<when>\S+) process (?P<process>\d+) on \S+ {BEGINS} (?P<job>\d+):", re.MULTILINE)


@dataclass(frozen=True)
class Answer:
    """What a visitor got.

    Args:
        request: in words. status: 0 for none, since the server was killed. jobs: that the answer names, by number, with
            what they work on.
    """

    request: str
    status: int
    jobs: dict[int, str | None] = field(default_factory=dict)


@dataclass(frozen=True)
class Beginning:
    """A process that began a job, as it wrote into the job's log.

    Args:
        job, process: their numbers. when: seconds since 1970.
    """

    job: int
    process: int
    when: float


class Onlooker:
    """A thread that notes when it last saw each process of a job alive.

    Args:
        queue: where jobs stand.
    """

    def __init__(self, queue: Queue) -> None:
        self.queue = queue
        self.seen: dict[int, float] = {}
        self._known: dict[int, float] = {}
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> Onlooker:
        self._thread.start()
        return self

    def __exit__(self, *rest: object) -> None:
        self._over.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._over.wait(LOOK_SECONDS):
            with suppress(SQLAlchemyError, FullconvError):
                for job in self.queue.jobs(states=ACTIVE):
                    if job.process is not None:
                        self._known[job.process] = job.started or 0.0
            for process, started in list(self._known.items()):
                now = time.time()
                if process_lives(process, started):
                    self.seen[process] = now
                else:
                    del self._known[process]


def beginnings(home: Workspace) -> list[Beginning]:
    """Every beginning of a job that there was, the first one first."""
    found = []
    for path in home.jobs.glob("*.log"):
        for match in _BEGUN.finditer(path.read_text(encoding="utf-8", errors="replace")):
            when = datetime.fromisoformat(match["when"]).timestamp()
            found.append(Beginning(int(match["job"]), int(match["process"]), when))
    return sorted(found, key=lambda beginning: beginning.when)


def workers(home: Workspace) -> list[psutil.Process]:
    """Processes of this workspace's jobs that live."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if "fullconv.workbench.jobs.worker" in process.cmdline() and process.environ().get(HOME) == str(home.root):
                found.append(process)
    return found


def left_over(home: Workspace) -> list[psutil.Process]:
    """Processes of jobs that do not end, though nothing is open any more."""
    end = time.monotonic() + END_SECONDS
    while (found := workers(home)) and time.monotonic() < end:
        time.sleep(LOOK_SECONDS)
    return found


def unfinished(home: Workspace, queue: Queue) -> list[str]:
    """What has not come to its end: jobs that are open, and runs that wait."""
    left = [f"job {job.id} is {job.state}" for job in queue.jobs(states=OPEN, limit=MOST_JOBS)]
    return left + [f"run {run.name} waits" for run in list_runs(home) if read_status(run).state == "queued"]


def problems(
    home: Workspace, queue: Queue, answers: list[Answer], onlooker: Onlooker, killed: set[int], expected: Counter[str]
) -> list[str]:
    """Everything that should not be.

    Args:
        home, queue: that were disturbed.
        answers: that visitors got.
        onlooker: who saw the processes.
        killed: processes that were killed.
        expected: rows of metrics.csv of a run that nobody disturbed; see `rows`.
    """
    jobs = {job.id or 0: job for job in queue.jobs(limit=MOST_JOBS)}
    begun = beginnings(home)
    said = lost(jobs, answers) + twice(jobs, begun, onlooker) + unexplained(jobs, killed)
    said += unfinished(home, queue)
    said += [f"process {process.pid} of a job lives on" for process in left_over(home)]
    said += unreadable(home, jobs, expected)
    integrity = check_integrity(queue.engine)
    return said + ([] if integrity == "ok" else [f"the database: {integrity}"])


def lost(jobs: dict[int, Job], answers: list[Answer]) -> list[str]:
    """Jobs that a visitor was promised and that are not there, and answers that are none."""
    said = [
        f"a request ({answer.request}) was answered with {answer.status}" for answer in answers if answer.status == 500
    ]
    said += [
        f"a {answer.request} was granted, and no job is named"
        for answer in answers
        if 200 <= answer.status < 300 and not answer.jobs
    ]
    promised = [(number, subject, answer) for answer in answers for number, subject in answer.jobs.items()]
    return said + [
        f"job {number} on {subject} was promised ({answer.request}) and is not there"
        for number, subject, answer in promised
        if number not in jobs or jobs[number].subject != subject
    ]


def twice(jobs: dict[int, Job], begun: list[Beginning], onlooker: Onlooker) -> list[str]:
    """Jobs that were begun more than once, or without being known, and things that two processes worked on at once."""
    times = Counter(beginning.job for beginning in begun)
    said = [f"job {job} was begun {count} times" for job, count in times.items() if count > 1]
    said += [f"job {job} was begun and is not there" for job in times if job not in jobs]
    said += [
        f"job {job} is done and was never begun" for job, row in jobs.items() if row.state == "done" and not times[job]
    ]
    by_subject = defaultdict(list)
    for beginning in begun:
        if beginning.job in jobs and jobs[beginning.job].subject is not None:
            by_subject[jobs[beginning.job].subject].append(beginning)
    for subject, beginning_of in by_subject.items():
        for place, beginning in enumerate(beginning_of[1:], start=1):
            for earlier in beginning_of[:place]:
                if onlooker.seen.get(earlier.process, 0.0) > beginning.when:
                    said.append(f"jobs {earlier.job} and {beginning.job} worked on {subject} at the same time")
    return said


def unexplained(jobs: dict[int, Job], killed: set[int]) -> list[str]:
    """Jobs that failed though nobody killed their process."""
    return [
        f"job {job.id} ({job.kind}) failed and was not killed: {job.error}"
        for job in jobs.values()
        if job.state == "failed"
        and job.process not in killed
        and "no run of the group is done" not in (job.error or "")
    ]


def unreadable(home: Workspace, jobs: dict[int, Job], expected: Counter[str]) -> list[str]:
    """Runs that are done and cannot be read, whose rows are missing or doubled, or whose last job says otherwise."""
    last = {job.subject: job for job in sorted(jobs.values(), key=lambda job: job.id or 0)}
    said = []
    for directory in list_runs(home):
        job = last.get(f"run:{directory.name}")
        is_done = read_status(directory).state == "done"
        if job is not None and (job.state == "done") != is_done:
            said.append(f"run {directory.name} is {read_status(directory).shown} and its last job is {job.state}")
        if not is_done:
            continue
        try:
            finished_run(directory)
        except (FullconvError, OSError, ValueError, KeyError) as problem:
            said.append(f"run {directory.name} is done and cannot be read: {problem}")
        if rows(directory) != expected:
            said.append(f"run {directory.name} has other rows than one that nobody disturbed: {rows(directory)}")
    return said


def rows(run: Path) -> Counter[str]:
    """Which rows metrics.csv has: epoch, step, split, and whether scores or a rate stand there."""
    return Counter(
        " ".join((row["epoch"], row["step"], row["split"], "scores" if row["pixel_accuracy"] else "rate"))
        for row in read_rows(run / "metrics.csv")
    )
