"""The unfolded product is the convolution."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from fullconv.geometry.geometry import geometry_of
from fullconv.surgery import window_product
from fullconv.surgery.window_product import WindowProduct


@pytest.mark.parametrize(
    "settings", [{}, {"padding": 3, "stride": 2}, {"dilation": 2, "bias": False}, {"padding": (1, 0)}]
)
@pytest.mark.parametrize("size", [(2, 5, 17, 23), (1, 5, 14, 14)])
@pytest.mark.parametrize("memory", [torch.contiguous_format, torch.channels_last])
def test_it_equals_the_convolution_forward_and_backward(
    settings: dict[str, int], size: tuple[int, ...], memory: torch.memory_format
) -> None:
    torch.manual_seed(0)
    layer = WindowProduct(5, 7, (6, 3), **settings).double().to(memory_format=memory)
    images = torch.randn(size, dtype=torch.float64, requires_grad=True)
    found = layer(images)
    expected = F.conv2d(images, layer.weight, layer.bias, layer.stride, layer.padding, layer.dilation)
    torch.testing.assert_close(found, expected)
    weights = torch.randn_like(found)
    ours = torch.autograd.grad((found * weights).sum(), [images, *layer.parameters()])
    theirs = torch.autograd.grad((expected * weights).sum(), [images, *layer.parameters()])
    for own, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(own, other)


def test_maps_too_large_to_unfold_are_convolved(monkeypatch: pytest.MonkeyPatch) -> None:
    layer = WindowProduct(3, 4, 5)
    images = torch.randn(1, 3, 20, 20)
    expected = layer(images)
    monkeypatch.setattr(window_product, "LARGEST_UNFOLDED", 0)
    monkeypatch.setattr(F, "linear", None)
    torch.testing.assert_close(layer(images), expected)


def test_an_image_smaller_than_the_window_is_refused_as_by_a_convolution() -> None:
    with pytest.raises(RuntimeError, match="Kernel size can't be greater"):
        WindowProduct(3, 4, 5)(torch.randn(1, 3, 4, 9))


def test_geometry_takes_it_for_a_convolution() -> None:
    geometry = geometry_of(torch.nn.Sequential(WindowProduct(3, 4, 5)).eval(), input_size=(9, 9))
    assert geometry.is_local
    assert geometry["0"].receptive_field == (5, 5)
    assert geometry["0"].multiply_adds == 5 * 5 * 3 * 5 * 5 * 4
