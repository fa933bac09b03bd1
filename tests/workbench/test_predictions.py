"""Predictions by REST: the same as the library's, in every form, for many at once."""

from __future__ import annotations

import asyncio
import io
import json
import threading
import zipfile
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image
from starlette.testclient import TestClient

from fullconv.data.resizing import Resize
from fullconv.errors import PackageError
from fullconv.prediction.model import Model
from fullconv.prediction.result import Prediction
from fullconv.prediction.tiled import tiles_of
from fullconv.store.package import load_package, save_package
from fullconv.workbench.application import create_app
from fullconv.workbench.predicting import large, predictor
from fullconv.workbench.predicting.answers import JSON, ZIP, Wish
from fullconv.workbench.predicting.images import Upload, plain_name
from fullconv.workbench.predicting.opened import Key, OpenModels
from fullconv.workbench.services import predictions as service
from fullconv.workbench.settings import Limits, ServerSettings
from fullconv.workbench.workbench import Workbench
from fullconv.workspace import Workspace

BASE = "http://127.0.0.1:8460"
PREDICT = "/api/v1/models/first/predict"


@pytest.fixture(scope="module")
def model(trained: Path) -> Model:
    return Model.load("first", workspace=Workspace(trained))


@pytest.fixture(scope="module")
def photo(scenes: Path) -> Path:
    return sorted(path for path in scenes.rglob("*") if path.suffix in (".png", ".jpg") and "image" in path.parts[-2])[
        0
    ]


@pytest.fixture(scope="module")
def expected(model: Model, photo: Path) -> Prediction:
    return model.predict(photo, probabilities=True)


def picture(content: bytes) -> Image.Image:
    return Image.open(io.BytesIO(content))


def test_the_answer_is_a_label_map_bit_for_bit_the_librarys(
    client: TestClient, photo: Path, expected: Prediction
) -> None:
    answer = client.post(PREDICT, content=photo.read_bytes())
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "image/png"
    assert answer.headers["vary"] == "Accept"
    assert "network;dur=" in answer.headers["server-timing"]
    shown = picture(answer.content)
    assert shown.mode == "P"
    np.testing.assert_array_equal(np.asarray(shown), expected.ids)
    first = expected.classes.classes[int(expected.labels[0, 0])]
    assert shown.convert("RGB").getpixel((0, 0)) == first.color


@pytest.mark.parametrize("how", ["parameter", "accept"])
def test_an_overlay_is_the_librarys(client: TestClient, photo: Path, expected: Prediction, how: str) -> None:
    asked = {"params": {"view": "overlay"}} if how == "parameter" else {"headers": {"accept": "image/png;view=overlay"}}
    answer = client.post(PREDICT, content=photo.read_bytes(), **asked)
    np.testing.assert_array_equal(np.asarray(picture(answer.content)), np.asarray(expected.overlay()))


def test_json_tells_size_classes_and_shares(client: TestClient, photo: Path, expected: Prediction) -> None:
    form = {"photo": ("street.png", photo.read_bytes(), "image/png")}
    told = client.post(PREDICT, files=form, headers={"accept": "application/json"}).json()
    assert (told["image"], told["model"]) == ("street.png", "first")
    assert (told["height"], told["width"]) == expected.labels.shape
    assert {entry["name"]: entry["share"] for entry in told["classes"]} == expected.shares
    assert [entry["color"] for entry in told["classes"]] == [list(entry.color) for entry in expected.classes.classes]
    assert sum(entry["pixels"] for entry in told["classes"]) == expected.labels.size
    assert told["seconds"]["network"] > 0


def test_polygons_cover_every_class_pixel_for_pixel(client: TestClient, photo: Path, expected: Prediction) -> None:
    answer = client.post(PREDICT, content=photo.read_bytes(), headers={"accept": "application/geo+json"})
    assert answer.headers["content-type"] == "application/geo+json"
    counts: dict[str, int] = {}
    for feature in answer.json()["features"]:
        about = feature["properties"]
        counts[about["class"]] = counts.get(about["class"], 0) + about["pixels"]
    present = {name: round(share * expected.labels.size) for name, share in expected.shares.items() if share}
    assert counts == present
    fewer = client.post(
        PREDICT,
        content=photo.read_bytes(),
        headers={"accept": "application/geo+json"},
        params={"simplify": 3, "smallest": 30},
    )
    assert len(fewer.content) < len(answer.content)


