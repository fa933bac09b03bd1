"""Models compared by REST: scores, differences, pictures, and what is refused."""

from __future__ import annotations

import gc
import io
import os
import shutil
import time
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image
from safetensors.torch import load_file, save_file
from starlette.testclient import TestClient

from fullconv.data.dataset import Dataset
from fullconv.data.differences import COLORS, SAME, difference_states
from fullconv.data.resizing import Resize
from fullconv.prediction.evaluating import evaluate
from fullconv.prediction.model import Model
from fullconv.prediction.tiled import tiles_of
from fullconv.store.package import load_package, save_package
from fullconv.workbench.predicting import large
from fullconv.workbench.workbench import Workbench
from fullconv.workspace import Workspace

ADDRESS = "/api/v1/compare"


@pytest.fixture
def home(home: Workspace) -> Workspace:
    """With two models: the run's own, and one whose scores are turned round, which calls a class otherwise."""
    package = home.model("other")
    shutil.copytree(home.run("first") / "model", package)
    tensors = load_file(package / "model.safetensors")
    save_file({name: -value if "scores" in name else value for name, value in tensors.items()},
              package / "model.safetensors")  # fmt: skip
    card = yaml.safe_load((package / "model.yaml").read_text())
    card["name"] = "other"
    card["classes"]["classes"][0]["name"] = "firmament"
    (package / "model.yaml").write_text(yaml.safe_dump(card))
    return home


def compared(client: TestClient, **request: Any) -> dict[str, Any]:
    found = ended(client, models=["first", "other"], **request)
    assert found["state"] == "done", found
    return found


def ended(client: TestClient, **request: Any) -> dict[str, Any]:
    """A comparison as it is when it has ended, however it did."""
    answer = client.post(ADDRESS, params={"wait": 20}, json=request)
    assert answer.status_code == 202, answer.text
    found: dict[str, Any] = answer.json()
    end = time.monotonic() + 240  # other tests may take the processor
    while found["state"] in ("opening", "comparing") and time.monotonic() < end:
        found = client.get(f"{ADDRESS}/{found['id']}", params={"wait": 20}).json()
    return found


def picture(client: TestClient, id: str, number: int, side: str, **query: Any) -> np.ndarray[Any, Any]:
    answer = client.get(f"{ADDRESS}/{id}/images/{number}/{side}/picture", params=query)
    assert answer.status_code == 200, answer.text
    return np.asarray(Image.open(io.BytesIO(answer.content)).convert("RGBA"))


def test_scores_are_those_of_evaluate_and_classes_keep_their_names(client: TestClient, bench: Workbench) -> None:
    found = compared(client, dataset="streets", split="test")
    data = Dataset.load("streets", bench.home)
    alone = evaluate(Model.load("first", workspace=bench.home, device="cpu"), data.test, progress=False)
    first, other = found["models"]
    assert (first["name"], other["name"]) == ("first", "other")
    # The other model's class is one more that never occurs, and the first one never says it.
    assert first["pixel_accuracy"] == pytest.approx(alone.pixel_accuracy)
    assert first["mean_iou"] == pytest.approx(alone.mean_iou)
    names = [entry["name"] for entry in found["classes"]]
    assert names == [*data.classes.names, "firmament"]
    assert {entry["name"]: entry["lacking"] for entry in found["classes"] if entry["lacking"]} == {
        data.classes.names[0]: ["other"],
        "firmament": ["truth", "first"],
    }
    assert found["compared"] == found["images"] == len(data.test)
    assert found["pairs"] == [{"models": ["first", "other"], "share": found["disagreement"]}]


