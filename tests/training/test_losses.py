"""The loss of several heads against the losses of each, worked out apart."""

from __future__ import annotations

import pytest
import torch

from fullconv.errors import PlanError
from fullconv.training.losses import cross_entropy, cross_entropy_of_heads


def by_hand(scores: torch.Tensor, labels: torch.Tensor, ignore: int, weight: torch.Tensor | None) -> torch.Tensor:
    """Pixel by pixel: the weighted mean of -log softmax at the true class."""
    total, weighed = scores.new_zeros(()), 0.0
    for found, truth in zip(scores.movedim(1, -1).reshape(-1, scores.shape[1]), labels.flatten(), strict=True):
        if truth != ignore:
            factor = 1.0 if weight is None else weight[truth]
            total = total - factor * found.log_softmax(0)[truth]
            weighed = weighed + factor
    return total / weighed


@pytest.fixture
def heads() -> tuple[tuple[torch.Tensor, ...], tuple[torch.Tensor, ...]]:
    torch.manual_seed(0)
    scores = tuple(torch.randn(2, classes, 5, 4, requires_grad=True) for classes in (6, 3))
    labels = torch.randint(0, 6, (2, 5, 4)), torch.randint(0, 3, (2, 5, 4))
    labels[0][0, :3] = 255
    labels[1][:, 2] = 7
    return scores, labels


@pytest.mark.parametrize("weights", [None, (torch.rand(6) + 0.1, None), (torch.rand(6) + 0.1, torch.rand(3) + 0.1)])
def test_the_loss_of_heads_is_the_sum_of_their_own(heads, weights) -> None:
    scores, labels = heads
    loss = cross_entropy_of_heads(scores, labels, ignore=(255, 7), weights=weights)
    found = torch.autograd.grad(loss, scores)
    first, second = weights or (None, None)
    apart = by_hand(scores[0], labels[0], 255, first), by_hand(scores[1], labels[1], 7, second)
    torch.testing.assert_close(loss, apart[0] + apart[1])
    for head in (0, 1):
        torch.testing.assert_close(found[head], torch.autograd.grad(apart[head], scores[head])[0])
        own = cross_entropy(scores[head], labels[head], ignore=(255, 7)[head], weight=(first, second)[head])
        torch.testing.assert_close(apart[head], own)


def test_a_head_of_which_no_pixel_counts_adds_nothing_and_learns_nothing(heads) -> None:
    scores, labels = heads
    nothing = torch.full_like(labels[1], 7)
    loss = cross_entropy_of_heads(scores, (labels[0], nothing), ignore=(255, 7))
    torch.testing.assert_close(loss, cross_entropy(scores[0], labels[0], ignore=255))
    assert not torch.autograd.grad(loss, scores)[1].any()


def test_something_missing_for_a_head_is_refused(heads) -> None:
    scores, labels = heads
    with pytest.raises(PlanError, match="1 labels for 2 heads; give one for every head"):
        cross_entropy_of_heads(scores, labels[:1], ignore=(255, 7))
    with pytest.raises(PlanError, match="1 ignored ids for 2 heads"):
        cross_entropy_of_heads(scores, labels, ignore=(255,))
    with pytest.raises(PlanError, match="3 class weights for 2 heads"):
        cross_entropy_of_heads(scores, labels, ignore=(255, 7), weights=(None, None, None))
