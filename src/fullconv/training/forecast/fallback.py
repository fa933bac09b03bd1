"""What to do where a batch does not fit into memory: smaller batches whose gradients are summed, then smaller crops."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

from fullconv.counted import counted
from fullconv.training.forecast.memory import MemoryForecast
from fullconv.training.settings.experiment import Plan

CROP_MULTIPLE = 32
SMALLEST_CROP = 64
SHRINK = 0.8


@dataclass(frozen=True)
class Fallback:
    """Settings that fit, and what they mean.

    Args:
        batch_size: views at a time.
        accumulate: batches whose gradients make one step.
        crop: (height, width) of a view.
        total: bytes that it takes.
        fits: whether it does; otherwise nothing was found, and these are the smallest settings.
        meaning: what changes for the result, as a sentence.
    """

    batch_size: int
    accumulate: int
    crop: tuple[int, int]
    total: int
    fits: bool
    meaning: str

    def applied(self, plan: Plan) -> Plan:
        """The plan with these settings."""
        optimization = plan.optimization.model_copy(update={"accumulate": self.accumulate})
        changes = {"batch_size": self.batch_size, "crop": self.crop, "optimization": optimization}
        return plan.model_copy(update=changes)


def fallback_for(plan: Plan, told: MemoryForecast, room: int, *, batch_norm: bool) -> Fallback:
    """The least change that makes a plan fit.

    Args:
        told: its memory.
        room: bytes that there are.
        batch_norm: whether statistics are taken over the batch, which needs two views at least.
    """
    least = min(plan.batch_size, 2 if batch_norm else 1)
    wanted = plan.batch_size * plan.optimization.accumulate
    batch = told.largest_batch(room, most=plan.batch_size)
    if batch >= least:
        times = ceil(wanted / batch)
        batch = ceil(wanted / times)  # the same step in equal parts
        meaning = f"gradients of {counted(times, 'batch')} of {batch} make one step of {counted(times * batch, 'view')}"
        if batch_norm:
            meaning += "; batch norm takes its statistics over the smaller batches"
        return Fallback(batch, times, plan.crop, told.of(batch).total, True, meaning)
    times = ceil(wanted / least)
    crop = plan.crop
    taken = told.of(least).total
    while taken > room and max(crop) > SMALLEST_CROP:
        crop = _smaller(crop)
        taken = told.with_crop(crop).of(least).total
    fits = taken <= room
    meaning = f"views of {crop[1]}×{crop[0]} pixels; gradients of {counted(times, 'batch')} of {least} make one step"
    if not fits:
        meaning = "even the smallest views do not fit: choose a smaller network, or resize the images"
    return Fallback(least, times, crop, taken, fits, meaning)


def _smaller(crop: tuple[int, int]) -> tuple[int, int]:
    """Both sides by a fifth, in multiples of 32."""
    height, width = (
        min(side, max(SMALLEST_CROP, int(SHRINK * side) // CROP_MULTIPLE * CROP_MULTIPLE)) for side in crop
    )
    return height, width
