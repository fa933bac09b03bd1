"""Models by REST: listed, shown, uploaded, downloaded, renamed, licensed, copied, deleted."""

from __future__ import annotations

import io
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import load_file
from starlette.testclient import TestClient

from fullconv.files import write_document
from fullconv.networks.own_file import own_network
from fullconv.prediction.model import Model
from fullconv.store.package import HistoryEntry, read_card, save_package
from fullconv.store.recipe import NetworkCode
from fullconv.surgery.weight_files import PICKLES
from fullconv.training.fit import plan_run
from fullconv.workbench.api.problems import MEDIA_TYPE
from fullconv.workbench.application import create_app
from fullconv.workbench.services import weights
from fullconv.workbench.settings import ServerSettings
from fullconv.workbench.workbench import Workbench
from fullconv.workspace import Workspace

from .conftest import BASE, QUICK

MODELS, WEIGHTS = "/api/v1/models", "/api/v1/weights"


def archive_of(folder: Path, prefix: str = "packed/", **more: bytes) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as packed:
        for path in sorted(folder.iterdir()):
            packed.write(path, f"{prefix}{path.name}")
        for name, content in more.items():
            packed.writestr(f"{prefix}{name}", content)
    return stream.getvalue()


@pytest.fixture
def package(home: Workspace) -> Path:
    return home.run("first") / "model"


@pytest.fixture
def stored(client: TestClient, package: Path) -> TestClient:
    """With the model `streets` in the store."""
    answer = client.post(f"{MODELS}/first/copies", json={"name": "streets"})
    assert answer.status_code == 201, answer.text
    return client


def test_models_of_runs_are_models_too(stored: TestClient) -> None:
    found = stored.get(MODELS).json()
    assert {(entry["kind"], entry["name"]) for entry in found["entries"]} == {("model", "streets"), ("run", "first")}
    assert found["total"] == 2
    assert [entry["name"] for entry in stored.get(MODELS, params={"kind": "run"}).json()["entries"]] == ["first"]
    assert stored.get(MODELS, params={"kind": "model", "search": "nothing"}).json()["total"] == 0
    assert stored.get(MODELS, params={"kind": "dataset"}).status_code == 422


def test_a_run_without_model_is_none(client: TestClient, bench: Workbench) -> None:
    plan_run("streets", QUICK, workspace=bench.home)
    bench.catalogue.refresh()
    assert client.get(MODELS).json()["total"] == 1


def test_a_model_shows_what_its_package_says(client: TestClient, package: Path) -> None:
    facts = client.get(f"{MODELS}/first").json()
    card = read_card(package)
    assert (facts["kind"], facts["network"], facts["usable"]) == ("run", card.network.name, True)
    assert [entry["name"] for entry in facts["heads"][0]["classes"]] == list(card.classes.names)  # type: ignore[union-attr]
    assert facts["scores"][0]["mean_iou"] == card.scores[0].mean_iou
    assert facts["heads"][0]["classes"][0]["iou"] == card.scores[0].iou[facts["heads"][0]["classes"][0]["name"]]
    net = Model.load(package, device="cpu").net
    assert facts["parameters"] == sum(parameter.numel() for parameter in net.parameters())
    assert facts["size"] == sum(path.stat().st_size for path in package.iterdir())
    assert client.get(f"{MODELS}/nobody").status_code == 404


def test_what_is_downloaded_can_be_uploaded_and_predicts_the_same(client: TestClient, package: Path) -> None:
    answer = client.get(f"{MODELS}/first/package")
    assert answer.headers["content-disposition"] == 'attachment; filename="first.zip"'
    with zipfile.ZipFile(io.BytesIO(answer.content)) as packed:
        assert packed.testzip() is None
        assert set(packed.namelist()) == {"first/model.yaml", "first/model.safetensors"}
    made = client.post(MODELS, params={"name": "back"}, content=answer.content)
    assert made.status_code == 201, made.text
    assert made.json()["history"][-1]["what"] == "uploaded"
    home = package.parents[2]
    before, after = load_file(package / "model.safetensors"), load_file(home / "models" / "back" / "model.safetensors")
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert client.get(MODELS, params={"kind": "model"}).json()["entries"][0]["name"] == "back"


