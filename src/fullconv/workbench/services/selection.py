"""The same done to several datasets, runs or models; what is refused for one of them is said, and the rest is done."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from fullconv.data.description import FILE_NAME as DATASET_FILE
from fullconv.errors import DataError, FullconvError, StorageError
from fullconv.store.package import CARD
from fullconv.training.status import FILE as STATUS_FILE
from fullconv.workbench.annotations import Annotations, read_annotations, write_annotations
from fullconv.workbench.refusals import NotThere
from fullconv.workbench.services.datasets import delete_dataset
from fullconv.workbench.services.models import delete_model
from fullconv.workbench.services.run_ending import abort_run, delete_run
from fullconv.workbench.workbench import Workbench

Kept = Literal["dataset", "run", "model"]


class Selection(BaseModel):
    """What is done to which.

    Args:
        kind: of the things.
        names: theirs.
        action: "abort" is for runs; "tag" and "untag" need a tag.
        tag: that is given or taken away.
    """

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        json_schema_extra={"example": {"kind": "run", "names": ["first", "second"], "action": "tag", "tag": "paper"}},
    )

    kind: Kept
    names: list[Annotated[str, Field(max_length=200)]] = Field(min_length=1, max_length=1000)
    action: Literal["abort", "delete", "tag", "untag"]
    tag: str | None = Field(default=None, min_length=1, max_length=40)


class Outcome(BaseModel):
    """What came of it for one of them.

    Args:
        name: of the thing. problem: why it was not done; none where it was.
    """

    name: str
    problem: str | None = None


def done_to(bench: Workbench, selection: Selection) -> list[Outcome]:
    """Do it to one after another.

    Raises:
        Forbidden: the workbench is read-only.
        DataError: the action is not for things of this kind, or lacks its tag.
    """
    bench.must_be_writable()
    if selection.action == "abort" and selection.kind != "run":
        raise DataError(f"{selection.kind}s cannot be aborted", where="action", remedy="choose runs")
    if selection.action in ("tag", "untag") and not (selection.tag or "").strip():
        raise DataError("is missing", where="tag", remedy="say which")
    act = _action(bench, selection)
    found = []
    for name in dict.fromkeys(selection.names):
        try:
            act(name)
            found.append(Outcome(name=name))
        except FullconvError as problem:
            found.append(Outcome(name=name, problem=str(problem)))
    bench.catalogue.refresh()
    return found


def _action(bench: Workbench, selection: Selection) -> Callable[[str], object]:
    kind, tag = selection.kind, (selection.tag or "").strip()
    match selection.action:
        case "tag":
            return lambda name: _tag(_directory(bench, kind, name), add=tag)
        case "untag":
            return lambda name: _tag(_directory(bench, kind, name), remove=tag)
        case "abort":
            return lambda name: abort_run(bench, name)
        case "delete":
            act = {"dataset": delete_dataset, "run": delete_run, "model": delete_model}[kind]
            return lambda name: act(bench, name)


def _directory(bench: Workbench, kind: Kept, name: str) -> Path:
    """Where one lies.

    Raises:
        NotThere: there is none of that name.
    """
    place, file = {
        "dataset": (bench.home.dataset, DATASET_FILE),
        "run": (bench.home.run, STATUS_FILE),
        "model": (bench.home.model, CARD),
    }[kind]
    with suppress(StorageError):
        directory = place(name)
        if (directory / file).is_file():
            return directory
    raise NotThere(f"there is no {kind} {name[:100]!r}", where=f"{kind}s", remedy="look at the list again")


def _tag(directory: Path, *, add: str = "", remove: str = "") -> None:
    old = read_annotations(directory)
    tags = tuple(tag for tag in (*old.tags, add) if tag and tag != remove)
    try:
        new = Annotations.model_validate(old.model_dump() | {"tags": tags})
    except ValidationError as problem:
        said = problem.errors()[0]["msg"].removeprefix("Value error, ")
        raise DataError(said, where="tag", remedy="use another tag, or take one away first") from None
    write_annotations(directory, new)
