"""Who has no token sees nothing; who has it is let in, by header, by address or by the form."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import pytest

from asgi_requests import HOST, HTML, TOKEN, Answer, ask
from fullconv.workbench.workbench import Workbench


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [("Authorization", "Bearer ")],
        [("Authorization", "Bearer wrong")],
        [("Authorization", f"Bearer {TOKEN}x")],
        [("Authorization", f"Bearer {TOKEN[:-1]}")],
        [("Authorization", f"Basic {TOKEN}")],
        [("Authorization", TOKEN)],
        [("Authorization", "Bearer \xff\xfe")],
        [("Cookie", f"fullconv_8460={TOKEN}")],
        [("Cookie", f"token={TOKEN}")],
        [("Cookie", "fullconv_8460=")],
        [("Cookie", "\x00=;;;=\xff")],
        [("X-Token", TOKEN)],
    ],
)
@pytest.mark.parametrize("kind", ["http", "websocket"])
def test_without_the_token_nothing_is_answered(locked: Any, headers: list[tuple[str, str]], kind: str) -> None:
    for path in ("/api/v1/system", "/api/v1/openapi.json", "/", "/_nicegui_ws/socket.io/", "/nowhere"):
        answer = ask(locked, path, headers=[HOST, *headers], kind=kind)
        assert answer.status == (401 if kind == "http" else 1008)
        assert "workspace" not in answer.body.lower()


@pytest.mark.parametrize("method", ["HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "BREW"])
def test_no_method_goes_round_the_token(locked: Any, method: str) -> None:
    assert ask(locked, method=method).status == 401
    assert ask(locked, method=method, query=f"token={TOKEN}").status == 401


@pytest.mark.parametrize("path", ["/sign-in/", "//sign-in", "/sign-in/../api/v1/system", "/SIGN-IN", "/sign-in\n"])
def test_only_the_form_itself_is_open(locked: Any, path: str) -> None:
    assert ask(locked, path, method="POST").status == 401


def test_programs_show_the_token_in_a_header(locked: Any) -> None:
    assert ask(locked, headers=[HOST, ("Authorization", f"Bearer {TOKEN}")]).status == 200
    assert ask(locked, headers=[HOST, ("Authorization", f"bearer  {TOKEN} ")]).status == 200


def test_the_address_of_the_terminal_lets_in_and_leaves_no_token_behind(locked: Any) -> None:
    answer = ask(locked, "/runs", query=f"a=1&token={TOKEN}&b=%26", headers=[HOST, HTML])
    assert (answer.status, answer.headers["location"]) == (303, "/runs?a=1&b=%26")
    cookie = answer.headers["set-cookie"]
    assert TOKEN not in cookie
    assert "HttpOnly" in cookie
    assert "SameSite=lax" in cookie
    assert answer.headers["cache-control"] == "no-store"
    kept = cookie.partition(";")[0]
    assert ask(locked, headers=[HOST, ("Cookie", f"other=1; {kept}")]).status == 200
    for foreign in ('cart={"a": [1, "b"], "c": "d=e"}', "a b=c", "=", "x", 'open="', "über=ä", "é=1,2"):
        assert ask(locked, headers=[HOST, ("Cookie", f"{foreign}; {kept}; {foreign}")]).status == 200, foreign
    assert ask(locked, headers=[HOST, ("Cookie", f"{kept}x")]).status == 401
    assert ask(locked, headers=[HOST, ("Authorization", f"Bearer {kept.partition('=')[2]}")]).status == 401


def test_the_printed_address_lets_in_whatever_signs_the_token_has(make: Callable[..., Any], bench: Workbench) -> None:
    app = make(token="a+b/c=d&e%20f#g?h:i;j")
    query = urlsplit(bench.settings.address).query
    assert ask(app, "/", query=query, headers=[HOST, HTML]).status == 303


@pytest.mark.parametrize(
    "path", ["//evil.example", "///evil.example/x", "/\\evil.example", "/%5cevil", "/a\r\nX-Evil: 1"]
)
def test_being_let_in_leads_nowhere_else(locked: Any, path: str) -> None:
    answer = ask(locked, path, query=f"token={TOKEN}", headers=[HOST, HTML])
    place = answer.headers["location"]
    assert answer.status == 303
    assert not urlsplit(place).netloc
    assert re.fullmatch(r"/[^/\\][^\\\r\n]*", place)
    assert "x-evil" not in answer.headers


def test_a_browser_without_the_token_sees_the_form_whatever_it_asks_for(locked: Any) -> None:
    pages = {ask(locked, path, headers=[HOST, HTML]).body for path in ("/", "/runs/secret-name", "/nowhere")}
    assert len(pages) == 1
    assert 'name="token"' in pages.pop()
    assert ask(locked, "/", headers=[HOST, HTML], query="token=wrong").status == 401
    assert ask(locked, "/sign-in", headers=[HOST, HTML]).status == 200


def sign_in(app: Any, body: bytes, *headers: tuple[str, str], length: str | None = None) -> Answer:
    said = ("Content-Length", str(len(body)) if length is None else length)
    kind = ("Content-Type", "application/x-www-form-urlencoded")
    return ask(app, "/sign-in", method="POST", headers=[HOST, kind, said, *headers], body=[body])


def test_the_form_lets_in_who_knows_the_token(locked: Any) -> None:
    answer = sign_in(locked, f"token={TOKEN}".encode(), ("Origin", "http://127.0.0.1:8460"))
    assert (answer.status, answer.headers["location"]) == (303, "/")
    kept = answer.headers["set-cookie"].partition(";")[0]
    assert ask(locked, headers=[HOST, ("Cookie", kept)]).status == 200
    assert ask(locked, "/sign-in", headers=[HOST, ("Cookie", kept)]).headers["location"] == "/"


@pytest.mark.parametrize(
    ("body", "length"),
    [
        (b"token=wrong", None),
        (b"", None),
        (b"token=", None),
        (f"TOKEN={TOKEN}".encode(), None),
        (b"token=\xff\xfe%ff", None),
        (f"token={TOKEN}".encode() + b"&x=" + b"y" * 20_000, None),
        (f"token={TOKEN}".encode(), "many"),
        (f"token={TOKEN}".encode(), "-5"),
        (f"token={TOKEN}".encode(), ""),
    ],
)
def test_the_form_refuses_all_else(locked: Any, body: bytes, length: str | None) -> None:
    answer = sign_in(locked, body, length=length)
    assert answer.status == 401
    assert "set-cookie" not in answer.headers
    assert "not the token" in answer.body


def test_other_sites_cannot_sign_anybody_in(locked: Any) -> None:
    body = f"token={TOKEN}".encode()
    for origin in ("https://evil.example", "null"):
        assert sign_in(locked, body, ("Origin", origin)).status == 403
    assert sign_in(locked, body, ("Sec-Fetch-Site", "cross-site")).status == 403


def test_without_a_token_the_form_admits_nobody(app: Any) -> None:
    assert sign_in(app, b"token=").status == 401
    assert sign_in(app, b"token=None").status == 401
