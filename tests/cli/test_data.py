"""`fullconv data` as a user types it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from folders import label, save_label, write_set
from fullconv.cli.data import app
from fullconv.data.dataset import Dataset

run = CliRunner().invoke


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_set(tmp_path / "streets", splits={"train": 14, "val": 5, "test": 4})


def words(text: str) -> str:
    """Output without line breaks and padding."""
    return " ".join(text.split())


def test_check_tells_format_classes_splits_and_what_to_beat(root: Path):
    result = run(app, ["check", str(root)])
    assert result.exit_code == 0, result.output
    for part in ("ids:", "23 (14 train, 5 val, 4 test)", "all 32×24", "rider", "To beat", "×32", "×4", "Ready to use"):
        assert part in words(result.stdout)


def test_check_lists_errors_first_and_exits_2(root: Path):
    (root / "train" / "images" / "001.png").write_bytes(b"")
    (root / "val" / "labels" / "015.png").unlink()
    result = run(app, ["check", str(root)])
    assert result.exit_code == 2
    output = words(result.stdout)
    assert "unreadable-image train/images/001.png" in output
    assert output.index("unreadable-image") < output.index("unmatched-image")
    assert "1 error, 1 warning" in output


def test_warnings_fail_only_the_strict_check(root: Path):
    (root / "val" / "labels" / "015.png").unlink()
    assert run(app, ["check", str(root)]).exit_code == 0
    assert run(app, ["check", str(root), "--strict"]).exit_code == 2


def test_check_as_json_holds_the_same_facts(root: Path):
    result = run(app, ["check", str(root), "--json"])
    facts = json.loads(result.stdout)
    assert facts["label_format"]["kind"] == "ids"
    assert facts["statistics"]["splits"]["train"]["images"] == 14
    assert set(facts["statistics"]["stride_ceiling"]) == {"32", "16", "8", "4"}
    assert [entry["name"] for entry in facts["classes"]["classes"]] == ["background", "road", "sky", "rider"]


def test_check_writes_nothing(root: Path, workspace_home: Path):
    before = sorted(root.rglob("*"))
    run(app, ["check", str(root)])
    assert sorted(root.rglob("*")) == before
    assert not workspace_home.exists()


def test_create_show_and_list(root: Path, workspace_home: Path):
    result = run(app, ["create", "streets", str(root)])
    assert result.exit_code == 0, result.output
    assert (workspace_home / "datasets" / "streets" / "dataset.yaml").is_file()
    assert "streets" in run(app, ["list"]).stdout
    shown = words(run(app, ["show", "streets"]).stdout)
    assert "23 (14 train, 5 val, 4 test)" in shown
    assert json.loads(run(app, ["list", "--json"]).stdout)[0]["splits"] == {"train": 14, "val": 5, "test": 4}
    facts = json.loads(run(app, ["show", "streets", "--json"]).stdout)
    assert facts["fingerprint"] == Dataset.load("streets").fingerprint


def test_create_takes_every_option(tmp_path: Path):
    root = write_set(tmp_path / "set", 24)
    ids = label(0)
    ids[0, 0] = 99
    save_label(root / "labels" / "000.png", ids)
    (root / "labels" / "001.png").unlink()
    for split, numbers in (("train", range(18)), ("val", range(18, 24))):
        (tmp_path / f"{split}.txt").write_text("\n".join(f"{number:03}" for number in numbers))
    arguments = ["create", "set", str(root / "images"), str(root / "labels"), "--classes", str(root / "classes.txt")]
    arguments += ["--format", "ids", "--remap", "99=rider", "--rename", "rider=cyclist", "--merge", "outside=road,sky"]
    arguments += ["--drop", "background", "--unlabelled", "ignore", "--seed", "3"]
    arguments += ["--list", f"train={tmp_path}/train.txt", "--list", f"val={tmp_path}/val.txt"]
    arguments += ["--workspace", str(tmp_path / "home"), "--json"]
    result = run(app, arguments)
    assert result.exit_code == 0, result.output
    dataset = Dataset.load(tmp_path / "home" / "datasets" / "set")
    assert dataset.classes.names == ("outside", "cyclist")
    assert [len(dataset.train), len(dataset.val)] == [18, 6]
    first = next(sample for sample in dataset if sample.key.endswith("000"))
    assert dataset.read_label(first)[0, 0] == 1
    assert json.loads(result.stdout)["path"].endswith("dataset.yaml")


def test_create_splits_by_percentages_and_groups(tmp_path: Path):
    root = write_set(tmp_path / "set", 30)
    options = ["--split", "60/40", "--group-by", r"(\d\d)\d$", "--seed", "1"]
    assert run(app, ["create", "set", str(root), *options]).exit_code == 0
    dataset = Dataset.load("set")
    assert {len({sample.split for sample in dataset if sample.key.split("/")[-1][1] == ten}) for ten in "012"} == {1}


def test_ignored_and_kept_classes(tmp_path: Path):
    root = write_set(tmp_path / "set", 24)
    (root / "classes.txt").write_text("0 void 0 0 0\n1 road 1 1 1\n2 sky 2 2 2\n3 rider 3 3 3\n")

    def names(*options: str) -> list[str]:
        facts = json.loads(run(app, ["check", str(root), "--json", *options]).stdout)
        return [entry["name"] for entry in facts["classes"]["classes"]]

    assert names() == ["road", "sky", "rider"]
    assert names("--keep", "void") == ["void", "road", "sky", "rider"]
    assert names("--ignore", "sky") == ["road", "rider"]


def test_an_empty_workspace_says_how_to_fill_it():
    result = run(app, ["list"])
    assert result.exit_code == 0
    assert "fullconv data create" in result.stdout


def test_a_broken_dataset_does_not_hide_the_others(root: Path, workspace_home: Path):
    run(app, ["create", "good", str(root)])
    broken = workspace_home / "datasets" / "broken"
    broken.mkdir()
    (broken / "dataset.yaml").write_text("format: 1\nname: [")
    rows = json.loads(run(app, ["list", "--json"]).stdout)
    assert [("error" in row) for row in rows] == [True, False]
    assert run(app, ["list"]).exit_code == 0


def test_edits_that_do_not_fit_do_not_hide_the_other_datasets(root: Path, workspace_home: Path):
    for name in ("good", "odd"):
        run(app, ["create", name, str(root)])
    path = workspace_home / "datasets" / "odd" / "dataset.yaml"
    path.write_text(path.read_text().replace("drop: []", "drop: [lorry]"))
    result = run(app, ["list", "--json"])
    assert result.exit_code == 0, result.output
    rows = {row["name"]: row for row in json.loads(result.stdout)}
    assert "'lorry'" in rows["odd"]["error"]
    assert rows["good"]["images"] == 23


@pytest.mark.parametrize("command", [["check"], ["create", "set"]])
@pytest.mark.parametrize("options", [["--seed", "-1"], ["--split", "80/20", "--list", "val=x.txt"]])
def test_options_that_cannot_be_meant_are_one_sentence(root: Path, command: list[str], options: list[str]):
    result = run(app, [*command, str(root), *options])
    assert result.exit_code == 2
    assert len(result.stderr.strip().splitlines()) == 1
    assert options[0] in result.stderr


@pytest.mark.parametrize("command", [["check"], ["create", "set"], ["show"]])
def test_the_home_of_nobody_is_one_sentence(command: list[str]):
    result = run(app, [*command, "~no-such-user-here/x"])
    assert result.exit_code == 2, result.exception
    assert "no such user" in result.stderr


def test_messages_with_brackets_are_printed_as_they_are(tmp_path: Path):
    root = write_set(tmp_path / "[bold]set[x]", 24)
    assert "[bold]set[x]" in words(run(app, ["check", str(root)]).stdout).replace(" ", "")


def test_the_table_is_whole_at_eighty_columns(root: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("COLUMNS", "80")
    output = run(app, ["check", str(root)]).stdout
    assert "background" in output
    assert "…" not in output


@pytest.mark.parametrize("command", [[], ["check"], ["create"], ["list"], ["show"]])
def test_every_command_has_help(command: list[str]):
    result = run(app, [*command, "--help"])
    assert result.exit_code == 0
    assert "--help" in result.stdout


@pytest.mark.realdata
def test_camvid_is_sound_and_has_its_published_splits(shared: Path):
    result = run(app, ["check", str(shared / "data" / "camvid"), "--json"])
    assert result.exit_code == 0, result.output
    facts = json.loads(result.stdout)
    images = {split: counts["images"] for split, counts in facts["statistics"]["splits"].items()}
    assert images == {"train": 367, "val": 101, "test": 233}
    assert len(facts["classes"]["classes"]) == 11
    assert [entry["name"] for entry in facts["classes"]["ignored"]] == ["void"]
    assert facts["problems"] == []
