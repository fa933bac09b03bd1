"""A run on a local Ray cluster: it ends as it would have here, though a worker is killed on the way."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch

import fullconv as fc
from fullconv.data.dataset import Dataset
from fullconv.errors import FullconvError, PlanError
from fullconv.evaluation.metrics_table import read_rows
from fullconv.training.status import read_status

needs_ray = pytest.mark.skipif(find_spec("ray") is None, reason="Ray is not installed")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a Ray of two CPUs on this machine."""
    port, dashboard = free_port(), free_port()
    folder = Path(sys.executable).parent
    # Ray's socket names have to be short.
    places = {"OMP_NUM_THREADS": "1", "PATH": f"{folder}:{os.environ['PATH']}", "RAY_TMPDIR": f"/tmp/ray-{port}"}
    head = ["--head", f"--port={port}", "--num-cpus=2", "--num-gpus=0", "--object-store-memory=100000000"]
    local = ["--node-ip-address=127.0.0.1", "--dashboard-host=127.0.0.1", f"--dashboard-port={dashboard}"]
    quiet = ["--disable-usage-stats", "--block"]
    command = [str(folder / "ray"), "start", *head, *local, *quiet]
    process = subprocess.Popen(
        command, env=os.environ | places, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    try:
        deadline = time.monotonic() + 90
        while True:
            assert process.poll() is None
            assert time.monotonic() < deadline
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", dashboard)) == 0:
                    break
            time.sleep(0.2)
        yield f"http://127.0.0.1:{dashboard}"
    finally:
        parts = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
        for part in reversed(parts):
            with suppress(psutil.NoSuchProcess):
                part.kill()
        process.wait()


@pytest.mark.cluster
@needs_ray
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::ResourceWarning")
def test_a_run_on_a_cluster_outlives_a_killed_worker_and_ends_as_it_would_have_here(
    dataset: Dataset, quick: dict[str, Any], workspace_home: Path, cluster: str
) -> None:
    frozen = {"batch_norm": "frozen", "optimizer": "sgd", "learning_rate": 0.01}
    settings = quick | {"network": "fcn32s-compact", "epochs": 10, "optimization": frozen}
    here = fc.train(dataset, quiet=True, **settings)
    killed: list[int] = []

    def kill_one() -> None:
        while not killed:
            if _others(workspace_home, here.directory):
                for process in psutil.process_iter(["cmdline"]):
                    if "RayTrainWorker" in " ".join(process.info["cmdline"] or []):
                        killed.append(process.pid)
                        process.kill()
                        break
            time.sleep(0.05)

    killer = threading.Thread(target=kill_one, daemon=True)
    killer.start()
    there = fc.train(dataset, quiet=False, cluster=cluster, **settings, devices=2)
    assert killed
    assert there.directory != here.directory
    assert read_status(there.directory).state == "done"
    epochs = [int(row["epoch"]) for row in read_rows(there.directory / "metrics.csv") if row["split"] == "val"]
    assert epochs == sorted(set(epochs))
    assert epochs[-1] == 10
    expected, found = (
        torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
        for run in (here.directory, there.directory)
    )
    for name, weights in expected.items():
        torch.testing.assert_close(found[name], weights, atol=1e-4, rtol=1e-4)


def _others(home: Path, run: Path) -> list[Path]:
    return [path for path in home.glob("runs/*/checkpoints/last.ckpt") if path.parents[1] != run]


@pytest.mark.cluster
@needs_ray
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::ResourceWarning")
def test_a_mistake_found_on_the_cluster_is_one_sentence(dataset: Dataset, quick: dict[str, Any], cluster: str) -> None:
    with pytest.raises(FullconvError, match=r"^no backbone is named 'nothing'; choose one of"):
        fc.train(dataset, quiet=True, cluster=cluster, **quick | {"network": "fcn8s-nothing"})


def test_a_cluster_that_is_not_there_is_one_sentence(dataset: Dataset, quick: dict[str, Any]) -> None:
    words = "Ray is not installed" if find_spec("ray") is None else "no Ray cluster answers at http://127.0.0.1:9"
    with pytest.raises(PlanError, match=words):
        fc.train(dataset, quiet=True, cluster="http://127.0.0.1:9", **quick)
