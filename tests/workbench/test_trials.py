"""Trials: an image on a model, its tiles, its truth."""

from __future__ import annotations

import asyncio
import io
import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image
from starlette.testclient import TestClient

from fullconv.data.dataset import Dataset
from fullconv.evaluation.counting import count_confusion
from fullconv.evaluation.scores import Scores
from fullconv.prediction.model import Model
from fullconv.prediction.tiled import tiles_of
from fullconv.workbench.application import create_app
from fullconv.workbench.predicting import large, predictor
from fullconv.workbench.trials import kept
from fullconv.workbench.trials.pyramid import FRAME, NO_CLASS, TILE, Pyramid, level_count
from fullconv.workbench.trials.views import TrialView
from fullconv.workbench.workbench import Workbench
from fullconv.workspace import Workspace

TRIALS = "/api/v1/trials"
KEY = "test/scene_00014"


def tile(client: TestClient, trial: str, layer: str, level: int, column: int, row: int) -> npt.NDArray[np.uint8]:
    answer = client.get(f"{TRIALS}/{trial}/tiles/{layer}/{level}/{column}/{row}")
    assert answer.status_code == 200, answer.text
    return np.asarray(Image.open(io.BytesIO(answer.content)))


def classes_in(packed: npt.NDArray[np.uint8]) -> npt.NDArray[np.int64]:
    return packed[..., 0].astype(np.int64) + 256 * packed[..., 1].astype(np.int64)


@pytest.fixture(scope="module")
def dataset(trained: Path) -> Dataset:
    return Dataset.load("streets", Workspace(trained))


@pytest.fixture(scope="module")
def model(trained: Path) -> Model:
    return Model.load("first", workspace=Workspace(trained))


def test_a_trial_of_a_datasets_image_has_its_prediction_truth_and_scores(
    client: TestClient, dataset: Dataset, model: Model
) -> None:
    told = client.post(TRIALS, json={"model": "first", "image": f"dataset:streets:{KEY}"}).json()
    sample = next(sample for sample in dataset if sample.key == KEY)
    expected, truth = model.predict(sample.image, probabilities=True), dataset.read_label(sample)
    assert (told["state"], told["kind"], told["levels"]) == ("done", "run", 1)
    assert {entry["name"]: entry["share"] for entry in told["classes"]} == expected.shares
    names = expected.classes.names
    scores = Scores.from_confusion(count_confusion(truth, expected.labels, len(names)), names)
    assert told["pixel_accuracy"] == pytest.approx(scores.pixel_accuracy)
    assert told["mean_iou"] == pytest.approx(scores.mean_iou)
    assert told["undefined"] == pytest.approx((truth == 255).mean())
    assert client.get(f"{TRIALS}/{told['id']}").json() == told

    packed = tile(client, told["id"], "labels", 0, 0, 0)[FRAME:-FRAME, FRAME:-FRAME]
    np.testing.assert_array_equal(classes_in(packed), expected.labels)
    assert expected.probabilities is not None
    np.testing.assert_array_equal(packed[..., 2], np.rint(255 * expected.probabilities.max(axis=0)))
    known = tile(client, told["id"], "truth", 0, 0, 0)[FRAME:-FRAME, FRAME:-FRAME]
    np.testing.assert_array_equal(classes_in(known), np.where(truth == 255, NO_CLASS, truth))
    np.testing.assert_array_equal(tile(client, told["id"], "image", 0, 0, 0), expected.image)


def test_a_trial_of_a_path_or_an_upload_has_no_truth(client: TestClient, dataset: Dataset) -> None:
    path = next(sample.image for sample in dataset if sample.key == KEY)
    held = client.post("/api/v1/images", content=path.read_bytes()).json()["image"]
    for image in (f"path:{path}", held):
        told = client.post(TRIALS, json={"model": "first", "kind": "run", "image": image}).json()
        assert (told["state"], told["undefined"], told["mean_iou"]) == ("done", None, None)
        answer = client.get(f"{TRIALS}/{told['id']}/tiles/truth/0/0/0")
        assert answer.status_code == 404


@pytest.mark.parametrize(
    ("wish", "status"),
    [
        ({"model": "absent", "image": "shapes"}, 404),
        ({"model": "../up", "image": "shapes"}, 422),
        ({"model": "first", "kind": "model", "image": "shapes"}, 404),
        ({"model": "first", "image": "dataset:streets:nothing"}, 404),
        ({"model": "first", "image": "dataset:absent:x"}, 404),
        ({"model": "first", "image": "path:/etc/passwd"}, 403),
        ({"model": "first", "image": "upload:AAAAAAAAAAAAAAAAAAAAAAAA"}, 404),
        ({"model": "first", "image": "nonsense"}, 422),
        ({"model": "first", "head": "depth", "image": "shapes"}, 422),
    ],
)
def test_what_cannot_be_tried_is_refused(client: TestClient, wish: dict[str, str], status: int) -> None:
    answer = client.post(TRIALS, json=wish)
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"


def test_tiles_outside_are_not_there(client: TestClient) -> None:
    told = client.post(TRIALS, json={"model": "first", "image": "shapes"}).json()
    for place in ("labels/1/0/0", "image/0/1/0", "image/0/0/7", "truth/0/0/0"):
        assert client.get(f"{TRIALS}/{told['id']}/tiles/{place}").status_code == 404
    assert client.get(f"{TRIALS}/{told['id']}/tiles/secrets/0/0/0").status_code == 422
    assert client.get(f"{TRIALS}/AAAAAAAAAAAAAAAAAAAAAAAA").status_code == 404


