"""Jobs that make datasets, and change their classes."""

from __future__ import annotations

from typing import Any

from fullconv.data.class_edits import ClassEdits
from fullconv.data.dataset import Dataset
from fullconv.data.stored_index import keep_examined
from fullconv.errors import DataError
from fullconv.workbench.folders import FolderRequest
from fullconv.workbench.jobs.kinds import JobContext, Payload


def create_dataset(payload: Payload, context: JobContext) -> dict[str, Any]:
    """Check folders and make a dataset of them.

    Args:
        payload: `name`, and the fields of a `FolderRequest`. What was uploaded stays where this fails, so that it can
            be tried again with other options.
    """
    options = dict(payload)
    name = options.pop("name")
    context.reporter.say("looking at the files")
    if context.home.dataset(name).exists():
        raise DataError(f"a dataset named {name!r} exists already", where="name", remedy="choose another name")
    with context.reporter.following():
        examination = FolderRequest.model_validate(options).examined()
    context.reporter.say("writing", 1.0)
    dataset = Dataset.from_examination(examination, name=name)
    dataset.save(context.home)
    keep_examined(context.home, dataset, examination)
    return {"dataset": dataset.name, "images": len(dataset)}


def change_classes(payload: Payload, context: JobContext) -> dict[str, Any]:
    """Give a dataset other classes and count it again; it stays as it is where that fails.

    Args:
        payload: `dataset`, its name; `edits`, fields of `ClassEdits` in place of those that it has.
    """
    context.reporter.say("looking at the labels")
    with context.reporter.following():
        edits = ClassEdits.model_validate(payload["edits"])
        dataset = Dataset.change_classes(context.home.dataset(payload["dataset"]), edits, context.home)
    return {"dataset": dataset.name, "classes": list(dataset.classes.names)}
