"""Headers of every answer: what browsers may do with it."""

from __future__ import annotations

from starlette.types import Message, Send

PAGES = (
    # NiceGUI puts its start and each page's elements into the page (unsafe-inline), and Vue makes functions of
    # templates (unsafe-eval). All else comes from this server alone, and goes nowhere else.
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; font-src 'self' data:; media-src 'self' blob:; worker-src 'self' blob:; "
    "connect-src 'self'; object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
"""Content-Security-Policy of pages."""
DATA = "default-src 'none'; img-src 'self' data:; style-src 'unsafe-inline'; frame-ancestors 'none'; sandbox"
"""Content-Security-Policy of what REST answers: files of visitors are among it, and none of them may act as a page."""
_ALWAYS = {
    b"x-content-type-options": b"nosniff",
    b"x-frame-options": b"DENY",
    b"referrer-policy": b"same-origin",  # with "no-referrer", browsers send forms without their Origin
    b"cross-origin-resource-policy": b"same-origin",
    b"cache-control": b"no-store",
}


def with_headers(send: Send, path: str) -> Send:
    """Adds what an answer does not say itself.

    Args:
        send: of the answer.
        path: that was asked for.
    """
    policy = DATA if path.startswith("/api/") else PAGES
    wanted = {**_ALWAYS, b"content-security-policy": policy.encode()}

    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            present = {bytes(name).lower() for name, _ in message["headers"]}
            extra = [(name, value) for name, value in wanted.items() if name not in present]
            message = {**message, "headers": [*message["headers"], *extra]}
        await send(message)

    return sending
