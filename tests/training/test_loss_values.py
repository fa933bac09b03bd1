"""Losses against second implementations: by definition, pixel by pixel, or a library's."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from fullconv.training.losses import (
    dice_loss,
    lovasz_softmax,
    near_boundary,
    pixel_cross_entropy,
    pixel_focal,
)

IGNORE = 255
ALL = [pixel_cross_entropy, pixel_focal, dice_loss, lovasz_softmax]


def scene(classes: int = 4, seed: int = 0, *, absent: int = 2) -> tuple[torch.Tensor, torch.Tensor]:
    """Scores (2, classes, 3, 4) and labels with ignored pixels and a class that does not occur."""
    generator = torch.Generator().manual_seed(seed)
    scores = torch.randn(2, classes, 3, 4, generator=generator, dtype=torch.float64) * 2
    labels = torch.randint(classes, (2, 3, 4), generator=generator)
    labels[labels == absent] = 0
    labels[0, 0, :2] = IGNORE
    return scores, labels


def counted_pixels(scores: torch.Tensor, labels: torch.Tensor) -> list[tuple[list[float], int]]:
    """(probabilities, true class) of every pixel that counts."""
    places = [(n, row, col) for n, row, col in product(*map(range, labels.shape)) if labels[n, row, col] != IGNORE]
    return [(scores[n, :, row, col].softmax(0).tolist(), int(labels[n, row, col])) for n, row, col in places]


def jaccard_loss(wrong: set[int], truth: set[int]) -> float:
    """1 − IoU of one class as a function of the set of pixels that are told wrong: Berman et al., equation 6."""
    return len(wrong) / len(truth | wrong)


def lovasz_extension(errors: list[float], truth: set[int]) -> float:
    """By definition: the errors in falling order, each times what its pixel adds to the set function (equation 8)."""
    order = sorted(range(len(errors)), key=lambda pixel: -errors[pixel])
    total = 0.0
    for place, pixel in enumerate(order):
        total += errors[pixel] * (
            jaccard_loss(set(order[: place + 1]), truth) - (jaccard_loss(set(order[:place]), truth) if place else 0.0)
        )
    return total


def weighted_mean(losses: dict[int, float], weight: torch.Tensor | None) -> float:
    factors = {which: 1.0 if weight is None else float(weight[which]) for which in losses}
    return sum(losses[which] * factors[which] for which in losses) / sum(factors.values())


WEIGHTS = [None, torch.tensor([0.5, 2.0, 1.0, 3.0], dtype=torch.float64)]


@pytest.mark.parametrize("weight", WEIGHTS)
@pytest.mark.parametrize("seed", range(3))
def test_lovasz_is_the_extension_of_the_jaccard_set_function(weight: torch.Tensor | None, seed: int) -> None:
    scores, labels = scene(seed=seed)
    pixels = counted_pixels(scores, labels)
    losses = {}
    for which in {truth for _, truth in pixels}:
        errors = [1 - p[which] if truth == which else p[which] for p, truth in pixels]
        losses[which] = lovasz_extension(errors, {place for place, (_, truth) in enumerate(pixels) if truth == which})
    found = lovasz_softmax(scores, labels, ignore=IGNORE, weight=weight)
    assert found.item() == pytest.approx(weighted_mean(losses, weight), rel=1e-12)


@pytest.mark.parametrize(("stride", "size"), [(1, (9, 8)), (3, (9, 8)), (4, (9, 8)), (4, (1, 2)), (20, (9, 8))])
def test_lovasz_with_a_stride_reads_the_middle_of_every_block(stride: int, size: tuple[int, int]) -> None:
    generator = torch.Generator().manual_seed(stride)
    scores = torch.randn(2, 3, *size, generator=generator, dtype=torch.float64)
    labels = torch.randint(0, 3, (2, *size), generator=generator)
    rows, columns = (range((min(stride, side) - 1) // 2, side, min(stride, side)) for side in size)
    read = [(row, column) for row in rows for column in columns]
    few = torch.stack([scores[:, :, row, column] for row, column in read], -1).unsqueeze(-2)
    truth = torch.stack([labels[:, row, column] for row, column in read], -1).unsqueeze(-2)
    expected = lovasz_softmax(few, truth, ignore=IGNORE)
    assert torch.equal(lovasz_softmax(scores, labels, ignore=IGNORE, stride=stride), expected)


def test_lovasz_of_certain_answers_is_one_minus_the_iou() -> None:
    labels = torch.tensor([[[0, 0, 0, 1, 1, 2]]])
    answers = torch.tensor([[[0, 0, 1, 1, 1, 0]]])
    scores = F.one_hot(answers, 3).movedim(-1, 1).double() * 1e4
    assert lovasz_softmax(scores, labels, ignore=IGNORE).item() == pytest.approx(1 - (2 / 4 + 2 / 3 + 0) / 3)


@pytest.mark.parametrize("weight", WEIGHTS)
def test_dice_is_twice_the_overlap_over_the_sums(weight: torch.Tensor | None) -> None:
    scores, labels = scene()
    pixels = counted_pixels(scores, labels)
    losses = {}
    for which in {truth for _, truth in pixels}:
        both = sum(p[which] for p, truth in pixels if truth == which)
        sums = sum(p[which] for p, _ in pixels) + sum(truth == which for _, truth in pixels)
        losses[which] = 1 - 2 * both / sums
    found = dice_loss(scores, labels, ignore=IGNORE, weight=weight)
    assert found.item() == pytest.approx(weighted_mean(losses, weight), rel=1e-12)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0, 2.0, 5.0])
def test_focal_is_cross_entropy_times_what_is_wrong(gamma: float) -> None:
    scores, labels = scene()
    found = pixel_focal(scores, labels, ignore=IGNORE, gamma=gamma)
    assert not found[labels == IGNORE].any()
    expected = [-((1 - p[truth]) ** gamma) * np.log(p[truth]) for p, truth in counted_pixels(scores, labels)]
    np.testing.assert_allclose(found[labels != IGNORE].numpy(), expected, rtol=1e-10)


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.5])
def test_label_smoothing_is_torchs_and_cross_entropy_against_the_smoothed_truth(smoothing: float) -> None:
    scores, labels = scene()
    found = pixel_cross_entropy(scores, labels, ignore=IGNORE, smoothing=smoothing)
    theirs = F.cross_entropy(scores, labels, ignore_index=IGNORE, label_smoothing=smoothing)
    torch.testing.assert_close(found.sum() / (labels != IGNORE).sum(), theirs)
    truth = F.one_hot(labels.masked_fill(labels == IGNORE, 0), 4).movedim(-1, 1) * (1 - smoothing) + smoothing / 4
    expected = -(truth * scores.log_softmax(1)).sum(1) * (labels != IGNORE)
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("weight", WEIGHTS)
def test_weighted_cross_entropy_is_torchs(weight: torch.Tensor | None) -> None:
    scores, labels = scene()
    theirs = F.cross_entropy(scores, labels, ignore_index=IGNORE, weight=weight)
    factors = torch.zeros(IGNORE + 1, dtype=scores.dtype)
    factors[: scores.shape[1]] = 1 if weight is None else weight
    ours = pixel_cross_entropy(scores, labels, ignore=IGNORE) * factors[labels]
    torch.testing.assert_close(ours.sum() / factors[labels].sum(), theirs)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 4), st.integers(2, 4))
def test_near_a_boundary_is_within_a_square_that_holds_another_class(seed: int, width: int, classes: int) -> None:
    generator = np.random.default_rng(seed)
    small = generator.integers(classes + 1, size=(2, 4, 5))
    labels = np.where(small == classes, IGNORE, small).repeat(3, 1).repeat(3, 2)
    found = near_boundary(torch.from_numpy(labels), width=width, ignore=IGNORE).numpy()
    square = np.ones((2 * width + 1, 2 * width + 1), dtype=bool)
    for image, answer in zip(labels, found, strict=True):
        expected = np.zeros(image.shape, dtype=bool)
        for which in range(classes):
            others = (image != which) & (image != IGNORE)
            expected |= (image == which) & ndimage.binary_dilation(others, square)
        np.testing.assert_array_equal(answer, expected)


@pytest.mark.parametrize("loss", ALL)
@pytest.mark.parametrize("size", [0.0, 1.0, 1e4, 1e30])
def test_extreme_scores_have_finite_losses_and_gradients(loss, size: float) -> None:
    scores, labels = scene()
    scores = (scores.float() * size).requires_grad_()
    value = loss(scores, labels, ignore=IGNORE).sum()
    (gradient,) = torch.autograd.grad(value, scores)
    assert value.isfinite()
    assert gradient.isfinite().all()
    assert not gradient.movedim(1, -1)[labels == IGNORE].any()


@pytest.mark.parametrize("gamma", [0.0, 0.25, 0.5, 1.0])
def test_focal_has_finite_gradients_where_all_is_certain(gamma: float) -> None:
    scores = torch.tensor([[[[40.0, 200.0, 1e4, 17.0]], [[0.0, 0.0, 0.0, 0.0]]]], requires_grad=True)
    value = pixel_focal(scores, torch.zeros(1, 1, 4, dtype=torch.int64), ignore=IGNORE, gamma=gamma).sum()
    (gradient,) = torch.autograd.grad(value, scores)
    assert gradient.isfinite().all()
    assert gradient.abs().max() < 1e-3


@pytest.mark.parametrize("loss", ALL)
def test_scores_of_half_precision_are_summed_in_single(loss) -> None:
    scores, labels = scene()
    coarse = scores.to(torch.bfloat16)
    found = loss(coarse, labels, ignore=IGNORE)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, loss(coarse.float(), labels, ignore=IGNORE))
    assert loss(scores, labels, ignore=IGNORE).dtype == torch.float64


@pytest.mark.parametrize("loss", ALL)
@pytest.mark.parametrize("dtype", [torch.uint8, torch.int16, torch.int64])
def test_where_no_pixel_counts_nothing_is_lost_and_nothing_learnt(loss, dtype: torch.dtype) -> None:
    scores = torch.randn(2, 4, 3, 4, requires_grad=True)
    value = loss(scores, torch.full((2, 3, 4), IGNORE, dtype=dtype), ignore=IGNORE).sum()
    assert value.item() == 0
    (gradient,) = torch.autograd.grad(value, scores)
    assert gradient.isfinite().all()
    assert not gradient.any()


@pytest.mark.parametrize("loss", [dice_loss, lovasz_softmax])
def test_region_losses_fall_from_one_to_nought_as_answers_get_right(loss) -> None:
    _, labels = scene()
    right = F.one_hot(labels.masked_fill(labels == IGNORE, 0), 4).movedim(-1, 1).float()
    values = [loss(right * size, labels, ignore=IGNORE).item() for size in (-50.0, -1.0, 0.0, 1.0, 50.0)]
    assert values == sorted(values, reverse=True)
    assert values[0] > 0.9
    assert values[-1] == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("loss", ALL)
def test_gradients_are_the_slopes(loss) -> None:
    scores, labels = scene()
    assert torch.autograd.gradcheck(lambda value: loss(value, labels, ignore=IGNORE).sum(), scores.requires_grad_())
