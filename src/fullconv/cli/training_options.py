"""The options that shape a plan, the same for every command that makes one; what has no name of its own is --set."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import typer
import yaml

from fullconv.cli.option_groups import takes
from fullconv.errors import PlanError
from fullconv.plain_yaml import MISREAD

LOSS, STEPS, RUNS, MACHINE = "Loss", "Optimisation", "Several runs", "Machine"

Net = Annotated[str | None, typer.Option("--net", help="Network of `fullconv net list`, or my_net.py:build.")]
Weights = Annotated[
    str | None, typer.Option("--weights", help="auto, imagenet, random, a weight file, a model or run.")
]
Seed = Annotated[int | None, typer.Option("--seed", help="Of weights, order and augmentation.")]
Regime = Annotated[
    str | None,
    typer.Option(
        "--regime",
        help="How training samples are made: whole-image, patchwise or loss-sampling.",
        rich_help_panel=LOSS,
    ),
]
LossName = Annotated[
    str | None,
    typer.Option(
        "--loss",
        help="cross-entropy, focal, dice or lovasz, or a sum; cross-entropy+lovasz if not given.",
        rich_help_panel=LOSS,
    ),
]
ClassWeights = Annotated[
    str | None,
    typer.Option(
        "--class-weights",
        help="none, inverse-log, median-frequency or effective-number.",
        rich_help_panel=LOSS,
    ),
]
RecipeName = Annotated[
    str | None,
    typer.Option(
        "--recipe",
        help="reference: as the published nets were trained, under all other options.",
        rich_help_panel=STEPS,
    ),
]
Epochs = Annotated[int | None, typer.Option("--epochs", help="Passes over the training images.", rich_help_panel=STEPS)]
Patience = Annotated[
    int | None,
    typer.Option("--patience", help="End after so many validations without a better mean IoU.", rich_help_panel=STEPS),
]
BatchSize = Annotated[int | None, typer.Option("--batch-size", help="Views in a step.", rich_help_panel=STEPS)]
Accumulate = Annotated[
    int | None, typer.Option("--accumulate", help="Batches whose gradients make one step.", rich_help_panel=STEPS)
]
Checkpointing = Annotated[
    bool | None,
    typer.Option(
        "--checkpointing/--no-checkpointing",
        help="Compute activations again instead of keeping them: less memory, about a quarter more time.",
        rich_help_panel=STEPS,
    ),
]
OptimizerName = Annotated[
    str | None,
    typer.Option(
        "--optimizer", help="adamw, adam, sgd, nesterov, adagrad, rmsprop or adadelta.", rich_help_panel=STEPS
    ),
]
LearningRate = Annotated[
    float | None,
    typer.Option("--learning-rate", help="Peak for parameters that start from nothing.", rich_help_panel=STEPS),
]
PolicyName = Annotated[
    str | None,
    typer.Option(
        "--policy",
        help="How the rate moves: fixed, step, multistep, exp, inv, poly, sigmoid, cosine or one-cycle.",
        rich_help_panel=STEPS,
    ),
]
Momentum = Annotated[
    float | None,
    typer.Option("--momentum", help="Of SGD, Nesterov and RMSprop; the first moment of Adam.", rich_help_panel=STEPS),
]
WeightDecay = Annotated[
    float | None, typer.Option("--weight-decay", help="Of weights, not of biases.", rich_help_panel=STEPS)
]
Clip = Annotated[float | None, typer.Option("--clip", help="Largest norm of the gradient.", rich_help_panel=STEPS)]
Ema = Annotated[
    float | None,
    typer.Option("--ema", help="Keep a moving average of the weights, with this decay.", rich_help_panel=STEPS),
]
Folds = Annotated[
    int | None,
    typer.Option("--folds", help="Train so many times, each with another part held out.", rich_help_panel=RUNS),
]
GroupName = Annotated[
    str | None, typer.Option("--group", help="Name for runs that belong together.", rich_help_panel=RUNS)
]
Device = Annotated[str | None, typer.Option("--device", help="auto, cpu or cuda.", rich_help_panel=MACHINE)]
Devices = Annotated[
    int | None,
    typer.Option("--devices", help="Processes on each machine: GPUs, or shares of the CPU.", rich_help_panel=MACHINE),
]
Nodes = Annotated[
    int | None,
    typer.Option("--nodes", help="Machines, with torchrun, Slurm or --cluster.", rich_help_panel=MACHINE),
]
Settings = Annotated[
    list[str],
    typer.Option(
        "--set",
        help="Any field of experiment.yaml, as augmentation.flip=0; a list, as seed=[0,1,2], makes a run of each "
        "value. Repeatable.",
        default_factory=list,
        show_default=False,
    ),
]


@dataclass(frozen=True, kw_only=True)
class PlanOptions:
    """What a person may say about a run; see the help texts above."""

    net: Net = None
    weights: Weights = None
    seed: Seed = None
    regime: Regime = None
    loss: LossName = None
    class_weights: ClassWeights = None
    recipe: RecipeName = None
    epochs: Epochs = None
    patience: Patience = None
    batch_size: BatchSize = None
    accumulate: Accumulate = None
    checkpointing: Checkpointing = None
    optimizer: OptimizerName = None
    learning_rate: LearningRate = None
    policy: PolicyName = None
    momentum: Momentum = None
    weight_decay: WeightDecay = None
    clip: Clip = None
    ema: Ema = None
    folds: Folds = None
    group: GroupName = None
    device: Device = None
    devices: Devices = None
    nodes: Nodes = None
    settings: Settings

    def asked(self) -> dict[str, Any]:
        """Fields of an experiment, of what was said.

        Raises:
            PlanError: --set sets nothing, or what is set already.
        """
        options = {name: value for name, value in vars(self).items() if name != "settings"}
        options["network"] = options.pop("net")
        steps = {name: options.pop(name) for name in STEP_FIELDS}
        return nested_settings(self.settings, asked_for(options, optimization=steps))


STEP_FIELDS = ("optimizer", "learning_rate", "policy", "accumulate", "momentum", "weight_decay", "clip", "ema")

takes_plan_options = takes(PlanOptions, "options")
"""Gives a command with the parameter `options: PlanOptions` those options."""


def asked_for(plain: Mapping[str, Any], *, optimization: Mapping[str, Any]) -> dict[str, Any]:
    """Fields of an experiment, of the options that were given.

    Args:
        plain: options that are fields; "regime" and "loss" are names, beside which --set may set more.
        optimization: options of that section; "policy" is a name too.

    >>> asked_for({"loss": "dice", "epochs": None}, optimization={"clip": 1.0, "policy": "poly", "ema": None})
    {'loss': {'terms': 'dice'}, 'optimization': {'clip': 1.0, 'policy': {'kind': 'poly'}}}
    """
    steps = _given(optimization, policy="kind")
    return _given(plain, regime="kind", loss="terms") | ({"optimization": steps} if steps else {})


def _given(options: Mapping[str, Any], **names: str) -> dict[str, Any]:
    return {key: {names[key]: value} if key in names else value for key, value in options.items() if value is not None}


def nested_settings(settings: list[str], chosen: dict[str, Any]) -> dict[str, Any]:
    """`a.b=1` → {"a": {"b": 1}} beside the options that have a name of their own; values are read as YAML.

    >>> nested_settings(["loss.focal_gamma=1.5"], {"loss": {"terms": "focal"}})
    {'loss': {'terms': 'focal', 'focal_gamma': 1.5}}
    """
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
        except MISREAD:
            raise PlanError(f"{text!r} is no YAML value", where=f"--set {field}", remedy="quote it") from None
    return chosen
