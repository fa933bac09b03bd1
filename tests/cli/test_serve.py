"""`fullconv serve`: options that cannot be."""

from __future__ import annotations

from pathlib import Path

from commands import run


def test_more_cards_than_there_are_is_one_sentence(tmp_path: Path) -> None:
    code, _, said = run("serve", "--gpu-jobs", 99, "--workspace", tmp_path)
    assert code == 2
    assert "--gpu-jobs" in said
    assert said.strip().count("\n") == 0
