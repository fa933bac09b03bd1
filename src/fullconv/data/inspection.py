"""One pass over the files of a dataset: each image and label is decoded once, for all checks and counts together."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from fullconv.data.channels import channel_sums, fit_channels, fit_dtype, gaps
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
_CODES_KEPT = 64


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
        gap_pixels: pixels with a value that is not a number or infinite; they count as ignored.
        unknown: code that is no class → (pixels, (row, column) of the first), the 64 commonest.
        unknown_codes, unknown_pixels: number of such codes, and of their pixels, all of them.
        seen: which of the codes that the decoder watches for occur.
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
    gap_pixels: int
    ceiling: npt.NDArray[np.int64]
    unknown: dict[int, tuple[int, tuple[int, int]]]
    unknown_codes: int
    unknown_pixels: int
    seen: frozenset[int]
    faults: tuple[Fault, ...]


@dataclass(frozen=True)
class SampleDecoder:
    """Reads the images and labels of a dataset; small enough to be sent to worker processes.

    Args:
        labels: how label files become class indices.
        unlabelled: what a sample without label file means.
        unknown: "error" refuses codes that are no class, "ignore" ignores their pixels.
        channels, dtype: what images are brought to; None leaves them as they are.
        background: class index of background, or the ignored index; None where the dataset has no background.
        watched: codes whose occurrence is recorded by `inspect_sample`.
    """

    labels: LabelReader
    unlabelled: Unlabelled = "skip"
    unknown: Literal["error", "ignore"] = "error"
    channels: int | None = None
    dtype: str | None = None
    background: int | None = None
    watched: tuple[int, ...] = ()

    @classmethod
    def of(
        cls,
        format: LabelFormat,
        classes: ClassTable,
        *,
        unedited: ClassTable | None = None,
        unlabelled: Unlabelled = "skip",
        unknown: Literal["error", "ignore"] = "error",
        channels: int | None = None,
        dtype: str | None = None,
        watched: Sequence[int] = (),
    ) -> SampleDecoder:
        """The reader of a label format; `unedited` are the classes before edits, which name the background."""
        background = background_index(format, unedited or classes, classes)
        return cls(LabelReader(format, classes), unlabelled, unknown, channels, dtype, background, tuple(watched))

    @property
    def classes(self) -> ClassTable:
        """The classes after all edits."""
        return self.labels.classes

    def read(self, sample: Sample) -> tuple[npt.NDArray[np.generic], npt.NDArray[np.unsignedinteger]]:
        """Image and label; pixels whose values are not a number or infinite are 0 in the one, ignored in the other."""
        image = self._values(sample)
        label = self.label(sample)
        holes = gaps(image)
        if holes is not None:
            label[holes] = self.classes.ignore_index
        return _filled(image), label

    def image(self, sample: Sample) -> npt.NDArray[np.generic]:
        """(H, W, C), brought to the dataset's channels and value type; what is not a number or infinite is 0."""
        return _filled(self._values(sample))

    def _values(self, sample: Sample) -> npt.NDArray[np.generic]:
        image = read_image(sample.image)
        if self.channels is not None:
            image = fit_channels(image, self.channels, where=sample.image)
        return image if self.dtype is None else fit_dtype(image, self.dtype, where=sample.image)

    def label(self, sample: Sample) -> npt.NDArray[np.unsignedinteger]:
        """(H, W) class indices in `ClassTable.label_dtype`."""
        if sample.labels:
            return self.labels.read(sample, unknown=self.unknown)
        info = image_info(sample.image)
        return self.unlabelled_map((info.height, info.width))

    def unlabelled_map(self, size: tuple[int, int]) -> npt.NDArray[np.unsignedinteger]:
        """(H, W) all background, or all ignored.

        Raises:
            DataError: it should be background, and the dataset has none.
        """
        value: int | None = self.classes.ignore_index
        if self.unlabelled == "background":
            value = self.background
        if value is None:
            raise DataError(
                "images without label should be background, but no class has that name",
                where="--unlabelled background",
                remedy="name it in the class file or with --rename CLASS=background, or say --unlabelled ignore",
            )
        return np.full(size, value, dtype=self.classes.label_dtype)


def background_index(format: LabelFormat, unedited: ClassTable, classes: ClassTable) -> int | None:
    """The class index (or the ignored index) that background has after all edits; None where there is no background.

    Background is what bore that name in the files, what bears it now, or what masks and polygons leave uncovered.
    """
    tables = ((*unedited.classes, *unedited.ignored), (*classes.classes, *classes.ignored))
    named = (entry for entries in tables for entry in entries if entry.name.lower() == "background" and entry.codes)
    found = next(named, None)
    if found is None and format.kind not in ("masks", "coco", "labelme"):
        return None
    code = format.background if found is None else found.codes[0]
    index = next((index for index, entry in enumerate(classes.classes) if code in entry.codes), None)
    return classes.ignore_index if index is None else index


