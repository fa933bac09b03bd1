"""The images of a dataset: filtered, sorted, paged and drawn."""

from __future__ import annotations

import io
import shutil
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from starlette.testclient import TestClient

from fullconv.data.dataset import Dataset
from fullconv.data.image_index import ImageIndex
from fullconv.data.pictures import overlay
from fullconv.workbench.drawing import prune
from fullconv.workbench.workbench import Workbench

IMAGES = "/api/v1/datasets/streets/images"


@pytest.fixture
def counted(bench: Workbench) -> ImageIndex:
    end = time.monotonic() + 60
    while bench.datasets.counted("streets")[0] < 16 or not bench.datasets.open("streets").index.complete:
        assert time.monotonic() < end
        time.sleep(0.05)
    return bench.datasets.open("streets").index


def found(client: TestClient, **query: object) -> list[int]:
    answer = client.get(IMAGES, params={"limit": 1000, **query})
    assert answer.status_code == 200, answer.text
    return [image["number"] for image in answer.json()["images"]]


def test_classes_are_counted_aside_when_nobody_did(client: TestClient) -> None:
    first = client.get(IMAGES).json()
    assert first["of"] == first["total"] == 16
    end = time.monotonic() + 60
    while client.get(IMAGES).json()["counted"] < 16:
        assert time.monotonic() < end
        time.sleep(0.05)
    assert client.get(IMAGES).json()["images"][0]["classes"]


def test_filters_find_what_the_labels_hold(client: TestClient, bench: Workbench, counted: ImageIndex) -> None:
    dataset = Dataset.load("streets", bench.home)
    road, car = (dataset.classes.names.index(name) for name in ("road", "car"))
    labels = [dataset.read_label(sample) for sample in dataset]
    both = [place for place, label in enumerate(labels) if (label == road).any() and (label == car).any()]
    assert found(client, **{"class": ["road", "car"]}) == both
    for split in ("train", "val", "test"):
        assert found(client, split=split) == [place for place, one in enumerate(dataset) if one.split == split]
    key = dataset.samples[5].key
    assert found(client, search=key.upper()) == [5]
    assert found(client, search="no such name") == []


def test_shares_order_images(client: TestClient, bench: Workbench, counted: ImageIndex) -> None:
    answer = client.get(IMAGES, params={"class": "road", "sort": "-share"}).json()
    shares = [image["classes"]["road"] for image in answer["images"]]
    assert shares == sorted(shares, reverse=True)
    assert found(client, sort="-name") == found(client)[::-1]
    assert sorted(found(client, sort="size")) == found(client)


def test_pages_join_to_the_whole(client: TestClient, counted: ImageIndex) -> None:
    parts = [client.get(IMAGES, params={"offset": start, "limit": 5}).json()["images"] for start in (0, 5, 10, 15)]
    assert [image["number"] for part in parts for image in part] == list(range(16))
    assert client.get(IMAGES, params={"offset": 99}).json()["images"] == []


@pytest.mark.parametrize(
    "query", [{"class": "canal"}, {"split": "holdout"}, {"sort": "price"}, {"offset": -1}, {"limit": 1001}]
)
def test_wrong_filters_are_told(client: TestClient, query: dict[str, object]) -> None:
    assert client.get(IMAGES, params=query).status_code == 422


def test_images_with_problems_are_found(client: TestClient, bench: Workbench, scenes: Path, tmp_path: Path) -> None:
    root = tmp_path / "copies"
    shutil.copytree(scenes, root)
    image, label = (sorted((root / "train" / part).iterdir())[0] for part in ("images", "labels"))
    shutil.copyfile(image, image.with_name("zz_copy.png"))
    shutil.copyfile(label, label.with_name("zz_copy.png"))
    black = sorted((root / "train" / "labels").iterdir())[1]
    Image.new("L", (96, 72), 255).save(black)
    Dataset.from_folders(root, name="copies", remap={"255": "ignore"}).save(bench.home)
    base = "/api/v1/datasets/copies"
    end = time.monotonic() + 60
    while client.get(f"{base}/images").json()["counted"] < 17:
        assert time.monotonic() < end
        time.sleep(0.05)
    twice = client.get(f"{base}/images", params={"problem": "same-picture-twice"}).json()["images"]
    assert [Path(one["file"]).name for one in twice] == [image.name, "zz_copy.png"]
    ignored = client.get(f"{base}/images", params={"problem": "all-ignored-label"}).json()["images"]
    assert [Path(one["file"]).name for one in ignored] == [black.name]
    groups = client.get(f"{base}/copies").json()
    assert [[one["number"] for one in group] for group in groups] == [[one["number"] for one in twice]]


