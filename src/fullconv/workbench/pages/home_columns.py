"""Columns of the first page's tables: which there are for each kind, and what a row shows in them."""

from __future__ import annotations

from typing import Any, Literal, get_args
from urllib.parse import quote

from fullconv.workbench.services.listing import Entry, SortField
from fullconv.workbench.services.plan_parts import file_name

Shown = Literal["run", "dataset", "model"]
SORTED = frozenset(get_args(SortField))
SCORES = {
    "pixel_accuracy": "pixel accuracy",
    "mean_accuracy": "mean accuracy",
    "mean_iou": "mean IoU",
    "frequency_weighted_iou": "frequency-weighted IoU",
}
TITLES = {
    "name": "Name",
    "kind": "Kind",
    "created": "Made",
    "state": "State",
    "dataset": "Dataset",
    "network": "Network",
    "group": "Group",
    "epoch": "Epoch",
    "last_loss": "Training loss",
    **{f"last_{name}": f"Last validation {title}" for name, title in SCORES.items()},
    **{f"best_{name}": f"Best validation {title}" for name, title in SCORES.items()},
    **{name: f"Test {title}" for name, title in SCORES.items()},
    "regime": "Regime",
    "weights": "Weights",
    "images": "Images",
    "classes": "Classes",
    "label_format": "Labels",
    "problems": "Problems",
    "stride": "Stride",
    "licence": "Licence",
    "tags": "Tags",
}
WORDS = {
    *("name", "kind", "created", "state", "dataset", "network", "group", "regime", "weights", "label_format"),
    *("licence", "tags"),
}
COLUMNS: dict[Shown, tuple[str, ...]] = {
    "run": (
        *("name", "state", "dataset", "network", "epoch", "last_loss"),
        *(f"last_{name}" for name in SCORES),
        *(f"best_{name}" for name in SCORES),
        *SCORES,
        *("group", "regime", "weights", "tags", "created"),
    ),
    "dataset": ("name", "images", "classes", "label_format", "problems", "tags", "created"),
    "model": ("name", "kind", "network", "dataset", *SCORES, "classes", "stride", "licence", "tags", "created"),
}
USUAL: dict[Shown, tuple[str, ...]] = {
    "run": ("name", "state", "dataset", "epoch", "last_loss", "best_mean_iou", "mean_iou", "tags", "created"),
    "dataset": COLUMNS["dataset"],
    "model": ("name", "kind", "network", "dataset", "mean_iou", "classes", "tags", "created"),
}
_LINK = 'style="color: var(--accent)"'
SLOTS = {
    "body-cell-name": f"""
<q-td :props="props" style="white-space: normal; overflow-wrap: anywhere; min-width: 10rem">
<a :href="props.row.address" {_LINK}>{{{{ props.value }}}}</a>
<div v-if="props.row.problem" class="bad">{{{{ props.row.problem }}}}</div></q-td>""",
    "body-cell-dataset": f"""
<q-td :props="props"><a v-if="props.row.dataset_address" :href="props.row.dataset_address" {_LINK}>{{{{ props.value }}}}
</a><span v-else>{{{{ props.value }}}}</span></q-td>""",
    "body-cell-group": f"""
<q-td :props="props"><a v-if="props.value" :href="props.row.group_address" {_LINK}>{{{{ props.value }}}}</a></q-td>""",
    "body-cell-state": """
<q-td :props="props"><span :class="{bad: ['failed', 'killed'].includes(props.value), good: props.value === 'done'}">
{{ props.value }}</span></q-td>""",
    "body-cell-tags": """
<q-td :props="props"><span v-for="tag in props.value" :key="tag" class="tag">{{ tag }}</span></q-td>""",
    "body-selection": '<q-checkbox dense v-model="props.selected" :aria-label="`Choose ${props.row.name}`" />',
    "header-selection": '<q-checkbox dense v-model="props.selected" aria-label="Choose all on this page" />',
}
STYLE = ".tag { border: 1px solid var(--line); border-radius: 10px; padding: 0 .5rem; margin-right: .25rem }"


def column(name: str) -> dict[str, Any]:
    """A column as the table takes it."""
    align = "left" if name in WORDS else "right"
    return {
        "name": name,
        "label": TITLES[name],
        "field": name,
        "sortable": name in SORTED,
        "align": align,
        "required": name == "name",
    }


def row(entry: Entry, shown: Shown) -> dict[str, Any]:
    """A row as the table takes it.

    Args:
        shown: the table's kind; among models stand those of runs, too.
    """
    found: dict[str, Any] = {
        "id": f"{entry.kind}:{entry.name}",
        "of": entry.kind,
        "address": _address(entry, shown),
        "problem": entry.problem,
        "predicts": entry.kind == "model" or entry.facts.get("split") is not None,
    }
    if entry.dataset and "/" not in entry.dataset:
        found["dataset_address"] = f"/datasets/{quote(entry.dataset)}"
    if entry.group:
        found["group_address"] = f"/groups/{quote(entry.group, safe='')}"
    return found | {name: _cell(entry, name) for name in COLUMNS[shown]}


def _address(entry: Entry, shown: Shown) -> str:
    place = quote(entry.name)
    if shown == "model":
        return f"/models/{place}" + ("?kind=run" if entry.kind == "run" else "")
    return f"/{shown}s/{place}"


def _cell(entry: Entry, name: str) -> Any:
    facts = entry.facts
    value = getattr(entry, name) if name in Entry.model_fields else facts.get(name)
    if name == "epoch" and "epochs" in facts:
        return f"{facts['epoch']}/{facts['epochs']}"
    if name == "classes":
        return len(facts.get("classes", ()))
    if name == "kind":
        return "of a run" if value == "run" else "in the store"
    if name == "created":
        return entry.created.replace("T", " ")[:16]
    if name == "weights":
        return file_name(value) if value else ""
    if name == "tags":
        return list(entry.tags)
    return f"{value:.3f}" if isinstance(value, float) else value