def _filled(image: npt.NDArray[np.generic]) -> npt.NDArray[np.generic]:
    return image if gaps(image) is None else np.nan_to_num(image, nan=0.0, posinf=0.0, neginf=0.0)


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
    label, codes = _label(reader, sample, None if image is None else (image.shape[0], image.shape[1]), faults)
    if image is not None and label is not None and image.shape[:2] != label.shape:
        sizes = f"the image is {image.shape[1]}×{image.shape[0]}, the label {label.shape[1]}×{label.shape[0]}"
        faults.append(Fault("size-mismatch", sample.labels[0], sizes))
    usable = not faults and label is not None
    holes = None if image is None else gaps(image)
    if usable and holes is not None:
        label[holes] = classes.ignore_index  # type: ignore[index]
    counts = np.bincount(label.ravel(), minlength=classes.ignore_index + 1) if usable else None  # type: ignore[union-attr]
    checksum, stamp = checksum_of(sample)
    return Inspection(
        sample=sample,
        checksum=checksum,
        stamp=stamp,
        picture="" if image is None else picture_digest(image),
        size=None if image is None else (image.shape[0], image.shape[1]),
        channels=0 if image is None else image.shape[2],
        dtype="" if image is None else str(image.dtype),
        channel_sums=np.zeros((3, 0)) if image is None else channel_sums(image),
        class_pixels=np.zeros(len(classes), dtype=np.int64) if counts is None else counts[: len(classes)],
        ignored_pixels=0 if counts is None else int(counts[classes.ignore_index]),
        gap_pixels=0 if holes is None else int(holes.sum()),
        ceiling=_ceiling(label if usable else None, classes),
        unknown=codes.commonest,
        unknown_codes=codes.distinct,
        unknown_pixels=codes.pixels,
        seen=codes.seen,
        faults=tuple(faults),
    )


def _image(sample: Sample, faults: list[Fault]) -> npt.NDArray[np.generic] | None:
    try:
        return read_image(sample.image)
    except DataError as error:
        faults.append(_unreadable("unreadable-image", sample.image, error))
        return None


@dataclass(frozen=True)
class _Codes:
    """What a label file holds besides its classes."""

    commonest: dict[int, tuple[int, tuple[int, int]]] = field(default_factory=dict)
    distinct: int = 0
    pixels: int = 0
    seen: frozenset[int] = frozenset()


def _label(
    reader: SampleDecoder, sample: Sample, size: tuple[int, int] | None, faults: list[Fault]
) -> tuple[npt.NDArray[np.unsignedinteger] | None, _Codes]:
    if size is None:
        return None, _Codes()
    if not sample.labels:
        return reader.unlabelled_map(size), _Codes()
    try:
        raw = reader.labels.raw(sample)
        seen = frozenset(code for code in reader.watched if (raw == code).any())
        return reader.labels.contiguous(raw), _Codes(*reader.labels.unknown_summary(raw, _CODES_KEPT), seen)
    except DataError as error:
        faults.append(_unreadable("unreadable-label", sample.labels[0], error))
        return None, _Codes()


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


def picture_digest(image: npt.NDArray[np.generic]) -> str:
    """Hash of the pixels (H, W, C) of a picture, equal for the same picture in another file format."""
    return _digest(np.ascontiguousarray(image).data, str(image.shape))


def checksum_of(sample: Sample) -> tuple[str, str]:
    """Hash of the contents of all files of a sample, and a stamp (bytes and times of change) to see changes cheaply."""
    digests = []
    for path in (sample.image, *sample.labels):
        try:
            digests.append(_file_digest(path, _state(path)))
        except OSError:
            digests.append("")
    return _digest("".join(digests).encode(), ""), stamp_of(sample)


def stamp_of(sample: Sample) -> str:
    """Bytes and time of change of each of a sample's files; empty where one is missing."""
    try:
        return " ".join(_state(path) for path in (sample.image, *sample.labels))
    except OSError:
        return ""


def _state(path: Path) -> str:
    found = path.stat()
    return f"{found.st_size}-{found.st_mtime_ns:x}"


@lru_cache(maxsize=64)
def _file_digest(path: Path, state: str) -> str:
    # Cached because one COCO file is the label of thousands of images; `state` renews it.
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, lambda: hashlib.blake2b(digest_size=16)).hexdigest()


def _digest(content: bytes | memoryview, extra: str) -> str:
    return hashlib.blake2b(content, digest_size=16, key=extra.encode()[:64]).hexdigest()