def test_pictures_show_what_the_models_say(client: TestClient, bench: Workbench) -> None:
    found = compared(client, dataset="streets", split="val")
    listed = client.get(f"{ADDRESS}/{found['id']}/images", params={"order": "first"}).json()
    data = Dataset.load("streets", bench.home).val
    assert [row["key"] for row in listed["images"]] == [sample.key for sample in data.samples]
    image, truth = data[0]
    labels = Model.load("first", workspace=bench.home, device="cpu").label(image)
    drawn = picture(client, found["id"], 0, "0", layer="labels")
    np.testing.assert_array_equal(drawn[..., :3], data.classes.colors[labels])
    assert (drawn[..., 3] == 255).all()
    true = picture(client, found["id"], 0, "truth", layer="labels")
    np.testing.assert_array_equal(true[..., 3] == 255, truth != 255)
    photo = picture(client, found["id"], 0, "truth", layer="image")
    assert np.abs(photo[..., :3].astype(int) - image).mean() < 8
    wrong = picture(client, found["id"], 0, "errors-0", layer="labels")
    right = difference_states([labels], truth) == SAME
    np.testing.assert_array_equal((wrong[..., :3] == np.array(COLORS[SAME])).all(-1), right)
    states = picture(client, found["id"], 0, "difference", layer="labels")
    colors = {tuple(color) for color in states[..., :3].reshape(-1, 3).tolist()}
    assert colors <= set(COLORS[:5])
    row = listed["images"][0]
    there = truth != 255
    assert row["pixel_accuracy"][0] == pytest.approx((labels == truth)[there].mean())


def test_images_come_in_the_order_that_is_asked_for(client: TestClient) -> None:
    found = compared(client, dataset="streets", split="train")
    address = f"{ADDRESS}/{found['id']}/images"
    rows = client.get(address).json()["images"]
    assert [row["disagreement"] for row in rows] == sorted((row["disagreement"] for row in rows), reverse=True)
    better = client.get(address, params={"order": "better"}).json()["images"]
    gains = [row["mean_iou"][1] - row["mean_iou"][0] for row in better]
    assert gains == sorted(gains, reverse=True)
    worse = client.get(address, params={"order": "worse", "limit": 1}).json()
    assert worse["images"][0]["mean_iou"] == better[-1]["mean_iou"]
    assert worse["total"] == len(rows)


def test_a_sample_and_named_images(client: TestClient, bench: Workbench) -> None:
    sampled = compared(client, dataset="streets", split="train", sample=3, seed=1)
    again = compared(client, dataset="streets", split="train", sample=3, seed=1)
    assert (sampled["images"], again["id"]) == (3, sampled["id"])
    keys = [sample.key for sample in Dataset.load("streets", bench.home).samples][-2:]
    named = compared(client, dataset="streets", keys=keys)
    rows = client.get(f"{ADDRESS}/{named['id']}/images", params={"order": "first"}).json()["images"]
    assert [row["key"] for row in rows] == keys


def test_files_have_no_truth(client: TestClient, scenes: Path) -> None:
    folder = next(path for path in scenes.rglob("images") if "test" in path.parts)
    found = compared(client, files=[str(folder)])
    assert found["with_truth"] is False
    assert found["models"][0]["mean_iou"] is None
    assert [entry["meaning"] for entry in found["key"]] == ["both the same", "different"]
    address = f"{ADDRESS}/{found['id']}/images"
    assert client.get(f"{address}/0/truth/picture", params={"layer": "labels"}).status_code == 404
    assert client.get(address, params={"order": "better"}).status_code == 409
    assert client.get(f"{address}/0/2/picture", params={"layer": "labels"}).status_code == 404
    assert client.get(f"{address}/999/0/picture").status_code == 404


def test_files_whose_names_are_no_utf8_are_compared(client: TestClient, bench: Workbench, scenes: Path) -> None:
    folder = bench.home.root / "photos"
    folder.mkdir()
    shutil.copy(next(scenes.rglob("images/*.png")), folder / os.fsdecode(b"caf\xe9.png"))
    (folder / os.fsdecode(b"no\xff.png")).write_bytes(b"no image")
    found = compared(client, files=[str(folder)])
    assert list(found["failed"]) == ["no%FF"]
    rows = client.get(f"{ADDRESS}/{found['id']}/images").json()["images"]
    assert [row["key"] for row in rows] == ["caf%E9"]


