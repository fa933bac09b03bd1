"""The same network under the names of torchvision, timm and Caffe: its function is kept."""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path

import pytest
import timm
import torch
import torchvision
from safetensors.torch import save_file
from torch import nn
from torchvision.models.vgg import make_layers
from torchvision.transforms.v2 import functional as transforms

from fullconv.data.images import read_image
from fullconv.data.resizing import resize_image, to_tensor
from fullconv.errors import NetworkError
from fullconv.networks.normalization import Normalization
from fullconv.networks.reference import fcn_alexnet, fcn_vgg
from fullconv.surgery.key_conventions import canonical_names
from fullconv.surgery.matching import Pair, pair_up
from fullconv.surgery.transplant import transplant

CFG = (4, 6, "M", 8, "M", 10, 10, 12, "M")


def randomised(net: nn.Module) -> nn.Module:
    torch.manual_seed(1)
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.running_mean, std=0.1)
            nn.init.uniform_(module.running_var, 0.5, 2)
    return net.eval()


class TorchvisionVGG(nn.Module):
    """A narrow VGG built by torchvision's own function, for images of 24×24."""

    def __init__(self, *, batch_norm: bool = False) -> None:
        super().__init__()
        self.features = make_layers(list(CFG), batch_norm=batch_norm)
        self.classifier = nn.Sequential(
            nn.Linear(12 * 9, 16), nn.ReLU(), nn.Dropout(), nn.Linear(16, 16), nn.ReLU(), nn.Dropout(), nn.Linear(16, 5)
        )

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        scores: torch.Tensor = self.classifier(self.features(images).flatten(1))
        return scores


class TimmVGG(nn.Module):
    """The same with timm's names and its convolutional head."""

    def __init__(self, *, batch_norm: bool = False) -> None:
        super().__init__()
        self.features = make_layers(list(CFG), batch_norm=batch_norm)
        self.pre_logits = timm.models.vgg.ConvMlp(12, 16, 3, mlp_ratio=1.0)
        self.head = nn.Sequential(OrderedDict(flatten=nn.Flatten(), fc=nn.Linear(16, 5)))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        scores: torch.Tensor = self.head(self.pre_logits(self.features(images)))
        return scores


def caffe_vgg(*, batch_norm: bool = False) -> nn.Sequential:
    """The same with Caffe's names, fully convolutional."""
    layers, bands, block, place = OrderedDict[str, nn.Module](), 3, 1, 1
    for width in CFG:
        if isinstance(width, str):
            layers[f"pool{block}"] = nn.MaxPool2d(2, 2)
            block, place = block + 1, 1
            continue
        layers[f"conv{block}_{place}"] = nn.Conv2d(bands, width, 3, padding=1)
        if batch_norm:
            layers[f"bn{block}_{place}"] = nn.BatchNorm2d(width)
        layers[f"relu{block}_{place}"] = nn.ReLU()
        bands, place = width, place + 1
    layers |= {"fc6": nn.Conv2d(12, 16, 3), "relu6": nn.ReLU(), "fc7": nn.Conv2d(16, 16, 1), "relu7": nn.ReLU()}
    return nn.Sequential(layers | {"fc8": nn.Conv2d(16, 5, 1), "flatten": nn.Flatten()})


BUILDERS = {"torchvision": TorchvisionVGG, "timm": TimmVGG, "caffe": caffe_vgg}


@torch.no_grad()
@pytest.mark.parametrize("batch_norm", [False, True])
@pytest.mark.parametrize("ours", BUILDERS)
@pytest.mark.parametrize("theirs", BUILDERS)
def test_vgg_keeps_its_function_under_every_naming(theirs: str, ours: str, batch_norm: bool) -> None:
    source = randomised(BUILDERS[theirs](batch_norm=batch_norm))
    target = BUILDERS[ours](batch_norm=batch_norm).eval()
    report = transplant(source, target, strict=True)
    images = torch.randn(2, 3, 24, 24)
    torch.testing.assert_close(target(images), source(images), rtol=1e-4, atol=1e-5)
    assert not report.left
    assert ("convention" in report.matched_by) == (ours != theirs)


