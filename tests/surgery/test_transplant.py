"""Moving weights: what is copied, reshaped, expanded, initialised and left, and that the function is kept."""

from __future__ import annotations

import io
import json
from collections import OrderedDict
from typing import Any

import pytest
import torch
from rich.console import Console
from torch import nn

from fullconv.errors import NetworkError
from fullconv.surgery.transplant import transplant


def classifier(classes: int = 10, bands: int = 3, width: int = 6) -> nn.Sequential:
    """Takes (N, bands, 12, 12) images; flattens (2 · width, 4, 4)."""
    return nn.Sequential(
        OrderedDict(
            conv1=nn.Conv2d(bands, width, 3),
            bn1=nn.BatchNorm2d(width),
            relu1=nn.ReLU(),
            conv2=nn.Conv2d(width, 2 * width, 3, stride=2),
            flatten=nn.Flatten(),
            fc6=nn.Linear(2 * width * 16, 16),
            relu6=nn.ReLU(),
            fc8=nn.Linear(16, classes),
        )
    ).eval()


def dense(classes: int = 10, bands: int = 3, width: int = 6, suffix: str = "") -> nn.Sequential:
    """The same with convolutions for linear layers."""
    layers = OrderedDict[str, nn.Module](
        conv1=nn.Conv2d(bands, width, 3),
        bn1=nn.BatchNorm2d(width),
        relu1=nn.ReLU(),
        conv2=nn.Conv2d(width, 2 * width, 3, stride=2),
        fc6=nn.Conv2d(2 * width, 16, 4),
        relu6=nn.ReLU(),
        fc8=nn.Conv2d(16, classes, 1),
    )
    return nn.Sequential(OrderedDict((f"{name}{suffix}", layer) for name, layer in layers.items())).eval()


def randomised(net: nn.Module) -> nn.Module:
    """Batch norm statistics that matter."""
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.running_mean)
            nn.init.uniform_(module.running_var, 0.5, 2)
            module.num_batches_tracked.fill_(9)
    return net


def values(net: nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in net.state_dict().items()}


def unchanged(net: nn.Module, before: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(value, before[name]) for name, value in net.state_dict().items())


@torch.no_grad()
def test_linear_layers_become_convolutions_of_the_same_function() -> None:
    source, target = randomised(classifier()), dense()
    report = transplant(source, target)
    images = torch.randn(4, 3, 12, 12)
    torch.testing.assert_close(target(images).flatten(1), source(images))
    assert report.counts == {"copied": 11, "reshaped": 2, "expanded": 0, "initialised": 0, "left": 0}
    assert report.reshaped == ("fc6.weight", "fc8.weight")
    assert report["fc6.weight"].note == "(16, 192) → (16, 12, 4, 4)"
    assert target(torch.randn(1, 3, 20, 30)).shape == (1, 10, 5, 10)


@torch.no_grad()
def test_and_convolutions_linear_layers() -> None:
    source, target = randomised(dense()), classifier()
    transplant(source, target)
    images = torch.randn(4, 3, 12, 12)
    torch.testing.assert_close(target(images), source(images).flatten(1))


def test_parameters_stay_the_same_objects_of_the_same_dtype_and_device() -> None:
    source, target = classifier(), dense().to(torch.bfloat16)
    target.conv1.weight.requires_grad_(False)
    before = dict(target.named_parameters())
    transplant({name: value.half() for name, value in source.state_dict().items()}, target)
    after = dict(target.named_parameters())
    assert all(after[name] is before[name] for name in before)
    assert not target.conv1.weight.requires_grad
    assert target.fc6.weight.dtype == torch.bfloat16
    torch.testing.assert_close(target.conv2.bias, source.conv2.bias.bfloat16(), rtol=0.01, atol=0.001)


@torch.no_grad()
def test_a_grown_classifier_keeps_its_first_classes_and_starts_the_others() -> None:
    source, target = randomised(classifier(classes=10)), dense(classes=14)
    nn.init.zeros_(target.fc8.weight)
    nn.init.constant_(target.fc8.bias, -5)
    report = transplant(source, target)
    images = torch.randn(2, 3, 12, 12)
    scores = target(images).flatten(1)
    torch.testing.assert_close(scores[:, :10], source(images))
    assert torch.equal(scores[:, 10:], torch.full((2, 4), -5.0))
    assert report.expanded == ("fc8.weight", "fc8.bias")
    assert report["fc8.weight"].note == "first 10 of 14 classes"


