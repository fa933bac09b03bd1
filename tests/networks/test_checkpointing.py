"""Running a backbone in stages changes memory and nothing else."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint
from torchvision.models import DenseNet, EfficientNet, MobileNetV2
from torchvision.models.efficientnet import MBConvConfig

from fullconv.errors import NetworkError
from fullconv.networks import checkpointing
from fullconv.networks.building import fcn
from fullconv.networks.checkpointing import set_checkpointing, stage_ends
from fullconv.networks.compact import convolution
from fullconv.networks.late_fusion import late_fusion
from fullconv.networks.own_file import own_network
from fullconv.networks.reference import ReferenceFCN

BLOCKS = [MBConvConfig(4, 3, 2, 8, 8, 2) for _ in range(4)]
Step = tuple[torch.Tensor, dict[str, torch.Tensor], dict[str, torch.Tensor], torch.Tensor]

NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "batch norm, depthwise": lambda: fcn(MobileNetV2(width_mult=0.1), classes=3),
    "dense blocks": lambda: fcn(DenseNet(4, (2, 2, 2, 2), 8), classes=3),
    "squeeze and excite, stochastic depth": lambda: fcn(
        EfficientNet(BLOCKS, 0.2, stochastic_depth_prob=0.5), classes=3
    ),
    "a parameter read directly": lambda: fcn(Scaled(), classes=3),
    "dilated": lambda: fcn("compact", classes=3, dilated=8),
    "fused features": lambda: fcn("compact", classes=3, stride=2, fusion="features"),
    "several heads": lambda: fcn("compact", classes=(3, 2)),
    "late fusion": lambda: late_fusion(lambda bands: fcn("compact", classes=3, channels=bands), 3, first=2),
    "reference": lambda: small_reference(),
}


class Scaled(nn.Module):
    """A classifier with a factor per channel, as ConvNeXt has."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = convolution(3, 8, stride=2), convolution(8, 8, stride=2)
        self.scale = nn.Parameter(torch.full((8, 1, 1), 0.5))
        self.third = convolution(8, 8, stride=2)
        self.classifier = nn.Linear(8, 10)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        maps = self.second(self.first(images) * self.scale) * self.scale
        return self.classifier(self.third(maps).mean((-2, -1)))


def small_reference() -> ReferenceFCN:
    """As FCN-16s on VGG, with few channels."""
    encoder = OrderedDict[str, nn.Module]()
    before = 3
    for block, width in enumerate((4, 8, 8, 8, 8), 1):
        encoder[f"conv{block}"] = nn.Conv2d(before, width, 3, padding=40 if block == 1 else 1)
        encoder[f"bn{block}"] = nn.BatchNorm2d(width)
        encoder[f"relu{block}"] = nn.ReLU(inplace=True)
        encoder[f"pool{block}"] = nn.MaxPool2d(2, 2, ceil_mode=True)
        before = width
    head = OrderedDict(fc6=nn.Conv2d(8, 16, 3), relu6=nn.ReLU(inplace=True), drop6=nn.Dropout(0.5))
    skips = (("pool4", 8, 0.01),)
    return ReferenceFCN(nn.Sequential(encoder), nn.Sequential(head), 16, classes=3, skips=skips, upsampling=(32, 16))


def step_of(net: nn.Module, images: torch.Tensor, *, autocast: bool = False) -> Step:
    """Scores, gradients, buffers after a step from one random state, and the random number that comes next."""
    torch.manual_seed(5)
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast):
        scores = net(images)
        scores = torch.cat([each.flatten() for each in scores]) if isinstance(scores, tuple) else scores
        loss = scores.float().square().mean() if autocast else scores.square().mean()
    loss.backward()
    gradients = {name: parameter.grad for name, parameter in net.named_parameters() if parameter.grad is not None}
    return scores.detach(), gradients, dict(net.named_buffers()), torch.rand(3)


def lively(net: nn.Module) -> nn.Module:
    """With scores that are not zero, so that gradients pass, and in training."""
    generator = torch.Generator().manual_seed(1)
    for parameter in net.head.parameters():
        if parameter.requires_grad and not parameter.any():
            parameter.data = torch.randn(parameter.shape, generator=generator).mul(0.1).to(parameter)
    return net.train()


def assert_equal(found: Step, expected: Step) -> None:
    assert torch.equal(found[0], expected[0])
    assert set(found[1]) == set(expected[1])
    for name, value in expected[1].items():
        assert torch.equal(found[1][name], value), name
    for name, value in expected[2].items():
        assert torch.equal(found[2][name], value), name
    assert torch.equal(found[3], expected[3])


