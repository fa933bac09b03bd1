"""The images of a report: scaled down, encoded into the page, the worst and the best."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from fullconv.data.classes import ClassTable
from fullconv.data.pictures import Picture, colorize, display_rgb, error_map, overlay

LONGEST_SIDE = 640
"""Pixels; larger images are scaled down for the page, further where there are many of them."""

_IMAGES_AT_FULL_SIZE = 12


@dataclass(frozen=True, eq=False)
class ImageResult:
    """One image of a set with its truth and its prediction.

    Args:
        key: what the sample is called.
        image: (H, W, C) of any band count and type.
        truth: (H, W) contiguous class indices, ignore included.
        prediction: (H, W) contiguous class indices.
        pixel_accuracy: of this image alone.
        mean_iou: of this image alone.
    """

    key: str
    image: npt.NDArray[Any]
    truth: npt.NDArray[Any]
    prediction: npt.NDArray[Any]
    pixel_accuracy: float
    mean_iou: float


def worst_and_best(
    image_scores: Sequence[Mapping[str, Any]], count: int = 5, *, score: str = "mean_iou"
) -> tuple[list[str], list[str]]:
    """Keys of the images that score lowest and highest; in a set too small for both, none is named twice.

    Args:
        image_scores: one mapping per image with `key` and the score; an undefined score (None, NaN) is passed over.
        count: how many of each.
        score: which one decides.

    Returns:
        Keys of the worst, worst first, and of the best, best first.

    >>> worst_and_best([{"key": "a", "mean_iou": 0.2}, {"key": "b", "mean_iou": 0.9}, {"key": "c", "mean_iou": None}])
    (['a'], ['b'])
    """
    known = [entry for entry in image_scores if entry[score] is not None and not math.isnan(entry[score])]
    ordered = [entry["key"] for entry in sorted(known, key=lambda entry: (entry[score], entry["key"]))]
    worst = ordered[: min(count, (len(ordered) + 1) // 2)]
    best = ordered[::-1][: min(count, len(ordered) // 2)]
    return worst, best


def split_results(results: Sequence[ImageResult]) -> tuple[list[ImageResult], list[ImageResult]]:
    """The lower half by mean IoU, worst first, and the upper half, best first."""
    ordered = sorted(results, key=lambda result: (math.isnan(result.mean_iou), result.mean_iou, result.key))
    half = (len(ordered) + 1) // 2
    return ordered[:half], ordered[half:][::-1]


def longest_side(count: int) -> int:
    """Pixels of the longest side of each image where the page shows `count` of them: their sum stays about the same.

    >>> longest_side(4), longest_side(48)
    (640, 320)
    """
    return round(LONGEST_SIDE * math.sqrt(min(1.0, _IMAGES_AT_FULL_SIZE / max(1, count))))


def pictures_of(result: ImageResult, classes: ClassTable, longest: int = LONGEST_SIDE) -> dict[str, str]:
    """Image, overlay, prediction, truth and errors of one result as data URIs.

    Args:
        result: the image with its labels.
        classes: names and colours.
        longest: pixels of the longest side; labels are scaled without mixing.
    """
    height, width = result.truth.shape
    scale = min(1.0, longest / max(height, width))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    image = np.asarray(Image.fromarray(display_rgb(result.image)).resize(size, Image.Resampling.LANCZOS))
    rows = ((np.arange(size[1]) + 0.5) * height / size[1]).astype(np.intp)
    columns = ((np.arange(size[0]) + 0.5) * width / size[0]).astype(np.intp)
    truth, prediction = (labels[np.ix_(rows, columns)] for labels in (result.truth, result.prediction))
    return {
        "image": data_uri(image, "jpeg"),
        "overlay": data_uri(overlay(image, prediction, classes), "jpeg"),
        "prediction": data_uri(colorize(prediction, classes), "png"),
        "truth": data_uri(colorize(truth, classes), "png"),
        "errors": data_uri(error_map(truth, prediction, classes), "png"),
    }


def data_uri(picture: Picture, kind: str) -> str:
    """A picture as an address that holds it: "png" for flat colours, "jpeg" for photographs.

    >>> data_uri(np.zeros((1, 1, 3), dtype=np.uint8), "png")[:22]
    'data:image/png;base64,'
    """
    stream = io.BytesIO()
    if kind == "png":
        Image.fromarray(picture).save(stream, format="PNG", optimize=True)
    else:
        Image.fromarray(picture).save(stream, format="JPEG", quality=85)
    return f"data:image/{kind};base64,{base64.b64encode(stream.getvalue()).decode()}"