def picture(client: TestClient, number: int = 3, **query: object) -> tuple[np.ndarray, str]:
    answer = client.get(f"{IMAGES}/{number}/picture", params=query)
    assert answer.status_code == 200, answer.text
    return np.asarray(Image.open(io.BytesIO(answer.content)).convert("RGBA")), answer.headers["content-type"]


def test_layers_lie_on_each_other(client: TestClient, bench: Workbench) -> None:
    dataset = Dataset.load("streets", bench.home)
    image, label = dataset.read(3)
    shown, kind = picture(client, layer="labels")
    assert kind == "image/png"
    known = label < len(dataset.classes)
    assert (shown[..., 3] == np.where(known, 255, 0)).all()
    assert (shown[known][:, :3] == dataset.classes.colors[label[known]]).all()
    borders, _ = picture(client, layer="outline")
    assert 0 < (borders[..., 3] > 0).mean() < 0.5
    photo, kind = picture(client, layer="image")
    assert kind == "image/jpeg"
    assert np.abs(photo[..., :3].astype(int) - image).mean() < 4
    both, _ = picture(client, layer="overlay", opacity=0.7)
    assert np.abs(both[..., :3].astype(int) - overlay(image, label, dataset.classes, opacity=0.7)).mean() < 6


def test_pictures_are_as_large_as_asked_for(client: TestClient) -> None:
    for layer in ("image", "labels", "outline", "overlay"):
        assert picture(client, layer=layer, size=48)[0].shape == (36, 48, 4)
        assert picture(client, layer=layer, size=4096)[0].shape == (72, 96, 4)


def test_a_picture_is_sent_once(client: TestClient, bench: Workbench) -> None:
    address, query = f"{IMAGES}/3/picture", {"layer": "labels", "size": 64}
    first = client.get(address, params=query)
    again = client.get(address, params=query, headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert len(list(bench.home.cache.rglob("pictures/*/*.png"))) == 1
    client.put("/api/v1/datasets/streets/classes", json={"recolor": {"road": "#010203"}})
    other = client.get(address, params=query, headers={"If-None-Match": first.headers["etag"]})
    assert other.status_code == 200
    assert "max-age" in client.get(address, params={**query, "v": "x"}).headers["cache-control"]


@pytest.mark.parametrize("query", [{"size": 8}, {"size": 5000}, {"opacity": 2}, {"layer": "depth"}, {"siez": 64}])
def test_pictures_that_cannot_be_drawn_are_refused(client: TestClient, query: dict[str, object]) -> None:
    assert client.get(f"{IMAGES}/3/picture", params=query).status_code == 422
    assert client.get(f"{IMAGES}/99/picture").status_code == 404
    assert client.get(f"{IMAGES}/5").json() == client.get(IMAGES).json()["images"][5]


def test_a_file_that_is_gone_is_told(client: TestClient, bench: Workbench, scenes: Path, tmp_path: Path) -> None:
    shutil.copytree(scenes, tmp_path / "moving")
    Dataset.from_folders(tmp_path / "moving", name="moving").save(bench.home)
    shutil.rmtree(tmp_path / "moving" / "val")
    answers = [client.get(f"/api/v1/datasets/moving/images/{number}/picture").status_code for number in range(16)]
    assert set(answers) == {200, 422}


def test_old_pictures_go_when_there_are_too_many(tmp_path: Path) -> None:
    import os

    for number in range(10):
        path = tmp_path / "set" / "pictures" / "aa" / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(bytes(100))
        os.utime(path, (number, number))
    prune(tmp_path, 1000)
    assert len(list(tmp_path.rglob("*.png"))) == 10
    prune(tmp_path, 800)
    assert sorted(int(path.stem) for path in tmp_path.rglob("*.png")) == [4, 5, 6, 7, 8, 9]
