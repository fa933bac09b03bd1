"""Fields of composed layers, by hand and by brute force."""

from __future__ import annotations

from fractions import Fraction

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from fullconv.geometry.fields import Field


def test_the_layers_of_alexnet_compose_to_the_known_table() -> None:
    field = Field.image().window(11, stride=4, padding=100)
    rows = [(field.stride, field.center, field.size)]
    for kernel, stride, padding in (
        (3, 2, 0),
        (5, 1, 2),
        (3, 2, 0),
        (3, 1, 1),
        (3, 1, 1),
        (3, 1, 1),
        (3, 2, 0),
        (6, 1, 0),
    ):
        field = field.window(kernel, stride=stride, padding=padding)
        rows.append((field.stride, field.center, field.size))
    assert rows == [
        (4, -95, 11),
        (8, -91, 19),
        (8, -91, 51),
        (16, -83, 67),
        (16, -83, 99),
        (16, -83, 131),
        (16, -83, 163),
        (32, -67, 195),
        (32, 13, 355),
    ]
    up = field.spread(63, stride=32)
    assert (up.stride, up.center) == (1, -18)


def test_a_transposed_convolution_reads_by_phase() -> None:
    field = Field.image().window(1, stride=2).spread(3, stride=2)
    assert field.phases == 2
    assert [field.extent(cell) for cell in (4, 5)] == [(2, 4), (4, 4)]


def test_cells_between_the_taps_read_nothing() -> None:
    field = Field.image().spread(1, stride=3)
    assert [field.extent(cell) for cell in range(4)] == [(0, 0), None, None, (1, 1)]
    assert field.size == 1


def test_extents_go_on_to_the_left_of_zero() -> None:
    assert Field.image().window(3, stride=2, padding=1).extent(-3) == (-7, -5)


def test_branches_of_two_strides_cannot_be_joined() -> None:
    with pytest.raises(ValueError, match="strides 1 and 2"):
        Field.image().joined(Field.image().window(1, stride=2))


@pytest.mark.parametrize(("mode", "taps"), [("nearest", 1), ("nearest-exact", 1), ("bilinear", 2), ("bicubic", 4)])
@pytest.mark.parametrize("factor", [2, 4, 1.5, 2.5, 0.75, 0.5, 0.25])
@pytest.mark.parametrize("antialias", [False, True])
def test_interpolation_reads_what_torch_reads(mode: str, taps: int, factor: float, antialias: bool) -> None:
    if taps == 1:
        antialias = False
    rows = torch.zeros(40, 1, 40, 3)
    rows[range(40), 0, range(40)] = float("nan")
    read = F.interpolate(rows, scale_factor=(factor, 1), mode=mode, antialias=antialias).isnan().any(3)[:, 0]
    field = Field.image().resized(Fraction(factor), taps=taps, antialias=antialias, half=mode == "nearest-exact")
    for cell in range(read.shape[1] // 3, 2 * read.shape[1] // 3):
        hit = read[:, cell].nonzero().flatten()
        assert (int(hit[0]), int(hit[-1])) == field.extent(cell)


@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize("factor", ["2", "3", "3/2", "5/2", "3/4", "1/2", "1/3", "2/3", "1/4"])
def test_the_centre_of_nearest_cells_is_what_they_read_on_average(factor: str, half: bool) -> None:
    field = Field.image().resized(Fraction(factor), taps=1, half=half)
    away = [low - (field.stride * cell + field.center) for cell, low in enumerate(field.lows) if low is not None]
    assert sum(away) == 0


WINDOWS = st.lists(
    st.tuples(st.integers(1, 5), st.integers(1, 3), st.integers(0, 4), st.integers(1, 3)), min_size=1, max_size=4
)


@settings(deadline=None)
@given(WINDOWS)
def test_averaging_the_coordinate_gives_the_coordinate_of_the_centre(layers: list[tuple[int, int, int, int]]) -> None:
    values = torch.arange(2000, dtype=torch.float64)[None, None]
    field = Field.image()
    for kernel, stride, padding, dilation in layers:
        weight = torch.full((1, 1, kernel), 1 / kernel, dtype=torch.float64)
        values = F.conv1d(values, weight, stride=stride, padding=padding, dilation=dilation)
        field = field.window(kernel, stride=stride, padding=padding, dilation=dilation)
    cell = values.shape[2] // 2
    assert float(values[0, 0, cell]) == pytest.approx(float(field.stride * cell + field.center))


@given(WINDOWS)
def test_transposed_convolutions_undo_the_map_of_convolutions(layers: list[tuple[int, int, int, int]]) -> None:
    field = Field.image()
    for kernel, stride, padding, dilation in layers:
        field = field.window(kernel, stride=stride, padding=padding, dilation=dilation)
    for kernel, stride, padding, dilation in reversed(layers):
        field = field.spread(kernel, stride=stride, padding=padding, dilation=dilation)
    assert (field.stride, field.center) == (1, 0)


def test_the_position_of_a_cell_is_its_own_pixel() -> None:
    field = Field.image().blocks(2).repeated(2)
    assert (field.before, field.after) == (1, 1)
