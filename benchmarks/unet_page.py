"""The page of the comparison with U-Net: scores, time until scores, classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from fullconv.evaluation.scores import Scores
from records import Result, spread, stamps

THRESHOLDS = (0.3, 0.4, 0.45, 0.5, 0.55, 0.6, 0.65, 0.7)
Curve = Sequence[tuple[float, float]]
"""Seconds of training, and the validation mean IoU after them."""


def reached(curve: Curve, value: float) -> float | None:
    """Seconds until the curve first came to that value."""
    return next((seconds for seconds, found in curve if found >= value), None)


def all_reached(curves: Sequence[Curve], value: float) -> float | None:
    """Mean seconds until then, where every curve came to it."""
    times = [reached(curve, value) for curve in curves]
    known = [found for found in times if found is not None]
    return float(np.mean(known)) if len(known) == len(times) else None


def page(
    results: Mapping[str, Sequence[Result]],
    *,
    paragraphs: Sequence[str],
    labels: Mapping[str, str],
    names: Sequence[str],
    command: str,
) -> str:
    """Scores at equal wall time, time to equal validation scores, per-class IoU.

    Args:
        results: of every side, one per seed.
        paragraphs: what was done. command: that did it.
        labels: of the sides. names: of the classes.
    """
    lines = ["# U-Net and FullConv on CamVid"]
    for paragraph in paragraphs:
        lines += ["", *paragraph.splitlines()]
    lines += [
        "",
        "| side | seeds | training s | views seen | best validation mean IoU | test mean IoU | test pixel accuracy |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    for side, runs in results.items():
        seconds, images = (float(np.mean([run[key] for run in runs])) for key in ("seconds", "images"))
        best = float(np.mean([max(value for _, value in run["curve"]) for run in runs]))
        tests = [Scores.from_dict(run["test"]) for run in runs]
        mean_iou = spread([test.mean_iou for test in tests])
        accuracy = float(np.mean([test.pixel_accuracy for test in tests]))
        lines.append(
            f"| {labels[side]} | {len(runs)} | {seconds:.0f} | {images:.0f} | {best:.3f} | **{mean_iou}** "
            f"| {accuracy:.3f} |"
        )
    marks = sorted({*THRESHOLDS, *(min(max(v for _, v in run["curve"]) for run in runs) for runs in results.values())})
    lines += [
        "",
        "Seconds of training until that validation mean IoU, mean of the seeds where all of them reached it (the best "
        "that all seeds of a side reached is a row too):",
    ]
    lines += ["", "| validation mean IoU | " + " | ".join(results) + " |", "|---:|" + "---:|" * len(results)]
    for mark in marks:
        times = [all_reached([run["curve"] for run in runs], mark) for runs in results.values()]
        if any(found is not None for found in times):
            lines.append(
                f"| {mark:.3f} | " + " | ".join("–" if found is None else f"{found:.0f}" for found in times) + " |"
            )
    lines += ["", "| test IoU | " + " | ".join(results) + " |", "|---|" + "---:|" * len(results)]
    per_side = [np.mean([Scores.from_dict(run["test"]).iou for run in runs], axis=0) for runs in results.values()]
    lines += [f"| {name} | " + " | ".join(f"{iou[i]:.3f}" for iou in per_side) + " |" for i, name in enumerate(names)]
    stamp = stamps(run for runs in results.values() for run in runs)
    return "\n".join([*lines, "", f"{stamp}. Command: `{command}`.", ""])
