"""A network's geometry for people and for programs: a table, and plain facts."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import Any

from rich.table import Table

from fullconv.geometry.fields import Field
from fullconv.geometry.geometry import Geometry, Layer, Number, Pair

_MOVES_NOTHING = frozenset(("getattr", "size", "getitem"))


def layer_table(geometry: Geometry, *, every: bool = False, wide: bool = True) -> Table:
    """One row per layer: its own window, and where its cells lie on the image.

    Args:
        geometry: of a network.
        every: also operations that leave the cells as they are, such as activations.
        wide: with what the layers cost; without, it fits into 80 columns.
    """
    height, width = geometry.input_size
    table = Table(title=f"for an image of {width}×{height} pixels", header_style="bold", title_justify="left")
    table.add_column("layer", overflow="fold")
    if wide:
        table.add_column("operation", overflow="fold")
    for name in ("kernel", "stride", "pad", "size", "pixels per cell", "cell 0 at", "receptive field"):
        table.add_column(name, justify="right", no_wrap=name == "size")
    if wide:
        for name in ("parameters", "multiply-adds", "memory"):
            table.add_column(name, justify="right")
    for layer in chosen_layers(geometry, every=every):
        cells = (
            _both(layer.kernel),
            _both(layer.step),
            layer.padding if isinstance(layer.padding, str) else _both(layer.padding),
            "×".join(str(side) for side in layer.shape),
            _both(layer.stride),
            _both(layer.offset),
            _both(layer.receptive_field),
        )
        costs = (
            f"{layer.parameters:,}" if layer.parameters else "",
            counted(layer.multiply_adds) if layer.multiply_adds else "",
            f"{layer.activation_bytes / 2**20:.2f} MiB",
        )
        table.add_row(layer.name, *((layer.operation, *cells, *costs) if wide else cells))
    return table


def chosen_layers(geometry: Geometry, *, every: bool) -> Iterator[Layer]:
    """The layers that have parameters or move cells, or all of them."""
    before: Any = (Field.image(), Field.image())
    for layer in geometry:
        fields = None if layer.plane is None else (layer.plane.rows, layer.plane.cols)
        if every or layer.parameters or layer.kernel or (fields != before and layer.operation not in _MOVES_NOTHING):
            yield layer
        before = fields


def summary(geometry: Geometry) -> list[str]:
    """What the table says in sentences: costs, reach, grid, obstacles."""
    memory = sum(layer.activation_bytes for layer in geometry) / 2**20
    lines = [
        f"{geometry.parameters:,} parameters, {counted(geometry.multiply_adds)} multiply-adds and {memory:.0f} MiB of "
        "results for one image."
    ]
    if geometry.is_local:
        reach = geometry.reach
        lines.append(
            f"Each output reads at most {reach.up} pixels up, {reach.down} down, {reach.left} left and {reach.right} "
            f"right of its place. Tiles are exact with that margin and origins on multiples of "
            f"{_both(geometry.total_stride)} pixels; at the image's own ends add as many to the margin."
        )
    elif geometry.output is None:
        lines.append("The result has no rows and columns: it says one thing about the whole image.")
    if geometry.obstacles:
        lines.append("Depends on the whole image or on its size, so tiles are not exact:")
        lines += [f"  {obstacle}" for obstacle in geometry.obstacles[:8]]
        if len(geometry.obstacles) > 8:
            lines.append(f"  and {len(geometry.obstacles) - 8} more")
    skew = None if geometry.output is None else max(geometry.output.skew)
    if skew:
        lines.append(f"Branches that meet are out of line by up to {shown(skew)} pixels.")
    return lines


def facts(geometry: Geometry) -> dict[str, Any]:
    """The same for programs: JSON with fractions as text such as "1/2"."""
    reach = geometry.reach if geometry.is_local else None
    return {
        "input_size": list(geometry.input_size),
        "channels": geometry.channels,
        "parameters": geometry.parameters,
        "multiply_adds": geometry.multiply_adds,
        "total_stride": list(geometry.total_stride),
        "is_local": geometry.is_local,
        "reach": None if reach is None else vars(reach),
        "obstacles": [vars(obstacle) for obstacle in geometry.obstacles],
        "layers": [
            {
                "name": layer.name,
                "operation": layer.operation,
                "shape": list(layer.shape),
                "kernel": _plain(layer.kernel),
                "own_stride": _plain(layer.step),
                "padding": layer.padding if isinstance(layer.padding, str) else _plain(layer.padding),
                "dilation": _plain(layer.dilation),
                "stride": _plain(layer.stride),
                "offset": _plain(layer.offset),
                "receptive_field": _plain(layer.receptive_field),
                "start": _plain(layer.start),
                "parameters": layer.parameters,
                "multiply_adds": layer.multiply_adds,
                "activation_bytes": layer.activation_bytes,
            }
            for layer in geometry
        ],
    }


def shown(value: Number | None) -> str:
    """A number of pixels: whole, or with a half or other fraction.

    >>> shown(Fraction(31, 2)), shown(4), shown(Fraction(1, 3))
    ('15.5', '4', '1/3')
    """
    if value is None:
        return ""
    exact = Fraction(value)
    if exact.denominator in (1, 2, 4, 8):
        return f"{float(exact):g}"
    return str(exact)


def counted(number: int) -> str:
    """A large number in thousands, millions or billions.

    >>> counted(15_470_264_320), counted(62_592), counted(21_337_344)
    ('15.5 G', '62.6 k', '21.3 M')
    """
    for unit, size in (("G", 10**9), ("M", 10**6), ("k", 10**3)):
        if number >= size:
            return f"{number / size:.3g} {unit}"
    return str(number)


def _both(pair: Pair | tuple[int | None, int | None] | None) -> str:
    """One number where rows and columns agree."""
    if pair is None:
        return ""
    rows, cols = (shown(value) for value in pair)
    return rows if rows == cols else f"{rows}×{cols}"


def _plain(pair: Any) -> list[int | str | None] | None:
    if pair is None:
        return None
    return [value if isinstance(value, int) or value is None else str(value) for value in pair]
