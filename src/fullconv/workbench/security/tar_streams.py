"""Tar archives, opened so that neither a header nor a compressed stream can take more than it may."""

from __future__ import annotations

import bz2
import gzip
import importlib
import lzma
import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from fullconv.errors import DataError
from fullconv.workbench.refusals import Unsupported

LONGEST_READ = 2**20
"""Bytes that tarfile may ask for at once: names and attributes, which a header can claim to be gigabytes long."""
LONGEST_HEADER = 2**18
"""Bytes that all headers of one member may have, as tarfile keeps many times that in memory of what they say."""
MOST_SHARED = 100
"""Attributes that headers may give to all members that follow."""


def _zstd(path: Path, mode: str) -> IO[bytes]:
    try:
        module: Any = importlib.import_module("compression.zstd")
    except ModuleNotFoundError:
        raise Unsupported(
            "is packed with zstd, which this Python does not know", where=path.name, remedy="pack it as .tar.gz"
        ) from None
    opened: IO[bytes] = module.open(path, mode)
    return opened


_OPENERS: tuple[tuple[bytes, Callable[..., Any]], ...] = (
    (b"\x1f\x8b", gzip.open),
    (b"BZh", bz2.open),
    (b"\xfd7zXZ\x00", lzma.open),
    (b"\x28\xb5\x2f\xfd", _zstd),
)


class _Guarded:
    """A stream that tarfile reads: no long reads, and none beyond what may be unpacked."""

    def __init__(self, stream: IO[bytes], refuse: Callable[[int], None]) -> None:
        self._stream = stream
        self._refuse = refuse
        self.header: int | None = None
        """Bytes that the headers that are being read may still have; none while content is read."""

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= LONGEST_READ:
            raise _long_header()
        if self.header is not None:
            self.header -= size
            if self.header < 0:
                raise _long_header()
        self._refuse(self._stream.tell() + size)
        return self._stream.read(size)

    def seek(self, place: int, whence: int = 0) -> int:
        self._refuse(place)
        return self._stream.seek(place, whence)

    def tell(self) -> int:
        return self._stream.tell()


class _Tar(tarfile.TarFile):
    """Reads headers that take no more memory than they may."""

    def next(self) -> tarfile.TarInfo | None:
        guarded: Any = self.fileobj
        guarded.header = LONGEST_HEADER
        try:
            found = super().next()
        finally:
            guarded.header = None
        if len(self.pax_headers) > MOST_SHARED:
            raise _long_header()
        return found


def _long_header() -> DataError:
    return DataError("has a header that claims to be very long", where="archive", remedy="pack the folder anew")


@contextmanager
def tar_content(path: Path, refuse: Callable[[int], None]) -> Iterator[tarfile.TarFile]:
    """Open a tar, whatever it is compressed with.

    Args:
        path: the archive.
        refuse: called with the place that is about to be reached, in bytes of the uncompressed stream; it raises where
            that is too far.

    Raises:
        Unsupported: this is no tar, or a compression that this Python does not know.
    """
    with path.open("rb") as stream:
        head = stream.read(8)
    opener = next((opener for mark, opener in _OPENERS if head.startswith(mark)), Path.open)
    with opener(path, "rb") as content:
        guarded: Any = _Guarded(content, refuse)
        try:
            opened = _Tar(fileobj=guarded, mode="r", errorlevel=2)
        except (tarfile.ReadError, OSError, EOFError, lzma.LZMAError):
            raise Unsupported(
                "is neither a zip nor a tar archive", where=path.name, remedy="pack the folder as .zip or .tar.gz"
            ) from None
        with opened:
            yield opened
