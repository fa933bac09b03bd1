"""What in a classifier stands in the way of making it dense."""

from __future__ import annotations

from torch import fx

from fullconv.geometry.operations import operation
from fullconv.geometry.states import Obstacle, State, depends, planes
from fullconv.geometry.tracing import Trace

READS_WHOLE_IMAGE = frozenset(("global-pooling", "normalization"))
"""Obstacles to independent windows that a dense network keeps: squeeze-excite, group and instance norm."""


def refusal(trace: Trace, states: dict[fx.Node, State], obstacles: dict[fx.Node, Obstacle]) -> Obstacle | None:
    """The first operation that has no dense form, attention before others; None where the body has none.

    What lies behind the last feature map is not judged here.
    """
    needed = _needed(trace)
    for node in needed:
        op = operation(trace, node, states) if node.op.startswith("call") else None
        found = obstacles.get(node)
        if found is not None and found.kind == "attention":
            return found
        if found is not None and op is not None and found.kind == "unknown":
            inner = [type(part).__name__ for part in op.module.modules()] if op.module is not None else [op.called]
            attends = next((name for name in inner if "attention" in name.lower() or "attn" in name.lower()), None)
            if attends is not None:
                return Obstacle(op.name, "attention", f"every cell attends to others ({attends})")
        if op is not None and op.kind == "attention":
            return Obstacle(op.name, "attention", "every cell attends to all others (attention)")
        if op is not None and op.kind == "product" and sum(map(depends, op.states)) > 1:
            return Obstacle(op.name, "attention", "it multiplies values of the map with each other (attention)")
    body = _in_body(needed, states, obstacles)
    return next((obstacles[node] for node in body if not _stays(trace, states, obstacles, node)), None)


def kept(trace: Trace, states: dict[fx.Node, State], obstacles: dict[fx.Node, Obstacle]) -> list[Obstacle]:
    """Operations of the body that read the whole image and stay: squeeze-excite, group and instance norm."""
    body = _in_body(_needed(trace), states, obstacles)
    return [obstacles[node] for node in body if _stays(trace, states, obstacles, node)]


def _stays(trace: Trace, states: dict[fx.Node, State], obstacles: dict[fx.Node, Obstacle], node: fx.Node) -> bool:
    """Layer norm over the map does not: its weights have the size of the map."""
    return obstacles[node].kind in READS_WHOLE_IMAGE and operation(trace, node, states).kind != "layer_norm"


def _in_body(needed: list[fx.Node], states: dict[fx.Node, State], obstacles: dict[fx.Node, Obstacle]) -> list[fx.Node]:
    returning = _returning(needed, states)
    return [node for node in needed if node in obstacles and node in returning]


def _needed(trace: Trace) -> list[fx.Node]:
    """Operations that the result depends on, in order."""
    found: set[fx.Node] = set()
    waiting = [next(node for node in reversed(trace.graph.graph.nodes) if node.op == "output")]
    while waiting:
        for source in waiting.pop().all_input_nodes:
            if source not in found:
                found.add(source)
                waiting.append(source)
    return [node for node in trace.graph.graph.nodes if node in found]


def _returning(needed: list[fx.Node], states: dict[fx.Node, State]) -> set[fx.Node]:
    """Nodes whose result is a map, or goes into one again."""
    found: set[fx.Node] = set()
    for node in reversed(needed):
        back = depends(states[node]) and any(user in found for user in node.users)
        if back or planes(states[node]):
            found.add(node)
    return found
