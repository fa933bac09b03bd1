"""CamVid: FullConv's default recipe against smp's U-Net with the same encoder, the same weights and the same wall time.

The U-Net is trained in a plain loop, in batches of the same size, by a schedule that ends with the time. Both read the
same files and splits, validate on whole images after every epoch, within their time, keep the best epoch by validation
mean IoU, and are scored once on the test images by the same confusion matrix (the U-Net's images are padded to
multiples of 32). "example" is trained as in smp's notebooks: its views, Adam at 2e-4 with a cosine, Dice. "tuned" has
all that FullConv's recipe has but the network: the very same views with the same changes of colour, the same loss with
the same class weights, AdamW with a warm-up and a cosine, the encoder at a tenth of the rate, no decay of biases and
normalisation, bfloat16 and channels-last, and the best of three learning rates, chosen by validation after a fifth of
the time each, which is not counted.

Run: python benchmarks/unet_comparison.py --camvid FOLDER --weights mobilenet_v2-imagenet.safetensors [--minutes 25]
     [--sides fullconv example tuned] [--seeds 3] [--out FOLDER]
(for each seed three times 25 minutes and more on two cores) writes benchmarks/results/unet_comparison.md. What is done
already is not run again: results lie in --out, one file for each side and seed. The U-Net gets the minutes, or
FullConv's time if that is longer.
"""

from __future__ import annotations

import argparse
import math
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass
from functools import partial
from itertools import product
from pathlib import Path
from types import SimpleNamespace
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
from fullconv.networks.catalogue import build_network
from fullconv.networks.normalization import Normalization
from fullconv.networks.score_grid import ScoreGrid
from fullconv.networks.weights import load_classifier
from fullconv.surgery.transplant import transplant
from fullconv.training.depthwise import strided_depthwise_in_float32
from fullconv.training.fit import train
from fullconv.training.loaders import training_loader
from fullconv.training.objective import Objective
from fullconv.training.plan import TrainingSet, default_workers, resolve
from fullconv.training.settings.class_weights import inverse_log_weights
from fullconv.training.settings.experiment import DEFAULT_NETWORK, Experiment, Plan
from fullconv.training.task import SegmentationTask
from fullconv.workspace import Workspace
from other_loops import SmpViews, loader_of
from records import Result, recorded, whole
from unet_page import page

HERE = Path(__file__).parent
RESULT, OUT = HERE / "results" / "unet_comparison.md", HERE.parent / "build" / "unet_comparison"
PACKAGES = ("torch", "torchvision", "lightning", "segmentation-models-pytorch")
ENCODER, MULTIPLE = "mobilenet_v2", 32


@dataclass(frozen=True)
class Way:
    """How a U-Net is trained.

    Args:
        optimizer: class of it.
        rates: peaks; of several the best by validation is taken.
        warmup: share of the time until the peak.
        tuned: with FullConv's views, colours, loss and class weights, groups of parameters, autocast and channels-last.
    """

    optimizer: type[torch.optim.Optimizer]
    rates: tuple[float, ...]
    warmup: float = 0.0
    tuned: bool = False

    def rate_at(self, share: float, peak: float) -> float:
        """After that share of the time."""
        if share < self.warmup:
            return peak * max(0.04, share / self.warmup)
        return peak * (1 + math.cos(math.pi * min(1.0, (share - self.warmup) / (1 - self.warmup)))) / 2


