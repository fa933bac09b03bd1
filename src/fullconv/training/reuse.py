"""A trained model as the start of another: same or finer network, same or other classes."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import nn

from fullconv.counted import counted
from fullconv.errors import NetworkError, PackageError
from fullconv.geometry.meta_values import bands_of
from fullconv.networks.backbones import without_weights
from fullconv.networks.catalogue import build_network
from fullconv.networks.own_file import OwnNetwork
from fullconv.networks.reference import AnyFCN
from fullconv.networks.weights import TransferReport
from fullconv.store.package import CARD, WEIGHTS, read_card


def is_package(path: Path) -> bool:
    """Whether a folder holds a model package."""
    return (path / CARD).is_file()


def reuse(net: AnyFCN, network: str, directory: Path, names: Sequence[str]) -> TransferReport:
    """Fill a network from a model package: the backbone whole, the rest as far as it fits.

    Scores are taken over class by class, by name; classes that the package does not know keep their start values. A
    finer network of the same kind takes over what the coarser one has: FCN-32s → 16s → 8s.

    Args:
        net: changed in place.
        network: its name in the catalogue, or of the user's file.
        directory: of the package; none of its code is run.
        names: classes of the network.

    Raises:
        NetworkError: its backbone is another one, or reads other bands; the network is then as before.
        PackageError: the package is damaged, or has several heads.

    Source: Long, Shelhamer, Darrell, CVPR 2015, section 4.2 (staged training).
    """
    card = read_card(directory)
    if isinstance(card.classes, dict):
        raise PackageError("has several heads", where=directory, remedy="give a model with one")
    try:
        given = load_file(directory / WEIGHTS)
    except Exception as problem:
        remedy = "copy the package again from where it came"
        raise PackageError(f"weights cannot be read ({problem})", where=directory / WEIGHTS, remedy=remedy) from problem
    own = net.state_dict(keep_vars=True)
    _refuse_other_backbone(net, own, given, directory)
    places = _class_dimensions(net, network, len(names))
    rows = _shared(names, card.classes.names)
    copied, adapted, values = [], [], dict[str, torch.Tensor]()
    for name, value in own.items():
        if name not in given:
            continue
        found = given[name]
        if name in places:
            moved = _by_class(found, value.detach(), places[name], rows, (len(card.classes), len(names)))
            if moved is not None:
                values[name] = moved
                if len(rows) == len(names) == len(card.classes):
                    copied.append(name)
                else:
                    adapted.append((name, f"{len(rows)} of {counted(len(names), 'class')}, by name"))
        elif found.shape == value.shape:
            values[name] = found
            copied.append(name)
    if not values:
        raise NetworkError("nothing in the model fits", where=directory, remedy="choose the model's own network")
    with torch.no_grad():
        for name, value in values.items():
            own[name].copy_(value)
    initialised = tuple(name for name, _ in net.named_parameters() if name not in values)
    return TransferReport(
        f"model {card.name}", tuple(copied), tuple(adapted), initialised, normalization=card.normalization
    )


def _refuse_other_backbone(
    net: AnyFCN, own: dict[str, torch.Tensor], given: dict[str, torch.Tensor], where: Path
) -> None:
    features = {id(value) for value in net.features.state_dict(keep_vars=True).values()}
    for name, value in own.items():
        if id(value) not in features or name.endswith("_tracked"):
            continue
        if name not in given or given[name].shape != value.shape:
            why = "is missing" if name not in given else f"has shape {tuple(given[name].shape)}"
            raise NetworkError(
                f"the model's backbone is another one: {name} {why}",
                where=where,
                remedy="choose a network on the model's backbone, for the same bands",
            )


def _class_dimensions(net: AnyFCN, network: str, classes: int) -> dict[str, tuple[int, ...]]:
    """Tensor → its dimensions that count classes: those that grow when the network has one class more."""
    if isinstance(net, OwnNetwork):
        larger: nn.Module = net.file.build(classes + 1, bands_of(net))
    else:
        larger = without_weights(partial(build_network, network, classes=classes + 1, channels=bands_of(net)))
    shapes = {name: value.shape for name, value in larger.state_dict().items()}
    found = {}
    for name, value in net.state_dict().items():
        sizes = zip(value.shape, shapes.get(name, value.shape), strict=True)
        grown = tuple(axis for axis, (one, other) in enumerate(sizes) if one != other)
        if grown:
            found[name] = grown
    return found


def _shared(ours: Sequence[str], theirs: Sequence[str]) -> list[tuple[int, int]]:
    """(ours, theirs) of every class that both have; names match whatever their case."""
    known = {name.casefold(): index for index, name in enumerate(theirs)}
    return [(index, known[name.casefold()]) for index, name in enumerate(ours) if name.casefold() in known]


def _by_class(
    given: torch.Tensor,
    current: torch.Tensor,
    axes: tuple[int, ...],
    rows: list[tuple[int, int]],
    counts: tuple[int, int],
) -> torch.Tensor | None:
    """The current values with those of shared classes in their places; None where the shapes have nothing in common."""
    theirs, ours = counts
    expected = tuple(theirs if axis in axes else size for axis, size in enumerate(current.shape))
    if tuple(given.shape) != expected or any(current.shape[axis] != ours for axis in axes):
        return None
    result, source = current.clone(), given.to(current)
    to, start = torch.tensor([row for row, _ in rows]), torch.tensor([row for _, row in rows])
    if not rows:
        return result
    if len(axes) == 1:
        return result.index_copy(axes[0], to, source.index_select(axes[0], start))
    first, second = axes
    block = source.index_select(first, start).index_select(second, start)
    part = result.index_select(first, to).index_copy(second, to, block)
    return result.index_copy(first, to, part)
