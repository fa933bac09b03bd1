"""Sets labelled by outlines: COCO and LabelMe."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from fullconv.data.labels import LabelReader
from fullconv.data.scan import Scan

SQUARE = [[2, 2, 8, 2, 8, 8, 2, 8]]


def photos(folder: Path, *names: str, size: tuple[int, int] = (12, 10)) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        Image.new("RGB", size).save(folder / name)


def coco(*annotations: dict[str, Any], images: tuple[str, ...] = ("a.jpg",), categories: Any = None) -> dict[str, Any]:
    return {
        "images": [{"id": n, "file_name": name, "height": 10, "width": 12} for n, name in enumerate(images)],
        "categories": categories or [{"id": 3, "name": "leaf"}, {"id": 5, "name": "spot"}],
        "annotations": [{"id": n, "image_id": 0, "category_id": 3, **own} for n, own in enumerate(annotations)],
    }


def write(path: Path, content: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))
    return path


def read(found: Scan, index: int = 0) -> np.ndarray:
    return LabelReader(found.format, found.classes).read(found.samples[index])


def labelme(*shapes: dict[str, Any], **more: object) -> dict[str, Any]:
    return {"version": "5.0", "imagePath": "a.jpg", "imageHeight": 10, "imageWidth": 12, "shapes": list(shapes), **more}


def shape(label: str, points: list[list[float]], kind: str = "polygon", **more: object) -> dict[str, Any]:
    return {"label": label, "points": points, "shape_type": kind, **more}


TRIANGLE = shape("spot", [[1, 1], [9, 1], [1, 8]])
