"""Folders that visitors look at before they make a dataset: threads that can be told to stop, and what they saw."""

from __future__ import annotations

import logging
import secrets
import threading
import time
from collections import OrderedDict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from fullconv.data.examination import Examination
from fullconv.data.reexamination import reconsidered
from fullconv.data.scan import Scan
from fullconv.errors import FullconvError
from fullconv.progress import told_to
from fullconv.workbench.folders import FolderRequest
from fullconv.workbench.opened import stay_behind
from fullconv.workbench.refusals import Busy, Conflict, NotThere
from fullconv.workbench.security.paths import refuse_links_outside
from fullconv.workbench.settings import ServerSettings

AT_ONCE = 2
KEPT = 6
KEPT_SECONDS = 30 * 60
State = Literal["looking", "checking", "done", "failed", "cancelled"]

log = logging.getLogger(__name__)


@dataclass(eq=False)
class Check:
    """One look at folders.

    Args:
        settings: of the server. request: what to look at, with paths that may be.
        state: "looking" for files and labels, "checking" every file, or how it ended.
        message, progress, seconds_left: what is being done. error: the sentence that ended it.
        scan: what lies there, as soon as that is known. examination: everything, when it is done.
        shown: the same with the classes and splits that were last asked for.
    """

    settings: ServerSettings
    request: FolderRequest
    id: str = field(default_factory=lambda: secrets.token_hex(8))
    state: State = "looking"
    message: str = "looking at the folders"
    progress: float = 0.0
    seconds_left: float | None = None
    error: FullconvError | None = None
    scan: Scan | None = None
    examination: Examination | None = None
    shown: Examination | None = None
    asked: float = field(default_factory=time.monotonic)
    _stop: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread = field(init=False)

    def __post_init__(self) -> None:
        self._thread = threading.Thread(target=self._run, name=f"check {self.id}", daemon=True)

    @property
    def running(self) -> bool:
        return self.state in ("looking", "checking")

    @property
    def working(self) -> bool:
        """Whether its thread works; one that was told to stop may take a moment."""
        return self.running and self._thread.is_alive()

    def start(self) -> None:
        """Begin, in a thread of its own."""
        self._thread.start()

    def cancel(self) -> None:
        """End it soon; nothing happens where it has ended."""
        self._stop.set()

    def choose(self, request: FolderRequest) -> Examination:
        """The same files with other classes or splits; this is what is shown from now on.

        Raises:
            Conflict: it is not done, or only looking at the files again can tell.
            DataError: a name that the classes do not have, or shares that do not add up.
        """
        if self.examination is None:
            raise Conflict("is not done yet", where=f"check {self.id}", remedy="wait for it")
        if not self.request.same_files(request):
            raise Conflict("reads the files differently", where=f"check {self.id}", remedy="check the folders again")
        if (request.edits, request.plan) == (self.request.edits, self.request.plan):
            self.shown = self.examination
            return self.examination
        found = reconsidered(self.examination, request.edits, request.plan)
        if found is None:
            raise Conflict("needs another look at the labels", where=f"check {self.id}", remedy="check them again")
        self.shown = found
        return found

    def _run(self) -> None:
        stay_behind()
        try:
            folders = [Path(path) for path in (self.request.images, self.request.labels) if path is not None]
            for folder in folders:
                refuse_links_outside(self.settings, folder, looking=self._go_on)
            with told_to(self._heard):
                self.examination = self.shown = self.request.examined(scanned=self._scanned)
            self.state, self.progress, self.message = "done", 1.0, ""
        except _Cancelled:
            self.state = "cancelled"
        except FullconvError as problem:
            self.state, self.error = "failed", problem
        except Exception as problem:  # a thread's last word must not be lost
            log.exception("checking %s", self.request.images)
            self.error = FullconvError(f"cannot be checked ({type(problem).__name__})", remedy="see the server's log")
            self.state = "failed"
        self.seconds_left = None

    def _scanned(self, found: Scan) -> None:
        self._go_on()
        self.scan, self.state, self.progress = found, "checking", 0.0

    def _heard(self, what: str, done: int, total: int | None, seconds: float) -> None:
        self._go_on()
        if total:
            self.message, self.progress = f"{what}: {done:,} of {total:,}", done / total
            self.seconds_left = seconds / done * (total - done)

    def _go_on(self) -> None:
        if self._stop.is_set():
            raise _Cancelled


@dataclass
class Checks:
    """The checks that visitors of a server began.

    Args:
        settings: of the server.
    """

    settings: ServerSettings
    _kept: OrderedDict[str, Check] = field(default_factory=OrderedDict)
    _started: list[Check] = field(default_factory=list)
    _guard: threading.Lock = field(default_factory=threading.Lock)

    def begin(self, request: FolderRequest) -> Check:
        """Look at folders.

        Args:
            request: with paths that were found to be allowed.

        Raises:
            Busy: others are being looked at.
        """
        with self._guard:
            self._forget_old()
            self._started = [check for check in self._started if check.working]  # dropped ones too
            if len(self._started) >= AT_ONCE:
                raise Busy(
                    "other folders are being looked at", where="datasets/check", remedy="wait a moment, or cancel one"
                )
            check = Check(self.settings, request)
            self._kept[check.id] = check
            self._started.append(check)
            check.start()
        return check

    def get(self, id: str) -> Check:
        """A check.

        Raises:
            NotThere: there is none, or it was forgotten: only the last ones are kept, for half an hour.
        """
        with self._guard:
            found = self._kept.get(id)
        if found is None:
            raise NotThere("there is no such check any more", where="checks", remedy="check the folders again")
        found.asked = time.monotonic()
        return found

    def drop(self, id: str) -> None:
        """End and forget a check.

        Raises:
            NotThere: there is none.
        """
        self.get(id).cancel()
        with self._guard:
            self._kept.pop(id, None)

    def close(self) -> None:
        """End all of them."""
        with self._guard:
            for check in self._kept.values():
                check.cancel()

    def _forget_old(self) -> None:
        now = time.monotonic()
        for id, check in list(self._kept.items()):
            ended = not check.running
            if ended and (now - check.asked > KEPT_SECONDS or len(self._kept) >= KEPT):
                del self._kept[id]


class _Cancelled(Exception):
    """The visitor wants it no more."""
