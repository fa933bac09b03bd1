"""A network as a list of layers whose results can be seen: by its traced graph, or by hooks where it has none."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import fx, nn

from fullconv.errors import NetworkError
from fullconv.geometry.costs import parameters_of
from fullconv.geometry.following import follow
from fullconv.geometry.geometry import Geometry, Layer, geometry_of_trace
from fullconv.geometry.states import Obstacle
from fullconv.geometry.tables import chosen_layers
from fullconv.geometry.tracing import Trace, trace
from fullconv.networks.upsampling import AlignedUpsampling, TransposedUpsampling

Visit = Callable[[str, torch.Tensor], None]
"""Told the name and the result of every layer, which must not be changed and may change afterwards."""


@dataclass(frozen=True, eq=False)
class SeenLayer:
    """A layer whose result can be shown.

    Args:
        layer: what geometry knows of it.
        module: that computes it; none for an operation between modules.
        weight: what it multiplies with, where that is a convolution or a linear layer.
        whole: why its units read the whole image, or why it is not known what they read.
        repeats: pixels by which units at the image's edges may read further, where outermost cells are repeated.
        main: has weights or a window, or moves cells; others are norms, activations, sums and the like.
    """

    layer: Layer
    module: nn.Module | None
    weight: torch.Tensor | None
    whole: tuple[Obstacle, ...]
    repeats: int
    main: bool

    @property
    def name(self) -> str:
        return self.layer.name


class SeenNetwork(Protocol):
    """A network whose layers can be seen.

    Args:
        layers: in the order in which they are computed.
        geometry: none where the network cannot be traced.
    """

    @property
    def layers(self) -> tuple[SeenLayer, ...]: ...

    @property
    def geometry(self) -> Geometry | None: ...

    def run(self, batch: torch.Tensor, visit: Visit, *, until: str | None = None) -> None:
        """Compute, and show every layer's result as soon as it is there; stop after the layer `until`."""


def seen_network(net: nn.Module, batch: torch.Tensor) -> SeenNetwork:
    """The layers of a network for images of a size.

    Args:
        net: in evaluation.
        batch: (1, C, H, W) what it is given.
    """
    try:
        traced = trace(net, input_size=(batch.shape[2], batch.shape[3]), channels=batch.shape[1])
    except NetworkError as problem:
        return HookedNetwork(net, batch, problem.problem)
    return TracedNetwork(traced)


class TracedNetwork:
    """By its graph: every operation between modules is a layer too, under the names that geometry gives them."""

    def __init__(self, traced: Trace) -> None:
        self._traced = traced
        self.geometry: Geometry = geometry_of_trace(traced)
        self._nodes = {traced.name(node): node for node in traced.graph.graph.nodes}
        self._seen = {layer.name for layer in self.geometry if self._is_seen(layer)}
        self.layers = tuple(self._seen_layers())

    def run(self, batch: torch.Tensor, visit: Visit, *, until: str | None = None) -> None:
        """See `SeenNetwork`; what no later layer needs is let go at once."""
        names = {self._nodes[name]: name for name in self._seen}
        last = None if until is None else self._nodes[until]
        with suppress(_Enough):
            _Visiting(self._traced.graph, names, visit, last).run(batch)

    def _is_seen(self, layer: Layer) -> bool:
        value = self._traced.values[self._nodes[layer.name]][0]
        return isinstance(value, torch.Tensor) and value.is_floating_point() and value.ndim >= 2 and value.numel() > 0

    def _seen_layers(self) -> Iterator[SeenLayer]:
        _, obstacles = follow(self._traced)
        main = {layer.name for layer in chosen_layers(self.geometry, every=False) if not _is_aside(layer)}
        whole: dict[fx.Node, tuple[Obstacle, ...]] = {}
        repeated: dict[fx.Node, bool] = {}
        for node in self._traced.graph.graph.nodes:
            behind = [whole[source] for source in node.all_input_nodes]
            own = (obstacles[node],) if node in obstacles else ()
            whole[node] = tuple(dict.fromkeys((*(found for part in behind for found in part), *own)))
            repeated[node] = _repeats(self._traced.module(node)) or any(
                repeated[source] for source in node.all_input_nodes
            )
        step = max(self.geometry.total_stride)
        for layer in self.geometry:
            if layer.name not in self._seen:
                continue
            node = self._nodes[layer.name]
            yield SeenLayer(
                layer=layer,
                module=self._traced.module(node),
                weight=self._weight(node),
                whole=whole[node],
                repeats=step if repeated[node] else 0,
                main=layer.name in main,
            )

    def _weight(self, node: fx.Node) -> torch.Tensor | None:
        module = self._traced.module(node)
        if module is not None:
            return weight_of(module)
        if getattr(node.target, "__name__", "") not in ("conv2d", "conv_transpose2d", "linear") or len(node.args) < 2:
            return None
        given = node.args[1]
        if not isinstance(given, fx.Node) or given.op != "get_attr":
            return None
        value: Any = self._traced.graph
        for part in str(given.target).split("."):
            value = getattr(value, part)
        return value if isinstance(value, torch.Tensor) else None


