"""Whole networks: what their layers read, what they cost, and what is in the way of tiles."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from fractions import Fraction

import pytest
import torch
import torch.nn.functional as F
import torchvision
from torch import nn

from fullconv.errors import NetworkError
from fullconv.geometry.geometry import Geometry, Reach, geometry_of
from fullconv.geometry.measuring import measure_reach


class Calls(nn.Module):
    """A convolution, then whatever a test wants to be done with its result."""

    def __init__(self, then: Callable[[torch.Tensor], torch.Tensor], channels: int = 4) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, channels, 3, padding=1)
        self.then = then

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.then(self.conv(images))


def geometry(net: nn.Module) -> Geometry:
    return geometry_of(net.eval(), input_size=(64, 64))


class SqueezeExcite(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Conv2d(3, 3, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.fc(x.mean((2, 3), keepdim=True)).sigmoid()


class Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.qkv = nn.Linear(3, 9)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        tokens = self.qkv(x.flatten(2).transpose(1, 2))
        q, k, v = tokens.chunk(3, dim=2)
        return F.scaled_dot_product_attention(q, k, v)


class Windows(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        n, c, h, w = x.shape
        return x.view(n, c, h // 8, 8, w // 8, 8).permute(0, 2, 4, 3, 5, 1).reshape(-1, 64, c)


class Positions(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.zeros(1, 3, 64, 64))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.table


class PaddedToSize(nn.Module):
    """As TensorFlow pads, and timm's Conv2dSame."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        missing = (x.shape[-1] // 2 - 1) * 2 + 3 - x.shape[-1]
        return F.pad(x, (missing // 2, missing - missing // 2, 1, 1))


class DecidesBySize(nn.Conv2d):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x[..., :-1] if x.shape[-1] % 2 else x)


@pytest.mark.parametrize(
    ("net", "kind", "words"),
    [
        (nn.AdaptiveAvgPool2d(1), "global-pooling", "pools the whole map into one cell"),
        (SqueezeExcite(), "global-pooling", "takes the mean over all rows or columns"),
        (nn.AdaptiveMaxPool2d((3, 5)), "adaptive-pooling", "into 3×5 windows"),
        (nn.GroupNorm(3, 3), "normalization", "group norm"),
        (nn.InstanceNorm2d(3), "normalization", "instance norm"),
        (nn.LayerNorm([3, 64, 64]), "normalization", "layer norm"),
        (nn.BatchNorm2d(3, track_running_stats=False), "batch-statistics", "training mode"),
        (nn.Upsample(size=(32, 32)), "resizing", "to a given size"),
        (nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True), "resizing", "aligns the corners"),
        (Attention(), "attention", "attends to all others"),
        (Windows(), "attention", "window partition"),
        (Positions(), "fixed-size", "position embedding"),
        (PaddedToSize(), "size-dependent-padding", "computed from the size of the image"),
        (DecidesBySize(3, 3, 3), "size-dependent-padding", "DecidesBySize"),
        (nn.Conv2d(3, 3, 3, padding=1, padding_mode="circular"), "fixed-size", "wraps around"),
        (nn.Softmax(dim=-1), "attention", "softmax over the places"),
        (nn.Flatten(), "flattening", "reads all of it at a fixed size"),
        (nn.Linear(64, 5), "fixed-size", "connect all columns"),
    ],
)
def test_what_depends_on_the_whole_image_is_named(net: nn.Module, kind: str, words: str) -> None:
    found = geometry(nn.Sequential(nn.Identity(), net))
    assert not found.is_local
    assert kind in [obstacle.kind for obstacle in found.obstacles], found.obstacles
    assert words in str(found.obstacles[0])
    assert found.obstacles[0].name.startswith("1")
    with pytest.raises(NetworkError, match="reach has no bound: 1"):
        _ = found.reach


def test_batch_norm_is_an_obstacle_in_training_mode_only() -> None:
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
    assert [obstacle.kind for obstacle in geometry_of(net.train()).obstacles] == ["batch-statistics"]
    assert geometry_of(net.eval()).is_local


def test_obstacles_on_side_branches_that_the_result_does_not_need_do_not_count() -> None:
    class TwoHeads(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 3)
            self.pool = nn.AdaptiveAvgPool2d(1)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            y: torch.Tensor = self.conv(x)
            self.pool(y)
            return y

    assert geometry(TwoHeads()).is_local


LOCAL: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "layer norm over channels": lambda x: F.layer_norm(x.permute(0, 2, 3, 1), (4,)).permute(0, 3, 1, 2),
    "softmax over channels": lambda x: x.softmax(1),
    "a linear layer per pixel": lambda x: F.linear(x.permute(0, 2, 3, 1), torch.ones(2, 4)),
    "local response norm": lambda x: F.local_response_norm(x, 3),
    "channel shuffle by view": lambda x: x.view(x.size(0), 2, 2, x.size(2), x.size(3)).transpose(1, 2).flatten(1, 2),
    "chunks of channels": lambda x: torch.cat(x.chunk(2, dim=1)[::-1], dim=1),
    "the largest channel": lambda x: x.max(dim=1, keepdim=True)[0],
    "tokens and back": lambda x: x.flatten(2).transpose(1, 2).transpose(1, 2).unflatten(2, x.shape[2:]),
    "crop at the far end": lambda x: x[..., : x.shape[2] - 3, : x.shape[3] - 3],
    "lp pooling": lambda x: F.lp_pool2d(x, 2.0, 3, stride=1),
    "a gate of one channel": lambda x: x * x[:, :1].sigmoid(),
    "asymmetric padding": lambda x: F.max_pool2d(F.pad(x, (0, 1, 2, 3)), 2),
    "pixel unshuffle and shuffle": lambda x: F.pixel_shuffle(
        F.conv2d(F.pixel_unshuffle(x, 2), torch.ones(4, 16, 1, 1)), 2
    ),
    "reflection": lambda x: F.avg_pool2d(F.pad(x, (1, 1, 1, 1), mode="reflect"), 3, 1),
}


