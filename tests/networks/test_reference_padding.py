"""`fcn(…, padding="reference")`: the authors' construction by backbone and stride, and what it refuses."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from fullconv.errors import NetworkError
from fullconv.geometry.geometry import geometry_of
from fullconv.networks import weights as module
from fullconv.networks.backbones import build_classifier, without_weights
from fullconv.networks.building import fcn
from fullconv.networks.catalogue import REFERENCE, any_network, build_network, parse_name
from fullconv.networks.reference import REFERENCE_STRIDES, ReferenceFCN, fcn_alexnet, fcn_vgg
from fullconv.networks.weights import load_weights

NAMED: dict[str, Callable[[], ReferenceFCN]] = {
    "fcn-alexnet-reference": lambda: fcn_alexnet(),
    "fcn32s-vgg16-reference": lambda: fcn_vgg(stride=32),
    "fcn16s-vgg16-reference": lambda: fcn_vgg(stride=16),
    "fcn8s-vgg16-reference": lambda: fcn_vgg(stride=8),
    "fcn8s-at-once-vgg16-reference": lambda: fcn_vgg(stride=8, at_once=True),
}


def shapes(net: nn.Module) -> dict[str, tuple[int, ...]]:
    return {name: tuple(value.shape) for name, value in net.state_dict().items()}


@pytest.mark.parametrize("name", NAMED)
def test_it_is_the_named_net_layer_by_layer(name: str) -> None:
    parts = parse_name(name)
    options = {"stride": parts.stride, "at_once": parts.at_once, "padding": "reference"}
    built = without_weights(lambda: fcn(parts.backbone, classes=21, **options)).eval()
    named, by_name = without_weights(NAMED[name]).eval(), any_network(name)
    assert isinstance(built, ReferenceFCN)
    assert shapes(built) == shapes(named) == shapes(by_name)
    assert built._skips == named._skips
    assert built.crop.offset == {32: 19, 16: 27, 8: 31}[parts.stride] - (parts.backbone == "alexnet")
    for side in (1, 63, 97, 224, 333, 500):
        sizes = [
            [
                (layer.name, layer.shape, layer.offset, layer.kernel)
                for layer in geometry_of(net, input_size=(side, side + 5))
            ]
            for net in (built, named, by_name)
        ]
        assert sizes[0] == sizes[1] == sizes[2]
        assert sizes[0][-1][1] == (21, side, side + 5)


def test_every_named_net_is_here() -> None:
    assert list(NAMED) == list(REFERENCE)


@pytest.mark.parametrize("backbone", [name for name in REFERENCE_STRIDES if name.startswith("vgg")])
def test_every_vgg_has_the_grid_of_vgg16(backbone: str) -> None:
    """3×3 convolutions padded by one move no cell, so sizes and crops are those of VGG16."""
    for stride, crop in ((32, 19), (16, 27), (8, 31)):
        net = any_network(f"fcn{stride}s-{backbone}-reference")
        found = geometry_of(net, input_size=(500, 500))
        assert [found[f"pool{number}"].shape[-1] for number in range(1, 6)] == [349, 175, 88, 44, 22]
        assert found["fc6"].shape[-1] == 16
        assert found["upscore"].shape[-1] == {32: 544, 16: 560, 8: 568}[stride]
        assert net.crop.offset == crop
        assert found.is_local


@pytest.mark.parametrize("backbone", ["vgg11", "vgg13_bn", "vgg16", "vgg19_bn"])
def test_torchvision_weights_fit(backbone: str) -> None:
    """Every tensor of the classifier's layers but the last has a place, in the same order."""
    from fullconv.surgery.matching import pair_up

    theirs = shapes(without_weights(lambda: build_classifier(backbone)))
    net = any_network(f"fcn8s-{backbone}-reference")
    assert isinstance(net, ReferenceFCN)
    wanted = shapes(net.features)
    pairs = {pair.target: pair.source for pair in pair_up(theirs, wanted)}
    assert set(pairs) == set(wanted)
    assert [pairs[name] for name in wanted] == [name for name in theirs if not name.startswith("classifier.6")]
    assert all(math.prod(wanted[target]) == math.prod(theirs[source]) for target, source in pairs.items())


def with_values(build: Callable[[], nn.Module]) -> nn.Module:
    """A network each of whose tensors holds one number, which takes no time to draw."""
    net = without_weights(build).to_empty(device="cpu")
    with torch.no_grad():
        for number, value in enumerate(net.state_dict().values(), 1):
            value.fill_(number)
    return net


