"""What every result is stored with: hardware, versions, date and commit."""

from __future__ import annotations

import os
import platform
import subprocess
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path


def hardware() -> str:
    """The processor by name, with the cores that this process may use."""
    name = platform.processor() or platform.machine()
    if Path("/proc/cpuinfo").is_file():
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        name = next((line.partition(": ")[2] for line in lines if line.startswith("model name")), name)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{name}, {cores} cores"


def commit() -> str:
    """The commit of the checkout, marked where files were changed since."""
    command, here = ["git", "describe", "--always", "--dirty"], Path(__file__).parent
    found = subprocess.run(command, capture_output=True, text=True, check=False, cwd=here)
    return found.stdout.strip() or "unknown"


def provenance(*packages: str) -> str:
    """One line: date, hardware, versions, commit."""
    versions = ", ".join(f"{name} {version(name)}" for name in packages)
    date = datetime.now(UTC).date().isoformat()
    return f"{date}; {hardware()}; {versions}, Python {platform.python_version()}; commit {commit()}"
