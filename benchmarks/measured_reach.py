"""The reach of every network that has one, by arithmetic and by measurement.

For every backbone of the catalogue the FCN with skips from stride 8 on (or its finest), and for every convolutional
classifier of torchvision the part before its head. Networks that read the whole image have no reach and are named.

Run: python benchmarks/measured_reach.py
writes benchmarks/results/measured_reach.md.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import torchvision
from torch import nn

from fullconv.errors import NetworkError
from fullconv.geometry.geometry import Geometry, geometry_of
from fullconv.geometry.measuring import measure_reach
from fullconv.networks.backbones import LISTED, build_classifier
from fullconv.networks.building import found_taps
from fullconv.networks.catalogue import build_network
from fullconv.networks.taps import features_of, find_taps
from provenance import provenance

RESULT = Path(__file__).parent / "results" / "measured_reach.md"


class Deepest(nn.Module):
    """The last feature map of a classifier."""

    def __init__(self, classifier: nn.Module) -> None:
        super().__init__()
        taps = find_taps(classifier)
        self.node = taps[-1].node
        self.features = features_of(classifier, taps[-1:])

    def forward(self, images):  # type: ignore[no-untyped-def]
        return self.features(images)[self.node]


def networks() -> Iterator[tuple[str, nn.Module]]:
    """Name and network in evaluation."""
    for name in torchvision.models.list_models(module=torchvision.models):
        try:
            yield f"{name}, last map", Deepest(build_classifier(name).eval()).eval()
        except NetworkError:
            continue  # not convolutional
    for backbone in LISTED:
        stride = max(8, found_taps(backbone)[0].stride)
        yield f"fcn{stride}s-{backbone}", build_network(f"fcn{stride}s-{backbone}", classes=2).eval()


def row(name: str, net: nn.Module) -> tuple[str, bool | None]:
    """A line of the table, and whether both agree; None for networks without reach."""
    started = time.perf_counter()
    geometry: Geometry = geometry_of(net)
    arithmetic = time.perf_counter() - started
    if not geometry.is_local:
        return f"| {name} | the whole image: {geometry.obstacles[0].kind} | | | {arithmetic:.2f} | |", None
    reach = geometry.reach
    started = time.perf_counter()
    found = measure_reach(net)
    far = f"{reach.up}, {reach.down}, {reach.left}, {reach.right}"
    measured = f"{found.up}, {found.down}, {found.left}, {found.right}"
    verdict = "equal" if found == reach else "**different**"
    seconds = time.perf_counter() - started
    return f"| {name} | {far} | {measured} | {verdict} | {arithmetic:.2f} | {seconds:.1f} |", found == reach


def main() -> None:
    """Compare all and write the page."""
    rows, verdicts = [], []
    for name, net in networks():
        line, equal = row(name, net)
        rows.append(line)
        verdicts.append(equal)
        print(line, flush=True)
    lines = [
        *("# Reach by arithmetic and by measurement", "", (__doc__ or "").split("\n\n")[1], ""),
        "Reach: pixels up, down, left, right of its own place that an output can read, in the worst phase. Measured:",
        "a NaN in one row or column after the other. "
        f"{verdicts.count(True)} equal, {verdicts.count(False)} different, {verdicts.count(None)} without reach.",
        "",
        "| network | arithmetic | measured | | s | s to measure |",
        *("|---|---|---|---|---:|---:|", *rows, ""),
        provenance("torch", "torchvision") + ". Command: `python benchmarks/measured_reach.py`.",
        "",
    ]
    RESULT.write_text("\n".join(lines), encoding="utf-8")


if __name__ == "__main__":
    main()
