"""Jobs with processes that may be gone, and a starter that looks after them by a clock of ours."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

import psutil

from fullconv.process_identity import identity_of
from fullconv.workbench.jobs.queue import Queue
from fullconv.workbench.jobs.starter import Starter
from fullconv.workbench.jobs.watch import LONGEST_PAUSE, Watch
from fullconv.workbench.settings import ServerSettings, Slots
from fullconv.workbench.tables import Job
from fullconv.workbench.workbench import Workbench

STEP = LONGEST_PAUSE / 2
NOBODY = 2**22 + 1
"""Greater than any number of a process."""


@dataclass
class Observer:
    """A starter whose clock we turn; it starts no jobs.

    Args:
        bench: what it looks after. now: seconds.
    """

    bench: Workbench
    now: float = 0.0
    starter: Starter = field(init=False)

    def __post_init__(self) -> None:
        settings = ServerSettings(self.bench.home, slots=Slots(cpu=0, aside=0))
        self.starter = Starter(settings, self.bench.queue, Watch(lambda: self.now))

    def looks(self, seconds: float) -> None:
        """Look all the time for so long."""
        for _ in range(int(seconds / STEP) + 1):
            self.starter.look()
            self.now += STEP


def claimed(queue: Queue, **fields: Any) -> Job:
    queue.add(**({"kind": "dataset", "title": "t", "payload": {}} | fields))
    job = queue.claim(Slots(cpu=9, gpu=9, aside=9))
    assert job is not None
    return job


def running(queue: Queue, process: int, started: float | None = None, **fields: Any) -> Job:
    """A job that this process works on."""
    job = claimed(queue, **fields)
    since = psutil.Process(process).create_time() if started is None else started
    identity = identity_of(process) if started is None else None
    begun = queue.begin(job.id or 0, job.claim or "", process=process, started=since, identity=identity)
    assert begun is not None
    return begun


def found(bench: Workbench, job: Job) -> Job:
    return bench.queue.get(job.id or 0)


def is_gone(process: int) -> bool:
    end = time.monotonic() + 20
    while psutil.pid_exists(process) and psutil.Process(process).status() != psutil.STATUS_ZOMBIE:
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True
