"""What the operations of a network yield for images of a size: on the meta device, shapes without arithmetic."""

from __future__ import annotations

from typing import Any

import torch
from torch import fx, nn

BATCH = 2
"""Images in the batch that is traced: with one, nothing would tell the batch from a dimension of size one."""

PROBES = ((224, 224), (672, 1120), (64, 64))
"""(height, width) of the images that decisions are tried on; a network need not take the last."""


class Undecided(Exception):
    """A network under trace takes a decision, by the value of this node."""

    def __init__(self, node: fx.Node) -> None:
        super().__init__(f"a decision by {node.name}")
        self.node = node


def decided(graph: fx.Graph, node: fx.Node, root: nn.Module) -> bool | None:
    """What a network decides for images of every size; None where sizes differ in it, or it depends on more.

    Networks of segmentation_models_pytorch ask in this way whether the sides are multiples of 32, and whether a map
    has channels.

    Args:
        graph: as far as it is traced.
        node: the condition.
        root: the network; it may lie on the meta device.
    """
    part, copies = fx.Graph(), dict[fx.Node, fx.Node]()
    for earlier in graph.nodes:
        copies[earlier] = part.node_copy(earlier, lambda before: copies[before])
        if earlier is node:
            break
    part.output(copies[node])
    module = fx.GraphModule(root, part)
    answers = set()
    for size in PROBES:
        try:
            answer = values_at(module, torch.empty(BATCH, bands_of(root), *size, device="meta"))[copies[node]]
        except Exception:  # the network may fail in any way
            if size == PROBES[-1]:
                continue
            return None
        if not isinstance(answer, bool):
            return None
        answers.add(answer)
    return answers.pop() if len(answers) == 1 else None


class _Values(fx.Interpreter):
    """Runs a graph and keeps what every node yields."""

    def __init__(self, module: fx.GraphModule) -> None:
        super().__init__(module, garbage_collect_values=False)
        self.kept: dict[fx.Node, Any] = {}

    def get_attr(self, target: Any, args: Any, kwargs: Any) -> Any:
        value = super().get_attr(target, args, kwargs)
        return value.to("meta") if isinstance(value, torch.Tensor) else value

    def run_node(self, n: fx.Node) -> Any:
        value = super().run_node(n)
        self.kept[n] = value
        return value


class _OnMeta(nn.Module):
    """The graph as a module, so that its parameters can be replaced by ones without content."""

    def __init__(self, module: fx.GraphModule) -> None:
        super().__init__()
        self.module = module

    def forward(self, images: torch.Tensor) -> dict[fx.Node, Any]:
        interpreter = _Values(self.module)
        interpreter.run(images)
        return interpreter.kept


def values_at(module: fx.GraphModule, images: torch.Tensor) -> dict[fx.Node, Any]:
    """What every node yields for images of this shape, on the meta device: shapes without arithmetic."""
    state = {**dict(module.named_parameters()), **dict(module.named_buffers())}
    empty = {
        f"module.{name}": torch.empty(value.shape, dtype=value.dtype, device="meta") for name, value in state.items()
    }
    images = images.to(dtype_of(module) if images.is_floating_point() else images.dtype)
    with torch.no_grad(), torch.device("meta"):
        found: dict[fx.Node, Any] = torch.func.functional_call(_OnMeta(module), empty, (images.to("meta"),))
    return found


def dtype_of(net: nn.Module) -> torch.dtype:
    """In which precision a network computes: that of its first parameter."""
    return next((p.dtype for p in net.parameters() if p.is_floating_point()), torch.get_default_dtype())


def bands_of(net: nn.Module) -> int:
    """Channels of the images that a network takes: what it says itself, else what its first convolution reads."""
    stated = getattr(net, "image_channels", None)
    if isinstance(stated, int):
        return stated
    first = next((m for m in net.modules() if isinstance(m, nn.Conv2d | nn.ConvTranspose2d)), None)
    return 3 if first is None else first.in_channels
