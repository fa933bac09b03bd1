"""Linear layers as convolutions of the size of the map, layer norm as a norm per cell."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import fx, nn

from fullconv.geometry.operations import Operation
from fullconv.surgery.building import Builder
from fullconv.surgery.owners import owner
from fullconv.surgery.window_product import WindowProduct
from fullconv.surgery.windows import Refused, Windows


def linear(builder: Builder, op: Operation, args: list[Any], named: dict[str, Any]) -> Windows:
    """A linear layer reads all cells of a window: a convolution with a kernel of that size and the same weights.

    Source: Long, Shelhamer, Darrell, CVPR 2015, section 3.1.
    """
    source: Windows = args[0]
    assert op.shapes is not None
    if source.layout[0].numel() != source.shape[-1]:
        raise Refused("it reads several vectors of one window")
    if not source.complete:
        source = builder.ordered(source)
    weight, bias = _weights(builder, op, args, named)
    path = str(op.node.target) if op.module is not None else owner(builder.root, weight, bias)
    if path is not None and builder.is_used_once(path):
        return Windows.of_channels(_convolution(builder, path, source), op.shapes[0])
    if not source.in_order:
        weight = builder.call(torch.index_select, weight, 1, builder.buffer("kernel_order", source.order.argsort()))
    kernel = builder.call(torch.reshape, weight, (-1, source.channels, *source.window))
    return Windows.of_channels(builder.call(F.conv2d, source.node, kernel, bias), op.shapes[0])


def _weights(builder: Builder, op: Operation, args: list[Any], named: dict[str, Any]) -> tuple[Any, Any]:
    """Weight and bias as arguments."""
    if op.module is None:
        weight = named["weight"] if "weight" in named else args[1]
        return weight, named.get("bias", args[2] if len(args) > 2 else None)
    path, bias = str(op.node.target), op.module.bias
    return builder.parameter(f"{path}.weight"), None if bias is None else builder.parameter(f"{path}.bias")


def _convolution(builder: Builder, path: str, source: Windows) -> fx.Node:
    """The linear layer at a path, turned into a convolution there."""
    old = builder.root.get_submodule(path)
    weight, bias = old.weight, getattr(old, "bias", None)
    assert isinstance(weight, nn.Parameter)
    outputs = weight.shape[0]
    new = WindowProduct(source.channels, outputs, source.window, bias=bias is not None, device="meta")
    values = weight.detach()
    if not source.in_order:
        values = torch.empty_like(values).index_copy_(1, source.order.to(weight.device), values)
    values = values.reshape(outputs, source.channels, *source.window)
    new.weight = nn.Parameter(values, requires_grad=weight.requires_grad)
    if isinstance(bias, nn.Parameter):
        new.bias = bias
    return builder.module(path, new.train(old.training), source.node)


def layer_norm(builder: Builder, op: Operation, args: list[Any], named: dict[str, Any]) -> Windows:
    """Over all channels of a cell, which lie last while it runs.

    Raises:
        Refused: it takes its statistics over more than one cell, or over a part of the channels.
    """
    source = builder.ordered(args[0])
    over = op.both(1, "normalized_shape")[0]
    over = (over,) if isinstance(over, int) else tuple(over)
    if source.window != (1, 1) or over != (source.channels,) or source.shape[-1] != source.channels:
        raise Refused("it takes its statistics over something else than the channels of one cell")
    last = builder.call(torch.permute, source.node, (0, 2, 3, 1))
    node = builder.copied(op, lambda other: other)
    node.args, node.kwargs = (last, *args[1:]), named
    return source.on(builder.call(torch.permute, node, (0, 3, 1, 2)))
