"""Layers as pictures: tiles of activations and filters, influence, the image itself, and the drawing of the network."""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
from PIL import Image

from fullconv.geometry.drawing import network_figure
from fullconv.workbench.figures import svg_of
from fullconv.workbench.layers.filters import filters_of
from fullconv.workbench.layers.maps import channel_summaries
from fullconv.workbench.layers.reading import Reading
from fullconv.workbench.layers.tiles import Scale, Sheet, map_png, scaled, sheet_png
from fullconv.workbench.layers.views import ActivationsView, ChannelView, FiltersView, SheetView, SheetWish
from fullconv.workbench.refusals import NotThere
from fullconv.workbench.services.layers import Asked, class_channels, influence_of, maps_of_layer, reading_of
from fullconv.workbench.workbench import Workbench

PNG = "image/png"
SVG = "image/svg+xml"


@dataclass(frozen=True)
class LayerPicture:
    """A picture. tag: changes with model and image."""

    content: bytes
    form: str
    tag: str


async def activations(
    bench: Workbench, asked: Asked, layer: str, wish: SheetWish, scale: Scale = "channel"
) -> ActivationsView:
    """Where the tiles of a page of channels lie, and the channels' numbers.

    Raises:
        NotThere: no such layer or page.
    """
    reading = await reading_of(bench, asked)
    maps = await maps_of_layer(bench, reading, layer)
    sheet, view = _sheet_of(wish, len(maps), (maps.shape[1], maps.shape[2]))
    part = maps[view.first : view.first + sheet.count]
    names = class_channels(reading).get(layer)
    numbers = await bench.predictor.beside(lambda: channel_summaries(part))
    return ActivationsView(
        layer=layer,
        scale=scale,
        sheet=view,
        channels=tuple(
            ChannelView(channel=channel, name=None if names is None else names[channel], **vars(found))
            for channel, found in enumerate(numbers, view.first)
        ),
    )


async def activations_picture(
    bench: Workbench, asked: Asked, layer: str, wish: SheetWish, scale: Scale = "channel"
) -> LayerPicture:
    """The tiles of a page of channels as a PNG file.

    Raises:
        NotThere: no such layer or page.
    """
    reading = await reading_of(bench, asked)
    maps = await maps_of_layer(bench, reading, layer)
    sheet, view = _sheet_of(wish, len(maps), (maps.shape[1], maps.shape[2]))

    def draw() -> bytes:
        shown = maps if scale == "layer" else maps[view.first : view.first + sheet.count]
        tiles = scaled(shown, scale)
        return sheet_png(tiles[view.first :][: sheet.count] if scale == "layer" else tiles, sheet)

    return LayerPicture(await bench.predictor.beside(draw), PNG, reading.tag)


async def channel_picture(
    bench: Workbench, asked: Asked, layer: str, channel: int, scale: Scale = "channel"
) -> LayerPicture:
    """One channel as a PNG file with a pixel for every unit.

    Raises:
        NotThere: no such layer or channel.
    """
    reading = await reading_of(bench, asked)
    maps = await maps_of_layer(bench, reading, layer)
    if channel >= len(maps):
        raise NotThere(f"{layer} has no channel {channel}", where="channel", remedy=f"it has {len(maps)}")
    shown = maps if scale == "layer" else maps[channel : channel + 1]
    content = await bench.predictor.beside(lambda: map_png(scaled(shown, scale)[channel if scale == "layer" else 0]))
    return LayerPicture(content, PNG, reading.tag)


