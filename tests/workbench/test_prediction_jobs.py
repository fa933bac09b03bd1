"""Many images, and whole datasets, on a model: as jobs."""

from __future__ import annotations

import csv
import io
import os
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from starlette.testclient import TestClient

from fullconv.data.dataset import Dataset
from fullconv.prediction.evaluating import evaluate
from fullconv.prediction.folder import predict_files
from fullconv.prediction.model import Model
from fullconv.workbench.application import create_app
from fullconv.workbench.jobs.kinds import JobContext
from fullconv.workbench.jobs.reporting import Reporter
from fullconv.workbench.settings import ServerSettings, Slots
from fullconv.workbench.stored import RESULTS, StoredPrediction, add_stored, now
from fullconv.workbench.work.prediction import predict_folder
from fullconv.workbench.workbench import Workbench
from fullconv.workspace import Workspace

Work = Callable[[int], None]


@pytest.fixture(scope="module")
def model(trained: Path) -> Model:
    return Model.load("first", workspace=Workspace(trained))


def test_a_folder_is_predicted_as_a_job_and_taken_away(
    client: TestClient, work: Work, scenes: Path, model: Model
) -> None:
    folder = scenes / "test" / "images"
    job = client.post("/api/v1/predictions", json={"model": "first", "folder": str(folder)}).json()
    assert (job["kind"], job["state"], job["device"]) == ("predict", "queued", "either")
    name = job["subject"].removeprefix("prediction:")
    waiting = client.get(f"/api/v1/predictions/{name}").json()
    assert (waiting["done"], waiting["total"], waiting["job"]) == (False, 0, job["id"])
    assert client.delete(f"/api/v1/predictions/{name}").status_code == 409
    work(job["id"])
    done = client.get(f"/api/v1/jobs/{job['id']}").json()
    files = sorted(folder.glob("*.png"))
    assert (done["state"], done["result"]["images"]) == ("done", len(files)), done
    found = client.get(f"/api/v1/predictions/{name}").json()
    assert (found["done"], found["total"], found["source"]) == (True, len(files), str(folder))
    first = found["images"][0]
    expected = model.predict(folder / f"{first['name']}.png")
    shares = {title: round(share, 6) for title, share in expected.shares.items() if share}
    assert first["shares"] == pytest.approx(shares)
    answer = client.get(f"/api/v1/predictions/{name}/images/0")
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(answer.content))), expected.ids)
    small = client.get(f"/api/v1/predictions/{name}/images/0", params={"view": "overlay", "size": 64})
    assert small.headers["content-type"] == "image/jpeg"
    assert max(Image.open(io.BytesIO(small.content)).size) == 64
    with zipfile.ZipFile(io.BytesIO(client.get(f"/api/v1/predictions/{name}/download").content)) as archive:
        names = {entry.removeprefix(f"{name}/") for entry in archive.namelist()}
        assert names == {"shares.csv", *(f.name for f in files), *(f"{f.stem}_overlay.png" for f in files)}
        rows = list(csv.reader(archive.read(f"{name}/shares.csv").decode().splitlines()))
        assert len(rows) == len(files) + 1
    assert [entry["name"] for entry in client.get("/api/v1/predictions").json()] == [name]
    assert client.get(f"/api/v1/predictions/{name}/images/99").status_code == 404
    assert client.delete(f"/api/v1/predictions/{name}").status_code == 204
    assert client.get(f"/api/v1/predictions/{name}").status_code == 404


def test_uploads_become_a_job_and_broken_ones_are_refused(client: TestClient, work: Work, scenes: Path) -> None:
    content = sorted((scenes / "test" / "images").glob("*.png"))[0].read_bytes()
    form = [("images", ("a.png", content)), ("images", ("deep/a.png", content)), ("images", ("b.strange", content))]
    broken = client.post("/api/v1/predictions/uploads", params={"model": "first"}, files=[("i", ("x.png", b"no"))])
    assert (broken.status_code, "x.png" in broken.json()["detail"]) == (422, True)
    job = client.post("/api/v1/predictions/uploads", params={"model": "first"}, files=form).json()
    work(job["id"])
    found = client.get(f"/api/v1/predictions/{job['subject'].partition(':')[2]}").json()
    assert {image["name"] for image in found["images"]} == {"a", "a-2", "b"}
    assert (found["done"], found["source"]) == (True, None)


def test_links_out_of_the_allowed_folders_are_not_followed(
    client: TestClient, work: Work, scenes: Path, tmp_path: Path, bench: Workbench
) -> None:
    outside = tmp_path / "secret.png"
    Image.new("RGB", (32, 32)).save(outside)
    folder = scenes / "links"
    folder.mkdir()
    (folder / "link.png").symlink_to(outside)
    try:
        job = client.post("/api/v1/predictions", json={"model": "first", "folder": str(folder)}).json()
        work(job["id"])
        ended = bench.queue.get(job["id"])
        assert (ended.state, "outside the allowed folders" in str(ended.error)) == ("failed", True)
    finally:
        (folder / "link.png").unlink()
        folder.rmdir()


