"""Several models on the same images: their label maps under one order of classes, scores, and where they differ."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from fullconv.data.classes import ClassTable
from fullconv.data.dataset import Dataset
from fullconv.data.differences import alike
from fullconv.data.images import read_image
from fullconv.data.joint_classes import JointClasses
from fullconv.errors import DataError, PlanError
from fullconv.evaluation.counting import count_confusion
from fullconv.evaluation.scores import Scores
from fullconv.prediction.folder import find_images
from fullconv.prediction.model import Model
from fullconv.progress import track

Order = Literal["differing", "random", "first"]
Pixels = npt.NDArray[Any]
Labels = npt.NDArray[np.unsignedinteger]
Counts = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Subject:
    """An image to compare models on.

    Args:
        key: what it is called.
        read: gives (H, W, C) pixels and (H, W) true class indices of the dataset, or None where there is no truth.
    """

    key: str
    read: Callable[[], tuple[Pixels, Labels | None]]


@dataclass(frozen=True, eq=False)
class ComparedImage:
    """What several models say of one image.

    Args:
        key: of the image. image: (H, W, C) pixels.
        maps: (H, W) class indices of each model, under the joint order.
        truth: the same of the truth, `ignore` where undefined; None where there is none.
        confusions: (classes, classes) counts of each model, row = truth; empty without truth.
        predicted: (models, classes) pixels that each model gave each class, where they count.
        differing: (models, models) pixels on which two models differ. split: pixels on which not all say the same.
        pixels: that count: all, or those whose truth is defined.
    """

    key: str
    image: Pixels
    maps: tuple[Labels, ...]
    truth: Labels | None
    confusions: tuple[Counts, ...]
    predicted: Counts
    differing: Counts
    split: int
    pixels: int

    @property
    def disagreement(self) -> float:
        """Share of the pixels on which not all models say the same."""
        return self.split / self.pixels if self.pixels else 0.0


@dataclass(frozen=True)
class ImageRow:
    """One image in numbers.

    Args:
        key: of the image. disagreement: share of its pixels on which not all models say the same.
        pixel_accuracy, mean_iou: of each model; empty without truth, NaN where nothing is defined.
    """

    key: str
    disagreement: float
    pixel_accuracy: tuple[float, ...] = ()
    mean_iou: tuple[float, ...] = ()


@dataclass
class Comparer:
    """Lets models label images, and brings their classes under one order: the truth's, else the first model's.

    Args:
        models: name → model, two or more. truth: classes of the truth, if there is one.
        label: how a model labels pixels.

    Raises:
        PlanError: fewer than two models.
    """

    models: Mapping[str, Model]
    truth: ClassTable | None = None
    label: Callable[[Model, Pixels], Labels] = Model.label
    classes: JointClasses = field(init=False)

    def __post_init__(self) -> None:
        if len(self.models) < 2:
            raise PlanError("comparing takes two models or more", where="models", remedy="name another one")
        tables = [model.classes for model in self.models.values()]
        self.classes = JointClasses.of(tables if self.truth is None else [self.truth, *tables])

    def look(self, subject: Subject) -> ComparedImage:
        """What all models say of an image.

        Raises:
            DataError: it cannot be read, or has other bands or another dtype than a model needs.
        """
        image, truth = subject.read()
        return self.seen(subject.key, image, truth, self.maps_of(subject.key, image))

    def maps_of(self, key: str, image: Pixels) -> tuple[Labels, ...]:
        """(H, W) class indices of each model, under the joint order."""
        first = 0 if self.truth is None else 1
        return tuple(
            self.classes.labels(self.label(model, model.checked(image, where=key)), of=place)
            for place, model in enumerate(self.models.values(), first)
        )

    def seen(self, key: str, image: Pixels, truth: Labels | None, maps: tuple[Labels, ...]) -> ComparedImage:
        """The same from maps that are known.

        Args:
            truth: in the truth's own indices.
        """
        count, ignore = len(self.classes.table), self.classes.table.ignore_index
        known = None if truth is None else self.classes.labels(truth, of=0)
        where = np.ones(maps[0].shape, dtype=bool) if known is None else known != ignore
        differing = np.zeros((len(maps), len(maps)), dtype=np.int64)
        for row, first in enumerate(maps):
            for column, second in enumerate(maps[:row]):
                differing[row, column] = differing[column, row] = np.count_nonzero((first != second) & where)
        return ComparedImage(
            key=key,
            image=image,
            maps=maps,
            truth=known,
            confusions=() if known is None else tuple(count_confusion(known, one, count, ignore) for one in maps),
            predicted=np.stack([np.bincount(labels[where], minlength=count) for labels in maps]).astype(np.int64),
            differing=differing,
            split=int(np.count_nonzero(~alike(maps) & where)),
            pixels=int(np.count_nonzero(where)),
        )


@dataclass
class Comparison:
    """What came out over all images; `add` takes one more.

    Args:
        names: of the models.
        classes: of all models and the truth.
        with_truth: whether there are scores.
        rows: the images, in the order in which they came.
        failed: (key, why) of images that could not be used.
        confusions: (models, classes, classes) counts. predicted: (models, classes) pixels.
        differing: (models, models) pixels on which two models differ. split: on which not all say the same.
        pixels: that count.
    """

    names: tuple[str, ...]
    classes: JointClasses
    with_truth: bool
    rows: list[ImageRow] = field(default_factory=list)
    failed: list[tuple[str, str]] = field(default_factory=list)
    confusions: Counts = field(init=False)
    predicted: Counts = field(init=False)
    differing: Counts = field(init=False)
    split: int = 0
    pixels: int = 0

    def __post_init__(self) -> None:
        models, count = len(self.names), len(self.classes.table)
        self.confusions = np.zeros((models, count, count), dtype=np.int64)
        self.predicted = np.zeros((models, count), dtype=np.int64)
        self.differing = np.zeros((models, models), dtype=np.int64)

    def add(self, seen: ComparedImage) -> ImageRow:
        """Count one more image."""
        scores = [Scores.from_confusion(counts, self.classes.table.names) for counts in seen.confusions]
        row = ImageRow(
            key=seen.key,
            disagreement=seen.disagreement,
            pixel_accuracy=tuple(score.pixel_accuracy for score in scores),
            mean_iou=tuple(score.mean_iou for score in scores),
        )
        for place, counts in enumerate(seen.confusions):
            self.confusions[place] += counts
        self.predicted += seen.predicted
        self.differing += seen.differing
        self.split += seen.split
        self.pixels += seen.pixels
        self.rows.append(row)
        return row

    @property
    def scores(self) -> tuple[Scores, ...]:
        """Of each model, from one confusion matrix over all images; empty without truth.

        A class that the truth does not have never occurs: it counts as 0 in the mean of a model that predicts it.
        """
        if not self.with_truth:
            return ()
        return tuple(Scores.from_confusion(counts, self.classes.table.names) for counts in self.confusions)

    @property
    def shares(self) -> npt.NDArray[np.float64]:
        """(models, classes) share of the pixels that each model gives each class."""
        return np.asarray(self.predicted / max(1, self.pixels))

    @property
    def disagreement(self) -> float:
        """Share of all pixels on which not all models say the same."""
        return self.split / self.pixels if self.pixels else 0.0

    def between(self, first: int, second: int) -> float:
        """Share of all pixels on which two models differ."""
        return int(self.differing[first, second]) / self.pixels if self.pixels else 0.0

    @property
    def lacking(self) -> dict[str, tuple[str, ...]]:
        """Class that not all have → who lacks it: names of models, and "truth"."""
        owners = ("truth", *self.names) if self.with_truth else self.names
        return {
            name: tuple(owner for place, owner in enumerate(owners) if place not in having)
            for name, having in self.classes.partial.items()
        }

    def chosen(self, count: int, order: Order = "differing", *, seed: int = 0) -> list[ImageRow]:
        """Some of the images: those on which the models differ most, any, or the first."""
        if order == "differing":
            return sorted(self.rows, key=lambda row: (-row.disagreement, row.key))[:count]
        if order == "random":
            places = np.random.default_rng(seed).permutation(len(self.rows))[:count]
            return [self.rows[place] for place in sorted(places.tolist())]
        return self.rows[:count]


def compare(
    models: Mapping[str, Model], subjects: Sequence[Subject], *, truth: ClassTable | None = None
) -> tuple[Comparer, Comparison]:
    """Let two or more models label the same images.

    An image that cannot be used is listed in `failed` and does not stop the others.

    Args:
        models: name → model.
        subjects: the images; `dataset_subjects` and `file_subjects` make them.
        truth: classes of their truth, where they have one.

    Returns:
        What looks at single images, for pictures, and the numbers over all of them.

    Raises:
        PlanError: fewer than two models.
        DataError: no image could be used.
    """
    comparer = Comparer(models, truth)
    comparison = Comparison(tuple(models), comparer.classes, truth is not None)
    first: DataError | None = None
    for subject in track(subjects, "comparing"):
        try:
            seen = comparer.look(subject)
        except DataError as problem:
            first = first or problem
            comparison.failed.append((subject.key, problem.problem))
            continue
        comparison.add(seen)
    if not comparison.rows:
        raise first or DataError("there are no images to compare on", remedy="choose others")
    return comparer, comparison


def dataset_subjects(dataset: Dataset, keys: Sequence[str] = ()) -> list[Subject]:
    """Images of a dataset with their truth: all, or those with these keys, in the order given.

    Args:
        keys: as the dataset has them, such as "test/0001TP_008550", or their last part where only one has it.

    Raises:
        DataError: there is no image, or none of that name.
    """
    places = range(len(dataset)) if not keys else [_place(dataset, key) for key in keys]
    if not len(places):
        raise DataError("there are no images to compare on", where=dataset.name, remedy="choose another split")

    def subject(place: int) -> Subject:
        return Subject(dataset.samples[place].key, lambda: dataset.read(place))

    return [subject(place) for place in places]


def file_subjects(sources: Sequence[Path]) -> list[Subject]:
    """Image files, and those in folders, without truth.

    Raises:
        DataError: a source is missing, or there is no image at all.
    """

    def subject(path: Path, name: Path) -> Subject:
        return Subject(name.as_posix(), lambda: (read_image(path), None))

    return [subject(path, name) for path, name in find_images(sources)]


def _place(dataset: Dataset, key: str) -> int:
    exact = [place for place, sample in enumerate(dataset.samples) if sample.key == key]
    alike = exact or [place for place, sample in enumerate(dataset.samples) if sample.key.rpartition("/")[2] == key]
    if len(alike) != 1:
        problem = f"has no image {key!r}" if not alike else f"has {len(alike)} images {key!r}"
        raise DataError(problem, where=dataset.name, remedy="name it without suffix, with its split, such as test/0001")
    return alike[0]
