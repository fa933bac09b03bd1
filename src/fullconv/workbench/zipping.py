"""ZIP archives that are made while they are sent."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZIP_STORED, ZipFile, ZipInfo

PIECE = 1 << 18
_STORED = {".safetensors", ".png", ".jpg", ".jpeg"}
"""Compressing them again gains nothing."""


def zipped(files: Iterable[tuple[Path, str]]) -> Iterator[bytes]:
    """A ZIP archive of files under names, as it is written: nothing is kept in memory or on disk.

    Args:
        files: path and name in the archive.
    """
    out = _Pieces()
    with ZipFile(out, "w", allowZip64=True) as archive:
        for path, name in files:
            info = ZipInfo.from_file(path, name, strict_timestamps=False)
            info.compress_type = ZIP_STORED if path.suffix.lower() in _STORED else ZIP_DEFLATED
            with path.open("rb") as source, archive.open(info, "w", force_zip64=True) as target:
                while piece := source.read(PIECE):
                    target.write(piece)
                    yield out.taken()
            yield out.taken()
    yield out.taken()


class _Pieces:
    """Where an archive is written to, and taken from piece by piece."""

    def __init__(self) -> None:
        self._waiting = bytearray()

    def write(self, content: bytes) -> int:
        self._waiting += content
        return len(content)

    def flush(self) -> None:
        """Nothing is kept back."""

    def close(self) -> None:
        """Nothing is held open."""

    def taken(self) -> bytes:
        """What was written since."""
        found = bytes(self._waiting)
        self._waiting.clear()
        return found
