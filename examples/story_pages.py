"""Numbers and pictures of the story: curves, predictions side by side, heat maps, the table of the page."""

from __future__ import annotations

import json
import platform
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from scipy import ndimage

import fullconv as fc
from fullconv.data.pictures import class_borders, colorize
from fullconv.evaluation.ceiling import ceiling_counts
from fullconv.evaluation.counting import count_confusion
from fullconv.evaluation.figures import BASELINE, INK, plain_axes, to_png, to_svg
from fullconv.evaluation.metrics_table import read_rows
from fullconv.evaluation.scores import Scores
from fullconv.hardware import processor
from fullconv.progress import track
from fullconv.training.status import read_status

FOUND = 0.5
"""A class is found where at least so large a share of its pixels bears its name."""
NEAR = 4
"""Pixels from a border between classes that count as its contour."""
COLORS = ("#8a6d3b", "#c0392b", "#d9730d", "#2f7ed8", "#2e8b57")
DRAWN = 3
SPLITS = ("train", "val", "test")
Label = Callable[[np.ndarray], np.ndarray]


def results_of(data: fc.Dataset, stages: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Everything that the page says of a dataset, as plain numbers."""
    test = data.test
    commonest = data.statistics.commonest
    ignore, count = data.classes.ignore_index, len(data.classes)
    ceilings = {}
    for stride in (32, 8):
        counts = sum(ceiling_counts(test.read_label(sample), stride, count, ignore) for sample in test)
        ceilings[str(stride)] = Scores.from_confusion(counts, data.classes.names).pixel_accuracy
    height, width = data.sizes[0]
    return {
        "format": 1,
        "dataset": data.name,
        "size": [width, height],
        "images": {split: len(data.split(split)) for split in SPLITS},
        "classes": count,
        "commonest": {"name": commonest.name, **{split: share_of(data, commonest.name, split) for split in SPLITS}},
        "ceiling": ceilings,
        "stages": list(stages),
        "made": _provenance(),
    }


def share_of(data: fc.Dataset, name: str, split: str) -> float:
    """What always saying one class scores on the images of a split."""
    pixels = data.statistics.pixels(split)
    return float(pixels[data.classes.names.index(name)] / pixels.sum())


def numbers_of(title: str, run: fc.Run, test: fc.Dataset) -> dict[str, Any]:
    """A stage that was a run: its scores, and how it came to them."""
    rows = [row for row in read_rows(run.directory / "metrics.csv") if row["pixel_accuracy"]]
    seconds = [float(row["seconds"]) for row in rows if row["seconds"]]
    return {
        **scores_of(title, run.experiment.network, run.model.label, test),
        "minutes": len(seconds) * float(np.median(seconds)) / 60,
        "validation": [float(row["pixel_accuracy"]) for row in rows if row["split"] == "val"],
        "warnings": list(read_status(run.directory).warnings),
    }


def scores_of(title: str, network: str, label: Label, test: fc.Dataset) -> dict[str, Any]:
    """What is scored of anything that labels images: on all pixels, and near borders between classes."""
    ignore, count = test.classes.ignore_index, len(test.classes)
    everywhere, contours = np.zeros((2, count, count), dtype=np.int64)
    for index in track(range(len(test)), f"scoring {title}"):
        image, truth = test.read(index)
        said = label(image)
        near = ndimage.binary_dilation(class_borders(truth), iterations=NEAR)
        everywhere += count_confusion(truth, said, count, ignore)
        contours += count_confusion(np.where(near, truth, truth.dtype.type(ignore)), said, count, ignore)
    scores = Scores.from_confusion(everywhere, test.classes.names)
    return {
        "title": title,
        "network": network,
        "pixel_accuracy": scores.pixel_accuracy,
        "mean_iou": scores.mean_iou,
        "found": [name for name, share in zip(scores.names, scores.accuracy, strict=True) if share >= FOUND],
        "contours": Scores.from_confusion(contours, test.classes.names).pixel_accuracy,
        "minutes": None,
        "validation": [],
        "warnings": [],
    }


def write_curves(results: Mapping[str, Any], path: Path) -> None:
    """Pixel accuracy on validation images after every epoch; lines: the commonest class, and the article's marks."""
    figure, axes = plain_axes()
    figure.set_size_inches(8, 4.8)
    stages = [stage for stage in results["stages"] if stage["validation"]]
    for stage, color in zip(stages, COLORS, strict=True):
        values = stage["validation"]
        axes.plot(range(1, len(values) + 1), values, color=color, marker="o", markersize=3.5, label=stage["title"])
    commonest = results["commonest"]
    axes.axhline(commonest["val"], color=BASELINE, linestyle="--", label=f"always {commonest['name']}")
    for mark in (0.90, 0.95):
        axes.axhline(mark, color=BASELINE, linewidth=0.8, linestyle=":")
    axes.set_ylim(0, 1)
    axes.set_xlabel("epoch", color=INK)
    axes.set_title(f"{results['dataset']}: pixel accuracy on validation images", color=INK, fontsize=11, loc="left")
    figure.set_layout_engine("constrained")
    figure.legend(frameon=False, labelcolor=INK, fontsize=9, loc="outside lower center", ncols=2)
    _written(path, to_svg(figure).replace("currentColor", INK).encode())


def write_predictions(runs: Mapping[str, fc.Run], test: fc.Dataset, path: Path) -> None:
    """The test images with most classes: image, truth, and what each stage says."""
    held = [len(np.unique(test.read_label(sample))) for sample in test]
    chosen = np.argsort(held, kind="stable")[::-1][:DRAWN]
    columns = ["image", "truth", *runs]
    rows = []
    for index in chosen:
        image, truth = test.read(int(index))
        said = [run.model.label(image) for run in runs.values()]
        rows.append([image, *(colorize(labels, test.classes) for labels in (truth, *said))])
    _written(path, _table_of_pictures(rows, columns))


def with_most(test: fc.Dataset, index: int, count: int = 2) -> list[tuple[np.ndarray, np.ndarray]]:
    """Image and label of the test images that show most of a class."""
    shares = [float((test.read_label(sample) == index).mean()) for sample in test]
    return [test.read(int(place)) for place in np.argsort(shares, kind="stable")[::-1][:count]]


def write_heat_maps(maps: Sequence[Mapping[str, np.ndarray]], path: Path) -> None:
    """One row per image: pictures as they are, maps of numbers from 0 to 1 in colours of heat."""
    _written(path, _table_of_pictures([list(row.values()) for row in maps], list(maps[0])))


def _table_of_pictures(rows: Sequence[Sequence[np.ndarray]], columns: Sequence[str]) -> bytes:
    height, width = rows[0][0].shape[:2]
    side = 2.1
    figure = Figure(
        figsize=(side * len(columns), (side * height / width + 0.12) * len(rows) + 0.2), layout="constrained"
    )
    grid = figure.subplots(len(rows), len(columns), squeeze=False)
    for line, row in zip(grid, rows, strict=True):
        for axes, picture in zip(line, row, strict=True):
            axes.imshow(picture, cmap="inferno", vmin=0, vmax=1, interpolation="nearest" if picture.ndim == 2 else None)
            axes.set_axis_off()
    for axes, title in zip(grid[0], columns, strict=True):
        axes.set_title(title, fontsize=7, color=INK)
    return to_png(figure, dpi=130)


def table_of(results: Mapping[str, Any]) -> str:
    """The table of the page, in Markdown."""
    width, height = results["size"]
    counts, ceiling, commonest = results["images"], results["ceiling"], results["commonest"]
    lines = [
        f"{counts['train']} training, {counts['val']} validation and {counts['test']} test images of {width}×{height}, "
        f"{results['classes']} classes. Scores are of the test images.",
        "",
        "| stage | network | pixel accuracy | mean IoU | classes found | at contours | minutes |",
        "|---|---|---:|---:|---:|---:|---:|",
        f"| always {commonest['name']} | | {_percent(commonest['test'])} | | 1 | | |",
    ]
    for stage in results["stages"]:
        cells = (
            stage["title"],
            stage["network"],
            _percent(stage["pixel_accuracy"]),
            f"{stage['mean_iou']:.3f}",
            str(len(stage["found"])),
            _percent(stage["contours"]),
            _minutes(stage),
        )
        lines.append(f"| {' | '.join(cells)} |")
    lines += [
        "",
        f"The labels themselves, sampled every 32 pixels and interpolated, score {_percent(ceiling['32'])}; every 8 "
        f"pixels, {_percent(ceiling['8'])}. A class is found where {FOUND:.0%} of its pixels bear its name; contours "
        f"are the pixels up to {NEAR} from a border between classes; minutes are those of training alone, "
        "with all epochs as long as the median one.",
        "",
        *_epochs_table(results["stages"]),
    ]
    warned = [(stage["title"], text) for stage in results["stages"] for text in stage["warnings"]]
    if warned:
        lines += ["", "What the guard said:", "", *(f"- *{title}:* {text}." for title, text in warned)]
    return "\n".join([*lines, "", f"{results['made']}."])


def _epochs_table(stages: Sequence[Mapping[str, Any]]) -> list[str]:
    trained = [stage for stage in stages if stage["validation"]]
    longest = max(len(stage["validation"]) for stage in trained)
    lines = [
        f"| pixel accuracy after epoch (validation) | {' | '.join(str(epoch + 1) for epoch in range(longest))} |",
        "|---|" + "---:|" * longest,
    ]
    for stage in trained:
        values = [f"{100 * value:.1f}" for value in stage["validation"]]
        lines.append(f"| {stage['title']} | {' | '.join(values + [''] * (longest - len(values)))} |")
    return lines


def write_page(page: Path, name: str, results: Mapping[str, Any]) -> None:
    """Put the table between the page's marks of that name, and the numbers beside its figures."""
    _written(folder_of(page) / f"{name}.json", (json.dumps(results, indent=1) + "\n").encode())
    begin, end = f"<!-- {name}: written by examples/story.py -->", f"<!-- end of {name} -->"
    text = page.read_text(encoding="utf-8") if page.is_file() else ""
    if begin not in text:
        figures = (f"![]({page.stem}/{name}-{part})" for part in ("curves.svg", "predictions.png", "heat.png"))
        text = "\n\n".join([text.rstrip(), f"{begin}\n{end}", *figures]).lstrip() + "\n"
    block = f"{begin}\n{table_of(results)}\n{end}"
    page.write_text(re.sub(f"{begin}.*?{end}", lambda _: block, text, flags=re.DOTALL), encoding="utf-8")


def folder_of(page: Path) -> Path:
    """Where the page's figures lie."""
    return page.with_suffix("")


def _written(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def _percent(value: float) -> str:
    return f"{100 * value:.1f} %"


def _minutes(stage: Mapping[str, Any]) -> str:
    return f"{stage['minutes']:.1f}" if stage["minutes"] else ""


def _provenance() -> str:
    versions = ", ".join(f"{name} {version(name)}" for name in ("fullconv", "torch", "torchvision", "lightning"))
    return f"{datetime.now(UTC).date().isoformat()}; {processor()}; {versions}, Python {platform.python_version()}"
