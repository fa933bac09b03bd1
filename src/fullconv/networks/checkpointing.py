"""Activation checkpointing: the backbone runs in stages that keep only their ends, and are run again for the gradient.

Memory falls to the ends of all stages and the inside of one; a step takes about one forward pass of the backbone more.
Loss, gradients, dropout and the statistics of batch norm are those of a step without it.

Source: Chen, Xu, Zhang, Guestrin 2016, Training Deep Nets with Sublinear Memory Cost (arXiv 1604.06174).
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from types import TracebackType
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import fx, nn
from torch.fx.passes.split_module import split_module
from torch.utils.checkpoint import checkpoint

from fullconv.errors import NetworkError
from fullconv.geometry.in_place import changes_in_place, shares_memory
from fullconv.geometry.meta_values import bands_of, values_at

SIDE = 512
"""Of the image by whose maps the stages are chosen; their proportions hardly depend on it."""
BUDGETS = 64


class Checkpointable(nn.Module):
    """A network whose backbone can run in stages; `set_checkpointing` says whether it does so in training."""

    checkpointing = False

    @property
    def trunk(self) -> fx.GraphModule:
        """What is divided into stages: images → maps that the head reads."""
        raise NotImplementedError

    @property
    def in_stages(self) -> bool:
        """Whether a forward pass is to keep only the ends of the stages now."""
        learns = self.checkpointing and self.training and torch.is_grad_enabled()
        return learns and any(parameter.requires_grad for parameter in self.trunk.parameters())


def set_checkpointing(net: nn.Module, wanted: bool = True) -> None:
    """Let a network keep only the ends of its stages in training, or all of its activations again.

    Args:
        net: changed in place; its parameters and their names stay.
        wanted: whether to.

    Raises:
        NetworkError: its layers cannot be divided into stages.

    >>> from fullconv.networks.building import fcn
    >>> net = fcn("squeezenet1_1", classes=4)
    >>> set_checkpointing(net)
    >>> net(torch.zeros(1, 3, 64, 96)).shape
    torch.Size([1, 4, 64, 96])
    """
    found = [part for part in net.modules() if isinstance(part, Checkpointable)]
    if wanted and not divisible(net):
        raise NetworkError(
            "the layers of a network of one's own are not divided into stages, as checkpointing needs",
            remedy="leave checkpointing out, or call torch.utils.checkpoint in the network's own forward",
        )
    for part in found:
        part.checkpointing = wanted
        if wanted and ENDS not in part.trunk.meta:
            part.trunk.meta[ENDS] = stage_ends(part.trunk)


def divisible(net: nn.Module) -> bool:
    """Whether a network's backbone can run in stages: that of all but networks of one's own."""
    return any(isinstance(part, Checkpointable) for part in net.modules())


def stages_of(trunk: fx.GraphModule) -> fx.GraphModule:
    """A backbone that keeps, of what it computes for the backward pass, only the ends of its stages.

    Args:
        trunk: of a network that `set_checkpointing` has gone over; the result shares its modules and parameters.
    """
    if trunk not in _STAGES:
        _STAGES[trunk] = _divided(trunk, trunk.meta[ENDS])
    return _STAGES[trunk]


ENDS = "stage ends"
"""Key of `GraphModule.meta`."""
_STAGES: WeakKeyDictionary[fx.GraphModule, fx.GraphModule] = WeakKeyDictionary()


def stage_ends(trunk: fx.GraphModule) -> tuple[str, ...]:
    """Names of the operations after which a stage ends, the last stage left out.

    A stage ends where a single map is all that later layers read, besides maps that the head reads anyway; which of
    these places are taken makes the ends together with the largest stage smallest.

    >>> from fullconv.networks.building import fcn
    >>> stage_ends(fcn("vgg16", classes=4).features)[:2]
    ('features_4', 'features_22')

    Source: Chen et al. 2016, algorithm 3.
    """
    nodes = [node for node in trunk.graph.nodes if node.op not in ("placeholder", "output")]
    places = {node: place for place, node in enumerate(nodes)}
    sizes = _sizes(trunk)
    (result,) = trunk.graph.find_nodes(op="output")
    ends, lengths, length, needed = [], list[int](), 0, 0
    for place, node in enumerate(nodes):
        alone = needed <= place
        needed = max([needed, *(places[user] for user in node.users if user in places)])
        length += 0 if changes_in_place(node, trunk) else sizes[node]
        if alone and sizes[node] and not any(_touches(user, trunk) for user in node.users):
            ends.append(node)
            lengths.append(length)
            length = 0
    costs = [0 if node in result.all_input_nodes else sizes[node] for node in ends]
    lengths.append(length)
    choices = [_within(budget, lengths) for budget in _budgets(lengths)]
    best = min(choices, key=lambda chosen: _cost(chosen, lengths, costs))
    return tuple(ends[place].name for place in best)


def _sizes(trunk: fx.GraphModule) -> dict[fx.Node, int]:
    """Values in the map of every operation, for one image; 0 for what is no map."""
    images = torch.empty(1, bands_of(trunk), SIDE, SIDE, device="meta")
    found = values_at(trunk, images)
    return {node: value.numel() if isinstance(value, torch.Tensor) else 0 for node, value in found.items()}


def _touches(user: fx.Node, trunk: fx.GraphModule) -> bool:
    """Whether an operation changes, or may change, the map that it reads: it could not be run again from there."""
    return changes_in_place(user, trunk) or shares_memory(user, trunk)


def _budgets(lengths: Sequence[int]) -> list[int]:
    least, most = max(lengths), sum(lengths)
    return sorted({least + (most - least) * step // BUDGETS for step in range(BUDGETS + 1)})


def _within(budget: int, lengths: Sequence[int]) -> list[int]:
    """Ends of stages that are as long as the budget allows."""
    chosen, length = [], 0
    for place, following in enumerate(lengths):
        if length and length + following > budget:
            chosen.append(place - 1)
            length = 0
        length += following
    return chosen


def _cost(chosen: Sequence[int], lengths: Sequence[int], costs: Sequence[int]) -> int:
    starts, stops = [0, *(place + 1 for place in chosen)], [*(place + 1 for place in chosen), len(lengths)]
    longest = max(sum(lengths[start:stop]) for start, stop in zip(starts, stops, strict=True))
    return longest + sum(costs[place] for place in chosen)


def _divided(trunk: fx.GraphModule, ends: Sequence[str]) -> fx.GraphModule:
    graph = fx.Graph()
    graph.output(graph.graph_copy(trunk.graph, copies := dict[fx.Node, fx.Node]()))
    number, stage = 0, {}
    for node in trunk.graph.nodes:
        if node in copies:
            stage[copies[node]] = number
        number += node.name in ends
    whole = split_module(fx.GraphModule(trunk, graph), trunk, lambda node: stage[node], keep_original_order=True)
    for name, part in list(whole.named_children()):
        if name.startswith("submod_"):  # parameters that operations read directly lie beside them
            setattr(whole, name, _Stage(part))
    return whole


class _Stage(nn.Module):
    """A part of a network that is run a second time in the backward pass."""

    def __init__(self, part: nn.Module) -> None:
        super().__init__()
        self.part = part
        self._aside = _StatisticsAside(part)

    def forward(self, *maps: Any) -> Any:
        return checkpoint(self.part, *maps, use_reentrant=False, context_fn=lambda: (nullcontext(), self._aside))


class _StatisticsAside:
    """While it lasts, norms in training write their running statistics elsewhere: the first run has counted the batch.

    What they yield does not depend on those. PyTorch would count twice (github.com/pytorch/pytorch/issues/96136).
    """

    def __init__(self, part: nn.Module) -> None:
        self.norms = [norm for norm in part.modules() if isinstance(norm, nn.modules.batchnorm._NormBase)]
        self.own: list[tuple[nn.Module, dict[str, torch.Tensor | None]]] = []

    def __enter__(self) -> None:
        self.own = [(norm, dict(norm._buffers)) for norm in self.norms if norm.training]
        for norm, buffers in self.own:
            spare = {name: None if value is None else torch.zeros_like(value) for name, value in buffers.items()}
            norm._buffers.update(spare)

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        for norm, buffers in self.own:
            norm._buffers.update(buffers)
        self.own = []
