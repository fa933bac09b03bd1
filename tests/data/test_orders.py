"""Which views an epoch holds, and that each is a function of its request."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch

from fullconv.data.augmentation import Augmentation
from fullconv.data.orders import ByClass, EpochBatches, Order, Passes, Replacement, Request, Windows
from fullconv.data.samples import Batch, Collate, TrainingSamples, class_presence

FILL = (10.0, 20.0, 30.0)


class Squares:
    """Two images: one all of class 0, one with two squares of class 1 and a dot of class 2."""

    def __init__(self) -> None:
        empty = np.zeros((40, 60), dtype=np.uint8)
        things = empty.copy()
        things[5:10, 5:10] = 1
        things[20:38, 30:50] = 1
        things[2, 58] = 2
        self.labels = [empty, things]

    def __len__(self) -> int:
        return len(self.labels)

    def read(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        label = self.labels[index]
        places = np.arange(label.size).reshape(label.shape)
        return np.stack([label, places % 251, places // 251], axis=-1).astype(np.uint8), label


def samples(crop: tuple[int, int] | None, **settings) -> TrainingSamples:
    plan = settings.pop("plan", Augmentation.none())
    return TrainingSamples(
        Squares(),
        crop=crop,
        plan=plan,
        fill=FILL,
        mean=[0.5] * 3,
        std=[0.2] * 3,
        rgb=True,
        ignore=255,
        seed=3,
        **settings,
    )


def epoch(order: Order, batch_size: int, number: int = 0, **share: int) -> list[list[Request]]:
    batches = EpochBatches(order, batch_size, seed=1, **share)
    batches.set_epoch(number)
    return list(batches)


ORDERS = [
    Passes(7, views=2),
    Replacement(7, views=2),
    ByClass(np.eye(7, 3, dtype=bool) | (np.arange(7)[:, None] > 2), views=2),
    Windows([(40, 60)] * 3, (16, 16), (8, 8)),
]


@pytest.mark.parametrize("order", ORDERS, ids=lambda order: type(order).__name__)
def test_no_view_comes_twice_in_several_epochs(order: Order) -> None:
    requests = [request for number in range(4) for batch in epoch(order, 5, number) for request in batch]
    if not isinstance(order, Windows):  # a window is the same view in every epoch
        assert len(set(requests)) == len(requests)
    assert epoch(order, 5, 2) == epoch(order, 5, 2) != epoch(order, 5, 3)


@pytest.mark.parametrize("order", ORDERS, ids=lambda order: type(order).__name__)
@pytest.mark.parametrize("processes", [2, 3])
def test_processes_share_out_the_same_batches(order: Order, processes: int) -> None:
    together = epoch(order, 6)
    shares = [epoch(order, 6, rank=rank, processes=processes) for rank in range(processes)]
    for batch, parts in zip(together, zip(*shares, strict=True), strict=True):
        assert Counter(batch) == Counter(request for part in parts for request in part)
        assert {len(part) for part in parts} == {6 // processes}


def test_classes_are_drawn_evenly_however_rare() -> None:
    presence = class_presence(Squares(), 4)
    assert presence.tolist() == [[True, False, False, False], [True, True, True, False]]
    order = ByClass(presence, views=300)
    drawn = Counter(request.aim for batch in epoch(order, 10) for request in batch)
    assert set(drawn) == {0, 1, 2}
    assert min(drawn.values()) > 150


def test_left_out_classes_are_not_drawn() -> None:
    order = ByClass(class_presence(Squares(), 4), views=50, without=(0,))
    assert {(request.image, request.aim) for batch in epoch(order, 10) for request in batch} == {(1, 1), (1, 2)}


def test_a_view_around_a_class_has_one_of_its_pixels_in_the_middle() -> None:
    for turn in range(20):
        for aim in (1, 2):
            batch = samples((9, 9))[Request(turn, 1, aim)]
            assert batch.labels[4, 4] == aim


def test_small_regions_are_drawn_as_often_as_large_ones() -> None:
    found = Counter()
    for turn in range(200):
        batch = samples((1, 1), around="region")[Request(turn, 1, 1)]
        row, column = divmod(int(batch.images[1, 0, 0]) + 251 * int(batch.images[2, 0, 0]), 60)
        assert (5 <= row < 10 and 5 <= column < 10) or (20 <= row < 38 and 30 <= column < 50)
        found[row < 10] += 1
    assert 60 < found[True] < 140


def test_windows_cover_every_pixel_and_are_taken_as_they_are() -> None:
    seen = torch.zeros(40, 60)
    order = Windows([(40, 60)], (16, 16), (12, 12))
    for batch in epoch(order, 1):
        (request,) = batch
        top, left = request.corner or (0, 0)
        sample = samples((16, 16))[request]
        seen[top : top + 16, left : left + 16] += 1
        inside = sample.labels != 255
        assert inside.sum() == min(16, 40 - top) * min(16, 60 - left)
        assert torch.equal(sample.images[0][inside], sample.labels[inside])
        for band, value in zip(sample.images, FILL, strict=True):
            assert (band[~inside] == value).all()
    assert seen.min() >= 1


def test_jitter_moves_image_and_label_together_by_less_than_the_stride() -> None:
    moved = set()
    for turn in range(60):
        batch = samples(None, jitter=(4, 2))[Request(turn, 1)]
        assert batch.labels.shape == (40, 60)
        rows, columns = (batch.labels != 255).any(1), (batch.labels != 255).any(0)
        by = int(rows.int().argmax()), int(columns.int().argmax())
        moved.add(by)
        inside = batch.labels != 255
        assert torch.equal(batch.images[0][inside], batch.labels[inside])
    assert moved == {(row, column) for row in range(4) for column in range(2)}


def test_images_of_mixed_sizes_make_one_batch_padded_with_ignore() -> None:
    small = Batch(torch.ones(3, 4, 6), torch.ones(4, 6, dtype=torch.uint8), None, torch.tensor(0), torch.tensor(0))
    large = Batch(torch.ones(3, 5, 5), torch.ones(5, 5, dtype=torch.uint8), None, torch.tensor(1), torch.tensor(0))
    batch = Collate(FILL, 255)([small, large])
    assert batch.images.shape == (2, 3, 5, 6)
    assert (batch.labels == 1).flatten(1).sum(1).tolist() == [24, 25]
    assert (batch.labels == 255).flatten(1).sum(1).tolist() == [6, 5]
    assert batch.images[0, :, 4, 0].tolist() == list(FILL)


def test_the_seed_of_a_sample_is_a_function_of_its_request() -> None:
    first, again, other = (samples((16, 16))[Request(turn, 1)].seeds for turn in (2, 2, 3))
    assert first == again != other


@pytest.mark.parametrize(("step", "side"), [(50, 100), (1000, 100), (32, 64), (17, 33), (16, 5), (3, 16)])
def test_windows_of_any_step_lie_on_the_image(step: int, side: int) -> None:
    order = Windows([(side, side)], (16, 16), (step, step))
    corners = [request.corner or (0, 0) for (request,) in epoch(order, 1)]
    assert all(0 <= start < side for corner in corners for start in corner)
    covered = np.zeros(side, dtype=bool)
    for top, _ in corners:
        covered[top : top + 16] = True
    if step <= 16:
        assert covered.all()
    assert not covered[1:].all() or step <= 16 or side <= step


def test_a_batch_larger_than_the_set_shows_no_view_twice() -> None:
    order = Passes(1, views=2)
    shown = [request for number in range(4) for batch in epoch(order, 7, number) for request in batch]
    assert len(set(shown)) == len(shown) == 28


def test_jitter_leaves_something_of_an_image_smaller_than_the_stride() -> None:
    heights = set()
    for turn in range(200):
        batch = samples(None, jitter=(64, 128))[Request(turn, 1)]
        inside = batch.labels != 255
        assert inside.any()
        assert torch.equal(batch.images[0][inside], batch.labels[inside])
        heights.add(int(inside.any(1).sum()))
    assert len(heights) > 30


@pytest.mark.parametrize("target", [(0, 0), (11, 3), (15, 15), None])
def test_what_a_view_is_drawn_around_lies_at_its_target_mirrored_or_not(target: tuple[int, int] | None) -> None:
    plan = Augmentation.none().model_copy(update={"flip": 0.5, "vertical_flip": 0.5})
    drawn = samples((17, 17), plan=plan, target=target)
    row, col = target or (8, 8)
    for turn in range(40):
        assert drawn[Request(turn, 1, aim=1)].labels[row, col] == 1
        assert drawn[Request(turn, 1, aim=2)].labels[row, col] == 2
