"""What `fullconv data` prints: tables that people can read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich import box
from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from fullconv.data.classes import ClassTable
from fullconv.data.dataset import Dataset
from fullconv.data.examination import Examination
from fullconv.data.labels import LabelFormat
from fullconv.data.problems import Problem
from fullconv.data.statistics import Statistics

_STYLES = {"error": "bold red", "warning": "yellow", "note": "cyan"}
_SHOWN_FILES = 4
_SHARES = "\nShare of the labelled pixels, and in how many images:"


def check_report(found: Examination) -> RenderableType:
    """All that `data check` found: facts first, problems last, worst first, and a verdict."""
    parts: list[RenderableType] = [
        facts_table(
            found.found.root,
            found.found.format,
            found.found.class_source,
            found.channels,
            found.dtype,
            found.statistics,
        )
    ]
    if found.statistics is not None:
        parts += [
            Text(_SHARES, style="dim"),
            class_table(found.classes, found.statistics),
            baseline_table(found.statistics),
        ]
    parts += [problem_list(found.problems), verdict(found.problems)]
    return Group(*parts)


def dataset_report(dataset: Dataset) -> RenderableType:
    """All that `data show` tells."""
    parts: list[RenderableType] = [
        Text(dataset.name, style="bold"),
        facts_table(
            dataset.root, dataset.format, dataset.class_source, dataset.channels, dataset.dtype, dataset.statistics
        ),
        Text(_SHARES, style="dim"),
        class_table(dataset.classes, dataset.statistics),
        baseline_table(dataset.statistics),
    ]
    if dataset.problems:
        parts.append(problem_list(dataset.problems))
    return Group(*parts)


def facts_table(
    root: object, format: LabelFormat, class_source: str, channels: int, dtype: str, statistics: Statistics | None
) -> Table:
    """Where the data lie, how labels are read, sizes, splits."""
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    table.add_row("Folder", escape(str(root)))
    table.add_row("Labels", f"{format.kind}: {escape(format.explanation)}")
    table.add_row("Classes", escape(class_source))
    if statistics is not None:
        splits = ", ".join(f"{counts.images} {name}" for name, counts in statistics.splits.items())
        table.add_row("Images", f"{statistics.images} ({splits})")
        table.add_row("Sizes", _sizes(statistics.sizes))
        bands = "1 channel" if channels == 1 else f"{channels} channels"
        mean, std = (
            " ".join(f"{value:.3f}" for value in values) for values in (statistics.channel_mean, statistics.channel_std)
        )
        table.add_row("Values", f"{bands} of {dtype}, mean {mean}, standard deviation {std}")
    return table


def class_table(classes: ClassTable, statistics: Statistics) -> Table:
    """Share of the labelled pixels and number of images that have it, per class and split."""
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1))
    for heading, justify in (("id", "right"), ("", "left"), ("class", "left")):
        table.add_column(heading, justify=justify)  # type: ignore[arg-type]
    for split in statistics.splits:
        table.add_column(split, justify="right", no_wrap=True)
    for entry in classes.classes:
        row: list[RenderableType] = [str(entry.value), _swatch(entry.color), Text(entry.name)]
        for counts in statistics.splits.values():
            labelled = sum(counts.pixels.values())
            row.append(f"{_share(counts.pixels[entry.name], labelled)} in {counts.images_with[entry.name]:>3}")
        table.add_row(*row)
    ignored: list[RenderableType] = [
        Text(", ".join(str(entry.value) for entry in classes.ignored[:3])),
        "",
        Text(f"ignored ({', '.join(entry.name for entry in classes.ignored)})" if classes.ignored else "ignored"),
    ]
    for counts in statistics.splits.values():
        images = str(counts.images)
        share = _share(counts.ignored_pixels, counts.ignored_pixels + sum(counts.pixels.values()))
        ignored.append(share + " " * (len(" in ") + max(3, len(images))))
    table.add_row(*ignored, style="dim")
    return table


def baseline_table(statistics: Statistics) -> Table:
    """What to expect: the baseline to beat, and the ceilings that no model passes."""
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    if baseline := statistics.commonest:
        table.add_row(
            "To beat",
            f"always saying {escape(repr(baseline.name))} scores {baseline.pixel_accuracy:.1%} pixel accuracy, "
            f"{baseline.mean_iou:.3f} mean IoU",
        )
    if statistics.stride_ceiling:
        ceilings = "   ".join(f"×{stride} {value:.3f}" for stride, value in statistics.stride_ceiling.items())
        table.add_row("Ceiling", f"best mean IoU that an output stride allows on this set: {ceilings}")
    return table


def problem_list(problems: Sequence[Problem]) -> RenderableType:
    """Every problem with its place and remedy, worst first."""
    if not problems:
        return Text("")
    table = Table(box=None, show_header=False, padding=(0, 1, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for problem in problems:
        style = _STYLES[problem.severity]
        text = Text()
        if problem.kind != "remark":
            text.append(f"{problem.kind}  ", style="bold")
            text.append(f"{problem.where}: ")
        text.append(f"{problem.message}.")
        if problem.remedy != "nothing needs doing":
            text.append(f"\n→ {problem.remedy}", style="dim")
        if len(problem.files) > 2:
            more = f" … {len(problem.files) - _SHOWN_FILES} more in --json" if len(problem.files) > _SHOWN_FILES else ""
            text.append(f"\n  {', '.join(problem.files[:_SHOWN_FILES])}{more}", style="dim")
        table.add_row(Text(problem.severity, style=style), text)
    return Group(Text(""), table)


def verdict(problems: Sequence[Problem]) -> Text:
    """The last line: can it be used?"""
    errors = sum(problem.severity == "error" for problem in problems)
    warnings = sum(problem.severity == "warning" for problem in problems)
    tail = f", {_count(warnings, 'warning')}" if warnings else ""
    if errors:
        return Text(f"\n{_count(errors, 'error')}{tail}: not usable before the errors are mended.", style="bold red")
    return Text(f"\nReady to use{tail}.", style="bold green")


def dataset_table(rows: Sequence[Mapping[str, Any]]) -> Table:
    """One line per dataset."""
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1))
    for heading, justify in (
        ("name", "left"),
        ("train/val/test", "right"),
        ("classes", "right"),
        ("labels", "left"),
        ("made", "left"),
        ("folder", "left"),
    ):
        table.add_column(heading, justify=justify, overflow="fold", no_wrap=heading not in ("name", "folder"))  # type: ignore[arg-type]
    for row in rows:
        if "error" in row:
            table.add_row(row["name"], "", "", "", "", Text(row["error"], style="red"))
            continue
        splits = "/".join(str(row["splits"].get(name, 0)) for name in ("train", "val", "test"))
        table.add_row(
            row["name"],
            splits,
            str(row["classes"]),
            row["label_format"],
            row["created"][:10],
            escape(row["root"]),
        )
    return table


def _sizes(sizes: Sequence[tuple[int, int, int]]) -> str:
    if len(sizes) == 1:
        height, width, _ = sizes[0]
        return f"all {width}×{height}"
    if len(sizes) <= 3:
        return ", ".join(f"{count} of {width}×{height}" for height, width, count in sizes)
    areas = sorted((height * width, height, width) for height, width, _ in sizes)
    (_, low_height, low_width), (_, high_height, high_width) = areas[0], areas[-1]
    return f"{len(sizes)} different, from {low_width}×{low_height} to {high_width}×{high_height}"


def _share(part: int, whole: int) -> str:
    if part == 0:
        return "–"
    share = part / whole
    return f"{share:.1%}" if share >= 0.001 else f"{share:.3%}" if share >= 0.00001 else "<0.001%"


def _swatch(color: tuple[int, int, int]) -> Text:
    red, green, blue = color
    return Text("██", style=f"rgb({red},{green},{blue})")


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
