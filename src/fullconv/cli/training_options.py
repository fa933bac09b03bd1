"""The options of training that have a name of their own; all others are set by --set."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import typer

LOSS, STEPS = "Loss", "Optimisation"

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
        "--loss", help="cross-entropy, focal, dice or lovasz, or a sum, as cross-entropy+dice.", rich_help_panel=LOSS
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
