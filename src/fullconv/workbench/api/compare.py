"""REST: several models on the same images."""

from __future__ import annotations

import asyncio
from typing import Annotated

from anyio import to_thread
from fastapi import APIRouter, Path, Query, Response, status

from fullconv.workbench.api.access import Bench
from fullconv.workbench.api.dataset_images import PICTURE, PictureQuery, picture_answer
from fullconv.workbench.services import compare as service
from fullconv.workbench.services.compare_views import CompareRequest, CompareView, ImageComparisons, Order

router = APIRouter(prefix="/compare", tags=["compare"])
Id = Annotated[str, Path(description="Of the comparison.", pattern=r"^[0-9a-f]{16}$", examples=["5d7c0f1e9a3b4c2d"])]
Number = Annotated[int, Path(description="Of the image in the comparison.", ge=0, le=2**31 - 1, examples=[0])]
Side = Annotated[
    str,
    Path(
        description="truth, difference, the place of a model from 0 on, or its errors as errors-0.",
        pattern=r"^(truth|difference|(errors-)?[0-3])$",
        examples=["difference"],
    ),
]
Wait = Annotated[float, Query(ge=0, le=20, description="Seconds to wait for the end before answering.")]


@router.post("", status_code=status.HTTP_202_ACCEPTED)
async def compare_models(bench: Bench, request: CompareRequest, wait: Wait = 0.0) -> CompareView:
    """Let two to four models label the same images: scores, differences and pictures, under the id in the answer."""
    begun = await to_thread.run_sync(service.begin_comparison, bench, request)
    return await service.wait_for_comparison(bench, begun.id, wait) if wait else begun


@router.get("/{id}")
async def read_comparison(bench: Bench, id: Id, wait: Wait = 0.0) -> CompareView:
    """A comparison, as far as it is: scores of each model, per class, and where they differ."""
    return await service.wait_for_comparison(bench, id, wait)


@router.post("/{id}/cancel")
def cancel_comparison(bench: Bench, id: Id) -> CompareView:
    """End a comparison; what it found so far can still be looked at."""
    return service.cancel_comparison(bench, id)


@router.delete("/{id}", status_code=status.HTTP_204_NO_CONTENT)
def drop_comparison(bench: Bench, id: Id) -> None:
    """End and forget a comparison."""
    service.drop_comparison(bench, id)


@router.get("/{id}/images")
def list_images(
    bench: Bench,
    id: Id,
    order: Annotated[
        Order, Query(description="Where the models differ most, their own order, or where the last is better or worse.")
    ] = "differing",
    offset: Annotated[int, Query(ge=0, le=2**31 - 1)] = 0,
    limit: Annotated[int, Query(ge=1, le=1000)] = 50,
) -> ImageComparisons:
    """Images that are compared already, with the scores of each model."""
    return service.list_images(bench, id, order=order, offset=offset, limit=limit)


@router.get("/{id}/images/{number}/{side}/picture", response_class=Response, responses=PICTURE)
async def read_picture(
    bench: Bench, id: Id, number: Number, side: Side, query: Annotated[PictureQuery, Query()]
) -> Response:
    """A layer of what a model says, of the truth, or of where they differ: image, labels, borders, or all together."""
    loop = asyncio.get_running_loop()
    found = await loop.run_in_executor(
        bench.drawing.pool, lambda: service.picture_of(bench, id, number, side, query.wanted)
    )
    return picture_answer(found, keep=query.v is not None)
