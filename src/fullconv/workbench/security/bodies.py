"""The length of what a request brings: files up to the limit of uploads, everything else far less."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property

from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from fullconv.workbench.api.problems import answer, problem_of
from fullconv.workbench.security.uploads import too_large

PLAIN = 16 * 2**20
"""Bytes of a document: it is read into memory."""
FORM = 2**20
"""Bytes that a form may have around its files."""
_PLAIN_KINDS = ("application/json", "application/x-www-form-urlencoded")
_DROPPED = re.compile(r"/_nicegui/client/[^/]+/upload/[^/]+")


class _TooLong(HTTPException):
    """Ends the reading of a body."""


@dataclass
class BodyLimit:
    """An ASGI application around another one, which never gets more than it may.

    Args:
        app: what is behind.
        api: says in its OpenAPI document which routes take files.
        limit: bytes of an upload.
    """

    app: ASGIApp
    api: FastAPI
    limit: int

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] in ("GET", "HEAD"):
            await self.app(scope, receive, send)
            return
        allowed = self.limit + FORM if self._takes_files(scope["path"]) else PLAIN
        refusal = answer(problem_of(too_large(allowed, "body")))
        if _announced(scope) > allowed:
            await refusal(scope, receive, send)
            return
        size, begun, over = 0, False, False

        async def counted() -> Message:
            nonlocal size, over
            message = await receive()
            size += len(message.get("body", b""))
            if size > allowed:
                over = True
                raise _TooLong(413)
            return message

        async def answering(message: Message) -> None:
            nonlocal begun
            if not over or begun:  # what it says to a body that was cut short is not wanted
                begun = True
                await send(message)

        try:
            await self.app(scope, counted, answering)
        except _TooLong:
            pass
        finally:
            if over and not begun:
                await refusal(scope, receive, send)

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
