"""REST: folders of the server, and what is seen in them before a dataset is made."""

from __future__ import annotations

import asyncio
from typing import Annotated

from fastapi import APIRouter, Path, Query, Response, status

from fullconv.workbench.api.access import Bench
from fullconv.workbench.api.dataset_images import PICTURE, Number, PictureQuery, picture_answer
from fullconv.workbench.api.datasets import Wait
from fullconv.workbench.folders import FolderRequest
from fullconv.workbench.security.paths import Listing, listing
from fullconv.workbench.services import dataset_checks as service
from fullconv.workbench.services.dataset_checks import CheckView

router = APIRouter(tags=["datasets"])
Id = Annotated[str, Path(description="Of the check.", pattern=r"^[0-9a-f]{16}$", examples=["5d7c0f1e9a3b4c2d"])]


@router.get("/folders")
def list_folders(
    bench: Bench, path: Annotated[str | None, Query(max_length=4096, description="The allowed roots if none.")] = None
) -> Listing:
    """The folders in a folder of the server, as far as they may be used."""
    return listing(bench.settings, path)


@router.get("/checks/{id}")
async def read_check(bench: Bench, id: Id, wait: Wait = 0.0) -> CheckView:
    """How far a check of folders is, and what it found; the last checks are kept for half an hour."""
    return await service.wait_for_check(bench, id, wait)


@router.post("/checks/{id}/choices")
def choose_in_check(bench: Bench, id: Id, request: FolderRequest) -> CheckView:
    """The same files with other class names, colours, merged or dropped classes, or splits; no file is opened."""
    return service.choose_in_check(bench, id, request)


@router.delete("/checks/{id}", status_code=status.HTTP_204_NO_CONTENT)
def end_check(bench: Bench, id: Id) -> None:
    """Stop a check and forget what it found."""
    service.end_check(bench, id)


@router.get("/checks/{id}/pairs/{number}/picture", response_class=Response, responses=PICTURE)
async def read_pair(bench: Bench, id: Id, number: Number, query: Annotated[PictureQuery, Query()]) -> Response:
    """An image with its label, as it would be in the dataset."""
    loop = asyncio.get_running_loop()
    found = await loop.run_in_executor(bench.drawing.pool, service.pair_picture, bench, id, number, query.wanted)
    return picture_answer(found, keep=query.v is not None)
