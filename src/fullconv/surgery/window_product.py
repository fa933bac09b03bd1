"""A convolution as one matrix product over unfolded windows, which is what a linear layer was."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

LARGEST_UNFOLDED = 2**28
"""Bytes of windows up to which they are unfolded at once; larger maps are convolved as usual."""


class WindowProduct(nn.Conv2d):
    """An `nn.Conv2d` in all but the arithmetic: on a CPU its windows are unfolded and multiplied with the weights.

    Former fully connected layers have few windows and many weights; as one matrix product they take less time than as
    a convolution (benchmarks/dense_vs_patches.py). The sums are those of the convolution in another order.

    >>> layer = WindowProduct(256, 4096, 6)
    >>> sum(parameter.numel() for parameter in layer.parameters())
    37752832
    """

    traced_whole = True

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """(N, C, H, W) → (N, K, h, w), as the convolution does."""
        ends = self._ends()
        padded = F.pad(input, ends) if any(ends) else input
        unusual = self.dilation != (1, 1) or self.groups != 1
        smaller = any(side < kernel for side, kernel in zip(padded.shape[-2:], self.kernel_size, strict=True))
        if unusual or smaller or input.device.type != "cpu":  # a convolution says what is wrong with a smaller image
            return self._convolved(padded)
        windows = padded.unfold(2, self.kernel_size[0], self.stride[0]).unfold(3, self.kernel_size[1], self.stride[1])
        if windows.numel() * windows.element_size() > LARGEST_UNFOLDED:
            return self._convolved(padded)
        # The weights are large and the windows few, so the windows are brought into the order of the weights in memory.
        last = self.weight.is_contiguous(memory_format=torch.channels_last)
        order = (0, 2, 3, 4, 5, 1) if last else (0, 2, 3, 1, 4, 5)
        weight = self.weight.permute(0, 2, 3, 1) if last else self.weight
        ordered = windows.permute(order)
        sums = _product(ordered.reshape(-1, weight[0].numel()), weight.flatten(1), self.bias)
        return sums.view(*ordered.shape[:3], self.out_channels).permute(0, 3, 1, 2)

    def _ends(self) -> tuple[int, int, int, int]:
        """Zeros at the left, the right, the top and the bottom; "same" puts the odd one at the right and bottom."""
        if isinstance(self.padding, str):
            rows, cols = (
                0 if self.padding == "valid" else dilation * (kernel - 1)
                for kernel, dilation in zip(self.kernel_size, self.dilation, strict=True)
            )
            return cols // 2, cols - cols // 2, rows // 2, rows - rows // 2
        rows, cols = self.padding
        return cols, cols, rows, rows

    def _convolved(self, padded: torch.Tensor) -> torch.Tensor:
        return F.conv2d(padded, self.weight, self.bias, self.stride, 0, self.dilation, self.groups)


def _product(windows: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
    """`F.linear` of (windows, values) and (outputs, values).

    For prediction in single precision PyTorch asks MKL, which on other makers' processors takes twice the time of
    oneDNN. oneDNN's product has an operator without derivatives and without a name of its own in `torch.nn`.
    """
    operator = getattr(torch.ops.mkldnn, "_linear_pointwise", None)
    recorded = torch.compiler.is_compiling()
    differentiated = torch.is_grad_enabled() and any(
        value is not None and value.requires_grad for value in (windows, weight, bias)
    )
    single = windows.dtype == weight.dtype == torch.float32 and not torch.is_autocast_enabled("cpu")
    usable = torch.backends.mkldnn.is_available() and torch.backends.mkldnn.enabled  # type: ignore[no-untyped-call]
    if operator is None or recorded or differentiated or not single or not usable:
        return F.linear(windows, weight, bias)
    result: torch.Tensor = operator(windows, weight, bias, "none", [], "")
    return result
