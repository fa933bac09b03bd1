"""The page Test in a browser: what a person sees and moves."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pytest

from fullconv.data.dataset import Dataset
from fullconv.data.pictures import RIGHT, UNDEFINED, WRONG, class_borders
from fullconv.prediction.model import Model
from fullconv.workbench.jobs.queue import Queue
from fullconv.workbench.pages import label_viewer
from fullconv.workbench.settings import Slots
from fullconv.workbench.stored import StoredPrediction, add_stored, now
from fullconv.workbench.workbench import Workbench
from fullconv.workspace import Workspace

if TYPE_CHECKING:
    from playwright.sync_api import Page, Route

pytestmark = pytest.mark.browser
KEY = "test/scene_00014"
IMAGE = "dataset=streets&image=test%2Fscene_00014"
DROP = """async ([content, name]) => {
  const bytes = Uint8Array.from(atob(content), (letter) => letter.charCodeAt(0));
  const dataTransfer = new DataTransfer();
  dataTransfer.items.add(new File([bytes], name, { type: "image/png" }));
  const box = document.querySelector(".drop .q-uploader");
  box.dispatchEvent(new DragEvent("dragover", { dataTransfer, bubbles: true, cancelable: true }));
  await new Promise((done) => setTimeout(done, 300));
  const place = document.querySelector(".drop .q-uploader__dnd") || box;
  place.dispatchEvent(new DragEvent("drop", { dataTransfer, bubbles: true, cancelable: true }));
}"""
FAILS = """async (source) => {
  const around = "const L = { GridLayer: { extend: (layer) => layer } }, loadResource = () => {};";
  const code = around + source.replace(/^import .*$/gm, "");
  const { default: viewer } = await import(URL.createObjectURL(new Blob([code], { type: "text/javascript" })));
  let asked = 0;
  window.fetch = async () => new Response("", { status: ++asked && 503 });
  const state = { trial: { tiles: "/tiles", frame: 8 }, tiles: new Map() };
  for (let times = 0; times < 2; times++) await viewer.methods.tile.call(state, "labels", 0, 0, 0).catch(() => {});
  return [asked, state.tiles.size];
}"""
DIALOGS = """() => {
  const known = [...Array(5000).keys()].map((id) => getElement(id));
  return known.filter((element) => element?.$options?.template?.includes("<q-dialog")).length;
}"""
"""How many dialogs the page holds, open or closed."""
PIXELS = """([pane, width, height]) => {
  const canvas = document.querySelector(`[data-pane="${pane}"] canvas`);
  return canvas ? Array.from(canvas.getContext("2d").getImageData(0, 0, width, height).data) : [];
}"""


def pane(page: Page, name: str, size: tuple[int, int]) -> npt.NDArray[np.int64]:
    """(H, W, 3) what a pane shows of an image that fits into one tile."""
    page.wait_for_timeout(150)  # colours follow with the next frame
    found = page.evaluate(PIXELS, [name, size[1], size[0]])
    return np.array(found).reshape(*size, 4)[..., :3]


def wait_for_picture(page: Page, name: str) -> None:
    page.wait_for_function(
        """(pane) => { const canvas = document.querySelector(`[data-pane="${pane}"] canvas`);
          return canvas && canvas.width > 300 && canvas.getContext("2d").getImageData(5, 5, 1, 1).data[3] === 255 }""",
        arg=name,
    )


def slide(page: Page, name: str, key: str, times: int = 1) -> None:
    page.get_by_role("slider", name=name).locator("[tabindex]").focus()
    for _ in range(times):
        page.keyboard.press(key)


def point(page: Page, name: str, x: int, y: int, size: tuple[int, int]) -> None:
    box = page.locator(f'[data-pane="{name}"]').bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + (x + 0.5) / size[1] * box["width"], box["y"] + (y + 0.5) / size[0] * box["height"])


def test_a_dropped_image_is_seen_through_and_read(
    serve: Callable[..., str], home: Workspace, scenes: Path, page: Page
) -> None:
    model = Model.load("first", workspace=home)
    file = scenes / "test" / "images" / "scene_00014.png"
    expected = model.predict(file, probabilities=True)
    assert expected.probabilities is not None
    size, classes = expected.labels.shape, expected.classes
    colors = classes.colors[expected.labels].astype(np.int64)
    image = expected.image.astype(np.int64)

    page.goto(f"{serve(home)}/test?run=first", wait_until="commit")
    page.locator(".drop .q-uploader").first.wait_for()
    page.locator(".strip button").first.wait_for()
    page.evaluate(DROP, [base64.b64encode(file.read_bytes()).decode(), "<b>street.png"])
    page.get_by_role("heading", name="<b>street.png").wait_for()
    wait_for_picture(page, "overlay")
    np.testing.assert_array_equal(pane(page, "image", size), image)
    assert page.locator('[data-pane="truth"]').count() == 0

    slide(page, "Width of the classes' outlines in pixels", "ArrowLeft", 3)
    for key, want in (("PageUp", colors), ("PageDown", image)):
        slide(page, "Opacity of the classes' colours in percent", key, 12)
        np.testing.assert_array_equal(pane(page, "overlay", size), want)
    slide(page, "Opacity of the classes' colours in percent", "ArrowRight", 40)
    assert np.abs(pane(page, "overlay", size) - (0.6 * image + 0.4 * colors)).max() <= 1
    slide(page, "Width of the classes' outlines in pixels", "ArrowRight")
    border = class_borders(expected.labels)
    np.testing.assert_array_equal(pane(page, "overlay", size)[border], colors[border])

    for x, y in ((5, 5), (50, 60), (90, 36)):
        index = int(expected.labels[y, x])
        point(page, "overlay", x, y, size)
        reading = page.locator(".viewer-reading")
        reading.get_by_text(classes.names[index], exact=True).wait_for()
        said = reading.inner_text()
        percent = re.search(r"(\d+) %", said)
        assert percent is not None
        assert abs(int(percent[1]) - 100 * expected.probabilities[index, y, x]) < 1
        assert f"x {x}, y {y}" in said
        assert page.locator(f'.legend [data-class="{index}"].under').count() == 1

    index = int(np.bincount(expected.labels.ravel()).argmax())
    row = page.locator(f'.legend [data-class="{index}"]')
    assert f"{100 * expected.shares[classes.names[index]]:.1f} %" in row.inner_text()
    before = pane(page, "overlay", size)
    row.hover()
    after, others = pane(page, "overlay", size), expected.labels != index
    np.testing.assert_array_equal(after[~others], before[~others])
    assert after[others].mean() > before[others].mean() + 20  # they fade to the page's white
    row.click()
    page.mouse.move(1, 1)
    slide(page, "How much classes that are switched off are blacked out, in percent", "PageUp", 12)
    assert (pane(page, "overlay", size)[~others] == 0).all()
    assert row.get_attribute("aria-pressed") == "false"


def test_a_datasets_image_shows_its_truth_and_errors(serve: Callable[..., str], home: Workspace, page: Page) -> None:
    model, dataset = Model.load("first", workspace=home), Dataset.load("streets", home)
    sample = next(sample for sample in dataset if sample.key == KEY)
    expected, truth = model.predict(sample.image), dataset.read_label(sample)
    size = truth.shape
    url = serve(home)
    page.goto(f"{url}/test?run=first&dataset=streets", wait_until="commit")
    page.locator(f'[data-image="dataset:streets:{KEY}"]').click()
    for name in ("truth", "errors"):
        wait_for_picture(page, name)
    known = truth < len(expected.classes)
    table = np.concatenate([expected.classes.colors, [UNDEFINED]]).astype(np.int64)
    np.testing.assert_array_equal(pane(page, "truth", size), table[np.where(known, truth, len(expected.classes))])
    errors = np.where((expected.labels == truth)[..., None], RIGHT, WRONG)
    np.testing.assert_array_equal(pane(page, "errors", size), np.where(known[..., None], errors, UNDEFINED))
    accuracy = (expected.labels == truth)[known].mean()
    assert page.get_by_text(f"{100 * accuracy:.1f} %", exact=True).count() >= 1
    assert "image=test%2Fscene_00014" in page.url

    # The address leads to the same picture; another size and theme show all of it.
    page.set_viewport_size({"width": 400, "height": 800})
    page.emulate_media(color_scheme="dark")
    page.goto(page.url, wait_until="commit")
    wait_for_picture(page, "overlay")
    assert page.evaluate("document.documentElement.scrollWidth") <= 400
    page.get_by_role("checkbox", name="How sure").click()
    wait_for_picture(page, "sure")
    grey = pane(page, "sure", size)
    assert (grey[..., 0] == grey[..., 1]).all()


def test_zoom_and_keys_move_all_panes_together(serve: Callable[..., str], home: Workspace, page: Page) -> None:
    page.goto(f"{serve(home)}/test?run=first&dataset=streets&image=test%2Fscene_00014", wait_until="commit")
    wait_for_picture(page, "errors")
    page.wait_for_timeout(300)

    def scales() -> list[float]:
        boxes: list[Any] = [page.locator(f'[data-pane="{name}"] canvas').bounding_box() for name in ("image", "errors")]
        return [box["width"] for box in boxes]

    first = scales()
    page.locator('[data-pane="image"]').focus()
    page.keyboard.press("+")
    page.wait_for_timeout(300)
    closer = scales()
    assert closer[0] > 1.2 * first[0]
    assert closer[0] == pytest.approx(closer[1], rel=0.01)
    said = page.locator(".viewer-reading").inner_text()
    assert re.search(r"x 4[78], y 3[56]", said), said  # the middle, for who has no pointer
    page.get_by_role("button", name="Whole image").click()
    page.wait_for_timeout(300)
    assert scales()[0] == pytest.approx(first[0], rel=0.01)


def test_what_cannot_be_tested_is_said(serve: Callable[..., str], home: Workspace, page: Page, tmp_path: Path) -> None:
    url = serve(home)
    page.goto(f"{url}/test?run=absent", wait_until="commit")
    page.get_by_text("There is no model 'absent'").wait_for()
    field = page.get_by_label("Or its path on the server")
    field.fill("/etc/passwd")
    field.press("Enter")
    page.get_by_text("outside the allowed folders").wait_for()
    page.evaluate(DROP, [base64.b64encode(b"no image").decode(), "x.png"])
    page.get_by_text("x.png: cannot be read as an image").wait_for()


def test_a_workspace_without_models_says_what_to_do(serve: Callable[..., str], tmp_path: Path, page: Page) -> None:
    page.goto(f"{serve(Workspace(tmp_path / 'empty'))}/test", wait_until="commit")
    page.get_by_text("There is no model yet").wait_for()
    assert page.get_by_role("link", name="Start a run").get_attribute("href") == "/runs/new"


def test_uploads_of_many_become_a_gallery(serve: Callable[..., str], home: Workspace, scenes: Path, page: Page) -> None:
    files = sorted((scenes / "test" / "images").glob("*.png"))[:2]
    page.goto(f"{serve(home)}/test?run=first&tab=many", wait_until="commit")
    page.get_by_text("Drop images here").wait_for()
    page.locator('.drop input[type="file"]').last.set_input_files([str(file) for file in files])
    page.wait_for_url("**/predictions/**", timeout=120_000)
    page.get_by_text("2 images").wait_for()
    pictures = page.locator(".thumb img")
    assert pictures.count() == 2
    page.wait_for_function("Array.from(document.querySelectorAll('.thumb img')).every((i) => i.naturalWidth > 0)")
    assert page.get_by_text(files[0].stem).count() >= 1
    with page.expect_download() as download:
        page.get_by_role("link", name="Download").click()
    assert download.value.suggested_filename.endswith(".zip")

    before = page.evaluate(DIALOGS)
    page.get_by_role("button", name="Delete").click()
    page.get_by_role("dialog").wait_for()
    assert page.evaluate(DIALOGS) == before + 1
    page.get_by_role("dialog").get_by_role("button", name="Cancel").click()
    page.wait_for_function(f"({DIALOGS})() === {before}")  # it is not kept
    assert pictures.count() == 2


def test_panes_fill_when_tiles_come_after_all(serve: Callable[..., str], home: Workspace, page: Page) -> None:
    from playwright.sync_api import expect

    refused: list[str] = []

    def answer(route: Route) -> None:
        if len(refused) < 6:
            refused.append(route.request.url)
            route.fulfill(status=503)
        else:
            route.continue_()

    page.route("**/tiles/**", answer)
    page.goto(f"{serve(home)}/test?run=first&{IMAGE}", wait_until="commit")
    page.locator('[data-pane="overlay"] canvas').first.wait_for()
    while len(refused) < 3:  # one for the image, the prediction and the truth
        page.wait_for_timeout(20)
    point(page, "overlay", 30, 30, (72, 96))  # asks for them, too
    point(page, "overlay", 50, 40, (72, 96))
    for name in ("image", "overlay", "truth", "errors"):
        wait_for_picture(page, name)
    expect(page.locator(".viewer-reading")).to_contain_text("x 50, y 40")  # nobody had to point once more


def test_the_end_of_a_job_is_told_on_its_page(serve: Callable[..., str], bench: Workbench, page: Page) -> None:
    name = add_stored(bench.home, StoredPrediction(model="first", kind="run", created=now()), "streets")
    queue = Queue(bench.engine, host="elsewhere")  # where nobody looks for a process
    queue.add("predict", title="t", payload={"name": name}, subject=f"prediction:{name}")
    job = queue.claim(Slots(cpu=1))
    assert job is not None
    queue.begin(job.id or 0, job.claim or "", process=1, started=1.0)
    queue.beat(job.id or 0, job.claim or "", message="predicting: 12 of 100")
    page.goto(f"{serve(bench.home)}/predictions/{name}", wait_until="commit")
    page.get_by_text("predicting: 12 of 100").wait_for()
    queue.beat(job.id or 0, job.claim or "", message="predicting: 13 of 100")
    page.get_by_text("predicting: 13 of 100").wait_for()
    queue.end(job.id or 0, job.claim or "", "aborted")
    page.get_by_role("status").get_by_text("aborted").wait_for()


def test_a_tile_that_did_not_come_is_asked_for_again(page: Page) -> None:
    source = Path(label_viewer.__file__).with_suffix(".js").read_text()
    page.goto("about:blank")
    assert page.evaluate(FAILS, source) == [2, 0]
