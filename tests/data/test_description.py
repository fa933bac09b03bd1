"""`dataset.yaml` as a person reads it and as the program reads it back."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from pydantic import ValidationError

from folders import write_set
from fullconv.data.dataset import Dataset
from fullconv.data.description import DatasetDescription, SampleRecord
from fullconv.files import read_document
from fullconv.workspace import Workspace


@pytest.fixture
def path(tmp_path: Path, workspace_home: Path) -> Path:
    root = write_set(tmp_path / "set", splits={"train": 4, "val": 2})
    return Dataset.from_folders(root, rename={"rider": "Straße"}).save(Workspace(workspace_home))


def test_it_holds_all_that_is_needed_to_read_the_set_again(path: Path, tmp_path: Path):
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert content["format"] == 1
    assert content["root"] == str(tmp_path / "set")
    assert content["label_format"]["kind"] == "ids"
    assert content["classes"][1] == {"name": "road", "color": [128, 64, 128], "value": 1, "codes": [1]}
    assert content["edits"]["rename"] == {"rider": "Straße"}
    assert content["statistics"]["splits"]["train"]["images"] == 4
    assert content["samples"][0]["image"] == "train/images/000.png"
    assert content["samples"][0]["labels"] == ["train/labels/000.png"]


def test_colors_and_ids_stand_on_one_line_and_edits_are_explained(path: Path):
    text = path.read_text(encoding="utf-8")
    assert "  color: [128, 64, 128]\n" in text
    assert text.startswith("# A dataset of FullConv.")
    assert "#   merge: " in text
    assert "Straße" in text


def test_what_is_written_is_read_back_equal(path: Path):
    description = read_document(path, DatasetDescription)
    assert DatasetDescription.model_validate(description.model_dump(mode="json")) == description


def test_labels_outside_the_root_keep_their_own_path(tmp_path: Path):
    write_set(tmp_path / "set")
    elsewhere = tmp_path / "elsewhere" / "deep"
    elsewhere.parent.mkdir()
    (tmp_path / "set" / "labels").rename(elsewhere)
    dataset = Dataset.from_folders(tmp_path / "set" / "images", elsewhere)
    path = dataset.save(Workspace(tmp_path / "home"))
    assert Dataset.load(path).samples == dataset.samples


def test_a_sample_without_a_known_split_is_refused():
    with pytest.raises(ValidationError, match="split"):
        SampleRecord(key="a", split="holdout", image="a.png", labels=(), size=(1, 1), checksum="", stamp="")  # type: ignore[arg-type]
