"""Prepared samples and the order in which they are seen."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch

from fullconv.data import cache as module
from fullconv.data.augmentation import Augmentation
from fullconv.data.cache import PreparedSamples, prepared_samples
from fullconv.data.orders import EpochBatches, Passes, Request
from fullconv.data.resizing import Resize, resize_label
from fullconv.data.samples import Collate, ResizedSamples, SameSizeBatches, TrainingSamples


class Arrays:
    """A source of mixed sizes that counts how often it is read."""

    def __init__(self, dtype: str = "uint8", channels: int = 3, content: int = 0) -> None:
        rng = np.random.default_rng(content)
        self.sizes = [(20, 30), (31, 17), (20, 30), (8, 8)]
        top = {"uint8": 255, "uint16": 65535, "float32": 1}[dtype]
        self.images = [(rng.random((*size, channels)) * top).astype(dtype) for size in self.sizes]
        self.labels = [rng.integers(0, 5, size, dtype=np.uint8) for size in self.sizes]
        self.reads = 0

    @property
    def fingerprint(self) -> str:
        return hashlib.sha256(b"".join(image.tobytes() for image in self.images)).hexdigest()

    @property
    def itemsize(self) -> int:
        return self.images[0].itemsize * self.images[0].shape[2] + 1

    def __len__(self) -> int:
        return len(self.images)

    def read(self, index: int) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
        self.reads += 1
        return self.images[index], self.labels[index]


def prepared(source: Arrays, cache: Path, resize: Resize | None = None) -> PreparedSamples:
    found = prepared_samples(source, cache, resize=resize, sizes=source.sizes, itemsize=source.itemsize)
    assert found is not None
    return found


@pytest.mark.parametrize(("dtype", "channels"), [("uint8", 3), ("uint8", 1), ("uint16", 4), ("float32", 13)])
def test_prepared_samples_are_the_samples(tmp_path: Path, dtype: str, channels: int) -> None:
    source = Arrays(dtype, channels)
    found = prepared(source, tmp_path)
    for index in range(len(source)):
        image, label = found.read(index)
        np.testing.assert_array_equal(image, source.images[index])
        np.testing.assert_array_equal(label, source.labels[index])
        assert image.dtype == source.images[index].dtype


def test_the_second_time_nothing_is_decoded(tmp_path: Path) -> None:
    source = Arrays()
    prepared(source, tmp_path)
    prepared(source, tmp_path)
    assert source.reads == len(source)


def test_changed_content_makes_a_new_cache(tmp_path: Path) -> None:
    first, second = prepared(Arrays(content=1), tmp_path), prepared(Arrays(content=2), tmp_path)
    assert first.folder != second.folder
    assert prepared(Arrays(content=1), tmp_path, Resize(scale=0.5)).folder != first.folder


def test_resized_samples_are_the_same_cached_or_not(tmp_path: Path) -> None:
    source, resize = Arrays("uint16", 4), Resize(longest_side=16)
    cached, direct = prepared(source, tmp_path, resize), ResizedSamples(source, resize)
    for index in range(len(source)):
        for one, other in zip(cached.read(index), direct.read(index), strict=True):
            np.testing.assert_array_equal(one, other)
            assert max(one.shape[:2]) <= 16


def test_an_interrupted_preparation_leaves_nothing(tmp_path: Path) -> None:
    class Breaking(Arrays):
        def read(self, index: int) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
            if index == 2:
                raise KeyboardInterrupt
            return super().read(index)

    with pytest.raises(KeyboardInterrupt):
        prepared(Breaking(), tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []


def test_two_processes_that_prepare_at_once_both_go_on(tmp_path: Path) -> None:
    class Overtaken(Arrays):
        """While it is read, another process finishes the same cache."""

        def read(self, index: int) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
            if index == 3:
                prepared(Arrays(), tmp_path)
            return super().read(index)

    found = prepared(Overtaken(), tmp_path)
    np.testing.assert_array_equal(found.read(3)[0], Arrays().images[3])
    assert [path.name for path in tmp_path.iterdir()] == [found.folder.name]


def test_a_set_too_large_for_the_disk_is_not_cached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LARGEST_BYTES", 1000)
    source = Arrays()
    found = prepared_samples(source, tmp_path, sizes=source.sizes, itemsize=source.itemsize)
    assert found is None
    assert list(tmp_path.iterdir()) == []


def test_a_training_sample_is_the_same_whenever_asked_for(tmp_path: Path) -> None:
    def samples() -> TrainingSamples:
        return TrainingSamples(
            prepared(Arrays(), tmp_path),
            crop=(16, 16),
            plan=Augmentation(),
            fill=[1, 2, 3],
            mean=[0.4, 0.4, 0.4],
            std=[0.2, 0.2, 0.2],
            rgb=True,
            ignore=255,
            seed=7,
        )

    first, second = samples()[Request(3, 1)], samples()[Request(3, 1)]
    assert all(torch.equal(one, other) for one, other in zip(first, second, strict=True))  # type: ignore[arg-type]
    other_epoch = samples()[Request(4, 1)]
    assert not torch.equal(first.images, other_epoch.images)
    batch = Collate()([first, second])
    assert batch.images.shape == (2, 3, 16, 16)
    assert batch.colors is not None
    assert batch.colors.shape == (2, 3, 4)


def test_an_epoch_shows_every_sample_equally_often() -> None:
    batches = EpochBatches(Passes(10, views=2), 4, seed=3)
    batches.set_epoch(5)
    seen = [request.image for batch in batches for request in batch]
    assert len(seen) == len(batches) * 4 == 20
    assert np.bincount(seen).tolist() == [2] * 10


def test_views_of_one_sample_in_an_epoch_differ() -> None:
    batches = EpochBatches(Passes(6, views=3), 3, seed=3)
    places = [place for batch in batches for place in batch]
    assert len(set(places)) == len(places) == 18


def test_order_is_a_function_of_seed_and_epoch() -> None:
    def order(seed: int, epoch: int) -> list[list[Request]]:
        batches = EpochBatches(Passes(12), 5, seed=seed)
        batches.set_epoch(epoch)
        return list(batches)

    assert order(1, 2) == order(1, 2)
    assert [r.image for b in order(1, 2) for r in b] != [r.image for b in order(1, 3) for r in b]


def test_validation_batches_hold_one_size_and_every_image_once() -> None:
    sizes = [(3, 4), (5, 5), (3, 4), (3, 4), (5, 5)]
    batches = list(SameSizeBatches(sizes, 2))
    assert sorted(index for batch in batches for index in batch) == [0, 1, 2, 3, 4]
    assert all(len({sizes[index] for index in batch}) == 1 for batch in batches)


def test_nearest_exact_takes_the_id_at_the_pixel_centre() -> None:
    label = torch.arange(12, dtype=torch.uint8).reshape(1, 12)
    assert resize_label(label, (1, 4)).tolist() == [[1, 4, 7, 10]]
    wide = torch.tensor([[0, 300, 65535]], dtype=torch.uint16)
    assert resize_label(wide, (1, 6)).tolist() == [[0, 0, 300, 300, 65535, 65535]]
