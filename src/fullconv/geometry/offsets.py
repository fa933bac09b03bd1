"""Scaling factors and offsets layer by layer, as Caffe's crop layers and the literature around them count."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from rich.table import Table

from fullconv.errors import NetworkError
from fullconv.geometry.geometry import Geometry, Layer, Number
from fullconv.geometry.tables import shown

_WINDOWS = ("Conv2d", "MaxPool2d", "AvgPool2d", "LPPool2d")
_TRANSPOSED = "ConvTranspose2d"


@dataclass(frozen=True)
class OffsetRow:
    """One layer with a window, along the columns of the image.

    Args:
        layer: its name.
        stride, padding, kernel: its own.
        scaling: cells of its result per cell of its input: 1/S, or S for a transposed convolution.
        cumulative_scaling: the same from the image on.
        offset: by how many of its own cells its result is shifted: (P − (K − 1)/2)/S, or (K − 1)/2 − P transposed.
        cumulative_offset: pixels to crop from the last layer's result, counted from this layer's input on.
    """

    layer: str
    stride: int
    padding: int
    kernel: int
    scaling: Fraction
    cumulative_scaling: Fraction
    offset: Fraction
    cumulative_offset: Number


def offset_rows(geometry: Geometry, last: str = "upscore") -> list[OffsetRow]:
    """Every layer with a window up to `last`, whose result has the scale of the image.

    Offsets compose, they do not add up: a shift by one cell counts as many pixels as the cell is wide.

    Args:
        geometry: of a network of convolutions, pools and transposed convolutions.
        last: the layer whose result is cropped onto the image.

    Raises:
        NetworkError: there is no such layer, or its result has another scale.

    >>> from torch import nn
    >>> from fullconv.geometry.geometry import geometry_of
    >>> net = nn.Sequential(nn.Conv2d(3, 8, 11, 4, 100), nn.ConvTranspose2d(8, 8, 7, 4)).eval()
    >>> [(str(row.offset), row.cumulative_offset) for row in offset_rows(geometry_of(net), last="1")]
    [('95/4', 98), ('3', 3)]
    """
    end = geometry[last]
    if end.plane is None or end.plane.cols.stride != 1:
        raise NetworkError(f"{last} has not the scale of the image, so there is nothing to crop")
    rows = []
    for layer in geometry:
        if layer.plane is not None and layer.operation in (*_WINDOWS, _TRANSPOSED):
            rows.append(_row(layer, end.plane.cols.center))
        if layer is end:
            break
    return rows


def _row(layer: Layer, end: Fraction) -> OffsetRow:
    assert layer.plane is not None
    assert layer.kernel is not None
    assert layer.step is not None
    kernel, stride = layer.kernel[1], layer.step[1]
    padding = layer.padding[1] if isinstance(layer.padding, tuple) else 0
    dilation = layer.dilation[1] if layer.dilation is not None else 1
    middle = padding - Fraction((kernel - 1) * dilation, 2)
    field = layer.plane.cols
    transposed = layer.operation == _TRANSPOSED
    scaling = Fraction(stride) if transposed else Fraction(1, stride)
    entering = field.stride * scaling
    # The result's cell 0 sits where the input's does, moved by the offset; going back gives the input's place.
    moved = entering * middle / stride if transposed else -entering * middle
    cumulative = field.center - moved - end
    return OffsetRow(
        layer=layer.name,
        stride=stride,
        padding=padding,
        kernel=kernel,
        scaling=scaling,
        cumulative_scaling=1 / field.stride,
        offset=-middle if transposed else middle / stride,
        cumulative_offset=int(cumulative) if cumulative.denominator == 1 else cumulative,
    )


def offset_table(geometry: Geometry, last: str = "upscore") -> Table:
    """The rows as a table."""
    table = Table(title=f"offsets, from the result of {last} backwards", header_style="bold", title_justify="left")
    table.add_column("layer")
    for name in ("stride", "pad", "kernel", "scaling", "cumulative", "offset", "cumulative offset"):
        table.add_column(name, justify="right")
    for row in offset_rows(geometry, last):
        table.add_row(
            row.layer,
            *(str(value) for value in (row.stride, row.padding, row.kernel, row.scaling, row.cumulative_scaling)),
            shown(row.offset),
            shown(row.cumulative_offset),
        )
    return table
