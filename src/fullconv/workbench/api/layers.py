"""REST: the layers of a model, for an image."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query, Request, status
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, ConfigDict

from fullconv.workbench.api.accept import best_form
from fullconv.workbench.api.access import Bench
from fullconv.workbench.api.predictions import NAME, PackageKindQuery
from fullconv.workbench.api.uploads import BODY, uploaded_images
from fullconv.workbench.layers.tiles import Scale
from fullconv.workbench.layers.views import (
    ActivationsView,
    FiltersView,
    InfluenceView,
    LayersView,
    PixelView,
    SheetWish,
    UnitView,
)
from fullconv.workbench.services import layer_pictures as pictures
from fullconv.workbench.services import layers as service
from fullconv.workbench.services.layer_pictures import PNG, LayerPicture
from fullconv.workbench.services.layers import Asked

JSON = "application/json"
router = APIRouter(tags=["layers"])


def _asked(
    name: Annotated[str, Path(description="A model of the store, or a run.", pattern=NAME, examples=["streets"])],
    image: Annotated[
        str,
        Query(
            description="shapes (a picture made by the program), dataset:NAME:KEY, path:/folder/photo.jpg, or "
            "upload:TOKEN with the token that POST /images gave.",
            min_length=1,
            max_length=5000,
            examples=["dataset:streets:scene_00017"],
        ),
    ] = "shapes",
    head: Annotated[
        str | None, Query(description="Of a model with several heads; the first if not given.", max_length=200)
    ] = None,
    kind: PackageKindQuery = None,
) -> Asked:
    return Asked(model=name, kind=kind, head=head, image=image)


def _sheet_wish(
    page: Annotated[int, Query(ge=0, le=100_000, description="Of tiles.")] = 0,
    per_page: Annotated[int, Query(ge=1, le=256, description="Tiles on a page.")] = 32,
    across: Annotated[int, Query(ge=1, le=64, description="Tiles in a row.")] = 8,
    longest: Annotated[int, Query(ge=8, le=512, description="Pixels of a tile's longer side, about.")] = 128,
) -> SheetWish:
    return SheetWish(page=page, per_page=per_page, across=across, longest=longest)


Wanted = Annotated[Asked, Depends(_asked)]
Sheets = Annotated[SheetWish, Depends(_sheet_wish)]
LayerName = Annotated[
    str, Path(description="Name of the layer.", min_length=1, max_length=400, examples=["features.features.0"])
]
Place = Annotated[int, Path(ge=0, le=2**31 - 1)]
Channel = Annotated[
    int | None, Query(ge=0, le=2**31 - 1, description="The one with the largest value there if not given.")
]
Scaling = Annotated[Scale, Query(description="Whether brightness is that of each channel or of the whole layer.")]
Version = Annotated[
    str | None, Query(max_length=64, description="The tag of the list of layers: the picture may then be kept.")
]
_BINARY = {"schema": {"type": "string", "format": "binary"}}


def _pictured(form: str = PNG) -> dict[int | str, dict[str, Any]]:
    return {200: {"description": "The picture.", "content": {form: _BINARY}}}


def _pictured_or_told(model: type[BaseModel]) -> dict[int | str, dict[str, Any]]:
    return {200: {"model": model, "description": "PNG, or JSON where Accept asks for it.", "content": {PNG: _BINARY}}}


class HeldImage(BaseModel):
    """An image that was uploaded to be looked at.

    Args:
        image: what to ask for it by.
    """

    model_config = ConfigDict(json_schema_extra={"example": {"image": "upload:1kB3cXr0vS0pYw2mJdJx0q7a"}})

    image: str


@router.post("/images", status_code=status.HTTP_201_CREATED, openapi_extra={"requestBody": BODY})
async def hold_image(request: Request, bench: Bench) -> HeldImage:
    """Upload an image to look at it layer by layer; it is kept for some hours, and changes nothing in the workspace."""
    async with uploaded_images(request, bench) as uploads:
        token = await service.hold_image(bench, uploads[0])
    return HeldImage(image=f"upload:{token}")


@router.get("/models/{name}/layers")
async def list_layers(bench: Bench, asked: Wanted) -> LayersView:
    """Every layer of a model: shape, window, stride, receptive field, and statistics of its result for an image."""
    return await service.list_layers(bench, asked)


@router.get("/models/{name}/input", responses=_pictured(), response_class=Response)
async def read_input(bench: Bench, asked: Wanted, v: Version = None) -> Response:
    """The image as it is shown beside its layers, no side longer than 1024 pixels."""
    return _sent(await pictures.shown_picture(bench, asked), v)


@router.get("/models/{name}/network", responses=_pictured("image/svg+xml"), response_class=Response)
async def read_network(bench: Bench, asked: Wanted, v: Version = None) -> Response:
    """The network as a column of layers, with strides and receptive fields to scale over the image; an SVG file."""
    return _sent(await pictures.drawn_network(bench, asked), v)


@router.get(
    "/models/{name}/layers/{layer}/activations", responses=_pictured_or_told(ActivationsView), response_class=Response
)
async def read_activations(
    request: Request,
    bench: Bench,
    asked: Wanted,
    layer: LayerName,
    sheet: Sheets,
    scale: Scaling = "channel",
    v: Version = None,
) -> Response:
    """A page of a layer's channels: a PNG of tiles, or where they lie and their numbers as JSON."""
    if best_form(request.headers.get("accept"), (PNG, JSON)).form == JSON:
        return _told(await pictures.activations(bench, asked, layer, sheet, scale))
    return _sent(await pictures.activations_picture(bench, asked, layer, sheet, scale), v)


