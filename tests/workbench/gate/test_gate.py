from __future__ import annotations

import asyncio
import http.client
import json
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from fastapi import FastAPI, Request

from asgi_requests import HOST, HTML, TOKEN, ask
from fullconv.errors import PlanError
from fullconv.workbench.security.bodies import PLAIN, BodyLimit
from fullconv.workbench.security.hosts import host_name
from fullconv.workbench.settings import Limits, ServerSettings
from fullconv.workspace import Workspace


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "127.0.0.1:8460", "127.0.0.1:9999", "LocalHost:8460", "[::1]:8460", "[0::1]"]
)
def test_names_of_the_machine_itself_are_answered(app: Any, host: str) -> None:
    assert ask(app, headers=[("Host", host)]).status == 200


FORGED_HOSTS = [
    "",
    "evil.example",
    "evil.example:8460",
    "127.0.0.1.evil.example",
    "localhost.evil.example",
    "localhost.",
    "127.0.0.1:8460@evil.example",
    "evil@127.0.0.1:8460",
    "user:secret@localhost",
    "127.0.0.1:0",
    "127.0.0.1:99999",
    "127.0.0.1:",
    "127.0.0.1:8460:1",
    "127.0.0.1/evil",
    "127.0.0.1?x",
    "127.0.0.1#x",
    "127.0.0.1\\evil.example",
    "127.0.0.1, evil.example",
    "127.0.0.1 evil.example",
    " 127.0.0.1",
    "127.1",
    "2130706433",
    "0x7f000001",
    "0177.0.0.1",
    "0.0.0.0",
    "[::ffff:127.0.0.1]",
    "[::1",
    "::1",
    "[::1]evil",
    "[fe80::1%25lo]",
    "192.168.1.5",
    "lo\u00e7alhost",
    "http://127.0.0.1",
    "%6cocalhost",
]


@pytest.mark.parametrize("host", FORGED_HOSTS)
@pytest.mark.parametrize("kind", ["http", "websocket"])
def test_forged_hosts_are_refused(app: Any, host: str, kind: str) -> None:
    answer = ask(app, headers=[("Host", host)], kind=kind)
    assert answer.status == (421 if kind == "http" else 1008)
    assert host not in answer.body or not host.strip() or host in ("127.1",)


def test_a_missing_or_a_second_host_is_refused(app: Any) -> None:
    assert ask(app, headers=[]).status == 421
    assert ask(app, headers=[HOST, HOST]).status == 421
    assert ask(app, headers=[HOST, ("Host", "evil.example")]).status == 421
    assert ask(app, headers=[("Host", "evil.example"), ("X-Forwarded-Host", "127.0.0.1")]).status == 421


def test_names_given_at_the_start_are_answered(make: Callable[..., Any]) -> None:
    app = make(names=("Seg.Example.org",))
    assert ask(app, headers=[("Host", "seg.example.org")]).status == 200
    assert ask(app, headers=[("Host", "other.example.org")]).status == 421


@pytest.mark.parametrize("wild", ["0.0.0.0", "::"])
def test_a_server_on_all_addresses_answers_to_addresses_and_its_own_name(make: Callable[..., Any], wild: str) -> None:
    app = make(host=wild, token=TOKEN)
    known = ("Authorization", f"Bearer {TOKEN}")
    for host in ("192.168.1.5:8460", "10.0.0.7", "[fe80::1]:8460", "localhost", socket.gethostname()):
        assert ask(app, headers=[("Host", host), known]).status == 200, host
    for host in ("evil.example", "192.168.1.5.evil.example", "2130706433", "127.1"):
        assert ask(app, headers=[("Host", host), known]).status == 421, host


def test_a_server_on_one_address_answers_to_that_one(make: Callable[..., Any]) -> None:
    app = make(host="192.168.1.5", token=TOKEN)
    known = ("Authorization", f"Bearer {TOKEN}")
    assert ask(app, headers=[("Host", "192.168.1.5:8460"), known]).status == 200
    assert ask(app, headers=[("Host", "192.168.1.6:8460"), known]).status == 421


def test_starts_that_would_be_open_are_refused() -> None:
    home = Workspace(Path("/nowhere"))
    for changes in ({"host": "0.0.0.0"}, {"host": "::"}, {"host": "192.168.1.5"}, {"host": "", "token": ""}):
        with pytest.raises(PlanError, match="token"):
            ServerSettings(home, **changes)
    with pytest.raises(PlanError, match="too short"):
        ServerSettings(home, token="hunter2")
    for odd in ("a-token-of-mány-letters", "a token of many letters", "a-token-of\n-many-letters"):
        with pytest.raises(PlanError, match="no header"):
            ServerSettings(home, token=odd)
    for name in ("http://seg.example.org", "seg.example.org:443", "*", "a b", ""):
        with pytest.raises(PlanError, match="host name"):
            ServerSettings(home, names=(name,))


