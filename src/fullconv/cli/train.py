"""`fullconv train`: a dataset, a folder or a plan becomes a run with a model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
import yaml
from rich.console import Console

from fullconv.cli.console import AsJson, Home, one_sentence, print_json, show_scores, stoppable
from fullconv.cli.data_report import dataset_report
from fullconv.cli.training_options import (
    Accumulate,
    BatchSize,
    ClassWeights,
    Clip,
    Ema,
    Epochs,
    LearningRate,
    LossName,
    Momentum,
    OptimizerName,
    Patience,
    PolicyName,
    RecipeName,
    Regime,
    WeightDecay,
    asked_for,
)
from fullconv.data.dataset import Dataset
from fullconv.data.description import FILE_NAME
from fullconv.errors import PlanError
from fullconv.workspace import Workspace

if TYPE_CHECKING:
    from fullconv.training.sweep import Sweep

Source = Annotated[
    str | None, typer.Argument(metavar="DATASET|FOLDER|EXPERIMENT.YAML", help="What to train on, or a whole plan.")
]


def train(
    source: Source = None,
    *,
    net: Annotated[
        str | None, typer.Option("--net", help="Network of `fullconv net list`, or my_net.py:build.")
    ] = None,
    weights: Annotated[
        str | None, typer.Option("--weights", help="auto, imagenet, random, a weight file, a model or run.")
    ] = None,
    seed: Annotated[int | None, typer.Option("--seed", help="Of weights, order and augmentation.")] = None,
    regime: Regime = None,
    loss: LossName = None,
    class_weights: ClassWeights = None,
    recipe: RecipeName = None,
    epochs: Epochs = None,
    patience: Patience = None,
    batch_size: BatchSize = None,
    accumulate: Accumulate = None,
    optimizer: OptimizerName = None,
    learning_rate: LearningRate = None,
    policy: PolicyName = None,
    momentum: Momentum = None,
    weight_decay: WeightDecay = None,
    clip: Clip = None,
    ema: Ema = None,
    folds: Annotated[
        int | None,
        typer.Option(
            "--folds", help="Train so many times, each with another part held out.", rich_help_panel="Several runs"
        ),
    ] = None,
    group: Annotated[
        str | None,
        typer.Option("--group", help="Name for runs that belong together.", rich_help_panel="Several runs"),
    ] = None,
    device: Annotated[
        str | None, typer.Option("--device", help="auto, cpu or cuda.", rich_help_panel="Machine")
    ] = None,
    devices: Annotated[
        int | None,
        typer.Option(
            "--devices", help="Processes on each machine: GPUs, or shares of the CPU.", rich_help_panel="Machine"
        ),
    ] = None,
    nodes: Annotated[
        int | None,
        typer.Option("--nodes", help="Machines, with torchrun, Slurm or --cluster.", rich_help_panel="Machine"),
    ] = None,
    cluster: Annotated[
        str | None,
        typer.Option(
            "--cluster",
            metavar="ADDRESS",
            help="Train on a Ray cluster, as http://head:8265.",
            rich_help_panel="Machine",
        ),
    ] = None,
    settings: Annotated[
        list[str],
        typer.Option(
            "--set",
            help="Any field of experiment.yaml, as augmentation.flip=0; a list, as seed=[0,1,2], makes a run of each "
            "value. Repeatable.",
            default_factory=list,
            show_default=False,
        ),
    ],
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
    from fullconv.training.distribution.processes import here
    from fullconv.training.sweep import axes_of, spelled_out, sweep

    home = Workspace.find(workspace)
    plain = {"network": net, "weights": weights, "seed": seed, "device": device, "devices": devices, "nodes": nodes}
    plain |= {"regime": regime, "loss": loss, "class_weights": class_weights, "recipe": recipe}
    plain |= {"folds": folds, "group": group, "epochs": epochs, "patience": patience, "batch_size": batch_size}
    steps = {"optimizer": optimizer, "learning_rate": learning_rate, "policy": policy, "accumulate": accumulate}
    steps |= {"momentum": momentum, "weight_decay": weight_decay, "clip": clip, "ema": ema}
    with stoppable(), one_sentence():
        chosen = nested_settings(settings, asked_for(plain, optimization=steps))
        if resume is not None:
            rate_alone = {"optimization": {"learning_rate": learning_rate}}
            if source is not None or chosen not in ({}, rate_alone) or cluster is not None:
                remedy = "give no other option than --learning-rate"
                raise PlanError("a resumed run keeps its plan", where="--resume", remedy=remedy)
            run = fit.resume(resume, learning_rate=learning_rate, workspace=home)
        elif source is None:
            raise PlanError("nothing to train on", remedy="name a dataset, a folder or an experiment.yaml")
        else:
            data, wanted = spelled_out(trainable(source, home), chosen)
            if axes_of(wanted):
                if cluster is not None:
                    raise PlanError("a cluster takes one run at a time", where="--cluster", remedy="set no lists")
                _show_sweep(sweep(data, settings=wanted, workspace=home), as_json=as_json)
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


def nested_settings(settings: list[str], chosen: dict[str, Any]) -> dict[str, Any]:
    """`a.b=1` → {"a": {"b": 1}} beside the options that have a name of their own; values are read as YAML."""
    for setting in settings:
        field, equals, text = setting.partition("=")
        if not equals:
            raise PlanError(f"{setting!r} sets nothing", where="--set", remedy="write it as field=value")
        *parents, last = field.split(".")
        place = chosen
        for parent in parents:
            place = place.setdefault(parent, {})
            if not isinstance(place, dict):
                raise PlanError(f"{parent} is set as a whole already", where=f"--set {field}", remedy="set it once")
        if last in place:
            raise PlanError("is set twice", where=f"--set {field}", remedy="set it once")
        try:
            place[last] = yaml.safe_load(text)
        except (yaml.YAMLError, ValueError):
            raise PlanError(f"{text!r} is no YAML value", where=f"--set {field}", remedy="quote it") from None
    return chosen
