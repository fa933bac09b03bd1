"""What a request brings: files up to the limit of uploads, everything else far less, and nothing is waited for long."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property

import anyio
from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from fullconv.workbench.api.problems import answer, problem_of
from fullconv.workbench.refusals import Refusal, TooSlow
from fullconv.workbench.security.uploads import too_large

PLAIN = 16 * 2**20
"""Bytes of a document: it is read into memory."""
FORM = 2**20
"""Bytes that a form may have around its files."""
SILENCE_SECONDS = 60.0
"""How long nothing may come of a body that is not whole: who waits for it keeps a place that others want."""
_PLAIN_KINDS = ("application/json", "application/x-www-form-urlencoded")
_DROPPED = re.compile(r"/_nicegui/client/[^/]+/upload/[^/]+")


class _CutShort(HTTPException):
    """Ends the reading of a body."""


@dataclass
class BodyLimit:
    """An ASGI application around another one, which never gets more than it may.

    Args:
        app: what is behind.
        api: says in its OpenAPI document which routes take files.
        limit: bytes of an upload.
        silence: seconds after which a body that does not go on is given up.
    """

    app: ASGIApp
    api: FastAPI
    limit: int
    silence: float = SILENCE_SECONDS

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] in ("GET", "HEAD"):
            await self.app(scope, receive, send)
            return
        allowed = self.limit + FORM if self._takes_files(scope["path"]) else PLAIN
        if _announced(scope) > allowed:
            await answer(problem_of(too_large(allowed, "body")))(scope, receive, send)
            return
        size, begun, whole = 0, False, False
        refusal: Refusal | None = None

        async def counted() -> Message:
            nonlocal size, whole, refusal
            try:
                with anyio.fail_after(None if whole else self.silence):
                    message = await receive()
            except TimeoutError:
                remedy = "send it again"
                refusal = TooSlow(f"nothing came for {self.silence:g} seconds", where="body", remedy=remedy)
                raise _CutShort(refusal.status) from None
            size += len(message.get("body", b""))
            whole = not message.get("more_body", False)
            if size > allowed:
                refusal = too_large(allowed, "body")
                raise _CutShort(refusal.status)
            return message

        async def answering(message: Message) -> None:
            nonlocal begun
            if refusal is None or begun:  # what it says to a body that was cut short is not wanted
                begun = True
                await send(message)

        try:
            await self.app(scope, counted, answering)
        except _CutShort:
            pass
        finally:
            if refusal is not None and not begun:
                await answer(problem_of(refusal))(scope, receive, send)

    def _takes_files(self, path: str) -> bool:
        return bool(_DROPPED.fullmatch(path)) or any(route.fullmatch(path) for route in self._file_routes)

    @cached_property
    def _file_routes(self) -> tuple[re.Pattern[str], ...]:
        return tuple(_as_pattern(path) for path in file_paths(self.api.openapi()))


def file_paths(document: dict[str, object]) -> list[str]:
    """The paths of an OpenAPI document under which something takes files.

    >>> body = {"content": {"multipart/form-data": {}}}
    >>> file_paths({"paths": {"/models": {"get": {}, "post": {"requestBody": body}}, "/jobs": {"post": {}}}})
    ['/models']
    """
    paths = document["paths"]
    assert isinstance(paths, dict)
    return [
        path
        for path, operations in paths.items()
        if any(
            kind not in _PLAIN_KINDS
            for operation in operations.values()
            if isinstance(operation, dict)
            for kind in operation.get("requestBody", {}).get("content", {})
        )
    ]


def _as_pattern(path: str) -> re.Pattern[str]:
    return re.compile(re.sub(r"\\\{[^/]*\\\}", "[^/]+", re.escape(path)))


def _announced(scope: Scope) -> int:
    """What the header Content-Length says; 0 where it says nothing that can be read."""
    given = next((value for name, value in scope["headers"] if name == b"content-length"), b"")
    return int(given) if given.isdigit() and len(given) < 19 else 0
