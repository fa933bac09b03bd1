"""Changes in place in a traced network: who reads the tensor afterwards reads the result of the change."""

from __future__ import annotations

from torch import fx, nn

STALE = "changed in place"
"""Key of `Node.meta` of a tensor that is read after it was changed through another one that shares its memory."""

_OPERATORS = frozenset(("iadd", "isub", "imul", "itruediv", "ifloordiv", "imod", "ipow"))
_SPLITS = frozenset(("chunk", "split", "tensor_split", "unbind", "split_with_sizes"))
_SHARING = _SPLITS | frozenset(
    (
        *("getitem", "view", "view_as", "reshape", "reshape_as", "flatten", "unflatten", "squeeze", "unsqueeze"),
        *("permute", "transpose", "swapaxes", "swapdims", "movedim", "narrow", "select", "expand", "expand_as", "t"),
        *("unfold", "detach", "alias", "contiguous", "to", "float", "dropout", "dropout2d"),
    )
)
"""Functions and methods whose result may share memory with their first argument."""

Memory = tuple[fx.Node, dict[fx.Node, object]]
"""The operation that made a tensor, and which part of it this is, for every split on the way."""


def follow_changes_in_place(graph: fx.Graph, root: nn.Module) -> None:
    """Let what reads a tensor after it was changed in place read the result of the change.

    Where the change went through another tensor that shares its memory, such as a slice, the tensor is marked: nothing
    is known of what it holds afterwards.

    Args:
        graph: of a network, fresh from the tracer; its arguments are exchanged.
        root: the network.
    """
    place = {node: index for index, node in enumerate(graph.nodes)}
    memory: dict[fx.Node, Memory] = {}
    for node in graph.nodes:
        source = node.args[0] if node.args and isinstance(node.args[0], fx.Node) else None
        if source is None:
            memory[node] = (node, {})
            continue
        changes = changes_in_place(node, root)
        shares = changes or shares_memory(node, root)
        whole, parts = memory[source]
        if shares and _name(node) == "getitem" and _name(source) in _SPLITS:
            parts = {**parts, source: node.args[1]}
        memory[node] = (whole, parts) if shares else (node, {})
        if not changes:
            continue
        for user in [user for user in source.users if place[user] > place[node]]:
            user.replace_input_with(source, node)
        for other in memory:
            read_later = other is not node and any(place[user] > place[node] for user in other.users)
            if read_later and _name(other) not in _SPLITS and _overlap(memory[other], memory[node]):
                other.meta[STALE] = node.name


def _overlap(first: Memory, second: Memory) -> bool:
    same = first[0] is second[0]
    return same and all(second[1].get(split, part) == part for split, part in first[1].items())


def _name(node: fx.Node) -> str:
    return node.target if isinstance(node.target, str) else getattr(node.target, "__name__", "")


def changes_in_place(node: fx.Node, root: nn.Module) -> bool:
    """Whether an operation of a network writes its result into what it reads first."""
    if node.op == "call_module":
        return bool(getattr(root.get_submodule(str(node.target)), "inplace", False))
    if node.op not in ("call_function", "call_method"):
        return False
    name = _name(node)
    named = name in _OPERATORS or (name.endswith("_") and not name.endswith("__"))
    return named or node.kwargs.get("inplace") is True


def shares_memory(node: fx.Node, root: nn.Module) -> bool:
    """Whether the result of an operation may share memory with what it reads first."""
    if node.op == "call_module":
        module = root.get_submodule(str(node.target))
        return isinstance(module, nn.Identity | nn.Flatten | nn.Unflatten | nn.modules.dropout._DropoutNd)
    if node.op not in ("call_function", "call_method"):
        return False
    name = _name(node)
    return name in _SHARING or (name == "getattr" and node.args[1] in ("data", "real", "T", "mT", "mH"))
