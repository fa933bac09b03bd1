"""Outlines and masks that claim more than there is, and what drawing them takes."""

from __future__ import annotations

import base64
import io
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fullconv.data.scan import scan
from fullconv.errors import DataError
from outlines import SQUARE, TRIANGLE, coco, labelme, photos, read, shape, write


def test_outlines_for_another_size_are_refused_before_they_are_drawn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photos(tmp_path, "a.jpg")
    content = coco({"segmentation": SQUARE})
    content["images"][0].update(height=15_000, width=15_000)
    write(tmp_path / "a.json", content)
    found = scan(tmp_path)
    monkeypatch.setattr(np, "full", None)
    sentence = r"its outlines are for 15000×15000 pixels, the image has 12×10"
    with pytest.raises(DataError, match=sentence):
        read(found)
    write(tmp_path / "a.json", labelme(TRIANGLE, imageHeight=15_000, imageWidth=15_000))
    found = scan(tmp_path)
    monkeypatch.setattr(Image, "new", None)
    with pytest.raises(DataError, match=sentence):
        read(found)


@pytest.mark.parametrize("size", ["text", -10, 0.5])
def test_sizes_that_are_no_numbers_are_refused(tmp_path: Path, size: object) -> None:
    photos(tmp_path, "a.jpg")
    write(tmp_path / "a.json", labelme(TRIANGLE, imageHeight=size))
    found = scan(tmp_path)
    with pytest.raises(DataError, match="its outlines are for"):
        read(found)


def test_an_embedded_mask_that_claims_more_than_the_image_is_not_decoded(tmp_path: Path) -> None:
    photos(tmp_path, "a.jpg")
    mask = io.BytesIO()
    Image.new("1", (15_000, 15_000)).save(mask, "png")
    assert len(mask.getvalue()) < 40_000
    bomb = shape("spot", [[1, 1], [2, 2]], "mask", mask=base64.b64encode(mask.getvalue()).decode())
    write(tmp_path / "a.json", labelme(bomb))
    found = scan(tmp_path)
    with pytest.raises(DataError, match=r"its mask claims 15000×15000 pixels, the image has 12×10"):
        read(found)


def test_outlines_are_drawn_one_at_a_time(tmp_path: Path) -> None:
    """300 outlines in an image of a million pixels: their masks together would take 300 MB."""
    photos(tmp_path, "a.png", size=(1000, 1000))
    content = coco(
        *[{"segmentation": [[n, n, n + 9, n, n + 9, n + 9, n, n + 9]]} for n in range(300)], images=("a.png",)
    )
    content["images"][0].update(height=1000, width=1000)
    write(tmp_path / "a.json", content)
    found = scan(tmp_path)
    tracemalloc.start()
    read(found)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 60_000_000
