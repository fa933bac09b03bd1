"""The head of a classifier, from the feature map to the scores, rebuilt for all windows of the image at once."""

from __future__ import annotations

from typing import Any

import torch
from torch import fx

from fullconv.geometry.operations import Operation, filled, operation
from fullconv.geometry.states import Obstacle, Plane, State, depends
from fullconv.geometry.tracing import Trace
from fullconv.surgery.building import Builder
from fullconv.surgery.copying import has_hooks
from fullconv.surgery.dense_rules import MOVEMENTS, RULES, windows_in
from fullconv.surgery.windows import Refused, Windows


class HeadObstacle(Exception):
    """Raised where an operation of the head has no dense form."""

    def __init__(self, obstacle: Obstacle) -> None:
        super().__init__(str(obstacle))
        self.obstacle = obstacle


class Head:
    """What stands for the nodes of a traced classifier in the dense network.

    The body keeps its operations. What follows the last feature map is rebuilt operation by operation, in the same
    graph, as far as the scores need it.

    Args:
        trace: of the classifier at native size.
        states: of its nodes.
        obstacles: that were met.
        drop_pooling: global average pooling is left out.
    """

    def __init__(
        self, trace: Trace, states: dict[fx.Node, State], obstacles: dict[fx.Node, Obstacle], *, drop_pooling: bool
    ) -> None:
        self.trace, self.states, self.obstacles = trace, states, obstacles
        self.builder = Builder(trace, drop_pooling=drop_pooling)
        self._values: dict[fx.Node, Any] = {}
        self.classes = 0
        """Scores per window, once they are there."""

    def scores(self) -> fx.Node:
        """The map of class scores, (N, classes, h, w), for the classifier's result.

        Raises:
            HeadObstacle: an operation has no dense form.
        """
        result = self.builder.result.args[0]
        if not isinstance(result, fx.Node):
            raise HeadObstacle(Obstacle("output", "head", "it returns several results"))
        found = self.value(result)
        if not isinstance(found, Windows) or found.window != (1, 1):
            raise HeadObstacle(Obstacle("output", "head", "its result is a map already, or no scores at all"))
        if found.layout[0].numel() != max(found.shape[1:], default=1):
            raise HeadObstacle(Obstacle("output", "head", "its result has more dimensions than classes"))
        self.classes = found.layout[0].numel()
        return self.builder.ordered(found).node

    def value(self, wanted: fx.Node) -> Any:
        """What stands for a node: windows for what depends on the image, the node itself for other tensors, and numbers
        as they are at native size.
        """
        waiting = [wanted]
        while waiting:
            node = waiting[-1]
            missing = [] if self._is_given(node) else [n for n in node.all_input_nodes if n not in self._values]
            self._refuse_changed(node)
            if node not in self._values and not missing:
                self._values[node] = self._given(node) if self._is_given(node) else self._rebuilt(node)
            if node in self._values:
                waiting.pop()
            waiting += missing
        return self._values[wanted]

    def _refuse_changed(self, node: fx.Node) -> None:
        known = self.obstacles.get(node)
        if known is not None and known.kind == "changed-in-place":
            raise HeadObstacle(known)

    def _operation(self, node: fx.Node) -> Operation:
        return operation(self.trace, node, self.states)

    def _is_given(self, node: fx.Node) -> bool:
        """Whether a node is there already: a map of the body, a weight, a number."""
        state = self.states[node]
        if isinstance(state, Plane):
            if not state.spatial:  # a map of a single cell, flattened by a network for one size
                return False
            moves = node.op.startswith("call") and self._operation(node).kind in MOVEMENTS
            return state.tags == ("", "", "rows", "cols") or not moves
        return not depends(state)

    def _given(self, node: fx.Node) -> Any:
        state, value = self.states[node], self.builder.native(node)
        if isinstance(state, Plane):
            return self._laid(node, state, tuple(value.shape))
        return node if isinstance(value, torch.Tensor) else value

    def _laid(self, node: fx.Node, plane: Plane, shape: tuple[int, ...]) -> Windows:
        """A map of the body as windows of its native size."""
        if len(shape) != 4 or plane.tags[0] or sorted(plane.tags[1:]) != ["", "cols", "rows"]:
            raise HeadObstacle(Obstacle(self.trace.name(node), "flattening", "it works on flattened cells of the map"))
        order = [0, plane.tags.index("", 1), plane.tags.index("rows"), plane.tags.index("cols")]
        if order != [0, 1, 2, 3]:
            node = self.builder.call(torch.permute, node, tuple(order))
        channels, rows, cols = (shape[dim] for dim in order[1:])
        windows = Windows.of_map(node, channels, (rows, cols))
        return windows.laid(windows.layout.permute([order.index(dim) for dim in range(4)]))

    def _rebuilt(self, node: fx.Node) -> Any:
        op = self._operation(node)
        if op.module is not None and has_hooks(op.module):
            reason = "it has forward hooks, such as those of pruning, and nothing is known of what they do"
            raise HeadObstacle(Obstacle(op.name, "head", reason))
        args, named = filled((list(node.args), dict(node.kwargs)), self._values.__getitem__)
        known = self.obstacles.get(node)
        name, kind = op.name, known.kind if known is not None else "head"
        if op.kind not in RULES or not windows_in([args, named]):
            reason = known.reason if known is not None else f"nothing is known of the operation {op.called} in a head"
            raise HeadObstacle(Obstacle(name, kind, reason))
        try:
            return RULES[op.kind](self.builder, op, args, named)
        except Refused as refused:
            raise HeadObstacle(Obstacle(name, kind, refused.reason)) from refused
        except (TypeError, ValueError, IndexError, RuntimeError) as problem:
            reason = f"{op.called} cannot be followed for many windows ({str(problem).strip().splitlines()[0]})"
            raise HeadObstacle(Obstacle(name, kind, reason)) from problem
