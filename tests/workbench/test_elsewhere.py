"""Addresses under /api that lead nowhere."""

from __future__ import annotations

from starlette.testclient import TestClient


def test_they_are_told_as_problems(client: TestClient) -> None:
    for method, path, status in (
        ("GET", "/api/v1/nowhere", 404),
        ("POST", "/api/nothing", 404),
        ("DELETE", "/api/v1/home", 405),
        ("OPTIONS", "/api/v1/runs", 405),
    ):
        answer = client.request(method, path)
        assert answer.status_code == status, path
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["status"] == status
    assert client.delete("/api/v1/home").headers["allow"] == "GET"
