"""What training makes small, worked out cell by cell: denominators, factors, terms beside each other, samples."""

from __future__ import annotations

from functools import partial
from itertools import product

import pytest
import torch
from torch import nn

from fullconv.networks.score_grid import ScoreGrid
from fullconv.training.loss_sampling import block_means, kept_at_random, kept_hardest, over_pixels
from fullconv.training.losses import dice_loss, lovasz_softmax, near_boundary, pixel_cross_entropy, pixel_focal
from fullconv.training.objective import Objective, Part, Reading
from fullconv.training.settings.loss_settings import Boundary, Loss
from fullconv.training.settings.regimes import AnyRegime, LossSampling, Patchwise, WholeImage

CLASSES, IGNORE = 3, 255
WEIGHTS = torch.tensor([0.5, 1.0, 4.0])
SEEDS = torch.tensor([3, 4])


class Stride4(nn.Module):
    """Scores at every fourth pixel, spread over the pixels by repetition."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(5)
        self.score = nn.Conv2d(3, CLASSES, 4, stride=4)

    def cells(self, images: torch.Tensor) -> torch.Tensor:
        return self.score(images)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.cells(images).repeat_interleave(4, 2).repeat_interleave(4, 3)


@pytest.fixture(scope="module")
def net() -> nn.Module:
    return Stride4().eval()


@pytest.fixture(scope="module")
def grid(net: nn.Module) -> ScoreGrid:
    return ScoreGrid.of(net)


cross_entropy = partial(Loss, terms="cross-entropy")


def scene(height: int = 24, width: int = 32) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    small = torch.randint(CLASSES, (2, height // 4, width // 4), generator=generator)
    labels = small.repeat_interleave(4, 1).repeat_interleave(4, 2)
    labels[:, 3:7, 5:20] = IGNORE
    labels[0, :2] = 2
    return torch.randn(2, 3, height, width, generator=generator), labels


def objective(grid: ScoreGrid, loss: Loss, regime: AnyRegime | None = None, weights=WEIGHTS) -> Objective:
    return Objective(loss, regime or WholeImage(), grid, classes=CLASSES, ignore=IGNORE, weights=weights)


def kept_by(reading: Reading, regime: LossSampling) -> torch.Tensor:
    """What is in the sum: where scores get a gradient."""
    (gradient,) = torch.autograd.grad(reading.part.total, reading.scores, retain_graph=True)
    return gradient.abs().sum(1) > 0


@pytest.mark.parametrize("denominator", ["weights", "pixels", "all"])
@pytest.mark.parametrize("weights", [None, WEIGHTS])
def test_the_mean_is_over_weights_pixels_or_all(net, grid, denominator: str, weights: torch.Tensor | None) -> None:
    images, labels = scene()
    reading = objective(grid, cross_entropy(denominator=denominator), weights=weights)(net, images, labels)
    total = factors = counted = 0.0
    logs = reading.scores.detach().log_softmax(1)
    for n, row, col in product(*map(range, labels.shape)):
        if (truth := int(labels[n, row, col])) != IGNORE:
            factor = 1.0 if weights is None else float(weights[truth])
            total -= factor * float(logs[n, truth, row, col])
            factors += factor
            counted += 1
    expected = total / {"weights": factors, "pixels": counted, "all": labels.numel()}[denominator]
    assert reading.part.loss.item() == pytest.approx(expected, rel=1e-5)
    summed = objective(grid, cross_entropy(reduction="sum", denominator=denominator), weights=weights)(
        net, images, labels
    )
    assert summed.part.loss.item() == pytest.approx(total, rel=1e-5)


def test_cross_entropy_is_torchs_weighted_mean(net, grid) -> None:
    images, labels = scene()
    reading = objective(grid, cross_entropy())(net, images, labels)
    theirs = nn.functional.cross_entropy(net(images), labels, weight=WEIGHTS, ignore_index=IGNORE)
    torch.testing.assert_close(reading.part.loss, theirs)


@pytest.mark.parametrize("denominator", ["weights", "pixels", "all"])
def test_terms_beside_each_other_are_summed_with_their_factors(net, grid, denominator: str) -> None:
    images, labels = scene()
    scores = net(images)
    terms = {"cross-entropy": 0.7, "focal": 1.5, "dice": 2.0, "lovasz": 0.5}
    loss = Loss(terms=terms, denominator=denominator, label_smoothing=0.1, focal_gamma=1.5, lovasz_stride=3)
    found = objective(grid, loss).part(scores, labels)
    factors = torch.cat([WEIGHTS, torch.zeros(253)])[labels]
    count = {"weights": factors.sum(), "pixels": (labels != IGNORE).sum(), "all": labels.numel()}[denominator]
    expected = (
        0.7 * (pixel_cross_entropy(scores, labels, ignore=IGNORE, smoothing=0.1) * factors).sum() / count
        + 1.5 * (pixel_focal(scores, labels, ignore=IGNORE, gamma=1.5) * factors).sum() / count
        + 2.0 * dice_loss(scores, labels, ignore=IGNORE, weight=WEIGHTS)
        + 0.5 * lovasz_softmax(scores, labels, ignore=IGNORE, weight=WEIGHTS, stride=3)
    )
    torch.testing.assert_close(found.loss, expected)


def test_lovasz_reads_all_cells_and_only_some_of_the_pixels(net, grid) -> None:
    images, labels = scene()
    loss = Loss(terms="lovasz", lovasz_stride=4)
    found = objective(grid, loss, WholeImage(loss_at="cells"))(net, images, labels)
    expected = lovasz_softmax(found.scores, found.labels, ignore=IGNORE, weight=WEIGHTS)
    torch.testing.assert_close(found.part.loss, expected)
    at_pixels = objective(grid, loss)(net, images, labels)
    expected = lovasz_softmax(at_pixels.scores, labels, ignore=IGNORE, weight=WEIGHTS, stride=4)
    torch.testing.assert_close(at_pixels.part.loss, expected)


def test_parts_of_several_processes_add_up(net, grid) -> None:
    images, labels = scene()
    labels[1, 10:] = IGNORE
    reader = objective(grid, Loss(terms="cross-entropy"))
    whole = reader(net, images, labels).part
    parts = [reader(net, images[n : n + 1], labels[n : n + 1]).part for n in (0, 1)]
    together = Part(parts[0].total + parts[1].total, parts[0].count + parts[1].count)
    torch.testing.assert_close(together.loss, whole.loss)
    assert parts[0].count != parts[1].count


@pytest.mark.parametrize("terms", ["cross-entropy", "focal+dice", "lovasz"])
@pytest.mark.parametrize("denominator", ["weights", "pixels", "all"])
@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_a_batch_of_which_nothing_counts_teaches_nothing(net, grid, terms: str, denominator, reduction) -> None:
    images, labels = scene()
    per_pixel = None if terms == "lovasz" else Boundary()
    loss = Loss(terms=terms, denominator=denominator, reduction=reduction, boundary=per_pixel)
    reading = objective(grid, loss)(net, images, torch.full_like(labels, IGNORE))
    assert reading.part.loss.item() == 0
    gradients = torch.autograd.grad(reading.part.loss, list(net.parameters()))
    assert all(not gradient.any() for gradient in gradients)


def test_pixels_near_a_boundary_weigh_more(net, grid) -> None:
    images, labels = scene()
    found = objective(grid, cross_entropy(boundary=Boundary(weight=3.0, width=2)), weights=None)(
        net, images, labels
    ).part
    factors = (1 + 3.0 * near_boundary(labels, width=2, ignore=IGNORE)) * (labels != IGNORE)
    plain = pixel_cross_entropy(net(images), labels, ignore=IGNORE)
    torch.testing.assert_close(found.total, (plain * factors).sum())
    torch.testing.assert_close(found.count, factors.sum())


def test_leaving_out_a_neighbour_moves_no_boundary(net, grid) -> None:
    images, labels = scene()
    loss = cross_entropy(boundary=Boundary(weight=3.0, width=2), reduction="sum")
    regime = LossSampling(keep=0.5)
    sampled = objective(grid, loss, regime, None)(net, images, labels, SEEDS)
    kept = kept_by(sampled, regime)
    factors = (1 + 3.0 * near_boundary(labels, width=2, ignore=IGNORE)) * kept
    plain = pixel_cross_entropy(net(images), labels, ignore=IGNORE)
    torch.testing.assert_close(sampled.part.total, (plain * factors).sum())


def test_at_the_cells_the_width_of_a_boundary_is_still_in_pixels(net, grid) -> None:
    images, labels = scene()
    loss = cross_entropy(boundary=Boundary(weight=3.0, width=2), reduction="sum")
    found = objective(grid, loss, WholeImage(loss_at="cells"), None)(net, images, labels)
    assert found.scores.shape[-2:] == (6, 8)
    torch.testing.assert_close(found.labels, labels[:, 1::4, 1::4])  # the first pixel of the middle four
    near = near_boundary(labels, width=2, ignore=IGNORE)[:, 1::4, 1::4]
    assert 0 < near.sum() < near.numel()
    plain = pixel_cross_entropy(found.scores, found.labels, ignore=IGNORE)
    torch.testing.assert_close(found.part.total, (plain * (1 + 3.0 * near)).sum())


def test_at_the_centre_one_cell_counts_and_inside_those_whose_field_is(net, grid) -> None:
    images, labels = scene(20, 20)
    labels[:] = 1
    single = objective(grid, cross_entropy(reduction="sum"), Patchwise(loss_at="center"))(net, images, labels)
    assert kept_by(single, LossSampling())[0].nonzero().tolist() == [[2, 2]]
    every = objective(grid, cross_entropy(reduction="sum"), Patchwise(loss_at="inside"))(net, images, labels)
    assert kept_by(every, LossSampling()).all()  # without padding every field lies inside


@pytest.mark.parametrize("loss_at", ["pixels", "cells"])
@pytest.mark.parametrize("keep", [0.05, 0.3, 1.0])
def test_hardest_keeps_exactly_the_hardest(net, grid, loss_at: str, keep: float) -> None:
    images, labels = scene()
    regime = LossSampling(keep=keep, how="hardest", loss_at=loss_at)
    reading = objective(grid, cross_entropy(), regime)(net, images, labels)
    plain = pixel_cross_entropy(reading.scores.detach(), reading.labels, ignore=IGNORE)
    side = 4 if loss_at == "pixels" else 1
    losses = {}
    rows, cols = (extent // side for extent in reading.labels.shape[1:])
    for n, row, col in product(range(2), range(rows), range(cols)):
        place = (n, slice(row * side, (row + 1) * side), slice(col * side, (col + 1) * side))
        counted = reading.labels[place] != IGNORE
        if counted.any():
            losses[n, row, col] = float(plain[place][counted].mean())
    wanted = -(-int(1e6 * keep * len(losses)) // 10**6)
    hardest = sorted(losses, key=lambda cell: -losses[cell])[:wanted]
    expected = torch.zeros(2, rows, cols, dtype=torch.bool)
    for cell in hardest:
        expected[cell] = True
    over = over_pixels(expected, tuple(reading.labels.shape[1:]), (side, side)) & (reading.labels != IGNORE)
    torch.testing.assert_close(kept_by(reading, regime), over)


@pytest.mark.parametrize("loss_at", ["pixels", "cells"])
def test_what_is_kept_is_a_function_of_the_seed_of_each_image(net, grid, loss_at: str) -> None:
    images, labels = scene()
    regime = LossSampling(keep=0.4, loss_at=loss_at)
    reader = objective(grid, cross_entropy(), regime)
    first, again = (kept_by(reader(net, images, labels, SEEDS), regime) for _ in range(2))
    assert torch.equal(first, again)
    turned = kept_by(reader(net, images.flip(0), labels.flip(0), SEEDS.flip(0)), regime)
    assert torch.equal(turned, first.flip(0))  # whatever else is in the batch
    assert not torch.equal(kept_by(reader(net, images, labels, SEEDS + 10), regime), first)
    torch.manual_seed(99)
    assert torch.equal(kept_by(reader(net, images, labels, SEEDS), regime), first)


def test_classes_are_kept_as_often_as_they_weigh(net, grid) -> None:
    labels = torch.arange(CLASSES).repeat_interleave(800).view(1, 40, 60)
    labels = labels.repeat_interleave(4, 1).repeat_interleave(4, 2)
    images = torch.randn(1, 3, *labels.shape[1:])
    regime = LossSampling(keep=0.4, how="class-balanced", loss_at="cells")
    reader = objective(grid, cross_entropy(), regime)
    kept = torch.zeros(CLASSES)
    turns = 20
    for seed in range(turns):
        reading = reader(net, images, labels, torch.tensor([seed]))
        kept += torch.bincount(reading.labels[kept_by(reading, regime)], minlength=CLASSES)
    expected = (0.4 * WEIGHTS).clamp_max(1)  # the last one would be more often than always
    spread = (expected * (1 - expected) / (800 * turns)).sqrt()
    assert ((kept / (800 * turns) - expected).abs() <= 5 * spread).all()
    # What is kept weighs the same, so that a class is not counted twice; but for what can be kept no more often.
    more = torch.tensor([1.0, 1.0, 0.4 * 4])
    torch.testing.assert_close(reading.part.count, more[reading.labels[kept_by(reading, regime)]].sum())


@pytest.mark.parametrize("loss_at", ["cells", "pixels"])
def test_sampling_by_class_equals_weighting_on_average_whatever_the_weights(net, grid, loss_at: str) -> None:
    images, labels = scene()
    loss = cross_entropy(denominator="all")
    weighted = objective(grid, loss, WholeImage(loss_at=loss_at))(net, images, labels).part.loss
    sampling = objective(grid, loss, LossSampling(keep=0.6, how="class-balanced", loss_at=loss_at))
    turns = 400
    found = torch.stack([sampling(net, images, labels, SEEDS + 1000 * turn).part.loss for turn in range(turns)])
    assert (WEIGHTS * 0.6).max() > 1
    assert abs(found.mean() - weighted) <= 4 * found.std() / turns**0.5
    assert found.std() / turns**0.5 < 0.02 * weighted


def test_a_kept_cell_brings_the_pixels_of_its_stride(net, grid) -> None:
    images, labels = scene()
    labels[labels == IGNORE] = 0
    regime = LossSampling(keep=0.5)
    kept = kept_by(objective(grid, cross_entropy(), regime)(net, images, labels, SEEDS), regime)
    blocks = kept.unflatten(1, (6, 4)).unflatten(3, (8, 4)).sum((2, 4))
    assert set(blocks.unique().tolist()) == {0, 16}
    assert torch.equal(blocks == 16, kept_at_random(torch.full((2, 6, 8), 0.5), SEEDS))


def test_a_class_beside_ignored_pixels_is_kept_as_often_as_its_weight_says(net, grid) -> None:
    """Class 2 lies only in blocks whose middle pixel is ignored, at their first pixel."""
    images, _ = scene()
    labels = torch.zeros(2, 24, 32, dtype=torch.long)
    first = torch.zeros(24, 32, dtype=torch.bool)
    first[::4, ::4] = True
    first[12:] = False  # blocks below are of class 0
    labels[:, :12] = IGNORE
    labels[:, first] = 2
    weights = torch.tensor([0.5, 1.0, 1.6])
    regime = LossSampling(keep=0.5, how="class-balanced")
    sampling = Objective(cross_entropy(), regime, grid, classes=CLASSES, ignore=IGNORE, weights=weights)
    kept = torch.zeros(2)
    turns = 100
    for turn in range(turns):
        found = kept_by(sampling(net, images, labels, SEEDS + 100 * turn), regime)
        kept += torch.stack([found[labels == label].sum() for label in (0, 2)])
    there = torch.stack([(labels == label).sum() for label in (0, 2)]) * turns
    expected = torch.tensor([0.25, 0.8])
    blocks = there / torch.tensor([16, 1])  # which are kept as one
    spread = (expected * (1 - expected) / blocks).sqrt()
    assert ((kept / there - expected).abs() <= 5 * spread).all()


def test_labels_of_more_than_255_classes_are_read(net, grid) -> None:
    images, labels = scene()
    wide = labels.masked_fill(labels == IGNORE, 65535).to(torch.uint16)
    for regime in (WholeImage(loss_at="cells"), LossSampling(keep=0.5), Patchwise(loss_at="center")):
        loss = cross_entropy(boundary=Boundary())
        many = Objective(loss, regime, grid, classes=CLASSES, ignore=65535, weights=WEIGHTS)
        few = objective(grid, loss, regime)
        torch.testing.assert_close(many(net, images, wide, SEEDS).part.loss, few(net, images, labels, SEEDS).part.loss)


@pytest.mark.parametrize("size", [(8, 8), (9, 11), (5, 3), (1, 1)])
@pytest.mark.parametrize("stride", [(1, 1), (2, 3), (4, 4)])
def test_blocks_cover_an_image_of_any_size(size: tuple[int, int], stride: tuple[int, int]) -> None:
    values = torch.rand(2, *size)
    means = block_means(values, stride)
    for row, col in product(range(-(-size[0] // stride[0])), range(-(-size[1] // stride[1]))):
        rows = slice(row * stride[0], (row + 1) * stride[0])
        cols = slice(col * stride[1], (col + 1) * stride[1])
        torch.testing.assert_close(means[:, row, col], values[:, rows, cols].mean((1, 2)))
    kept = torch.rand(means.shape) < 0.5
    spread = over_pixels(kept, size, stride)
    for row, col in product(*map(range, size)):
        assert torch.equal(spread[:, row, col], kept[:, row // stride[0], col // stride[1]])


def test_hardest_of_nothing_is_nothing() -> None:
    nothing = torch.zeros(1, 2, 2, dtype=torch.bool)
    assert not kept_hardest(torch.rand(1, 2, 2), nothing, 0.5).any()


@pytest.mark.parametrize("keep", [0.1, 1.0])
def test_where_nothing_is_left_out_the_mean_is_over_all_there_is(net, grid, keep: float) -> None:
    images, labels = scene()
    scores = net(images)
    sampled = objective(grid, cross_entropy(denominator="all"), LossSampling(keep=keep))
    expected = pixel_cross_entropy(scores, labels, ignore=IGNORE) * torch.cat([WEIGHTS, torch.zeros(253)])[labels]
    torch.testing.assert_close(sampled.part(scores, labels, keep=1.0).loss, expected.sum() / labels.numel())
