"""Classifiers made dense, against the classifier itself slid over the image."""

from __future__ import annotations

import copy
import pickle
import warnings

import pytest
import torch
import torch.nn.functional as F
import torch.nn.utils.prune
import torchvision
from torch import nn

import fullconv as fc
from fullconv.errors import NetworkError, NotConvolutional
from fullconv.geometry.geometry import geometry_of
from fullconv.surgery.convolutionalize import DependentWindows, convolutionalize
from small_classifiers import HEADS, NATIVE, STRIDE, Classifier, classifier, randomize, unpadded_body

NATIVE_SIZE = (NATIVE, NATIVE)


def slid(net: nn.Module, image: torch.Tensor, window: tuple[int, int], stride: int) -> torch.Tensor:
    """(classes, rows, columns): the classifier on one crop after the other, the definition of the dense network."""
    height, width = window
    rows = range(0, image.shape[-2] - height + 1, stride)
    cols = range(0, image.shape[-1] - width + 1, stride)
    crops = torch.stack([image[:, y : y + height, x : x + width] for y in rows for x in cols])
    with torch.no_grad():
        return net(crops).reshape(len(crops), -1).T.reshape(-1, len(rows), len(cols))


def images(*shape: int, seed: int = 3) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def assert_close(found: torch.Tensor, wanted: torch.Tensor, tolerance: float = 1e-5) -> None:
    assert found.shape == wanted.shape
    assert float(wanted.std()) > 0
    assert float((found - wanted).abs().max()) <= tolerance * float(wanted.abs().max())


@pytest.mark.parametrize("head", HEADS)
def test_without_padding_every_score_is_the_classifiers_own_for_that_window(head: str) -> None:
    net = classifier(head)
    dense = convolutionalize(net, input_size=NATIVE_SIZE)
    conversion = dense.conversion
    assert conversion is not None
    image = images(3, NATIVE + 22, NATIVE + 13)
    with torch.no_grad():
        found = dense(image[None])[0]
    assert_close(found, slid(net, image, NATIVE_SIZE, conversion.stride[0]))
    assert conversion.stride == (
        (2 * STRIDE,) * 2 if head.startswith(("two windows", "coarse branch")) else (STRIDE,) * 2
    )
    assert conversion.parameters_before == conversion.parameters_after == sum(p.numel() for p in dense.parameters())
    assert conversion.multiply_adds_before == conversion.multiply_adds_after > 0
    assert geometry_of(dense).is_local


def test_alexnet_is_the_network_of_the_paper() -> None:
    torch.manual_seed(0)
    net = torchvision.models.alexnet().eval()
    dense = fc.convolutionalize(net)
    fc6 = dense.get_submodule("classifier.1")
    assert isinstance(fc6, nn.Conv2d)
    assert fc6.kernel_size == (6, 6)
    assert sum(p.numel() for p in fc6.parameters()) == 37_752_832
    geometry = geometry_of(dense)
    assert geometry["classifier.1"].receptive_field == (355, 355)
    assert geometry["classifier.6"].stride == (32, 32)
    image = images(1, 3, 224, 224)
    with torch.no_grad():
        assert_close(dense(image)[:, :, 0, 0], net(image))
        assert dense(images(1, 3, 500, 300)).shape == (1, 1000, 9, 3)
    assert dense.state_dict().keys() == net.state_dict().keys()
    assert dense.conversion.multiply_adds_after == 714_188_480
    assert "61,100,840 →       61,100,840" in str(dense.conversion)


def test_windows_need_not_be_square() -> None:
    net = Classifier(unpadded_body(), lambda x, fc: fc(x.flatten(1)), fc=nn.Linear(6 * 3 * 5, 4)).eval()
    dense = convolutionalize(net, input_size=(21, 29))
    image = images(3, 40, 50)
    with torch.no_grad():
        assert_close(dense(image[None])[0], slid(net, image, (21, 29), STRIDE))


def test_windows_that_hang_over_the_far_edge_have_scores_where_only_unread_pixels_are_missing() -> None:
    net = classifier("mean")
    dense = convolutionalize(net, input_size=(27, 27))
    image = images(3, 49, 40)
    with torch.no_grad():
        scores = dense(image[None])[0]
    wanted = slid(net, image, (27, 27), STRIDE)
    assert scores.shape[1:] == (7, 4)
    assert_close(scores[:, : wanted.shape[1], : wanted.shape[2]], wanted)


