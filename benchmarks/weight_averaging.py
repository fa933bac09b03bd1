"""Does a moving average of the weights help? The demo's training with and without one, for two seeds.

Run: python benchmarks/weight_averaging.py   (about 18 minutes on two cores)
writes benchmarks/results/weight_averaging.md.
"""

from __future__ import annotations

import tempfile
from itertools import product
from pathlib import Path

from fullconv.cli.demo import NETWORK, SCENES, SEED, SETTINGS, SIZE
from fullconv.data.dataset import Dataset
from fullconv.data.scenes import write_scenes
from fullconv.training.fit import train
from fullconv.workspace import Workspace
from provenance import provenance

SEEDS = (0, 1)
DECAYS = (None, 0.98, 0.995)


def main() -> None:
    """Train once per seed and decay; the test scores of the best checkpoint."""
    with tempfile.TemporaryDirectory() as folder:
        home = Workspace(Path(folder) / "workspace")
        scenes = write_scenes(Path(folder) / "scenes", count=SCENES, seed=SEED, size=SIZE)
        Dataset.from_folders(scenes, name="streets").save(home)
        print("| seed | decay per step | pixel accuracy | mean IoU |\n|---:|---|---:|---:|")
        for seed, decay in product(SEEDS, DECAYS):
            optimization = SETTINGS["optimization"] | {"ema": decay}
            settings = SETTINGS | {"seed": seed, "optimization": optimization}
            scores = train("streets", NETWORK, workspace=home, settings=settings, quiet=True).scores
            shown = "none" if decay is None else str(decay)
            print(f"| {seed} | {shown} | {scores.pixel_accuracy:.4f} | {scores.mean_iou:.4f} |", flush=True)
    print("\n" + provenance("torch", "torchvision", "lightning"))


if __name__ == "__main__":
    main()
