"""Labels of cells, and which cells see only the image, against cells computed one by one."""

from __future__ import annotations

import pytest
import torch

from fullconv.geometry.geometry import geometry_of
from fullconv.networks.catalogue import build_network
from fullconv.networks.score_grid import CellScores, ScoreGrid


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


@pytest.mark.parametrize("name", ["fcn8s-squeezenet1_1", "fcn4s-mobilenet_v2-features", "fcn-alexnet-reference"])
def test_cells_depend_on_the_pixels_of_their_field_alone(name: str) -> None:
    net = CellScores(build_network(name, classes=2)).eval()
    for parameter in net.parameters():
        if parameter.abs().max() == 0:
            torch.nn.init.normal_(parameter)
    grid = ScoreGrid.of(net.net)
    images = torch.randn(1, 3, 160, 200)
    with torch.no_grad():
        clean = net(images)
        images[..., 80, :] = float("nan")
        spoilt = net(images).isnan().any(1)[0].any(1)
    for row in range(clean.shape[-2]):
        low, high = grid.rows.extent(row) or (1, 0)
        assert bool(spoilt[row]) == (low <= 80 <= high)


def test_labels_are_read_under_the_centres() -> None:
    grid = ScoreGrid.of(build_network("fcn-alexnet-reference", classes=2))
    labels = torch.arange(100 * 140).view(1, 100, 140)
    found = grid.labels(labels, (7, 8), ignore=-1)
    assert found[0, 0, 0] == 13 * 140 + 13  # the seed's figure: the first cell of fc6 is centred on pixel 13
    assert found[0, 2, 3] == (13 + 64) * 140 + 13 + 96
    assert (found[0, 3:] == -1).all()
    assert (found[0, :3, 4:] == -1).all()


def test_centres_between_two_pixels_take_the_first() -> None:
    grid = ScoreGrid.of(torch.nn.Sequential(torch.nn.Conv2d(3, 1, 2, 2)))
    assert grid.labels(torch.arange(6).view(1, 1, 6), (1, 3), ignore=-1).tolist() == [[[0, 2, 4]]]


def test_inside_are_the_cells_that_no_padding_reaches() -> None:
    net = build_network("fcn8s-squeezenet1_1", classes=2).eval()
    grid, size = ScoreGrid.of(net), (300, 333)
    with torch.no_grad():
        scores = CellScores(net)(torch.zeros(1, 3, *size))
    cells = (scores.shape[-2], scores.shape[-1])
    inside = grid.inside(cells, size)
    assert inside.any()
    assert not inside.all()
    for row, col in ((0, 0), (18, 20), (36, 40)):
        (top, bottom), (left, right) = grid.rows.extent(row), grid.cols.extent(col)  # type: ignore[misc]
        assert inside[row, col] == (top >= 0 and left >= 0 and bottom < 300 and right < 333)


def test_the_middle_cell_is_centred_on_a_patch_of_its_field() -> None:
    net = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 7, 4), torch.nn.MaxPool2d(3, 2), torch.nn.Conv2d(4, 2, 3))
    grid = ScoreGrid.of(net)
    assert grid.field == (31, 31)
    assert grid.middle((1, 1), grid.field) == (0, 0)
    assert grid.middle((5, 5), (31 + 32, 31 + 32)) == (2, 2)


def test_a_network_without_a_grid_of_its_own_scores_pixels() -> None:
    net = torch.nn.Conv2d(3, 2, 3, padding=1)
    grid = ScoreGrid.of(net)
    assert grid.rows.stride == 1
    assert CellScores(net)(torch.zeros(1, 3, 9, 9)).shape == (1, 2, 9, 9)


def test_a_global_network_has_no_local_cells() -> None:
    grid = ScoreGrid.of(build_network("fcn8s-efficientnet_b0", classes=2))
    assert not grid.is_local
    assert grid.rows.stride == 8


def test_training_mode_is_kept() -> None:
    net = build_network("fcn32s-compact", classes=2).train()
    ScoreGrid.of(net)
    assert net.training
    assert geometry_of(net.eval()).is_local


def test_layers_that_were_in_evaluation_stay_there() -> None:
    net = build_network("fcn32s-compact", classes=2).train()
    layer = next(module for module in net.modules() if isinstance(module, torch.nn.BatchNorm2d)).eval()
    ScoreGrid.of(net)
    assert not layer.training
    assert net.features.training


def test_two_networks_fused_late_take_the_bands_of_both() -> None:
    grid = ScoreGrid.of(build_network("fcn8s-squeezenet1_1-late3", classes=2, channels=4))
    assert grid.rows.stride == 1
    assert grid.is_local


@pytest.mark.parametrize(
    "name",
    ["fcn8s-squeezenet1_1", "fcn32s-compact", "fcn4s-mobilenet_v2-features", "fcn-alexnet-reference", "fcn8s-resnet18"],
)
def test_the_smallest_patch_holds_a_whole_field_and_a_smaller_one_none(name: str) -> None:
    grid = ScoreGrid.of(build_network(name, classes=2))
    height, width = grid.patch
    cells = (2 * height, 2 * width)
    assert grid.inside(cells, (height, width)).any()
    assert not grid.inside(cells, (height - 1, width)).any()
    assert not grid.inside(cells, (height, width - 1)).any()
    row, col = grid.middle(cells, grid.patch)
    if grid.rows.phases == 1:  # the middle one may read more than another
        assert grid.inside(cells, grid.patch)[row, col]


@pytest.mark.parametrize("name", ["fcn8s-squeezenet1_1", "fcn32s-compact", "fcn-alexnet-reference"])
@pytest.mark.parametrize("size", [(96, 97), (64, 130)])
def test_the_middle_pixel_is_the_one_whose_label_the_middle_cell_has(name: str, size: tuple[int, int]) -> None:
    net = build_network(name, classes=2).eval()
    grid = ScoreGrid.of(net)
    with torch.no_grad():
        scores = CellScores(net)(torch.zeros(1, 3, *size))
    cells = (scores.shape[-2], scores.shape[-1])
    labels = torch.arange(size[0] * size[1]).view(1, *size)
    row, col = grid.middle(cells, size)
    found = int(grid.labels(labels, cells, ignore=-1)[0, row, col])
    assert divmod(found, size[1]) == grid.middle_pixel(size)
