"""Experiment trackers beside metrics.csv: TensorBoard, MLflow and Weights & Biases, through Lightning's loggers."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from lightning.pytorch.loggers import Logger, MLFlowLogger, TensorBoardLogger, WandbLogger

from fullconv.errors import FullconvError, PlanError
from fullconv.evaluation.metrics_table import read_rows
from fullconv.files import write_atomically
from fullconv.training.metrics_file import FILE as METRICS
from fullconv.training.settings.experiment import Plan

Tracker = Literal["tensorboard", "mlflow", "wandb"]
PACKAGES: dict[Tracker, str] = {"tensorboard": "tensorboard", "mlflow": "mlflow", "wandb": "wandb"}
MLFLOW_STORE = "mlflow.db"
MLFLOW_RUN = "mlflow-run.txt"
"""In the run's folder: MLflow's own name of the run, so that a resumed run goes on in it."""
TOLD = "trackers.json"
"""In the run's folder, see `Told`."""
PLACE = ("step", "epoch", "split")
"""Columns of metrics.csv that say where a row belongs."""


def check_trackers(names: Iterable[Tracker]) -> None:
    """Refuse trackers whose package is not installed.

    Raises:
        PlanError: one is missing.

    >>> check_trackers([])
    """
    for name in names:
        if find_spec(PACKAGES[name]) is None:
            remedy = (
                f"install it with `pip install {PACKAGES[name]}`, or all of them with `pip install fullconv[loggers]`"
            )
            raise PlanError(f"{name} is not installed", where="loggers", remedy=remedy)


@dataclass(frozen=True)
class Told:
    """What trackers know of a run, however often it was resumed.

    Args:
        rows: of metrics.csv that they were told, of the course that they know; some were cut off since, and come again.
        rate: peak learning rate of that course.
        course: its number: with another rate the rows that come again are others.

    >>> Told(rows=12, rate=0.1).at_rate(0.1), Told(rows=12, rate=0.1).at_rate(0.01)
    (Told(rows=12, rate=0.1, course=1), Told(rows=0, rate=0.01, course=2))
    """

    rows: int
    rate: float
    course: int = 1

    @classmethod
    def before(cls, plan: Plan, run: Path) -> Told:
        """As a run finds it when it starts or goes on, before metrics.csv is cut back."""
        rate, metrics, kept = plan.optimization.learning_rate, run / METRICS, run / TOLD
        assert rate is not None
        rows = len(read_rows(metrics)) if metrics.is_file() else 0
        if not kept.is_file():
            return cls(rows, rate)
        known = cls(**json.loads(kept.read_text()))
        return replace(known, rows=max(rows, known.rows)).at_rate(rate)

    def at_rate(self, rate: float) -> Told:
        """The same if it is the rate of before; else nothing yet, of another course."""
        return self if rate == self.rate else Told(0, rate, self.course + 1)


class Trackers:
    """The trackers of a run; each row of metrics.csv is told once, also where a resumed run writes it again.

    Args:
        loggers: of Lightning.
        run: the run's folder.
        told: before; None where nobody is told anything.
    """

    def __init__(self, loggers: Sequence[Logger] = (), run: Path | None = None, told: Told | None = None) -> None:
        self.loggers = list(loggers)
        self.run = run
        self.told = told
        self.called = None if run is None or told is None else _of_course(run.name, told)
        self.number = 0

    def begin(self, *, cut: Callable[[], list[dict[str, str]]]) -> None:
        """Cut metrics.csv back; what is left of it is told to trackers of a new course.

        Args:
            cut: does it; yields the rows that are left.
        """
        if self.told is not None and self.run is not None:
            write_atomically(self.run / TOLD, json.dumps(asdict(self.told)) + "\n")
        for row in cut():
            numbers = {name: float(cell) for name, cell in row.items() if cell and name not in PLACE}
            self.tell(numbers, split=row["split"], step=int(row["step"]), kept=True)

    def tell(self, row: Mapping[str, object], *, split: str, step: int, kept: bool = False) -> None:
        """The numbers of the next row of metrics.csv, as train/loss, val/mean_iou and so on.

        Args:
            row: cells by column.
            split, step: its own.
            kept: whether the row was there when the run was resumed; TensorBoard forgot the later ones only.
        """
        self.number += 1
        if self.told is None:
            return
        again = self.number <= self.told.rows
        numbers = {f"{split}/{name}": float(value) for name, value in row.items() if isinstance(value, int | float)}
        for logger in self.loggers:
            if not (kept if isinstance(logger, TensorBoardLogger) else again):
                logger.log_metrics(numbers, step=step)

    def end(self, *, done: bool) -> None:
        """End the run in Weights & Biases, unless it was there before: the next one of this process would go on in it.

        Args:
            done: whether all went well.
        """
        for logger in self.loggers:
            if isinstance(logger, WandbLogger) and logger.experiment.id == self.called:
                logger.experiment.finish(exit_code=0 if done else 1)


