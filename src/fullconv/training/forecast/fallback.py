"""What to do where a batch does not fit into memory: smaller batches whose gradients are summed, then activations that
are computed again instead of kept, then smaller crops."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

from fullconv.counted import counted
from fullconv.training.forecast.memory import MemoryForecast
from fullconv.training.settings.experiment import Plan

CROP_MULTIPLE = 32
SMALLEST_CROP = 64
SHRINK = 0.8
MIB = 2**20
LONGER = "a step takes about a quarter longer, for the backbone's forward pass is done twice"
"""Measured: benchmarks/checkpointing_time.py."""


@dataclass(frozen=True)
class Fallback:
    """Settings that fit, and what they mean.

    Args:
        batch_size: views at a time.
        accumulate: batches whose gradients make one step.
        checkpointing: whether activations are computed again instead of kept.
        crop: (height, width) of a view.
        total: bytes that it takes.
        fits: whether it does; otherwise nothing was found, and these are the smallest settings.
        meaning: what changes for the result or its cost, as a sentence.
        alternative: what would allow a larger batch at a cost, as a sentence; none where nothing does.
    """

    batch_size: int
    accumulate: int
    checkpointing: bool
    crop: tuple[int, int]
    total: int
    fits: bool
    meaning: str
    alternative: str | None = None

    def applied(self, plan: Plan) -> Plan:
        """The plan with these settings."""
        optimization = plan.optimization.model_copy(update={"accumulate": self.accumulate})
        changes = {"batch_size": self.batch_size, "crop": self.crop, "checkpointing": self.checkpointing}
        return plan.model_copy(update=changes | {"optimization": optimization})


def fallback_for(plan: Plan, told: MemoryForecast, room: int, *, batch_norm: bool) -> Fallback:
    """The least change that makes a plan fit.

    Smaller batches cost next to no time; computing activations again costs a quarter of it and changes no result;
    smaller crops change what is learnt.

    Args:
        told: its memory.
        room: bytes that there are.
        batch_norm: whether statistics are taken over the batch, which needs two views at least.
    """
    least = min(plan.batch_size, 2 if batch_norm else 1)
    wanted = plan.batch_size * plan.optimization.accumulate
    leaner = told.with_checkpointing() if told.gains_by_checkpointing else None
    plain = told.largest_batch(room, most=plan.batch_size)
    lean = 0 if leaner is None else leaner.largest_batch(room, most=plan.batch_size)
    if plain >= least:
        batch, times, meaning = _in_parts(wanted, plain, batch_norm=batch_norm)
        alternative = None
        if leaner is not None and lean > plain:
            alternative = (
                f"With checkpointing, batches of {lean} fit ({leaner.of(lean).total / MIB:,.0f} MiB), but {LONGER}"
            )
        return Fallback(batch, times, plan.checkpointing, plan.crop, told.of(batch).total, True, meaning, alternative)
    if leaner is not None and lean >= least:
        batch, times, parts = _in_parts(wanted, lean, batch_norm=batch_norm)
        total, instead = leaner.of(batch).total, told.of(batch).total
        figures = f"{counted(batch, 'view')} {'takes' if batch == 1 else 'take'} {total / MIB:,.0f} MiB"
        meaning = f"with checkpointing, {figures} instead of {instead / MIB:,.0f}; {LONGER}"
        if times > plan.optimization.accumulate:
            meaning += f"; {parts}"
        return Fallback(batch, times, True, plan.crop, total, True, meaning)
    if leaner is None or leaner.of(least).total >= told.of(least).total:
        return _with_smaller_crop(plan, told, room, least)
    return _with_smaller_crop(plan, leaner, room, least)


def _in_parts(wanted: int, fitting: int, *, batch_norm: bool) -> tuple[int, int, str]:
    """(views in a batch, batches in a step, what that means): the same step in equal parts."""
    times = ceil(wanted / fitting)
    batch = ceil(wanted / times)
    meaning = f"gradients of {counted(times, 'batch')} of {batch} make one step of {counted(times * batch, 'view')}"
    if batch_norm and times > 1:
        meaning += "; batch norm takes its statistics over the smaller batches"
    return batch, times, meaning


def _with_smaller_crop(plan: Plan, told: MemoryForecast, room: int, least: int) -> Fallback:
    """Views as large as fit, in the smallest batch, with checkpointing where there is any."""
    times = ceil(plan.batch_size * plan.optimization.accumulate / least)
    crop = plan.crop
    taken = told.of(least).total
    while taken > room and max(crop) > SMALLEST_CROP:
        crop = _smaller(crop)
        taken = told.with_crop(crop).of(least).total
    fits = taken <= room
    lean = told.plan.checkpointing
    meaning = f"views of {crop[1]}×{crop[0]} pixels; gradients of {counted(times, 'batch')} of {least} make one step"
    if lean and not plan.checkpointing:
        meaning = f"checkpointing, and {meaning}; {LONGER}"
    if not fits:
        meaning = "even the smallest views do not fit: choose a smaller network, or resize the images"
    return Fallback(least, times, lean, crop, taken, fits, meaning)


def _smaller(crop: tuple[int, int]) -> tuple[int, int]:
    """Both sides by a fifth, in multiples of 32."""
    height, width = (
        min(side, max(SMALLEST_CROP, int(SHRINK * side) // CROP_MULTIPLE * CROP_MULTIPLE)) for side in crop
    )
    return height, width
