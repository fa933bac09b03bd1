"""Jobs come into the queue: those that belong together in one step, all of them or none."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Engine, func
from sqlalchemy.exc import IntegrityError
from sqlmodel import Session, col, select

from fullconv.errors import StorageError
from fullconv.workbench.database import writing
from fullconv.workbench.tables import OPEN, Job


@dataclass(frozen=True)
class Adding:
    """What can be put into the queue in one step; see `Queue.adding`."""

    session: Session

    def job(
        self,
        kind: str,
        *,
        title: str,
        payload: Mapping[str, Any],
        subject: str | None = None,
        device: str = "cpu",
        after: Sequence[int] = (),
        first: bool = False,
        retry_of: int | None = None,
    ) -> Job:
        """Put a job at the end of the queue.

        Args:
            kind, title, payload, subject, device, after, retry_of: see `Job`.
            first: before all that wait instead.

        Returns:
            The job with its number; it is in the queue when the step is done.

        Raises:
            StorageError: another open job works on the same subject.
        """
        if first:
            next_one = self.session.exec(select(func.min(Job.position)).where(col(Job.state) == "queued")).one()
            position = (next_one or 0.0) - 1.0
        else:
            last = self.session.exec(select(func.max(Job.position))).one()
            position = (last or 0.0) + 1.0
        job = Job(
            kind=kind,
            title=title,
            payload=dict(payload),
            subject=subject,
            device=device,
            position=position,
            after=list(after),
            created=time.time(),
            retry_of=retry_of,
        )
        self.session.add(job)
        try:
            self.session.flush()
        except IntegrityError:
            where = (subject or "").partition(":")[2]
            raise StorageError("a job for it is open already", where=where, remedy="wait for it, or abort it") from None
        return job

    def let_wait(self, job: int, others: Sequence[int]) -> Job:
        """Let a waiting job wait for others too.

        Raises:
            StorageError: it does not wait any more.
        """
        found = self.session.get(Job, job)
        if found is None or found.state != "queued":
            raise StorageError("does not wait any more", where=f"job {job}", remedy="start it again when it ended")
        found.after = [*found.after, *(number for number in others if number not in found.after and number != job)]
        self.session.add(found)
        return found

    def latest(self, subject: str) -> Job | None:
        """The latest job on a subject."""
        query = select(Job).where(Job.subject == subject).order_by(col(Job.id).desc())
        return self.session.exec(query.limit(1)).first()

    def open_jobs(self, subjects: Sequence[str]) -> dict[str, int]:
        """Subject → number of its job, of those whose job has not ended."""
        query = select(Job.subject, Job.id).where(col(Job.subject).in_(subjects), col(Job.state).in_(OPEN))
        return {str(subject): int(number or 0) for subject, number in self.session.exec(query)}


@contextmanager
def adding(engine: Engine) -> Iterator[Adding]:
    """One step; an error in it leaves the queue as it was."""
    with writing(engine) as session:
        yield Adding(session)
