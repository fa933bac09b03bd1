"""Several networks of one kind that vote: the mean of their probabilities."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import log
from typing import TYPE_CHECKING

import torch
from torch import nn

from fullconv.geometry.meta_values import bands_of

if TYPE_CHECKING:
    from fullconv.networks.reference import AnyFCN


class Ensemble(nn.Module):
    """Networks trained on different folds or from different seeds, as one.

    Takes what its members take; returns (N, classes, H, W): the logarithm of the mean of their probabilities, so that a
    softmax of it is that mean; of members with several heads a tuple of it, one per head.

    Args:
        members: of the same classes and bands.

    >>> from fullconv.networks.catalogue import build_network
    >>> net = Ensemble([build_network("fcn8s-squeezenet1_1", classes=2) for _ in range(3)]).eval()
    >>> net(torch.zeros(1, 3, 64, 48)).exp()[0, :, 0, 0].detach()
    tensor([0.5000, 0.5000])
    """

    def __init__(self, members: Sequence[AnyFCN]) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)
        self.image_channels = bands_of(members[0])

    def forward(self, images: torch.Tensor) -> torch.Tensor | tuple[torch.Tensor, ...]:
        each = [member(images) for member in self.members]
        if isinstance(each[0], tuple):
            return tuple(_vote(head) for head in zip(*each, strict=True))
        return _vote(each)

    def only(self, number: int) -> Ensemble:
        """The vote of one of several heads, with the same parameters.

        >>> from fullconv.networks.catalogue import build_network
        >>> net = Ensemble([build_network("fcn8s-squeezenet1_1", classes=(4, 2)) for _ in range(3)]).eval()
        >>> net.only(1)(torch.zeros(1, 3, 64, 48)).shape
        torch.Size([1, 2, 64, 48])
        """
        return Ensemble([member.only(number) for member in self._each()])  # type: ignore[operator]

    @property
    def stride(self) -> int:
        """Of the finest scores of any member."""
        return min(member.stride for member in self._each())

    @property
    def features(self) -> nn.ModuleList:
        """The feature extractors of all members."""
        return nn.ModuleList(member.features for member in self._each())

    @property
    def head(self) -> nn.ModuleList:
        """The heads of all members."""
        return nn.ModuleList(member.head for member in self._each())

    def _each(self) -> Iterator[AnyFCN]:
        yield from self.members  # type: ignore[misc]


def _vote(scores: Sequence[torch.Tensor]) -> torch.Tensor:
    """(N, classes, H, W) of every member → the logarithm of the mean of their probabilities."""
    each = [member.log_softmax(1) for member in scores]
    total = each[0]
    for one in each[1:]:
        total = torch.logaddexp(total, one)
    return total - log(len(each))
