"""Requests that mean harm: all refused, nothing written, nothing told."""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import zipfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from sqlmodel import select

from asgi_requests import HOST, Answer, ask
from attacked_workbench import ground_of, opened, prepared, send
from fullconv.workbench.application import create_app
from fullconv.workbench.database import reading
from fullconv.workbench.tables import Job
from fullconv.workbench.workbench import Workbench
from hostile_requests import (
    BYTES,
    EVIL_NAMES,
    EXPERIMENTS,
    JSON,
    NAMED,
    PATHS,
    PLAIN,
    PREFIXED,
    SECRET,
    Ground,
    Hostile,
    evil_bodies,
    evil_experiments,
    evil_fields,
    evil_values,
    example_body,
    json_schema,
    operations,
    parameters,
    text_fields,
)
from hostile_uploads import evil_archives, evil_packages, evil_pictures, evil_weights

FORGED = {
    "another host": (("Host", "evil.example"),),
    "a host with a user": (("Host", "evil@127.0.0.1:8460"),),
    "no host": (),
    "two hosts": (HOST, HOST),
    "another site": (HOST, ("Origin", "https://evil.example")),
    "a page without origin": (HOST, ("Origin", "null")),
    "another port": (HOST, ("Origin", "http://127.0.0.1:3000")),
    "a picture on another site": (HOST, ("Sec-Fetch-Site", "cross-site"), ("Sec-Fetch-Mode", "no-cors")),
    "another host by the way": (("Host", "evil.example"), ("X-Forwarded-Host", "127.0.0.1:8460")),
}
_ABSOLUTE = re.compile(r"(?<![\w.>/:-])/\w[\w.-]*/[\w./-]+")
"""Paths of the machine, as they stand in sentences."""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, trained: Path, scenes: Path) -> Path:
    """A workspace, a folder that may be used and one that may not, with links between them."""
    return prepared(tmp_path_factory.mktemp("place"), trained, scenes)


@pytest.fixture(scope="module")
def bench(place: Path) -> Iterator[Workbench]:
    made = opened(place)
    yield made
    made.engine.dispose()


@pytest.fixture(scope="module")
def app(bench: Workbench) -> Any:
    return create_app(bench, pages=False)


@pytest.fixture(scope="module")
def ground(app: Any, place: Path) -> Ground:
    """All routes, with what exists for each of their parameters."""
    return ground_of(app, place)


@pytest.fixture
def refused(app: Any, bench: Workbench, place: Path) -> Callable[[Iterable[Hostile]], int]:
    """Sends requests and looks that each is refused without harm; gives how many there were."""

    def attack(requests: Iterable[Hostile]) -> int:
        before, jobs = _tree(place), _jobs(bench)
        wrong, count = [], 0
        for request in requests:
            count += 1
            headers = (
                request.headers if any(name == "Host" for name, _ in request.headers) else (HOST, *request.headers)
            )
            answer = ask(
                app, request.path, method=request.method, query=request.query, headers=headers, body=[request.body]
            )
            wrong += [f"{request.name}: {what}" for what in _wrong(request, answer, place)]
        assert not wrong, f"{len(wrong)} of {count}:\n" + "\n".join(wrong[:40])
        assert _tree(place) == before
        assert _jobs(bench) == jobs
        return count

    return attack


def _wrong(request: Hostile, answer: Answer, place: Path) -> Iterator[str]:
    """What an answer does that it should not."""
    if not 400 <= answer.status < 500:
        yield f"answered with {answer.status}: {answer.body[:200]}"
    if answer.headers.get("content-type") != "application/problem+json":
        yield f"answered as {answer.headers.get('content-type')}"
    said = request.path + unquote(request.query) + request.body.decode("utf-8", "replace")
    said += "/tmp/evil.txt"  # in compressed archives
    for secret in (SECRET, "Traceback", 'File "', "site-packages", "root:x:", f"{place}/secret"):
        if secret in answer.body and secret not in said:
            yield f"told {secret!r}: {answer.body[:300]}"
    for path in _ABSOLUTE.findall(answer.body):
        if path not in said and not path.startswith((f"{place}/open", f"{place}/home", "/api/v1")):
            yield f"told where {path!r} is: {answer.body[:300]}"
    if len(answer.body) > 20_000 or "x-evil" in answer.headers:
        yield "answered at length, or with headers of the visitor's"


