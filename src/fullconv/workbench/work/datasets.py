"""Jobs that make datasets."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from fullconv.data.dataset import Dataset
from fullconv.workbench.jobs.kinds import JobContext, Payload


def create_dataset(payload: Payload, context: JobContext) -> dict[str, Any]:
    """Check folders and make a dataset of them.

    Args:
        payload: arguments of `Dataset.from_folders`; `uploaded`, the folder of an unpacked archive, which goes when
            that fails.
    """
    arguments = dict(payload)
    uploaded = arguments.pop("uploaded", None)
    context.reporter.say("looking at the files")
    try:
        with context.reporter.following():
            dataset = Dataset.from_folders(**arguments)
            dataset.save(context.home)
    except BaseException:
        if uploaded is not None:
            shutil.rmtree(Path(uploaded), ignore_errors=True)
        raise
    return {"dataset": dataset.name, "images": len(dataset)}
