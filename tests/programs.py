"""Programs that tests need beside Python: Chromium, curl.

Where one is missing, tests that need it are skipped; with `FULLCONV_REQUIRE_PROGRAMS=1`, as in continuous integration,
they fail.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Playwright

CHROMIUM = ("chromium-headless-shell", "chromium", "chromium-browser")
REQUIRED = "FULLCONV_REQUIRE_PROGRAMS"
FLAGS = ("--no-sandbox", "--disable-gpu", "--disable-background-networking")


def program(name: str) -> str:
    """Where a program lies."""
    return shutil.which(name) or _missing(name)


def chromium(engine: Playwright) -> Browser:
    """A browser: the one of `playwright install chromium`, else the machine's own; without a window's parts, which take
    a fifth of the processor time, where there is such a one."""
    if Path(engine.chromium.executable_path).is_file():
        return engine.chromium.launch(args=FLAGS)
    own = next(filter(None, map(shutil.which, CHROMIUM)), None) or _missing("chromium")
    return engine.chromium.launch(executable_path=own, args=FLAGS)


def _missing(name: str) -> NoReturn:
    if os.environ.get(REQUIRED, "") not in ("", "0"):
        pytest.fail(f"{name} is not installed, and {REQUIRED} is set")
    pytest.skip(f"{name} is not installed")
