"""Random views of a sample: image and label cut, scaled and mirrored together; colours changed by one matrix.

Every draw is a function of (seed, epoch, index), so that any sample of any epoch can be made again.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from pydantic import BaseModel, ConfigDict, Field

from fullconv.data.resizing import resize_image, resize_label

EDGE_SHARE = 0.1
"""Views are drawn a little beyond the image and pushed back, so that its borders are seen as often as its middle."""

LUMINANCE = np.array([0.299, 0.587, 0.114])
_TO_YIQ = np.array([LUMINANCE, [0.596, -0.274, -0.322], [0.211, -0.523, 0.312]])


class Augmentation(BaseModel):
    """How far a training sample may differ from its file.

    Args:
        scale: smallest and largest magnification, drawn evenly in log scale.
        flip: probability of mirroring left and right.
        vertical_flip: probability of mirroring up and down (for views from above).
        brightness, contrast, saturation: largest relative change.
        hue: largest rotation, as a share of the colour circle.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    scale: tuple[float, float] = (0.75, 1.75)
    flip: float = Field(default=0.5, ge=0, le=1)
    vertical_flip: float = Field(default=0.0, ge=0, le=1)
    brightness: float = Field(default=0.2, ge=0, lt=1)
    contrast: float = Field(default=0.2, ge=0, lt=1)
    saturation: float = Field(default=0.2, ge=0, lt=1)
    hue: float = Field(default=0.02, ge=0, le=0.5)

    @classmethod
    def as_it_lies(cls, like: Augmentation | None = None) -> Augmentation:
        """The colours changed as another one does, nothing moved, magnified or mirrored."""
        return (like or cls()).model_copy(update={"scale": (1.0, 1.0), "flip": 0.0, "vertical_flip": 0.0})

    @classmethod
    def none(cls) -> Augmentation:
        """The file as it is; only the place of the crop is drawn."""
        return cls(scale=(1.0, 1.0), flip=0, brightness=0, contrast=0, saturation=0, hue=0)


@dataclass(frozen=True)
class View:
    """A window on an image, in its pixels, and what becomes of it.

    Args:
        top, left, height, width: the part of the image that is seen.
        size: (height, width) it is scaled to.
        place: (row, column) of that part in the finished sample; around it lies padding.
        mirror, upside_down: whether it is mirrored.
    """

    top: int
    left: int
    height: int
    width: int
    size: tuple[int, int]
    place: tuple[int, int]
    mirror: bool
    upside_down: bool


def sample_generator(seed: int, epoch: int, index: int) -> np.random.Generator:
    """The random numbers of one sample in one epoch."""
    return np.random.default_rng([seed, epoch, index])


def draw_view(
    plan: Augmentation,
    image: tuple[int, int],
    crop: tuple[int, int],
    rng: np.random.Generator,
    *,
    center: tuple[int, int] | None = None,
    target: tuple[int, int] | None = None,
) -> View:
    """A random window of an image of (height, width) for a finished sample of `crop` (height, width).

    Args:
        center: the pixel of the image that comes to lie in the middle, if that is not to be drawn.
        target: the pixel of the finished sample where it comes to lie, if that is not the middle.
    """
    factor = math.exp(rng.uniform(math.log(plan.scale[0]), math.log(plan.scale[1])))
    mirror = upside_down = False
    if center is not None:
        mirror, upside_down = _draw_flips(plan, rng)
    starts, extents, sizes, places = [], [], [], []
    for axis, (side, wanted) in enumerate(zip(image, crop, strict=True)):
        window = wanted / factor
        if center is None:
            room = side - window
            over = EDGE_SHARE * min(room, window) if room > 0 else 0.0
            start = min(max(rng.uniform(min(0.0, room) - over, max(0.0, room) + over), min(0.0, room)), max(0.0, room))
        else:
            there = (wanted - 1) / 2 if target is None else target[axis]
            if (upside_down, mirror)[axis]:
                there = wanted - 1 - there
            start = center[axis] + 0.5 - (there + 0.5) / factor
        first = min(side - 1, max(0, round(start)))
        last = max(first + 1, min(side, round(start + window)))
        size = min(wanted, max(1, round((last - first) * factor)))
        place = min(wanted - size, max(0, round((first - start) * factor)))
        starts.append(first)
        extents.append(last - first)
        sizes.append(size)
        places.append(place)
    if center is None:
        mirror, upside_down = _draw_flips(plan, rng)
    (top, left), (height, width) = starts, extents
    return View(
        top, left, height, width, (sizes[0], sizes[1]), (places[0], places[1]), mirror=mirror, upside_down=upside_down
    )