def _tree(place: Path) -> dict[str, Any]:
    """Everything in the workspace and beside it, files with size and time; the database is looked at by `_jobs`.

    Of folders above it, where other programs work, the names: of all there, or of what attacks would write.
    """
    found: dict[str, Any] = {
        "above": sorted(path.name for path in place.parent.iterdir()),
        "far": sorted(str(path) for folder in ("/tmp", Path.home(), "/") for path in Path(folder).glob("*evil*")),
    }
    for path in place.rglob("*"):
        if path.is_symlink() or not (path.is_file() or path.is_dir()):
            found[str(path.relative_to(place))] = path.lstat().st_mode
        elif path.is_file() and not path.name.startswith("workbench.sqlite"):
            state = path.stat()
            found[str(path.relative_to(place))] = (state.st_size, state.st_mtime_ns)
        elif path.is_dir() and ".servers" not in path.parts:  # where uploads lie on their way, and are gone
            found[str(path.relative_to(place))] = "folder"
    return found


def _jobs(bench: Workbench) -> list[dict[str, Any]]:
    with reading(bench.engine) as session:
        return [job.model_dump() for job in session.exec(select(Job).order_by(Job.id)).all()]  # type: ignore[arg-type]


def test_every_parameter_of_every_path_is_attacked(ground: Ground, refused: Callable[[Iterable[Hostile]], int]) -> None:
    assert refused(evil_values(ground)) >= 60


def test_every_document_is_attacked(ground: Ground, refused: Callable[[Iterable[Hostile]], int]) -> None:
    assert refused(evil_bodies(ground)) >= 60


def test_every_field_that_holds_a_path_is_attacked(ground: Ground, refused: Callable[[Iterable[Hostile]], int]) -> None:
    assert refused(evil_fields(ground)) >= 60


def test_every_plan_is_attacked(ground: Ground, refused: Callable[[Iterable[Hostile]], int]) -> None:
    assert refused(evil_experiments(ground)) >= 60


def test_nothing_is_left_out_of_the_attacks(ground: Ground) -> None:
    """Fails when a new route is not covered; say in `hostile_requests` or in `ground` what is new."""
    missing, known = [], PATHS | PLAIN | EXPERIMENTS | NAMED | set(PREFIXED)
    for method, path, operation in operations(ground.document):
        missing += [
            f"{path}: an example of {name!r} (fixture `ground`)"
            for name, _ in parameters(operation, "path")
            if not ground.example(path, name)
        ]
        schema = json_schema(operation)
        fields = text_fields(schema, ground.document) if schema else set()
        if fields & (PATHS | NAMED | set(PREFIXED)) and f"{method} {path}" not in ground.bodies:
            missing.append(f"{method} {path}: a good document (fixture `ground`)")
        for name, form in parameters(operation, "query"):
            fields |= text_fields(form, ground.document, name)
        missing += [
            f"{method} {path}: whether {field!r} holds a path (PATHS), a plan (EXPERIMENTS) or a word (PLAIN)"
            for field in sorted(fields - known)
        ]
        for kind in set(operation.get("requestBody", {}).get("content", {})) - {"application/json"}:
            if (method, path) not in UPLOADS:
                missing.append(f"{method} {path}: what is uploaded as {kind} (UPLOADS)")
    assert not missing, "\n".join(missing)


