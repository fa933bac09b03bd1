"""Several sets of classes on one backbone: a head for each, a loss for each."""

from __future__ import annotations

import copy
import math
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import nn

from fullconv.errors import NetworkError
from fullconv.geometry.geometry import geometry_of
from fullconv.geometry.measuring import measure_reach
from fullconv.networks.backbones import build_classifier
from fullconv.networks.building import fcn
from fullconv.networks.several_heads import SeveralHeads
from fullconv.networks.weights import load_weights

KINDS = (
    {"backbone": "squeezenet1_1"},
    {"backbone": "resnet18", "upsampling": "learned", "dilated": 16},
    {"backbone": "mobilenet_v2", "fusion": "features", "stride": 4},
)


class OneHead(nn.Module):
    """The network seen through one of its heads."""

    def __init__(self, net: SeveralHeads, number: int) -> None:
        super().__init__()
        self.net, self.number = net, number

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.net(images)[self.number]


def build(kind: dict[str, object], classes: tuple[int, ...] = (33, 3)) -> SeveralHeads:
    torch.manual_seed(0)
    net = fcn(**kind, classes=classes).eval()
    assert isinstance(net, SeveralHeads)
    return net


def with_random_scores(net: SeveralHeads) -> SeveralHeads:
    """Score layers start at zero, where all heads are equal; these are not."""
    torch.manual_seed(7)
    with torch.no_grad():
        for parameter in net.head.parameters():
            parameter.normal_()
    return net


@pytest.mark.parametrize("kind", KINDS)
def test_every_head_scores_every_pixel(kind: dict[str, object]) -> None:
    net = build(kind, (33, 3, 2))
    with torch.no_grad():
        assert [scores.shape for scores in net(torch.randn(2, 3, 97, 61))] == [(2, k, 97, 61) for k in (33, 3, 2)]
        assert [scores.shape for scores in net(torch.randn(1, 3, 5, 9))] == [(1, k, 5, 9) for k in (33, 3, 2)]


@pytest.mark.parametrize("kind", KINDS)
def test_each_head_equals_a_network_of_its_own(kind: dict[str, object]) -> None:
    """Oracle: an FCN for one set of classes with the same weights."""
    net = with_random_scores(build(kind))
    images = torch.randn(1, 3, 97, 61)
    with torch.no_grad():
        for number, scores in enumerate(net(images)):
            single = fcn(**kind, classes=scores.shape[1]).eval()
            single.features.load_state_dict(net.features.state_dict())
            single.head.load_state_dict(net.head[number].state_dict())
            single.to_pixels.load_state_dict(net.to_pixels[number].state_dict())
            torch.testing.assert_close(scores, single(images))
            assert single.stride == net.stride


def some_labels(images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    semantic = (images.mean(1) * 8).long().clamp(0, 32)
    geometric = (images[:, 0] > 0).long()
    geometric[:, :20] = 9
    return semantic, geometric


def losses(scores: tuple[torch.Tensor, ...], labels: tuple[torch.Tensor, ...]) -> list[torch.Tensor]:
    pairs = zip(scores, labels, (255, 9), strict=True)
    return [F.cross_entropy(found, truth, ignore_index=ignore) for found, truth, ignore in pairs]


@pytest.mark.parametrize("kind", KINDS)
def test_zero_scores_guess_and_a_step_lowers_the_loss_of_each(kind: dict[str, object]) -> None:
    net = build(kind)
    images = torch.randn(2, 3, 97, 61)
    labels = some_labels(images)
    before = losses(net(images), labels)
    loss = sum(before)
    assert loss.item() == pytest.approx(math.log(33) + math.log(3), abs=1e-5)
    optimizer = torch.optim.SGD(net.parameters(), 1e-3)
    loss.backward()
    optimizer.step()
    with torch.no_grad():
        after = losses(net(images), labels)
    assert all(second < first for first, second in zip(before, after, strict=True))


@pytest.mark.parametrize("kind", KINDS[:2])
def test_each_head_reads_what_the_geometry_says(kind: dict[str, object]) -> None:
    net = with_random_scores(build(kind, (4, 2)))
    geometry = geometry_of(net)
    assert geometry.output is not None
    assert (geometry.output.rows.stride, geometry.output.rows.center) == (1, 0)
    assert geometry.reach == measure_reach(net)
    for number in (0, 1):
        assert geometry_of(OneHead(net, number)).reach == geometry.reach == measure_reach(OneHead(net, number))
    assert geometry.parameters == sum(parameter.numel() for parameter in net.parameters())


def test_state_and_copies_compute_the_same(tmp_path: Path) -> None:
    net = with_random_scores(build(KINDS[1]))
    images = torch.randn(1, 3, 97, 61)
    save_file(net.state_dict(), tmp_path / "heads.safetensors")
    torch.manual_seed(99)
    other = fcn(**KINDS[1], classes=(33, 3)).eval()
    with torch.no_grad():
        expected = net(images)
        assert not torch.equal(other(images)[0], expected[0])
        other.load_state_dict(load_file(tmp_path / "heads.safetensors"))
        for twin in (other, copy.deepcopy(net)):
            assert all(torch.equal(*pair) for pair in zip(twin(images), expected, strict=True))


def test_a_weight_file_fills_the_backbone(tmp_path: Path) -> None:
    torch.manual_seed(3)
    state = build_classifier("squeezenet1_1").state_dict()
    save_file(state, tmp_path / "squeezenet.safetensors")
    net = fcn("squeezenet1_1", classes=(33, 3), channels=4)
    report = load_weights(net, "squeezenet1_1", str(tmp_path / "squeezenet.safetensors"))
    torch.testing.assert_close(net.features.get_parameter("features.0.weight")[:, :3], state["features.0.weight"])
    assert set(report.initialised) == {name for name, _ in net.named_parameters() if name.startswith("head.")}


@pytest.mark.parametrize("classes", [(), (33, 0), (-1,), 0])
def test_a_head_without_classes_is_refused(classes: int | tuple[int, ...]) -> None:
    with pytest.raises(NetworkError, match="leaves a head without classes; give "):
        fcn("squeezenet1_1", classes=classes)
