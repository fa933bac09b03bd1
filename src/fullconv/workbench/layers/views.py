"""A network's layers for people and programs: the answers of REST, which the page shows."""

from __future__ import annotations

from fractions import Fraction
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.config import JsonDict

from fullconv.workbench.layers.examples import LAYER_EXAMPLE, SHEET_EXAMPLE
from fullconv.workbench.layers.filters import FilterView
from fullconv.workbench.layers.tiles import Scale

Pair = tuple[float, float]
Ends = tuple[int, int]


class Statistics(BaseModel):
    """A layer's numbers in short; see `Summary`.

    Args:
        mean, std, least, greatest: of all numbers. zeros: share that is exactly zero.
        constant: channels that hold one number everywhere.
        histogram: how many numbers lie in each of equal parts from least to greatest.
        broken: numbers that are not finite.
    """

    mean: float
    std: float
    least: float
    greatest: float
    zeros: float
    constant: int
    histogram: tuple[int, ...]
    broken: int


class LayerView(BaseModel):
    """A layer.

    Args:
        name: of its module, or of the operation inside one. operation: what it does.
        main: it has weights or a window, or moves cells; others are norms, activations, sums and the like.
        channels, rows, columns: of its result.
        kernel, step, padding, dilation: its own, rows and columns.
        parameters: numbers that it learns. multiply_adds: for this image.
        stride: pixels from one unit to the next. offset: centre of unit 0; pixel i has its centre at i.
        receptive_field: pixels that a unit reads, of the phase that reads most. All three are (rows, columns) of what
            the network gets, and none where units have no place on the image.
        whole: why its units read the whole image, or why it is not known what they read.
        statistics: of its result for this image.
        filters: it multiplies with weights that can be shown. fully_connected: it was fully connected before.
        channel_names: classes, where its channels are their scores.
    """

    model_config = ConfigDict(json_schema_extra={"example": LAYER_EXAMPLE})

    name: str
    operation: str
    main: bool
    channels: int
    rows: int
    columns: int
    kernel: Ends | None
    step: Ends | None
    padding: Ends | str | None
    dilation: Ends | None
    parameters: int
    multiply_adds: int
    stride: Pair | None
    offset: Pair | None
    receptive_field: Ends | None
    whole: tuple[str, ...]
    statistics: Statistics
    filters: bool
    fully_connected: bool
    channel_names: tuple[str, ...] | None


class LayersView(BaseModel):
    """A network as it sees one image.

    Args:
        model: of the store, or a run. head: the one that is looked at, where there are several. heads: all of them.
        image: as it was asked for. title: of it, for people. tag: changes with model and image: part of addresses.
        rows, columns: of the image. seen_rows, seen_columns: of what the network gets.
        summary: what is to be known of the network in sentences.
        layers: in the order in which they are computed.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "model": "streets",
                "head": None,
                "heads": [],
                "image": "dataset:streets:test/scene_00014",
                "title": "test/scene_00014 of streets",
                "tag": "5d7c0f1e9a3b4c2d8e",
                "rows": 360,
                "columns": 480,
                "seen_rows": 360,
                "seen_columns": 480,
                "summary": ["An output reads 217 pixels in every direction from its own place."],
                "layers": [LAYER_EXAMPLE],
            }
        }
    )

    model: str
    head: str | None
    heads: tuple[str, ...]
    image: str
    title: str
    tag: str
    rows: int
    columns: int
    seen_rows: int
    seen_columns: int
    summary: tuple[str, ...]
    layers: tuple[LayerView, ...]


class SheetView(BaseModel):
    """How tiles lie on a picture.

    Args:
        first: number of the first tile. count: tiles on this page. total: on all pages. pages: how many there are.
        across: tiles in a row. width, height: of a tile in pixels. gap: pixels between two.
        rows, columns: cells of a tile.
    """

    first: int
    count: int
    total: int
    pages: int
    across: int
    width: int
    height: int
    gap: int
    rows: int
    columns: int


class ChannelView(BaseModel):
    """One channel's numbers in short, and its class where it scores one."""

    channel: int
    mean: float
    std: float
    least: float
    greatest: float
    name: str | None = None


