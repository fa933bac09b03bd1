"""What the first page shows."""

from __future__ import annotations

from contextlib import suppress

from pydantic import BaseModel

from fullconv.errors import FullconvError
from fullconv.workbench.services.groups import list_groups
from fullconv.workbench.services.jobs import JobView, ended_jobs, list_jobs
from fullconv.workbench.services.listing import counts_of
from fullconv.workbench.services.sparklines import sparkline
from fullconv.workbench.services.system import System, system_now
from fullconv.workbench.workbench import Workbench


class Home(BaseModel):
    """What the first page shows.

    Args:
        system: the machine.
        jobs: those that are not ended, waiting ones last and in their order.
        courses: of running trainings, by the number of the job: validation mean IoU so far in a few points, or loss.
        ended: jobs that ended lately, the last one first.
        repeatable: numbers of those of them that failed or were aborted, and have not been done again.
        counts: datasets, runs, models (those of the store and those of runs), and groups of runs.
    """

    system: System
    jobs: list[JobView]
    courses: dict[int, list[float]]
    ended: list[JobView]
    repeatable: list[int]
    counts: dict[str, int]


def home_now(bench: Workbench) -> Home:
    """The machine, what runs and waits, what ended lately, and how much there is."""
    running, waiting = list_jobs(bench, states=("claimed", "running")), list_jobs(bench, states=("queued",))
    ended = ended_jobs(bench)
    return Home(
        system=system_now(bench),
        jobs=[*running, *waiting],
        courses=_courses(bench, running),
        ended=ended.jobs,
        repeatable=ended.repeatable,
        counts={**counts_of(bench), "group": len(list_groups(bench))},
    )


def _courses(bench: Workbench, jobs: list[JobView]) -> dict[int, list[float]]:
    found = {}
    for job in jobs:
        kind, _, name = (job.subject or "").partition(":")
        with suppress(FullconvError):  # the folder may be gone
            if kind == "run" and len(course := sparkline(bench, name)) > 1:
                found[job.id] = course
    return found
