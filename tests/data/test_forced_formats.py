"""A format that the user names, and label images that no format fits."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from folders import label, picture
from fullconv.data.scan import scan
from fullconv.errors import DataError
from label_writers import (
    IDS,
    grey,
    levels,
    read_all,
    rgb,
    synthia,
    two,
    write,
)


def test_a_format_can_be_forced(tmp_path: Path) -> None:
    root = write(tmp_path, levels(0, 128, 255, 255))
    assert scan(root).format.kind == "codes"
    forced = scan(root, format="ids")
    assert (forced.format.kind, len(forced.classes), forced.classes.ignored[0].codes) == ("ids", 2, (255,))
    binary = scan(root, format="binary")
    assert [entry.codes for entry in binary.classes.classes] == [(0,), (255, 128)]
    assert np.array_equal(read_all(binary)[0], two(IDS[0]))
    assert scan(root, format="colors").classes.colors.tolist() == [[0] * 3, [128] * 3, [255] * 3]


def test_masks_can_be_forced(tmp_path: Path) -> None:
    """One folder of masks beside the images is otherwise one label for each image."""
    for number in range(3):
        for folder, array in (("images", picture(number)), ("masks/leaf", two(label(number)) * np.uint8(255))):
            (tmp_path / folder).mkdir(parents=True, exist_ok=True)
            Image.fromarray(array).save(tmp_path / folder / f"{number}.png")
    assert scan(tmp_path).format.kind == "binary"
    forced = scan(tmp_path, format="masks")
    assert (forced.format.kind, forced.classes.names) == ("masks", ("background", "leaf"))
    assert np.array_equal(read_all(forced)[0], two(label(0)))


@pytest.mark.parametrize(
    ("format", "sentence"),
    [
        ("ids", "holds colours, which cannot be read as 'ids'; use the format 'colors'"),
        ("synthia", "cannot be read as 'synthia'"),
        ("masks", "has 1 label file and nothing tells the classes of masks"),
        ("coco", "holds no labels|no labels were found"),
        ("nonsense", "'nonsense' is no label format; formats are: ids, palette"),
    ],
)
def test_a_forced_format_that_cannot_be_is_refused(tmp_path: Path, format: str, sentence: str) -> None:
    with pytest.raises(DataError, match=sentence):
        scan(write(tmp_path, rgb), format=format)


def test_wide_and_narrow_files_together_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="does not have several 16-bit channels"):
        scan(write(tmp_path, lambda path, ids: (synthia if path.stem == "0" else grey)(path, ids)))


def test_ids_beyond_the_range_are_refused(tmp_path: Path) -> None:
    save = lambda path, ids: tifffile.imwrite(path, ids.astype(np.int32) * 70_000)  # noqa: E731
    with pytest.raises(DataError, match="70000 is no class id"):
        scan(write(tmp_path, save, suffix=".tif"))


def test_more_than_255_classes(tmp_path: Path) -> None:
    ids = [np.arange(24 * 32, dtype=np.uint16).reshape(24, 32).repeat(4, axis=1) for _ in range(2)]
    found = scan(write(tmp_path, lambda path, own: Image.fromarray(own).save(path), ids))
    assert len(found.classes) == 768
    assert found.classes.ignore_index == 65535
    assert np.array_equal(read_all(found)[0], ids[0])
