"""What a network's layers make of an image, and who reads what."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from math import prod
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, Field

from fullconv.data.stored_index import stamp_of_file
from fullconv.geometry.states import Obstacle
from fullconv.geometry.tables import summary
from fullconv.prediction.model import Model
from fullconv.store.package import CARD, WEIGHTS
from fullconv.workbench.layers.fields import Read, Span, read_by, units_reading
from fullconv.workbench.layers.filters import was_fully_connected
from fullconv.workbench.layers.influence import Influence
from fullconv.workbench.layers.maps import Maps
from fullconv.workbench.layers.network import SeenLayer
from fullconv.workbench.layers.reading import Reading, read_picture
from fullconv.workbench.layers.views import (
    InfluenceView,
    LayersView,
    LayerView,
    PixelView,
    Side,
    Statistics,
    UnitsView,
    UnitView,
    plain,
)
from fullconv.workbench.predicting.images import Upload
from fullconv.workbench.predicting.opened import Opened
from fullconv.workbench.refusals import NotThere
from fullconv.workbench.security.pictures import checked_image
from fullconv.workbench.services.layer_images import SHAPES, locate
from fullconv.workbench.services.predictions import package_of
from fullconv.workbench.stored import PackageKind
from fullconv.workbench.workbench import Workbench

Made = TypeVar("Made")


class Asked(BaseModel):
    """Whose layers, for which image.

    Args:
        model: of the store, or a run. kind: only of the one or the other; the store's if both have one of that name.
        head: of a model with several; the first if not given. image: see `locate`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str = Field(min_length=1, max_length=100)
    kind: PackageKind | None = None
    head: str | None = Field(default=None, max_length=200)
    image: str = Field(default=SHAPES, min_length=1, max_length=5000)


async def reading_of(bench: Workbench, asked: Asked) -> Reading:
    """A model's reading of an image: the last ones are at hand, others are computed.

    Raises:
        NotThere: no such model or image.
        PackageError: it cannot be opened, has no such head, or fails on this image.
        DataError: the image cannot be read or used.
        Busy: too many wait already.
    """
    reading, _ = await _opened_reading(bench, asked)
    return reading


async def _opened_reading(bench: Workbench, asked: Asked) -> tuple[Reading, Opened]:
    predictor = bench.predictor
    package = package_of(bench, asked.model, asked.kind).directory
    opened = await predictor.open(package, asked.head)
    model = opened.model
    located = await predictor.beside(lambda: locate(bench, asked.image))
    stamps = (stamp_of_file(package / name) for name in (CARD, WEIGHTS))
    marks = (str(package), str(opened.head), located.title, located.tag, *stamps)
    tag = hashlib.blake2b("\n".join(marks).encode("utf-8", "surrogateescape"), digest_size=9).hexdigest()
    found = bench.readings.get(model, tag)
    if found is None:
        needed = await predictor.beside(located.decoded_bytes)
        with predictor.place(), predictor.memory.taken(needed):
            pixels = await predictor.beside(lambda: located.load(model))

            def read() -> Reading:
                """Who asked for the same at the same time finds it made."""
                known = bench.readings.get(model, tag)
                return known or bench.readings.keep(read_picture(model, pixels, title=located.title, tag=tag))

            found = await predictor.in_lane(model, read)
    return found, opened


async def hold_image(bench: Workbench, upload: Upload) -> str:
    """Keep an uploaded image to look at; its token.

    Raises:
        DataError: it is no image. TooLarge: it is larger than is taken. The file is gone then.
    """
    try:
        await bench.predictor.beside(lambda: checked_image(upload.path, bench.settings.limits, where=upload.name))
        return await bench.predictor.beside(lambda: bench.held_images.adopt(upload))
    except BaseException:
        upload.path.unlink(missing_ok=True)
        raise


async def maps_of_layer(bench: Workbench, reading: Reading, layer: str) -> Maps:
    """A layer's maps (channels, rows, columns), computed again where they are not kept."""
    reading.layer(layer)
    found = reading.at_hand(layer)
    if found is not None:
        return found
    return await in_turn(bench, reading.model, lambda: reading.maps(layer))


async def in_turn(bench: Workbench, model: Model, work: Callable[[], Made]) -> Made:
    """Do something with a network when it is its turn on its device."""
    with bench.predictor.place():
        return await bench.predictor.in_lane(model, work)


