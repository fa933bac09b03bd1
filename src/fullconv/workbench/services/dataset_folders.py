"""Where a dataset's files come from: folders of this machine that may be used, and uploaded archives."""

from __future__ import annotations

import secrets
import shutil
import time
from collections.abc import AsyncIterable
from pathlib import Path

from anyio import to_thread
from pydantic import BaseModel, ConfigDict

from fullconv.data.patterns import found_by
from fullconv.errors import PlanError
from fullconv.workbench.folders import FolderRequest
from fullconv.workbench.security.archives import unpack
from fullconv.workbench.security.paths import allowed_path
from fullconv.workbench.security.uploads import received
from fullconv.workbench.services.upload_use import uploads_folder, used_uploads
from fullconv.workbench.workbench import Workbench

FORGOTTEN_SECONDS = 24 * 3600
"""After this, uploaded files of which nobody made a dataset are deleted."""


class Uploaded(BaseModel):
    """What came out of an uploaded archive.

    Args:
        path: the folder to check and to make a dataset of. files: in it. size: bytes.
    """

    model_config = ConfigDict(
        json_schema_extra={"example": {"path": "/home/ada/fullconv/uploads/5d7c0f1e", "files": 280, "size": 91268055}}
    )

    path: str
    files: int
    size: int


def resolved(bench: Workbench, request: FolderRequest) -> FolderRequest:
    """The same request with the real places of its folders and files.

    Raises:
        Forbidden, NotThere, DataError: one of them may not be used, is not there, or is of another kind;
            or the pattern of groups is no regular expression.
        PlanError: shares and lists contradict each other.
    """
    settings = bench.settings
    request.plan  # noqa: B018 - shares that do not add up are told before anything starts
    if request.split is not None and request.lists:
        raise PlanError("lists and shares both say how to split", where="split", remedy="give one of them")
    if request.group_by not in (None, "none"):
        found_by(request.group_by, [])
    kinds = {"images": "folder", "labels": "any", "classes": "file"}
    places = {}
    for field, kind in kinds.items():
        text = getattr(request, field)
        if text is not None:
            places[field] = str(allowed_path(settings, text, kind=kind, where=field))  # type: ignore[arg-type]
    lists = {
        split: str(allowed_path(settings, text, kind="file", where=f"lists.{split}"))
        for split, text in request.lists.items()
    }
    return FolderRequest(**{name: getattr(request, name) for name in FolderRequest.model_fields}).model_copy(
        update={**places, "lists": lists}
    )


async def upload_archive(bench: Workbench, content: AsyncIterable[bytes]) -> Uploaded:
    """Unpack an uploaded archive in the workspace, where a dataset can be made of it.

    Args:
        content: of the file, piece by piece.
    """
    bench.must_be_writable()
    limits = bench.settings.limits
    archive = await received(content, limits.upload, folder=bench.scratch.folder("uploads"), where="archive")
    try:
        folder = uploads_folder(bench) / secrets.token_hex(4)
        found = await to_thread.run_sync(unpack, archive, folder, limits)
    finally:
        archive.unlink(missing_ok=True)
    await to_thread.run_sync(forget_uploads, bench)
    return Uploaded(path=str(found.folder), files=found.files, size=found.size)


def forget_uploads(bench: Workbench) -> int:
    """Delete uploads of yesterday that no dataset, no run and no open job uses; none while one of these is unreadable.

    Returns:
        How many.
    """
    folders = [path for path in uploads_folder(bench).glob("*") if path.is_dir() and not path.name.startswith(".")]
    old = {path for path in folders if time.time() - path.stat().st_mtime > FORGOTTEN_SECONDS}
    return remove_unused(bench, old)


def remove_unused(bench: Workbench, uploads: set[Path]) -> int:
    """Delete those of some uploads that nothing uses.

    Returns:
        How many.
    """
    used = used_uploads(bench) if uploads else None
    unused = set() if used is None else uploads - used
    for path in unused:
        shutil.rmtree(path, ignore_errors=True)
    return len(unused)
