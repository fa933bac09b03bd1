"""Bringing images and their label maps to another size together."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from pydantic import BaseModel, ConfigDict, Field, model_validator


class Resize(BaseModel):
    """How images are resized before they reach the network; predictions come back at the original size.

    Args:
        longest_side: pixels; only larger images are made smaller.
        scale: factor on both sides.

    >>> Resize(longest_side=512).size(1000, 2000)
    (256, 512)
    >>> Resize().size(1000, 2000)
    (1000, 2000)
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    longest_side: int | None = Field(default=None, ge=16)
    scale: float | None = Field(default=None, gt=0, le=8)

    @model_validator(mode="after")
    def _one_way(self) -> Resize:
        if self.longest_side is not None and self.scale is not None:
            raise ValueError("give longest_side or scale, not both")
        return self

    def size(self, height: int, width: int) -> tuple[int, int]:
        """(height, width) after resizing, at least one pixel each."""
        factor = self.scale or 1.0
        if self.longest_side is not None:
            factor = min(1.0, self.longest_side / max(height, width))
        return max(1, round(height * factor)), max(1, round(width * factor))


def resize_image(pixels: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """(C, H, W) uint8 or float → (C, *size), bilinear with antialiasing; other dtypes become float32."""
    if tuple(pixels.shape[-2:]) == size:
        return pixels
    if pixels.dtype == torch.uint8 and 1 in (*pixels.shape[-2:], *size):
        # torch's 8-bit kernel takes a side of one pixel for another memory layout and fails.
        return resize_image(pixels.float(), size).round().to(torch.uint8)
    if pixels.dtype not in (torch.uint8, torch.float32):
        pixels = pixels.float()
    return _resized(pixels, size, "bilinear")


def resize_label(label: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """(H, W) class ids → (*size), each pixel taking the id at its centre, never a mixture."""
    if tuple(label.shape) == size:
        return label
    wide = label.to(torch.int32) if label.dtype not in (torch.uint8, torch.int32) else label
    return _resized(wide.unsqueeze(0), size, "nearest-exact")[0].to(label.dtype)


def _resized(pixels: torch.Tensor, size: tuple[int, int], mode: str) -> torch.Tensor:
    """By torchvision, which takes a second to import: loader processes that read prepared samples do without."""
    from torchvision.transforms.v2 import InterpolationMode
    from torchvision.transforms.v2.functional import resize_image as resize

    resized: torch.Tensor = resize(pixels, list(size), interpolation=InterpolationMode(mode), antialias=True)
    return resized


def to_tensor(array: npt.NDArray[Any]) -> torch.Tensor:
    """(H, W, C) array → (C, H, W) view; uint16 becomes float32 because few operations know it."""
    if array.dtype == np.uint16:
        array = array.astype(np.float32)
    usable = array if array.flags.writeable and min(array.strides) > 0 else array.copy()
    return torch.from_numpy(usable).permute(2, 0, 1)
