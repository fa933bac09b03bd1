"""A dataset: images and labels on disk, checked, counted and split."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from fullconv.data.class_edits import ClassEdits
from fullconv.data.classes import ClassTable
from fullconv.data.dataset_paths import dataset_names, default_name, description_path
from fullconv.data.description import FILE_NAME, DatasetDescription, SampleRecord, document_of
from fullconv.data.examination import COLOR_FORMATS, Examination, SplitPlan, examine
from fullconv.data.inspection import SampleDecoder, Unlabelled, checksum_of, stamp_of
from fullconv.data.labels import LabelFormat
from fullconv.data.problems import Problem, refuse_errors
from fullconv.data.reexamination import examine_again
from fullconv.data.scan import Sample
from fullconv.data.statistics import Statistics
from fullconv.errors import DataError, StorageError
from fullconv.files import read_document, staged_directory, write_atomically
from fullconv.workspace import Workspace

__all__ = ["Dataset", "dataset_names", "default_name", "description_path"]

_UNKNOWN_ALLOWED = frozenset({"unknown-class-code", "blurred-label"})


@dataclass(frozen=True, eq=False)
class Dataset:
    """Images with labels, ready to be learned from; `train`, `val` and `test` are datasets of their own.

    Made by `from_folders` or `load`. Iterating gives `Sample`s (key and paths), indexing gives arrays.

    >>> import tempfile
    >>> from PIL import Image
    >>> root = Path(tempfile.mkdtemp())
    >>> for folder in ("images", "labels"):
    ...     (root / folder).mkdir()
    >>> for number in range(8):
    ...     Image.new("RGB", (6, 4), (number, 0, 0)).save(root / "images" / f"{number}.png")
    ...     label = np.zeros((4, 6), dtype=np.uint8)
    ...     label[2:] = 1
    ...     Image.fromarray(label).save(root / "labels" / f"{number}.png")
    >>> dataset = Dataset.from_folders(root)
    >>> len(dataset), len(dataset.train), dataset.channels
    (8, 6, 3)
    >>> image, label = dataset[0]
    >>> image.shape, label.shape, label.dtype
    ((4, 6, 3), (4, 6), dtype('uint8'))

    Args:
        name: of the dataset.
        root: the folder it was made from.
        samples: each with a split.
        records: what is kept of each sample: size, checksum.
        format: how label files are read.
        classes: after all edits.
        channels: of the images; dtype: of their values.
        statistics: of the whole dataset, also for a split of it.
        problems: warnings and notes, worst first.
    """

    name: str
    root: Path
    samples: tuple[Sample, ...]
    records: tuple[SampleRecord, ...]
    format: LabelFormat
    classes: ClassTable
    class_source: str
    edits: ClassEdits
    unedited: ClassTable
    unlabelled: Unlabelled
    allow: tuple[str, ...]
    channels: int
    dtype: str
    created: str
    statistics: Statistics
    problems: tuple[Problem, ...]

    @classmethod
    def from_folders(
        cls,
        images: str | Path,
        labels: str | Path | None = None,
        *,
        name: str | None = None,
        classes: str | Path | None = None,
        format: str | None = None,
        ignore: Sequence[str] = (),
        keep: Sequence[str] = (),
        remap: Mapping[str, str] | None = None,
        rename: Mapping[str, str] | None = None,
        merge: Mapping[str, Sequence[str]] | None = None,
        drop: Sequence[str] = (),
        recolor: Mapping[str, str] | None = None,
        unlabelled: Unlabelled = "skip",
        split: str | None = None,
        lists: Mapping[str, str | Path] | None = None,
        group_by: str | None = None,
        seed: int = 0,
        allow: Sequence[str] = (),
    ) -> Dataset:
        """Find images and labels, check and count all of them.

        Args:
            images: one root with both, or the folder of images.
            labels: the folder of labels, where it is another.
            name: of the dataset; the folder's name if not given.
            classes: class file; looked for beside and above the labels if not given.
            format: label format; detected if not given.
            ignore: names of classes to ignore. keep: ignored ones that are classes after all.
            remap: code in the label files (id or `#rrggbb`) → class, or `ignore`.
            rename: old → new name. merge: new name → names. drop: names that are ignored from now on.
            recolor: name → colour as `#rrggbb`, for pictures.
            unlabelled: what images without label mean: "skip", "background" or "ignore".
            split: percentages such as "70/15/15" or "80/20"; folders named train, val and test decide if not given.
            lists: split name → text file with the names of its images.
            group_by: regular expression for what stays together in one split; "none" for nothing.
            seed: of the split.
            allow: kinds of errors that are let pass, leaving out what they concern (see `problems.ALLOWABLE`).

        Raises:
            DataError: nothing to work with, or an error was found; the sentence names the worst.
        """
        edits = ClassEdits(
            keep=tuple(keep),
            remap=dict(remap or {}),
            rename=dict(rename or {}),
            merge={new: tuple(names) for new, names in (merge or {}).items()},
            drop=tuple(drop),
            recolor=dict(recolor or {}),
        )
        examination = examine(
            Path(images),
            None if labels is None else Path(labels),
            classes=None if classes is None else Path(classes),
            format=format,
            ignore=ignore,
            edits=edits,
            unlabelled=unlabelled,
            lists={key: Path(path) for key, path in (lists or {}).items()},
            plan=SplitPlan(split or SplitPlan.shares, group_by, seed, forced=split is not None),
            allow=allow,
        )
        return cls.from_examination(examination, name=name or default_name(Path(images)))

    @classmethod
    def from_examination(cls, examination: Examination, *, name: str) -> Dataset:
        """The dataset that was examined.

        Raises:
            DataError: the examination found an error; the sentence names the worst and how many there are.
        """
        refuse_errors(examination.problems, examination.found.root)
        if examination.statistics is None:
            raise DataError("no usable image", where=examination.found.root, remedy="run fullconv data check")
        found = examination.found
        records = tuple(
            SampleRecord.of(inspection, split, found.root)
            for inspection, split in zip(examination.inspections, examination.splits, strict=True)
        )
        return cls(
            name=name,
            root=found.root,
            samples=tuple(record.sample(found.root) for record in records),
            records=records,
            format=found.format,
            classes=examination.classes,
            class_source=found.class_source,
            edits=examination.edits,
            unedited=found.classes,
            unlabelled=examination.unlabelled,
            allow=examination.allow,
            channels=examination.channels,
            dtype=examination.dtype,
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            statistics=examination.statistics,
            problems=examination.problems,
        )

    @classmethod
    def load(cls, where: str | Path, workspace: Workspace | None = None) -> Dataset:
        """Open a dataset: a `dataset.yaml`, the folder that holds it, or a name in the workspace.

        Files or classes that changed since it was last counted are checked and counted again.

        Raises:
            DataError: no such dataset, a wrong field, files that are gone, or a change that broke it.
        """
        path = description_path(where, workspace or Workspace.find())
        return cls._opened(read_document(path, DatasetDescription), path)

    @classmethod
    def change_classes(cls, where: str | Path, edits: ClassEdits, workspace: Workspace | None = None) -> Dataset:
        """Give a dataset on disk other classes; the label files stay as they are.

        Everything is counted again, but for a change of colours alone. Nothing is written where that fails.

        Args:
            where: as for `load`.
            edits: in place of those that it has.

        Raises:
            DataError: as for `load`, a name that the dataset does not have, or classes that leave nothing to learn.
            StorageError: `dataset.yaml` cannot be written.
        """
        path = description_path(where, workspace or Workspace.find())
        description = read_document(path, DatasetDescription).model_copy(update={"edits": edits})
        changed = cls._opened(description, path, write=False)
        write_atomically(path, document_of(changed, root=description.root))
        return changed

    @classmethod
    def _opened(cls, description: DatasetDescription, path: Path, *, write: bool = True) -> Dataset:
        """What a description says, with what changed since counted again, and written where it is not as it was."""
        root = Path(os.path.normpath(path.parent.absolute() / description.root))
        samples = tuple(record.sample(root) for record in description.samples)
        stamps = [stamp_of(sample) for sample in samples]
        gone = [sample for sample, stamp in zip(samples, stamps, strict=True) if not stamp]
        if gone:
            missing = next(file for file in (gone[0].image, *gone[0].labels) if not file.is_file())
            raise DataError(
                f"{len(gone)} of {len(samples)} images or their labels are gone, such as {missing}",
                where=path,
                remedy="put them back, correct `root`, or create the dataset anew",
            )
        records = tuple(
            record
            if stamp == record.stamp
            else record.model_copy(update={"checksum": checksum_of(sample)[0], "stamp": stamp})
            for record, sample, stamp in zip(description.samples, samples, stamps, strict=True)
        )
        unedited = description.table()
        try:
            description.edits.remapped_codes(colors=description.label_format.kind in COLOR_FORMATS)
            table = description.edits.apply(unedited)
        except DataError as error:
            raise DataError(error.problem, where=f"{path}, edits", remedy=error.remedy) from error
        dataset = cls(
            name=description.name,
            root=root,
            samples=samples,
            records=records,
            format=description.label_format,
            classes=table,
            class_source=description.class_source,
            edits=description.edits,
            unedited=unedited,
            unlabelled=description.unlabelled,
            allow=description.allow,
            channels=description.channels,
            dtype=description.dtype,
            created=description.created,
            statistics=description.statistics,
            problems=description.problems,
        )
        if dataset.fingerprint != description.counted:
            dataset = dataset._counted_again()
        if write and (dataset.fingerprint != description.counted or records != description.samples):
            # A dataset on a read-only disk is used all the same.
            with suppress(StorageError):
                write_atomically(path, document_of(dataset, root=description.root))
        return dataset

    def save(self, workspace: Workspace | None = None) -> Path:
        """Write `datasets/<name>/dataset.yaml`, whole or not at all.

        Returns:
            The path of dataset.yaml.

        Raises:
            StorageError: the name is taken, the disk full or the workspace not writable.
        """
        folder = (workspace or Workspace.find()).dataset(self.name)
        with staged_directory(folder) as partial:
            write_atomically(partial / FILE_NAME, document_of(self, root=str(self.root)))
        return folder / FILE_NAME

    @property
    def train(self) -> Dataset:
        """The training images."""
        return self.split("train")

    @property
    def val(self) -> Dataset:
        """The validation images."""
        return self.split("val")

    @property
    def test(self) -> Dataset:
        """The test images."""
        return self.split("test")

    def split(self, name: str) -> Dataset:
        """The images of one split; classes, format and statistics stay."""
        return self.subset([sample for sample in self.samples if sample.split == name])

    def subset(self, samples: Sequence[Sample]) -> Dataset:
        """Some of its samples, in the order given."""
        by_key = {record.key: record for record in self.records}
        records = tuple(by_key[sample.key] for sample in samples)
        return replace(self, samples=tuple(samples), records=records)

    def __len__(self) -> int:
        return len(self.samples)

    def __iter__(self) -> Iterator[Sample]:
        return iter(self.samples)

    def __getitem__(self, index: int) -> tuple[npt.NDArray[Any], npt.NDArray[np.unsignedinteger]]:
        return self.read(index)

    def read(self, index: int) -> tuple[npt.NDArray[Any], npt.NDArray[np.unsignedinteger]]:
        """Image (H, W, C) and label (H, W) of one sample; pixels that are not a number are 0 and ignored."""
        return self._decoder.read(self.samples[index])

    def read_image(self, sample: Sample) -> npt.NDArray[Any]:
        """(H, W, C) in the values of the file as `dtype`, C = `channels`; what is not a number is 0."""
        return self._decoder.image(sample)

    def read_label(self, sample: Sample) -> npt.NDArray[np.unsignedinteger]:
        """(H, W) class indices from 0, `classes.ignore_index` where ignored, in `classes.label_dtype`."""
        return self._decoder.label(sample)

    @property
    def sizes(self) -> tuple[tuple[int, int], ...]:
        """(height, width) of every sample, without opening a file."""
        return tuple(record.size for record in self.records)

    @cached_property
    def fingerprint(self) -> str:
        """Hash over classes, label format and the contents of all files: equal only for equal samples.

        Colours that were changed for pictures do not count.
        """
        state = hashlib.sha256()
        classes = self.edits.without_colors.apply(self.unedited) if self.edits.recolor else self.classes
        for part in (classes.model_dump_json(), self.format.model_dump_json(exclude={"explanation"})):
            state.update(part.encode())
        state.update(f"{self.unlabelled} {self._unknown} {self.channels}".encode())
        state.update(b"" if self.dtype == "uint8" else self.dtype.encode())
        state.update(f"{self._decoder.background}".encode() if self.unlabelled == "background" else b"")
        for record in self.records:
            state.update(f"\n{record.key} {record.split} {record.checksum}".encode())
        return state.hexdigest()[:32]

    @property
    def _unknown(self) -> Any:
        return "ignore" if _UNKNOWN_ALLOWED & set(self.allow) else "error"

    @cached_property
    def _decoder(self) -> SampleDecoder:
        return SampleDecoder.of(
            self.format,
            self.classes,
            unedited=self.unedited,
            unlabelled=self.unlabelled,
            unknown=self._unknown,
            channels=self.channels,
            dtype=self.dtype,
        )

    def _counted_again(self) -> Dataset:
        again = examine_again(
            self.root,
            self.samples,
            self.format,
            self.classes,
            unedited=self.unedited,
            unlabelled=self.unlabelled,
            allow=self.allow,
            before=self.problems,
        )
        refuse_errors(again.problems, self.root)
        if again.statistics is None:
            raise DataError("no usable image", where=self.root, remedy="create the dataset anew")
        records = tuple(
            SampleRecord.of(inspection, split, self.root)
            for inspection, split in zip(again.inspections, again.splits, strict=True)
        )
        return replace(
            self,
            samples=tuple(record.sample(self.root) for record in records),
            records=records,
            statistics=again.statistics,
            problems=again.problems,
            channels=again.channels,
            dtype=again.dtype,
        )