def test_an_upload_keeps_what_belongs_to_a_package_and_its_own_name(client: TestClient, package: Path) -> None:
    content = archive_of(package, prefix="", **{"evil.pkl": b"x", "notes.yaml": b"format: 1\nnote: hello\n"})
    shutil.rmtree(package.parent)  # its name is free then
    made = client.post(MODELS, content=content).json()
    assert made["name"] == "first"
    assert [file["name"] for file in made["files"]] == ["model.safetensors", "model.yaml"]
    assert made["note"] == ""
    assert client.post(MODELS, content=content).status_code == 409


@pytest.mark.parametrize(
    ("content", "status", "sentence"),
    [
        (b"nothing", 415, "package: is neither a zip nor a tar"),
        ("empty", 422, "holds no files"),
        ("other", 422, "holds no model package"),
        ("two", 422, "2 model packages"),
        ("slip", 422, "leads out of the archive"),
        ("cut", 422, "cannot be read"),
        ("classes", 422, "do not fit"),
    ],
)
def test_what_is_no_package_never_appears(
    client: TestClient, package: Path, tmp_path: Path, content: bytes | str, status: int, sentence: str
) -> None:
    copy = Path(shutil.copytree(package, tmp_path / "copy"))
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as packed:
        if content == "other":
            packed.writestr("readme.txt", "hello")
        if content == "slip":
            packed.writestr("../model.yaml", "x")
        if content == "two":
            for name in ("a", "b"):
                packed.write(copy / "model.yaml", f"{name}/model.yaml")
        if content == "cut":
            packed.write(copy / "model.yaml", "model.yaml")
            packed.writestr("model.safetensors", (copy / "model.safetensors").read_bytes()[:5000])
        if content == "classes":
            card = yaml.safe_load((copy / "model.yaml").read_text())
            del card["classes"]["classes"][0]
            card["network"]["classes"] -= 1
            packed.writestr("model.yaml", yaml.safe_dump(card))
            packed.write(copy / "model.safetensors", "model.safetensors")
    body = content if isinstance(content, bytes) else stream.getvalue()
    answer = client.post(MODELS, params={"name": "new"}, content=body)
    assert (answer.status_code, sentence in answer.text) == (status, True), answer.text
    assert str(package.parents[2]) not in answer.text
    models = package.parents[2] / "models"
    assert not models.exists() or not list(models.iterdir())
    assert not [path for path in (package.parents[2] / "cache" / ".servers").rglob("*") if path.is_file()]


@pytest.mark.parametrize("value", ["!!bool x", '!!binary "/w=="', "2026-01-02", "0x" + "f" * 5000])
def test_a_history_of_anything_but_plain_values_is_refused(
    client: TestClient, package: Path, tmp_path: Path, value: str
) -> None:
    copy = Path(shutil.copytree(package, tmp_path / "copy"))
    card = yaml.safe_load((copy / "model.yaml").read_text())
    card["history"][0]["details"] = {"odd": "HERE"}
    (copy / "model.yaml").write_text(yaml.safe_dump(card).replace("HERE", value))
    answer = client.post(MODELS, params={"name": "odd"}, content=archive_of(copy))
    assert (answer.status_code, "model.yaml" in answer.json()["detail"]) == (422, True), answer.text
    assert client.get(f"{MODELS}/odd").status_code == 404


@pytest.fixture
def own(tmp_path: Path, package: Path) -> bytes:
    """A package whose network is somebody's own file, which leaves a trace when it runs."""
    (tmp_path / "net.py").write_text(
        "import pathlib, torch\n"
        f"pathlib.Path({str(tmp_path / 'ran')!r}).touch()\n"
        "def build(classes, channels):\n"
        "    return torch.nn.Conv2d(channels, classes, 3, padding=1)\n"
    )
    card = read_card(package)
    net = own_network(f"{tmp_path}/net.py:build", classes=len(card.classes))
    network = card.network.model_copy(update={"name": "net.py:build", "code": NetworkCode.of(net.file)})
    folder = save_package(tmp_path / "own", net, card.model_copy(update={"network": network}))
    (tmp_path / "ran").unlink()
    return archive_of(folder)


