"""Networks that have no form with fewer strides are refused by name."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from fullconv.errors import NetworkError, NotConvolutional
from fullconv.surgery.rarefy import rarefy
from strided_nets import C, Call, conv


class SqueezeExcite(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.pool, self.fc = nn.AdaptiveAvgPool2d(1), conv(1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.fc(self.pool(x)).sigmoid()


REFUSED: dict[str, tuple[nn.Module, str]] = {
    "squeeze-excite": (nn.Sequential(conv(3, 4), SqueezeExcite()), "1.pool: it pools the whole map into one cell"),
    "flatten": (nn.Sequential(conv(3, 4), nn.Flatten(), nn.Linear(C * 56 * 56, 3)), "1: it flattens the map"),
    "group norm": (nn.Sequential(conv(3, 4), nn.GroupNorm(2, C)), "1: group norm takes its statistics"),
    "upsampling": (
        nn.Sequential(conv(3, 4), conv(3, 4), nn.Upsample(scale_factor=2)),
        r"2: enlarging a map \(Upsample\) has no à trous form; rarefy the encoder",
    ),
    "transposed": (
        nn.Sequential(conv(3, 4), conv(3, 4), nn.ConvTranspose2d(C, C, 4, 2)),
        "2: a transposed convolution that enlarges the map has no à trous form",
    ),
    "indices": (
        Call(lambda net, x: net.pool(net.a(x))[0], a=conv(3, 4), pool=nn.MaxPool2d(2, return_indices=True)),
        "pool: the indices that it returns",
    ),
    "circular": (nn.Sequential(conv(3, 4), conv(3, padding=1, padding_mode="circular")), "1: its padding wraps"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_rewritten_is_named(name: str) -> None:
    net, message = REFUSED[name]
    with pytest.raises(NotConvolutional, match=f"^{message}"):
        rarefy(net.eval(), 1)


def test_batch_norm_in_training_is_refused() -> None:
    with pytest.raises(NotConvolutional, match=r"1: batch norm in training mode .*call .eval\(\) first"):
        rarefy(nn.Sequential(conv(3, 2), nn.BatchNorm2d(C)), 1)


@pytest.mark.parametrize("stride", [3, 8, 0])
def test_only_divisors_of_the_stride_are_taken(stride: int) -> None:
    with pytest.raises(NetworkError, match=f"stride {stride} is no divisor of the network's own output stride, 4"):
        rarefy(nn.Sequential(conv(3, 4)).eval(), stride)


def test_something_must_be_asked_for() -> None:
    with pytest.raises(NetworkError, match="needs a stride or layers"):
        rarefy(nn.Sequential(conv(3, 4)).eval())


@pytest.mark.parametrize("place", ["", "1"])
def test_hooks_that_would_be_lost_are_refused(place: str) -> None:
    net = nn.Sequential(nn.Conv2d(3, 4, 3, 2), nn.AvgPool2d(2), nn.AvgPool2d(2)).eval()
    net.get_submodule(place).register_forward_hook(lambda module, inputs, result: 2 * result)
    with pytest.raises(NotConvolutional, match="forward hooks"):
        rarefy(net, 1)


def test_hooks_of_layers_that_stay_what_they_are_keep_running() -> None:
    net = nn.Sequential(nn.Conv2d(3, 4, 3, 2), nn.Conv2d(4, 4, 3, 2)).eval()
    net[1].register_forward_hook(lambda module, inputs, result: 2 * result)
    image = torch.randn(1, 3, 33, 33)
    with torch.no_grad():
        torch.testing.assert_close(rarefy(net, 1)(image)[..., ::4, ::4], net(image))
