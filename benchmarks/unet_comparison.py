"""CamVid: FullConv's default recipe against smp's U-Net with the same encoder, the same weights and the same wall time.

The U-Net is trained in a plain loop: views of the same size, mirrored, scaled and cropped, in batches of the same size,
a cosine that ends with the time. Both read the same files and splits, validate on whole images after every epoch,
within their time, keep the best epoch by validation mean IoU, and are scored once on the test images by the same
confusion matrix (the U-Net's images are padded to multiples of 32). "example" is trained as in smp's notebooks (Adam at
2e-4, Dice); "tuned" with AdamW at 1e-3 and cross-entropy + Dice; "tuned-bf16" the same in bfloat16 and channels-last.

Run: python benchmarks/unet_comparison.py --camvid FOLDER --weights mobilenet_v2-imagenet.safetensors [--minutes 25]
     [--sides fullconv example tuned tuned-bf16] [--seeds 1] [--out FOLDER]
(four times 25 minutes and more on two cores) writes benchmarks/results/unet_comparison.md. What is done already is not
run again: results lie in --out, one file for each side and seed. The U-Net gets the minutes, or FullConv's time if that
is longer.
"""

from __future__ import annotations

import argparse
import json
import math
import threading
import time
from contextlib import nullcontext
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import segmentation_models_pytorch as smp
import torch
import torch.nn.functional as F
from torch import nn

from fullconv.data.dataset import Dataset
from fullconv.evaluation.confusion import ConfusionMatrix
from fullconv.evaluation.metrics_table import read_rows
from fullconv.evaluation.scores import Scores
from fullconv.files import write_atomically
from fullconv.networks.normalization import Normalization
from fullconv.networks.weights import load_classifier
from fullconv.surgery.transplant import transplant
from fullconv.training.fit import train
from fullconv.training.plan import TrainingSet, default_workers, resolve
from fullconv.training.settings.experiment import DEFAULT_NETWORK, Experiment
from fullconv.workspace import Workspace
from other_loops import SmpViews, loader_of
from provenance import provenance

HERE = Path(__file__).parent
RESULT, OUT = HERE / "results" / "unet_comparison.md", HERE.parent / "build" / "unet_comparison"
ENCODER, MULTIPLE = "mobilenet_v2", 32
THRESHOLDS = (0.3, 0.4, 0.45, 0.5, 0.55, 0.6, 0.65, 0.7)
Result = dict[str, Any]


@dataclass(frozen=True)
class Way:
    """How a U-Net is trained.

    Args:
        optimizer: class of it.
        rate: at the start of the cosine.
        cross_entropy: added to Dice.
        bf16: autocast, channels-last.
    """

    optimizer: type[torch.optim.Optimizer]
    rate: float
    cross_entropy: bool
    bf16: bool = False


WAYS = {
    "example": Way(torch.optim.Adam, 2e-4, cross_entropy=False),
    "tuned": Way(torch.optim.AdamW, 1e-3, cross_entropy=True),
    "tuned-bf16": Way(torch.optim.AdamW, 1e-3, cross_entropy=True, bf16=True),
}
LABELS = {
    "fullconv": f"FullConv, {DEFAULT_NETWORK}, default recipe",
    "example": "smp U-Net, as in its examples",
    "tuned": "smp U-Net, tuned",
    "tuned-bf16": "smp U-Net, tuned, bfloat16 and channels-last",
}


def unet_with(weights: str, classes: int) -> nn.Module:
    """The U-Net on the weight file's encoder, every tensor filled, with proof: equal features at all five strides.

    Raises:
        SystemExit: they are not.
    """
    net: nn.Module = smp.Unet(ENCODER, encoder_weights=None, classes=classes)
    encoder: Any = net.encoder
    transplant(Path(weights), encoder)
    classifier: Any = load_classifier(ENCODER, weights)  # as FullConv reads the same file
    own, theirs = classifier.features.state_dict(), encoder.features.state_dict()
    same = own.keys() == theirs.keys() and all(torch.equal(own[name], theirs[name]) for name in own)
    images = torch.randn(2, 3, 96, 128, generator=torch.Generator().manual_seed(0))
    maps, expected = images, [images]
    with torch.inference_mode():
        for index, module in enumerate(classifier.eval().features):
            maps = module(maps)
            if index in encoder._out_indexes:
                expected.append(maps)
        found = encoder.eval()(images)
    if not same or len(expected) != len(found) or not all(map(torch.equal, expected, found)):
        raise SystemExit("the encoders differ")
    return net


