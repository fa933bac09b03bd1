"""One pass over the files of a dataset: each image and label is decoded once, for all checks and counts together."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from fullconv.data.channels import channel_sums, fit_channels
from fullconv.data.classes import ClassTable
from fullconv.data.images import image_info, read_image
from fullconv.data.labels import LabelFormat, LabelReader
from fullconv.data.scan import Sample
from fullconv.data.statistics import STRIDES
from fullconv.errors import DataError
from fullconv.evaluation.ceiling import ceiling_counts
from fullconv.progress import track

Unlabelled = Literal["skip", "background", "ignore"]
"""What an image without a label means: it is left out, it is all background, or all of it is ignored."""

_TILE = 4096


@dataclass(frozen=True)
class Fault:
    """Why one sample cannot be used: the kind of problem, the file and the sentence."""

    kind: str
    path: Path
    message: str


@dataclass(frozen=True)
class Inspection:
    """What was seen in one sample.

    Args:
        checksum: of the bytes of all its files; `stamp` tells cheaply whether they may have changed.
        picture: hash of the decoded pixels, equal for the same picture in another file format.
        size: (height, width), None where the image cannot be read.
        channel_sums: (3, channels) values counted, their sum and sum of squares, on the scale of `Statistics`.
        class_pixels: (classes,) pixel counts.
        ceiling: (strides, 3, classes) intersection, truth and prediction counts per stride.
        unknown: code that is no class → (pixels, (row, column) of the first).
        faults: why the sample cannot be used; empty for a usable one.
    """

    sample: Sample
    checksum: str
    stamp: str
    picture: str
    size: tuple[int, int] | None
    channels: int
    dtype: str
    channel_sums: npt.NDArray[np.float64]
    class_pixels: npt.NDArray[np.int64]
    ignored_pixels: int
    ceiling: npt.NDArray[np.int64]
    unknown: dict[int, tuple[int, tuple[int, int]]]
    faults: tuple[Fault, ...]


@dataclass(frozen=True)
class SampleDecoder:
    """Reads the images and labels of a dataset; small enough to be sent to worker processes.

    Args:
        format, classes: how label files become class indices.
        unlabelled: what a sample without label file means.
        unknown: "error" refuses codes that are no class, "ignore" ignores their pixels.
        channels: what images are brought to; None leaves them as they are.
    """

    labels: LabelReader
    classes: ClassTable
    unlabelled: Unlabelled = "skip"
    unknown: Literal["error", "ignore"] = "error"
    channels: int | None = None

    @classmethod
    def of(
        cls,
        format: LabelFormat,
        classes: ClassTable,
        *,
        unlabelled: Unlabelled = "skip",
        unknown: Literal["error", "ignore"] = "error",
        channels: int | None = None,
    ) -> SampleDecoder:
        """The reader of a label format."""
        return cls(LabelReader(format, classes), classes, unlabelled, unknown, channels)

    def image(self, sample: Sample) -> npt.NDArray[np.generic]:
        """(H, W, C) as in the file, brought to the dataset's channels."""
        image = read_image(sample.image)
        return image if self.channels is None else fit_channels(image, self.channels, where=sample.image)

    def label(self, sample: Sample) -> npt.NDArray[np.unsignedinteger]:
        """(H, W) class indices in `ClassTable.label_dtype`."""
        if sample.labels:
            return self.labels.read(sample, unknown=self.unknown)
        info = image_info(sample.image)
        return self.unlabelled_map((info.height, info.width))

    def unlabelled_map(self, size: tuple[int, int]) -> npt.NDArray[np.unsignedinteger]:
        """(H, W) all background (the class of that name, else the first), or all ignored."""
        value = self.classes.ignore_index
        if self.unlabelled == "background":
            names = [name.lower() for name in self.classes.names]
            value = names.index("background") if "background" in names else 0
        return np.full(size, value, dtype=self.classes.label_dtype)


