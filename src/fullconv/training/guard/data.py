"""What the data of a run tell: samples that cannot be learnt from, by file name, and splits that differ in kind."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch

from fullconv.data.samples import Batch
from fullconv.networks.normalization import Normalization
from fullconv.training.guard.finding import Finding, in_order

EXTREME = 1e3
"""Standard deviations from the mean that no sound pixel value has; a network's activations may overflow from them."""
MOVED_CLASSES = 0.4
"""Share of the pixels that would have to change class for the splits to agree: CamVid 0.17, coffee leaves 0.03."""
FEWEST_IMAGES = 5
"""Of a split, below which chance alone moves its shares and its mean."""
FEW_IMAGES = 2
"""That show a class: too few to be in all splits, so that nothing follows from where they are."""
MOVED_IMAGES = 2.5
"""Distance of the mean images in units of their spread from image to image: CamVid 0.7, coffee leaves 1.3."""
MOVED_PIXELS = 0.5
"""And in units of the spread of the pixels: CamVid 0.3, coffee leaves 0.2."""


def unusable(batch: Batch, *, classes: int, ignore: int) -> tuple[int, str] | None:
    """The first sample of a batch that nothing can be learnt from: its place in its dataset, and what is wrong.

    Args:
        batch: as it comes from the loader.
        classes: how many; labels from there on are no class.
        ignore: but this one.

    >>> labels = torch.tensor([[[0]], [[7]]], dtype=torch.uint8)
    >>> batch = Batch(torch.zeros(2, 3, 1, 1), labels, None, torch.tensor([4, 9]), torch.zeros(2))
    >>> unusable(batch, classes=3, ignore=255)
    (9, 'its label holds 7, which is no class')
    """
    labels = batch.labels
    if labels.dtype == torch.uint16:  # few operations know it
        labels = labels.to(torch.int32)
    lowest, highest = (int(value) for value in labels.aminmax())
    strange = None
    if lowest < 0 or highest >= classes:
        strange = (labels != ignore) & ((labels < 0) | (labels >= classes))
    if strange is not None and bool(strange.any()):
        place = int(strange.flatten(1).any(1).nonzero()[0, 0])
        value = int(labels[place][strange[place]][0])
        return int(batch.indices[place]), f"its label holds {value}, which is no class"
    if batch.images.is_floating_point():
        sound = peaks(batch.images).isfinite()
        if not bool(sound.all()):
            place = int((~sound).nonzero()[0, 0])
            return int(batch.indices[place]), "it holds pixels that are not a number or infinite"
    return None


def peaks(images: torch.Tensor) -> torch.Tensor:
    """(N,) largest absolute pixel value; not a number where a pixel is none."""
    return images.abs().amax((1, 2, 3))


def extreme(batch: Batch, normalization: Normalization) -> tuple[int, float, float] | None:
    """The sample with the most extreme pixel: place in its dataset, value, deviations from the mean; None if sound."""
    if not batch.images.is_floating_point():
        return None
    values = batch.images.abs().amax((2, 3)).double().cpu()
    scale, mean, std = normalization.scale, torch.tensor(normalization.mean), torch.tensor(normalization.std)
    deviations = ((values / scale - mean) / std).abs()
    place, band = divmod(int(deviations.argmax()), deviations.shape[1])
    found = float(deviations[place, band])
    return (int(batch.indices[place]), float(values[place, band]), found) if found > EXTREME else None


def image_means(images: torch.Tensor) -> npt.NDArray[np.float64]:
    """(N, C) mean pixel values, from every eighth row and column."""
    return np.asarray(images[:, :, ::8, ::8].double().mean((2, 3)).cpu().numpy())


def different_classes(
    names: Sequence[str],
    train_shares: Sequence[float],
    val_shares: Sequence[float],
    *,
    images: int,
    val_images_with: Sequence[int],
) -> Finding | None:
    """Classes are far commoner in one split than in the other, or validation holds one that training never shows.

    Args:
        names: of the classes.
        train_shares, val_shares: (classes,) of the labelled pixels.
        images: in the smaller split.
        val_images_with: (classes,) validation images that show each.
    """
    train, val = np.array(train_shares), np.array(val_shares)
    unseen = [index for index in range(len(names)) if val[index] > 0 and train[index] == 0]
    if unseen:
        listed = ", ".join(names[index] for index in unseen[:6])
        sentence = f"the validation labels hold classes that no training label holds: {listed}"
        if all(val_images_with[index] <= FEW_IMAGES for index in unseen):
            cause = "so few images show them that none was left for training"
            remedies = ["bring an image that shows each into training", "more images of them", "merge or ignore them"]
            return Finding("other-distribution", sentence, cause, in_order(remedies))
    elif images >= FEWEST_IMAGES and np.abs(train - val).sum() / 2 > MOVED_CLASSES:
        most = int(np.abs(train - val).argmax())
        sentence = (
            f"the class shares of training and validation differ strongly: {names[most]} is {train[most]:.1%} of the "
            f"training pixels and {val[most]:.1%} of the validation pixels"
        )
    else:
        return None
    cause = "the validation images come from another place, time or source than the training images"
    remedies = ["split again, at random or by group", "bring images of the other kind into training"]
    return Finding("other-distribution", sentence, cause, in_order(remedies))


def different_images(
    train: npt.NDArray[np.float64], val: npt.NDArray[np.float64], std: Sequence[float]
) -> Finding | None:
    """The images of one split are far brighter or darker, in some band, than those of the other.

    Args:
        train, val: (images, C) mean pixel values.
        std: (C,) of all training pixels, in the same units.
    """
    if min(len(train), len(val)) < FEWEST_IMAGES:
        return None
    distance = np.abs(train.mean(0) - val.mean(0))
    spread = np.maximum(train.std(0), 1e-12)
    band = int((distance / spread).argmax())
    if distance[band] < MOVED_IMAGES * spread[band] or distance[band] < MOVED_PIXELS * std[band]:
        return None
    sentence = (
        f"the validation images differ strongly from the training images: the mean of band {band + 1} is "
        f"{val.mean(0)[band]:.3g} against {train.mean(0)[band]:.3g}"
    )
    cause = "they come from another camera, light, place or preparation"
    remedies = ["split again, at random or by group", "prepare both alike", "stronger augmentation.brightness"]
    return Finding("other-distribution", sentence, cause, in_order(remedies))
