"""Experiment trackers beside metrics.csv: TensorBoard, MLflow and Weights & Biases, through Lightning's loggers."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

from lightning.pytorch.loggers import Logger, MLFlowLogger, TensorBoardLogger, WandbLogger

from fullconv.errors import FullconvError, PlanError
from fullconv.files import write_atomically
from fullconv.training.settings.experiment import Plan

Tracker = Literal["tensorboard", "mlflow", "wandb"]
PACKAGES: dict[Tracker, str] = {"tensorboard": "tensorboard", "mlflow": "mlflow", "wandb": "wandb"}
MLFLOW_STORE = "mlflow.db"
MLFLOW_RUN = "mlflow-run.txt"
"""In the run's folder: MLflow's own name of the run, so that a resumed run goes on in it."""


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


def make_trackers(plan: Plan, run: Path, *, step: int = 0) -> list[Logger]:
    """Lightning's loggers of a plan, each told the plan once.

    TensorBoard's files lie in the run's folder, in tensorboard/; MLflow writes to MLFLOW_TRACKING_URI, else to
    mlflow.db in the workspace; Weights & Biases goes by its own environment (with WANDB_MODE=offline all stays in the
    run's folder).

    Args:
        plan: names the trackers, and is logged.
        run: the run's folder.
        step: that a resumed run goes on from; TensorBoard forgets what came after it.

    Raises:
        PlanError: a package is missing, or the tracker cannot be reached or refuses.
    """
    check_trackers(plan.loggers)
    return [_begun(name, plan, run, step) for name in plan.loggers]


def track_row(loggers: Sequence[Logger], row: Mapping[str, object], *, split: str, step: int) -> None:
    """The numbers of a row of metrics.csv, as train/loss, val/mean_iou and so on."""
    numbers: dict[str, float] = {
        f"{split}/{name}": float(value) for name, value in row.items() if isinstance(value, int | float)
    }
    for logger in loggers:
        logger.log_metrics(numbers, step=step)


def _begun(name: Tracker, plan: Plan, run: Path, step: int) -> Logger:
    try:
        logger = _made(name, plan, run, step)
        if step == 0:
            logger.log_hyperparams(plan.model_dump(mode="json"))
        if isinstance(logger, MLFlowLogger):
            write_atomically(run / MLFLOW_RUN, str(logger.run_id))
    except FullconvError:
        raise
    except Exception as problem:  # each has errors of its own: no key, no server, no such run
        said = str(problem).strip().split("\n")[0]
        remedy = "set it up as its own manual says, or leave it out of loggers"
        raise PlanError(f"{name} cannot be used ({said})", where="loggers", remedy=remedy) from problem
    return logger


def _made(name: Tracker, plan: Plan, run: Path, step: int) -> Logger:
    match name:
        case "tensorboard":
            purge: dict[str, Any] = {"purge_step": step + 1} if step else {}
            return TensorBoardLogger(run, name="tensorboard", version="", default_hp_metric=False, **purge)
        case "mlflow":
            known, home = run / MLFLOW_RUN, run.absolute().parent.parent
            given = os.environ.get("MLFLOW_TRACKING_URI")
            return MLFlowLogger(
                experiment_name=Path(plan.dataset).stem,
                run_name=run.name,
                tracking_uri=given or f"sqlite:///{home / MLFLOW_STORE}",
                artifact_location=None if given else (home / "mlruns").as_uri(),
                run_id=known.read_text() if step and known.is_file() else None,
            )
        case "wandb":
            return WandbLogger(project="fullconv", name=run.name, id=run.name, save_dir=run, resume="allow")
