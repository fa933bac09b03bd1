"""Predictions of many images as jobs: asked for, looked at, taken away."""

from __future__ import annotations

import csv
import io
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image
from pydantic import BaseModel, ConfigDict, Field

from fullconv.data.images import IMAGE_SUFFIXES, image_info, read_image
from fullconv.store.package import read_card
from fullconv.workbench.jobs.waiting_runs import planning
from fullconv.workbench.predicting.images import NAMELESS, Upload
from fullconv.workbench.predicting.opened import chosen_head
from fullconv.workbench.refusals import Conflict, NotThere
from fullconv.workbench.security.paths import allowed_path
from fullconv.workbench.security.pictures import checked_image
from fullconv.workbench.services.jobs import JobView
from fullconv.workbench.services.predictions import package_of
from fullconv.workbench.stored import (
    RESULTS,
    SHARES,
    UPLOADS,
    Failed,
    PackageKind,
    StoredPrediction,
    add_stored,
    all_stored,
    directory_of,
    now,
    read_stored,
)
from fullconv.workbench.workbench import Workbench
from fullconv.workbench.zipping import zipped

SUBJECT = "prediction:"
"""Jobs work on this and its name."""


class FolderWish(BaseModel):
    """A folder to be predicted.

    Args:
        model: of the store, or a run. kind: only there; the store first if not given.
        head: of a model with several; the first if not given.
        folder: of the server, with all folders in it.
        probabilities: of all classes are written too, as NumPy files.
    """

    model_config = ConfigDict(
        frozen=True, extra="forbid", json_schema_extra={"example": {"model": "streets", "folder": "/home/ada/photos"}}
    )

    model: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")
    kind: PackageKind | None = None
    head: str | None = Field(default=None, max_length=200)
    folder: str = Field(min_length=1, max_length=5000)
    probabilities: bool = False


class PredictedImage(BaseModel):
    """An image that was predicted.

    Args:
        number: to ask for its pictures. name: from the folder on, without its ending.
        shares: of the classes that occur, 0 to 1.
    """

    number: int
    name: str
    shares: dict[str, float]


