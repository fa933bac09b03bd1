"""À trous rewriting: strides become dilation of what follows, and the function stays the same."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any

import torch
from torch import fx, nn

from fullconv.errors import NetworkError, NotConvolutional
from fullconv.geometry.following import follow
from fullconv.geometry.meta_values import BATCH, values_at
from fullconv.geometry.operations import Operation, operation
from fullconv.geometry.states import Obstacle, Plane, Tag, planes
from fullconv.geometry.tracing import trace
from fullconv.surgery import place_rules as place
from fullconv.surgery import window_rules as window
from fullconv.surgery.copying import copy_of, refuse_hooks
from fullconv.surgery.rewriting import AXES, Rewriting, Spacing, Spacings, largest_kept, refuse
from fullconv.surgery.stem import with_stem_stride

_RULES: dict[str, Callable[[Rewriting, Operation], Spacings]] = {
    "conv2d": window.convolution,
    "conv_transpose2d": window.transposed_convolution,
    "interpolate": window.resizing,
    "pixel_shuffle": window.resizing,
    "pixel_unshuffle": window.unshuffling,
    "pad": place.padding,
    "getitem": place.slicing,
    "narrow": place.narrowing,
    "expand": place.expanding,
    "own": place.own,
    **dict.fromkeys(("max_pool2d", "avg_pool2d", "lp_pool2d"), window.pooling),
    **dict.fromkeys(("reshape", "flatten", "squeeze"), place.reshaping),
    **dict.fromkeys(
        (
            *("elementwise", "cat", "stack", "reduce", "batch_norm", "layer_norm", "linear", "product", "softmax"),
            *("split", "permute", "unsqueeze", "normalize", "adaptive_pool", "instance_norm"),
            *("glu", "choose", "flip", "roll", "repeat"),
        ),
        place.joining,
    ),
}
"""Operations that look at a neighbourhood or move cells about; those of the last rule work on each cell alone."""


def rarefy(
    net: nn.Module,
    stride: int | tuple[int, int] | None = None,
    *,
    layers: Sequence[str] | None = None,
    stem_stride: int | tuple[int, int] | None = None,
    input_size: tuple[int, int] | None = None,
    channels: int | None = None,
) -> nn.Module:
    """A denser network that computes the same function: strides become dilation of all that follows.

    A layer whose stride is taken away keeps its own dilation, as the paper has it; only what follows is dilated, pads
    included. Every cell of the original is a cell of the result: where strides are reduced by a factor k,
    `rarefied(x)[..., ::k, ::k]` equals `net(x)` everywhere, borders included. Between them lie the cells that the
    original yields for shifted images; they equal `shift_and_stitch` wherever no padding is read.

    The result has n' cells along an axis where the original has n, with k·(n − 1) < n' ≤ k·n: all places where the
    windows fit on the map, padding included, up to the original's last cell where it rounds up (ceil mode), cut to the
    smallest where branches meet. Cell o lies on pixel `stride·o + centre`, the centre being that of the original.

    Args:
        net: takes (N, C, H, W) images, in evaluation; it may lie on the meta device. It is not changed.
        stride: wanted of the result, for both axes or as (rows, columns); a divisor of the network's own. With several
            results, that of the coarsest: finer ones stay. May be left out if `layers` are named.
        layers: only these layers, or all inside these modules, lose their strides; all that need be if not given.
        stem_stride: first give the first convolution this stride, with its weights kept. This alone does NOT keep the
            function: see `with_stem_stride`. `stride` is then relative to the changed network.
        input_size: (height, width) that the network is traced with; 224×224 if that suits it.
        channels: bands of the image; what the first convolution reads if not given.

    Returns:
        A `torch.fx.GraphModule` with copies of the weights under the same names.

    Raises:
        NotConvolutional: something in the network reads the whole image (squeeze-excite, global pooling, a flatten) or
            has no à trous form (upsampling of a map that would be denser); the message names it.
        NetworkError: the stride is no divisor of the network's, or a layer does not exist.

    Source: Long, Shelhamer, Darrell, CVPR 2015, section 3.2; Holschneider et al. 1989 (algorithme à trous).

    >>> net = nn.Sequential(nn.Conv2d(3, 4, 3, 2, 1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(4, 5, 3, padding=1))
    >>> dense, image = rarefy(net.eval(), stride=1), torch.rand(1, 3, 37, 41)
    >>> dense(image).shape, torch.allclose(dense(image)[..., ::4, ::4], net(image), atol=1e-6)
    (torch.Size([1, 5, 35, 39]), True)
    >>> rarefy(net.eval(), stride=2).get_submodule("3")
    Conv2d(4, 5, kernel_size=(3, 3), stride=(1, 1), padding=(2, 2), dilation=(2, 2))
    """
    if stride is None and layers is None and stem_stride is None:
        raise NetworkError("rarefying needs a stride or layers", remedy="give stride=8, for example")
    refuse_hooks(net)
    dense = copy_of(net) if stem_stride is None else with_stem_stride(net, stem_stride)
    if stride is None and layers is None:
        return dense
    traced = trace(dense, input_size=input_size, channels=channels)
    states, obstacles = follow(traced)
    result = next(node for node in traced.graph.graph.nodes if node.op == "output")
    needed = _needed(traced.graph.graph)
    results = [plane for node in result.all_input_nodes for plane in planes(states[node])]
    _refuse_global(results, [obstacles[node] for node in obstacles if node in needed])
    coarsest = _coarsest(results)
    wanted = None if stride is None else _pair(stride)
    if wanted is not None:
        _check(wanted, coarsest)
        if all(coarsest.field(tag).stride == value for tag, value in zip(AXES, wanted, strict=True)):
            return traced.graph
    choice = _Choice(wanted, layers)
    work = Rewriting(traced, states, choice)
    operations = {
        node: operation(traced, node, states)
        for node in traced.graph.graph.nodes
        if node.op not in ("placeholder", "get_attr", "output")
    }
    _drop_unused(traced.graph.graph, needed, operations)
    _rewrite(work, operations)
    choice.check()
    traced.graph.graph.lint()
    traced.graph.recompile()
    _compare(work, result)
    if wanted is not None:
        _check_reached(work, result, wanted)
    return traced.graph


class _Choice:
    """Which strides are kept: all up to the wanted stride, or all but those of the named layers."""

    def __init__(self, wanted: tuple[int, int] | None, layers: Sequence[str] | None) -> None:
        self.wanted, self.layers = wanted, layers
        self.met: dict[str, None] = {}

    def __call__(self, name: str, tag: Tag, stride: int, now: Fraction) -> int:
        self.met[name] = None
        if self.layers is not None and not any(_inside(name, layer) for layer in self.layers):
            return stride
        return 1 if self.wanted is None else largest_kept(stride, now, self.wanted[AXES.index(tag)])

    def check(self) -> None:
        """Every layer that was named has a stride."""
        for layer in self.layers or ():
            if not any(_inside(name, layer) for name in self.met):
                raise NetworkError(
                    f"no layer with a stride is named {layer!r}", remedy=f"there are {', '.join(self.met) or 'none'}"
                )


def _inside(name: str, layer: str) -> bool:
    return name == layer or name.startswith(f"{layer}.")


def _pair(stride: int | tuple[int, int]) -> tuple[int, int]:
    return (stride, stride) if isinstance(stride, int) else (stride[0], stride[1])


def _needed(graph: fx.Graph) -> set[fx.Node]:
    """What the result is computed from."""
    needed: set[fx.Node] = set()
    for node in reversed(graph.nodes):
        if node.op == "output" or node in needed:
            needed.update((node, *node.all_input_nodes))
    return needed


def _refuse_global(results: list[Plane], obstacles: list[Obstacle]) -> None:
    headless = "make a classifier dense with convolutionalize first, or take its features alone"
    if obstacles:
        first, *others = obstacles
        more = f" ({len(others)} more obstacles follow)" if others else ""
        remedy = "call .eval() first" if first.kind == "batch-statistics" else None if results else headless
        raise NotConvolutional(f"{first.reason}, which has no à trous form{more}", where=first.name, remedy=remedy)
    if not results:
        raise NotConvolutional("the network's result has no rows and columns", remedy=headless)


def _coarsest(results: list[Plane]) -> Plane:
    return max(results, key=lambda plane: plane.rows.stride * plane.cols.stride)


def _check(wanted: tuple[int, int], coarsest: Plane) -> None:
    for tag, value in zip(AXES, wanted, strict=True):
        own = coarsest.field(tag).stride
        if value < 1 or (own / value).denominator != 1:
            raise NetworkError(
                f"stride {value} is no divisor of the network's own output stride, {own}",
                remedy="rarefying makes strides smaller by whole factors",
            )


def _drop_unused(graph: fx.Graph, needed: set[fx.Node], operations: dict[fx.Node, Operation]) -> None:
    """Forget what no result needs, but for what may work in place."""
    for node in reversed(graph.nodes):
        found = operations.get(node)
        if found is not None and node not in needed and not node.users and found.kind != "elementwise":
            graph.erase_node(node)
            del operations[node]


def _rewrite(work: Rewriting, operations: dict[fx.Node, Operation]) -> None:
    image_seen = False
    for node in list(work.trace.graph.graph.nodes):
        if node.op == "placeholder" and not image_seen:
            rows, cols = (Spacing(1, Fraction(0), (node, dim)) for dim in (2, 3))
            work.spacings[node] = Spacings(rows, cols)
            image_seen = True
        op = operations.get(node)
        if op is None:
            continue
        if op.kind == "size":
            if work.maps(op):
                place.measuring(work, op)
        elif planes(work.states[node]):
            if op.kind not in _RULES:
                raise refuse(op, f"nothing is known of how to dilate a {op.called}")
            work.spacings[node] = _RULES[op.kind](work, op)


def _compare(work: Rewriting, result: fx.Node) -> None:
    """The shapes of the result for an image without content, against those of the original."""
    traced = work.trace
    try:
        values = values_at(traced.graph, torch.empty(BATCH, traced.channels, *traced.sizes[0], device="meta"))
    except Exception as problem:  # torch raises many kinds
        raise NotConvolutional(f"the rewritten network does not run: {problem}") from problem
    for node in result.all_input_nodes:
        spacings, old, new = work.spacings.get(node), traced.values[node][0], values[node]
        if spacings is None or not isinstance(old, torch.Tensor) or "cells" in work.plane(node).tags:
            continue
        apart = tuple(spacings[tag].cells if tag in AXES else 1 for tag in work.plane(node).tags)
        if not place.consistent(tuple(old.shape), tuple(new.shape), apart):
            raise NotConvolutional(
                f"its rewritten result has shape {tuple(new.shape)} for {tuple(old.shape)}", where=traced.name(node)
            )


def _check_reached(work: Rewriting, result: fx.Node, wanted: tuple[int, int]) -> None:
    strides = [
        tuple(work.plane(node).field(tag).stride / work.spacings[node][tag].cells for tag in AXES)
        for node in result.all_input_nodes
        if node in work.spacings
    ]
    reached: Any = max(strides, default=wanted)
    if reached != wanted:
        raise NetworkError(
            f"with these layers the output stride is {reached[0]}×{reached[1]}, not {wanted[0]}×{wanted[1]}",
            remedy="name more layers, or leave the stride out",
        )
