"""`fullconv data`: look at images and labels, make datasets, list and show them."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from fullconv.cli.console import AsJson, Home, one_sentence, print_json
from fullconv.cli.data_report import check_report, dataset_report, dataset_table
from fullconv.data.class_edits import ClassEdits, parse_pairs
from fullconv.data.dataset import Dataset
from fullconv.data.dataset_paths import dataset_names, default_name
from fullconv.data.description import FILE_NAME, DatasetDescription
from fullconv.data.examination import Examination, SplitPlan, examine
from fullconv.data.labels import KINDS
from fullconv.errors import DataError, FullconvError
from fullconv.files import read_document
from fullconv.workspace import Workspace, checked_name

app = typer.Typer(no_args_is_help=True, help="Look at images and labels, make datasets of them, list and show them.")


class Unlabelled(StrEnum):
    """What an image without label means."""

    skip = "skip"
    background = "background"
    ignore = "ignore"


def _repeatable(name: str, metavar: str, help: str) -> Any:
    return typer.Option(name, metavar=metavar, help=f"{help} Repeatable.", default_factory=list, show_default=False)


Images = Annotated[Path, typer.Argument(metavar="IMAGES", help="One folder with everything, or the folder of images.")]
Labels = Annotated[
    Path | None, typer.Argument(metavar="LABELS", help="The folder (or JSON file) of labels, where it is another.")
]
Classes = Annotated[
    Path | None,
    typer.Option("--classes", metavar="FILE", help="Names, ids, colours. Looked for beside and above the labels."),
]
Format = Annotated[
    str | None,
    typer.Option("--format", metavar="KIND", help=f"Label format: {', '.join(KINDS)}. Detected if not given."),
]
Ignore = Annotated[list[str], _repeatable("--ignore", "NAME", "Class of the files to ignore, by name, id or #rrggbb.")]
Keep = Annotated[list[str], _repeatable("--keep", "NAME", "Ignored class (void, unknown …) that counts after all.")]
Remap = Annotated[
    list[str], _repeatable("--remap", "CODE=CLASS", "Id or #rrggbb of the files that becomes a class, or ignore.")
]
Rename = Annotated[list[str], _repeatable("--rename", "OLD=NEW", "New name of a class.")]
Merge = Annotated[list[str], _repeatable("--merge", "NEW=A,B", "Classes that become one.")]
Drop = Annotated[list[str], _repeatable("--drop", "NAME", "Class that is ignored, after renaming and merging.")]
UnlabelledOption = Annotated[Unlabelled, typer.Option("--unlabelled", help="What an image without label means.")]
Split = Annotated[
    str | None,
    typer.Option(
        "--split",
        metavar="SHARES",
        help="Percentages for training, validation, test. Folders of these names decide if not given, else 70/15/15.",
    ),
]
Lists = Annotated[list[str], _repeatable("--list", "SPLIT=FILE", "Text file with the image names of a split.")]
GroupBy = Annotated[
    str | None,
    typer.Option(
        "--group-by",
        metavar="REGEX",
        help="Images in whose name it finds the same stay in one split; none for no groups at all.",
    ),
]
Seed = Annotated[int, typer.Option("--seed", metavar="NUMBER", help="Of the random split.")]
Allow = Annotated[
    list[str],
    _repeatable("--allow", "KIND", "Kind of error, such as size-mismatch, to let pass, leaving out what it concerns."),
]


@app.command()
def check(
    images: Images,
    labels: Labels = None,
    *,
    classes: Classes = None,
    format: Format = None,
    ignore: Ignore,
    keep: Keep,
    remap: Remap,
    rename: Rename,
    merge: Merge,
    drop: Drop,
    unlabelled: UnlabelledOption = Unlabelled.skip,
    split: Split = None,
    lists: Lists,
    group_by: GroupBy = None,
    seed: Seed = 0,
    allow: Allow,
    strict: Annotated[bool, typer.Option("--strict", help="Warnings count as errors.")] = False,
    as_json: AsJson = False,
) -> None:
    """Look at every file once: format, pairs, problems, classes, splits, what a stride can reach. Writes nothing.

    Exit code 2 where an error was found.
    """
    with one_sentence():
        found = _examined(
            images, labels, classes, format, ignore, keep, remap, rename, merge, drop,
            unlabelled, split, lists, group_by, seed, allow,
        )  # fmt: skip
    if as_json:
        print_json(_facts(found, name=default_name(images)))
    else:
        Console().print(check_report(found))
    if found.errors or (strict and any(problem.severity == "warning" for problem in found.problems)):
        raise typer.Exit(2)


@app.command()
def create(
    name: Annotated[str, typer.Argument(help="Name of the new dataset: letters, digits, dot, dash, underscore.")],
    images: Images,
    labels: Labels = None,
    *,
    classes: Classes = None,
    format: Format = None,
    ignore: Ignore,
    keep: Keep,
    remap: Remap,
    rename: Rename,
    merge: Merge,
    drop: Drop,
    unlabelled: UnlabelledOption = Unlabelled.skip,
    split: Split = None,
    lists: Lists,
    group_by: GroupBy = None,
    seed: Seed = 0,
    allow: Allow,
    workspace: Home = None,
    as_json: AsJson = False,
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
        found = _examined(
            images, labels, classes, format, ignore, keep, remap, rename, merge, drop,
            unlabelled, split, lists, group_by, seed, allow,
        )  # fmt: skip
        dataset = Dataset.from_examination(found, name=name)
        path = dataset.save(home)
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


def _examined(
    images: Path,
    labels: Path | None,
    classes: Path | None,
    format: str | None,
    ignore: list[str],
    keep: list[str],
    remap: list[str],
    rename: list[str],
    merge: list[str],
    drop: list[str],
    unlabelled: Unlabelled,
    split: str | None,
    lists: list[str],
    group_by: str | None,
    seed: int,
    allow: list[str],
) -> Examination:
    edits = ClassEdits(
        keep=tuple(keep),
        remap=parse_pairs(remap, option="--remap"),
        rename=parse_pairs(rename, option="--rename"),
        merge={
            new: tuple(name.strip() for name in names.split(",") if name.strip())
            for new, names in parse_pairs(merge, option="--merge").items()
        },
        drop=tuple(drop),
    )
    return examine(
        images,
        labels,
        classes=classes,
        format=format,
        ignore=ignore,
        edits=edits,
        unlabelled=unlabelled.value,
        lists={key: Path(path) for key, path in parse_pairs(lists, option="--list").items()},
        plan=SplitPlan(split or SplitPlan.shares, group_by, seed, forced=split is not None),
        allow=allow,
    )


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
