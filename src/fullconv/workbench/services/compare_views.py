"""Comparisons as they are asked for and shown."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from fullconv.data.differences import difference_key
from fullconv.prediction.comparing import Comparison
from fullconv.prediction.comparison_facts import SCORES, class_rows, number
from fullconv.workbench.comparisons import LiveComparison, State
from fullconv.workbench.drawing import table_version

MOST_MODELS = 4
MODEL_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}(:[^\x00-\x1f:]{1,100})?$"
Text = Annotated[str, Field(min_length=1, max_length=4096)]
ModelText = Annotated[str, Field(pattern=MODEL_PATTERN)]
Order = Literal["differing", "first", "better", "worse"]


def _distinct(models: tuple[str, ...]) -> tuple[str, ...]:
    if len(set(models)) < len(models):
        raise ValueError("a model is named twice")
    return models


class CompareRequest(BaseModel):
    """Which models on which images.

    Args:
        models: of the store, or runs; one of several heads is named behind a colon, as "streets:geometric".
        dataset: a name in the workspace. split: of it; test if there is one, else val, if not given.
        keys: only these images of the dataset, as "test/0001"; of any split.
        files: images and folders on the server, without truth, in place of a dataset.
        sample: only so many of the images, drawn at random. seed: of the draw.
    """

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        json_schema_extra={"example": {"models": ["first", "second"], "dataset": "streets", "split": "test"}},
    )

    models: Annotated[tuple[ModelText, ...], Field(min_length=2, max_length=MOST_MODELS), AfterValidator(_distinct)]
    dataset: Text | None = None
    split: Literal["train", "val", "test"] | None = None
    keys: tuple[Text, ...] = Field(default=(), max_length=1000)
    files: tuple[Text, ...] = Field(default=(), max_length=100)
    sample: int | None = Field(default=None, ge=1, le=1_000_000)
    seed: int = Field(default=0, ge=0, le=2**31 - 1)


class ModelScores(BaseModel):
    """A model in a comparison.

    Args:
        name: as it was asked for. network: in the catalogue, or its file.
        pixel_accuracy, mean_accuracy, mean_iou, frequency_weighted_iou: over the images so far; none without truth.
    """

    name: str
    network: str
    pixel_accuracy: float | None
    mean_accuracy: float | None
    mean_iou: float | None
    frequency_weighted_iou: float | None


class ClassComparison(BaseModel):
    """A class in a comparison.

    Args:
        name, color: of it. share: of the pixels that bear it in the truth.
        predicted: share of the pixels that each model gives it. iou: of each model, none where it is not defined.
        difference: of the IoU (of the shares, without truth) of the last model and the first.
        lacking: who does not have it: names of models, and "truth".
    """

    name: str
    color: tuple[int, int, int]
    share: float | None
    predicted: tuple[float, ...]
    iou: tuple[float | None, ...]
    difference: float | None
    lacking: tuple[str, ...]


class PairDifference(BaseModel):
    """Two of the models.

    Args:
        models: their names. share: of the pixels on which they differ.
    """

    models: tuple[str, str]
    share: float


class KeyColor(BaseModel):
    """What a colour in the map of differences means."""

    color: tuple[int, int, int]
    meaning: str


class CompareView(BaseModel):
    """A comparison, as far as it is.

    Args:
        id: to ask for it. state: "opening" models and images, "comparing" them, or how it ended.
        message, progress, seconds_left: what is being done; progress from 0 to 1. error: the sentence that ended it.
        dataset, split: whose images; none for files. with_truth: whether there are scores.
        images: that there are. compared: so far. failed: that could not be used, with why, 100 at most.
        models: in the order in which they were asked for. classes: under their joint order.
        disagreement: share of the pixels on which not all models say the same. pairs: the same for two of them.
        key: colours of the map of differences. version: of the classes, for addresses of pictures.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "id": "5d7c0f1e9a3b4c2d",
                "state": "comparing",
                "message": "image 31 of 60",
                "progress": 0.5,
                "seconds_left": 12.0,
                "error": None,
                "dataset": "streets",
                "split": "test",
                "with_truth": True,
                "images": 60,
                "compared": 30,
                "failed": {},
                "models": [
                    {
                        "name": name,
                        "network": f"fcn{stride}s-mobilenet_v2",
                        "pixel_accuracy": 0.89,
                        "mean_accuracy": 0.71,
                        "mean_iou": score,
                        "frequency_weighted_iou": 0.81,
                    }
                    for name, stride, score in (("first", 32, 0.55), ("second", 8, 0.63))
                ],
                "classes": [
                    {
                        "name": "road",
                        "color": [128, 64, 128],
                        "share": 0.31,
                        "predicted": [0.33, 0.32],
                        "iou": [0.86, 0.91],
                        "difference": 0.05,
                        "lacking": [],
                    }
                ],
                "disagreement": 0.12,
                "pairs": [{"models": ["first", "second"], "share": 0.12}],
                "key": [{"color": [38, 50, 56], "meaning": "both right"}],
                "version": "5d7c0f1e9a3b",
            }
        }
    )

    id: str
    state: State
    message: str
    progress: float
    seconds_left: float | None
    error: str | None
    dataset: str | None = None
    split: str | None = None
    with_truth: bool = False
    images: int = 0
    compared: int = 0
    failed: dict[str, str] = {}
    models: tuple[ModelScores, ...] = ()
    classes: tuple[ClassComparison, ...] = ()
    disagreement: float = 0.0
    pairs: tuple[PairDifference, ...] = ()
    key: tuple[KeyColor, ...] = ()
    version: str = ""

    @property
    def running(self) -> bool:
        return self.state in ("opening", "comparing")


