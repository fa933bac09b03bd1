"""The plan of a training run, as a document: what is left open here is decided from the data and the machine."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from fullconv.data.augmentation import Augmentation
from fullconv.data.resizing import Resize
from fullconv.training.heads import Heads
from fullconv.training.settings.class_weights import Factors, HeadWeights, Weighting
from fullconv.training.settings.loss_settings import Loss, LossSetting
from fullconv.training.settings.optimization import Optimization
from fullconv.training.settings.recipes import Recipe, overlaid, settings_of
from fullconv.training.settings.regimes import LossSampling, Patchwise, Regime, WholeImage

DEFAULT_NETWORK = "fcn4s-mobilenet_v2-features"


class Experiment(BaseModel):
    """One training run.

    Args:
        dataset: a name in the workspace, or the path of a dataset.yaml.
        network: a name of the catalogue, or file and function of a network of one's own, as my_net.py:build.
        weights: "auto", "imagenet", "random", a weight file, or a model: package, run or name in the store, whose
            backbone is taken over whole and whose scores are, class by class, by name. A network of one's own stays as
            built with "auto".
        group: a name for runs that belong together.
        folds: so many parts of the training and validation images, of which each is held out once.
        fold: which of them this run holds out for validation.
        group_by: regular expression for images that stay in one fold; what their names show if not given; "none" for
            nothing.
        recipe: settings that belong together: "reference" trains as the published nets were trained. Other settings
            lie over it.
        regime: "whole-image", "patchwise" or "loss-sampling", or one of them with its own settings.
        heads: sets of classes that are learnt at once: name of a head → "all", for the first, or groups of the
            dataset's classes by name. Losses are summed, each a mean over what counts for its head. All heads are
            scored; the first one decides which epoch is best.
        seed: of weights, order and augmentation.
        resize: applied to every image before anything else; predictions come back at the original size.
        crop: (height, width) of a training view; none = from the sizes of the images.
        batch_size: views in a step, of all processes together; none = from the number of images.
        replacement: draw every view from all images anew, instead of passing through the set.
        epochs: passes over the set; none = from the number of images.
        views: views of every image in one epoch; none = so that an epoch of a small set is worth validating.
        validate_every: epochs between two validations; none = so that validation stays a small part of the time.
        patience: validations without a better mean IoU after which training ends; none = never before its time.
        loss: a loss, or several as "cross-entropy+dice", or one with its own settings.
        class_weights: "none"; "inverse-log": 1 / ln(1.02 + share of the class); "median-frequency";
            "effective-number"; all scaled to mean 1 over the pixels; or factors by class name, as they are. A rule goes
            for every head, factors for the first; by the name of a head each may have its own, those left out none.
        precision: "fp32", "bf16" (autocast), or "auto": bf16 where the hardware computes in it.
        checkpointing: keep only the ends of the backbone's stages for the backward pass and compute what lies between
            again: less memory, about a quarter more time, the same result.
        device: "auto", "cpu" or "cuda".
        devices: processes that train together on each machine, one GPU or one share of the CPU's cores each.
        nodes: machines; more than one are started by torchrun, Slurm or a cluster.
        workers: loader processes of each of them; none = matched to the cores.
        loggers: "tensorboard", "mlflow", "wandb": what metrics.csv holds is told to them too.

    >>> Experiment(dataset="camvid").network
    'fcn4s-mobilenet_v2-features'
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    format: Literal[1] = 1
    dataset: str
    network: str = DEFAULT_NETWORK
    weights: str = "auto"
    group: str | None = None
    folds: int | None = Field(default=None, ge=2)
    fold: int | None = Field(default=None, ge=1)
    group_by: str | None = None
    recipe: Recipe = "default"
    regime: Regime = WholeImage()
    heads: Heads | None = None
    seed: int = Field(default=0, ge=0, le=2**32 - 1)
    resize: Resize = Resize()
    crop: tuple[int, int] | None = None
    batch_size: int | None = Field(default=None, ge=1)
    replacement: bool = False
    epochs: int | None = Field(default=None, ge=1)
    views: int | None = Field(default=None, ge=1)
    validate_every: int | None = Field(default=None, ge=1)
    augmentation: Augmentation = Augmentation()
    patience: int | None = Field(default=None, ge=1)
    loss: LossSetting = Loss()
    optimization: Optimization = Optimization()
    class_weights: Weighting | Factors | HeadWeights = "inverse-log"
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    checkpointing: bool = False
    device: Literal["auto", "cpu", "cuda"] = "auto"
    devices: int = Field(default=1, ge=1)
    nodes: int = Field(default=1, ge=1)
    workers: int | None = Field(default=None, ge=0)
    loggers: tuple[Literal["tensorboard", "mlflow", "wandb"], ...] = ()

    def _check_grid(self) -> None:
        """A grid takes patches as they lie in the file."""
        asked, usual, lying = self.augmentation, Augmentation(), Augmentation.as_it_lies()
        for name in ("scale", "flip", "vertical_flip"):
            if getattr(asked, name) not in (getattr(usual, name), getattr(lying, name)):
                raise ValueError(f"augmentation.{name}: a grid takes patches as they lie; leave it out")

    @model_validator(mode="before")
    @classmethod
    def _with_recipe(cls, value: Any) -> Any:
        if not isinstance(value, Mapping) or value.get("recipe") != "reference":
            return value
        return overlaid(settings_of("reference", str(value.get("network", DEFAULT_NETWORK))), value)

    @model_validator(mode="after")
    def _sensible(self) -> Experiment:
        # Patches are as small as one likes, whole images as small as they are.
        least = 1 if isinstance(self.regime, Patchwise) or getattr(self.regime, "full", False) else 32
        if self.crop is not None and min(self.crop) < least:
            raise ValueError(f"crop: a view needs at least {least} pixel{'s' * (least > 1)} on each side")
        if self.fold is not None and (self.folds is None or self.fold > self.folds):
            raise ValueError(f"fold: there is no fold {self.fold} of {self.folds or 0}")
        if self.group_by is not None and self.folds is None:
            raise ValueError("group_by: is for folds; say folds, or leave it out")
        if isinstance(self.regime, Patchwise) and self.regime.around != "uniform" and self.replacement:
            raise ValueError(f"replacement: {self.regime.around} draws from all images anyhow; leave it out")
        if isinstance(self.regime, Patchwise) and self.regime.origins == "grid":
            self._check_grid()
            for name, value in (("views", self.views), ("replacement", self.replacement or None)):
                if value not in (None, 1):
                    raise ValueError(f"{name}: a grid of patches takes each once; leave it out")
        if not 0 < self.augmentation.scale[0] <= self.augmentation.scale[1]:
            raise ValueError("augmentation.scale: give the smaller magnification first, both above 0")
        balanced = isinstance(self.regime, LossSampling) and self.regime.how == "class-balanced"
        if balanced and self.class_weights == "none":
            raise ValueError("class_weights: class-balanced sampling goes by them; say inverse-log, or how: uniform")
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
