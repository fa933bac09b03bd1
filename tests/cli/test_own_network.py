"""A network in the user's own file through every command."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest
import torch
from PIL import Image

import fullconv as fc
from commands import run
from fullconv.data.scenes import write_scenes
from fullconv.networks.own_file import own_network
from fullconv.training.recording import RunRecorder
from fullconv.training.stopping import StopRequested

HOW_TO = Path(__file__).resolve().parents[2] / "docs" / "how-to" / "own-network.md"
QUICK = [
    *("--epochs", "2", "--batch-size", "4", "--device", "cpu"),
    *("--set", "crop=[64, 64]", "--set", "workers=0", "--set", "views=1", "--set", "precision=fp32"),
]
SETTINGS = {"epochs": 3, "batch_size": 4, "crop": (64, 64), "workers": 0, "views": 1, "precision": "fp32"}


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_scenes(tmp_path_factory.mktemp("own") / "streets", count=14, size=(96, 72), processes=1)


@pytest.fixture
def net(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The network of the how-to page, in the current folder, writing a marker when it is run."""
    code = re.findall(r"```python\n(.*?)```", HOW_TO.read_text(encoding="utf-8"), re.DOTALL)[0]
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    path = folder / "my_net.py"
    path.write_text(f"{code}\nfrom pathlib import Path\nPath({str(tmp_path / 'marker')!r}).touch()\n")
    return path


def test_train_evaluate_and_predict_with_the_network_of_the_how_to(
    scenes: Path, net: Path, tmp_path: Path, workspace_home: Path
) -> None:
    code, output, errors = run("train", scenes, "--net", "my_net.py:build", *QUICK, "--json")
    assert code == 0, errors
    assert "random weights" not in errors  # a network of one's own is taken as built
    facts = json.loads(output)
    folder = Path(facts["run"])
    assert folder.name.endswith("-streets-my_net-build")
    assert f"network: {net}:build" in (folder / "experiment.yaml").read_text()
    for copy in (folder / "network.py", folder / "model" / "network.py"):
        assert copy.read_bytes() == net.read_bytes()
    elsewhere = shutil.copytree(folder / "model", tmp_path / "elsewhere")
    net.unlink()
    (tmp_path / "marker").unlink()
    photo = next((scenes / "test" / "images").iterdir())
    for words in (
        ["evaluate", elsewhere, "streets", "--out", tmp_path / "report"],
        ["predict", elsewhere, photo, "--out", tmp_path / "out"],
    ):
        code, _, errors = run(*words)
        assert code == 2
        assert "is Python code, and loading the model would run it; read the file" in errors.splitlines()[-1]
        assert not (tmp_path / "marker").exists()
        assert not Path(words[-1]).exists()
        code, output, errors = run(*words, "--allow-code", "--json")
        assert code == 0, errors
        if words[0] == "evaluate":
            assert json.loads(output)["scores"]["confusion"] == facts["scores"]["confusion"]
        (tmp_path / "marker").unlink()
    assert (tmp_path / "out" / photo.with_suffix(".png").name).is_file()


def test_the_plan_of_a_run_runs_again_from_its_copy(scenes: Path, net: Path, workspace_home: Path) -> None:
    plan = net.parent / "plan.yaml"
    data = fc.Dataset.from_folders(scenes, name="streets").save()
    lines = [f"dataset: {data}", "network: my_net.py:build", "crop: [64, 64]", "workers: 0", "epochs: 1", "views: 1"]
    plan.write_text("\n".join(lines))
    first = fc.train(plan, quiet=True)
    net.unlink()
    again = fc.train(first.directory / "experiment.yaml", quiet=True)
    one, two = first.model.net.state_dict(), again.model.net.state_dict()
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert (again.directory / "network.py").read_bytes() == (first.directory / "network.py").read_bytes()