class ActivationsView(BaseModel):
    """A page of channels: where their tiles lie on the PNG of the same address, and their numbers."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "layer": "features.features.0",
                "scale": "channel",
                "sheet": SHEET_EXAMPLE,
                "channels": [{"channel": 0, "mean": 0.02, "std": 0.6, "least": -3.1, "greatest": 4.2, "name": None}],
            }
        }
    )

    layer: str
    scale: Scale
    sheet: SheetView
    channels: tuple[ChannelView, ...]


class FiltersView(BaseModel):
    """A page of filters.

    Args:
        layer: that they belong to. view: what a tile is. explanation: the same in a sentence.
        shape: of the weights: outputs, inputs of a group, rows, columns.
        of: number of the filter that is shown alone.
        fully_connected: the layer was fully connected before.
        sheet: where tiles lie on the PNG of the same address.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "layer": "features.features.0",
                "view": "colour",
                "explanation": "Each tile is a filter in colour.",
                "shape": [64, 3, 3, 3],
                "of": None,
                "fully_connected": False,
                "sheet": SHEET_EXAMPLE,
            }
        }
    )

    layer: str
    view: FilterView
    explanation: str
    shape: tuple[int, ...]
    of: int | None
    fully_connected: bool
    sheet: SheetView


class Side(BaseModel):
    """What a unit reads along rows or columns.

    Args:
        first, last: pixel of the image, both included; none where it reads nothing but padding.
        centre: of the unit on the image; pixel i has its centre at i.
        before, after: pixels of padding that it reads beyond the two ends of what the network gets.
    """

    first: int | None
    last: int | None
    centre: float
    before: int
    after: int


class OneUnit(BaseModel):
    """Which unit is meant.

    Args:
        layer, row, column, channel: its place.
    """

    layer: str
    row: int
    column: int
    channel: int


_ONE_UNIT: JsonDict = {"layer": "features.features.2", "row": 10, "column": 20, "channel": 3}


class UnitView(OneUnit):
    """A unit and the part of the image that it reads.

    Args:
        layer, row, column, channel: which unit.
        value: what it says for this image.
        rows, columns: of the image; none where units have no place on it.
        whole: why it reads the whole image, or why it is not known what it reads; it may then depend on every pixel.
        further: pixels that it may read beyond that, as its field goes over the image's edge and the network repeats
            outermost cells there.
        says: all of that in a sentence.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                **_ONE_UNIT,
                "value": 0.71,
                "rows": {"first": 40, "last": 46, "centre": 43.0, "before": 0, "after": 0},
                "columns": {"first": 80, "last": 86, "centre": 83.0, "before": 0, "after": 0},
                "whole": [],
                "further": 0,
                "says": "Reads 7×7 pixels: columns 80 to 86, rows 40 to 46.",
            }
        }
    )

    value: float | None
    rows: Side | None
    columns: Side | None
    whole: tuple[str, ...]
    further: int
    says: str


class InfluenceView(OneUnit):
    """How much every pixel moves a unit.

    Args:
        layer, row, column, channel: which unit.
        rows, columns: first and last pixel of the image between which the middle 95 % of its gradient lie.
        share: part of its field's area that they take, 0 to 1.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                **_ONE_UNIT,
                "rows": [41, 45],
                "columns": [81, 85],
                "share": 0.51,
            }
        }
    )

    rows: Ends | None
    columns: Ends | None
    share: float | None


class UnitsView(BaseModel):
    """The units of a layer that read a pixel.

    Args:
        layer: which.
        rows, columns: runs of them, first and last included; every unit in one of these rows and one of these columns.
        count: units that read it, of one channel. of: units that a channel has.
        whole: why all of them may depend on it.
    """

    layer: str
    rows: tuple[Ends, ...]
    columns: tuple[Ends, ...]
    count: int
    of: int
    whole: tuple[str, ...]


class PixelView(BaseModel):
    """A pixel, and who reads it, layer by layer."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "row": 120,
                "column": 200,
                "layers": [
                    {
                        "layer": "features.features.2",
                        "rows": [[29, 30]],
                        "columns": [[49, 50]],
                        "count": 4,
                        "of": 10800,
                        "whole": [],
                    }
                ],
            }
        }
    )

    row: int
    column: int
    layers: tuple[UnitsView, ...]


class SheetWish(BaseModel):
    """Which tiles, and how they are to lie.

    Args:
        page: of tiles, from 0. per_page: tiles on it. across: in a row. longest: pixels of a tile's longer side, about.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    page: Annotated[int, Field(ge=0, le=100_000)] = 0
    per_page: Annotated[int, Field(ge=1, le=256)] = 32
    across: Annotated[int, Field(ge=1, le=64)] = 8
    longest: Annotated[int, Field(ge=8, le=512)] = 128


Wanted = Literal["image/png", "application/json"]


def plain(pair: tuple[int | Fraction, int | Fraction] | None) -> Pair | None:
    """Fractions as decimal numbers."""
    return None if pair is None else (float(pair[0]), float(pair[1]))
