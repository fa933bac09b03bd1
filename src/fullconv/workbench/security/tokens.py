"""The token: what a visitor must know, and how a browser remembers that its visitor did."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Iterable

from starlette.datastructures import Headers
from starlette.responses import Response

from fullconv.workbench.settings import ServerSettings

REMEMBERED = 30 * 24 * 3600
"""Seconds."""


def is_token(settings: ServerSettings, given: str) -> bool:
    """Whether this is the server's token; the time that takes tells nothing of it."""
    return settings.token is not None and _same(given, settings.token)


def knows_token(settings: ServerSettings, headers: Headers) -> bool:
    """Whether a request shows the token (`Authorization: Bearer …`), or the cookie of somebody who did."""
    kind, _, value = headers.get("authorization", "").partition(" ")
    if kind.lower() == "bearer" and is_token(settings, value.strip()):
        return True
    return any(_same(value, _proof(settings)) for value in _cookies(headers.getlist("cookie"), _cookie_name(settings)))


def admitted(response: Response, settings: ServerSettings) -> Response:
    """An answer that lets its receiver in from now on.

    The cookie holds no token, only a proof of it: it cannot be used for REST elsewhere. Scripts cannot read it, and
    other sites' pages cannot make browsers send it with anything but a link that is followed.
    """
    response.set_cookie(
        _cookie_name(settings), _proof(settings), httponly=True, samesite="lax", path="/", max_age=REMEMBERED
    )
    return response


def _cookie_name(settings: ServerSettings) -> str:
    """One for each port: browsers send a host's cookies to all of its ports."""
    return f"fullconv_{settings.port}"


def _proof(settings: ServerSettings) -> str:
    return hmac.new(_bytes(str(settings.token)), b"fullconv cookie", hashlib.sha256).hexdigest()


def _same(given: str, right: str) -> bool:
    return secrets.compare_digest(_bytes(given), _bytes(right))


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _cookies(lines: Iterable[str], name: str) -> Iterable[str]:
    """The values under one name. Other applications on this host set cookies that no standard knows, JSON for one: the
    cookies beside ours are not parsed."""
    for cookie in (cookie for line in lines for cookie in line.split(";")):
        key, _, value = cookie.partition("=")
        if key.strip() == name:
            yield value.strip()
