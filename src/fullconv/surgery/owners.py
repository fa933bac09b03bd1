"""Layers whose forward calls a function on their own weights: which module the weights belong to."""

from __future__ import annotations

from typing import Any

from torch import fx


def owner(root: fx.GraphModule, weight: Any, bias: Any) -> str | None:
    """The path of the layer whose weight and bias these are, where nothing else uses it and it holds nothing else.

    Args:
        root: of the graph.
        weight, bias: arguments of the function; None for no bias.
    """
    given = [argument for argument in (weight, bias) if argument is not None]
    if not all(isinstance(argument, fx.Node) and argument.op == "get_attr" for argument in given):
        return None
    path, _, name = str(weight.target).rpartition(".")
    if not path or name != "weight":
        return None
    tensors = {f"{path}.{inner}" for inner in root.get_submodule(path).state_dict()}
    users = [user for node in root.graph.nodes if str(node.target) in tensors for user in node.users]
    return path if tensors == {str(argument.target) for argument in given} and len(users) == len(given) else None
