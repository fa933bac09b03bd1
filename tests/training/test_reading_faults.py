"""Files that go bad and disks that fill while a run goes on: one sentence, and a run that goes on once it is mended."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import fullconv as fc
from fullconv.data.dataset import Dataset
from fullconv.errors import DataError, FullconvError, StorageError
from fullconv.evaluation.metrics_table import read_rows
from fullconv.training.endings import verdict
from fullconv.training.recording import RunRecorder
from fullconv.training.status import read_status
from fullconv.workspace import Workspace


def only_run(home: Path) -> Path:
    (run,) = Workspace.find(home).runs.iterdir()
    return run


def weights_of(run: Path) -> dict[str, torch.Tensor]:
    state: dict[str, torch.Tensor] = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
    return state


@pytest.fixture
def after_first_epoch(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], None]], None]:
    """Arrange for something to happen when the second epoch begins."""

    def arrange(happen: Callable[[], None]) -> None:
        plain = RunRecorder.on_train_epoch_start
        left = [happen]

        def start(self: RunRecorder, trainer: Any, task: Any) -> None:
            plain(self, trainer, task)
            if trainer.current_epoch == 1 and left:
                left.pop()()

        monkeypatch.setattr(RunRecorder, "on_train_epoch_start", start)

    return arrange


@pytest.mark.parametrize(("how", "workers"), [("deleted", 0), ("cut off", 0), ("deleted", 1)])
def test_a_file_that_cannot_be_read_ends_the_run_with_its_name(
    scenes: Path,
    tmp_path: Path,
    quick: dict[str, Any],
    workspace_home: Path,
    after_first_epoch: Callable[[Callable[[], None]], None],
    monkeypatch: pytest.MonkeyPatch,
    how: str,
    workers: int,
) -> None:
    monkeypatch.setattr("fullconv.data.cache.LARGEST_BYTES", 0)  # samples come from the files themselves
    data = Dataset.from_folders(shutil.copytree(scenes, tmp_path / "streets"), name="streets")
    victims = [sample.image for sample in data.val]
    kept = [path.read_bytes() for path in victims]

    def spoil() -> None:
        for path, content in zip(victims, kept, strict=True):
            path.unlink() if how == "deleted" else path.write_bytes(content[:60])

    after_first_epoch(spoil)
    with pytest.raises(DataError) as caught:
        fc.train(data, quiet=True, **quick | {"workers": workers})
    sentence = str(caught.value)
    run = only_run(workspace_home)
    assert caught.value.where in {str(path) for path in victims}
    assert sentence.endswith(f"then continue with `fullconv train --resume {run.name}`.")
    assert "\n" not in sentence
    assert "Traceback" not in sentence
    status = read_status(run)
    assert (status.state, status.error) == ("failed", sentence)
    if workers:  # how a run goes on is the same
        return
    for path, content in zip(victims, kept, strict=True):
        path.write_bytes(content)
    fc.resume(run, quiet=True)
    assert read_status(run).state == "done"
    assert [row["epoch"] for row in read_rows(run / "metrics.csv") if row["split"] == "val"] == ["1", "2", "3"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs the device that is always full")
def test_a_disk_that_fills_while_metrics_are_written_leaves_a_run_that_goes_on(
    dataset: Dataset,
    quick: dict[str, Any],
    workspace_home: Path,
    after_first_epoch: Callable[[Callable[[], None]], None],
) -> None:
    straight = fc.train(dataset, quiet=True, **quick)
    other = Workspace(workspace_home / "other")

    def fill() -> None:
        metrics = only_run(other.root) / "metrics.csv"
        metrics.rename(metrics.with_suffix(".kept"))
        metrics.symlink_to("/dev/full")

    after_first_epoch(fill)
    with pytest.raises(StorageError, match="no space left on the disk; free some and continue with") as caught:
        fc.train(dataset, quiet=True, workspace=other, **quick)
    run = only_run(other.root)
    assert f"--resume {run.name}`" in str(caught.value)
    (run / "metrics.csv").unlink()
    (run / "metrics.kept").rename(run / "metrics.csv")
    fc.resume(run, workspace=other, quiet=True)
    expected, found = weights_of(straight.directory), weights_of(run)
    assert all(torch.equal(expected[name], found[name]) for name in expected)
    timed = ("seconds", "images_per_second", "loader_wait")
    rows, again = (read_rows(folder / "metrics.csv") for folder in (straight.directory, run))
    assert [{k: v for k, v in row.items() if k not in timed} for row in rows] == [
        {k: v for k, v in row.items() if k not in timed} for row in again
    ]


def test_prepared_samples_that_are_cut_off_are_one_sentence(
    dataset: Dataset, quick: dict[str, Any], workspace_home: Path
) -> None:
    fc.train(dataset, quiet=True, **quick | {"epochs": 1})
    for folder in workspace_home.glob("cache/*/"):
        os.truncate(folder / "images.bin", 100)
    with pytest.raises(DataError, match=r"the prepared samples are cut off; delete this folder, .* --resume"):
        fc.train(dataset, quiet=True, **quick | {"epochs": 1})


def test_a_killed_loader_process_is_one_sentence(tmp_path: Path) -> None:
    problem = RuntimeError("DataLoader worker (pid(s) 4711) exited unexpectedly")
    state, sentence = verdict(problem, tmp_path / "one")
    assert state == "failed"
    assert isinstance(sentence, FullconvError)
    assert "for want of memory" in str(sentence)
    assert "--resume one" in str(sentence)
    assert verdict(RuntimeError("something else"), tmp_path) == ("failed", None)
