"""Random views: image and label stay together, and the same numbers give the same view."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fullconv.data.augmentation import Augmentation, apply_view, draw_colors, draw_view, sample_generator

CROP = (48, 64)


def picture(height: int, width: int) -> tuple[torch.Tensor, torch.Tensor]:
    """An image whose every pixel tells its class: label k is drawn with brightness 20·k."""
    rows, columns = np.indices((height, width))
    label = ((rows // 7 + columns // 9) % 12).astype(np.uint8)
    image = np.repeat((label * 20)[None], 3, axis=0)
    return torch.from_numpy(image), torch.from_numpy(label)


@settings(deadline=None, max_examples=60)
@given(
    size=st.tuples(st.integers(1, 150), st.integers(1, 150)),
    scale=st.sampled_from([(1.0, 1.0), (0.5, 2.0), (0.1, 0.2), (3.0, 4.0)]),
    index=st.integers(0, 10_000),
)
def test_every_view_has_the_crop_size_and_only_known_labels(
    size: tuple[int, int], scale: tuple[float, float], index: int
) -> None:
    plan = Augmentation(scale=scale, vertical_flip=0.5)
    image, label = picture(*size)
    view = draw_view(plan, size, CROP, sample_generator(0, 0, index))
    seen, truth = apply_view(view, image, label, CROP, torch.tensor([1.0, 2.0, 3.0]), 255)
    assert seen.shape == (3, *CROP)
    assert truth.shape == CROP
    assert set(truth.unique().tolist()) <= {*label.unique().tolist(), 255}
    assert (truth != 255).any()


def test_image_and_label_are_cut_and_mirrored_together() -> None:
    image, label = picture(100, 120)
    for index in range(20):
        view = draw_view(
            Augmentation(scale=(1, 1), flip=0.5, vertical_flip=0.5), (100, 120), CROP, sample_generator(1, 0, index)
        )
        seen, truth = apply_view(view, image, label, CROP, torch.zeros(3), 255)
        assert torch.equal(seen[0], truth * 20)


def test_padding_is_ignored_and_filled_with_the_mean() -> None:
    image, label = picture(20, 20)
    view = draw_view(Augmentation.none(), (20, 20), CROP, sample_generator(0, 0, 0))
    seen, truth = apply_view(view, image, label, CROP, torch.tensor([9.0, 8.0, 7.0]), 255)
    assert (truth == 255).sum().item() == CROP[0] * CROP[1] - 400
    assert seen[:, truth == 255].unique(dim=1).flatten().tolist() == [9, 8, 7]


def test_labels_never_mix_when_scaled() -> None:
    label = torch.zeros(64, 64, dtype=torch.uint8)
    label[:, 32:] = 10
    image = torch.zeros(3, 64, 64, dtype=torch.uint8)
    for index in range(20):
        view = draw_view(Augmentation(scale=(0.5, 2)), (64, 64), CROP, sample_generator(2, 0, index))
        _, truth = apply_view(view, image, label, CROP, torch.zeros(3), 255)
        assert set(truth.unique().tolist()) <= {0, 10, 255}


def test_views_depend_on_seed_epoch_and_index_alone() -> None:
    def draw(seed: int, epoch: int, index: int) -> object:
        return draw_view(Augmentation(), (300, 400), CROP, sample_generator(seed, epoch, index))

    assert draw(1, 2, 3) == draw(1, 2, 3)
    assert len({repr(draw(*place)) for place in [(1, 2, 3), (2, 2, 3), (1, 3, 3), (1, 2, 4)]}) == 4


def test_every_patch_is_reached() -> None:
    """Crops land everywhere, the corners included (paper, section 3.4)."""
    hits = np.zeros((100, 120), dtype=int)
    for index in range(600):
        view = draw_view(Augmentation.none(), (100, 120), CROP, sample_generator(0, 0, index))
        hits[view.top : view.top + view.height, view.left : view.left + view.width] += 1
    assert hits.min() > 0


def test_no_colour_change_is_the_identity() -> None:
    matrix = draw_colors(Augmentation.none(), np.full(3, 0.4), np.ones(3), sample_generator(0, 0, 0), rgb=True)
    np.testing.assert_allclose(matrix, np.eye(3, 4), atol=1e-6)


def test_hue_and_saturation_keep_grey_grey() -> None:
    plan = Augmentation(brightness=0, contrast=0, saturation=0.5, hue=0.2)
    mean = np.array([0.5, 0.5, 0.5])
    for index in range(10):
        matrix = draw_colors(plan, mean, np.ones(3), sample_generator(0, 0, index), rgb=True).astype(float)
        grey = matrix @ np.array([0.3, 0.3, 0.3, 1.0])
        np.testing.assert_allclose(grey, 0.3, atol=5e-3)


@pytest.mark.parametrize("bands", [1, 3, 4, 13])
def test_other_bands_are_jittered_one_by_one_and_by_their_own_spread(bands: int) -> None:
    """Heights of 1,500 m beside indices of 0.3: neither moves by more than half its own deviation."""
    mean, std = np.resize([1500.0, 0.3], bands), np.resize([400.0, 0.2], bands)
    for index in range(20):
        matrix = draw_colors(Augmentation(), mean, std, sample_generator(0, 0, index), rgb=False).astype(float)
        assert matrix.shape == (bands, bands + 1)
        square = matrix[:, :bands]
        assert np.count_nonzero(square - np.diag(np.diag(square))) == 0
        assert len(set(np.diag(square).tolist())) == bands
        moved = square @ mean + matrix[:, bands] - mean
        assert (np.abs(moved) <= 0.5 * std).all()
