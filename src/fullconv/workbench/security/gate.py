"""The outermost layer of the server: who may come in. Pages, REST, NiceGUI's own routes and websockets lie behind it.

Three questions for every request, in this order: is it addressed to this server (Host: against DNS rebinding), does it
come from a page of this server where it could do harm (Origin: against other sites in the same browser), and does the
visitor know the token, where there is one.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

from starlette.datastructures import Headers
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from fullconv.workbench.api.problems import Problem, answer
from fullconv.workbench.security.sign_in import sign_in_page
from fullconv.workbench.settings import ServerSettings

COOKIE = "fullconv_token"
SAFE = ("GET", "HEAD", "OPTIONS")
LOCAL = ("127.0.0.1", "localhost", "::1")
SIGN_IN = "/sign-in"
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
}


@dataclass(frozen=True)
class Gate:
    """An ASGI application around another one.

    Args:
        app: what is behind.
        settings: host, token and names of the server.
    """

    app: ASGIApp
    settings: ServerSettings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        refusal = self._refusal(scope)
        if refusal is None:
            await self.app(scope, receive, _with_headers(send))
        elif scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 1008, "reason": "refused"})
        else:
            await refusal(scope, receive, _with_headers(send))

    def _refusal(self, scope: Scope) -> Response | None:
        headers = Headers(scope=scope)
        host = _name_of(headers.get("host", ""))
        if host is None or host not in self._names:
            return _problem(421, "This server does not answer to that host name; start it with --name to allow one.")
        if not self._from_here(scope, headers):
            return _problem(403, "Requests from other sites are refused.")
        if self.settings.token is None:
            return None
        if scope["type"] == "http" and scope["path"] == SIGN_IN:
            return None if scope["method"] == "POST" else sign_in_page(scope)
        if self._knows_token(headers):
            return None
        given = dict(parse_qsl(scope.get("query_string", b"").decode("latin-1"))).get("token")
        if scope["type"] == "http" and scope["method"] == "GET" and given is not None and self._is_token(given):
            return self._welcome(scope)
        if scope["type"] == "http" and "text/html" in headers.get("accept", "") and scope["method"] == "GET":
            return sign_in_page(scope, wrong=given is not None)
        return _problem(
            401,
            "A token is needed: send it as `Authorization: Bearer TOKEN`, or open the address that the "
            "terminal showed.",
            headers={"WWW-Authenticate": "Bearer"},
        )

    @property
    def _names(self) -> frozenset[str]:
        own = LOCAL if self.settings.loopback else (self.settings.host, *LOCAL)
        return frozenset(name.lower() for name in (*own, *self.settings.names))

    def _from_here(self, scope: Scope, headers: Headers) -> bool:
        """Whether a request that may change something, or opens a websocket, comes from a page of this server.

        Programs other than browsers send neither header.
        """
        origin = headers.get("origin")
        if origin is not None:
            return _authority(origin) == headers.get("host", "").lower()
        harmless = scope["type"] == "http" and scope["method"] in SAFE
        return harmless or headers.get("sec-fetch-site", "same-origin") in ("same-origin", "none")

    def _knows_token(self, headers: Headers) -> bool:
        kind, _, value = headers.get("authorization", "").partition(" ")
        if kind.lower() == "bearer" and self._is_token(value.strip()):
            return True
        return any(self._is_token(value) for value in _cookies(headers.getlist("cookie")))

    def _is_token(self, value: str) -> bool:
        return secrets.compare_digest(value.encode(), str(self.settings.token).encode())

    def _welcome(self, scope: Scope) -> Response:
        """The same page without the token in its address, and the token in a cookie that scripts cannot read."""
        query = urlencode([item for item in parse_qsl(scope["query_string"].decode("latin-1")) if item[0] != "token"])
        path = "/" + quote(scope["path"]).lstrip("/")  # two slashes would lead to another server
        return admitted(RedirectResponse(path + (f"?{query}" if query else ""), status_code=303), self.settings)


def admitted(response: Response, settings: ServerSettings) -> Response:
    """An answer that lets its receiver in from now on."""
    assert settings.token is not None
    response.set_cookie(COOKIE, settings.token, httponly=True, samesite="strict", path="/", max_age=30 * 24 * 3600)
    return response


def _name_of(host: str) -> str | None:
    """The name in a Host header, without the port; None where it is none."""
    try:
        parts = urlsplit(f"//{host}")
        return parts.hostname.lower() if parts.hostname and parts.port != 0 and not parts.path else None
    except ValueError:
        return None


def _authority(origin: str) -> str:
    parts = urlsplit(origin)
    return parts.netloc.lower() if parts.scheme in ("http", "https") else ""


def _cookies(lines: Iterable[str]) -> Iterable[str]:
    for line in lines:
        cookie: SimpleCookie = SimpleCookie()
        try:
            cookie.load(line)
        except CookieError:
            continue
        if COOKIE in cookie:
            yield cookie[COOKIE].value


def _problem(status: int, detail: str, headers: dict[str, str] | None = None) -> Response:
    titles = {401: "Unauthorized", 403: "Forbidden", 421: "Misdirected request"}
    response = answer(Problem(title=titles[status], status=status, detail=detail))
    response.headers.update(headers or {})
    return response


def _with_headers(send: Send) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            present = {name.lower() for name, _ in message["headers"]}
            extra = [
                (name.lower().encode(), value.encode())
                for name, value in _HEADERS.items()
                if name.lower().encode() not in present
            ]
            message = {**message, "headers": [*message["headers"], *extra]}
        await send(message)

    return sending
