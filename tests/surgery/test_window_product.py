"""The unfolded product is the convolution."""

from __future__ import annotations

import warnings

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


@pytest.mark.parametrize("dilation", [1, 2])
def test_windows_that_keep_the_size_are_those_of_the_convolution(dilation: int) -> None:
    """Even sides have an odd zero at the right and at the bottom, of which PyTorch's own convolution warns."""
    torch.manual_seed(0)
    layer = WindowProduct(3, 4, (6, 3), padding="same", dilation=dilation).double()
    images = torch.randn(2, 3, 9, 8, dtype=torch.float64)
    found = layer(images)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = F.conv2d(images, layer.weight, layer.bias, padding="same", dilation=dilation)
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("memory", [torch.contiguous_format, torch.channels_last])
def test_without_derivatives_it_equals_the_convolution_too(
    bias: bool, memory: torch.memory_format, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    layer = WindowProduct(5, 7, (6, 3), bias=bias).to(memory_format=memory)
    images = torch.randn(2, 5, 17, 23)
    expected = F.conv2d(images.double(), layer.weight.double(), None if layer.bias is None else layer.bias.double())
    with torch.no_grad():
        torch.testing.assert_close(layer(images).double(), expected, rtol=1e-5, atol=1e-5)
        monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
        torch.testing.assert_close(layer(images).double(), expected, rtol=1e-5, atol=1e-5)


def test_under_autocast_it_computes_in_the_lower_precision() -> None:
    layer = WindowProduct(3, 4, 5)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        assert layer(torch.randn(1, 3, 9, 9)).dtype == torch.bfloat16


def test_an_exported_network_holds_the_ordinary_product() -> None:
    layer = WindowProduct(3, 4, 5).eval()
    images = torch.randn(1, 3, 9, 9)
    with torch.no_grad():
        exported = torch.export.export(layer, (images,))
        assert "mkldnn" not in str(exported.graph)
        torch.testing.assert_close(exported.module()(images), layer(images))


def test_maps_too_large_to_unfold_are_convolved(monkeypatch: pytest.MonkeyPatch) -> None:
    layer = WindowProduct(3, 4, 5)
    images = torch.randn(1, 3, 20, 20)
    expected = layer(images)
    monkeypatch.setattr(window_product, "LARGEST_UNFOLDED", 0)
    monkeypatch.setattr(window_product, "_product", None)
    torch.testing.assert_close(layer(images), expected)


def test_an_image_smaller_than_the_window_is_refused_as_by_a_convolution() -> None:
    with pytest.raises(RuntimeError, match="Kernel size can't be greater"):
        WindowProduct(3, 4, 5)(torch.randn(1, 3, 4, 9))


def test_geometry_takes_it_for_a_convolution() -> None:
    geometry = geometry_of(torch.nn.Sequential(WindowProduct(3, 4, 5)).eval(), input_size=(9, 9))
    assert geometry.is_local
    assert geometry["0"].receptive_field == (5, 5)
    assert geometry["0"].multiply_adds == 5 * 5 * 3 * 5 * 5 * 4