def _draw_flips(plan: Augmentation, rng: np.random.Generator) -> tuple[bool, bool]:
    return bool(rng.random() < plan.flip), bool(rng.random() < plan.vertical_flip)


def window_at(corner: tuple[int, int], image: tuple[int, int], crop: tuple[int, int]) -> View:
    """The part of an image from a corner on, as it is; what hangs over its end is padding."""
    height, width = (min(wanted, side - start) for wanted, side, start in zip(crop, image, corner, strict=True))
    return View(*corner, height, width, (height, width), (0, 0), mirror=False, upside_down=False)


def shifted(
    image: torch.Tensor, label: torch.Tensor, by: tuple[int, int], fill: torch.Tensor, ignore: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Image (C, H, W) and label (H, W) moved down and right by so many pixels; what leaves them is lost."""
    down, right = by
    height, width = label.shape
    moved = fill.to(image.dtype).view(-1, 1, 1).expand_as(image).clone()
    moved_label = torch.full_like(label, ignore)
    moved[:, down:, right:] = image[:, : height - down, : width - right]
    moved_label[down:, right:] = label[: height - down, : width - right]
    return moved, moved_label


def apply_view(
    view: View, image: torch.Tensor, label: torch.Tensor, crop: tuple[int, int], fill: torch.Tensor, ignore: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Cut, scale, place and mirror image and label together.

    Args:
        image: (C, H, W).
        label: (H, W) class ids.
        crop: (height, width) of the result.
        fill: (C,) pixel value of the padding; labels there are `ignore`.
    """
    rows, columns = slice(view.top, view.top + view.height), slice(view.left, view.left + view.width)
    part = resize_image(image[:, rows, columns], view.size)
    part_label = resize_label(label[rows, columns], view.size)
    if view.size != crop:
        row, column = view.place
        canvas = fill.to(part.dtype).view(-1, 1, 1).expand(-1, *crop).clone()
        canvas[:, row : row + view.size[0], column : column + view.size[1]] = part
        canvas_label = torch.full(crop, ignore, dtype=label.dtype)
        canvas_label[row : row + view.size[0], column : column + view.size[1]] = part_label
        part, part_label = canvas, canvas_label
    axes = [axis for axis, wanted in ((-1, view.mirror), (-2, view.upside_down)) if wanted]
    return part.flip(axes).contiguous(), part_label.flip(axes).contiguous()


def draw_colors(
    plan: Augmentation,
    mean: npt.NDArray[np.float64],
    std: npt.NDArray[np.float64],
    rng: np.random.Generator,
    *,
    rgb: bool,
) -> npt.NDArray[np.float32]:
    """One affine change of colours: (C, C + 1), applied to pixel values in units of their scale.

    Args:
        mean: (C,) around which contrast is changed.
        std: (C,) by which the brightness of other bands than colours is measured.
        rgb: the bands are red, green and blue, 0 to 1: brightness, contrast, saturation and hue change. Otherwise each
            band changes in gain and offset on its own.
    """
    if rgb:
        matrix = (1 + rng.uniform(-plan.contrast, plan.contrast)) * np.eye(3)
        saturation = 1 + rng.uniform(-plan.saturation, plan.saturation)
        matrix = (saturation * np.eye(3) + (1 - saturation) * LUMINANCE) @ matrix
        angle = 2 * math.pi * rng.uniform(-plan.hue, plan.hue)
        turn = np.array([[1, 0, 0], [0, math.cos(angle), -math.sin(angle)], [0, math.sin(angle), math.cos(angle)]])
        matrix = np.linalg.solve(_TO_YIQ, turn @ _TO_YIQ) @ matrix
        brightness = np.full(3, 2 * float(mean.mean()) * rng.uniform(-plan.brightness, plan.brightness))
    else:
        bands = len(mean)
        matrix = np.diag(1 + rng.uniform(-plan.contrast, plan.contrast, bands))
        brightness = 2 * std * rng.uniform(-plan.brightness, plan.brightness, bands)
    offset = mean - matrix @ mean + brightness
    return np.concatenate([matrix, offset[:, None]], axis=1).astype(np.float32)
