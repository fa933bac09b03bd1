"""From FCN-32s to FCN-16s to FCN-8s: what a finer net takes over from a coarser one."""

from __future__ import annotations

import copy
from collections import OrderedDict
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from fullconv.networks.building import fcn
from fullconv.networks.fcn import FCN
from fullconv.networks.reference import AnyFCN, ReferenceFCN
from fullconv.networks.weights import load_weights
from fullconv.surgery.transplant import transplant


def filled(net: AnyFCN) -> AnyFCN:
    """Every value random, as after training: no score is zero, no kernel bilinear."""
    torch.manual_seed(5)
    with torch.no_grad():
        for value in (*net.parameters(), *net.buffers()):
            if value.is_floating_point():
                value.copy_(torch.rand_like(value) + 0.1)
    return net.eval()


def assert_same(net: nn.Module, other: nn.Module) -> None:
    torch.testing.assert_close(dict(net.state_dict()), dict(other.state_dict()), rtol=0, atol=0)


SMALL = nn.Sequential(
    nn.Conv2d(3, 6, 3, 2, 1), nn.BatchNorm2d(6), nn.ReLU(), nn.Conv2d(6, 8, 3, 2, 1), nn.ReLU(),
    nn.Conv2d(8, 8, 3, 2, 1), nn.ReLU(), nn.Conv2d(8, 8, 3, 2, 1), nn.ReLU(),
    nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 5),
)  # fmt: skip
"""Strides 2, 4, 8, 16; the last three have as many channels, so that layers of the wrong stride would fit too."""


@pytest.mark.parametrize("upsampling", ["bilinear", "learned", "learned-dense-random"])
@pytest.mark.parametrize("as_file", [False, True])
def test_scores_go_to_their_own_stride(upsampling: str, as_file: bool, tmp_path: Path) -> None:
    coarse, middle, fine = (build(stride, upsampling) for stride in (16, 8, 4))
    filled(coarse)
    for source, target, known in ((coarse, middle, 1), (middle, fine, 2)):
        if as_file:
            save_file(source.state_dict(), tmp_path / "model.safetensors")
            load_weights(target, "its own", str(tmp_path / "model.safetensors"))
        else:
            transplant(source, target)
        assert_same(source.features, target.features)
        for number in range(known):
            assert_same(source.head.scores[number], target.head.scores[number])
            assert source.head.scores[number].weight.any()
        assert not any(parameter.any() for parameter in target.head.scores[known].parameters())
        for number in range(known - 1):
            assert_same(source.head.upsampling[number], target.head.upsampling[number])
        filled(target)  # trained in its turn


def build(stride: int, upsampling: str, fusion: str = "scores") -> FCN:
    net = fcn(copy.deepcopy(SMALL), classes=3, stride=stride, upsampling=upsampling, fusion=fusion)
    assert isinstance(net, FCN)
    return net


def test_a_finer_net_begins_with_the_answers_of_the_coarser_one() -> None:
    """New scores are zero, so the 16s net says what the 32s net says, interpolated in two steps."""
    coarse, fine = filled(build(16, "bilinear")), build(8, "bilinear").eval()
    transplant(coarse, fine)
    with torch.no_grad():
        images = torch.randn(1, 3, 64, 96)
        expected = fine.head.upsampling[0](coarse.head(coarse.features(images)), (8, 12))
        torch.testing.assert_close(fine.head(fine.features(images)), expected)


def test_features_go_to_their_own_stride() -> None:
    coarse, fine = (build(stride, "bilinear", "features") for stride in (8, 4))
    filled(coarse)
    transplant(coarse, fine)
    for part in ("laterals", "refinements"):
        for known, layer in enumerate(getattr(coarse.head, part)):
            assert_same(layer, getattr(fine.head, part)[known])


def test_a_dilated_net_takes_the_deepest_scores() -> None:
    coarse, dilated = build(16, "bilinear"), fcn(copy.deepcopy(SMALL), classes=3, stride=4, dilated=8)
    filled(coarse)
    transplant(coarse, dilated)
    assert_same(coarse.head.scores[0], dilated.head.scores[0])
    assert_same(coarse.features, dilated.features)


def small_reference(*skips: str) -> ReferenceFCN:
    """The authors' construction with few channels, at strides 8, 4 and 2."""
    layers: OrderedDict[str, nn.Module] = OrderedDict(conv1=nn.Conv2d(3, 8, 3, padding=100))
    for pool in ("pool3", "pool4", "pool5"):
        layers[f"conv_{pool}"] = nn.Conv2d(8, 8, 3, padding=1)
        layers[pool] = nn.MaxPool2d(2, 2, ceil_mode=True)
    head = nn.Sequential(OrderedDict(fc6=nn.Conv2d(8, 8, 7), fc7=nn.Conv2d(8, 8, 1)))
    stride = 8 >> len(skips)
    return ReferenceFCN(
        nn.Sequential(layers),
        head,
        8,
        classes=3,
        skips=tuple((pool, 8, 1.0) for pool in skips),
        upsampling=(2 * stride, stride),
    )


def test_the_reference_nets_in_stages() -> None:
    nets = [small_reference(), small_reference("pool4"), small_reference("pool4", "pool3")]
    filled(nets[0])
    for (source, target), new in zip(pairwise(nets), ("pool4", "pool3"), strict=True):
        report = transplant(source, target)
        assert_same(source.features, target.features)
        assert_same(source.score_fr, target.score_fr)
        assert not any(parameter.any() for parameter in target.get_submodule(f"score_{new}").parameters())
        assert report["upscore.weight"].status == "initialised", "its kernels are of another size"
        with torch.no_grad():
            assert target.eval()(torch.randn(1, 3, 40, 31)).any()
        filled(target)  # trained in its turn
    transplant(nets[1], nets[2])
    assert_same(nets[1].get_submodule("score_pool4"), nets[2].get_submodule("score_pool4"))
    assert_same(nets[1].get_submodule("up_to_pool4"), nets[2].get_submodule("up_to_pool4"))


def test_a_file_of_other_classes_fills_the_backbone_alone(tmp_path: Path) -> None:
    source = filled(fcn(copy.deepcopy(SMALL), classes=4, stride=16))
    save_file(source.state_dict(), tmp_path / "model.safetensors")
    target = fcn(copy.deepcopy(SMALL), classes=3, stride=8)
    report = load_weights(target, "its own", str(tmp_path / "model.safetensors"))
    assert_same(source.features, target.features)
    assert not any(parameter.any() for parameter in target.head.parameters())
    assert set(report.initialised) == {name for name, _ in target.named_parameters() if name.startswith("head.")}
