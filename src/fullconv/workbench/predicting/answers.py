"""A prediction in the forms that visitors ask for."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np
import tifffile
from pydantic import BaseModel, ConfigDict, Field

from fullconv.data.pictures import label_png
from fullconv.prediction.result import Prediction
from fullconv.workbench.predicting.polygons import MEDIA_TYPE as POLYGONS
from fullconv.workbench.predicting.polygons import polygons_of
from fullconv.workbench.predicting.predictor import Predicted

PNG, JSON, ZIP, NPZ, TIFF = "image/png", "application/json", "application/zip", "application/x-npz", "image/tiff"
FORMS = (PNG, JSON, POLYGONS, ZIP, NPZ, TIFF)
"""Media types of answers; the first is given to who asks for none."""
View = Literal["labels", "overlay"]


class Wish(BaseModel):
    """What kind of answer is wanted.

    Args:
        form: media type, one of `FORMS`.
        view: of pictures: label map with the dataset's own ids, or the image with the classes' colours over it.
        opacity: of the colours in an overlay.
        simplify: pixels by which the lines of polygons may differ from the borders.
        smallest: polygons of fewer pixels are left out.
    """

    model_config = ConfigDict(frozen=True)

    form: str = PNG
    view: View = "labels"
    opacity: float = Field(default=0.5, ge=0, le=1)
    simplify: float = Field(default=0.0, ge=0, le=1000)
    smallest: int = Field(default=0, ge=0, le=2**31 - 1)

    @property
    def needs_probabilities(self) -> bool:
        """Whether the answer holds the probability of every class."""
        return self.form in (NPZ, TIFF)


class ClassShare(BaseModel):
    """How much of an image a class covers.

    Args:
        index: of the class in the model. name, color: red, green, blue. value: the dataset's own id.
        pixels: how many. share: of all, 0 to 1.
    """

    index: int
    name: str
    color: tuple[int, int, int]
    value: int
    pixels: int
    share: float


class Timing(BaseModel):
    """Where the time went, in seconds.

    Args:
        decoding: reading the image. waiting: for the network's turn. network: computing.
    """

    decoding: float
    waiting: float
    network: float


class PredictionView(BaseModel):
    """What a model says of an image.

    Args:
        model: its name. head: of a model with several, the one that was asked.
        image: its name. width, height: pixels.
        classes: all of the model, with what each covers.
        seconds: that it took.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "model": "streets",
                "head": None,
                "image": "0001.jpg",
                "width": 480,
                "height": 360,
                "classes": [
                    {"index": 0, "name": "road", "color": [128, 64, 128], "value": 7, "pixels": 86400, "share": 0.5}
                ],
                "seconds": {"decoding": 0.004, "waiting": 0.0, "network": 0.11},
            }
        }
    )

    model: str
    head: str | None
    image: str
    width: int
    height: int
    classes: tuple[ClassShare, ...]
    seconds: Timing


class Unreadable(BaseModel):
    """An image among several that could not be used.

    Args:
        image: its name. problem: why.
    """

    image: str
    problem: str


def shares_of(prediction: Prediction) -> tuple[ClassShare, ...]:
    """What every class of the model covers."""
    counts = np.bincount(prediction.labels.ravel(), minlength=len(prediction.classes))
    return tuple(
        ClassShare(
            index=index,
            name=entry.name,
            color=entry.color,
            value=entry.value,
            pixels=int(counts[index]),
            share=float(counts[index] / prediction.labels.size),
        )
        for index, entry in enumerate(prediction.classes.classes)
    )


def view_of(found: Predicted, *, model: str, image: str) -> PredictionView:
    """The prediction in numbers."""
    height, width = found.prediction.labels.shape
    seconds = found.seconds
    return PredictionView(
        model=model,
        head=found.head,
        image=image,
        width=width,
        height=height,
        classes=shares_of(found.prediction),
        seconds=Timing(decoding=seconds.decoding, waiting=seconds.waiting, network=seconds.network),
    )


def written(prediction: Prediction, wish: Wish) -> bytes:
    """The prediction as a file: a picture, polygons, or the probabilities of all classes."""
    return _WRITERS[wish.form](prediction, wish)


def shares_table(rows: Sequence[tuple[str, PredictionView]]) -> str:
    """shares.csv: a row per image, a column per class."""
    names = [entry.name for entry in rows[0][1].classes]
    shares = [(name, *(f"{entry.share:.6f}" for entry in view.classes)) for name, view in rows]
    return table_text([("image", *names), *shares])


def table_text(rows: Sequence[Sequence[str]]) -> str:
    """Rows as CSV."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()


def _picture(prediction: Prediction, wish: Wish) -> bytes:
    if wish.view == "labels":
        return label_png(prediction.labels, prediction.classes)
    stream = io.BytesIO()
    prediction.overlay(wish.opacity).save(stream, "PNG", compress_level=4)
    return stream.getvalue()


def _polygons(prediction: Prediction, wish: Wish) -> bytes:
    found = polygons_of(prediction.labels, prediction.classes, simplify=wish.simplify, smallest=wish.smallest)
    return json.dumps(found, separators=(",", ":")).encode()


def _npz(prediction: Prediction, wish: Wish) -> bytes:
    """`probabilities` (classes, H, W) float32, `labels` (H, W) class indices, `ids` (H, W) own ids, `names`."""
    assert prediction.probabilities is not None
    stream = io.BytesIO()
    np.savez(
        stream,
        probabilities=prediction.probabilities,
        labels=prediction.labels,
        ids=prediction.ids,
        names=np.array(prediction.classes.names),
    )
    return stream.getvalue()


def _tiff(prediction: Prediction, wish: Wish) -> bytes:
    """A band of float32 per class, in the order of the classes."""
    assert prediction.probabilities is not None
    stream = io.BytesIO()
    tifffile.imwrite(
        stream,
        prediction.probabilities,
        photometric="minisblack",
        planarconfig="separate",
        compression="zlib",
        predictor=True,
    )
    return stream.getvalue()


_WRITERS: dict[str, Callable[[Prediction, Wish], bytes]] = {
    PNG: _picture,
    POLYGONS: _polygons,
    NPZ: _npz,
    TIFF: _tiff,
}