@pytest.mark.parametrize("name", NETWORKS)
def test_scores_gradients_statistics_and_random_numbers_stay(name: str) -> None:
    torch.manual_seed(0)
    plain = lively(NETWORKS[name]()).double()
    staged = deepcopy(plain)
    set_checkpointing(staged)
    images = torch.rand(2, 3, 64, 96, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    for _ in range(2):  # the second step reads what the first left
        assert_equal(step_of(staged, images), step_of(plain, images))
    assert any(parameter.grad.any() for parameter in plain.features.parameters() if parameter.grad is not None)
    assert list(staged.state_dict()) == list(plain.state_dict())


def test_gradients_stay_under_autocast_and_channels_last() -> None:
    torch.manual_seed(0)
    plain = lively(fcn(MobileNetV2(width_mult=0.1), classes=3)).to(memory_format=torch.channels_last)
    staged = deepcopy(plain)
    set_checkpointing(staged)
    images = torch.rand(2, 3, 64, 96).contiguous(memory_format=torch.channels_last)
    assert_equal(step_of(staged, images, autocast=True), step_of(plain, images, autocast=True))


def test_statistics_are_counted_once(monkeypatch: pytest.MonkeyPatch) -> None:
    net = lively(fcn("compact", classes=3))
    set_checkpointing(net)
    norm = next(module for module in net.modules() if isinstance(module, nn.BatchNorm2d))
    images = torch.rand(2, 3, 64, 64)
    step_of(net, images)
    assert norm.num_batches_tracked == 1
    # What PyTorch does by itself: the test would see a second count.
    monkeypatch.setattr(
        checkpointing, "checkpoint", lambda run, *maps, context_fn, **rest: checkpoint(run, *maps, **rest)
    )
    step_of(net, images)
    assert norm.num_batches_tracked == 3


def test_a_gradient_taken_twice_counts_once() -> None:
    net = lively(fcn("compact", classes=3))
    set_checkpointing(net)
    loss = net(torch.rand(2, 3, 64, 64)).square().mean()
    first = torch.autograd.grad(loss, list(net.features.parameters()), retain_graph=True, allow_unused=True)
    second = torch.autograd.grad(loss, list(net.features.parameters()), allow_unused=True)
    assert all(one is two or torch.equal(one, two) for one, two in zip(first, second, strict=True))
    assert all(norm.num_batches_tracked == 1 for norm in net.modules() if isinstance(norm, nn.BatchNorm2d))


def test_frozen_statistics_are_read_in_both_runs() -> None:
    torch.manual_seed(0)
    plain = lively(fcn(MobileNetV2(width_mult=0.1), classes=3)).double()
    for module in plain.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_()
            module.eval()
    staged = deepcopy(plain)
    set_checkpointing(staged)
    images = torch.rand(2, 3, 64, 64, dtype=torch.float64)
    assert_equal(step_of(staged, images), step_of(plain, images))


def saved_bytes(net: nn.Module, images: torch.Tensor) -> int:
    """What a forward pass keeps for the backward pass, parameters aside."""
    own = {parameter.untyped_storage().data_ptr() for parameter in (*net.parameters(), *net.buffers())}
    kept: dict[int, torch.UntypedStorage] = {}

    def note(tensor: torch.Tensor) -> torch.Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        result = net(images)
    assert result.requires_grad
    return sum(storage.nbytes() for place, storage in kept.items() if place not in own)


def test_little_is_kept_for_the_backward_pass() -> None:
    net = lively(fcn("mobilenet_v2", classes=3))
    images = torch.rand(1, 3, 128, 128)
    before = saved_bytes(net, images)
    set_checkpointing(net)
    assert saved_bytes(net, images) < before / 5
    set_checkpointing(net, False)
    assert saved_bytes(net, images) == before


def test_stages_end_where_one_map_is_all_that_goes_on() -> None:
    trunk = fcn("resnet18", classes=3).features
    ends = stage_ends(trunk)
    assert len(ends) > 2
    assert all(name == "maxpool" or name.endswith("relu_1") for name in ends)  # never inside a residual block


def test_evaluation_and_frozen_backbones_run_as_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    net = lively(fcn("compact", classes=3))
    set_checkpointing(net)

    def never(*_: object) -> None:
        raise AssertionError("stages were run")

    monkeypatch.setattr("fullconv.networks.fcn.stages_of", never)
    images = torch.rand(1, 3, 64, 64)
    net.eval()(images)
    with torch.no_grad():
        net.train()(images)
    net.features.requires_grad_(False)
    net(images)
    net.features.requires_grad_(True)
    with pytest.raises(AssertionError, match="stages were run"):
        net(images)


def test_a_copy_runs_its_own_layers() -> None:
    net = lively(small_reference())
    set_checkpointing(net)
    other = deepcopy(net)
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.zero_()
    assert not other(torch.rand(1, 3, 32, 32)).any()
    assert net(torch.rand(1, 3, 32, 32)).any()


def test_a_network_of_ones_own_is_refused_in_a_sentence(tmp_path: Path) -> None:
    path = tmp_path / "net.py"
    path.write_text("from torch import nn\ndef build(classes, channels): return nn.Conv2d(channels, classes, 1)\n")
    net = own_network(f"{path}:build", classes=3)
    set_checkpointing(net, False)
    with pytest.raises(NetworkError, match=r"network of one's own.*leave checkpointing out"):
        set_checkpointing(net)