@pytest.mark.parametrize("name", LOCAL)
def test_what_is_local_has_the_reach_that_is_measured(name: str) -> None:
    net = Calls(LOCAL[name]).eval()
    found = geometry(net)
    assert found.is_local, found.obstacles
    if name != "a linear layer per pixel":  # the measurement wants (N, C, H, W)
        assert found.reach == measure_reach(net)


def test_branches_out_of_line_are_reported_in_pixels() -> None:
    class Skewed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.even = nn.Conv2d(3, 4, 2, padding="valid")
            self.odd = nn.Conv2d(3, 4, 3, padding=1)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.even(x) + self.odd(x)[..., :-1, :-1]

    output = geometry(Skewed()).output
    assert output is not None
    assert output.skew == (Fraction(1, 2), Fraction(1, 2))


def test_branches_of_different_strides_are_an_obstacle() -> None:
    class Odd(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one, self.two = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(3, 4, 3, stride=2, padding=32)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            small: torch.Tensor = self.two(x)
            return self.one(x)[..., : small.shape[2], : small.shape[3]] + small

    assert [obstacle.kind for obstacle in geometry(Odd()).obstacles] == ["misaligned"]


def test_rows_and_columns_are_kept_apart() -> None:
    found = geometry(nn.Sequential(nn.Conv2d(3, 4, (3, 7), stride=(2, 1), padding=(0, 3)), nn.MaxPool2d((2, 1))))
    layer = found["1"]
    assert (layer.stride, layer.offset, layer.receptive_field) == ((4, 1), (2, 0), (5, 7))
    assert found.total_stride == (4, 1)
    assert found.reach == Reach(up=0, down=4, left=3, right=3)


def test_costs_are_those_of_the_literature() -> None:
    with torch.device("meta"):
        alexnet, vgg, resnet = (
            torchvision.models.get_model(name, weights=None).eval() for name in ("alexnet", "vgg16", "resnet50")
        )
    for net, parameters, billions in (
        (alexnet, 61_100_840, 0.714),
        (vgg, 138_357_544, 15.47),
        (resnet, 25_557_032, 4.09),
    ):
        found = geometry_of(net)
        assert found.parameters == parameters
        assert found.multiply_adds / 1e9 == pytest.approx(billions, abs=0.01)
    layer = geometry_of(alexnet)["features.0"]
    assert layer.multiply_adds == 64 * 55 * 55 * 3 * 11 * 11
    assert layer.activation_bytes == 64 * 55 * 55 * 4


def test_receptive_fields_of_the_paper() -> None:
    with torch.device("meta"):
        alexnet = torchvision.models.alexnet(weights=None).features.eval()
        vgg = nn.Sequential(torchvision.models.vgg16(weights=None).features, nn.Conv2d(512, 4096, 7)).eval()
        google = torchvision.models.googlenet(weights=None, init_weights=False, aux_logits=False).eval()
        google.avgpool = nn.AvgPool2d(7, stride=1)
    assert geometry_of(nn.Sequential(alexnet, nn.Conv2d(256, 4096, 6)).eval()).layers[-1].receptive_field == (355, 355)
    assert geometry_of(vgg).layers[-1].receptive_field == (404, 404)
    assert geometry_of(google)["avgpool"].receptive_field == (571, 571)
    for name, module in google.named_modules():  # the paper's form: 5×5 where torchvision has 3×3
        if name.endswith("branch3.1.conv"):
            module.kernel_size, module.padding = (5, 5), (2, 2)
            module.weight = nn.Parameter(torch.empty(*module.weight.shape[:2], 5, 5, device="meta"))
    google.maxpool4.kernel_size = 3
    assert geometry_of(google)["avgpool"].receptive_field == (907, 907)


def test_vgg16_takes_less_than_a_second_and_no_memory() -> None:
    with torch.device("meta"):
        net = torchvision.models.vgg16(weights=None).eval()
    geometry_of(net)
    started = time.perf_counter()
    geometry_of(net)
    assert time.perf_counter() - started < 1
    assert all(parameter.is_meta for parameter in net.parameters())


def test_a_network_that_cannot_be_followed_is_one_sentence() -> None:
    class Branches(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x if x.sum() > 0 else -x

    with pytest.raises(NetworkError, match=r"Branches cannot be traced .*; keep decisions"):
        geometry_of(Branches())


def test_a_module_that_cannot_be_followed_inside_is_one_obstacle() -> None:
    class Inner(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x if x.sum() > 0 else -x

    class Meta(Inner):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x if x.shape[-1] > 300 else -x

    found = geometry(nn.Sequential(nn.Conv2d(3, 4, 3), Meta()))
    assert [str(obstacle) for obstacle in found.obstacles] == ["1: the inside of this Meta cannot be traced"]


def test_a_module_may_say_itself_what_it_reads() -> None:
    class Own(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return F.avg_pool2d(x, 3, 1, 1) if math.prod(x.shape) else x

        def reads(self, field):  # type: ignore[no-untyped-def]
            return field.window(3, padding=1)

    net = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), Own()).eval()
    assert geometry(net).reach == measure_reach(net) == Reach(2, 2, 2, 2)


def test_no_layer_of_that_name() -> None:
    with pytest.raises(NetworkError, match="no layer is named 'pool9'"):
        geometry(nn.Sequential(nn.Conv2d(3, 4, 3)))["pool9"]
