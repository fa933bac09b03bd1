"""The commands as a user types them, from a folder to predictions."""

from __future__ import annotations

import gc
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from commands import run
from folders import write_set
from fullconv.cli.console import one_sentence
from fullconv.cli.main import main
from fullconv.data.scenes import write_scenes

QUICK = [
    *("--net", "fcn8s-squeezenet1_1", "--weights", "random", "--epochs", "1", "--batch-size", "4", "--device", "cpu"),
    *("--set", "crop=[64, 64]", "--set", "workers=0", "--set", "views=1", "--set", "precision=fp32"),
]


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_scenes(tmp_path_factory.mktemp("cli") / "streets", count=14, size=(96, 72), processes=1)


def test_four_commands_lead_from_folders_to_predictions(scenes: Path, tmp_path: Path, workspace_home: Path) -> None:
    assert run("data", "check", scenes)[0] == 0
    assert run("data", "create", "streets", scenes)[0] == 0
    code, output, _ = run("train", "streets", *QUICK, "--json")
    assert code == 0
    facts = json.loads(output)
    code, output, _ = run("evaluate", facts["run"], "streets", "--out", tmp_path / "report", "--json")
    assert code == 0
    assert json.loads(output)["scores"]["confusion"] == facts["scores"]["confusion"]
    assert (tmp_path / "report" / "report.html").is_file()
    out = tmp_path / "out"
    code, output, _ = run("predict", Path(facts["run"]).name, scenes / "test" / "images", "--out", out, "--json")
    assert code == 0
    written = json.loads(output)["predicted"]
    assert len(written) == len(list((scenes / "test" / "images").iterdir()))
    with Image.open(written[0]) as label:
        assert label.size == (96, 72)
        assert set(np.unique(np.asarray(label)).tolist()) <= set(range(11))


def test_the_package_alone_is_enough(scenes: Path, tmp_path: Path, workspace_home: Path) -> None:
    code, output, _ = run("train", scenes, *QUICK, "--json")
    assert code == 0
    elsewhere = tmp_path / "elsewhere"
    shutil.copytree(Path(json.loads(output)["run"]) / "model", elsewhere / "model")
    shutil.copy(next((scenes / "test" / "images").iterdir()), elsewhere / "photo.png")
    shutil.rmtree(workspace_home)
    words = ["predict", "model", "photo.png", "--out", "out", "--workspace", "nothing"]
    done = subprocess.run([sys.executable, "-m", "fullconv", *words], cwd=elsewhere, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    made = sorted(path.name for path in (elsewhere / "out").iterdir())
    assert made == ["photo.png", "photo_overlay.png", "shares.csv"]
    assert not (elsewhere / "nothing").exists()


def test_a_folder_is_made_a_dataset_once(scenes: Path, workspace_home: Path) -> None:
    assert run("train", scenes, *QUICK)[0] == 0
    assert run("train", scenes, *QUICK)[0] == 0
    assert [path.name for path in (workspace_home / "datasets").iterdir()] == ["streets"]
    code, output, _ = run("runs", "list", "--json")
    assert code == 0
    assert [fact["state"] for fact in json.loads(output)] == ["done", "done"]
    name = json.loads(output)[0]["run"]
    assert "mean_iou" in run("runs", "show", name)[1]
    assert run("runs", "list")[1].count("done") == 2


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["train"], "nothing to train on"),
        (["train", "nowhere"], "no such dataset"),
        (["train", "{streets}", "--net", "fcn9s-vgg16"], "no layer of stride 9"),
        (["train", "{streets}", "--net", "unet"], "no network is named 'unet'"),
        (["train", "{streets}", "--weights", "none.pth"], "no such weight file"),
        (["train", "{streets}", "--epochs", "0"], "epochs"),
        (["train", "{streets}", "--set", "speed=9"], "speed"),
        (["train", "{streets}", "--set", "speed"], "sets nothing"),
        (["train", "{streets}", "--set", "augmentation=1", "--set", "augmentation.flip=0"], "set as a whole"),
        (["train", "{streets}", "--seed", "1", "--set", "seed=2"], "set twice"),
        (["train", "{streets}", "--set", "seed=2024-13-45"], "no YAML value"),
        (["train", "{streets}", "--seed", "5000000000"], "seed"),
        (["train", "{streets}", "--set", "dataset=other"], "given already"),
        (["train", "{streets}", "--device", "abacus"], "device"),
        (["train", "--resume", "nothing"], "no such run"),
        (["train", "{streets}", "--resume", "nothing"], "keeps its plan"),
        (["train", "--resume", "nothing", "--epochs", "2"], "keeps its plan"),
        (["train", "--resume", "nothing", "--learning-rate", "0.1"], "no such run"),
        (["evaluate", "nothing", "{streets}"], "no model package"),
        (["predict", "nothing", "{streets}", "--out", "out"], "no model package"),
        (["runs", "show", "nothing"], "no such run"),
        (["data", "scenes", "{streets}", "--count", "1"], "exists already"),
        (["data", "scenes", "new", "--size", "wide"], "is no size"),
        (["data", "scenes", "new", "--count", "0"], "count"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_a_mistake_is_one_sentence_and_leaves_nothing(
    scenes: Path, workspace_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], sentence: str
) -> None:
    monkeypatch.chdir(tmp_path)
    code, _, errors = run(*(word.replace("{streets}", str(scenes)) for word in words))
    assert code == 2
    assert sentence in errors.splitlines()[-1]
    assert "Traceback" not in errors
    assert not list(workspace_home.glob("runs/*"))
    assert not (tmp_path / "new").exists()


