"""Where a dataset lies, and what it is called."""

from __future__ import annotations

import re
from pathlib import Path

from fullconv.data.description import FILE_NAME
from fullconv.errors import DataError
from fullconv.workspace import Workspace


def description_path(where: str | Path, workspace: Workspace) -> Path:
    """The dataset.yaml that a path or a name in the workspace means.

    Raises:
        DataError: there is none; the sentence lists the names that exist.
    """
    path = expanded(where)
    if path.is_file():
        return path
    if (path / FILE_NAME).is_file():
        return path / FILE_NAME
    if path.name == str(where) and (workspace.datasets / path.name / FILE_NAME).is_file():
        return workspace.datasets / path.name / FILE_NAME
    names = ", ".join(dataset_names(workspace)) or "none yet"
    raise DataError(
        "no such dataset", where=where, remedy=f"in {workspace.datasets} are: {names}; fullconv data create makes one"
    )


def expanded(path: str | Path) -> Path:
    """A path with `~` as the home folder.

    Raises:
        DataError: `~name` of a user that does not exist.
    """
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        raise DataError("there is no such user", where=path, remedy="write the whole path") from error


def dataset_names(workspace: Workspace) -> list[str]:
    """Names of the datasets in a workspace, in alphabetical order."""
    return sorted(path.parent.name for path in workspace.datasets.glob(f"[!.]*/{FILE_NAME}"))


def default_name(images: Path) -> str:
    """A name for the dataset in a folder, safe as a folder name.

    >>> default_name(Path("/data/Coffee leaves/images"))
    'Coffee-leaves'
    """
    path = images.absolute()
    general = {"images", "image", "img", "imgs", "data", "dataset", "train"}
    chosen = next((part for part in (path.name, path.parent.name) if part and part.lower() not in general), path.name)
    return re.sub(r"[^A-Za-z0-9._-]+", "-", chosen).strip("-._")[:100] or "dataset"
