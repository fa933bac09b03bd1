"""Classifiers that have no dense form are refused by name."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
import torch.nn.utils.prune
from torch import nn

from fullconv.errors import NetworkError, NotConvolutional
from fullconv.surgery.convolutionalize import convolutionalize
from small_classifiers import NATIVE, Classifier, classifier, unpadded_body

NATIVE_SIZE = (NATIVE, NATIVE)


class Attention(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        cells = x.flatten(2)
        return (cells @ (cells.transpose(1, 2) @ cells).softmax(-1)).view_as(x)


class Mixing(nn.Module):
    """One layer of an MLP mixer: weights between the cells."""

    def __init__(self) -> None:
        super().__init__()
        self.mix = nn.Linear(16, 16)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.mix(x.flatten(2)).view_as(x)


class Places(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.places = nn.Parameter(torch.zeros(1, 6, 4, 4))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.places


class GridOfWindows(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        n, c, h, w = x.shape
        windows = x.view(n, c, h // 2, 2, w // 2, 2).permute(0, 2, 4, 1, 3, 5).reshape(-1, c, 2, 2)
        return windows.softmax(0).reshape(n, h // 2, w // 2, c, 2, 2).permute(0, 3, 1, 4, 2, 5).reshape(n, c, h, w)


@pytest.mark.parametrize(
    ("part", "message"),
    [
        (Attention(), r"body\.1\.matmul.*attention"),
        (Mixing(), r"body\.1\.mix: its weights connect all cells"),
        (Places(), r"body\.1\.add.*position embedding"),
        (GridOfWindows(), r"body\.1\.reshape.*window"),
        (nn.LayerNorm([6, 4, 4]), r"body\.1: layer norm takes its statistics over rows and columns"),
    ],
)
def test_what_has_no_dense_form_is_refused_by_name(part: nn.Module, message: str) -> None:
    with pytest.raises(NotConvolutional, match=message):
        convolutionalize(classifier("mean", nn.Sequential(unpadded_body(), part)), input_size=NATIVE_SIZE)


@pytest.mark.parametrize(
    ("head", "message"),
    [
        (lambda x: x, "its result is a map already"),
        (lambda x: (x.mean((2, 3)), x.amax((2, 3))), "several results"),
        (lambda x: F.adaptive_avg_pool2d(x, 3).flatten(1), "unequal windows"),
        (lambda x: x.std((2, 3)), "std of a map"),
        (lambda x: x.mean((2, 3)).mean(0, keepdim=True), "images of the batch"),
        (lambda x: x.mean((2, 3)).cumprod(1), "nothing is known of the operation cumprod"),
    ],
)
def test_heads_without_a_dense_form_are_refused(head: object, message: str) -> None:
    with pytest.raises(NotConvolutional, match=message):
        convolutionalize(Classifier(unpadded_body(), head).eval(), input_size=NATIVE_SIZE)  # type: ignore[arg-type]


def test_a_classifier_that_rolls_dice_fails_the_proof() -> None:
    net = Classifier(unpadded_body(), lambda x, fc: fc(F.dropout(x.mean((2, 3)), training=True)), fc=nn.Linear(6, 5))
    with pytest.raises(NotConvolutional, match="differs from it by"):
        convolutionalize(net.eval(), input_size=NATIVE_SIZE)


def test_a_classifier_for_batches_of_one_size_is_refused_in_a_sentence() -> None:
    net = Classifier(unpadded_body(), lambda x, fc: fc(x.reshape(2, 96)), fc=nn.Linear(96, 5))
    with pytest.raises(NetworkError, match="fails on one image of its native size"):
        convolutionalize(net, input_size=NATIVE_SIZE)


@pytest.mark.parametrize("changed", [lambda y: y[:, :3].mul_(2), lambda y: y.view_as(y).relu_()])
def test_changes_through_a_view_are_refused_with_and_without_values(changed: object) -> None:
    def head(x: torch.Tensor, fc: nn.Module, last: nn.Module) -> torch.Tensor:
        y = fc(x.flatten(1))
        changed(y)  # type: ignore[operator]
        return last(y)

    net = Classifier(unpadded_body(), head, fc=nn.Linear(96, 7), last=nn.Linear(7, 5)).eval()
    for place in ("cpu", "meta"):
        with pytest.raises(NotConvolutional, match="changed in place"):
            convolutionalize(net.to(place), input_size=NATIVE_SIZE)


@pytest.mark.parametrize("place", ["", "layers.fc"])
def test_hooks_that_a_dense_network_would_lose_are_refused(place: str) -> None:
    net = classifier("flatten").to("meta")
    net.get_submodule(place).register_forward_hook(lambda module, inputs, result: 2 * result)
    with pytest.raises(NotConvolutional, match="forward hooks"):
        convolutionalize(net, input_size=NATIVE_SIZE)


def test_norms_over_neighbouring_channels_do_not_take_cells_for_channels() -> None:
    head = lambda x, fc: fc(F.local_response_norm(x.flatten(1).unsqueeze(2), 3).flatten(1))  # noqa: E731
    net = Classifier(unpadded_body(), head, fc=nn.Linear(96, 5)).to("meta").eval()
    with pytest.raises(NotConvolutional, match="cells of the map for channels"):
        convolutionalize(net, input_size=NATIVE_SIZE)
