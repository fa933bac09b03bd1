"""The catalogue and the geometry of networks by REST."""

from __future__ import annotations

import pytest
from starlette.testclient import TestClient

from fullconv.networks.listing import list_networks


def test_the_catalogue_is_searched_by_words(client: TestClient) -> None:
    everything = client.get("/api/v1/networks").json()
    assert len(everything) == len(list_networks())
    found = client.get("/api/v1/networks", params={"search": "MobileNet features", "stride": 4, "exact": True}).json()
    assert [entry["name"] for entry in found] == ["fcn4s-mobilenet_v2-features"]
    assert found[0]["exact_tiling"] is True


def test_a_network_is_told_layer_by_layer(client: TestClient) -> None:
    found = client.get("/api/v1/networks/fcn8s-squeezenet1_1", params={"width": 320, "height": 240}).json()
    assert found["reach"] == {"up": 118, "down": 127, "left": 118, "right": 127}
    assert found["input_size"] == [240, 320]
    assert {"stride", "offset", "receptive_field"} <= found["layers"][0].keys()
    assert any("Tiles are exact" in sentence for sentence in found["summary"])
    classifier = client.get("/api/v1/networks/resnet18").json()
    assert classifier["parameters"] == 11689512


def test_a_network_is_drawn(client: TestClient) -> None:
    answer = client.get("/api/v1/networks/fcn8s-squeezenet1_1/picture")
    assert answer.headers["content-type"] == "image/svg+xml"
    assert answer.text.lstrip().startswith("<?xml")
    assert "script" not in answer.headers["content-security-policy"]


@pytest.mark.parametrize(
    "name", ["nonsense", "fcn8s-nonsense", "..%2F..%2Fetc", "fcn3s-vgg16", "vit_b_16", "a" * 200, "x.py:build", "%00"]
)
def test_what_is_no_network_is_told(client: TestClient, name: str) -> None:
    for path in (name, f"{name}/picture"):
        answer = client.get(f"/api/v1/networks/{path}", params={"width": 32, "height": 33})
        assert 400 <= answer.status_code < 500, answer.text
        assert answer.headers["content-type"] == "application/problem+json"
