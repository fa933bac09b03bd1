"""Datasets by REST and as jobs: made, described, annotated, changed and deleted; and by the services below."""

from __future__ import annotations

import shutil
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from fullconv.data.dataset import Dataset
from fullconv.data.stored_index import open_index
from fullconv.workbench.services.dataset_folders import FORGOTTEN_SECONDS, forget_uploads
from fullconv.workbench.workbench import Workbench

Work = Callable[[int], None]


def made(client: TestClient, work: Work, **request: object) -> dict[str, object]:
    """A dataset made by REST, as REST shows it; the job must succeed."""
    answer = client.post("/api/v1/datasets", json=request)
    assert answer.status_code == 202, answer.text
    work(answer.json()["id"])
    job = client.get(f"/api/v1/jobs/{answer.json()['id']}").json()
    assert (job["state"], job["error"]) == ("done", None)
    return dict(client.get(f"/api/v1/datasets/{request['name']}").json())


def wait_until_counted(bench: Workbench) -> None:
    """Until the classes of every single image are known."""
    end = time.monotonic() + 60
    while not bench.datasets.open("streets").index.complete:
        bench.datasets.counted("streets")
        assert time.monotonic() < end
        time.sleep(0.05)


def test_a_dataset_is_made_of_folders_with_all_options(
    client: TestClient, work: Work, scenes: Path, bench: Workbench
) -> None:
    facts = made(
        client,
        work,
        name="few",
        images=str(scenes),
        split="50/50",
        merge={"way": ["road", "sidewalk"]},
        drop=["sky"],
        recolor={"way": "#0a0b0c"},
        seed=3,
        group_by="none",
    )
    names = [found["name"] for found in facts["classes"]]
    assert "way" in names
    assert "sky" not in names
    assert next(found["color"] for found in facts["classes"] if found["name"] == "way") == [10, 11, 12]
    assert {split: found["images"] for split, found in facts["splits"].items()} == {"train": 8, "val": 8}
    assert facts["counted"] == facts["images"] == 16
    assert sum(found["share"] for found in facts["classes"]) == pytest.approx(1)
    assert list(Dataset.load("few", bench.home).classes.names) == names


def test_facts_are_those_of_the_library(client: TestClient, bench: Workbench) -> None:
    dataset = Dataset.load("streets", bench.home)
    facts = client.get("/api/v1/datasets/streets").json()
    assert [found["name"] for found in facts["classes"]] == list(dataset.classes.names)
    assert [found["pixels"] for found in facts["classes"]] == dataset.statistics.pixels().tolist()
    assert facts["fingerprint"] == dataset.fingerprint
    assert facts["needed_by"] == ["first"]
    assert facts["stride_ceiling"] == {str(key): value for key, value in dataset.statistics.stride_ceiling.items()}


def test_the_list_is_that_of_the_catalogue(client: TestClient) -> None:
    found = client.get("/api/v1/datasets", params={"search": "STREE"}).json()
    assert [entry["name"] for entry in found["entries"]] == ["streets"]
    assert client.get("/api/v1/datasets", params={"search": "none"}).json()["total"] == 0


def test_a_job_that_finds_errors_says_which_and_leaves_nothing(
    client: TestClient, work: Work, scenes: Path, tmp_path: Path, bench: Workbench
) -> None:
    broken = scenes.parent / f"broken-{tmp_path.name}"
    shutil.copytree(scenes, broken)
    next(broken.rglob("images/*.png")).write_bytes(b"no picture")
    job = client.post("/api/v1/datasets", json={"name": "broken", "images": str(broken)}).json()
    work(job["id"])
    ended = client.get(f"/api/v1/jobs/{job['id']}").json()
    assert ended["state"] == "failed"
    assert "cannot be read as an image" in ended["error"]
    assert not (bench.home.datasets / "broken").exists()
    made(client, work, name="broken", images=str(broken), allow=["unreadable-image"])
    shutil.rmtree(broken)