def test_probabilities_come_as_npz_and_tiff(client: TestClient, photo: Path, expected: Prediction) -> None:
    answer = client.post(PREDICT, content=photo.read_bytes(), headers={"accept": "application/x-npz"})
    with np.load(io.BytesIO(answer.content)) as found:
        np.testing.assert_array_equal(found["probabilities"], expected.probabilities)
        np.testing.assert_array_equal(found["labels"], expected.labels)
        assert tuple(found["names"]) == expected.classes.names
    answer = client.post(PREDICT, content=photo.read_bytes(), headers={"accept": "image/tiff"})
    np.testing.assert_array_equal(tifffile.imread(io.BytesIO(answer.content)), expected.probabilities)


def test_several_images_come_back_as_an_archive(client: TestClient, photo: Path, expected: Prediction) -> None:
    content = photo.read_bytes()
    form = [("images", (name, content)) for name in ("a.png", "deep/a.jpg", "../../b.png")]
    form.append(("images", ("broken.png", b"no image")))
    answer = client.post(PREDICT, files=form)
    assert answer.headers["content-type"] == "application/zip"
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        assert sorted(archive.namelist()) == ["a-2.png", "a.png", "b.png", "problems.csv", "shares.csv"]
        np.testing.assert_array_equal(np.asarray(picture(archive.read("b.png"))), expected.ids)
        shares = archive.read("shares.csv").decode().splitlines()
        assert shares[0] == ",".join(["image", *expected.classes.names])
        assert [line.partition(",")[0] for line in shares[1:]] == ["a", "a-2", "b"]
        assert 'broken.png,"cannot be read as an image' in archive.read("problems.csv").decode()
    told = client.post(PREDICT, files=form, headers={"accept": "application/json"}).json()
    assert [entry["image"] for entry in told] == ["a.png", "a.jpg", "b.png", "broken.png"]
    assert "problem" in told[3]


def test_what_cannot_be_done_is_one_sentence(client: TestClient, photo: Path) -> None:
    content = photo.read_bytes()
    several = [("images", ("a.png", content)), ("images", ("b.png", content))]
    for status, said, asked in (
        (422, "body: the request holds no image", {"content": b""}),
        (422, "cat.png: cannot be read as an image", {"files": {"x": ("cat.png", b"GIF89a nothing")}}),
        (415, "'text/html' cannot be given", {"content": content, "headers": {"accept": "text/html"}}),
        (415, "image/tiff holds one image, and 2 came", {"files": several, "headers": {"accept": "image/tiff"}}),
        (422, "has no head", {"content": content, "params": {"head": "depth"}}),
        (422, "opacity", {"content": content, "params": {"opacity": 2}}),
        (422, "no image", {"files": {"x": ("a", b"")}}),
    ):
        answer = client.post(PREDICT, **asked)
        assert answer.status_code == status, answer.text
        assert answer.headers["content-type"] == "application/problem+json"
        assert said in answer.json()["detail"]
        assert "/tmp" not in answer.text
    assert client.post("/api/v1/models/absent/predict", content=content).status_code == 404
    assert client.post("/api/v1/models/..%2Fup/predict", content=content).status_code in (404, 422)


def test_a_run_without_a_model_says_so(home: Workspace, client: TestClient, photo: Path) -> None:
    (home.runs / "early").mkdir()
    answer = client.post("/api/v1/models/early/predict", content=photo.read_bytes())
    assert (answer.status_code, "no model yet" in answer.json()["detail"]) == (404, True)


def test_classes_are_told(client: TestClient, expected: Prediction) -> None:
    told = client.get("/api/v1/models/first/classes").json()
    assert [entry["name"] for entry in told["classes"]] == list(expected.classes.names)
    assert told["classes"][0]["value"] == expected.classes.classes[0].value


@pytest.mark.parametrize("name", ["街" * 150 + ".png", "a" * 300, "ü." + "x" * 300, "😀" * 100 + ".jpeg"])
def test_names_are_short_enough_for_all_that_is_written_beside_them(tmp_path: Path, name: str) -> None:
    short = plain_name(name)
    assert name.startswith(Path(short).stem)
    assert Path(name).suffix in (Path(short).suffix, Path(name).suffix * (len(Path(name).suffix) > 10))
    (tmp_path / f".{Path(short).stem}_probabilities.npy.01234567").write_text("")


