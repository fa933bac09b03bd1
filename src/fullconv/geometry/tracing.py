"""Any network as a graph of operations, with the shape of every value at two image sizes; no weight is touched."""

from __future__ import annotations

import math
import re
import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import fx, nn

from fullconv.errors import NetworkError
from fullconv.geometry.in_place import follow_changes_in_place
from fullconv.geometry.meta_values import BATCH, Undecided, bands_of, decided, values_at
from fullconv.geometry.modes import PATH, follow_modes

_LIBRARY = ("torch.nn", "torch.ao.nn")
ENDS = "ends"
"""Key of `Node.meta`: the modules whose result it is, innermost first; under `PATH` lies the one that it belongs to."""

DROPS = frozenset(("StochasticDepth", "DropPath", "DropBlock2d"))
"""Types that drop parts at random in training and do nothing in evaluation, whatever library they come from."""


@dataclass(frozen=True)
class Trace:
    """A traced network.

    Args:
        graph: its operations; modules of torch.nn are one operation each.
        opaque: module path → why its inside cannot be traced; such a module is one operation.
        names: per node, the path of its module, or of the module it is in with the operation: "layer1.0.add".
        values: per node, what it yields for an image of each of the two sizes; tensors are on the meta device.
        sizes: (height, width) of the two images.
        channels: of the images.
    """

    graph: fx.GraphModule
    opaque: Mapping[str, str]
    names: Mapping[fx.Node, str]
    values: Mapping[fx.Node, tuple[Any, Any]]
    sizes: tuple[tuple[int, int], tuple[int, int]]
    channels: int

    def module(self, node: fx.Node) -> nn.Module | None:
        """The module that a node calls, if it calls one."""
        return self.graph.get_submodule(str(node.target)) if node.op == "call_module" else None

    def name(self, node: fx.Node) -> str:
        """What a person calls the node: the path of its module, or the operation inside one."""
        return self.names[node]

    def shapes(self, node: fx.Node) -> tuple[tuple[int, ...], tuple[int, ...]] | None:
        """The shape of a node's tensor at both sizes; None where it yields none."""
        first, second = self.values[node]
        if not (isinstance(first, torch.Tensor) and isinstance(second, torch.Tensor)):
            return None
        return tuple(first.shape), tuple(second.shape)


_ONE_AT_A_TIME = threading.RLock()
"""While torch.fx follows a network, it hears of every call of every module in the process."""


