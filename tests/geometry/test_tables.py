"""The table, the sentences, the facts and the picture of a network."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest
import torch
from rich.console import Console
from torch import nn

from fullconv.geometry.drawing import network_figure
from fullconv.geometry.geometry import Geometry, geometry_of
from fullconv.geometry.tables import chosen_layers, facts, layer_table, summary


@pytest.fixture
def geometry() -> Geometry:
    net = nn.Sequential(
        nn.Conv2d(3, 8, 4, 2, 1), nn.ReLU(), nn.BatchNorm2d(8), nn.MaxPool2d(2), nn.Conv2d(8, 5, (1, 3), padding=(0, 1))
    )
    return geometry_of(net.eval(), input_size=(40, 64))


def printed(geometry: Geometry, **how: bool) -> str:
    console = Console(width=160 if how.get("wide", True) else 80, file=io.StringIO())
    console.print(layer_table(geometry, **how))
    return str(console.file.getvalue())  # type: ignore[attr-defined]


def test_the_table_shows_what_has_weights_or_moves_cells(geometry: Geometry) -> None:
    assert [layer.name for layer in chosen_layers(geometry, every=False)] == ["0", "2", "3", "4"]
    assert [layer.name for layer in chosen_layers(geometry, every=True)] == ["0", "1", "2", "3", "4"]
    lines = [[cell.strip() for cell in line.split("│")[1:-1]] for line in printed(geometry).splitlines() if "│" in line]
    assert lines[-2][:9] == ["3", "MaxPool2d", "2", "2", "0", "8×10×16", "4", "1.5", "6"]
    assert lines[-1][2:10] == ["1×3", "1", "0×1", "5×10×16", "4", "1.5", "6×14", "125"]


def test_a_narrow_table_loses_no_number(geometry: Geometry) -> None:
    text = printed(geometry, wide=False)
    assert "…" not in text.split("┡")[1]
    assert max(map(len, text.splitlines())) <= 80


def test_the_sentences_name_reach_and_obstacles(geometry: Geometry) -> None:
    text = " ".join(summary(geometry))
    assert "533 parameters" in text
    assert "reads at most 1 pixels up, 4 down, 5 left and 8 right" in text
    assert "origins on multiples of 4 pixels" in text
    gated = geometry_of(nn.Sequential(nn.Conv2d(3, 3, 3), nn.InstanceNorm2d(3)).eval(), input_size=(32, 32))
    assert any("1: instance norm takes its statistics from the whole map" in line for line in summary(gated))


def test_facts_are_json_with_fractions_as_text(geometry: Geometry) -> None:
    content = json.loads(json.dumps(facts(geometry)))
    assert content["reach"] == {"up": 1, "down": 4, "left": 5, "right": 8}
    assert content["layers"][3] | {"parameters": 0} == {
        "name": "3",
        "operation": "MaxPool2d",
        "shape": [8, 10, 16],
        "kernel": [2, 2],
        "own_stride": [2, 2],
        "padding": [0, 0],
        "dilation": [1, 1],
        "stride": [4, 4],
        "offset": ["3/2", "3/2"],
        "receptive_field": [6, 6],
        "start": [-1, -1],
        "parameters": 0,
        "multiply_adds": 0,
        "activation_bytes": 8 * 10 * 16 * 4,
    }


def test_the_picture_draws_fields_to_scale(geometry: Geometry) -> None:
    photo = np.random.default_rng(0).integers(0, 255, (80, 100, 3), dtype=np.uint8)
    column, picture = network_figure(geometry, photo).axes
    widths = [patch.get_width() for patch in column.patches]
    assert widths == [4, 4, 6, 14]
    assert [label.get_text().split()[0] for label in column.get_yticklabels()] == ["0", "2", "3", "4"]
    assert {patch.get_width() for patch in picture.patches} == {4, 14}
    assert {patch.get_height() for patch in picture.patches} == {4, 6}


def test_a_network_without_rows_and_columns_can_be_shown() -> None:
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2))
    found = geometry_of(net.eval(), input_size=(32, 32))
    assert "3" in printed(found)
    assert any("says one thing about the whole image" in line for line in summary(found))
    assert facts(found)["reach"] is None
    network_figure(found)
    assert torch.is_grad_enabled()