def test_code_is_not_taken(client: TestClient, own: bytes, tmp_path: Path) -> None:
    answer = client.post(MODELS, params={"name": "own"}, content=own)
    assert (answer.status_code, "--allow-code" in answer.text) == (403, True), answer.text
    assert not (tmp_path / "ran").exists()


def test_code_is_taken_and_not_run_where_it_is_allowed(home: Workspace, own: bytes, tmp_path: Path) -> None:
    bench = Workbench(ServerSettings(home, allow_code=True))
    client = TestClient(create_app(bench, pages=False), base_url=BASE)
    made = client.post(MODELS, params={"name": "own"}, content=own)
    assert made.status_code == 201, made.text
    assert (made.json()["needs_code"], made.json()["usable"]) == (True, True)
    assert not (tmp_path / "ran").exists()
    bench.engine.dispose()
    closed = Workbench(ServerSettings(home))
    facts = TestClient(create_app(closed, pages=False), base_url=BASE).get(f"{MODELS}/own").json()
    assert (facts["usable"], "--allow-code" in facts["why_not"]) == (False, True)
    closed.engine.dispose()


def test_a_model_gets_another_name_and_licence(stored: TestClient, home: Workspace) -> None:
    changed = stored.patch(f"{MODELS}/streets", json={"name": "avenues", "licence": " CC-BY-4.0 "}).json()
    assert (changed["name"], changed["licence"]) == ("avenues", "CC-BY-4.0")
    assert changed["history"][-1]["what"] == "renamed from streets"
    assert stored.get(f"{MODELS}/streets").status_code == 404
    assert read_card(home.model("avenues")).name == "avenues"
    assert stored.patch(f"{MODELS}/avenues", json={"licence": None}).json()["licence"] is None
    assert stored.patch(f"{MODELS}/avenues", json={"name": "../x"}).status_code == 422
    assert stored.patch(f"{MODELS}/first", json={"name": "x"}).status_code == 409
    stored.post(f"{MODELS}/avenues/copies", json={"name": "other"})
    assert stored.patch(f"{MODELS}/avenues", json={"name": "other"}).status_code == 409
    assert stored.post(f"{MODELS}/avenues/copies", json={"name": "other"}).status_code == 409


def test_the_name_of_a_run_is_taken(stored: TestClient, package: Path) -> None:
    content = archive_of(package, prefix="")
    weights = (package / "model.safetensors").read_bytes()
    stored.post(WEIGHTS, params={"file": "start.safetensors"}, content=weights)
    for answer in (
        stored.post(f"{MODELS}/streets/copies", json={"name": "first"}),
        stored.post(f"{MODELS}/first/copies", json={"name": "first"}),
        stored.patch(f"{MODELS}/streets", json={"name": "first"}),
        stored.post(MODELS, content=content),  # which calls itself so
        stored.post(MODELS, params={"name": "first"}, content=content),
        stored.post(WEIGHTS, params={"file": "first.safetensors"}, content=weights),
        stored.patch(f"{WEIGHTS}/start", json={"name": "first"}),
    ):
        assert (answer.status_code, answer.json()["detail"]) == (
            409,
            "name: a run is named 'first' already; choose another name.",
        )
    assert not (package.parents[2] / "models" / "first").exists()


def test_of_one_name_the_kind_says_which_is_meant(client: TestClient, bench: Workbench, package: Path) -> None:
    stored = Path(shutil.copytree(package, bench.home.model("first")))  # as a shell can do
    card = read_card(stored)
    write_document(stored / "model.yaml", card.model_copy(update={"licence": "of the store"}))
    bench.catalogue.refresh()
    address, run = f"{MODELS}/first", {"kind": "run"}
    facts = client.get(address).json()
    assert (facts["kind"], facts["namesake"], facts["licence"]) == ("model", False, "of the store")
    facts = client.get(address, params=run).json()
    assert (facts["kind"], facts["namesake"], facts["licence"]) == ("run", True, None)
    assert client.get(address, params={"kind": "other"}).status_code == 422

    changed = client.patch(address, params=run, json={"licence": "of the run"}).json()
    assert (changed["kind"], changed["licence"]) == ("run", "of the run")
    assert (read_card(package).licence, read_card(stored).licence) == ("of the run", "of the store")
    client.put(f"{address}/annotations", params=run, json={"note": "of the run"})
    assert (bench.home.run("first") / "notes.yaml").is_file()
    assert not (stored / "notes.yaml").exists()
    assert client.post(f"{address}/copies", params=run, json={"name": "kept"}).json()["licence"] == "of the run"
    with zipfile.ZipFile(io.BytesIO(client.get(f"{address}/package", params=run).content)) as packed:
        assert yaml.safe_load(packed.read("first/model.yaml"))["licence"] == "of the run"


