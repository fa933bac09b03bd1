"""Predictions at once: an image or several, in the form that is asked for."""

from __future__ import annotations

import asyncio
import os
import tempfile
import zipfile
from collections.abc import Coroutine, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from fullconv.data.classes import ClassTable
from fullconv.errors import DataError, FullconvError
from fullconv.files import disk_errors
from fullconv.store.package import CARD, read_card
from fullconv.workbench.predicting.answers import (
    JSON,
    PNG,
    ZIP,
    PredictionView,
    Unreadable,
    Wish,
    shares_table,
    table_text,
    view_of,
    written,
)
from fullconv.workbench.predicting.images import Upload
from fullconv.workbench.predicting.opened import chosen_head
from fullconv.workbench.predicting.predictor import Predicted, Seconds
from fullconv.workbench.refusals import NotThere, TooLarge, Unsupported
from fullconv.workbench.stored import PackageKind
from fullconv.workbench.workbench import Workbench

Made = TypeVar("Made")
AT_ONCE = 3
"""Images of one request that are worked on at the same time: one is read, one computed, one written."""
PROBLEMS = "problems.csv"


@dataclass(frozen=True)
class Package:
    """A model that can predict.

    Args:
        name: in the store, or of the run. kind: which of the two.
        directory: of the package.
    """

    name: str
    kind: PackageKind
    directory: Path


@dataclass(frozen=True)
class Answer:
    """What a visitor gets.

    Args:
        content: the bytes; a file to send, which then goes, where they are many.
        form: media type.
        seconds: that it took; none for several images.
    """

    content: bytes | Path
    form: str
    seconds: Seconds | None = None


def package_of(bench: Workbench, name: str, kind: PackageKind | None = None) -> Package:
    """A model of the store, or that of a run.

    Args:
        name: the store's if both have one of that name.
        kind: only there.

    Raises:
        NotThere: there is none, or the run has not got that far.
    """
    places: dict[PackageKind, Path] = {"model": bench.home.model(name), "run": bench.home.run(name) / "model"}
    for found, directory in places.items():
        if kind in (None, found) and (directory / CARD).is_file():
            return Package(name, found, directory)
    if kind != "model" and bench.home.run(name).is_dir():
        raise NotThere("this run has no model yet", where=name, remedy="wait until it is done")
    raise NotThere("no model or run has that name", where=name, remedy="look at the list of models")


def classes_of(bench: Workbench, name: str, head: str | None = None, *, kind: PackageKind | None = None) -> ClassTable:
    """The classes of a model: names, colours and the dataset's own ids."""
    card = read_card(package_of(bench, name, kind).directory)
    chosen = chosen_head(card.network.heads, head)
    return card.classes[str(chosen)] if isinstance(card.classes, dict) else card.classes


async def predict_images(
    bench: Workbench,
    name: str,
    uploads: Sequence[Upload],
    wish: Wish,
    head: str | None = None,
    *,
    kind: PackageKind | None = None,
) -> Answer | PredictionView | list[PredictionView | Unreadable]:
    """Label images that came with a request, which has a place in the queue.

    Args:
        name: of a model or run.
        uploads: one or more.
        wish: the form of the answer.
        head: of a model with several. kind: as `package_of`.

    Raises:
        NotThere: no such model.
        PackageError: it cannot be opened, or has no such head.
        DataError: the image, or all of several, cannot be read or used.
        Unsupported: several images, and a form that holds one.
        Busy: too many large images wait already.
    """
    package = package_of(bench, name, kind)
    needed = await bench.predictor.beside(lambda: _decoded_at_once(bench, uploads))
    with bench.predictor.memory.taken(needed):
        if wish.form == ZIP:
            return await _zipped(bench, package, uploads, wish, head)
        if len(uploads) == 1:
            return await _one(bench, package, uploads[0], wish, head)
        if wish.form == JSON:
            return await _several(bench, package, uploads, head)
    raise Unsupported(
        f"{wish.form} holds one image, and {len(uploads)} came",
        where="Accept",
        remedy=f"ask for {ZIP} or {JSON}, or send them one by one",
    )


