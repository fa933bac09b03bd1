"""What a plan can only be asked once network and data are there: whether its patches and classes can teach anything."""

from __future__ import annotations

from torch import nn

from fullconv.data.dataset import Dataset
from fullconv.errors import PlanError
from fullconv.networks.score_grid import ScoreGrid
from fullconv.training.head_weights import weights_of
from fullconv.training.heads import tables_of
from fullconv.training.settings.experiment import Plan
from fullconv.training.settings.regimes import Patchwise


def patch_of(grid: ScoreGrid) -> tuple[int, int] | None:
    """(height, width) of patches if nothing is said: as the receptive field, or more where it takes more to hold one.

    None where cells read the whole image.
    """
    if not grid.is_local:
        return None
    height, width = (max(sides) for sides in zip(grid.field, grid.patch, strict=True))
    return height, width


def check_patches(plan: Plan, net: nn.Module, grid: ScoreGrid) -> None:
    """Patches hold a whole field where the loss is read inside, and more than one value for batch norm.

    Args:
        plan: with nothing left open.
        net: the network.
        grid: of its scores.

    Raises:
        PlanError: they are too small, or the field of the network is the whole image.
    """
    if not isinstance(plan.regime, Patchwise):
        return
    learns_statistics = plan.optimization.batch_norm == "batch" and any(
        isinstance(module, nn.modules.batchnorm._BatchNorm) for module in net.modules()
    )
    if plan.batch_size == 1 and max(plan.crop) <= 32 and learns_statistics:
        problem = f"one patch of {_shown(plan.crop)} pixels leaves batch norm a single value"
        raise PlanError(problem, where="batch_size", remedy="make it 2 or more")
    if plan.regime.loss_at != "inside":
        return
    remedy = "say regime.loss_at: center or pixels, choose larger patches, or a network with a smaller field"
    if not grid.is_local:
        raise PlanError("the scores of this network read the whole image", where="regime.loss_at", remedy=remedy)
    if any(side < least for side, least in zip(plan.crop, grid.patch, strict=True)):
        field = f"no receptive field of {_shown(grid.field)} pixels lies inside a patch of {_shown(plan.crop)}"
        raise PlanError(f"{field}, the smallest patch with one has {_shown(grid.patch)}", remedy=remedy)


def check_classes(plan: Plan, data: Dataset) -> None:
    """What the classes are to decide, weights and places of patches, they can decide.

    Args:
        plan: with nothing left open.
        data: whose training images count.

    Raises:
        PlanError: a factor is for no class, or there is no class that patches could be drawn around.
    """
    if plan.heads is not None:
        tables_of(plan.heads, data.classes)
    weights_of(plan, data)
    around = plan.regime.around if isinstance(plan.regime, Patchwise) else "uniform"
    there = int((data.statistics.pixels("train") > 0).sum())
    if around == "class-balanced" and there == 0:
        raise PlanError("no training image holds a class", where="regime.around", remedy="say uniform")
    if around == "objects" and there <= (len(data.classes) > 1):
        problem = "no training image holds a class beside the commonest"
        raise PlanError(problem, where="regime.around", remedy="say uniform")


def _shown(size: tuple[int, int]) -> str:
    return "×".join(map(str, size))
