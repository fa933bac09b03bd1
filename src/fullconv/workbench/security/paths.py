"""Paths that visitors name: only what lies in the allowed folders, with links followed to where they really lead."""

from __future__ import annotations

import os
import stat
import unicodedata
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict

from fullconv.data.images import IMAGE_SUFFIXES
from fullconv.errors import DataError
from fullconv.workbench.refusals import Forbidden, NotThere
from fullconv.workbench.settings import ServerSettings

LONGEST = 4096
"""Bytes of a path."""
LONGEST_NAME = 255
"""Bytes of one name in it."""
SHOWN = 500
"""Folders of one listing."""
LOOKED_AT = 20_000
"""Names that one listing reads, all folders together."""
_UNPRINTABLE = ("Cc", "Cs", "Zl", "Zp")


class Folder(BaseModel):
    """A folder in a listing.

    Args:
        name: as it is shown.
        path: to ask for it.
        images: image files right in it; none where counting would have taken too long.
    """

    name: str
    path: str
    images: int | None


class Listing(BaseModel):
    """What a folder of this machine holds, for choosing folders.

    Args:
        path: of the folder; none for the list of the allowed roots.
        parent: of the folder above; none at a root.
        folders: in it, by name, without hidden ones and those that lead elsewhere through links.
        images: image files right in it.
        more: there are more folders than are shown, or more files than were counted.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "path": "/home/ada/streets",
                "parent": "/home/ada",
                "folders": [{"name": "images", "path": "/home/ada/streets/images", "images": 701}],
                "images": 0,
                "more": False,
            }
        }
    )

    path: str | None
    parent: str | None
    folders: tuple[Folder, ...]
    images: int
    more: bool


def allowed_path(
    settings: ServerSettings, text: str, *, kind: Literal["any", "file", "folder"] = "any", where: str = "path"
) -> Path:
    """The file or folder that a visitor named, if it may be used.

    Hidden folders, and what the server keeps for itself in the workspace, are refused too.

    Args:
        text: absolute, or beginning with ~; links are followed.
        kind: what it must be.
        where: the field that holds it, for the message.

    Returns:
        The path with all links resolved. It exists, and it is a folder or a plain file.

    Raises:
        DataError: no absolute path, unprintable characters, too long, or not of this kind.
        Forbidden: outside the allowed roots; whether it exists is not told.
        NotThere: in an allowed root there is no such thing.

    >>> import tempfile
    >>> from fullconv.workspace import Workspace
    >>> home = Workspace(Path(tempfile.mkdtemp()))
    >>> allowed_path(ServerSettings(home, roots=(home.root,)), "/etc/passwd")
    Traceback (most recent call last):
    fullconv.workbench.refusals.Forbidden: path: '/etc/passwd' is outside the allowed folders; ...
    """
    path = Path(os.path.realpath(_absolute(text, where)))
    if not is_allowed(settings, path):
        raise Forbidden(
            f"{_short(text)} is outside the allowed folders",
            where=where,
            remedy="start the workbench with --root FOLDER",
        )
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError):
        raise NotThere(f"there is no {_short(text)}", where=where, remedy="check the path") from None
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise DataError(f"{_short(text)} is neither a file nor a folder", where=where, remedy="choose another one")
    if kind == "folder" and not stat.S_ISDIR(mode):
        raise DataError(f"{_short(text)} is a file", where=where, remedy="choose a folder")
    if kind == "file" and not stat.S_ISREG(mode):
        raise DataError(f"{_short(text)} is a folder", where=where, remedy="choose a file")
    return path


def is_allowed(settings: ServerSettings, path: Path) -> bool:
    """Whether a path, whose links are resolved, lies in an allowed root and is neither hidden nor the server's own."""
    own = Path(os.path.realpath(settings.home.root))
    if path.is_relative_to(own) and path != own:
        first = path.relative_to(own).parts[0]
        if first == "workbench" or first.startswith("workbench.sqlite"):
            return False
    return any(
        path.is_relative_to(root) and not any(part.startswith(".") for part in path.relative_to(root).parts)
        for root in settings.allowed_roots
    )


