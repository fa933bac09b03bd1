"""What a run works with from beginning to end."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from fullconv.data.dataset import Dataset
from fullconv.networks.normalization import Normalization
from fullconv.networks.reference import AnyFCN
from fullconv.networks.score_grid import ScoreGrid
from fullconv.networks.weights import TransferReport
from fullconv.training.display import TrainingDisplay
from fullconv.training.loaders import normalization_of
from fullconv.training.settings.experiment import Plan
from fullconv.workspace import Workspace


@dataclass(frozen=True)
class Job:
    """One run.

    Args:
        directory: the run's folder.
        plan: nothing is left open in it.
        data: the dataset, all splits.
        net: the network; it is trained in place.
        grid: of its scores.
        transfer: where its weights came from.
        home: holds the cache of prepared samples.
        display: shows progress.
    """

    directory: Path
    plan: Plan
    data: Dataset
    net: AnyFCN
    grid: ScoreGrid
    transfer: TransferReport
    home: Workspace
    display: TrainingDisplay

    @property
    def normalization(self) -> Normalization:
        """What the network's first layer was trained on, else what the dataset's numbers give."""
        return self.transfer.normalization or normalization_of(self.data, pretrained=self.transfer.pretrained)
