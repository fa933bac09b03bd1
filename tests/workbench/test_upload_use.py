"""What was uploaded stays as long as anything uses it."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

import pytest
import yaml
from starlette.testclient import TestClient

from fullconv.data.dataset import Dataset
from fullconv.workbench.services.dataset_folders import FORGOTTEN_SECONDS, forget_uploads
from fullconv.workbench.stored import StoredPrediction, add_stored, now, write_stored
from fullconv.workbench.workbench import Workbench


@pytest.fixture
def uploads(bench: Workbench, scenes: Path) -> Path:
    """Two uploads of the day before yesterday."""
    folder = bench.home.root.resolve() / "uploads"
    for name in ("one", "two"):
        shutil.copytree(scenes, folder / name)
    return folder


def age(uploads: Path) -> None:
    for folder in uploads.iterdir():
        os.utime(folder, (time.time() - 2 * FORGOTTEN_SECONDS,) * 2)


def left(uploads: Path) -> list[str]:
    return sorted(path.name for path in uploads.iterdir())


def test_an_upload_stays_while_another_dataset_uses_it(bench: Workbench, client: TestClient, uploads: Path) -> None:
    for name in ("a", "b"):
        Dataset.from_folders(uploads / "one", name=name).save(bench.home)
    assert client.delete("/api/v1/datasets/a").status_code == 204
    assert left(uploads) == ["one", "two"]
    assert client.delete("/api/v1/datasets/b").status_code == 204
    assert left(uploads) == ["two"]


@pytest.mark.parametrize("field", ["images", "labels", "classes", "lists"])
def test_an_upload_stays_while_an_open_job_uses_it(
    bench: Workbench, client: TestClient, uploads: Path, field: str
) -> None:
    Dataset.from_folders(uploads / "one", name="a").save(bench.home)
    path = str(uploads / "one" / "anything")
    payload = {field: {"train": path} if field == "lists" else path}
    bench.queue.add("dataset", title="Dataset b", payload=payload, subject="dataset:b", device="aside")
    assert client.delete("/api/v1/datasets/a").status_code == 204
    age(uploads)
    assert forget_uploads(bench) == 1
    assert left(uploads) == ["one"]


def test_images_and_labels_of_two_uploads_keep_and_free_both(
    bench: Workbench, client: TestClient, uploads: Path
) -> None:
    images, labels = uploads / "one" / "train" / "images", uploads / "two" / "train" / "labels"
    Dataset.from_folders(images, labels, name="both").save(bench.home)
    bench.catalogue.refresh()
    age(uploads)
    assert forget_uploads(bench) == 0
    assert client.get("/api/v1/datasets/both").json()["uploaded"]
    assert client.delete("/api/v1/datasets/both").status_code == 204
    assert left(uploads) == []


def test_nothing_goes_while_a_dataset_cannot_be_read(bench: Workbench, uploads: Path) -> None:
    Dataset.from_folders(uploads / "one", name="broken").save(bench.home)
    (bench.home.datasets / "broken" / "dataset.yaml").write_text("format: 99\n")
    bench.catalogue.refresh()
    age(uploads)
    assert forget_uploads(bench) == 0


def test_an_upload_stays_while_a_run_starts_from_it_or_a_prediction_reads_it(bench: Workbench, uploads: Path) -> None:
    plan = bench.home.run("first") / "experiment.yaml"
    content = yaml.safe_load(plan.read_text())
    plan.write_text(yaml.safe_dump(content | {"weights": str(uploads / "one" / "start.safetensors")}))
    asked = StoredPrediction(
        model="first", kind="run", head=None, source=str(uploads / "two"), probabilities=False, created=now()
    )
    name = add_stored(bench.home, asked, "first")
    age(uploads)
    assert forget_uploads(bench) == 0
    write_stored(bench.home, asked, name, done=True)
    assert forget_uploads(bench) == 1
    assert left(uploads) == ["one"]


def test_an_upload_stays_while_a_run_names_a_description_in_it(bench: Workbench, uploads: Path) -> None:
    dataset = Dataset.from_folders(uploads / "two", name="inside")
    dataset.save(bench.home)
    shutil.move(bench.home.datasets / "inside" / "dataset.yaml", uploads / "one" / "dataset.yaml")
    shutil.rmtree(bench.home.datasets / "inside")
    description = (uploads / "one" / "dataset.yaml").read_text()
    assert str(uploads / "two") in description, "an absolute root"
    plan = bench.home.run("first") / "experiment.yaml"
    plan.write_text(plan.read_text().replace("dataset: streets", f"dataset: {uploads / 'one' / 'dataset.yaml'}"))
    bench.catalogue.refresh()
    age(uploads)
    assert forget_uploads(bench) == 0
    shutil.rmtree(bench.home.run("first"))
    bench.catalogue.refresh()
    assert forget_uploads(bench) == 2
