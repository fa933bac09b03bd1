"""Images in a request: its whole body, or the files of a form."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from fastapi import Request
from starlette.datastructures import UploadFile
from starlette.types import Message

from fullconv.errors import DataError
from fullconv.workbench.predicting.images import Upload
from fullconv.workbench.predicting.images import plain_name as plain_name
from fullconv.workbench.security.uploads import received, too_large
from fullconv.workbench.workbench import Workbench

FORM = "multipart/form-data"
MOST_FILES = 1000

BODY: dict[str, Any] = {
    "required": True,
    "description": "An image file as it is, or a form with one or more image files in fields of any name.",
    "content": {
        "application/octet-stream": {"schema": {"type": "string", "format": "binary"}},
        FORM: {
            "schema": {
                "type": "object",
                "properties": {"images": {"type": "array", "items": {"type": "string", "format": "binary"}}},
                "required": ["images"],
            }
        },
    },
}
"""The body as OpenAPI describes it."""


@asynccontextmanager
async def uploaded_images(request: Request, bench: Workbench) -> AsyncIterator[list[Upload]]:
    """The images of a request as files, which go when the request is answered.

    Raises:
        DataError: there are none.
        TooLarge: more bytes than one request may bring.
        HTTPException: a form that cannot be read, or of more than 1000 files.
    """
    limits = bench.settings.limits
    async with AsyncExitStack() as stack:
        found: list[Upload] = []

        async def keep(name: str, content: Any) -> None:
            path = await received(content, limits.upload, folder=bench.scratch.folder("uploads"), where=name)
            stack.callback(path.unlink, missing_ok=True)
            found.append(Upload(name, path))

        if request.headers.get("content-type", "").partition(";")[0].strip().lower() == FORM:
            form = await stack.enter_async_context(
                _counted(request, limits.upload).form(max_files=MOST_FILES, max_fields=MOST_FILES)
            )
            for value in (value for _, value in form.multi_items() if isinstance(value, UploadFile)):
                await keep(plain_name(value.filename), value)
        else:
            await keep(plain_name(request.query_params.get("name")), request.stream())
        found = [upload for upload in found if upload.path.stat().st_size]
        if not found:
            remedy = "send the file as the request's body, or as a file in a form"
            raise DataError("the request holds no image", where="body", remedy=remedy)
        yield found


def _counted(request: Request, limit: int) -> Request:
    """The same request, which ends with an error where its body is larger than it may be."""
    size = 0

    async def receive() -> Message:
        nonlocal size
        message = await request.receive()
        size += len(message.get("body", b""))
        if size > limit:
            raise too_large(limit, "body")
        return message

    return Request(request.scope, receive)
