"""COCO and LabelMe annotations → integer codes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy.typing as npt

from fullconv.data.images import ImageInfo

if TYPE_CHECKING:
    from fullconv.data.scan import Sample


def draw_coco(sample: Sample, background: int, image: ImageInfo) -> npt.NDArray[Any]:
    """(H, W) category ids of one image of a COCO file."""
    raise NotImplementedError


def draw_labelme(path: Path, names: dict[str, int], background: int, image: ImageInfo) -> npt.NDArray[Any]:
    """(H, W) codes of one LabelMe file."""
    raise NotImplementedError
