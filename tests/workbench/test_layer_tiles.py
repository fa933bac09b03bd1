"""Tiles and filters: what is drawn is what is there, and a click finds the cell that was drawn."""

from __future__ import annotations

import io
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch import nn

from fullconv.surgery.convolutionalize import convolutionalize
from fullconv.workbench.held_images import HeldImages
from fullconv.workbench.layers.filters import Filters, filters_of
from fullconv.workbench.layers.maps import BINS, maps_of, summarized
from fullconv.workbench.layers.network import seen_network
from fullconv.workbench.layers.tiles import GREATEST, Sheet, as_colors, scaled, scaled_about_zero, sheet_png
from fullconv.workbench.predicting.images import Upload
from fullconv.workbench.refusals import NotThere
from fullconv.workbench.scratch import Scratch
from fullconv.workspace import Workspace


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_the_middle_of_a_drawn_cell_is_that_cell(data: st.DataObject) -> None:
    count, across = data.draw(st.integers(1, 40)), data.draw(st.integers(1, 12))
    cells = data.draw(st.tuples(st.integers(1, 50), st.integers(1, 50)))
    sheet = Sheet.of(count, cells, across=across, longest=data.draw(st.integers(50, 300)))
    tile = data.draw(st.integers(0, count - 1))
    row, column = (data.draw(st.integers(0, side - 1)) for side in cells)
    x, y, width, height = sheet.box(tile, (row, row), (column, column))
    assert sheet.cell_at(x + width / 2, y + height / 2) == (tile, row, column)
    assert x + width <= sheet.picture_size[0]
    assert y + height <= sheet.picture_size[1]


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_large_maps_are_shrunk_and_places_still_fit(data: st.DataObject) -> None:
    cells = data.draw(st.tuples(st.integers(1, 400), st.integers(1, 400)))
    sheet = Sheet.of(3, cells, across=2, longest=64)
    assert max(sheet.width, sheet.height) <= max(64, 1)
    x, y, width, height = sheet.box(2, (0, cells[0] - 1), (0, cells[1] - 1))
    assert (x, y) == sheet.corner(2)
    assert (width, height) == pytest.approx((sheet.width, sheet.height))


