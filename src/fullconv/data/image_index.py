"""Facts of every image of a dataset in a few arrays: what is found and sorted in milliseconds, and kept in one file."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from fullconv.data.channels import gaps
from fullconv.data.class_mapping import class_mapping, mapped_counts
from fullconv.data.classes import ClassTable
from fullconv.data.description import DatasetDescription, SampleRecord
from fullconv.data.examination import Examination
from fullconv.data.images import read_image
from fullconv.data.inspection import SampleDecoder, picture_digest
from fullconv.data.scan import Sample
from fullconv.data.splits import SPLITS
from fullconv.errors import DataError
from fullconv.files import write_atomically
from fullconv.progress import track

FORMAT = 1
_ARRAYS = ("splits", "sizes", "known", "pixels", "ignored")
_TEXTS = ("keys", "images", "labels", "checksums", "pictures")


@dataclass(frozen=True, eq=False)
class ImageIndex:
    """All images of a dataset.

    Args:
        classes: under which pixels were counted.
        keys, images: of each image; `labels`: its label files; as in `SampleRecord`.
        checksums: of the files of each.
        splits: (images,) uint8, index into `SPLITS`.
        sizes: (images, 2) int32 height and width.
        known: (images,) bool, whether the image was counted; what follows is empty where not.
        pixels: (images, classes) int64. ignored: (images,) int64.
        pictures: hash of the decoded picture of each, equal for equal pictures.
    """

    classes: ClassTable
    keys: tuple[str, ...]
    images: tuple[str, ...]
    labels: tuple[tuple[str, ...], ...]
    checksums: tuple[str, ...]
    splits: npt.NDArray[np.uint8]
    sizes: npt.NDArray[np.int32]
    known: npt.NDArray[np.bool_]
    pixels: npt.NDArray[np.int64]
    ignored: npt.NDArray[np.int64]
    pictures: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.keys)

    @property
    def complete(self) -> bool:
        """Whether every image was counted."""
        return bool(self.known.all())

    @classmethod
    def of_description(cls, description: DatasetDescription) -> ImageIndex:
        """What `dataset.yaml` tells; nothing is counted yet."""
        return cls._of_records(description.samples, description.edited())

    @classmethod
    def of_examination(cls, examination: Examination) -> ImageIndex:
        """Everything, as it was counted when the folders were examined."""
        found = examination.inspections
        records = [
            SampleRecord.of(one, split, examination.found.root)
            for one, split in zip(found, examination.splits, strict=True)
        ]
        classes = len(examination.classes)
        return replace(
            cls._of_records(records, examination.classes),
            known=np.ones(len(found), dtype=bool),
            pixels=np.array([one.class_pixels for one in found], dtype=np.int64).reshape(-1, classes),
            ignored=np.array([one.ignored_pixels for one in found], dtype=np.int64),
            pictures=tuple(one.picture for one in found),
        )

    @classmethod
    def _of_records(cls, records: Sequence[SampleRecord], classes: ClassTable) -> ImageIndex:
        return cls(
            classes=classes,
            keys=tuple(record.key for record in records),
            images=tuple(record.image for record in records),
            labels=tuple(record.labels for record in records),
            checksums=tuple(record.checksum for record in records),
            splits=np.array([SPLITS.index(record.split) for record in records], dtype=np.uint8),
            sizes=np.array([record.size for record in records], dtype=np.int32).reshape(-1, 2),
            known=np.zeros(len(records), dtype=bool),
            pixels=np.zeros((len(records), len(classes)), dtype=np.int64),
            ignored=np.zeros(len(records), dtype=np.int64),
            pictures=("",) * len(records),
        )

    def under(self, classes: ClassTable) -> ImageIndex:
        """The same images with other classes; uncounted where only the labels can tell."""
        if classes == self.classes:
            return self
        mapping = class_mapping(self.classes, classes)
        if mapping is None:
            empty = np.zeros((len(self), len(classes)), dtype=np.int64)
            return replace(self, classes=classes, known=np.zeros(len(self), dtype=bool), pixels=empty)
        pixels, more = mapped_counts(self.pixels, mapping, len(classes))
        return replace(self, classes=classes, pixels=pixels, ignored=self.ignored + more)

    def with_counts_of(self, other: ImageIndex) -> ImageIndex:
        """Counts taken over from an earlier index, for images whose files are the same."""
        other = other.under(self.classes)
        pairs = zip(other.keys, other.checksums, strict=True)
        places = {pair: place for place, pair in enumerate(pairs)}
        found = np.array([places.get(pair, -1) for pair in zip(self.keys, self.checksums, strict=True)], dtype=np.intp)
        taken = (found >= 0) & other.known[found] & ~self.known
        pixels, ignored, pictures = self.pixels.copy(), self.ignored.copy(), list(self.pictures)
        pixels[taken], ignored[taken] = other.pixels[found[taken]], other.ignored[found[taken]]
        for place in np.flatnonzero(taken):
            pictures[place] = other.pictures[found[place]]
        return replace(self, known=self.known | taken, pixels=pixels, ignored=ignored, pictures=tuple(pictures))

    def copies(self) -> list[list[int]]:
        """Places of images that show the same picture, group by group, in their order."""
        groups: dict[str, list[int]] = {}
        for place, picture in enumerate(self.pictures):
            if picture:
                groups.setdefault(picture, []).append(place)
        return [group for group in groups.values() if len(group) > 1]

    def sample(self, place: int, root: Path) -> Sample:
        """One image with its label files; `root` is where relative paths start from."""
        return Sample(
            key=self.keys[place],
            image=root / self.images[place],
            labels=tuple(root / file for file in self.labels[place]),
            split=SPLITS[self.splits[place]],
        )

    def write(self, path: Path, about: str = "") -> None:
        """Keep it in a file (NumPy's npz, without pickle).

        Args:
            about: text that is kept with it.

        Raises:
            StorageError: the disk is full or the folder cannot be written.
        """
        texts: dict[str, Iterable[str]] = {name: getattr(self, name) for name in _TEXTS}
        texts["labels"] = [file for files in self.labels for file in files]
        head = {"format": FORMAT, "classes": self.classes.model_dump(mode="json"), "about": about}
        stream = io.BytesIO()
        arrays: dict[str, Any] = {name: _packed(lines) for name, lines in texts.items()}
        arrays |= {name: getattr(self, name) for name in _ARRAYS}
        arrays["label_counts"] = np.array([len(files) for files in self.labels], dtype=np.int32)
        np.savez(stream, head=_packed([json.dumps(head)]), **arrays)
        write_atomically(path, stream.getvalue())

    @classmethod
    def read(cls, path: Path) -> tuple[ImageIndex, str] | None:
        """An index from its file, and the text kept with it; None where there is none that can be read."""
        try:
            with path.open("rb") as stream, np.load(stream, allow_pickle=False) as stored:
                arrays: dict[str, npt.NDArray[Any]] = dict(stored)
            head = json.loads(_unpacked(arrays.pop("head"))[0])
            texts = {name: _unpacked(arrays.pop(name)) for name in _TEXTS}
            ends = arrays.pop("label_counts").cumsum().tolist()
            if head["format"] != FORMAT:
                return None
            files = texts.pop("labels")
            labels = tuple(files[start:end] for start, end in zip([0, *ends], ends, strict=False))
            found = cls(classes=ClassTable.model_validate(head["classes"]), labels=labels, **texts, **arrays)  # type: ignore[arg-type]
        except (OSError, ValueError, KeyError, IndexError, TypeError, EOFError, zipfile.BadZipFile):
            return None
        lengths = {len(found.keys), len(found.images), len(labels), len(found.splits), len(found.pixels)}
        return (found, str(head["about"])) if len(lengths) == 1 else None


def count_images(
    index: ImageIndex, decoder: SampleDecoder, root: Path, *, threads: int = 1, on: Callable[[], None] | None = None
) -> ImageIndex:
    """Open the images that were not counted yet, and their labels; what cannot be read counts as empty.

    Args:
        index: of the dataset.
        decoder: reads its samples under `index.classes`.
        root: folder that paths start from.
        threads: that read at the same time.
        on: called after every image; an exception of it ends the work.
    """
    missing = np.flatnonzero(~index.known).tolist()
    pixels, ignored, pictures = index.pixels.copy(), index.ignored.copy(), list(index.pictures)

    def look(place: int) -> tuple[int, npt.NDArray[np.int64], str]:
        return place, *_counted(decoder, index.sample(place, root))

    with ThreadPoolExecutor(threads) as pool:
        try:
            for place, counts, picture in track(pool.map(look, missing), "Counting classes", total=len(missing)):
                pixels[place], ignored[place] = counts[:-1], counts[-1]
                pictures[place] = picture
                if on is not None:
                    on()
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    known = np.ones(len(index), dtype=bool)
    return replace(index, known=known, pixels=pixels, ignored=ignored, pictures=tuple(pictures))


def _counted(decoder: SampleDecoder, sample: Sample) -> tuple[npt.NDArray[np.int64], str]:
    """Pixels per class with the ignored ones last, and the hash of the picture."""
    classes = len(decoder.classes)
    try:
        image, label = read_image(sample.image), decoder.label(sample)
    except DataError:
        return np.zeros(classes + 1, dtype=np.int64), ""
    holes = gaps(image)
    if holes is not None and holes.shape == label.shape:
        label[holes] = decoder.classes.ignore_index
    return np.bincount(np.minimum(label, classes).ravel(), minlength=classes + 1), picture_digest(image)


def _packed(texts: Iterable[str]) -> npt.NDArray[np.uint8]:
    """Texts as bytes with a zero between them, which no file name holds."""
    return np.frombuffer("\0".join(texts).encode("utf-8", "surrogateescape"), dtype=np.uint8)


def _unpacked(content: npt.NDArray[np.uint8]) -> tuple[str, ...]:
    return tuple(content.tobytes().decode("utf-8", "surrogateescape").split("\0"))
