"""REST: datasets as a whole."""

from __future__ import annotations

from typing import Annotated

from anyio import to_thread
from fastapi import APIRouter, Path, Query, Request, Response, status
from pydantic import BaseModel, ConfigDict

from fullconv.data.class_edits import ClassEdits
from fullconv.workbench.annotations import Annotations
from fullconv.workbench.api.access import Bench
from fullconv.workbench.api.examples import PAGE, shows
from fullconv.workbench.folders import FolderRequest
from fullconv.workbench.services import dataset_checks, dataset_folders
from fullconv.workbench.services import datasets as service
from fullconv.workbench.services.dataset_checks import CheckView
from fullconv.workbench.services.dataset_folders import Uploaded
from fullconv.workbench.services.datasets import NAME_PATTERN, DatasetFacts, DatasetRequest
from fullconv.workbench.services.jobs import JobView
from fullconv.workbench.services.listing import Listing, Page, listed

router = APIRouter(prefix="/datasets", tags=["datasets"])
Name = Annotated[str, Path(description="Name of the dataset.", pattern=NAME_PATTERN, examples=["streets"])]
Wait = Annotated[float, Query(ge=0, le=20, description="Seconds to wait for the end before answering.")]


class ClassChange(BaseModel):
    """What becomes of other classes.

    Args:
        job: that counts everything again; none where only colours changed, which is done.
    """

    model_config = ConfigDict(json_schema_extra={"example": {"job": None}})

    job: JobView | None


@router.get("", responses=shows(PAGE))
def list_datasets(bench: Bench, wanted: Annotated[Listing, Query()]) -> Page:
    """Datasets, sorted, filtered and in parts."""
    return listed(bench, "dataset", wanted)


@router.post("", status_code=status.HTTP_202_ACCEPTED)
def create_dataset(bench: Bench, request: DatasetRequest) -> JobView:
    """Make a dataset of folders on the server, as a job."""
    return service.create_dataset(bench, request)


@router.post("/check", status_code=status.HTTP_202_ACCEPTED)
async def check_folders(bench: Bench, request: FolderRequest, wait: Wait = 2.0) -> CheckView:
    """Look at folders without writing anything: format, classes, splits, problems; goes on under /checks."""
    begun = await to_thread.run_sync(dataset_checks.begin_check, bench, request)
    return await dataset_checks.wait_for_check(bench, begun.id, wait)


@router.post(
    "/upload",
    status_code=status.HTTP_201_CREATED,
    openapi_extra={
        "requestBody": {
            "required": True,
            "description": "A zip or tar file with images and labels.",
            "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
        }
    },
)
async def upload_archive(bench: Bench, request: Request) -> Uploaded:
    """Unpack an archive on the server; its folder can then be checked and made a dataset."""
    return await dataset_folders.upload_archive(bench, request.stream())


@router.get("/{name}")
def read_dataset(bench: Bench, name: Name) -> DatasetFacts:
    """Classes with their shares, splits, numbers and problems of a dataset."""
    return service.dataset_facts(bench, name)


@router.delete("/{name}", status_code=status.HTTP_204_NO_CONTENT)
def delete_dataset(bench: Bench, name: Name) -> None:
    """Delete a dataset that no run names; images and labels in folders of the server stay."""
    service.delete_dataset(bench, name)


@router.put("/{name}/annotations")
def annotate_dataset(bench: Bench, name: Name, annotations: Annotations) -> Annotations:
    """Write tags and a note."""
    return service.annotate_dataset(bench, name, annotations)


@router.put("/{name}/classes")
def change_classes(bench: Bench, name: Name, edits: ClassEdits, response: Response) -> ClassChange:
    """Rename, merge, drop, keep or recolour classes, in place of all earlier edits; label files stay as they are."""
    job = service.change_classes(bench, name, edits)
    response.status_code = status.HTTP_200_OK if job is None else status.HTTP_202_ACCEPTED
    return ClassChange(job=job)
