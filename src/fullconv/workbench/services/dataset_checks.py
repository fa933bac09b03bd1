"""Folders looked at before a dataset is made of them: what lies there, what is wrong with it, and how it would look."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from anyio import to_thread
from pydantic import BaseModel, ConfigDict

from fullconv.data.classes import ClassTable
from fullconv.data.dataset_paths import default_name
from fullconv.data.examination import Examination
from fullconv.data.inspection import Inspection, SampleDecoder
from fullconv.workbench.checks import Check
from fullconv.workbench.drawing import Picture, Wanted, table_version
from fullconv.workbench.folders import FolderRequest
from fullconv.workbench.refusals import NotThere
from fullconv.workbench.services.dataset_facts import FACTS_EXAMPLE, Facts, facts_of
from fullconv.workbench.services.dataset_folders import resolved
from fullconv.workbench.waiting import until
from fullconv.workbench.workbench import Workbench

PAIRS = 12
"""Pairs of image and label that are shown."""


class Pair(BaseModel):
    """An image with its label.

    Args:
        number: by which its picture is asked for. key: name. split: it would be in. width, height: pixels.
    """

    number: int
    key: str
    split: str
    width: int
    height: int


class CheckView(BaseModel):
    """A look at folders.

    Args:
        id: by which it is asked for.
        state: "looking" for files, "checking" every one of them, "done", "failed" or "cancelled".
        message: what is being done. progress: 0 to 1. seconds_left: as far as can be told.
        error: the sentence that ended it.
        name: that a dataset of it might have.
        explanation, pairs_found, unmatched: what was seen at the first look: how labels are read, images with a label,
            and files without partner.
        facts: everything, when it is done. pairs: some of the images, for a look.
        usable: whether a dataset can be made as things stand.
        version: of the classes and their colours, for addresses of pictures.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "id": "5d7c0f1e9a3b4c2d",
                "state": "done",
                "message": "",
                "progress": 1.0,
                "seconds_left": None,
                "error": None,
                "name": "streets",
                "explanation": FACTS_EXAMPLE["explanation"],
                "pairs_found": 140,
                "unmatched": 0,
                "facts": FACTS_EXAMPLE,
                "pairs": [{"number": 0, "key": "train/scene_00000", "split": "train", "width": 480, "height": 360}],
                "usable": True,
                "version": "0a1b2c3d4e5f",
            }
        }
    )

    id: str
    state: Literal["looking", "checking", "done", "failed", "cancelled"]
    message: str
    progress: float
    seconds_left: float | None
    error: str | None
    name: str
    explanation: str | None
    pairs_found: int | None
    unmatched: int | None
    facts: Facts | None
    pairs: tuple[Pair, ...]
    usable: bool
    version: str


def begin_check(bench: Workbench, request: FolderRequest) -> CheckView:
    """Begin to look at folders; nothing is written."""
    return view_of(bench.checks.begin(resolved(bench, request)))


def check_of(bench: Workbench, id: str) -> CheckView:
    """How far a check is, and what it found."""
    return view_of(bench.checks.get(id))


async def wait_for_check(bench: Workbench, id: str, seconds: float) -> CheckView:
    """The same, but as soon as it is done, or after some seconds."""
    check = bench.checks.get(id)
    await until(lambda: not check.running, seconds)
    return await to_thread.run_sync(view_of, check)


def choose_in_check(bench: Workbench, id: str, request: FolderRequest) -> CheckView:
    """The same files with other names, colours, merged or dropped classes, or splits: no file is opened.

    Args:
        request: all of it; whatever reads the files differently is refused.
    """
    check = bench.checks.get(id)
    check.choose(resolved(bench, request))
    return view_of(check)


def end_check(bench: Workbench, id: str) -> None:
    """Stop a check, and forget what it found."""
    bench.checks.drop(id)


def pair_picture(bench: Workbench, id: str, number: int, wanted: Wanted) -> Picture:
    """One of the pairs, drawn with the classes that were last chosen."""
    shown = bench.checks.get(id).shown
    if shown is None or not 0 <= number < len(shown.inspections):
        raise NotThere(f"there is no pair {number}", where=f"check {id}", remedy="wait until it is done")
    decoder = SampleDecoder.of(
        shown.found.format,
        shown.classes,
        unedited=shown.found.classes,
        unlabelled=shown.unlabelled,
        unknown="ignore",
        channels=shown.channels or None,
        dtype=shown.dtype if shown.dtype not in ("", "mixed") else None,
    )
    return bench.drawing.picture(shown.inspections[number].sample, decoder, table_version(shown.classes), wanted)


def view_of(check: Check) -> CheckView:
    """A check as visitors see it."""
    shown, scan = check.shown, check.scan
    return CheckView(
        id=check.id,
        state=check.state,
        message=check.message,
        progress=check.progress,
        seconds_left=check.seconds_left,
        error=None if check.error is None else str(check.error),
        name=default_name(Path(check.request.images)),
        explanation=None if scan is None else scan.format.explanation,
        pairs_found=None if scan is None else len(scan.samples),
        unmatched=None if scan is None else len(scan.unmatched_images) + len(scan.unmatched_labels),
        facts=None if shown is None else _facts(shown),
        pairs=() if shown is None else _pairs(shown),
        usable=shown is not None and not shown.errors and shown.statistics is not None,
        version="" if shown is None else table_version(shown.classes),
    )


def _facts(found: Examination) -> Facts:
    return facts_of(
        root=str(found.found.root),
        format=found.found.format,
        class_source=found.found.class_source,
        table=found.classes,
        statistics=found.statistics,
        channels=found.channels,
        dtype=found.dtype,
        unlabelled=found.unlabelled,
        edits=found.edits,
        problems=found.problems,
    )


def _pairs(found: Examination) -> tuple[Pair, ...]:
    """Some, spread evenly over the set."""
    count = len(found.inspections)
    numbers = range(count) if count <= PAIRS else [number * count // PAIRS for number in range(PAIRS)]
    return tuple(_pair(number, found.inspections[number], found.splits[number]) for number in numbers)


def _pair(number: int, one: Inspection, split: str) -> Pair:
    height, width = one.size or (0, 0)
    return Pair(number=number, key=one.sample.key, split=split, width=width, height=height)


def found_classes(bench: Workbench, id: str) -> ClassTable | None:
    """The classes as they are in the files, before all edits; none before the first look is over."""
    scan = bench.checks.get(id).scan
    return None if scan is None else scan.classes
