"""How much every pixel moves a unit: the gradient of its value, which shows the part of its field that counts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from fullconv.workbench.layers.fields import Span
from fullconv.workbench.layers.maps import maps_of
from fullconv.workbench.layers.network import SeenLayer, SeenNetwork
from fullconv.workbench.refusals import TooLarge

MOST_BYTES = 2 * 2**30
"""Of the results that a gradient needs all at once."""
SHARE = 0.95


@dataclass(frozen=True, eq=False)
class Influence:
    """How much a change of each pixel that the network gets would change a unit.

    Args:
        amounts: (rows, columns) float32, sum over the bands of the gradient's amounts.
        rows, columns: first and last of those that hold the middle 95 % of all, along each axis; none where there is
            nothing, such as behind a ReLU that lets nothing pass.

    Source: Luo, Li, Urtasun, Zemel, NeurIPS 2016: the effective receptive field.
    """

    amounts: npt.NDArray[np.float32]
    rows: Span | None
    columns: Span | None


def influence_on(net: SeenNetwork, seen: SeenLayer, batch: torch.Tensor, unit: tuple[int, int, int]) -> Influence:
    """The gradient of one unit with respect to what the network gets.

    Args:
        net: as far as it can be seen.
        seen: the unit's layer.
        batch: (1, C, H, W).
        unit: (channel, row, column).

    Raises:
        TooLarge: the results up to there do not fit into the memory that a page may take.
    """
    needed = 0
    for before in net.layers:
        needed += before.layer.activation_bytes
        if before is seen:
            break
    if needed > MOST_BYTES:
        raise TooLarge("takes too much memory for a gradient", where=seen.name, remedy="choose a smaller image")
    given = batch.detach().clone().requires_grad_()
    found: list[torch.Tensor] = []

    def take(name: str, value: torch.Tensor) -> None:
        if name == seen.name:
            found.append(maps_of(value, seen.layer.plane)[unit])

    with torch.enable_grad():
        net.run(given, take, until=seen.name)
        if found and found[0].requires_grad:
            (gradient,) = torch.autograd.grad(found[0], given, allow_unused=True)
        else:
            gradient = None
    amounts = torch.zeros(batch.shape[-2:]) if gradient is None else gradient[0].abs().sum(0).float().cpu()
    values = amounts.nan_to_num(posinf=0.0).numpy()
    return Influence(values, _middle(values.sum(1)), _middle(values.sum(0)))


def _middle(amounts: npt.NDArray[np.float32]) -> Span | None:
    """First and last place of those that hold the middle of all.

    >>> _middle(np.array([0.0, 1.0, 98.0, 1.0], dtype=np.float32))
    (2, 2)
    """
    total = float(amounts.sum(dtype=np.float64))
    if total <= 0:
        return None
    running = amounts.cumsum(dtype=np.float64) / total
    edge = (1 - SHARE) / 2
    return int(np.searchsorted(running, edge, side="right")), int(np.searchsorted(running, 1 - edge))
