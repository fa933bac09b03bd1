"""A classifier of patches: trained on the class in the middle of each, then slid over whole images."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
import torchvision
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn import functional as F

import fullconv as fc
from fullconv.networks.catalogue import build_network
from fullconv.networks.normalization import Normalization
from fullconv.networks.score_grid import ScoreGrid
from fullconv.networks.weights import load_classifier
from fullconv.prediction.classifying import DenseGuess
from fullconv.progress import track
from fullconv.training.loaders import training_loader, workers_without_main
from fullconv.training.plan import TrainingSet, resolve
from fullconv.workspace import Workspace

NAME = "mobilenet_v2"
BATCH = 64
NEW_RATE, KNOWN_RATE = 5e-3, 5e-4
LOOKS = Normalization.imagenet()


def train_patch_classifier(
    data: fc.Dataset, file: Path, *, weights: str, side: int, patches: int, workers: int | None, home: Workspace
) -> None:
    """Train torchvision's MobileNetV2 to name the class in the middle of a patch, and write its weights.

    Patches are drawn as the regime "patchwise" draws them: around a pixel of a class drawn evenly, in an image drawn
    evenly from those that hold it.

    Args:
        data: with training images.
        file: the weights, written when training is done.
        weights: that it starts from.
        side: of a patch, in pixels.
        patches: how many it sees.
        workers: loader processes; None for as many as the cores can do with.
        home: holds the cache of decoded images.
    """
    experiment = fc.Experiment(
        dataset=data.name,
        regime={"kind": "patchwise", "size": (side, side), "around": "class-balanced", "loss_at": "center"},
        batch_size=BATCH,
        views=max(1, round(patches / len(data.train))),
        epochs=1,
        augmentation={"scale": (1.0, 1.0), "brightness": 0, "contrast": 0, "saturation": 0, "hue": 0},
        workers=workers,
    )
    plan = resolve(experiment, TrainingSet(data.train.sizes, data.val.sizes))
    grid = ScoreGrid.of(build_network(f"fcn32s-{NAME}", classes=len(data.classes)))
    loader = training_loader(data.train, plan, LOOKS, home, grid)

    torch.manual_seed(plan.seed)
    classifier = load_classifier(NAME, weights).to(memory_format=torch.channels_last)
    classifier.classifier[-1] = nn.Linear(classifier.last_channel, len(data.classes))
    groups = [{"params": classifier.features.parameters()}, {"params": classifier.classifier.parameters()}]
    optimizer = torch.optim.AdamW(groups, lr=NEW_RATE)
    rates = torch.optim.lr_scheduler.OneCycleLR(optimizer, [KNOWN_RATE, NEW_RATE], total_steps=len(loader))

    classifier.train()
    with workers_without_main():
        for batch in track(loader, "training the classifier of patches"):
            scores = classifier(LOOKS.apply(batch.images).contiguous(memory_format=torch.channels_last))
            middle = batch.labels[:, side // 2, side // 2].long()
            loss = F.cross_entropy(scores, middle, ignore_index=data.classes.ignore_index)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            rates.step()
    unfinished = file.with_suffix(".part")
    save_file({name: value.contiguous() for name, value in classifier.state_dict().items()}, unfinished)
    unfinished.replace(file)


def load_patch_classifier(file: Path, *, classes: int) -> nn.Module:
    """The classifier with its weights, in evaluation."""
    classifier = torchvision.models.mobilenet_v2(weights=None, num_classes=classes)
    classifier.load_state_dict(load_file(file))
    return classifier.eval()


def as_start_of_fcn(classifier: nn.Module, file: Path) -> Path:
    """Write the weights of an FCN-8s that says what the classifier says; returns the file.

    It has the classifier's backbone, and the classifier's linear layer as its coarsest score layer. Score layers of the
    skips are zero, as in every untrained FCN.
    """
    linear = classifier.classifier[-1]
    net = fc.fcn(classifier, classes=linear.out_features, stride=8)
    coarsest = net.head.scores[0]
    with torch.no_grad():
        coarsest.weight.copy_(linear.weight[:, :, None, None])
        coarsest.bias.copy_(linear.bias)
    save_file({name: value.contiguous() for name, value in net.state_dict().items()}, file)
    return file


@torch.no_grad()
def slide(dense: nn.Module, image: np.ndarray, names: tuple[str, ...], *, stride: int | None = None) -> DenseGuess:
    """What the classifier says of the patch around every so many pixels, in one pass.

    Args:
        dense: the classifier, made dense.
        image: (H, W, 3) uint8.
        names: of the classes.
        stride: the classifier's own if not given; smaller ones by à trous rewriting, which keeps what was said before.
    """
    side = dense.conversion.native_size[0]
    net = dense if stride is None else fc.rarefy(dense, stride=stride)
    pixels = LOOKS.apply(torch.from_numpy(np.array(image)).permute(2, 0, 1)[None])
    # Half a patch of the mean colour around the image, as around training patches at its border.
    scores = net(F.pad(pixels, [side // 2] * 4))[0]
    steps = dense.conversion.stride if stride is None else (stride, stride)
    return DenseGuess(image, scores.softmax(0).numpy(), steps, (-0.5, -0.5), names)


def labels_of(guess: DenseGuess) -> np.ndarray:
    """(H, W) class index: what is said of the patch around the nearest place."""
    best = guess.probabilities.argmax(0)[None].astype(np.float32)
    return replace(guess, probabilities=best, names=("best",)).on_photo("best").astype(np.uint8)
