"""The processes that train one network together: how many, which one this is, and what they say to each other.

They are started by ourselves (`launching`), by torchrun, by Slurm or by Ray; from here on all four are the same.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from lightning.fabric.plugins.environments.cluster_environment import ClusterEnvironment
from lightning.fabric.plugins.environments.slurm import SLURMEnvironment
from lightning.fabric.plugins.environments.torchelastic import TorchElasticEnvironment

from fullconv.errors import FullconvError, PlanError
from fullconv.training.settings.experiment import Experiment

Value = TypeVar("Value")
Settings = TypeVar("Settings", bound=Experiment)

LONGEST_WAIT = timedelta(hours=2)
"""For the first process, which plans and prepares the samples while the others wait."""

_JOINED: list[Processes] = []
"""The processes of `launched`, while it lasts."""
_TALKS: list[dist.ProcessGroup] = []
"""The group in which they tell each other what is no tensor, once there is one."""


@dataclass(frozen=True)
class Processes:
    """All processes of a run, as one of them sees them.

    Args:
        rank: of this process, from 0.
        count: of all.
        local_rank, local_count: the same on this machine.

    >>> Processes(rank=5, count=8, local_rank=1, local_count=4).nodes
    2
    """

    rank: int = 0
    count: int = 1
    local_rank: int = 0
    local_count: int = 1

    @property
    def nodes(self) -> int:
        return self.count // self.local_count

    @property
    def first(self) -> bool:
        """Whether this is the one that writes and speaks."""
        return self.rank == 0


class GroupEnvironment(ClusterEnvironment):
    """Tells Lightning about processes that exist already and have joined their group."""

    def __init__(self, processes: Processes) -> None:
        self.processes = processes

    @property
    def creates_processes_externally(self) -> bool:
        return True

    @property
    def main_address(self) -> str:
        return os.environ.get("MASTER_ADDR", "127.0.0.1")

    @property
    def main_port(self) -> int:
        return int(os.environ.get("MASTER_PORT", "0"))

    @staticmethod
    def detect() -> bool:
        """Never found by itself."""
        return False

    def world_size(self) -> int:
        return self.processes.count

    def set_world_size(self, size: int) -> None:
        """It is what it is."""

    def global_rank(self) -> int:
        return self.processes.rank

    def set_global_rank(self, rank: int) -> None:
        """It is what it is."""

    def local_rank(self) -> int:
        return self.processes.local_rank

    def node_rank(self) -> int:
        return self.processes.rank // self.processes.local_count


@contextmanager
def launched() -> Iterator[Processes]:
    """The processes that torchrun, Slurm or Ray started, joined while it lasts; one alone where none of them did.

    Within another such time they stay joined: several runs, one after another, are of one group.
    """
    if _JOINED:
        yield _JOINED[-1]
        return
    found = here()
    if found.count == 1:
        yield found
        return
    with joined(found, cuda=torch.cuda.is_available()):
        _JOINED.append(found)
        try:
            yield found
        finally:
            _JOINED.pop()


def here() -> Processes:
    """What started this process says of all of them."""
    if dist.is_available() and dist.is_initialized():  # as Ray leaves it
        local = {name: int(os.environ.get(name, "1")) for name in ("LOCAL_RANK", "LOCAL_WORLD_SIZE")}
        return Processes(dist.get_rank(), dist.get_world_size(), local["LOCAL_RANK"], local["LOCAL_WORLD_SIZE"])
    if TorchElasticEnvironment.detect():
        torchrun = TorchElasticEnvironment()
        local_count = int(os.environ["LOCAL_WORLD_SIZE"])
        return Processes(torchrun.global_rank(), torchrun.world_size(), torchrun.local_rank(), local_count)
    if SLURMEnvironment.detect():
        slurm = SLURMEnvironment()
        os.environ["MASTER_ADDR"], os.environ["MASTER_PORT"] = slurm.main_address, str(slurm.main_port)
        nodes = int(os.environ.get("SLURM_NNODES", "1"))
        count = slurm.world_size()
        return Processes(slurm.global_rank(), count, slurm.local_rank(), count // nodes)
    return Processes()


@contextmanager
def joined(processes: Processes, *, cuda: bool, meeting: str = "env://") -> Iterator[None]:
    """Join the group of all processes, by NCCL between GPUs and by gloo between CPUs, and leave it at the end.

    Args:
        processes: as this process sees them.
        cuda: whether they compute on GPUs, one each.
        meeting: where they meet: MASTER_ADDR and MASTER_PORT of the environment, or file://… on one machine.
    """
    if cuda:
        torch.cuda.set_device(processes.local_rank % torch.cuda.device_count())
    if dist.is_initialized():
        yield
        return
    backend = "nccl" if cuda else "gloo"
    dist.init_process_group(backend, init_method=meeting, rank=processes.rank, world_size=processes.count)
    try:
        yield
    finally:
        _TALKS.clear()
        dist.destroy_process_group()


def from_first(processes: Processes, make: Callable[[], Value]) -> Value:
    """What the first process makes, in all of them; it is picklable.

    Raises:
        FullconvError: the first one could not make it; there the error is its own.
    """
    if processes.count == 1:
        return make()
    if not _TALKS:
        talk = dist.new_group(backend="gloo", timeout=LONGEST_WAIT)
        assert isinstance(talk, dist.ProcessGroup)  # all processes are in it
        _TALKS.append(talk)
    said: list[Any] = [False, None]
    try:
        if processes.first:
            said = [True, make()]
    finally:
        dist.broadcast_object_list(said, group=_TALKS[0])
    made, value = said
    if not made:
        raise FullconvError("the first process could not begin", remedy="see what it says")
    result: Value = value
    return result


def sum_over(values: torch.Tensor) -> torch.Tensor:
    """The sum over all processes, without gradient; the same values where there is one process."""
    total = values.detach().clone()
    if dist.is_available() and dist.is_initialized():
        dist.all_reduce(total)
    return total


def on_these(experiment: Experiment, processes: Processes) -> Experiment:
    """The experiment on the processes that a launcher started, which need not be said twice.

    Raises:
        PlanError: it names another number, or several nodes and nothing started processes on them.

    >>> on_these(Experiment(dataset="streets"), Processes(count=8, local_count=4)).nodes
    2
    """
    wanted = experiment.devices * experiment.nodes
    if processes.count == 1:
        if experiment.nodes > 1:
            command = f"torchrun --nnodes {experiment.nodes} --nproc-per-node {experiment.devices} -m fullconv train …"
            raise PlanError("one command runs on one node", where="nodes", remedy=f"start `{command}` on every node")
        return experiment
    if wanted not in (1, processes.count):
        problem = f"{experiment.devices} × {experiment.nodes} processes are asked for and {processes.count} are there"
        raise PlanError(problem, where="devices × nodes", remedy="leave both out: the launcher decides")
    return placed(experiment, processes)


def placed(plan: Settings, processes: Processes) -> Settings:
    """The same on the processes that a launcher started; as it is where none did."""
    if processes.count == 1:
        return plan
    return plan.model_copy(update={"devices": processes.local_count, "nodes": processes.nodes})