def test_batch_norm_between_does_not_shift_the_layers() -> None:
    source, target = TorchvisionVGG(), TorchvisionVGG(batch_norm=True)
    report = transplant(source, target)
    torch.testing.assert_close(target.features[17].weight, source.features[12].weight)
    assert {transfer.name.split(".")[-1] for transfer in report.transfers if transfer.status == "initialised"} >= {
        "running_mean"
    }
    assert not report.left


def shapes(net: nn.Module) -> dict[str, tuple[int, ...]]:
    return {name: tuple(value.shape) for name, value in net.state_dict().items()}


def partners(pairs: list[Pair]) -> dict[str, str]:
    return {pair.target: pair.source for pair in pairs}


def test_torchvision_and_timm_vgg16_fill_the_reference_net() -> None:
    """Oracle: the layers by position, 13 convolutions and the two that became convolutions."""
    with torch.device("meta"):
        reference = shapes(fcn_vgg(stride=8))
        classifiers = [torchvision.models.vgg16(weights=None), timm.create_model("vgg16")]
    wanted = [name for name in reference if name.startswith(("conv", "fc"))]
    for net in classifiers:
        given = [name for name in shapes(net) if not name.startswith(("classifier.6", "head"))]
        found = partners(pair_up(shapes(net), reference))
        assert [found[name] for name in wanted] == given
        assert set(found) == set(wanted)


def test_alexnet_has_caffes_numbers_whatever_its_widths() -> None:
    with torch.device("meta"):
        ours, theirs = shapes(fcn_alexnet()), shapes(torchvision.models.alexnet(weights=None))
    assert len(canonical_names(theirs)) == 16
    found = partners(pair_up(theirs, ours))
    layers = {name.split(".")[0]: source.rpartition(".")[0] for name, source in found.items()}
    indices = {"conv1": 0, "conv2": 3, "conv3": 6, "conv4": 8, "conv5": 10}
    expected = {name: f"features.{index}" for name, index in indices.items()}
    assert layers == expected | {"fc6": "classifier.1", "fc7": "classifier.4"}


@pytest.mark.parametrize("name", ["vgg11", "vgg13", "vgg16_bn", "vgg19", "alexnet", "squeezenet1_0", "densenet121"])
def test_torchvision_to_itself_is_by_name(name: str) -> None:
    with torch.device("meta"):
        own = shapes(torchvision.models.get_model(name, weights=None))
    assert pair_up(own, own) == [Pair(tensor, tensor, "name") for tensor in own]


def test_the_older_names_in_torchvisions_densenet_files() -> None:
    with torch.device("meta"):
        own = shapes(torchvision.models.densenet121(weights=None))
    old = {
        name.replace(".norm1.", ".norm.1.").replace(".norm2.", ".norm.2.").replace(".conv1.", ".conv.1."): shape
        for name, shape in own.items()
    }
    old = {name.replace("r1.conv2.", "r1.conv.2."): shape for name, shape in old.items()}
    assert "features.denseblock1.denselayer1.norm.1.weight" in old
    assert [pair.source for pair in pair_up(old, own)] == list(old)


FAMILIES = (
    ("mobilenetv2_100", "mobilenet_v2", "order"),
    ("efficientnet_b0", "efficientnet_b0", "order"),
    ("convnext_atto", None, "name"),
    ("mnasnet_100", "mnasnet1_0", "order"),
    ("regnety_004", "regnet_y_400mf", "convention"),
    ("resnet18", "resnet18", "name"),
)


@torch.no_grad()
@pytest.mark.parametrize(("theirs", "ours", "by"), FAMILIES)
def test_timm_to_torchvision_keeps_the_function(theirs: str, ours: str | None, by: str, tmp_path: Path) -> None:
    """From a safetensors file, the harder case: it keeps no order of definition."""
    source = randomised(timm.create_model(theirs))
    target = torchvision.models.get_model(ours, weights=None).eval() if ours else timm.create_model(theirs).eval()
    path = tmp_path / "model.safetensors"
    save_file(source.state_dict(), path)
    report = transplant(path, target, strict=True)
    assert report.matched_by == (by,)
    images = torch.randn(1, 3, 64, 64)
    torch.testing.assert_close(target(images), source(images), rtol=1e-4, atol=1e-4)


