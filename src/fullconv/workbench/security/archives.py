"""Uploaded archives → folders: every member is looked at before it is written; one refused, and nothing is left."""

from __future__ import annotations

import os
import shutil
import stat
import struct
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO

from fullconv.errors import DataError, FullconvError, StorageError
from fullconv.files import disk_errors, staged_directory
from fullconv.progress import track
from fullconv.workbench.refusals import TooLarge, Unsupported
from fullconv.workbench.security.member_names import Taken, member_path
from fullconv.workbench.security.tar_streams import tar_content
from fullconv.workbench.settings import Limits

RATIO = 250
"""Bytes that one byte of an archive may become, above `UNSUSPICIOUS`."""
UNSUSPICIOUS = 256 * 2**20
"""Bytes that any archive may become."""
SPARE = 2**28
"""Bytes that stay free on the disk."""
_LOOK = SPARE // 4
"""Bytes that are written between two looks at the disk."""
_CHUNK = 256 * 1024
_END = 2**16 + 200
"""Bytes at the end of a zip that hold the place and length of its list of contents."""
_HEADERS = 4096
"""Bytes that a member may take in a tar beside its content, on average."""
_ENTRY = 1024
"""Bytes that a member may take in a zip's list of contents, on average."""


@dataclass(frozen=True)
class Unpacked:
    """What came out of an archive.

    Args:
        folder: where it lies.
        files: how many. size: bytes of all of them.
        left_out: hidden files, which systems add.
    """

    folder: Path
    files: int
    size: int
    left_out: int


@dataclass(frozen=True)
class _Member:
    name: str
    size: int
    folder: bool
    open: Callable[[], IO[bytes] | None]


def unpack(archive: Path, folder: Path, limits: Limits) -> Unpacked:
    """Unpack a zip, or a tar with or without gzip, bzip2 or xz (and zstd, where Python knows it).

    Args:
        archive: the file; its content tells its kind.
        folder: made by this; it must not hold anything yet.
        limits: bytes of all files (`archive`) and how many (`members`).

    Raises:
        Unsupported: neither a zip nor a tar, or its compression is not known here.
        TooLarge: more files or bytes than the limits; or so many from so few bytes that it is made to fill the disk.
        DataError: damaged, encrypted, or a member is a link or a device, or has a name that cannot be used.
        StorageError: the disk is full, or the folder is there.
    """
    with staged_directory(folder) as staged, _reading(archive):
        writer = _Writer(staged, limits, compressed=archive.stat().st_size)
        if _is_zip(archive):
            _refuse_long_list(archive, limits)
            with zipfile.ZipFile(archive) as opened:
                writer.take(_zip_members(opened, archive, limits, staged), total=len(opened.filelist))
        else:
            with tar_content(archive, writer.refuse_place) as content:
                writer.take(_tar_members(content))
        if not writer.files:
            raise DataError("holds no files", where=archive.name, remedy="pack a folder of images and labels")
    return Unpacked(folder, writer.files, writer.size, writer.left_out)


@dataclass
class _Writer:
    """Writes members below a folder and counts."""

    folder: Path
    limits: Limits
    compressed: int
    files: int = 0
    size: int = 0
    left_out: int = 0
    seen: int = 0

    def take(self, members: Iterator[_Member], *, total: int | None = None) -> None:
        taken = Taken()
        for member in track(members, "unpacking", total=total):
            self.seen += 1
            if self.seen > self.limits.members:
                raise _too_many(self.limits)
            path = member_path(member.name)
            if path is None:
                self.left_out += not member.folder
                continue
            taken.add(path, folder=member.folder)
            self._write(path, member)

    def refuse_place(self, place: int) -> None:
        """Raise TooLarge where a tar's stream goes on too long: files that are left out count here, too."""
        headers = _HEADERS * self.limits.members
        refuse_size(place, self.compressed, replace(self.limits, archive=self.limits.archive + headers))

    def _write(self, path: PurePosixPath, member: _Member) -> None:
        target = self.folder.joinpath(*path.parts)
        with disk_errors(target):
            (target if member.folder else target.parent).mkdir(parents=True, exist_ok=True)
            if member.folder:
                return
            self._count(member.size, only_look=True)
            source = member.open()
            if source is None:
                raise _not_plain(member.name)
            with source, target.open("xb") as stream:
                while chunk := source.read(_CHUNK):
                    self._count(len(chunk))
                    stream.write(chunk)
        self.files += 1

    def _count(self, size: int, *, only_look: bool = False) -> None:
        refuse_size(self.size + size, self.compressed, self.limits)
        if only_look:
            return
        if self.size == 0 or self.size // _LOOK < (self.size + size) // _LOOK:
            refuse_full_disk(self.folder)
        self.size += size


