"""Images that visitors dropped on a page, kept while they look at them: in a folder that goes with the server."""

from __future__ import annotations

import re
import secrets
import shutil
import threading
import time
from collections import OrderedDict
from dataclasses import dataclass, field
from pathlib import Path

from fullconv.files import disk_errors
from fullconv.workbench.predicting.images import Upload
from fullconv.workbench.refusals import NotThere
from fullconv.workbench.scratch import Scratch
from fullconv.workbench.security.uploads import too_large

LARGEST = 256 * 2**20
"""Bytes of one image."""
KEPT_BYTES = 2 * 2**30
KEPT = 64
KEPT_SECONDS = 6 * 3600.0
TOKEN = re.compile(r"[A-Za-z0-9_-]{16,64}")


@dataclass
class HeldImages:
    """Uploaded images by token; the oldest go when there are too many.

    Args:
        scratch: where they lie.
    """

    scratch: Scratch
    _held: OrderedDict[str, tuple[Upload, float]] = field(default_factory=OrderedDict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def adopt(self, upload: Upload) -> str:
        """Keep an uploaded file, which is moved.

        Returns:
            The token to ask for it; nobody guesses it.

        Raises:
            TooLarge: it has more bytes than one may have.
        """
        if _size(upload.path) > LARGEST:
            raise too_large(LARGEST, upload.name)
        token = secrets.token_urlsafe(18)
        with self._lock, disk_errors(upload.path):
            path = Path(shutil.move(upload.path, self.scratch.folder("images") / secrets.token_hex(12)))
            self._held[token] = (Upload(upload.name, path), time.monotonic())
            self._make_room()
        return token

    def get(self, token: str) -> Upload:
        """The image.

        Raises:
            NotThere: there is none, it was kept long enough, or somebody cleaned the cache.
        """
        with self._lock:
            found = self._held.get(token)
        if found is None or not found[0].path.is_file():
            raise NotThere("this upload is not kept any more", where="image", remedy="upload it again")
        return found[0]

    def close(self) -> None:
        """Delete all."""
        with self._lock:
            self._held.clear()
            shutil.rmtree(self.scratch.root / "images", ignore_errors=True)

    def _make_room(self) -> None:
        now = time.monotonic()
        sizes = {token: _size(upload.path) for token, (upload, _) in self._held.items()}
        total = sum(sizes.values())
        for token, (upload, since) in list(self._held.items())[:-1]:
            if len(self._held) <= KEPT and total <= KEPT_BYTES and now - since <= KEPT_SECONDS:
                return
            total -= sizes[token]
            del self._held[token]
            upload.path.unlink(missing_ok=True)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
