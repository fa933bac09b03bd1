"""What the report of a run says, as the workbench reads it."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

SCORES_FILE = Path("report") / "scores.json"


def reported(run: Path) -> dict[str, Any]:
    """The content of a run's `report/scores.json`; empty where it is not there yet or cannot be read.

    Args:
        run: the run's directory.
    """
    with suppress(OSError, ValueError):
        content = json.loads((run / SCORES_FILE).read_text(encoding="utf-8"))
        return content if isinstance(content, dict) else {}
    return {}
