"""How training samples are made of images, and where the loss is read: whole images, patches, or a sample of the loss.

All three are one thing. The loss of a whole image is the sum of the losses of its cells, each of which sees nothing but
its own field: a batch of patches, computed at once. Leaving cells out of the sum leaves patches out of the batch.
(Long, Shelhamer, Darrell, CVPR 2015, section 3.4.)
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

Where = Literal["pixels", "cells"]
"""At every pixel, or at the cells of the score grid with the label of the pixel under each centre."""


class WholeImage(BaseModel):
    """Whole images, or large crops of them; every pixel or cell counts.

    Args:
        loss_at: where the loss is read.
        full: take images whole, whatever their size; smaller ones of a batch are padded and ignored there. Otherwise
            views of the size `crop` are taken.
        jitter: shift every view down and right at random by less than the total stride, so that every patch of an
            image is seen in time (CVPR 2015, footnote 2); crops at random places need none.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    kind: Literal["whole-image"] = "whole-image"
    loss_at: Where = "pixels"
    full: bool = False
    jitter: bool = False


class Patchwise(BaseModel):
    """Patches of images, many images in one batch.

    Args:
        size: (height, width); none for the receptive field of a cell, or what it takes to hold one.
        origins: "random", or "grid": every patch of a grid over every image.
        step: pixels from patch to patch of the grid; none for half a patch. It is rounded to whole total strides.
        around: what random patches are drawn around: any place ("uniform"), a pixel of a class drawn evenly
            ("class-balanced"), or a connected region of one class other than the commonest ("objects").
        loss_at: "center", the cell in the middle; "inside", all cells whose field lies inside the patch; "pixels", all
            of its pixels.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    kind: Literal["patchwise"] = "patchwise"
    size: tuple[Annotated[int, Field(ge=1)], Annotated[int, Field(ge=1)]] | None = None
    origins: Literal["random", "grid"] = "random"
    step: int | None = Field(default=None, ge=1)
    around: Literal["uniform", "class-balanced", "objects"] = "uniform"
    loss_at: Literal["center", "inside", "pixels"] = "inside"

    @model_validator(mode="after")
    def _sensible(self) -> Patchwise:
        if self.origins == "grid" and self.around != "uniform":
            raise ValueError(f"regime.around: a grid takes every place; leave out around: {self.around}")
        if self.origins == "random" and self.step is not None:
            raise ValueError("regime.step: random patches have no step; say origins: grid")
        return self


class LossSampling(BaseModel):
    """Whole images or crops, of whose loss a part is kept; batches grow by 1/keep, so that as much is kept.

    Args:
        keep: share of the cells that are kept, on average.
        how: "uniform": each with the same probability; "class-balanced": with probabilities in proportion to the class
            weights, for a block of pixels to their mean over those that count, and what cannot be kept more often than
            always has the rest of its weight in losses per pixel; "hardest": those with the largest loss (online hard
            example mining).
        loss_at: "cells" of the score grid, or "pixels": a kept cell brings the pixels of its stride with it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    kind: Literal["loss-sampling"] = "loss-sampling"
    keep: float = Field(default=0.5, gt=0, le=1)
    how: Literal["uniform", "class-balanced", "hardest"] = "uniform"
    loss_at: Where = "pixels"


def _named(value: Any) -> Any:
    """A regime by its name alone has the defaults."""
    return {"kind": value} if isinstance(value, str) else value


AnyRegime = WholeImage | Patchwise | LossSampling
Regime = Annotated[Annotated[AnyRegime, Field(discriminator="kind")], BeforeValidator(_named)]
