"""Networks from a Python file: what is run, what is checked, what is said of mistakes."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from torch import nn

from fullconv.errors import NetworkError
from fullconv.geometry.geometry import geometry_of
from fullconv.networks.catalogue import any_network, build_network
from fullconv.networks.own_file import OwnFile, own_network
from fullconv.networks.own_weights import load_own_weights
from fullconv.store.package import Geometry

NET = """
import torch.nn.functional as F
from torch import nn

class Net(nn.Module):
    def __init__(self, classes, channels):
        super().__init__()
        self.down = nn.Conv2d(channels, 8, 3, stride=2, padding=1)
        self.norm = nn.BatchNorm2d(8)
        self.drop = nn.Dropout(0.5)
        self.score = nn.Conv2d(8, classes, 1)

    def forward(self, images):
        scores = F.interpolate(self.score(self.drop(self.norm(self.down(images)))), scale_factor=2, mode="bilinear")
        return scores[..., : images.shape[-2], : images.shape[-1]]

def build(classes, channels):
    return Net(classes, channels)

def conv(classes, channels):
    return nn.Conv2d(channels, classes, 1)
"""

HEAD = "import torch\nimport torch.nn.functional as F\nfrom torch import nn\n"


def written(folder: Path, text: str) -> str:
    path = folder / "my_net.py"
    path.write_text(text)
    return f"{path}:build"


def returning(expression: str) -> str:
    """A file whose network computes this of `x` after a 1×1 convolution of 5 channels, `self.c`."""
    return (
        f"{HEAD}class Net(nn.Module):\n"
        "    def __init__(self):\n        super().__init__()\n        self.c = nn.Conv2d(3, 5, 1)\n"
        f"    def forward(self, x):\n        return {expression}\n"
        "def build(classes, channels):\n    return Net()\n"
    )


def test_the_network_is_what_the_function_returns(tmp_path: Path) -> None:
    name = written(tmp_path, NET)
    torch.manual_seed(1)
    net = own_network(name, classes=5, channels=2).eval()
    space: dict[str, object] = {}
    exec(NET, space)
    torch.manual_seed(1)
    expected: nn.Module = space["build"](5, 2).eval()  # type: ignore[operator]
    images = torch.randn(1, 2, 33, 47)
    with torch.no_grad():
        torch.testing.assert_close(net(images), expected(images))
    assert {name.removeprefix("head.") for name in net.state_dict()} == set(expected.state_dict())


def test_everything_is_new_and_the_grid_is_known(tmp_path: Path) -> None:
    net = own_network(written(tmp_path, NET), classes=5)
    assert not list(net.features.parameters())
    assert len(list(net.head.parameters())) == len(list(net.parameters())) == 6
    assert net.stride == 2
    assert net.training
    found = Geometry.of(net)
    assert found.total_stride == 2
    assert found.reach is not None
    assert 1 <= max(found.reach) <= 4
    assert found.obstacles == ()


def test_the_function_may_be_named_or_left_open(tmp_path: Path) -> None:
    name = written(tmp_path, NET)
    assert len(list(own_network(name.replace(":build", ""), classes=2).parameters())) == 6
    assert len(list(own_network(name.replace(":build", ":conv"), classes=2).parameters())) == 2


def test_the_check_leaves_statistics_random_numbers_and_frozen_parts_alone(tmp_path: Path) -> None:
    frozen = NET.replace(
        "return Net(classes, channels)", "net = Net(classes, channels)\n    net.norm.eval()\n    return net"
    )
    torch.manual_seed(1)
    plain = OwnFile.read(written(tmp_path, NET)).build(5, 3)
    after = torch.rand(1)
    torch.manual_seed(1)
    checked = own_network(written(tmp_path, NET), classes=5)
    assert torch.equal(torch.rand(1), after)
    one, two = plain.state_dict(), checked.state_dict()
    assert all(torch.equal(one[name], two[name]) for name in one)
    norm = own_network(written(tmp_path, frozen), classes=5).head.get_submodule("norm")
    assert not norm.training


def test_frozen_parts_stay_frozen_in_the_check(tmp_path: Path) -> None:
    refusing = NET.replace("        scores = ", "        assert not self.norm.training\n        scores = ")
    frozen = refusing.replace(
        "return Net(classes, channels)", "net = Net(classes, channels); net.norm.eval(); return net"
    )
    own_network(written(tmp_path, frozen), classes=5)
    with pytest.raises(NetworkError, match="AssertionError"):
        own_network(written(tmp_path, refusing), classes=5)


def test_nothing_is_left_beside_the_file(tmp_path: Path) -> None:
    own_network(written(tmp_path, NET), classes=2)
    assert [path.name for path in tmp_path.iterdir()] == ["my_net.py"]


def test_dataclasses_and_lazy_layers_work(tmp_path: Path) -> None:
    text = (
        "from __future__ import annotations\nfrom dataclasses import dataclass\nfrom torch import nn\n"
        "@dataclass\nclass Widths:\n    first: int = 4\n"
        "def build(classes, channels):\n"
        "    return nn.Sequential(nn.LazyConv2d(Widths().first, 3, padding=1), nn.LazyConv2d(classes, 1))\n"
    )
    net = own_network(written(tmp_path, text), classes=3)
    assert [tuple(parameter.shape) for parameter in net.parameters()] == [(4, 3, 3, 3), (4,), (3, 4, 1, 1), (3,)]


def test_a_network_that_no_arithmetic_follows_is_told_so(tmp_path: Path) -> None:
    net = own_network(written(tmp_path, returning("self.c(x) if x.sum() > 0 else -self.c(x)")), classes=5)
    found = Geometry.of(net)
    assert (found.stride, found.reach) == (1, None)
    assert found.obstacles


def test_the_catalogue_shows_it_but_never_builds_it_unasked(tmp_path: Path) -> None:
    name = written(tmp_path, NET)
    assert not any_network(name, classes=4).training
    with pytest.raises(NetworkError, match="no network is named"):
        build_network(name, classes=4)


def test_layers_may_be_defined_in_any_order(tmp_path: Path) -> None:
    late = NET.replace("        self.down =", "        self.score = nn.Conv2d(8, classes, 1)\n        self.down =")
    geometry = geometry_of(any_network(written(tmp_path, late), classes=4))
    assert geometry.channels == 3
    assert geometry["down"].stride == (2, 2)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("def other(classes, channels): pass", r"my_net\.py: has no function 'build'; functions in it: other; write"),
        ("build = 3", r"has no function 'build'; write `def build"),
        ("x = 1\ndef build(:", r"my_net\.py, line 2: the file raised SyntaxError"),
        ("x = 1\n\nraise ValueError('no luck')", r"my_net\.py, line 3: the file raised ValueError: no luck; mend"),
        ("import sys\nsys.exit(3)", r"my_net\.py, line 2: the file raised SystemExit: 3"),
        ("import blocks_of_mine", r"No module named 'blocks_of_mine'; install it; a module of your own belongs into"),
        ("def build(classes): pass", r"my_net\.py: build does not take `classes` and `channels`; write"),
        ("def build(classes, channels):\n    return 1 / 0", r"line 2: build\(classes=5, channels=3\) raised ZeroDiv"),
        ("def build(classes, channels): pass", r"build returned nothing, not a torch.nn.Module; return"),
        ("def build(classes, channels): return [1]", r"build returned a list, not a torch.nn.Module; return"),
        (f"{HEAD}def build(classes, channels): return nn.Identity()", "has no parameter to train; leave"),
        (returning("self.c(x)[:, :4]"), r"yields 4 scores per pixel for 5 classes; let"),
        (returning("F.max_pool2d(self.c(x), 2)"), r"yields 64×48 scores for 129×97 pixels; bring"),
        (returning("F.pad(self.c(x), (1, 1, 1, 1))"), r"yields 131×99 scores for 129×97 pixels"),
        (returning("self.c(x).mean((2, 3))"), r"yields a tensor of shape 2×5 for 2 images; return"),
        (returning("{'out': self.c(x)}"), "yields a dict, not a tensor; return only"),
        (returning("(self.c(x), x) if self.training else self.c(x)"), "yields a tuple in training, not a tensor"),
        (returning("self.c(x).argmax(1, keepdim=True).expand(-1, 5, -1, -1)"), "torch.int64 values; return the scores"),
        (returning("self.c(x.repeat(1, 2, 1, 1))"), r"line 9: the network, given images of 129×97 pixels with 3 band"),
        (returning("self.c(x).view(2, -1).view(2, 5, *x.shape[2:])"), "raised RuntimeError: view size is not"),
    ],
)
def test_a_mistake_is_one_sentence_with_file_and_remedy(tmp_path: Path, text: str, sentence: str) -> None:
    with pytest.raises(NetworkError, match=sentence) as raised:
        own_network(written(tmp_path, text), classes=5)
    said = str(raised.value)
    assert said.startswith(str(tmp_path / "my_net.py"))
    assert "\n" not in said
    assert raised.value.remedy
    assert [path.name for path in tmp_path.iterdir()] == ["my_net.py"]


def test_no_such_file_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(NetworkError, match=re.escape(f"{tmp_path / 'none.py'}: no such file; check")):
        own_network(f"{tmp_path / 'none.py'}:build", classes=5)


def test_weights_are_as_built_or_all_from_a_file(tmp_path: Path) -> None:
    name = written(tmp_path, NET)
    torch.manual_seed(1)
    trained = own_network(name, classes=5)
    torch.save(trained.head.state_dict(), tmp_path / "whole.pth")
    torch.manual_seed(2)
    net = own_network(name, classes=5)
    before = {name: value.clone() for name, value in net.state_dict().items()}
    for weights in ("auto", "random"):
        report = load_own_weights(net, weights)
        assert (report.source, report.pretrained, report.warning) == ("as built", False, None)
        assert all(torch.equal(before[name], value) for name, value in net.state_dict().items())
    report = load_own_weights(net, str(tmp_path / "whole.pth"))
    assert report.pretrained
    assert report.initialised == ()
    assert set(report.copied) >= {name for name, _ in net.named_parameters()}
    expected = trained.state_dict()
    assert all(torch.equal(expected[name], value) for name, value in net.state_dict().items())
    with pytest.raises(NetworkError, match="ImageNet weights for a network of one's own"):
        load_own_weights(net, "imagenet")
    torch.save({"down.weight": trained.head.state_dict()["down.weight"]}, tmp_path / "part.pth")
    with pytest.raises(NetworkError, match="lacks"):
        load_own_weights(net, str(tmp_path / "part.pth"))


def test_a_network_without_values_is_refused(tmp_path: Path) -> None:
    text = 'def build(classes, channels):\n    return nn.Conv2d(channels, classes, 1, device="meta")\n'
    name = written(tmp_path, f"from torch import nn\n{text}")
    with pytest.raises(NetworkError, match="lies on the meta device and holds no values"):
        own_network(name, classes=3)
