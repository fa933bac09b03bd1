"""One contract for every network of the catalogue: the smallest of each family, and what a name can say besides.

`benchmarks/catalogue_sweep.py` runs all of them, and larger ones; `network_contract` says what each check demands.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from torch import nn

import network_contract
from fullconv.networks.backbones import LISTED
from fullconv.networks.catalogue import build_network, parse_name
from fullconv.networks.fcn import FCN
from network_contract import CHECKS, contract_of

pytest.importorskip("timm")

COARSEST = [
    *("fcn32s-alexnet", "fcn32s-vgg11", "fcn32s-vgg11_bn", "fcn32s-googlenet", "fcn32s-resnet18", "fcn32s-resnet50"),
    *("fcn32s-mobilenet_v2", "fcn32s-mobilenet_v3_small", "fcn16s-squeezenet1_0", "fcn16s-squeezenet1_1"),
    *("fcn32s-densenet121", "fcn32s-efficientnet_b0", "fcn32s-efficientnet_v2_s", "fcn32s-convnext_tiny"),
    *("fcn32s-regnet_x_400mf", "fcn32s-regnet_y_400mf", "fcn32s-mnasnet0_5", "fcn32s-shufflenet_v2_x0_5"),
    *("fcn32s-compact", "fcn32s-inception_v3"),
]
FINER = [
    *("fcn4s-alexnet", "fcn4s-resnet18-features", "fcn2s-mobilenet_v2", "fcn2s-squeezenet1_1-features"),
    *("fcn4s-convnext_tiny-features", "fcn2s-shufflenet_v2_x0_5", "fcn2s-compact-features"),
]
OF_TIMM = [
    *("fcn8s-test_resnet", "fcn4s-test_convnext-features", "fcn8s-test_efficientnet", "fcn4s-timm_resnet10t"),
    *("fcn8s-test_nfnet", "fcn4s-dla46x_c"),
]
VARIANTS = [
    *("fcn8s-resnet18-d8", "fcn16s-mobilenet_v2-d16", "fcn4s-squeezenet1_1-d8-features", "fcn8s-alexnet-fc"),
    *("fcn8s-squeezenet1_1-at-once", "fcn8s-mobilenet_v2-frozen", "fcn8s-compact-learned-dense-random"),
    *("fcn8s-resnet18-late3", "fcn4s-compact-d8-features-learned-late3"),
]
REFERENCE = ["fcn-alexnet-reference"]
BUILT_ONLY = [
    *("fcn32s-vgg16-reference", "fcn16s-vgg16-reference", "fcn8s-vgg16-reference", "fcn8s-at-once-vgg16-reference"),
    *("fcn8s-vgg16-fc", "fcn8s-vgg16-reference-late3", "fcn8s-resnet50-d8"),
]
"""Too large to be run here; the sweep does."""


@pytest.mark.parametrize("name", [*COARSEST, *FINER, *OF_TIMM, *VARIANTS, *REFERENCE])
def test_a_network_keeps_every_promise(name: str, tmp_path: Path) -> None:
    found = contract_of(name, tmp_path / "package")
    assert found.broken == {}
    assert tuple(found.seconds) == CHECKS
    assert found.parameters > 0


@pytest.mark.parametrize("name", BUILT_ONLY)
def test_a_large_network_has_its_geometry_without_memory(name: str, tmp_path: Path) -> None:
    assert contract_of(name, tmp_path / "package", checks=("meta", "geometry")).broken == {}


def test_every_family_of_the_catalogue_is_here() -> None:
    def family(backbone: str) -> str:
        return re.split(r"\d|_tiny|_small|_base|_large", backbone)[0] + "_bn" * backbone.endswith("_bn")

    here = {parse_name(name).backbone for name in COARSEST}
    assert {family(backbone) for backbone in LISTED} <= {family(backbone) for backbone in here}


def faulty(fault: str) -> FCN:
    """A network with one fault."""
    net = build_network("fcn8s-compact", classes=network_contract.CLASSES)
    assert isinstance(net, FCN)
    if fault == "a row short":
        net.register_forward_hook(lambda _, images, scores: scores[..., :-1, :])
    elif fault == "prefers a class":
        nn.init.ones_(net.head.scores[0].bias[:1])
    elif fault == "learns the wrong way":
        net.register_forward_hook(lambda _, images, scores: scores.detach() * 2 - scores)
    elif fault == "has a layer to spare":
        net.spare = nn.Conv2d(3, 3, 1)
    elif fault == "trains its head only":
        net.features.register_forward_hook(lambda _, images, maps: {node: map.detach() for node, map in maps.items()})
    elif fault == "is not what its name says":
        net.register_forward_hook(lambda _, images, scores: scores * 1.5)
    return net


@pytest.mark.parametrize(
    ("fault", "broken", "what"),
    [
        ("a row short", ["sizes", "guess", "step", "package"], r"\(97, 61\) gives \(1, 21, 96, 61\)"),
        ("prefers a class", ["guess"], r"scores of 1.0e\+00 at the start"),
        ("learns the wrong way", ["step"], r"the loss is 3.04\d+ before the step"),
        ("has a layer to spare", ["step", "package"], r"2 parameters take no part, such as .'spare.weight'"),
        ("trains its head only", ["step", "package"], r"parameters take no part, such as .'features"),
        ("is not what its name says", ["package"], r"scores differ by"),
    ],
)
def test_the_contract_sees_what_is_wrong(
    fault: str, broken: list[str], what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(network_contract, "build_network", lambda name, **_: faulty(fault))
    found = contract_of("fcn8s-compact", tmp_path / "package")
    assert list(found.broken) == broken
    assert re.search(what, found.broken[broken[0]])
