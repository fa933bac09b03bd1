"""Every classifier of torchvision and the smallest of every timm module: made dense with proof, or refused by name.

Weights are random, also where a library starts with zeros, and so are the statistics of batch norm: the proof compares
what really flows. Refusals are found without weights. The table goes to results/ and to the reference.

Run: python benchmarks/convolutionalize_sweep.py [--only NAME …]
"""

from __future__ import annotations

import argparse
import gc
import time
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import timm
import torch
import torchvision
from timm.models import model_entrypoint
from torch import nn

from fullconv.errors import NotConvolutional
from fullconv.surgery.convolutionalize import convolutionalize
from fullconv.surgery.dense_classifier import Conversion
from provenance import provenance

RESULTS = Path(__file__).parent / "results" / "convolutionalize.md"
REFERENCE = Path(__file__).parents[1] / "docs" / "reference" / "classifiers.md"
HEADER = """| classifier | outcome | stride | receptive field | parameters | multiply-adds | note |
|---|---|---:|---:|---:|---:|---|"""


@dataclass(frozen=True)
class Outcome:
    """What became of one classifier; `obstacle` is why it was refused."""

    name: str
    conversion: Conversion | None
    obstacle: str
    seconds: float

    def row(self) -> str:
        found = self.conversion
        if found is None:
            return f"| `{self.name}` | refused | | | | | {self.obstacle} |"
        height, width = found.receptive_field
        field = str(height) if height == width else f"{height}×{width}"
        cost = f"{found.parameters_after / 1e6:.2f} M | {found.multiply_adds_after / 1e9:.2f} G"
        return f"| `{self.name}` | converted | {found.stride[0]} | {field} | {cost} | {_note(found)} |"


def _note(found: Conversion) -> str:
    notes = []
    if found.dependent:
        notes.append(f"windows not independent (`{found.dependent[0]}`, {len(found.dependent)} in all)")
    if found.left_out:
        notes.append(f"without {', '.join(f'`{part}`' for part in found.left_out)}")
    if found.trimmed:
        notes.append("images cut to a whole number of strides")
    return "; ".join(notes)


def torchvision_classifiers() -> Iterator[tuple[str, Callable[[], nn.Module]]]:
    """All names that torchvision lists as classifiers."""
    for name in torchvision.models.list_models(module=torchvision.models):
        yield f"torchvision {name}", lambda name=name: torchvision.models.get_model(name, weights=None)


def timm_families() -> Iterator[tuple[str, Callable[[], nn.Module]]]:
    """The classifier with the fewest parameters of every module of timm."""
    families: dict[str, list[str]] = defaultdict(list)
    for name in timm.list_models():
        families[model_entrypoint(name).__module__.rpartition(".")[2]].append(name)
    for family in sorted(families):
        sizes = {}
        for name in families[family]:
            with torch.device("meta"):
                sizes[name] = sum(p.numel() for p in timm.create_model(name, pretrained=False).parameters())
        smallest = min(sizes, key=lambda name: (sizes[name], name))
        yield f"timm {smallest}", lambda name=smallest: timm.create_model(name, pretrained=False)


def randomized(net: nn.Module) -> nn.Module:
    """Nothing stays as constant as initialization leaves it: zeroed branches, scales and statistics get values."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in net.parameters():
            if parameter.numel() > 1 and bool((parameter == parameter.flatten()[0]).all()):
                parameter += 0.1 * torch.randn(parameter.shape, generator=generator)
        for module in net.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm) and module.running_mean is not None:
                module.running_mean.normal_(0, 0.1, generator=generator)
                module.running_var.uniform_(0.8, 1.2, generator=generator)
    return net


def without_weights(make: Callable[[], nn.Module]) -> nn.Module | None:
    """The classifier on the meta device, where it can be made there."""
    try:
        with torch.device("meta"):
            return make()
    except NotImplementedError:  # its constructor computes with tensors
        return None


def outcome(name: str, make: Callable[[], nn.Module]) -> Outcome:
    """Convert one classifier.

    Raises:
        Exception: anything but a conversion with proof or a refusal: the third outcome that must not be.
    """
    started = time.perf_counter()
    torch.manual_seed(0)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            empty = without_weights(make)
            if empty is not None:
                convolutionalize(empty)
            found = convolutionalize(randomized(make())).conversion
    except NotConvolutional as refusal:
        return Outcome(name, None, str(refusal), time.perf_counter() - started)
    assert found is not None
    assert found.difference is not None
    assert found.parameters_before == found.parameters_after
    assert found.multiply_adds_before == found.multiply_adds_after
    return Outcome(name, found, "", time.perf_counter() - started)


def main() -> None:
    """Run the sweep and write both pages."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="*", help="names to run, without writing")
    only = parser.parse_args().only
    outcomes, failures = [], []
    for name, make in (*torchvision_classifiers(), *timm_families()):
        if only and name.split()[1] not in only:
            continue
        try:
            outcomes.append(outcome(name, make))
            print(f"{outcomes[-1].row()} {outcomes[-1].seconds:.1f} s", flush=True)
        except Exception as problem:
            failures.append(f"{name}: {type(problem).__name__}: {problem}")
            print(f"THIRD OUTCOME {failures[-1]}", flush=True)
        gc.collect()
    if not only and not failures:
        write(outcomes)
    raise SystemExit(1 if failures else 0)


def write(outcomes: list[Outcome]) -> None:
    """The table, with where it was made in results/ and with an introduction in the reference."""
    proven = [found.conversion for found in outcomes if found.conversion is not None]
    worst = max(found.difference for found in proven if found.difference is not None)
    rows = "\n".join([HEADER, *(found.row() for found in outcomes)])
    counts = f"{len(outcomes)} classifiers: {len(proven)} converted, {len(outcomes) - len(proven)} refused"
    proof = f"the largest difference to the classifier is {worst:.1e} of its largest score"
    stamp = provenance("torch", "torchvision", "timm")
    total = sum(found.seconds for found in outcomes)
    RESULTS.write_text(
        f"# Classifiers made dense\n\n{stamp}\n\n{counts}; {proof}; {total:.0f} s.\n\n{rows}\n", encoding="utf-8"
    )
    REFERENCE.write_text(f"{INTRODUCTION}\n{counts}; {proof}.\n\n{rows}\n", encoding="utf-8")


INTRODUCTION = """# Classifiers

What `fc.convolutionalize` makes of every classifier of torchvision and of the smallest of every module of timm. Made by
`python benchmarks/convolutionalize_sweep.py`, which takes the better part of an hour.

*Converted* means that the dense network has the same parameters and multiply-adds, and that its scores of an image of
native size were compared with the classifier's. *Stride* and *receptive field* are in pixels; the field is that of a
score, which covers the window and, where the network pads, what lies around it; squeeze-excite and the like are left
aside.
*Refused* names the module and the obstacle.
"""


if __name__ == "__main__":
    main()
