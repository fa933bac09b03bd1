"""Pictures of what a network says while it learns."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import fullconv as fc
from fullconv.data.dataset import Dataset
from fullconv.evaluation.metrics_table import read_rows
from fullconv.training import progress_pictures as module
from fullconv.training.progress_pictures import FOLDER, forget_after, kept_pictures, picture_path
from fullconv.training.recording import RunRecorder
from fullconv.training.stopping import StopRequested


def read(run: Path, epoch: int, key: str) -> np.ndarray[Any, Any]:
    return np.asarray(Image.open(picture_path(run / FOLDER, epoch, key)))


def test_every_validation_leaves_what_the_network_said(dataset: Dataset, quick: dict[str, Any]) -> None:
    run = fc.train(dataset, quiet=True, **quick)
    kept = kept_pictures(run.directory)
    keys = sorted(sample.key for sample in dataset.val.samples)
    assert kept == {1: keys, 2: keys, 3: keys}
    rows = [row for row in read_rows(run.directory / "metrics.csv") if row["split"] == "val"]
    best = int(max(rows, key=lambda row: float(row["mean_iou"]))["epoch"])
    for index, sample in enumerate(dataset.val.samples):
        expected = dataset.classes.own_ids(run.model.label(dataset.val.read(index)[0]))
        assert (read(run.directory, best, sample.key) == expected).mean() > 0.999


def test_a_run_that_goes_on_makes_later_ones_again(
    dataset: Dataset, quick: dict[str, Any], workspace_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(self: RunRecorder, trainer: Any, *rest: Any) -> None:
        raise StopRequested

    with monkeypatch.context() as patch:
        patch.setattr(RunRecorder, "on_train_epoch_end", stop)
        with pytest.raises(StopRequested):
            fc.train(dataset, quiet=True, **quick)
    (run,) = (workspace_home / "runs").iterdir()
    for epoch in (1, 2, 77):
        picture_path(run / FOLDER, epoch, "left").parent.mkdir(exist_ok=True)
        picture_path(run / FOLDER, epoch, "left").touch()
    fc.resume(run, quiet=True)
    assert list(kept_pictures(run)) == [1, 2, 3]
    assert not any("left" in keys for keys in kept_pictures(run).values())


def test_what_cannot_be_written_ends_no_run(
    dataset: Dataset, quick: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*arguments: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module, "save_label_png", full)
    run = fc.train(dataset, quiet=True, **quick | {"epochs": 1})
    assert kept_pictures(run.directory) == {}


def test_old_epochs_become_fewer_and_evenly_so(tmp_path: Path) -> None:
    for epoch in range(1, 201):
        (tmp_path / str(epoch)).mkdir()
        module.thin_out(tmp_path)
    kept = sorted(int(path.name) for path in tmp_path.iterdir())
    assert 12 <= len(kept) <= module.MOST_EPOCHS
    assert (kept[0], kept[-1]) == (1, 200)
    assert max(np.diff(kept)) <= 16
    forget_after(tmp_path, 100)
    assert max(int(path.name) for path in tmp_path.iterdir()) <= 100
