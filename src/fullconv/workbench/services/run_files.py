"""What lies in a run's folder: numbers, log, checkpoints, report; and all of it to take away."""

from __future__ import annotations

import mimetypes
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from fullconv.workbench.refusals import NotThere
from fullconv.workbench.services.jobs import Log
from fullconv.workbench.services.runs import directory_of
from fullconv.workbench.workbench import Workbench
from fullconv.workbench.zipping import zipped

TAKEN = ("experiment.yaml", "status.json", "metrics.csv", "log.txt", "transfer.json", "network.py", "notes.yaml")
FOLDERS = ("report", "model")
SHOWN = {".html", ".json", ".png", ".svg"}


class Metrics(BaseModel):
    """Rows of metrics.csv.

    Args:
        rows: each with step, epoch, split ("train" or "val"), and what was measured.
        total: how many there are in all. edition: another one each time a resumed run cut them back: rows that were
            read before may then be gone.
        last_step: of all rows.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "rows": [
                    {"step": 18, "epoch": 1, "split": "train", "loss": 1.93, "learning_rate": 0.0011},
                    {"step": 18, "epoch": 1, "split": "val", "loss": 1.71, "pixel_accuracy": 0.55, "mean_iou": 0.12},
                ],
                "total": 2,
                "edition": 1311768,
                "last_step": 18,
            }
        }
    )

    rows: list[dict[str, float | int | str]]
    total: int
    edition: int
    last_step: int


class Checkpoint(BaseModel):
    """A checkpoint.

    Args:
        name: "last" or "best". bytes: of the file. written: ISO 8601, UTC.
    """

    model_config = ConfigDict(
        json_schema_extra={"example": {"name": "best", "bytes": 52428800, "written": "2026-01-02T10:12:00+00:00"}}
    )

    name: str
    bytes: int
    written: str


def metrics_of(
    bench: Workbench, name: str, *, after_step: int | None = None, after_row: int = 0, split: str | None = None
) -> Metrics:
    """The numbers of a run.

    Args:
        after_step: only rows of later steps. The rows of one step are written one after the other: ask again from the
            step before the last one, or by rows.
        after_row: only rows from this place on, as `total` said.
        split: only of "train" or "val".
    """
    feed = bench.feeds.of(directory_of(bench, name))
    feed.look()
    rows = feed.rows
    wanted = [
        row
        for row in rows[after_row:]
        if (after_step is None or int(row["step"]) > after_step) and split in (None, row.get("split"))
    ]
    last = max((int(row["step"]) for row in rows), default=0)
    return Metrics(rows=wanted, total=len(rows), edition=feed.edition, last_step=last)


def run_log(bench: Workbench, name: str, offset: int = 0) -> Log:
    """What was said while a run trained, from a place on; from 0 on, the last part of a long log."""
    text, place = bench.feeds.of(directory_of(bench, name)).log(offset)
    return Log(text=text, offset=place)


def checkpoints_of(bench: Workbench, name: str) -> list[Checkpoint]:
    """The checkpoints of a run, the latest first."""
    found = [(path, path.stat()) for path in (directory_of(bench, name) / "checkpoints").glob("[!.]*.ckpt")]
    found.sort(key=lambda entry: -entry[1].st_mtime)
    return [
        Checkpoint(
            name=path.stem,
            bytes=state.st_size,
            written=datetime.fromtimestamp(state.st_mtime, UTC).isoformat(timespec="seconds"),
        )
        for path, state in found
    ]


def checkpoint_file(bench: Workbench, name: str, checkpoint: str) -> Path:
    """A checkpoint of a run.

    Args:
        checkpoint: "last" or "best".

    Raises:
        NotThere: it has none of that name.
    """
    known = {found.name for found in checkpoints_of(bench, name)}
    path = directory_of(bench, name) / "checkpoints" / f"{checkpoint}.ckpt"
    if checkpoint not in known or not _is_plain(path):
        raise NotThere("there is no such checkpoint", where=name, remedy="one is written after every epoch")
    return path


def report_file(bench: Workbench, name: str, file: str) -> tuple[Path, str]:
    """A file of a run's report, and its media type.

    Raises:
        NotThere: there is no such file, or none that is shown.
    """
    folder = (directory_of(bench, name) / "report").resolve()
    try:
        path = (folder / file).resolve()
        there = path.is_relative_to(folder) and path.suffix.lower() in SHOWN and path.is_file()
    except (OSError, ValueError):  # names that no file system takes
        there = False
    if not there:
        raise NotThere("there is no such file in the report", where=name, remedy="a report is made when a run ends")
    return path, mimetypes.guess_type(path.name)[0] or "application/octet-stream"


def download_of(bench: Workbench, name: str) -> Iterator[bytes]:
    """Plan, numbers, log, report and model as a ZIP archive, piece by piece."""
    directory = directory_of(bench, name)
    files = [directory / file for file in TAKEN]
    for folder in FOLDERS:
        files += sorted((directory / folder).rglob("*"))
    return zipped((path, f"{name}/{path.relative_to(directory).as_posix()}") for path in files if _is_plain(path))


def _is_plain(path: Path) -> bool:
    return path.is_file() and not path.is_symlink() and not path.name.startswith(".")