def _decoded_at_once(bench: Workbench, uploads: Sequence[Upload]) -> int:
    """Bytes of the largest images that may be in the memory at the same time."""
    sizes = []
    for upload in uploads:
        try:
            sizes.append(upload.decoded_bytes(bench.settings.limits))
        except (DataError, TooLarge):
            if len(uploads) == 1:
                raise
    return sum(sorted(sizes)[-AT_ONCE:])


async def _one(
    bench: Workbench, package: Package, upload: Upload, wish: Wish, head: str | None
) -> Answer | PredictionView:
    def answer(found: Predicted) -> bytes | PredictionView:
        if wish.form == JSON:
            return view_of(found, model=package.name, image=upload.name)
        return written(found.prediction, wish)

    made, seconds = await bench.predictor.predict(
        package.directory,
        head,
        lambda model: upload.pixels_for(model, bench.settings.limits),
        answer,
        probabilities=wish.needs_probabilities,
    )
    return made if isinstance(made, PredictionView) else Answer(made, wish.form, seconds)


async def _several(
    bench: Workbench, package: Package, uploads: Sequence[Upload], head: str | None
) -> list[PredictionView | Unreadable]:
    room = asyncio.Semaphore(AT_ONCE)

    async def one(upload: Upload) -> PredictionView | Unreadable:
        async with room:
            try:
                made = await _one(bench, package, upload, Wish(form=JSON), head)
            except (DataError, TooLarge) as problem:
                return Unreadable(image=upload.name, problem=problem.problem)
        assert isinstance(made, PredictionView)
        return made

    return await _together(map(one, uploads))


async def _zipped(
    bench: Workbench, package: Package, uploads: Sequence[Upload], wish: Wish, head: str | None
) -> Answer:
    """A picture per image, shares.csv, and problems.csv where images could not be used."""
    room = asyncio.Semaphore(AT_ONCE)
    names = _distinct_stems([upload.name for upload in uploads])
    picture = wish.model_copy(update={"form": PNG})
    suffix = "_overlay.png" if wish.view == "overlay" else ".png"
    handle, path = tempfile.mkstemp(suffix=".zip", dir=bench.scratch.folder("answers"))
    views: dict[str, PredictionView] = {}
    problems: list[tuple[str, FullconvError]] = []
    try:
        with disk_errors(path), os.fdopen(handle, "wb") as stream, zipfile.ZipFile(stream, "w") as archive:
            writing = asyncio.Lock()

            async def one(upload: Upload, name: str) -> None:
                def answer(found: Predicted) -> tuple[bytes, PredictionView]:
                    view = view_of(found, model=package.name, image=upload.name)
                    return written(found.prediction, picture), view

                async with room:
                    try:
                        (content, view), _ = await bench.predictor.predict(
                            package.directory,
                            head,
                            lambda model: upload.pixels_for(model, bench.settings.limits),
                            answer,
                        )
                    except (DataError, TooLarge) as problem:
                        problems.append((upload.name, problem))
                        return
                    views[name] = view
                    async with writing:
                        await bench.predictor.beside(lambda: archive.writestr(name + suffix, content))

            await _together(map(one, uploads, names))
            if not views:
                raise problems[0][1]
            rows = [(name, views[name]) for name in names if name in views]
            archive.writestr("shares.csv", shares_table(rows))
            if problems:
                unreadable = [(image, problem.problem) for image, problem in problems]
                archive.writestr(PROBLEMS, table_text([("image", "problem"), *unreadable]))
    except BaseException:
        Path(path).unlink(missing_ok=True)
        raise
    return Answer(Path(path), ZIP)


async def _together(works: Iterable[Coroutine[Any, Any, Made]]) -> list[Made]:
    """What all of them return; where one fails, none goes on, and its error is raised."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(work) for work in works]
    except BaseExceptionGroup as problems:
        raise problems.exceptions[0] from None
    return [task.result() for task in tasks]


def _distinct_stems(names: Sequence[str]) -> list[str]:
    """A stem for every name, with a number where two are the same.

    >>> _distinct_stems(["a.png", "a.jpg", "b.png"])
    ['a', 'a-2', 'b']
    """
    taken: set[str] = set()
    found = []
    for name in names:
        stem = Path(name).stem or name
        number, distinct = 1, stem
        while distinct.lower() in taken:
            number += 1
            distinct = f"{stem}-{number}"
        taken.add(distinct.lower())
        found.append(distinct)
    return found
