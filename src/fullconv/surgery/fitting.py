"""One tensor brought into the shape of another: as it is, reshaped, for more classes, for other bands."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Literal

import torch

Shape = tuple[int, ...]
Way = Literal["copied", "reshaped", "bands", "classes"]

MOST_BANDS = 4
"""Of filters that can be made to read other bands: grey, colour, colour with depth. More have no known order."""


@dataclass(frozen=True)
class Allowed:
    """What may be done to a tensor beside copying and reshaping.

    Args:
        bands: its layer reads the image, which may have other bands.
        classes: its layer yields classes, of which the target may have more.
        fewer_classes: the target may also have fewer.
    """

    bands: bool = False
    classes: bool = False
    fewer_classes: bool = False


def way_to_fit(given: Shape, wanted: Shape, allowed: Allowed) -> Way | None:
    """How a tensor of one shape can fill one of another; None if it cannot.

    >>> way_to_fit((4096, 25088), (4096, 512, 7, 7), Allowed())
    'reshaped'
    >>> way_to_fit((64, 3, 7, 7), (64, 4, 7, 7), Allowed()) is None
    True
    """
    if given == wanted:
        return "copied"
    if _same_values(given, wanted):
        return "reshaped"
    filters = len(given) == len(wanted) == 4 and given[0] == wanted[0] and given[2:] == wanted[2:]
    if allowed.bands and filters and given[1] <= MOST_BANDS:
        return "bands"
    if allowed.classes and given and wanted and (given[0] < wanted[0] or allowed.fewer_classes):
        rows = (wanted[0], *given[1:])
        each_to_each = len(given) == len(wanted) == 4 and given[0] == given[1] and wanted[0] == wanted[1]
        if rows == wanted or _same_values(rows, wanted) or (each_to_each and given[2:] == wanted[2:]):
            return "classes"
    return None


def _same_values(given: Shape, wanted: Shape) -> bool:
    """Whether one shape is the other flattened behind its first dimension, or differs by dimensions of size one."""
    if prod(given) != prod(wanted):
        return False
    if min(len(given), len(wanted)) == 2:
        return given[0] == wanted[0]
    alike = [size for size in given if size != 1] == [size for size in wanted if size != 1]
    return alike and (min(len(given), len(wanted)) < 2 or given[0] == wanted[0])


def fitted(given: torch.Tensor, current: torch.Tensor, way: Way) -> tuple[torch.Tensor, str]:
    """The tensor that takes the place of `current`, and in words what was done.

    Args:
        given: the source's values.
        current: the target's values; rows of classes that the source lacks keep them.
        way: what `way_to_fit` found.

    >>> fitted(torch.ones(2, 3), torch.zeros(3, 3), "classes")
    (tensor([[1., 1., 1.],
            [1., 1., 1.],
            [0., 0., 0.]]), 'first 2 of 3 classes')
    """
    if way == "copied":
        return given, ""
    if way == "reshaped":
        return given.reshape(current.shape), f"{_text(given)} → {_text(current)}"
    if way == "bands":
        return expand_bands(given, current.shape[1]), "mean of the colour filters"
    before, after = len(given), len(current)
    count = min(before, after)
    grown = current.detach().to("cpu", copy=True)
    if given.ndim == 4 and given.shape[1] == before > 1 and current.shape[1] == after:
        grown[:count, :count] = given[:count, :count].to(grown)
    else:
        grown[:count] = given[:count].reshape(grown[:count].shape).to(grown)
    return grown, f"first {count} of {max(before, after)} classes"


def expand_bands(weight: torch.Tensor, channels: int) -> torch.Tensor:
    """Colour filters for another number of bands; the response keeps its size.

    - More bands than three: the colour filters stay as they are, and the mean of the three is shared by the further
      bands: one band, such as depth, gets it whole, n bands get 1/n of it each.
    - One or two bands: every band gets the mean, scaled by 3 / bands. A grey image gives just the response that the
      same image in three equal colours gave.
    - From grey or two bands: in the same way, every band gets the mean, scaled by the ratio of the counts.
    - From colour with depth to fewer bands: the depth filter is left out.

    Args:
        weight: (filters, bands, height, width).
        channels: bands wanted.

    Source: the reference nets' surgery helpers, which start the fourth band from the mean of the three.

    >>> expand_bands(torch.ones(1, 3, 1, 1), 1).item()
    3.0
    >>> expand_bands(torch.tensor([1.0, 2.0, 6.0]).view(1, 3, 1, 1), 5).flatten()
    tensor([1.0000, 2.0000, 6.0000, 1.5000, 1.5000])
    """
    bands = weight.shape[1]
    if channels == bands:
        return weight
    colors = weight[:, :3]
    if bands >= 3 and channels >= 3:
        further = max(0, channels - bands)
        mean = colors.mean(dim=1, keepdim=True) / max(1, further)
        return torch.cat([weight[:, : min(bands, channels)], mean.expand(-1, further, -1, -1)], dim=1)
    return colors.mean(dim=1, keepdim=True).expand(-1, channels, -1, -1) * (colors.shape[1] / channels)


def _text(value: torch.Tensor) -> str:
    return f"({', '.join(str(size) for size in value.shape)})"
