"""Where a classifier can be tapped: the deepest feature map at each stride, found by following an image through it."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import torch
from torch import fx, nn

from fullconv.errors import NetworkError
from fullconv.geometry.following import follow
from fullconv.geometry.meta_values import values_at
from fullconv.geometry.modes import PATH, follow_modes
from fullconv.geometry.states import Plane
from fullconv.geometry.tracing import ENDS, Trace, graph_of, names_of, trace

_LARGEST_SIDE = 1024
_NOT_CONVOLUTIONAL = ("attention", "fixed-size", "unknown", "misaligned")


@dataclass(frozen=True)
class Tap:
    """The deepest feature map of a classifier at one stride.

    Args:
        node: its name: the module or operation that yields it.
        stride: pixels from one cell to the next.
        center: pixel coordinate of the centre of cell 0.
        channels: of the map.
    """

    node: str
    stride: int
    center: Fraction
    channels: int


def find_taps(classifier: nn.Module, channels: int = 3) -> tuple[Tap, ...]:
    """The deepest map at every stride from 2 up, finest first; the layer that scores the classes comes after all.

    Only maps that everything after depends on count, not those of one branch of several, and the end of a stage goes
    before the inside of the next one.

    Args:
        classifier: in evaluation; it may lie on the meta device.
        channels: bands of its images.

    Raises:
        NetworkError: it cannot be traced, or keeps no rows and columns at any stride.

    >>> from fullconv.networks.compact import CompactNet
    >>> [(tap.stride, tap.node, tap.channels) for tap in find_taps(CompactNet())][-1]
    (32, 'features', 128)
    """
    traced = trace(classifier, channels=channels)
    states, obstacles = follow(traced)
    for obstacle in obstacles.values():
        if obstacle.kind in _NOT_CONVOLUTIONAL:
            raise NetworkError(
                f"{type(classifier).__name__} is not convolutional: {obstacle}",
                remedy="choose a network of convolutions, pools and what is done per pixel",
            )
    nodes = [node for node in traced.graph.graph.nodes if states[node] is not None and node.op != "output"]
    place = {node: index for index, node in enumerate(nodes)}
    scoring = max((place[node] for node in nodes if _is_weighted(traced, node)), default=0)
    last_use, chosen = 0, dict[int, tuple[tuple[int, int], Tap]]()
    for index, node in enumerate(nodes):
        alone = last_use <= index
        last_use = max([last_use, *(place[user] for user in node.users if user in place)])
        state = states[node]
        if index >= scoring or not alone or not isinstance(state, Plane):
            continue
        tap = _tap(traced, node, state)
        if tap is not None:
            rank = (-_depth(node), index)
            if tap.stride not in chosen or rank > chosen[tap.stride][0]:
                chosen[tap.stride] = (rank, tap)
    if not chosen:
        raise NetworkError(
            f"{type(classifier).__name__} has no feature map with a stride", remedy="choose a convolutional network"
        )
    return tuple(tap for _, (_, tap) in sorted(chosen.items()))


def _is_weighted(traced: Trace, node: fx.Node) -> bool:
    module = traced.module(node)
    return isinstance(module, nn.Conv2d | nn.Linear)


def _tap(traced: Trace, node: fx.Node, plane: Plane) -> Tap | None:
    shapes = traced.shapes(node)
    square = (plane.rows.stride, plane.rows.center) == (plane.cols.stride, plane.cols.center)
    stride = plane.rows.stride
    if shapes is None or plane.tags != ("", "", "rows", "cols") or not square or stride.denominator > 1 or stride < 2:
        return None
    return Tap(_end(node) or traced.name(node), int(stride), plane.rows.center, shapes[0][1])


def _end(node: fx.Node) -> str | None:
    """The outermost module whose result the node is."""
    ends: list[str] = node.meta.get(ENDS, [])
    return ends[-1] if ends else None


def _depth(node: fx.Node) -> int:
    """How deep inside the network a value arises; less is a more natural place to tap."""
    end = _end(node)
    if end is not None:
        return end.count(".")
    path: str = node.meta.get(PATH, "")
    return path.count(".") + 1 if path else 0


def features_of(classifier: nn.Module, taps: tuple[Tap, ...]) -> fx.GraphModule:
    """The part of a classifier that computes these taps: image → {node: feature map}, parameters by their own names.

    >>> from fullconv.networks.compact import CompactNet
    >>> net = CompactNet().eval()
    >>> maps = features_of(net, find_taps(net)[:2])(torch.zeros(1, 3, 32, 32))
    >>> {node: tuple(value.shape) for node, value in maps.items()}
    {'features.0': (1, 16, 16, 16), 'features.1': (1, 32, 8, 8)}
    """
    graph, _ = graph_of(classifier)
    names = names_of(graph)
    by_name = {names[node]: node for node in graph.nodes} | {
        end: node for node in graph.nodes if (end := _end(node)) is not None
    }
    (result,) = graph.find_nodes(op="output")
    graph.erase_node(result)
    graph.output({tap.node: by_name[tap.node] for tap in taps})
    features = fx.GraphModule(classifier, graph)
    follow_modes(features, classifier, lambda: graph_of(classifier)[0])
    features.graph.eliminate_dead_code()
    features.delete_all_unused_submodules()
    features.recompile()
    return features


def smallest_side(features: fx.GraphModule, channels: int) -> int:
    """The side of the smallest square image that leaves a cell at every tap.

    >>> from fullconv.networks.compact import CompactNet
    >>> net = CompactNet()
    >>> smallest_side(features_of(net, find_taps(net)), 3)
    1
    """
    too_small, enough = 0, 1
    while not _fits(features, channels, enough) and enough < _LARGEST_SIDE:
        too_small, enough = enough, 2 * enough
    while enough - too_small > 1:
        side = (too_small + enough) // 2
        if _fits(features, channels, side):
            enough = side
        else:
            too_small = side
    return enough


def side_step(features: fx.GraphModule, channels: int, minimum: int, stride: int) -> int:
    """What the sides of images must be multiples of: 1 for most networks, else the coarsest stride.

    Branches that are halved in different ways, one rounding up and one down, meet only where nothing is left over.

    >>> from fullconv.networks.compact import CompactNet
    >>> net = CompactNet()
    >>> side_step(features_of(net, find_taps(net)), 3, minimum=1, stride=32)
    1
    """
    whole = minimum + -minimum % stride + stride
    # One more leaves an odd side at every stride where halves are rounded up, one less where they are rounded down.
    odd = all(_fits(features, channels, whole + left) for left in (1, -1))
    return 1 if odd or not _fits(features, channels, whole) else stride


def _fits(features: fx.GraphModule, channels: int, side: int) -> bool:
    try:
        found: dict[fx.Node, Any] = values_at(features, torch.empty(2, channels, side, side, device="meta"))
    except RuntimeError:
        return False
    return all(
        min(value.shape[-2:]) > 0 for value in found.values() if isinstance(value, torch.Tensor) and value.ndim == 4
    )
