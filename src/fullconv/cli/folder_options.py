"""The options that say how a folder of images and labels is to be read, the same for every command that reads one."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from fullconv.cli.option_groups import takes
from fullconv.data.class_edits import ClassEdits, parse_pairs
from fullconv.data.examination import Examination, SplitPlan, examine
from fullconv.data.labels import KINDS


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
Recolor = Annotated[list[str], _repeatable("--recolor", "NAME=#RRGGBB", "Colour of a class in pictures.")]
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


@dataclass(frozen=True, kw_only=True)
class FolderOptions:
    """What a person may say about a folder; see the help texts above."""

    images: Images
    labels: Labels = None
    classes: Classes = None
    format: Format = None
    ignore: Ignore
    keep: Keep
    remap: Remap
    rename: Rename
    merge: Merge
    drop: Drop
    recolor: Recolor
    unlabelled: UnlabelledOption = Unlabelled.skip
    split: Split = None
    lists: Lists
    group_by: GroupBy = None
    seed: Seed = 0
    allow: Allow

    def examined(self) -> Examination:
        """Look at the folder as told.

        Raises:
            DataError: there is nothing to work with, or an option cannot be understood.
        """
        edits = ClassEdits(
            keep=tuple(self.keep),
            remap=parse_pairs(self.remap, option="--remap"),
            rename=parse_pairs(self.rename, option="--rename"),
            merge={
                new: tuple(name.strip() for name in names.split(",") if name.strip())
                for new, names in parse_pairs(self.merge, option="--merge").items()
            },
            drop=tuple(self.drop),
            recolor=parse_pairs(self.recolor, option="--recolor"),
        )
        return examine(
            self.images,
            self.labels,
            classes=self.classes,
            format=self.format,
            ignore=self.ignore,
            edits=edits,
            unlabelled=self.unlabelled.value,
            lists={key: Path(path) for key, path in parse_pairs(self.lists, option="--list").items()},
            plan=SplitPlan(self.split or SplitPlan.shares, self.group_by, self.seed, forced=self.split is not None),
            allow=self.allow,
        )


takes_folder_options = takes(FolderOptions, "folder")
"""Gives a command with the parameter `folder: FolderOptions` those options."""
