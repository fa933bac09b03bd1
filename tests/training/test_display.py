"""What is said while training, as it was meant."""

from __future__ import annotations

from pathlib import Path

import pytest

from fullconv.training.display import TrainingDisplay


def test_brackets_in_names_are_said(capsys: pytest.CaptureFixture[str]) -> None:
    TrainingDisplay().say("Warning: road [wet] in /data/[bold]/[/x] is rare.")
    assert capsys.readouterr().err == "Warning: road [wet] in /data/[bold]/[/x] is rare.\n"


def test_what_is_said_stays_in_the_log_also_where_nobody_looks(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    display = TrainingDisplay(quiet=True, log=tmp_path / "log.txt")
    display.say("Training begins\nin this folder")
    display.start(total=10, done=0)
    display.step(5, 1, 2, 0.5, 1e-3)
    display.validated(1, 2, {"pixel_accuracy": 0.75, "mean_iou": 0.5}, 0.5)
    lines = [line[21:] for line in (tmp_path / "log.txt").read_text().splitlines()]
    assert lines[:2] == ["Training begins", "in this folder"]
    assert lines[2].startswith("epoch 1/2  loss 0.500  lr 1.0e-03  50%")
    assert lines[3] == "epoch 1/2  val pixel accuracy 75.0%  mean IoU 0.500 (best 0.500)"
    assert capsys.readouterr().err == ""


def test_a_log_that_cannot_be_written_is_left_out(tmp_path: Path) -> None:
    TrainingDisplay(quiet=True, log=tmp_path / "missing" / "log.txt").say("unheard")
