"""What is said while training, as it was meant."""

from __future__ import annotations

import pytest

from fullconv.training.display import TrainingDisplay


def test_brackets_in_names_are_said(capsys: pytest.CaptureFixture[str]) -> None:
    TrainingDisplay().say("Warning: road [wet] in /data/[bold]/[/x] is rare.")
    assert capsys.readouterr().err == "Warning: road [wet] in /data/[bold]/[/x] is rare.\n"
