"""Images that were tried on a model, kept while people look at them: in a folder that goes with the server."""

from __future__ import annotations

import asyncio
import secrets
import shutil
import threading
from collections import OrderedDict
from collections.abc import Coroutine, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fullconv.workbench.refusals import NotThere
from fullconv.workbench.scratch import Scratch
from fullconv.workbench.trials.pyramid import Pyramid
from fullconv.workbench.trials.views import TrialView

KEPT = 64
KEPT_BYTES = 4 * 2**30
IDENTIFIER = r"^[A-Za-z0-9_-]{16,64}$"


@dataclass
class Trial:
    """An image on a model.

    Args:
        folder: for its pictures.
        view: what is known of it so far.
        pyramid: what tiles are cut from, once it is computed.
    """

    folder: Path
    view: TrialView
    pyramid: Pyramid | None = None

    @property
    def size_on_disk(self) -> int:
        return 0 if self.pyramid is None else self.pyramid.size_on_disk


@dataclass
class Trials:
    """Trials by identifier; those that nobody asked for longest go when there are too many.

    Args:
        scratch: where their pictures lie.
    """

    scratch: Scratch
    _kept: OrderedDict[str, Trial] = field(default_factory=OrderedDict)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _going_on: set[asyncio.Task[None]] = field(default_factory=set)

    def add(self, view: TrialView) -> Trial:
        """A new one, with a folder of its own. This may delete gigabytes of others: keep it off the event loop.

        Args:
            view: whose `id` is one that `identifier` made.
        """
        folder = self.scratch.folder(f"trials/{secrets.token_hex(8)}")
        with self._lock:
            trial = self._kept[view.id] = Trial(folder, view)
            gone = self._make_room()
        _delete(gone)  # without the lock, for which those wait who look at others
        return trial

    def get(self, identifier: str) -> Trial:
        """One of them.

        Raises:
            NotThere: there is none, or it had to make room.
        """
        with self._lock:
            found = self._kept.get(identifier)
            if found is not None:
                self._kept.move_to_end(identifier)
        if found is None:
            raise NotThere("this test is not kept any more", where="trial", remedy="predict the image again")
        return found

    def drop(self, identifier: str) -> None:
        """Forget one."""
        with self._lock:
            found = self._kept.pop(identifier, None)
        _delete([] if found is None else [found])

    def go_on(self, work: Coroutine[Any, Any, None]) -> None:
        """Do something beside the present request; nobody waits for it."""
        task = asyncio.get_running_loop().create_task(work)
        self._going_on.add(task)
        task.add_done_callback(self._going_on.discard)

    def close(self) -> None:
        """Delete all."""
        with self._lock:
            self._kept.clear()
            shutil.rmtree(self.scratch.root / "trials", ignore_errors=True)

    def _make_room(self) -> list[Trial]:
        """Those that have to go, which nobody finds any more."""
        gone: list[Trial] = []
        sizes = {identifier: trial.size_on_disk for identifier, trial in self._kept.items()}
        total = sum(sizes.values())
        for identifier in list(sizes)[:-1]:
            if len(self._kept) <= KEPT and total <= KEPT_BYTES:
                break
            if self._kept[identifier].view.state == "computing":  # its place in the queue is taken, and paid for
                continue
            total -= sizes[identifier]
            gone.append(self._kept.pop(identifier))
        return gone


def _delete(trials: Iterable[Trial]) -> None:
    for trial in trials:
        shutil.rmtree(trial.folder, ignore_errors=True)


def identifier() -> str:
    """A name for a trial that nobody guesses."""
    return secrets.token_urlsafe(18)