def _truncated(root: Path) -> None:
    image = next((root / "images").iterdir())
    image.write_bytes(image.read_bytes()[:60])


def _no_labels(root: Path) -> None:
    for label in (root / "labels").iterdir():
        label.unlink()


def _other_size(root: Path) -> None:
    Image.new("L", (9, 9)).save(next((root / "labels").iterdir()))


def _strange_id(root: Path) -> None:
    path = next((root / "labels").iterdir())
    with Image.open(path) as label:
        ids = np.asarray(label).copy()
    ids[3, 4] = 77
    Image.fromarray(ids).save(path)


@pytest.mark.parametrize("damage", [_truncated, _no_labels, _other_size, _strange_id])
def test_training_on_a_broken_folder_makes_no_dataset_and_no_run(
    tmp_path: Path, workspace_home: Path, damage: Callable[[Path], None]
) -> None:
    root = write_set(tmp_path / "broken")
    damage(root)
    code, _, errors = run("train", root, *QUICK)
    assert code == 2
    assert "Traceback" not in errors
    assert errors.strip()
    assert not list(workspace_home.glob("datasets/*"))
    assert not list(workspace_home.glob("runs/*"))


def test_an_unwritable_workspace_is_one_sentence(scenes: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    code, _, errors = run("train", scenes, *QUICK, "--workspace", tmp_path / "file")
    assert code == 2
    assert "folder" in errors.splitlines()[-1]


def test_an_experiment_file_is_a_plan(scenes: Path, tmp_path: Path) -> None:
    assert run("data", "create", "streets", scenes)[0] == 0
    plan = tmp_path / "plan.yaml"
    fields = ("dataset: streets", "network: fcn8s-squeezenet1_1", "weights: random", "epochs: 1", "workers: 0")
    plan.write_text("\n".join((*fields, "crop: [64, 64]", "")))
    assert run("train", plan)[0] == 0
    plan.write_text("dataset: streets\nnetwrk: fcn8s-squeezenet1_1\n")
    code, _, errors = run("train", plan)
    assert code == 2
    assert "netwrk" in errors


def test_a_script_without_a_main_guard_trains_once(scenes: Path, tmp_path: Path, workspace_home: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "import fullconv as fc\n"
        f"ds = fc.Dataset.from_folders({str(scenes)!r})\n"
        "fc.train(ds, 'fcn8s-squeezenet1_1', weights='random', epochs=1, views=1, crop=(64, 64), workers=1)\n"
    )
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert len(list(workspace_home.glob("runs/*"))) == 1


def test_the_collector_rests_until_a_command_has_imported_what_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    def command() -> None:
        seen.append(gc.isenabled())
        with one_sentence():
            seen.append(gc.isenabled())

    monkeypatch.setattr("fullconv.cli.main.app", command)
    try:
        main()
    finally:
        gc.enable()
        gc.unfreeze()
    assert seen == [False, True]


def test_a_command_ends_without_a_word_from_its_libraries(workspace_home: Path) -> None:
    command = [sys.executable, "-m", "fullconv", "train", "--resume", "nothing"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1, done.stderr


def test_the_catalogue_and_the_version_are_told() -> None:
    assert "fcn4s-mobilenet_v2" in run("net", "list")[1]
    assert any(entry["name"] == "fcn8s-vgg16" for entry in json.loads(run("net", "list", "--json")[1]))
    assert run("--version")[1].startswith("fullconv ")


def test_the_demo_runs_the_whole_job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from fullconv.cli import demo

    monkeypatch.setattr(demo, "SCENES", 20)
    monkeypatch.setattr(demo, "SIZE", (96, 72))
    quick = {"epochs": 1, "validate_every": 1, "crop": (64, 64), "workers": 0}
    monkeypatch.setattr(demo, "SETTINGS", demo.SETTINGS | quick)
    out = tmp_path / "demo"
    code, output, _ = run("demo", "--out", out)
    assert code == 0
    report = next(line.split()[-1] for line in output.splitlines() if line.startswith("Report"))
    assert Path(report).is_file()
    assert len(list((out / "predictions").glob("*_overlay.png"))) == demo.NEW_SCENES
    (out / "notes.txt").write_text("look at scene 3")
    assert run("demo", "--out", out)[0] == 0
    assert (out / "notes.txt").exists()
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    code, _, errors = run("demo", "--out", tmp_path / "mine")
    assert code == 2
    assert "no demo made" in errors
    assert (tmp_path / "mine" / "thesis.txt").read_text() == "years of work"


def test_a_list_of_values_trains_a_group_and_shows_its_table(scenes: Path, workspace_home: Path) -> None:
    words = ["train", scenes, *QUICK, "--group", "two", "--set", "seed=[0, 1]"]
    code, output, _ = run(*words, "--json")
    assert code == 0
    assert [entry["settings"] for entry in json.loads(output)["runs"]] == [{"seed": 0}, {"seed": 1}]
    code, output, _ = run(*words)
    assert code == 0
    assert "Group two" in output
    assert len(list((workspace_home / "runs").iterdir())) == 2