def make_trackers(plan: Plan, run: Path, *, step: int = 0) -> Trackers:
    """The trackers of a plan, each told the plan once.

    TensorBoard's files lie in the run's folder, in tensorboard/; MLflow writes to MLFLOW_TRACKING_URI, else to
    mlflow.db in the workspace; Weights & Biases goes by its own environment (with WANDB_MODE=offline all stays in the
    run's folder). A run that goes on goes on in them; at another learning rate MLflow and Weights & Biases, which
    forget nothing, get another run beside the first, with all that holds of the first.

    Args:
        plan: names the trackers, and is logged.
        run: the run's folder.
        step: that a resumed run goes on from; TensorBoard forgets what came after it.

    Raises:
        PlanError: a package is missing, or the tracker cannot be reached or refuses.
    """
    check_trackers(plan.loggers)
    if not plan.loggers:
        return Trackers()
    told = Told.before(plan, run)
    return Trackers([_begun(name, plan, run, step, told) for name in plan.loggers], run, told)


def _begun(name: Tracker, plan: Plan, run: Path, step: int, told: Told) -> Logger:
    try:
        logger = _made(name, plan, run, step, told)
        if told.rows == 0:
            logger.log_hyperparams(plan.model_dump(mode="json"))
        if isinstance(logger, MLFlowLogger):
            write_atomically(_mlflow_file(run, told), str(logger.run_id))
    except FullconvError:
        raise
    except Exception as problem:  # each has errors of its own: no key, no server, no such run
        said = str(problem).strip().split("\n")[0]
        remedy = "set it up as its own manual says, or leave it out of loggers"
        raise PlanError(f"{name} cannot be used ({said})", where="loggers", remedy=remedy) from problem
    return logger


def _made(name: Tracker, plan: Plan, run: Path, step: int, told: Told) -> Logger:
    called = _of_course(run.name, told)
    match name:
        case "tensorboard":
            return TensorBoardLogger(run, name="tensorboard", version="", default_hp_metric=False, purge_step=step + 1)
        case "mlflow":
            known, home = _mlflow_file(run, told), run.absolute().parent.parent
            given = os.environ.get("MLFLOW_TRACKING_URI")
            return MLFlowLogger(
                experiment_name=Path(plan.dataset).stem,
                run_name=called,
                tracking_uri=given or f"sqlite:///{home / MLFLOW_STORE}",
                artifact_location=None if given else (home / "mlruns").as_uri(),
                run_id=known.read_text() if known.is_file() else None,
            )
        case "wandb":
            return WandbLogger(project="fullconv", name=called, id=called, save_dir=run, resume="allow")


def _mlflow_file(run: Path, told: Told) -> Path:
    return (run / MLFLOW_RUN).with_stem(_of_course(Path(MLFLOW_RUN).stem, told))


def _of_course(name: str, told: Told) -> str:
    return name if told.course == 1 else f"{name}-{told.course}"
