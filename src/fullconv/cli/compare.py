"""`fullconv compare`: several models on the same images, as one picture and as numbers."""

from __future__ import annotations

import io
import json
import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from fullconv.cli.console import AllowCode, AsJson, Head, Home, one_sentence, print_json
from fullconv.errors import DataError, PlanError
from fullconv.workspace import Workspace

if TYPE_CHECKING:
    from fullconv.data.classes import ClassTable
    from fullconv.prediction.comparing import Comparison, ImageRow, Subject
    from fullconv.prediction.model import Model

FIGURE, SCORES = "comparison.png", "scores.json"


class Shown(StrEnum):
    """Which images the picture shows."""

    differing = "differing"
    random = "random"
    first = "first"


class Look(StrEnum):
    """How label maps are drawn."""

    overlay = "overlay"
    labels = "labels"


def compare(
    models: Annotated[list[str], typer.Argument(help="Two or more: package folders, runs, or stored names.")],
    *,
    out: Annotated[Path, typer.Option("--out", help=f"Folder for {FIGURE} and {SCORES}.")],
    images: Annotated[
        list[Path] | None,
        typer.Option("--images", metavar="FOLDER|IMAGE", help="Images without truth. Repeatable.", show_default=False),
    ] = None,
    dataset: Annotated[
        str | None, typer.Option("--dataset", help="A dataset or a folder of images and labels.")
    ] = None,
    split: Annotated[
        str | None, typer.Option("--split", help="train, val or test; test if there is one, else val, if not given.")
    ] = None,
    keys: Annotated[
        list[str] | None,
        typer.Option("--keys", metavar="KEY", help="Only this image of the dataset. Repeatable.", show_default=False),
    ] = None,
    show: Annotated[
        Shown, typer.Option("--show", help="Images in the picture: where the models differ most, any, or the first.")
    ] = Shown.differing,
    rows: Annotated[int, typer.Option("--rows", min=1, max=100, help="Images in the picture, at most.")] = 6,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of --show random.")] = 0,
    view: Annotated[Look, typer.Option("--view", help="Colours over the image, or alone.")] = Look.overlay,
    opacity: Annotated[float, typer.Option("--opacity", min=0, max=1, help="Of the colours over the image.")] = 0.5,
    device: Annotated[str | None, typer.Option("--device", help="cpu or cuda.")] = None,
    head: Head = None,
    allow_code: AllowCode = False,
    workspace: Home = None,
    as_json: AsJson = False,
) -> None:
    """Put models side by side: input, each model, where they differ, and the truth, with scores where it is known."""
    from fullconv.files import write_atomically
    from fullconv.prediction.comparing import compare as run
    from fullconv.prediction.comparison_facts import facts_of, table_of
    from fullconv.prediction.comparison_figure import comparison_figure

    home = Workspace.find(workspace)
    with one_sentence():
        loaded = _loaded(models, home, device=device, head=head, allow_code=allow_code)
        subjects, truth, about = _subjects(images, dataset, split, keys, home)
        comparer, comparison = run(loaded, subjects, truth=truth)
        by_key = {subject.key: subject for subject in subjects}
        chosen = _chosen(comparison, subjects if keys or len(subjects) <= rows else None, rows, show, seed)
        pictures = [comparer.look(by_key[row.key]) for row in chosen]
        networks = [model.card.network.name for model in loaded.values()]
        figure = comparison_figure(
            pictures,
            comparison,
            networks=networks,
            view=view.value,
            opacity=opacity,
            caption=_caption(about, comparison, len(chosen), show, given=bool(keys)),
        )
        stream = io.BytesIO()
        figure.save(stream, "PNG", optimize=True)
        write_atomically(out / FIGURE, stream.getvalue())
        facts = facts_of(comparison, about, chosen)
        for entry, network in zip(facts["models"], networks, strict=True):
            entry["network"] = network
        write_atomically(out / SCORES, json.dumps(facts, ensure_ascii=False, allow_nan=False, indent=1) + "\n")
    for key, reason in comparison.failed:
        print(f"{key}: {reason}", file=sys.stderr)
    if as_json:
        print_json(facts)
        return
    console = Console()
    console.print(table_of(comparison))
    console.print(f"Picture: {(out / FIGURE).absolute()}", soft_wrap=True)


def _loaded(
    names: list[str], home: Workspace, *, device: str | None, head: str | None, allow_code: bool
) -> dict[str, Model]:
    """The models under names that tell them apart; a head is that of those that have several."""
    from fullconv.prediction.model import Model
    from fullconv.store.package import find_package, read_card

    if len(names) < 2:
        raise PlanError("comparing takes two models or more", where="MODEL", remedy="name another one")
    found: dict[str, Model] = {}
    for name in names:
        directory = find_package(name, home.models, home.runs)
        own = head if read_card(directory).network.heads else None
        shown = _shown_name(name, directory)
        number = 1
        while (distinct := shown if number == 1 else f"{shown} ({number})") in found:
            number += 1
        found[distinct] = Model.load(directory, workspace=home, device=device, allow_code=allow_code, head=own)
    return found


def _shown_name(given: str, directory: Path) -> str:
    """What a model is called: as it was named, or after its folder, which is its run's where it is called model."""
    if "/" not in given and "\\" not in given and given != "model":
        return given
    absolute = directory.absolute()
    return absolute.parent.name if absolute.name == "model" else absolute.name


def _subjects(
    images: list[Path] | None, dataset: str | None, split: str | None, keys: list[str] | None, home: Workspace
) -> tuple[list[Subject], ClassTable | None, dict[str, Any]]:
    """What to compare on, the classes of its truth, and what it is called."""
    from fullconv.cli.train import trainable
    from fullconv.data.dataset import Dataset
    from fullconv.prediction.comparing import dataset_subjects, file_subjects

    if bool(images) == bool(dataset):
        said = "both images and a dataset are given" if images else "there is nothing to compare on"
        raise PlanError(said, where="--images, --dataset", remedy="give one of them")
    if images:
        if keys or split:
            raise PlanError("belongs to a dataset", where="--keys" if keys else "--split", remedy="give --dataset")
        return file_subjects(images), None, {"images_from": [str(path) for path in images]}
    found = trainable(str(dataset), home)
    data = found if isinstance(found, Dataset) else Dataset.load(found, home)
    if split not in (None, "train", "val", "test"):
        raise DataError(f"no split is named {split!r}", where="--split", remedy="say train, val or test")
    chosen = split or (None if keys else "test" if len(data.test) else "val")
    part = data if chosen is None else data.split(chosen)
    return dataset_subjects(part, keys or ()), data.classes, {"dataset": data.name, "split": chosen}


def _chosen(comparison: Comparison, given: list[Subject] | None, rows: int, show: Shown, seed: int) -> list[ImageRow]:
    """Images of the picture: those that were named, or so few that all fit, in their order; else a choice."""
    if given is not None:
        return comparison.rows[:rows]
    return comparison.chosen(rows, show.value, seed=seed)


def _caption(about: dict[str, Any], comparison: Comparison, shown: int, show: Shown, *, given: bool) -> str:
    total = len(comparison.rows)
    where = f"{about['dataset']}, {about['split'] or 'chosen images'}" if "dataset" in about else "images"
    if shown == total or given:
        return f"{where}: {total} image{'s' if total != 1 else ''}."
    how = {"differing": "those on which the models differ most", "random": "chosen at random", "first": "the first"}
    return f"{where}: {shown} of {total} images, {how[show.value]}; scores are over all {total}."