@pytest.mark.parametrize(
    ("change", "status", "said"),
    [
        ({"name": "streets"}, 409, "exists already"),
        ({"name": "../up"}, 422, "name"),
        ({"images": "/etc"}, 403, "outside the allowed folders"),
        ({"images": "relative"}, 422, "no absolute path"),
        ({"labels": "/etc/passwd"}, 403, "labels"),
        ({"classes": "/etc/passwd"}, 403, "classes"),
        ({"lists": {"train": "/etc/passwd"}}, 403, "lists.train"),
        ({"lists": {"holdout": "/etc/passwd"}}, 422, "lists"),
        ({"split": "70/70"}, 422, "adds up to 140"),
        ({"format": "nonsense"}, 422, "format"),
        ({"seed": -1}, 422, "seed"),
        ({"group_by": "(a+"}, 422, "no regular expression"),
        ({"colour": "red"}, 422, "colour"),
    ],
)
def test_what_cannot_be_made_is_refused_before_a_job_waits(
    client: TestClient, scenes: Path, change: dict[str, object], status: int, said: str
) -> None:
    answer = client.post("/api/v1/datasets", json={"name": "few", "images": str(scenes), **change})
    assert (answer.status_code, said in answer.text) == (status, True), answer.text
    assert client.get("/api/v1/jobs").json() == []


def test_tags_and_note_lie_beside_the_dataset(client: TestClient, bench: Workbench) -> None:
    notes = {"tags": ["day", "clean"], "note": "<b>from the car</b>"}
    assert client.put("/api/v1/datasets/streets/annotations", json=notes).status_code == 200
    facts = client.get("/api/v1/datasets/streets").json()
    assert (facts["tags"], facts["note"]) == (["day", "clean"], "<b>from the car</b>")
    assert [entry["name"] for entry in client.get("/api/v1/datasets", params={"tag": "clean"}).json()["entries"]] == [
        "streets"
    ]


def test_a_dataset_that_a_run_names_stays(client: TestClient, bench: Workbench) -> None:
    answer = client.delete("/api/v1/datasets/streets")
    assert answer.status_code == 409
    assert "the run first needs it" in answer.json()["detail"]
    assert (bench.home.datasets / "streets").is_dir()


def test_a_dataset_that_nobody_needs_goes_and_its_files_stay(client: TestClient, work: Work, scenes: Path) -> None:
    made(client, work, name="few", images=str(scenes))
    assert client.delete("/api/v1/datasets/few").status_code == 204
    assert client.get("/api/v1/datasets/few").status_code == 404
    assert len(list(scenes.rglob("images/*.png"))) == 16


def test_missing_datasets_and_wrong_names_are_told(client: TestClient) -> None:
    for path in ("/none", "/none/images", "/none/images/0", "/none/images/0/picture", "/none/copies"):
        assert client.get(f"/api/v1/datasets{path}").status_code == 404, path
    assert client.delete("/api/v1/datasets/none").status_code == 404
    assert client.get("/api/v1/datasets/..%2fup").status_code in (404, 422)


def test_colours_change_at_once(client: TestClient) -> None:
    before = client.get("/api/v1/datasets/streets").json()
    answer = client.put("/api/v1/datasets/streets/classes", json={"recolor": {"road": "#010203"}})
    assert (answer.status_code, answer.json()) == (200, {"job": None})
    after = client.get("/api/v1/datasets/streets").json()
    assert next(found["color"] for found in after["classes"] if found["name"] == "road") == [1, 2, 3]
    assert after["fingerprint"] == before["fingerprint"]


def test_merged_classes_are_counted_again_by_a_job(client: TestClient, work: Work, bench: Workbench) -> None:
    wait_until_counted(bench)
    before = client.get("/api/v1/datasets/streets").json()
    pixels = {found["name"]: found["pixels"] for found in before["classes"]}
    edits = {"merge": {"way": ["road", "sidewalk"]}}
    answer = client.put("/api/v1/datasets/streets/classes", json=edits)
    assert answer.status_code == 202
    again = client.put("/api/v1/datasets/streets/classes", json=edits)
    assert again.status_code == 409, "another change waits"
    assert client.delete("/api/v1/datasets/streets").status_code == 409
    work(answer.json()["job"]["id"])
    after = client.get("/api/v1/datasets/streets").json()
    way = next(found for found in after["classes"] if found["name"] == "way")
    assert way["pixels"] == pixels["road"] + pixels["sidewalk"]
    page = client.get("/api/v1/datasets/streets/images", params={"class": "way"}).json()
    assert page["total"] > 0, "single images are counted under the new classes without opening them"


