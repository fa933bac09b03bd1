"""FullConv: fully convolutional networks for semantic segmentation, from a folder of images to a scored model.

>>> import fullconv as fc
>>> fc.fcn("squeezenet1_1", classes=3, stride=8).stride
8
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from fullconv._version import VERSION as __version__
from fullconv.collector import collector_at_rest

if TYPE_CHECKING:
    from fullconv.client import Client
    from fullconv.data.dataset import Dataset
    from fullconv.errors import FullconvError
    from fullconv.evaluation.scores import Scores
    from fullconv.geometry.crops import crop_offset
    from fullconv.geometry.geometry import Geometry, geometry_of
    from fullconv.geometry.measuring import measure_reach
    from fullconv.networks.building import fcn
    from fullconv.networks.listing import list_networks
    from fullconv.prediction.evaluating import evaluate, evaluate_heads
    from fullconv.prediction.model import Model, load
    from fullconv.prediction.result import Prediction
    from fullconv.surgery.convolutionalize import convolutionalize
    from fullconv.surgery.rarefy import rarefy
    from fullconv.surgery.stem import with_stem_stride
    from fullconv.surgery.stitching import shift_and_stitch
    from fullconv.surgery.transplant import transplant
    from fullconv.training.finished import Run
    from fullconv.training.fit import resume, train
    from fullconv.training.forecast.forecasting import Forecast, forecast
    from fullconv.training.settings.experiment import Experiment

__all__ = [
    "Client",
    "Dataset",
    "Experiment",
    "Forecast",
    "FullconvError",
    "Geometry",
    "Model",
    "Prediction",
    "Run",
    "Scores",
    "__version__",
    "convolutionalize",
    "crop_offset",
    "evaluate",
    "evaluate_heads",
    "fcn",
    "forecast",
    "geometry_of",
    "list_networks",
    "load",
    "measure_reach",
    "rarefy",
    "resume",
    "shift_and_stitch",
    "sweep",
    "train",
    "transplant",
    "with_stem_stride",
]

_HOMES = {
    "Client": "client",
    "Dataset": "data.dataset",
    "Experiment": "training.settings.experiment",
    "Forecast": "training.forecast.forecasting",
    "FullconvError": "errors",
    "Geometry": "geometry.geometry",
    "Model": "prediction.model",
    "Prediction": "prediction.result",
    "Run": "training.finished",
    "Scores": "evaluation.scores",
    "convolutionalize": "surgery.convolutionalize",
    "crop_offset": "geometry.crops",
    "evaluate": "prediction.evaluating",
    "evaluate_heads": "prediction.evaluating",
    "fcn": "networks.building",
    "forecast": "training.forecast.forecasting",
    "geometry_of": "geometry.geometry",
    "list_networks": "networks.listing",
    "load": "prediction.model",
    "measure_reach": "geometry.measuring",
    "rarefy": "surgery.rarefy",
    "resume": "training.fit",
    "shift_and_stitch": "surgery.stitching",
    "sweep": "training.sweep",
    "train": "training.fit",
    "transplant": "surgery.transplant",
    "with_stem_stride": "surgery.stem",
}


def __getattr__(name: str) -> Any:
    """Names are imported when first used, so that the shell answers at once."""
    if name not in _HOMES:
        raise AttributeError(f"module 'fullconv' has no attribute {name!r}")
    with collector_at_rest():
        return getattr(import_module(f"fullconv.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
