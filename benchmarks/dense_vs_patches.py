"""One dense pass against the same windows one by one: what convolutionalizing a classifier saves.

CaffeNet's AlexNet (no padding at conv1, pools that round up) on 500×500 pixels has a 10×10 grid of scores; the same
scores come from 100 crops of 227×227 through the original classifier, or through the dense net, whose matrix products
are faster in prediction. Every way is timed in turn, in rounds, and the median counts.

Run: python benchmarks/dense_vs_patches.py
writes benchmarks/results/dense_vs_patches.md.
"""

from __future__ import annotations

import copy
import statistics
import time
from collections import OrderedDict
from collections.abc import Callable
from itertools import product
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn

from fullconv.geometry.geometry import geometry_of
from fullconv.networks.reference import fcn_alexnet
from fullconv.surgery.convolutionalize import convolutionalize
from provenance import provenance

RESULT = Path(__file__).parent / "results" / "dense_vs_patches.md"
IMAGE, CROP, STRIDE, GRID = 500, 227, 32, 10
SIDE = CROP + STRIDE * (GRID - 1)
"""Pixels that hold 10×10 whole windows."""
BATCHES = (1, 10, 100)
ROUNDS = 3
FORMATS = {"contiguous": torch.contiguous_format, "channels-last": torch.channels_last}


def caffenet(*, padded: bool = True) -> nn.Sequential:
    """The classifier for 227×227 pixels, with random weights."""
    net = fcn_alexnet(padding=0)
    layers = OrderedDict(
        (name, layer) for name, layer in net.features.named_children() if not name.endswith(("6", "7"))
    )
    if not padded:
        for layer in layers.values():
            if isinstance(layer, nn.Conv2d):
                layer.padding = (0, 0)
    side = geometry_of(nn.Sequential(layers).eval(), input_size=(CROP, CROP)).layers[-1].shape[-1]
    tail = [nn.Flatten(), nn.Linear(256 * side * side, 4096), nn.ReLU(inplace=True)]
    tail += [nn.Linear(4096, 4096), nn.ReLU(inplace=True), nn.Linear(4096, 1000)]
    return nn.Sequential(layers | OrderedDict((f"tail{index}", layer) for index, layer in enumerate(tail)))


def crops_of(image: torch.Tensor) -> torch.Tensor:
    """(100, 3, 227, 227): the windows whose scores the dense pass computes, row by row.

    Pools that round up make cells of windows that the image ends in; what such a crop lacks is zero.
    """
    places = [STRIDE * cell for cell in range(GRID)]
    image = F.pad(image, (0, max(0, SIDE - image.shape[-1]), 0, max(0, SIDE - image.shape[-2])))
    return torch.cat([image[..., top : top + CROP, left : left + CROP] for top, left in product(places, places)])


def as_convolutions(dense: nn.Module) -> nn.Module:
    """The same net with plain convolutions in the place of window products."""
    plain = copy.deepcopy(dense)
    for name, module in list(plain.named_modules()):
        if isinstance(module, nn.Conv2d) and type(module) is not nn.Conv2d:
            layer = nn.Conv2d(module.in_channels, module.out_channels, module.kernel_size)  # type: ignore[arg-type]
            layer.load_state_dict(module.state_dict())
            plain.set_submodule(name, layer)
    return plain


def ways(backward: bool) -> dict[str, Callable[[], float]]:
    """What is timed: name → a function that returns seconds."""
    torch.manual_seed(0)
    classifier = caffenet()
    dense = convolutionalize(classifier, input_size=(CROP, CROP))
    image = torch.randn(1, 3, IMAGE, IMAGE)
    crops = crops_of(image)
    found: dict[str, Callable[[], float]] = {}
    for label, memory in FORMATS.items():
        for batch in BATCHES:
            net = copy.deepcopy(classifier).eval().to(memory_format=memory)
            parts = [part.contiguous(memory_format=memory) for part in crops.split(batch)]
            found[f"crops, batches of {batch}, {label}"] = timed(net, parts, backward)
        converted = copy.deepcopy(dense).eval().to(memory_format=memory)
        found[f"crops, batches of {batch}, through the dense net, {label}"] = timed(converted, parts, backward)
        whole = [image.contiguous(memory_format=memory)]
        found[f"dense, {label}"] = timed(copy.deepcopy(dense).eval().to(memory_format=memory), whole, backward)
        plain = as_convolutions(dense).eval().to(memory_format=memory)
        found[f"dense, fc6 as a convolution, {label}"] = timed(plain, whole, backward)
    return found


def timed(net: nn.Module, inputs: list[torch.Tensor], backward: bool) -> Callable[[], float]:
    def once() -> float:
        net.zero_grad(set_to_none=True)
        started = time.perf_counter()
        with torch.set_grad_enabled(backward):
            for images in inputs:
                scores = net(images)
                if backward:
                    scores.square().sum().backward()
        return time.perf_counter() - started

    return once


def medians(found: dict[str, Callable[[], float]]) -> dict[str, float]:
    """Interleaved rounds, so that a slow minute hits all ways alike; the first round warms up."""
    seconds: dict[str, list[float]] = {name: [] for name in found}
    for turn in range(ROUNDS + 1):
        for name, once in found.items():
            value = once()
            if turn:
                seconds[name].append(value)
    return {name: statistics.median(values) for name, values in seconds.items()}


def largest_difference() -> float:
    """Between dense scores and those of crops, without any padding, relative to the largest score."""
    torch.manual_seed(0)
    classifier = caffenet(padded=False).eval()
    dense = convolutionalize(classifier, input_size=(CROP, CROP)).eval()
    image = torch.randn(1, 3, SIDE, SIDE)
    with torch.no_grad():
        scores, single = dense(image), classifier(crops_of(image))
    expected = single.view(GRID, GRID, -1).permute(2, 0, 1)[None]
    return float((scores[..., :GRID, :GRID] - expected).abs().max() / expected.abs().max())


def flop_ratio() -> float:
    classifier = caffenet()
    dense = convolutionalize(classifier, input_size=(CROP, CROP))
    windows = geometry_of(classifier.eval(), input_size=(CROP, CROP)).multiply_adds * GRID * GRID
    return windows / geometry_of(dense, input_size=(IMAGE, IMAGE)).multiply_adds


def best(results: dict[str, float], start: str) -> float:
    return min(value for name, value in results.items() if name.startswith(start))


def main() -> None:
    """Measure and write the page."""
    lines = ["# One dense pass against 100 crops", "", (__doc__ or "").split("\n\n")[1], ""]
    lines.append(
        f"The crops take {flop_ratio():.2f} times as many multiply-adds. Without padding in the layers the scores of "
        f"both ways are equal but for {largest_difference():.1e} of the largest."
    )
    for title, backward in (("Forward", False), ("Forward and backward", True)):
        results = medians(ways(backward))
        dense = best(results, "dense")
        lines += ["", f"## {title}", "", "| way | ms | times the best dense pass |", "|---|---:|---:|"]
        lines += [f"| {name} | {1000 * value:.0f} | {value / dense:.2f} |" for name, value in results.items()]
        ratios = ", ".join(f"{best(results, f'crops, batches of {batch},') / dense:.2f}×" for batch in BATCHES)
        lines += ["", f"Each side at its best, against batches of 1, 10, 100: **{ratios}**."]
    lines += ["", provenance("torch") + ". Command: `python benchmarks/dense_vs_patches.py`.", ""]
    RESULT.write_text("\n".join(lines), encoding="utf-8")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
