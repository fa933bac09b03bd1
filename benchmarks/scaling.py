"""Scaling on paper: what many GPUs can gain, from measured steps, gradient bytes and the cost of a ring all-reduce.

A step of N processes takes the time t of one process with its share of the batch, and the all-reduce of its gradients:

    a = 2 (N − 1) / N · S / B + 2 (N − 1) · L

for S bytes of gradients, B bytes a second on the slowest link of the ring and L seconds for every hop (Patarasuk and
Yuan 2009, Bandwidth optimal all-reduce algorithms for clusters of workstations). Without overlap the efficiency is
t / (t + a). PyTorch reduces gradients while the backward pass, two thirds of a step, goes on (Li et al. 2020, PyTorch
Distributed, section 3.2): at best t / (t + max(0, a − 2 t / 3)). What a run gets lies between the two.

Run: python benchmarks/scaling.py [--measure]
--measure times steps here, on the GPU if there is one, and adds them to results/scaling_steps.json;
both write benchmarks/results/scaling.md.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from fullconv.hardware import processor
from fullconv.networks.catalogue import build_network
from fullconv.networks.listing import list_networks
from fullconv.networks.score_grid import ScoreGrid
from fullconv.training.forecast.several import INSIDE, LINKS, Link, efficiencies, ring_seconds
from fullconv.training.forecast.single_step import SingleStep, blank_batch
from fullconv.training.plan import TrainingSet, resolve
from fullconv.training.settings.experiment import Experiment
from provenance import provenance

RESULTS = Path(__file__).parent / "results"
STEPS, RESULT = RESULTS / "scaling_steps.json", RESULTS / "scaling.md"
MEASURED = ("fcn8s-squeezenet1_1", "fcn4s-mobilenet_v2-features", "fcn8s-resnet50", "fcn8s-vgg16")
SIZE = (288, 384)
VIEWS = {"cpu": 1, "cuda": 16}
GPUS = (8, 32, 128, 512, 1024)
GPUS_IN_A_NODE = 8


def all_reduce_seconds(size: float, processes: int, link: Link) -> float:
    """The time of a ring through nodes of eight GPUs; inside one they need no other link than NVLink."""
    return ring_seconds(size, processes, INSIDE if processes <= GPUS_IN_A_NODE else link)


def measure(network: str, *, steps: int = 3) -> dict[str, Any]:
    """The shortest of a few training steps on this device; of a CPU one core's processor time, whoever else is busy."""
    torch.set_num_threads(1)
    data = TrainingSet(train=[(360, 480)] * 367, val=[(360, 480)] * 101)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    wanted = Experiment(dataset="none", network=network, crop=SIZE, batch_size=VIEWS[device], device=device)
    plan = resolve(wanted, data)
    net = build_network(network, classes=21, channels=3)
    grid = ScoreGrid.of(net)
    step = SingleStep(net.to(device), plan, grid, channels=3, classes=21)
    step.task.to(device)
    batch = blank_batch(plan.batch_size, SIZE, channels=3, device=device)
    clock = time.perf_counter if device == "cuda" else time.process_time
    times = []
    for _ in range(steps + 1):
        began = clock()
        step.train(batch)
        if device == "cuda":
            torch.cuda.synchronize()
        times.append(clock() - began)
    name = torch.cuda.get_device_name() if device == "cuda" else f"one core of {processor()}"
    times = times[1:]
    found = {"device": name, "network": network, "views": plan.batch_size, "precision": plan.precision}
    return found | {"seconds": min(times), "median": statistics.median(times)}


def lines(entries: list[dict[str, Any]]) -> Iterator[str]:
    """The result as a page."""
    yield "# Scaling on paper\n"
    yield f"{provenance('fullconv', 'torch')}. Made by `benchmarks/scaling.py`, whose first lines hold the formulas.\n"
    parameters = {entry.name: entry.parameters for entry in list_networks()}
    yield "Efficiency of so many GPUs in nodes of eight, batch per GPU fixed, float32 gradients: without overlap – with"
    yield f"the best overlap. Steps of views of {SIZE[1]}×{SIZE[0]} pixels, the shortest of three.\n"
    for device in dict.fromkeys(entry["device"] for entry in entries):
        yield f"## Steps measured on {device}\n"
        yield f"| network | views, precision | step, s | gradients | link | {' | '.join(map(str, GPUS))} |"
        yield f"|---|---|---:|---:|---|{'---:|' * len(GPUS)}"
        for entry in (entry for entry in entries if entry["device"] == device):
            size = 4 * parameters[entry["network"]]
            for link in LINKS:
                shares = (efficiencies(entry["seconds"], all_reduce_seconds(size, count, link)) for count in GPUS)
                cells = " | ".join(f"{low:.1%} – {high:.1%}" for low, high in shares)
                first = f"`{entry['network']}` | {entry['views']}, {entry['precision']} | {entry['seconds']:.3g}"
                yield f"| {first} | {size / 1e6:.1f} MB | {link.name} | {cells} |"
        yield ""
    yield "## Every network of the catalogue\n"
    yield "All-reduce of its gradients over 1,024 GPUs, in milliseconds, in float32 (4 bytes a parameter) and bfloat16"
    yield "(2); and the step that a GPU has to take for 90 % efficiency in float32 without overlap: nine times that.\n"
    links = " | ".join(f"{link.name}, f32 / bf16" for link in LINKS)
    yield f"| network | float32 | bfloat16 | {links} | step for 90 % |"
    yield f"|---|---:|---:|{'---:|' * len(LINKS)}---:|"
    for name, count in parameters.items():
        times = [[all_reduce_seconds(width * count, GPUS[-1], link) for width in (4, 2)] for link in LINKS]
        cells = " | ".join(f"{wide * 1e3:.1f} / {narrow * 1e3:.1f}" for wide, narrow in times)
        needed = " / ".join(f"{9 * wide:.2g}" for wide, _ in times)
        yield f"| `{name}` | {4 * count / 1e6:.1f} MB | {2 * count / 1e6:.1f} MB | {cells} | {needed} s |"


def main() -> None:
    """Measure if asked to, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--measure", action="store_true", help="time steps here")
    entries: list[dict[str, Any]] = json.loads(STEPS.read_text()) if STEPS.is_file() else []
    if parser.parse_args().measure:
        for network in MEASURED:
            found = measure(network)
            same = found["device"], found["network"]
            entries = [entry for entry in entries if (entry["device"], entry["network"]) != same] + [found]
            STEPS.write_text(json.dumps(entries, indent=1) + "\n")
    RESULT.write_text("\n".join(lines(entries)) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