def test_a_model_is_scored_on_a_split_as_a_job(client: TestClient, work: Work, home: Workspace, model: Model) -> None:
    wish = {"model": "first", "dataset": "streets", "split": "val"}
    job = client.post("/api/v1/evaluations", json=wish).json()
    name = job["subject"].removeprefix("evaluation:")
    assert client.get(f"/api/v1/evaluations/{name}/report").status_code == 404
    work(job["id"])
    told = client.get(f"/api/v1/evaluations/{name}").json()
    expected = evaluate(model, Dataset.load("streets", home).val, progress=False)
    assert told["done"], client.get(f"/api/v1/jobs/{job['id']}").json()
    assert told["mean_iou"] == pytest.approx(expected.mean_iou)
    assert told["images"] == len(Dataset.load("streets", home).val)
    scores = client.get(f"/api/v1/evaluations/{name}/scores").json()
    assert scores["scores"]["confusion"] == expected.confusion.tolist()
    report = client.get(f"/api/v1/evaluations/{name}/report")
    assert report.text.startswith("<!doctype html>")
    assert "sandbox" in report.headers["content-security-policy"]
    assert [entry["name"] for entry in client.get("/api/v1/evaluations").json()] == [name]
    assert client.delete(f"/api/v1/evaluations/{name}").status_code == 204
    assert client.get("/api/v1/evaluations").json() == []


@pytest.mark.parametrize(
    ("address", "wish", "status"),
    [
        ("predictions", {"model": "first", "folder": "/etc"}, 403),
        ("predictions", {"model": "first", "folder": "relative"}, 422),
        ("predictions", {"model": "absent", "folder": "/tmp"}, 403),
        ("predictions", {"model": "../x", "folder": "/tmp"}, 422),
        ("evaluations", {"model": "first", "dataset": "absent"}, 404),
        ("evaluations", {"model": "absent", "dataset": "streets"}, 404),
        ("evaluations", {"model": "first", "dataset": "streets", "split": "holdout"}, 422),
        ("evaluations", {"model": "first", "dataset": "streets", "head": "depth"}, 422),
    ],
)
def test_what_cannot_be_done_is_refused_and_leaves_nothing(
    client: TestClient, home: Workspace, address: str, wish: dict[str, str], status: int
) -> None:
    answer = client.post(f"/api/v1/{address}", json=wish)
    assert answer.status_code == status, answer.text
    assert not list((home.root / address).glob("*"))
    assert client.get("/api/v1/jobs").json() == []


def test_a_read_only_workbench_starts_no_jobs_and_still_predicts(home: Workspace, scenes: Path) -> None:
    bench = Workbench(ServerSettings(home, read_only=True, roots=(scenes,)))
    content = sorted((scenes / "test" / "images").glob("*.png"))[0].read_bytes()
    with TestClient(create_app(bench, pages=False), base_url="http://127.0.0.1:8460") as client:
        for address, wish in (
            ("predictions", {"model": "first", "folder": str(scenes)}),
            ("evaluations", {"model": "first", "dataset": "streets"}),
        ):
            assert client.post(f"/api/v1/{address}", json=wish).status_code == 403
        assert client.post("/api/v1/models/first/predict", content=content).status_code == 200
        assert client.post("/api/v1/trials", json={"model": "first", "image": "shapes"}).status_code == 201
    assert not (home.root / "predictions").exists()


def test_damaged_documents_are_problems_and_not_crashes(client: TestClient, home: Workspace) -> None:
    place = home.root / "evaluations" / "broken"
    place.mkdir(parents=True)
    (place / "evaluation.yaml").write_text("format: 7\n")
    answer = client.get("/api/v1/evaluations/broken")
    assert (answer.status_code, "format" in answer.json()["detail"]) == (409, True)
    assert client.get("/api/v1/evaluations").json() == []


def test_images_whose_names_are_no_utf8_are_predicted_and_shown(
    client: TestClient, bench: Workbench, scenes: Path
) -> None:
    folder = bench.home.root / "photos"
    folder.mkdir()
    content = sorted((scenes / "test" / "images").glob("*.png"))[0].read_bytes()
    (folder / os.fsdecode(b"caf\xe9.png")).write_bytes(content)
    (folder / os.fsdecode(b"no\xff.png")).write_bytes(b"no image")
    asked = client.post("/api/v1/predictions", json={"model": "first", "folder": str(folder)}).json()
    job = bench.queue.claim(Slots(cpu=1))
    assert job is not None
    reporter = Reporter(bench.queue, job.id or 0, job.claim or "")
    assert predict_folder(job.payload, JobContext(bench.home, reporter))["failed"] == 1
    address = f"/api/v1/predictions/{asked['subject'].removeprefix('prediction:')}"
    found = client.get(address).json()
    assert found["done"]
    assert [image["name"] for image in found["images"]] == ["caf%E9"]
    assert [failed["image"] for failed in found["failed"]] == ["no%FF.png"]
    assert client.get(f"{address}/images/0", params={"view": "overlay", "size": 64}).status_code == 200
    assert client.get(f"{address}/download").status_code == 200


def test_pictures_are_shown_whatever_pillow_thinks_of_their_size(
    client: TestClient, bench: Workbench, model: Model, scenes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = StoredPrediction(model="first", kind="run", created=now())
    name = add_stored(bench.home, asked, "large")
    predict_files(model, [scenes / "test" / "images"], bench.home.root / "predictions" / name / RESULTS)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    answer = client.get(f"/api/v1/predictions/{name}/images/0", params={"view": "overlay", "size": 16})
    assert answer.status_code == 200, answer.text
    assert Image.open(io.BytesIO(answer.content)).size == (16, 12)