FORGED_ORIGINS = [
    "https://evil.example",
    "null",
    "",
    "http://127.0.0.1",
    "http://127.0.0.1:3000",
    "http://localhost:8460",
    "http://127.0.0.1:8460.evil.example",
    "http://127.0.0.1:8460@evil.example",
    "http://evil.example/127.0.0.1:8460",
    "file://127.0.0.1:8460",
    "chrome-extension://127.0.0.1:8460",
    "127.0.0.1:8460",
    "//127.0.0.1:8460",
    "http://127.0.0.1:8460/",
    "http://127.0.0.1:8460 http://evil.example",
]


@pytest.mark.parametrize("origin", FORGED_ORIGINS)
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE", "OPTIONS"])
def test_requests_of_other_sites_are_refused(app: Any, origin: str, method: str) -> None:
    answer = ask(app, "/api/v1/jobs/1", method=method, headers=[HOST, ("Origin", origin)])
    assert answer.status == 403
    assert "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize("origin", FORGED_ORIGINS)
def test_websockets_of_other_sites_are_refused(app: Any, origin: str) -> None:
    answer = ask(app, "/_nicegui_ws/socket.io/", headers=[HOST, ("Origin", origin)], kind="websocket")
    assert (answer.body, answer.status) == ("websocket.close", 1008)


def test_two_origins_are_refused(app: Any) -> None:
    own = ("Origin", "http://127.0.0.1:8460")
    assert ask(app, headers=[HOST, own]).status == 200
    assert ask(app, headers=[HOST, own, ("Origin", "https://evil.example")]).status == 403


@pytest.mark.parametrize(
    ("site", "mode", "dest", "method", "status"),
    [
        ("same-origin", "cors", "empty", "GET", 200),
        ("none", "navigate", "document", "GET", 200),
        ("cross-site", "navigate", "document", "GET", 200),
        ("cross-site", "navigate", "iframe", "GET", 403),
        ("cross-site", "no-cors", "image", "GET", 403),
        ("same-site", "no-cors", "script", "GET", 403),
        ("same-site", "navigate", "document", "POST", 403),
        ("cross-site", "navigate", "document", "POST", 403),
        ("", "", "", "GET", 403),
    ],
)
def test_other_sites_may_link_here_and_nothing_else(
    app: Any, site: str, mode: str, dest: str, method: str, status: int
) -> None:
    said = [("Sec-Fetch-Site", site), ("Sec-Fetch-Mode", mode), ("Sec-Fetch-Dest", dest)]
    assert ask(app, method=method, headers=[HOST, *said]).status == status


@pytest.mark.parametrize("path", ["/api/v1/runs/\0", f"/_nicegui/{'x' * 256}/a", f"/{'ä' * 128}", "/runs/a\0b/../.."])
def test_what_no_file_can_be_named_is_nowhere(locked: Any, path: str) -> None:
    assert ask(locked, path).status == 401
    known = ("Authorization", f"Bearer {TOKEN}")
    answer = ask(locked, path, headers=[HOST, known])
    assert (answer.status, answer.headers["content-type"]) == (404, "application/problem+json")
    assert ask(locked, path, headers=[HOST, known], kind="websocket").status == 1008


def test_every_answer_tells_the_browser_what_it_may_not_do(locked: Any) -> None:
    known = ("Authorization", f"Bearer {TOKEN}")
    answers = [
        ask(locked),
        ask(locked, headers=[HOST, known]),
        ask(locked, "/nowhere", headers=[HOST, known]),
        ask(locked, headers=[("Host", "evil.example")]),
        ask(locked, "/", headers=[HOST, HTML]),
    ]
    for answer in answers:
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["x-frame-options"] == "DENY"
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["referrer-policy"] == "same-origin"
        assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
        assert "server" not in answer.headers
    assert "sandbox" in answers[1].headers["content-security-policy"]


def test_a_body_that_is_announced_too_long_is_not_read(app: Any) -> None:
    answer = ask(app, "/api/v1/jobs/1/move", method="POST", headers=[HOST, ("Content-Length", str(PLAIN + 1))], body=[])
    assert answer.status == 413
    assert json.loads(answer.body)["title"] == "Too large"