class ImageComparison(BaseModel):
    """An image in a comparison.

    Args:
        number: to ask for its pictures. key: its name. in_dataset: its number there. width, height: pixels.
        disagreement: share of its pixels on which not all models say the same.
        pixel_accuracy, mean_iou: of each model; empty without truth, none where nothing is defined.
    """

    number: int
    key: str
    in_dataset: int | None
    width: int
    height: int
    disagreement: float
    pixel_accuracy: tuple[float | None, ...]
    mean_iou: tuple[float | None, ...]


class ImageComparisons(BaseModel):
    """A part of the images. total: how many are compared so far."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "images": [
                    {
                        "number": 3,
                        "key": "test/scene_00014",
                        "in_dataset": 14,
                        "width": 480,
                        "height": 360,
                        "disagreement": 0.08,
                        "pixel_accuracy": [0.91, 0.93],
                        "mean_iou": [0.58, 0.63],
                    }
                ],
                "total": 20,
            }
        }
    )

    images: tuple[ImageComparison, ...]
    total: int


def view_of(found: LiveComparison) -> CompareView:
    """What visitors see of a comparison."""
    with found.lock:
        seen = found.comparison
        view = CompareView(
            id=found.id,
            state=found.state,
            message=found.message,
            progress=found.progress,
            seconds_left=found.seconds_left,
            error=None if found.error is None else str(found.error),
        )
        if seen is None or found.found is None:
            return view
        return view.model_copy(
            update={
                "dataset": found.found.dataset,
                "split": found.found.split,
                "with_truth": seen.with_truth,
                "images": len(found.found.subjects),
                "compared": len(seen.rows),
                "failed": dict(seen.failed[:100]),
                "models": _scores(found, seen),
                "classes": _classes(seen),
                "disagreement": seen.disagreement,
                "pairs": tuple(
                    PairDifference(models=(seen.names[one], seen.names[other]), share=seen.between(one, other))
                    for other in range(len(seen.names))
                    for one in range(other)
                ),
                "key": tuple(
                    KeyColor(color=color, meaning=said)
                    for color, said in difference_key(seen.names, truth=seen.with_truth)
                ),
                "version": table_version(seen.classes.table),
            }
        )


def _scores(found: LiveComparison, seen: Comparison) -> tuple[ModelScores, ...]:
    scores = seen.scores
    return tuple(
        ModelScores(
            name=name,
            network=card.network.name,
            **{field: number(getattr(scores[place], field)) if scores else None for field, _ in SCORES},
        )
        for place, (name, card) in enumerate(found.cards.items())
    )


def _classes(seen: Comparison) -> tuple[ClassComparison, ...]:
    return tuple(
        ClassComparison(
            name=row.name,
            color=row.color,
            share=row.share,
            predicted=row.shares,
            iou=tuple(number(value) for value in row.iou),
            difference=row.difference,
            lacking=row.lacking,
        )
        for row in class_rows(seen)
    )
