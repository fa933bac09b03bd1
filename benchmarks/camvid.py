"""CamVid: the default recipe over several seeds, and what other recipes gain.

Trained on the training split alone, validated on the validation split, the best epoch by validation scored once on the
test images at their own size.

Run: python benchmarks/camvid.py --camvid FOLDER --weights mobilenet_v2-imagenet.safetensors
     [--recipe default ohem …] [--seeds 3] [--out FOLDER]
(about 25 minutes for each recipe and seed on two cores) writes benchmarks/results/camvid.md after every run, from all
results that lie in --out. A run that was stopped goes on where it was; one that is done is not run again.
"""

from __future__ import annotations

import argparse
import json
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from fullconv.data.dataset import Dataset
from fullconv.evaluation.metrics_table import read_rows
from fullconv.evaluation.scores import Scores
from fullconv.training.finished import finished_run
from fullconv.training.fit import resume, train_as
from fullconv.training.status import read_status
from fullconv.workspace import Workspace
from records import Result, recorded, stamps, whole

HERE = Path(__file__).parent
RESULT, OUT = HERE / "results" / "camvid.md", HERE.parent / "build" / "camvid"
TARGET = 0.63
PACKAGES = ("torch", "torchvision", "lightning")
TRIED = "## Recipes tried"
RECIPES: dict[str, tuple[str, dict[str, Any]]] = {
    "default": ("what `fullconv train` does by itself", {}),
    "ema": ("moving average of the weights, 0.99 per step", {"optimization": {"ema": 0.99}}),
    "ohem": (
        "the hardest half of the cells, batch as ever",
        {"regime": {"kind": "loss-sampling", "keep": 0.5, "how": "hardest"}, "batch_size": 8},
    ),
    "cross-entropy": ("cross-entropy alone", {"loss": "cross-entropy"}),
    "every-pixel": ("Lovász on every pixel", {"loss": {"lovasz_stride": 1}}),
    "dice": ("cross-entropy + Dice", {"loss": "cross-entropy+dice"}),
    "boundary": ("pixels near boundaries weigh more", {"loss": {"terms": "cross-entropy", "boundary": {}}}),
    "larger-scale": ("views magnified 0.75 to 2.5 times", {"augmentation": {"scale": (0.75, 2.5)}}),
    "photometry": (
        "colours changed twice as much",
        {"augmentation": {"brightness": 0.4, "contrast": 0.4, "saturation": 0.4, "hue": 0.04}},
    ),
    "unweighted": ("all classes weigh the same", {"class_weights": "none"}),
    "median-frequency": ("classes weighted by median frequency", {"class_weights": "median-frequency"}),
    "larger-view": ("views of 480×352, 40 epochs", {"crop": (352, 480), "epochs": 40}),
    "longer": ("120 epochs", {"epochs": 120}),
}
"""Name → what it is, and its settings over the default ones."""


def settings_of(recipe: str, chosen: argparse.Namespace, seed: int) -> dict[str, Any]:
    """All that differs from the defaults."""
    few = {} if chosen.epochs is None else {"epochs": chosen.epochs}
    return {"weights": chosen.weights, "seed": seed, **RECIPES[recipe][1], **few}


def one_run(recipe: str, seed: int, chosen: argparse.Namespace, home: Workspace) -> Result:
    """Train, or go on with what was begun."""
    name = f"{recipe}-{seed}"
    directory = home.run(name)
    began = time.monotonic()
    whole = not directory.is_dir()
    if not whole and read_status(directory).alive:
        raise SystemExit(f"the run {name} is still going on")
    if not whole and read_status(directory).state == "done":
        run = finished_run(directory)
    elif whole:
        run = train_as(name, "camvid", settings_of(recipe, chosen, seed), workspace=home)
    else:
        run = resume(name, workspace=home)
    seconds = time.monotonic() - began if whole else None  # of a run in several sittings nobody knows
    rows = read_rows(run.directory / "metrics.csv")
    waits = [float(row["loader_wait"]) for row in rows if row["split"] == "train" and row["loader_wait"]]
    return {
        "scores": run.scores.as_dict(),
        "best_validation": max(float(row["mean_iou"]) for row in rows if row["split"] == "val" and row["mean_iou"]),
        "seconds": seconds,
        "loader_wait": float(np.mean(waits)),
        "epochs": run.experiment.epochs,
        "plan": f"{run.experiment.network}, {run.experiment.epochs} epochs of {run.experiment.crop[1]}×"
        f"{run.experiment.crop[0]} views, batch {run.experiment.batch_size}, {run.experiment.precision}",
    }


def spread(values: list[float]) -> str:
    """Mean, standard deviation of single runs where there are several."""
    mean = f"{np.mean(values):.3f}"
    return mean if len(values) == 1 else f"{mean} ± {np.std(values, ddof=1):.3f}"


def minutes(runs: list[Result]) -> str:
    """Mean wall time of the runs in one sitting, evaluation included."""
    known = [run["seconds"] / 60 for run in runs if run["seconds"] is not None]
    return f"{np.mean(known):.1f}" if known else "–"


def scores_of(runs: list[Result]) -> list[Scores]:
    """On the test images."""
    return [Scores.from_dict(run["scores"]) for run in runs]


