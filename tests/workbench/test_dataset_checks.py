"""Folders looked at before a dataset is made: what is found, choices made afterwards, and what is refused."""

from __future__ import annotations

import io
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from starlette.testclient import TestClient

from folders import write_set
from fullconv.data import patterns
from fullconv.data.dataset import Dataset
from fullconv.workbench.workbench import Workbench


@pytest.fixture
def place(scenes: Path, tmp_path: Path) -> Iterator[Path]:
    """A folder that visitors may use."""
    folder = scenes.parent / f"place-{tmp_path.name}"
    folder.mkdir()
    yield folder
    shutil.rmtree(folder)


def checked(client: TestClient, **request: object) -> dict[str, object]:
    """A check that has ended."""
    answer = client.post("/api/v1/datasets/check", json=request)
    assert answer.status_code == 202, answer.text
    view = answer.json()
    end = time.monotonic() + 60
    while view["state"] in ("looking", "checking"):
        assert time.monotonic() < end
        view = client.get(f"/api/v1/checks/{view['id']}", params={"wait": 5}).json()
    return dict(view)


def test_a_check_says_what_the_shell_says(client: TestClient, scenes: Path, bench: Workbench) -> None:
    view = checked(client, images=str(scenes))
    dataset = Dataset.from_folders(scenes)
    facts = view["facts"]
    assert (view["state"], view["usable"], view["name"]) == ("done", True, "streets")
    assert facts["explanation"] == dataset.format.explanation == view["explanation"]
    assert [found["pixels"] for found in facts["classes"]] == dataset.statistics.pixels().tolist()
    assert [found["message"] for found in facts["problems"]] == [found.message for found in dataset.problems]
    assert {int(key): value for key, value in facts["stride_ceiling"].items()} == dataset.statistics.stride_ceiling
    assert view["pairs_found"] == 16
    assert sorted(bench.home.datasets.iterdir()) == [bench.home.datasets / "streets"], "nothing is written"


def test_pairs_are_shown_with_the_classes_chosen(client: TestClient, scenes: Path) -> None:
    view = checked(client, images=str(scenes))
    assert len(view["pairs"]) == 12
    choices = {"images": str(scenes), "recolor": {"road": "#010203"}, "drop": ["sky"], "split": "50/50"}
    chosen = client.post(f"/api/v1/checks/{view['id']}/choices", json=choices)
    assert chosen.status_code == 200, chosen.text
    facts = chosen.json()["facts"]
    assert {split: found["images"] for split, found in facts["splits"].items()} == {"train": 8, "val": 8}
    assert "sky" in [found["name"] for found in facts["ignored"]]
    assert facts["stride_ceiling"] == {}
    picture = client.get(f"/api/v1/checks/{view['id']}/pairs/0/picture", params={"layer": "labels"})
    colors = np.unique(np.asarray(Image.open(io.BytesIO(picture.content)).convert("RGBA")).reshape(-1, 4), axis=0)
    assert [1, 2, 3, 255] in colors.tolist()
    assert client.get(f"/api/v1/checks/{view['id']}/pairs/16/picture").status_code == 404
    back = client.post(f"/api/v1/checks/{view['id']}/choices", json={"images": str(scenes)}).json()
    assert back["facts"]["stride_ceiling"]


@pytest.mark.parametrize(
    ("choices", "status"),
    [({"unlabelled": "ignore"}, 409), ({"merge": {"way": ["canal"]}}, 422), ({"split": "1"}, 422)],
)
def test_choices_that_do_not_fit_are_told(
    client: TestClient, scenes: Path, choices: dict[str, object], status: int
) -> None:
    view = checked(client, images=str(scenes))
    answer = client.post(f"/api/v1/checks/{view['id']}/choices", json={"images": str(scenes), **choices})
    assert answer.status_code == status


def test_problems_come_with_what_to_do(client: TestClient, place: Path) -> None:
    root = write_set(place / "set")
    (root / "images" / "000.png").write_bytes(b"broken")
    view = checked(client, images=str(root))
    assert (view["state"], view["usable"]) == ("done", False)
    worst = view["facts"]["problems"][0]
    assert (worst["kind"], worst["severity"]) == ("unreadable-image", "error")
    assert "--allow unreadable-image" in worst["remedy"]
    assert checked(client, images=str(root), allow=["unreadable-image"])["usable"]


