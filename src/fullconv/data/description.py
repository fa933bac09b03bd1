"""`dataset.yaml`: where images and labels lie, how to read them, classes, splits, statistics and checksums."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, model_validator

from fullconv.data.class_edits import ClassEdits
from fullconv.data.classes import ClassTable, SegmentationClass
from fullconv.data.inspection import Inspection, Unlabelled
from fullconv.data.labels import LabelFormat
from fullconv.data.problems import Problem
from fullconv.data.scan import Sample
from fullconv.data.splits import SPLITS
from fullconv.data.statistics import Statistics

if TYPE_CHECKING:
    from fullconv.data.dataset import Dataset

FILE_NAME = "dataset.yaml"

HEADER = """\
# A dataset of FullConv. Classes are changed by hand under `edits`, in this order; the label files stay as they are,
# and everything is counted again when the dataset is next opened.
#   keep: [void]                           ignored classes that count after all
#   remap: {'7': car, '#102030': ignore}   codes of the label files → a class, or ignore
#   rename: {car: vehicle}                 old name → new name
#   merge: {plant: [tree, hedge]}          classes that become one
#   drop: [sky]                            classes that are ignored
#   recolor: {car: '#dc143c'}              colours in pictures
"""


class SampleRecord(BaseModel):
    """One image with its label files.

    Args:
        key: unique name, without suffix.
        image, labels: paths, relative to the root of the dataset where they lie below it.
        size: (height, width) in pixels.
        checksum: of the contents of all its files.
        stamp: bytes and time of change; where it differs, the checksum is taken again.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    key: str = Field(min_length=1)
    split: Literal["train", "val", "test"]
    image: str = Field(min_length=1)
    labels: tuple[str, ...]
    size: tuple[int, int]
    checksum: str
    stamp: str

    @classmethod
    def of(cls, found: Inspection, split: str, root: Path) -> SampleRecord:
        """What is kept of an inspected sample."""
        if found.size is None or split not in SPLITS:
            raise ValueError(f"{found.sample.key} is not usable")
        return cls(
            key=found.sample.key,
            split=split,
            image=_relative(found.sample.image, root),
            labels=tuple(_relative(path, root) for path in found.sample.labels),
            size=found.size,
            checksum=found.checksum,
            stamp=found.stamp,
        )

    def sample(self, root: Path) -> Sample:
        """The sample with its paths below a root."""
        return Sample(
            key=self.key,
            image=root / self.image,
            labels=tuple(root / path for path in self.labels),
            split=self.split,
        )


class DatasetHead(BaseModel):
    """The content of `dataset.yaml` but for the images one by one.

    Args:
        format: version of this file format.
        root: folder that relative paths start from; itself relative to the folder of this file, or absolute.
        label_format: how label files are read.
        class_source: where names and colours came from.
        classes, ignored: as found on disk, before `edits`.
        edits: changes to the classes.
        unlabelled: what images without label mean.
        allow: kinds of errors that were let pass.
        channels: of the images, as networks see them.
        dtype: of the image values ("uint8", "uint16", "float32").
        counted: fingerprint of the state that `statistics` and `problems` belong to.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal[1] = 1
    name: str = Field(min_length=1)
    created: str
    root: str
    label_format: LabelFormat
    class_source: str
    classes: tuple[SegmentationClass, ...] = Field(min_length=1)
    ignored: tuple[SegmentationClass, ...] = ()
    edits: ClassEdits = ClassEdits()
    unlabelled: Unlabelled = "skip"
    allow: tuple[str, ...] = ()
    channels: int = Field(ge=1)
    dtype: str
    counted: str
    statistics: Statistics
    problems: tuple[Problem, ...] = ()

    def table(self) -> ClassTable:
        """The classes before edits."""
        return ClassTable(classes=self.classes, ignored=self.ignored)

    def edited(self) -> ClassTable:
        """The classes after all edits."""
        return self.edits.apply(self.table())


class DatasetDescription(DatasetHead):
    """The content of `dataset.yaml`.

    Args:
        samples: each with its files and its split.
    """

    samples: tuple[SampleRecord, ...] = Field(min_length=1)

    @classmethod
    def of(cls, dataset: Dataset, *, root: str) -> DatasetDescription:
        """What is written of a dataset; `root` as it shall stand there."""
        return cls(
            name=dataset.name,
            created=dataset.created,
            root=root,
            label_format=dataset.format,
            class_source=dataset.class_source,
            classes=dataset.unedited.classes,
            ignored=dataset.unedited.ignored,
            edits=dataset.edits,
            unlabelled=dataset.unlabelled,
            allow=dataset.allow,
            channels=dataset.channels,
            dtype=dataset.dtype,
            counted=dataset.fingerprint,
            statistics=dataset.statistics,
            problems=dataset.problems,
            samples=dataset.records,
        )

    @model_validator(mode="after")
    def _consistent(self) -> DatasetDescription:
        twice, times = Counter(record.key for record in self.samples).most_common(1)[0]
        if times > 1:
            raise ValueError(f"two samples have the key {twice!r}")
        self.table()
        return self

    def head(self) -> DatasetHead:
        """All but the images."""
        return DatasetHead(**{name: getattr(self, name) for name in DatasetHead.model_fields})


def description_text(description: DatasetDescription) -> str:
    """The text of `dataset.yaml`: short lists of numbers and names on one line."""
    content = description.model_dump(mode="json", exclude_none=True)
    return HEADER + str(yaml.dump(content, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120))


def document_of(dataset: Dataset, *, root: str) -> str:
    """The text of a dataset's `dataset.yaml`; `root` as it shall stand there."""
    return description_text(DatasetDescription.of(dataset, root=root))


class _Dumper(getattr(yaml, "CSafeDumper", yaml.SafeDumper)):  # type: ignore[misc]
    """Lists of scalars and empty mappings in one line, everything else in blocks."""


def _represent_list(dumper: yaml.SafeDumper, values: list[Any]) -> yaml.Node:
    short = not any(isinstance(value, (list, dict)) for value in values)
    return dumper.represent_sequence("tag:yaml.org,2002:seq", values, flow_style=short)


_Dumper.add_representer(list, _represent_list)


def _relative(path: Path, root: Path) -> str:
    return (path.relative_to(root) if path.is_relative_to(root) else path.absolute()).as_posix()