@torch.no_grad()
def test_fewer_classes_are_taken_only_when_asked() -> None:
    source, target = classifier(classes=10), classifier(classes=4)
    before = values(target)
    report = transplant(source, target)
    assert report.initialised == ("fc8.weight", "fc8.bias")
    assert torch.equal(target.fc8.weight, before["fc8.weight"])
    assert "fewer_classes takes its first rows" in report["fc8.bias"].note
    assert report.left == ("fc8.weight", "fc8.bias")
    assert transplant(source, target, fewer_classes=True).expanded == ("fc8.weight", "fc8.bias")
    assert torch.equal(target.fc8.weight, source.fc8.weight[:4])


class Scores(nn.Module):
    """Layers after a body as in the reference nets, where several layers have one channel per class."""

    def __init__(self, classes: int, groups: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 8, 3)
        self.score_fr = nn.Conv2d(8, classes, 1)
        self.up_to_pool4 = nn.ConvTranspose2d(classes, classes, 4, 2, groups=groups, bias=False)
        self.score_pool4 = nn.Conv2d(8, classes, 1)
        self.upscore = nn.ConvTranspose2d(classes, classes, 4, 2, groups=groups, bias=False)


@pytest.mark.parametrize("each_to_each", [False, True])
def test_every_layer_with_a_channel_per_class_grows(each_to_each: bool) -> None:
    source, target = (Scores(n, groups=1 if each_to_each else n) for n in (5, 8))
    report = transplant(source, target)
    assert len(report.expanded) == 6
    count = 5 if each_to_each else 1
    torch.testing.assert_close(target.up_to_pool4.weight[:5, :count], source.up_to_pool4.weight)
    torch.testing.assert_close(target.score_pool4.bias[:5], source.score_pool4.bias)


@pytest.mark.parametrize("classes", [10, 12])
def test_a_wider_body_is_no_grown_classifier(classes: int) -> None:
    source, target = classifier(width=6), classifier(width=8, classes=classes)
    report = transplant(source, target)
    assert report.taken == ("fc8.weight", "fc8.bias")
    assert report["conv1.weight"].note == "(6, 3, 3, 3) does not fit (8, 3, 3, 3)"


def test_a_wider_last_convolution_is_no_grown_classifier() -> None:
    source, target = (
        nn.Sequential(nn.Conv2d(3, 4, 1), nn.Conv2d(4, n, 3), nn.BatchNorm2d(n), nn.Conv2d(n, n, 3)) for n in (6, 8)
    )
    assert transplant(source, target).taken == ("0.weight", "0.bias")


def test_a_layer_is_taken_over_whole_or_not_at_all() -> None:
    source = nn.Sequential(OrderedDict(a=nn.Conv2d(4, 8, 3), b=nn.Conv2d(8, 8, 3)))
    target = nn.Sequential(OrderedDict(a=nn.Conv2d(4, 8, 5), b=nn.Conv2d(8, 8, 3)))
    before = target.a.bias.clone()
    report = transplant(source, target)
    assert report["a.bias"].note == "the weight of its layer does not fit"
    assert torch.equal(target.a.bias, before)
    assert report.copied == ("b.weight", "b.bias")


def test_depth_gets_the_mean_of_the_colour_filters() -> None:
    source, target = classifier(bands=3), dense(bands=4)
    report = transplant(source, target)
    assert torch.equal(target.conv1.weight[:, :3], source.conv1.weight)
    torch.testing.assert_close(target.conv1.weight[:, 3], source.conv1.weight.mean(1))
    assert report.expanded == ("conv1.weight",)
    assert report["conv1.weight"].note == "mean of the colour filters"


def test_filters_of_many_bands_are_no_colours() -> None:
    report = transplant(classifier(bands=13), dense(bands=10))
    assert report["conv1.weight"].status == "initialised"


