"""Weights moved from one network into another."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from fullconv.errors import NetworkError
from fullconv.surgery.fitting import Shape, Way, fitted
from fullconv.surgery.matching import pair_up
from fullconv.surgery.renaming import Rename, renamed, without_suffix
from fullconv.surgery.transplant_plan import Plan, plan_transplant
from fullconv.surgery.transplant_report import Status, Transfer, TransplantReport
from fullconv.surgery.weight_files import flat_state, read_weights

Shapes = Mapping[str, Shape]
_STATUS: dict[Way, Status] = {"copied": "copied", "reshaped": "reshaped", "bands": "expanded", "classes": "expanded"}


def transplant(
    source: nn.Module | Mapping[str, Any] | str | Path,
    target: nn.Module,
    *,
    rename: Rename | None = None,
    suffix: str | None = None,
    fewer_classes: bool = False,
    strict: bool = False,
) -> TransplantReport:
    """Move weights into a network, as far as they fit.

    Tensors find each other by name: as they are called, under a prefix (`backbone.`), in the naming conventions of
    torchvision, timm and Caffe (`features.0` is `conv1_1`), or, where names say little and both sides define the same
    shapes in the same order, by that order. A tensor of another shape is fitted if it

    - holds the same values flattened: the (out, in) of a linear layer becomes the (out, c, kh, kw) of a convolution, in
      the order channel, row, column in which torch and Caffe flatten;
    - scores fewer classes than the target: the first rows are taken over, the others keep their start values;
    - belongs to the convolution that reads the image, which may have other bands (see `expand_bands`).

    A layer of which one tensor does not fit is not taken over at all. Values stay as they are: Caffe's nets go on to
    expect BGR from 0 to 255 less a mean.

    Args:
        source: a network, a state dict or checkpoint, or the path of a weight file (see `read_weights`).
        target: changed in place; when an error is raised it is as before. Values are cast to its dtypes and devices.
        rename: names of the source's tensors, layers or parts → what they are called in the target; "" stands before
            every name, None leaves out. Or a function of each tensor's name. Where it changes a name, no prefix is
            looked for and no order is followed.
        suffix: copy into the layers of the target that carry it, as conv1_1 into conv1_1_d for "_d", and no others.
        fewer_classes: take over the first rows also where the target has fewer classes.
        strict: refuse unless every parameter and buffer of the target is filled (with `suffix`, of those layers);
            counters of batches do not matter.

    Returns:
        What became of every tensor of both; `.table()` for people, `.as_dict()` for JSON.

    Raises:
        NetworkError: the file cannot be used; nothing fits; a name in `rename` or `suffix` does not occur; weights fit
            equally well in two places; layers of the target share a tensor for which the source has two; with `strict`,
            something is missing.

    Source: the surgery helpers of the reference nets (Long, Shelhamer, Darrell, CVPR 2015).

    >>> classifier = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Flatten(), nn.Linear(8 * 5 * 5, 10))
    >>> dense = nn.Sequential(nn.Conv2d(4, 8, 3), nn.Identity(), nn.Conv2d(8, 12, 5))
    >>> report = transplant(classifier, dense)
    >>> report["0.weight"].note, report["2.weight"].note
    ('mean of the colour filters', 'first 10 of 12 classes')
    """
    label, given = _given(source)
    new_names = renamed(given, rename)
    old_names = {new: old for old, new in new_names.items() if new is not None}
    wanted = _wanted(target)
    own_names = {name: name for name in wanted} if suffix is None else without_suffix(wanted, suffix)
    shapes = {new: tuple(given[old].shape) for new, old in old_names.items()}
    needed = {name: tuple(wanted[own].shape) for name, own in own_names.items()}
    pairs = pair_up(shapes, needed, exact=any(old != new for new, old in old_names.items()))
    in_groups = _grouped(target)
    grouped = [name for name, own in own_names.items() if own in in_groups]
    plan = plan_transplant(pairs, shapes, needed, fewer_classes=fewer_classes, grouped=grouped)
    _refuse(plan, shapes, needed, where=label, net=type(target).__name__, strict=strict)
    values, done = {}, {}
    for pair, way in plan.ways.items():
        old, own = old_names[pair.source], own_names[pair.target]
        values[own], note = fitted(given[old], wanted[own], way)
        done[own] = Transfer(own, _STATUS[way], tuple(wanted[own].shape), old, pair.by, note)
    _refuse_torn(values, wanted, where=type(target).__name__)
    for pair, why in plan.misfits.items():
        own = own_names[pair.target]
        done[own] = Transfer(own, "initialised", tuple(wanted[own].shape), note=why)
    for own, value in wanted.items():
        if own not in done:
            done[own] = Transfer(own, "initialised", tuple(value.shape), note="the source has nothing for it")
    with torch.no_grad():
        for own, value in values.items():
            wanted[own].copy_(value)
    left = _leftovers(given, new_names, plan)
    return TransplantReport(label, type(target).__name__, (*(done[own] for own in wanted), *left))


def _given(source: nn.Module | Mapping[str, Any] | str | Path) -> tuple[str, dict[str, torch.Tensor]]:
    """What the source is called, and its tensors."""
    if isinstance(source, str | Path):
        return Path(source).name, read_weights(source)
    if isinstance(source, nn.Module):
        label, content = type(source).__name__, source.state_dict()
        state = {name: value for name, value in content.items() if isinstance(value, torch.Tensor)}
    else:
        label, state = "state dict", flat_state(source)
    if not state or any(is_lazy(value) or value.is_meta for value in state.values()):
        raise NetworkError("holds no values", where=label, remedy="give a network or state dict with weights")
    return label, state


def _wanted(target: nn.Module) -> dict[str, torch.Tensor]:
    """The target's own tensors, by name, checked to take values."""
    state = target.state_dict(keep_vars=True)
    found = {name: value for name, value in state.items() if isinstance(value, torch.Tensor)}
    where = type(target).__name__
    for name, value in found.items():
        if is_lazy(value) or value.is_meta:
            why = "has no shape yet" if is_lazy(value) else "lies on the meta device"
            remedy = "run it once on an image" if is_lazy(value) else "make it with target.to_empty(device='cpu')"
            raise NetworkError(f"{name} {why} and takes no values", where=where, remedy=remedy)
        if value.is_inference():
            raise NetworkError(f"{name} was made in inference mode", where=where, remedy="make the network outside it")
    return found


