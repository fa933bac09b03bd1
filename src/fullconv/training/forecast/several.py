"""A run of several processes before it runs: what each has of a batch, and what it costs to keep them alike.

A ring all-reduce of S bytes over N processes moves 2 (N − 1) / N · S bytes over every link and takes 2 (N − 1) hops
(Patarasuk and Yuan, JPDC 69, 2009); what of it the backward pass can hide is at best as long as that pass
(docs/explanation/scaling.md).
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

from fullconv.networks.reference import AnyFCN
from fullconv.training.settings.experiment import Plan

BACKWARD = 2 / 3
"""Of a step."""


@dataclass(frozen=True)
class Link:
    """The slowest link of a ring.

    Args:
        name: what it is.
        bandwidth: bytes a second, of a node all its adapters together.
        latency: seconds a hop.
    """

    name: str
    bandwidth: float
    latency: float


INSIDE = Link("NVLink", 450e9, 3e-6)
"""One direction of NVLink 4, between the GPUs of a machine."""
LINKS = (
    Link("8 × InfiniBand 400 Gb/s", 400e9, 5e-6),
    Link("Ethernet 100 Gb/s", 12.5e9, 20e-6),
    Link("Ethernet 25 Gb/s", 3.125e9, 30e-6),
)
"""Between machines: nominal bandwidths of the adapters; latencies assumed, of the order that their makers give."""
LOOPBACK = Link("gloo within one machine at 1 GB/s", 1e9, 1e-4)
"""Between the CPU processes of a machine; both numbers assumed."""


@dataclass(frozen=True)
class Several:
    """The processes of a run.

    Args:
        count: of all.
        devices: on each machine.
        views: of a batch, in the process that has most of it.
        memory: bytes that one takes, its loader included; None where shapes alone do not tell.
        machine: bytes that those of a machine take together where they share its memory; None where they do not.
        gradients: bytes that they exchange after every step.
        link: over what, as assumed: the slowest kind there may be.
        exchange: seconds of that, by the formula.
        efficiency: share of the time that is left for computing where nothing of the exchange is hidden, and where
            the backward pass hides all it can; None where no step was measured.
    """

    count: int
    devices: int
    views: int
    memory: int | None
    machine: int | None
    gradients: int
    link: str
    exchange: float
    efficiency: tuple[float, float] | None


def ring_seconds(size: float, processes: int, link: Link) -> float:
    """The time of a ring all-reduce of so many bytes.

    >>> round(ring_seconds(400e6, 16, Link("", 1e9, 0)), 3)
    0.75
    """
    return 2 * (processes - 1) / processes * size / link.bandwidth + 2 * (processes - 1) * link.latency


def efficiencies(step: float, reduce: float) -> tuple[float, float]:
    """Without overlap, and with all that the backward pass can hide.

    >>> efficiencies(3.0, 3.0)
    (0.5, 0.75)
    """
    return step / (step + reduce), step / (step + max(0.0, reduce - BACKWARD * step))


def processes_of(plan: Plan) -> int:
    """How many train together."""
    return plan.devices * plan.nodes


def one_of(plan: Plan) -> Plan:
    """What the process with the largest share of every batch does, as a plan of its own; the plan where it is alone."""
    count = processes_of(plan)
    if count == 1:
        return plan
    return plan.model_copy(update={"batch_size": ceil(plan.batch_size / count), "devices": 1, "nodes": 1})


def together(one: Plan, plan: Plan) -> Plan:
    """The plan in which each process does what that one does.

    Args:
        one: of `one_of`, perhaps with a smaller batch or crop, or more accumulation.
        plan: says how many there are.
    """
    if processes_of(plan) == 1:
        return one
    whole = one.batch_size * processes_of(plan)
    same = one.batch_size == one_of(plan).batch_size  # shares may be uneven
    changes = {"batch_size": plan.batch_size if same else whole, "devices": plan.devices, "nodes": plan.nodes}
    return one.model_copy(update=changes)


def sharing(plan: Plan) -> int:
    """How many processes share the memory of a device: all of a machine on its CPU, one on a GPU."""
    return plan.devices if plan.device == "cpu" else 1


def several(plan: Plan, net: AnyFCN, *, total: int | None, loader: int, step: float | None) -> Several | None:
    """What is known of the processes of a plan; None where there is one.

    Args:
        plan: of all together, as recommended.
        net: whose gradients are exchanged.
        total: bytes that training takes in one process; None where it is not known.
        loader: bytes of its loader.
        step: measured seconds of one process with its share of a batch.
    """
    count = processes_of(plan)
    if count == 1:
        return None
    learning = [parameter for parameter in net.parameters() if parameter.requires_grad]
    gradients = 4 * sum(parameter.numel() for parameter in learning)
    link = LINKS[-1] if plan.nodes > 1 else INSIDE if plan.device == "cuda" else LOOPBACK
    exchange = ring_seconds(gradients, count, link)
    memory = None if total is None else total + loader
    return Several(
        count=count,
        devices=plan.devices,
        views=one_of(plan).batch_size,
        memory=memory,
        machine=None if memory is None or plan.device != "cpu" else plan.devices * memory,
        gradients=gradients,
        link=link.name,
        exchange=exchange,
        efficiency=None if step is None else efficiencies(step, exchange),
    )
