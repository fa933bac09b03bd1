"""REST: runs."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Body, Header, Path, Query, status
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import FileResponse, Response, StreamingResponse

from fullconv.workbench.annotations import Annotations
from fullconv.workbench.api.access import Bench
from fullconv.workbench.api.examples import CLONE, LOG, PAGE, SCORES, shows
from fullconv.workbench.api.sent_files import sent_file
from fullconv.workbench.services import run_ending, run_events, run_files, run_pictures, run_starting
from fullconv.workbench.services import runs as service
from fullconv.workbench.services.jobs import JobView, Log
from fullconv.workbench.services.listing import Listing, Page, listed
from fullconv.workbench.services.plans import PlanRequest
from fullconv.workbench.services.run_files import Checkpoint, Metrics
from fullconv.workbench.services.run_pictures import Progress, TruthView, View
from fullconv.workbench.services.run_starting import Clone, Started
from fullconv.workbench.services.runs import ChartFacts, RunView

router = APIRouter(prefix="/runs", tags=["runs"])
Name = Annotated[
    str,
    Path(
        description="Of the run's folder.",
        max_length=200,
        examples=["20260102-090000-streets-fcn4s-mobilenet_v2-features"],
    ),
]
Epoch = Annotated[int, Path(ge=1, le=10**9, description="As listed.")]
Place = Annotated[int, Path(ge=0, le=99, description="Of the image in the list, from 0.")]
Opacity = Annotated[float, Query(ge=0, le=1, allow_inf_nan=False, description="Of the classes over the image.")]
PICTURE: dict[int | str, dict[str, Any]] = {
    200: {"content": {"image/png": {}, "image/jpeg": {}}, "description": "The picture."}
}
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; sandbox"
"""A report holds all that it shows, and reaches nothing."""


class Resumption(BaseModel):
    """How a run goes on.

    Args:
        learning_rate: another peak rate from here on; none to keep it.
    """

    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": {"learning_rate": 0.001}})

    learning_rate: float | None = Field(default=None, gt=0, le=1000, allow_inf_nan=False)


@router.get("", responses=shows(PAGE))
def list_runs(bench: Bench, wanted: Annotated[Listing, Query()]) -> Page:
    """Runs, sorted and filtered; also those that the shell started."""
    return listed(bench, "run", wanted)


@router.post("", status_code=status.HTTP_201_CREATED)
def start_runs(bench: Bench, wanted: PlanRequest) -> Started:
    """Begin a run, or a group: a list where one value belongs makes a run of each of its values."""
    return run_starting.start_runs(bench, wanted.experiment)


@router.get("/{name}")
def read_run(bench: Bench, name: Name) -> RunView:
    """One run as it is now."""
    return service.run_of(bench, name)


@router.delete("/{name}", status_code=status.HTTP_204_NO_CONTENT)
def delete_run(bench: Bench, name: Name) -> None:
    """Remove a run with all its files; not while it goes on, and not what another run or a model needs."""
    run_ending.delete_run(bench, name)


@router.post("/{name}/abort", status_code=status.HTTP_202_ACCEPTED)
def abort_run(bench: Bench, name: Name) -> RunView:
    """Stop a run after the step in hand; it can go on later. Runs that a shell of this machine started hear it too."""
    return run_ending.abort_run(bench, name)


@router.post("/{name}/resume", status_code=status.HTTP_202_ACCEPTED)
def resume_run(bench: Bench, name: Name, how: Annotated[Resumption | None, Body()] = None) -> JobView:
    """Let a run go on from its last whole epoch, at another learning rate if wanted."""
    return run_starting.resume_run(bench, name, learning_rate=None if how is None else how.learning_rate)


@router.post("/{name}/retry", status_code=status.HTTP_201_CREATED)
def retry_run(bench: Bench, name: Name) -> Started:
    """Train the same plan once more from the start, as a run of its own."""
    return run_starting.retry_run(bench, name)


@router.get("/{name}/experiment", responses=shows(CLONE))
def clone_run(bench: Bench, name: Name) -> Clone:
    """The plan of a run as the start of another one: change it and send it to POST /runs."""
    return run_starting.clone_of(bench, name)


@router.put("/{name}/annotations")
def annotate_run(bench: Bench, name: Name, annotations: Annotations) -> Annotations:
    """Write tags and a note."""
    return service.annotate_run(bench, name, annotations)


@router.get("/{name}/metrics")
def read_metrics(
    bench: Bench,
    name: Name,
    after_step: Annotated[int | None, Query(ge=-1, le=10**12, description="Only rows of later steps.")] = None,
    after_row: Annotated[int, Query(ge=0, le=10**9, description="Only rows from this place on.")] = 0,
    split: Annotated[Literal["train", "val"] | None, Query(description="Only rows of this split.")] = None,
) -> Metrics:
    """What was measured: loss, learning rate, pixel accuracy, mean IoU, IoU of every class, time."""
    return run_files.metrics_of(bench, name, after_step=after_step, after_row=after_row, split=split)


@router.get("/{name}/charts")
def read_chart_facts(bench: Bench, name: Name) -> ChartFacts:
    """What charts show beside the numbers: classes with their colours, the commonest class's scores, the ceiling."""
    return service.chart_facts(bench, name)