def padded_body() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 6, 3, padding=1, stride=2), nn.ReLU(), nn.Conv2d(6, 6, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)
    )


def test_with_padding_scores_whose_field_lies_inside_the_window_are_the_classifiers() -> None:
    net = Classifier(padded_body(), lambda x, fc: fc(x[:, :, 2:-2, 2:-2].flatten(1)), fc=nn.Linear(6 * 4 * 4, 5))
    net.eval()
    dense = convolutionalize(net, input_size=(32, 32))
    output = geometry_of(dense).output
    assert output is not None
    first, last = output.rows.extent(0) or (-1, 99)
    assert 0 <= first <= last < 32
    image = images(3, 61, 50)
    with torch.no_grad():
        assert_close(dense(image[None])[0], slid(net, image, (32, 32), 4))


def test_with_padding_cells_agree_exactly_where_their_field_lies_inside_the_window() -> None:
    torch.manual_seed(0)
    net = classifier("mean", nn.Sequential(padded_body()))
    dense = convolutionalize(net, input_size=(32, 32), pool="none")
    image = images(1, 3, 64, 64)
    weight, bias = net.layers["fc"].weight, net.layers["fc"].bias
    with torch.no_grad():
        whole = dense(image)[..., 4:12, 4:12]
        window = F.conv2d(net.body(image[..., 16:48, 16:48]), weight[:, :, None, None], bias)
    rows = geometry_of(dense).output.rows
    inside = torch.tensor([rows.extent(o)[0] >= 0 and rows.extent(o)[1] < 32 for o in range(8)])
    equal = (whole - window).abs().amax((0, 1)) <= 1e-6
    assert bool(inside.any())
    assert torch.equal(equal, inside[:, None] & inside[None])


def test_without_pooling_the_mean_of_the_class_activation_map_is_the_classifiers_score() -> None:
    torch.manual_seed(0)
    net = torchvision.models.resnet18(num_classes=7).eval()
    randomize(net)
    dense = convolutionalize(net, pool="none")
    image = images(2, 3, 224, 224)
    with torch.no_grad():
        scores = dense(image)
        assert scores.shape == (2, 7, 7, 7)
        assert_close(scores.mean((2, 3)), net(image))
        assert dense(images(1, 3, 225, 417)).shape == (1, 7, 8, 14)
    conversion = dense.conversion
    assert conversion.multiply_adds_after - conversion.multiply_adds_before == 48 * 512 * 7
    assert conversion.receptive_field == (435, 435)


@pytest.mark.parametrize(
    "head",
    [
        "maximum",
        "layer norm",
        "softmax",
        "cosine",
        "root mean square norm",
        "convolution after pooling",
        "generalized mean",
    ],
)
def test_pooling_stays_where_the_head_is_not_linear_behind_it(head: str) -> None:
    with pytest.raises(NotConvolutional, match=r'not linear|cannot be left out.*"window"'):
        convolutionalize(classifier(head), input_size=NATIVE_SIZE, pool="none")


