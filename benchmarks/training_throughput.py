"""Training throughput: FullConv, a Lightning loop as smp's users write it, and a loop as in torchvision's references.

One run, the same network, views of one size in batches of one size; everything else is each loop's own default:
precision, memory layout, decoding, workers (no more than there are cores), loss, optimiser, counting. Every loop trains
two epochs over the same generated scenes, of which the second is timed, from its start to the end of its last step.
FullConv decodes and resizes every image once, before the first epoch; what that takes is told beside the rates.

Run: python benchmarks/training_throughput.py [--steps 40] [--rounds 3] [--network NAME]
(about 15 minutes on two cores) writes benchmarks/results/training_throughput.md.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning
import torch
import torch.nn.functional as F
from lightning.pytorch.callbacks import Callback
from torch import nn

from fullconv.data.dataset import Dataset
from fullconv.data.scenes import write_scenes
from fullconv.evaluation.metrics_table import read_rows
from fullconv.networks.catalogue import build_network
from fullconv.training.display import TrainingDisplay
from fullconv.training.distribution.processes import Processes
from fullconv.training.engine import fit_network, quiet_lightning
from fullconv.training.job import Job
from fullconv.training.loaders import prepare_samples
from fullconv.training.preparing import readied
from fullconv.training.runs import new_run
from fullconv.training.settings.experiment import DEFAULT_NETWORK, Experiment, Plan
from fullconv.training.status import read_status
from fullconv.workspace import Workspace
from other_loops import ReferenceViews, SmpTask, SmpViews, loader_of
from provenance import provenance

SIZE, EPOCHS, TARGET, MOST_WAIT = (480, 360), 2, 1.5, 0.05
SMP_WORKERS, REFERENCE_WORKERS = 4, 16
RESULT = Path(__file__).parent / "results" / "training_throughput.md"


@dataclass(frozen=True)
class Timed:
    """One loop in one round.

    Args:
        rate: images per second.
        wait: share of the time spent waiting for the loader.
    """

    rate: float
    wait: float


def cores() -> int:
    """That this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def fresh_network(plan: Plan, data: Dataset) -> nn.Module:
    """The network that all train, with the same start values."""
    torch.manual_seed(plan.seed)
    return build_network(plan.network, classes=len(data.classes))


def ours(data: Dataset, plan: Plan, home: Workspace) -> Timed:
    """FullConv's own fit, with its recorder, guard, checkpoints and validations; the figures are those that it logs."""
    ready, net, grid, report = readied(Experiment.model_validate(plan.model_dump()), data)
    run = new_run(home, data.name, ready)
    job = Job(run, ready, data, net, grid, report, home, TrainingDisplay(quiet=True))
    fit_network(job, read_status(run), Processes())
    row = [row for row in read_rows(run / "metrics.csv") if row["split"] == "train" and row["seconds"]][-1]
    return Timed(float(row["images_per_second"]), float(row["loader_wait"]))


class Clock(Callback):
    """Times the last epoch of a Lightning loop, and its waits."""

    def __init__(self) -> None:
        self.started = self.mark = self.waited = 0.0
        self.steps = 0

    def on_train_epoch_start(self, trainer: Any, *rest: Any) -> None:
        self.started = self.mark = time.perf_counter()
        self.waited, self.steps = 0.0, 0

    def on_train_batch_start(self, trainer: Any, *rest: Any) -> None:
        self.waited += time.perf_counter() - self.mark

    def on_train_batch_end(self, trainer: Any, *rest: Any) -> None:
        self.mark = time.perf_counter()
        self.steps += 1

    def timed(self, batch_size: int) -> Timed:
        seconds = self.mark - self.started
        return Timed(self.steps * batch_size / seconds, self.waited / seconds)