def inspect_samples(reader: SampleDecoder, samples: Sequence[Sample]) -> list[Inspection]:
    """Inspect all samples on all cores, with progress; the order is kept.

    Threads, not processes: decoding and counting release the interpreter lock for most of their time, and a plain
    script needs no `if __name__ == "__main__"`.
    """
    with ThreadPoolExecutor(available_cores()) as pool:
        try:
            found = pool.map(lambda sample: inspect_sample(reader, sample), samples)
            return list(track(found, "Checking images and labels", total=len(samples)))
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def available_cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def inspect_sample(reader: SampleDecoder, sample: Sample) -> Inspection:
    """Decode one image and its label, compare and count them; what is wrong is recorded, not raised."""
    faults: list[Fault] = []
    classes = reader.classes
    image = _image(sample, faults)
    label, unknown = _label(reader, sample, None if image is None else (image.shape[0], image.shape[1]), faults)
    if image is not None and label is not None and image.shape[:2] != label.shape:
        sizes = f"the image is {image.shape[1]}×{image.shape[0]}, the label {label.shape[1]}×{label.shape[0]}"
        faults.append(Fault("size-mismatch", sample.labels[0], sizes))
    usable = not faults and label is not None
    counts = np.bincount(label.ravel(), minlength=classes.ignore_index + 1) if usable else None  # type: ignore[union-attr]
    checksum, stamp = checksum_of(sample)
    return Inspection(
        sample=sample,
        checksum=checksum,
        stamp=stamp,
        picture="" if image is None else _digest(np.ascontiguousarray(image).data, str(image.shape)),
        size=None if image is None else (image.shape[0], image.shape[1]),
        channels=0 if image is None else image.shape[2],
        dtype="" if image is None else str(image.dtype),
        channel_sums=np.zeros((3, 0)) if image is None else channel_sums(image),
        class_pixels=np.zeros(len(classes), dtype=np.int64) if counts is None else counts[: len(classes)],
        ignored_pixels=0 if counts is None else int(counts[classes.ignore_index]),
        ceiling=_ceiling(label if usable else None, classes),
        unknown=unknown,
        faults=tuple(faults),
    )


def _image(sample: Sample, faults: list[Fault]) -> npt.NDArray[np.generic] | None:
    try:
        return read_image(sample.image)
    except DataError as error:
        faults.append(_unreadable("unreadable-image", sample.image, error))
        return None


def _label(
    reader: SampleDecoder, sample: Sample, size: tuple[int, int] | None, faults: list[Fault]
) -> tuple[npt.NDArray[np.unsignedinteger] | None, dict[int, tuple[int, tuple[int, int]]]]:
    if size is None:
        return None, {}
    if not sample.labels:
        return reader.unlabelled_map(size), {}
    try:
        raw = reader.labels.raw(sample)
        unknown = reader.labels.unknown_codes(raw)
        return reader.labels.contiguous(raw), unknown
    except DataError as error:
        faults.append(_unreadable("unreadable-label", sample.labels[0], error))
        return None, {}


def _unreadable(kind: str, path: Path, error: DataError) -> Fault:
    if "decompression bomb" in error.problem:
        kind = "decompression-bomb"
    elif "EXIF orientation" in error.problem:
        kind = "orientation-mismatch"
    return Fault(kind, Path(error.where) if error.where else path, error.problem)


def _ceiling(label: npt.NDArray[np.unsignedinteger] | None, classes: ClassTable) -> npt.NDArray[np.int64]:
    counts = np.zeros((len(STRIDES), 3, len(classes)), dtype=np.int64)
    if label is None:
        return counts
    for top in range(0, label.shape[0], _TILE):
        for left in range(0, label.shape[1], _TILE):
            tile = label[top : top + _TILE, left : left + _TILE]
            for own, stride in zip(counts, STRIDES, strict=True):
                confusion = ceiling_counts(tile, stride, len(classes), classes.ignore_index)
                own += np.stack([confusion.diagonal(), confusion.sum(axis=1), confusion.sum(axis=0)])
    return counts


def checksum_of(sample: Sample) -> tuple[str, str]:
    """Hash of the contents of all files of a sample, and a stamp (bytes and time of change) to see changes cheaply."""
    digests = []
    for path in (sample.image, *sample.labels):
        try:
            digests.append(_file_digest(path, path.stat().st_mtime_ns))
        except OSError:
            digests.append("")
    return _digest("".join(digests).encode(), ""), stamp_of(sample)


def stamp_of(sample: Sample) -> str:
    """Bytes and latest time of change of a sample's files; empty where one is missing."""
    try:
        states = [path.stat() for path in (sample.image, *sample.labels)]
    except OSError:
        return ""
    return f"{sum(state.st_size for state in states)}-{max(state.st_mtime_ns for state in states):x}"


@lru_cache(maxsize=64)
def _file_digest(path: Path, modified: int) -> str:
    # Cached because one COCO file is the label of thousands of images; `modified` renews it.
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, lambda: hashlib.blake2b(digest_size=16)).hexdigest()


def _digest(content: bytes | memoryview, extra: str) -> str:
    return hashlib.blake2b(content, digest_size=16, key=extra.encode()[:64]).hexdigest()