async def list_layers(bench: Workbench, asked: Asked) -> LayersView:
    """Every layer with its geometry and what it makes of the image."""
    reading, opened = await _opened_reading(bench, asked)
    names = class_channels(reading)
    geometry = reading.net.geometry
    said = tuple(summary(geometry)) if geometry is not None else (_why_not(reading.net.layers[0].whole),)
    return LayersView(
        model=asked.model,
        head=opened.head,
        heads=opened.heads,
        image=asked.image,
        title=reading.title,
        tag=reading.tag,
        rows=reading.rows.pixels,
        columns=reading.columns.pixels,
        seen_rows=reading.rows.seen,
        seen_columns=reading.columns.seen,
        summary=said,
        layers=tuple(_layer_view(reading, seen, names.get(seen.name)) for seen in reading.net.layers),
    )


def class_channels(reading: Reading) -> dict[str, tuple[str, ...]]:
    """Layers whose channels are the scores of classes: the last ones, as long as they have as many channels."""
    names = reading.model.classes.names
    found: dict[str, tuple[str, ...]] = {}
    for seen in reversed(reading.net.layers):
        if reading.summaries[seen.name].channels == len(names):
            found[seen.name] = names
        elif seen.layer.operation != "PadToFit":  # asks for the size of the image once more
            break
    return found


async def unit_of(
    bench: Workbench, asked: Asked, layer: str, row: int, column: int, channel: int | None = None
) -> UnitView:
    """A unit: its value, and the pixels that it reads.

    Args:
        row, column: of the layer's maps.
        channel: the one whose value is largest there if not given.

    Raises:
        NotThere: no such layer, row, column or channel.
    """
    reading = await reading_of(bench, asked)
    maps = await maps_of_layer(bench, reading, layer)
    return unit_view(reading, maps, layer, row, column, channel)


def unit_view(reading: Reading, maps: Maps, layer: str, row: int, column: int, channel: int | None) -> UnitView:
    """The same, where the layer's maps are there."""
    seen = reading.layer(layer)
    _check_place(maps.shape[1:], row, column, layer)
    if channel is None:
        channel = int(maps[:, row, column].argmax())
    if not 0 <= channel < len(maps):
        raise NotThere(f"{layer} has no channel {channel}", where="channel", remedy=f"it has {len(maps)}")
    value = float(maps[channel, row, column])
    rows, columns, further = fields_of(reading, seen, row, column)
    whole = _sentences(seen.whole)
    return UnitView(
        layer=layer,
        row=row,
        column=column,
        channel=channel,
        value=value if abs(value) < float("inf") else None,
        rows=None if rows is None else _side(rows),
        columns=None if columns is None else _side(columns),
        whole=whole,
        further=further,
        says=_said(rows, columns, whole, further),
    )


def fields_of(reading: Reading, seen: SeenLayer, row: int, column: int) -> tuple[Read | None, Read | None, int]:
    """What a unit reads along rows and along columns, and how much further at the image's edges."""
    plane = seen.layer.plane
    if plane is None:
        return None, None, 0
    rows, columns = read_by(plane.rows, row, reading.rows), read_by(plane.cols, column, reading.columns)
    over = any((rows.before, rows.after, columns.before, columns.after))
    scale = max(reading.rows.scale, reading.columns.scale)
    return rows, columns, round(seen.repeats * scale) if over else 0


async def influence_of(
    bench: Workbench, asked: Asked, layer: str, row: int, column: int, channel: int | None = None
) -> tuple[InfluenceView, Influence]:
    """How much every pixel that the network gets moves a unit.

    Raises:
        NotThere: no such layer, row, column or channel.
        TooLarge: the gradient takes too much memory.
    """
    reading = await reading_of(bench, asked)
    unit = unit_view(reading, await maps_of_layer(bench, reading, layer), layer, row, column, channel)
    place = (unit.channel, row, column)
    found = await in_turn(bench, reading.model, lambda: reading.influence(layer, place))
    rows, columns = (
        None if span is None else axis.pixels_of(span)
        for span, axis in ((found.rows, reading.rows), (found.columns, reading.columns))
    )
    share = None
    if rows and columns:
        share = prod(last - first + 1 for first, last in (rows, columns)) / _area(unit, reading)
    return (
        InfluenceView(
            layer=layer, row=row, column=column, channel=unit.channel, rows=rows, columns=columns, share=share
        ),
        found,
    )