def test_images_beyond_the_limits_are_refused_unread(home: Workspace, photo: Path) -> None:
    bench = Workbench(ServerSettings(home, limits=Limits(upload=100_000, pixels=5000)))
    with TestClient(create_app(bench, pages=False), base_url=BASE) as client:
        answer = client.post(PREDICT, content=photo.read_bytes())
        assert answer.status_code == 413, answer.text
        for asked in ({"content": bytes(100_001)}, {"files": {"x": ("a", bytes(100_001))}}):
            answer = client.post(PREDICT, **asked)
            assert (answer.status_code, "larger than" in answer.json()["detail"]) == (413, True)


def test_who_comes_while_all_places_are_taken_is_told_to_come_back(home: Workspace, photo: Path) -> None:
    bench = Workbench(ServerSettings(home, limits=Limits(waiting=2)))
    content, gate, begun = photo.read_bytes(), threading.Event(), threading.Event()
    with TestClient(create_app(bench, pages=False), base_url=BASE) as client:
        assert client.post(PREDICT, content=content).status_code == 200
        lane = bench.predictor.lane(torch.device("cpu"))
        lane.submit(lambda: (begun.set(), gate.wait(60)))
        assert begun.wait(60)
        with ThreadPoolExecutor(12) as visitors:
            asked = [visitors.submit(client.post, PREDICT, content=content) for _ in range(12)]
            first = as_completed(asked, timeout=60)
            refused = [next(first).result() for _ in range(9)]
            gate.set()
            answers = [answer.result() for answer in asked]
        assert [answer.status_code for answer in answers].count(200) == 3
        assert all(answer.status_code == 503 and answer.headers["retry-after"] == "1" for answer in refused)
        assert "2 predictions wait already" in refused[0].json()["detail"]
        assert client.post(PREDICT, content=content).status_code == 200


def test_images_that_wait_take_so_much_memory_and_no_more(home: Workspace, photo: Path) -> None:
    bench = Workbench(ServerSettings(home, limits=Limits(decoded=2 * 96 * 72 * 3)))
    content, gate, begun = photo.read_bytes(), threading.Event(), threading.Event()
    with TestClient(create_app(bench, pages=False), base_url=BASE) as client:
        assert client.post(PREDICT, content=content).status_code == 200
        bench.predictor.lane(torch.device("cpu")).submit(lambda: (begun.set(), gate.wait(60)))
        assert begun.wait(60)
        with ThreadPoolExecutor(5) as visitors:
            asked = [visitors.submit(client.post, PREDICT, content=content) for _ in range(5)]
            first = as_completed(asked, timeout=60)
            refused = [next(first).result() for _ in range(3)]
            gate.set()
            answers = [answer.result() for answer in asked]
        assert [answer.status_code for answer in answers].count(200) == 2
        assert all(answer.status_code == 503 for answer in refused)
        assert "other large images" in refused[0].json()["detail"]
        assert bench.predictor.memory.used == 0


def test_one_image_alone_is_always_taken(home: Workspace, photo: Path) -> None:
    bench = Workbench(ServerSettings(home, limits=Limits(decoded=1)))
    with TestClient(create_app(bench, pages=False), base_url=BASE) as client:
        assert client.post(PREDICT, content=photo.read_bytes()).status_code == 200
        form = [("images", (name, photo.read_bytes())) for name in "abcdef"]
        assert client.post(PREDICT, files=form).status_code == 200


def test_no_body_is_read_while_no_place_is_free(home: Workspace, photo: Path) -> None:
    bench = Workbench(ServerSettings(home, limits=Limits(waiting=0, upload=10)))
    with TestClient(create_app(bench, pages=False), base_url=BASE) as client, bench.predictor.place():
        for asked in ({"content": photo.read_bytes()}, {"files": {"x": ("a.png", photo.read_bytes())}}):
            assert client.post(PREDICT, **asked).status_code == 503, "and not 413"


def test_a_model_that_changes_on_disk_is_read_again(home: Workspace, client: TestClient, photo: Path) -> None:
    before = client.post(PREDICT, content=photo.read_bytes(), headers={"accept": "application/json"}).json()
    card = home.run("first") / "model" / "model.yaml"
    card.write_text(card.read_text().replace(f"name: {before['classes'][0]['name']}\n", "name: Straße & <b>Weg</b>\n"))
    after = client.post(PREDICT, content=photo.read_bytes(), headers={"accept": "application/json"}).json()
    assert after["classes"][0]["name"] == "Straße & <b>Weg</b>"


def test_a_model_that_cannot_be_opened_spoils_no_other(home: Workspace) -> None:
    package = home.run("first") / "model"
    models = OpenModels()
    models._known[Key(home.root / "broken", (), None)] = failed = Future()
    failed.set_exception(RuntimeError("damaged"))
    assert models.get(package).model is models.get(package).model


