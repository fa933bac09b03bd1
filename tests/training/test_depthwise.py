"""The float32 detour changes speed, not results."""

from __future__ import annotations

import torch

from fullconv.networks.building import fcn
from fullconv.training.depthwise import strided_depthwise_in_float32


def test_results_and_parameters_are_those_of_the_plain_network() -> None:
    torch.manual_seed(0)
    net = fcn("mobilenet_v2", classes=3, stride=8).eval()
    torch.nn.init.normal_(net.head.scores[0].weight)
    images = torch.randn(1, 3, 64, 64)
    names = list(net.state_dict())
    plain = net(images)
    with strided_depthwise_in_float32(net):
        assert torch.equal(net(images), plain)
        with torch.autocast("cpu", torch.bfloat16):
            net(images).sum().backward()
        assert list(net.state_dict()) == names
    assert all(parameter.grad is not None for parameter in net.features.parameters())
    assert torch.equal(net(images), plain)


def test_nothing_is_changed_where_it_is_not_wanted() -> None:
    net = fcn("mobilenet_v2", classes=3, stride=8)
    kinds = [type(module) for module in net.modules()]
    with strided_depthwise_in_float32(net, wanted=False):
        assert [type(module) for module in net.modules()] == kinds
    with strided_depthwise_in_float32(net):
        assert [type(module) for module in net.modules()] != kinds
    assert [type(module) for module in net.modules()] == kinds
