"""The last and the best scores of runs, from metrics.csv: of a run that goes on, only what was added is read."""

from __future__ import annotations

import csv
import io
import math
import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from fullconv.training.metrics_file import FILE as METRICS

SCORES = ("pixel_accuracy", "mean_accuracy", "mean_iou", "frequency_weighted_iou")
LOSS = "last_loss"


@dataclass
class _Course:
    """What was read of one file.

    Args:
        file: its number on the disk; another one where it was begun anew.
        read: bytes.
        columns: of the table.
        found: `last_` and `best_` of each score on the validation images, and the last loss of the training.
    """

    file: int = 0
    read: int = 0
    columns: tuple[str, ...] = ()
    found: dict[str, float] = field(default_factory=dict)

    def take(self, lines: Iterable[str]) -> None:
        for cells in csv.reader(lines):
            if not self.columns:
                self.columns = tuple(cells)
                continue
            row = dict(zip(self.columns, cells, strict=False))
            if row.get("split") == "train":
                self._take(row.get("loss"), LOSS)
            elif row.get("split") == "val":
                for name in SCORES:
                    self._take(row.get(name), f"last_{name}", f"best_{name}")

    def _take(self, text: str | None, last: str, best: str | None = None) -> None:
        try:
            value = float(text or "")
        except ValueError:
            return
        if math.isfinite(value):
            self.found[last] = value
            if best is not None:
                self.found[best] = max(value, self.found.get(best, value))


@dataclass(frozen=True)
class Standings:
    """Where runs stand, for those who look again and again."""

    _courses: dict[Path, _Course] = field(default_factory=dict)

    def of(self, run: Path, *, goes_on: bool = False) -> dict[str, float]:
        """The last and best validation scores, as `last_mean_iou` and `best_mean_iou`, and `last_loss` of the training.

        What was not measured is left out.

        Args:
            run: its folder.
            goes_on: keep what was read, so that the next time only what is new has to be.

        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     text = "step,split,loss,mean_iou\\n1,train,2.5,\\n1,val,2,0.5\\n2,val,2,0.4\\n"
        ...     _ = (Path(folder) / "metrics.csv").write_text(text)
        ...     Standings().of(Path(folder))
        {'last_loss': 2.5, 'last_mean_iou': 0.4, 'best_mean_iou': 0.5}
        """
        course = self._courses.pop(run, None) or _Course()
        try:
            with (run / METRICS).open("rb") as stream:
                file = os.fstat(stream.fileno())
                if file.st_ino != course.file or file.st_size < course.read:
                    course = _Course(file=file.st_ino)
                stream.seek(course.read)
                content = stream.read()
        except OSError:
            return {}
        whole = content.rfind(b"\n") + 1  # a line that is being written is left for the next time
        course.read += whole
        course.take(io.StringIO(content[:whole].decode(errors="replace"), newline=""))
        if goes_on:
            self._courses[run] = course
        return dict(course.found)