@pytest.mark.parametrize(
    "rename",
    [
        {"conv1": "first.conv", "bn1": "first.bn", "fc6": None},
        {"conv1.": "first.conv.", "bn1.": "first.bn.", "fc6.weight": None, "fc6.bias": None},
        lambda name: None if name.startswith("fc6") else name.replace("conv1", "first.conv").replace("bn1", "first.bn"),
    ],
)
def test_rename_by_layer_by_tensor_and_by_function(rename: Any) -> None:
    target = nn.ModuleDict(
        {
            "first": nn.ModuleDict({"conv": nn.Conv2d(3, 6, 3), "bn": nn.BatchNorm2d(6)}),
            "conv2": nn.Conv2d(6, 12, 3),
            "fc6": nn.Linear(192, 16),
        }
    )
    source = randomised(classifier())
    before = target["fc6"].weight.clone()
    report = transplant(source, target, rename=rename)
    assert torch.equal(target["first"]["bn"].running_mean, source.bn1.running_mean)
    assert report["first.conv.weight"].source == "conv1.weight"
    assert torch.equal(target["fc6"].weight, before)
    left = [transfer for transfer in report.transfers if transfer.status == "left"]
    assert {transfer.note for transfer in left if transfer.name.startswith("fc6")} == {"left out by rename"}
    assert {transfer.note for transfer in left if transfer.name.startswith("fc8")} == {"the target has nothing for it"}


def test_renaming_everything_into_a_part() -> None:
    source, target = classifier(), nn.ModuleDict({"rgb": dense(), "depth": dense(bands=1)})
    before = values(target["rgb"])
    report = transplant(source, target, rename={"": "depth"})
    assert unchanged(target["rgb"], before)
    assert len(report.taken) == 13
    assert report.expanded == ("depth.conv1.weight",)


@pytest.mark.parametrize(
    ("rename", "message"),
    [
        ({"conv7": "a"}, r"the source has nothing called 'conv7'; one name in it is conv\d"),
        ({"conv": "a"}, "the source has nothing called 'conv'"),
        ({"fc6": "fc8"}, "fc6.weight and fc8.weight are both renamed to fc8.weight"),
    ],
)
def test_renaming_mistakes_are_refused_and_change_nothing(rename: dict[str, str], message: str) -> None:
    target = dense()
    before = values(target)
    with pytest.raises(NetworkError, match=message):
        transplant(classifier(), target, rename=rename)
    assert unchanged(target, before)


def test_a_suffix_chooses_the_second_tower() -> None:
    towers = nn.Sequential(OrderedDict([*dense().named_children(), *dense(bands=1, suffix="_d").named_children()]))
    before = values(towers)
    source = randomised(classifier())
    report = transplant(source, towers, suffix="_d")
    assert torch.equal(towers.bn1_d.running_var, source.bn1.running_var)
    torch.testing.assert_close(towers.conv1_d.weight[:, 0], source.conv1.weight.sum(1))
    first = [name for name in before if "_d." not in name]
    assert all(torch.equal(towers.state_dict()[name], before[name]) for name in first)
    assert report.initialised == tuple(first)
    assert report["fc6_d.weight"].source == "fc6.weight"
    assert not report.left
    transplant(source, towers, suffix="_d", strict=True)


def test_a_suffix_that_no_layer_carries_is_refused() -> None:
    with pytest.raises(NetworkError, match="no layer of the target has a name that ends in '_x'"):
        transplant(classifier(), dense(), suffix="_x")


@pytest.mark.parametrize("wrap", ["source", "target", "both"])
def test_prefixes_are_found(wrap: str) -> None:
    source: nn.Module = randomised(classifier())
    target: nn.Module = dense()
    if wrap in ("source", "both"):
        source = nn.ModuleDict({"backbone": source, "aux": nn.Linear(3, 3)})
    if wrap in ("target", "both"):
        target = nn.ModuleDict({"net": nn.ModuleDict({"features": target}), "head": nn.Conv2d(10, 2, 1)})
    report = transplant(source, target)
    assert len(report.taken) == 13
    assert report.matched_by == ("name",)
    assert report.left == (("aux.weight", "aux.bias") if wrap != "target" else ())
    assert report.initialised == (("head.weight", "head.bias") if wrap != "source" else ())


def test_two_places_that_fit_equally_well_are_refused() -> None:
    target = nn.ModuleDict({"rgb": dense(), "depth": dense()})
    before = values(target)
    with pytest.raises(NetworkError, match=r"equally well under 'depth' and 'rgb'.*rename=\{\"\": \"depth\"\}"):
        transplant(classifier(), target)
    assert unchanged(target, before)
    source = nn.ModuleDict({"teacher": dense(), "student": dense()})
    with pytest.raises(NetworkError, match="'student' and 'teacher' of the source fit equally well"):
        transplant(source, dense())
    transplant(source, dense(), rename={"student": None}, strict=True)