def default_part(runs: list[Result], names: tuple[str, ...], chosen: argparse.Namespace) -> list[str]:
    """The default recipe: means over the seeds, every seed, every class."""
    scores = scores_of(runs)
    verdict = "reached" if np.mean([found.mean_iou for found in scores]) >= TARGET else "not reached"
    lines = [
        "# CamVid, default settings",
        "",
        *(__doc__ or "").split("\n\n")[1].splitlines(),
        "Pretraining: ImageNet weights of MobileNetV2. Predictions are of one scale, unmirrored. Every seed changes "
        "start values, order and views.",
        "",
        f"{runs[0]['plan']}; {len(runs)} seed(s), ± is the standard deviation of a single run.",
        "",
        "| | |",
        "|---|---|",
        f"| **test mean IoU** | **{spread([found.mean_iou for found in scores])}** (wanted {TARGET}: {verdict}) |",
    ]
    for label, field in (
        ("pixel accuracy", "pixel_accuracy"),
        ("mean accuracy", "mean_accuracy"),
        ("frequency-weighted IoU", "frequency_weighted_iou"),
    ):
        lines.append(f"| test {label} | {spread([getattr(found, field) for found in scores])} |")
    lines += [
        f"| best validation mean IoU | {spread([run['best_validation'] for run in runs])} |",
        "| test mean IoU by seed | " + ", ".join(f"{found.mean_iou:.4f}" for found in scores) + " |",
        f"| minutes of a run, evaluation included | {minutes(runs)} |",
        f"| waiting for the loader | {np.mean([run['loader_wait'] for run in runs]):.1%} |",
        "| published FCN-8s, ImageNet VGG16 | 0.570 mean IoU, 0.880 pixel accuracy |",
        "",
        "| class | IoU | accuracy | precision | share |",
        "|---|---:|---:|---:|---:|",
    ]
    for index, name in enumerate(names):
        iou, accuracy, precision = (
            spread([float(getattr(found, field)[index]) for found in scores])
            for field in ("iou", "accuracy", "precision")
        )
        lines.append(f"| {name} | {iou} | {accuracy} | {precision} | {scores[0].shares[index]:.1%} |")
    command = f"python benchmarks/camvid.py --camvid FOLDER --weights FILE --seeds {chosen.seeds}"
    return [*lines, "", f"{stamps(runs)}. Command: `{command}`.", ""]


def recipes_part(results: dict[str, list[Result]]) -> list[str]:
    """One row per recipe, with what it gains over the default one."""
    base = results.get("default")
    start = None if base is None else float(np.mean([found.mean_iou for found in scores_of(base)]))
    lines = [
        TRIED,
        "",
        "Chosen by the validation score the best recipe need not be the best on the test images, and recipes chosen by "
        "the test images flatter themselves: both are shown for all that was tried.",
        "",
        "| recipe | what it is | seeds | validation mean IoU | test mean IoU | gain | test pixel accuracy | minutes |",
        "|---|---|---:|---:|---:|---:|---:|---:|",
    ]
    for recipe, runs in results.items():
        scores = scores_of(runs)
        mean_iou = [found.mean_iou for found in scores]
        gain = "–" if start is None or recipe == "default" else f"{np.mean(mean_iou) - start:+.3f}"
        validation = spread([run["best_validation"] for run in runs])
        accuracy = spread([found.pixel_accuracy for found in scores])
        lines.append(
            f"| {recipe} | {RECIPES[recipe][0]} | {len(runs)} | {validation} | {spread(mean_iou)} | {gain} "
            f"| {accuracy} | {minutes(runs)} |"
        )
    return [*lines, "", f"{stamps(run for runs in results.values() for run in runs)}.", ""]


def page(results: dict[str, list[Result]], written: str, names: tuple[str, ...], chosen: argparse.Namespace) -> str:
    """The default recipe's part as it stood until there is a new result for it, then the recipes."""
    head = [*written.partition(TRIED)[0].rstrip().splitlines(), ""]
    if "default" in results:
        head = default_part(results["default"], names, chosen)
    return "\n".join([*head, *recipes_part(results)])


def gathered(out: Path) -> dict[str, list[Result]]:
    """All results there are, by recipe, in the order of the table above."""
    found = {recipe: sorted(out.glob(f"results/{recipe}-[0-9]*.json")) for recipe in RECIPES}
    read = {recipe: [json.loads(file.read_text())["result"] for file in files] for recipe, files in found.items()}
    return {recipe: results for recipe, results in read.items() if results}


def main() -> None:
    """Seed by seed, recipe by recipe."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--camvid", type=Path, help="folder with CamVid's splits")
    parser.add_argument("--weights", help="ImageNet weights of torchvision's MobileNetV2")
    parser.add_argument("--recipe", nargs="+", choices=RECIPES, default=["default"])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, help="instead of the recipe's, to try this benchmark")
    parser.add_argument("--out", type=Path, default=OUT)
    parser.add_argument("--page", type=Path, default=RESULT)
    chosen = parser.parse_args()
    if chosen.camvid is None or chosen.weights is None:
        print("camvid: nothing to do without --camvid and --weights")
        return
    home = Workspace(chosen.out.absolute() / "workspace")
    if not home.dataset("camvid").is_dir():
        Dataset.from_folders(chosen.camvid, name="camvid").save(home)
    names = Dataset.load("camvid", home).classes.names
    for seed in range(chosen.seeds):
        for recipe in chosen.recipe:
            record = chosen.out / "results" / f"{recipe}-{seed}.json"
            made_with = whole(settings_of(recipe, chosen, seed))
            recorded(record, made_with, partial(one_run, recipe, seed, chosen, home), *PACKAGES)
            written = chosen.page.read_text(encoding="utf-8") if chosen.page.is_file() else ""
            chosen.page.write_text(page(gathered(chosen.out), written, names, chosen), encoding="utf-8")
    print(chosen.page.read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
