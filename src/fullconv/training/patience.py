"""The end of a run that no longer gets better."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import lightning
from lightning.pytorch.callbacks import EarlyStopping

from fullconv.counted import counted


class Patience(EarlyStopping):
    """Ends training after so many validations without a better mean IoU; a run that it ended stays ended when resumed.

    Args:
        patience: validations.
        say: takes the sentence for the person watching.
    """

    def __init__(self, patience: int, say: Callable[[str], None]) -> None:
        super().__init__("val/mean_iou", mode="max", patience=patience, check_on_train_epoch_end=False)
        self._say = say

    def on_train_start(self, trainer: lightning.Trainer, task: Any) -> None:
        if self.wait_count >= self.patience:
            trainer.should_stop = True

    def on_validation_end(self, trainer: lightning.Trainer, task: Any) -> None:
        super().on_validation_end(trainer, task)
        if self.wait_count >= self.patience:
            best = float(self.best_score)
            self._say(f"No mean IoU above {best:.3f} in {counted(self.wait_count, 'validation')}: training ends here.")
