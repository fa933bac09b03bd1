"""The workspace: the one folder that shell, Python and browser share."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from fullconv.errors import StorageError

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


@dataclass(frozen=True)
class Workspace:
    """Where datasets, runs, models and cached samples lie.

    >>> Workspace(Path("home")).dataset("camvid").as_posix()
    'home/datasets/camvid'
    """

    root: Path

    @classmethod
    def find(cls, root: str | Path | None = None) -> Workspace:
        """The folder given, else `FULLCONV_HOME`, else `~/fullconv`."""
        chosen = root or os.environ.get("FULLCONV_HOME") or Path.home() / "fullconv"
        try:
            return cls(Path(chosen).expanduser().absolute())
        except RuntimeError:
            raise StorageError("no such home folder", where=chosen, remedy="write the path out") from None

    @property
    def datasets(self) -> Path:
        return self.root / "datasets"

    @property
    def runs(self) -> Path:
        return self.root / "runs"

    @property
    def models(self) -> Path:
        return self.root / "models"

    @property
    def groups(self) -> Path:
        """Summaries of runs that belong together."""
        return self.root / "groups"

    @property
    def jobs(self) -> Path:
        """What the workbench's jobs said."""
        return self.root / "jobs"

    @property
    def cache(self) -> Path:
        return self.root / "cache"

    def dataset(self, name: str) -> Path:
        return self.datasets / checked_name(name)

    def run(self, name: str) -> Path:
        return self.runs / checked_name(name)

    def model(self, name: str) -> Path:
        return self.models / checked_name(name)


def checked_name(name: str) -> str:
    """A name that is safe as a folder on every system.

    >>> checked_name("street-scenes_2")
    'street-scenes_2'
    >>> checked_name("../up")
    Traceback (most recent call last):
    fullconv.errors.StorageError: '../up' cannot be a name; use letters, digits, dot, dash and underscore, 100 at most.
    """
    if not _NAME.fullmatch(name):
        raise StorageError(
            f"{name!r} cannot be a name", remedy="use letters, digits, dot, dash and underscore, 100 at most"
        )
    return name
