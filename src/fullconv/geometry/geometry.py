"""Pixel coordinates of a network: where the cells of every layer lie on the image and what they read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from math import lcm
from typing import TYPE_CHECKING, Any

from torch import fx, nn

from fullconv.errors import NetworkError
from fullconv.geometry.costs import bytes_of, multiply_adds, parameters_of
from fullconv.geometry.following import follow
from fullconv.geometry.meta_values import BATCH
from fullconv.geometry.operations import Operation, operation
from fullconv.geometry.states import Obstacle, Plane, State, planes
from fullconv.geometry.tracing import Trace, trace

if TYPE_CHECKING:
    from rich.table import Table

Number = int | Fraction
Pair = tuple[Number, Number]


@dataclass(frozen=True)
class Layer:
    """One layer, seen from the image; pairs are (rows, columns).

    Args:
        name: of its module, or of the operation inside one.
        operation: what it does: Conv2d, MaxPool2d, add …
        plane: the fields of its cells; None where it has no rows and columns.
        shape: of its result for one image of `Geometry.input_size`, without the batch.
        kernel, step, padding, dilation: its own, None where it has none.
        parameters: numbers that it learns.
        multiply_adds: of one image.
        activation_bytes: of its result for one image.
    """

    name: str
    operation: str
    plane: Plane | None
    shape: tuple[int, ...]
    kernel: tuple[int, int] | None
    step: tuple[int, int] | None
    padding: tuple[int, int] | str | None
    dilation: tuple[int, int] | None
    parameters: int
    multiply_adds: int
    activation_bytes: int

    @property
    def stride(self) -> Pair | None:
        """Image pixels from one cell to the next."""
        return None if self.plane is None else (_number(self.plane.rows.stride), _number(self.plane.cols.stride))

    @property
    def offset(self) -> Pair | None:
        """Image coordinate of the centre of cell 0; pixel i has its centre at i."""
        return None if self.plane is None else (_number(self.plane.rows.center), _number(self.plane.cols.center))

    @property
    def receptive_field(self) -> tuple[int, int] | None:
        """Image pixels that a cell reads; after upsampling those of the phase that reads most."""
        return None if self.plane is None else (self.plane.rows.size, self.plane.cols.size)

    @property
    def start(self) -> tuple[int | None, int | None] | None:
        """First image pixel that cell 0 reads."""
        return None if self.plane is None else (self.plane.rows.start, self.plane.cols.start)


@dataclass(frozen=True)
class Reach:
    """How many image pixels beyond its own position an output cell can read, in the worst phase.

    This is inside an image. Networks that repeat their outermost cell at the image's ends, where layers without padding
    leave no cells, read there up to one total stride further.
    """

    up: int
    down: int
    left: int
    right: int


@dataclass(frozen=True)
class Geometry:
    """Where the cells of every layer lie on the image, and what they read.

    Args:
        layers: in the order in which they are computed.
        output: the fields of the network's result; None where it has no rows and columns.
        obstacles: operations that the result depends on and that read the whole image or depend on its size.
        total_stride: (rows, columns) pixels by which an image may be shifted so that all maps shift by whole cells.
        input_size: (height, width) that shapes and costs are for.
        channels: bands of the image.
        parameters: numbers that the network learns, of the layers that an image passes.
    """

    layers: tuple[Layer, ...]
    output: Plane | None
    obstacles: tuple[Obstacle, ...]
    total_stride: tuple[int, int]
    input_size: tuple[int, int]
    channels: int
    parameters: int

    def __getitem__(self, name: str) -> Layer:
        """The layer of that name.

        Raises:
            NetworkError: there is none.
        """
        found = next((layer for layer in self.layers if layer.name == name), None)
        if found is None:
            raise NetworkError(f"no layer is named {name!r}", remedy="see `fullconv net show`")
        return found

    def __iter__(self) -> Iterator[Layer]:
        return iter(self.layers)

    def table(self, *, every: bool = False) -> Table:
        """Layer by layer, for a terminal: `rich.print(geometry.table())`.

        Args:
            every: also operations that leave the cells as they are, such as activations.
        """
        from fullconv.geometry.tables import layer_table

        return layer_table(self, every=every)

    @property
    def is_local(self) -> bool:
        """Whether a cell of the result depends on nothing but the pixels in its reach."""
        return self.output is not None and not self.obstacles

    @property
    def reach(self) -> Reach:
        """How far the result reads around its own position, `stride·o` (the pixel o itself for a dense network).

        Raises:
            NetworkError: the network is not local.
        """
        if self.output is None or self.obstacles:
            why = str(self.obstacles[0]) if self.obstacles else "its result has no rows and columns"
            raise NetworkError(f"the network's reach has no bound: {why}")
        rows, cols = self.output.rows, self.output.cols
        return Reach(*(max(0, side) for side in (rows.before, rows.after, cols.before, cols.after)))

    @property
    def multiply_adds(self) -> int:
        """Of one image."""
        return sum(layer.multiply_adds for layer in self.layers)


def geometry_of(net: nn.Module, *, input_size: tuple[int, int] | None = None, channels: int | None = None) -> Geometry:
    """Follow an image through a network, by layer arithmetic alone; nothing is computed and no weight is copied.

    Args:
        net: takes (N, C, H, W) images; it may lie on the meta device. It is taken as it is: batch norm in training
            mode is an obstacle, so call `.eval()` first.
        input_size: (height, width) that shapes and costs are for; 224×224 if that suits the network.
        channels: bands of the image; what the first convolution reads if not given.

    Returns:
        Fields of every layer, the reach of the result, and what is in the way of predicting tile by tile.

    Raises:
        NetworkError: the network's forward cannot be traced.

    Source: Long, Shelhamer, Darrell, CVPR 2015, section 3; the seed article's table 2.

    >>> from torch import nn
    >>> net = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.MaxPool2d(2))
    >>> geometry = geometry_of(net.eval())
    >>> geometry["1"].stride, geometry["1"].offset, geometry["1"].receptive_field
    ((2, 2), (Fraction(1, 2), Fraction(1, 2)), (4, 4))
    """
    traced = trace(net, input_size=input_size, channels=channels)
    return geometry_of_trace(traced)


def geometry_of_trace(traced: Trace) -> Geometry:
    """The geometry of a network that was traced already."""
    states, obstacles = follow(traced)
    nodes = list(traced.graph.graph.nodes)
    result = next(node for node in nodes if node.op == "output")
    needed = _ancestors(result)
    found = planes(_main(states[result]))
    layers, seen = [], set[str]()
    for node in nodes:
        state = states[node]
        if node.op in ("placeholder", "get_attr", "output") or state is None:
            continue
        op = operation(traced, node, states)
        layers.append(_layer(op, state, traced, counted=str(node.target) not in seen))
        if node.op == "call_module":
            seen.add(str(node.target))
    known = tuple(obstacle for node, obstacle in obstacles.items() if node in needed)
    if traced.sizes[0] == traced.sizes[1] and not known:
        height, width = traced.sizes[0]
        known = (Obstacle("network", "fixed-size", f"of the sizes tried, it takes images of {width}×{height} only"),)
    strides = [plane for node in needed for plane in planes(states[node])]
    return Geometry(
        layers=tuple(layers),
        output=found[0] if found else None,
        obstacles=known,
        total_stride=(
            lcm(*(plane.rows.stride.numerator for plane in strides)),
            lcm(*(plane.cols.stride.numerator for plane in strides)),
        ),
        input_size=traced.sizes[0],
        channels=traced.channels,
        parameters=parameters_of(traced.graph),
    )


def _main(state: Any) -> State:
    """The result that counts where there are several: "out" (torchvision), else the first."""
    if isinstance(state, Mapping):
        return _main(state.get("out", next(iter(state.values()), None)))
    if isinstance(state, list | tuple):
        return _main(state[0]) if state else None
    return state  # type: ignore[no-any-return]


def _ancestors(node: fx.Node) -> set[fx.Node]:
    found: set[fx.Node] = set()
    waiting = [node]
    while waiting:
        for source in waiting.pop().all_input_nodes:
            if source not in found:
                found.add(source)
                waiting.append(source)
    return found


def _layer(op: Operation, state: State, traced: Trace, *, counted: bool) -> Layer:
    found = planes(state)
    has_window = op.kind in ("conv2d", "conv_transpose2d", "max_pool2d", "avg_pool2d", "lp_pool2d")
    module = op.module if has_window else None
    padding = getattr(module, "padding", None)
    return Layer(
        name=op.name,
        operation=op.called,
        plane=found[0] if found and not isinstance(state, tuple) else None,
        shape=op.shapes[0][1:] if op.shapes is not None else (),
        kernel=_pair(getattr(module, "kernel_size", None)),
        step=_pair(getattr(module, "stride", None)),
        padding=padding if isinstance(padding, str) else _pair(padding),
        dilation=_pair(getattr(module, "dilation", None)),
        parameters=parameters_of(op.module) if counted else 0,
        multiply_adds=multiply_adds(op, BATCH),
        activation_bytes=bytes_of(traced.values[op.node][0], BATCH),
    )


def _pair(value: Any) -> tuple[int, int] | None:
    if value is None:
        return None
    return (value, value) if isinstance(value, int) else (int(value[0]), int(value[-1]))


def _number(value: Fraction) -> Number:
    return int(value) if value.denominator == 1 else value
