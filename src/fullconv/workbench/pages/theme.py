"""What all pages look like: colours, type, and the frame with its navigation."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from nicegui import app, ui

from fullconv.workbench.workbench import Workbench

FAVICON = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32"><rect width="32" height="32" rx="6" fill="#1f6feb"/>'
    '<path d="M7 8h18v4H7zM7 14h12v4H7zM7 20h6v4H7z" fill="#fff"/></svg>'
)
SECTIONS = (
    ("Home", "/"),
    ("Datasets", "/datasets"),
    ("New run", "/runs/new"),
    ("Models", "/models"),
    ("Test", "/test"),
    ("Compare", "/compare"),
    ("Layers", "/layers"),
)
STYLE = """
:root { --accent: #1f5fc4; --line: #d5dae1; --soft: #f4f6f9; --text: #1b1f24; --faint: #5a6472;
  --bad: #b42318; --good: #1a7f37 }
.body--dark { --accent: #79b0ff; --line: #343b45; --soft: #1b2027; --text: #e8ebef; --faint: #a3adba;
  --bad: #ff8a80; --good: #6fd08c }
body { color: var(--text); font-size: 15px }
.body--light { background: #fff } .body--dark { background: #12161b }
body { --q-primary: var(--accent) !important }
@layer theme { .body--dark .bg-primary, .body--dark .bg-negative { color: #0b1220 !important } }
.page { max-width: 1400px; width: 100%; margin: 0 auto; padding: 1rem; gap: 1rem }
.card { border: 1px solid var(--line); border-radius: 8px; padding: 1rem; width: 100%; background: transparent }
.faint { color: var(--faint) } .bad { color: var(--bad) } .good { color: var(--good) }
.bar { border-bottom: 1px solid var(--line); background: var(--soft); color: var(--text) }
.bar a { color: var(--text); text-decoration: none; padding: .35rem .6rem; border-radius: 6px; white-space: nowrap }
.nicegui-link { color: var(--accent) }
.bar a[aria-current=page] { background: var(--accent); color: #fff }
.body--dark .bar a[aria-current=page] { color: #0b1220 }
.q-btn--dense.q-btn--outline { padding: .285em .6em }
.q-table__card { background: transparent } .q-table td.text-right { white-space: nowrap }
.bar nav { overflow-x: auto; flex-wrap: nowrap }
input:focus-visible { outline: 2px solid var(--accent); outline-offset: 2px }
@layer theme {
  :is(a, button, summary, [tabindex]):not(input, textarea):focus-visible {
    outline: 2px solid var(--accent) !important; outline-offset: 2px !important } }
h1 { font-size: 1.45rem; font-weight: 600; line-height: 1.25; margin: 0; overflow-wrap: anywhere }
h2 { font-size: 1.1rem; font-weight: 600; line-height: 1.3; margin: 0 }
.q-loading-bar { display: none }
.skip { position: absolute; left: -999px }
.skip:focus { left: 1rem; top: .5rem; z-index: 9999; background: var(--soft) }
@media (max-width: 600px) {
  .page { padding: .6rem } body { font-size: 14px }
  .bar nav { scrollbar-width: none; padding-right: 2rem;
    mask-image: linear-gradient(90deg, #000 calc(100% - 2rem), transparent) }
}
"""

_PRESENT_SECTION = """
const link = document.querySelector(".bar nav a[aria-current=page]");
const bar = link?.parentElement;
if (bar) bar.scrollLeft = link.offsetLeft - bar.offsetLeft - (bar.clientWidth - link.offsetWidth) / 2;
"""
"""Where not all sections fit, the present one is in sight."""


def bench() -> Workbench:
    """The workbench that this process shows."""
    found: Workbench = app.state.bench
    return found


@contextmanager
def frame(title: str, section: str) -> Iterator[None]:
    """A page: head, navigation, and what is put into it.

    Args:
        title: of the page, also in the browser's tab.
        section: the address in `SECTIONS` that is marked as the present one.
    """
    ui.page_title(f"{title} · FullConv")
    ui.add_css(STYLE)
    dark = ui.dark_mode(app.storage.user.get("dark"))
    ui.link("Skip to the content", "#content").classes("skip")
    with ui.header(elevated=False).classes("bar q-py-xs items-center no-wrap"):
        ui.link("FullConv", "/").classes("text-weight-bold")
        with ui.element("nav").classes("row no-wrap q-gutter-xs col").props('aria-label="Sections"'):
            for name, address in SECTIONS:
                link = ui.link(name, address)
                if address == section:
                    link.props("aria-current=page")
        _mode_button(dark)
    ui.run_javascript(_PRESENT_SECTION)
    with ui.column().classes("page").props("id=content tabindex=-1"):  # in the <main> that Quasar makes
        if bench().settings.read_only:
            ui.label("This workbench can only be looked at.").classes("faint")
        yield


def heading(text: str, level: int = 1) -> ui.element:
    """A heading that screen readers know as one; the text is shown as it is, whatever it holds."""
    with ui.element(f"h{level}") as element:
        ui.label(text).style("display: inline")
    return element


def nothing_yet(text: str, action: str | None = None, address: str | None = None) -> None:
    """What an empty page says: why there is nothing, and what to do."""
    with ui.column().classes("card items-center q-pa-lg"):
        ui.label(text).classes("faint text-center")
        if action and address:
            ui.link(action, address)


def _mode_button(dark: ui.dark_mode) -> None:
    def switch(is_dark: bool) -> None:
        dark.value = app.storage.user["dark"] = not is_dark

    button = ui.button(icon="contrast").props('flat round dense aria-label="Light or dark"')
    # Only the browser knows what it is now, where nothing was chosen and the system decides.
    now = "() => emit(document.body.classList.contains('body--dark'))"
    button.on("click", lambda event: switch(bool(event.args)), js_handler=now)
