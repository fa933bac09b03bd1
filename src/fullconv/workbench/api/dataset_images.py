"""REST: the images of a dataset, one by one."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import Field

from fullconv.workbench.api.access import Bench
from fullconv.workbench.api.datasets import Name
from fullconv.workbench.drawing import Picture, Wanted
from fullconv.workbench.folders import Split
from fullconv.workbench.services import dataset_images as service
from fullconv.workbench.services.dataset_images import ImageFacts, ImagePage, ImageQuery, Sort

router = APIRouter(prefix="/datasets/{name}", tags=["datasets"])
Number = Annotated[int, Path(description="Number of the image.", ge=0, le=2**31 - 1, examples=[17])]
ClassName = Annotated[str, Field(max_length=200)]
PICTURE: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The picture.",
        "content": {kind: {"schema": {"type": "string", "format": "binary"}} for kind in ("image/jpeg", "image/png")},
    },
    304: {"description": "The picture that the sender has is still right."},
}


class PictureQuery(Wanted):
    """How a sample is to be shown.

    Args:
        v: anything; with it, browsers keep the picture for some minutes without asking whether it is still right.
    """

    v: str | None = Field(default=None, max_length=64)

    @property
    def wanted(self) -> Wanted:
        return Wanted(**self.model_dump(exclude={"v"}))


@router.get("/images")
def list_images(
    bench: Bench,
    name: Name,
    classes: Annotated[
        list[ClassName] | None, Query(alias="class", max_length=100, description="Classes that are all in the image.")
    ] = None,
    split: Annotated[Split | None, Query(description="Only images of this split.")] = None,
    problem: Annotated[str | None, Query(max_length=60, description="Only images that it concerns.")] = None,
    search: Annotated[str, Query(max_length=200, description="Part of the name.")] = "",
    sort: Annotated[Sort, Query(description="Share is that of the first class asked for, else of ignored pixels.")] = (
        "name"
    ),
    offset: Annotated[int, Query(ge=0, le=2**31 - 1)] = 0,
    limit: Annotated[int, Query(ge=1, le=1000)] = 48,
) -> ImagePage:
    """Images that fit, sorted and in parts, with the share of each class."""
    query = ImageQuery(
        classes=tuple(classes or ()),
        split=split,
        problem=problem,
        search=search,
        sort=sort,
        offset=offset,
        limit=limit,
    )
    return service.list_images(bench, name, query)


@router.get("/copies")
def list_copies(bench: Bench, name: Name) -> tuple[tuple[ImageFacts, ...], ...]:
    """Images that show the same picture, group by group."""
    return service.copies_of(bench, name)


@router.get("/images/{number}")
def read_image(bench: Bench, name: Name, number: Number) -> ImageFacts:
    """One image: size, split, share of each class, problems."""
    return service.image_of(bench, name, number)


@router.get("/images/{number}/picture", response_class=Response, responses=PICTURE)
async def read_picture(
    bench: Bench, name: Name, number: Number, request: Request, query: Annotated[PictureQuery, Query()]
) -> Response:
    """An image, its labels in colour, their borders, or all together, in any size."""

    def drawn(known: str | None) -> Picture | str:
        tag = service.picture_tag(bench, name, number, query.wanted)
        return tag if tag == known else service.picture_of(bench, name, number, query.wanted)

    known = request.headers.get("if-none-match", "").removeprefix("W/").strip('"')
    found = await asyncio.get_running_loop().run_in_executor(bench.drawing.pool, drawn, known)
    return picture_answer(found, keep=query.v is not None)


def picture_answer(found: Picture | str, *, keep: bool) -> Response:
    """A picture as an answer, or 304 where only its tag is given.

    Args:
        keep: whether the browser may take it as it is for some minutes without asking.
    """
    tag = found if isinstance(found, str) else found.tag
    headers = {"ETag": f'"{tag}"', "Cache-Control": "private, max-age=600" if keep else "private, no-cache"}
    if isinstance(found, str):
        return Response(status_code=304, headers=headers)
    return Response(found.content, media_type=found.media_type, headers=headers)
