"""REST: weight files in the store, start values for runs."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request, status
from starlette.responses import FileResponse, Response

from fullconv.workbench.api.access import Bench
from fullconv.workbench.api.examples import PAGE, shows
from fullconv.workbench.api.models import BODY, NewName
from fullconv.workbench.api.sent_files import sent_file
from fullconv.workbench.services import model_files
from fullconv.workbench.services import weights as service
from fullconv.workbench.services.listing import Listing, Page, listed
from fullconv.workbench.services.models import NAME_PATTERN
from fullconv.workbench.services.weights import WeightsChange, WeightsFacts

router = APIRouter(prefix="/weights", tags=["models"])
Name = Annotated[str, Path(description="Of stored weights.", pattern=NAME_PATTERN, examples=["vgg16-imagenet"])]
FileName = Annotated[
    str,
    Query(
        description="What the file is called; its ending must be .safetensors.",
        max_length=200,
        examples=["vgg16.safetensors"],
    ),
]
FILE: dict[int | str, dict[str, Any]] = {
    200: {
        "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
        "description": "A safetensors file.",
    }
}


@router.get("", responses=shows(PAGE))
def list_weights(bench: Bench, wanted: Annotated[Listing, Query()]) -> Page:
    """Stored weights, sorted, filtered and in parts."""
    return listed(bench, "weights", wanted)


@router.post(
    "",
    status_code=status.HTTP_201_CREATED,
    openapi_extra={"requestBody": BODY | {"description": "A .safetensors file."}},
)
async def upload_weights(bench: Bench, request: Request, file: FileName, name: NewName = None) -> WeightsFacts:
    """Take a .safetensors file that runs can start from; pickles, such as .pth files, are refused."""
    return await model_files.upload_weights(bench, request.stream(), file_name=file, name=name)


@router.get("/{name}")
def read_weights(bench: Bench, name: Name) -> WeightsFacts:
    """Stored weights: size, origin, licence, and which runs start from them."""
    return service.weights_facts(bench, name)


@router.patch("/{name}")
def change_weights(bench: Bench, name: Name, change: WeightsChange) -> WeightsFacts:
    """Give stored weights another name or licence."""
    return service.change_weights(bench, name, change)


@router.delete("/{name}", status_code=status.HTTP_204_NO_CONTENT)
def delete_weights(bench: Bench, name: Name) -> None:
    """Remove stored weights that no run needs."""
    service.delete_weights(bench, name)


@router.get("/{name}/file", response_class=Response, responses=FILE)
def download_weights(bench: Bench, name: Name) -> FileResponse:
    """The weights as a safetensors file."""
    return sent_file(service.file_of(bench, name), name=f"{name}.safetensors")
