"""Whole image, patches, loss sampling: mean IoU against images seen and against time, from the same start.

The same network sees the same number of pixels in every regime, at a learning rate that does not depend on how long the
run will be, so that every curve can be read at every point. Loss sampling keeps a share p of the cells and sees 1/p
times as many images in a step, so that the loss of a step has as many terms.

Run: python benchmarks/regimes.py [--camvid FOLDER --weights FILE] [--epochs 12] [--seeds 1] [--out FOLDER]
writes benchmarks/results/regimes-<data>.md and docs/images/regimes-<data>.png. What is done already is not run again if
--out is given.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from fullconv.data.dataset import Dataset
from fullconv.data.scenes import write_scenes
from fullconv.evaluation.metrics_table import read_rows
from fullconv.training.fit import train
from fullconv.workspace import Workspace
from records import Result, recorded, spread, stamps, whole

HERE = Path(__file__).parent
RATE = 1e-3
EMA = 0.98
SCENES, SIZE = 600, (240, 180)


@dataclass(frozen=True)
class Way:
    """One regime as it is compared.

    Args:
        label: in table and figure.
        settings: over those that all have in common.
        share: of the pixels of a view that one view of this regime has.
        step: images of a step over those of the whole-image regime.
    """

    label: str
    settings: dict[str, Any]
    share: float = 1.0
    step: float = 1.0


def ways(crop: tuple[int, int]) -> list[Way]:
    """Whole image, samples of its loss, patches of a third of its sides, and large ones that each tell of one cell."""
    patch = [max(32, side // 3 // 32 * 32) for side in crop]
    share = patch[0] * patch[1] / (crop[0] * crop[1])
    sampled = [
        Way(f"loss sampling, p = {keep}", {"regime": {"kind": "loss-sampling", "keep": keep}}, step=1 / keep)
        for keep in (0.5, 0.25)
    ]
    size = "×".join(map(str, patch))
    patches = {"kind": "patchwise", "size": patch, "loss_at": "pixels"}
    return [
        Way("whole image", {}),
        *sampled,
        Way(
            "loss sampling, p = 0.25, balanced",
            {
                "regime": {"kind": "loss-sampling", "keep": 0.25, "how": "class-balanced"},
                "class_weights": "inverse-log",
            },
            step=4,
        ),
        Way("whole image, classes weighted", {"class_weights": "inverse-log"}),
        Way(f"patches of {size}", {"regime": patches}, share),
        Way(f"patches of {size}, balanced", {"regime": patches | {"around": "class-balanced"}}, share),
        Way(
            f"patches of {crop[0]}×{crop[1]}, loss at the centre",
            {"regime": {"kind": "patchwise", "size": list(crop), "loss_at": "center"}},
        ),
    ]


def curve(way: Way, common: dict[str, Any], home: Workspace, seed: int) -> dict[str, list[float]]:
    """Validation mean IoU after every epoch, with steps, views' pixels (in views of the whole regime), seconds."""
    settings = json.loads(json.dumps(common | {"seed": seed}))
    if "regime" in way.settings and way.settings["regime"]["kind"] == "patchwise":
        del settings["crop"]
    settings["batch_size"] = round(common["batch_size"] * way.step / way.share)
    settings["views"] = max(1, round(1 / way.share))
    settings["optimization"]["ema"] = EMA**way.step  # the average looks back on as many images in every regime
    run = train("data", workspace=home, settings=settings | way.settings, quiet=True)
    found: dict[str, list[float]] = {"step": [], "images": [], "seconds": [], "mean_iou": []}
    seconds = 0.0
    for row in read_rows(run.directory / "metrics.csv"):
        if row["split"] == "train" and row["seconds"]:
            seconds += float(row["seconds"])
        elif row["split"] == "val" and row["mean_iou"]:
            found["step"].append(float(row["step"]))
            found["images"].append(float(row["step"]) * settings["batch_size"] * way.share)
            found["mean_iou"].append(float(row["mean_iou"]))
            found["seconds"].append(seconds)
    return found


