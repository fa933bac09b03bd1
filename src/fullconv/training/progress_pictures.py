"""What a network says of a few validation images while it learns: small label files that lie in the run's folder."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import lightning
import numpy as np
import torch
from lightning.pytorch.callbacks import Callback

from fullconv.data.dataset import Dataset
from fullconv.data.pictures import save_label_png
from fullconv.data.resizing import Resize, resize_label

FOLDER = "progress"
IMAGES = 4
MOST_EPOCHS = 24
SHOWN_SIZE = Resize(longest_side=640)
"""Larger images are made smaller, each pixel keeping one class."""


class ProgressPictures(Callback):
    """Keeps what every validation says of a few fixed images as `progress/<epoch>/<key>.png`.

    Only what the validation computes anyway is used. What cannot be written is left out; no run ends for it.

    Args:
        run: the run's folder.
        data: the validation images.
        first: whether this is the first process, the one that writes.
    """

    def __init__(self, run: Path, data: Dataset, *, first: bool) -> None:
        self.folder = run / FOLDER
        self.data = data
        self.first = first
        self._wanted: frozenset[int] | None = None
        self._found: dict[int, torch.Tensor] = {}

    def on_train_start(self, trainer: lightning.Trainer, task: Any) -> None:
        if self.first:
            forget_after(self.folder, trainer.current_epoch)

    def on_validation_start(self, trainer: lightning.Trainer, task: Any) -> None:
        self._found = {}
        if self.first and self._wanted is None:
            loader: Any = trainer.val_dataloaders
            self._wanted = chosen(index for batch in loader.batch_sampler for index in batch)

    def on_validation_batch_end(
        self, trainer: lightning.Trainer, task: Any, outputs: Any, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        if not self._wanted:
            return
        for row, index in enumerate(batch.indices.tolist()):
            if index in self._wanted:
                labels = outputs[row].argmax(0)
                height, width = labels.shape
                self._found[index] = resize_label(labels.to(torch.int32), SHOWN_SIZE.size(height, width)).cpu()

    def on_validation_end(self, trainer: lightning.Trainer, task: Any) -> None:
        classes = self.data.classes
        with suppress(Exception):  # pictures are not worth a run
            for index, labels in self._found.items():
                path = picture_path(self.folder, trainer.current_epoch + 1, self.data.samples[index].key)
                save_label_png(path, labels.numpy().astype(classes.label_dtype), classes)
            thin_out(self.folder)
        self._found = {}


def chosen(indices: Iterable[int]) -> frozenset[int]:
    """A few of them, evenly spaced.

    >>> sorted(chosen(range(101)))
    [0, 33, 67, 100]
    """
    known = sorted(indices)
    places = np.linspace(0, len(known) - 1, min(IMAGES, len(known))).round().astype(int)
    return frozenset(known[place] for place in places)


def picture_path(folder: Path, epoch: int, key: str) -> Path:
    """The label file of an image in an epoch.

    >>> picture_path(Path("progress"), 3, "val/0001").as_posix()
    'progress/3/val%2F0001.png'
    """
    return folder / str(epoch) / f"{quote(key, safe='')}.png"


def kept_pictures(run: Path) -> dict[int, list[str]]:
    """Epochs of which there are pictures, and the keys of their images."""
    return {
        epoch: sorted(unquote(path.stem) for path in (run / FOLDER / str(epoch)).glob("*.png"))
        for epoch in _epochs(run / FOLDER)
    }


def thin_out(folder: Path, *, most: int = MOST_EPOCHS) -> None:
    """Keep the first, the last, and those between them that are multiples of the least power of two that suffices.

    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> for epoch in range(1, 9):
    ...     (folder / str(epoch)).mkdir()
    ...     thin_out(folder, most=4)
    >>> sorted(int(path.name) for path in folder.iterdir())
    [1, 4, 7, 8]
    """
    kept = epochs = _epochs(folder)
    spacing = 1
    while len(kept) > most:
        spacing *= 2
        kept = [epoch for epoch in epochs if epoch % spacing == 0 or epoch in (epochs[0], epochs[-1])]
    for epoch in set(epochs).difference(kept):
        shutil.rmtree(folder / str(epoch), ignore_errors=True)


def forget_after(folder: Path, epoch: int) -> None:
    """Remove the pictures of later epochs: a run that goes on from a checkpoint makes them again."""
    for later in _epochs(folder):
        if later > epoch:
            shutil.rmtree(folder / str(later), ignore_errors=True)


def _epochs(folder: Path) -> list[int]:
    if not folder.is_dir():
        return []
    return sorted(int(path.name) for path in folder.iterdir() if path.name.isdigit() and path.is_dir())
