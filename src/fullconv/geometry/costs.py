"""What an operation costs for one image: parameters, multiply-adds, bytes of its result."""

from __future__ import annotations

from math import prod
from typing import Any

import torch
from torch import nn

from fullconv.geometry.operations import Operation

_PRODUCTS = ("conv2d", "conv_transpose2d", "linear", "product")


def parameters_of(module: nn.Module | None) -> int:
    """Numbers that the module learns."""
    return 0 if module is None else sum(parameter.numel() for parameter in module.parameters())


def multiply_adds(op: Operation, batch: int) -> int:
    """Multiplications with an addition each, of one image; zero for all but convolutions and matrix products.

    A transposed convolution multiplies once per input cell, any other once per output cell.
    """
    if op.kind not in _PRODUCTS or op.shapes is None:
        return 0
    out = op.shapes[0]
    positional, named = op.values[0]
    arguments = [value for value in (*positional, *named.values()) if isinstance(value, torch.Tensor)]
    if op.kind == "product":
        return prod(out) * int(arguments[0].shape[-1]) // batch if len(arguments) > 1 else 0
    weight: Any = op.module.weight if op.module is not None else named.get("weight", arguments[1])
    if op.kind == "linear":
        return prod(out) * int(weight.shape[-1]) // batch
    cells = prod((named.get("input", arguments[0]).shape if op.kind == "conv_transpose2d" else out)[-2:])
    return cells * int(weight.numel())


def bytes_of(value: Any, batch: int) -> int:
    """Bytes that the result takes for one image."""
    if isinstance(value, list | tuple):
        return sum(bytes_of(part, batch) for part in value)
    return value.numel() * value.element_size() // batch if isinstance(value, torch.Tensor) else 0
