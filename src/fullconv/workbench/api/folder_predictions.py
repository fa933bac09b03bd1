"""REST: predictions of folders, as jobs."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query, Request, status
from starlette.responses import Response, StreamingResponse

from fullconv.workbench.api.access import Bench
from fullconv.workbench.api.predictions import NAME, Head, PackageKindQuery
from fullconv.workbench.api.uploads import BODY, uploaded_images
from fullconv.workbench.services import folder_predictions as service
from fullconv.workbench.services.folder_predictions import FolderPredictionView, FolderWish
from fullconv.workbench.services.jobs import JobView

router = APIRouter(prefix="/predictions", tags=["predictions"])
Name = Annotated[str, Path(description="Of the prediction.", pattern=NAME, examples=["20260102-090000-streets"])]
_BINARY = {"schema": {"type": "string", "format": "binary"}}
_PICTURE: dict[int | str, dict[str, Any]] = {
    200: {"description": "The picture.", "content": {"image/png": _BINARY, "image/jpeg": _BINARY}}
}
_ARCHIVE: dict[int | str, dict[str, Any]] = {
    200: {"description": "The archive.", "content": {"application/zip": _BINARY}}
}


@router.post("", status_code=status.HTTP_201_CREATED)
def predict_folder(bench: Bench, wish: FolderWish) -> JobView:
    """Label all images of a folder of the server, as a job; its subject is `prediction:NAME`."""
    return service.predict_folder(bench, wish)


@router.post("/uploads", status_code=status.HTTP_201_CREATED, openapi_extra={"requestBody": BODY})
async def predict_uploads(
    request: Request,
    bench: Bench,
    model: Annotated[str, Query(description="Of the store, or a run.", pattern=NAME, examples=["streets"])],
    head: Head = None,
    kind: PackageKindQuery = None,
) -> JobView:
    """Label uploaded images, as a job; its subject is `prediction:NAME`."""
    async with uploaded_images(request, bench) as uploads:
        return await bench.predictor.beside(
            lambda: service.predict_uploads(bench, model, uploads, kind=kind, head=head)
        )


@router.get("")
def list_predictions(bench: Bench) -> list[FolderPredictionView]:
    """Predictions of many images, the newest first, without their images."""
    return service.list_predictions(bench)


@router.get("/{name}")
def read_prediction(
    bench: Bench,
    name: Name,
    offset: Annotated[int, Query(ge=0, le=2**31 - 1)] = 0,
    limit: Annotated[int, Query(ge=1, le=1000)] = 48,
) -> FolderPredictionView:
    """One of them, with a part of its images; while its job goes on, those that are done."""
    return service.prediction_of(bench, name, offset=offset, limit=limit)


@router.get("/{name}/images/{number}", responses=_PICTURE, response_class=Response)
def read_picture(
    bench: Bench,
    name: Name,
    number: Annotated[int, Path(ge=0, le=2**31 - 1)],
    view: Annotated[Literal["labels", "overlay"], Query(description="Label map, or overlay with a legend.")] = "labels",
    size: Annotated[
        int | None, Query(description="Longest side of an overlay, then a JPEG without legend.", ge=16, le=4096)
    ] = None,
) -> Response:
    """A picture of one of its images."""
    content, form = service.picture_of(bench, name, number, view, size)
    return Response(content, media_type=form, headers={"Cache-Control": "private, max-age=300"})


@router.get("/{name}/download", responses=_ARCHIVE, response_class=Response)
def download_prediction(bench: Bench, name: Name) -> Response:
    """Label maps, overlays and shares.csv as a ZIP archive."""
    headers = {"Content-Disposition": f'attachment; filename="{name}.zip"'}
    return StreamingResponse(service.download_of(bench, name), media_type="application/zip", headers=headers)


@router.delete("/{name}", status_code=status.HTTP_204_NO_CONTENT)
def delete_prediction(bench: Bench, name: Name) -> None:
    """Delete its pictures."""
    service.delete_prediction(bench, name)
