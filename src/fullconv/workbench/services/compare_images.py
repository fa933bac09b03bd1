"""What models are compared on: images of a dataset, or files on the server."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np

from fullconv.data.splits import SPLITS
from fullconv.errors import DataError
from fullconv.prediction.comparing import Subject
from fullconv.prediction.folder import find_images
from fullconv.workbench.comparisons import ImageSet
from fullconv.workbench.security.paths import is_allowed
from fullconv.workbench.security.pictures import checked_image, read_checked
from fullconv.workbench.services.compare_views import CompareRequest
from fullconv.workbench.workbench import Workbench

MOST_FILES = 10_000


def dataset_images(bench: Workbench, request: CompareRequest) -> ImageSet:
    """Images of a dataset with their truth: a split, or those that are named.

    Raises:
        DataError: there are none, or none of that name.
    """
    assert request.dataset is not None
    opened = bench.datasets.open(request.dataset)
    index = opened.index
    split: str | None = request.split
    if request.keys:
        places = {key: place for place, key in enumerate(index.keys)}
        missing = next((key for key in request.keys if key not in places), None)
        if missing is not None:
            raise DataError(f"has no image {missing[:100]!r}", where=opened.name, remedy="name it as the dataset does")
        numbers = [places[key] for key in dict.fromkeys(request.keys)]
        split = None
    else:
        there = {name: np.flatnonzero(index.splits == SPLITS.index(name)).tolist() for name in SPLITS}
        split = split or next((name for name in ("test", "val", "train") if there.get(name)), "test")
        numbers = there.get(split, [])
        if not numbers:
            raise DataError(f"has no {split} images", where=opened.name, remedy="choose another split")

    def subject(place: int) -> Subject:
        return Subject(index.keys[place], lambda: opened.decoder.read(opened.sample(place)))

    subjects = [subject(place) for place in numbers]
    values = opened.head.channels * np.dtype(opened.head.dtype).itemsize

    def decoded_bytes(place: int) -> int:
        return int(index.sizes[numbers[place]].astype(np.int64).prod()) * values

    return ImageSet(subjects, opened.classes, opened.name, split, tuple(numbers), decoded_bytes)


def file_images(bench: Workbench, paths: tuple[Path, ...]) -> ImageSet:
    """Images in files and folders that may be used, without truth; links that lead elsewhere are left out.

    Raises:
        DataError: there are none, or too many.
    """
    found = [
        (path, name) for path, name in find_images(paths) if is_allowed(bench.settings, Path(os.path.realpath(path)))
    ]
    if not found:
        raise DataError("hold no images that may be used", where="files", remedy="choose other files")
    if len(found) > MOST_FILES:
        remedy = "choose fewer, or make a dataset of them"
        raise DataError(f"hold more than {MOST_FILES:,} images", where="files", remedy=remedy)

    def subject(path: Path, name: Path) -> Subject:
        return Subject(name.as_posix(), lambda: (read_checked(path, bench.settings.limits, where=name.name), None))

    def decoded_bytes(place: int) -> int:
        path, name = found[place]
        return checked_image(path, bench.settings.limits, where=name.name).nbytes

    return ImageSet([subject(path, name) for path, name in found], decoded_bytes=decoded_bytes)


def sampled(found: ImageSet, request: CompareRequest) -> ImageSet:
    """As many of the images as were asked for, drawn at random."""
    total = len(found.subjects)
    if request.sample is None or request.sample >= total:
        return found
    chosen = sorted(np.random.default_rng(request.seed).permutation(total)[: request.sample].tolist())
    numbers = tuple(found.numbers[place] for place in chosen) if found.numbers else ()
    return replace(
        found,
        subjects=[found.subjects[place] for place in chosen],
        numbers=numbers,
        decoded_bytes=lambda place: found.decoded_bytes(chosen[place]),
    )
