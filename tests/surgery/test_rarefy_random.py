"""À trous rewriting of networks that nobody chose, against the original and against shifted images."""

from __future__ import annotations

from math import prod

import pytest
import torch
from hypothesis import HealthCheck, Phase, assume, given, settings
from hypothesis import strategies as st
from torch import nn

from dense_oracles import naive_stitch, randomized
from fullconv.geometry.fields import Field
from fullconv.geometry.geometry import Geometry, geometry_of
from fullconv.geometry.states import Plane
from fullconv.surgery.rarefy import rarefy
from random_strided_nets import CHANNELS, strided_nets, tainted_padding


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")
@settings(
    max_examples=50, deadline=None, derandomize=True, phases=(Phase.generate,), suppress_health_check=list(HealthCheck)
)
@given(strided_nets(), st.integers(40, 80), st.integers(40, 80), st.data())
@torch.no_grad()
def test_rarefied_is_the_original_at_its_cells_and_on_shifted_images_between(
    drawn: tuple[nn.Module, int], height: int, width: int, data: st.DataObject
) -> None:
    net, cropped = randomized(drawn[0]), drawn[1]
    image = torch.randn(1, CHANNELS, height, width, generator=torch.Generator().manual_seed(1))
    try:
        original = net(image)
    except RuntimeError:  # too small a map
        assume(False)
    geometry = geometry_of(net, channels=CHANNELS)
    assert geometry.is_local, geometry.obstacles
    output = _output(geometry)
    total = int(output.rows.stride)
    stride = data.draw(st.sampled_from([s for s in range(1, total + 1) if total % s == 0]))
    rarefied = rarefy(net, stride, channels=CHANNELS)
    dense = rarefied(image)

    cells = dense[..., :: total // stride, :: total // stride]
    assert cells.shape == original.shape
    tolerance = 1e-5 * float(original.abs().max())
    torch.testing.assert_close(cells, original, atol=tolerance, rtol=0)
    assert dense.isfinite().all()

    with tainted_padding():
        oracle = naive_stitch(net, image, total, stride, beyond=float("nan"))
    oracle = oracle[..., : dense.shape[2], : dense.shape[3]]
    read_inside = oracle.isfinite()
    if cropped:
        margin = cropped + total
        read_inside &= _between(output.rows, stride, margin, height - margin, oracle.shape[2])[:, None]
        read_inside &= _between(output.cols, stride, margin, width - margin, oracle.shape[3])
    dense = dense[..., : oracle.shape[2], : oracle.shape[3]]
    torch.testing.assert_close(dense[read_inside], oracle[read_inside], atol=tolerance, rtol=0)

    after = _output(geometry_of(rarefied, channels=CHANNELS))
    for field, before in ((after.rows, output.rows), (after.cols, output.cols)):
        assert (field.stride, field.center, field.start, field.size) == (
            stride,
            before.center,
            before.start,
            before.size,
        )


def _between(field: Field, stride: int, start: int, end: int, count: int) -> torch.Tensor:
    """Which cells read nothing but pixels from `start` to `end`."""
    low, high = field.lows[0], field.highs[0]
    assert low is not None
    assert high is not None
    inside = [start <= low + stride * cell and high + stride * cell < end for cell in range(count)]
    return torch.tensor(inside, dtype=torch.bool)


def _output(geometry: Geometry) -> Plane:
    assert geometry.is_local, geometry.obstacles
    assert geometry.output is not None
    return geometry.output


@torch.no_grad()
def test_the_oracle_covers_what_it_should() -> None:
    """Of the drawn networks' cells, a fair part is compared: the property above does not pass on nothing."""
    compared: list[float] = []

    @settings(max_examples=30, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
    @given(strided_nets())
    def look(drawn: tuple[nn.Module, int]) -> None:
        net, _ = drawn
        image = torch.randn(1, CHANNELS, 60, 60)
        try:
            with tainted_padding():
                result = net(image)
        except RuntimeError:
            return
        compared.append(float(result.isfinite().sum()) / prod(result.shape))

    look()
    assert sum(share > 0.3 for share in compared) > len(compared) / 3
