"""Datasets as they are shown: classes with their shares, splits, numbers, problems."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict

from fullconv.data.class_edits import ClassEdits
from fullconv.data.classes import ClassTable, SegmentationClass
from fullconv.data.examination import COLOR_FORMATS
from fullconv.data.labels import LabelFormat
from fullconv.data.problems import Problem
from fullconv.data.statistics import Commonest, Statistics

_CLASS_EXAMPLE: dict[str, Any] = {
    "name": "road",
    "color": [128, 64, 128],
    "value": 3,
    "codes": ["3"],
    "pixels": 9120000,
    "share": 0.31,
    "images": 140,
    "splits": {"train": {"pixels": 6400000, "share": 0.31, "images": 98}},
}
_SPLIT_EXAMPLE: dict[str, Any] = {"images": 98, "pixels": 20700000, "ignored_pixels": 310000}


class InSplit(BaseModel):
    """A class in one split.

    Args:
        pixels: of it. share: of the labelled pixels of the split, 0 to 1. images: that have it.
    """

    pixels: int
    share: float
    images: int


class ClassFacts(BaseModel):
    """A class.

    Args:
        name: after all edits. color: red, green, blue.
        value: id that files written by the program bear.
        codes: what the label files hold for it: ids, or colours as `#rrggbb`.
        pixels, share, images: in the whole set; see `InSplit`.
        splits: the same by split.
    """

    model_config = ConfigDict(json_schema_extra={"example": _CLASS_EXAMPLE})

    name: str
    color: tuple[int, int, int]
    value: int
    codes: tuple[str, ...]
    pixels: int = 0
    share: float = 0.0
    images: int = 0
    splits: dict[str, InSplit] = {}


class SplitFacts(BaseModel):
    """A split.

    Args:
        images: of it. pixels: that are labelled. ignored_pixels: that are not, or do not count.
    """

    images: int
    pixels: int
    ignored_pixels: int


class Facts(BaseModel):
    """What is known of images and labels.

    Args:
        root: folder that holds them.
        label_format: how labels are read. explanation: why this way, in a sentence. class_source: whence the names.
        classes: in their order. ignored: those that do not count.
        splits: "train", "val", "test".
        images: that can be used. channels, dtype: of them.
        sizes: (height, width, images), the commonest first.
        commonest: what always saying the commonest class scores.
        stride_ceiling: output stride → mean IoU that labels of that coarseness reach; empty where it is not known yet.
        unlabelled: what images without label mean.
        edits: changes to the classes on disk.
        problems: worst first.
    """

    root: str
    label_format: str
    explanation: str
    class_source: str
    classes: tuple[ClassFacts, ...]
    ignored: tuple[ClassFacts, ...]
    splits: dict[str, SplitFacts]
    images: int
    channels: int
    dtype: str
    sizes: tuple[tuple[int, int, int], ...]
    commonest: Commonest | None
    stride_ceiling: dict[int, float]
    unlabelled: str
    edits: ClassEdits
    problems: tuple[Problem, ...]


FACTS_EXAMPLE: dict[str, Any] = {
    "root": "/data/streets",
    "label_format": "palette",
    "explanation": "The labels are palette images: their indices are the classes.",
    "class_source": "Class names come from /data/streets/classes.txt.",
    "classes": [_CLASS_EXAMPLE],
    "ignored": [],
    "splits": {"train": _SPLIT_EXAMPLE},
    "images": 140,
    "channels": 3,
    "dtype": "uint8",
    "sizes": [[360, 480, 140]],
    "commonest": {"name": "road", "pixel_accuracy": 0.31, "mean_iou": 0.026},
    "stride_ceiling": {"32": 0.61, "16": 0.77, "8": 0.89, "4": 0.95},
    "unlabelled": "skip",
    "edits": {},
    "problems": [],
}


def facts_of(
    *,
    root: str,
    format: LabelFormat,
    class_source: str,
    table: ClassTable,
    statistics: Statistics | None,
    channels: int,
    dtype: str,
    unlabelled: str,
    edits: ClassEdits,
    problems: tuple[Problem, ...],
) -> Facts:
    """Everything in one; a set without a usable image has no statistics."""
    colors = format.kind in COLOR_FORMATS
    splits = {} if statistics is None else statistics.splits
    totals = {name: sum(counts.pixels.values()) for name, counts in splits.items()}
    return Facts(
        root=root,
        label_format=format.kind,
        explanation=format.explanation,
        class_source=class_source,
        classes=tuple(_class_facts(entry, statistics, totals, colors=colors) for entry in table.classes),
        ignored=tuple(_plain(entry, colors=colors) for entry in table.ignored),
        splits={
            name: SplitFacts(images=counts.images, pixels=totals[name], ignored_pixels=counts.ignored_pixels)
            for name, counts in splits.items()
        },
        images=0 if statistics is None else statistics.images,
        channels=channels,
        dtype=dtype,
        sizes=() if statistics is None else statistics.sizes,
        commonest=None if statistics is None else statistics.commonest,
        stride_ceiling={} if statistics is None else statistics.stride_ceiling,
        unlabelled=unlabelled,
        edits=edits,
        problems=problems,
    )


def _class_facts(
    entry: SegmentationClass, statistics: Statistics | None, totals: Mapping[str, int], *, colors: bool
) -> ClassFacts:
    plain = _plain(entry, colors=colors)
    if statistics is None:
        return plain
    by_split = {
        name: InSplit(
            pixels=counts.pixels.get(entry.name, 0),
            share=counts.pixels.get(entry.name, 0) / max(1, totals[name]),
            images=counts.images_with.get(entry.name, 0),
        )
        for name, counts in statistics.splits.items()
    }
    pixels = sum(found.pixels for found in by_split.values())
    everything = {
        "pixels": pixels,
        "share": pixels / max(1, sum(totals.values())),
        "images": sum(found.images for found in by_split.values()),
        "splits": by_split,
    }
    return plain.model_copy(update=everything)


def _plain(entry: SegmentationClass, *, colors: bool) -> ClassFacts:
    codes = tuple(f"#{code:06x}" if colors else str(code) for code in entry.codes)
    return ClassFacts(name=entry.name, color=entry.color, value=entry.value, codes=codes)
