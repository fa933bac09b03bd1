"""What a visitor says about folders of images and labels: the options of `fullconv data create` as one document."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from fullconv.data.class_edits import ClassEdits
from fullconv.data.examination import Examination, SplitPlan, examine
from fullconv.data.labels import Kind
from fullconv.data.scan import Scan

Text = Annotated[str, Field(min_length=1, max_length=200)]
PathText = Annotated[str, Field(min_length=1, max_length=4096)]
Split = Literal["train", "val", "test"]


class FolderRequest(BaseModel):
    """Folders of this machine, and how they are to be read.

    Args:
        images: one root with both, or the folder of images. labels: the folder (or JSON file) of labels, where it is
            another.
        classes: class file; looked for beside and above the labels if not given.
        format: of the labels; detected if not given.
        ignore: names of classes to ignore. keep: ignored ones that are classes after all.
        remap: code in the label files (id or `#rrggbb`) → class, or `ignore`.
        rename: old → new name. merge: new name → names. drop: names that are ignored from now on.
        recolor: name after these → `#rrggbb`.
        unlabelled: what images without label mean.
        split: percentages such as "70/15/15"; folders named train, val and test decide if not given.
        lists: split → text file with the names of its images.
        group_by: regular expression for what stays together in one split; "none" for nothing.
        seed: of the split.
        allow: kinds of errors that are let pass, leaving out what they concern.
    """

    model_config = ConfigDict(
        frozen=True, extra="forbid", json_schema_extra={"example": {"images": "/data/streets", "split": "70/15/15"}}
    )

    images: PathText
    labels: PathText | None = None
    classes: PathText | None = None
    format: Kind | None = None
    ignore: tuple[Text, ...] = Field(default=(), max_length=1000)
    keep: tuple[Text, ...] = Field(default=(), max_length=1000)
    remap: dict[Text, Text] = Field(default={}, max_length=1000)
    rename: dict[Text, Text] = Field(default={}, max_length=1000)
    merge: dict[Text, tuple[Text, ...]] = Field(default={}, max_length=1000)
    drop: tuple[Text, ...] = Field(default=(), max_length=1000)
    recolor: dict[Text, Text] = Field(default={}, max_length=1000)
    unlabelled: Literal["skip", "background", "ignore"] = "skip"
    split: str | None = Field(default=None, max_length=40)
    lists: dict[Split, PathText] = Field(default={}, max_length=3)
    group_by: str | None = Field(default=None, min_length=1, max_length=200)
    seed: int = Field(default=0, ge=0, le=2**31 - 1)
    allow: tuple[Text, ...] = Field(default=(), max_length=40)

    @property
    def edits(self) -> ClassEdits:
        """Changes to the classes found on disk."""
        return ClassEdits(**{name: getattr(self, name) for name in ClassEdits.model_fields})

    @property
    def plan(self) -> SplitPlan:
        """How images are shared out.

        Raises:
            DataError: the shares do not add up.
        """
        shares = self.split or SplitPlan.shares
        return SplitPlan(shares, self.group_by, self.seed, forced=self.split is not None)

    def examined(self, *, scanned: Callable[[Scan], None] | None = None) -> Examination:
        """Look at everything in the folders once.

        Args:
            scanned: told what lies there before every file is checked.

        Raises:
            DataError: there is nothing to work with, or an option does not fit.
        """
        return examine(
            Path(self.images),
            None if self.labels is None else Path(self.labels),
            classes=None if self.classes is None else Path(self.classes),
            format=self.format,
            ignore=self.ignore,
            edits=self.edits,
            unlabelled=self.unlabelled,
            lists={split: Path(path) for split, path in self.lists.items()},
            plan=self.plan,
            allow=self.allow,
            scanned=scanned,
        )

    def same_files(self, other: FolderRequest) -> bool:
        """Whether another request reads the same pixels, and differs in names, colours, merged classes or splits."""
        later: dict[str, object] = {
            "rename": {},
            "merge": {},
            "drop": (),
            "recolor": {},
            "split": None,
            "group_by": None,
            "seed": 0,
        }
        return self.model_copy(update=later) == other.model_copy(update=later)
