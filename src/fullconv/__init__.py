"""FullConv: fully convolutional networks for semantic segmentation, from a folder of images to a scored model.

>>> import fullconv as fc
>>> fc.fcn("squeezenet1_1", classes=3, stride=8).stride
8
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from fullconv._version import VERSION as __version__

if TYPE_CHECKING:
    from fullconv.data.dataset import Dataset
    from fullconv.errors import FullconvError
    from fullconv.evaluation.scores import Scores
    from fullconv.networks.catalogue import list_networks
    from fullconv.networks.fcn import fcn
    from fullconv.prediction.evaluating import evaluate
    from fullconv.prediction.model import Model, load
    from fullconv.prediction.result import Prediction
    from fullconv.training.experiment import Experiment
    from fullconv.training.fit import Run, resume, train

__all__ = [
    "Dataset",
    "Experiment",
    "FullconvError",
    "Model",
    "Prediction",
    "Run",
    "Scores",
    "__version__",
    "evaluate",
    "fcn",
    "list_networks",
    "load",
    "resume",
    "train",
]

_HOMES = {
    "Dataset": "data.dataset",
    "Experiment": "training.experiment",
    "FullconvError": "errors",
    "Model": "prediction.model",
    "Prediction": "prediction.result",
    "Run": "training.fit",
    "Scores": "evaluation.scores",
    "evaluate": "prediction.evaluating",
    "fcn": "networks.fcn",
    "list_networks": "networks.catalogue",
    "load": "prediction.model",
    "resume": "training.fit",
    "train": "training.fit",
}


def __getattr__(name: str) -> Any:
    """Names are imported when first used, so that the shell answers at once."""
    if name not in _HOMES:
        raise AttributeError(f"module 'fullconv' has no attribute {name!r}")
    return getattr(import_module(f"fullconv.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