def test_the_attacked_documents_would_be_taken_without_the_attack(ground: Ground, app: Any, bench: Workbench) -> None:
    for name, body in ground.bodies.items():
        method, path = name.split()[:2]
        if method.lower() in ground.document["paths"].get(path, {}):
            operation = ground.document["paths"][path][method.lower()]
            jobs, runs = {job["id"] for job in _jobs(bench)}, set(bench.home.runs.iterdir())
            answer = send(app, method, ground.filled(path, operation), body)
            assert answer.status < 300, f"{method} {path}: {answer.body}"
            for number in sorted({job["id"] for job in _jobs(bench)} - jobs, reverse=True):
                bench.queue.abort(number)
                bench.queue.remove(number)
            for made in set(bench.home.runs.iterdir()) - runs:
                shutil.rmtree(made)


def _evil_headers() -> dict[str, bytes]:
    """Pictures whose header tells what they are; those whose content is wrong are found when they are looked at."""
    return {name: content for name, content in evil_pictures().items() if name != "a png without rows"}


@pytest.mark.parametrize("kind", ["dataset", "run", "model"])
@pytest.mark.parametrize("action", ["abort", "delete", "tag", "untag"])
def test_selections_of_what_is_not_there_do_nothing(
    app: Any, bench: Workbench, place: Path, kind: str, action: str
) -> None:
    before, jobs = _tree(place), _jobs(bench)
    names = [*EVIL_NAMES, *(str(path) for path in place.rglob("*.yaml"))]
    asked = {"kind": kind, "names": names, "action": action, "tag": "evil"}
    assert send(app, "POST", "/api/v1/selections", asked).status == 422, "one name is longer than any"
    asked["names"] = [name for name in names if len(name) <= 200]
    answer = send(app, "POST", "/api/v1/selections", asked)
    if action == "abort" and kind != "run":
        assert (answer.status, f"{kind}s cannot be aborted; choose runs" in answer.body) == (422, True)
    else:
        assert answer.status == 200
        assert all(found["problem"] for found in json.loads(answer.body))
    assert (_tree(place), _jobs(bench)) == (before, jobs)


@pytest.mark.parametrize("tag", ["a,b", "line\nbreak", " " * 3 + "\t", "x" * 41])
def test_tags_that_are_none_are_refused(app: Any, place: Path, tag: str) -> None:
    before = _tree(place)
    answer = send(app, "POST", "/api/v1/selections", {"kind": "run", "names": ["first"], "action": "tag", "tag": tag})
    assert answer.status in (200, 422)
    assert answer.status == 422 or json.loads(answer.body)[0]["problem"] or not tag.strip()
    assert _tree(place) == before or not tag.strip()


@pytest.fixture
def shown(place: Path) -> Iterator[Any]:
    """The same workbench, started read-only."""
    bench = opened(place, read_only=True)
    yield create_app(bench, pages=False)
    bench.engine.dispose()


CHANGES_NOTHING = {
    "POST /api/v1/datasets/check",
    "POST /api/v1/checks/{id}/choices",
    "DELETE /api/v1/checks/{id}",
    "POST /api/v1/plans",
    "POST /api/v1/plans/samples",
    "POST /api/v1/models/{name}/predict",
    "POST /api/v1/images",
    "POST /api/v1/trials",
    "POST /api/v1/compare",
    "POST /api/v1/compare/{id}/cancel",
    "DELETE /api/v1/compare/{id}",
}
"""Operations that a read-only workbench answers, though they are no questions."""


def test_read_only_refuses_everything_that_changes_something(ground: Ground, shown: Any, place: Path) -> None:
    before, wrong = _tree(place), []
    for method, path, operation in operations(ground.document):
        name = f"{method} {path}"
        if method == "GET" or name in CHANGES_NOTHING:
            continue
        bodies = [json.dumps(ground.bodies.get(name) or example_body(operation, ground.document)).encode()]
        if (method, path) in UPLOADS:
            query, kind = UPLOADS[method, path][0], BYTES
            bodies = [_zip_of_a_picture()]
        else:
            query, kind = "", JSON
        answer = ask(
            shown, ground.filled(path, operation), method=method, query=query, headers=(HOST, *kind), body=bodies
        )
        if answer.status != 403 or "looked at" not in answer.body:
            wrong.append(f"{name}: {answer.status} {answer.body[:200]}")
    assert not wrong, "\n".join(wrong)
    assert _tree(place) == before


