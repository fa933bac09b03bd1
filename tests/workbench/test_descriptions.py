"""Descriptions that lie in uploads, where anybody can have written them."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from fullconv.data.dataset import Dataset
from fullconv.errors import DataError
from fullconv.plain_yaml import refuse_references
from fullconv.workbench.pages.plan_draft import read_value
from fullconv.workbench.security.descriptions import allowed_description
from fullconv.workbench.services.plan_form import FormField
from fullconv.workbench.workbench import Workbench

LAUGHS = "a: &a [x, x]\nb: &b [*a, *a, *a, *a]\nc: &c [*b, *b, *b, *b]\nd: [*c, *c, *c, *c]\n"


@pytest.fixture
def uploaded(bench: Workbench, scenes: Path) -> Path:
    folder = bench.home.root / "uploads" / "0badcafe"
    shutil.copytree(scenes, folder)
    Dataset.from_folders(folder, name="inside").save(bench.home)
    return shutil.move(bench.home.datasets / "inside" / "dataset.yaml", folder / "dataset.yaml")


def test_a_description_may_be_named_and_holds_no_references(bench: Workbench, uploaded: Path) -> None:
    assert allowed_description(bench.settings, str(uploaded)) == uploaded.resolve()
    text = uploaded.read_text()
    for bad in (LAUGHS + text, text + LAUGHS, "[" * 100_000):
        uploaded.write_text(bad)
        with pytest.raises(DataError, match=r"references|nested|YAML"):
            allowed_description(bench.settings, str(uploaded))


def test_a_model_in_an_upload_holds_no_references(client: TestClient, bench: Workbench) -> None:
    package = bench.home.root / "uploads" / "0badcafe" / "model"
    shutil.copytree(bench.home.run("first") / "model", package)
    card = package / "model.yaml"
    card.write_text(LAUGHS + card.read_text())
    answer = client.post("/api/v1/plans", json={"experiment": {"dataset": "streets", "weights": str(package)}})
    assert answer.status_code == 422
    assert "references" in answer.text


def test_a_model_of_the_store_holds_no_references(client: TestClient, bench: Workbench) -> None:
    package = bench.home.models / "laughing"
    shutil.copytree(bench.home.run("first") / "model", package)
    card = package / "model.yaml"
    card.write_text(LAUGHS + card.read_text())
    bench.catalogue.refresh()
    (entry,) = bench.catalogue.entries("model")
    assert "references" in (entry.problem or "")
    answer = client.get("/api/v1/models/laughing")
    assert (answer.status_code, "references" in answer.text) == (422, True)
    assert client.delete("/api/v1/runs/first").status_code == 204  # which looks into all of them


def test_fields_of_a_form_hold_no_references() -> None:
    field = FormField(path="loss.terms", section="", label="", help="", kind="yaml")
    assert read_value(field, "a: 1") == {"a": 1}
    assert read_value(field, LAUGHS) == LAUGHS.strip()


def test_a_key_that_is_there_twice_is_told(tmp_path: Path, uploaded: Path) -> None:
    text = uploaded.read_text()
    uploaded.write_text(text.replace("scene_00001\n", "scene_00000\n"))
    with pytest.raises(DataError, match="two samples have the key 'train/scene_00000'"):
        Dataset.load(uploaded)


def test_small_files_alone_are_descriptions(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("a: 1\n")
    refuse_references(tmp_path / "a.yaml", largest=5, error=DataError)
    with pytest.raises(DataError, match="too large"):
        refuse_references(tmp_path / "a.yaml", largest=4, error=DataError)
    with pytest.raises(DataError, match="cannot be read"):
        refuse_references(tmp_path / "b.yaml", largest=4, error=DataError)


def test_values_that_are_not_what_their_tags_say_are_told(client: TestClient, uploaded: Path) -> None:
    uploaded.write_text(uploaded.read_text() + "odd: !!bool x\n")
    answer = client.post("/api/v1/plans", json={"experiment": {"dataset": str(uploaded)}})
    assert (answer.status_code, "not valid YAML" in answer.text) == (422, True), answer.text
