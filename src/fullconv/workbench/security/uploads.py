"""What visitors upload: to disk piece by piece, never larger than it may be."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterable, AsyncIterator
from pathlib import Path
from typing import Protocol, runtime_checkable

from anyio import to_thread

from fullconv.files import disk_errors
from fullconv.workbench.refusals import TooLarge

CHUNK = 1024 * 1024


@runtime_checkable
class Form(Protocol):
    """What FastAPI hands over for a file of a form."""

    async def read(self, size: int = ..., /) -> bytes: ...


@runtime_checkable
class Dropped(Protocol):
    """What NiceGUI hands over for a file that was dropped."""

    def iterate(self) -> AsyncIterator[bytes]: ...


async def received(
    upload: Form | Dropped | AsyncIterable[bytes],
    limit: int,
    *,
    folder: Path,
    suffix: str = "",
    where: str = "file",
) -> Path:
    """Write an upload to a new file, whose name has nothing from the visitor.

    Args:
        upload: a file of a form (`UploadFile`), a file dropped on a page, or the pieces of a body (`Request.stream()`).
        limit: bytes that it may have.
        folder: where the file is made.
        suffix: of the file's name, as ".zip"; never what the visitor said.
        where: the field, for the message.

    Returns:
        The file; the caller removes it.

    Raises:
        TooLarge: more bytes than the limit; nothing is left then.
        StorageError: the disk is full.
    """
    path = folder / f"upload-{secrets.token_hex(12)}{suffix}"
    size = 0
    with disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        try:
            with path.open("xb") as stream:
                path.chmod(0o600)
                async for piece in _pieces(upload):
                    size += len(piece)
                    if size > limit:
                        raise too_large(limit, where)
                    await to_thread.run_sync(stream.write, piece)
        except BaseException:
            path.unlink(missing_ok=True)
            raise
    return path


def too_large(limit: int, where: str) -> TooLarge:
    """The refusal of what has more bytes than it may."""
    shown = f"{limit / 2**30:.3g} GiB" if limit >= 2**30 else f"{limit / 2**20:.3g} MiB"
    return TooLarge(f"is larger than {shown}", where=where, remedy="give a path on the server's disk, or less")


async def _pieces(upload: Form | Dropped | AsyncIterable[bytes]) -> AsyncIterator[bytes]:
    if isinstance(upload, Dropped):  # it has a `read`, too, that reads all of it
        async for piece in upload.iterate():
            yield piece
    elif isinstance(upload, Form):
        while piece := await upload.read(CHUNK):
            yield piece
    else:
        async for piece in upload:
            yield piece
