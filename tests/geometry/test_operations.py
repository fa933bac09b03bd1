"""Operations that are easily taken for something else."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from fullconv.geometry.geometry import geometry_of
from fullconv.geometry.measuring import measure_reach
from fullconv.geometry.meta_values import bands_of


class Net(nn.Module):
    def __init__(self, function: object) -> None:
        super().__init__()
        self.conv, self.shortcut, self.function = nn.Conv2d(3, 4, 3), nn.Sequential(), function

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.function(self.shortcut(self.conv(x)))  # type: ignore[operator,no-any-return]


@pytest.mark.parametrize(
    "function",
    [
        F.normalize,
        lambda x: x * x.mean(1, keepdim=True).expand_as(x),
        lambda x: x.flatten(2).relu().view_as(x),
        lambda x: x.flatten(2).relu().reshape_as(x),
    ],
)
def test_operations_cell_by_cell_are_local(function: object) -> None:
    geometry = geometry_of(Net(function))
    assert geometry.is_local, geometry.obstacles
    assert geometry.output is not None
    assert geometry.output.rows.extent(0) == (0, 2)


class Embedded(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.scale, self.places = (
            nn.Conv2d(3, 4, 3),
            nn.Parameter(torch.ones(4)),
            nn.Parameter(torch.ones(64)),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.conv(x) * self.scale.reshape(1, -1, 1, 1) + self.places.reshape(1, 1, 8, 8)


def test_weights_are_weights_however_they_are_shaped() -> None:
    obstacles = geometry_of(Embedded(), input_size=(10, 10)).obstacles
    assert [(found.name, found.kind) for found in obstacles] == [("add", "fixed-size")]


def test_a_norm_over_places_is_named() -> None:
    geometry = geometry_of(Net(lambda x: F.normalize(x, dim=-1)))
    assert [(found.name, found.kind) for found in geometry.obstacles] == [("normalize", "attention")]


def test_a_network_may_say_what_images_it_takes() -> None:
    net = nn.Sequential(nn.PixelUnshuffle(2), nn.Conv2d(12, 4, 1))
    assert bands_of(net) == 12
    net.image_channels = 3
    assert bands_of(net) == 3
    assert geometry_of(net).channels == 3


class Wide(nn.Module):
    """A function of a map whose cells read 3 pixels and of layers that read more."""

    def __init__(self, function: object) -> None:
        super().__init__()
        self.image_channels, self.function = 1, function
        self.conv = nn.Conv2d(1, 4, 3, padding=1)
        self.wide = nn.Conv2d(4, 4, 7, padding=3)
        self.weight = nn.Parameter(torch.ones(4, 4, 3, 3))
        self.line = nn.Parameter(torch.ones(4))
        self.register_buffer("order", torch.tensor([3, 1, 0, 2]))
        self.tracked = nn.InstanceNorm2d(4, track_running_stats=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.function(self, self.conv(x))  # type: ignore[operator,no-any-return]


LOCAL = {
    **{
        f"{mode} by {factor}": lambda net, x, mode=mode, factor=factor: F.interpolate(x, scale_factor=factor, mode=mode)
        for mode in ("nearest", "nearest-exact", "bilinear", "bicubic")
        for factor in (3, 1.5, 0.75, 0.4, 1 / 3, (2.0, 0.5))
    },
    "whole factor worked out anew": lambda net, x: F.interpolate(x, scale_factor=2, recompute_scale_factor=True),
    "widened when fewer": lambda net, x: F.interpolate(x, scale_factor=0.4, mode="bicubic", antialias=True),
    "highest by name": lambda net, x: torch.cat([x, net.wide(x).max(1, keepdim=True).values], 1),
    "highest without its dimension": lambda net, x: net.wide(x).max(1)[0].unsqueeze(-1).permute(0, 3, 1, 2),
    "largest of two": lambda net, x: torch.max(x, net.wide(x)),
    "larger than a weight": lambda net, x: torch.max(x, net.line.view(1, -1, 1, 1)),
    "transposed twice": lambda net, x: torch.cat([x, net.wide(x).mT.mT], 1),
    "data": lambda net, x: torch.cat([x, net.wide(x).data], 1),
    "changed in place": lambda net, x: (x.add_(net.wide(x)), net.wide(x))[1],
    "changed in place at the end": lambda net, x: (x.mul_(net.wide(x)), x)[1],
    "weights by name": lambda net, x: F.conv2d(input=x, weight=net.weight, padding=(1, 0), dilation=(1, 2)),
    "transposed weights by name": lambda net, x: F.conv_transpose2d(x, weight=net.weight, stride=3, output_padding=1),
    "linear weights by name": lambda net, x: F.linear(x.permute(0, 2, 3, 1), weight=net.weight[..., 0, 0]).mean(3)[
        :, None
    ],
    "chosen channels": lambda net, x: x.index_select(1, net.order) + x.select(1, 2)[:, None],
    "turned channels": lambda net, x: x.flip(1) + torch.flip(x, [1]) + x.roll(1, 1) + torch.roll(x, 1, dims=-3),
    "repeated channels": lambda net, x: x.repeat(1, 3, 1, 1),
    "channels repeated one by one": lambda net, x: x.repeat_interleave(2, 1) + torch.repeat_interleave(x, 2, dim=-3),
    "pool that could tell places": lambda net, x: F.max_pool2d(x, 3, 2, return_indices=True)[0],
    "changed in one half": lambda net, x: (
        lambda wide, parts: torch.cat([parts[0].add_(wide[:, :2]).relu(), parts[1]], 1)
    )(net.wide(x), x.chunk(2, 1)),
    "changed by a layer": lambda net, x: (lambda y: (nn.functional.relu(y, inplace=True), net.wide(y))[1])(x),
    "gated channels": lambda net, x: F.glu(x, 1),
    "moved dimensions": lambda net, x: net.wide(x.movedim(1, -1).swapaxes(axis0=1, axis1=2).movedim((0, 3), (0, 1)).mT),
    "slopes": lambda net, x: F.prelu(x, net.line),
    "tracked statistics": lambda net, x: net.tracked(x),
    "sum by letters": lambda net, x: torch.einsum("nchw,kc->nkhw", x, net.weight[:, :, 0, 0]),
    "norm": lambda net, x: x / torch.linalg.vector_norm(x, dim=1, keepdim=True),
    "ones": lambda net, x: x + torch.ones_like(x),
}


@pytest.mark.parametrize("function", LOCAL.values(), ids=LOCAL)
@pytest.mark.parametrize("axis", [2, 3])
def test_every_cell_reads_what_the_arithmetic_says(function: object, axis: int) -> None:
    net, (height, width) = Wide(function).eval(), (64, 24) if axis == 2 else (24, 64)
    geometry = geometry_of(net)
    assert geometry.is_local, geometry.obstacles
    assert geometry.output is not None
    images = torch.zeros(64, 1, height, width)
    for row, image in enumerate(images):
        image.select(axis - 1, row).fill_(float("nan"))
    with torch.no_grad():
        struck = net(images).isnan().any(1).any(4 - axis)
    field = geometry.output.rows if axis == 2 else geometry.output.cols
    cells = [cell for cell in range(struck.shape[1]) if 16 < cell * field.stride + field.center < 48]
    read = {cell: struck[:, cell].nonzero().flatten().tolist() for cell in cells}
    assert len(cells) > 8
    assert {cell: (rows[0], rows[-1]) if rows else None for cell, rows in read.items()} == {
        cell: field.extent(cell) for cell in cells
    }


NOT_LOCAL = {
    "first row": (lambda net, x: x + x[:, :, :1], "fixed-size"),
    "first row narrowed": (lambda net, x: x + x.narrow(2, 0, 1), "fixed-size"),
    "times the width": (lambda net, x: x * x.shape[-1], "size-dependent"),
    "over the area": (lambda net, x: x / (x.shape[-1] * x.shape[-2]) ** 0.5, "size-dependent"),
    "plus the width": (lambda net, x: x + torch.full((1,), x.shape[-1]), "size-dependent"),
    "coordinates": (
        lambda net, x: torch.cat([x, torch.arange(x.shape[-1]).expand(x.shape[0], 1, x.shape[2], -1)], 1),
        "fixed-size",
    ),
    "every cell with every other": (
        lambda net, x: (x.flatten(2).unsqueeze(-1) * x.flatten(2).unsqueeze(-2)).softmax(-1).sum(-1).view_as(x),
        "attention",
    ),
    "mean in place": (lambda net, x: (x.add_(x.mean((2, 3), keepdim=True)), x)[1], "global-pooling"),
    "halves of the columns": (lambda net, x: F.glu(x), "attention"),
    "rows of another length": (
        lambda net, x: x.flatten(2).view(x.shape[0], x.shape[1], x.shape[3], x.shape[2]),
        "flattening",
    ),
    "pairs": (lambda net, x: x.flatten(2).view(x.shape[0], x.shape[1], -1, 2), "flattening"),
    "factor worked out anew": (
        lambda net, x: F.interpolate(x, scale_factor=1.5, mode="bilinear", recompute_scale_factor=True),
        "resizing",
    ),
    "norm along rows": (lambda net, x: F.local_response_norm(x.permute(0, 2, 3, 1), 3), "unknown"),
    "weights from the map": (lambda net, x: F.conv2d(x, x[:1, :, ::64, ::64]), "attention"),
    "turned map": (lambda net, x: x.roll(1, 2) + x.flip(3), "fixed-size"),
    "square images only": (lambda net, x: x + x.transpose(2, 3), "misaligned"),
    "factor that is no ratio": (lambda net, x: F.interpolate(x, scale_factor=0.3333), "resizing"),
    "places of a pool": (
        lambda net, x: sum(F.max_pool2d(x, 2, return_indices=True)[part] for part in (0, 1)),
        "fixed-size",
    ),
    "rows repeated one by one": (lambda net, x: x.repeat_interleave(2, 2), "fixed-size"),
    "part changed in place": (lambda net, x: (x[:, :1].add_(net.wide(x)[:, :1]), x)[1], "changed-in-place"),
    "changed under a view": (
        lambda net, x: (lambda y: (x.add_(net.wide(x)), y.view_as(x))[1])(x.flatten(2)),
        "changed-in-place",
    ),
    "one size only": (lambda net, x: x.view(-1, 4, 224, 224), "flattening"),
}


@pytest.mark.parametrize(("function", "kind"), NOT_LOCAL.values(), ids=NOT_LOCAL)
def test_what_looks_local_and_is_not_is_named(function: object, kind: str) -> None:
    geometry = geometry_of(Wide(function).eval())
    assert not geometry.is_local
    assert geometry.obstacles[0].kind == kind


def test_a_number_that_is_no_size_of_the_image_does_no_harm() -> None:
    assert geometry_of(Wide(lambda net, x: x / x.shape[1] ** 0.5).eval()).is_local


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_other_precisions_have_the_same_geometry(dtype: torch.dtype) -> None:
    net = nn.Sequential(nn.Conv2d(3, 4, 5, 2, 2), nn.BatchNorm2d(4), nn.Upsample(scale_factor=2)).eval()
    expected = geometry_of(net).reach
    assert geometry_of(net.to(dtype)).reach == expected
    if dtype == torch.float64:
        assert measure_reach(net) == expected


def test_rows_that_nothing_reads_are_passed_over_when_measuring() -> None:
    net = Wide(lambda net, x: x[..., 1::2, 2::3]).eval()
    net.conv = nn.Conv2d(1, 4, 1)
    assert measure_reach(net) == geometry_of(net).reach