@router.get(
    "/{name}/events",
    response_class=StreamingResponse,
    responses={200: {"content": {"text/event-stream": {}}, "description": "Server-sent events."}},
)
async def read_events(
    bench: Bench,
    name: Name,
    last_event_id: Annotated[str | None, Header(max_length=200, description="To go on from there.")] = None,
) -> StreamingResponse:
    """What happens, as it happens: status, metrics, warning, log, reset, end. The stream ends when the run does."""
    service.directory_of(bench, name)

    async def lines() -> AsyncIterator[str]:
        async for event in run_events.events_of(bench, name, last_event_id):
            if event is None:
                yield ": still here\n\n"
            else:
                yield f"id: {event.id}\nevent: {event.kind}\ndata: {json.dumps(event.data)}\n\n"

    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingResponse(lines(), media_type="text/event-stream", headers=headers)


@router.get("/{name}/log", responses=shows(LOG))
def read_log(
    bench: Bench, name: Name, offset: Annotated[int, Query(ge=0, le=2**62, description="In bytes.")] = 0
) -> Log:
    """What was said while it trained, from a place on."""
    return run_files.run_log(bench, name, offset)


@router.get("/{name}/checkpoints")
def list_checkpoints(bench: Bench, name: Name) -> list[Checkpoint]:
    """The checkpoints that there are."""
    return run_files.checkpoints_of(bench, name)


@router.get(
    "/{name}/checkpoints/{checkpoint}",
    response_class=FileResponse,
    responses={200: {"content": {"application/octet-stream": {}}, "description": "The file."}},
)
def download_checkpoint(
    bench: Bench, name: Name, checkpoint: Annotated[str, Path(max_length=200, examples=["best"])]
) -> FileResponse:
    """A checkpoint as a file: weights, and what going on with the training takes."""
    path = run_files.checkpoint_file(bench, name, checkpoint)
    return sent_file(path, name=f"{name}-{path.name}")


@router.get("/{name}/progress")
def read_progress(bench: Bench, name: Name) -> Progress:
    """Of which validation images and epochs there are predictions."""
    return run_pictures.progress_of(bench, name)


@router.get("/{name}/progress/truth/{place}", response_class=Response, responses=PICTURE)
def read_truth(bench: Bench, name: Name, place: Place, view: TruthView = "labels", opacity: Opacity = 0.5) -> Response:
    """The image of a place, or its truth: label PNG in the dataset's own ids, in colours, or over the image."""
    return _picture(run_pictures.truth_picture(bench, name, place, view, opacity))


@router.get("/{name}/progress/{epoch}/{place}", response_class=Response, responses=PICTURE)
def read_prediction(
    bench: Bench, name: Name, epoch: Epoch, place: Place, view: View = "labels", opacity: Opacity = 0.5
) -> Response:
    """What the network said of an image after an epoch: label PNG, in colours, over the image, or its errors."""
    return _picture(run_pictures.prediction_picture(bench, name, epoch, place, view, opacity))


@router.get(
    "/{name}/download",
    response_class=StreamingResponse,
    responses={200: {"content": {"application/zip": {}}, "description": "The archive."}},
)
def download_run(bench: Bench, name: Name) -> StreamingResponse:
    """Plan, numbers, log, report and model as a ZIP archive."""
    content = run_files.download_of(bench, name)
    headers = {"Content-Disposition": f'attachment; filename="{name}.zip"'}
    return StreamingResponse(content, media_type="application/zip", headers=headers)


@router.get(
    "/{name}/report/{file:path}",
    response_class=FileResponse,
    responses={
        200: {"content": {"text/html": {}, "application/json": {"example": SCORES}}, "description": "The file."}
    },
)
def read_report(
    bench: Bench, name: Name, file: Annotated[str, Path(max_length=200, examples=["report.html"])]
) -> FileResponse:
    """A file of the report: report.html, scores.json, figures/…"""
    path, media_type = run_files.report_file(bench, name, file)
    return sent_file(path, media_type=media_type, headers={"Content-Security-Policy": POLICY})


def _picture(content: bytes) -> Response:
    kind = "image/png" if content.startswith(b"\x89PNG") else "image/jpeg"
    return Response(content, media_type=kind, headers={"Cache-Control": "private, max-age=3600"})