def test_strict_refuses_gaps_and_changes_nothing() -> None:
    state = classifier().state_dict()
    target = dense()
    before = values(target)
    with pytest.raises(
        NetworkError, match=r"state dict: fills 11 and lacks 2 of .* Sequential, first fc8.weight; give"
    ):
        transplant({name: value for name, value in state.items() if not name.startswith("fc8")}, target, strict=True)
    with pytest.raises(NetworkError, match=r"lacks 2 .* first fc8.weight: \(10, 16\) does not fit \(4, 16, 1, 1\)"):
        transplant(state, dense(classes=4), strict=True)
    assert unchanged(target, before)
    transplant({name: value for name, value in state.items() if "tracked" not in name}, target, strict=True)


def test_nothing_that_fits_is_an_error() -> None:
    with pytest.raises(NetworkError, match="nothing in it fits Sequential"):
        transplant(nn.Sequential(nn.Linear(3, 3)), dense())
    with pytest.raises(NetworkError, match="holds no values"):
        transplant({}, dense())
    with torch.device("meta"):
        empty = dense()
    with pytest.raises(NetworkError, match="lies on the meta device"):
        transplant(classifier(), empty)
    with pytest.raises(NetworkError, match="holds no values"):
        transplant(empty, dense())
    with pytest.raises(NetworkError, match=r"0.weight has no shape yet.*run it once"):
        transplant(classifier(), nn.Sequential(nn.LazyConv2d(4, 3)))


def test_other_names_in_the_same_order_are_matched_and_said_so() -> None:
    source = randomised(classifier())
    target = nn.Sequential(*(layer for layer in dense(classes=12, bands=4)))
    report = transplant(source, target, strict=True)
    assert report.matched_by == ("order",)
    assert torch.equal(target[1].running_mean, source.bn1.running_mean)
    assert report["1.num_batches_tracked"].status == "copied"
    assert report.expanded == ("0.weight", "6.weight", "6.bias")


def test_another_order_of_shapes_is_not_guessed() -> None:
    source = nn.Sequential(OrderedDict(a=nn.Conv2d(3, 8, 3), b=nn.Conv2d(8, 8, 3), c=nn.Conv2d(8, 4, 1)))
    target = nn.Sequential(OrderedDict(x=nn.Conv2d(3, 8, 3), y=nn.Conv2d(8, 8, 5), z=nn.Conv2d(8, 4, 1)))
    with pytest.raises(NetworkError, match="nothing in it fits"):
        transplant(source, target)


def test_the_report_lists_everything_for_people_and_programs() -> None:
    source, target = classifier(), dense(classes=12, bands=4)
    report = transplant(nn.ModuleDict({"backbone": source, "aux": nn.Linear(3, 3)}), target)
    content = json.loads(json.dumps(report.as_dict()))
    assert content["counts"] == {"copied": 9, "reshaped": 1, "expanded": 3, "initialised": 0, "left": 2}
    names = [entry["name"] for entry in content["transfers"]]
    assert names == [*target.state_dict(), "aux.weight", "aux.bias"]
    assert content["transfers"][0]["source"] == "backbone.conv1.weight"
    console = Console(width=200, file=io.StringIO())
    console.print(report.table())
    text = console.file.getvalue()
    assert all(name in text for name in names)
    assert "9 copied, 1 reshaped, 3 expanded, 2 left (matched by name)" in text
    assert report.values("copied", "reshaped", "expanded") == sum(
        value.numel() for value in target.state_dict().values()
    )


def test_layers_that_share_a_tensor_do_not_take_two_values() -> None:
    source = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3), nn.Conv2d(4, 4, 3))
    target = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3), nn.Conv2d(4, 4, 3))
    target[2].weight = target[1].weight
    before = values(target)
    with pytest.raises(NetworkError, match=r"1\.weight and 2\.weight are one and the same tensor"):
        transplant(source, target)
    assert unchanged(target, before)
    source[2].weight = source[1].weight
    transplant(source, target)
    assert torch.equal(target[1].weight, source[1].weight)


def test_a_grouped_convolution_has_no_bands_to_expand() -> None:
    target = nn.Sequential(nn.Conv2d(4, 4, 3, groups=4, bias=False))
    with pytest.raises(NetworkError, match=r"\(4, 4, 3, 3\) does not fit \(4, 1, 3, 3\)"):
        transplant(nn.Sequential(nn.Conv2d(4, 4, 3, bias=False)), target)


def test_a_report_knows_no_other_names() -> None:
    with pytest.raises(KeyError, match="fc9"):
        transplant(classifier(), classifier())["fc9"]
