"""What everybody must be able to do on a page: read it, reach all of it by keyboard, have it read out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from axe_playwright_python.sync_playwright import Axe

if TYPE_CHECKING:
    from playwright.sync_api import Page

MOST_STOPS = 600
MOST_MISSED = 2
"""Presses that lead nowhere new, one after another: it goes round."""
ACTIVE = "a[href], button, input, select, textarea, summary, [tabindex], [contenteditable=true]"
_PLACE = """(one) => {
  const steps = [];
  for (; one.parentElement; one = one.parentElement) steps.push([...one.parentElement.children].indexOf(one));
  return steps.join();
}"""
"""Where something is: cells of tables are drawn anew at every change of a page, and stay where they are."""
_LEFT = f"""(active) => [...document.querySelectorAll(active)].filter((one) => {{
  if (one.tabIndex < 0 || one.disabled || window.reached.has(({_PLACE})(one))) return false;
  if (one.closest("[inert], [aria-hidden=true]")) return false;
  if (one.type === "radio" && !one.checked) return false; // the arrow keys lead there
  return one.checkVisibility({{ visibilityProperty: true }}) && one.getClientRects().length > 0;
}}).map((one) => one.outerHTML.slice(0, 200))"""
_SORTS = """() => [...document.querySelectorAll("th.sortable")].filter((one) => !one.querySelector("button"))
  .map((one) => one.innerText)"""
_STOP = f"""() => {{
  const one = document.activeElement;
  const place = ({_PLACE})(one);
  if (one === document.body || window.reached.has(place)) return null;
  window.reached.add(place);
  const around = [one];
  while (around.length < 5 && around.at(-1).parentElement) around.push(around.at(-1).parentElement);
  const outlined = (part) => {{
    const style = getComputedStyle(part);
    return style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 1;
  }};
  const marks = ".q-field--focused, .swipe";
  return {{ html: one.outerHTML.slice(0, 200), seen: around.some(outlined) || one.closest(marks) !== null }};
}}"""


def stand_still(page: Page) -> None:
    """Colours change at once, so that none is looked at on its way."""
    page.add_style_tag(content="* { transition: none !important; animation: none !important }")


def overflow(page: Page) -> int:
    """Pixels that a page is wider than the window."""
    return int(page.evaluate("document.scrollingElement.scrollWidth - window.innerWidth"))


def faults(page: Page, context: str | None = None) -> list[str]:
    """What axe finds: names, roles, contrast, order, landmarks.

    Args:
        context: selector of the part that is looked at; all of the page if not given.
    """
    found: dict[str, Any] = Axe().run(page, context=context, options={"resultTypes": ["violations"]}).response
    return [
        f"{fault['id']}: {node['html'][:200]} {node['failureSummary'][:300]}"
        for fault in found["violations"]
        for node in fault["nodes"]
    ]


def keyboard_faults(page: Page) -> list[str]:
    """What the Tab key does not reach, and where one cannot see that it has."""
    page.evaluate("() => { document.activeElement.blur(); window.scrollTo(0, 0); window.reached = new Set() }")
    said = []
    missed = 0
    for _ in range(MOST_STOPS):
        page.keyboard.press("Tab")
        stop = page.evaluate(_STOP)
        missed = missed + 1 if stop is None else 0
        if missed == MOST_MISSED:  # it has gone round
            break
        if stop is not None and not stop["seen"]:
            said.append(f"focus is not seen: {stop['html']}")
    said += [f"cannot be sorted: {name}" for name in page.evaluate(_SORTS)]
    return said + [f"cannot be reached: {html}" for html in page.evaluate(_LEFT, ACTIVE)]
