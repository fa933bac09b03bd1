"""The `fullconv` command: one group of commands per file."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from fullconv._version import VERSION
from fullconv.cli import (
    classify,
    compare,
    data,
    demo,
    evaluate,
    net,
    plan,
    predict,
    runs,
    scenes,
    serve,
    train,
    workspace,
)
from fullconv.collector import rest_while_importing

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Fully convolutional networks: from a folder of images and labels to a segmentation model.",
)
app.add_typer(data.app, name="data")
app.add_typer(net.app, name="net")
app.add_typer(runs.app, name="runs")
app.add_typer(workspace.app, name="workspace")
data.app.command("scenes")(scenes.scenes)
app.command("demo")(demo.demo)
app.command("plan")(plan.plan)
app.command("train")(train.train)
app.command("evaluate")(evaluate.evaluate)
app.command("compare")(compare.compare)
app.command("predict")(predict.predict)
app.command("classify")(classify.classify)
app.command("serve")(serve.serve)


def _version(wanted: bool) -> None:
    if wanted:
        print(f"fullconv {VERSION}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


def main() -> None:
    """Entry point of the installed command.

    Threads that wait for each other go to sleep sooner than libgomp's default: beside one other busy process a training
    step then takes twice as long instead of three times, and alone no longer (benchmarks/busy_machine.py).
    """
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")
    rest_while_importing()
    app()
