"""The table of classifiers leaves none out and knows two outcomes only."""

from __future__ import annotations

from pathlib import Path

import torchvision

PAGE = Path(__file__).resolve().parents[2] / "docs" / "reference" / "classifiers.md"


def rows() -> dict[str, list[str]]:
    lines = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("| `")]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return {row[0].strip("`"): row[1:] for row in cells}


def test_every_classifier_of_torchvision_is_there() -> None:
    names = {name.split()[1] for name in rows() if name.startswith("torchvision ")}
    assert names == set(torchvision.models.list_models(module=torchvision.models))


def test_each_is_converted_with_its_numbers_or_refused_with_the_obstacle() -> None:
    for name, (outcome, stride, field, parameters, multiply_adds, note) in rows().items():
        numbers = (stride, field, parameters, multiply_adds)
        assert (outcome == "converted" and all(numbers)) or (outcome == "refused" and note and not any(numbers)), name


def test_the_page_knows_families_of_timm() -> None:
    assert sum(name.startswith("timm ") for name in rows()) > 90
