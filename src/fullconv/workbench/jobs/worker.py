"""One job, in a process of its own: `python -m fullconv.workbench.jobs.worker JOB`.

The process is the leader of its own session, so that it outlives the server that started it.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import time
import traceback
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

import psutil
from sqlalchemy.exc import SQLAlchemyError

from fullconv.errors import FullconvError, StorageError
from fullconv.process_identity import identity_of
from fullconv.training.stopping import StopRequested
from fullconv.workbench.database import connect
from fullconv.workbench.jobs.endings import forget_ending, write_ending
from fullconv.workbench.jobs.kinds import KINDS, JobContext
from fullconv.workbench.jobs.logs import last_lines, log_path
from fullconv.workbench.jobs.outcomes import Outcome, outcome_of
from fullconv.workbench.jobs.queue import Queue
from fullconv.workbench.jobs.reporting import Reporter
from fullconv.workbench.refusals import Busy
from fullconv.workbench.tables import Job
from fullconv.workspace import Workspace

DATABASE, CLAIM, HOME, CODE = "FULLCONV_DATABASE", "FULLCONV_CLAIM", "FULLCONV_HOME", "FULLCONV_ALLOW_CODE"
BEGINS = "begins job"
INSIST_SECONDS = 60.0
"""How long a job tries to reach a database that is away, before it begins and when it has ended."""
Found = TypeVar("Found")


def work(job_number: int, *, database: str, claim: str, home: Workspace, allow_code: bool = False) -> int:
    """Do a claimed job, and write down how it ended.

    Returns:
        0 where it is done, 1 where it failed or was aborted, 3 where it is somebody else's by now.
    """
    own = psutil.Process()
    queue = _insisting(lambda: Queue(connect(database)))
    job = _insisting(
        lambda: queue.begin(
            job_number, claim, process=own.pid, started=own.create_time(), identity=identity_of(own.pid)
        )
    )
    if job is None:
        return 3
    _say(f"{BEGINS} {job_number}: {job.kind}, {job.title}")
    with Reporter(queue, job_number, claim) as reporter:
        ended = _worked(job, JobContext(home, reporter, allow_code=allow_code))
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # what comes now must not be cut short
        write_ending(home, job_number, claim, ended)
    sys.stderr.flush()
    tail = last_lines(log_path(home, job_number)) if ended.state == "failed" else None
    _insisting(lambda: queue.end(job_number, claim, ended.state, error=ended.error, tail=tail, result=ended.result))
    forget_ending(home, job_number)
    return 0 if ended.state == "done" else 1


def _worked(job: Job, context: JobContext) -> Outcome:
    """Do it; whatever happens, this tells how it ended."""
    try:
        return Outcome("done", result=KINDS[job.kind](job.payload, context))
    except (KeyboardInterrupt, StopRequested):
        made = outcome_of(context.home, job)
        if made is not None and made.state == "done":  # it was told to stop when all was written
            return made
        return Outcome("aborted", None if context.reporter.aborted else "it was interrupted")
    except FullconvError as problem:
        print(problem, file=sys.stderr)
        return Outcome("failed", str(problem))
    except Exception as problem:
        traceback.print_exc()
        return Outcome("failed", f"{type(problem).__name__}: {problem}")


def _say(text: str) -> None:
    """A line of the log with its time and the process that writes it, in one piece."""
    line = f"{datetime.now(UTC).isoformat(timespec='milliseconds')} process {os.getpid()} on {socket.gethostname()}"
    sys.stdout.write(f"{line} {text}\n")
    sys.stdout.flush()


def _insisting(act: Callable[[], Found]) -> Found:
    """Do something with a database that is busy, or away for a while."""
    end = time.monotonic() + INSIST_SECONDS
    while True:
        try:
            return act()
        except (SQLAlchemyError, StorageError, Busy):
            if time.monotonic() > end:
                raise
            time.sleep(1.0)


def main() -> None:
    """As the starter runs it: what is secret comes by the environment, which other users cannot read."""
    home = Workspace(Path(os.environ[HOME]))
    code = work(
        int(sys.argv[1]),
        database=os.environ.pop(DATABASE),
        claim=os.environ.pop(CLAIM),
        home=home,
        allow_code=os.environ.get(CODE) == "1",
    )
    sys.exit(code)


if __name__ == "__main__":
    main()