async def pixel_of(bench: Workbench, asked: Asked, row: int, column: int) -> PixelView:
    """Which units of every layer read a pixel of the image.

    Raises:
        NotThere: the image has no such pixel.
    """
    reading = await reading_of(bench, asked)
    _check_place((reading.rows.pixels, reading.columns.pixels), row, column, "the image")
    found = await bench.predictor.beside(
        lambda: tuple(units_view(reading, seen, row, column) for seen in reading.net.layers)
    )
    return PixelView(row=row, column=column, layers=found)


def units_view(reading: Reading, seen: SeenLayer, row: int, column: int) -> UnitsView:
    """Which units of one layer read a pixel."""
    summed = reading.summaries[seen.name]
    plane = seen.layer.plane
    rows: list[Span] = []
    columns: list[Span] = []
    if plane is not None:
        rows = units_reading(plane.rows, summed.rows, row, reading.rows)
        columns = units_reading(plane.cols, summed.columns, column, reading.columns)
    high, wide = (sum(last - first + 1 for first, last in runs) for runs in (rows, columns))
    return UnitsView(
        layer=seen.name,
        rows=tuple(rows),
        columns=tuple(columns),
        count=high * wide,
        of=summed.rows * summed.columns,
        whole=_sentences(seen.whole),
    )


def _layer_view(reading: Reading, seen: SeenLayer, names: tuple[str, ...] | None) -> LayerView:
    layer, summed = seen.layer, reading.summaries[seen.name]
    return LayerView(
        name=layer.name,
        operation=layer.operation,
        main=seen.main,
        channels=summed.channels,
        rows=summed.rows,
        columns=summed.columns,
        kernel=layer.kernel,
        step=layer.step,
        padding=layer.padding,
        dilation=layer.dilation,
        parameters=layer.parameters,
        multiply_adds=layer.multiply_adds,
        stride=plain(layer.stride),
        offset=plain(layer.offset),
        receptive_field=layer.receptive_field,
        whole=_sentences(seen.whole),
        statistics=Statistics(**{name: getattr(summed, name) for name in Statistics.model_fields}),
        filters=seen.weight is not None,
        fully_connected=was_fully_connected(seen),
        channel_names=names,
    )


def _check_place(size: tuple[int, ...], row: int, column: int, where: str) -> None:
    rows, columns = size
    if not (0 <= row < rows and 0 <= column < columns):
        remedy = f"it has {rows} rows and {columns} columns"
        raise NotThere(f"{where} has no row {row} and column {column}", where="row", remedy=remedy)


def _side(read: Read) -> Side:
    first, last = read.pixels if read.pixels is not None else (None, None)
    return Side(first=first, last=last, centre=read.centre, before=read.before, after=read.after)


def _sentences(obstacles: tuple[Obstacle, ...], most: int = 3) -> tuple[str, ...]:
    said = [str(obstacle) for obstacle in obstacles[:most]]
    return (*said, f"and {len(obstacles) - most} more") if len(obstacles) > most else tuple(said)


def _why_not(whole: tuple[Obstacle, ...]) -> str:
    return f"It is not known what its units read: {whole[0].reason}."


def _said(rows: Read | None, columns: Read | None, whole: tuple[str, ...], further: int) -> str:
    if rows is None or columns is None:
        return "Its units have no place on the image, or may read all of it."
    if rows.pixels is None or columns.pixels is None:
        return "Reads nothing of the image, only padding."
    (top, bottom), (left, right) = rows.pixels, columns.pixels
    said = f"Reads {right - left + 1}×{bottom - top + 1} pixels: columns {left} to {right}, rows {top} to {bottom}"
    beyond = [
        f"{count} {where}"
        for count, where in (
            (rows.before, "above"),
            (rows.after, "below"),
            (columns.before, "left of it"),
            (columns.after, "right of it"),
        )
        if count
    ]
    if beyond:
        said += f"; its field goes on beyond the image ({', '.join(beyond)}), where padding stands"
    if further:
        said += f"; as outermost cells are repeated there, it may read up to {further} pixels more"
    return said + ("; and, in another way, the whole image." if whole else ".")


def _area(unit: UnitView, reading: Reading) -> int:
    """Pixels of the image that a unit may read."""
    if unit.whole:  # in another way than by its field
        return reading.rows.pixels * reading.columns.pixels
    sides = []
    for side, axis in ((unit.rows, reading.rows), (unit.columns, reading.columns)):
        known = side is not None and side.first is not None and side.last is not None
        sides.append(side.last - side.first + 1 if known else axis.pixels)  # type: ignore[union-attr,operator]
    return sides[0] * sides[1]
