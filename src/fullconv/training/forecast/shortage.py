"""Whether a run is likely to need more memory than there is: said before it begins, not when it ends in the middle."""

from __future__ import annotations

from fullconv.errors import NetworkError
from fullconv.training.forecast.memory import memory_of
from fullconv.training.forecast.room import free_memory
from fullconv.training.job import Job

BYTES_PER_PIXEL = 8 * 2**10
"""More than any network of the catalogue keeps per pixel of a view."""
BYTES_PER_PARAMETER = 32
SURELY_ENOUGH = 0.5
GIB = 2**30


def shortage(job: Job) -> str | None:
    """What to say of a run whose batch will not fit into the memory that is free; None where it will.

    Small runs are not looked at closely: that would take some seconds.

    Args:
        job: what is about to run.
    """
    plan = job.plan
    free = free_memory(plan.device)
    views = plan.batch_size // plan.devices
    parameters = sum(parameter.numel() for parameter in job.net.parameters())
    at_most = views * plan.crop[0] * plan.crop[1] * BYTES_PER_PIXEL + parameters * BYTES_PER_PARAMETER
    if plan.device == "cpu":
        at_most *= plan.devices
    if at_most < SURELY_ENOUGH * free:
        return None
    told = memory_of(plan, job.data, job.net, job.grid, pretrained=job.transfer.pretrained)
    try:
        needed = told.of(views).total * (plan.devices if plan.device == "cpu" else 1)
    except NetworkError:
        return None
    if needed <= free:
        return None
    return (
        f"a batch of {plan.batch_size} will take about {needed / GIB:.1f} GiB of memory, and {free / GIB:.1f} GiB are "
        f"free: `fullconv plan {plan.dataset} --net {plan.network}` tells what fits"
    )