def test_notes_of_a_run_lie_beside_the_run(stored: TestClient, home: Workspace) -> None:
    body = {"format": 1, "tags": ["paper"], "note": "the best"}
    assert stored.put(f"{MODELS}/first/annotations", json=body).json()["tags"] == ["paper"]
    assert (home.run("first") / "notes.yaml").is_file()
    stored.put(f"{MODELS}/streets/annotations", json=body)
    assert (home.model("streets") / "notes.yaml").is_file()
    assert stored.get(MODELS, params={"tag": "paper"}).json()["total"] == 2


def test_what_a_run_or_model_needs_is_kept(stored: TestClient, bench: Workbench) -> None:
    plan = plan_run("streets", QUICK | {"weights": "streets"}, workspace=bench.home)
    answer = stored.delete(f"{MODELS}/streets")
    assert (answer.status_code, plan.name in answer.text) == (409, True), answer.text
    assert stored.patch(f"{MODELS}/streets", json={"name": "x"}).status_code == 409
    assert stored.get(f"{MODELS}/streets").json()["used_by"] == [f"run {plan.name}"]
    shutil.rmtree(plan)
    card = read_card(bench.home.model("streets"))
    child = card.model_copy(
        update={"name": "child", "history": (HistoryEntry.now("trained", weights="model streets"),)}
    )
    save_package(bench.home.model("child"), Model.load("streets", workspace=bench.home, device="cpu").net, child)
    answer = stored.delete(f"{MODELS}/streets")
    assert (answer.status_code, "model child" in answer.text) == (409, True), answer.text
    assert stored.delete(f"{MODELS}/child").status_code == 204
    assert stored.delete(f"{MODELS}/streets").status_code == 204
    assert stored.delete(f"{MODELS}/first").status_code == 409
    assert [path.name for path in bench.home.models.iterdir()] == []


def test_what_a_history_says_of_runs_stops_nobody(stored: TestClient, home: Workspace) -> None:
    path = home.model("streets") / "model.yaml"
    card = yaml.safe_load(path.read_text())
    card["history"][0]["details"] = {"runs": 5}
    path.write_text(yaml.safe_dump(card))
    assert stored.delete("/api/v1/runs/first").status_code == 204


def test_weights_are_taken_and_runs_start_from_them(client: TestClient, bench: Workbench, package: Path) -> None:
    content = (package / "model.safetensors").read_bytes()
    made = client.post(WEIGHTS, params={"file": "street net.safetensors"}, content=content)
    assert made.status_code == 201, made.text
    assert made.json()["name"] == "street-net"
    assert client.get(WEIGHTS).json()["entries"][0]["facts"]["source"] == "street net.safetensors"
    assert client.get(f"{WEIGHTS}/street-net/file").content == content
    assert client.get(f"{WEIGHTS}/street-net").json() == made.json()
    plan = plan_run("streets", QUICK | {"weights": "street-net"}, workspace=bench.home)
    assert client.delete(f"{WEIGHTS}/street-net").status_code == 409
    assert client.patch(f"{WEIGHTS}/street-net", json={"name": "x"}).status_code == 409
    shutil.rmtree(plan)
    changed = client.patch(f"{WEIGHTS}/street-net", json={"name": "start", "licence": "MIT"}).json()
    assert (changed["name"], changed["licence"]) == ("start", "MIT")
    assert client.delete(f"{WEIGHTS}/start").status_code == 204
    assert client.get(f"{WEIGHTS}/start").status_code == 404


