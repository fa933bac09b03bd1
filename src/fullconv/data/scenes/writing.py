"""A set of scenes on disk: images, labels and the class file."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt
from PIL import Image

from fullconv.data.scenes.classes import SCENE_CLASSES, class_file
from fullconv.data.scenes.rendering import DEFAULT_SIZE, check_size, generate_scene
from fullconv.errors import DataError
from fullconv.files import disk_errors, staged_directory
from fullconv.progress import track

LabelKind = Literal["palette", "colors", "ids"]
Job = tuple[int, Path]
"""A scene's index and the folder that gets its image and label."""


def write_scenes(
    out: Path,
    *,
    count: int,
    seed: int = 0,
    size: tuple[int, int] = DEFAULT_SIZE,
    labels: LabelKind = "palette",
    splits: bool = True,
    processes: int | None = None,
) -> Path:
    """Write generated street scenes with their labels; nothing remains if it is interrupted.

    With splits, `out` holds train, val and test (70, 15 and 15 of a hundred), each with images/ and labels/; without,
    images/ and labels/ alone. classes.txt lies at the root.

    Args:
        out: a new or empty folder.
        count: how many scenes.
        seed: another seed, other scenes.
        size: width and height in pixels.
        labels: "palette" (class ids with colours), "colors" (RGB) or "ids" (grey).
        splits: whether to make train, val and test.
        processes: how many draw at once (default: one per core).

    Returns:
        The folder.

    Raises:
        DataError: count, size or labels cannot be.
        StorageError: the folder holds something already, or cannot be written.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     root = write_scenes(Path(folder, "scenes"), count=2, size=(64, 48), splits=False, processes=1)
    ...     sorted(path.name for path in root.rglob("*.*"))
    ['classes.txt', 'scene_00000.png', 'scene_00000.png', 'scene_00001.png', 'scene_00001.png']
    """
    if count < 1:
        raise DataError(f"{count} scenes cannot be drawn", where="count", remedy="ask for at least one")
    if labels not in get_args(LabelKind):
        raise DataError(f"{labels!r} is no way to write labels", where="labels", remedy="choose palette, colors or ids")
    check_size(size)
    out = Path(out)
    with staged_directory(out) as folder:
        names = ("train", "val", "test") if splits else (".",)
        for name in names:
            for part in ("images", "labels"):
                (folder / name / part).mkdir(parents=True)
        (folder / "classes.txt").write_text(class_file(), encoding="utf-8")
        write = partial(_write_scene, seed=seed, size=size, labels=labels)
        jobs = [(index, folder / split_of(index, count) if splits else folder) for index in range(count)]
        workers = min(processes or os.cpu_count() or 1, count)
        with disk_errors(out):
            for _ in track(_done(write, jobs, workers), "drawing street scenes", total=count):
                pass
    return out


def _done(write: Callable[[Job], None], jobs: list[Job], workers: int) -> Iterator[None]:
    """Draw all scenes, on several cores where processes can be spawned."""
    done = 0
    if workers > 1:
        try:
            with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
                for result in pool.map(write, jobs, chunksize=2):
                    done += 1
                    yield result
        except BrokenProcessPool:
            # A script on standard input or without a main guard cannot be spawned: go on alone.
            pass
    for job in jobs[done:]:
        write(job)
        yield


def split_of(index: int, count: int) -> str:
    """The split of a scene: the first 70 of a hundred train, the next 15 validate, the last 15 test.

    >>> [split_of(index, 20) for index in (0, 13, 14, 16, 17, 19)]
    ['train', 'train', 'val', 'val', 'test', 'test']
    """
    share = (index + 0.5) / count
    return "train" if share < 0.7 else "val" if share < 0.85 else "test"


def _write_scene(job: Job, *, seed: int, size: tuple[int, int], labels: LabelKind) -> None:
    index, folder = job
    image, ids = generate_scene(seed, index, size)
    name = f"scene_{index:05d}.png"
    Image.fromarray(image).save(folder / "images" / name, compress_level=1)
    _label_image(ids, labels).save(folder / "labels" / name, optimize=False)


def _label_image(ids: npt.NDArray[np.uint8], labels: LabelKind) -> Image.Image:
    palette = SCENE_CLASSES.palette()
    if labels == "colors":
        return Image.fromarray(np.array(palette, dtype=np.uint8).reshape(256, 3)[ids])
    picture = Image.fromarray(ids)
    if labels == "palette":
        picture.putpalette(palette)
    return picture
