"""The arithmetic against the measurement, on networks that nobody chose."""

from __future__ import annotations

import pytest
import torch
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from torch import nn

from fullconv.geometry.geometry import geometry_of
from random_nets import nets

LENGTH, WIDTH = 128, 40
MARGIN = 24


def read_by(net: nn.Module, axis: int) -> torch.Tensor | None:
    """(input rows, output rows): whether a NaN in the one turns the other NaN; None where the net leaves no cells."""
    height, width = (LENGTH, WIDTH) if axis == 2 else (WIDTH, LENGTH)
    images = torch.zeros(LENGTH, 1, height, width)
    for row, image in enumerate(images):
        image.select(axis - 1, row).fill_(float("nan"))
    with torch.no_grad():
        try:
            result = net(images)
        except RuntimeError:
            return None
    return result.isnan().any(dim=1).any(dim=4 - axis)


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")
@settings(max_examples=150, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(nets(), st.sampled_from((2, 3)))
def test_every_cell_reads_exactly_what_the_arithmetic_says(net: nn.Module, axis: int) -> None:
    seen = read_by(net, axis)
    assume(seen is not None)
    assert seen is not None
    geometry = geometry_of(net, input_size=(LENGTH, WIDTH) if axis == 2 else (WIDTH, LENGTH), channels=1)
    assert geometry.is_local, geometry.obstacles
    assert geometry.output is not None
    field = geometry.output.rows if axis == 2 else geometry.output.cols
    checked = 0
    for cell in range(seen.shape[1]):
        extent = field.extent(cell)
        rows = seen[:, cell].nonzero().flatten()
        if extent is None:
            if MARGIN < cell * field.stride + field.center < LENGTH - MARGIN:
                assert not len(rows)
        elif extent[0] >= MARGIN and extent[1] < LENGTH - MARGIN:
            checked += 1
            assert (int(rows[0]), int(rows[-1])) == extent, (net, cell)
    assume(checked)
