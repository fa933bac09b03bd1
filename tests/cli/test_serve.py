"""`fullconv serve`: options that cannot be, and what `make serve` opens."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path

import pytest

from commands import run
from fullconv.cli.demo import MARK
from fullconv.workspace import Workspace
from served import start_server


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


@pytest.mark.parametrize("times", [1, 2])
def test_ctrl_c_ends_the_workbench_without_a_word(tmp_path: Path, times: int) -> None:
    log = tmp_path / "log"
    server, url = start_server(Workspace(tmp_path / "home"), log)
    said = log.read_text()
    assert url in said
    for _ in range(times):
        with suppress(ProcessLookupError):
            os.kill(server.number, signal.SIGINT)
        time.sleep(0.03)  # two signals at once are one
    server.wait(30)
    assert server.poll() == 130
    assert log.read_text() == said
