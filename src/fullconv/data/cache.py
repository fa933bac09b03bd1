"""Prepared samples: decoded and resized once, then read from flat files without touching a codec again."""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch

from fullconv.data.resizing import Resize, resize_image, resize_label, to_tensor
from fullconv.errors import DataError, StorageError
from fullconv.files import staged_directory
from fullconv.progress import track

VERSION = 1
LARGEST_BYTES = 64 * 2**30
SHARE_OF_FREE_DISK = 0.5
ABANDONED_SECONDS = 24 * 3600


class SampleSource(Protocol):
    """What the cache asks of a dataset."""

    @property
    def fingerprint(self) -> str: ...
    def __len__(self) -> int: ...
    def read(self, index: int) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
        """Image (H, W, C) and label (H, W) of one sample."""


def prepare(
    source: SampleSource, index: int, resize: Resize
) -> tuple[npt.NDArray[Any], npt.NDArray[np.unsignedinteger]]:
    """One sample as training sees it: image (H, W, C) and label (H, W) after resizing."""
    image, label = source.read(index)
    size = resize.size(label.shape[0], label.shape[1])
    if size == label.shape:
        return image, label
    pixels = resize_image(to_tensor(image), size).permute(1, 2, 0).numpy()
    if image.dtype == np.uint16:
        pixels = pixels.round().astype(np.uint16)
    return pixels, resize_label(torch.from_numpy(label), size).numpy()


@dataclass(frozen=True)
class PreparedSamples:
    """Samples in two flat files, shared by all processes through the page cache.

    Args:
        folder: holds images.bin, labels.bin and index.json.
    """

    folder: Path
    shapes: npt.NDArray[np.int64]
    channels: int
    image_dtype: str
    label_dtype: str

    def __len__(self) -> int:
        return len(self.shapes)

    def read(self, index: int) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
        """Image (H, W, C) and label (H, W)."""
        height, width, start = (int(value) for value in self.shapes[index])
        pixels = height * width
        image = np.fromfile(
            self.folder / "images.bin",
            dtype=self.image_dtype,
            count=pixels * self.channels,
            offset=start * self.channels * np.dtype(self.image_dtype).itemsize,
        )
        label = np.fromfile(
            self.folder / "labels.bin",
            dtype=self.label_dtype,
            count=pixels,
            offset=start * np.dtype(self.label_dtype).itemsize,
        )
        if len(image) < pixels * self.channels or len(label) < pixels:
            remedy = "delete this folder, which is made again"
            raise StorageError("the prepared samples are cut off", where=self.folder, remedy=remedy)
        return image.reshape(height, width, self.channels), label.reshape(height, width)

    @classmethod
    def open(cls, folder: Path) -> PreparedSamples:
        index = json.loads((folder / "index.json").read_text())
        shapes = np.array(index["shapes"], dtype=np.int64).reshape(-1, 2)
        starts = np.concatenate([[0], np.cumsum(shapes.prod(axis=1))[:-1]])
        table = np.concatenate([shapes, starts[:, None]], axis=1)
        return cls(folder, table, index["channels"], index["image_dtype"], index["label_dtype"])


def prepared_samples(
    source: SampleSource, cache: Path, *, resize: Resize | None = None, sizes: Sequence[tuple[int, int]], itemsize: int
) -> PreparedSamples | None:
    """The prepared form of a dataset, made on first use; None where it would not fit on the disk.

    Args:
        source: a dataset or one of its splits; its fingerprint names the cache: changed content makes a new one.
        cache: folder of all caches.
        sizes: (height, width) of every sample.
        itemsize: bytes of one pixel of image and label together.
    """
    plan = resize or Resize()
    key = hashlib.sha256(f"{VERSION}/{source.fingerprint}/{plan.model_dump_json()}".encode()).hexdigest()[:24]
    folder = cache / key
    if (folder / "index.json").is_file():
        return PreparedSamples.open(folder)
    needed = sum(int(np.prod(plan.size(*size))) for size in sizes) * itemsize
    cache.mkdir(parents=True, exist_ok=True)
    if needed > min(LARGEST_BYTES, SHARE_OF_FREE_DISK * shutil.disk_usage(cache).free):
        return None
    _remove_abandoned(cache, key)
    try:
        with staged_directory(folder) as partial:
            _write(source, plan, partial)
    except StorageError:
        if not (folder / "index.json").is_file():  # else another process was faster
            raise
    return PreparedSamples.open(folder)


def _remove_abandoned(cache: Path, key: str) -> None:
    """What killed processes left half-made a day ago or earlier."""
    for partial in cache.glob(f".{key}.*"):
        if time.time() - partial.stat().st_mtime > ABANDONED_SECONDS:
            shutil.rmtree(partial, ignore_errors=True)


def _in_order(
    pool: ThreadPoolExecutor, source: SampleSource, resize: Resize
) -> Iterator[tuple[npt.NDArray[Any], npt.NDArray[Any]]]:
    """Samples in their order, a bounded number ahead, so that memory stays small whatever the set."""
    ahead: deque[Future[tuple[npt.NDArray[Any], npt.NDArray[Any]]]] = deque()
    for index in range(len(source)):
        ahead.append(pool.submit(prepare, source, index, resize))
        if len(ahead) > 16:
            yield ahead.popleft().result()
    while ahead:
        yield ahead.popleft().result()


def _write(source: SampleSource, resize: Resize, folder: Path) -> None:
    shapes: list[list[int]] = []
    layout: tuple[str, str, int] | None = None
    with (
        (folder / "images.bin").open("wb") as images,
        (folder / "labels.bin").open("wb") as labels,
        ThreadPoolExecutor() as pool,
    ):
        ready = _in_order(pool, source, resize)
        for image, label in track(ready, "preparing samples", total=len(source)):
            found = (str(image.dtype), str(label.dtype), image.shape[2])
            layout = layout or found
            if found != layout:
                raise DataError(
                    f"sample {len(shapes)} has {found[2]} channels of {found[0]} and labels of {found[1]}, "
                    f"those before it {layout[2]} channels of {layout[0]} and labels of {layout[1]}",
                    remedy="give images of one kind",
                )
            images.write(np.ascontiguousarray(image).tobytes())
            labels.write(np.ascontiguousarray(label).tobytes())
            shapes.append(list(label.shape))
    image_dtype, label_dtype, channels = layout or ("uint8", "uint8", 3)
    index = {
        "format": 1,
        "shapes": shapes,
        "channels": channels,
        "image_dtype": image_dtype,
        "label_dtype": label_dtype,
    }
    (folder / "index.json").write_text(json.dumps(index))
