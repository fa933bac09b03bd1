"""The queue: jobs wait in the database, and whoever has a free slot claims the next one.

No queue library, since a job here must outlive the server, be claimed once by any of several servers on one workspace,
and keep a graphics card to itself, without a second server to set up: Celery, Dramatiq and RQ keep their queues in
Redis or RabbitMQ; Huey's SQLite store has no slots and no heartbeats, and its workers end with it; Procrastinate needs
PostgreSQL. What is left are a few statements on the database that the workbench has anyway.
`docs/explanation/workbench.md` tells how jobs live and die.
"""

from __future__ import annotations

import secrets
import socket
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import psutil
from sqlalchemy import CursorResult, Engine, and_, func, or_, update
from sqlalchemy.exc import IntegrityError
from sqlmodel import Session, col, select

from fullconv.errors import StorageError
from fullconv.process_identity import identity_of
from fullconv.workbench.database import reading, writing
from fullconv.workbench.jobs.adding import Adding, adding
from fullconv.workbench.refusals import Busy, NotThere
from fullconv.workbench.settings import Slots
from fullconv.workbench.tables import ACTIVE, OPEN, Job


@dataclass(frozen=True)
class Queue:
    """Jobs of one workspace.

    Args:
        engine: of the database.
        host: name of this machine.

    >>> from fullconv.workbench.database import connect
    >>> queue = Queue(connect("sqlite://"))
    >>> job = queue.add("dataset", title="Dataset streets", payload={"root": "streets"})
    >>> queue.claim(Slots(cpu=1)).id == job.id, queue.claim(Slots(cpu=1))
    (True, None)
    """

    engine: Engine
    host: str = socket.gethostname()

    @contextmanager
    def adding(self) -> Iterator[Adding]:
        """Put several jobs into the queue in one step: whatever happens, all of them are there, or none.

        >>> from fullconv.workbench.database import connect
        >>> queue = Queue(connect("sqlite://"))
        >>> with queue.adding() as step:
        ...     run = step.job("train", title="One", payload={"run": "one"})
        ...     last = step.job("group", title="All", payload={"group": "all"}, after=[run.id])
        >>> [job.title for job in queue.jobs(states=["queued"])]
        ['One', 'All']
        """
        with adding(self.engine) as step:
            yield step

    def add(self, kind: str, **fields: Any) -> Job:
        """Put one job into the queue; see `Adding.job`."""
        with self.adding() as step:
            return step.job(kind, **fields)

    def claim(self, slots: Slots) -> Job | None:
        """Take the next job for which a slot is free; nobody else gets it.

        Returns:
            The job in the state "claimed" with a new `claim`; none where nothing waits or all slots are taken.
        """
        with reading(self.engine) as session:  # which keeps no writer waiting
            if session.exec(select(Job.id).where(Job.state == "queued").limit(1)).first() is None:
                return None
        for kind, count in (("gpu", slots.gpu), ("cpu", slots.cpu), ("aside", slots.aside)):
            try:
                job = self._claim_on(kind, count)
            except IntegrityError:  # another server on this machine took the slot
                return None
            if job is not None:
                return job
        return None

    def _claim_on(self, kind: str, count: int) -> Job | None:
        own = psutil.Process()
        with writing(self.engine) as session:
            active = col(Job.state).in_(ACTIVE)
            taken = session.exec(select(Job.slot).where(active, Job.host == self.host, Job.slot_kind == kind)).all()
            free = next((slot for slot in range(count) if slot not in taken), None)
            if free is None:
                return None
            job = self._next(session, _FOR[kind])
            if job is None:
                return None
            job.state, job.host, job.slot_kind, job.slot = "claimed", self.host, kind, free
            job.claim, job.claimed_at = secrets.token_hex(8), time.time()
            job.process, job.started, job.identity = own.pid, own.create_time(), identity_of(own.pid)
            job.launched = job.heartbeat = None
            session.add(job)
        return job

    @staticmethod
    def _next(session: Session, devices: Sequence[str]) -> Job | None:
        """The first waiting job whose predecessors have ended, locked where the database locks rows."""
        waiting = select(Job.id, Job.after).where(Job.state == "queued", col(Job.device).in_(devices))
        places = session.exec(waiting.order_by(col(Job.position), col(Job.id))).all()
        wanted = {number for _, after in places for number in after}
        still_open: set[int | None] = set()
        if wanted:
            still_open = set(session.exec(select(Job.id).where(col(Job.id).in_(wanted), col(Job.state).in_(OPEN))))
        for number, after in places:
            if still_open.intersection(after):
                continue
            locked = select(Job).where(Job.id == number, Job.state == "queued").with_for_update(skip_locked=True)
            job = session.exec(locked).first()
            if job is not None:
                return job
        return None

    def launched(self, job: int, claim: str, *, process: int, started: float, identity: str | None = None) -> bool:
        """Say which process was started for a claimed job, so that its death is seen before it begins, too."""
        with writing(self.engine) as session:
            mine = update(Job).where(col(Job.id) == job, col(Job.claim) == claim, col(Job.state) == "claimed")
            known = {"process": process, "started": started, "identity": identity}
            return _changed(session, mine.values(launched=time.time(), **known))

    def begin(self, job: int, claim: str, *, process: int, started: float, identity: str | None = None) -> Job | None:
        """Turn a claimed job into a running one; None where it was given to somebody else meanwhile.

        A process may begin once more: the database's answer may have been lost, and not what it was told.

        Args:
            process, started, identity: who works on it; see `Job`.
        """
        now = time.time()
        known = {"process": process, "started": started, "identity": identity}
        began = and_(*(col(getattr(Job, name)).is_not_distinct_from(value) for name, value in known.items()))
        mine = or_(col(Job.state) == "claimed", and_(col(Job.state) == "running", began))
        with writing(self.engine) as session:
            changed = _changed(
                session,
                update(Job)
                .where(col(Job.id) == job, col(Job.claim) == claim, mine)
                .values(state="running", heartbeat=now, begun=now, tail=None, error=None, **known),
            )
            return session.get(Job, job) if changed else None

    def beat(self, job: int, claim: str, **values: Any) -> float | None:
        """Say that a job is worked on, and how far it is.

        Args:
            values: `progress`, `message`, `seconds_left`.

        Returns:
            Since when it shall stop, or None where it may go on.

        Raises:
            StorageError: the job is no longer this process's.
        """
        with writing(self.engine) as session:
            mine = update(Job).where(col(Job.id) == job, col(Job.claim) == claim, col(Job.state) == "running")
            if not _changed(session, mine.values(heartbeat=time.time(), **values)):
                raise StorageError("belongs to somebody else now", where=f"job {job}", remedy="look at the queue")
            return session.exec(select(Job.abort_at).where(Job.id == job)).one()

    def note(self, job: int, claim: str, message: str) -> bool:
        """Say something about a running job from outside, until it says something itself."""
        with writing(self.engine) as session:
            mine = update(Job).where(col(Job.id) == job, col(Job.claim) == claim, col(Job.state) == "running")
            return _changed(session, mine.values(message=message))

    def end(
        self,
        job: int,
        claim: str,
        state: str,
        *,
        error: str | None = None,
        tail: str | None = None,
        result: Mapping[str, Any] | None = None,
    ) -> bool:
        """Close a job that is claimed or running under this claim; False where it is closed already."""
        values: dict[str, Any] = {
            "state": state,
            "ended": time.time(),
            "error": error,
            "tail": tail,
            "seconds_left": None,
        }
        if result is not None:
            values["result"] = dict(result)
        if state == "done":
            values["progress"] = 1.0
        with writing(self.engine) as session:
            mine = update(Job).where(col(Job.id) == job, col(Job.claim) == claim, col(Job.state).in_(ACTIVE))
            return _changed(session, mine.values(**values))

    def give_back(self, job: int, claim: str) -> bool:
        """Put a claimed job that nobody began back where it was in the queue."""
        with writing(self.engine) as session:
            mine = update(Job).where(col(Job.id) == job, col(Job.claim) == claim, col(Job.state) == "claimed")
            return _changed(session, mine.values(state="queued", **_NOBODYS))

    def abort(self, job: int) -> Job:
        """End a job: at once where it waits, as soon as it can where it runs.

        Raises:
            StorageError: there is no such job, or it has ended.
        """
        now = time.time()
        with writing(self.engine) as session:
            waiting = update(Job).where(col(Job.id) == job, col(Job.state) == "queued")
            if not _changed(session, waiting.values(state="aborted", ended=now, abort_at=now)):
                running = update(Job).where(col(Job.id) == job, col(Job.state).in_(ACTIVE), col(Job.abort_at).is_(None))
                _changed(session, running.values(abort_at=now))
            found = self._found(session, job)
            if found.state not in ACTIVE and found.ended != now:
                raise StorageError("has ended already", where=f"job {job}", remedy="start it again if you want it")
            return found

    def move(self, job: int, *, before: int | None = None) -> Job:
        """Change a waiting job's place: before another one, or to the end.

        Raises:
            StorageError: one of them does not wait.
        """
        with writing(self.engine) as session:
            found = self._found(session, job)
            places = session.exec(
                select(Job.id, Job.position)
                .where(Job.state == "queued", Job.id != job)
                .order_by(col(Job.position), col(Job.id))
            ).all()
            order = [int(number or 0) for number, _ in places]
            if found.state != "queued" or (before is not None and before not in order):
                remedy = "choose jobs that wait in the queue"
                raise StorageError("does not wait any more", where=f"job {job}", remedy=remedy)
            if before is None:
                found.position = (places[-1][1] if places else 0.0) + 1.0
            else:
                place = order.index(before)
                upper = places[place][1]
                lower = places[place - 1][1] if place else upper - 2.0
                found.position = (lower + upper) / 2
                if not lower < found.position < upper:  # no number is left between the two
                    found.position = _spread(session, found, before)
            session.add(found)
            return found

    def retry(self, job: int) -> Job:
        """Put the same work into the queue once more.

        Raises:
            StorageError: there is no such job, or it, or another one on the same thing, is still open.
        """
        old = self.get(job)
        if old.state in OPEN:
            raise StorageError("is still open", where=f"job {job}", remedy="abort it first")
        if old.state == "done":
            raise StorageError("is done", where=f"job {job}", remedy="start a new one")
        return self.add(
            old.kind,
            title=old.title,
            payload=old.payload,
            subject=old.subject,
            device=old.device,
            after=old.after,
            retry_of=old.id,
        )

    def get(self, job: int) -> Job:
        """One job.

        Raises:
            NotThere: there is none of that number.
        """
        with reading(self.engine) as session:
            return self._found(session, job)

    def jobs(self, *, states: Sequence[str] = (), subject: str | None = None, limit: int = 200) -> list[Job]:
        """Jobs: those that wait in their order, else the latest first."""
        query = select(Job)
        if states:
            query = query.where(col(Job.state).in_(states))
        if subject is not None:
            query = query.where(Job.subject == subject)
        order = (col(Job.position), col(Job.id)) if tuple(states) == ("queued",) else (col(Job.id).desc(),)
        with reading(self.engine) as session:
            return list(session.exec(query.order_by(*order).limit(limit)).all())

    def ended(self, limit: int) -> list[Job]:
        """The jobs that ended last, the latest first."""
        query = select(Job).where(col(Job.state).not_in(OPEN)).order_by(col(Job.ended).desc(), col(Job.id).desc())
        with reading(self.engine) as session:
            return list(session.exec(query.limit(limit)).all())

    def outdated(self, jobs: Sequence[Job]) -> set[int]:
        """Numbers of those among some jobs that were done again, or whose subject has a later job."""
        numbers = [job.id for job in jobs]
        subjects = {job.subject for job in jobs if job.subject is not None}
        latest = select(Job.subject, func.max(Job.id)).where(col(Job.subject).in_(subjects)).group_by(Job.subject)
        with reading(self.engine) as session:
            again = set(session.exec(select(Job.retry_of).where(col(Job.retry_of).in_(numbers))))
            newest = {str(subject): number for subject, number in session.exec(latest)}
        found = (job.id for job in jobs if job.id in again or newest.get(str(job.subject), job.id) != job.id)
        return {number for number in found if number is not None}

    def may_have(self, subject: str) -> bool:
        """Whether a subject has a job, or may have one: a database can do what it is told, and its answer be lost."""
        try:
            return bool(self.jobs(subject=subject, limit=1))
        except Busy:
            return True

    def latest(self, subjects: str) -> dict[str, int]:
        """The latest job on each subject that begins with this: its number.

        >>> from fullconv.workbench.database import connect
        >>> queue = Queue(connect("sqlite://"))
        >>> job = queue.add("evaluate", title="One", payload={}, subject="evaluation:one")
        >>> queue.latest("evaluation:")
        {'evaluation:one': 1}
        """
        query = select(Job.subject, func.max(Job.id)).where(col(Job.subject).startswith(subjects, autoescape=True))
        with reading(self.engine) as session:
            return {str(subject): int(number or 0) for subject, number in session.exec(query.group_by(Job.subject))}

    def remove(self, job: int) -> None:
        """Forget a job that has ended.

        Raises:
            StorageError: there is none, or it is open.
        """
        with writing(self.engine) as session:
            found = self._found(session, job)
            if found.state in OPEN:
                raise StorageError("is still open", where=f"job {job}", remedy="abort it first")
            session.delete(found)

    @staticmethod
    def _found(session: Session, job: int) -> Job:
        found = session.get(Job, job)
        if found is None:
            raise NotThere(f"there is no job {job}", where="the queue", remedy="look at the list of jobs")
        return found


def _spread(session: Session, moved: Job, before: int) -> float:
    """Number all jobs that have not ended anew, in their order; the number for one that goes before another."""
    rows = session.exec(select(Job).where(col(Job.state).in_(OPEN)).order_by(col(Job.position), col(Job.id))).all()
    position, found = 0.0, 0.0
    for job in rows:
        if job.id == moved.id:
            continue
        if job.id == before:
            position = found = position + 1.0
        position += 1.0
        job.position = position
        session.add(job)
    return found


_FOR = {"gpu": ("gpu", "either"), "cpu": ("cpu",), "aside": ("aside", "either")}
"""Kind of slot → jobs that it takes, by what they want."""
_NOBODYS: dict[str, Any] = dict.fromkeys(
    ("host", "slot_kind", "slot", "claim", "claimed_at", "process", "started", "identity", "launched")
)


def _changed(session: Session, statement: Any) -> bool:
    """Whether an update found its row."""
    outcome: CursorResult[Any] = session.connection().execute(statement)
    return outcome.rowcount > 0
