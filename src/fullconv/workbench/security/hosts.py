"""Where a request is addressed to, and which site it comes from: what the headers Host, Origin and Sec-Fetch-* say."""

from __future__ import annotations

import ipaddress
import re
import socket

from starlette.datastructures import Headers

from fullconv.workbench.settings import ServerSettings

LOCAL = ("127.0.0.1", "localhost", "::1")
SAFE = ("GET", "HEAD", "OPTIONS")
"""Methods that change nothing."""
_AUTHORITY = re.compile(
    r"(?:\[(?P<six>[0-9A-Fa-f:.]+)\]|(?P<name>[A-Za-z0-9._-]+))(?::(?P<port>[0-9]{1,5}))?", re.ASCII
)


def host_name(authority: str) -> str | None:
    """The name or address in a Host header, without its port; None where that is no plain one.

    >>> host_name("LOCALHOST:8460"), host_name("[0:0::1]:8460"), host_name("me@127.0.0.1"), host_name("")
    ('localhost', '::1', None, None)
    """
    found = _AUTHORITY.fullmatch(authority)
    if found is None or (found["port"] is not None and not 0 < int(found["port"]) < 65536):
        return None
    if found["six"] is None:
        return found["name"].lower()
    try:
        return str(ipaddress.IPv6Address(found["six"]))
    except ValueError:
        return None


def is_addressed(headers: Headers, settings: ServerSettings) -> bool:
    """Whether a request is addressed to this server, and not to another site's name that leads here (DNS rebinding).

    A server that listens on all addresses of its machine answers to any address in figures, which no site can bend, and
    to the machine's own name; every other name must be given with --name.
    """
    given = headers.getlist("host")
    name = host_name(given[0]) if len(given) == 1 else None
    if name is None:
        return False
    names = {*LOCAL, settings.host.lower(), *(name.lower() for name in settings.names)}
    if not settings.everywhere:
        return name in names
    return name in names or name == socket.gethostname().lower() or _is_address(name)


def is_from_here(kind: str, method: str, headers: Headers) -> bool:
    """Whether a request comes from a page of this server, from no page at all, or is a link that somebody followed.

    Programs other than browsers send none of these headers. Browsers send Origin with everything that may change
    something and with websockets, and Sec-Fetch-Site with everything.

    Args:
        kind: "http" or "websocket".
        method: of an HTTP request.
    """
    origins = headers.getlist("origin")
    if origins:
        scheme, _, authority = origins[0].partition("://")
        own = authority.lower() == headers.get("host", "").lower()
        return len(origins) == 1 and scheme in ("http", "https") and own
    if headers.get("sec-fetch-site", "none") in ("same-origin", "none"):
        return True
    followed = headers.get("sec-fetch-mode") == "navigate" and headers.get("sec-fetch-dest") == "document"
    return kind == "http" and method in SAFE and followed


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