class SqueezeExcite(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.down, self.up = nn.Conv2d(channels, 4, 1), nn.Conv2d(4, channels, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.up(F.adaptive_avg_pool2d(x, 1).flatten(1).relu()[:, :4, None, None].sigmoid()).sigmoid()


class Gate(nn.Module):
    """Squeeze-excite with linear layers."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.down, self.up = nn.Linear(channels, 4), nn.Linear(4, channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        n, c, _, _ = x.shape
        return x * self.up(self.down(x.mean((2, 3))).relu()).sigmoid().view(n, c, 1, 1).expand_as(x)


@pytest.mark.parametrize(
    ("part", "named"), [(Gate(6), "body.1.mean"), (nn.GroupNorm(2, 6), "body.1"), (nn.InstanceNorm2d(6), "body.1")]
)
def test_parts_that_read_the_whole_image_stay_and_a_warning_names_them(part: nn.Module, named: str) -> None:
    net = classifier("mean", nn.Sequential(unpadded_body(), part))
    with pytest.warns(DependentWindows, match=rf"{named} reads the whole image, so windows are not independent"):
        dense = convolutionalize(net, input_size=NATIVE_SIZE)
    assert dense.conversion.dependent == (named,)
    assert not geometry_of(dense).is_local
    image = images(1, 3, NATIVE, NATIVE)
    with torch.no_grad():
        assert_close(dense(image)[:, :, 0, 0], net(image))
        assert dense(images(1, 3, 50, 60)).shape == (1, 5, 7, 9)


class SamePadding(nn.Conv2d):
    """As TensorFlow pads: as much as this size needs, more of it at the end."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        height, width = x.shape[-2:]
        missing = [max((-(-size // 2) - 1) * 2 + 3 - size, 0) for size in (width, height)]
        if any(missing):
            x = F.pad(x, [missing[0] // 2, missing[0] - missing[0] // 2, missing[1] // 2, missing[1] - missing[1] // 2])
        return F.conv2d(x, self.weight, self.bias, stride=2)


@pytest.mark.parametrize("side", [16, 17])
def test_padding_computed_from_the_size_is_held_at_that_of_the_window(side: int) -> None:
    torch.manual_seed(0)
    net = classifier("mean", nn.Sequential(SamePadding(3, 6, 3), nn.ReLU(), SamePadding(6, 6, 3)))
    assert not geometry_of(net).is_local
    dense = convolutionalize(net, input_size=(side, side))
    assert geometry_of(dense).is_local
    with torch.no_grad():
        image = images(1, 3, side, side)
        assert_close(dense(image)[:, :, 0, 0], net(image))
        assert dense(images(1, 3, side + 4, side + 11)).shape[-2:] == (2, 3)


class DownAndUp(nn.Module):
    """Two branches that meet only where the size divides by four, as in high-resolution networks."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.down = nn.Conv2d(3, 6, 3, stride=2, padding=1), nn.Conv2d(6, 6, 3, stride=2, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.first(x)
        return x + F.interpolate(self.down(x), size=x.shape[-2:], mode="nearest")


def test_networks_for_some_sizes_only_take_every_size_trimmed() -> None:
    net = classifier("mean", nn.Sequential(DownAndUp()))
    dense = convolutionalize(net, input_size=(32, 32))
    assert dense.conversion.trimmed
    image = images(1, 3, 47, 37)
    with torch.no_grad():
        scores = dense(image)
        assert torch.equal(scores, dense(image[..., :44, :36]))
        assert dense(images(1, 3, 33, 35)).shape == (1, 5, 1, 1)
    assert geometry_of(dense, input_size=(32, 32)).is_local


def test_the_classifier_is_left_as_it_was() -> None:
    net = classifier("adaptive pooling").train()
    before = copy.deepcopy(net.state_dict())
    dense = convolutionalize(net, input_size=NATIVE_SIZE)
    assert all(module.training for module in net.modules())
    assert not any(module.training for module in dense.modules())
    with torch.no_grad():
        for parameter in dense.parameters():
            parameter.zero_()
    assert all(torch.equal(net.state_dict()[name], value) for name, value in before.items())


def test_copies_and_pickles_know_how_they_were_made() -> None:
    dense = convolutionalize(torchvision.models.squeezenet1_1(num_classes=5))
    image = images(1, 3, 240, 256)
    for other in (copy.deepcopy(dense), pickle.loads(pickle.dumps(dense))):
        assert other.conversion == dense.conversion
        with torch.no_grad():
            assert torch.equal(other(image), dense(image))
    with pytest.raises(NetworkError, match="the image has 20×20 pixels"):
        copy.deepcopy(dense)(images(1, 3, 20, 20))


def test_images_smaller_than_a_window_are_refused() -> None:
    dense = convolutionalize(classifier("mean"), input_size=NATIVE_SIZE)
    with pytest.raises(NetworkError, match=r"25×24 pixels, the windows of this classifier 25×25"):
        dense(images(1, 3, 25, 24))


def test_without_values_there_is_no_proof_and_the_report_says_so() -> None:
    with torch.device("meta"):
        net = torchvision.models.vgg16()
        dense = convolutionalize(net)
    assert dense.conversion.difference is None
    assert "not compared" in str(dense.conversion)
    assert dense.conversion.receptive_field == (404, 404)
    assert all(parameter.is_meta for parameter in dense.parameters())


def test_auxiliary_heads_are_left_out_and_named() -> None:
    net = torchvision.models.googlenet(init_weights=False).eval()
    conversion = convolutionalize(net).conversion
    assert conversion.left_out == ("aux1", "aux2")
    evaluated = sum(p.numel() for name, p in net.named_parameters() if not name.startswith("aux"))
    assert conversion.parameters_before == evaluated


def test_half_precision_is_compared_in_float32() -> None:
    dense = convolutionalize(classifier("flatten").bfloat16(), input_size=NATIVE_SIZE)
    assert dense.conversion.difference <= 1e-5
    assert {parameter.dtype for parameter in dense.parameters()} == {torch.bfloat16}


def test_ordinary_classifiers_convert_without_a_warning() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        convolutionalize(classifier("mean"), input_size=NATIVE_SIZE)


def test_pool_has_two_values() -> None:
    with pytest.raises(NetworkError, match="window"):
        convolutionalize(classifier("mean"), pool="max")  # type: ignore[arg-type]


def test_tied_layers_stay_tied() -> None:
    function = lambda x, first, second: first(x.flatten(1)) + second(x.relu().flatten(1))  # noqa: E731
    net = Classifier(unpadded_body(), function, first=nn.Linear(96, 5), second=nn.Linear(96, 5)).eval()
    net.layers.second.weight = net.layers.first.weight
    dense = convolutionalize(net, input_size=NATIVE_SIZE)
    image = images(3, NATIVE + 9, NATIVE + 4)
    with torch.no_grad():
        assert_close(dense(image[None])[0], slid(net, image, NATIVE_SIZE, STRIDE))
    assert sum(p.numel() for p in dense.parameters()) == sum(p.numel() for p in net.parameters())


@pytest.mark.parametrize("squeeze", [lambda x: x.squeeze(), lambda x: x.squeeze(1), lambda x: x[:, 0]])
def test_a_single_class_may_have_lost_its_dimension(squeeze: object) -> None:
    function = lambda x, fc: squeeze(fc(x.flatten(1)))  # type: ignore[operator]  # noqa: E731
    net = Classifier(unpadded_body(), function, fc=nn.Linear(96, 1)).eval()
    dense = convolutionalize(net, input_size=NATIVE_SIZE)
    image = images(3, NATIVE + 9, NATIVE + 4)
    with torch.no_grad():
        assert_close(dense(image[None])[0], slid(net, image, NATIVE_SIZE, STRIDE))


def test_weights_computed_by_hooks_are_kept_in_the_body_and_refused_in_the_head() -> None:
    net = classifier("flatten")
    torch.nn.utils.prune.l1_unstructured(net.body[0], "weight", 0.5)
    dense = convolutionalize(net, input_size=NATIVE_SIZE)
    assert dense.conversion is not None
    assert dense.conversion.difference is not None
    torch.nn.utils.prune.l1_unstructured(net.layers.fc, "weight", 0.5)
    with pytest.raises(NotConvolutional, match=r"layers\.fc: it has forward hooks, such as those of pruning"):
        convolutionalize(net, input_size=NATIVE_SIZE)


def test_batch_norm_by_a_function_follows_training_when_dense() -> None:
    class Normed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body, self.fc = nn.Conv2d(3, 4, 5, 4), nn.Linear(4 * 36, 5)
            self.register_buffer("mean", torch.ones(4))
            self.register_buffer("variance", torch.ones(4))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = F.batch_norm(self.body(x), self.mean, self.variance, training=self.training)
            return self.fc(F.dropout(x, 0.5, self.training).flatten(1))

    dense = convolutionalize(Normed(), input_size=NATIVE_SIZE)
    statistics = dense.get_buffer("mean").clone()
    image = images(2, 3, NATIVE, NATIVE)
    with torch.no_grad():
        assert torch.equal(dense(image), dense(image))
        assert torch.equal(dense.get_buffer("mean"), statistics)
        assert not torch.equal(dense.train()(image), dense(image))
        assert not torch.equal(dense.get_buffer("mean"), statistics)