async def filters(
    bench: Workbench, asked: Asked, layer: str, wish: SheetWish, of: int | None = None, *, draw: bool
) -> tuple[FiltersView, LayerPicture | None]:
    """A page of a layer's filters.

    Args:
        of: number of the filter to show alone, channel by channel.
        draw: make the picture, too.

    Raises:
        NotThere: no such layer, page or filter, or it has none.
    """
    reading = await reading_of(bench, asked)
    seen = reading.layer(layer)
    if seen.weight is None:
        raise NotThere(f"{layer} has no filters", where="layer", remedy="choose a convolution or a linear layer")
    if of is not None and of >= len(seen.weight):
        raise NotThere(f"{layer} has no filter {of}", where="of", remedy=f"it has {len(seen.weight)}")
    found = await bench.predictor.beside(lambda: filters_of(seen, of))
    assert found is not None
    sheet, view = _sheet_of(wish, found.count, found.cells)
    shown = FiltersView(
        layer=layer,
        view=found.view,
        explanation=found.explanation,
        shape=found.shape,
        of=found.of,
        fully_connected=found.fully_connected,
        sheet=view,
    )
    if not draw:
        return shown, None
    content = await bench.predictor.beside(
        lambda: sheet_png(found.tiles(view.first, sheet.count), sheet, found.palette)
    )
    return shown, LayerPicture(content, PNG, reading.tag)


async def influence_picture(
    bench: Workbench, asked: Asked, layer: str, row: int, column: int, channel: int | None = None
) -> LayerPicture:
    """How much every pixel that the network gets moves a unit: a PNG file, transparent where it does not.

    Raises:
        NotThere, TooLarge: see `influence_of`.
    """
    _, found = await influence_of(bench, asked, layer, row, column, channel)
    reading = await reading_of(bench, asked)

    def draw() -> bytes:
        greatest = float(found.amounts.max()) or 1.0
        strength = np.sqrt(found.amounts / greatest)  # small amounts are seen, too
        color = np.zeros((*strength.shape, 4), dtype=np.uint8)
        color[..., :3] = (255, 64, 32)
        color[..., 3] = np.floor(strength * 230 + 0.5)
        return _png(Image.fromarray(color))

    return LayerPicture(await bench.predictor.beside(draw), PNG, reading.tag)


async def shown_picture(bench: Workbench, asked: Asked) -> LayerPicture:
    """The image, as it is shown beside its layers: no side longer than 1024 pixels."""
    reading = await reading_of(bench, asked)
    return LayerPicture(await bench.predictor.beside(lambda: _png(reading.shown)), PNG, reading.tag)


async def drawn_network(bench: Workbench, asked: Asked) -> LayerPicture:
    """The network as a column of layers with their fields, over the image; an SVG file.

    Raises:
        NotThere: nothing is known of where its units lie.
    """
    reading = await reading_of(bench, asked)
    if reading.net.geometry is None:
        raise NotThere("nothing is known of where its units lie", where=asked.model, remedy="look at its layers")
    return LayerPicture(await bench.predictor.beside(lambda: _drawn(reading)), SVG, reading.tag)


def _drawn(reading: Reading) -> bytes:
    geometry, photo = reading.net.geometry, np.asarray(reading.shown)
    assert geometry is not None
    return svg_of(lambda: network_figure(geometry, photo)).encode()


def _sheet_of(wish: SheetWish, total: int, cells: tuple[int, int]) -> tuple[Sheet, SheetView]:
    pages = max(1, -(-total // wish.per_page))
    if wish.page >= pages:
        raise NotThere(f"there is no page {wish.page}", where="page", remedy=f"there are {pages}, from 0")
    first = wish.page * wish.per_page
    sheet = Sheet.of(min(wish.per_page, total - first), cells, across=wish.across, longest=wish.longest)
    view = SheetView(
        first=first,
        count=sheet.count,
        total=total,
        pages=pages,
        across=sheet.across,
        width=sheet.width,
        height=sheet.height,
        gap=sheet.gap,
        rows=cells[0],
        columns=cells[1],
    )
    return sheet, view


def sheet_of_view(view: SheetView) -> Sheet:
    """The sheet that a view describes: for finding the cell under a pointer."""
    return Sheet(view.count, view.across, view.rows, view.columns, view.height, view.width, view.gap)


def _png(image: Image.Image) -> bytes:
    stream = io.BytesIO()
    image.save(stream, format="PNG", compress_level=4)
    return stream.getvalue()
