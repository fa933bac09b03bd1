"""What a plan would be: its size, its memory, its time, and what is wrong with it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from nicegui import ui

from fullconv.workbench.pages.charts import axis, chart
from fullconv.workbench.pages.plan_time import PlanTime, fact
from fullconv.workbench.services.plans import Memory, PlanView

MIB, GIB = 2**20, 2**30
STYLE = """
.facts { display: grid; grid-template-columns: max-content 1fr; gap: .25rem .9rem; width: 100%; margin: 0 }
.facts dt { color: var(--faint) } .facts dd { margin: 0; overflow-wrap: anywhere }
.notice { border-left: 3px solid var(--accent); padding: .3rem .7rem; background: var(--soft); width: 100%;
  border-radius: 0 6px 6px 0; overflow-wrap: anywhere }
.notice.wrong { border-color: var(--bad) }
"""


class PlanSummary:
    """A card.

    Args:
        use_batch: called with the largest batch, when a visitor wants it.
        forecast: starts the job that times the plan; gives its number, or None where it cannot.
    """

    def __init__(self, use_batch: Callable[[int], None], forecast: Callable[[], Awaitable[int | None]]) -> None:
        ui.add_css(STYLE)
        self._use_batch = use_batch
        self._largest = 0
        self.errors = ui.column().classes("w-full").style("gap: .4rem").props('role="alert"').mark("plan-errors")
        with ui.element("dl").classes("facts").mark("plan-facts") as self._list:
            self.facts = {name: fact(name) for name in ("Images", "View", "Run", "Network", "To beat", "Memory")}
        with ui.row().classes("items-center").style("gap: .5rem"):
            self.memory_spinner = ui.spinner(size="1em")
            self.largest = ui.button(on_click=lambda: self._use_batch(self._largest))
            self.largest.props("flat dense no-caps").mark("largest-batch")
            self.time = PlanTime(forecast)
        self.time.tell_here()
        self.warnings = ui.column().classes("w-full").style("gap: .4rem")
        self.largest.visible = self.memory_spinner.visible = self._list.visible = False

    def show(self, view: PlanView) -> None:
        """A plan that can run."""
        plan = view.plan
        height, width = plan["crop"]
        self.errors.clear()
        self._list.visible = True
        self.facts["Images"].text = ", ".join(f"{count:,} {split}" for split, count in view.images.items())
        self.facts["View"].text = f"{width}×{height} pixels, batch {plan['batch_size']}, {plan['precision']}"
        self.facts["Run"].text = (
            f"{plan['epochs']} epochs of {view.steps_per_epoch} steps on {plan['device']}, validated every "
            f"{'epoch' if plan['validate_every'] == 1 else str(plan['validate_every']) + ' epochs'}"
        )
        ceiling = "" if view.ceiling is None else f", which allows a mean IoU of {view.ceiling:.3f} here"
        self.facts["Network"].text = f"{plan['network']}: output stride {view.stride}{ceiling}; weights: {view.weights}"
        if view.commonest is not None:
            self.facts["To beat"].text = (
                f"always saying {view.commonest.name}: {view.commonest.pixel_accuracy:.1%} pixel accuracy, "
                f"{view.commonest.mean_iou:.3f} mean IoU"
            )
        self._show_warnings(view.warnings)
        self.time.allow(True)

    def show_memory(self, memory: Memory | None, batch: int) -> None:
        """What it takes; None while that is worked out."""
        self.memory_spinner.visible = memory is None
        self.largest.visible = memory is not None and bool(memory.largest_batch)
        if memory is None:
            self.facts["Memory"].text = "being worked out"
            return
        self.facts["Memory"].text = memory_text(memory, batch)
        if memory.largest_batch:
            self._largest = memory.largest_batch
            self.largest.text = f"Take the largest batch that fits: {memory.largest_batch}"
            self.largest.set_enabled(memory.largest_batch != batch)

    def refuse(self, messages: Sequence[str], count: int) -> None:
        """A plan that cannot run.

        Args:
            messages: of which no field is shown. count: of all fields that are wrong.
        """
        self.errors.clear()
        with self.errors:
            if count > len(messages):
                many = count - len(messages)
                ui.label(f"{many} field{'s are' if many > 1 else ' is'} marked as wrong.").classes("notice wrong")
            for message in messages:
                ui.label(message).classes("notice wrong")
        self.warnings.clear()
        self.time.allow(False)
        self.memory_spinner.visible = self.largest.visible = self._list.visible = False

    def forget_time(self) -> None:
        """Another plan takes another time."""
        self.time.forget()

    def _show_warnings(self, warnings: Sequence[str]) -> None:
        self.warnings.clear()
        with self.warnings:
            for warning in warnings:
                ui.label(warning[:1].upper() + warning[1:] + ".").classes("notice")


def memory_text(memory: Memory, batch: int) -> str:
    """What a batch takes, in a sentence."""
    own = next((each for each in memory.batches if each.batch_size == batch), None)
    if own is None:
        return f"not known: the network {memory.unknown}"
    said = f"{own.total / MIB:,.0f} MiB of {memory.room / GIB:,.1f} GiB with batch {batch}"
    return said if memory.fits else f"{said}: too much"


class RateCurve:
    """The learning rate over the run."""

    def __init__(self) -> None:
        options = {
            "grid": {"left": 8, "right": 16, "top": 16, "bottom": 8, "containLabel": True},
            "xAxis": axis("value", name="step", nameLocation="middle", nameGap=24),
            "yAxis": axis("value", axisLabel={":formatter": "value => value.toPrecision(2)"}),
            "tooltip": {"trigger": "axis", ":valueFormatter": "value => Number(value).toPrecision(4)"},
            "series": [{"type": "line", "showSymbol": False, "data": [], "color": "var(--accent)", "name": "rate"}],
        }
        self.chart = chart(options, height="11rem", label="Learning rate over the steps of the run")
        self.chart.mark("rate-curve")

    def show(self, curve: Sequence[tuple[int, float]]) -> None:
        """Another plan's."""
        self.chart.options["series"][0]["data"] = [list(point) for point in curve]
        self.chart.options["xAxis"]["max"] = curve[-1][0] if curve else None
        self.chart.update()
