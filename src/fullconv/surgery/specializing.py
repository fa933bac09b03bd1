"""A classifier as a graph of operations for one image size: what it decides by the size is decided."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import fx, nn

from fullconv.errors import NotConvolutional
from fullconv.geometry.meta_values import BATCH
from fullconv.geometry.modes import follow_modes
from fullconv.geometry.tracing import NetworkTracer, Trace, trace_of
from fullconv.surgery.copying import copy_of, without_weights


class _Specializer(NetworkTracer):
    """Keeps what every operation yields at one size, so that comparisons of sizes have an answer."""

    proxy_buffer_attributes = True

    def __init__(self, opaque: Mapping[type[nn.Module], str], images: torch.Tensor) -> None:
        super().__init__(opaque)
        self.images = images
        self.values: dict[fx.Node, Any] = {}
        self._computing = False

    def create_node(self, *arguments: Any, **named: Any) -> fx.Node:
        node = super().create_node(*arguments, **named)
        if node.op == "output":
            return node
        self._computing = True
        try:
            with torch.no_grad(), torch.device("meta"):
                self.values[node] = self._value(node)
        finally:
            self._computing = False
        return node

    def call_module(self, m: nn.Module, forward: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        return forward(*args, **kwargs) if self._computing else super().call_module(m, forward, args, kwargs)

    def getattr(self, attr: str, attr_val: Any, parameter_proxy_cache: dict[str, fx.Proxy]) -> Any:
        return attr_val if self._computing else super().getattr(attr, attr_val, parameter_proxy_cache)

    def to_bool(self, obj: fx.Proxy) -> bool:
        value = self.values[obj.node]
        return bool(super().to_bool(obj) if isinstance(value, torch.Tensor) else value)

    def iter(self, obj: fx.Proxy) -> Iterator[Any]:
        value = self.values[obj.node]
        if isinstance(value, list | tuple | torch.Tensor):
            parts: Any = obj
            return iter([parts[index] for index in range(len(value))])
        return super().iter(obj)

    def _value(self, node: fx.Node) -> Any:
        if node.op == "placeholder":
            return self.images if not self.values else None
        args, kwargs = fx.map_arg((node.args, node.kwargs), self.values.__getitem__)
        if node.op == "call_module":
            return self.root.get_submodule(str(node.target)).forward(*args, **kwargs)
        if node.op == "get_attr":
            found: Any = self.root
            for part in str(node.target).split("."):
                found = getattr(found, part)
            return found.to("meta") if isinstance(found, torch.Tensor) else found
        if node.op == "call_method":
            return getattr(args[0], str(node.target))(*args[1:], **kwargs)
        return node.target(*args, **kwargs)  # type: ignore[operator]


def specialize(classifier: nn.Module, native: tuple[int, int], channels: int) -> Trace:
    """A copy of a classifier as a graph that holds for images of one size, and wherever the decisions are the same.

    Args:
        classifier: takes (N, C, H, W) images; it is copied with its weights and put into evaluation.
        native: (height, width) of the images that it is for.
        channels: of the images.

    Raises:
        NotConvolutional: its own forward cannot be traced.
        NetworkError: it takes no images of that size.
    """
    empty = _with_one_input(without_weights(classifier).eval())
    images = torch.empty(BATCH, channels, *native, device="meta")
    opaque: dict[type[nn.Module], str] = {}
    while True:
        tracer = _Specializer(opaque, images)
        try:
            graph = tracer.trace(empty)
        except Exception as problem:  # a network may fail in any way
            failed = tracer.failed
            if failed is None or type(failed) in opaque:
                first = str(problem).strip().split("\n")[0][:160]
                raise NotConvolutional(f"its forward cannot be traced ({first})", where=_named(classifier)) from problem
            opaque[type(failed)] = str(problem)
            continue
        break
    own = copy_of(classifier).eval()
    _keep_constants(graph, empty, own)
    inside = {name: opaque[type(part)] for name, part in empty.named_modules() if type(part) in opaque}
    _drop_assertions(graph)
    traced = fx.GraphModule(own, graph)
    follow_modes(traced, empty, lambda: _Specializer(opaque, images).trace(empty))
    return trace_of(traced, inside, input_size=native, channels=channels)


def _with_one_input(net: nn.Module) -> nn.Module:
    """The same with nothing to decide but the image: further arguments of its forward have their defaults."""
    forward = type(net).forward
    if len(inspect.signature(forward).parameters) > 2:
        single = type(type(net).__name__, (type(net),), {"forward": lambda self, images: forward(self, images)})
        net.__class__ = single
    return net


def _keep_constants(graph: fx.Graph, traced: nn.Module, own: nn.Module) -> None:
    """Tensors that the forward makes, as buffers of the copy that the graph will run on."""
    device = next((parameter.device for parameter in own.parameters()), torch.device("cpu"))
    for node in graph.nodes:
        if node.op == "get_attr" and str(node.target).startswith("_tensor_constant"):
            own.register_buffer(str(node.target), getattr(traced, str(node.target)).to(device), persistent=False)


def _drop_assertions(graph: fx.Graph) -> None:
    """Checks of the image's size and the like: they held at this one."""
    for node in reversed(graph.nodes):
        if getattr(node.target, "__name__", "") in ("_assert", "assert_"):
            graph.erase_node(node)


def _named(net: nn.Module) -> str:
    return type(net).__name__
