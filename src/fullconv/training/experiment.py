"""The plan of a training run, as a document: what is left open here is decided from the data and the machine."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from fullconv.data.augmentation import Augmentation
from fullconv.data.resizing import Resize

DEFAULT_NETWORK = "fcn4s-mobilenet_v2-features"


class Optimization(BaseModel):
    """AdamW with a one-cycle learning rate: up over the warm-up, then down along a cosine.

    Args:
        learning_rate: peak for parameters that start from nothing.
        pretrained_learning_rate: peak for parameters that were transferred.
        weight_decay: of weights; biases and normalisation layers are not decayed.
        warmup: share of all steps until the peak.
        ema: decay per step of a moving average of the weights, such as 0.99, which is validated and kept instead of
            the weights themselves; none for no average.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    learning_rate: float = Field(default=5e-3, gt=0)
    pretrained_learning_rate: float = Field(default=5e-4, gt=0)
    weight_decay: float = Field(default=0.01, ge=0)
    warmup: float = Field(default=0.1, gt=0, lt=1)
    ema: float | None = Field(default=None, gt=0, lt=1)


class Experiment(BaseModel):
    """One training run.

    Args:
        dataset: a name in the workspace, or the path of a dataset.yaml.
        network: a name of the catalogue, or file and function of a network of one's own, as my_net.py:build.
        weights: "auto", "imagenet", "random" or a weight file; a network of one's own stays as built with "auto".
        regime: whole images, or large crops of them, with the loss at every pixel.
        seed: of weights, order and augmentation.
        resize: applied to every image before anything else; predictions come back at the original size.
        crop: (height, width) of a training view; none = from the sizes of the images.
        batch_size: views in a step; none = from the number of images.
        epochs: passes over the set; none = from the number of images.
        views: views of every image in one epoch; none = so that an epoch of a small set is worth validating.
        validate_every: epochs between two validations; none = so that validation stays a small part of the time.
        class_weights: "none", or "inverse-log": 1 / ln(1.02 + share of the class), scaled to mean 1 over the pixels.
        precision: "fp32", "bf16" (autocast), or "auto": bf16 where the hardware computes in it.
        device: "auto", "cpu" or "cuda".
        workers: loader processes; none = matched to the cores.

    >>> Experiment(dataset="camvid").network
    'fcn4s-mobilenet_v2-features'
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal[1] = 1
    dataset: str
    network: str = DEFAULT_NETWORK
    weights: str = "auto"
    regime: Literal["whole-image"] = "whole-image"
    seed: int = Field(default=0, ge=0, le=2**32 - 1)
    resize: Resize = Resize()
    crop: tuple[int, int] | None = None
    batch_size: int | None = Field(default=None, ge=1)
    epochs: int | None = Field(default=None, ge=1)
    views: int | None = Field(default=None, ge=1)
    validate_every: int | None = Field(default=None, ge=1)
    augmentation: Augmentation = Augmentation()
    optimization: Optimization = Optimization()
    class_weights: Literal["none", "inverse-log"] = "inverse-log"
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    device: Literal["auto", "cpu", "cuda"] = "auto"
    workers: int | None = Field(default=None, ge=0)

    @model_validator(mode="after")
    def _sensible(self) -> Experiment:
        if self.crop is not None and min(self.crop) < 32:
            raise ValueError("crop: a view needs at least 32 pixels on each side")
        if not 0 < self.augmentation.scale[0] <= self.augmentation.scale[1]:
            raise ValueError("augmentation.scale: give the smaller magnification first, both above 0")
        return self


class Plan(Experiment):
    """An experiment in which nothing is left open: what runs, and what a run's experiment.yaml holds."""

    crop: tuple[int, int]
    batch_size: int = Field(ge=1)
    epochs: int = Field(ge=1)
    views: int = Field(ge=1)
    validate_every: int = Field(ge=1)
    precision: Literal["fp32", "bf16"]
    device: Literal["cpu", "cuda"]
    workers: int = Field(ge=0)