def smp_users(data: Dataset, plan: Plan, home: Workspace) -> Timed:
    """Lightning as in smp's notebooks; without the checkpoints, logger and progress bar that it has by default."""
    loader = loader_of(SmpViews(data.train, plan.crop), plan.batch_size, min(SMP_WORKERS, cores()))
    task = SmpTask(
        fresh_network(plan, data),
        classes=len(data.classes),
        ignore=data.classes.ignore_index,
        steps=EPOCHS * len(loader),
    )
    clock = Clock()
    with quiet_lightning():
        trainer = lightning.Trainer(
            max_epochs=EPOCHS,
            callbacks=[clock],
            default_root_dir=home.root,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
        trainer.fit(task, loader)
    return clock.timed(plan.batch_size)


def reference(data: Dataset, plan: Plan, home: Workspace) -> Timed:
    """references/segmentation/train.py: SGD at 0.01 with momentum and decay, poly policy, cross-entropy, float32."""
    device = torch.device(plan.device)
    net = fresh_network(plan, data).to(device).train()
    loader = loader_of(ReferenceViews(data.train, plan.crop), plan.batch_size, min(REFERENCE_WORKERS, cores()))
    optimizer = torch.optim.SGD(net.parameters(), lr=0.01, momentum=0.9, weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.PolynomialLR(optimizer, total_iters=EPOCHS * len(loader), power=0.9)
    seconds = waited = 0.0
    for _ in range(EPOCHS):
        started = mark = time.perf_counter()
        waited = 0.0
        for images, labels in loader:
            waited += time.perf_counter() - mark
            images, labels = images.to(device), labels.to(device)
            loss = F.cross_entropy(net(images), labels, ignore_index=data.classes.ignore_index)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            loss.item()
            mark = time.perf_counter()
        seconds = mark - started
    return Timed(len(loader) * plan.batch_size / seconds, waited / seconds)


LOOPS: dict[str, Callable[[Dataset, Plan, Workspace], Timed]] = {
    "smp": smp_users,
    "torchvision": reference,
    "fullconv": ours,
}


def main() -> None:
    """Interleaved rounds; medians."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=40, help="of an epoch, about")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--network", default=DEFAULT_NETWORK)
    parser.add_argument("--out", type=Path, default=RESULT)
    chosen = parser.parse_args()
    found: dict[str, list[Timed]] = {name: [] for name in LOOPS}
    with tempfile.TemporaryDirectory() as folder:
        home = Workspace(Path(folder) / "workspace")
        asked = Experiment(dataset="scenes", network=chosen.network, weights="random", epochs=EPOCHS, views=1)
        data = Dataset.from_folders(write_scenes(Path(folder) / "scenes", count=chosen.steps * 12, size=SIZE))
        plan, *_ = readied(asked, data)
        whole = len(data.train) // plan.batch_size * plan.batch_size  # every loop has the same whole batches
        wanted = {id(sample) for sample in data.train.samples[:whole]}
        wanted |= {id(sample) for sample in data.val.samples[: 2 * plan.batch_size]}
        data = data.subset([sample for sample in data.samples if id(sample) in wanted])
        began = time.perf_counter()
        prepare_samples(data, plan, home)
        preparation = time.perf_counter() - began
        for number in range(chosen.rounds):
            for name, loop in LOOPS.items():
                found[name].append(loop(data, plan, home))
                print(f"round {number + 1}, {name}: {found[name][-1]}", flush=True)
    text = page(found, plan, whole, preparation, chosen)
    chosen.out.write_text(text, encoding="utf-8")
    print(text)


def page(found: dict[str, list[Timed]], plan: Plan, images: int, preparation: float, chosen: argparse.Namespace) -> str:
    """The table, with medians and the ratio to the better of the others."""
    rate = {name: statistics.median(timed.rate for timed in rounds) for name, rounds in found.items()}
    wait = {name: statistics.median(timed.wait for timed in rounds) for name, rounds in found.items()}
    ratio = rate["fullconv"] / max(rate["smp"], rate["torchvision"])
    ratios = [
        mine.rate / max(smp.rate, torchvision.rate)
        for mine, smp, torchvision in zip(found["fullconv"], found["smp"], found["torchvision"], strict=True)
    ]
    labels = {
        "smp": "Lightning as smp's users write it: float32, decoding in the loop, Dice, Adam",
        "torchvision": "torchvision's references: float32, decoding in the loop, cross-entropy, SGD",
        "fullconv": f"FullConv: {plan.precision}, channels-last, prepared samples, default loss and optimiser",
    }
    rows = [
        f"| {label} | {rate[name]:.1f} | {min(t.rate for t in found[name]):.1f} to "
        f"{max(t.rate for t in found[name]):.1f} | {wait[name]:.1%} |"
        for name, label in labels.items()
    ]
    saved = images / max(rate["smp"], rate["torchvision"]) - images / rate["fullconv"]
    even = f"made up for after {preparation / saved:.1f} epochs" if saved > 0 else "never made up for"
    height, width = plan.crop
    command = f"python benchmarks/training_throughput.py --steps {chosen.steps} --rounds {chosen.rounds}"
    command += "" if chosen.network == DEFAULT_NETWORK else f" --network {chosen.network}"
    return "\n".join(
        [
            "# Training throughput",
            "",
            *(__doc__ or "").split("\n\n")[1].splitlines(),
            "",
            f"{plan.network} from random weights, {images} scenes of {SIZE[0]}×{SIZE[1]}, views of {width}×{height}, "
            f"batch {plan.batch_size}, on {plan.device}; median of {chosen.rounds} interleaved rounds.",
            "",
            "| loop | images/s | from … to | waiting for the loader |",
            "|---|---:|---:|---:|",
            *rows,
            "",
            f"Ratio to the better of the two others: **{ratio:.2f}** ({min(ratios):.2f} to {max(ratios):.2f} by round; "
            f"wanted on a processor with bfloat16: {TARGET}, and less than {MOST_WAIT:.0%} of the time waiting).",
            "",
            f"FullConv's preparation: {preparation:.1f} s for all images, validation too; {even} of {images} images.",
            "",
            f"{provenance('torch', 'torchvision', 'lightning', 'segmentation-models-pytorch')}. Command: `{command}`.",
            "",
        ]
    )


if __name__ == "__main__":
    main()
