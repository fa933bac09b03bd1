"""What runs on a Ray cluster: `python -m fullconv.training.distribution.ray_driver JOB` starts the workers of a run."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from fullconv.errors import FullconvError
from fullconv.files import write_atomically
from fullconv.training import fit
from fullconv.training.distribution.cluster import last_words, storage
from fullconv.training.distribution.processes import from_first, launched
from fullconv.training.runs import PLAN_FILE
from fullconv.training.settings.experiment import Experiment
from fullconv.training.status import Status, read_status, write_status
from fullconv.workspace import Workspace

LOST_WORKERS = 3
"""How many times a run is taken up again after a worker was lost."""


def drive(job: dict[str, Any]) -> None:
    """Train on the workers of the cluster that this runs in.

    Args:
        job: run (the folder's name), home (the workspace), experiment and quiet.
    """
    import ray
    from ray.train import FailureConfig, RunConfig, ScalingConfig
    from ray.train.torch import TorchConfig, TorchTrainer

    ray.init(log_to_driver=not job["quiet"])
    experiment = Experiment.model_validate(job["experiment"])
    count = experiment.devices * experiment.nodes
    here = ray.cluster_resources()
    cuda = experiment.device == "cuda" or (experiment.device == "auto" and here.get("GPU", 0) >= count)
    trainer = TorchTrainer(
        work,
        train_loop_config=job,
        torch_config=TorchConfig(backend="nccl" if cuda else "gloo"),
        scaling_config=ScalingConfig(
            num_workers=count,
            use_gpu=cuda,
            resources_per_worker={"CPU": min(1.0, here.get("CPU", 1.0) / count), "GPU": float(cuda)},
        ),
        run_config=RunConfig(
            name=job["run"],
            storage_path=str(storage(Workspace(Path(job["home"])))),
            failure_config=FailureConfig(max_failures=LOST_WORKERS),
        ),
    )
    trainer.fit()


def work(job: dict[str, Any]) -> None:
    """What each worker does: train, or go on with what was begun before a worker was lost."""
    home = Workspace(Path(job["home"]))
    run = home.run(job["run"])

    def begun() -> bool:
        found = (run / PLAN_FILE).is_file()
        if found:  # by processes that are gone: Ray ends all of them before it starts new ones
            write_status(run, Status.now("failed", read_status(run), error="a worker was lost"))
        return found

    first = True
    try:
        with launched() as processes:
            first = processes.first
            again = from_first(processes, begun)
        if again:
            fit.resume(run, workspace=home, quiet=job["quiet"])
        else:
            experiment = Experiment.model_validate(job["experiment"])
            fit.train_as(run.name, experiment, {}, workspace=home, quiet=job["quiet"])
    except FullconvError as problem:  # trying again would not mend it
        if first or (run / PLAN_FILE).is_file():
            write_atomically(last_words(home, run.name), str(problem))


if __name__ == "__main__":
    order = json.loads(sys.argv[1])
    drive(order)
    if last_words(Workspace(Path(order["home"])), order["run"]).is_file():
        raise SystemExit(2)