def scored(net: nn.Module, data: Dataset, way: Way) -> Scores:
    """Whole images, padded to what the encoder takes, against their labels."""
    normalization = Normalization.imagenet()
    names = data.classes.names
    confusion = ConfusionMatrix(classes=len(names), ignore=data.classes.ignore_index)
    net.eval()
    with torch.inference_mode():
        for index in range(len(data)):
            pixels, labels = data.read(index)
            image = normalization.apply(torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1)))[None].float())
            height, width = image.shape[-2:]
            image = F.pad(image, (0, -width % MULTIPLE, 0, -height % MULTIPLE))
            with arithmetic(way):
                scores = net(image)[..., :height, :width]
            confusion.update(scores.float().contiguous(), torch.from_numpy(labels.astype(np.int64))[None])
    net.train()
    return Scores.from_confusion(confusion.compute(), names)


def arithmetic(way: Way) -> Any:
    """Autocast where the way has it."""
    return torch.autocast("cpu", dtype=torch.bfloat16) if way.bf16 else nullcontext()


def unet(data: Dataset, way: Way, chosen: argparse.Namespace, seed: int, budget: float) -> Result:
    """Train until the time is over; validation curve, test scores of the best epoch and of the last."""
    torch.manual_seed(seed)
    net = unet_with(chosen.weights, len(data.classes)).train()
    asked = Experiment(dataset="camvid")
    plan = resolve(asked, TrainingSet(data.train.sizes, data.val.sizes))
    if way.bf16:
        net = net.to(memory_format=torch.channels_last)
    ignore = data.classes.ignore_index
    dice = smp.losses.DiceLoss(smp.losses.MULTICLASS_MODE, from_logits=True, ignore_index=ignore)
    optimizer = way.optimizer(net.parameters(), lr=way.rate)  # type: ignore[call-arg]
    normalization = Normalization.imagenet()
    loader = loader_of(SmpViews(data.train, plan.crop), plan.batch_size, default_workers())
    began = time.monotonic()
    curve: list[tuple[float, float]] = []
    best, kept, images = -1.0, net.state_dict(), 0
    spent = 0.0
    while spent < budget:
        for pixels, labels in loader:
            for group in optimizer.param_groups:
                group["lr"] = way.rate * (1 + math.cos(math.pi * min(1.0, spent / budget))) / 2
            ready = normalization.apply(pixels.float())
            if way.bf16:
                ready = ready.contiguous(memory_format=torch.channels_last)
            with arithmetic(way):
                scores = net(ready)
            scores = scores.float()
            loss = dice(scores, labels)
            if way.cross_entropy:
                loss = loss + F.cross_entropy(scores, labels, ignore_index=ignore)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            images += len(labels)
            spent = time.monotonic() - began
            if spent >= budget:
                break
        value = scored(net, data.val, way).mean_iou
        spent = time.monotonic() - began
        curve.append((spent, value))
        if value > best:
            best, kept = value, deepcopy(net.state_dict())
        print(f"  {spent:.0f} s: {value:.3f}", flush=True)
    last = scored(net, data.test, way)
    net.load_state_dict(kept)
    test = scored(net, data.test, way)
    return {
        "seconds": spent,
        "images": images,
        "curve": curve,
        "test": test.as_dict(),
        "last_test_mean_iou": last.mean_iou,
    }


def fullconv(data: Dataset, home: Workspace, chosen: argparse.Namespace, seed: int) -> Result:
    """The default recipe by `fc.train`; its rows of metrics.csv are timed as they appear."""
    curve: list[tuple[float, float]] = []
    before = set(home.runs.glob("*")) if home.runs.is_dir() else set()
    over = threading.Event()
    began = time.monotonic()

    def watch() -> None:
        while not over.wait(0.5):
            for file in home.runs.glob("*/metrics.csv"):
                if file.parent in before:
                    continue
                rows = [row for row in read_rows(file) if row["split"] == "val" and row["mean_iou"]]
                new = rows[len(curve) :]
                curve.extend((time.monotonic() - began, float(row["mean_iou"])) for row in new)

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    settings = {} if chosen.epochs is None else {"epochs": chosen.epochs}
    try:
        run = train("camvid", workspace=home, quiet=True, weights=chosen.weights, seed=seed, settings=settings)
    finally:
        over.set()
        watcher.join()
    images = int(run.experiment.epochs * len(data.train) * run.experiment.views)
    return {
        "seconds": curve[-1][0],
        "images": images,
        "curve": curve,
        "test": run.scores.as_dict(),
        "with_evaluation": time.monotonic() - began,
    }


def reached(curve: list[tuple[float, float]], value: float) -> float | None:
    """Seconds until the curve first came to that value."""
    return next((seconds for seconds, found in curve if found >= value), None)


