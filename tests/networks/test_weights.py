"""Weights from files, from torchvision's cache, and what is said when there are none."""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from fullconv.errors import NetworkError
from fullconv.networks import weights as module
from fullconv.networks.backbones import build_classifier
from fullconv.networks.building import fcn
from fullconv.networks.reference import ReferenceFCN
from fullconv.networks.weights import load_weights
from fullconv.surgery.weight_files import read_weights


@pytest.fixture(scope="module")
def classifier_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(3)
    path = tmp_path_factory.mktemp("weights") / "squeezenet.safetensors"
    state = build_classifier("squeezenet1_1").state_dict()
    save_file({name: value.half() for name, value in state.items()}, path)
    return path


def test_a_safetensors_file_fills_the_backbone(classifier_file: Path) -> None:
    net = fcn("squeezenet1_1", classes=2)
    report = load_weights(net, "squeezenet1_1", str(classifier_file))
    torch.manual_seed(3)
    expected = build_classifier("squeezenet1_1").features[0].weight.half().float()
    torch.testing.assert_close(net.features.get_parameter("features.0.weight"), expected)
    assert report.pretrained
    assert set(report.initialised) == {name for name, _ in net.named_parameters() if name.startswith("head")}


def test_a_pickled_state_dict_is_read_and_a_pickled_object_is_not(tmp_path: Path) -> None:
    good, bad = tmp_path / "good.pth", tmp_path / "bad.pth"
    torch.save(build_classifier("squeezenet1_1").state_dict(), good)
    torch.save(build_classifier("squeezenet1_1"), bad)
    net = fcn("squeezenet1_1", classes=2)
    assert load_weights(net, "squeezenet1_1", str(good)).pretrained
    with pytest.raises(NetworkError, match="holds more than tensors"):
        load_weights(net, "squeezenet1_1", str(bad))


def test_other_bands_get_the_mean_of_the_colour_filters(classifier_file: Path) -> None:
    net = fcn("squeezenet1_1", classes=2, channels=4)
    report = load_weights(net, "squeezenet1_1", str(classifier_file))
    weight = net.features.get_parameter("features.0.weight")
    torch.testing.assert_close(weight[:, 3], weight[:, :3].mean(1))
    assert report.adapted == (("features.features.0.weight", "mean of the colour filters"),)


def test_the_report_on_a_reference_net_names_its_own_parameters(tmp_path: Path) -> None:
    encoder = nn.Sequential(OrderedDict(conv1=nn.Conv2d(3, 8, 3), pool1=nn.MaxPool2d(2, 2, ceil_mode=True)))
    net = ReferenceFCN(encoder, nn.Sequential(OrderedDict(fc6=nn.Conv2d(8, 6, 2))), 6, classes=2, upsampling=(4, 2))
    ones = tmp_path / "ones.safetensors"
    save_file({name: torch.ones_like(value) for name, value in net.features.state_dict().items()}, ones)
    report = load_weights(net, "tiny", str(ones))
    assert report.copied == ("conv1.weight", "conv1.bias", "fc6.weight", "fc6.bias")
    assert set(report.initialised) == {"score_fr.weight", "score_fr.bias", "upscore.weight"}
    assert all((net.get_parameter(name) == 1).all() for name in report.copied)


def test_a_missing_or_foreign_file_is_an_error(tmp_path: Path, classifier_file: Path) -> None:
    net = fcn("resnet18", classes=2)
    with pytest.raises(NetworkError, match="no such weight file"):
        load_weights(net, "resnet18", str(tmp_path / "none.safetensors"))
    with pytest.raises(NetworkError, match=r"nothing in it fits|lacks"):
        load_weights(net, "resnet18", str(classifier_file))
    garbage = tmp_path / "garbage.safetensors"
    garbage.write_bytes(b"not weights at all")
    with pytest.raises(NetworkError, match="holds no readable weights"):
        load_weights(net, "resnet18", str(garbage))


def test_auto_uses_the_cache_of_torchvision(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    (tmp_path / "checkpoints").mkdir()
    state = build_classifier("squeezenet1_1").state_dict()
    torch.save(state, tmp_path / "checkpoints" / "squeezenet1_1-b8a52dc0.pth")
    net = fcn("squeezenet1_1", classes=2)
    assert load_weights(net, "squeezenet1_1", "auto").pretrained
    torch.testing.assert_close(net.features.get_parameter("features.0.weight"), state["features.0.weight"])


def test_without_a_network_auto_warns_and_imagenet_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(backbone: str) -> dict[str, torch.Tensor]:
        raise OSError("no route to host")

    monkeypatch.setattr(module, "_from_torchvision", unreachable)
    net = fcn("squeezenet1_1", classes=2)
    report = load_weights(net, "squeezenet1_1", "auto")
    assert not report.pretrained
    assert report.warning is not None
    assert "several times longer" in report.warning
    with pytest.raises(NetworkError, match="neither cached nor downloadable"):
        load_weights(net, "squeezenet1_1", "imagenet")


def test_fcn_takes_weights(classifier_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    net = fcn("squeezenet1_1", classes=(2, 3), channels=4, weights=str(classifier_file))
    other = fcn("squeezenet1_1", classes=2, channels=4)
    load_weights(other, "squeezenet1_1", str(classifier_file))
    for name, value in other.features.state_dict().items():
        assert torch.equal(net.features.state_dict()[name], value)
    with pytest.raises(NetworkError, match="a classifier of one's own has its weights"):
        fcn(build_classifier("squeezenet1_1"), classes=2, weights=str(classifier_file))

    def unreachable(backbone: str) -> dict[str, torch.Tensor]:
        raise OSError("no route to host")

    monkeypatch.setattr(module, "_from_torchvision", unreachable)
    with pytest.warns(UserWarning, match="no ImageNet weights for squeezenet1_1 here"):
        fcn("squeezenet1_1", classes=2, weights="auto")


@pytest.mark.realdata
def test_the_real_weights_recognise_a_hot_dog(shared: Path) -> None:
    from torchvision.transforms.v2 import functional as transforms

    from fullconv.data.images import read_image
    from fullconv.data.resizing import resize_image, to_tensor
    from fullconv.networks.normalization import Normalization

    classifier = build_classifier("mobilenet_v2").eval()
    classifier.load_state_dict(read_weights(shared / "weights" / "mobilenet_v2-imagenet.safetensors"))
    photo = to_tensor(read_image(shared / "data" / "photos" / "hot_dog.jpg"))
    side = min(photo.shape[-2:])
    pixels = resize_image(transforms.center_crop(photo, [side, side]), (224, 224))
    with torch.no_grad():
        best = classifier(Normalization.imagenet().apply(pixels.unsqueeze(0))).softmax(1).max(1)
    assert best.indices.item() == 934
    assert best.values.item() > 0.8
