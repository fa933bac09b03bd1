"""Is the forecast of memory right? Peaks of real training steps, each in a fresh process, against `MemoryForecast`.

Run: python benchmarks/memory_plan.py   (about 25 minutes on two cores; 4 GiB of memory)
writes benchmarks/results/memory_plan.md.
"""

from __future__ import annotations

import ctypes
import gc
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch

from fullconv.networks.catalogue import build_network
from fullconv.networks.score_grid import ScoreGrid
from fullconv.progress import track
from fullconv.training.depthwise import strided_depthwise_in_float32
from fullconv.training.forecast.memory import MemoryForecast
from fullconv.training.forecast.single_step import SingleStep, blank_batch
from fullconv.training.settings.experiment import Plan
from fullconv.training.settings.optimization import Optimization
from provenance import provenance

MIB = 2**20
CLASSES = 12
STEPS = 6
RESULT = Path(__file__).parent / "results" / "memory_plan.md"
FITTED = [
    ("fcn8s-squeezenet1_1", 1, (490, 490), "bf16", "adamw"),
    ("fcn8s-squeezenet1_1", 4, (360, 480), "bf16", "adamw"),
    ("fcn8s-mobilenet_v2", 1, (490, 490), "fp32", "adamw"),
    ("fcn8s-mobilenet_v2", 1, (490, 490), "bf16", "adamw"),
    ("fcn2s-compact-features", 8, (180, 240), "bf16", "adamw"),
    ("fcn8s-resnet18", 4, (288, 384), "fp32", "adamw"),
]
"""What the factor and the constant were fitted on."""
HELD_OUT = [
    ("fcn8s-squeezenet1_1", 1, (980, 980), "fp32", "adamw"),
    ("fcn8s-squeezenet1_1", 1, (980, 980), "bf16", "adamw"),
    ("fcn8s-mobilenet_v2", 1, (980, 980), "fp32", "adamw"),
    ("fcn8s-mobilenet_v2", 1, (980, 980), "bf16", "adamw"),
    ("fcn8s-vgg16", 1, (980, 980), "fp32", "adamw"),
    ("fcn8s-vgg16", 1, (980, 980), "bf16", "adamw"),
    ("fcn4s-mobilenet_v2-features", 4, (288, 384), "fp32", "adamw"),
    ("fcn4s-mobilenet_v2-features", 8, (288, 384), "bf16", "adamw"),
    ("fcn8s-resnet18", 4, (360, 480), "bf16", "adamw"),
    ("fcn8s-resnet50", 2, (360, 480), "fp32", "adamw"),
    ("fcn8s-resnet50", 2, (360, 480), "bf16", "sgd"),
    ("fcn2s-compact-features", 8, (180, 240), "fp32", "adamw"),
    ("fcn32s-alexnet", 4, (500, 500), "fp32", "sgd"),
    ("fcn8s-vgg16", 2, (320, 320), "fp32", "sgd"),
    ("fcn8s-vgg16", 2, (320, 320), "bf16", "adamw"),
    ("fcn4s-mobilenet_v3_large-features", 4, (360, 480), "bf16", "adamw"),
]
CHECKPOINTED_FITTED = [
    ("fcn8s-squeezenet1_1", 1, (490, 490), "fp32", "adamw", True),
    ("fcn8s-mobilenet_v2", 1, (490, 490), "fp32", "adamw", True),
    ("fcn8s-mobilenet_v2", 1, (490, 490), "bf16", "adamw", True),
    ("fcn4s-mobilenet_v2-features", 4, (288, 384), "bf16", "adamw", True),
    ("fcn8s-resnet18", 4, (288, 384), "fp32", "adamw", True),
    ("fcn8s-resnet50", 2, (360, 480), "fp32", "adamw", True),
    ("fcn8s-vgg16", 2, (320, 320), "fp32", "sgd", True),
    ("fcn8s-vgg16", 1, (980, 980), "fp32", "adamw", True),
]
"""What their factor was fitted on."""
CHECKPOINTED = [
    ("fcn8s-squeezenet1_1", 4, (360, 480), "bf16", "adamw", True),
    ("fcn8s-mobilenet_v2", 2, (360, 480), "fp32", "sgd", True),
    ("fcn8s-resnet18", 4, (360, 480), "bf16", "adamw", True),
    ("fcn32s-alexnet", 4, (500, 500), "fp32", "sgd", True),
]