def test_wrong_classes_are_refused_at_once(client: TestClient) -> None:
    answer = client.put("/api/v1/datasets/streets/classes", json={"merge": {"way": ["road", "canal"]}})
    assert (answer.status_code, "no class is named 'canal'" in answer.text) == (422, True)


def test_an_open_training_keeps_classes_as_they_are(client: TestClient, bench: Workbench) -> None:
    bench.queue.add("train", title="second", payload={"run": "first"}, subject="run:first")
    answer = client.put("/api/v1/datasets/streets/classes", json={"recolor": {"road": "#010203"}})
    assert (answer.status_code, "works with it" in answer.text) == (409, True)


def test_an_archive_becomes_a_dataset(
    client: TestClient, work: Work, scenes: Path, tmp_path: Path, bench: Workbench
) -> None:
    packed = tmp_path / "few.zip"
    with zipfile.ZipFile(packed, "w") as archive:
        for path in scenes.rglob("*.*"):
            archive.write(path, Path("few") / path.relative_to(scenes))
    answer = client.post("/api/v1/datasets/upload", content=packed.read_bytes())
    assert answer.status_code == 201, answer.text
    folder = Path(answer.json()["path"])
    assert folder.is_relative_to(bench.home.root.resolve() / "uploads")
    facts = made(client, work, name="few", images=str(folder))
    assert facts["uploaded"]
    assert facts["images"] == 16
    assert client.delete("/api/v1/datasets/few").status_code == 204
    assert not folder.exists()


def test_uploads_of_yesterday_that_nobody_used_go(bench: Workbench, client: TestClient, scenes: Path) -> None:
    import os

    uploads = bench.home.root.resolve() / "uploads"
    for name in ("old", "used", "new"):
        shutil.copytree(scenes, uploads / name)
    Dataset.from_folders(uploads / "used", name="used").save(bench.home)
    bench.catalogue.refresh()
    for name in ("old", "used"):
        os.utime(uploads / name, (time.time() - 2 * FORGOTTEN_SECONDS,) * 2)
    assert forget_uploads(bench) == 1
    assert sorted(path.name for path in uploads.iterdir()) == ["new", "used"]


def test_no_archive_is_refused(client: TestClient, bench: Workbench) -> None:
    answer = client.post("/api/v1/datasets/upload", content=b"no archive at all")
    assert 400 <= answer.status_code < 500
    assert not list((bench.home.root / "uploads").glob("*"))
    assert not [path for path in bench.scratch.root.rglob("*") if path.is_file()]


def test_an_index_is_kept_and_follows_the_dataset(bench: Workbench) -> None:
    first = bench.datasets.open("streets")
    assert bench.datasets.open("streets") is first
    wait_until_counted(bench)
    kept = open_index(bench.home, "streets")
    assert kept.index.complete
    dataset = Dataset.load("streets", bench.home)
    totals = kept.index.pixels.sum(axis=0)
    assert totals.tolist() == dataset.statistics.pixels().tolist()


def test_a_dataset_stays_as_it_is_as_long_as_a_model_is_scored_on_it(
    client: TestClient, bench: Workbench, scenes: Path
) -> None:
    Dataset.from_folders(scenes, name="few").save(bench.home)
    job = client.post("/api/v1/evaluations", json={"model": "first", "dataset": "few"}).json()
    edits = {"merge": {"way": ["road", "sidewalk"]}}
    for answer in (client.delete("/api/v1/datasets/few"), client.put("/api/v1/datasets/few/classes", json=edits)):
        assert (answer.status_code, f"job {job['id']}" in answer.text) == (409, True), answer.text
    bench.queue.abort(job["id"])
    assert client.put("/api/v1/datasets/few/classes", json=edits).status_code == 202
    bench.queue.abort(bench.queue.jobs()[0].id or 0)
    assert client.delete("/api/v1/datasets/few").status_code == 204
