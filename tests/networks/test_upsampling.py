"""Upsampling between grids: interpolated, or by transposed convolutions of every kind."""

from __future__ import annotations

from fractions import Fraction
from typing import get_args

import pytest
import torch
import torch.nn.functional as F

from fullconv.errors import NetworkError
from fullconv.geometry.geometry import geometry_of
from fullconv.geometry.measuring import measure_reach
from fullconv.networks.building import fcn
from fullconv.networks.catalogue import build_network, parse_name
from fullconv.networks.upsampling import TransposedUpsampling, Upsampling, bilinear_kernel, transposed_convolution

KINDS: tuple[Upsampling, ...] = get_args(Upsampling)
LEARNED = tuple(kind for kind in KINDS if kind.startswith("learned"))
GRIDS = (
    ((8, Fraction(7, 2)), (4, Fraction(3, 2))),  # by 2, a half cell apart
    ((32, Fraction(0)), (8, Fraction(0))),  # by 4, on corners
    ((3, Fraction(1)), (1, Fraction(0))),  # by 3
)


@pytest.mark.parametrize(("coarse", "fine"), GRIDS)
@pytest.mark.parametrize("kind", ["learned", "learned-dense", "frozen"])
def test_a_bilinear_start_interpolates(
    coarse: tuple[int, Fraction], fine: tuple[int, Fraction], kind: Upsampling
) -> None:
    """Oracle: torch's interpolation, at pixels whose neighbours are all inside."""
    torch.manual_seed(0)
    up = TransposedUpsampling(coarse, fine, 5, kind)
    scores, factor = torch.randn(2, 5, 7, 6), coarse[0] // fine[0]
    wanted = (7 * factor, 6 * factor)
    grown = F.interpolate(scores, scale_factor=factor, mode="bilinear")
    if up.corners:
        sides = ((7 - 1) * factor + 1, (6 - 1) * factor + 1)
        grown = F.interpolate(scores, size=sides, mode="bilinear", align_corners=True)
    with torch.no_grad():
        found = up(scores, wanted)
    inner = slice(factor, 5 * factor)
    moved = slice(inner.start - up.shift, inner.stop - up.shift)
    torch.testing.assert_close(found[..., inner, inner], grown[..., moved, moved])


@pytest.mark.parametrize(("coarse", "fine"), GRIDS)
def test_dense_kernels_that_start_bilinear_equal_grouped_ones(
    coarse: tuple[int, Fraction], fine: tuple[int, Fraction]
) -> None:
    grouped, dense = (TransposedUpsampling(coarse, fine, 4, kind) for kind in ("learned", "learned-dense"))
    scores = torch.randn(1, 4, 6, 5)
    size = (6 * coarse[0] // fine[0], 5 * coarse[0] // fine[0])
    torch.testing.assert_close(dense(scores, size), grouped(scores, size))


def test_dense_kernels_are_one_per_pair_of_classes() -> None:
    side = 4
    assert transposed_convolution(6, side, 2, kind="learned").weight.numel() == 6 * side**2
    assert transposed_convolution(6, side, 2, kind="learned-dense").weight.numel() == 6**2 * side**2
    layer = transposed_convolution(6, side, 2, kind="learned-dense-random")
    scores = torch.zeros(1, 6, 3, 3)
    scores[:, 2] = 1
    with torch.no_grad():
        assert (layer(scores).abs().amax((0, 2, 3)) > 0).all(), "the scores of one class reach those of all"
        alone = transposed_convolution(6, side, 2, kind="learned-random")(scores).abs().amax((0, 2, 3))
    assert alone.nonzero().flatten().tolist() == [2]


@pytest.mark.parametrize("kind", ["learned-random", "learned-dense-random"])
def test_a_random_start_follows_the_seed_and_keeps_the_variance(kind: Upsampling) -> None:
    def layer(seed: int) -> torch.nn.ConvTranspose2d:
        torch.manual_seed(seed)
        return transposed_convolution(24, 8, 4, kind=kind)

    first, again, other = layer(1), layer(1), layer(2)
    assert torch.equal(first.weight, again.weight)
    assert not torch.equal(first.weight, other.weight)
    assert (first.weight - bilinear_kernel(8)).abs().max() > 0.1
    with torch.no_grad():
        deviation = first(torch.randn(8, 24, 16, 16))[..., 4:-4, 4:-4].std().item()
    assert 0.8 < deviation < 1.25


@pytest.mark.parametrize("kind", KINDS)
def test_what_learns_is_what_says_so(kind: Upsampling) -> None:
    net = fcn("squeezenet1_1", classes=3, stride=8, upsampling=kind)
    kernels = [parameter for name, parameter in net.named_parameters() if "kernels" in name]
    assert len(kernels) == (0 if kind == "bilinear" else 2)
    assert all(kernel.requires_grad == (kind in LEARNED) for kernel in kernels)


@pytest.mark.parametrize("kind", LEARNED)
@pytest.mark.parametrize("fusion", ["scores", "features"])
def test_networks_stay_in_place_and_read_what_their_geometry_says(kind: Upsampling, fusion: str) -> None:
    name = f"fcn4s-squeezenet1_1{'-features' * (fusion == 'features')}-{kind}"
    torch.manual_seed(0)
    net = build_network(name, classes=3).eval()
    with torch.no_grad():
        assert net(torch.randn(1, 3, 97, 61)).shape == (1, 3, 97, 61)
        assert net(torch.randn(1, 3, 5, 9)).shape == (1, 3, 5, 9)
    geometry = geometry_of(net)
    assert geometry.output is not None
    assert (geometry.output.rows.stride, geometry.output.rows.center) == (1, 0)
    assert geometry.reach == measure_reach(net) == geometry_of(fcn_of(fusion)).reach


def fcn_of(fusion: str) -> torch.nn.Module:
    """The same net with one bilinear kernel per class."""
    return fcn("squeezenet1_1", classes=3, stride=4, fusion=fusion, upsampling="frozen").eval()


@pytest.mark.parametrize("kind", LEARNED)
def test_scores_of_zero_stay_zero_whatever_the_kernels(kind: Upsampling) -> None:
    net = fcn("squeezenet1_1", classes=3, upsampling=kind).eval()
    with torch.no_grad():
        assert not net(torch.randn(1, 3, 64, 64)).any()


def test_names_give_every_kind() -> None:
    for kind in KINDS[1:]:
        assert parse_name(f"fcn8s-vgg16-features-{kind}").upsampling == kind
    assert parse_name("fcn8s-vgg16-reference").upsampling == "frozen"
    assert parse_name("fcn8s-vgg16").upsampling == "bilinear"


@pytest.mark.parametrize("kind", ["dense", "learned-random-dense", "frozen-dense", ""])
def test_unknown_kinds_are_refused(kind: str) -> None:
    with pytest.raises(NetworkError, match=r"upsampling cannot be .*; say bilinear, frozen, learned, "):
        fcn("squeezenet1_1", classes=3, upsampling=kind)
    with pytest.raises(NetworkError, match="no network is named"):
        parse_name(f"fcn8s-vgg16-{kind}")


def test_interpolation_has_no_kernels() -> None:
    with pytest.raises(NetworkError, match="no transposed convolution"):
        transposed_convolution(3, 4, 2, kind="bilinear")
