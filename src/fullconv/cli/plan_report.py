"""What `fullconv plan` prints: tables that people can read."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from fullconv.training.forecast.forecasting import Forecast
    from fullconv.training.forecast.memory import StepMemory
    from fullconv.training.rate_finder import RateSweep

GIB, MIB = 2**30, 2**20


def plan_report(found: Forecast, sweep: RateSweep | None = None) -> RenderableType:
    """Settings, memory, time, and what scores to expect."""
    from fullconv.training.rate_preview import rate_curve, rate_text

    parts: list[RenderableType] = [settings_table(found)]
    if found.batches:
        first = found.batches[0]
        kinds = {"weights": first.parameters, "gradients": first.gradients, "optimiser": first.optimizer}
        kinds |= {"moving average": first.average} if first.average else {}
        always = ", ".join(f"{name} {size / MIB:,.0f}" for name, size in kinds.items())
        parts += [Text(f"\nMemory over the idle process, MiB. For any batch: {always}.", style="dim")]
        parts += [memory_table(found)]
    parts += [answer(found), time_table(found), expectation_table(found)]
    plan = found.recommended
    curve = rate_curve(plan.optimization, found.steps * plan.epochs)
    parts += [Text("\nLearning rate over the steps of the run:", style="dim"), Text(rate_text(curve, height=6))]
    if sweep is not None:
        said = f"Learning rate found by a sweep: {sweep.suggestion or 0:g}; take it with --learning-rate."
        if sweep.suggestion is None:
            said = "Learning rate: none found, for the loss does not fall clearly at any rate of the sweep."
        parts.append(Text(f"\n{said}", style="bold"))
    return Group(*parts)


def settings_table(found: Forecast) -> Table:
    """What would run."""
    plan = found.plan
    height, width = plan.crop
    table = _facts()
    table.add_row("Network", Text(f"{plan.network}, weights: {found.transfer}"))
    images = ", ".join(f"{count} {name}" for name, count in found.images.items())
    table.add_row("Images", images)
    table.add_row("View", f"{width}×{height} pixels, batch {plan.batch_size}, {plan.precision} on {plan.device}")
    epochs = "1 epoch" if plan.epochs == 1 else f"{plan.epochs} epochs"
    table.add_row("Run", f"{epochs} of {found.steps} steps, validated every {_epochs(plan.validate_every)}")
    if found.warning is not None:
        table.add_row("Warning", Text(found.warning, style="yellow"))
    return table


def memory_table(found: Forecast) -> Table:
    """One row per batch size."""
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1))
    for heading in ("batch", "activations", "other", "peak", "fits"):
        table.add_column(heading, justify="right")
    for each in found.batches:
        other = each.total - _of_any_batch(each) - each.activations
        fits = each.total <= found.room
        style = "bold" if each.batch_size == found.plan.batch_size else "" if fits else "dim"
        cells = [f"{value / MIB:,.0f}" for value in (each.activations, other, each.total)]
        table.add_row(str(each.batch_size), *cells, "yes" if fits else "no", style=style)
    return table


def _of_any_batch(each: StepMemory) -> int:
    return each.parameters + each.gradients + each.optimizer + each.average


def answer(found: Forecast) -> RenderableType:
    """Which batch: the sentence that was asked for."""
    if found.unknown is not None:
        return Text(f"\nMemory: the network {found.unknown}; only real steps tell.", style="yellow")
    free = f"{found.free / GIB:.3g} GiB of memory, of which a run may take {found.share:.0%}"
    if found.loader:
        free += f", {found.loader / GIB:.2g} GiB of that for the loader"
    lines = [Text(f"\n{free}.")]
    if found.largest_batch:
        how = "shapes alone tell" if not found.checked else "one real step of it was done"
        if found.checked and found.peak is not None:
            how += f" and took {found.peak / MIB:,.0f} MiB"
        lines.append(Text(f"Largest batch that fits: {found.largest_batch} ({how}).", style="bold green"))
    elif found.largest_batch == 0:
        lines.append(Text("No batch fits at this size.", style="bold red"))
    if found.fallback is not None:
        wanted = found.plan.batch_size
        said = f"Batch {wanted} does not fit" + (". Instead: " if found.fallback.fits else "; ")
        lines.append(Text(said + found.fallback.meaning + ".", style="yellow" if found.fallback.fits else "bold red"))
    return Group(*lines)


def time_table(found: Forecast) -> Table:
    """How long."""
    table = _facts()
    times, trial = found.times, found.trial
    if times is None or trial is None:
        table.add_row("Time", "not measured")
        return table
    peak = "" if trial.peak is None else f", peak {trial.peak / MIB:,.0f} MiB"
    table.add_row("Step", f"{_seconds(times.step)}, measured over {trial.steps} steps with the loader{peak}")
    table.add_row("Epoch", f"{_seconds(times.epoch)}; validation {_seconds(times.validation)}")
    table.add_row("Run", f"{_seconds(times.run)} as this machine is now, {_seconds(times.preparation)} of it once only")
    return table


def expectation_table(found: Forecast) -> Table:
    """What scores to expect, and which classes are rare."""
    table = _facts()
    if found.commonest is not None:
        score = f"{found.commonest.pixel_accuracy:.1%} pixel accuracy, {found.commonest.mean_iou:.3f} mean IoU"
        table.add_row("To beat", Text(f"always saying {found.commonest.name!r} scores {score}"))
    if found.ceiling is not None:
        table.add_row("Ceiling", f"mean IoU {found.ceiling:.3f} at output stride {found.stride} on this dataset")
    shares = sorted(found.classes.items(), key=lambda entry: -entry[1])
    table.add_row("Classes", Text(", ".join(f"{name} {share:.2%}" for name, share in shares)))
    return table


def _facts() -> Table:
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    return table


def _epochs(count: int) -> str:
    return "epoch" if count == 1 else f"{count} epochs"


def _seconds(value: float) -> str:
    if value < 1:
        return f"{1000 * value:.0f} ms"
    if value < 120:
        return f"{value:.1f} s"
    return f"{value / 60:.0f} min" if value < 7200 else f"{value / 3600:.1f} h"
