"""The page Layers in a real browser: a unit's field on the image, a pixel's units on the tiles, filters, keys."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from fullconv.workbench.layers.tiles import Sheet
from fullconv.workbench.layers.views import SheetView
from fullconv.workbench.services.layer_pictures import sheet_of_view
from fullconv.workspace import Workspace

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

pytestmark = pytest.mark.browser
Serve = Callable[..., str]
CONV = "features.features.0"
DEEP = "features.features.6.squeeze"


def place(rect: Locator) -> tuple[float, ...]:
    """x, y, width and height of an SVG rectangle."""
    return tuple(float(rect.get_attribute(name) or "nan") for name in ("x", "y", "width", "height"))


def sheet(url: str, layer: str, across: int) -> Sheet:
    """Where the tiles of the first page lie."""
    asked: dict[str, Any] = {"per_page": 24, "across": across, "longest": 160}
    address = f"{url}/api/v1/models/first/layers/{layer}/activations"
    told = httpx.get(address, params=asked, headers={"accept": "application/json"}, timeout=60).json()["sheet"]
    return sheet_of_view(SheetView.model_validate(told))


def click_at(image: Locator, size: tuple[int, int], x: float, y: float) -> None:
    """Click a place of a picture, in its own pixels."""
    image.scroll_into_view_if_needed()
    box = image.bounding_box()
    assert box is not None
    image.click(position={"x": x * box["width"] / size[0], "y": y * box["height"] / size[1]})


def test_units_and_pixels_show_who_reads_what(page: Page, serve: Serve, home: Workspace) -> None:
    from playwright.sync_api import expect

    url = serve(home)
    page.goto(f"{url}/layers?model=first&layer={DEEP}")
    expect(page.get_by_text("Channels 0 to 23 of 32")).to_be_visible()
    tiles, photo = page.locator(".tiles"), page.locator(".layers-picture")
    shown = "() => [...document.querySelectorAll('.tiles img, .layers-picture img')].every(i => i.naturalWidth > 0)"
    page.wait_for_function(shown)
    layout = sheet(url, DEEP, across=6)
    box = layout.box(7, (10, 10), (20, 20))
    click_at(tiles.locator("img"), layout.picture_size, box[0] + box[2] / 2, box[1] + box[3] / 2)
    # Its stride is 8, its field 31: a 3×3 convolution of stride 2, two pools, and two more 3×3 convolutions.
    expect(page.get_by_text("channel 7, row 10, column 20:")).to_be_visible()
    expect(page.get_by_text("Reads 31×31 pixels: columns 152 to 182, rows 72 to 102.")).to_be_visible()
    assert place(photo.locator("rect.unit-field")) == (152, 72, 31, 31)
    assert place(tiles.locator("rect.cell.over")) == pytest.approx(box, rel=1e-3)
    page.wait_for_url("**unit=7%2C10%2C20")

    tiles.focus()
    page.keyboard.press("ArrowRight")
    expect(page.get_by_text("channel 7, row 10, column 21:")).to_be_visible()
    assert place(photo.locator("rect.unit-field")) == (160, 72, 31, 31)
    page.keyboard.press("PageDown")
    expect(page.get_by_text("channel 8, row 10, column 21:")).to_be_visible()
    page.get_by_role("button", name="Influence on it").click()
    expect(photo.locator("image")).to_have_count(1)

    click_at(photo.locator("img"), (320, 240), 168.5, 88.5)
    expect(page.get_by_text("Row 88, column 168 is read by")).to_be_visible()
    expect(tiles.locator("rect.cells")).to_have_count(24)
    told = httpx.get(f"{url}/api/v1/models/first/pixels/88/168", timeout=60).json()["layers"]
    units = next(layer for layer in told if layer["layer"] == DEEP)
    assert (units["rows"], units["columns"]) == ([[9, 12]], [[19, 22]])
    assert place(tiles.locator("rect.cells").first) == pytest.approx(layout.box(0, (9, 12), (19, 22)), rel=1e-3)
    photo.focus()
    page.keyboard.press("ArrowDown")
    expect(page.get_by_text("Row 89, column 168 is read by")).to_be_visible()

    page.goto(f"{url}/layers?model=first")
    expect(page.get_by_text("Channels 0 to 23 of 64")).to_be_visible()
    page.get_by_role("tab", name="Filters").click()
    expect(page.get_by_text("the colours that it answers to most")).to_be_visible()
    page.get_by_label("Filter", exact=True).fill("3")
    expect(page.get_by_text("Filter 3: one tile for each of red, green and blue")).to_be_visible()
    page.get_by_label("Find a layer").fill("upsampling")
    expect(page.locator(".layer-row", has_text="head.upsampling.0")).to_be_visible()
    expect(page.locator(".layer-row", has_text="features.features.2")).to_be_hidden()


def test_it_fits_a_telephone_and_says_what_cannot_be_shown(page: Page, serve: Serve, home: Workspace) -> None:
    from playwright.sync_api import expect

    url = serve(home)
    page.set_viewport_size({"width": 400, "height": 800})
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme="light" if scheme == "light" else "dark")
        page.goto(f"{url}/layers?model=first&layer={CONV}&unit=5,30,40")
        expect(page.get_by_text("channel 5, row 30, column 40:")).to_be_visible()
        page.locator(".tiles").scroll_into_view_if_needed()
        assert page.evaluate("document.documentElement.scrollWidth") <= 400
        box = page.locator(".layers-picture").bounding_box()
        assert box is not None
        assert 0 <= box["y"] < 200  # it stays in sight
    page.get_by_text("The network, to scale").click()
    expect(page.get_by_role("img", name="Every layer with its stride")).to_be_visible()

    page.goto(f"{url}/layers?model=absent")
    expect(page.get_by_text("no model or run has that name")).to_be_visible()
    page.goto(f"{url}/layers?model=first&image=path:/etc/<b>passwd")
    expect(page.get_by_text("/etc/<b>passwd")).to_be_visible()
    page.get_by_role("link", name="Look at the simple shapes instead").click()
    expect(page.get_by_text("Channels 0 to 23 of 64")).to_be_visible()
    page.goto(f"{url}/layers?model=first")
    page.get_by_label("Image", exact=True).click()
    page.get_by_role("option", name="A file on the server").click()
    page.get_by_label("Path of an image").fill("/etc/passwd")
    page.get_by_role("button", name="Show").click()
    expect(page.get_by_text("outside the allowed folders")).to_be_visible()
