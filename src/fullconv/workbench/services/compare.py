"""Several models on the same images: begun, looked at while it goes on, and drawn."""

from __future__ import annotations

import hashlib
from collections.abc import Hashable
from pathlib import Path

import numpy as np
from anyio import to_thread

from fullconv.data.differences import STATES, difference_states
from fullconv.data.stored_index import stamp_of_file
from fullconv.errors import PlanError
from fullconv.prediction.comparing import ComparedImage, ImageRow, Labels
from fullconv.prediction.comparison_facts import number
from fullconv.store.package import CARD, WEIGHTS, read_card
from fullconv.workbench.comparisons import ComparedModel, ImageSet, LiveComparison
from fullconv.workbench.drawing import MEDIA, Picture, Wanted, drawn_layer, table_version
from fullconv.workbench.predicting.opened import chosen_head
from fullconv.workbench.refusals import Conflict, NotThere
from fullconv.workbench.security.paths import allowed_path
from fullconv.workbench.services.compare_images import dataset_images, file_images, sampled
from fullconv.workbench.services.compare_views import (
    CompareRequest,
    CompareView,
    ImageComparison,
    ImageComparisons,
    Order,
    view_of,
)
from fullconv.workbench.services.predictions import package_of
from fullconv.workbench.waiting import until
from fullconv.workbench.workbench import Workbench


def begin_comparison(bench: Workbench, request: CompareRequest) -> CompareView:
    """Let models label the same images, in the background; the same question is not computed twice.

    Raises:
        PlanError: both or neither of dataset and files are given.
        NotThere, PackageError: there is no such model, dataset or file.
        Busy: others compare models at the moment.
    """
    if (request.dataset is None) == (not request.files):
        raise PlanError("give a dataset or files", where="dataset", remedy="name one of them, not both")
    if request.files and (request.keys or request.split):
        raise PlanError("belongs to a dataset", where="keys" if request.keys else "split", remedy="name a dataset")
    packages = tuple(_package(bench, name) for name in request.models)
    paths = tuple(allowed_path(bench.settings, path, where="files") for path in request.files)
    source: str = "" if request.dataset is None else bench.datasets.open(request.dataset).stored.stamp
    stamps = tuple(_stamp(model.package) for model in packages)
    key: Hashable = (request.model_dump_json(), source, stamps)

    def images() -> ImageSet:
        found = dataset_images(bench, request) if request.dataset is not None else file_images(bench, paths)
        return sampled(found, request)

    begun = bench.comparisons.begin(key, lambda: LiveComparison(packages, images, bench.predictor))
    return view_of(begun)


async def wait_for_comparison(bench: Workbench, id: str, seconds: float) -> CompareView:
    """The comparison when it has ended, or after some seconds, whichever comes first."""
    found = bench.comparisons.get(id)
    await until(lambda: not found.running, seconds)
    return await to_thread.run_sync(view_of, found)


def comparison_of(bench: Workbench, id: str) -> CompareView:
    """A comparison, as far as it is."""
    return view_of(bench.comparisons.get(id))


def cancel_comparison(bench: Workbench, id: str) -> CompareView:
    """End a comparison, which may take a moment; what it found so far can still be looked at."""
    found = bench.comparisons.get(id)
    found.cancel()
    return view_of(found)


def drop_comparison(bench: Workbench, id: str) -> None:
    """End and forget a comparison."""
    bench.comparisons.drop(id)


def list_images(
    bench: Workbench, id: str, *, order: Order = "differing", offset: int = 0, limit: int = 50
) -> ImageComparisons:
    """Images that are compared already.

    Args:
        order: those on which the models differ most, in their own order, or those on which the last model has a better,
            or a worse, mean IoU than the first.

    Raises:
        Conflict: better and worse need truth.
    """
    found = bench.comparisons.get(id)
    comparison = found.comparison
    if comparison is None or found.found is None:
        return ImageComparisons(images=(), total=0)
    with found.lock:
        rows = list(zip(found.numbers, comparison.rows, found.sizes, strict=True))
    if order in ("better", "worse") and not comparison.with_truth:
        raise Conflict("only scores tell which is better", where="order", remedy="compare on a dataset with labels")
    if order != "first":
        rows.sort(key=lambda row: (_rank(row[1], order), row[0]))
    in_dataset = found.found.numbers
    return ImageComparisons(
        images=tuple(
            ImageComparison(
                number=place,
                key=row.key,
                in_dataset=in_dataset[place] if in_dataset else None,
                width=width,
                height=height,
                disagreement=row.disagreement,
                pixel_accuracy=tuple(number(value) for value in row.pixel_accuracy),
                mean_iou=tuple(number(value) for value in row.mean_iou),
            )
            for place, row, (height, width) in rows[offset : offset + limit]
        ),
        total=len(rows),
    )


def picture_of(bench: Workbench, id: str, image: int, side: str, wanted: Wanted) -> Picture:
    """A layer of what one model says, of the truth, of a model's errors, or of the differences.

    Args:
        side: "truth", "difference", the place of a model from 0 on, or "errors-" with it.
    """
    found = bench.comparisons.get(id)
    seen = found.look(image)
    assert found.comparer is not None
    table = found.comparer.classes.table
    ignore = table.ignore_index
    if side == "difference":
        states = difference_states(seen.maps, seen.truth, ignore=ignore)
        content = drawn_layer(lambda: seen.image, lambda: states, STATES, wanted, where=seen.key)
    elif side.startswith("errors-"):
        wrong = difference_states([_map(seen, side.removeprefix("errors-"))], _truth(seen), ignore=ignore)
        content = drawn_layer(lambda: seen.image, lambda: wrong, STATES, wanted, where=seen.key)
    else:
        labels = _truth(seen) if side == "truth" else _map(seen, side)
        content = drawn_layer(lambda: seen.image, lambda: labels, table, wanted, where=seen.key)
    parts = f"{id} {image} {side} {table_version(table)} {wanted.model_dump_json()}"
    tag = hashlib.blake2b(parts.encode(), digest_size=12).hexdigest()
    return Picture(content, MEDIA[wanted.layer], tag)


def _rank(row: ImageRow, order: Order) -> float:
    if order == "differing":
        return -row.disagreement
    gain = float(np.nan_to_num(row.mean_iou[-1] - row.mean_iou[0]))
    return -gain if order == "better" else gain


def _map(seen: ComparedImage, place: str) -> Labels:
    if int(place) >= len(seen.maps):
        raise NotThere(f"there is no model {place}", where="compare", remedy=f"it has {len(seen.maps)}, from 0 on")
    return seen.maps[int(place)]


def _truth(seen: ComparedImage) -> Labels:
    if seen.truth is None:
        raise NotThere("these images have no truth", where="compare", remedy="compare on a dataset with labels")
    return seen.truth


def _package(bench: Workbench, text: str) -> ComparedModel:
    name, _, head = text.partition(":")
    package = package_of(bench, name)
    heads = read_card(package.directory).network.heads
    chosen = chosen_head(heads, head or None)
    return ComparedModel(text if chosen is None else f"{name}:{chosen}", package.directory, chosen)


def _stamp(package: Path) -> tuple[str, ...]:
    return tuple(stamp_of_file(package / name) for name in (CARD, WEIGHTS))
