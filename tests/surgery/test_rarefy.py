"""À trous rewriting of small networks made for one difficulty each."""

from __future__ import annotations

import copy
import re

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from dense_oracles import naive_stitch, randomized
from fullconv.errors import NetworkError, NotConvolutional
from fullconv.geometry.geometry import geometry_of
from fullconv.surgery.rarefy import rarefy
from strided_nets import C, Call, conv


def image(height: int, width: int) -> torch.Tensor:
    return torch.randn(1, C, height, width, generator=torch.Generator().manual_seed(2))


class Bottleneck(nn.Module):
    """A ResNet block: the strided convolution in the middle, a strided 1×1 convolution beside it."""

    def __init__(self, stride: int) -> None:
        super().__init__()
        self.conv1, self.conv2, self.conv3 = conv(1), conv(3, stride, padding=1), conv(1)
        self.bn = nn.BatchNorm2d(C)
        self.shortcut = conv(1, stride, bias=False) if stride > 1 else nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out = F.relu(self.conv2(F.relu(self.conv1(x))))
        out = self.bn(self.conv3(out))
        out += self.shortcut(x)
        return F.relu(out, inplace=True)


class Focus(nn.Module):
    """Space to depth by slices, as YOLOv5 begins."""

    def __init__(self) -> None:
        super().__init__()
        self.mix = nn.Conv2d(4 * C, C, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x[..., : x.shape[-2] // 2 * 2, : x.shape[-1] // 2 * 2]
        parts = (x[..., ::2, ::2], x[..., 1::2, ::2], x[..., ::2, 1::2], x[..., 1::2, 1::2])
        return self.mix(torch.cat(parts, 1))


def _functional(net: nn.Module, x: torch.Tensor) -> torch.Tensor:
    a, b = net.a, net.b
    x = F.max_pool2d(F.conv2d(x, a.weight, a.bias, 2, padding=1), 3, 2, 1)
    x = F.avg_pool2d(F.conv2d(x, b.weight, b.bias, stride=(2, 1), padding="valid"), 2, ceil_mode=True)
    return F.conv_transpose2d(F.lp_pool2d(x.abs(), 2.0, 2, 1), a.weight, padding=1)


def _channel_shortcut(net: nn.Module, x: torch.Tensor) -> torch.Tensor:
    x = F.relu(net.a(x))
    return net.b(net.c(x) + F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, 1, 1))[:, 1:-1])


def _thrice(net: nn.Module, x: torch.Tensor) -> torch.Tensor:
    """One layer at three depths: its dilation differs."""
    return net.a(net.a(net.a(x)))


def _cropped(net: nn.Module, x: torch.Tensor) -> torch.Tensor:
    x = net.a(x)
    x = x[:, :, 1:-2, 2 : x.shape[3] - 1]
    x = x.narrow(2, 1, x.size(2) - 2)
    return net.b(F.pad(x, (1, 2, 0, 3), value=0.5))


def _tokens(net: nn.Module, x: torch.Tensor) -> torch.Tensor:
    x = net.a(x)
    n, c, h, w = x.shape
    tokens = x.flatten(2).transpose(1, 2)
    tokens = tokens + net.linear(net.norm(tokens))
    return net.b(tokens.transpose(1, 2).reshape(n, c, h, w))


