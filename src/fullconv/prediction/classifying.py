"""What a classifier says of a photo: as a whole, and place by place once it is dense."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import numpy.typing as npt
import torch
import torchvision
from torch import nn
from torchvision.transforms.v2.functional import center_crop, resize

from fullconv.errors import PlanError
from fullconv.geometry.geometry import geometry_of
from fullconv.networks.normalization import Normalization
from fullconv.surgery.convolutionalize import convolutionalize
from fullconv.surgery.rarefy import rarefy

NATIVE = 224
_SHORTER_SIDE = 256


@dataclass(frozen=True)
class Guess:
    """A class and how sure the classifier is of it, 0 to 1."""

    name: str
    probability: float


@dataclass(frozen=True)
class DenseGuess:
    """What a dense classifier says at each place of a photo.

    Args:
        photo: (H, W, 3) uint8, as the network saw it.
        probabilities: (classes, h, w) float32, summing to one over the classes in every window.
        stride: (rows, columns) pixels of the photo from one window to the next.
        centers: (row, column) of the photo where the middle of window (0, 0) lies.
        names: of the classes.
    """

    photo: npt.NDArray[np.uint8]
    probabilities: npt.NDArray[np.float32]
    stride: tuple[int, int]
    centers: tuple[float, float]
    names: tuple[str, ...]

    def strongest(self, count: int = 5) -> list[Guess]:
        """The classes that are surest anywhere, each with its highest probability."""
        highest = self.probabilities.max(axis=(1, 2))
        order = np.argsort(-highest, kind="stable")[:count]
        return [Guess(self.names[index], float(highest[index])) for index in order]

    def on_photo(self, name: str) -> npt.NDArray[np.float32]:
        """(H, W) probability of a class at each pixel: that of the window whose middle is nearest; NaN beyond the outer
        windows' half stride, where no window has its middle.

        Raises:
            PlanError: there is no such class.
        """
        index = class_index(self.names, name)
        height, width = self.photo.shape[:2]
        axes = []
        for side, cells, stride, center in zip(
            (height, width), self.probabilities.shape[1:], self.stride, self.centers, strict=True
        ):
            place = np.floor((np.arange(side) - center) / stride + 0.5).astype(int)
            axes.append((place.clip(0, cells - 1), (place >= 0) & (place < cells)))
        (rows, row_inside), (cols, col_inside) = axes
        found: npt.NDArray[np.float32] = self.probabilities[index][rows[:, None], cols]
        found[~(row_inside[:, None] & col_inside)] = np.nan
        return found


def class_names(net: str, count: int) -> tuple[str, ...]:
    """ImageNet's names for torchvision's and other classifiers of 1000 classes, else class_0, class_1 …

    >>> class_names("mobilenet_v2", 1000)[281], class_names("mine", 2)
    ('tabby', ('class_0', 'class_1'))
    """
    if count == 1000:
        names: list[str] = torchvision.models.MobileNet_V2_Weights.IMAGENET1K_V1.meta["categories"]
        return tuple(names)
    return tuple(f"class_{index}" for index in range(count))


def class_count(classifier: nn.Module) -> int:
    """How many classes it tells apart, from shapes alone."""
    return int(geometry_of(classifier, input_size=(NATIVE, NATIVE)).layers[-1].shape[-1])


def class_index(names: tuple[str, ...], name: str) -> int:
    """The class of that name, or the only one whose name holds it.

    Raises:
        PlanError: there is none, or several.

    >>> class_index(("tabby", "tiger cat", "tiger"), "tiger"), class_index(("tabby", "Egyptian cat"), "egyptian")
    (2, 1)
    """
    if name in names:
        return names.index(name)
    found = [index for index, known in enumerate(names) if name.lower() in known.lower()]
    if len(found) != 1:
        some = ", ".join(repr(names[index]) for index in found[:6])
        what = f"{len(found)} classes are called like {name!r}" if found else f"no class is called {name!r}"
        raise PlanError(what, where="--class", remedy=f"choose from {some}" if found else "see the classifier's names")
    return found[0]


def classify(
    classifier: nn.Module, photo: npt.NDArray[np.uint8], names: tuple[str, ...], count: int = 5
) -> list[Guess]:
    """The likeliest classes of a whole photo: its middle, at the size that classifiers are trained on.

    Args:
        classifier: with weights, in evaluation.
        photo: (H, W, 3) uint8.
        names: of its classes.
        count: how many.
    """
    middle = center_crop(resize(_planar(photo), [_SHORTER_SIDE], antialias=True), [NATIVE, NATIVE])
    with torch.no_grad():
        probabilities = classifier(Normalization.imagenet().apply(middle.float()[None]))[0].softmax(0)
    best = probabilities.topk(min(count, len(names)))
    return [Guess(names[int(index)], float(value)) for value, index in zip(best.values, best.indices, strict=True)]


def classify_densely(
    classifier: nn.Module,
    photo: npt.NDArray[np.uint8],
    names: tuple[str, ...],
    *,
    size: int = 448,
    stride: int | None = None,
) -> DenseGuess:
    """What the classifier says of every window of a photo, in one pass.

    Args:
        classifier: convolutional, with weights, in evaluation.
        photo: (H, W, 3) uint8.
        names: of its classes.
        size: the photo's shorter side is brought to it; the window stays as large as the classifier's images.
        stride: between windows; the network's own if not given, smaller by à trous rewriting.

    Raises:
        NotConvolutional: the classifier cannot slide.
        PlanError: the size is smaller than the window.
    """
    if size < NATIVE:
        raise PlanError(f"{size} pixels hold no window of {NATIVE}", where="--size", remedy="give at least 224")
    dense: nn.Module = convolutionalize(classifier, input_size=(NATIVE, NATIVE))
    if stride is not None:
        dense = rarefy(dense, stride=stride)
    field = geometry_of(dense).layers[-1].plane
    assert field is not None
    shown = resize(_planar(photo), [size], antialias=True)
    with torch.no_grad():
        probabilities = dense(Normalization.imagenet().apply(shown.float()[None]))[0].softmax(0)
    # The first window covers the pixels 0 to 223; its middle lies between two of them.
    middle = Fraction(NATIVE - 1, 2)
    return DenseGuess(
        photo=shown.permute(1, 2, 0).numpy(),
        probabilities=probabilities.numpy(),
        stride=(int(field.rows.stride), int(field.cols.stride)),
        centers=(float(middle), float(middle)),
        names=names,
    )


def _planar(photo: npt.NDArray[np.uint8]) -> torch.Tensor:
    return torch.from_numpy(np.array(photo)).permute(2, 0, 1)
