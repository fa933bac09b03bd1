"""Functions that are told whether the network trains, made to follow its mode after tracing."""

from __future__ import annotations

import inspect
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import fx, nn

PATH = "path"
"""Key of `Node.meta`: the module that an operation belongs to."""

_TOLD: tuple[Callable[..., Any], ...] = (
    *(F.batch_norm, F.dropout, F.dropout1d, F.dropout2d, F.dropout3d),
    *(F.alpha_dropout, F.feature_alpha_dropout, F.rrelu),
)
"""Functions of `torch.nn.functional` with a `training` argument."""


class Moded(nn.Module):
    """A function with a `training` argument as a module, which gives it the mode that it is in.

    >>> Moded(F.dropout).eval()(torch.ones(3), 0.9)
    tensor([1., 1., 1.])
    """

    traced_whole = True

    def __init__(self, function: Callable[..., torch.Tensor]) -> None:
        super().__init__()
        self.function = function

    @property
    def called(self) -> str:
        """The name of the function."""
        return self.function.__name__

    def forward(self, *arguments: Any, **named: Any) -> torch.Tensor:
        return self.function(*arguments, **named, training=self.training)


def follow_modes(traced: fx.GraphModule, net: nn.Module, again: Callable[[], fx.Graph]) -> None:
    """Put modules in the place of `F.batch_norm(…, training=self.training)` and the like, which a trace would keep in
    the mode of today for ever; those that are always told the same stay.

    Args:
        traced: the network's graph; it is changed, the network is not.
        net: the network itself.
        again: traces it once more.
    """
    told = _told(traced.graph)
    if not told:
        return
    training = [(module, module.training) for module in net.modules()]
    for module, was in training:
        module.training = not was
    try:
        other = _told(again())
    except Exception:  # a network may fail in any way, and in training or evaluation alone
        other = {}
    finally:
        for module, was in training:
            module.training = was
    for key, (node, mode) in told.items():
        if key in other and other[key][1] != mode:
            _replace(traced, node, bool(mode))
    traced.recompile()


def _told(graph: fx.Graph) -> dict[tuple[str, str, int], tuple[fx.Node, Any]]:
    """Calls that are told a mode, by module, function and count, with that mode."""
    counts: defaultdict[tuple[str, str], int] = defaultdict(int)
    found = {}
    for node in graph.nodes:
        if node.op == "call_function" and node.target in _TOLD:
            key = (node.meta.get(PATH, ""), node.target.__name__)
            found[(*key, counts[key])] = (node, _bound(node).arguments["training"])
            counts[key] += 1
    return found


def _bound(node: fx.Node) -> inspect.BoundArguments:
    function: Any = node.target
    bound = inspect.signature(function).bind(*node.args, **node.kwargs)
    bound.apply_defaults()
    return bound


def _replace(traced: fx.GraphModule, node: fx.Node, training: bool) -> None:
    arguments = dict(_bound(node).arguments)
    del arguments["training"]
    function: Any = node.target
    source = arguments.pop("input")
    path, taken = node.meta.get(PATH, ""), {name for name, _ in traced.named_modules()}
    first = name = f"{path}.{function.__name__}" if path else function.__name__
    number = 1
    while name in taken:
        name, number = f"{first}_{number}", number + 1
    traced.add_submodule(name, Moded(function).train(training))
    node.op, node.target, node.args, node.kwargs = "call_module", name, (source,), arguments