def page(results: dict[str, list[Result]], data: Dataset, chosen: argparse.Namespace) -> str:
    """Scores at equal wall time, time to equal validation scores, per-class IoU."""
    names = data.classes.names
    lines = [
        "# U-Net and FullConv on CamVid",
        "",
        *(__doc__ or "").split("\n\n")[0].splitlines(),
        "",
        *(__doc__ or "").split("\n\n")[1].splitlines(),
        "",
        f"The encoder is {ENCODER} with {Path(chosen.weights).name}; before every run all its tensors and its "
        "features at five strides are compared with those that FullConv starts from, bit by bit.",
        "",
        "| side | seeds | training s | views seen | best validation mean IoU | test mean IoU | test pixel accuracy |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    for side, runs in results.items():
        seconds, images = (float(np.mean([run[key] for run in runs])) for key in ("seconds", "images"))
        best = float(np.mean([max(value for _, value in run["curve"]) for run in runs]))
        tests = [Scores.from_dict(run["test"]) for run in runs]
        mean_iou = spread([test.mean_iou for test in tests])
        accuracy = float(np.mean([test.pixel_accuracy for test in tests]))
        lines.append(
            f"| {LABELS[side]} | {len(runs)} | {seconds:.0f} | {images:.0f} | {best:.3f} | **{mean_iou}** "
            f"| {accuracy:.3f} |"
        )
    marks = sorted({*THRESHOLDS, *(max(v for _, v in run["curve"]) for side in results for run in results[side][:1])})
    lines += [
        "",
        "Seconds of training until that validation mean IoU (first seed; the best of each side is a row too):",
    ]
    lines += ["", "| validation mean IoU | " + " | ".join(results) + " |", "|---:|" + "---:|" * len(results)]
    for mark in marks:
        times = [reached(runs[0]["curve"], mark) for runs in results.values()]
        if any(found is not None for found in times):
            lines.append(
                f"| {mark:.3f} | " + " | ".join("–" if found is None else f"{found:.0f}" for found in times) + " |"
            )
    lines += ["", "| test IoU | " + " | ".join(results) + " |", "|---|" + "---:|" * len(results)]
    per_side = [np.mean([Scores.from_dict(run["test"]).iou for run in runs], axis=0) for runs in results.values()]
    lines += [f"| {name} | " + " | ".join(f"{iou[i]:.3f}" for iou in per_side) + " |" for i, name in enumerate(names)]
    command = f"python benchmarks/unet_comparison.py --camvid FOLDER --weights FILE --minutes {chosen.minutes:g}"
    command += f" --sides {' '.join(results)} --seeds {chosen.seeds}"
    command += "" if chosen.epochs is None else f" --epochs {chosen.epochs}"
    versions = provenance("torch", "torchvision", "lightning", "segmentation-models-pytorch")
    return "\n".join([*lines, "", f"{versions}. Command: `{command}`.", ""])


def spread(values: list[float]) -> str:
    """Mean, and the range where there are several."""
    mean = f"{np.mean(values):.3f}"
    return mean if len(values) == 1 else f"{mean} ({min(values):.3f} to {max(values):.3f})"


def main() -> None:
    """Run every side that has no result yet; the page is written after each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--camvid", type=Path, help="folder with CamVid's splits")
    parser.add_argument("--weights", help="ImageNet weights of torchvision's MobileNetV2")
    parser.add_argument("--minutes", type=float, default=25.0)
    parser.add_argument("--sides", nargs="+", choices=LABELS, default=list(LABELS))
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--epochs", type=int, help="of FullConv; its default if not given")
    parser.add_argument("--out", type=Path, default=OUT)
    parser.add_argument("--page", type=Path, default=RESULT)
    chosen = parser.parse_args()
    if chosen.camvid is None or chosen.weights is None:
        print("unet_comparison: nothing to do without --camvid and --weights")
        return
    home = Workspace(chosen.out.absolute() / "workspace")
    if not home.dataset("camvid").is_dir():
        Dataset.from_folders(chosen.camvid, name="camvid").save(home)
    data = Dataset.load("camvid", home)
    results: dict[str, list[Result]] = {}
    for seed in range(chosen.seeds):
        budget = chosen.minutes * 60
        for side in sorted(chosen.sides, key=list(LABELS).index):
            record = chosen.out / f"{side}-{seed}.json"
            if not record.is_file():
                print(f"{side}, seed {seed}", flush=True)
                if side == "fullconv":
                    result = fullconv(data, home, chosen, seed)
                else:
                    result = unet(data, WAYS[side], chosen, seed, budget)
                write_atomically(record, json.dumps(result))
            result = json.loads(record.read_text())
            budget = max(budget, result["seconds"]) if side == "fullconv" else budget
            results.setdefault(side, []).append(result)
            chosen.page.write_text(page(results, data, chosen), encoding="utf-8")
    print(chosen.page.read_text())


if __name__ == "__main__":
    main()