def test_a_weight_file_fills_it(tmp_path: Path) -> None:
    classifier = with_values(lambda: build_classifier("vgg11_bn"))
    save_file(classifier.state_dict(), tmp_path / "vgg.safetensors")
    net = with_values(lambda: fcn("vgg11_bn", classes=2, stride=16, padding="reference"))
    report = load_weights(net, "vgg11_bn", str(tmp_path / "vgg.safetensors"))
    for ours, theirs in (("conv3_2", "features.11"), ("bn1_1", "features.1"), ("fc6", "classifier.0")):
        state = classifier.get_submodule(theirs).state_dict()
        for name, value in net.get_submodule(ours).state_dict().items():
            assert torch.equal(value.flatten(), state[name].flatten())
    assert {name.partition(".")[0] for name in report.initialised} == {
        *("score_fr", "up_to_pool4", "score_pool4", "upscore")
    }


def test_torchvision_s_alexnet_is_another_and_auto_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_from_torchvision", lambda backbone: build_classifier(backbone).state_dict())
    net = fcn("alexnet", classes=2, stride=32, padding="reference")
    before = net.conv1.weight.clone()
    report = load_weights(net, "alexnet", "auto")
    assert not report.pretrained
    assert report.warning is not None
    assert report.warning.startswith("torchvision's ImageNet weights for alexnet are of another form of that network: ")
    assert torch.equal(net.conv1.weight, before)
    with pytest.raises(NetworkError, match="of the parameters of"):
        load_weights(net, "alexnet", "imagenet")


@pytest.mark.parametrize("kind", ["frozen", "learned", "learned-dense-random"])
def test_deconvolutions_may_learn(kind: str) -> None:
    net = any_network(f"fcn8s-vgg11-{kind}-reference", classes=3)
    kernels = [net.get_parameter(f"{name}.weight") for name in ("up_to_pool4", "up_to_pool3", "upscore")]
    assert all(kernel.requires_grad == (kind != "frozen") for kernel in kernels)
    assert all(kernel.shape[:2] == ((3, 3) if "dense" in kind else (3, 1)) for kernel in kernels)


def test_without_options_it_is_frozen_and_keeps_the_connected_layers() -> None:
    parts = parse_name("fcn16s-vgg19_bn-reference")
    assert (parts.head, parts.upsampling, parts.padding) == ("fc", "frozen", "reference")
    plain = without_weights(lambda: fcn("vgg11", classes=2, padding="reference"))
    said = without_weights(lambda: fcn("vgg11", classes=2, padding="reference", head="fc", upsampling="frozen"))
    assert shapes(plain) == shapes(said)
    assert not plain.upscore.weight.requires_grad


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"fusion": "features"}, "not defined with fusion='features'; leave one of the two out"),
        ({"head": "score"}, "not defined with head='score'"),
        ({"upsampling": "bilinear"}, "not defined with upsampling='bilinear'"),
        ({"dilated": 8}, "not defined with dilated=8"),
        ({"classes": (33, 3)}, "not defined with several heads"),
        ({"backbone": nn.Conv2d(3, 8, 3)}, "not defined with a classifier of one's own"),
        ({"backbone": "resnet18"}, "not defined for resnet18; choose one of alexnet, vgg11, "),
        ({"stride": 4}, "vgg16 with reference padding has no stride 4; choose one of 32, 16, 8"),
        ({"backbone": "alexnet", "stride": 16}, "alexnet with reference padding has no stride 16; choose one of 32"),
    ],
)
def test_what_contradicts_it_is_refused(options: dict[str, object], said: str) -> None:
    given = {"backbone": "vgg16", "classes": 21, "padding": "reference"} | options
    with pytest.raises(NetworkError, match=said):
        fcn(**given)


@pytest.mark.parametrize(
    "name", ["fcn8s-vgg16-features-reference", "fcn8s-vgg16-d8-reference", "fcn8s-resnet18-reference"]
)
def test_names_that_contradict_it_are_refused(name: str) -> None:
    with pytest.raises(NetworkError, match="reference padding is not defined"):
        build_network(name, classes=2)


@pytest.mark.parametrize("option", ["padding", "fusion", "head"])
def test_unknown_options_are_refused(option: str) -> None:
    with pytest.raises(NetworkError, match=f"{option} cannot be 'valid'; say "):
        fcn("squeezenet1_1", classes=2, **{option: "valid"})


def test_scaling_of_scores_beside_fused_features_is_refused() -> None:
    with pytest.raises(NetworkError, match="at_once scales scores, and these skips carry features"):
        fcn("squeezenet1_1", classes=2, at_once=True, fusion="features")


def test_deriving_the_crops_leaves_batch_norm_as_it_was() -> None:
    net = fcn_vgg(2, backbone="vgg11_bn")
    assert net.training
    assert not net.bn1_1.running_mean.any()
    assert net.bn1_1.num_batches_tracked == 0
