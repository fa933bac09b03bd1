"""Files that go with the server: uploads on their way, images that are looked at, and what is being deleted.

They lie in the workspace's cache, in a folder that names its owner, so that the next server finds what one that was
killed left behind, and leaves alone what another one that lives is using. It is hidden: no visitor can name what
another one uploaded.
"""

from __future__ import annotations

import re
import secrets
import shutil
import socket
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from fullconv.errors import StorageError
from fullconv.files import disk_errors, staged_name
from fullconv.process_identity import identity_of, process_lives
from fullconv.workspace import Workspace

STAGED = re.compile(r"\..+\.[0-9a-f]{8}\.part")
"""Folders that are being written or deleted, as `staged_name` names them."""
STAGED_SECONDS = 24 * 3600
"""After this, nobody writes in them any more."""
_OWNER = re.compile(r"(?P<host>.+)~(?P<process>\d+)~((?P<started>\d+\.\d+)|(?P<identity>[0-9a-f-]+\.\d+))~[0-9a-f]{8}")


@dataclass
class Scratch:
    """The folder of one server.

    Args:
        home: the workspace.

    >>> import tempfile
    >>> scratch = Scratch(Workspace(Path(tempfile.mkdtemp())))
    >>> scratch.folder("uploads").is_dir()
    True
    >>> scratch.close()
    """

    home: Workspace
    _name: str = field(init=False)

    def __post_init__(self) -> None:
        own = psutil.Process()
        began = identity_of(own.pid) or f"{own.create_time():.3f}"
        self._name = f"{_host()}~{own.pid}~{began}~{secrets.token_hex(4)}"

    @property
    def root(self) -> Path:
        return self.home.cache / ".servers" / self._name

    def folder(self, part: str) -> Path:
        """A folder in it; made again where somebody cleaned the cache.

        Raises:
            StorageError: the workspace cannot be written.
        """
        folder = self.root / part
        with disk_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
        return folder

    def discard(self, directory: Path) -> None:
        """Delete a directory of the workspace: gone at once for everybody, then from the disk.

        Raises:
            StorageError: it cannot be moved.
        """
        shutil.rmtree(self.set_aside(directory), ignore_errors=True)

    def set_aside(self, directory: Path) -> Path:
        """The first half of `discard`, which takes no time: where it lies now, to be deleted.

        Raises:
            StorageError: it cannot be moved.
        """
        try:
            gone = self.folder("deleted") / secrets.token_hex(8)
            directory.rename(gone)
        except (OSError, StorageError):  # the cache cannot be used, or lies on another disk
            gone = directory.with_name(staged_name(directory.name))
            with disk_errors(directory):
                directory.rename(gone)
        return gone

    def close(self) -> None:
        """Delete everything."""
        shutil.rmtree(self.root, ignore_errors=True)

    def sweep(self) -> int:
        """Delete what servers and jobs left behind that were killed.

        Returns:
            How many folders.
        """
        left = [*self._orphans(), *self._staged()]
        for folder in left:
            shutil.rmtree(folder, ignore_errors=True)
        return len(left)

    def _orphans(self) -> Iterator[Path]:
        """Folders of servers of this machine that are no more."""
        for folder in self._listed(self.home.cache / ".servers"):
            owner = _OWNER.fullmatch(folder.name)
            if owner is None or owner["host"] != _host() or folder == self.root:
                continue
            if not process_lives(int(owner["process"]), float(owner["started"] or 0), owner["identity"]):
                yield folder

    def _staged(self) -> Iterator[Path]:
        """What commands, jobs and other servers began to write or to delete, and did not touch for a day."""
        home = self.home
        for place in (home.datasets, home.runs, home.models, home.root / "uploads"):
            for folder in self._listed(place):
                with suppress(OSError):  # renaming changes this time, and not that of its content
                    if STAGED.fullmatch(folder.name) and time.time() - folder.stat().st_ctime > STAGED_SECONDS:
                        yield folder

    def _listed(self, place: Path) -> list[Path]:
        try:
            return [path for path in place.iterdir() if path.is_dir() and not path.is_symlink()]
        except OSError:
            return []


def _host() -> str:
    return re.sub(r"[^A-Za-z0-9.-]", "-", socket.gethostname()) or "host"
