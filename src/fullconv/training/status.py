"""status.json: what a run is doing, for anyone who looks from outside."""

from __future__ import annotations

import socket
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Literal

import psutil
from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError

from fullconv.errors import StorageError
from fullconv.files import write_atomically
from fullconv.process_identity import identity_of, process_lives

State = Literal["queued", "running", "done", "failed", "aborted"]
FILE = "status.json"
LONGEST_HISTORY = 100
STALE_SECONDS = 900.0
"""How long a run on another host may be silent (preparing samples, validating) before it counts as dead."""


def _with_zone(moment: str) -> str:
    if datetime.fromisoformat(moment).tzinfo is None:
        raise ValueError("has no time zone")
    return moment


Moment = Annotated[str, AfterValidator(_with_zone)]
"""ISO 8601 with a time zone."""


class Change(BaseModel):
    """A state that a run came into.

    Args:
        state: one of `State`, or "killed".
        when: ISO 8601, UTC; for "killed", when the run was last heard of.
    """

    model_config = ConfigDict(frozen=True)

    state: str
    when: Moment


class Status(BaseModel):
    """The state of a run.

    Args:
        process, host, started: who runs it, and since when that process exists (seconds since 1970); process 0 while
            it waits for one. identity: of the process, see `identity_of`.
        heartbeat: when it last said so (ISO 8601, UTC).
        progress: share of the training steps done, 0 to 1.
        epoch, epochs: passes done and planned.
        seconds_left: of the training, as far as can be told.
        best_mean_iou: on the validation images so far.
        warnings: said during the run.
        data: fingerprint of the dataset it began with.
        error: the sentence that ended it.
        history: its states, the first one first.
        zero_score_loss: the loss where all scores are zero, which is what a network says that has learnt nothing; None
            where it depends on the labels.
    """

    model_config = ConfigDict(frozen=True)

    format: Literal[1] = 1
    state: State
    process: int
    host: str
    started: float = 0.0
    identity: str | None = None
    heartbeat: Moment
    progress: float = 0.0
    epoch: int = 0
    epochs: int = 0
    seconds_left: float | None = None
    best_mean_iou: float | None = None
    warnings: tuple[str, ...] = ()
    data: str | None = None
    error: str | None = None
    history: tuple[Change, ...] = ()
    zero_score_loss: float | None = None

    @classmethod
    def now(cls, state: State, previous: Status | None = None, **changes: object) -> Status:
        """A status of this process at this moment, with everything else as it was."""
        kept = {} if previous is None else previous.model_dump()
        own = psutil.Process()
        fresh: dict[str, object] = {"state": state, "process": own.pid, "host": socket.gethostname()}
        fresh |= {"started": own.create_time(), "identity": identity_of(own.pid)}
        heartbeat = datetime.now(UTC).isoformat(timespec="milliseconds")
        history = () if previous is None else previous.history
        if not history or history[-1].state != state:
            history = (*history, Change(state=state, when=heartbeat))[-LONGEST_HISTORY:]
        return cls.model_validate(kept | fresh | {"heartbeat": heartbeat, "history": history} | changes)

    @classmethod
    def waiting(cls, previous: Status | None = None, **changes: object) -> Status:
        """The status of a run that nobody works on yet."""
        return cls.now("queued", previous, **changes).of_nobody()

    def of_nobody(self) -> Status:
        """The same, without a process that works on the run."""
        return self.model_copy(update={"process": 0, "started": 0.0, "identity": None})

    def with_its_end(self) -> Status:
        """The same, with the end in its history that a killed process could not write down."""
        if self.shown != "killed":
            return self
        ended = Change(state="killed", when=self.heartbeat)
        return self.model_copy(update={"history": (*self.history, ended)})

    @property
    def seconds_since_heartbeat(self) -> float:
        return (datetime.now(UTC) - datetime.fromisoformat(self.heartbeat)).total_seconds()

    @property
    def alive(self) -> bool:
        """Whether the process is still there: it was heard of lately, and on this host it exists."""
        if self.state not in ("queued", "running") or not self.process:
            return False
        if self.host != socket.gethostname():
            return abs(self.seconds_since_heartbeat) < STALE_SECONDS  # of a clock that is wrong nothing is known
        return process_lives(self.process, self.started, self.identity)

    @property
    def shown(self) -> str:
        """The state as people are told it: a run that says it goes on and whose process is gone was killed."""
        if self.state in ("queued", "running") and self.process and not self.alive:
            return "killed"
        return self.state


def write_status(run: Path, status: Status) -> None:
    """Replace status.json of a run in one step."""
    write_atomically(run / FILE, status.model_dump_json(indent=1) + "\n", make_folder=False)


def idle_status(run: Path, *, mine: bool = False) -> Status:
    """The status of a run that nobody is working on.

    Args:
        mine: this process has it already, which is allowed.

    Raises:
        StorageError: somebody is; or as `read_status`.
    """
    status = read_status(run)
    own = mine and (status.process, status.host) == (psutil.Process().pid, socket.gethostname())
    if status.alive and not own:
        raise StorageError("the run is still going on", where=run, remedy="stop it first")
    return status


def read_status(run: Path) -> Status:
    """The status of a run.

    Raises:
        StorageError: the folder is no run, or its status cannot be read.
    """
    try:
        return Status.model_validate_json((run / FILE).read_bytes())
    except FileNotFoundError:
        raise StorageError("is no run", where=run, remedy="name a folder that holds status.json") from None
    except ValidationError as problem:
        remedy = "copy it back from where it came, or train again"
        raise StorageError("is damaged", where=run / FILE, remedy=remedy) from problem
