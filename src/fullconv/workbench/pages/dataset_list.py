"""All datasets of the workspace."""

from __future__ import annotations

from urllib.parse import quote

from nicegui import ui

from fullconv.workbench.pages.asking import asked
from fullconv.workbench.pages.stacks import add_stack_style, swatch
from fullconv.workbench.pages.theme import bench, frame, heading, nothing_yet
from fullconv.workbench.services.listing import Entry, Listing, Page, listed

PER_PAGE = 24
SORTS = {"created": "Newest first", "name": "Name"}
STYLE = """
.dataset-cards { display: grid; gap: .8rem; width: 100%;
  grid-template-columns: repeat(auto-fill, minmax(min(17rem, 100%), 1fr)) }
.dataset-card { border: 1px solid var(--line); border-radius: 8px; overflow: hidden; display: flex;
  flex-direction: column; color: var(--text); text-decoration: none; min-width: 0 }
.dataset-card:hover { border-color: var(--accent) }
.dataset-card .pictures { display: grid; grid-template-columns: repeat(3, 1fr); gap: 2px; background: var(--line) }
.dataset-card .pictures img { width: 100%; aspect-ratio: 4 / 3; object-fit: cover; background: var(--soft);
  color: transparent; display: block }
.dataset-card .text { padding: .6rem .75rem .75rem; display: flex; flex-direction: column; gap: .25rem; min-width: 0 }
.palette { display: flex; flex-wrap: wrap; gap: 3px }
.tag { border: 1px solid var(--line); border-radius: 10px; padding: 0 .5rem; font-size: .8rem }
"""


async def dataset_list_page() -> None:
    """Datasets as cards, newest first, found by name or tag."""
    with frame("Datasets", "/datasets"):
        add_stack_style()
        ui.add_css(STYLE)
        with ui.row().classes("w-full items-center justify-between"):
            heading("Datasets")
            with ui.row().classes("items-center").style("gap: 1rem"):
                ui.link("JSON", "/api/v1/datasets").classes("faint")
                if not bench().settings.read_only:
                    ui.button("New dataset", icon="add").props("href=/datasets/new tag=a no-caps unelevated")
        await _Cards().build()


class _Cards:
    def __init__(self) -> None:
        self.wanted = Listing(limit=PER_PAGE)

    async def build(self) -> None:
        found = await asked(listed, bench(), "dataset", self.wanted)
        if not found.total:
            nothing_yet(
                "No dataset yet. A dataset is a folder of images with their labels, checked and split.",
                None if bench().settings.read_only else "Make one of a folder of images and labels",
                "/datasets/new",
            )
            return
        with ui.row().classes("items-end").style("gap: 1rem"):
            search = ui.input("Name or tag contains").props("dense clearable debounce=300 maxlength=200")
            order = ui.select(SORTS, value="created", label="Order").props("dense options-dense")
            order.style("min-width: 9rem")
        self.count = ui.label().classes("faint").props('role="status"')
        self.cards = ui.element("div").classes("dataset-cards")
        self.pages = ui.pagination(1, 1, direction_links=True).props("max-pages=7 boundary-numbers")

        async def changed() -> None:
            name = order.value == "name"
            self.wanted = Listing(
                search=(search.value or "")[:200], sort=order.value, descending=not name, limit=PER_PAGE
            )
            self.pages.value = 1
            await self._load()

        async def turned() -> None:
            self.wanted = self.wanted.model_copy(update={"offset": (int(self.pages.value or 1) - 1) * PER_PAGE})
            await self._load()

        search.on_value_change(changed)
        order.on_value_change(changed)
        self.pages.on_value_change(turned)
        self._show(found)

    async def _load(self) -> None:
        self._show(await asked(listed, bench(), "dataset", self.wanted))

    def _show(self, found: Page) -> None:
        self.count.text = f"{found.total:,} dataset{'' if found.total == 1 else 's'}"
        pages = max(1, -(-found.total // PER_PAGE))
        self.pages.props(f"max={pages}")
        self.pages.visible = pages > 1
        self.cards.clear()
        with self.cards:
            for entry in found.entries:
                _card(entry)


def _card(entry: Entry) -> None:
    facts = entry.facts
    with ui.link(target=f"/datasets/{quote(entry.name)}").classes("dataset-card"):
        if entry.problem is None:
            images = int(facts["images"])
            with ui.element("span").classes("pictures").props("aria-hidden=true"):
                for number in sorted({0, images // 3, 2 * images // 3}):
                    picture = ui.element("img").props('loading=lazy decoding=async alt=""')
                    address = f"/api/v1/datasets/{quote(entry.name)}/images/{number}/picture"
                    picture.props["src"] = f"{address}?layer=overlay&size=240&opacity=0.6"
        with ui.element("span").classes("text"):
            ui.label(entry.name).classes("text-weight-medium").style("overflow-wrap: anywhere")
            if entry.problem is not None:
                ui.label(entry.problem).classes("bad").style("overflow-wrap: anywhere")
                return
            splits = " · ".join(f"{count:,}\u00a0{split}" for split, count in facts["splits"].items())
            ui.label(f"{facts['images']:,} images · {splits}")
            ui.label(f"{len(facts['classes'])} classes · {facts['label_format']} labels").classes("faint")
            with ui.element("span").classes("palette").props("aria-hidden=true"):
                for one in facts["classes"][:40]:
                    swatch(one["color"])
            if entry.tags:
                with ui.row().style("gap: .3rem"):
                    for tag in entry.tags:
                        ui.label(tag).classes("tag")
            ui.label(entry.created.replace("T", " ")[:16]).classes("faint")
