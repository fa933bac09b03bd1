"""A traced network while its strides are turned into dilation: how far apart the original's cells lie in each value."""

from __future__ import annotations

import copy
import math
import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Any

import torch
from torch import fx, nn

from fullconv.errors import NotConvolutional
from fullconv.geometry.operations import Operation
from fullconv.geometry.states import Plane, State, Tag
from fullconv.geometry.tracing import Trace
from fullconv.surgery.copying import has_hooks

AXES: tuple[Tag, Tag] = ("rows", "cols")


@dataclass(frozen=True)
class Spacing:
    """How a value of the rewritten network stands to the same value of the original, along one axis.

    Cell i of the original is cell `cells·i` of the new map; the new size n' keeps ⌈n' / cells⌉ at the original size n,
    whatever the image, so that the original's border stays where it is.

    Args:
        cells: from one cell of the original to the next.
        end: e where the size is ⌈(image + e) / stride⌉; an object of its own where it follows another rule.
        at: (node, dimension) whose size this is.
    """

    cells: int
    end: Fraction | object
    at: tuple[fx.Node, int]


@dataclass(frozen=True)
class Spacings:
    """Of both axes."""

    rows: Spacing
    cols: Spacing

    def __getitem__(self, tag: Tag) -> Spacing:
        return self.rows if tag == "rows" else self.cols

    def along(self, tag: Tag, spacing: Spacing) -> Spacings:
        return replace(self, rows=spacing) if tag == "rows" else replace(self, cols=spacing)

    @property
    def is_original(self) -> bool:
        return self.rows.cells == self.cols.cells == 1


Choice = Callable[[str, Tag, int, Fraction], int]
"""Layer name, axis, its stride and the stride before it in the new network → the stride that it keeps, a divisor."""


