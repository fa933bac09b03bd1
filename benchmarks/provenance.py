"""What every result is stored with: hardware, versions, date and commit."""

from __future__ import annotations

import platform
import subprocess
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from fullconv.hardware import processor


def commit() -> str:
    """The commit of the checkout, marked where files were changed since."""
    command, here = ["git", "describe", "--always", "--dirty"], Path(__file__).parent
    found = subprocess.run(command, capture_output=True, text=True, check=False, cwd=here)
    return found.stdout.strip() or "unknown"


def provenance(*packages: str) -> str:
    """One line: date, hardware, versions, commit."""
    versions = ", ".join(f"{name} {version(name)}" for name in packages)
    date = datetime.now(UTC).date().isoformat()
    return f"{date}; {processor()}; {versions}, Python {platform.python_version()}; commit {commit()}"
