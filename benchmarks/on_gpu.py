"""A graphics card: images per second and memory of a training step, and CamVid in a quarter of an hour, per network.

For each network FullConv's own trial times a few steps of its default plan and measures the card's peak; then CamVid is
trained with as many epochs as fit into the minutes, and the best epoch by validation is scored once on the test images.

Run: python benchmarks/on_gpu.py --camvid FOLDER [--weights NET=FILE …] [--minutes 15] [--networks …] [--out FOLDER]
(a quarter of an hour for each network) writes benchmarks/results/on_gpu.md. Networks without a weight file start from
random weights. --device cpu tries the benchmark itself where there is no card.
"""

from __future__ import annotations

import argparse
import time
from functools import partial
from pathlib import Path
from typing import Any

import torch

from fullconv.data.dataset import Dataset
from fullconv.evaluation.scores import Scores
from fullconv.training.fit import train
from fullconv.training.forecast.forecasting import forecast
from fullconv.workspace import Workspace
from records import Result, recorded, stamps, whole

HERE = Path(__file__).parent
RESULT, OUT = HERE / "results" / "on_gpu.md", HERE.parent / "build" / "on_gpu"
NETWORKS = ("fcn8s-vgg16", "fcn4s-mobilenet_v2-features", "fcn8s-resnet50")
FEWEST_EPOCHS = 2
MIB = 2**20


def weights_of(network: str, given: list[str]) -> str:
    """The weight file of a network's backbone, as it was named; "random" where none was."""
    files = dict(item.split("=", 1) for item in given)
    return next((file for backbone, file in files.items() if backbone in network), "random")


def measured(network: str, weights: str, chosen: argparse.Namespace, home: Workspace) -> Result:
    """Trial and run of one network."""
    settings: dict[str, Any] = {"network": network, "weights": weights, "device": chosen.device, "seed": 0}
    told = forecast("camvid", workspace=home, settings=settings)
    assert told.trial is not None
    assert told.times is not None
    plan = told.recommended
    epoch = told.times.epoch + told.times.validation / plan.validate_every
    fixed = told.times.preparation + told.times.start + told.times.evaluation
    epochs = max(FEWEST_EPOCHS, int((chosen.minutes * 60 - fixed) / epoch))
    began = time.monotonic()
    fitting = {"batch_size": plan.batch_size, "epochs": epochs, "checkpointing": plan.checkpointing}
    run = train("camvid", workspace=home, quiet=True, settings=settings | fitting)
    return {
        "rate": plan.batch_size / told.trial.step,
        "peak": told.trial.peak,
        "forecast": next((each.total for each in told.batches if each.batch_size == plan.batch_size), None),
        "batch_size": plan.batch_size,
        "precision": plan.precision,
        "crop": list(plan.crop),
        "epochs": epochs,
        "minutes": (time.monotonic() - began) / 60,
        "scores": run.scores.as_dict(),
    }


def page(results: dict[str, tuple[str, Result]], card: str) -> str:
    """One row per network."""
    lines = [
        f"# On {card}",
        "",
        *(__doc__ or "").split("\n\n")[1].splitlines(),
        "",
        "| network | weights | view, batch, precision | images/s | peak MiB (forecast) | epochs, minutes "
        "| test mean IoU | test pixel accuracy |",
        "|---|---|---|---:|---:|---:|---:|---:|",
    ]
    for network, (weights, found) in results.items():
        scores = Scores.from_dict(found["scores"])
        peak = "–" if found["peak"] is None else f"{found['peak'] / MIB:,.0f}"
        told = "–" if found["forecast"] is None else f"{found['forecast'] / MIB:,.0f}"
        lines.append(
            f"| {network} | {Path(weights).name} | {found['crop'][1]}×{found['crop'][0]}, {found['batch_size']}, "
            f"{found['precision']} | {found['rate']:.1f} | {peak} ({told}) | {found['epochs']}, {found['minutes']:.1f} "
            f"| **{scores.mean_iou:.3f}** | {scores.pixel_accuracy:.3f} |"
        )
    stamp = stamps(found for _, found in results.values())
    return "\n".join([*lines, "", f"{card}; {stamp}. Command: `python benchmarks/on_gpu.py --camvid FOLDER`.", ""])


def main() -> None:
    """Network by network; the page is written after each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--camvid", type=Path, help="folder with CamVid's splits")
    parser.add_argument("--weights", nargs="*", default=[], metavar="BACKBONE=FILE")
    parser.add_argument("--minutes", type=float, default=15.0)
    parser.add_argument("--networks", nargs="+", default=list(NETWORKS))
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--out", type=Path, default=OUT)
    parser.add_argument("--page", type=Path, default=RESULT)
    chosen = parser.parse_args()
    if chosen.camvid is None or (chosen.device == "cuda" and not torch.cuda.is_available()):
        print("on_gpu: nothing to do without --camvid and a graphics card")
        return
    home = Workspace(chosen.out.absolute() / "workspace")
    if not home.dataset("camvid").is_dir():
        Dataset.from_folders(chosen.camvid, name="camvid").save(home)
    card = torch.cuda.get_device_name() if chosen.device == "cuda" else "a processor"
    results: dict[str, tuple[str, Result]] = {}
    for network in chosen.networks:
        weights = weights_of(network, chosen.weights)
        record = chosen.out / f"{network}.json"
        made_with = whole({"network": network, "weights": weights}) | {"minutes": chosen.minutes, "card": card}
        measure = partial(measured, network, weights, chosen, home)
        results[network] = weights, recorded(record, made_with, measure, "torch", "torchvision", "lightning")
        chosen.page.write_text(page(results, card), encoding="utf-8")
    print(chosen.page.read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
