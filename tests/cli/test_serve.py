"""`fullconv serve`: options that cannot be, and what `make serve` opens."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from commands import run
from fullconv.cli.demo import MARK


def test_more_cards_than_there_are_is_one_sentence(tmp_path: Path) -> None:
    code, _, said = run("serve", "--gpu-jobs", 99, "--workspace", tmp_path)
    assert code == 2
    assert "--gpu-jobs" in said
    assert said.strip().count("\n") == 0


@pytest.mark.skipif(shutil.which("make") is None, reason="there is no make")
@pytest.mark.parametrize("made", [True, False])
def test_make_serve_opens_what_the_demo_made(tmp_path: Path, made: bool) -> None:
    if made:
        (tmp_path / MARK).touch()
    root = Path(__file__).parents[2]
    command = ["make", "--dry-run", "serve", f"DEMO={tmp_path}"]
    said = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True).stdout
    (line,) = [line for line in said.splitlines() if "fullconv serve" in line]
    assert line.endswith(f"serve --workspace {tmp_path}/workspace") == made