def test_a_large_image_goes_on_beside_and_tells_how_far_it_is(
    bench: Workbench, dataset: Dataset, model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photo = np.asarray(Image.open(next(sample.image for sample in dataset if sample.key == KEY)))
    pixels = np.tile(photo, (8, 9, 1))
    monkeypatch.setattr(large, "WHOLE_PIXELS", 100_000)
    monkeypatch.setattr(large, "tiles_of", lambda size, geometry: tiles_of(size, geometry, side=256))
    seen = []
    with TestClient(create_app(bench, pages=False), base_url="http://127.0.0.1:8460") as client:
        stream = io.BytesIO()
        Image.fromarray(pixels).save(stream, "PNG")
        held = client.post("/api/v1/images", content=stream.getvalue()).json()["image"]
        told = client.post(TRIALS, json={"model": "first", "image": held}).json()
        assert (told["state"], told["levels"]) == ("computing", level_count(*pixels.shape[:2]))
        assert client.get(f"{TRIALS}/{told['id']}/tiles/image/0/0/0").status_code in (200, 404)
        end = time.monotonic() + 60
        while told["state"] == "computing":
            assert time.monotonic() < end
            told = client.get(f"{TRIALS}/{told['id']}").json()
            seen.append(told["progress"])
        assert told["state"] == "done", told["error"]
        assert seen == sorted(seen)
        whole = model.predict(pixels).labels
        level = told["levels"] - 1
        packed = tile(client, told["id"], "labels", level, 1, 0)
        part = whole[:TILE, TILE : 2 * TILE]
        assert (classes_in(packed[FRAME:-FRAME, FRAME:-FRAME]) == part).mean() > 0.999
        coarse = classes_in(tile(client, told["id"], "labels", 0, 0, 0)[FRAME:-FRAME, FRAME:-FRAME])
        assert (coarse == whole[:: 2**level, :: 2**level]).mean() > 0.999


def test_tiles_of_labels_have_their_neighbours_around_them(tmp_path: Path) -> None:
    labels = np.random.default_rng(0).integers(0, 4, (700, 1100)).astype(np.uint8)
    image = np.zeros((700, 1100, 3), dtype=np.uint8)
    pyramid = Pyramid.build(tmp_path, image, labels, labels, None, classes=3)
    packed = classes_in(np.asarray(Image.open(io.BytesIO(pyramid.tile("labels", 2, 1, 0)))))
    around = labels[: TILE + FRAME, TILE - FRAME : 2 * TILE + FRAME].astype(np.int64)
    np.testing.assert_array_equal(packed[FRAME:], np.where(around < 3, around, NO_CLASS))
    np.testing.assert_array_equal(packed[:FRAME], np.broadcast_to(packed[FRAME], packed[:FRAME].shape))
    edge = np.asarray(Image.open(io.BytesIO(pyramid.tile("labels", 2, 2, 1))))
    assert edge.shape[:2] == (700 - TILE + 2 * FRAME, 1100 - 2 * TILE + 2 * FRAME)
    assert np.asarray(Image.open(io.BytesIO(pyramid.tile("image", 0, 0, 0)))).shape == (175, 275, 3)


def test_a_large_image_whose_network_fails_is_told_as_failed(bench: Workbench, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object, **__: object) -> None:
        raise RuntimeError("out of luck")

    monkeypatch.setattr(large, "WHOLE_PIXELS", 1)
    monkeypatch.setattr(predictor, "Canvas", fails)
    with TestClient(create_app(bench, pages=False), base_url="http://127.0.0.1:8460") as client:
        told = client.post(TRIALS, json={"model": "first", "image": "shapes"}).json()
        end = time.monotonic() + 60
        while told["state"] == "computing":
            assert time.monotonic() < end
            told = client.get(f"{TRIALS}/{told['id']}").json()
        assert told["state"] == "failed"
        assert "RuntimeError" in told["error"]
        assert bench.predictor.memory.used == 0


def test_trials_that_compute_stay(bench: Workbench, client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept, "KEPT", 1)
    view = TrialView.model_validate(client.post(TRIALS, json={"model": "first", "image": "shapes"}).json())
    going_on = [bench.trials.add(view.model_copy(update={"id": name, "state": "computing"})) for name in "ab"]
    client.post(TRIALS, json={"model": "first", "image": "shapes"})
    assert [bench.trials.get(trial.view.id) for trial in going_on] == going_on
    assert client.get(f"{TRIALS}/{view.id}").status_code == 404


def test_old_trials_make_room_for_new_ones(
    client: TestClient, bench: Workbench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept, "KEPT", 2)
    made = [client.post(TRIALS, json={"model": "first", "image": "shapes"}).json()["id"] for _ in range(3)]
    statuses = [client.get(f"{TRIALS}/{name}").status_code for name in made]
    assert statuses == [404, 200, 200]
    assert len(list((bench.scratch.root / "trials").iterdir())) == 2
    bench.trials.close()
    assert client.get(f"{TRIALS}/{made[-1]}").status_code == 404


def test_old_trials_are_deleted_beside_those_who_look_at_others(
    client: TestClient, bench: Workbench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept, "KEPT", 1)
    real, seen = shutil.rmtree, []

    def rmtree(folder: Path, **options: Any) -> None:
        with pytest.raises(RuntimeError, match="no running event loop"):
            asyncio.get_running_loop()
        seen.append(bench.trials._lock.locked())
        real(folder, **options)

    monkeypatch.setattr(kept.shutil, "rmtree", rmtree)
    for _ in range(2):
        client.post(TRIALS, json={"model": "first", "image": "shapes"})
    assert seen == [False]