@dataclass
class Rewriting:
    """The graph at work; rules change its nodes where they stand.

    Args:
        trace: of a copy of the network.
        states: of the original's values.
        choose: which stride a layer keeps.
        spacings: of the values that have rows and columns, so far.
    """

    trace: Trace
    states: dict[fx.Node, State]
    choose: Choice
    spacings: dict[fx.Node, Spacings] = field(default_factory=dict)
    replaced: dict[tuple[str, type, str], str] = field(default_factory=dict)

    def source(self, op: Operation) -> fx.Node:
        """The first argument that has rows and columns."""
        return self.maps(op)[0]

    def maps(self, op: Operation) -> list[fx.Node]:
        """All arguments that have rows and columns."""
        return [node for node in op.node.all_input_nodes if node in self.spacings]

    def plane(self, node: fx.Node) -> Plane:
        """The state of a node in the original; of the first part where it yields several."""
        state = self.states[node]
        while isinstance(state, tuple):
            state = state[0]
        assert isinstance(state, Plane)
        return state

    def step(self, op: Operation, tag: Tag, stride: int) -> int:
        """The stride that an operation keeps along an axis."""
        if stride == 1:
            return 1
        source = self.source(op)
        now = self.plane(source).field(tag).stride / self.spacings[source][tag].cells
        return self.choose(op.name, tag, stride, now)

    def passed(self, op: Operation, tag: Tag, stride: int, step: int, longer: Fraction | object) -> Spacing:
        """The spacing after an operation.

        Args:
            longer: cells of the original that it adds to its map before striding; anything else if it follows no rule.
        """
        source = self.source(op)
        before = self.spacings[source][tag]
        end: Fraction | object = object()
        if isinstance(before.end, Fraction) and isinstance(longer, Fraction):
            end = before.end + longer * self.plane(source).field(tag).stride
        return Spacing(before.cells * stride // step, end, self.place(op.node, tag) or before.at)

    def place(self, node: fx.Node, tag: Tag) -> tuple[fx.Node, int] | None:
        """The dimension of a node that runs over an axis."""
        state = self.states.get(node)
        return (node, state.tags.index(tag)) if isinstance(state, Plane) and tag in state.tags else None

    def insert(self, before: fx.Node, function: Callable[..., Any], *args: Any) -> fx.Node:
        """A new operation in front of another."""
        with self.trace.graph.graph.inserting_before(before):
            return self.trace.graph.graph.call_function(function, args)

    def insert_module(self, before: fx.Node, name: str, module: nn.Module, *args: Any) -> fx.Node:
        """A new layer in front of another, at the root of the network."""
        name = self._free(name.replace(".", "_"))
        self.trace.graph.add_submodule(name, module)
        with self.trace.graph.graph.inserting_before(before):
            return self.trace.graph.graph.call_module(name, args)

    def become(self, node: fx.Node, function: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
        """Another function in the place of an operation."""
        node.op, node.target, node.args, node.kwargs = "call_function", function, args, kwargs

    def become_module(self, op: Operation, module: nn.Module, source: fx.Node) -> None:
        """Another layer in the place of an operation, under the same path unless other operations use the layer."""
        if op.module is not None and has_hooks(op.module) and module._forward_hooks is not op.module._forward_hooks:
            raise refuse(op, "it has forward hooks, which its dilated form would lose", "remove them")
        path = str(op.node.target) if op.module is not None else op.name.replace(".", "_")
        kind = (path, type(module), module.extra_repr())
        if kind not in self.replaced:
            others = (node for node in self.trace.graph.graph.nodes if node.op == "call_module" and node is not op.node)
            alone = op.module is not None and all(str(node.target) != path for node in others)
            self.replaced[kind] = path if alone else self._free(path)
            self.trace.graph.add_submodule(self.replaced[kind], module)
        op.node.op, op.node.target, op.node.args, op.node.kwargs = "call_module", self.replaced[kind], (source,), {}

    def _free(self, name: str) -> str:
        taken = {path for path, _ in self.trace.graph.named_modules()}
        candidates = (name if count == 1 else f"{name}_{count}" for count in range(1, len(taken) + 3))
        return next(candidate for candidate in candidates if candidate not in taken)

    def size(self, before: fx.Node, at: tuple[fx.Node, int]) -> fx.Node:
        """The size of a dimension, while the network runs."""
        with self.trace.graph.graph.inserting_before(before):
            return self.trace.graph.graph.call_method("size", at)

    def times(self, before: fx.Node, value: Any, factor: int) -> Any:
        """A number of cells in the new map, where the graph computes it for the original."""
        if factor == 1 or value is None:
            return value
        return self.insert(before, operator.mul, value, factor) if isinstance(value, fx.Node) else value * factor


def refuse(op: Operation, reason: str, remedy: str | None = None) -> NotConvolutional:
    """The error that an operation cannot be rewritten."""
    return NotConvolutional(reason, where=op.name, remedy=remedy)


def raw(op: Operation, position: int, name: str, default: Any = None) -> Any:
    """An argument as it stands in the graph, with nodes for what it computes."""
    if name in op.node.kwargs:
        return op.node.kwargs[name]
    return op.node.args[position] if position < len(op.node.args) else default


def twin(layer: Any) -> Any:
    """Another layer with the same parameters, whose settings may be changed."""
    other = copy.copy(layer)
    for name in ("_parameters", "_buffers", "_modules"):
        other.__dict__[name] = copy.copy(layer.__dict__[name])
    return other


def largest_kept(stride: int, now: Fraction, wanted: int) -> int:
    """The largest divisor of a stride with which the map stays on a divisor of the wanted stride.

    >>> largest_kept(4, Fraction(4), 8), largest_kept(2, Fraction(8), 8)
    (2, 1)
    """
    left = wanted / now
    return math.gcd(stride, left.numerator) if left.denominator == 1 else stride


def cut(maps: torch.Tensor, dim: int, size: int) -> torch.Tensor:
    """The first `size` cells along a dimension, or all if there are fewer.

    >>> cut(torch.arange(5), 0, 3)
    tensor([0, 1, 2])
    """
    return maps[(*[slice(None)] * dim, slice(None, size))]


def original_sizes(maps: torch.Tensor, spacing: Sequence[int]) -> tuple[int, ...]:
    """The shape that the original's value has.

    >>> original_sizes(torch.zeros(1, 3, 7, 8), (1, 1, 2, 4))
    (1, 3, 4, 2)
    """
    return tuple(maps.shape[dim] if cells == 1 else -(-maps.shape[dim] // cells) for dim, cells in enumerate(spacing))
