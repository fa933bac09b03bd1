"""Jobs that are done again."""

from __future__ import annotations

from fullconv.workbench.jobs.waiting_runs import planning
from fullconv.workbench.own_code import refuse_code, refuse_code_of
from fullconv.workbench.services.jobs import JobView
from fullconv.workbench.services.run_starting import resume_run
from fullconv.workbench.tables import OPEN, Job
from fullconv.workbench.workbench import Workbench


def retry_job(bench: Workbench, number: int) -> JobView:
    """Do a failed or aborted job again; a run goes on from its last whole epoch.

    Raises:
        Forbidden: it would run a network from a Python file, and that is not allowed.
        StorageError: the job is still open, or done.
        Conflict: its run goes on already, or is done. NotThere: its run is gone.
    """
    bench.must_be_writable()
    job = bench.queue.get(number)
    kind, _, name = (job.subject or "").partition(":")
    if kind != "run" or job.state == "done" or job.state in OPEN:
        _refuse_code(bench, job)
        with planning(bench.home):
            return JobView.of(bench.queue.retry(number))
    return resume_run(bench, name, learning_rate=job.payload.get("learning_rate"))


def _refuse_code(bench: Workbench, job: Job) -> None:
    allowed = bench.settings.allow_code
    if job.kind == "forecast":
        refuse_code(str(job.payload["settings"].get("network", "")), allowed=allowed)
    for run in job.payload.get("runs", ()):
        refuse_code_of(bench.home.run(run), allowed=allowed)