@router.get("/models/{name}/layers/{layer}/activations/{channel}", responses=_pictured(), response_class=Response)
async def read_channel(
    bench: Bench, asked: Wanted, layer: LayerName, channel: Place, scale: Scaling = "channel", v: Version = None
) -> Response:
    """One channel of a layer: a PNG with a pixel for every unit."""
    return _sent(await pictures.channel_picture(bench, asked, layer, channel, scale), v)


@router.get("/models/{name}/layers/{layer}/filters", responses=_pictured_or_told(FiltersView), response_class=Response)
async def read_filters(
    request: Request,
    bench: Bench,
    asked: Wanted,
    layer: LayerName,
    sheet: Sheets,
    of: Annotated[
        int | None, Query(ge=0, le=2**31 - 1, description="Number of a filter: it alone, channel by channel.")
    ] = None,
    v: Version = None,
) -> Response:
    """A page of a layer's filters: a PNG of tiles, or what they are and where they lie as JSON."""
    told = best_form(request.headers.get("accept"), (PNG, JSON)).form == JSON
    view, picture = await pictures.filters(bench, asked, layer, sheet, of, draw=not told)
    return _told(view) if picture is None else _sent(picture, v)


@router.get("/models/{name}/layers/{layer}/units/{row}/{column}")
async def read_unit(
    bench: Bench, asked: Wanted, layer: LayerName, row: Place, column: Place, channel: Channel = None
) -> UnitView:
    """A unit: its value, and the part of the image that it reads."""
    return await service.unit_of(bench, asked, layer, row, column, channel)


@router.get(
    "/models/{name}/layers/{layer}/units/{row}/{column}/influence",
    responses=_pictured_or_told(InfluenceView),
    response_class=Response,
)
async def read_influence(
    request: Request,
    bench: Bench,
    asked: Wanted,
    layer: LayerName,
    row: Place,
    column: Place,
    channel: Channel = None,
    v: Version = None,
) -> Response:
    """How much every pixel moves a unit (its effective receptive field): a PNG, or its extent as JSON."""
    if best_form(request.headers.get("accept"), (PNG, JSON)).form == JSON:
        return _told((await service.influence_of(bench, asked, layer, row, column, channel))[0])
    return _sent(await pictures.influence_picture(bench, asked, layer, row, column, channel), v)


@router.get("/models/{name}/pixels/{row}/{column}")
async def read_pixel(bench: Bench, asked: Wanted, row: Place, column: Place) -> PixelView:
    """Which units of every layer read a pixel of the image."""
    return await service.pixel_of(bench, asked, row, column)


def _told(view: BaseModel) -> Response:
    return JSONResponse(view.model_dump(mode="json"), headers={"Vary": "Accept"})


def _sent(picture: LayerPicture, version: str | None) -> Response:
    """A picture; browsers may keep it where its address changes with its content."""
    kept = "private, max-age=86400, immutable" if version == picture.tag else "no-cache"
    return Response(picture.content, media_type=picture.form, headers={"Vary": "Accept", "Cache-Control": kept})