WAYS = {
    "example": Way(torch.optim.Adam, (2e-4,)),
    "tuned": Way(torch.optim.AdamW, (1e-3, 3e-3, 6e-3), warmup=0.1, tuned=True),
}
ENCODER_SHARE = 0.1
"""Of the rate, as FullConv's transferred parameters get."""
TRIAL = 0.2
"""Of the time, for each of several learning rates."""
LABELS = {
    "fullconv": f"FullConv, {DEFAULT_NETWORK}, default recipe",
    "example": "smp U-Net, as in its examples",
    "tuned": "smp U-Net, trained as FullConv",
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
            with arithmetic(way, net):
                scores = net(image)[..., :height, :width]
            confusion.update(scores.float().contiguous(), torch.from_numpy(labels.astype(np.int64))[None])
    net.train()
    return Scores.from_confusion(confusion.compute(), names)


@contextmanager
def arithmetic(way: Way, net: nn.Module) -> Iterator[None]:
    """Autocast, and what FullConv does beside it on a processor, where the way has it."""
    if not way.tuned:
        yield
        return
    with torch.autocast("cpu", dtype=torch.bfloat16), strided_depthwise_in_float32(net):
        yield


def batches_of(
    data: Dataset, plan: Plan, way: Way, home: Workspace
) -> tuple[Iterable[Any], Callable[[Any], tuple[torch.Tensor, torch.Tensor]]]:
    """A loader, and what makes normalised images and labels of its batches."""
    normalization = Normalization.imagenet()
    if not way.tuned:
        loader = loader_of(SmpViews(data.train, plan.crop), plan.batch_size, default_workers())
        return loader, lambda batch: (normalization.apply(batch[0].float()), batch[1])
    net = build_network(plan.network, classes=len(data.classes))
    grid = ScoreGrid.of(net)
    task = SimpleNamespace(normalization=normalization)  # which is all that the method below asks of it
    views = training_loader(data.train, plan, normalization, home, grid)
    return views, lambda batch: (SegmentationTask.network_input(task, batch), batch.labels.long())  # type: ignore[arg-type]


def unet(data: Dataset, home: Workspace, way: Way, chosen: argparse.Namespace, seed: int, budget: float) -> Result:
    """Train until the time is over, at the best rate; validation curve, test scores of the best epoch and the last."""
    peak, trials = way.rates[0], {}
    if len(way.rates) > 1:
        for rate in way.rates:
            curve, *_ = trained(data, home, way, chosen, seed, TRIAL * budget, rate)
            trials[rate] = max(value for _, value in curve)
            print(f"  rate {rate:g}: {trials[rate]:.3f} after {TRIAL * budget:.0f} s", flush=True)
        peak = max(trials, key=trials.__getitem__)
    curve, net, kept, images = trained(data, home, way, chosen, seed, budget, peak)
    last = scored(net, data.test, way)
    net.load_state_dict(kept)
    test = scored(net, data.test, way)
    return {
        "seconds": curve[-1][0],
        "images": images,
        "curve": curve,
        "rate": peak,
        "trials": {f"{rate:g}": value for rate, value in trials.items()},
        "test": test.as_dict(),
        "last_test_mean_iou": last.mean_iou,
    }


def groups_of(net: nn.Module, way: Way) -> Iterator[dict[str, Any]]:
    """Parameters with the share of the rate and the decay that they get."""
    if not way.tuned:
        yield {"params": list(net.parameters()), "share": 1.0}
        return
    for encoder, decayed in product((True, False), repeat=2):
        chosen = [
            parameter
            for name, parameter in net.named_parameters()
            if name.startswith("encoder.") == encoder and (parameter.ndim > 1) == decayed
        ]
        decay = {} if decayed else {"weight_decay": 0.0}
        yield {"params": chosen, "share": ENCODER_SHARE if encoder else 1.0} | decay


def trained(
    data: Dataset, home: Workspace, way: Way, chosen: argparse.Namespace, seed: int, budget: float, peak: float
) -> tuple[list[tuple[float, float]], nn.Module, dict[str, torch.Tensor], int]:
    """(seconds and validation mean IoU after every epoch, the network, its best weights, views seen)."""
    torch.manual_seed(seed)
    net = unet_with(chosen.weights, len(data.classes)).train()
    plan = resolve(Experiment(dataset="camvid", seed=seed), TrainingSet(data.train.sizes, data.val.sizes))
    ignore = data.classes.ignore_index
    if way.tuned:
        net = net.to(memory_format=torch.channels_last)
        weights = inverse_log_weights(data.statistics.pixels("train").tolist())
        pixels_of = ScoreGrid.of(build_network(plan.network, classes=len(data.classes)))  # not asked at pixels
        objective = Objective(
            plan.loss, plan.regime, pixels_of, classes=len(data.classes), ignore=ignore, weights=weights
        )
        loss_of: Callable[..., torch.Tensor] = lambda scores, labels: objective.part(scores, labels).loss  # noqa: E731
    else:
        loss_of = smp.losses.DiceLoss(smp.losses.MULTICLASS_MODE, from_logits=True, ignore_index=ignore)
    optimizer = way.optimizer(list(groups_of(net, way)), lr=peak)  # type: ignore[call-arg]
    loader, ready = batches_of(data, plan, way, home)
    began = time.monotonic()
    curve: list[tuple[float, float]] = []
    best, kept, images, spent, epoch = -1.0, net.state_dict(), 0, 0.0, 0
    while spent < budget:
        order = getattr(getattr(loader, "batch_sampler", None), "sampler", None)
        if hasattr(order, "set_epoch"):
            order.set_epoch(epoch)
        epoch += 1
        for batch in loader:
            for group in optimizer.param_groups:
                group["lr"] = way.rate_at(spent / budget, peak) * group["share"]
            pixels, labels = ready(batch)
            with arithmetic(way, net):
                scores = net(pixels)
            loss = loss_of(scores.float(), labels)
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
    return curve, net, kept, images


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


def told(results: dict[str, list[Result]], data: Dataset, chosen: argparse.Namespace) -> str:
    """What was done, with what command, and what came of it."""
    command = f"python benchmarks/unet_comparison.py --camvid FOLDER --weights FILE --minutes {chosen.minutes:g}"
    command += f" --sides {' '.join(results)} --seeds {chosen.seeds}"
    command += "" if chosen.epochs is None else f" --epochs {chosen.epochs}"
    encoder = (
        f"The encoder is {ENCODER} with {Path(chosen.weights).name}; before every run all its tensors and its "
        "features at five strides are compared with those that FullConv starts from, bit by bit."
    )
    paragraphs = [*(__doc__ or "").split("\n\n")[:2], encoder]
    return page(results, paragraphs=paragraphs, labels=LABELS, names=data.classes.names, command=command)


def main() -> None:
    """Run every side that has no result yet; the page is written after each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--camvid", type=Path, help="folder with CamVid's splits")
    parser.add_argument("--weights", help="ImageNet weights of torchvision's MobileNetV2")
    parser.add_argument("--minutes", type=float, default=25.0)
    parser.add_argument("--sides", nargs="+", choices=LABELS, default=list(LABELS))
    parser.add_argument("--seeds", type=int, default=3)
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
            print(f"{side}, seed {seed}", flush=True)
            made_with = whole({"weights": chosen.weights, "seed": seed})
            if side == "fullconv":
                made_with["epochs"], measure = chosen.epochs, partial(fullconv, data, home, chosen, seed)
            else:
                made_with["minutes"] = chosen.minutes
                measure = partial(unet, data, home, WAYS[side], chosen, seed, budget)
            result = recorded(chosen.out / f"{side}-{seed}.json", made_with, measure, *PACKAGES)
            budget = max(budget, result["seconds"]) if side == "fullconv" else budget
            results.setdefault(side, []).append(result)
            chosen.page.write_text(told(results, data, chosen), encoding="utf-8")
    print(chosen.page.read_text())


if __name__ == "__main__":
    main()
