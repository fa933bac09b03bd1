"""Names of the files in an archive: which may be made on disk, and which clash."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from fullconv.errors import DataError

LONGEST = 1024
"""Bytes of a whole name."""
LONGEST_PART = 255
"""Bytes of a folder's or file's own name."""
DEEPEST = 32
"""Folders in each other."""
_LEFT_OUT = ("__MACOSX", "Thumbs.db", "desktop.ini")
_UNPRINTABLE = ("Cc", "Cs", "Zl", "Zp")
_DRIVE = re.compile(r"[A-Za-z]:")
_REMEDY = "pack the folder anew, with plain names"


def member_path(name: str) -> PurePosixPath | None:
    """Where a member goes, relative to the folder that is made.

    Args:
        name: as the archive has it; backslashes separate folders as slashes do.

    Returns:
        The path; None where it is the folder itself, or one of the hidden files that systems add.

    Raises:
        DataError: absolute, leading upwards, too long or too deep, or with unprintable characters.

    >>> member_path("./images/1.png"), member_path("__MACOSX/images/._1.png")
    (PurePosixPath('images/1.png'), None)
    >>> member_path("../1.png")
    Traceback (most recent call last):
    fullconv.errors.DataError: '../1.png': leads out of the archive; pack the folder anew, with plain names.
    """
    shown = repr(name if len(name) <= 200 else f"{name[:200]}…")
    if any(unicodedata.category(letter) in _UNPRINTABLE for letter in name):
        raise DataError("holds characters that no file name needs", where=shown, remedy=_REMEDY)
    plain = name.replace("\\", "/")
    if plain.startswith("/") or _DRIVE.match(plain):
        raise DataError("is an absolute path", where=shown, remedy=_REMEDY)
    parts = [part for part in plain.split("/") if part not in ("", ".")]
    if ".." in parts:
        raise DataError("leads out of the archive", where=shown, remedy=_REMEDY)
    too_long = len(plain.encode()) > LONGEST or any(len(part.encode()) > LONGEST_PART for part in parts)
    if too_long or len(parts) > DEEPEST:
        raise DataError("is too long or too deep", where=shown, remedy=_REMEDY)
    if not parts or any(part.startswith(".") or part in _LEFT_OUT for part in parts):
        return None
    return PurePosixPath(*parts)


@dataclass
class Taken:
    """The names given so far, to find two members that would be one file on some disk.

    >>> taken = Taken()
    >>> taken.add(PurePosixPath("a/Image.png"))
    >>> taken.add(PurePosixPath("a/image.PNG"))
    Traceback (most recent call last):
    fullconv.errors.DataError: 'a/image.PNG': clashes with 'a/Image.png', ...
    """

    _files: dict[str, str] = field(default_factory=dict)
    _folders: dict[str, str] = field(default_factory=dict)

    def add(self, path: PurePosixPath, *, folder: bool = False) -> None:
        """Take a name.

        Raises:
            DataError: another one differs in nothing, in capitals or in the form of accents only, or is a file where
                this one needs a folder.
        """
        for above in (path, *path.parents[:-1])[0 if folder else 1 :]:
            key, text = _key(above), str(above)
            other = self._files.get(key) or self._folders.setdefault(key, text)
            if other != text or key in self._files:
                raise _clash(path, other)
        if not folder:
            key = _key(path)
            if key in self._files or key in self._folders:
                raise _clash(path, self._files.get(key) or self._folders[key])
            self._files[key] = str(path)


def _key(path: PurePosixPath) -> str:
    return unicodedata.normalize("NFC", str(path)).casefold()


def _clash(path: PurePosixPath, other: str) -> DataError:
    return DataError(
        f"clashes with {other!r}, which many disks hold for the same name",
        where=repr(str(path)),
        remedy="rename one of them and pack the folder anew",
    )
