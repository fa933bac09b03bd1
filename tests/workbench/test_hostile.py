"""Requests that mean harm: all refused, nothing written, nothing told."""

from __future__ import annotations

import os
import shutil
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
    EXPERIMENTS,
    NAMED,
    PATHS,
    PLAIN,
    PREFIXED,
    SECRET,
    Ground,
    Hostile,
    attacked_fields,
    evil_bodies,
    evil_experiments,
    evil_fields,
    evil_values,
    json_schema,
    operations,
    parameters,
    text_fields,
)
from hostile_uploads import evil_archives, evil_pictures

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
        before, jobs = _files(place), _jobs(bench)
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
        assert _files(place) == before
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
    for secret in (SECRET, "Traceback", 'File "', "site-packages", "root:x:", f"{place}/secret"):
        if secret in answer.body and secret not in said:
            yield f"told {secret!r}: {answer.body[:300]}"
    if len(answer.body) > 20_000 or "x-evil" in answer.headers:
        yield "answered at length, or with headers of the visitor's"


def _files(place: Path) -> dict[str, tuple[int, int]]:
    """Every file with its size and time, but the database, which is looked at by `_jobs`."""
    found = {}
    for path in place.rglob("*"):
        if path.is_file() and not path.name.startswith("workbench.sqlite"):
            state = path.stat()
            found[str(path.relative_to(place))] = (state.st_size, state.st_mtime_ns)
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
        for name, form in parameters(operation, "query"):
            fields |= text_fields(form, ground.document, name)
        missing += [
            f"{method} {path}: whether {field!r} holds a path (PATHS), a plan (EXPERIMENTS) or a word (PLAIN)"
            for field in sorted(fields - known)
        ]
        if attacked_fields(ground.document, operation) and f"{method} {path}" not in ground.bodies:
            missing.append(f"{method} {path}: a good document (fixture `ground`)")
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


UPLOADS = {
    ("POST", "/api/v1/datasets/upload"): evil_archives,
    ("POST", "/api/v1/models/{name}/predict"): evil_pictures,
    ("POST", "/api/v1/images"): _evil_headers,
}


@pytest.mark.parametrize(("method", "path"), UPLOADS)
def test_every_upload_is_attacked(
    ground: Ground, refused: Callable[[Iterable[Hostile]], int], method: str, path: str
) -> None:
    operation = ground.document["paths"][path][method.lower()]
    filled = ground.filled(path, operation)
    contents = UPLOADS[method, path]()
    requests = [
        Hostile(f"{path}: {name}", filled, method, headers=BYTES, body=content) for name, content in contents.items()
    ]
    announced = (*BYTES, ("Content-Length", str(2**40)))
    requests.append(Hostile(f"{path}: an upload of a terabyte", filled, method, headers=announced))
    requests.append(Hostile(f"{path}: more than is taken", filled, method, headers=BYTES, body=os.urandom(2**20 + 1)))
    form = (("Content-Type", "multipart/form-data; boundary=x"),)
    for name, content in contents.items():
        part = b'--x\r\nContent-Disposition: form-data; name="images"; filename="../../evil.sh"\r\n\r\n'
        body = part + content + b"\r\n--x--\r\n"
        requests.append(Hostile(f"{path}: {name} in a form", filled, method, headers=form, body=body))
    requests.append(
        Hostile(f"{path}: a form without boundary", filled, method, headers=(("Content-Type", "multipart/form-data"),))
    )
    requests.append(Hostile(f"{path}: a form that ends early", filled, method, headers=form, body=b"--x\r\nContent"))
    assert refused(requests) >= 25


@pytest.mark.parametrize("forged", FORGED)
def test_forged_requests_are_refused_everywhere(
    ground: Ground, refused: Callable[[Iterable[Hostile]], int], forged: str
) -> None:
    headers = FORGED[forged] or (("Host", ""),)
    refused(
        Hostile(f"{method} {path} from {forged}", ground.filled(path, operation), method, headers=headers, body=b"{}")
        for method, path, operation in operations(ground.document)
    )


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