def _zip_of_a_picture() -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("images/1.png", b"x")
    return stream.getvalue()


UPLOADS: dict[tuple[str, str], tuple[str, Callable[[], dict[str, bytes]]]] = {
    ("POST", "/api/v1/datasets/upload"): ("", evil_archives),
    ("POST", "/api/v1/models/{name}/predict"): ("", evil_pictures),
    ("POST", "/api/v1/images"): ("", _evil_headers),
    ("POST", "/api/v1/predictions/uploads"): ("model=first", _evil_headers),
    ("POST", "/api/v1/models"): ("", evil_packages),
    ("POST", "/api/v1/weights"): ("file=evil.safetensors", evil_weights),
}
"""The query that an upload needs, and what is uploaded."""


@pytest.mark.parametrize(("method", "path"), UPLOADS)
def test_every_upload_is_attacked(
    ground: Ground, refused: Callable[[Iterable[Hostile]], int], method: str, path: str
) -> None:
    operation = ground.document["paths"][path][method.lower()]
    filled = ground.filled(path, operation)
    query, made = UPLOADS[method, path]
    contents = made()
    form = (("Content-Type", "multipart/form-data; boundary=x"),)
    announced = (*BYTES, ("Content-Length", str(2**40)))
    start = b'--x\r\nContent-Disposition: form-data; name="images"; filename="../../evil.sh"\r\n\r\n'
    requests = [(name, BYTES, content) for name, content in contents.items()]
    requests += [(f"{name} in a form", form, start + content + b"\r\n--x--\r\n") for name, content in contents.items()]
    requests += [
        ("an upload of a terabyte", announced, b""),
        ("more than is taken", BYTES, os.urandom(2**20 + 1)),
        ("a form without boundary", (("Content-Type", "multipart/form-data"),), b""),
        ("a form that ends early", form, b"--x\r\nContent"),
    ]
    count = refused(
        Hostile(f"{path}: {name}", filled, method, query, headers=headers, body=body)
        for name, headers, body in requests
    )
    assert count >= 25


@pytest.mark.parametrize("forged", FORGED)
def test_forged_requests_are_refused_everywhere(
    ground: Ground, refused: Callable[[Iterable[Hostile]], int], forged: str
) -> None:
    headers = FORGED[forged] or (("Host", ""),)
    refused(
        Hostile(f"{method} {path} from {forged}", ground.filled(path, operation), method, headers=headers, body=b"{}")
        for method, path, operation in operations(ground.document)
    )


def test_places_far_behind_the_end_of_a_log_hold_nothing(app: Any, ground: Ground, place: Path) -> None:
    log = place / "home/jobs/1.log"
    log.parent.mkdir(exist_ok=True)
    log.write_text("said")
    for path in ("/api/v1/jobs/1/log", "/api/v1/runs/first/log"):
        answer = ask(app, path, query=f"offset={2**62}")
        assert (answer.status, json.loads(answer.body)) == (200, {"text": "", "offset": 2**62}), path


@pytest.mark.parametrize(
    "path",
    [
        "/api/v1/../../etc/passwd",
        "/api/v1/..%2f..%2fetc/passwd",
        "/etc/passwd",
        "//etc/passwd",
        "/static/../../etc/passwd",
        "/api/v1/datasets/streets/../../../etc/passwd",
        "/api/v2/system",
        "/api/v1",
        "/.env",
        "/.git/config",
        "/docs",
        "/redoc",
        "/workbench.sqlite",
        "/home/workbench/secret",
    ],
)
def test_what_is_no_route_is_nothing(refused: Callable[[Iterable[Hostile]], int], path: str) -> None:
    refused([Hostile(path, path)])


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE", "TRACE", "CONNECT", "PROPFIND", "BREW", "get"])
def test_methods_that_no_route_has_are_refused(refused: Callable[[Iterable[Hostile]], int], method: str) -> None:
    refused([Hostile(method, "/api/v1/system", method)])
