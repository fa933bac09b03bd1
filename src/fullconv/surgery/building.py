"""New operations in the graph of a classifier: what the dense head is built with."""

from __future__ import annotations

import operator
from collections import Counter
from collections.abc import Callable
from typing import Any

import torch
from torch import fx, nn

from fullconv.geometry.modes import PATH
from fullconv.geometry.operations import Operation
from fullconv.geometry.tracing import Trace
from fullconv.surgery.windows import Refused, Windows


class Builder:
    """Adds operations before the result of a traced graph, and modules to its root.

    Args:
        trace: of the classifier at native size; its graph grows.
        drop_pooling: global average pooling is left out, so that every cell of the map has scores of its own.
    """

    def __init__(self, trace: Trace, *, drop_pooling: bool = False) -> None:
        self.trace = trace
        self.root = trace.graph
        self.graph = trace.graph.graph
        self.drop_pooling = drop_pooling
        self.dropped: str | None = None
        """Name of the pooling that was left out."""
        self._uses = _uses(trace.graph)
        self.result = next(node for node in reversed(self.graph.nodes) if node.op == "output")

    def native(self, node: fx.Node) -> Any:
        """What a node of the classifier yields at native size."""
        return self.trace.values[node][0]

    def is_used_once(self, path: str) -> bool:
        """Whether a layer is called once, and its weights belong to no other."""
        return all(self._uses[id(parameter)] == 1 for parameter in self.root.get_submodule(path).parameters())

    def parameter(self, path: str) -> fx.Node:
        """A parameter of the classifier, as an argument."""
        with self.graph.inserting_before(self.result):
            return self.graph.get_attr(path)

    def call(self, function: Callable[..., Any], *arguments: Any, **named: Any) -> fx.Node:
        """A new call of a function."""
        with self.graph.inserting_before(self.result):
            return self.graph.call_function(function, arguments, named)

    def copied(self, op: Operation, stands_for: Callable[[fx.Node], Any]) -> fx.Node:
        """An operation of the classifier once more, on other arguments."""
        with self.graph.inserting_before(self.result):
            return self.graph.node_copy(op.node, stands_for)

    def module(self, path: str, module: nn.Module, *arguments: Any) -> fx.Node:
        """A call of a new module at this path; a module that is there already is replaced."""
        self.root.add_submodule(path, module)
        with self.graph.inserting_before(self.result):
            return self.graph.call_module(path, arguments)

    def pool(self, op: Operation, module: nn.Module, source: fx.Node) -> fx.Node:
        """A sliding pool at the path of the global one where that is used once, else beside it."""
        if op.module is not None:
            path = str(op.node.target)
            used = sum(node.op == "call_module" and node.target == path for node in self.graph.nodes)
            return self.module(path if used == 1 else self._free(f"{path}_window"), module, source)
        inside = op.node.meta.get(PATH, "")
        return self.module(self._free(f"{inside}.window_pool" if inside else "window_pool"), module, source)

    def buffer(self, name: str, value: torch.Tensor) -> fx.Node:
        """A new tensor that is no parameter."""
        path = self._free(name)
        device = next((parameter.device for parameter in self.root.parameters()), torch.device("cpu"))
        self.root.register_buffer(path, value.to(device))
        with self.graph.inserting_before(self.result):
            return self.graph.get_attr(path)

    def _free(self, path: str) -> str:
        taken = {name for name, _ in self.root.named_modules()} | {name for name, _ in self.root.named_buffers()}
        free, number = path, 1
        while free in taken:
            free, number = f"{path}_{number}", number + 1
        return free

    def ordered(self, windows: Windows) -> Windows:
        """The same values in the order of the classifier's tensor, channels first.

        Raises:
            Refused: they are part of a window of many cells.
        """
        if windows.in_order:
            return windows
        if windows.window != (1, 1):
            raise Refused("it reads the cells of the map in an order, or a part of them, that no convolution reads")
        node = self.call(operator.getitem, windows.node, (slice(None), self.buffer("channel_order", windows.order)))
        return Windows.of_channels(node, windows.shape)

    def aligned(self, constant: fx.Node, windows: Windows) -> fx.Node:
        """A weight that meets a value of the classifier, shaped to meet the dense map.

        Raises:
            Refused: it differs from cell to cell of the window.
        """
        shape = self.native(constant).shape
        if shape.numel() == 1:
            return self.call(torch.reshape, constant, (1,)) if len(shape) > 1 else constant
        numbers = torch.arange(shape.numel()).reshape(shape).broadcast_to(windows.shape)[0]
        channels = windows.places()[0]
        of_channel = torch.full((windows.channels,), -1)
        of_channel[channels.flatten()] = numbers.flatten()
        if not bool((of_channel[channels] == numbers).all()) or bool((of_channel < 0).any()):
            raise Refused("it has a value of its own for every place of the map")
        flat = self.call(torch.reshape, constant, (-1,))
        if not torch.equal(of_channel, torch.arange(shape.numel())):
            flat = self.call(torch.index_select, flat, 0, self.buffer("weight_order", of_channel))
        return self.call(torch.reshape, flat, (1, -1, 1, 1))


def _uses(root: fx.GraphModule) -> Counter[int]:
    """How many operations read each parameter, by its id."""
    uses: Counter[int] = Counter()
    tensors = dict(root.named_parameters(remove_duplicate=False))
    for node in root.graph.nodes:
        if node.op == "call_module":
            uses.update(id(parameter) for parameter in root.get_submodule(str(node.target)).parameters())
        elif node.op == "get_attr" and node.target in tensors:
            uses[id(tensors[str(node.target)])] += len(node.users)
    return uses
