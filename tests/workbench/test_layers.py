"""Layers by REST: what a network makes of an image, tile by tile; who reads what; what cannot be asked."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pytest
import torch
from PIL import Image
from starlette.testclient import TestClient

from fullconv.data.classes import ClassTable
from fullconv.data.resizing import Resize
from fullconv.prediction.model import Model
from fullconv.store.package import load_package, save_package
from fullconv.store.recipe import NetworkRecipe
from fullconv.workbench.application import create_app
from fullconv.workbench.layers import reading as readings
from fullconv.workbench.layers.shapes import shapes_for, simple_shapes
from fullconv.workbench.layers.tiles import Sheet, scaled
from fullconv.workbench.settings import ServerSettings
from fullconv.workbench.workbench import Workbench
from fullconv.workspace import Workspace

BASE = "http://127.0.0.1:8460"
MODEL = "/api/v1/models/first"
CONV = "features.features.0"
JSON = {"accept": "application/json"}


@pytest.fixture(scope="module")
def rest(trained: Path, scenes: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """REST of a workspace that these tests only look at."""
    bench = Workbench(ServerSettings(Workspace(trained), roots=(scenes.parent,), read_only=True))
    with TestClient(create_app(bench, pages=False), base_url=BASE) as client:
        yield client


@pytest.fixture(scope="module")
def model(trained: Path) -> Model:
    return Model.load("first", workspace=Workspace(trained))


@pytest.fixture(scope="module")
def photo(scenes: Path) -> Path:
    return sorted(path for path in scenes.rglob("*.png") if "image" in path.parts[-2])[0]


def hooked(model: Model, name: str, pixels: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """The result of a module, by a plain hook."""
    found: list[torch.Tensor] = []

    def keep(module: torch.nn.Module, arguments: object, value: torch.Tensor) -> None:
        found.append(value.clone())

    handle = model.net.get_submodule(name).register_forward_hook(keep)
    try:
        model.scores(pixels)
    finally:
        handle.remove()
    return found[0][0].numpy()


def picture(content: bytes) -> np.ndarray[Any, Any]:
    return np.asarray(Image.open(io.BytesIO(content)))


def test_every_layer_is_told_with_its_field_and_numbers(rest: TestClient, model: Model) -> None:
    told = rest.get(f"{MODEL}/layers").json()
    assert (told["title"], told["rows"], told["columns"]) == ("simple shapes", 240, 320)
    layers = {layer["name"]: layer for layer in told["layers"]}
    conv = layers[CONV]
    assert (conv["operation"], conv["channels"], conv["rows"], conv["columns"]) == ("Conv2d", 64, 119, 159)
    assert (conv["stride"], conv["offset"], conv["receptive_field"]) == ([2, 2], [1, 1], [3, 3])
    assert (conv["parameters"], conv["filters"], conv["main"], conv["whole"]) == (1792, True, True, [])
    values = hooked(model, CONV, simple_shapes())
    about = conv["statistics"]
    assert about["mean"] == pytest.approx(values.mean(), abs=1e-5)
    assert about["std"] == pytest.approx(values.std(), abs=1e-5)
    assert (about["least"], about["greatest"]) == pytest.approx((values.min(), values.max()))
    shares = np.array(about["histogram"]) / sum(about["histogram"])
    np.testing.assert_allclose(shares, np.histogram(values, 40)[0] / values.size, atol=0.003)
    relu = layers["features.features.1"]["statistics"]
    assert relu["zeros"] == pytest.approx((values <= 0).mean())
    last = told["layers"][-1]
    assert last["channel_names"] == list(model.classes.names)
    assert (last["rows"], last["columns"]) == (240, 320)
    assert "pixels" in " ".join(told["summary"])


def test_tiles_are_the_activations_of_a_hook(rest: TestClient, model: Model, photo: Path) -> None:
    asked = {"image": f"path:{photo}", "page": 1, "per_page": 24, "across": 6, "longest": 100}
    url = f"{MODEL}/layers/{CONV}/activations"
    told = rest.get(url, params=asked, headers=JSON).json()
    values = hooked(model, CONV, np.asarray(Image.open(photo).convert("RGB")))[24:48]
    sheet = told["sheet"]
    assert (sheet["first"], sheet["count"], sheet["total"], sheet["pages"]) == (24, 24, 64, 3)
    assert [channel["channel"] for channel in told["channels"]] == list(range(24, 48))
    assert told["channels"][3]["mean"] == pytest.approx(values[3].mean(), abs=1e-5)
    answer = rest.get(url, params=asked)
    assert answer.headers["content-type"] == "image/png"
    shown = picture(answer.content)
    layout = Sheet.of(24, values.shape[1:], across=6, longest=100)
    assert shown.shape == layout.picture_size[::-1]
    factor = layout.width // values.shape[2]
    for tile in (0, 7, 23):
        x, y = layout.corner(tile)
        drawn = shown[y : y + layout.height, x : x + layout.width]
        np.testing.assert_array_equal(drawn[::factor, ::factor], scaled(values[tile : tile + 1])[0])
    one = rest.get(f"{url}/27", params={"image": f"path:{photo}"})
    np.testing.assert_array_equal(picture(one.content), scaled(values[3:4])[0])


def test_layers_that_were_let_go_are_computed_again(model: Model, photo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readings, "KEPT_BYTES", 40_000)
    values = readings.read_picture(model, np.asarray(Image.open(photo).convert("RGB")), title="", tag="")
    assert 0 < len(values._kept) < len(values.net.layers)
    assert values.at_hand(CONV) is None
    np.testing.assert_array_equal(values.maps(CONV), hooked(model, CONV, np.asarray(Image.open(photo).convert("RGB"))))
    assert values.at_hand(CONV) is not None


def test_filters_are_shown_as_what_they_are(rest: TestClient, model: Model) -> None:
    told = rest.get(f"{MODEL}/layers/{CONV}/filters", headers=JSON).json()
    assert (told["view"], told["shape"], told["sheet"]["total"]) == ("colour", [64, 3, 3, 3], 64)
    weight = model.net.get_submodule(CONV).weight.detach().numpy()
    shown = picture(rest.get(f"{MODEL}/layers/{CONV}/filters", params={"longest": 9, "per_page": 64}).content)
    first = shown[:9:3, :9:3]
    expected = weight[0].transpose(1, 2, 0) / np.abs(weight[0]).max() * 127.5 + 127.5
    assert np.abs(first[..., :3] - expected).max() <= 1
    assert (first[..., 3] == 255).all()
    deep = f"{MODEL}/layers/features.features.3.expand3x3/filters"
    assert rest.get(deep, headers=JSON).json()["view"] == "strength"
    alone = rest.get(deep, params={"of": 5}, headers=JSON).json()
    assert (alone["view"], alone["of"], alone["sheet"]["total"]) == ("inputs", 5, 16)
    square = rest.get(f"{MODEL}/layers/features.features.3.squeeze/filters", headers=JSON).json()
    assert (square["view"], square["sheet"]["rows"], square["sheet"]["columns"]) == ("matrix", 16, 64)
    assert rest.get(f"{MODEL}/layers/features.features.2/filters").status_code == 404


def test_a_unit_is_told_with_its_pixels_and_value(rest: TestClient, model: Model) -> None:
    told = rest.get(f"{MODEL}/layers/{CONV}/units/10/20", params={"channel": 7}).json()
    values = hooked(model, CONV, simple_shapes())
    assert told["value"] == pytest.approx(values[7, 10, 20])
    assert (told["rows"]["first"], told["rows"]["last"], told["rows"]["centre"]) == (20, 22, 21)
    assert (told["columns"]["first"], told["columns"]["last"]) == (40, 42)
    assert told["says"] == "Reads 3×3 pixels: columns 40 to 42, rows 20 to 22."
    best = rest.get(f"{MODEL}/layers/{CONV}/units/10/20").json()
    assert best["channel"] == values[:, 10, 20].argmax()
    deep = rest.get(f"{MODEL}/layers/features.features.12.expand3x3/units/0/0").json()
    assert deep["rows"]["before"] > 0
    assert "where padding stands" in deep["says"]


def test_a_pixel_is_told_with_the_units_that_read_it(rest: TestClient) -> None:
    told = rest.get(f"{MODEL}/pixels/21/41").json()
    layers = {layer["layer"]: layer for layer in told["layers"]}
    assert (layers[CONV]["rows"], layers[CONV]["columns"], layers[CONV]["count"]) == ([[10, 10]], [[20, 20]], 1)
    assert (layers["fitting"]["rows"], layers["fitting"]["columns"]) == ([[21, 21]], [[41, 41]])
    assert layers[CONV]["of"] == 119 * 159


def test_influence_lies_inside_the_field(rest: TestClient) -> None:
    layer = "features.features.6.expand3x3"
    unit = rest.get(f"{MODEL}/layers/{layer}/units/12/15").json()
    url = f"{MODEL}/layers/{layer}/units/12/15/influence"
    told = rest.get(url, headers=JSON).json()
    assert unit["rows"]["first"] <= told["rows"][0] <= told["rows"][1] <= unit["rows"]["last"]
    assert 0 < told["share"] <= 1
    shown = picture(rest.get(url).content)
    assert shown.shape == (240, 320, 4)
    rows, columns = shown[..., 3].nonzero()
    assert (rows.min(), rows.max()) >= (unit["rows"]["first"], 0)
    assert rows.max() <= unit["rows"]["last"]
    assert unit["columns"]["first"] <= columns.min() <= columns.max() <= unit["columns"]["last"]


def test_fields_are_told_in_pixels_of_the_image_before_it_was_resized(home: Workspace, photo: Path) -> None:
    net, card = load_package(home.run("first") / "model")
    save_package(home.model("half"), net, card.model_copy(update={"name": "half", "resize": Resize(scale=0.5)}))
    bench = Workbench(ServerSettings(home, roots=(photo.parent,)))
    with TestClient(create_app(bench, pages=False), base_url=BASE) as client:
        image = {"image": f"path:{photo}"}
        told = client.get("/api/v1/models/half/layers", params=image).json()
        assert (told["rows"], told["columns"], told["seen_rows"], told["seen_columns"]) == (72, 96, 36, 48)
        unit = client.get(f"/api/v1/models/half/layers/{CONV}/units/5/6", params=image).json()
        # The unit reads resized pixels 10 to 12, each made of four: itself and its neighbours, halved.
        assert (unit["rows"]["first"], unit["rows"]["last"], unit["rows"]["centre"]) == (19, 26, 22.5)
        pixel = client.get("/api/v1/models/half/pixels/22/26", params=image).json()
        seen = next(layer for layer in pixel["layers"] if layer["layer"] == CONV)
        assert seen["rows"][0][0] <= 5 <= seen["rows"][0][1]


def test_of_several_heads_one_is_looked_at(home: Workspace) -> None:
    _, card = load_package(home.run("first") / "model")
    classes = card.classes
    assert isinstance(classes, ClassTable)
    few = ClassTable(classes=classes.classes[:2])
    counts = {"things": len(classes), "ground": 2}
    recipe = NetworkRecipe(name="fcn8s-squeezenet1_1", classes=counts, channels=3)
    both = card.model_copy(update={"network": recipe, "classes": {"things": classes, "ground": few}})
    save_package(home.model("two"), recipe.build().eval(), both)
    bench = Workbench(ServerSettings(home))
    with TestClient(create_app(bench, pages=False), base_url=BASE) as client:
        url = "/api/v1/models/two/layers"
        first, second = client.get(url).json(), client.get(url, params={"head": "ground"}).json()
        assert (first["head"], first["heads"], second["head"]) == ("things", ["things", "ground"], "ground")
        assert len(first["layers"][-1]["channel_names"]) == len(classes)
        assert second["layers"][-1]["channel_names"] == list(few.names)
        assert client.get(url, params={"head": "depth"}).status_code == 422


def test_images_come_from_datasets_uploads_and_paths(rest: TestClient, photo: Path, trained: Path) -> None:
    content = photo.read_bytes()
    held = rest.post("/api/v1/images", content=content, params={"name": "street.png"})
    assert held.status_code == 201
    by_upload = rest.get(f"{MODEL}/input", params=held.json())
    np.testing.assert_array_equal(picture(by_upload.content), np.asarray(Image.open(photo).convert("RGB")))
    assert rest.get(f"{MODEL}/layers", params=held.json()).json()["title"] == "street.png"
    bench = Workbench(ServerSettings(Workspace(trained), read_only=True))
    name = bench.datasets.open("streets").index.keys[0]
    told = rest.get(f"{MODEL}/layers", params={"image": f"dataset:streets:{name}"}).json()
    assert (told["title"], told["columns"]) == (f"{name} of streets", 96)
    shown = rest.get(f"{MODEL}/input", params={"v": told["tag"], "image": f"dataset:streets:{name}"})
    assert "immutable" in shown.headers["cache-control"]
    bench.engine.dispose()


def test_the_network_is_drawn(rest: TestClient) -> None:
    answer = rest.get(f"{MODEL}/network")
    assert answer.headers["content-type"] == "image/svg+xml"
    assert b"features.features.0" in answer.content


@pytest.mark.parametrize(
    ("status", "path"),
    [
        (404, "/api/v1/models/absent/layers"),
        (422, f"{MODEL}/layers?image=nothing"),
        (422, f"{MODEL}/layers?image=path:relative.png"),
        (403, f"{MODEL}/layers?image=path:/etc/passwd"),
        (403, f"{MODEL}/layers?image=" + quote("path:/proc/self/environ")),
        (404, f"{MODEL}/layers?image=dataset:absent:a"),
        (404, f"{MODEL}/layers?image=dataset:..%2Fup:a"),
        (404, f"{MODEL}/layers?image=" + quote("dataset:streets:../../etc/passwd")),
        (404, f"{MODEL}/layers?image=upload:AAAAAAAAAAAAAAAAAAAAAAAA"),
        (422, f"{MODEL}/layers?image=upload:../../x"),
        (422, f"{MODEL}/layers?head=depth"),
        (404, f"{MODEL}/layers/absent/activations"),
        (404, f"{MODEL}/layers/{CONV}/activations?page=99"),
        (422, f"{MODEL}/layers/{CONV}/activations?per_page=100000"),
        (422, f"{MODEL}/layers/{CONV}/activations?scale=other"),
        (404, f"{MODEL}/layers/{CONV}/activations/64"),
        (404, f"{MODEL}/layers/{CONV}/filters?of=64"),
        (404, f"{MODEL}/layers/{CONV}/units/119/0"),
        (404, f"{MODEL}/layers/{CONV}/units/0/0?channel=64"),
        (422, f"{MODEL}/layers/{CONV}/units/-1/0"),
        (404, f"{MODEL}/layers/{CONV}/units/119/0/influence"),
        (404, f"{MODEL}/pixels/240/0"),
        (422, f"{MODEL}/pixels/99999999999999/0"),
        (415, f"{MODEL}/layers/{CONV}/activations#html"),
    ],
)
def test_what_cannot_be_asked_is_one_sentence(rest: TestClient, status: int, path: str) -> None:
    address, _, form = path.partition("#")
    answer = rest.get(address, headers={"accept": "text/html"} if form else {})
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["detail"]


def test_what_is_no_image_is_not_kept(rest: TestClient) -> None:
    answer = rest.post("/api/v1/images", content=b"GIF89a nothing", params={"name": "cat.png"})
    assert (answer.status_code, "cat.png" in answer.json()["detail"]) == (422, True)


def test_shapes_fit_models_of_other_bands(model: Model) -> None:
    about = model.card.normalization
    assert shapes_for(3, "uint8", about) is simple_shapes()
    wide = shapes_for(5, "float32", about.model_copy(update={"mean": (0.5,) * 5, "std": (0.1,) * 5}))
    alike = shapes_for(5, "float32", about.model_copy(update={"mean": (0.5,), "std": (0.1,)}))
    np.testing.assert_array_equal(alike, wide)
    normal = (wide / about.scale - 0.5) / 0.1
    assert wide.shape == (240, 320, 5)
    assert (normal.min(), normal.max()) == pytest.approx((-2, 2), abs=0.3)


def test_influence_beyond_a_field_is_a_part_of_the_image(home: Workspace) -> None:
    """A layer that weighs its channels by their mean lets every unit after it read the whole image."""
    _, card = load_package(home.run("first") / "model")
    recipe = NetworkRecipe(name="fcn8s-mobilenet_v3_small", classes=len(card.classes), channels=3)
    torch.manual_seed(0)
    net = recipe.build().eval()
    save_package(home.model("weighing"), net, card.model_copy(update={"name": "weighing", "network": recipe}))
    bench = Workbench(ServerSettings(home))
    with TestClient(create_app(bench, pages=False), base_url=BASE) as client:
        url = "/api/v1/models/weighing/layers"
        layers = client.get(url).json()["layers"]
        layer = next(one for one in layers if one["whole"] and one["stride"] is not None and one["rows"] > 9)
        address = f"{url}/{layer['name']}/units/{layer['rows'] // 2}/{layer['columns'] // 2}"
        unit = client.get(address).json()
        told = client.get(f"{address}/influence", headers=JSON).json()
        spans = [(told[side][1] - told[side][0] + 1) for side in ("rows", "columns")]
        fields = [(unit[side]["last"] - unit[side]["first"] + 1) for side in ("rows", "columns")]
        assert np.prod(spans) > np.prod(fields)
        assert told["share"] == pytest.approx(np.prod(spans) / (240 * 320))
