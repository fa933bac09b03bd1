"""metrics.csv: one row per logged step, read by the charts while the run goes on."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path

from fullconv.evaluation.metrics_table import read_rows
from fullconv.files import disk_errors, write_atomically

FILE = "metrics.csv"
COLUMNS = (
    "step",
    "epoch",
    "split",
    "loss",
    "learning_rate",
    "pixel_accuracy",
    "mean_accuracy",
    "mean_iou",
    "frequency_weighted_iou",
    "seconds",
    "images_per_second",
    "loader_wait",
)


class MetricsFile:
    """Rows appended one by one, each written out at once.

    Args:
        path: of metrics.csv.
        names: class names; each gets a column `iou_<name>`.
        heads: of groups of classes; each gets a column `mean_iou_<head>`.
    """

    def __init__(self, path: Path, names: Sequence[str], heads: Sequence[str] = ()) -> None:
        self.path = path
        self.columns = (*COLUMNS, *(f"iou_{name}" for name in names), *(f"mean_iou_{head}" for head in heads))

    def start(self, *, last_step: int = 0, last_epoch: int = 0) -> list[dict[str, str]]:
        """Begin the file, or cut it back to where a run goes on from a checkpoint: rows of later steps go, and those of
        later epochs, of which batches may have been seen before a step was made of them. Yields what is left."""
        written = read_rows(self.path) if self.path.exists() else []
        last = {"step": last_step, "epoch": last_epoch}
        rows = [row for row in written if all(row[key].isdigit() and int(row[key]) <= last[key] for key in last)]
        write_atomically(self.path, self._lines(None) + "".join(self._lines(row) for row in rows))
        return rows

    def append(self, row: Mapping[str, object]) -> None:
        """Write one row; columns not named stay empty."""
        with disk_errors(self.path), self.path.open("a", encoding="utf-8", newline="") as stream:
            stream.write(self._lines(row))

    def _lines(self, row: Mapping[str, object] | None) -> str:
        text = io.StringIO()
        writer = csv.DictWriter(text, self.columns, restval="", extrasaction="raise", lineterminator="\n")
        if row is None:
            writer.writeheader()
        else:
            writer.writerow({key: f"{value:.6g}" if isinstance(value, float) else value for key, value in row.items()})
        return text.getvalue()
