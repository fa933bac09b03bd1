"""What visitors see of a trial, in numbers."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from fullconv.workbench.predicting.answers import ClassShare
from fullconv.workbench.stored import PackageKind


class TrialWish(BaseModel):
    """An image to be tried on a model.

    Args:
        model: of the store, or a run. kind: only there; the store first if not given.
        head: of a model with several; the first if not given.
        image: "dataset:NAME:KEY", "path:/folder/photo.jpg", or "upload:TOKEN" with a token that POST /images gave.
    """

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        json_schema_extra={"example": {"model": "streets", "image": "dataset:streets:test/scene_00017"}},
    )

    model: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")
    kind: PackageKind | None = None
    head: str | None = Field(default=None, max_length=200)
    image: str = Field(min_length=1, max_length=5000)


class TrialClass(ClassShare):
    """A class of the model in a trial.

    Args:
        truth: share of the image that it has in the truth, where that is known.
        iou: intersection over union with the truth; none where there is neither.
    """

    truth: float | None = None
    iou: float | None = None


class TrialView(BaseModel):
    """An image on a model.

    Args:
        id: to ask for it and its tiles.
        state: "computing", "done" or "failed". progress: 0 to 1. error: the sentence that ended it.
        model: its name. kind: "model" or "run". head: that was asked. heads: all, where there are several.
        image: as it was asked for. title: of it, for people.
        width, height: pixels. levels: of the pyramid, the last at full size. tile: pixels of a tile's side. frame: of
            neighbours around tiles of labels.
        classes: what each covers.
        undefined: share of the image where the truth is not known; none where there is no truth at all.
        missing: classes of the truth that the model does not have.
        pixel_accuracy, mean_iou: of this image, where the truth is known.
        seconds: that reading, waiting and computing took.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "id": "1kB3cXr0vS0pYw2mJdJx0q7a",
                "state": "done",
                "progress": 1.0,
                "error": None,
                "model": "streets",
                "kind": "model",
                "head": None,
                "heads": [],
                "image": "dataset:streets:test/scene_00017",
                "title": "test/scene_00017 of streets",
                "width": 480,
                "height": 360,
                "levels": 1,
                "tile": 512,
                "frame": 8,
                "classes": [
                    {
                        "index": 0,
                        "name": "road",
                        "color": [128, 64, 128],
                        "value": 7,
                        "pixels": 86400,
                        "share": 0.5,
                        "truth": 0.48,
                        "iou": 0.93,
                    }
                ],
                "undefined": 0.01,
                "missing": [],
                "pixel_accuracy": 0.96,
                "mean_iou": 0.71,
                "seconds": {"decoding": 0.01, "waiting": 0.0, "network": 0.12},
            }
        }
    )

    id: str
    state: Literal["computing", "done", "failed"] = "computing"
    progress: float = 0.0
    error: str | None = None
    model: str
    kind: PackageKind
    head: str | None
    heads: tuple[str, ...]
    image: str
    title: str
    width: int
    height: int
    levels: int
    tile: int
    frame: int
    classes: tuple[TrialClass, ...] = ()
    undefined: float | None = None
    missing: tuple[str, ...] = ()
    pixel_accuracy: float | None = None
    mean_iou: float | None = None
    seconds: dict[str, float] = Field(default_factory=dict)
