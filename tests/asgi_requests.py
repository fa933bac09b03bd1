"""One request to an ASGI application, exactly as it is written, which no client would send."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

HOST = ("Host", "127.0.0.1:8460")
HTML = ("Accept", "text/html,application/xhtml+xml")
TOKEN = "a-token-of-many-letters"
"""Of a workbench that asks for one."""


@dataclass(frozen=True)
class Answer:
    """What came back; of a websocket the code that closed it, and the kind of the first message."""

    status: int
    headers: dict[str, str]
    body: str


def ask(
    app: Any,
    path: str = "/api/v1/system",
    *,
    method: str = "GET",
    headers: Iterable[tuple[str, str]] = (HOST,),
    query: str = "",
    body: Iterable[bytes] = (b"",),
    kind: str = "http",
) -> Answer:
    """Send it.

    Args:
        path: after percent-decoding, as servers hand it over. query: before decoding.
        headers: Latin-1. body: in pieces. kind: "http" or "websocket".
    """
    scope = {
        "type": kind,
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode("utf-8", "replace"),
        "query_string": query.encode(),
        "root_path": "",
        "headers": [(name.lower().encode(), value.encode("latin-1")) for name, value in headers],
        "server": ("127.0.0.1", 8460),
        "client": ("127.0.0.1", 50000),
        "subprotocols": [],
    }
    if kind == "websocket":
        del scope["method"]
    pieces, sent = _with_end(body), []

    async def receive() -> dict[str, Any]:
        if kind == "websocket":
            return {"type": "websocket.connect"}
        return next(pieces, {"type": "http.disconnect"})

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    asyncio.run(app(scope, receive, send))
    if kind == "websocket":
        return Answer(sent[0].get("code", 0), {}, sent[0]["type"])
    found = {name.decode().lower(): value.decode("latin-1") for name, value in sent[0]["headers"]}
    content = b"".join(part.get("body", b"") for part in sent[1:])
    return Answer(sent[0]["status"], found, content.decode("utf-8", "replace"))


def _with_end(body: Iterable[bytes]) -> Iterator[dict[str, Any]]:
    for piece in body:
        yield {"type": "http.request", "body": piece, "more_body": True}
    yield {"type": "http.request", "body": b"", "more_body": False}