def test_a_model_without_its_weights_ends_it_with_a_sentence(client: TestClient, home: Workspace) -> None:
    (home.model("other") / "model.safetensors").unlink()
    found = ended(client, models=["first", "other"], dataset="streets")
    assert (found["state"], "model.safetensors" in (found["error"] or "")) == ("failed", True), found


def test_maps_that_were_not_kept_are_computed_again(
    client: TestClient, bench: Workbench, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = compared(client, dataset="streets", split="val")
    before = picture(client, kept["id"], 1, "1", layer="labels")
    monkeypatch.setattr("fullconv.workbench.comparisons.KEPT_MAPS", 0)
    bench.comparisons.drop(kept["id"])
    fresh = compared(client, dataset="streets", split="val")
    np.testing.assert_array_equal(picture(client, fresh["id"], 1, "1", layer="labels"), before)


def test_a_comparison_can_be_cancelled_and_forgotten(client: TestClient, bench: Workbench) -> None:
    begun = client.post(ADDRESS, json={"models": ["first", "other"], "dataset": "streets", "split": "train"}).json()
    ended = client.post(f"{ADDRESS}/{begun['id']}/cancel").json()
    assert client.get(f"{ADDRESS}/{begun['id']}", params={"wait": 20}).json()["state"] in ("cancelled", "done")
    assert ended["compared"] <= ended["images"]
    assert client.delete(f"{ADDRESS}/{begun['id']}").status_code == 204
    assert client.get(f"{ADDRESS}/{begun['id']}").status_code == 404
    assert bench.comparisons._kept == {}


def test_a_model_that_cannot_take_the_images_says_so(client: TestClient, home: Workspace) -> None:
    path = home.model("other") / "model.yaml"
    card = yaml.safe_load(path.read_text())
    card["image_dtype"] = "float32"
    path.write_text(yaml.safe_dump(card))
    found = ended(client, models=["first", "other"], dataset="streets")
    assert (found["state"], "float32" in (found["error"] or "")) == ("failed", True), found


@pytest.mark.parametrize(
    ("request_", "status", "sentence"),
    [
        ({"models": ["first"], "dataset": "streets"}, 422, "at least 2"),
        ({"models": ["first", "first"], "dataset": "streets"}, 422, "named twice"),
        ({"models": ["first", "../x"], "dataset": "streets"}, 422, "pattern"),
        ({"models": ["first", "nobody"], "dataset": "streets"}, 404, "no model or run has that name"),
        ({"models": ["first", "other:x"], "dataset": "streets"}, 422, "has no head"),
        ({"models": ["first", "other"]}, 422, "a dataset or files"),
        ({"models": ["first", "other"], "dataset": "streets", "files": ["/x"]}, 422, "a dataset or files"),
        ({"models": ["first", "other"], "dataset": "nobody"}, 404, "no dataset"),
        ({"models": ["first", "other"], "dataset": "../../etc"}, 404, "no dataset"),
        ({"models": ["first", "other"], "files": ["/etc/passwd"]}, 403, "outside the allowed folders"),
        ({"models": ["first", "other"], "files": ["x"]}, 422, "no absolute path"),
        ({"models": ["first", "other"], "files": ["/x"], "split": "test"}, 422, "belongs to a dataset"),
        ({"models": ["first", "other"], "dataset": "streets", "sample": 0}, 422, "greater"),
    ],
)
def test_what_cannot_be_compared_is_refused(
    client: TestClient, request_: dict[str, Any], status: int, sentence: str
) -> None:
    answer = client.post(ADDRESS, json=request_)
    assert (answer.status_code, sentence in answer.text) == (status, True), answer.text


def test_images_that_are_not_there_end_it_with_a_sentence(client: TestClient) -> None:
    found = ended(client, models=["first", "other"], dataset="streets", keys=["nowhere"])
    assert (found["state"], "has no image 'nowhere'" in found["error"]) == ("failed", True)


def test_links_out_of_the_allowed_folders_are_left_out(
    client: TestClient, bench: Workbench, scenes: Path, tmp_path: Path
) -> None:
    folder = bench.home.root / "photos"
    folder.mkdir()
    image = next(path for path in scenes.rglob("images/*.png"))
    shutil.copy(image, folder / "own.png")
    outside = tmp_path / "secret.png"
    shutil.copy(image, outside)
    (folder / "link.png").symlink_to(outside)
    assert compared(client, files=[str(folder)])["images"] == 1


def test_large_images_are_compared_tile_by_tile(
    client: TestClient, bench: Workbench, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = Dataset.load("streets", bench.home).val
    model = Model.load("first", workspace=bench.home, device="cpu")
    expected = [model.label(data[place][0]) for place in range(len(data))]
    monkeypatch.setattr(large, "WHOLE_PIXELS", 1000)
    monkeypatch.setattr(large, "tiles_of", lambda size, geometry: tiles_of(size, geometry, side=32))
    monkeypatch.delattr(Model, "label")  # nothing is labelled in one piece
    found = compared(client, dataset="streets", split="val")
    for place, labels in enumerate(expected):
        drawn = picture(client, found["id"], place, "0", layer="labels")
        same = (drawn[..., :3] == data.classes.colors[labels]).all(-1)
        assert same.mean() > 0.999


def test_images_that_are_too_large_for_a_model_are_told(
    client: TestClient, home: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    net, card = load_package(home.run("first") / "model")
    save_package(home.model("finer"), net, card.model_copy(update={"name": "finer", "resize": Resize(scale=4)}))
    monkeypatch.setattr(large, "WHOLE_PIXELS", 72 * 96)
    monkeypatch.setattr(large, "free_memory", lambda device: 1000.0)
    found = ended(client, models=["first", "finer"], dataset="streets", split="val")
    assert found["state"] == "failed"
    assert "the model resizes its images, so that it is not computed tile by tile" in found["error"]


def test_images_wait_for_room_in_the_memory(client: TestClient, bench: Workbench) -> None:
    memory = bench.predictor.memory
    with memory.taken(memory.limit):
        begun = client.post(ADDRESS, json={"models": ["first", "other"], "dataset": "streets", "split": "val"}).json()
        live = bench.comparisons.get(begun["id"])
        end = time.monotonic() + 240
        while live.state == "opening" and time.monotonic() < end:
            time.sleep(0.01)
        live._thread.join(timeout=0.5)
        assert (live.state, live.numbers) == ("comparing", [])
    live._thread.join(timeout=240)
    assert (live.state, memory.used) == ("done", 0)


def test_networks_are_let_go_of_when_all_images_are_compared(
    client: TestClient, bench: Workbench, home: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fullconv.workbench.comparisons.KEPT_MAPS", 0)
    opened = [bench.predictor.models.get(place) for place in (home.run("first") / "model", home.model("other"))]
    networks = [weakref.ref(one.model.net) for one in opened]
    del opened
    found = compared(client, dataset="streets", split="val")
    live = bench.comparisons.get(found["id"])
    live._thread.join(timeout=240)
    bench.predictor.models.forget(home.run("first") / "model")
    bench.predictor.models.forget(home.model("other"))
    gc.collect()
    assert [network() for network in networks] == [None, None]
    model = Model.load("first", workspace=bench.home, device="cpu")
    data = Dataset.load("streets", bench.home).val
    drawn = picture(client, found["id"], 0, "0", layer="labels")  # they are opened again
    np.testing.assert_array_equal(drawn[..., :3], data.classes.colors[model.label(data[0][0])])
    card = yaml.safe_load((home.model("other") / "model.yaml").read_text())
    card["classes"]["classes"].reverse()
    (home.model("other") / "model.yaml").write_text(yaml.safe_dump(card))
    answer = client.get(f"{ADDRESS}/{found['id']}/images/1/0/picture", params={"layer": "labels"})
    assert (answer.status_code, "a model has changed since" in answer.text) == (409, True), answer.text
