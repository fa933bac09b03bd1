"""`fullconv runs`: what was trained, how far it got, how well it did."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from fullconv.cli.console import AsJson, Home, one_sentence, print_json
from fullconv.errors import FullconvError, PackageError, PlanError
from fullconv.files import dump_yaml, read_document
from fullconv.workspace import Workspace

app = typer.Typer(no_args_is_help=True, help="Training runs: list and show them.")


@app.command("list")
def list_(workspace: Home = None, as_json: AsJson = False) -> None:
    """All runs in the workspace, oldest first."""
    from fullconv.training.runs import list_runs

    home = Workspace.find(workspace)
    facts = []
    for run in list_runs(home):
        try:
            facts.append(_facts(run))
        except FullconvError as problem:
            print(problem, file=sys.stderr)
    if as_json:
        print_json(facts)
        return
    if not facts:
        print(f"No runs in {home.runs} yet; `fullconv train FOLDER` makes one.")
        return
    table = Table("run", "state", "epoch", "best val mIoU", "mIoU", "split", header_style="bold")
    for fact in facts:
        scores = fact["scores"] or {}
        table.add_row(
            fact["run"],
            fact["state"],
            f"{fact['epoch']}/{fact['epochs']}",
            _number(fact["best_mean_iou"]),
            _number(scores.get("mean_iou")),
            scores.get("split", ""),
        )
    Console().print(table)


@app.command()
def show(
    run: Annotated[str, typer.Argument(help="A run's name or folder.")],
    workspace: Home = None,
    as_json: AsJson = False,
) -> None:
    """One run: its state, its plan, its scores, where things lie."""
    from fullconv.training.runs import PLAN_FILE, find_run
    from fullconv.training.settings.experiment import Experiment

    with one_sentence():
        directory = find_run(run, Workspace.find(workspace))
        facts = _facts(directory)
        plan = read_document(directory / PLAN_FILE, Experiment, PlanError).model_dump(mode="json")
    if as_json:
        print_json(facts | {"experiment": plan})
        return
    print(dump_yaml({key: value for key, value in facts.items() if value is not None} | {"experiment": plan}), end="")


def _facts(run: Path) -> dict[str, Any]:
    from fullconv.store.package import read_card
    from fullconv.training.status import read_status

    status = read_status(run)
    try:
        card = read_card(run / "model")
        each = [entry.model_dump(exclude=None if entry.head else {"head"}) for entry in card.scores]
        scores, heads = (each[0] if each else None), (each if len(each) > 1 else None)
    except PackageError:
        scores = heads = None
    return {
        "run": run.name,
        "folder": str(run),
        "state": status.shown,
        "epoch": status.epoch,
        "epochs": status.epochs,
        "progress": status.progress,
        "best_mean_iou": status.best_mean_iou,
        "warnings": list(status.warnings),
        "error": status.error,
        "scores": scores,
        "heads": heads,
    }


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"
