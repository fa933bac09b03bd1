"""What does checkpointing cost? Training steps with it and without it, in turns, on the same batch.

Run: python benchmarks/checkpointing_time.py   (about three minutes on two cores; 4 GiB of memory)
writes benchmarks/results/checkpointing_time.md.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch

from fullconv.networks.catalogue import build_network
from fullconv.networks.score_grid import ScoreGrid
from fullconv.training.depthwise import strided_depthwise_in_float32
from fullconv.training.forecast.single_step import SingleStep, blank_batch
from memory_plan import CLASSES, plan_for
from provenance import provenance

RESULT = Path(__file__).parent / "results" / "checkpointing_time.md"
ROUNDS = 7
CASES = [
    ("fcn8s-squeezenet1_1", 1, (980, 980), "fp32"),
    ("fcn8s-mobilenet_v2", 1, (980, 980), "fp32"),
    ("fcn8s-mobilenet_v2", 1, (980, 980), "bf16"),
    ("fcn4s-mobilenet_v2-features", 4, (288, 384), "bf16"),
    ("fcn8s-resnet18", 4, (288, 384), "fp32"),
    ("fcn8s-vgg16", 1, (490, 490), "fp32"),
]


def step_of(name: str, batch: int, size: tuple[int, int], precision: str, *, checkpointing: bool) -> Callable[[], None]:
    """One training step, to be called again and again."""
    net = build_network(name, classes=CLASSES).to(memory_format=torch.channels_last)
    step = SingleStep(
        net, plan_for(batch, size, precision, "adamw", checkpointing), ScoreGrid.of(net), channels=3, classes=CLASSES
    )
    images = blank_batch(batch, size, channels=3)

    def run() -> None:
        with strided_depthwise_in_float32(net, wanted=precision == "bf16"):
            step.train(images)

    return run


def seconds(run: Callable[[], None]) -> float:
    """Of one step."""
    began = time.perf_counter()
    run()
    return time.perf_counter() - began


def main() -> None:
    """One row per network."""
    rows = []
    for name, batch, (height, width), precision in CASES:
        kept, again = (step_of(name, batch, (height, width), precision, checkpointing=on) for on in (False, True))
        kept(), again()
        times = [(seconds(kept), seconds(again)) for _ in range(ROUNDS)]
        plain, longer = statistics.median(one for one, _ in times), statistics.median(two for _, two in times)
        ratios = sorted(two / one for one, two in times)
        rows.append(
            f"| {name} | {width}×{height} | {batch} | {precision} | {plain:.2f} | {longer:.2f} "
            f"| {longer / plain - 1:+.0%} ({ratios[0] - 1:+.0%} to {ratios[-1] - 1:+.0%}) |"
        )
        print(rows[-1], flush=True)
    text = (
        "# Time of a training step with checkpointing\n\n"
        f"Medians of {ROUNDS} steps each (forward, backward, AdamW), taken in turns; the spread is that of pairs.\n\n"
        "| network | image | batch | precision | s, everything kept | s, computed again | longer |\n"
        "|---|---|---:|---|---:|---:|---:|\n"
        + "\n".join(rows)
        + f"\n\n{provenance('torch', 'torchvision')}. Command: `python benchmarks/checkpointing_time.py`.\n"
    )
    RESULT.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