def test_a_body_that_turns_out_too_long_is_cut(app: Any) -> None:
    piece = b" " * 2**20
    body = (piece for _ in range(40))
    kind = ("Content-Type", "application/json")
    assert ask(app, "/api/v1/jobs/1/move", method="POST", headers=[HOST, kind], body=body).status == 413


def test_a_body_that_does_not_go_on_is_given_up() -> None:
    api, told = FastAPI(), []

    @api.post("/wait")
    async def wait(request: Request) -> str:
        await request.body()
        await asyncio.sleep(0.3)  # longer than silence, but all of it is there
        return "done"

    async def send(message: Any) -> None:
        told.append(message)

    def status(*pieces: dict[str, Any]) -> int:
        left = [{"type": "http.request", **piece} for piece in pieces]

        async def receive() -> Any:
            if not left:
                await asyncio.sleep(3600)
            return left.pop(0)

        told.clear()
        scope = {"type": "http", "method": "POST", "path": "/wait", "query_string": b"", "headers": []}
        asyncio.run(BodyLimit(api, api, 2**20, silence=0.2)(scope, receive, send))
        return int(told[0]["status"])

    assert status({"body": b"a", "more_body": True}) == 408
    assert json.loads(told[1]["body"])["title"] == "Request timeout"
    assert status({"body": b"a", "more_body": True}, {"body": b"b"}) == 200


@pytest.mark.parametrize("length", ["x", "-1", "1e9", "\xb2", "9" * 400])
def test_lengths_that_are_none_do_no_harm(app: Any, length: str) -> None:
    headers = [HOST, ("Content-Length", length), ("Content-Type", "application/json")]
    assert ask(app, "/api/v1/jobs/1/move", method="POST", headers=headers, body=[b"{}"]).status in (404, 413)


@pytest.mark.parametrize(("given", "name"), [("A.B-c_1:80", "a.b-c_1"), ("[::1]", "::1"), ("[:]", None), ("a\n", None)])
def test_host_names_are_read_strictly(given: str, name: str | None) -> None:
    assert host_name(given) == name


def test_a_real_server_keeps_pages_rest_and_websockets_behind_the_token(serve: Any, home: Workspace) -> None:
    from websockets.exceptions import InvalidStatus
    from websockets.sync.client import connect

    address = urlsplit(serve(home, "--token", TOKEN)).netloc
    socket_path = "/_nicegui_ws/socket.io/?EIO=4&transport="

    def status(path: str, headers: dict[str, str] | None = None, method: str = "GET") -> int:
        connection = http.client.HTTPConnection(address, timeout=60)
        connection.request(method, path, headers=headers or {})
        answer = connection.getresponse()
        answer.read()
        connection.close()
        return answer.status

    known = {"Authorization": f"Bearer {TOKEN}"}
    for path in ("/", "/api/v1/system", f"{socket_path}polling"):
        assert status(path) == 401, path
        assert status(path, known) == 200, path
        assert status(path, known | {"Origin": "https://evil.example"}) == 403, path
        assert status(path, known | {"Host": "evil.example"}) == 421, path
    assert status(f"{socket_path}polling", method="POST") == 401

    def opens(headers: dict[str, str], origin: Any = None) -> bool:
        url = f"ws://{address}{socket_path}websocket"
        try:
            with connect(url, additional_headers=headers, origin=origin, open_timeout=60) as opened:
                return str(opened.recv()).startswith("0{")
        except InvalidStatus as refused:
            return refused.response.status_code != 403

    assert opens(known)
    assert opens(known, f"http://{address}")
    assert not opens({})
    assert not opens({"Authorization": "Bearer wrong"})
    assert not opens(known, "https://evil.example")
    assert not opens(known, "null")

    assert status(f"/?token={TOKEN}") == 303
    assert status(f"/?token={TOKEN}", known) == 303  # it shall not stay in the address
    logs = "".join(path.read_text() for path in home.root.parent.glob("server-*.log"))
    assert logs.count(TOKEN) == 1  # the address that the terminal shows


def test_uploads_may_be_as_long_as_the_limit_says(make: Callable[..., Any]) -> None:
    app = make(limits=Limits(upload=2**20))
    answer = ask(
        app, "/_nicegui/client/x/upload/1", method="POST", headers=[HOST, ("Content-Length", str(2**22))], body=[]
    )
    assert answer.status == 413