class NetworkTracer(fx.Tracer):
    """Follows a network into every module but those of torch.nn and those whose inside cannot be followed.

    Other threads may follow networks, and compute with any, at the same time: the first wait, the others are let alone.
    """

    def __init__(self, opaque: Mapping[type[nn.Module], str], answers: Sequence[bool | None] = ()) -> None:
        super().__init__(autowrap_modules=(math,))
        self.opaque = opaque
        self.failed: nn.Module | None = None
        self._thread = threading.get_ident()
        self._inside: list[str] = []
        self._answers = list(answers)

    def trace(self, root: nn.Module | Callable[..., Any], concrete_args: dict[str, Any] | None = None) -> fx.Graph:
        with _ONE_AT_A_TIME:
            graph = super().trace(root, concrete_args)
        follow_changes_in_place(graph, self.root)
        return graph

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        # What behaves differently in training must stay a module: traced, it would keep the mode of today.
        if type(m) in self.opaque or hasattr(m, "reads") or type(m).__name__ in DROPS:
            return True
        if getattr(m, "traced_whole", False):  # a module of torch.nn in all but the arithmetic
            return True
        if isinstance(m, nn.MultiheadAttention | nn.modules.batchnorm._BatchNorm):
            return True
        return type(m).__module__.startswith(_LIBRARY) and not any(True for _ in m.children())

    def to_bool(self, obj: fx.Proxy) -> bool:
        """A decision that the network takes on its way, answered in order; what cannot be known fails."""
        if not self._answers:
            raise Undecided(obj.node)
        answer = self._answers.pop(0)
        return super().to_bool(obj) if answer is None else answer

    def call_module(
        self, m: nn.Module, forward: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        if threading.get_ident() != self._thread:
            return forward(*args, **kwargs)
        path = self.path_of_module(m)
        self._inside.append(path)
        try:
            result = super().call_module(m, forward, args, kwargs)
        except Undecided:
            raise
        except Exception:
            self.failed = self.failed or m
            raise
        finally:
            self._inside.pop()
        if isinstance(result, fx.Proxy):
            result.node.meta.setdefault(ENDS, []).append(path)
        return result

    def getattr(self, attr: str, attr_val: Any, parameter_proxy_cache: dict[str, Any]) -> Any:
        if threading.get_ident() != self._thread:
            return attr_val
        return super().getattr(attr, attr_val, parameter_proxy_cache)

    def create_node(self, *arguments: Any, **named: Any) -> fx.Node:
        node = super().create_node(*arguments, **named)
        node.meta[PATH] = self._inside[-1] if self._inside else ""
        return node


def trace(net: nn.Module, *, input_size: tuple[int, int] | None = None, channels: int | None = None) -> Trace:
    """Follow an image through a network.

    Args:
        net: takes (N, C, H, W) images.
        input_size: (height, width) of the first image; the second is larger. None: 224×224 or the size it needs.
        channels: of the image; None: what the first convolution reads.

    Raises:
        NetworkError: the network's own forward cannot be followed, or no image size suits it.
    """
    graph, opaque = graph_of(net)
    inside = {name: opaque[type(part)] for name, part in net.named_modules() if type(part) in opaque}
    traced = fx.GraphModule(net, graph)
    follow_modes(traced, net, lambda: graph_of(net)[0])
    return trace_of(traced, inside, input_size=input_size, channels=channels or bands_of(net))


def graph_of(net: nn.Module) -> tuple[fx.Graph, dict[type[nn.Module], str]]:
    """The operations of a network, and why the inside of some of its modules cannot be followed.

    Raises:
        NetworkError: the network's own forward cannot be followed.
    """
    opaque: dict[type[nn.Module], str] = {}
    answers: list[bool | None] = []
    while True:
        tracer = NetworkTracer(opaque, answers)
        try:
            graph = tracer.trace(net)
        except Undecided as question:
            answers.append(decided(tracer.graph, question.node, tracer.root))
            continue
        except Exception as problem:  # a network may fail in any way
            if tracer.failed is None or type(tracer.failed) in opaque:
                raise NetworkError(
                    f"{type(net).__name__} cannot be traced ({_first_line(problem)})",
                    remedy="keep decisions that depend on the image out of its forward",
                ) from problem
            opaque[type(tracer.failed)] = _first_line(problem)
            answers.clear()
            continue
        return graph, opaque


def trace_of(
    module: fx.GraphModule, opaque: Mapping[str, str], *, input_size: tuple[int, int] | None, channels: int
) -> Trace:
    """The trace of a graph that is there already.

    Raises:
        NetworkError: no image size suits it.
    """
    first, second, sizes = _run_twice(module, channels, input_size)
    values = {node: (first.get(node), second.get(node)) for node in module.graph.nodes}
    return Trace(module, opaque, names_of(module.graph), values, sizes, channels)


def names_of(graph: fx.Graph) -> dict[fx.Node, str]:
    """Operations of one name in one module are numbered from the second on: "add", "add_1" …"""
    names: dict[fx.Node, str] = {}
    taken: Counter[str] = Counter()
    for node in graph.nodes:
        called = str(node.target) if node.op == "call_module" else re.sub(r"_\d+$", "", node.name)
        path = "" if node.op == "call_module" else node.meta.get(PATH, "")
        name = f"{path}.{called}" if path else called
        names[node] = f"{name}_{taken[name]}" if taken[name] else name
        taken[name] += 1
    return names


def _run_twice(
    module: fx.GraphModule, channels: int, input_size: tuple[int, int] | None
) -> tuple[dict[fx.Node, Any], dict[fx.Node, Any], tuple[tuple[int, int], tuple[int, int]]]:
    problem: Exception | None = None
    for size in [input_size] if input_size is not None else _USUAL_SIZES:
        try:
            first = values_at(module, torch.empty(BATCH, channels, *size, device="meta"))
        except Exception as error:  # the size does not suit this network
            problem = problem or error
            continue
        larger = (size[0] + _FURTHER[0], size[1] + _FURTHER[1])
        try:
            return first, values_at(module, torch.empty(BATCH, channels, *larger, device="meta")), (size, larger)
        except Exception:  # a network for one size only
            return first, first, (size, size)
    raise NetworkError(
        f"the network takes no image of {channels} bands ({_first_line(problem)})",
        remedy="give its input_size and channels",
    )


_USUAL_SIZES = ((224, 224), (256, 256), (288, 288), (384, 384), (512, 512), (32, 32), (1024, 1024))
_FURTHER = (448, 896)


def _first_line(problem: BaseException | None) -> str:
    lines: Sequence[str] = str(problem).strip().splitlines()
    return lines[0][:160] if lines else type(problem).__name__
