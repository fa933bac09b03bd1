"""Training as people see it: a bar with time left, or lines where there is no terminal, and a log beside the run."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn

LINE_INTERVAL_SECONDS = 20.0
LOG = "log.txt"
"""In the run's folder."""


class TrainingDisplay:
    """A context in which steps and validations are shown.

    Args:
        quiet: show nothing (tests, libraries).
        log: a file that keeps what is said, whoever looks.
    """

    def __init__(self, *, quiet: bool = False, log: Path | None = None) -> None:
        self.quiet = quiet
        self.log = log
        self.console = Console(stderr=True, quiet=quiet)
        self._bar: Progress | None = None
        self._task: TaskID | None = None
        self._said = 0.0
        self._scores = ""

    def __enter__(self) -> TrainingDisplay:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def start(self, total: int, done: int) -> None:
        """Begin, or go on after `done` steps."""
        self._began, self._first, self._total = time.monotonic(), done, total
        if sys.stderr.isatty() and not self.quiet:
            columns = (
                "{task.description}",
                BarColumn(),
                "{task.percentage:>3.0f} %",
                TextColumn("{task.fields[figures]}"),
            )
            self._bar = Progress(
                *columns, TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn(), console=self.console
            )
            self._task = self._bar.add_task("training", total=total, completed=done, figures="")
            self._bar.start()

    def step(self, step: int, epoch: int, epochs: int, loss: float, learning_rate: float) -> None:
        """One training step is done."""
        figures = f"loss {loss:.3f}  lr {learning_rate:.1e}{self._scores}"
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, completed=step, description=f"epoch {epoch}/{epochs}", figures=figures)
        if time.monotonic() - self._said > LINE_INTERVAL_SECONDS:
            self._said = time.monotonic()
            line = self._line(step, f"epoch {epoch}/{epochs}  {figures}")
            self.note(line)
            if self._bar is None:
                self._print(line)

    def validated(self, epoch: int, epochs: int, row: Mapping[str, float | None], best: float) -> None:
        """One validation is done."""
        accuracy, iou = row["pixel_accuracy"] or 0.0, row["mean_iou"] or 0.0
        self._scores = f"  val pixel accuracy {accuracy:.1%}  mean IoU {iou:.3f} (best {best:.3f})"
        self.note(f"epoch {epoch}/{epochs}{self._scores}")

    def say(self, message: str) -> None:
        """A sentence of its own."""
        self._print(message)
        self.note(message)

    def note(self, message: str) -> None:
        """Write into the log alone; where that cannot be done, training matters more."""
        if self.log is not None:
            now = datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S")
            with suppress(OSError), self.log.open("a", encoding="utf-8") as stream:
                stream.writelines(f"{now}  {line}\n" for line in message.splitlines())

    def _print(self, message: str) -> None:
        self.console.print(message, markup=False, highlight=False, soft_wrap=True)

    def _line(self, step: int, text: str) -> str:
        done = step - self._first
        left = (self._said - self._began) / max(1, done) * (self._total - step)
        return f"{text}  {step / self._total:.0%}, about {left / 60:.1f} min left"
