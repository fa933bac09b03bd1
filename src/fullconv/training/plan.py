"""From what the user asked for to what will run: every open setting decided, with the data and machine in view."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from fullconv.counted import counted
from fullconv.data.augmentation import Augmentation
from fullconv.errors import PlanError
from fullconv.prediction.model import usable_device
from fullconv.training.settings.experiment import Experiment, Plan
from fullconv.training.settings.regimes import AnyRegime, LossSampling, Patchwise, WholeImage
from fullconv.training.trackers import check_trackers

PIXELS_IN_A_RUN = 2.43e9
"""Training pixels of a default run: 60 passes over 367 crops of 288×384, under half an hour on two cores."""
FEWEST_VIEWS, MOST_VIEWS = 4_000, 40_000
VIEWS_IN_AN_EPOCH = 200
LARGEST_CROP = 512
CROP_SHARE = 0.8
CROP_MULTIPLE = 32
DEFAULT_BATCH = 8
LARGEST_PATCH_BATCH = 512
SHORTEST_RUN, LONGEST_RUN = 12, 200


@dataclass(frozen=True)
class TrainingSet:
    """What planning needs to know of data and network.

    Args:
        train, val: (height, width) of every image.
        patch: (height, width) of a patch that holds all a score reads; none where there is no such patch.
    """

    train: Sequence[tuple[int, int]]
    val: Sequence[tuple[int, int]]
    patch: tuple[int, int] | None = None


def resolve(experiment: Experiment, data: TrainingSet) -> Plan:
    """The same experiment with nothing left open.

    Raises:
        PlanError: there are no training or validation images, or a device was asked for that is not here.

    >>> plan = resolve(Experiment(dataset="streets"), TrainingSet(train=[(360, 480)] * 367, val=[(360, 480)] * 101))
    >>> plan.crop, plan.batch_size, plan.epochs, plan.views
    ((288, 384), 8, 60, 1)
    """
    if not data.train:
        raise PlanError("the dataset has no training images", remedy="create it with a split that leaves some")
    if not data.val:
        raise PlanError("the dataset has no validation images", remedy="create it with a split that leaves some")
    check_trackers(experiment.loggers)
    device = usable_device(experiment.device).type
    precision = experiment.precision
    if precision == "auto":
        precision = "bf16" if computes_bf16(device) else "fp32"
    sizes = [experiment.resize.size(*size) for size in data.train]
    crop = view_size(experiment, sizes, data.patch)
    batch = experiment.batch_size or default_batch(experiment.regime, crop, sizes)
    views = experiment.views or default_views(experiment.regime, crop, sizes)
    seen = _seen(experiment.regime, crop, sizes, views)
    epochs = experiment.epochs or _epochs(crop, seen)
    every = experiment.validate_every or max(1, round(len(data.val) / seen * 2), epochs // 100)
    if batch == 1 and max(crop) <= 32 and not isinstance(experiment.regime, Patchwise):
        raise PlanError("one view of 32 pixels leaves batch norm a single value", where="crop", remedy="make it larger")
    decided = {
        "device": device,
        "precision": precision,
        "crop": crop,
        "batch_size": batch,
        "views": views,
        "optimization": experiment.optimization.decided(),
        "epochs": epochs,
        "validate_every": min(every, epochs),
        "workers": default_workers(experiment.devices) if experiment.workers is None else experiment.workers,
    }
    if isinstance(experiment.regime, Patchwise) and experiment.regime.origins == "grid":
        decided["augmentation"] = Augmentation.as_it_lies(experiment.augmentation)
    plan = Plan.model_validate(experiment.model_dump() | decided)
    check_processes(plan)
    return plan


def check_processes(plan: Plan) -> None:
    """Every process has a device and something to do.

    Raises:
        PlanError: there are more of them than GPUs, or than views in a batch.
    """
    here = torch.cuda.device_count() if plan.device == "cuda" else plan.devices
    if plan.devices > here:
        problem = f"{counted(plan.devices, 'GPU')} asked for, and {here or 'none'} here"
        raise PlanError(problem, where="devices", remedy=f"ask for {here}")
    processes = plan.devices * plan.nodes
    if plan.batch_size < processes:
        problem = f"a batch of {plan.batch_size} leaves some of {processes} processes nothing to do"
        raise PlanError(problem, where="batch_size", remedy=f"make it {processes} or more: it is that of all together")


def view_size(
    experiment: Experiment, sizes: Sequence[tuple[int, int]], patch: tuple[int, int] | None
) -> tuple[int, int]:
    """(height, width) of what the network sees of an image in training: crop, patch, or the largest whole image.

    Raises:
        PlanError: settings contradict each other.
    """
    regime, crop = experiment.regime, experiment.crop
    if isinstance(regime, WholeImage) and regime.full:
        largest = max(height for height, _ in sizes), max(width for _, width in sizes)
        if crop not in (None, largest):
            raise PlanError("regime.full takes images whole", where="crop", remedy="leave one of the two out")
        return largest
    if isinstance(regime, Patchwise):
        size = regime.size or crop or patch
        if size is None:
            raise PlanError("no size is given for the patches", where="regime.size", remedy="give one, as [64, 64]")
        if crop not in (None, size):
            raise PlanError("differs from the size of the patches", where="crop", remedy="leave it out")
        return size
    return crop or default_crop(sizes)


def default_batch(regime: AnyRegime, crop: tuple[int, int], sizes: Sequence[tuple[int, int]]) -> int:
    """Views in a step: eight crops, or patches of as many pixels; fewer of a small set; more where loss is left out.

    >>> sizes = [(360, 480)] * 367
    >>> default_batch(WholeImage(), (288, 384), sizes), default_batch(LossSampling(keep=0.25), (288, 384), sizes)
    (8, 32)
    """
    batch = min(DEFAULT_BATCH, max(2, len(sizes) // 4))
    if isinstance(regime, LossSampling):
        return max(batch, min(round(batch / regime.keep), LARGEST_PATCH_BATCH))
    if isinstance(regime, Patchwise):
        whole = default_crop(sizes)
        return int(np.clip(batch * whole[0] * whole[1] / (crop[0] * crop[1]), batch, LARGEST_PATCH_BATCH))
    return batch


def default_views(regime: AnyRegime, crop: tuple[int, int], sizes: Sequence[tuple[int, int]]) -> int:
    """Views of every image in one epoch, so that an epoch is worth validating; patches cover an image's area, as far as
    an epoch of the set stays one that ends."""
    views = max(1, -(-VIEWS_IN_AN_EPOCH // len(sizes)))
    if not isinstance(regime, Patchwise):
        return views
    if regime.origins == "grid":  # which holds as many as it holds
        return 1
    height, width = np.median(np.array(sizes), axis=0)
    return max(views, min(round(float(height * width) / (crop[0] * crop[1])), MOST_VIEWS // len(sizes)))


def _seen(regime: AnyRegime, crop: tuple[int, int], sizes: Sequence[tuple[int, int]], views: int) -> int:
    """Views in one epoch of all images."""
    if not isinstance(regime, Patchwise) or regime.origins != "grid":
        return views * len(sizes)
    steps = [regime.step or max(1, side // 2) for side in crop]
    per_side = (-(-np.maximum(np.array(sizes) - np.array(crop), 0) // np.array(steps))) + 1
    return int(per_side.prod(axis=1).sum())


def _epochs(crop: tuple[int, int], views: int) -> int:
    """Passes of so many views, from what a run may cost in pixels."""
    wanted = np.clip(PIXELS_IN_A_RUN / (crop[0] * crop[1]), FEWEST_VIEWS, max(MOST_VIEWS, SHORTEST_RUN * views))
    return int(np.clip(round(wanted / views), SHORTEST_RUN, LONGEST_RUN))


def default_crop(sizes: Sequence[tuple[int, int]]) -> tuple[int, int]:
    """Four fifths of the median image, in multiples of 32, between 64 and 512 pixels.

    >>> default_crop([(360, 480)]), default_crop([(3000, 4000)]), default_crop([(20, 700)])
    ((288, 384), (512, 512), (64, 512))
    """
    medians = np.median(np.array(sizes), axis=0)
    sides = (CROP_MULTIPLE * max(2, round(CROP_SHARE * float(side) / CROP_MULTIPLE)) for side in medians)
    height, width = (min(LARGEST_CROP, side) for side in sides)
    return height, width


def default_workers(devices: int = 1) -> int:
    """Loader processes of each of so many devices: one for two cores, up to eight."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(8, max(1, cores // 2 // devices))


def computes_bf16(device: str) -> bool:
    """Whether the hardware has bfloat16 arithmetic, so that autocast makes it faster and not slower."""
    if device == "cuda":
        return bool(torch.cuda.is_bf16_supported())
    if not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return False
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported()) and _has_bf16_instructions()


def _has_bf16_instructions() -> bool:
    """AVX-512 BF16, AMX or Arm BF16; older torch tells only the first."""
    if not hasattr(torch.cpu, "get_capabilities"):
        return bool(torch.cpu._is_avx512_bf16_supported())
    capabilities = torch.cpu.get_capabilities()
    return any(capabilities.get(name) for name in ("avx512_bf16", "amx_bf16", "bf16"))