def refuse_size(size: int, compressed: int, limits: Limits) -> None:
    """Raise TooLarge where an archive becomes more than it may."""
    if size > limits.archive:
        raise TooLarge(
            f"holds more than {limits.archive / 2**30:.3g} GiB of files", where="archive", remedy="split it into parts"
        )
    if size > UNSUSPICIOUS and size > RATIO * compressed:
        raise TooLarge(
            f"holds more than {RATIO} times its own size (a decompression bomb?)",
            where="archive",
            remedy="give the folder itself instead, or pack it without compression",
        )


def refuse_full_disk(folder: Path, size: int = 0) -> None:
    """Raise StorageError where that many bytes would leave too few."""
    if size + SPARE > shutil.disk_usage(folder).free:
        raise StorageError("no space left for it on the disk", where="archive", remedy="free some space")


def _zip_members(opened: zipfile.ZipFile, archive: Path, limits: Limits, staged: Path) -> Iterator[_Member]:
    """Members of a zip; what its list of contents says is checked for all of them before the first is written."""
    entries = opened.filelist
    if len(entries) > limits.members:
        raise _too_many(limits)
    declared = sum(entry.file_size for entry in entries)
    refuse_size(declared, archive.stat().st_size, limits)
    refuse_full_disk(staged, declared)
    for entry in entries:
        mode = stat.S_IFMT(entry.external_attr >> 16)
        if mode and not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
            raise _not_plain(entry.filename)
        if entry.flag_bits & 0x41:
            raise DataError("is encrypted", where=repr(entry.filename), remedy="pack the folder without a password")
        if entry.orig_filename.rstrip("\0") != entry.filename and "\0" in entry.orig_filename:
            raise DataError("has a name with a zero byte", where=repr(entry.filename), remedy="pack the folder anew")
    for entry in entries:
        folder = entry.is_dir() or entry.filename.endswith("\\")
        yield _Member(entry.filename, entry.file_size, folder, partial(opened.open, entry))


def _tar_members(content: tarfile.TarFile) -> Iterator[_Member]:
    while (entry := content.next()) is not None:
        content.members = []  # type: ignore[attr-defined] # this list would grow with the archive
        if not (entry.isreg() or entry.isdir()) or entry.issparse():
            raise _not_plain(entry.name)
        yield _Member(entry.name, entry.size, entry.isdir(), partial(content.extractfile, entry))


@contextmanager
def _reading(archive: Path) -> Iterator[None]:
    try:
        yield
    except (FullconvError, KeyboardInterrupt):
        raise
    except NotImplementedError:
        raise Unsupported(
            "uses a compression that is not known here", where=archive.name, remedy="pack it with deflate"
        ) from None
    except Exception as error:  # damaged archives raise nearly everything
        said = str(error).strip() or type(error).__name__
        raise DataError(
            f"cannot be unpacked ({said[:200]})", where=archive.name, remedy="pack the folder anew"
        ) from error


def _is_zip(archive: Path) -> bool:
    with archive.open("rb") as stream:
        return stream.read(4) in (b"PK\3\4", b"PK\5\6")


def _refuse_long_list(archive: Path, limits: Limits) -> None:
    """Before Python reads all of a zip's list of contents into memory: it may be of any length."""
    with archive.open("rb") as stream:
        size = stream.seek(0, os.SEEK_END)
        stream.seek(max(0, size - _END))
        end = stream.read()
        # Every place that could be the end's record counts; a wrong one only makes this stricter.
        lengths = [*_numbers(end, b"PK\5\6", 12, "<L"), *_numbers(end, b"PK\6\6", 40, "<Q")]
        longest = min(size, max((length for length in lengths if length != 0xFFFFFFFF), default=size))
        if longest > limits.members * _ENTRY + _END:
            raise _too_many(limits)
        stream.seek(max(0, size - _END - longest))
        if stream.read().count(b"PK\1\2") > limits.members + 1000:
            raise _too_many(limits)


def _numbers(text: bytes, mark: bytes, place: int, form: str) -> Iterator[int]:
    """The numbers that stand at a place after each mark."""
    found = text.find(mark)
    while found >= 0:
        if found + place + struct.calcsize(form) <= len(text):
            yield struct.unpack_from(form, text, found + place)[0]
        found = text.find(mark, found + 1)


def _too_many(limits: Limits) -> TooLarge:
    return TooLarge(f"holds more than {limits.members} files", where="archive", remedy="split it into parts")


def _not_plain(name: str) -> DataError:
    return DataError(
        "is a link or a device, not a plain file", where=repr(name[:200]), remedy="pack the files that links lead to"
    )
