"""The images of a dataset: found, sorted, page by page, and drawn."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field

from fullconv.data.splits import SPLITS
from fullconv.errors import DataError
from fullconv.workbench.drawing import Picture, Wanted
from fullconv.workbench.opened import OpenedDataset
from fullconv.workbench.workbench import Workbench

Sort = Literal["name", "-name", "size", "-size", "share", "-share"]


class ImageQuery(BaseModel):
    """Which images of a dataset, in which order.

    Args:
        classes: all of which must be in the image, by name.
        split: "train", "val" or "test".
        problem: a kind of problem that concerns the image.
        search: part of its name; upper and lower case are the same.
        sort: by name, by size in pixels, or by the share of the first class asked for (of ignored pixels where none
            is); a minus sign in front turns the order round.
        offset, limit: which part of the list.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    classes: tuple[Annotated[str, Field(max_length=200)], ...] = Field(default=(), max_length=100)
    split: Literal["train", "val", "test"] | None = None
    problem: str | None = Field(default=None, max_length=60)
    search: str = Field(default="", max_length=200)
    sort: Sort = "name"
    offset: int = Field(default=0, ge=0, le=2**31 - 1)
    limit: int = Field(default=48, ge=1, le=1000)


IMAGE_EXAMPLE: dict[str, Any] = {
    "number": 17,
    "key": "train/scene_00017",
    "split": "train",
    "width": 480,
    "height": 360,
    "file": "train/images/scene_00017.png",
    "labels": ["train/labels/scene_00017.png"],
    "classes": {"road": 0.34, "sky": 0.22, "car": 0.05},
    "ignored": 0.01,
    "problems": [],
}


class ImageFacts(BaseModel):
    """An image.

    Args:
        number: by which it is asked for. key: its name in the dataset. split: it belongs to.
        width, height: pixels.
        file: path, from the dataset's root on. labels: its label files.
        classes: share of each class that occurs, 0 to 1 of all pixels; none where it was not counted yet.
        ignored: share of ignored pixels.
        problems: kinds of problems that concern it.
    """

    model_config = ConfigDict(json_schema_extra={"example": IMAGE_EXAMPLE})

    number: int
    key: str
    split: str
    width: int
    height: int
    file: str
    labels: tuple[str, ...]
    classes: dict[str, float] | None
    ignored: float | None
    problems: tuple[str, ...]


class ImagePage(BaseModel):
    """A part of the images.

    Args:
        images: the part. total: how many fit. of: images in the dataset.
        counted: images whose classes are known; others fit no class yet.
        version: of the classes and their colours, for addresses of pictures (`v`).
    """

    model_config = ConfigDict(
        json_schema_extra={
            "example": {"images": [IMAGE_EXAMPLE], "total": 96, "of": 140, "counted": 140, "version": "0a1b2c3d4e5f"}
        }
    )

    images: tuple[ImageFacts, ...]
    total: int
    of: int
    counted: int
    version: str


def list_images(bench: Workbench, name: str, query: ImageQuery) -> ImagePage:
    """A part of the images that fit; what nobody counted yet is counted from now on."""
    opened = bench.datasets.open(name)
    counted, _ = bench.datasets.counted(name)
    numbers = find_images(opened, query)
    part = numbers[query.offset : query.offset + query.limit]
    return ImagePage(
        images=tuple(image_facts(opened, int(number)) for number in part),
        total=len(numbers),
        of=len(opened.index),
        counted=counted,
        version=opened.version,
    )


def find_images(opened: OpenedDataset, query: ImageQuery) -> npt.NDArray[np.intp]:
    """Numbers of all images that fit, in order; `offset` and `limit` are left out.

    Raises:
        DataError: a class that the dataset does not have.
    """
    index = opened.index
    wanted = [_class_index(opened, name) for name in query.classes]
    fits = np.ones(len(index), dtype=bool)
    if wanted:
        fits &= index.known & (index.pixels[:, wanted] > 0).all(axis=1)
    if query.split is not None:
        fits &= index.splits == SPLITS.index(query.split)
    if query.problem is not None:
        fits &= opened.problems.get(query.problem, np.zeros(len(index), dtype=bool))
    if query.search:
        part = query.search.casefold()
        fits &= np.fromiter((part in key for key in opened.keys), dtype=bool, count=len(index))
    numbers = np.flatnonzero(fits)
    if query.sort == "name":
        return numbers
    if query.sort == "-name":
        return numbers[::-1]
    area = index.sizes[numbers].astype(np.int64).prod(axis=1)
    values = area.astype(np.float64)
    if query.sort.endswith("share"):
        pixels = index.pixels[numbers, wanted[0]] if wanted else index.ignored[numbers]
        values = pixels / np.maximum(1, area)
    order = np.argsort(-values if query.sort.startswith("-") else values, kind="stable")
    return numbers[order]


def image_of(bench: Workbench, name: str, number: int) -> ImageFacts:
    """One image."""
    opened = bench.datasets.open(name)
    opened.sample(number)
    return image_facts(opened, number)


def image_facts(opened: OpenedDataset, number: int) -> ImageFacts:
    """What is known of one image of an open dataset."""
    index = opened.index
    height, width = (int(side) for side in index.sizes[number])
    known = bool(index.known[number])
    area = max(1, height * width)
    shares = {
        entry.name: int(pixels) / area
        for entry, pixels in zip(opened.classes.classes, index.pixels[number], strict=True)
        if pixels
    }
    return ImageFacts(
        number=number,
        key=index.keys[number],
        split=SPLITS[index.splits[number]],
        width=width,
        height=height,
        file=index.images[number],
        labels=index.labels[number],
        classes=shares if known else None,
        ignored=int(index.ignored[number]) / area if known else None,
        problems=tuple(kind for kind, concerned in opened.problems.items() if concerned[number]),
    )


def copies_of(bench: Workbench, name: str) -> tuple[tuple[ImageFacts, ...], ...]:
    """Images that show the same picture, group by group."""
    opened = bench.datasets.open(name)
    return tuple(tuple(image_facts(opened, number) for number in group) for group in opened.copies)


def picture_tag(bench: Workbench, name: str, number: int, wanted: Wanted) -> str:
    """What tells whether a picture is still the one that somebody has."""
    opened = bench.datasets.open(name)
    return bench.drawing.tag(opened.sample(number), opened.version, wanted)


def picture_of(bench: Workbench, name: str, number: int, wanted: Wanted) -> Picture:
    """An image, its labels, or both, as a JPEG or PNG file."""
    opened = bench.datasets.open(name)
    sample = opened.sample(number)
    return bench.drawing.picture(sample, opened.decoder, opened.version, wanted, folder=name)


def problem_kinds(opened: OpenedDataset) -> Sequence[tuple[str, int]]:
    """Kinds of problems that concern single images, and how many."""
    return [(kind, int(concerned.sum())) for kind, concerned in opened.problems.items()]


def _class_index(opened: OpenedDataset, name: str) -> int:
    names = opened.classes.names
    if name not in names:
        raise DataError(f"there is no class {name[:60]!r}", where="class", remedy=f"choose from: {', '.join(names)}")
    return names.index(name)
