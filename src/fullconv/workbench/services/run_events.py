"""What happens in a run, as it happens."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from typing import Any, Literal

from pydantic import BaseModel

from fullconv.training.status import Status
from fullconv.workbench.feeds import RunFeed
from fullconv.workbench.services.runs import Said, directory_of, job_of_run
from fullconv.workbench.tables import OPEN
from fullconv.workbench.workbench import Workbench

Kind = Literal["status", "metrics", "warning", "log", "reset", "end"]
POLL_SECONDS = 1.0
QUIET_SECONDS = 15.0
"""After so much silence a sign of life is sent."""
MOST_ROWS = 500
_PLACE = re.compile(r"(\d{1,20})\.(\d{1,9})\.(\d{1,15})\.(\d{1,3})")


class Place(BaseModel):
    """How much of a run a listener knows.

    Args:
        edition: of the rows. rows: of them. log: bytes of the log. warnings: how many.
    """

    edition: int = 0
    rows: int = 0
    log: int = 0
    warnings: int = 0

    @classmethod
    def of(cls, text: str | None) -> Place:
        """From the id of an event; the beginning where it is none.

        >>> Place.of("7.40.2048.1").rows, Place.of("nonsense").rows
        (40, 0)
        """
        match = _PLACE.fullmatch(text or "")
        if match is None:
            return cls()
        edition, rows, log, warnings = map(int, match.groups())
        return cls(edition=edition, rows=rows, log=log, warnings=warnings)

    def __str__(self) -> str:
        return f"{self.edition}.{self.rows}.{self.log}.{self.warnings}"


class Event(BaseModel):
    """Something that happened.

    Args:
        id: what a listener knows after it; sent back as Last-Event-ID, the stream goes on from there.
        kind: "status", "metrics" (new rows), "warning", "log" (new lines), "reset" (rows known before are gone: a
            resumed run cut them back), "end".
        data: of that kind.
    """

    id: str
    kind: Kind
    data: dict[str, Any]


async def events_of(bench: Workbench, name: str, last_id: str | None = None) -> AsyncIterator[Event | None]:
    """Events of a run until it ends; None as a sign of life in between.

    Files are read once for all who listen.

    Raises:
        NotThere: there is no such run.
    """
    feed = bench.feeds.of(directory_of(bench, name))
    place = Place.of(last_id)
    told: Status | None = None
    silent = 0.0
    while True:
        await asyncio.to_thread(feed.look)
        over = await asyncio.to_thread(_is_over, bench, feed, name)
        found = _news(feed, place, told)
        for event in found:
            yield event
            place = Place.of(event.id)
        told = feed.status
        if over:
            yield Event(id=str(place), kind="end", data={"state": told.shown if told else "gone"})
            return
        silent = 0.0 if found else silent + POLL_SECONDS
        if silent >= QUIET_SECONDS:
            silent = 0.0
            yield None
        await asyncio.sleep(POLL_SECONDS)


def _is_over(bench: Workbench, feed: RunFeed, name: str) -> bool:
    if feed.status is None:
        return True
    if feed.status.shown in ("queued", "running"):
        return False
    job = job_of_run(bench, name)
    if job is not None and job.state in OPEN:
        return False
    feed.look_again()  # what its last moment wrote
    return True


def _news(feed: RunFeed, place: Place, told: Status | None) -> list[Event]:
    found: list[Event] = []
    status, rows = feed.status, feed.rows

    def add(kind: Kind, data: dict[str, Any]) -> None:
        found.append(Event(id=str(place), kind=kind, data=data))

    place = place.model_copy()
    if place.rows > len(rows) or (place.rows and place.edition != feed.edition):
        place.rows, place.edition = 0, feed.edition
        add("reset", {})
    place.edition = feed.edition
    if status is not None and _shown(status) != (None if told is None else _shown(told)):
        add("status", _shown(status))
    warnings = () if status is None else status.warnings
    for warning in warnings[place.warnings :]:
        place.warnings += 1
        add("warning", Said.of(warning).model_dump())
    while place.rows < len(rows):
        fresh = rows[place.rows : place.rows + MOST_ROWS]
        place.rows += len(fresh)
        add("metrics", {"rows": fresh, "total": place.rows})
    text, offset = feed.log(place.log)
    if text:
        place.log = offset
        add("log", {"lines": text.splitlines()})
    return found


def _shown(status: Status) -> dict[str, Any]:
    """What listeners are told of a status."""
    names = {"progress", "epoch", "epochs", "seconds_left", "best_mean_iou", "error"}
    return {"state": status.shown} | status.model_dump(mode="json", include=names)
