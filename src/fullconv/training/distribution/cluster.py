"""A run on a Ray cluster: the experiment becomes a job; a lost worker is made good from the last checkpoint.

Every machine of the cluster has this program installed and sees the workspace under the same path. The job's driver
(`ray_driver`) starts the workers; each of them then does what a process started by torchrun does.
"""

from __future__ import annotations

import asyncio
import json
import logging
import shlex
import sys
import time
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from fullconv.data.dataset import Dataset
from fullconv.errors import FullconvError, PlanError
from fullconv.training.finished import Run, finished_run
from fullconv.training.preparing import experiment_for
from fullconv.training.runs import run_name
from fullconv.training.settings.experiment import Experiment
from fullconv.training.status import FILE as STATUS
from fullconv.training.status import Status, read_status, write_status
from fullconv.workspace import Workspace


def train_on_cluster(
    address: str,
    dataset: Dataset | Experiment | str | Path,
    *,
    workspace: Workspace | None = None,
    quiet: bool = False,
    settings: Mapping[str, Any] | None = None,
) -> Run:
    """Train on a Ray cluster and wait for the end; `devices` × `nodes` workers train together.

    Ctrl-C stops the job; what it leaves is continued here or there as any other run.

    Args:
        address: of the cluster's Jobs API, as http://head:8265.
        dataset, settings: as in `train`.
        workspace: under a path that every machine of the cluster sees; `Workspace.find()` if not given.
        quiet: show nothing of what the job says.

    Raises:
        PlanError: Ray is not installed, or nothing answers at the address.
        FullconvError: the job failed.

    Source: Moritz et al., Ray: A Distributed Framework for Emerging AI Applications, OSDI 2018.
    """
    client = _client(address)
    home = workspace or Workspace.find()
    experiment, data = experiment_for(dataset, settings or {}, home)
    run = home.run(run_name(data.name, experiment.network))
    job = {"run": run.name, "home": str(home.root), "quiet": quiet, "experiment": experiment.model_dump(mode="json")}
    identity = client.submit_job(
        entrypoint=f"python -m fullconv.training.distribution.ray_driver {shlex.quote(json.dumps(job))}"
    )
    try:
        asyncio.run(_follow(client, identity, quiet))
    except KeyboardInterrupt:
        _stop(client, identity, run)
        raise
    if not client.get_job_status(identity).value == "SUCCEEDED":
        raise _failure(client, identity, home, run)
    return finished_run(run)


def _client(address: str) -> Any:
    if find_spec("ray") is None:
        raise PlanError("Ray is not installed", where="cluster", remedy='run `pip install "fullconv[cluster]"`')
    from ray.job_submission import JobSubmissionClient

    logging.getLogger("ray.dashboard.modules.job.sdk").setLevel(logging.WARNING)  # it tells of its connections
    try:
        return JobSubmissionClient(address)
    except (ConnectionError, RuntimeError, ValueError) as problem:
        remedy = "give the address of its dashboard, as http://head:8265"
        raise PlanError(f"no Ray cluster answers at {address}", where="cluster", remedy=remedy) from problem


def _stop(client: Any, identity: str, run: Path) -> None:
    """End the job and say so in its run, which may then go on anywhere."""
    client.stop_job(identity)
    while not client.get_job_status(identity).is_terminal():
        time.sleep(0.5)
    if (run / STATUS).is_file():
        write_status(run, Status.now("aborted", read_status(run)))


async def _follow(client: Any, identity: str, quiet: bool) -> None:
    """Show what the job says until it ends."""
    async for lines in client.tail_job_logs(identity):
        if not quiet:
            print(lines, end="", file=sys.stderr)
    while not client.get_job_status(identity).is_terminal():
        await asyncio.sleep(0.5)


def _failure(client: Any, identity: str, home: Workspace, run: Path) -> FullconvError:
    """Why the job failed: what a worker said last, else what the run says, else what Ray says."""
    said = last_words(home, run.name)
    if said.is_file():
        return FullconvError(said.read_text(encoding="utf-8"))
    if (run / STATUS).is_file() and (error := read_status(run).error):
        return FullconvError(error)
    message = str(client.get_job_info(identity).message or "no reason is given").strip().splitlines()[0]
    return FullconvError(f"the job failed: {message}", where=identity, remedy=f"see `ray job logs {identity}`")


def storage(home: Workspace) -> Path:
    """Where Ray keeps its own notes about runs."""
    return home.cache / "ray"


def last_words(home: Workspace, run: str) -> Path:
    """The file in which a worker leaves the sentence that ended a run."""
    return storage(home) / f"{run}.error"
