"""What every network of the catalogue promises, checked for one of them: `broken_promises`.

Tests run it on representatives, benchmarks/catalogue_sweep.py on all.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn

from fullconv.data.classes import ClassTable, SegmentationClass
from fullconv.geometry.geometry import geometry_of
from fullconv.networks.catalogue import any_network, build_network, split_late
from fullconv.networks.listing import CLASSES, list_networks
from fullconv.networks.normalization import Normalization
from fullconv.store.package import Geometry, ModelCard, load_package, save_package
from fullconv.store.recipe import NetworkRecipe

CHECKS = ("meta", "geometry", "sizes", "guess", "step", "package")
"""In this order; what they say stands in the docstrings of the functions of the same names."""
ODD_SIZES = ((97, 61), (333, 250))
PACKAGED_SIZE = (160, 128)
"""Several cells even of a network of stride 32 that pads nothing."""
STEPS = (1e-2, 1e-3, 1e-4, 1e-5)
"""Of gradient descent, tried from the largest on: a small enough one goes down wherever the gradient is right."""
TABLE = ClassTable(
    classes=tuple(SegmentationClass(name=f"c{i}", color=(i, i, i), value=i, codes=(i,)) for i in range(CLASSES))
)


class BrokenPromise(AssertionError):
    """What a network does not do, in words."""


@dataclass
class Contract:
    """The outcome for one network.

    Args:
        name: in the catalogue.
        parameters: how many there are.
        broken: check → what went wrong; empty where all is well.
        seconds: check → processor time that it took, of all cores together.
    """

    name: str
    parameters: int = 0
    broken: dict[str, str] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)


def contract_of(name: str, folder: Path, *, checks: tuple[str, ...] = CHECKS) -> Contract:
    """Run the checks on a network; a check that fails, in whatever way, leaves the others to run.

    Args:
        name: of the network.
        folder: for its package; must not exist or be empty.
        checks: those of `CHECKS` to run.
    """
    done = Contract(name)
    torch.manual_seed(0)
    bands = _bands(name)
    nets: dict[str, nn.Module] = {}

    def built(kind: str, build: Callable[[], nn.Module]) -> nn.Module:
        if kind not in nets:
            nets[kind] = build()
        return nets[kind]

    def empty() -> nn.Module:
        return built("empty", lambda: any_network(name, classes=CLASSES, channels=bands))

    def real() -> nn.Module:
        return built("real", lambda: build_network(name, classes=CLASSES, channels=bands))

    run: dict[str, Callable[[], None]] = {
        "meta": lambda: meta(empty()),
        "geometry": lambda: geometry(name, empty()),
        "sizes": lambda: sizes(real(), bands),
        "guess": lambda: guess(real(), bands),
        "step": lambda: step(real(), bands),
        "package": lambda: package(name, real(), bands, folder),
    }
    for check in checks:
        with _recorded(done, check):
            run[check]()
    for net in nets.values():
        done.parameters = sum(parameter.numel() for parameter in net.parameters())
    return done


def meta(net: nn.Module) -> None:
    """The network is built on the meta device: no tensor of it has memory."""
    for name, tensor in (*net.named_parameters(), *net.named_buffers()):
        _demand(tensor.is_meta, f"{name} lies on {tensor.device}")


def geometry(name: str, net: nn.Module) -> None:
    """Without weights: one output per pixel, on that pixel; whatever reads all of it is named; as listed."""
    found = geometry_of(net)
    plane = found.output
    if plane is None:
        raise BrokenPromise("its output has no place on the image")
    grid = [(axis.stride, axis.center) for axis in (plane.rows, plane.cols)]
    _demand(grid == [(1, 0), (1, 0)], f"its outputs have strides and centres {grid}")
    _demand(found.is_local or bool(found.obstacles), "it has neither a reach nor obstacles")
    entry = next((entry for entry in list_networks() if entry.name == name), None)
    if entry is not None:
        _demand(max(plane.skew) == 0, f"branches are {plane.skew} pixels out of line")
        reach = (found.reach.up, found.reach.down, found.reach.left, found.reach.right) if found.is_local else None
        listed = (entry.parameters, entry.reach, entry.total_stride, entry.exact_tiling)
        _demand(listed == (found.parameters, reach, max(found.total_stride), found.is_local), f"listed as {listed}")


def sizes(net: nn.Module, bands: int) -> None:
    """Images of odd sizes give scores of the same size."""
    net.eval()
    for size in ODD_SIZES:
        with torch.no_grad():
            shape = tuple(net(_images(1, bands, size)).shape)
        _demand(shape == (1, CLASSES, *size), f"{size} gives {shape}")


def guess(net: nn.Module, bands: int) -> None:
    """Score layers start at zero: every score is 0 and the loss that of a guess, ln(classes)."""
    images = _images(2, bands, ODD_SIZES[0])
    with torch.no_grad():
        scores = net.eval()(images)
        loss = F.cross_entropy(scores, _labels(images), ignore_index=255).item()
    _demand(bool((scores == 0).all()), f"scores of {float(scores.abs().max()):.1e} at the start")
    _demand(abs(loss - math.log(CLASSES)) < 2e-6, f"the loss is {loss} at the start, not {math.log(CLASSES)}")


def step(net: nn.Module, bands: int) -> None:
    """One step of gradient descent in training lowers the loss of its batch, after which all layers learn.

    Both losses have the same dropout, and batch norm takes the statistics of the batch. While scores are zero nothing
    else has a gradient; after the step it must come through all layers to the images.
    """
    net.train()
    images = _images(2, bands, ODD_SIZES[0])
    labels = _labels(images)
    images.requires_grad_()
    named = [(name, parameter) for name, parameter in net.named_parameters() if parameter.requires_grad]
    trained = [parameter for _, parameter in named]

    def loss() -> torch.Tensor:
        torch.manual_seed(1)
        return F.cross_entropy(net(images), labels, ignore_index=255)

    before = loss()
    gradients = torch.autograd.grad(before, trained, allow_unused=True)
    unused = [name for (name, _), gradient in zip(named, gradients, strict=True) if gradient is None]
    _demand(not unused, f"{len(unused)} parameters take no part, such as {unused[:1]}")
    taken, after = 0.0, before
    for size in STEPS:
        with torch.no_grad():
            torch._foreach_add_(trained, list(gradients), alpha=taken - size)
        taken, after = size, loss()
        if after.item() < before.item():
            break
    _demand(after.item() < before.item(), f"the loss is {before.item():.6f} before the step, {after.item():.6f} after")
    (reached,) = torch.autograd.grad(after, [images])
    _demand(bool(reached.isfinite().all()) and bool(reached.any()), "the loss does not change with the images")


def package(name: str, net: nn.Module, bands: int, folder: Path) -> None:
    """Saved as a package and loaded it gives the same scores, bit for bit; they must not be those of a guess."""
    images = _images(1, bands, PACKAGED_SIZE)
    card = ModelCard(
        name="contract",
        network=NetworkRecipe(name=name, classes=CLASSES, channels=bands),
        classes=TABLE,
        normalization=Normalization(scale=255, mean=(0.5,) * bands, std=(0.25,) * bands),
        geometry=Geometry(stride=net.stride),
    )
    with torch.no_grad():
        expected = net.eval()(images)
    _demand(bool(expected.isfinite().all()), "scores are not finite after one step")
    _demand(bool(expected.std((2, 3)).max() > 0), "scores are the same everywhere, which proves nothing")
    loaded, found = load_package(save_package(folder, net, card))
    with torch.no_grad():
        scores = loaded(images)
    _demand(found == card, "the description changed")
    _demand(torch.equal(scores, expected), f"scores differ by {float((scores - expected).abs().max()):.1e}")


def _bands(name: str) -> int:
    """Three, or one more for the second of two networks."""
    _, first = split_late(name)
    return 3 if first is None else first + 1


def _images(count: int, bands: int, size: tuple[int, int]) -> torch.Tensor:
    """Noise, the same every time, with a slope in brightness from the left to the right."""
    noise = torch.randn(count, bands, *size, generator=torch.Generator().manual_seed(size[0]))
    return noise + torch.linspace(-1, 1, size[1])


def _labels(images: torch.Tensor) -> torch.Tensor:
    """(N, H, W) classes by brightness, with an ignored column."""
    labels = (images.mean(1).sigmoid() * CLASSES).long().clamp(0, CLASSES - 1)
    labels[..., 7] = 255
    return labels


def _demand(holds: bool, otherwise: str) -> None:
    if not holds:
        raise BrokenPromise(otherwise)


@contextmanager
def _recorded(done: Contract, check: str) -> Iterator[None]:
    started = time.process_time()
    try:
        yield
    except BrokenPromise as problem:
        done.broken[check] = str(problem)
    except Exception as problem:  # a network may fail in any way
        done.broken[check] = f"{type(problem).__name__}: {problem}"
    done.seconds[check] = time.process_time() - started