@torch.no_grad()
def test_torchvision_to_timm_with_depth_and_other_classes() -> None:
    source = randomised(torchvision.models.mobilenet_v2(weights=None))
    target = timm.create_model("mobilenetv2_100", in_chans=4, num_classes=1003).eval()
    report = transplant(source, target, strict=True)
    assert report.expanded == ("conv_stem.weight", "classifier.weight", "classifier.bias")
    images = torch.randn(1, 3, 64, 64)
    without_depth = torch.cat([images, torch.zeros(1, 1, 64, 64)], dim=1)
    torch.testing.assert_close(target(without_depth)[:, :1000], source(images), rtol=1e-4, atol=1e-4)


@torch.no_grad()
def test_a_segmentation_network_gives_its_backbone() -> None:
    source = torchvision.models.segmentation.fcn_resnet50(weights=None, weights_backbone=None)
    target = torchvision.models.resnet50(weights=None)
    report = transplant(source, target)
    assert report.initialised == ("fc.weight", "fc.bias")
    assert torch.equal(target.layer4[2].conv3.weight, source.backbone.layer4[2].conv3.weight)
    assert all(name.startswith("classifier.") for name in report.left)


def test_another_architecture_is_refused() -> None:
    with pytest.raises(NetworkError, match="nothing in it fits MobileNetV2"):
        transplant(torchvision.models.squeezenet1_1(weights=None), torchvision.models.mobilenet_v2(weights=None))


def photo(path: Path, side: int) -> torch.Tensor:
    pixels = to_tensor(read_image(path))
    short = min(pixels.shape[-2:])
    cut = resize_image(transforms.center_crop(pixels, [short, short]), (side, side))
    return Normalization.imagenet().apply(cut.unsqueeze(0))


TABBY, MACAW, HOT_DOG = 281, 88, 934


@pytest.mark.realdata
@torch.no_grad()
@pytest.mark.parametrize(
    ("name", "side", "photos"),
    [
        ("mobilenet_v2", 224, {"caffe_cat": TABBY, "hot_dog": HOT_DOG, "parrot": MACAW}),
        ("squeezenet1_0", 227, {"hot_dog": HOT_DOG, "parrot": MACAW}),
    ],
)
def test_the_real_files_fill_torchvisions_nets_and_know_the_photos(
    shared: Path, name: str, side: int, photos: dict[str, int]
) -> None:
    net = torchvision.models.get_model(name, weights=None).eval()
    report = transplant(shared / "weights" / f"{name}-imagenet.safetensors", net, strict=True)
    assert set(report.copied) | {n for n in report.initialised if n.endswith("num_batches_tracked")} == set(
        net.state_dict()
    )
    assert not report.left
    for file, expected in photos.items():
        found = net(photo(shared / "data" / "photos" / f"{file}.jpg", side)).softmax(1).max(1)
        assert found.indices.item() == expected
        assert found.values.item() > 0.5


@pytest.mark.realdata
@torch.no_grad()
def test_the_real_mobilenet_knows_the_photos_under_timms_names_too(shared: Path) -> None:
    path = shared / "weights" / "mobilenet_v2-imagenet.safetensors"
    ours, theirs = torchvision.models.mobilenet_v2(weights=None).eval(), timm.create_model("mobilenetv2_100").eval()
    transplant(path, ours, strict=True)
    assert transplant(path, theirs, strict=True).matched_by == ("order",)
    image = photo(shared / "data" / "photos" / "hot_dog.jpg", 224)
    torch.testing.assert_close(theirs(image), ours(image), rtol=1e-4, atol=1e-4)
    assert theirs(image).argmax().item() == HOT_DOG


@pytest.mark.realdata
@torch.no_grad()
def test_a_grey_photo_is_still_a_hot_dog_with_one_band(shared: Path) -> None:
    """Oracle: the colour net on the same grey photo in three equal bands."""
    path = shared / "weights" / "mobilenet_v2-imagenet.safetensors"
    colour, grey = (
        torchvision.models.mobilenet_v2(weights=None).eval(),
        timm.create_model("mobilenetv2_100", in_chans=1),
    )
    transplant(path, colour, strict=True)
    transplant(path, grey.eval(), strict=True)
    image = photo(shared / "data" / "photos" / "hot_dog.jpg", 224).mean(1, keepdim=True)
    torch.testing.assert_close(grey(image), colour(image.expand(-1, 3, -1, -1)), rtol=1e-3, atol=1e-3)
