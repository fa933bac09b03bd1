"""Settings that belong together, under one name; what the user says lies over them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

Recipe = Literal["default", "reference"]

REFERENCE_RATES = {
    "fcn32s": 1e-10,
    "fcn16s": 1e-12,
    "fcn8s": 1e-14,
    "at-once": 1e-10,
}
"""Learning rates of the published nets, for a loss that is summed over the pixels."""
ALEXNET = {"learning_rate": 1e-4, "momentum": 0.9, "accumulate": 20}
"""The published FCN-AlexNet was trained by means instead: over the pixels of an image, and over 20 images."""


def reference_rate(network: str) -> float:
    """The learning rate that the authors' net of that stride was trained with.

    >>> reference_rate("fcn16s-vgg16-reference"), reference_rate("fcn8s-at-once-vgg16-reference")
    (1e-12, 1e-10)
    """
    if _is_alexnet(network):
        return ALEXNET["learning_rate"]
    if "at-once" in network:
        return REFERENCE_RATES["at-once"]
    return REFERENCE_RATES.get(network.split("-")[0], REFERENCE_RATES["fcn32s"])


def settings_of(recipe: Recipe, network: str) -> dict[str, Any]:
    """What a recipe sets, section by section.

    "reference" is the "heavy" training of the published nets: one whole image per step, drawn with replacement,
    momentum 0.99, a loss summed over the pixels, biases at twice the rate and without decay, no augmentation. With
    FCN-AlexNet the loss is a mean, 20 images make one step, and momentum is 0.9.

    Source: Long, Shelhamer, Darrell, CVPR 2015, section 4.3; Shelhamer, Long, Darrell, PAMI 2016, section 4.

    >>> settings_of("reference", "fcn8s-vgg16-reference")["optimization"]["momentum"]
    0.99
    """
    if recipe == "default":
        return {}
    return {
        "regime": {"kind": "whole-image", "full": True},
        "batch_size": 1,
        "replacement": True,
        "augmentation": {
            "scale": (1.0, 1.0),
            "flip": 0.0,
            "brightness": 0.0,
            "contrast": 0.0,
            "saturation": 0.0,
            "hue": 0.0,
        },
        "class_weights": "none",
        "loss": {"terms": "cross-entropy", "reduction": "mean" if _is_alexnet(network) else "sum"},
        "optimization": {
            "optimizer": "sgd",
            "learning_rate": reference_rate(network),
            "backbone": "free",
            "momentum": 0.99,
            "weight_decay": 5e-4,
            "bias_factor": 2.0,
            "policy": "fixed",
        }
        | (ALEXNET if _is_alexnet(network) else {}),
        "precision": "fp32",
    }


def _is_alexnet(network: str) -> bool:
    return network.startswith("fcn-alexnet")


def with_recipe(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Settings beneath changes that name a recipe: what it sets lies over them, as the changes then lie over that.

    >>> with_recipe({"batch_size": 8}, {"recipe": "reference"})["batch_size"]
    1
    """
    if changes.get("recipe") != "reference":
        return dict(base)
    network = str(changes.get("network", base.get("network", "")))
    return overlaid(base, settings_of("reference", network))


def overlaid(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Changes laid over settings, section by section.

    Sections of another kind are replaced whole, and so are the terms of a loss; a loss by its name alone gives terms.

    >>> overlaid({"a": {"b": 1, "c": 2}}, {"a": {"b": 3}})
    {'a': {'b': 3, 'c': 2}}
    >>> overlaid({"a": {"kind": "step", "size": 33}}, {"a": "poly"})
    {'a': {'kind': 'poly'}}
    >>> overlaid({"loss": {"reduction": "sum"}}, {"loss": "dice"})
    {'loss': {'reduction': 'sum', 'terms': 'dice'}}
    """
    merged = dict(base)
    for key, value in changes.items():
        inner = merged.get(key)
        if not isinstance(inner, Mapping) or key == "terms":
            merged[key] = value
            continue
        if isinstance(value, str) and key == "loss":
            value = {"terms": value}
        elif isinstance(value, str) and "kind" in inner:  # a regime or policy by its name alone
            value = {"kind": value}
        same = isinstance(value, Mapping) and value.get("kind", inner.get("kind")) == inner.get("kind")
        merged[key] = overlaid(inner, value) if same else value
    return merged
