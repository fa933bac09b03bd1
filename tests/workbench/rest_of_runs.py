"""Runs asked for by REST."""

from __future__ import annotations

from typing import Any

from starlette.testclient import TestClient

from fullconv.workbench.api.problems import MEDIA_TYPE
from workbench.conftest import QUICK

QUICK_PLAN = {"dataset": "streets", **QUICK}
RUNS = "/api/v1/runs"


def get(client: TestClient, path: str, **query: Any) -> Any:
    answer = client.get(f"{RUNS}/{path}", params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()


def refused(answer: Any, status: int, words: str) -> None:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == MEDIA_TYPE
    assert words in answer.json()["detail"]
