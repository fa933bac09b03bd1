"""Confusion matrix of label maps: `fullconv.evaluation` against torchmetrics' stock metric, in the same run.

Run: python benchmarks/confusion.py [--size 1024] [--classes 21] [--rounds 15] [--threads 1] [--device cpu]
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import numpy as np
import torch
from torchmetrics.classification import MulticlassConfusionMatrix

from fullconv.evaluation.confusion import ConfusionMatrix
from fullconv.evaluation.counting import count_confusion
from provenance import provenance

IGNORE = 255


def label_maps(size: int, classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Truth and prediction (size, size) uint8: coherent blobs, 5 % ignored, 15 % wrong."""
    generator = np.random.default_rng(0)
    blobs = generator.integers(0, classes, (size // 32 + 1, size // 32 + 1), dtype=np.uint8)
    truth = blobs.repeat(32, axis=0).repeat(32, axis=1)[:size, :size].copy()
    wrong = generator.random(truth.shape) < 0.15
    prediction = np.where(wrong, generator.integers(0, classes, truth.shape, dtype=np.uint8), truth)
    truth[generator.random(truth.shape) < 0.05] = IGNORE
    return truth, prediction


def medians(sides: dict[str, Callable[[], object]], rounds: int, device: str) -> dict[str, float]:
    """Milliseconds per side: the median of interleaved rounds after one to warm up."""
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for round_number in range(rounds + 1):
        for name, run in sides.items():
            started = time.perf_counter()
            run()
            if device != "cpu":
                torch.cuda.synchronize()
            if round_number:
                seconds[name].append(time.perf_counter() - started)
    return {name: 1000 * statistics.median(times) for name, times in seconds.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=1024)
    parser.add_argument("--classes", type=int, default=21)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    chosen = parser.parse_args()
    torch.set_num_threads(chosen.threads)

    truth, prediction = label_maps(chosen.size, chosen.classes)
    small = [torch.from_numpy(labels).to(chosen.device) for labels in (prediction, truth)]
    wide = [labels.long() for labels in small]
    ours = ConfusionMatrix(classes=chosen.classes, ignore=IGNORE).to(chosen.device)
    stock = MulticlassConfusionMatrix(chosen.classes, ignore_index=IGNORE).to(chosen.device)
    unchecked = MulticlassConfusionMatrix(chosen.classes, ignore_index=IGNORE, validate_args=False).to(chosen.device)

    for metric in (ours, stock):
        metric.update(*wide)
    assert torch.equal(ours.compute(), stock.compute().long()), "the two sides disagree"

    sides: dict[str, Callable[[], object]] = {
        "torchmetrics, as it comes (int64)": lambda: stock.update(*wide),
        "torchmetrics, validate_args=False (int64)": lambda: unchecked.update(*wide),
        "ConfusionMatrix (int64)": lambda: ours.update(*wide),
        "ConfusionMatrix (uint8)": lambda: ours.update(*small),
    }
    if chosen.device == "cpu":
        sides["count_confusion, NumPy (uint8)"] = lambda: count_confusion(truth, prediction, chosen.classes, IGNORE)
    measured = medians(sides, chosen.rounds, chosen.device)
    reference = measured["torchmetrics, as it comes (int64)"]
    for name, milliseconds in measured.items():
        print(f"{name:44s} {milliseconds:8.2f} ms   {reference / milliseconds:5.1f} ×")

    device = "" if chosen.device == "cpu" else f"{torch.cuda.get_device_name()}; "
    print(
        f"{chosen.size}² pixels, {chosen.classes} classes, both sides agree; median of {chosen.rounds} rounds; "
        f"{device}{chosen.threads} thread(s); {provenance('torch', 'torchmetrics', 'numpy')}"
    )


if __name__ == "__main__":
    main()
