"""What happens in runs, for all who look at the same time: every run's files are read once, however many look."""

from __future__ import annotations

import csv
import io
import math
import threading
import time
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from fullconv.errors import FullconvError
from fullconv.training.display import LOG
from fullconv.training.metrics_file import FILE as METRICS
from fullconv.training.status import Status, read_status

LOOK_SECONDS = 0.5
KEPT = 32
LONGEST_PIECE = 256_000
"""Bytes of a log that are read at once."""

Row = dict[str, float | int | str]
"""One row of metrics.csv: what was not measured is not in it."""


@dataclass
class RunFeed:
    """The files of a run as they grow.

    Args:
        directory: of the run.
        status: as it was last read; none where it cannot be.
        rows: of metrics.csv.
        edition: another number each time metrics.csv was begun anew or cut back, so that rows that were known are not.
    """

    directory: Path
    status: Status | None = None
    rows: list[Row] = field(default_factory=list)
    edition: int = 0
    _columns: list[str] = field(default_factory=list)
    _read: int = 0
    _looked: float = -math.inf
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def look(self) -> None:
        """Read what is new, unless somebody did so just now."""
        with self._lock:
            if time.monotonic() - self._looked < LOOK_SECONDS:
                return
            try:
                self.status = read_status(self.directory)
            except FullconvError:
                self.status = None
            self._read_rows()
            self._looked = time.monotonic()

    def look_again(self) -> None:
        """Read what is new, in any case."""
        self._looked = -math.inf
        self.look()

    def log(self, offset: int) -> tuple[str, int]:
        """Whole lines of the log from a place on, in bytes; and where the next ones begin.

        From 0 on, only the last piece of a long log.
        """
        path = self.directory / LOG
        try:
            size = path.stat().st_size
            with path.open("rb") as stream:
                start = max(offset, size - LONGEST_PIECE) if offset == 0 else offset
                stream.seek(min(start, size))  # file systems refuse places that are far away
                content = stream.read(LONGEST_PIECE)
        except OSError:
            return "", offset
        if start != offset:
            start += content.find(b"\n") + 1
            content = content[content.find(b"\n") + 1 :]
        whole = content.rfind(b"\n") + 1
        return content[:whole].decode(errors="replace"), start + whole

    def _read_rows(self) -> None:
        path = self.directory / METRICS
        try:
            found = path.stat()
            if found.st_ino != self.edition or found.st_size < self._read:
                self.rows, self._columns, self._read = [], [], 0
                self.edition = found.st_ino
            if found.st_size == self._read:
                return
            with path.open("rb") as stream:
                stream.seek(self._read)
                content = stream.read()
        except FileNotFoundError:
            self.rows, self._columns, self._read, self.edition = [], [], 0, 0
            return
        whole = content.rfind(b"\n") + 1
        self._read += whole
        fresh = []
        for cells in csv.reader(io.StringIO(content[:whole].decode(errors="replace"), newline="")):
            if not self._columns:
                self._columns = cells
            else:
                fresh.append(_row(dict(zip(self._columns, cells, strict=False))))
        self.rows = [*self.rows, *fresh]  # whoever reads the old list goes on reading it


@dataclass
class Feeds:
    """The feeds of runs that are looked at; the latest ones are kept."""

    _feeds: OrderedDict[Path, RunFeed] = field(default_factory=OrderedDict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def of(self, directory: Path) -> RunFeed:
        """The feed of a run, shared by all who ask."""
        with self._lock:
            feed = self._feeds.setdefault(directory, RunFeed(directory))
            self._feeds.move_to_end(directory)
            while len(self._feeds) > KEPT:
                self._feeds.popitem(last=False)
            return feed

    def forget(self, directory: Path) -> None:
        """Close the feed of a run that is gone."""
        with self._lock:
            self._feeds.pop(directory, None)


def _row(cells: Mapping[str, str]) -> Row:
    found: Row = {}
    for name, text in cells.items():
        if name == "split":
            found[name] = text
        elif name in ("step", "epoch"):
            found[name] = int(text) if text.isdigit() else 0
        elif text:
            try:
                number = float(text)
            except ValueError:
                continue
            if math.isfinite(number):
                found[name] = number
    return found
