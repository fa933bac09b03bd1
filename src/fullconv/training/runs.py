"""Run folders: making, finding and listing them."""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from itertools import count
from pathlib import Path

from fullconv.data.dataset import Dataset
from fullconv.data.description import FILE_NAME
from fullconv.errors import DataError, StorageError
from fullconv.files import staged_directory, write_atomically, write_document
from fullconv.networks.own_file import COPY, OwnFile, is_own_file, short_name
from fullconv.training.settings.experiment import Plan
from fullconv.training.status import FILE as STATUS
from fullconv.training.status import Status, write_status
from fullconv.workspace import Workspace

PLAN_FILE = "experiment.yaml"


def new_run(
    home: Workspace,
    dataset: str,
    plan: Plan,
    own: OwnFile | None = None,
    *,
    name: str | None = None,
    waiting: bool = False,
) -> Path:
    """A folder with the plan and the state "queued".

    Args:
        home: where it goes.
        dataset: its name.
        plan: what will run.
        own: the Python file of the network, which is copied into the folder.
        name: of the folder; made of the time, the dataset and the network if not given.
        waiting: another process will take it up.

    Raises:
        StorageError: the workspace cannot be written.
    """
    stem = name or run_name(dataset, plan.network)
    for number in count(1):
        directory = home.run(stem if number == 1 else f"{stem}-{number}")
        if directory.exists():
            continue
        try:
            with staged_directory(directory) as partial:
                write_document(partial / PLAN_FILE, plan)
                if own is not None:
                    write_atomically(partial / COPY, own.content)
                status = Status.waiting(epochs=plan.epochs) if waiting else Status.now("queued", epochs=plan.epochs)
                write_status(partial, status)
        except StorageError:
            if not directory.exists():
                raise
        else:
            return directory  # and else somebody made one of this name at the same moment
    raise AssertionError("unreachable")


def run_name(dataset: str, network: str) -> str:
    """The time, the dataset and the network in a name for a folder."""
    network = short_name(network).replace(".py:", "-") if is_own_file(network) else network
    return re.sub(r"[^A-Za-z0-9._-]+", "-", f"{datetime.now():%Y%m%d-%H%M%S}-{dataset}-{network}")[:90]


def find_run(run: str | Path, home: Workspace) -> Path:
    """The folder of a run, given as a folder or by name.

    Raises:
        StorageError: there is none.
    """
    for candidate in (Path(run).expanduser(), home.runs / str(run)):
        if (candidate / PLAN_FILE).is_file():
            return candidate
    raise StorageError("no such run", where=run, remedy="see `fullconv runs list`")


def list_runs(home: Workspace) -> list[Path]:
    """All run folders, oldest first."""
    return sorted(path.parent for path in home.runs.glob(f"[!.]*/{STATUS}"))


def stored_dataset(data: Dataset, home: Workspace) -> str:
    """A name under which a run can find the dataset again; it is saved in the workspace if it is not there yet."""
    for number in count(1):
        name = data.name if number == 1 else f"{data.name}-{number}"
        path = home.dataset(name) / FILE_NAME
        if not path.exists():
            replace(data, name=name).save(home)
            return name
        with suppress(DataError):  # one whose files are gone is another one
            if Dataset.load(path, home).fingerprint == data.fingerprint:
                return name
    raise AssertionError("unreachable")