def listing(settings: ServerSettings, text: str | None = None) -> Listing:
    """The folders in a folder, for a browser of the server's folders.

    Args:
        text: the folder; none for the allowed roots.

    Raises:
        DataError, Forbidden, NotThere: as `allowed_path`.
    """
    left = _Budget(LOOKED_AT)
    if not text:
        roots = [root for root in settings.allowed_roots if root.is_dir()]
        return Listing(
            path=None,
            parent=None,
            folders=tuple(_folder(root, left, str(root)) for root in roots),
            images=0,
            more=False,
        )
    path = allowed_path(settings, text, kind="folder")
    names, images = [], 0
    try:
        for item in left.taken(path):
            if _is_image(item.name):
                images += 1
            elif _is_shown(settings, item):
                names.append(item.name)
    except PermissionError:
        raise Forbidden(f"{_short(text)} may not be read", where="path", remedy="change its permissions") from None
    more = left.spent or len(names) > SHOWN
    shown = sorted(names, key=str.casefold)[:SHOWN]
    parent = path.parent if path not in settings.allowed_roots and is_allowed(settings, path.parent) else None
    return Listing(
        path=str(path),
        parent=None if parent is None else str(parent),
        folders=tuple(_folder(path / name, left, name) for name in shown),
        images=images,
        more=more,
    )


def refuse_links_outside(settings: ServerSettings, top: Path, *, looking: Callable[[], None] = lambda: None) -> None:
    """Look for links in a folder that lead out of what may be shown.

    Args:
        top: an allowed folder, which is gone through whole; a file holds none.
        looking: called before each folder; it may raise to end this.

    Raises:
        Forbidden: there is one.
    """
    for folder, inner, files in os.walk(top):
        looking()
        for link in filter(Path.is_symlink, (Path(folder, name) for name in (*inner, *files))):
            if not is_allowed(settings, Path(os.path.realpath(link))):
                raise Forbidden(
                    "holds a link to a place outside the allowed folders",
                    where=link,
                    remedy="remove the link, or start the workbench with --root FOLDER",
                )


class _Budget:
    """Names that may still be read."""

    def __init__(self, left: int) -> None:
        self.left = left
        self.spent = False

    def taken(self, folder: Path) -> Iterator[os.DirEntry[str]]:
        with os.scandir(folder) as listed:
            for item in listed:
                if self.left <= 0:
                    self.spent = True
                    return
                self.left -= 1
                yield item


def _folder(path: Path, left: _Budget, name: str) -> Folder:
    images: int | None = None
    with suppress(OSError):
        images = sum(_is_image(item.name) for item in left.taken(path))
    return Folder(name=name, path=str(path), images=None if left.spent else images)


def _is_image(name: str) -> bool:
    return not name.startswith(".") and os.path.splitext(name)[1].lower() in IMAGE_SUFFIXES  # noqa: PTH122


def _is_shown(settings: ServerSettings, item: os.DirEntry[str]) -> bool:
    if item.name.startswith(".") or any(unicodedata.category(letter) in _UNPRINTABLE for letter in item.name):
        return False
    try:
        return item.is_dir() and is_allowed(settings, Path(os.path.realpath(item.path)))
    except OSError:
        return False


def _absolute(text: str, where: str) -> str:
    if any(unicodedata.category(letter) in _UNPRINTABLE for letter in text):
        raise DataError("holds characters that no path needs", where=where, remedy="write the path plainly")
    if text == "~" or text.startswith("~/"):
        text = f"{Path.home()}{text[1:]}"
    if not text.startswith("/") and not Path(text).is_absolute():
        raise DataError(f"{_short(text)} is no absolute path", where=where, remedy="write it from / or ~ on")
    too_long = len(text.encode()) >= LONGEST or any(len(part.encode()) > LONGEST_NAME for part in Path(text).parts)
    if too_long:
        raise DataError(f"{_short(text)} is too long for a path", where=where, remedy="write a shorter one")
    return text


def _short(text: str) -> str:
    return repr(text if len(text) <= 200 else f"{text[:200]}…")
