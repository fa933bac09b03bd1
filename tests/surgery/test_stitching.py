"""Shift-and-stitch against networks without stride, where the dense result is known."""

from __future__ import annotations

from fractions import Fraction

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from dense_oracles import randomized
from fullconv.errors import NetworkError
from fullconv.geometry.geometry import geometry_of
from fullconv.surgery.stitching import shift_and_stitch


class Window(nn.Module):
    """The mean of a window and its corner: a single strided layer, whose dense form is the same without stride."""

    def __init__(self, kernel: tuple[int, int], stride: tuple[int, int], padding: tuple[int, int]) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 3, kernel, stride, padding)
        torch.nn.init.normal_(self.conv.weight, generator=torch.Generator().manual_seed(3))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.conv(x)

    def dense(self, x: torch.Tensor) -> torch.Tensor:
        return F.conv2d(x, self.conv.weight, self.conv.bias, padding=self.conv.padding)


def noise(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(4))


PAIRS = st.tuples(st.integers(1, 5), st.integers(1, 5))


@settings(max_examples=40, deadline=None, derandomize=True)
@given(PAIRS, PAIRS, st.tuples(st.integers(0, 7), st.integers(0, 7)), st.integers(9, 16), st.integers(1, 7))
@torch.no_grad()
def test_one_layer_becomes_itself_without_stride(
    kernel: tuple[int, int], stride: tuple[int, int], padding: tuple[int, int], size: int, batch: int
) -> None:
    net, images = Window(kernel, stride, padding), noise(2, 2, size, size + 3)
    stitched, dense = shift_and_stitch(net, images, batch=batch), net.dense(images)
    height, width = (min(*sides) for sides in zip(stitched.shape[2:], dense.shape[2:], strict=True))
    torch.testing.assert_close(stitched[..., :height, :width], dense[..., :height, :width], atol=1e-5, rtol=0)
    assert stitched.shape == (2, 3, *(n * s for n, s in zip(net(images).shape[2:], stride, strict=True)))


@settings(max_examples=40, deadline=None, derandomize=True)
@given(PAIRS, PAIRS, st.tuples(st.integers(0, 7), st.integers(0, 7)), st.tuples(st.integers(5, 16), st.integers(5, 16)))
@torch.no_grad()
def test_every_pixel_gets_the_cell_that_lies_on_it(
    kernel: tuple[int, int], stride: tuple[int, int], padding: tuple[int, int], size: tuple[int, int]
) -> None:
    net, images = Window(kernel, stride, padding), noise(1, 2, *size)
    assume_room = all(s + 2 * p >= k for s, p, k in zip(size, padding, kernel, strict=True))
    if not assume_room:
        return
    stitched = shift_and_stitch(net, images, grid="pixels")
    before = [(k - 1) // 2 for k in kernel]
    around = (before[1], kernel[1] - 1 - before[1], before[0], kernel[0] - 1 - before[0])
    centered = F.conv2d(F.pad(images, around), net.conv.weight, net.conv.bias)
    torch.testing.assert_close(stitched, centered, atol=1e-5, rtol=0)


def stack() -> nn.Module:
    return randomized(
        nn.Sequential(nn.Conv2d(2, 4, 3, 2, 1), nn.ReLU(), nn.MaxPool2d(3, 2, 1), nn.Conv2d(4, 3, 3, (2, 1), padding=1))
    )


@torch.no_grad()
def test_the_network_itself_is_among_the_cells() -> None:
    net, images = stack(), noise(2, 2, 45, 38)
    torch.testing.assert_close(shift_and_stitch(net, images)[..., ::8, ::4], net(images), atol=1e-5, rtol=0)


@torch.no_grad()
def test_coarser_grids_are_parts_of_the_dense_one() -> None:
    net, images = stack(), noise(1, 2, 45, 38)
    dense = shift_and_stitch(net, images)
    for stride in (2, 4, (8, 1), (1, 4), (4, 2)):
        rows, cols = (stride, stride) if isinstance(stride, int) else stride
        found = shift_and_stitch(net, images, stride=stride)
        torch.testing.assert_close(found, dense[..., ::rows, ::cols], atol=1e-5, rtol=0)
    pixels = shift_and_stitch(net, images, grid="pixels")
    assert pixels.shape == (1, 3, 45, 38)
    coarse = shift_and_stitch(net, images, grid="pixels", stride=4)
    torch.testing.assert_close(coarse, pixels[..., ::4, ::4], atol=1e-5, rtol=0)


@torch.no_grad()
def test_cells_lie_where_the_geometry_says() -> None:
    """A bright pixel is seen by the cells around its place."""
    net = nn.Sequential(nn.MaxPool2d(3, 2), nn.MaxPool2d(3, 2, 1))
    output = geometry_of(net, channels=1).output
    assert output is not None
    assert (output.rows.stride, output.rows.center, output.rows.size) == (4, Fraction(1), 7)
    image = torch.zeros(1, 1, 40, 40)
    image[..., 20, 17] = 1
    seen = shift_and_stitch(net, image)[0, 0].nonzero().float().mean(dim=0) + 1
    assert seen.tolist() == [20, 17]
    seen = shift_and_stitch(net, image, grid="pixels")[0, 0].nonzero().float().mean(dim=0)
    assert seen.tolist() == [20, 17]


@torch.no_grad()
def test_networks_that_need_a_large_image_see_every_pixel() -> None:
    net = randomized(nn.Sequential(nn.Conv2d(1, 2, 11, 4), nn.MaxPool2d(3, 2), nn.Conv2d(2, 2, 3)))
    image = noise(1, 1, 60, 41)
    stitched = shift_and_stitch(net, image, grid="pixels")
    assert stitched.shape == (1, 2, 60, 41)
    output = geometry_of(net).output
    assert output is not None
    # the cell of one pixel, from the piece of the zero-extended image that it reads
    side, center = output.rows.size, int(output.rows.center)
    padded = F.pad(image, (center, side, center, side))
    for row, col in ((0, 0), (59, 40), (13, 29)):
        alone = net(padded[..., row : row + side, col : col + side])
        assert alone.shape[2:] == (1, 1)
        torch.testing.assert_close(stitched[..., row, col], alone[..., 0, 0], atol=1e-5, rtol=0)


@torch.no_grad()
def test_a_network_without_stride_runs_once() -> None:
    class Counting(nn.Module):
        runs = 0

        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(1, 1, 3, padding=1)
            self.register_forward_pre_hook(self.count)

        @staticmethod
        def count(net: nn.Module, inputs: object) -> None:
            if not isinstance(inputs[0], torch.fx.Proxy) and not inputs[0].is_meta:  # type: ignore[index]
                Counting.runs += len(inputs[0])  # type: ignore[index]

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.conv(x)

    net, image = Counting(), noise(1, 1, 20, 20)
    assert torch.equal(shift_and_stitch(net, image), net.conv(image))
    assert Counting.runs <= 2


def test_mistakes_are_named() -> None:
    with pytest.raises(NetworkError, match="stride 3 is no divisor of the network's output stride, 8"):
        shift_and_stitch(stack(), noise(1, 2, 40, 40), stride=3)
    with pytest.raises(NetworkError, match=r"images of shape \(2, 40, 40\) are no"):
        shift_and_stitch(stack(), noise(2, 40, 40))
    with pytest.raises(NetworkError, match="no rows and columns"):
        shift_and_stitch(nn.Sequential(nn.Conv2d(2, 3, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten()), noise(1, 2, 40, 40))
