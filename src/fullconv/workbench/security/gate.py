"""The outermost layer of the server: who may come in. Pages, REST, NiceGUI's own routes and websockets lie behind it.

Three questions for every request, in this order: is it addressed to this server (Host: against DNS rebinding), does it
come from a page of this server where it could do harm (Origin: against other sites in the same browser), and does the
visitor know the token, where there is one.
"""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import parse_qsl, quote, urlencode

from starlette.datastructures import Headers
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from fullconv.workbench.api.problems import Problem, answer
from fullconv.workbench.security.answers import with_headers
from fullconv.workbench.security.hosts import is_addressed, is_from_here
from fullconv.workbench.security.sign_in import SIGN_IN, sign_in_page
from fullconv.workbench.security.tokens import admitted, is_token, knows_token
from fullconv.workbench.settings import ServerSettings

LONGEST_PART = 255
"""Bytes between two slashes of an address; no file system has longer names."""
_TITLES = {401: "Unauthorized", 403: "Forbidden", 404: "Not found", 421: "Misdirected request"}


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
        refusal = self._refusal(scope) or _nowhere(scope["path"])
        if scope["type"] == "websocket":
            if refusal is None:
                await self.app(scope, receive, send)
            else:
                await receive()
                await send({"type": "websocket.close", "code": 1008, "reason": "refused"})
        else:
            await (refusal or self.app)(scope, receive, with_headers(send, scope["path"]))

    def _refusal(self, scope: Scope) -> Response | None:
        headers, method = Headers(scope=scope), scope.get("method", "")
        if not is_addressed(headers, self.settings):
            return _problem(421, "This server does not answer to that host name; start it with --name to allow one.")
        if not is_from_here(scope["type"], method, headers):
            return _problem(403, "Requests from other sites are refused.")
        if self.settings.token is None:
            return None
        given = dict(parse_qsl(scope.get("query_string", b"").decode("latin-1"))).get("token")
        if scope["type"] == "http" and method == "GET" and given is not None and is_token(self.settings, given):
            return self._welcome(scope)
        if knows_token(self.settings, headers):
            return RedirectResponse("/", status_code=303) if (method, scope["path"]) == ("GET", SIGN_IN) else None
        if scope["type"] == "http" and scope["path"] == SIGN_IN:
            return None if method == "POST" else sign_in_page(scope)
        if scope["type"] == "http" and method == "GET" and "text/html" in headers.get("accept", ""):
            return sign_in_page(scope, wrong=given is not None)
        response = _problem(
            401,
            "A token is needed: send it as `Authorization: Bearer TOKEN`, or open the address that the "
            "terminal showed.",
        )
        response.headers["WWW-Authenticate"] = "Bearer"
        return response

    def _welcome(self, scope: Scope) -> Response:
        """The same page without the token in its address, and a cookie for the browser."""
        asked = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
        query = urlencode([item for item in asked if item[0] != "token"])
        path = "/" + quote(scope["path"]).lstrip("/")  # two slashes would lead to another server
        return admitted(RedirectResponse(path + (f"?{query}" if query else ""), status_code=303), self.settings)


def _nowhere(path: str) -> Response | None:
    """Refuses what no file can be named: programs behind the gate that look for one would break off."""
    if "\0" in path or any(len(part.encode("utf-8", "replace")) > LONGEST_PART for part in path.split("/")):
        return _problem(404, "There is nothing at this address.")
    return None


def _problem(status: int, detail: str) -> Response:
    return answer(Problem(title=_TITLES[status], status=status, detail=detail))
