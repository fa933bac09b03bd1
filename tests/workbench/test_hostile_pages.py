"""Pages and NiceGUI's own routes of a real server, asked for what nobody may have, as no browser would ask."""

from __future__ import annotations

import http.client
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote, urlsplit

import nicegui
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from attacked_workbench import prepared
from fullconv.workspace import Workspace
from hostile_requests import EVIL_NAMES, SECRET, evil_paths
from served import start_server

OWN = f"/_nicegui/{nicegui.__version__}"
UPWARDS = ("../" * 12, "..%2f" * 12, "%2e%2e/" * 12, "..\\" * 12, "/", "%00/", "....//" * 12, "x" * 300 + "/")
THINGS = ("datasets", "runs", "models", "groups", "predictions")
QUERIES = (
    "/test?model=first&image=",
    "/layers?model=first&image=",
    "/test?model=",
    "/layers?model=",
    "/compare?models=",
)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, trained: Path, scenes: Path) -> Path:
    """A workspace, a folder that may be used and one that may not, with links between them."""
    return prepared(tmp_path_factory.mktemp("pages"), trained, scenes)


@pytest.fixture(scope="module")
def address(place: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Host and port of a server."""
    log = tmp_path_factory.mktemp("log") / "server.log"
    server, url = start_server(Workspace(place / "home"), log, "--root", str(place / "open"))
    yield urlsplit(url).netloc
    assert server.poll() is None
    server.terminate()
    server.wait(timeout=60)


@pytest.fixture
def ask(address: str) -> Iterator[Callable[..., tuple[int, str]]]:
    """Sends a path as it is written; gives status and content."""
    connection = http.client.HTTPConnection(address, timeout=120)

    def asked(path: str, method: str = "GET", body: bytes | None = None) -> tuple[int, str]:
        connection.putrequest(method, path, skip_accept_encoding=True)
        connection.putheader("Content-Length", str(len(body or b"")))
        connection.endheaders(body)
        answer = connection.getresponse()
        return answer.status, answer.read().decode("utf-8", "replace")

    yield asked
    connection.close()


def files(place: Path) -> dict[str, tuple[int, int]]:
    """All but what the server keeps for itself: its database, and what NiceGUI remembers of visitors."""
    return {
        str(path.relative_to(place)): (path.stat().st_size, path.stat().st_mtime_ns)
        for path in place.rglob("*")
        if path.is_file() and not path.name.startswith(("workbench.sqlite", "storage-"))
    }


def told(content: str) -> list[str]:
    """What an answer should not hold."""
    return [secret for secret in (SECRET, "root:x:", "Traceback", 'File "', "site-packages") if secret in content]


def test_pages_and_files_of_nicegui_give_nothing_away(ask: Callable[..., tuple[int, str]], place: Path) -> None:
    status, home = ask("/")
    assert status == 200
    kept = sorted({f"{kind}/{key}" for kind, key in re.findall(rf"{OWN}/(esm|resources)/([\w.-]+)/", home)})
    assert kept
    routes = ["static", "libraries", "components", "dynamic_resources", "resources/none", "esm/none", *kept]
    wanted = [f"{OWN}/{route}/{up}{file}" for route in routes for up in UPWARDS for file in ("etc/passwd", "etc/hosts")]
    wanted += [f"{OWN}/{route}/{up}{str(place)[1:]}/secret/key.txt" for route in routes for up in UPWARDS]
    wanted += [f"/{thing}/{quote(name, safe='')}" for thing in THINGS for name in EVIL_NAMES]
    wanted += [f"/{thing}/{up}etc/passwd" for thing in THINGS for up in UPWARDS]
    before, wrong = files(place), []
    for path in wanted:
        status, content = ask(path)
        if not 400 <= status < 500 or told(content):
            wrong.append(f"{path[:200]}: {status}, told {told(content)}")
    assert not wrong, f"{len(wrong)} of {len(wanted)}:\n" + "\n".join(wrong[:40])
    assert len(wanted) >= 60
    assert files(place) == before


def test_pages_for_what_may_not_be_seen_say_so_and_show_nothing(
    ask: Callable[..., tuple[int, str]], place: Path
) -> None:
    values = [*EVIL_NAMES, *(f"path:{path}" for path in evil_paths(place).values())]
    before, wrong = files(place), []
    for page in QUERIES:
        for value in values[:: 1 if "image" in page else 3]:
            status, content = ask(page + quote(value, safe="", errors="surrogatepass")[:8000])
            if status >= 500 or told(content.replace(value, "")):
                wrong.append(f"{page}{value[:100]!r}: {status}, told {told(content)}")
    assert not wrong, "\n".join(wrong[:40])
    assert files(place) == before


def test_uploads_and_messages_that_belong_to_no_page_are_refused(
    ask: Callable[..., tuple[int, str]], address: str, place: Path
) -> None:
    before = files(place)
    form = b'--x\r\nContent-Disposition: form-data; name="file"; filename="../../evil.sh"\r\n\r\nevil\r\n--x--\r\n'
    polling = "/_nicegui_ws/socket.io/?EIO=4&transport=polling"
    for path in (
        "/_nicegui/client/none/upload/1",
        "/_nicegui/client/../upload/1",
        f"{polling}&sid=none",
        "/runs/first",
    ):
        for body in (form, b"", b"4" * 100_000):
            status, content = ask(path, "POST", body)
            assert 400 <= status < 500, (path, status)
            assert not told(content)
    unknown = '{"client_id":"none","tab_id":"x","id":1,"listener_id":"x","args":[]}'
    events = ("event", "handshake", "javascript_response", "log", "ack", "too_long_message", "none")
    for words in ("hello", "40", f"42{'[' * 5000}", "4" * 50_000, *(f'42["{event}",{unknown}]' for event in events)):
        with connect(f"ws://{address}/_nicegui_ws/socket.io/?EIO=4&transport=websocket", open_timeout=120) as opened:
            opened.recv(timeout=60)
            opened.send("40")
            opened.recv(timeout=60)
            try:
                opened.send(words)
                said = opened.recv(timeout=0.3)
            except (TimeoutError, ConnectionClosed):
                said = ""
            assert not told(str(said)), words
    assert ask("/api/v1/system")[0] == 200
    assert files(place) == before
