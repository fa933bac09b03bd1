"""Checkpoints: the best and the last epoch, written so that a crash never leaves half of one."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.plugins.io import TorchCheckpointIO

from fullconv.files import disk_errors

LAST, BEST = "last", "best"


class AtomicCheckpoints(TorchCheckpointIO):
    """Written beside their place on the same disk, flushed, then renamed."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        final = Path(path)
        partial = final.with_name(f".{final.name}.partial")
        with disk_errors(final):
            final.parent.mkdir(parents=True, exist_ok=True)
            try:
                with partial.open("wb") as stream:
                    torch.save(checkpoint, stream)
                    stream.flush()
                    os.fsync(stream.fileno())
                partial.replace(final)
            finally:
                partial.unlink(missing_ok=True)


class MovableCheckpoint(ModelCheckpoint):
    """Remembers its best score when the run's folder was moved."""

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        folder = Path(str(self.dirpath))

        def moved(path: str) -> str:
            return str(folder / Path(path).name) if path else path

        known = {moved(path): score for path, score in state_dict["best_k_models"].items()}
        paths = {key: moved(state_dict[key]) for key in ("best_model_path", "kth_best_model_path", "last_model_path")}
        super().load_state_dict({**state_dict, **paths, "best_k_models": known, "dirpath": str(folder)})


def checkpoint_callbacks(folder: Path) -> list[ModelCheckpoint]:
    """The best epoch by validation mean IoU, and the last whole epoch."""
    folder = folder.absolute()
    best = MovableCheckpoint(
        folder,
        filename=BEST,
        monitor="val/mean_iou",
        mode="max",
        save_top_k=1,
        every_n_epochs=1,
        save_on_train_epoch_end=True,
        enable_version_counter=False,
    )
    last = MovableCheckpoint(
        folder, filename=LAST, every_n_epochs=1, save_on_train_epoch_end=True, enable_version_counter=False
    )
    return [best, last]


def last_checkpoint(directory: Path) -> Path | None:
    """What a run goes on from; None where no epoch was finished."""
    path = directory / "checkpoints" / f"{LAST}.ckpt"
    return path if path.is_file() else None


def go_back_to_best(directory: Path) -> None:
    """Make the best epoch the one that a run goes on from; nothing where there is no best one."""
    folder = directory / "checkpoints"
    best, last, partial = folder / f"{BEST}.ckpt", folder / f"{LAST}.ckpt", folder / f".{LAST}.ckpt.partial"
    if best.is_file():
        with disk_errors(last):
            try:
                shutil.copyfile(best, partial)
                partial.replace(last)
            finally:
                partial.unlink(missing_ok=True)