def test_a_damaged_package_is_a_problem_and_not_a_crash(home: Workspace, client: TestClient, photo: Path) -> None:
    weights = home.run("first") / "model" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    answer = client.post(PREDICT, content=photo.read_bytes())
    assert (answer.status_code, "weights cannot be read" in answer.json()["detail"]) == (422, True)


def test_openapi_describes_the_body_and_all_forms(client: TestClient) -> None:
    route = client.get("/api/v1/openapi.json").json()["paths"]["/api/v1/models/{name}/predict"]["post"]
    assert set(route["requestBody"]["content"]) == {"application/octet-stream", "multipart/form-data"}
    assert {"image/png", "application/json", "application/geo+json"} <= set(route["responses"]["200"]["content"])
    json.dumps(route)


def test_a_large_image_is_labelled_tile_by_tile(
    client: TestClient, photo: Path, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    pixels = np.tile(np.asarray(Image.open(photo)), (5, 6, 1))
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    monkeypatch.setattr(large, "WHOLE_PIXELS", 10_000)
    monkeypatch.setattr(large, "tiles_of", lambda size, geometry: tiles_of(size, geometry, side=128))
    answer = client.post(PREDICT, content=stream.getvalue())
    same = np.asarray(picture(answer.content)) == model.predict(pixels).ids
    assert same.mean() > 0.9999
    with np.load(
        io.BytesIO(client.post(PREDICT, content=stream.getvalue(), headers={"accept": "application/x-npz"}).content)
    ) as found:
        np.testing.assert_allclose(found["probabilities"].sum(axis=0), 1, rtol=1e-5)
    monkeypatch.setattr(large, "free_memory", lambda device: 1000)
    answer = client.post(PREDICT, content=stream.getvalue(), headers={"accept": "image/tiff"})
    assert (answer.status_code, "the probabilities of all classes are kept" in answer.text) == (413, True)


@pytest.mark.parametrize("problem", [MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory")])
def test_what_takes_more_memory_than_was_foreseen_is_refused(
    client: TestClient, photo: Path, monkeypatch: pytest.MonkeyPatch, problem: Exception
) -> None:
    def label(*_: object) -> None:
        raise problem

    monkeypatch.setattr(predictor, "label_whole", label)
    answer = client.post(PREDICT, content=photo.read_bytes())
    assert (answer.status_code, "takes more memory than is free" in answer.json()["detail"]) == (413, True)
    form = [("images", (name, photo.read_bytes())) for name in ("a", "b")]
    several = client.post(PREDICT, files=form, headers={"accept": "application/json"})
    assert [("memory" in part["problem"]) for part in several.json()] == [True, True]


def test_probabilities_of_all_visitors_share_one_room(bench: Workbench, client: TestClient, photo: Path) -> None:
    scores = bench.predictor.scores
    wanted = {"content": photo.read_bytes(), "headers": {"accept": "application/x-npz"}}
    with scores.taken(scores.limit):
        assert client.post(PREDICT, **wanted).status_code == 503
        assert client.post(PREDICT, content=photo.read_bytes()).status_code == 200
    assert client.post(PREDICT, **wanted).status_code == 200
    assert scores.used == 0


def test_an_image_is_as_large_as_what_the_network_is_given(
    home: Workspace, client: TestClient, photo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    net, card = load_package(home.run("first") / "model")
    save_package(home.model("finer"), net, card.model_copy(update={"name": "finer", "resize": Resize(scale=4)}))
    monkeypatch.setattr(large, "WHOLE_PIXELS", 72 * 96)
    monkeypatch.setattr(large, "free_memory", lambda device: 1000.0)
    assert client.post(PREDICT, content=photo.read_bytes()).status_code == 200
    answer = client.post("/api/v1/models/finer/predict", content=photo.read_bytes())
    assert (answer.status_code, "the model resizes its images" in answer.text) == (413, True), answer.text


@pytest.mark.parametrize("form", [JSON, ZIP])
def test_nothing_goes_on_where_one_of_several_images_ends_all(bench: Workbench, photo: Path, form: str) -> None:
    uploads = [Upload(f"{number}.png", photo) for number in range(50)]

    async def predict() -> int:
        with pytest.raises(PackageError, match="has no head"):
            await service.predict_images(bench, "first", uploads, Wish(form=form), head="depth")
        return len(asyncio.all_tasks())

    assert asyncio.run(predict()) == 1