class HookedNetwork:
    """By hooks on its innermost modules, where it cannot be traced; nothing is known of what their units read."""

    def __init__(self, net: nn.Module, batch: torch.Tensor, reason: str) -> None:
        self._net = net
        self._inner = {module: name for name, module in net.named_modules() if not any(True for _ in module.children())}
        self.geometry = None
        obstacle = Obstacle(type(net).__name__, "unknown", reason)
        found: list[SeenLayer] = []
        counted = set[nn.Module]()

        def note(name: str, value: torch.Tensor, module: nn.Module) -> None:
            layer = _bare_layer(name, value, module, counted=module not in counted)
            counted.add(module)
            main = (layer.parameters > 0 or layer.kernel is not None) and not _is_aside(layer)
            found.append(SeenLayer(layer, module, weight_of(module), (obstacle,), 0, main))

        with torch.no_grad():
            self._run(batch, note, None)
        self.layers = tuple(found)

    def run(self, batch: torch.Tensor, visit: Visit, *, until: str | None = None) -> None:
        """See `SeenNetwork`."""
        self._run(batch, lambda name, value, _: visit(name, value), until)

    def _run(
        self, batch: torch.Tensor, visit: Callable[[str, torch.Tensor, nn.Module], None], until: str | None
    ) -> None:
        times: Counter[str] = Counter()

        def hook(module: nn.Module, arguments: Any, result: Any) -> None:
            path = self._inner[module]
            name = f"{path}_{times[path]}" if times[path] else path
            times[path] += 1
            if isinstance(result, torch.Tensor) and result.is_floating_point() and result.ndim >= 2 and result.numel():
                visit(name, result, module)
            if name == until:
                raise _Enough

        hooks = [module.register_forward_hook(hook) for module in self._inner]
        try:
            with suppress(_Enough):
                self._net(batch)
        finally:
            for handle in hooks:
                handle.remove()


def weight_of(module: nn.Module) -> torch.Tensor | None:
    """What a convolution or linear layer multiplies with: (outputs, inputs of a group, rows, columns), or without the
    last two; that of a transposed convolution is turned into this order.

    >>> weight_of(nn.ConvTranspose2d(6, 4, 2, groups=2)).shape
    torch.Size([4, 3, 2, 2])
    """
    weight = getattr(module, "weight", None)
    if not isinstance(weight, torch.Tensor):
        return None
    if isinstance(module, nn.ConvTranspose2d):
        parts = weight.reshape(module.groups, -1, *weight.shape[1:])
        return parts.transpose(1, 2).flatten(0, 1)
    return weight if isinstance(module, nn.Conv2d | nn.Linear) else None


class _Enough(Exception):
    """All that was wanted is computed."""


class _Visiting(fx.Interpreter):
    """Runs a graph and shows what its nodes yield."""

    def __init__(self, module: fx.GraphModule, names: dict[fx.Node, str], visit: Visit, last: fx.Node | None) -> None:
        super().__init__(module)
        self._names, self._visit, self._last = names, visit, last
        self.extra_traceback = False  # an error's own sentence is enough

    def run_node(self, n: fx.Node) -> Any:
        value = super().run_node(n)
        name = self._names.get(n)
        if name is not None:
            self._visit(name, value)
        if n is self._last:
            raise _Enough
        return value


def _is_aside(layer: Layer) -> bool:
    """Whether it belongs to another layer: a norm behind a convolution, the padding before the first."""
    return layer.operation == "PadToFit" or "norm" in layer.operation.lower()


def _repeats(module: nn.Module | None) -> bool:
    """Whether it repeats the outermost cells of a map where the map ends."""
    return isinstance(module, AlignedUpsampling) and not isinstance(module, TransposedUpsampling)


def _bare_layer(name: str, value: torch.Tensor, module: nn.Module, *, counted: bool) -> Layer:
    def pair(setting: str) -> tuple[int, int] | None:
        given = getattr(module, setting, None)
        if isinstance(given, int):
            return given, given
        return (int(given[0]), int(given[-1])) if isinstance(given, tuple) and len(given) == 2 else None

    return Layer(
        name=name,
        operation=type(module).__name__,
        plane=None,
        shape=tuple(value.shape[1:]),
        kernel=pair("kernel_size"),
        step=pair("stride") if hasattr(module, "kernel_size") else None,
        padding=pair("padding") if hasattr(module, "kernel_size") else None,
        dilation=pair("dilation") if hasattr(module, "kernel_size") else None,
        parameters=parameters_of(module) if counted else 0,
        multiply_adds=0,
        activation_bytes=value.numel() * value.element_size(),
    )
