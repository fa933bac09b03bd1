"""REST: an image on a model, with the tiles that the page Test shows."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path, status
from starlette.responses import Response

from fullconv.workbench.api.access import Bench
from fullconv.workbench.services import trials as service
from fullconv.workbench.trials.kept import IDENTIFIER
from fullconv.workbench.trials.pyramid import Layer
from fullconv.workbench.trials.views import TrialView, TrialWish

router = APIRouter(prefix="/trials", tags=["predictions"])
Identifier = Annotated[
    str, Path(description="Of the trial.", pattern=IDENTIFIER, examples=["1kB3cXr0vS0pYw2mJdJx0q7a"])
]
Place = Annotated[int, Path(ge=0, le=2**20)]
_TILE: dict[int | str, dict[str, Any]] = {
    200: {"description": "The tile.", "content": {"image/png": {"schema": {"type": "string", "format": "binary"}}}}
}


@router.post("", status_code=status.HTTP_201_CREATED)
async def open_trial(bench: Bench, wish: TrialWish) -> TrialView:
    """Label an image to look at it piece by piece.

    An image of up to four million pixels is done with the answer; ask for a larger one again until its state is "done".
    """
    return await service.open_trial(bench, wish)


@router.get("/{identifier}")
def read_trial(bench: Bench, identifier: Identifier) -> TrialView:
    """What is known of it: shares of classes, and scores where the truth is known."""
    return service.trial_of(bench, identifier)


@router.get("/{identifier}/tiles/{layer}/{level}/{column}/{row}", responses=_TILE, response_class=Response)
def read_tile(bench: Bench, identifier: Identifier, layer: Layer, level: Place, column: Place, row: Place) -> Response:
    """A tile of 512×512 pixels; level 0 is the smallest.

    Layer "image" is the picture. In "labels" and "truth", red + 256 · green is the class, 65535 where there is none,
    and blue how sure the network is, 0 to 255; they have a frame of 8 more pixels on every side.
    """
    content = service.tile_of(bench, identifier, layer, level, column, row)
    # A trial never changes, and its name is never given again.
    return Response(content, media_type="image/png", headers={"Cache-Control": "private, max-age=86400, immutable"})