def plan_for(batch: int, size: tuple[int, int], precision: str, optimizer: str, checkpointing: bool = False) -> Plan:
    """A plan with nothing in it but what memory depends on."""
    return Plan.model_validate(
        {
            "dataset": "none",
            "crop": size,
            "batch_size": batch,
            "epochs": 1,
            "views": 1,
            "validate_every": 1,
            "precision": precision,
            "device": "cpu",
            "workers": 0,
            "checkpointing": checkpointing,
            "optimization": Optimization.model_validate({"optimizer": optimizer}).decided(),
        }
    )


def _status(field: str) -> int:
    found = re.search(rf"{field}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found is not None
    return int(found[1]) * 1024


def _steps(name: str, batch: int, size: tuple[int, int], *settings: Any, count: int) -> None:
    net = build_network(name, classes=CLASSES).to(memory_format=torch.channels_last)
    plan = plan_for(batch, size, *settings)
    step = SingleStep(net, plan, ScoreGrid.of(net), channels=3, classes=CLASSES)
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")  # the peak counts from here on; building may have taken more
    with strided_depthwise_in_float32(net, wanted=plan.precision == "bf16"):
        for _ in range(count):
            step.train(blank_batch(batch, size, channels=3))


def measure(name: str, batch: int, size: tuple[int, int], precision: str, *settings: Any) -> int:
    """Bytes over the idle process, in this process; a small network has run before, so that kernels are loaded."""
    _steps("fcn8s-squeezenet1_1", 2, (64, 64), precision, "adamw", *settings[1:], count=2)
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    idle = _status("VmRSS")
    _steps(name, batch, size, precision, *settings, count=STEPS)
    return _status("VmHWM") - idle


def predict(name: str, batch: int, size: tuple[int, int], *settings: Any) -> int:
    """Bytes by the forecast."""
    net = build_network(name, classes=CLASSES)
    plan = plan_for(batch, size, *settings)
    return MemoryForecast(net, plan, ScoreGrid.of(net), channels=3, classes=CLASSES).of(batch).training


def _measured_apart(case: tuple[Any, ...]) -> int:
    command = [sys.executable, __file__, json.dumps(case)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return int(done.stdout.splitlines()[-1])


def main() -> None:
    """One row per combination, those of the fit apart from the others."""
    tables = []
    parts = (
        ("Held out", HELD_OUT),
        ("Held out, with checkpointing", CHECKPOINTED),
        ("Used for the fit", FITTED),
        ("Used for the fit, with checkpointing", CHECKPOINTED_FITTED),
    )
    for title, cases in parts:
        rows, errors = [], []
        for case in track(cases, title):
            name, batch, (height, width), precision, optimizer = case[:5]
            expected, found = predict(*case), _measured_apart(case)
            errors.append(expected / found - 1)
            rows.append(
                f"| {name} | {width}×{height} | {batch} | {precision} | {optimizer} | {expected / MIB:.0f} "
                f"| {found / MIB:.0f} | {errors[-1]:+.1%} |"
            )
            print(rows[-1], flush=True)
        worst, within = max(errors, key=abs), sum(abs(error) <= 0.15 for error in errors)
        tables.append(
            f"## {title}\n\n"
            "| network | image | batch | precision | optimiser | predicted MiB | measured MiB | error |\n"
            "|---|---|---:|---|---|---:|---:|---:|\n" + "\n".join(rows) + f"\n\n{within} of {len(rows)} within 15 %; "
            f"largest error {worst:+.1%}, mean of the absolute errors {sum(map(abs, errors)) / len(errors):.1%}.\n"
        )
    text = (
        "# Memory of a training step: predicted and measured\n\n"
        f"Peak resident memory of {STEPS} steps (forward, backward, optimiser), over the idle process with its "
        "libraries loaded, each combination in a fresh process. The prediction runs nothing: storages are followed by "
        "shape and laid out as glibc's malloc would (`memory.py` and `heap.py` in `training/forecast/`); that part is "
        "multiplied by 1.25, with checkpointing what comes and goes of it by 2, and 16 MiB are added, all fitted.\n\n"
        + "\n".join(tables)
        + "\n"
        f"{provenance('torch', 'torchvision')}. Command: `python benchmarks/memory_plan.py`.\n"
    )
    RESULT.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    torch.set_num_threads(1)
    if len(sys.argv) > 1:
        given = json.loads(sys.argv[1])
        print(measure(given[0], given[1], tuple(given[2]), *given[3:]))
    else:
        main()