def main() -> None:
    """Run every way, or take what is there; write table and figure."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--camvid", type=Path, help="folder with CamVid's images and labels; generated scenes without")
    parser.add_argument("--weights", default="random")
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--out", type=Path)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        out = (chosen.out or Path(temporary)).absolute()
        home = Workspace(out / "workspace")
        if chosen.camvid is None:
            name, network, crop = "scenes", "fcn4s-compact", (144, 192)
            root = out / "scenes"
            if not root.is_dir():
                write_scenes(root, count=SCENES, seed=11, size=SIZE)
        else:
            name, network, crop, root = "camvid", "fcn8s-mobilenet_v2", (288, 384), chosen.camvid
        if not (home.dataset("data")).is_dir():
            Dataset.from_folders(root, name="data").save(home)
        data = Dataset.load("data", home)
        common = {
            "network": network,
            "weights": chosen.weights,
            "crop": list(crop),
            "batch_size": 4,
            "epochs": chosen.epochs,
            "validate_every": 1,
            "class_weights": "none",
            "loss": "cross-entropy",  # a sum over pixels, as the paper's: of others the regimes are not one family
            "optimization": {
                "learning_rate": RATE,
                "pretrained_learning_rate": RATE / 4,
                "policy": "fixed",
                "ema": EMA,
            },
        }
        curves: dict[str, list[Result]] = {}
        for way in ways(crop):
            for seed in range(chosen.seeds):
                record = out / "curves" / f"{name}-{way.label}-{seed}.json".replace(" ", "_")
                made_with = whole(common | {"seed": seed}) | {"way": way.label}
                measure = partial(curve, way, common, home, seed)
                found = recorded(record, made_with, measure, "torch", "torchvision", "lightning")
                curves.setdefault(way.label, []).append(found)
                print(f"{way.label}, seed {seed}: {curves[way.label][-1]['mean_iou'][-1]:.3f}", flush=True)
    text = page(curves, name, network, data, chosen.epochs)
    (HERE / "results" / f"regimes-{name}.md").write_text(text, encoding="utf-8")
    figure(curves).savefig(HERE.parent / "docs" / "images" / f"regimes-{name}.png", dpi=110)
    print(text)


def page(curves: dict[str, list[Result]], name: str, network: str, data: Dataset, epochs: int) -> str:
    """The table: each regime at the end, at equal time, and after as many steps."""
    base = curves["whole image"]
    seconds = min(found["seconds"][-1] for runs in curves.values() for found in runs)
    steps = min(found["step"][-1] for runs in curves.values() for found in runs)
    lines = [
        f"# Regimes on {name}",
        "",
        *(__doc__ or "").split("\n\n")[1].splitlines(),
        "",
        f"{network}, {len(data.train)} training images, {epochs} passes; mean of {len(base)} seed(s), moving average "
        f"of the weights, validation mean IoU. Equal time: {seconds:.0f} s; equal steps: {steps:.0f}.",
        "",
        "| regime | mean IoU at the end | steps | s | s per pass over whole image | at equal time | at equal steps |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    whole = float(np.mean([found["seconds"][-1] for found in base]))
    for label, runs in curves.items():
        taken, count = (float(np.mean([found[key][-1] for found in runs])) for key in ("seconds", "step"))
        end = spread([found["mean_iou"][-1] for found in runs])
        at_time, at_step = (
            float(np.mean([np.interp(place, [0, *found[key]], [0, *found["mean_iou"]]) for found in runs]))
            for key, place in (("seconds", seconds), ("step", steps))
        )
        lines.append(
            f"| {label} | {end} | {count:.0f} | {taken:.0f} | {taken / whole:.2f} | {at_time:.3f} | {at_step:.3f} |"
        )
    command = f"python benchmarks/regimes.py --epochs {epochs} --seeds {len(base)}"
    command += " --camvid FOLDER --weights FILE" if name == "camvid" else ""
    return "\n".join(
        [*lines, "", f"{stamps(run for runs in curves.values() for run in runs)}. Command: `{command}`.", ""]
    )


def figure(curves: dict[str, list[Result]]) -> Figure:
    """Mean IoU against images, time and steps."""
    drawn = Figure(figsize=(12, 4.6), layout="constrained")
    FigureCanvasAgg(drawn)
    panels = drawn.subplots(1, 3, sharey=True)
    titles = {"images": "whole images seen", "seconds": "seconds of training", "step": "steps of the optimiser"}
    for axes, (key, title) in zip(panels, titles.items(), strict=True):
        for index, (label, runs) in enumerate(curves.items()):
            for number, found in enumerate(runs):
                axes.plot(found[key], found["mean_iou"], color=f"C{index}", label=label if not number else None, lw=1.3)
        axes.set_xlabel(title)
        axes.grid(color="#dddddd", lw=0.6)
        axes.spines[["top", "right"]].set_visible(False)
    panels[0].set_ylabel("validation mean IoU")
    drawn.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=4, frameon=False, fontsize=9)
    return drawn


if __name__ == "__main__":
    main()
