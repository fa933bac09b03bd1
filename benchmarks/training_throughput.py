"""Training throughput: `fullconv` against a plain loop (eager, float32, contiguous, decoding in the loop), one run.

Both train the same network, FCN-8s on MobileNetV2, on the same generated scenes at 480×360 in batches of 4.

Run: python benchmarks/training_throughput.py [--steps 40]
writes benchmarks/results/training_throughput.md.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import lightning
import numpy as np
import torch
import torch.nn.functional as F
from lightning.pytorch.callbacks import Callback
from PIL import Image
from torch.utils.data import DataLoader, Dataset

from fullconv.data.dataset import Dataset as FullconvDataset
from fullconv.data.scenes import SCENE_CLASSES, write_scenes
from fullconv.networks.catalogue import build_network
from fullconv.networks.normalization import IMAGENET_MEAN, IMAGENET_STD, Normalization
from fullconv.training.depthwise import strided_depthwise_in_float32
from fullconv.training.experiment import Experiment
from fullconv.training.loaders import training_loader
from fullconv.training.plan import TrainingSet, resolve
from fullconv.training.task import SegmentationTask
from fullconv.workspace import Workspace
from provenance import provenance

NETWORK, BATCH, SIZE = "fcn8s-mobilenet_v2", 4, (480, 360)
WARM_UP, ROUNDS, TARGET = 6, 3, 2.0
RESULT = Path(__file__).parent / "results" / "training_throughput.md"


class PlainFiles(Dataset[tuple[torch.Tensor, torch.Tensor]]):
    """Decode, scale to 0…1, normalise, flip: what a first script does."""

    def __init__(self, root: Path) -> None:
        self.images = sorted((root / "train" / "images").iterdir())
        self.labels = sorted((root / "train" / "labels").iterdir())

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        pixels = np.array(Image.open(self.images[index]).convert("RGB"), dtype=np.float32) / 255
        image = torch.from_numpy((pixels - np.float32(IMAGENET_MEAN)) / np.float32(IMAGENET_STD)).permute(2, 0, 1)
        label = torch.from_numpy(np.array(Image.open(self.labels[index]), dtype=np.int64))
        return (image.flip(-1), label.flip(-1)) if torch.rand(()) < 0.5 else (image, label)


def plain(root: Path, steps: int) -> tuple[float, float]:
    """Images per second and share of time spent waiting for the loader."""
    torch.manual_seed(0)
    net = build_network(NETWORK, classes=len(SCENE_CLASSES)).train()
    optimizer = torch.optim.AdamW(net.parameters(), 1e-3)
    loader = DataLoader(PlainFiles(root), BATCH, shuffle=True, drop_last=True)
    step, waited, started = 0, 0.0, 0.0
    while True:
        mark = time.perf_counter()
        for images, labels in loader:
            waited += time.perf_counter() - mark
            loss = F.cross_entropy(net(images), labels, ignore_index=len(SCENE_CLASSES))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            mark = time.perf_counter()
            step += 1
            if step == WARM_UP:
                started, waited = mark, 0.0
            if step == WARM_UP + steps:
                seconds = mark - started
                return steps * BATCH / seconds, waited / seconds


class Clock(Callback):
    """Times steps after a warm-up, and the waits between them."""

    def __init__(self) -> None:
        self.started = self.mark = self.waited = self.ended = 0.0

    def on_train_batch_start(self, trainer: Any, *rest: Any) -> None:
        self.waited += time.perf_counter() - self.mark

    def on_train_batch_end(self, trainer: Any, *rest: Any) -> None:
        self.mark = self.ended = time.perf_counter()
        if trainer.global_step == WARM_UP:
            self.started, self.waited = self.mark, 0.0


def ours(root: Path, steps: int, home: Workspace) -> tuple[float, float, str]:
    """The same for `fullconv` with its own choices of precision, layout, workers and cache."""
    data = FullconvDataset.from_folders(root)
    experiment = Experiment(
        dataset="scenes", network=NETWORK, weights="random", batch_size=BATCH, crop=(SIZE[1], SIZE[0])
    )
    plan = resolve(experiment, TrainingSet(data.train.sizes, data.val.sizes))
    normalization = Normalization.imagenet()
    loader = training_loader(data.train, plan, normalization, home)
    torch.manual_seed(0)
    net = build_network(NETWORK, classes=len(data.classes)).to(memory_format=torch.channels_last)
    task = SegmentationTask(
        net,
        normalization,
        classes=len(data.classes),
        ignore=data.classes.ignore_index,
        optimization=plan.optimization,
        steps=WARM_UP + steps,
        pretrained=False,
    )
    clock = Clock()
    trainer = lightning.Trainer(
        accelerator="gpu" if plan.device == "cuda" else "cpu",
        devices=1,
        precision="bf16-mixed" if plan.precision == "bf16" else "32-true",
        max_steps=WARM_UP + steps,
        callbacks=[clock],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
    )
    with strided_depthwise_in_float32(net, wanted=plan.device == "cpu" and plan.precision == "bf16"):
        trainer.fit(task, loader)
    seconds = clock.ended - clock.started
    return steps * BATCH / seconds, clock.waited / seconds, plan.precision


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=40)
    steps = parser.parse_args().steps
    rates: dict[str, list[float]] = {"plain": [], "ours": []}
    waits: dict[str, list[float]] = {"plain": [], "ours": []}
    with tempfile.TemporaryDirectory() as folder:
        root = write_scenes(Path(folder) / "scenes", count=(WARM_UP + steps + 8) * BATCH * 10 // 7, size=SIZE)
        for _ in range(ROUNDS):
            rate, wait = plain(root, steps)
            rates["plain"].append(rate)
            waits["plain"].append(wait)
            rate, wait, precision = ours(root, steps, Workspace(Path(folder) / "home"))
            rates["ours"].append(rate)
            waits["ours"].append(wait)
    fast, slow = statistics.median(rates["ours"]), statistics.median(rates["plain"])
    plain_wait, our_wait = statistics.median(waits["plain"]), statistics.median(waits["ours"])
    versions = provenance("torch", "torchvision", "lightning", "numpy")
    rows = [
        "# Training throughput",
        "",
        f"{NETWORK}, {SIZE[0]}×{SIZE[1]}, batch {BATCH}; median of {ROUNDS} interleaved rounds of {steps} steps.",
        "",
        "| loop | images/s | waiting for the loader |",
        "|---|---:|---:|",
        f"| plain: eager, float32, contiguous, decoding in the loop | {slow:.1f} | {plain_wait:.1%} |",
        f"| fullconv ({precision}, channels-last, cached samples) | {fast:.1f} | {our_wait:.1%} |",
        "",
        f"Ratio **{fast / slow:.2f}** (target on a processor with bfloat16: {TARGET}).",
        "",
        f"{versions}. Command: `python benchmarks/training_throughput.py`.",
    ]
    RESULT.write_text("\n".join(rows) + "\n", encoding="utf-8")
    print("\n".join(rows))


if __name__ == "__main__":
    main()
