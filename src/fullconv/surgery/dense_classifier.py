"""A classifier made dense, with what is known of the conversion."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import fx, nn

from fullconv.errors import NetworkError
from fullconv.geometry.fields import Field

Pool = Literal["window", "none"]


@dataclass(frozen=True)
class Conversion:
    """How a classifier was made dense.

    Args:
        classifier: its type.
        channels: of the images.
        native_size: (height, width) of the classifier's images, the window that is slid.
        pool: "window" or "none".
        classes: channels of the result.
        stride: (rows, columns) pixels from one window to the next.
        receptive_field: (rows, columns) pixels that a score reads, squeeze-excite and the like left aside.
        parameters_before, parameters_after: that the result in evaluation depends on.
        multiply_adds_before, multiply_adds_after: for one image of native size.
        dependent: operations that read the whole image, so that windows are not independent.
        left_out: parts of the classifier that its evaluation does not use, such as auxiliary heads.
        trimmed: whether images are cut to a whole number of strides, because the network takes no other sizes.
        difference: max|Δ| / max|y| to the classifier on a random image; None where it was not measured.
    """

    classifier: str
    channels: int
    native_size: tuple[int, int]
    pool: Pool
    classes: int
    stride: tuple[int, int]
    receptive_field: tuple[int, int]
    parameters_before: int
    parameters_after: int
    multiply_adds_before: int
    multiply_adds_after: int
    dependent: tuple[str, ...]
    left_out: tuple[str, ...]
    trimmed: bool
    difference: float | None

    def __str__(self) -> str:
        height, width = self.native_size
        proof = (
            "not compared, the weights have no values"
            if self.difference is None
            else f"{self.difference:.1e} of max|y|"
        )
        lines = [
            f"{self.classifier}, window {height}×{width}, stride {self.stride[0]}×{self.stride[1]}",
            f"parameters     {self.parameters_before:>16,} → {self.parameters_after:>16,}",
            f"multiply-adds  {self.multiply_adds_before:>16,} → {self.multiply_adds_after:>16,}",
            f"difference     {proof}",
        ]
        if self.dependent:
            lines.append(f"windows are not independent: {', '.join(self.dependent)}")
        return "\n".join(lines)


class DenseClassifier(fx.GraphModule):
    """A classifier that slides over images: (N, C, H, W) of any size from the native one on → (N, classes, h, w).

    Modules keep the paths that they have in the classifier. `conversion` says how it was made.
    """

    def __init__(self, root: nn.Module, graph: fx.Graph, conversion: Conversion | None = None) -> None:
        super().__init__(root, graph, "DenseClassifier")
        self.conversion = conversion
        self._tracer_cls = None  # or a copy from a file would need the tracer that made this one
        self.register_forward_pre_hook(_refuse_small_images)

    @property
    def image_channels(self) -> int | None:
        """Bands of the images; None while it is being made."""
        return None if self.conversion is None else self.conversion.channels

    def __deepcopy__(self, memo: dict[int, Any]) -> DenseClassifier:
        other: Any = super().__deepcopy__(memo)
        other.conversion = self.conversion
        other._forward_pre_hooks.clear()
        other.register_forward_pre_hook(_refuse_small_images)
        return other  # type: ignore[no-any-return]


class Trim(nn.Module):
    """Cuts images at the bottom and the right to the native size and a whole number of strides.

    Args:
        native: (height, width).
        stride: (rows, columns).

    >>> Trim((224, 224), (32, 32))(torch.zeros(1, 3, 250, 260)).shape
    torch.Size([1, 3, 224, 256])
    """

    def __init__(self, native: tuple[int, int], stride: tuple[int, int]) -> None:
        super().__init__()
        self.native, self.stride = native, stride

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        height, width = (
            size - (size - native) % stride
            for size, native, stride in zip(images.shape[-2:], self.native, self.stride, strict=True)
        )
        return images[..., :height, :width]

    def reads(self, field: Field) -> Field:
        """Every cell is where it was."""
        return field


def _refuse_small_images(net: nn.Module, inputs: tuple[Any, ...]) -> None:
    conversion = net.conversion
    if isinstance(conversion, Conversion) and inputs and isinstance(inputs[0], torch.Tensor):
        height, width = inputs[0].shape[-2:]
        least = conversion.native_size
        if height < least[0] or width < least[1]:
            raise NetworkError(
                f"the image has {height}×{width} pixels, the windows of this classifier {least[0]}×{least[1]}",
                remedy="enlarge or pad it",
            )