def test_a_stopped_run_goes_on_from_its_copy(
    scenes: Path, net: Path, workspace_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = fc.Dataset.from_folders(scenes, name="streets")
    straight = fc.train(data, "my_net.py:build", quiet=True, settings=SETTINGS)
    plain = RunRecorder.on_train_batch_end

    def stop(self: RunRecorder, trainer: object, *rest: object) -> None:
        self.stop_requested = trainer.current_epoch == 2  # type: ignore[attr-defined]
        plain(self, trainer, *rest)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(RunRecorder, "on_train_batch_end", stop)
        with pytest.raises(StopRequested):
            fc.train(data, "my_net.py:build", quiet=True, settings=SETTINGS)
    (stopped,) = (path for path in (workspace_home / "runs").iterdir() if path != straight.directory)
    net.write_text("raise RuntimeError('changed since')")
    resumed = fc.resume(stopped, quiet=True)
    one, two = straight.model.net.state_dict(), resumed.model.net.state_dict()
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert (stopped / "model" / "network.py").read_bytes() == (stopped / "network.py").read_bytes()


def test_all_of_it_trains_at_the_rate_of_new_parameters(
    scenes: Path, net: Path, workspace_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fullconv.training.task import SegmentationTask

    rates: list[set[float]] = []
    plain = SegmentationTask.configure_optimizers

    def noting(self: SegmentationTask) -> object:
        made = plain(self)
        rates.append({group["initial_lr"] for group in made["optimizer"].param_groups})
        trained = sum(len(group["params"]) for group in made["optimizer"].param_groups)
        assert trained == len(list(self.net.parameters()))
        return made

    monkeypatch.setattr(SegmentationTask, "configure_optimizers", noting)
    data = fc.Dataset.from_folders(scenes, name="streets")
    settings = SETTINGS | {"epochs": 1, "optimization": {"learning_rate": 0.004}}
    first = fc.train(data, "my_net.py:build", quiet=True, settings=settings)
    weights = first.directory / "model" / "model.safetensors"
    fc.train(data, "my_net.py:build", weights=str(weights), quiet=True, settings=settings)
    assert rates == [{0.004}, {0.004}]


def test_the_geometry_is_shown(net: Path) -> None:
    code, output, _ = run("net", "show", "my_net.py:build", "--json")
    assert code == 0
    content = json.loads(output)
    assert content["obstacles"] == []
    built = own_network("my_net.py:build", classes=21)
    assert content["parameters"] == sum(parameter.numel() for parameter in built.parameters())
    assert built.stride == 2
    shown = run("net", "show", "my_net.py:build")[1]
    assert "score" in shown
    assert "out of line" not in shown


REFUSING = """
from torch import nn

class Net(nn.Module):
    def __init__(self, classes, channels):
        super().__init__()
        self.score = nn.Conv2d(channels, classes, 1)

    def forward(self, images):
        if images.shape[-1] == {width}:
            raise ValueError("that width again")
        return self.score(images)

def build(classes, channels):
    return Net(classes, channels)
"""


def test_a_network_that_fails_later_is_one_sentence_too(
    scenes: Path, net: Path, workspace_home: Path, tmp_path: Path
) -> None:
    sentence = f"{net}, line 11: the network raised ValueError: that width again; mend the file."
    net.write_text(REFUSING.format(width=64))
    code, output, errors = run("train", scenes, "--net", "my_net.py", *QUICK)
    assert code == 2
    assert errors.splitlines()[-1] == sentence
    assert "Traceback" not in errors + output
    (failed,) = (workspace_home / "runs").iterdir()
    status = json.loads((failed / "status.json").read_text())
    assert (status["state"], status["error"]) == ("failed", sentence)
    net.write_text(REFUSING.format(width=50))
    code, output, _ = run("train", scenes, "--net", "my_net.py", *QUICK, "--json")
    assert code == 0
    Image.new("RGB", (50, 40)).save(tmp_path / "narrow.png")
    words = ["predict", json.loads(output)["run"], tmp_path / "narrow.png", "--out", tmp_path / "out", "--allow-code"]
    code, output, errors = run(*words)
    assert code == 2
    assert "network.py, line 11: the network raised ValueError: that width again" in errors.splitlines()[-1]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (None, "no such file"),
        ("def other(): pass", "has no function 'build'"),
        ("def build(classes, channels): raise ValueError('no')", "line 1: build(classes="),
        ("def build(classes, channels): return 3", "not a torch.nn.Module"),
        ("from torch import nn\ndef build(classes, channels): return nn.Conv2d(channels, 2, 1)", "yields 2 scores"),
        ("from torch import nn\ndef build(classes, channels): return nn.Conv2d(channels, classes, 2)", "yields 128×96"),
    ],
)
def test_a_mistake_is_one_sentence_and_leaves_nothing(
    scenes: Path, net: Path, workspace_home: Path, text: str | None, sentence: str
) -> None:
    net.unlink()
    if text is not None:
        net.write_text(text)
    for words in (["train", scenes, "--net", "my_net.py:build", *QUICK], ["net", "show", "my_net.py:build"]):
        code, output, errors = run(*words)
        assert code == 2
        assert sentence in errors.splitlines()[-1]
        assert "my_net.py" in errors.splitlines()[-1]
        assert "Traceback" not in errors + output
    assert not list(workspace_home.glob("runs/*"))
    assert not list(net.parent.glob("*/"))