def test_tiles_are_drawn_where_the_sheet_says_and_gaps_are_transparent() -> None:
    maps = np.arange(5 * 3 * 4, dtype=np.float32).reshape(5, 3, 4)
    sheet = Sheet.of(5, (3, 4), across=3, longest=40)
    picture = Image.open(io.BytesIO(sheet_png(scaled(maps), sheet)))
    shown = np.asarray(picture.convert("RGBA"))
    x, y = sheet.corner(3)
    assert shown[y + sheet.height // 2, x - 1 + sheet.width + 1, 3] == 0
    assert shown[y, x, 3] == 255
    assert (shown[y : y + 10, x : x + 10] == shown[y, x]).all()
    x, y = sheet.corner(4)
    assert shown[y, x + sheet.width + sheet.gap :].sum() == 0  # there is no sixth


def test_brightness_is_robust_against_single_cells_and_broken_numbers() -> None:
    values = np.random.default_rng(0).normal(size=(2, 50, 50)).astype(np.float32)
    plain = scaled(values)
    values[0, 0, 0] = 1e6
    values[0, 0, 1] = np.nan
    shown = scaled(values)
    assert np.abs(shown[0, 1:].astype(int) - plain[0, 1:]).max() <= 3
    np.testing.assert_array_equal(shown[1], plain[1])
    together = scaled(np.stack([values[1], 10 * values[1]]), "layer")
    assert np.ptp(together[0]) < 60 < np.ptp(together[1])
    one = np.zeros((1, 60, 60), dtype=np.float32)
    one[0, 3, 3] = 5.0
    assert scaled(one)[0, 3, 3] == GREATEST  # the percentiles are both zero


def test_zero_weights_lie_in_the_middle() -> None:
    weights = np.array([[[0.5, 0.0], [-1.0, 1.0]], [[0.0, 0.0], [0.0, 0.0]]])
    assert scaled_about_zero(weights).tolist() == [[[191, 127], [0, 254]], [[127, 127], [127, 127]]]
    red = as_colors(np.array([[[[1.0]], [[0.0]], [[-1.0]]]]))
    assert red.tolist() == [[[[255, 128, 0]]]]


def test_summaries_are_those_of_numpy() -> None:
    maps = torch.randn(7, 40, 53).relu() * 3 + 100
    maps[4] = 2.0
    found = summarized(maps)
    values = maps.numpy().astype(np.float64)
    assert (found.mean, found.std) == pytest.approx((values.mean(), values.std()), rel=1e-5)
    assert (found.least, found.greatest, found.constant) == (2.0, pytest.approx(values.max()), 1)
    assert found.histogram == tuple(np.histogram(maps.numpy(), BINS)[0])
    broken = summarized(torch.tensor([[[1.0, float("nan"), float("inf"), 3.0]]]))
    assert (broken.broken, broken.mean, broken.least, broken.greatest) == (2, 2.0, 1.0, 3.0)
    nothing = summarized(torch.full((1, 1, 2), float("nan")))
    assert (nothing.broken, nothing.mean) == (2, 0.0)


def filters(net: nn.Module, size: tuple[int, int, int], layer: str, of: int | None = None) -> Filters | None:
    seen = seen_network(net.eval(), torch.zeros(1, *size))
    return filters_of(next(found for found in seen.layers if found.name == layer), of)


def test_every_kind_of_filter_has_its_view() -> None:
    net = nn.Sequential(
        OrderedDict(
            first=nn.Conv2d(3, 4, 5),
            own=nn.Conv2d(4, 4, 3, groups=4),
            deep=nn.Conv2d(4, 6, 3),
            mixing=nn.Conv2d(6, 8, 1),
            up=nn.ConvTranspose2d(8, 2, 4, 2, groups=2),
        )
    )
    size = (3, 32, 32)
    views = {name: filters(net, size, name) for name in ("first", "own", "deep", "mixing", "up")}
    assert [found.view for found in views.values() if found] == ["colour", "weights", "strength", "matrix", "strength"]
    assert [found.count for found in views.values() if found] == [4, 4, 6, 1, 2]
    deep = net.get_submodule("deep").weight.detach()
    assert views["deep"] is not None
    np.testing.assert_allclose(views["deep"].numbers, deep.square().sum(1).sqrt(), rtol=1e-6)
    alone = filters(net, size, "deep", of=5)
    assert alone is not None
    np.testing.assert_array_equal(alone.numbers, deep[5])
    up = filters(net, size, "up", of=1)
    assert up is not None
    np.testing.assert_array_equal(up.numbers, net.get_submodule("up").weight.detach()[4:, 0])


def test_what_was_fully_connected_is_laid_out_as_the_map_that_it_read() -> None:
    classifier = nn.Sequential(
        OrderedDict(
            conv=nn.Conv2d(3, 5, 3, stride=2), flat=nn.Flatten(), fc=nn.Linear(5 * 6 * 6, 7), relu=nn.ReLU(),
            scores=nn.Linear(7, 4),
        )
    )  # fmt: skip
    dense = convolutionalize(classifier, input_size=(13, 13))
    found = filters(dense, (3, 20, 20), "fc")
    assert found is not None
    assert found.fully_connected
    assert (found.view, found.count, found.cells) == ("strength", 7, (6, 6))
    assert "each of 7 neurons has a weight for every cell of 5 maps of 6×6" in found.explanation
    alone = filters(dense, (3, 20, 20), "fc", of=2)
    assert alone is not None
    expected = classifier.get_submodule("fc").weight.detach()[2].reshape(5, 6, 6)
    np.testing.assert_allclose(alone.numbers, expected, rtol=1e-6)
    later = filters(dense, (3, 20, 20), "scores")
    assert later is not None
    assert (later.view, later.fully_connected) == ("matrix", True)


def test_large_matrices_show_the_strongest_of_neighbours() -> None:
    layer = nn.Conv2d(2500, 3, 1, bias=False)
    nn.init.zeros_(layer.weight)
    with torch.no_grad():
        layer.weight[1, 1234] = -2.0
    seen = seen_network(layer.eval(), torch.zeros(1, 2500, 4, 4)).layers[0]
    found = filters_of(seen)
    assert found is not None
    assert found.cells == (3, 834)
    assert found.numbers[0, 1, 1234 // 3] == -2.0
    assert np.count_nonzero(found.numbers) == 1


def test_maps_follow_rows_and_columns_whatever_their_order() -> None:
    class Last(nn.Module):
        """Channels last, as in ConvNeXt."""

        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 1)

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return self.conv(images).permute(0, 2, 3, 1)

    net = Last().eval()
    image = torch.rand(1, 3, 6, 9)
    seen = seen_network(net, image)
    found: dict[str, torch.Tensor] = {}
    with torch.inference_mode():
        seen.run(image, lambda name, value: found.__setitem__(name, value.clone()))
    layers = {layer.name: layer.layer for layer in seen.layers}
    maps = maps_of(found["permute"], layers["permute"].plane)
    torch.testing.assert_close(maps, found["conv"][0], rtol=0, atol=0)


def test_uploads_that_are_held_go_when_there_are_too_many(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fullconv.workbench.held_images.KEPT", 2)
    held = HeldImages(Scratch(Workspace(tmp_path)))
    tokens = []
    for number in range(3):
        path = tmp_path / f"{number}.png"
        path.write_bytes(b"picture")
        tokens.append(held.adopt(Upload(path.name, path)))
        assert not path.exists()
    with pytest.raises(NotThere):
        held.get(tokens[0])
    kept = held.get(tokens[2])
    assert (kept.name, kept.path.read_bytes()) == ("2.png", b"picture")
    held.close()
    assert not kept.path.exists()
