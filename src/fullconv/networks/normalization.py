"""How pixel values become network input: one scale, one mean and one deviation per band."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from pydantic import BaseModel, ConfigDict, Field, model_validator

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
DTYPE_SCALES = {"uint8": 255.0, "uint16": 65535.0, "float32": 1.0}


class Normalization(BaseModel):
    """`(pixel / scale − mean) / std`, band by band.

    >>> Normalization.imagenet().apply(torch.full((1, 3, 1, 1), 255, dtype=torch.uint8))[0, 0].item()
    2.2489...
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    scale: float = Field(gt=0)
    mean: tuple[float, ...]
    std: tuple[float, ...]

    @model_validator(mode="after")
    def _fits(self) -> Normalization:
        if len(self.mean) != len(self.std) or min(self.std) <= 0:
            raise ValueError("mean and std need one value per band, and std must be positive")
        return self

    @classmethod
    def imagenet(cls) -> Normalization:
        """What torchvision's pretrained classifiers expect of 8-bit RGB."""
        return cls(scale=255.0, mean=IMAGENET_MEAN, std=IMAGENET_STD)

    @classmethod
    def of_dataset(cls, dtype: str, mean: Sequence[float], std: Sequence[float]) -> Normalization:
        """From a dataset's own statistics; a constant band is left undivided."""
        divisors = (spread if spread > 1e-6 * abs(middle) else 1.0 for middle, spread in zip(mean, std, strict=True))
        return cls(scale=DTYPE_SCALES[dtype], mean=tuple(mean), std=tuple(divisors))

    def affine(self) -> tuple[torch.Tensor, torch.Tensor]:
        """(C,) factor and (C,) offset, so that the input is `pixel · factor + offset`."""
        mean, std = torch.tensor(self.mean), torch.tensor(self.std)
        return 1.0 / (self.scale * std), -mean / std

    def apply(self, pixels: torch.Tensor) -> torch.Tensor:
        """(N, C, H, W) of any dtype → float32 of the same shape."""
        factor, offset = (value.to(pixels.device).view(1, -1, 1, 1) for value in self.affine())
        return pixels.float() * factor + offset
