"""`fullconv evaluate`: a model against a dataset."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from fullconv.cli.console import AllowCode, AsJson, Home, one_sentence, print_json, show_scores
from fullconv.cli.train import trainable
from fullconv.data.dataset import Dataset
from fullconv.errors import DataError
from fullconv.workspace import Workspace


def evaluate(
    model: Annotated[str, typer.Argument(help="A package folder, a run, or a stored name.")],
    dataset: Annotated[str, typer.Argument(help="A dataset or a folder of images and labels.")],
    *,
    split: Annotated[
        str | None, typer.Option("--split", help="train, val or test; test if there is one, else val, if not given.")
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", help="Folder of the report.")] = None,
    device: Annotated[str | None, typer.Option("--device", help="cpu or cuda.")] = None,
    head: Annotated[
        str | None,
        typer.Option("--head", help="Of several heads only this one; else all that fit the dataset."),
    ] = None,
    allow_code: AllowCode = False,
    workspace: Home = None,
    as_json: AsJson = False,
) -> None:
    """Score a model on one split: the four scores, per class, and a report; every head, where there are several."""
    from fullconv.prediction.evaluating import evaluate as score
    from fullconv.prediction.evaluating import evaluate_heads
    from fullconv.prediction.model import Model

    home = Workspace.find(workspace)
    with one_sentence():
        loaded = Model.load(model, workspace=home, device=device, allow_code=allow_code, head=head)
        found = trainable(dataset, home)
        data = found if isinstance(found, Dataset) else Dataset.load(found, home)
        chosen = split or ("test" if len(data.test) else "val")
        if chosen not in ("train", "val", "test"):
            raise DataError(f"no split is named {chosen!r}", where="--split", remedy="say train, val or test")
        report = out or Path(f"{data.name}-{chosen}-report")
        images = data.split(chosen)
        if head is None and loaded.heads:
            heads = evaluate_heads(loaded, images, report=report)
            scores = next(iter(heads.values()))
        else:
            scores = score(loaded, images, report=report)
            heads = {} if loaded.head is None else {loaded.head: scores}
    left_out = [] if head else [name for name in loaded.heads if name not in heads]
    if as_json:
        several = {"heads": {name: found.as_dict() for name, found in heads.items()}, "left_out": left_out}
        shown = {"split": chosen, "report": str(report), "scores": scores.as_dict()}
        print_json(shown | several if heads else shown)
        return
    show_scores(scores, heads)
    for name in left_out:
        print(f"Head {name} is not scored: its classes are not to be had from those of {data.name}.")
    Console().print(f"Report: {(report / 'report.html').absolute()}", soft_wrap=True)
