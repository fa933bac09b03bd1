"""Copies of networks, and what a copy that is rewritten would lose."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import nn

from fullconv.errors import NotConvolutional


def copy_of(net: nn.Module, memo: dict[int, Any] | None = None) -> nn.Module:
    """A deep copy, also where weights are computed by hooks before every run (weight norm, pruning).

    Args:
        net: is not changed.
        memo: of `copy.deepcopy`: id → what stands for an object in the copy.
    """
    known = {} if memo is None else memo
    for module in net.modules():
        for value in vars(module).values():
            if isinstance(value, torch.Tensor) and not value.is_leaf:
                known.setdefault(id(value), value.detach().clone())
    return copy.deepcopy(net, known)


def without_weights(net: nn.Module) -> nn.Module:
    """A copy on the meta device, made without copying a weight."""
    memo: dict[int, Any] = {}
    for parameter in net.parameters():
        memo[id(parameter)] = nn.Parameter(torch.empty_like(parameter, device="meta"), parameter.requires_grad)
    for buffer in net.buffers():
        memo[id(buffer)] = torch.empty_like(buffer, device="meta")
    for module in net.modules():
        for value in vars(module).values():
            if isinstance(value, torch.Tensor) and not value.is_leaf:
                memo[id(value)] = torch.empty_like(value, device="meta")
    return copy_of(net, memo)


def has_hooks(module: nn.Module) -> bool:
    """Whether somebody's functions run before or after a module's forward; FullConv's own do not count."""
    hooks = (*module._forward_pre_hooks.values(), *module._forward_hooks.values())
    return any(not str(getattr(hook, "__module__", "")).startswith("fullconv.") for hook in hooks)


def refuse_hooks(net: nn.Module) -> None:
    """Refuse a network whose own hooks a trace of its forward would leave out.

    Raises:
        NotConvolutional: it has forward hooks.
    """
    if has_hooks(net):
        raise NotConvolutional(
            "it has forward hooks, which a rewritten network would lose", where=type(net).__name__, remedy="remove them"
        )
