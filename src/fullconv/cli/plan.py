"""`fullconv plan`: what a run would take, before it runs."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from fullconv.cli.console import AsJson, Home, one_sentence, print_json
from fullconv.cli.plan_report import plan_report
from fullconv.cli.train import Source
from fullconv.cli.training_options import PlanOptions, takes_plan_options
from fullconv.data.dataset import Dataset
from fullconv.data.description import FILE_NAME
from fullconv.errors import PlanError, StorageError
from fullconv.files import disk_errors, write_document
from fullconv.workspace import Workspace

if TYPE_CHECKING:
    from fullconv.training.forecast.forecasting import Forecast

PICTURES = (".png", ".svg", ".pdf")


@takes_plan_options
def plan(
    source: Source = None,
    *,
    options: PlanOptions,
    memory: Annotated[
        float | None, typer.Option("--memory", metavar="GIB", help="Plan for this much memory instead of what is free.")
    ] = None,
    trial: Annotated[
        bool, typer.Option("--trial/--no-trial", help="Do a few real steps: for the time, and to check the batch.")
    ] = True,
    curve: Annotated[
        Path | None, typer.Option("--curve", metavar="FILE", help="Draw the learning rate over the run, as PNG or SVG.")
    ] = None,
    find_rate: Annotated[bool, typer.Option("--find-rate", help="Find a learning rate by a short sweep.")] = False,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="Write the plan that fits, for `fullconv train FILE`.")
    ] = None,
    workspace: Home = None,
    as_json: AsJson = False,
) -> None:
    """Which batch fits, how long it takes, what it can reach: memory, time, ceiling, before anything runs.

    Of several runs, by lists of values or folds, the first is planned. Nothing is written without --out or --curve.
    Exit code 2 where nothing that was tried fits.
    """
    from fullconv.training.forecast.forecasting import forecast
    from fullconv.training.runs import stored_dataset
    from fullconv.training.sweep import runs_asked_for, spelled_out

    home = Workspace.find(workspace)
    with one_sentence():
        chosen = options.asked()
        if source is None:
            raise PlanError("nothing to plan for", remedy="name a dataset, a folder or an experiment.yaml")
        if memory is not None and not 0 < memory < math.inf:
            raise PlanError(f"{memory:g} GiB is no memory", where="--memory", remedy="give a positive number")
        if out is not None and out.suffix not in (".yaml", ".yml"):
            raise PlanError(f"{out} is no YAML file", where="--out", remedy="call it experiment.yaml")
        if curve is not None and curve.suffix.lower() not in PICTURES:
            problem = f"{curve.suffix or 'no ending'} is no kind of picture"
            raise StorageError(problem, where=curve, remedy="say .png or .svg")
        named, wanted = spelled_out(source, chosen)
        runs = runs_asked_for(named, wanted)  # a slip is told before a folder is read
        if out is not None and len(runs) > 1:
            raise PlanError(f"{len(runs)} runs are no plan of one", where="--out", remedy="set no lists and no folds")
        data = unstored(str(named))
        found = forecast(data, workspace=home, memory=memory, trial=trial, settings=runs[0])
        swept = None
        if find_rate and (found.fallback is None or found.fallback.fits):
            from fullconv.training.forecast.forecasting import swept_rate

            swept = swept_rate(found.recommended, data, workspace=home)
        if curve is not None:
            _draw(curve, found)
        if out is not None:
            recommended = found.recommended
            if isinstance(data, Dataset):
                recommended = recommended.model_copy(update={"dataset": stored_dataset(data, home)})
            with disk_errors(out):
                out.parent.mkdir(parents=True, exist_ok=True)
                write_document(out, recommended)
    if as_json:
        print_json(found.as_dict() | {"rate": None if swept is None else swept.suggestion, "runs": len(runs)})
    else:
        Console().print(plan_report(found, swept, runs=len(runs)))
        for path in (curve, out):
            if path is not None:
                print(f"Written: {path}")
    if found.fallback is not None and not found.fallback.fits:
        raise typer.Exit(2)


def unstored(source: str) -> Dataset | str:
    """A plan's path or a dataset's name as they are; a folder of images and labels is read, and not stored."""
    path = Path(source).expanduser()
    if path.is_file() or not path.is_dir() or (path / FILE_NAME).is_file():
        return source
    return Dataset.from_folders(path)


def _draw(path: Path, found: Forecast) -> None:
    from fullconv.training.rate_preview import rate_curve, rate_figure

    plan = found.recommended
    figure = rate_figure(rate_curve(plan.optimization, found.steps * plan.epochs))
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path)
