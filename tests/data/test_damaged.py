"""Broken datasets: each gives its sentence, exit code 2, and leaves nothing half-written."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

import damaged_descriptions  # noqa: F401 (these register themselves)
import damaged_files  # noqa: F401
import damaged_labels  # noqa: F401
from damages import DAMAGES
from folders import class_file, write_set
from fullconv.cli.data import app


def test_there_are_at_least_forty_ways_to_break_a_set_and_each_has_its_sentence():
    assert len(DAMAGES) >= 40
    assert all(sentence for _, sentence in DAMAGES.values())


@pytest.mark.parametrize("name", DAMAGES)
@pytest.mark.parametrize("command", ["check", "create"])
def test_damage_gives_one_sentence_and_leaves_nothing(name: str, command: str, tmp_path: Path, workspace_home: Path):
    break_it, sentence = DAMAGES[name]
    root = write_set(tmp_path / "set", 12)
    arguments = break_it(root) or [str(root)]
    result = CliRunner().invoke(app, ["create", "broken", *arguments] if command == "create" else ["check", *arguments])
    output = result.stderr if command == "create" else result.stdout + result.stderr
    assert result.exit_code == 2, (result.output, result.exception)
    assert "Traceback" not in output
    assert sentence.replace(" ", "") in "".join(output.split()), output
    if command == "create":
        assert len(result.stderr.strip().splitlines()) == 1
        assert result.stderr.rstrip().endswith(".")
        assert result.stdout == ""
    assert not any(workspace_home.rglob("*"))


# Where it is written to


def test_workspace_below_a_file_is_refused(tmp_path: Path):
    root = write_set(tmp_path / "set", 12)
    (tmp_path / "taken").write_text("a file")
    result = CliRunner().invoke(app, ["create", "set", str(root), "--workspace", str(tmp_path / "taken" / "home")])
    assert result.exit_code == 2
    assert "file" in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EACCES, errno.EROFS, errno.EDQUOT])
def test_a_disk_that_fails_while_writing_leaves_nothing(
    code: int, tmp_path: Path, workspace_home: Path, monkeypatch: pytest.MonkeyPatch
):
    root = write_set(tmp_path / "set", 12)

    def fail(descriptor: int) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr("fullconv.files.os.fsync", fail)
    result = CliRunner().invoke(app, ["create", "set", str(root)])
    assert result.exit_code == 2
    assert len(result.stderr.strip().splitlines()) == 1
    assert not [path for path in workspace_home.rglob("*") if path.is_file() or path.parent.name == "datasets"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs limits of a process")
def test_a_real_limit_of_the_disk_leaves_nothing(tmp_path: Path, workspace_home: Path):
    import subprocess
    import sys

    root = write_set(tmp_path / "set", 12)
    program = (
        "import resource, signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (500, 500));"
        "from fullconv.cli.data import app; app(['create', 'set', sys.argv[1]])"
    )
    done = subprocess.run([sys.executable, "-c", program, str(root)], capture_output=True, text=True, check=False)
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    assert not [path for path in workspace_home.rglob("*") if path.is_file() or path.parent.name == "datasets"]


@pytest.mark.parametrize("name", ["../up", "a/b", "", ".hidden"])
def test_names_that_are_no_folder_names_are_refused(name: str, tmp_path: Path):
    result = CliRunner().invoke(app, ["create", "--", name, str(write_set(tmp_path / "set", 12))])
    assert result.exit_code == 2
    assert "cannot be a name" in result.stderr


def test_a_name_that_is_taken_is_refused_before_anything_is_read(tmp_path: Path):
    root = write_set(tmp_path / "set", 12)
    assert CliRunner().invoke(app, ["create", "set", str(root)]).exit_code == 0
    result = CliRunner().invoke(app, ["create", "set", str(tmp_path / "nowhere")])
    assert result.exit_code == 2
    assert "exists already" in result.stderr


# dataset.yaml


def broken_description(change: Callable[[dict], None] | str) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        if isinstance(change, str):
            path.write_text(change)
            return
        content = yaml.safe_load(path.read_text())
        change(content)
        path.write_text(yaml.safe_dump(content))

    return write


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ("", "holds no settings"),
        ("name: [", "not valid YAML"),
        ("- a\n- b\n", "holds no settings"),
        (lambda content: content.update(format=2), "format"),
        (lambda content: content.update(colour="red"), "colour"),
        (lambda content: content.pop("samples"), "samples"),
        (lambda content: content.update(samples=[]), "samples"),
        (lambda content: content["samples"].append(content["samples"][0]), "two samples"),
        (lambda content: content["samples"][0].update(split="holdout"), "samples.0.split"),
        (lambda content: content["classes"][0].update(color=[1, 2]), "classes.0.color"),
        (lambda content: content["classes"][1].update(name="background"), "two classes"),
        (lambda content: content["classes"][1].update(codes=[0]), "two classes"),
        (lambda content: content["edits"].update(rename={"lorry": "car"}), "'lorry'"),
        (lambda content: content["edits"].update(drop="road"), "edits.drop"),
        (lambda content: content["label_format"].update(kind="runes"), "label_format.kind"),
        (lambda content: content.update(root="/nowhere"), "are gone"),
        (lambda content: content["samples"][0].update(image="images/none.png"), "1 of 12"),
    ],
)
def test_a_broken_description_names_the_field(change: Callable[[dict], None] | str, sentence: str, tmp_path: Path):
    root = write_set(tmp_path / "set", 12)
    class_file(root)
    CliRunner().invoke(app, ["create", "set", str(root), "--workspace", str(tmp_path / "home")])
    path = tmp_path / "home" / "datasets" / "set" / "dataset.yaml"
    broken_description(change)(path)
    result = CliRunner().invoke(app, ["show", "set", "--workspace", str(tmp_path / "home")])
    assert result.exit_code == 2, (result.output, result.exception)
    assert sentence in result.stderr
    assert "dataset.yaml" in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1
