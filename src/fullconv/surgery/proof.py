"""Whether a dense network computes what the classifier does: measured on an image of native size."""

from __future__ import annotations

import torch
from torch import nn

from fullconv.errors import NetworkError, NotConvolutional

TOLERANCE = 1e-5
"""Largest difference allowed, as a part of the classifier's largest score."""


def difference(classifier: nn.Module, dense: nn.Module, images: torch.Tensor) -> float | None:
    """max|Δ| / max|y| between the scores of a classifier and those of its dense form, both in float32.

    Args:
        classifier: (N, C, H, W) → (N, classes); it is run in evaluation and left as it was.
        dense: (N, C, H, W) → (N, classes, h, w); a map of several cells counts with its mean.
        images: (N, C, H, W) float32 of the native size.

    Returns:
        The difference; None where the weights have no values (the meta device).

    Raises:
        NetworkError: it fails on the images, or its scores are not finite.
        NotConvolutional: the numbers of scores differ.
    """
    tensors = [*classifier.parameters(), *classifier.buffers()]
    if any(tensor.is_meta for tensor in tensors):
        return None
    device = tensors[0].device if tensors else torch.device("cpu")
    try:
        wanted = _scores(classifier, images.to(device)).reshape(len(images), -1)
    except Exception as problem:  # a network may fail in any way
        said = (str(problem).strip() or type(problem).__name__).splitlines()[0][:160]
        raise NetworkError(
            f"fails on one image of its native size ({said})", where=type(classifier).__name__
        ) from problem
    found = _scores(dense, images.to(device)).mean((2, 3))
    if wanted.shape != found.shape:
        raise NotConvolutional(
            f"it yields {wanted.shape[1]} scores for an image, the dense network {found.shape[1]}",
            where=type(classifier).__name__,
        )
    if not bool(wanted.isfinite().all()):
        raise NetworkError("its scores of a random image are not finite", where=type(classifier).__name__)
    largest = float(wanted.abs().max())
    worst = float((wanted - found).abs().max())
    return worst / largest if largest else worst


def random_images(channels: int, size: tuple[int, int]) -> torch.Tensor:
    """One image of noise, the same every time."""
    return torch.randn(1, channels, *size, generator=torch.Generator().manual_seed(0))


def _scores(net: nn.Module, images: torch.Tensor) -> torch.Tensor:
    modes = {module: module.training for module in net.modules()}
    net.eval()
    try:
        with torch.no_grad():
            scores: torch.Tensor = net(images)
    finally:
        for module, training in modes.items():
            module.training = training
    return scores
