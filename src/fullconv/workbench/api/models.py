"""REST: models."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, status
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response, StreamingResponse

from fullconv.workbench.annotations import Annotations
from fullconv.workbench.api.access import Bench
from fullconv.workbench.api.examples import PAGE, shows
from fullconv.workbench.api.predictions import Name, PackageKindQuery
from fullconv.workbench.services import model_files
from fullconv.workbench.services import models as service
from fullconv.workbench.services.listing import Listing, Page, listed_packages
from fullconv.workbench.services.model_views import ModelFacts
from fullconv.workbench.services.models import NAME_PATTERN, ModelChange
from fullconv.workbench.stored import PackageKind

router = APIRouter(prefix="/models", tags=["models"])
NewName = Annotated[str | None, Query(description="In the store; that of the file if not given.", pattern=NAME_PATTERN)]
BODY = {"content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}, "required": True}
ZIP: dict[int | str, dict[str, Any]] = {
    200: {"content": {"application/zip": {"schema": {"type": "string", "format": "binary"}}}, "description": "A zip."}
}


class PackageListing(Listing):
    """What a list of models shows.

    Args:
        kind: "model" for those of the store, "run" for those of runs; both if not given.
    """

    kind: PackageKind | None = None


class Copy(BaseModel):
    """A model to be made of another one.

    Args:
        name: of the new one.
    """

    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": {"name": "streets"}})

    name: Annotated[str, Field(pattern=NAME_PATTERN)]


@router.get("", responses=shows(PAGE))
def list_models(bench: Bench, wanted: Annotated[PackageListing, Query()]) -> Page:
    """Models of the store and of runs, sorted, filtered and in parts."""
    return listed_packages(bench, Listing(**wanted.model_dump(exclude={"kind"})), kind=wanted.kind)


@router.post(
    "",
    status_code=status.HTTP_201_CREATED,
    openapi_extra={"requestBody": BODY | {"description": "A zip with the files of one model package."}},
)
async def upload_model(bench: Bench, request: Request, name: NewName = None) -> ModelFacts:
    """Take a packed model into the store; all of it is looked at first, and nothing in it is run."""
    return await model_files.upload_package(bench, request.stream(), name=name)


@router.get("/{name}")
def read_model(bench: Bench, name: Name, kind: PackageKindQuery = None) -> ModelFacts:
    """A model: classes with their colours, scores, geometry, licence, history."""
    return service.model_facts(bench, name, kind)


@router.patch("/{name}")
def change_model(bench: Bench, name: Name, change: ModelChange, kind: PackageKindQuery = None) -> ModelFacts:
    """Give a model another name or licence."""
    return service.change_model(bench, name, change, kind=kind)


@router.delete("/{name}", status_code=status.HTTP_204_NO_CONTENT)
def delete_model(bench: Bench, name: Name) -> None:
    """Remove a model of the store that no run and no other model needs."""
    service.delete_model(bench, name)


@router.put("/{name}/annotations")
def annotate_model(bench: Bench, name: Name, annotations: Annotations, kind: PackageKindQuery = None) -> Annotations:
    """Write tags and a note; beside the run where the model is a run's."""
    return service.annotate_model(bench, name, annotations, kind=kind)


@router.post("/{name}/copies", status_code=status.HTTP_201_CREATED)
def copy_model(bench: Bench, name: Name, copy: Copy, kind: PackageKindQuery = None) -> ModelFacts:
    """Keep a model, such as a run's, under a name of its own in the store."""
    return service.copy_model(bench, name, copy.name, kind=kind)


@router.get("/{name}/package", response_class=Response, responses=ZIP)
def download_model(bench: Bench, name: Name, kind: PackageKindQuery = None) -> StreamingResponse:
    """The model as a zip that another workbench takes."""
    file_name, content = model_files.packed(bench, name, kind)
    headers = {"Content-Disposition": f'attachment; filename="{file_name}"'}
    return StreamingResponse(content, media_type="application/zip", headers=headers)
