"""What can be wrong with the images of a set as pictures: channels, value types, values that are no numbers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from fullconv.counted import counted
from fullconv.data.channels import joint_channels, joint_dtype

if TYPE_CHECKING:
    from fullconv.data.checks import Judge
    from fullconv.data.inspection import Inspection
    from fullconv.data.problems import Problem


def image_problems(judge: Judge, inspections: Sequence[Inspection]) -> list[Problem]:
    """Images that differ in channels or value types, and pixels that are not a number."""
    return [*_channels(judge, inspections), *_value_types(judge, inspections), *_gaps(judge, inspections)]


def _channels(judge: Judge, inspections: Sequence[Inspection]) -> list[Problem]:
    channels = Counter(found.channels for found in inspections)
    if len(channels) == 1:
        return []
    most = channels.most_common(1)[0][0]
    files = [found.sample.image for found in inspections if found.channels != most]
    counts = ", ".join(f"{count} with {number}" for number, count in channels.most_common())
    joint = joint_channels(channels)
    if joint is None:
        kind, outcome, remedy = "mixed-channels", "", "save all images with the same channels"
    else:
        kind, outcome = "remark", f"; all are read as {joint}"
        remedy = "nothing needs doing: grey is repeated, alpha left out"
    message = f"images differ in their channels ({counts}){outcome}"
    return [judge.problem(kind, files[0], message, remedy, count=len(files), files=files)]


def _value_types(judge: Judge, inspections: Sequence[Inspection]) -> list[Problem]:
    types = Counter(found.dtype for found in inspections)
    if len(types) == 1:
        return []
    most = types.most_common(1)[0][0]
    files = [found.sample.image for found in inspections if found.dtype != most]
    joint = joint_dtype(types)
    kind = "float-among-integers" if joint is None else "mixed-value-types"
    outcome = "which have no scale in common" if joint is None else f"all are read as {joint}, black and white kept"
    counts = ", ".join(f"{count} {name}" for name, count in types.most_common())
    message = f"images differ in their value type ({counts}); {outcome}"
    remedy = "save all images with the same value type"
    return [judge.problem(kind, files[0], message, remedy, count=len(files), files=files)]


def _gaps(judge: Judge, inspections: Sequence[Inspection]) -> list[Problem]:
    holed = [found for found in inspections if found.gap_pixels]
    if not holed:
        return []
    files = [found.sample.image for found in holed]
    pixels = sum(found.gap_pixels for found in holed)
    where = f"{counted(pixels, 'pixel')} in {counted(len(holed), 'image')}"
    message = f"not a number or infinite: {where}, read as 0 and ignored"
    return [judge.problem("not-a-number", files[0], message, "fill them if they matter", count=len(holed), files=files)]