def _grouped(target: nn.Module) -> set[str]:
    """Weights of grouped convolutions."""
    layers = target.named_modules()
    return {f"{path}.weight".lstrip(".") for path, layer in layers if isinstance(layer, nn.Conv2d) and layer.groups > 1}


def _refuse_torn(values: Mapping[str, torch.Tensor], wanted: Mapping[str, torch.Tensor], *, where: str) -> None:
    """Layers of the target that share one tensor cannot take different values."""
    first: dict[int, str] = {}
    for name, value in values.items():
        other = first.setdefault(id(wanted[name]), name)
        if other != name and not torch.equal(values[other], value):
            raise NetworkError(
                f"{other} and {name} are one and the same tensor, and the source has different values for them",
                where=where,
                remedy="leave one of them out by rename (None)",
            )


def _refuse(plan: Plan, source: Shapes, target: Shapes, *, where: str, net: str, strict: bool) -> None:
    """Say what is missing where nothing fits, or where everything has to."""
    filled = {pair.target for pair in plan.ways}
    gaps = [name for name in target if name not in filled and not name.endswith("num_batches_tracked")]
    why = {pair.target: reason for pair, reason in plan.misfits.items()}
    remedy = "give weights of the same network, or say by rename what its layers are called"
    if not filled:
        example = next((f": {name}: {reason}" for name, reason in why.items()), f", from {next(iter(source))} on")
        raise NetworkError(f"nothing in it fits {net}{example}", where=where, remedy=remedy)
    if strict and gaps:
        first = f"{gaps[0]}: {why[gaps[0]]}" if gaps[0] in why else gaps[0]
        problem = f"fills {len(filled)} and lacks {len(gaps)} of the parameters of {net}, first {first}"
        raise NetworkError(problem, where=where, remedy=remedy)


def _leftovers(
    given: Mapping[str, torch.Tensor], new_names: Mapping[str, str | None], plan: Plan
) -> Iterator[Transfer]:
    """What of the source found no place, and why."""
    used = {pair.source for pair in plan.ways}
    misfits = {pair.source: f"for {pair.target}: {reason}" for pair, reason in plan.misfits.items()}
    for old, value in given.items():
        new = new_names[old]
        if new is None:
            yield Transfer(old, "left", tuple(value.shape), note="left out by rename")
        elif new not in used:
            note = misfits.get(new, "the target has nothing for it")
            yield Transfer(old, "left", tuple(value.shape), note=note)
