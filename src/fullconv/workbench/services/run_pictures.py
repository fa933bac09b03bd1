"""What a network said of a few validation images while it learnt, beside the images and their truth."""

from __future__ import annotations

import io
from functools import lru_cache
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from pydantic import BaseModel, ConfigDict

from fullconv.data.classes import ClassTable
from fullconv.data.dataset import Dataset
from fullconv.data.pictures import colorize, display_rgb, error_map, overlay
from fullconv.data.resizing import resize_image, resize_label, to_tensor
from fullconv.errors import FullconvError
from fullconv.training.progress_pictures import FOLDER, SHOWN_SIZE, kept_pictures, picture_path
from fullconv.workbench.refusals import NotThere
from fullconv.workbench.services.plan_parts import opened_dataset
from fullconv.workbench.services.runs import directory_of, learned_classes, plan_of
from fullconv.workbench.workbench import Workbench

View = Literal["labels", "overlay", "colors", "errors"]
TruthView = Literal["image", "labels", "overlay", "colors"]


class Progress(BaseModel):
    """Predictions on a few fixed validation images, epoch by epoch.

    Args:
        images: names of the images, in the order of their places.
        epochs: of which there are pictures; old ones are thinned out.
        version: changes when a run begins anew: part of the pictures' addresses.
    """

    model_config = ConfigDict(
        json_schema_extra={"example": {"images": ["val/0001", "val/0019"], "epochs": [1, 2, 4, 5], "version": 1024}}
    )

    images: list[str]
    epochs: list[int]
    version: int


def progress_of(bench: Workbench, name: str) -> Progress:
    """Of which images and epochs there are pictures."""
    directory = directory_of(bench, name)
    kept = kept_pictures(directory)
    images = sorted({key for keys in kept.values() for key in keys})
    folder = directory / FOLDER
    version = folder.stat().st_mtime_ns // 10**6 if folder.is_dir() else 0
    return Progress(images=images, epochs=list(kept), version=version)


def prediction_picture(bench: Workbench, name: str, epoch: int, place: int, view: View, opacity: float) -> bytes:
    """A prediction as PNG.

    Args:
        epoch, place: as `progress_of` lists them.
        view: "labels" in the dataset's own ids; "colors"; "overlay" over the image; "errors" against the truth.
        opacity: of the overlay.

    Raises:
        NotThere: there is no such picture, or the dataset is gone.
    """
    directory = directory_of(bench, name)
    path = picture_path(directory / FOLDER, epoch, _key(bench, name, place))
    try:
        content = path.read_bytes()
    except OSError:
        raise NotThere("there is no such picture", where=name, remedy="look at the list of epochs") from None
    if view == "labels":
        return content
    image, truth, present = _sample(bench, name, place)
    learned = learned_classes(directory, present)
    assert learned is not None
    labels = _indices(np.asarray(Image.open(io.BytesIO(content))), learned)
    if labels.shape != truth.shape:  # the files have changed since
        raise NotThere("the image has another size now", where=name, remedy="look at the labels alone")
    if view == "colors":
        return _png(colorize(labels, learned))
    if view == "errors":
        said = _as_present(learned, present)[labels]
        # Where it said what is no class any more, or several, nothing is right or wrong.
        known = np.where(said < len(present), truth, present.ignore_index)
        return _png(error_map(known, said, present))
    return _jpeg(overlay(image, labels, learned, opacity=opacity))


def truth_picture(bench: Workbench, name: str, place: int, view: TruthView, opacity: float) -> bytes:
    """The image of a place, or its truth, of the size of the predictions.

    Raises:
        NotThere: there is none, or the dataset is gone.
    """
    image, truth, classes = _sample(bench, name, place)
    if view == "image":
        return _jpeg(display_rgb(image))
    if view == "overlay":
        return _jpeg(overlay(image, truth, classes, opacity=opacity))
    if view == "colors":
        return _png(colorize(truth, classes))
    ids = Image.fromarray(np.ascontiguousarray(classes.own_ids(truth)))
    if ids.mode in ("L", "P"):
        ids.putpalette(classes.palette())
    stream = io.BytesIO()
    ids.save(stream, format="PNG")
    return stream.getvalue()


def _key(bench: Workbench, name: str, place: int) -> str:
    images = progress_of(bench, name).images
    if not 0 <= place < len(images):
        raise NotThere(f"there is no picture {place}", where=name, remedy=f"{len(images)} images are kept")
    return images[place]


def _sample(
    bench: Workbench, name: str, place: int
) -> tuple[npt.NDArray[Any], npt.NDArray[np.unsignedinteger], ClassTable]:
    """Image (H, W, C) and truth (H, W) as small as the predictions, and the classes."""
    key = _key(bench, name, place)
    plan = plan_of(directory_of(bench, name))
    try:
        data = opened_dataset(bench.home, plan.dataset)
        size = next(
            (record.size for record, sample in zip(data.records, data.samples, strict=True) if sample.key == key), None
        )
        if size is None:
            raise NotThere(f"the dataset has no image {key!r} any more", where=name, remedy="look at the labels alone")
        shown = SHOWN_SIZE.size(*plan.resize.size(*size))
        image, truth = _read(data, key, shown)
    except (FullconvError, OSError) as problem:
        if isinstance(problem, NotThere):
            raise
        raise NotThere("the dataset cannot be read any more", where=name, remedy="put its files back") from problem
    return image, truth, data.classes


@lru_cache(maxsize=16)
def _read(data: Dataset, key: str, shown: tuple[int, int]) -> tuple[npt.NDArray[Any], npt.NDArray[np.unsignedinteger]]:
    index = next(index for index, sample in enumerate(data.samples) if sample.key == key)
    image, truth = data.read(index)
    small = resize_image(to_tensor(image), shown).permute(1, 2, 0).numpy()
    return small, resize_label(torch.from_numpy(truth), shown).numpy()


def _indices(ids: npt.NDArray[Any], classes: ClassTable) -> npt.NDArray[np.unsignedinteger]:
    """The dataset's own ids → class indices; ids of no class are ignored."""
    table = np.full(65536, classes.ignore_index, dtype=classes.label_dtype)
    for index, entry in enumerate(classes.classes):
        table[entry.value] = index
    return np.asarray(table[ids])


def _as_present(learned: ClassTable, present: ClassTable) -> npt.NDArray[np.unsignedinteger]:
    """Index of a class that a run learned → of the one class that its pixels count as now; else ignored."""
    table = np.full(learned.ignore_index + 1, present.ignore_index, dtype=present.label_dtype)
    for index, entry in enumerate(learned.classes):
        alike = {
            place
            for place, other in enumerate(present.classes)
            if set(entry.codes) & set(other.codes) or (not entry.codes and entry.name == other.name)
        }
        if len(alike) == 1:
            table[index] = alike.pop()
    return table


def _png(picture: npt.NDArray[np.uint8]) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(picture).save(stream, format="PNG")
    return stream.getvalue()


def _jpeg(picture: npt.NDArray[np.uint8]) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(picture).save(stream, format="JPEG", quality=88)
    return stream.getvalue()