def test_weights_that_are_deleted_while_they_are_looked_at_are_not_there(
    client: TestClient, package: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = (package / "model.safetensors").read_bytes()
    looks = {"": (weights, "read_weights_card"), "/file": (weights, "file_of")}
    for path, (module, look) in looks.items():
        assert client.post(WEIGHTS, params={"file": "start.safetensors"}, content=content).status_code == 201
        looked = getattr(module, look)

        def deleted(*given: Any, looked: Callable[..., Any] = looked) -> Any:
            found = looked(*given)
            shutil.rmtree(package.parents[2] / "models" / "start")
            return found

        with monkeypatch.context() as meanwhile:
            meanwhile.setattr(module, look, deleted)
            answer = client.get(f"{WEIGHTS}/start{path}")
        assert (answer.status_code, answer.headers["content-type"]) == (404, MEDIA_TYPE), answer.text
        assert str(package.parents[2]) not in answer.text


def test_pickles_are_refused_with_how_to_convert_them(client: TestClient, tmp_path: Path) -> None:
    torch.save({"conv.weight": torch.zeros(4, 3, 3, 3)}, tmp_path / "plain.pth")
    pickled = (tmp_path / "plain.pth").read_bytes()
    for name, content, sentence in (
        *((f"plain{kind}", pickled, "save_file(fullconv.surgery.weight_files.read_weights(") for kind in PICKLES),
        ("plain", pickled, "is no .safetensors file"),
        ("plain.safetensors", pickled, "cannot be read"),
        ("x.safetensors", b"nothing", "cannot be read"),
        ("x.py", b"print()", "is no .safetensors file"),
    ):
        answer = client.post(WEIGHTS, params={"file": name}, content=content)
        assert (answer.status_code, sentence in answer.text) == (422, True), answer.text
        assert str(tmp_path) not in answer.text
    assert client.get(WEIGHTS).json()["total"] == 0


def test_nothing_changes_where_it_is_only_looked_at(home: Workspace, package: Path) -> None:
    bench = Workbench(ServerSettings(home, read_only=True))
    client = TestClient(create_app(bench, pages=False), base_url=BASE)
    requests: list[tuple[str, str, dict[str, Any]]] = [
        ("POST", MODELS, {"content": archive_of(package)}),
        ("POST", f"{MODELS}/first/copies", {"json": {"name": "x"}}),
        ("PATCH", f"{MODELS}/first", {"json": {"licence": "MIT"}}),
        ("PUT", f"{MODELS}/first/annotations", {"json": {"note": "x"}}),
        ("DELETE", f"{MODELS}/first", {}),
        ("POST", f"{WEIGHTS}?file=x.safetensors", {"content": b"x"}),
        ("PATCH", f"{WEIGHTS}/x", {"json": {}}),
        ("DELETE", f"{WEIGHTS}/x", {}),
    ]
    for method, address, body in requests:
        assert client.request(method, address, **body).status_code == 403, (method, address)
    assert not home.models.exists()
    bench.engine.dispose()


@pytest.mark.parametrize(("model", "kind"), [("streets", "model"), ("first", "run")])
def test_a_model_stays_as_long_as_a_job_works_with_it(
    stored: TestClient, bench: Workbench, scenes: Path, model: str, kind: str
) -> None:
    address = f"{MODELS}/{model}" if kind == "model" else f"/api/v1/runs/{model}"
    jobs = [
        stored.post("/api/v1/evaluations", json={"model": model, "kind": kind, "dataset": "streets"}).json(),
        stored.post("/api/v1/predictions", json={"model": model, "kind": kind, "folder": str(scenes)}).json(),
    ]
    if kind == "run":  # which the copy would need
        assert stored.delete(f"{MODELS}/streets").status_code == 204
    for job in jobs:
        answer = stored.delete(address)
        assert (answer.status_code, "works with it" in answer.text) == (409, True), answer.text
        if kind == "model":
            assert stored.patch(address, json={"name": "another"}).status_code == 409
        bench.queue.abort(job["id"])
    assert stored.delete(address).status_code == 204