class FolderPredictionView(BaseModel):
    """Many images on a model.

    Args:
        name: of it. model: that predicts. kind: of the store, or of a run. head: that was asked.
        source: the folder; none where images were uploaded.
        created: ISO 8601. done: it is finished. job: the latest that does it; none where the server was
            killed before it came into the queue, or its job was forgotten.
        total: images that are predicted so far. images: a part of them.
        failed: images that could not be used.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "name": "20260102-090000-streets",
                "model": "streets",
                "kind": "model",
                "head": None,
                "source": "/home/ada/photos",
                "created": "2026-01-02T09:00:00+00:00",
                "done": True,
                "job": 12,
                "total": 1,
                "images": [{"number": 0, "name": "cat", "shares": {"road": 0.4, "sky": 0.6}}],
                "failed": [],
            }
        }
    )

    name: str
    model: str
    kind: PackageKind
    head: str | None
    source: str | None
    created: str
    done: bool
    job: int | None
    total: int
    images: tuple[PredictedImage, ...]
    failed: tuple[Failed, ...]


def predict_folder(bench: Workbench, wish: FolderWish) -> JobView:
    """Label all images of a folder, as a job; its `subject` names the prediction."""
    bench.must_be_writable()
    source = allowed_path(bench.settings, wish.folder, kind="folder", where="folder")
    with planning(bench.home):
        return _start(bench, wish.model, wish.kind, wish.head, source, probabilities=wish.probabilities)


def predict_uploads(
    bench: Workbench,
    model: str,
    uploads: Sequence[Upload],
    *,
    kind: PackageKind | None = None,
    head: str | None = None,
) -> JobView:
    """Label uploaded images, as a job; the files are moved into the workspace."""
    bench.must_be_writable()
    for upload in uploads:
        checked_image(upload.path, bench.settings.limits, where=upload.name)
    with planning(bench.home):
        return _start(bench, model, kind, head, None, uploads=uploads)


def _start(
    bench: Workbench,
    model: str,
    kind: PackageKind | None,
    head: str | None,
    source: Path | None,
    *,
    uploads: Sequence[Upload] = (),
    probabilities: bool = False,
) -> JobView:
    package = package_of(bench, model, kind)
    asked = StoredPrediction(
        model=package.name,
        kind=package.kind,
        head=chosen_head(read_card(package.directory).network.heads, head),
        source=None if source is None else str(source),
        probabilities=probabilities,
        created=now(),
    )
    name = add_stored(bench.home, asked, package.name)
    directory = directory_of(bench.home, StoredPrediction, name)
    try:
        _keep(uploads, directory / UPLOADS)
        what = f"{len(uploads)} images" if source is None else source.name
        job = bench.queue.add(
            "predict",
            title=f"{package.name} on {what}",
            payload={"name": name, "roots": [] if source is None else [str(r) for r in bench.settings.allowed_roots]},
            subject=f"{SUBJECT}{name}",
            device="either",
        )
    except BaseException:
        if not bench.queue.may_have(f"{SUBJECT}{name}"):
            shutil.rmtree(directory, ignore_errors=True)
        raise
    return JobView.of(job)


def list_predictions(bench: Workbench) -> list[FolderPredictionView]:
    """All of them, the newest first, without their images."""
    jobs = bench.queue.latest(SUBJECT)
    return [_view(bench, name, asked, jobs, images=()) for name, asked in all_stored(bench.home, StoredPrediction)]


def prediction_of(bench: Workbench, name: str, *, offset: int = 0, limit: int = 48) -> FolderPredictionView:
    """One of them with a part of its images; while its job goes on, those that are done."""
    rows = _rows(bench, name)
    part = rows[offset : offset + limit]
    asked = read_stored(bench.home, StoredPrediction, name)
    return _view(bench, name, asked, bench.queue.latest(f"{SUBJECT}{name}"), images=part, total=len(rows))


def picture_of(
    bench: Workbench, name: str, number: int, view: Literal["labels", "overlay"], size: int | None
) -> tuple[bytes, str]:
    """A picture of a predicted image, and its media type.

    Args:
        view: label map with the dataset's own ids, or overlay with a legend.
        size: of an overlay without its legend, the longest side in pixels; as it was written if not given.

    Raises:
        NotThere: there is no such image.
    """
    rows = _rows(bench, name)
    if not 0 <= number < len(rows):
        raise NotThere(f"there is no image {number}", where=name, remedy=f"it has {len(rows)} images")
    results = directory_of(bench.home, StoredPrediction, name) / RESULTS
    suffix = ".png" if view == "labels" else "_overlay.png"
    path = results / f"{rows[number].name}{suffix}"
    if not path.resolve().is_relative_to(results.resolve()) or not path.is_file():
        raise NotThere("its picture is gone", where=rows[number].name, remedy="predict it again")
    if size is None or view == "labels":
        return path.read_bytes(), "image/png"
    labels = image_info(results / f"{rows[number].name}.png")
    overlay = read_image(path)[: labels.height, : labels.width, :3]  # the legend lies to the right
    small = Image.fromarray(np.ascontiguousarray(overlay))
    small.thumbnail((size, size))
    stream = io.BytesIO()
    small.save(stream, "JPEG", quality=85)
    return stream.getvalue(), "image/jpeg"


def download_of(bench: Workbench, name: str) -> Iterator[bytes]:
    """Label maps, overlays and shares.csv as a ZIP archive, piece by piece."""
    results = directory_of(bench.home, StoredPrediction, name) / RESULTS
    files = [path for path in sorted(results.rglob("[!.]*")) if path.is_file()]
    return zipped((path, f"{name}/{path.relative_to(results).as_posix()}") for path in files)


def delete_prediction(bench: Workbench, name: str) -> None:
    """Delete its pictures.

    Raises:
        Conflict: its job is still open.
    """
    bench.must_be_writable()
    directory = directory_of(bench.home, StoredPrediction, name)
    with bench.queue.adding() as step:  # nobody does it again meanwhile
        if step.open_jobs([f"{SUBJECT}{name}"]):
            raise Conflict("its job is still open", where=name, remedy="abort it first")
        gone = bench.scratch.set_aside(directory)
    shutil.rmtree(gone, ignore_errors=True)


def _keep(uploads: Sequence[Upload], folder: Path) -> None:
    """Move uploads under their own names; a number tells equal ones apart."""
    taken: set[str] = set()
    for upload in uploads:
        folder.mkdir(parents=True, exist_ok=True)
        stem, suffix = Path(upload.name).stem.lstrip(".") or NAMELESS, Path(upload.name).suffix
        suffix = suffix if suffix.lower() in IMAGE_SUFFIXES else ".png"  # what it really is, its content tells
        number, name = 1, f"{stem}{suffix}"
        while name.lower() in taken:
            number += 1
            name = f"{stem}-{number}{suffix}"
        taken.add(name.lower())
        shutil.move(upload.path, folder / name)


def _view(
    bench: Workbench,
    name: str,
    asked: StoredPrediction,
    jobs: Mapping[str, int],
    *,
    images: Sequence[PredictedImage],
    total: int | None = None,
) -> FolderPredictionView:
    return FolderPredictionView(
        name=name,
        total=len(_rows(bench, name)) if total is None else total,
        images=tuple(images),
        job=jobs.get(f"{SUBJECT}{name}"),
        **asked.model_dump(exclude={"format", "probabilities", "failed"}),
        failed=asked.failed,
    )


def _rows(bench: Workbench, name: str) -> list[PredictedImage]:
    path = directory_of(bench.home, StoredPrediction, name) / RESULTS / SHARES
    if not path.is_file():
        return []
    with path.open(encoding="utf-8", newline="") as stream:
        lines = [row for row in csv.reader(stream) if row]
    if not lines:
        return []
    names = lines[0][1:]
    found: list[PredictedImage] = []
    for row in lines[1:]:
        if len(row) != len(lines[0]):
            continue  # the last one is being written
        shares = {title: float(share) for title, share in zip(names, row[1:], strict=True) if float(share) > 0}
        found.append(PredictedImage(number=len(found), name=row[0], shares=shares))
    return found
