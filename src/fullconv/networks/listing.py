"""The catalogue with its numbers: what every network costs, how far it reads, and whether its tiles are exact."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from functools import lru_cache
from importlib import resources

from fullconv.geometry.geometry import geometry_of
from fullconv.networks.catalogue import any_network, parse_name

FILE = "listing.json"
CLASSES = 21
SIZE = (224, 224)


@dataclass(frozen=True)
class NetworkEntry:
    """One line of the catalogue.

    Args:
        name: what `fullconv train --net` takes.
        backbone: the classifier.
        stride: of the finest skip.
        parameters: for 21 classes.
        multiply_adds: of one image of 224×224 pixels.
        reach: how many pixels up, down, left and right of its own place an output can read; none where it reads all.
        total_stride: tiles are exact where their origins lie on multiples of it.
        exact_tiling: whether a large image can be predicted tile by tile with no difference.
    """

    name: str
    backbone: str
    stride: int
    parameters: int
    multiply_adds: int
    reach: tuple[int, int, int, int] | None
    total_stride: int
    exact_tiling: bool


def describe(name: str) -> NetworkEntry:
    """Work the entry out: build the network without weights and follow an image through it.

    >>> entry = describe("fcn8s-squeezenet1_1")
    >>> entry.stride, entry.reach
    (8, (118, 127, 118, 127))
    """
    parts = parse_name(name)
    geometry = geometry_of(any_network(name, classes=CLASSES), input_size=SIZE)
    reach = geometry.reach if geometry.is_local else None
    return NetworkEntry(
        name=name,
        backbone=parts.backbone,
        stride=parts.stride,
        parameters=geometry.parameters,
        multiply_adds=geometry.multiply_adds,
        reach=None if reach is None else (reach.up, reach.down, reach.left, reach.right),
        total_stride=max(geometry.total_stride),
        exact_tiling=geometry.is_local,
    )


@lru_cache
def list_networks() -> tuple[NetworkEntry, ...]:
    """Every network of the catalogue, as worked out when the package was made.

    >>> [entry.name for entry in list_networks() if entry.backbone == "squeezenet1_1" and entry.stride > 8]
    ['fcn16s-squeezenet1_1', 'fcn16s-squeezenet1_1-features']
    """
    content = json.loads(resources.files("fullconv.networks").joinpath(FILE).read_text(encoding="utf-8"))
    return tuple(
        NetworkEntry(**entry | {"reach": None if entry["reach"] is None else tuple(entry["reach"])})
        for entry in content["networks"]
    )


def as_json(entries: list[NetworkEntry]) -> str:
    """The file that `list_networks` reads, one network a line."""
    lines = ",\n".join(json.dumps(asdict(entry)) for entry in entries)
    return f'{{"classes": {CLASSES}, "image": {list(SIZE)}, "networks": [\n{lines}\n]}}\n'
