"""Jobs as they are shown, and what can be done with them."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from fullconv.workbench.jobs.endings import forget_ending
from fullconv.workbench.jobs.logs import log_path, read_from
from fullconv.workbench.jobs.waiting_runs import settle_ended
from fullconv.workbench.tables import OPEN, Job
from fullconv.workbench.workbench import Workbench

LOG_END = 64_000


class JobView(BaseModel):
    """A job.

    Args:
        id: its number. kind: "dataset", "train", "group", "evaluate", "predict". title: for people.
        state: "queued", "claimed" (a process is being started), "running", "done", "failed" or "aborted".
        stopping: it was told to stop and has not yet.
        device: where it wants to run: "cpu", "gpu", "aside" (the processor beside trainings), or "either" of the last
            two.
        after: jobs that it waits for.
        subject: what it works on, as "run:NAME".
        progress: 0 to 1. message: what is being done. seconds_left: as far as can be told.
        error: the sentence that ended it. tail: the last lines of its log, where it failed.
        result: what it made.
        created, begun, ended: seconds since 1970.
        retry_of: the job that this one does again.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "id": 7,
                "kind": "train",
                "title": "fcn4s-mobilenet_v2-features on streets",
                "state": "running",
                "stopping": False,
                "device": "cpu",
                "after": [],
                "subject": "run:20260102-090000-streets-fcn4s-mobilenet_v2-features",
                "progress": 0.4,
                "message": "epoch 24 of 60",
                "seconds_left": 812.0,
                "error": None,
                "tail": None,
                "result": None,
                "created": 1767344400.0,
                "begun": 1767344401.5,
                "ended": None,
                "retry_of": None,
            }
        }
    )

    id: int
    kind: str
    title: str
    state: Literal["queued", "claimed", "running", "done", "failed", "aborted"]
    stopping: bool
    device: str
    after: list[int]
    subject: str | None
    progress: float
    message: str
    seconds_left: float | None
    error: str | None
    tail: str | None
    result: dict[str, Any] | None
    created: float
    begun: float | None
    ended: float | None
    retry_of: int | None

    @classmethod
    def of(cls, job: Job) -> JobView:
        """What visitors see of a job: not what only its process may know."""
        return cls(
            stopping=job.abort_at is not None and job.state in OPEN,
            **job.model_dump(include=set(cls.model_fields) - {"stopping"}),
        )


class Log(BaseModel):
    """A piece of a log.

    Args:
        text: from the place asked for.
        offset: where the next piece begins, in bytes.
    """

    text: str
    offset: int


class EndedJobs(BaseModel):
    """Jobs that ended lately.

    Args:
        jobs: the one that ended last first.
        repeatable: numbers of those among them that failed or were aborted, and have not been done again.
    """

    jobs: list[JobView]
    repeatable: list[int]


def list_jobs(bench: Workbench, *, states: tuple[str, ...] = (), limit: int = 200) -> list[JobView]:
    """Jobs: those that wait in their order if only they are asked for, else the latest first."""
    return [JobView.of(job) for job in bench.queue.jobs(states=states, limit=limit)]


def ended_jobs(bench: Workbench, *, limit: int = 20) -> EndedJobs:
    """The jobs that ended last, and which of them can be done again."""
    ended = bench.queue.ended(limit)
    outdated = bench.queue.outdated(ended)
    return EndedJobs(
        jobs=[JobView.of(job) for job in ended],
        repeatable=[job.id for job in ended if job.id is not None and job.state != "done" and job.id not in outdated],
    )


def job_of(bench: Workbench, number: int) -> JobView:
    """One job."""
    return JobView.of(bench.queue.get(number))


def abort_job(bench: Workbench, number: int) -> JobView:
    """Stop a job: at once where it waits; else it is asked to, and killed where it does not in time."""
    bench.must_be_writable()
    job = bench.queue.abort(number)
    if job.state == "aborted":
        settle_ended(bench.home, bench.queue, job.subject, "aborted", None)
    return JobView.of(job)


def move_job(bench: Workbench, number: int, before: int | None) -> JobView:
    """Put a waiting job before another one, or at the end."""
    bench.must_be_writable()
    return JobView.of(bench.queue.move(number, before=before))


def remove_job(bench: Workbench, number: int) -> None:
    """Forget a job that has ended, with its log."""
    bench.must_be_writable()
    bench.queue.remove(number)
    log_path(bench.home, number).unlink(missing_ok=True)
    forget_ending(bench.home, number)


def log_of(bench: Workbench, number: int, offset: int = 0) -> Log:
    """What a job said, from a place on."""
    bench.queue.get(number)
    text, place = read_from(log_path(bench.home, number), offset)
    return Log(text=text, offset=place)


def end_of_log(bench: Workbench, number: int, most: int = LOG_END) -> Log:
    """The last whole lines of what a job said.

    Args:
        most: bytes.
    """
    bench.queue.get(number)
    path = log_path(bench.home, number)
    size = path.stat().st_size if path.is_file() else 0
    start = max(0, size - most)
    text, place = read_from(path, start, limit=most)
    return Log(text=text.partition("\n")[2] if start else text, offset=place)
