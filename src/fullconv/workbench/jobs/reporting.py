"""What a job says while it runs: how far it is; and what it hears: that it shall stop."""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy.exc import SQLAlchemyError

from fullconv.errors import StorageError
from fullconv.progress import told_to
from fullconv.workbench.jobs.queue import Queue
from fullconv.workbench.refusals import Busy

BEAT_SECONDS = 1.0
GRACE_SECONDS = 30.0
"""How long a job that was told to stop may take to do so."""
log = logging.getLogger(__name__)


@dataclass
class Reporter:
    """The line between a running job and the queue: a thread that beats, and stops the job when it is told to.

    Args:
        queue, job, claim: whose it is.
        beat: seconds between two beats. grace: seconds from the first request to stop until the process is killed.
    """

    queue: Queue
    job: int
    claim: str
    beat: float = BEAT_SECONDS
    grace: float = GRACE_SECONDS
    aborted: bool = False
    lost: bool = False
    _said: dict[str, Any] = field(default_factory=dict)
    _standing: Callable[[], dict[str, Any]] | None = None
    _over: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> Reporter:
        self._thread = threading.Thread(target=self._beats, name="heartbeat", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *rest: object) -> None:
        self._over.set()
        self._thread.join(timeout=self.beat + 5)

    def say(self, message: str, progress: float | None = None, seconds_left: float | None = None) -> None:
        """Tell what is being done; it is written with the next beat."""
        said: dict[str, Any] = {"message": message, "seconds_left": seconds_left}
        self._said = said if progress is None else said | {"progress": min(1.0, max(0.0, progress))}

    @contextmanager
    def asking(self, standing: Callable[[], dict[str, Any]]) -> Iterator[None]:
        """Ask before every beat how far it is, instead of being told.

        Args:
            standing: gives `message`, `progress`, `seconds_left`, or nothing.
        """
        self._standing = standing
        try:
            yield
        finally:
            self._standing = None

    @contextmanager
    def following(self) -> Iterator[None]:
        """Tell of everything that shows its progress (`fullconv.progress.track`)."""

        def heard(what: str, done: int, total: int | None, seconds: float) -> None:
            if total:
                self.say(f"{what}: {done} of {total}", done / total, seconds / done * (total - done))

        with told_to(heard):
            yield

    def _beats(self) -> None:
        stop_since: float | None = None
        failed = False
        while not self._over.wait(self.beat):
            said, self._said = self._said, {}
            if (standing := self._standing) is not None:
                with suppress(Exception):  # what cannot be read now must not silence the heart
                    said |= standing()
            try:
                asked = self.queue.beat(self.job, self.claim, **said)
            except StorageError:
                self.lost = True
                asked = time.time()
            except Exception as problem:  # the next beat may do better
                self._said = said | self._said
                if not isinstance(problem, SQLAlchemyError | Busy) and not failed:  # a database may be away or busy
                    log.exception("telling how far it is")
                    failed = True
                continue
            if asked is None:
                continue
            if stop_since is None:
                stop_since, self.aborted = time.monotonic(), True
                os.kill(os.getpid(), signal.SIGINT)
            elif time.monotonic() - stop_since > self.grace:
                kill_group()


def kill_group() -> None:
    """End this process and all it started, at once."""
    os.killpg(os.getpgrp(), signal.SIGKILL)
