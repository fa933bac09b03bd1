"""Requests to a workbench, and what it refuses as an error of ours."""

from __future__ import annotations

import ipaddress
import json
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from http.client import HTTPException, HTTPResponse
from typing import Any, cast
from urllib.error import HTTPError, URLError
from urllib.parse import urlencode, urlsplit
from urllib.request import OpenerDirector, ProxyHandler, Request, build_opener

from fullconv.errors import PlanError, RemoteError

BASE = "/api/v1"
BUSY = 503


@dataclass
class Connection:
    """A workbench by its address.

    Args:
        url: of the server, as "http://127.0.0.1:8460".
        token: where it asks for one.
        timeout: seconds without a word until it counts as gone.
        patience: seconds that a busy server is asked again.
    """

    url: str
    token: str | None = field(default=None, repr=False)
    timeout: float = 60.0
    patience: float = 60.0

    def __post_init__(self) -> None:
        parts = urlsplit(self.url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise PlanError(f"{self.url!r} is no address", where="url", remedy="write it as http://127.0.0.1:8460")
        self.url = self.url.rstrip("/")
        self._opener = _opener(parts.hostname)

    def open(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, Any] | None = None,
        document: Any = None,
        content: bytes | None = None,
        accept: str = "application/json",
    ) -> HTTPResponse:
        """Ask, and wait where the server is busy.

        Args:
            method: "GET", "POST" …
            path: below /api/v1.
            query: parameters; None ones are left out, lists are repeated.
            document: to send as JSON. content: to send as it is.
            accept: media type that is wanted.

        Returns:
            The answer, to be read and closed.

        Raises:
            RemoteError: no answer, or a refusal with the server's own sentence.
        """
        wanted = {name: value for name, value in (query or {}).items() if value is not None}
        address = f"{self.url}{BASE}{path}" + (f"?{urlencode(wanted, doseq=True)}" if wanted else "")
        headers = {"Accept": accept}
        if document is not None:
            content, headers["Content-Type"] = json.dumps(document).encode(), "application/json"
        elif content is not None:
            headers["Content-Type"] = "application/octet-stream"
        request = Request(address, data=content, method=method, headers=headers)
        if self.token is not None:
            request.add_unredirected_header("Authorization", f"Bearer {self.token}")
        end = time.monotonic() + self.patience
        while True:
            try:
                return cast(HTTPResponse, self._opener.open(request, timeout=self.timeout))
            except HTTPError as refusal:
                with refusal:
                    wait = _seconds(refusal.headers.get("Retry-After")) if refusal.code == BUSY else None
                    if wait is None or time.monotonic() + wait > end:
                        raise _error(refusal.read(), refusal.code, self.url) from None
            except (URLError, HTTPException, TimeoutError, ConnectionError) as problem:
                raise RemoteError(
                    f"does not answer ({getattr(problem, 'reason', None) or problem})",
                    where=self.url,
                    remedy="check the address, or start it with `fullconv serve`",
                ) from None
            time.sleep(wait)

    def json(self, method: str, path: str, **options: Any) -> Any:
        """Ask, and read the answer as JSON; None where it is empty."""
        content = self.bytes(method, path, **options)
        return json.loads(content) if content else None

    def bytes(self, method: str, path: str, **options: Any) -> bytes:
        """Ask, and read the whole answer."""
        with self.open(method, path, **options) as answer:
            return answer.read()


def _opener(host: str) -> OpenerDirector:
    """Nothing that goes to this machine takes a way round through a proxy."""
    local = host == "localhost"
    with suppress(ValueError):
        local = local or ipaddress.ip_address(host).is_loopback
    return build_opener(ProxyHandler({})) if local else build_opener()


def _seconds(retry_after: str | None) -> float | None:
    try:
        return min(10.0, max(0.05, float(retry_after))) if retry_after is not None else None
    except ValueError:
        return None


def _error(content: bytes, status: int, url: str) -> RemoteError:
    """The sentence of a problem document (RFC 9457) as an error of the same parts."""
    try:
        document = json.loads(content)
        detail, where, remedy = str(document["detail"]), document.get("where"), document.get("remedy")
    except (ValueError, KeyError, TypeError, AttributeError):
        return RemoteError(f"answers with status {status}", where=url, remedy="check the address", status=status)
    problem = detail.removesuffix(".")
    if where:
        problem = problem.removeprefix(f"{where}: ")
    if remedy:
        problem = problem.removesuffix(f"; {str(remedy).removesuffix('.')}")
    return RemoteError(problem, where=where, remedy=remedy, status=status)
