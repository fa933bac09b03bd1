"""Cross-validation: every image of training and validation is held out once."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from fullconv.data.dataset import Dataset
from fullconv.data.splits import assign_splits, groups_by_name, groups_by_pattern
from fullconv.data.statistics import SplitStatistics
from fullconv.errors import DataError


def fold_of(data: Dataset, number: int, count: int, *, group_by: str | None = None, seed: int = 0) -> Dataset:
    """The dataset with one fold of its training and validation images held out for validation; test images stay.

    Folds have like shares of every class, and groups stay together: those that a pattern finds in the images' names, or
    those that the names show by themselves (see `splits.groups_by_name`). Means and deviations of the bands stay those
    of the dataset.

    Args:
        data: with training and validation images.
        number: of the fold, from 1.
        count: of folds.
        group_by: regular expression for what stays together; "none" for nothing.
        seed: of the folds; the same for all of them.

    Raises:
        DataError: there are fewer groups than folds, or no fold of that number.
    """
    if not 1 <= number <= count:
        raise DataError(f"there is no fold {number} of {count}", where="fold", remedy=f"give one of 1 to {count}")
    pool = [index for index, sample in enumerate(data.samples) if sample.split in ("train", "val")]
    keys = [data.samples[index].key.removeprefix(f"{data.samples[index].split}/") for index in pool]
    groups = None if group_by == "none" else groups_by_pattern(keys, group_by) if group_by else groups_by_name(keys)
    if len(set(groups or keys)) < count:
        what = "groups of images" if groups else "images"
        raise DataError(f"{len(set(groups or keys))} {what} make no {count} folds", remedy="ask for fewer folds")
    pixels = np.array([_counts(data, index) for index in pool])
    shares = {str(fold): 1 / count for fold in range(1, count + 1)}
    dealt = assign_splits(pixels[:, :-1], shares=shares, groups=groups, seed=seed)
    split_of = {index: "val" if fold == str(number) else "train" for index, fold in zip(pool, dealt, strict=True)}
    samples = tuple(
        replace(sample, split=split_of.get(index, sample.split)) for index, sample in enumerate(data.samples)
    )
    records = tuple(
        record.model_copy(update={"split": sample.split}) for record, sample in zip(data.records, samples, strict=True)
    )
    splits = dict(data.statistics.splits)
    for name in ("train", "val"):
        chosen = np.array([split_of[index] == name for index in pool])
        splits[name] = SplitStatistics.of(pixels[chosen, :-1], int(pixels[chosen, -1].sum()), data.classes.names)
    return replace(
        data, samples=samples, records=records, statistics=data.statistics.model_copy(update={"splits": splits})
    )


def _counts(data: Dataset, index: int) -> npt.NDArray[np.int64]:
    """(classes + 1,) pixels of every class, and ignored ones."""
    label = data.read_label(data.samples[index])
    classes = len(data.classes)
    return np.bincount(np.minimum(label, classes).ravel(), minlength=classes + 1)