def test_a_folder_without_labels_fails_with_its_sentence(client: TestClient, place: Path) -> None:
    (place / "images").mkdir()
    view = checked(client, images=str(place))
    assert view["state"] == "failed"
    assert "holds no images" in view["error"]


def test_a_check_can_be_ended(client: TestClient, bench: Workbench, place: Path) -> None:
    root = write_set(place / "set", 400, size=(96, 96))
    begun = client.post("/api/v1/datasets/check", params={"wait": 0}, json={"images": str(root)}).json()
    check = bench.checks.get(begun["id"])
    assert client.delete(f"/api/v1/checks/{begun['id']}").status_code == 204
    assert client.get(f"/api/v1/checks/{begun['id']}").status_code == 404
    end = time.monotonic() + 30
    while check.running:
        assert time.monotonic() < end
        time.sleep(0.02)
    assert check.state == "cancelled"


def test_links_that_lead_out_of_the_allowed_folders_are_refused(
    client: TestClient, place: Path, tmp_path: Path
) -> None:
    secret = tmp_path / "secret.png"
    Image.new("RGB", (32, 24)).save(secret)
    root = write_set(place / "set")
    (root / "images" / "000.png").unlink()
    (root / "images" / "000.png").symlink_to(secret)
    view = checked(client, images=str(root))
    assert view["state"] == "failed"
    assert "link to a place outside the allowed folders" in view["error"]


def test_links_inside_the_allowed_folders_are_followed(client: TestClient, place: Path) -> None:
    root = write_set(place / "set")
    (place / "set2").mkdir()
    for part in ("images", "labels"):
        (place / "set2" / part).symlink_to(root / part)
    assert checked(client, images=str(place / "set2"))["state"] == "done"


def test_a_pattern_that_never_ends_does_not_hold_up_the_server(
    client: TestClient, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patterns, "SECONDS", 1.0)
    root = write_set(place / "set")
    for part in ("images", "labels"):
        (root / part / "000.png").rename(root / part / ("a" * 60 + "!.png"))
    view = checked(client, images=str(root), group_by="(a+)+$")
    assert view["state"] == "failed"
    assert "takes too long" in view["error"]


def test_only_so_many_look_at_the_same_time(client: TestClient, bench: Workbench, place: Path) -> None:
    root = write_set(place / "set", 300, size=(96, 96))
    answers = [client.post("/api/v1/datasets/check", params={"wait": 0}, json={"images": str(root)}) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [202, 202, 503]
    for answer in answers[:2]:
        client.delete(f"/api/v1/checks/{answer.json()['id']}")
    for check in bench.checks._started:  # which may still hold a file
        check._thread.join(60)


def test_folders_are_listed_within_the_roots(client: TestClient, scenes: Path) -> None:
    roots = client.get("/api/v1/folders").json()
    assert str(scenes.parent) in [folder["path"] for folder in roots["folders"]]
    inside = client.get("/api/v1/folders", params={"path": str(scenes / "train")}).json()
    assert [(folder["name"], folder["images"]) for folder in inside["folders"]] == [("images", 11), ("labels", 11)]
    assert client.get("/api/v1/folders", params={"path": "/etc"}).status_code == 403


def test_unknown_checks_are_not_there(client: TestClient) -> None:
    assert client.get("/api/v1/checks/0123456789abcdef").status_code == 404
    assert client.get("/api/v1/checks/nonsense").status_code == 422


def test_a_name_that_is_no_utf8_is_told_with_its_bytes(client: TestClient, place: Path) -> None:
    write_set(place)
    (place / os.fsdecode(b"caf\xe9")).symlink_to("/etc")
    assert r"caf\udce9: holds a link" in str(checked(client, images=str(place))["error"])
    answer = client.post("/api/v1/datasets", json={"name": "new", "images": str(place)})
    assert (answer.status_code, r"caf\udce9: holds a link" in answer.json()["detail"]) == (403, True), answer.text
