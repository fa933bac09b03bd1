"""`fullconv train`: a dataset, a folder or a plan becomes a run with a model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from fullconv.cli.console import AsJson, Home, one_sentence, print_json, show_scores, stoppable
from fullconv.cli.data_report import dataset_report
from fullconv.cli.training_options import MACHINE, PlanOptions, takes_plan_options
from fullconv.data.dataset import Dataset
from fullconv.data.description import FILE_NAME
from fullconv.errors import PlanError
from fullconv.workspace import Workspace

if TYPE_CHECKING:
    from fullconv.training.group_summary import Sweep

Source = Annotated[
    str | None, typer.Argument(metavar="DATASET|FOLDER|EXPERIMENT.YAML", help="What to train on, or a whole plan.")
]


@takes_plan_options
def train(
    source: Source = None,
    *,
    options: PlanOptions,
    cluster: Annotated[
        str | None,
        typer.Option(
            "--cluster", metavar="ADDRESS", help="Train on a Ray cluster, as http://head:8265.", rich_help_panel=MACHINE
        ),
    ] = None,
    resume: Annotated[
        str | None,
        typer.Option(
            "--resume", metavar="RUN", help="Continue a run from its last epoch, also at another --learning-rate."
        ),
    ] = None,
    workspace: Home = None,
    as_json: AsJson = False,
) -> None:
    """Train a network; a folder that is no dataset yet is checked and made one on the way.

    Folds, and settings given as lists of values, make a group of runs, their table, and an ensemble of the folds.

    Ctrl-C stops after the step in hand; `--resume RUN` goes on from the last whole epoch.
    """
    from fullconv.training import fit
    from fullconv.training.axes import axes_of
    from fullconv.training.distribution.processes import from_first, here, launched
    from fullconv.training.sweep import runs_asked_for, spelled_out, sweep

    home = Workspace.find(workspace)
    with stoppable(), one_sentence(), launched() as processes:
        chosen = options.asked()
        if resume is not None:
            rate_alone = {"optimization": {"learning_rate": options.learning_rate}}
            if source is not None or chosen not in ({}, rate_alone) or cluster is not None:
                remedy = "give no other option than --learning-rate"
                raise PlanError("a resumed run keeps its plan", where="--resume", remedy=remedy)
            run = fit.resume(resume, learning_rate=options.learning_rate, workspace=home)
        elif source is None:
            raise PlanError("nothing to train on", remedy="name a dataset, a folder or an experiment.yaml")
        else:
            named, wanted = spelled_out(source, chosen)
            several = bool(axes_of(wanted))
            if several and cluster is not None:
                raise PlanError("a cluster takes one run at a time", where="--cluster", remedy="set no lists")
            runs_asked_for(named, wanted)  # a slip is told before a folder is read and made a dataset
            data = from_first(processes, lambda: trainable(str(named), home))
            if several:
                done = sweep(data, settings=wanted, workspace=home)
                if processes.first:
                    _show_sweep(done, as_json=as_json)
                return
            run = fit.train(data, workspace=home, settings=wanted, cluster=cluster)
    if not here().first:
        return
    if as_json:
        heads = {"heads": {name: found.as_dict() for name, found in run.heads.items()}} if run.heads else {}
        print_json({"run": str(run.directory), "split": run.split, "scores": run.scores.as_dict()} | heads)
        return
    show_scores(run.scores, run.heads)
    further = "".join(f", of {name} {found.mean_iou:.3f}" for name, found in list(run.heads.items())[1:])
    print(
        f"On the {run.split} images: pixel accuracy {run.scores.pixel_accuracy:.1%}, "
        f"mean IoU {run.scores.mean_iou:.3f}{further}\n"
        f"Report: {run.directory / 'report' / 'report.html'}\nModel:  {run.directory / 'model'}"
    )


def _show_sweep(done: Sweep, *, as_json: bool) -> None:
    if as_json:
        print_json(done.as_dict())
        return
    Console().print(done.table())
    print(f"Summary: {done.directory / 'summary.json'}")
    if done.ensemble is not None:
        print(f"Ensemble: {done.ensemble.directory}")


def trainable(source: str, home: Workspace) -> Dataset | str:
    """What `fit.train` takes: a plan's path, a dataset's name, or a folder checked and made a dataset now."""
    from fullconv.training.runs import stored_dataset

    path = Path(source).expanduser()
    if path.is_file() or not path.is_dir() or (path / FILE_NAME).is_file():
        return source
    data = Dataset.from_folders(path)
    Console(stderr=True).print(dataset_report(data))
    return Dataset.load(home.dataset(stored_dataset(data, home)), home)
