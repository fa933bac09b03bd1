"""`fullconv data`: look at images and labels, make datasets, list and show them."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich.console import Console

from fullconv.cli.console import AsJson, Home, one_sentence, print_json
from fullconv.cli.data_report import check_report, dataset_report, dataset_table
from fullconv.cli.folder_options import FolderOptions, takes_folder_options
from fullconv.data.dataset import Dataset
from fullconv.data.dataset_paths import dataset_names, default_name
from fullconv.data.description import FILE_NAME, DatasetDescription
from fullconv.data.examination import Examination
from fullconv.data.stored_index import keep_examined
from fullconv.errors import DataError, FullconvError
from fullconv.files import read_document
from fullconv.workspace import Workspace, checked_name

app = typer.Typer(no_args_is_help=True, help="Look at images and labels, make datasets of them, list and show them.")


@app.command()
@takes_folder_options
def check(
    *,
    strict: Annotated[bool, typer.Option("--strict", help="Warnings count as errors.")] = False,
    as_json: AsJson = False,
    folder: FolderOptions,
) -> None:
    """Look at every file once: format, pairs, problems, classes, splits, what a stride can reach. Writes nothing.

    Exit code 2 where an error was found.
    """
    with one_sentence():
        found = folder.examined()
    if as_json:
        print_json(_facts(found, name=default_name(folder.images)))
    else:
        Console().print(check_report(found))
    if found.errors or (strict and any(problem.severity == "warning" for problem in found.problems)):
        raise typer.Exit(2)


@app.command()
@takes_folder_options
def create(
    name: Annotated[str, typer.Argument(help="Name of the new dataset: letters, digits, dot, dash, underscore.")],
    *,
    workspace: Home = None,
    as_json: AsJson = False,
    folder: FolderOptions,
) -> None:
    """Make a dataset in the workspace. Images and labels stay where they are."""
    with one_sentence():
        home = Workspace.find(workspace)
        if home.dataset(checked_name(name)).exists():
            raise DataError(
                f"a dataset named {name!r} exists already",
                where=home.datasets,
                remedy="choose another name or remove it",
            )
        found = folder.examined()
        dataset = Dataset.from_examination(found, name=name)
        path = dataset.save(home)
        keep_examined(home, dataset, found)
    if as_json:
        print_json({"path": str(path), **_facts(found, name=name)})
    else:
        Console().print(dataset_report(dataset))
        Console().print(f"Written: {path}", soft_wrap=True)


@app.command("list")
def list_datasets(workspace: Home = None, as_json: AsJson = False) -> None:
    """The datasets in the workspace."""
    with one_sentence():
        home = Workspace.find(workspace)
        rows = [_row(name, home) for name in dataset_names(home)]
    if as_json:
        print_json(rows)
    elif rows:
        Console().print(dataset_table(rows))
    else:
        print(f"No datasets in {home.datasets}; fullconv data create makes one.")


@app.command()
def show(
    name: Annotated[str, typer.Argument(help="Name in the workspace, or a dataset.yaml.")],
    workspace: Home = None,
    as_json: AsJson = False,
) -> None:
    """Classes, splits and numbers of a dataset."""
    with one_sentence():
        home = Workspace.find(workspace)
        dataset = Dataset.load(name, home)
    if as_json:
        print_json(_dataset_facts(dataset))
    else:
        Console().print(dataset_report(dataset))


def _facts(found: Examination, *, name: str) -> dict[str, Any]:
    return {
        "name": name,
        "root": str(found.found.root),
        "label_format": found.found.format.model_dump(mode="json"),
        "class_source": found.found.class_source,
        "classes": found.classes.model_dump(mode="json"),
        "channels": found.channels,
        "dtype": found.dtype,
        "statistics": None if found.statistics is None else found.statistics.model_dump(mode="json"),
        "problems": [problem.model_dump(mode="json") for problem in found.problems],
    }


def _dataset_facts(dataset: Dataset) -> dict[str, Any]:
    return {
        "name": dataset.name,
        "root": str(dataset.root),
        "created": dataset.created,
        "label_format": dataset.format.model_dump(mode="json"),
        "class_source": dataset.class_source,
        "classes": dataset.classes.model_dump(mode="json"),
        "channels": dataset.channels,
        "dtype": dataset.dtype,
        "statistics": dataset.statistics.model_dump(mode="json"),
        "problems": [problem.model_dump(mode="json") for problem in dataset.problems],
        "fingerprint": dataset.fingerprint,
    }


def _row(name: str, home: Workspace) -> dict[str, Any]:
    try:
        description = read_document(home.dataset(name) / FILE_NAME, DatasetDescription)
        classes = description.edits.apply(description.table())
    except FullconvError as error:
        return {"name": name, "error": str(error)}
    splits = {split: counts.images for split, counts in description.statistics.splits.items()}
    return {
        "name": name,
        "images": description.statistics.images,
        "splits": splits,
        "classes": len(classes),
        "label_format": description.label_format.kind,
        "root": description.root,
        "created": description.created,
    }
