"""The last word of a job, on disk before it is in the database: that may be away just then, or the process killed."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path

from fullconv.errors import FullconvError
from fullconv.files import write_atomically
from fullconv.workbench.jobs.outcomes import Outcome
from fullconv.workspace import Workspace


def write_ending(home: Workspace, job: int, claim: str, ended: Outcome) -> None:
    """Keep how a job ended until the database knows it; where the disk takes nothing, the job goes on without.

    Args:
        job, claim: whose it is. Numbers begin anew with a new database, claims do not.
    """
    content = {"format": 1, "claim": claim, "state": ended.state, "error": ended.error, "result": ended.result}
    with suppress(FullconvError, OSError, TypeError, ValueError):
        write_atomically(_path(home, job), json.dumps(content) + "\n")


def read_ending(home: Workspace, job: int, claim: str) -> Outcome | None:
    """How a job said that it ended; None where it did not say so, or it was another job of that number."""
    with suppress(OSError, ValueError, KeyError, TypeError):
        content = json.loads(_path(home, job).read_text(encoding="utf-8"))
        if content["claim"] == claim and content["state"] in ("done", "failed", "aborted"):
            return Outcome(content["state"], content["error"], content["result"])
    return None


def forget_ending(home: Workspace, job: int) -> None:
    """The database knows it now."""
    with suppress(OSError):
        _path(home, job).unlink(missing_ok=True)


def _path(home: Workspace, job: int) -> Path:
    return home.jobs / f"{job}.ended.json"
