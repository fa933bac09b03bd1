"""How often true class i was predicted as class j: the one count that every score comes from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import numpy.typing as npt

from fullconv.errors import DataError

if TYPE_CHECKING:
    import torch

    Labels = TypeVar("Labels", npt.NDArray[Any], torch.Tensor)

_INT16_CLASSES = 180
"""Up to here (classes + 1)² fits int16, on which indices are computed fastest."""


def count_confusion(truth: Labels, prediction: Labels, classes: int, ignore: int = 255) -> Labels:
    """Count pixels by true and predicted class, without those whose truth is ignored.

    NumPy arrays and torch tensors are counted by their own library, tensors on their own device. Ignored pixels go to
    an extra row of the count that is cut off, so that no pixel is copied to be left out.

    Args:
        truth: integer labels of any shape, 0 to classes − 1 or `ignore`.
        prediction: integer labels of the same shape, 0 to classes − 1 (anything where truth is ignored).
        classes: how many classes there are.
        ignore: the value of `truth` that counts nowhere; any integer that is no class.

    Returns:
        (classes, classes) int64; row = truth, column = prediction.

    Raises:
        DataError: the shapes differ, `ignore` is a class, or a counted pixel holds a value that is no class.

    >>> truth = np.array([[0, 0, 1], [1, 2, 255]], dtype=np.uint8)
    >>> prediction = np.array([[0, 1, 1], [1, 0, 2]], dtype=np.uint8)
    >>> count_confusion(truth, prediction, classes=3)
    array([[1, 1, 0],
           [0, 2, 0],
           [1, 0, 0]])
    """
    if 0 <= ignore < classes:
        raise DataError(f"the ignore index {ignore} is one of the {classes} classes", remedy="choose another number")
    if truth.shape != prediction.shape:
        raise DataError(
            f"the truth is {_size(truth)} and the prediction {_size(prediction)}", remedy="give both the same size"
        )
    count = _count_arrays if isinstance(truth, np.ndarray) else _count_tensors
    table, ignored = count(truth, prediction, classes, ignore)
    if int(table[classes].sum()) != ignored:
        raise _no_class("truth", truth, truth, classes, ignore)
    if int(table[:classes, classes].sum()):
        raise _no_class("prediction", prediction, truth, classes, ignore)
    return table[:classes, :classes]


def _count_arrays(
    truth: npt.NDArray[Any], prediction: npt.NDArray[Any], classes: int, ignore: int
) -> tuple[npt.NDArray[np.int64], int]:
    """(classes + 1, classes + 1) counts with all that is no class last, and the number of ignored pixels."""
    index = _clamped_array(truth, classes) * (classes + 1)
    index += _clamped_array(prediction, classes)
    table = np.bincount(index.ravel(), minlength=(classes + 1) ** 2).reshape(classes + 1, classes + 1)
    return table, int(np.count_nonzero(truth == ignore))


def _clamped_array(labels: npt.NDArray[Any], classes: int) -> npt.NDArray[np.signedinteger]:
    """The labels as int16 (int32 for many classes), whatever is no class as `classes`."""
    if labels.dtype.kind != "u":
        labels = np.where(labels < 0, classes, labels)
    if np.iinfo(labels.dtype).max > classes:
        labels = np.minimum(labels, classes)
    return labels.astype(np.int16 if classes <= _INT16_CLASSES else np.int32)


def _count_tensors(
    truth: torch.Tensor, prediction: torch.Tensor, classes: int, ignore: int
) -> tuple[torch.Tensor, int]:
    """The same on tensors."""
    import torch

    index = _clamped_tensor(truth, classes).mul_(classes + 1).add_(_clamped_tensor(prediction, classes))
    table = torch.bincount(index.flatten(), minlength=(classes + 1) ** 2).view(classes + 1, classes + 1)
    return table, int((truth == ignore).sum())


def _clamped_tensor(labels: torch.Tensor, classes: int) -> torch.Tensor:
    import torch

    index_type = torch.int16 if classes <= _INT16_CLASSES else torch.int32
    if labels.dtype == torch.uint8:
        return labels.to(index_type).clamp_(max=classes)
    if labels.dtype == torch.uint16:
        return labels.to(torch.int32).clamp_(max=classes).to(index_type)
    narrow = labels.clamp(-1, classes).to(index_type)
    return narrow.masked_fill_(narrow < 0, classes)


def _no_class(what: str, labels: Any, truth: Any, classes: int, ignore: int) -> DataError:
    values, truth = (part.cpu().numpy() if hasattr(part, "cpu") else part for part in (labels, truth))
    wrong = values[(truth != ignore) & ((values < 0) | (values >= classes))]
    return DataError(
        f"the {what} holds {wrong[0]} in {len(wrong)} of its pixels, which is no class",
        remedy=f"use 0 to {classes - 1}, and {ignore} in the truth where nothing counts",
    )


def _size(labels: Any) -> str:
    return "×".join(str(length) for length in labels.shape)
