"""What `fullconv plan` prints: tables that people can read."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from fullconv.counted import counted

if TYPE_CHECKING:
    from fullconv.training.forecast.forecasting import Forecast
    from fullconv.training.forecast.memory import StepMemory
    from fullconv.training.forecast.several import Several
    from fullconv.training.rate_finder import RateSweep
    from fullconv.training.settings.experiment import Plan

GIB, MIB = 2**30, 2**20


def plan_report(found: Forecast, sweep: RateSweep | None = None, *, runs: int = 1) -> RenderableType:
    """Settings, memory, time, and what scores to expect; of several runs, those of the first."""
    from fullconv.training.rate_preview import rate_curve, rate_text

    parts: list[RenderableType] = [settings_table(found, runs=runs)]
    if found.batches:
        first = found.batches[0]
        kinds = {"weights": first.parameters, "gradients": first.gradients, "optimiser": first.optimizer}
        kinds |= {"moving average": first.average} if first.average else {}
        of_each = " of each process" if found.several else ""
        always = ", ".join(f"{name} {size / MIB:,.0f}" for name, size in kinds.items())
        parts += [Text(f"\nMemory{of_each} over the idle process, MiB. For any batch: {always}.", style="dim")]
        parts += [memory_table(found)]
    parts += [answer(found), time_table(found)]
    if found.several is not None:
        parts.append(Text(scaling_sentence(found.several, found.plan), style="dim"))
    parts.append(expectation_table(found))
    plan = found.recommended
    curve = rate_curve(plan.optimization, found.steps * plan.epochs)
    parts += [Text("\nLearning rate over the steps of the run:", style="dim"), Text(rate_text(curve, height=6))]
    if sweep is not None:
        said = f"Learning rate found by a sweep: {sweep.suggestion or 0:g}; take it with --learning-rate."
        if sweep.suggestion is None:
            said = "Learning rate: none found, for the loss does not fall clearly at any rate of the sweep."
        parts.append(Text(f"\n{said}", style="bold"))
    return Group(*parts)


def settings_table(found: Forecast, *, runs: int = 1) -> Table:
    """What would run; of several runs the first."""
    plan = found.plan
    height, width = plan.crop
    again = ", checkpointing" if plan.checkpointing else ""
    table = _facts()
    table.add_row("Network", Text(f"{plan.network}, weights: {found.transfer}"))
    images = ", ".join(f"{count} {name}" for name, count in found.images.items())
    table.add_row("Images", images)
    table.add_row("View", f"{width}×{height} pixels, batch {plan.batch_size}, {plan.precision} on {plan.device}{again}")
    group = found.several
    if group is not None:
        at_most = "at most " if plan.batch_size % group.count else ""
        share = f"each with {at_most}{counted(group.views, 'view')} of the {plan.batch_size} of a batch"
        table.add_row("Processes", f"{group.count}, {group.devices} on each machine, {share}")
    steps = counted(found.steps, "step") + (" in every process" if group else "")
    every = "epoch" if plan.validate_every == 1 else counted(plan.validate_every, "epoch")
    table.add_row("Run", f"{counted(plan.epochs, 'epoch')} of {steps}, validated every {every}")
    if runs > 1:
        table.add_row("Group", f"the first of {runs} runs, one after another; all else here is about this one")
    if found.warning is not None:
        table.add_row("Warning", Text(found.warning, style="yellow"))
    return table


def memory_table(found: Forecast) -> Table:
    """One row per batch size; per number of views in a process, where there are several."""
    chosen = found.several.views if found.several else found.plan.batch_size
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1))
    for heading in ("views" if found.several else "batch", "activations", "other", "peak", "fits"):
        table.add_column(heading, justify="right")
    for each in found.batches:
        other = each.total - _of_any_batch(each) - each.activations
        fits = each.total <= found.room
        style = "bold" if each.batch_size == chosen else "" if fits else "dim"
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
    group = found.several
    lines = [Text(f"\n{free}.")]
    if group is not None and group.memory is not None:
        each = f"Each process takes about {group.memory / MIB:,.0f} MiB with its loader"
        if group.machine is None:
            lines.append(Text(f"{each}, on a GPU of its own."))
        else:
            short = group.machine > found.share * found.free
            said = (
                f"{each}; the {group.devices} of a machine {group.machine / MIB:,.0f} of {found.free / MIB:,.0f} MiB."
            )
            lines.append(Text(said, style="yellow" if short else ""))
    if found.largest_batch:
        how = "shapes alone tell" if not found.checked else "one real step of it was done"
        if found.checked and found.peak is not None:
            how += f" and took {found.peak / MIB:,.0f} MiB"
        shares = f"{found.largest_batch // group.count} in each process; " if group else ""
        lines.append(Text(f"Largest batch that fits: {found.largest_batch} ({shares}{how}).", style="bold green"))
    elif found.largest_batch == 0:
        lines.append(Text("No batch fits at this size.", style="bold red"))
    if found.fallback is not None:
        wanted = found.plan.batch_size
        instead = ". Instead, in each process: " if group else ". Instead: "
        said = f"Batch {wanted} does not fit" + (instead if found.fallback.fits else "; ")
        lines.append(Text(said + found.fallback.meaning + ".", style="yellow" if found.fallback.fits else "bold red"))
        if found.fallback.alternative is not None:
            lines.append(Text(f"{found.fallback.alternative}."))
        if found.trial is not None and found.trial.peak is not None:
            took = f"{found.trial.peak / MIB:,.0f} MiB"
            fine = found.trial.peak <= found.room
            said = f"Tried: its steps took {took}" + (
                "." if fine else f", more than the {found.room / MIB:,.0f} there are."
            )
            lines.append(Text(said, style="green" if fine else "bold red"))
    return Group(*lines)


def time_table(found: Forecast) -> Table:
    """How long."""
    table = _facts()
    times, trial = found.times, found.trial
    if times is None or trial is None:
        table.add_row("Time", "not measured")
        return table
    peak = "" if trial.peak is None else f", peak {trial.peak / MIB:,.0f} MiB"
    measured = f"measured over {counted(trial.steps, 'step')} with the loader{peak}"
    if found.several is not None:
        measured = f"extrapolated from {_seconds(trial.step)} in one process, {measured}"
    table.add_row("Step", f"{_seconds(times.step)}, {measured}")
    table.add_row("Epoch", f"{_seconds(times.epoch)}; validation {_seconds(times.validation)}")
    table.add_row("Run", f"{_seconds(times.run)} as this machine is now, {_seconds(times.preparation)} of it once only")
    return table


def scaling_sentence(group: Several, plan: Plan) -> str:
    """What was assumed of several processes, in words."""
    sent = f"{group.gradients / 1e6:.3g} MB of gradients over {group.link}"
    if group.efficiency is None:
        return f"\nAfter every step each of {group.count} processes exchanges {sent}."
    least, most = group.efficiency
    alone = (
        f" on its 1/{group.devices} of the cores, the others idle" if plan.device == "cpu" and group.devices > 1 else ""
    )
    return (
        f"\nTimes of {group.count} processes are extrapolated: one was timed with its share of the batch{alone}. The "
        f"exchange of {sent} after every step, {_seconds(group.exchange)} by the formula of a ring, then leaves "
        f"{least:.0%} of the time for computing if nothing of it is hidden, as reckoned here, and {most:.0%} at best. "
        "That link is assumed; waiting for the slowest process and for memory that they share is not in it."
    )


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


def _seconds(value: float) -> str:
    if value < 1:
        return f"{1000 * value:.0f} ms"
    if value < 120:
        return f"{value:.1f} s"
    return f"{value / 60:.0f} min" if value < 7200 else f"{value / 3600:.1f} h"
