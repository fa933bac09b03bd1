"""REST: predictions at once."""

from __future__ import annotations

from pathlib import Path as FilePath
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request
from starlette.background import BackgroundTask
from starlette.responses import FileResponse, JSONResponse, Response

from fullconv.data.classes import ClassTable
from fullconv.workbench.api import examples
from fullconv.workbench.api.accept import best_form
from fullconv.workbench.api.access import Bench
from fullconv.workbench.api.uploads import BODY, uploaded_images
from fullconv.workbench.predicting.answers import FORMS, ZIP, PredictionView, View, Wish
from fullconv.workbench.predicting.polygons import MEDIA_TYPE as POLYGONS
from fullconv.workbench.services import predictions as service
from fullconv.workbench.services.predictions import Answer
from fullconv.workbench.stored import PackageKind

router = APIRouter(prefix="/models", tags=["predictions"])
NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$"
Name = Annotated[str, Path(description="A model of the store, or a run.", pattern=NAME, examples=["streets"])]
Head = Annotated[
    str | None, Query(description="Of a model with several heads; the first if not given.", max_length=200)
]
PackageKindQuery = Annotated[
    PackageKind | None,
    Query(description="Of the store, or of a run; the store's if both have one of that name and nothing is said."),
]
_PICTURE = {"schema": {"type": "string", "format": "binary"}}
_ANSWERS: dict[int | str, dict[str, Any]] = {
    200: {
        "model": PredictionView,
        "description": "In the form that Accept asks for: label map (the default) or overlay as PNG, numbers as JSON "
        "(a list for several images), polygons in pixel coordinates as GeoJSON, probabilities of all classes as npz "
        "(NumPy) or TIFF, or a ZIP archive with a picture per image and shares.csv.",
        "content": {form: _PICTURE for form in FORMS if form not in ("application/json", POLYGONS)}
        | {POLYGONS: {"schema": {"type": "object"}, "example": examples.POLYGONS}},
    }
}


@router.post("/{name}/predict", responses=_ANSWERS, openapi_extra={"requestBody": BODY}, response_class=Response)
async def predict(
    request: Request,
    bench: Bench,
    name: Name,
    head: Head = None,
    kind: PackageKindQuery = None,
    view: Annotated[
        View | None, Query(description="Of pictures: the label map, or the image with the classes' colours over it.")
    ] = None,
    opacity: Annotated[float, Query(description="Of the colours in an overlay.", ge=0, le=1)] = 0.5,
    simplify: Annotated[
        float, Query(description="Pixels by which lines of polygons may differ from the borders.", ge=0, le=1000)
    ] = 0.0,
    smallest: Annotated[int, Query(description="Polygons of fewer pixels are left out.", ge=0, le=2**31 - 1)] = 0,
) -> Response:
    """Label the pixels of an image, or of several.

    The answer is a label PNG with the dataset's own ids and colours, unless the header Accept asks for another form:
    `image/png; view=overlay`, `application/json`, `application/geo+json`, `application/x-npz`, `image/tiff`, or
    `application/zip`, the default for several images.
    """
    # The place comes first: while none is free, nobody's files are written to the disk.
    with bench.predictor.place():
        async with uploaded_images(request, bench) as uploads:
            forms = FORMS if len(uploads) == 1 else (ZIP, *FORMS)
            accepted = best_form(request.headers.get("accept"), forms)
            chosen = view or ("overlay" if accepted.parameters.get("view") == "overlay" else "labels")
            wish = Wish(form=accepted.form, view=chosen, opacity=opacity, simplify=simplify, smallest=smallest)
            made = await service.predict_images(bench, name, uploads, wish, head, kind=kind)
    if not isinstance(made, Answer):
        content = (
            made.model_dump(mode="json")
            if isinstance(made, PredictionView)
            else [part.model_dump(mode="json") for part in made]
        )
        return JSONResponse(content, headers={"Vary": "Accept"})
    return _sent(made)


@router.get("/{name}/classes")
def read_classes(bench: Bench, name: Name, head: Head = None, kind: PackageKindQuery = None) -> ClassTable:
    """The classes of a model: names, colours and the ids that its label maps bear."""
    return service.classes_of(bench, name, head, kind=kind)


def _sent(made: Answer) -> Response:
    headers = {"Vary": "Accept"}
    if made.seconds is not None:
        headers["Server-Timing"] = ", ".join(
            f"{what};dur={1000 * getattr(made.seconds, what):.1f}"
            for what in ("decoding", "waiting", "network", "encoding")
        )
    if isinstance(made.content, FilePath):
        path = made.content
        away = BackgroundTask(lambda: path.unlink(missing_ok=True))
        return FileResponse(path, media_type=made.form, filename="predictions.zip", headers=headers, background=away)
    return Response(made.content, media_type=made.form, headers=headers)
