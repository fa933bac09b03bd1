"""`fullconv net`: the catalogue and the geometry of any network."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torchvision
from safetensors.torch import load_file
from typer.testing import CliRunner

import fullconv as fc
from fullconv.cli.main import app

run = CliRunner()


def test_the_reference_net_prints_fields_and_offsets() -> None:
    result = run.invoke(app, ["net", "show", "fcn-alexnet-reference", "--size", "500x500"], env={"COLUMNS": "100"})
    assert result.exit_code == 0
    lines = [[cell.strip() for cell in line.split("│")[1:-1]] for line in result.output.splitlines() if "│" in line]
    assert ["fc6", "6", "1", "0", "4096×16×16", "32", "13", "355"] in lines
    assert ["conv1", "4", "100", "11", "1/4", "1/4", "23.75", "18"] in lines
    assert "208 pixels up" in result.output.replace("\n", " ")


def test_a_classifier_shows_what_is_in_the_way() -> None:
    result = run.invoke(app, ["net", "show", "resnet18", "--json"])
    content = json.loads(result.output)
    assert content["parameters"] == 11_689_512
    assert [obstacle["kind"] for obstacle in content["obstacles"]] == ["global-pooling"]


def test_the_drawing_is_an_svg(tmp_path: Path) -> None:
    path = tmp_path / "net.svg"
    result = run.invoke(app, ["net", "show", "fcn16s-squeezenet1_1", "--size", "96x64", "--svg", str(path)])
    assert result.exit_code == 0
    assert "receptive fields over the image" in path.read_text()
    assert "features.features.12.expand3x3" in path.read_text()


def test_the_catalogue_is_listed_with_its_numbers() -> None:
    result = run.invoke(app, ["net", "list", "vgg16-reference", "--json"])
    entries = json.loads(result.output)
    assert [entry["name"] for entry in entries] == [
        "fcn32s-vgg16-reference",
        "fcn16s-vgg16-reference",
        "fcn8s-vgg16-reference",
        "fcn8s-at-once-vgg16-reference",
    ]
    assert all(entry["reach"] is not None and entry["exact_tiling"] for entry in entries)
    lines = [
        line.split() for line in run.invoke(app, ["net", "list", "compact"], env={"COLUMNS": "80"}).output.splitlines()
    ]
    assert ["fcn8s-compact", "8", "0.62", "M", "0.14", "G", "179", "32"] in lines


def test_a_classifier_is_converted_with_proof(tmp_path: Path) -> None:
    path = tmp_path / "dense.safetensors"
    result = run.invoke(app, ["net", "convert", "squeezenet1_1", "--out", str(path), "--json"])
    content = json.loads(result.output)
    assert content["parameters_before"] == content["parameters_after"] == 1_235_496
    assert content["multiply_adds_before"] == content["multiply_adds_after"]
    assert content["difference"] < 1e-5
    dense = fc.convolutionalize(torchvision.models.squeezenet1_1())
    assert dense.load_state_dict(load_file(path))
    plain = run.invoke(app, ["net", "convert", "squeezenet1_1", "--pool", "none"])
    assert "stride 16×16" in plain.output


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["show", "no_such_net"], "no backbone is named 'no_such_net'"),
        (["show", "fcn8s-vit_b_16"], "is not convolutional"),
        (["show", "fcn-alexnet-reference", "--size", "large"], "is no size"),
        (["convert", "vit_b_16"], "attention"),
        (["convert", "resnet18", "--weights", "missing.safetensors"], "no such weight file"),
    ],
)
def test_mistakes_are_one_sentence(arguments: list[str], sentence: str) -> None:
    result = run.invoke(app, ["net", *arguments])
    assert result.exit_code == 2
    assert sentence in result.stderr
    assert result.stderr.count("\n") == 1
