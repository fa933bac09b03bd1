"""Whole-image training is patchwise training in which each batch holds every field of its images.

Gradients of the weights, in float64, with batch norm in evaluation and a summed loss (CVPR 2015, section 3.4).
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Sequence
from itertools import product
from math import prod
from pathlib import Path

import pytest
import torch
from torch import nn

from fullconv.networks.catalogue import build_network
from fullconv.networks.score_grid import CellScores, ScoreGrid
from fullconv.training.loss_sampling import kept_at_random
from fullconv.training.objective import Objective
from fullconv.training.settings.loss_settings import Loss
from fullconv.training.settings.regimes import LossSampling, Patchwise, WholeImage

CLASSES, IGNORE = 3, 255
SUM = Loss(terms="cross-entropy", reduction="sum")
Gradients = list[torch.Tensor]


def unpadded() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 6, 5, stride=2),
        nn.BatchNorm2d(6),
        nn.ReLU(),
        nn.MaxPool2d(3, 2),
        nn.Conv2d(6, 8, 3, dilation=2),
        nn.ReLU(),
        nn.Conv2d(8, CLASSES, 1),
    )


def padded() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 6, 3, stride=2, padding=1),
        nn.BatchNorm2d(6),
        nn.ReLU(),
        nn.MaxPool2d(2, 2),
        nn.Conv2d(6, 8, 5, padding=2),
        nn.ReLU(),
        nn.Conv2d(8, CLASSES, 3, padding=1),
    )


def ready(net: nn.Module) -> nn.Module:
    """In float64, evaluation, with scores that are not zero and statistics that are not trivial."""
    torch.manual_seed(0)
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_mean, -0.2, 0.2)  # type: ignore[arg-type]
            nn.init.uniform_(module.running_var, 0.5, 1.5)  # type: ignore[arg-type]
        if isinstance(module, nn.Conv2d) and module.weight.abs().max() == 0:
            nn.init.normal_(module.weight, std=0.1)
    return net.double().eval()


def scene(height: int, width: int) -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(1)
    labels = torch.randint(CLASSES, (1, height, width))
    labels[:, : height // 3, : width // 4] = IGNORE
    return torch.randn(1, 3, height, width, dtype=torch.float64), labels


def objective(regime: WholeImage | Patchwise | LossSampling, net: nn.Module, loss: Loss = SUM, **weights) -> Objective:
    return Objective(loss, regime, ScoreGrid.of(net), classes=CLASSES, ignore=IGNORE, **weights)


def gradients(net: nn.Module, total: torch.Tensor) -> Gradients:
    learnt = [parameter for parameter in net.parameters() if parameter.requires_grad]
    return [
        torch.zeros_like(parameter) if found is None else found
        for parameter, found in zip(learnt, torch.autograd.grad(total, learnt, allow_unused=True), strict=True)
    ]


def differ(ours: Sequence[torch.Tensor], theirs: Sequence[torch.Tensor]) -> float:
    """The largest difference, relative to the largest gradient."""
    largest = max(float(value.abs().max()) for value in theirs)
    return max(float((one - other).abs().max()) for one, other in zip(ours, theirs, strict=True)) / largest


def cells_of(net: nn.Module, images: torch.Tensor) -> tuple[int, int]:
    with torch.no_grad():
        return tuple(CellScores(net)(images).shape[-2:])  # type: ignore[return-value]


def patches(net: nn.Module, images: torch.Tensor) -> Iterator[tuple[tuple[int, int], tuple[slice, slice]]]:
    """Every cell, and the patch of its field: from a multiple of the total stride on, clipped where the image ends."""
    grid = ScoreGrid.of(net)
    size, sides = cells_of(net, images), images.shape[-2:]
    for cell in product(*map(range, size)):
        windows = []
        for at, field, side, stride in zip(cell, (grid.rows, grid.cols), sides, grid.total_stride, strict=True):
            low, high = field.extent(at) or (0, 0)
            first = max(0, (low - stride) // stride * stride)  # a stride more: maps repeat their ends
            windows.append(slice(first, min(side, high + stride + 1)))
        yield cell, (windows[0], windows[1])


def patchwise(
    net: nn.Module, images: torch.Tensor, labels: torch.Tensor, chosen: torch.Tensor | None = None
) -> Gradients:
    """The sum over cells of the gradients of their patches, one after the other."""
    grid, reader = ScoreGrid.of(net), objective(WholeImage(loss_at="cells"), net)
    truth = grid.labels(labels, cells_of(net, images), ignore=IGNORE)
    total = [torch.zeros_like(parameter) for parameter in net.parameters() if parameter.requires_grad]
    for (row, col), (rows, cols) in patches(net, images):
        if truth[0, row, col] == IGNORE or not (chosen is None or chosen[0, row, col]):
            continue
        scores = CellScores(net)(images[..., rows, cols])
        here = torch.full((1, *scores.shape[-2:]), IGNORE)
        place = (
            row - int(rows.start / grid.rows.stride),
            col - int(cols.start / grid.cols.stride),
        )
        here[0, place[0], place[1]] = truth[0, row, col]
        for value, found in zip(total, gradients(net, reader.part(scores, here).total), strict=True):
            value += found
    return total


def test_unpadded_a_whole_image_is_the_batch_of_its_fields() -> None:
    net = ready(unpadded())
    images, labels = scene(47, 39)
    grid = ScoreGrid.of(net)
    whole = objective(WholeImage(loss_at="cells"), net)(net, images, labels)
    fields = [
        (slice(rows[0], rows[1] + 1), slice(cols[0], cols[1] + 1))
        for row, col in product(*map(range, cells_of(net, images)))
        if (rows := grid.rows.extent(row)) and (cols := grid.cols.extent(col))
    ]
    batch = torch.cat([images[..., rows, cols] for rows, cols in fields])
    truth = torch.cat([labels[..., rows, cols] for rows, cols in fields])
    assert batch.shape[-2:] == grid.field
    expected = gradients(net, whole.part.total)
    for where in ("center", "inside"):
        single = objective(Patchwise(loss_at=where), net)(net, batch, truth)
        torch.testing.assert_close(single.part.total, whole.part.total, rtol=1e-12, atol=0)
        assert differ(gradients(net, single.part.total), expected) < 1e-12


def test_padded_a_whole_image_is_the_sum_of_patches_clipped_at_its_ends() -> None:
    net = ready(padded())
    images, labels = scene(37, 42)
    whole = objective(WholeImage(loss_at="cells"), net)(net, images, labels)
    assert differ(patchwise(net, images, labels), gradients(net, whole.part.total)) < 1e-12


def drawn_cells(net: nn.Module, images: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
    """Three labelled cells whose patch lies inside the image, and three whose patch ends where the image does.

    No patch is the whole image, neither in height nor in width.
    """
    height, width = images.shape[-2:]
    inside, at_an_end = [], []
    for cell, (rows, cols) in patches(net, images):
        assert rows.stop - rows.start < height
        assert cols.stop - cols.start < width
        within = rows.start > 0 and rows.stop < height and cols.start > 0 and cols.stop < width
        if truth[0, *cell] != IGNORE:
            (inside if within else at_an_end).append(cell)
    rng = random.Random(0)
    chosen = torch.zeros_like(truth, dtype=torch.bool)
    for row, col in (*rng.sample(inside, 3), *rng.sample(at_an_end, 3)):
        chosen[0, row, col] = True
    return chosen


@pytest.mark.parametrize(
    ("name", "size"), [("fcn8s-squeezenet1_1", (352, 320)), ("fcn8s-compact", (416, 480))], ids=lambda value: str(value)
)
def test_with_padding_and_skips_cells_of_an_image_are_their_patches(name: str, size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    net = ready(build_network(name, classes=CLASSES))
    images, labels = scene(*size)
    grid, reader = ScoreGrid.of(net), objective(WholeImage(loss_at="cells"), net)
    assert all(side > field + stride for side, field, stride in zip(size, grid.field, grid.total_stride, strict=True))
    scores = CellScores(net)(images)
    truth = grid.labels(labels, tuple(scores.shape[-2:]), ignore=IGNORE)  # type: ignore[arg-type]
    chosen = drawn_cells(net, images, truth)
    whole = reader.part(scores, truth.masked_fill(~chosen, IGNORE))
    assert differ(patchwise(net, images, labels, chosen), gradients(net, whole.total)) < 1e-12


def test_a_sample_of_the_loss_is_training_on_those_patches() -> None:
    net = ready(padded())
    images, labels = scene(37, 42)
    seeds = torch.tensor([5])
    regime = LossSampling(keep=0.3, loss_at="cells")
    sampled = objective(regime, net)(net, images, labels, seeds)
    chosen = kept_at_random(torch.full((1, *cells_of(net, images)), 0.3), seeds)
    assert 0 < chosen.sum() < chosen.numel()
    assert differ(patchwise(net, images, labels, chosen), gradients(net, sampled.part.total)) < 1e-12


def expected_gradients(net: nn.Module, images: torch.Tensor, labels: torch.Tensor, odds: torch.Tensor, loss: Loss):
    """Over all samples of the loss, each with its probability; and how many there are."""
    grid = ScoreGrid.of(net)
    reader = objective(LossSampling(keep=0.4, loss_at="cells"), net, loss)
    scores = CellScores(net)(images)
    truth = grid.labels(labels, tuple(scores.shape[-2:]), ignore=IGNORE)  # type: ignore[arg-type]
    total = torch.zeros((), dtype=torch.float64)
    for kept in product((False, True), repeat=truth.numel()):
        mask = torch.tensor(kept).view_as(truth)
        probability = prod(float(p if keep else 1 - p) for p, keep in zip(odds.flatten(), kept, strict=True))
        total = total + probability * reader.part(scores, truth.masked_fill(~mask, IGNORE)).loss
    return gradients(net, total)


def test_the_mean_over_all_samples_is_the_whole_image() -> None:
    net = ready(unpadded())
    images, labels = scene(31, 27)
    loss = Loss(terms="cross-entropy", denominator="all")
    whole = objective(WholeImage(loss_at="cells"), net, loss)(net, images, labels)
    odds = torch.full(cells_of(net, images), 0.4, dtype=torch.float64)
    assert odds.numel() <= 12
    found = expected_gradients(net, images, labels, odds, loss)
    assert differ(found, gradients(net, whole.part.loss)) < 1e-12


def test_weighting_classes_is_sampling_them_as_often_if_the_denominator_is_fixed() -> None:
    net = ready(unpadded())
    images, labels = scene(31, 27)
    weights = torch.tensor([0.5, 1.0, 2.0])
    size = cells_of(net, images)
    truth = ScoreGrid.of(net).labels(labels, size, ignore=IGNORE)
    odds = 0.4 * torch.cat([weights, torch.zeros(253)])[truth.long()].double()
    for denominator, equal in (("all", True), ("weights", False)):
        loss = Loss(terms="cross-entropy", denominator=denominator)
        weighted = objective(WholeImage(loss_at="cells"), net, loss, weights=weights)(net, images, labels)
        found = expected_gradients(net, images, labels, odds, loss)
        assert (differ(found, gradients(net, weighted.part.loss)) < 1e-6) == equal


def told(what: str) -> float:
    """A size that docs/explanation/regimes.md gives in bold, in the sentence that begins with those words."""
    page = Path(__file__).resolve().parents[2] / "docs" / "explanation" / "regimes.md"
    (found,) = re.findall(rf"\*\*{what}\*\*[^*]*\*\*(0\.\d\d)\*\*", page.read_text(encoding="utf-8"))
    return float(found)


def test_batch_statistics_break_the_identity() -> None:
    net = ready(unpadded())
    net[1].train()  # type: ignore[index]
    net[1].momentum = 0.0  # type: ignore[index]
    images, labels = scene(47, 39)
    whole = objective(WholeImage(loss_at="cells"), net)(net, images, labels)
    size = differ(patchwise(net, images, labels), gradients(net, whole.part.total))
    print(f"with batch statistics gradients differ by {size:.2f} of the largest")
    assert size == pytest.approx(told("Batch norm in evaluation."), abs=0.01)


def test_patches_padded_with_zeros_break_the_identity() -> None:
    net = ready(padded())
    images, labels = scene(64, 64)
    whole = gradients(net, objective(WholeImage(loss_at="cells"), net)(net, images, labels).part.total)
    halves = [
        objective(WholeImage(loss_at="cells"), net)(net, images[..., rows, cols], labels[..., rows, cols]).part.total
        for rows, cols in product((slice(0, 32), slice(32, 64)), repeat=2)
    ]
    size = differ(gradients(net, torch.stack(halves).sum()), whole)
    print(f"with zeros inside the image gradients differ by {size:.2f} of the largest")
    assert size == pytest.approx(told("No zeros from padding inside."), abs=0.01)


def test_a_loss_that_is_no_sum_over_cells_breaks_the_identity() -> None:
    net = ready(unpadded())
    images, labels = scene(47, 39)
    left, right = labels.clone(), labels.clone()
    left[..., 20:], right[..., :20] = IGNORE, IGNORE

    def size(loss: Loss) -> float:
        reader = objective(WholeImage(loss_at="cells"), net, loss)
        totals = [reader(net, images, truth).part.total for truth in (labels, left, right)]
        return differ(gradients(net, totals[1] + totals[2]), gradients(net, totals[0]))

    assert size(SUM) < 1e-12
    broken = size(Loss(reduction="sum"))
    print(f"with Lovász loss gradients differ by {broken:.2f} of the largest")
    assert broken == pytest.approx(told("A loss that is a sum."), abs=0.005)
