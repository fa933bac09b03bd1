"""Whatever the OpenAPI document allows, and what it does not: no answer is an accident, and all are as it says.

More of the same, for an hour's run: `API_EXAMPLES=200 pytest tests/workbench/test_schemathesis.py`.
"""

from __future__ import annotations

import os
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from starlette.types import ASGIApp, Receive, Scope, Send

from attacked_workbench import ground_of, opened, prepared
from fullconv.workbench.application import create_app
from hostile_requests import Ground, parameters

BASE = "http://127.0.0.1:8460"
SECONDS = 300.0
"""How long an answer may take: the machine has other things to do."""
EXAMPLES = int(os.environ.get("API_EXAMPLES", "4"))
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory, trained: Path, scenes: Path) -> Iterator[tuple[Any, Ground]]:
    """REST of a workbench that has something of every kind, and the values that name it; its jobs wait."""
    place = prepared(tmp_path_factory.mktemp("api"), trained, scenes)
    bench = opened(place)
    app = create_app(bench, pages=False)
    yield _not_started(app), ground_of(app, place)
    bench.engine.dispose()


def _not_started(app: ASGIApp) -> ASGIApp:
    """An application that answers, and that nobody can start: the client would for every request, and with it jobs."""

    async def answered(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "lifespan":
            await app(scope, receive, send)
            return
        for step in ("startup", "shutdown"):
            await receive()
            await send({"type": f"lifespan.{step}.complete"})

    return answered


def test_every_answer_is_as_the_document_says(ground: tuple[Any, Ground]) -> None:
    app, known = ground
    document = schemathesis.openapi.from_dict(known.document)
    document.app = app
    wrong = {}
    for found in document.get_all_operations():
        operation = found.ok()
        exact = {"path_parameters": _existing(known, operation.path, operation.method)}

        @settings(
            max_examples=EXAMPLES,
            deadline=None,
            derandomize=EXAMPLES <= 50,
            database=None,
            phases=[Phase.explicit, Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(
            case=operation.as_strategy(**exact)
            | operation.as_strategy(generation_mode=GenerationMode.NEGATIVE, **exact)
            | operation.as_strategy()
        )
        def attempt(case: schemathesis.Case) -> None:
            case.call_and_validate(base_url=BASE, checks=CHECKS, timeout=SECONDS)

        try:
            attempt()
        except (Exception, ExceptionGroup) as problem:  # one operation must not hide the others
            wrong[operation.label] = "".join(traceback.format_exception(problem))[-1500:]
    assert not wrong, "\n\n".join(f"{label}: {said}" for label, said in wrong.items())


def _existing(known: Ground, path: str, method: str) -> dict[str, Any] | None:
    """What the parameters of a path name, where that is not deleted."""
    operation = known.document["paths"][path][method.lower()]
    found = {}
    for name, form in parameters(operation, "path"):
        value = known.example(path, name)
        found[name] = int(value) if form.get("type") == "integer" else value
    return found if found and method.lower() != "delete" else None
