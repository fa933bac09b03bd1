"""REST: networks and their geometry."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query
from starlette.responses import Response

from fullconv.workbench.api.access import Bench
from fullconv.workbench.services import networks as service
from fullconv.workbench.services.networks import NetworkGeometry, NetworkView

router = APIRouter(prefix="/networks", tags=["networks"])
Name = Annotated[
    str,
    Path(description="As in a plan, or a classifier's.", max_length=300, examples=["fcn4s-mobilenet_v2-features"]),
]
Side = Annotated[int, Query(ge=32, le=1024, description="Pixels of the image that shapes and costs are for.")]
Classes = Annotated[int, Query(ge=1, le=1000, description="Scores of each pixel.")]


@router.get("")
def list_networks(
    search: Annotated[str, Query(max_length=100, description="Words that the name holds.")] = "",
    stride: Annotated[int | None, Query(ge=1, le=64, description="Only of this output stride.")] = None,
    exact: Annotated[bool, Query(description="Only those whose tiles are exact.")] = False,
) -> list[NetworkView]:
    """The catalogue: stride, reach, parameters, multiply-adds, and whether tiles are exact."""
    return service.list_catalogue(search, stride=stride, exact=exact)


@router.get("/{name}")
def read_network(
    bench: Bench, name: Name, height: Side = 224, width: Side = 224, classes: Classes = 21
) -> NetworkGeometry:
    """Layer by layer: windows, where the cells lie on the image, what they read, what they cost; then the reach."""
    return service.geometry_view(bench, name, size=(height, width), classes=classes)


@router.get(
    "/{name}/picture",
    response_class=Response,
    responses={200: {"content": {"image/svg+xml": {}}, "description": "The drawing."}},
)
def draw_network(bench: Bench, name: Name, height: Side = 224, width: Side = 224, classes: Classes = 21) -> Response:
    """The layers as a column, with strides and receptive fields to scale over a street, as SVG."""
    svg = service.network_picture(bench, name, size=(height, width), classes=classes)
    return Response(
        svg,
        media_type="image/svg+xml",
        headers={"Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; img-src data:"},
    )