def _unequal_borders(net: nn.Module, x: torch.Tensor) -> torch.Tensor:
    """An unpadded pool beside a padded convolution: equal sizes in the original, not between its cells."""
    x = torch.cat([net.pool(x), net.a(x)], 1)[..., : x.shape[2] // 2, : x.shape[3] // 2]
    return net.b(x[:, :C] * x[:, C:])


NETS: dict[str, tuple[nn.Module, int]] = {
    "resnet": (nn.Sequential(Bottleneck(2), Bottleneck(1), Bottleneck(2), Bottleneck(1), Bottleneck(2)), 8),
    "depthwise": (nn.Sequential(conv(5, 2, padding=2, groups=C), conv(4, 2, groups=C), conv(3, padding=1)), 4),
    "even kernels": (nn.Sequential(conv(2, 2), conv(4, 1, padding=2), conv(4, 3, padding=1), conv(2, padding=1)), 6),
    "same": (nn.Sequential(conv(3, 2), conv(4, padding="same"), conv((2, 5), padding="same", dilation=3)), 2),
    "dilated": (nn.Sequential(conv(3, 2, dilation=2), nn.MaxPool2d(3, 2, 1, dilation=2), conv(3, dilation=3)), 4),
    "reflected": (nn.Sequential(conv(3, 2), conv(3, 2, padding=1, padding_mode="reflect"), conv()), 4),
    "replicated": (nn.Sequential(conv(3, 2), nn.ReplicationPad2d((1, 2, 0, 3)), conv(3, 2), conv()), 4),
    "pads": (nn.Sequential(conv(3, 2), nn.ZeroPad2d((0, 1, 2, -1)), nn.ConstantPad2d(1, 0.3), conv(3, 2), conv()), 4),
    "max pools": (nn.Sequential(nn.MaxPool2d(2), conv(), nn.MaxPool2d(3, 2, 1), nn.MaxPool2d(2, 2, 1), conv()), 8),
    "ceil": (
        nn.Sequential(
            nn.MaxPool2d(3, 2, ceil_mode=True), conv(3, padding=1), nn.MaxPool2d(3, 2, 1, ceil_mode=True), conv(3)
        ),
        4,
    ),
    "averages": (
        nn.Sequential(
            nn.AvgPool2d(2, ceil_mode=True),
            nn.AvgPool2d(3, 2, 1, ceil_mode=True),
            nn.AvgPool2d(3, 1, 1, count_include_pad=False),
            nn.AvgPool2d(3, 2, 1, divisor_override=5),
            nn.AvgPool2d((3, 2), (1, 2), ceil_mode=True, count_include_pad=False, padding=1),
        ),
        8,
    ),
    "power averages": (nn.Sequential(nn.ReLU(), nn.LPPool2d(2, 3, 2, ceil_mode=True), nn.LPPool2d(1.5, 2)), 4),
    "focus": (nn.Sequential(conv(1), Focus(), Focus(), conv(3, padding=1)), 4),
    "unshuffle": (
        nn.Sequential(nn.ZeroPad2d(2), conv(3, 2), nn.PixelUnshuffle(1), nn.Conv2d(C, C, 2), nn.ChannelShuffle(2)),
        2,
    ),
    "functions": (Call(_functional, a=conv(), b=conv((2, 3))), 16),
    "channel shortcut": (Call(_channel_shortcut, a=conv(3, 2, padding=1), b=conv(), c=conv(3, 2, padding=1)), 4),
    "one layer thrice": (Call(_thrice, a=conv(3, 2, padding=1)), 8),
    "crops": (nn.Sequential(conv(3, 2), Call(_cropped, a=conv(3, 2), b=conv(3, 2))), 8),
    "tokens": (
        nn.Sequential(conv(3, 2), Call(_tokens, a=conv(2, 2), b=conv(), norm=nn.LayerNorm(C), linear=nn.Linear(C, C))),
        4,
    ),
    "unequal borders": (
        nn.Sequential(Call(_unequal_borders, pool=nn.MaxPool2d(2), a=conv(3, 2, padding=1), b=conv(3, padding=1))),
        2,
    ),
}
"""Each with its output stride along rows."""


@pytest.mark.parametrize("name", NETS)
@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")
@torch.no_grad()
def test_every_cell_of_the_original_is_there_at_every_image_size(name: str) -> None:
    net, total = NETS[name][0], NETS[name][1]
    randomized(net)
    output = geometry_of(net).output
    assert output is not None
    across = int(output.cols.stride)
    assert output.rows.stride == total
    checked = 0
    for stride in {1, 2, total // 2}:
        if total % stride or across % stride:
            continue
        rarefied = rarefy(net, stride)
        for height in range(30, 30 + 2 * total + 1):
            x = image(height, height + (16 if height % 4 < 2 else 7))
            try:
                original = net(x)
            except RuntimeError:  # too small, or branches that do not meet at this size
                continue
            cells = rarefied(x)[..., :: total // stride, :: across // stride]
            torch.testing.assert_close(cells, original, atol=1e-5 * float(original.abs().max()), rtol=0)
            checked += 1
    assert checked >= total


@torch.no_grad()
def test_the_layer_that_loses_its_stride_keeps_its_own_dilation() -> None:
    rarefied = rarefy(randomized(NETS["resnet"][0]), 2)
    found = {path: (layer.stride, layer.dilation) for path, layer in rarefied.named_modules() if "conv2" in path}
    assert found == {
        "0.conv2": ((2, 2), (1, 1)),
        "1.conv2": ((1, 1), (1, 1)),
        "2.conv2": ((1, 1), (1, 1)),
        "3.conv2": ((1, 1), (2, 2)),
        "4.conv2": ((1, 1), (2, 2)),
    }


@torch.no_grad()
def test_rows_and_columns_may_be_treated_apart() -> None:
    net = randomized(nn.Sequential(conv(3, (2, 1), padding=1), conv((3, 5), (2, 4), padding=1), conv((1, 3))))
    x = image(41, 53)
    rarefied = rarefy(net, (1, 2))
    torch.testing.assert_close(rarefied(x)[..., ::4, ::2], net(x), atol=1e-5, rtol=0)
    output = geometry_of(rarefied).output
    assert output is not None
    assert (output.rows.stride, output.cols.stride) == (1, 2)


@torch.no_grad()
def test_strides_that_share_factors_with_the_wanted_one_are_kept_in_part() -> None:
    net = randomized(nn.Sequential(conv(3, 4), conv(3, 3), conv(3)))
    rarefied = rarefy(net, 6)
    assert [layer.stride for layer in rarefied.children()] == [(2, 2), (3, 3), (1, 1)]
    x = image(90, 95)
    torch.testing.assert_close(rarefied(x)[..., ::2, ::2], net(x), atol=1e-5, rtol=0)


@torch.no_grad()
def test_named_layers_alone_lose_their_strides() -> None:
    net = randomized(nn.Sequential(conv(3, 2), nn.Sequential(conv(3, 2), conv(3, 2)), conv(3)))
    x = image(70, 61)
    rarefied = rarefy(net, layers=["1"])
    assert [layer.stride[0] for layer in rarefied.modules() if isinstance(layer, nn.Conv2d)] == [2, 1, 1, 1]
    torch.testing.assert_close(rarefied(x)[..., ::4, ::4], net(x), atol=1e-5, rtol=0)
    first = rarefy(net, layers=["0"])
    assert [layer.dilation[0] for layer in first.modules() if isinstance(layer, nn.Conv2d)] == [1, 2, 2, 2]
    torch.testing.assert_close(first(x)[..., ::2, ::2], net(x), atol=1e-5, rtol=0)
    with pytest.raises(NetworkError, match=r"no layer with a stride is named '3'; there are 0, 1\.0, 1\.1"):
        rarefy(net, layers=["3"])
    with pytest.raises(NetworkError, match="with these layers the output stride is 4×4, not 1×1"):
        rarefy(net, 1, layers=["0"])


def test_a_branch_left_out_is_named() -> None:
    net = randomized(nn.Sequential(Bottleneck(2)))
    with pytest.raises(NotConvolutional, match=re.escape("0.add: branches meet whose strides were reduced")):
        rarefy(net, layers=["0.conv2"])


@torch.no_grad()
def test_rarefying_twice_is_rarefying_once() -> None:
    pools = nn.Sequential(nn.MaxPool2d(3, 2, 1, ceil_mode=True), nn.AvgPool2d(3, 2, 1, ceil_mode=True))
    net = randomized(nn.Sequential(pools, conv(3, 2, padding=1, padding_mode="reflect"), nn.MaxPool2d(3, 2, 1)))
    x = image(71, 66)
    original = net(x)
    for halfway in (8, 4, 2):
        twice = rarefy(rarefy(net, halfway), 1)(x)
        torch.testing.assert_close(twice[..., ::16, ::16], original, atol=1e-5, rtol=0)
        once = rarefy(net, 1)(x)[..., : twice.shape[2], : twice.shape[3]]
        inside = (..., slice(20, 40), slice(20, 40))
        torch.testing.assert_close(twice[inside], once[inside], atol=1e-5, rtol=0)


@torch.no_grad()
def test_the_original_is_left_alone_and_weights_are_copied() -> None:
    net = randomized(nn.Sequential(conv(3, 2), nn.BatchNorm2d(C), nn.MaxPool2d(2), conv(3, padding=1)))
    before = copy.deepcopy(net.state_dict())
    x = image(30, 31)
    result = net(x)
    rarefied = rarefy(net, 1)
    assert rarefied.state_dict().keys() == before.keys()
    for name, value in rarefied.state_dict().items():
        assert torch.equal(value, before[name])
        value.zero_()
    assert torch.equal(net(x), result)
    assert net[3].dilation == (1, 1)


def test_it_can_be_copied_moved_and_trained() -> None:
    net = randomized(NETS["averages"][0])
    rarefied = copy.deepcopy(rarefy(nn.Sequential(conv(3, 2), *net), 1)).double()
    x = image(40, 44).double().requires_grad_()
    rarefied(x).sum().backward()
    assert x.grad is not None
    assert x.grad.abs().sum() > 0
    assert all(parameter.grad is not None for parameter in rarefied.parameters())


def test_no_weight_is_needed() -> None:
    with torch.device("meta"):
        net = nn.Sequential(nn.Conv2d(3, 8, 3, 2), nn.MaxPool2d(2), nn.Conv2d(8, 5, 3)).eval()
    rarefied = rarefy(net, 1)
    assert rarefied.get_submodule("2").weight.is_meta
    assert rarefied(torch.empty(1, 3, 50, 50, device="meta")).shape == (1, 5, 38, 38)


@torch.no_grad()
def test_images_smaller_than_the_stride() -> None:
    net = randomized(
        nn.Sequential(NETS["max pools"][0][0], nn.MaxPool2d(2, 2, 1), nn.MaxPool2d(2, 2, 1), Bottleneck(2))
    )
    rarefied = rarefy(net, 1)
    for height in range(2, 20):
        original, dense = net(image(height, 9)), rarefied(image(height, 9))
        torch.testing.assert_close(dense[..., ::16, ::16], original, atol=1e-5, rtol=0)
        assert dense.isfinite().all()


@torch.no_grad()
def test_several_results_keep_what_is_finer_than_wanted() -> None:
    class Features(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = nn.ModuleList(conv(3, 2, padding=1) for _ in range(4))

        def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
            found = {}
            for index, layer in enumerate(self.layers):
                x = layer(x)
                found[f"stride{2 ** (index + 1)}"] = x
            return found

    net = randomized(Features())
    x = image(50, 47)
    original, dense = net(x), rarefy(net, 4)(x)
    for name, apart in (("stride2", 1), ("stride4", 1), ("stride8", 2), ("stride16", 4)):
        torch.testing.assert_close(dense[name][..., ::apart, ::apart], original[name], atol=1e-5, rtol=0)


@torch.no_grad()
def test_what_is_computed_beside_the_result_is_no_obstacle() -> None:
    def forward(net: nn.Module, x: torch.Tensor) -> torch.Tensor:
        x = net.a(x)
        net.norm(x)
        x.mean()
        return net.b(x)

    net = randomized(Call(forward, a=conv(3, 2), b=conv(3, 2), norm=nn.GroupNorm(2, C)))
    x = image(30, 33)
    torch.testing.assert_close(rarefy(net, 2)(x)[..., ::2, ::2], net(x), atol=1e-5, rtol=0)


@torch.no_grad()
def test_upsampling_stays_where_nothing_is_denser() -> None:
    net = randomized(nn.Sequential(conv(3, 2), nn.Upsample(scale_factor=2), conv(3, 4), conv(3, 2)))
    x = image(61, 64)
    torch.testing.assert_close(rarefy(net, 4)(x)[..., ::2, ::2], net(x), atol=1e-5, rtol=0)


@torch.no_grad()
def test_a_new_stem_stride_comes_first() -> None:
    net = randomized(nn.Sequential(conv(5, 4, padding=2), conv(3, 2, padding=1), conv(3, padding=1)))
    finer = rarefy(net, 2, stem_stride=2)
    assert [(layer.stride[0], layer.dilation[0]) for layer in finer.children()] == [(2, 1), (1, 1), (1, 2)]
    other = nn.Sequential(conv(5, 2, padding=2), conv(3, 2, padding=1), conv(3, padding=1)).eval()
    other.load_state_dict(net.state_dict())
    x = image(40, 45)
    torch.testing.assert_close(finer(x)[..., ::2, ::2], other(x), atol=1e-5, rtol=0)


@torch.no_grad()
def test_every_position_of_an_unpadded_network_is_that_of_a_shifted_image() -> None:
    net = randomized(nn.Sequential(conv(3, 2), nn.MaxPool2d(2), conv(2, 3), nn.AvgPool2d(2, 1), conv(3)))
    x = image(85, 78)
    dense = rarefy(net, 1)(x)
    expected = naive_stitch(net, x, 12, 1)[..., : dense.shape[2], : dense.shape[3]]
    torch.testing.assert_close(dense, expected, atol=1e-5, rtol=0)
