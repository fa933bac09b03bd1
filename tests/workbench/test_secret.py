"""What signs visitors' cookies: one for all servers on a workspace, and nobody else's."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from fullconv.workbench import application


def test_two_servers_that_start_together_share_one_secret(tmp_path: Path) -> None:
    path = tmp_path / "workbench" / "secret"
    with ThreadPoolExecutor(16) as servers:
        found = set(servers.map(lambda _: application._secret(path), range(64)))
    assert len(found) == 1
    assert len(found.pop()) == 64
    assert list(path.parent.iterdir()) == [path]


def test_who_comes_second_takes_what_the_first_wrote(tmp_path: Path) -> None:
    application._write_new(tmp_path / "secret", "first")
    application._write_new(tmp_path / "secret", "second")
    assert (tmp_path / "secret").read_text() == "first"


@pytest.mark.skipif(os.name != "posix", reason="needs modes")
def test_nobody_else_may_read_it_at_any_time(tmp_path: Path) -> None:
    before = os.umask(0)
    modes = []
    try:
        opened = os.open

        def watched(path: Path, flags: int, mode: int) -> int:
            handle = opened(path, flags, mode)
            modes.append(os.fstat(handle).st_mode & 0o777)
            return handle

        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(application.os, "open", watched)
            application._secret(tmp_path / "secret")
    finally:
        os.umask(before)
    assert modes == [0o600]
    assert (tmp_path / "secret").stat().st_mode & 0o777 == 0o600
