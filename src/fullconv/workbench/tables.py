"""Tables of the workbench: jobs, and a catalogue that can be made again from the directories."""

from __future__ import annotations

from typing import Any, Literal

from sqlalchemy import Column, Index, text
from sqlmodel import Field, SQLModel

from fullconv.workbench.storable import Document, Lines, Score, Words

JobState = Literal["queued", "claimed", "running", "done", "failed", "aborted"]
ACTIVE = ("claimed", "running")
OPEN = ("queued", *ACTIVE)


class Schema(SQLModel, table=True):
    """One row: the form of these tables."""

    __tablename__ = "schema_version"

    id: int = Field(primary_key=True)
    version: str


class Job(SQLModel, table=True):
    """Work for a process of its own.

    Args:
        kind: what is done: a name in `jobs.kinds`.
        title: for people.
        payload: what the kind needs.
        subject: what it works on, as "run:20261120-…"; at most one open job works on it.
        device: where it wants to run: "cpu", "gpu", "aside" or "either"; see `settings.Slots`.
        position: the smallest is next.
        after: jobs that must have ended, well or not, before this one starts.
        state: where it stands.
        host, slot_kind, slot: which machine works on it, and on which of its slots: "cpu", "gpu" or "aside", from 0.
        claim: known to the process that may work on it, and nobody else.
        claimed_at, launched, heartbeat, created, begun, ended: seconds since 1970.
        process, started: who works on it, and since when that process exists; until one is launched for it, the server
            that claimed it. identity: of that process, see `identity_of`.
        abort_at: when it was told to stop.
        progress: 0 to 1. message: what is being done. seconds_left: as far as can be told.
        error: the sentence that ended it. tail: last lines of its log, where it died without a sentence.
        result: what it made.
        retry_of: the job that this one does again.
    """

    id: int | None = Field(default=None, primary_key=True)
    kind: str
    title: str = Field(sa_type=Words)
    payload: dict[str, Any] = Field(default_factory=dict, sa_column=Column(Document, nullable=False))
    subject: str | None = None
    device: str = "cpu"
    position: float = Field(default=0.0, index=True)
    after: list[int] = Field(default_factory=list, sa_column=Column(Document, nullable=False))
    state: str = Field(default="queued", index=True)
    host: str | None = None
    slot_kind: str | None = None
    slot: int | None = None
    claim: str | None = None
    claimed_at: float | None = None
    launched: float | None = None
    heartbeat: float | None = None
    process: int | None = None
    started: float | None = None
    identity: str | None = None
    abort_at: float | None = None
    progress: float = 0.0
    message: str = Field(default="", sa_type=Words)
    seconds_left: float | None = None
    error: str | None = Field(default=None, sa_column=Column(Lines))
    tail: str | None = Field(default=None, sa_column=Column(Lines))
    result: dict[str, Any] | None = Field(default=None, sa_column=Column(Document))
    created: float = 0.0
    begun: float | None = None
    ended: float | None = None
    retry_of: int | None = None

    __table_args__ = (
        # The database itself refuses a second job on a slot, and a second open job on the same thing.
        Index(
            "one_job_per_slot",
            "host",
            "slot_kind",
            "slot",
            unique=True,
            sqlite_where=text("state IN ('claimed', 'running')"),
            postgresql_where=text("state IN ('claimed', 'running')"),
        ),
        Index(
            "one_open_job_per_subject",
            "subject",
            unique=True,
            sqlite_where=text("state IN ('queued', 'claimed', 'running')"),
            postgresql_where=text("state IN ('queued', 'claimed', 'running')"),
        ),
        # Numbers of jobs that were removed are not given again; PostgreSQL gives none twice by itself.
        {"sqlite_autoincrement": True},
    )


class CatalogueEntry(SQLModel, table=True):
    """A dataset, run or model as its directory says.

    Args:
        kind: "dataset", "run", "model" or "weights".
        name: of the directory.
        stamp: changes whenever the files that matter change.
        created: ISO 8601.
        state: of a run.
        dataset, network, group: what it goes by, where it has one; the first letters of one that is very long.
        mean_iou, best_mean_iou, pixel_accuracy: for sorting.
        tags: joined by newlines, with one at either end.
        facts: everything else that is shown.
        problem: why the directory cannot be read.
    """

    __tablename__ = "catalogue"

    kind: str = Field(primary_key=True, sa_type=Words)
    name: str = Field(primary_key=True, sa_type=Words)
    stamp: str = Field(sa_type=Words)
    created: str = Field(default="", index=True, sa_type=Words)
    state: str | None = Field(default=None, index=True, sa_type=Words)
    dataset: str | None = Field(default=None, index=True, sa_type=Words)
    network: str | None = Field(default=None, sa_type=Words)
    group: str | None = Field(default=None, index=True, sa_type=Words)
    mean_iou: float | None = Field(default=None, sa_type=Score)
    best_mean_iou: float | None = Field(default=None, sa_type=Score)
    pixel_accuracy: float | None = Field(default=None, sa_type=Score)
    tags: str = Field(default="\n", sa_type=Words)
    facts: dict[str, Any] = Field(default_factory=dict, sa_column=Column(Document, nullable=False))
    problem: str | None = Field(default=None, sa_type=Lines)
