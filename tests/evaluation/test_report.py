"""The report: the numbers in it, its pictures, names that try to break it, and how a browser shows it."""

from __future__ import annotations

import base64
import io
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from fullconv.data.classes import ClassTable, SegmentationClass
from fullconv.data.statistics import Commonest, SplitStatistics, Statistics
from fullconv.errors import DataError, StorageError
from fullconv.evaluation.counting import count_confusion
from fullconv.evaluation.gallery import ImageResult, longest_side, pictures_of, split_results, worst_and_best
from fullconv.evaluation.report import write_report
from fullconv.evaluation.scores import Scores
from programs import chromium

NAMES = ("road", "sky", "pole")


def table(names: tuple[str, ...] = NAMES) -> ClassTable:
    colors = ((128, 64, 128), (70, 130, 180), (250, 200, 0))
    return ClassTable(
        classes=tuple(
            SegmentationClass(name=name, color=color, value=index, codes=(index,))
            for index, (name, color) in enumerate(zip(names, colors, strict=True))
        )
    )


def result(key: str, seed: int, size: tuple[int, int] = (48, 64)) -> ImageResult:
    generator = np.random.default_rng(seed)
    truth = np.zeros(size, dtype=np.uint8)
    truth[: size[0] // 2] = 1
    truth[:, size[1] // 2 : size[1] // 2 + 3] = 2
    truth[:2] = 255
    prediction = np.where(generator.random(size) < 0.1 * seed, 0, truth % 255).astype(np.uint8)
    image = generator.integers(0, 256, (*size, 3), dtype=np.uint8)
    scores = Scores.from_confusion(count_confusion(truth, prediction, 3), NAMES)
    return ImageResult(key, image, truth, prediction, scores.pixel_accuracy, scores.mean_iou)


def statistics() -> Statistics:
    split = SplitStatistics(
        images=4, pixels={"road": 600, "sky": 300, "pole": 100}, images_with=dict.fromkeys(NAMES, 4), ignored_pixels=50
    )
    return Statistics(
        splits={"train": split, "val": split},
        sizes=((48, 64, 8),),
        channel_mean=(0.5,),
        channel_std=(0.2,),
        commonest=Commonest(name="road", pixel_accuracy=0.6, mean_iou=0.2),
        stride_ceiling={4: 0.981, 32: 0.512},
    )


def arguments(tmp_path: Path, **changes: Any) -> dict[str, Any]:
    results = [result(f"val/{number}", number) for number in range(1, 5)]
    counts = sum(count_confusion(part.truth, part.prediction, 3) for part in results)
    (tmp_path / "metrics.csv").write_text(
        "step,split,loss,learning_rate,pixel_accuracy,mean_iou\n1,train,1.0,0.1,0.5,\n2,val,0.9,,0.6,0.3\n"
    )
    return {
        "title": "fcn8s on streets",
        "scores": Scores.from_confusion(counts, NAMES),
        "classes": table(),
        "split": "val",
        "results": results,
        "image_scores": [
            {"key": part.key, "pixel_accuracy": part.pixel_accuracy, "mean_iou": part.mean_iou} for part in results
        ],
        "metrics_csv": tmp_path / "metrics.csv",
        "facts": {"network": "fcn8s-squeezenet1_0", "hardware": "2 cores"},
        "statistics": statistics(),
        "evaluated": "Evaluated on 1 May.",
    } | changes


class Page(HTMLParser):
    """Text, pictures and addresses of a page; fails on tags that do not close."""

    void = frozenset({"meta", "img", "input", "br", "link"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.text = ""
        self.addresses: list[str] = []
        self.tags: set[str] = set()
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href", "xlink:href", "srcset")]
        if tag not in self.void:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in self.void:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.text += data


def squeezed(text: str) -> str:
    return re.sub(r"\s+", " ", text)


def test_the_page_shows_scores_images_curves_facts_and_data(tmp_path: Path) -> None:
    given = arguments(tmp_path)
    file = write_report(tmp_path / "report", **given)
    assert file == tmp_path / "report" / "report.html"
    page = Page(file.read_text(encoding="utf-8"))
    text = squeezed(page.text)
    for score in ("pixel_accuracy", "mean_accuracy", "mean_iou", "frequency_weighted_iou"):
        assert f"{100 * getattr(given['scores'], score):.1f} %" in text
    for words in (
        "fcn8s on streets",
        "Evaluated on 1 May.",
        "4 images",
        "“road” everywhere: ",
        "Worst images",
        "Best images",
        "fcn8s-squeezenet1_0",
        "98.1 %",
        "Always saying “road” scores 60.0 % pixel accuracy and 20.0 % mean IoU on the whole dataset.",
        "64×48 (8)",
    ):
        assert words in text, words
    assert page.text.index("Worst images") < page.text.index("val/4") < page.text.index("val/3")
    assert page.text.index("val/3") < page.text.index("Best images") < page.text.index("val/1")


def test_the_page_loads_nothing_and_runs_nothing(tmp_path: Path) -> None:
    text = write_report(tmp_path, **arguments(tmp_path)).read_text(encoding="utf-8")
    page = Page(text)
    assert all(address.startswith(("data:image/", "#")) for address in page.addresses)
    assert not page.tags & {"script", "link", "iframe", "object", "embed"}
    assert "@import" not in text
    assert not re.search(r"url\((?!#)", text)
    assert "default-src 'none'" in text


def test_scores_json_holds_everything_in_plain_numbers(tmp_path: Path) -> None:
    given = arguments(tmp_path)
    given["image_scores"].append({"key": "val/empty", "pixel_accuracy": float("nan"), "mean_iou": np.float64("nan")})
    write_report(tmp_path, **given)
    content = json.loads(
        (tmp_path / "scores.json").read_text(encoding="utf-8"), parse_constant=lambda text: pytest.fail(text)
    )
    assert content["format"] == 1
    assert Scores.from_dict(content["scores"]) == given["scores"]
    assert content["images"][-1] == {"key": "val/empty", "pixel_accuracy": None, "mean_iou": None}
    assert content["facts"] == given["facts"]
    assert content["commonest"]["name"] == "road"
    assert content["commonest"]["pixel_accuracy"] == pytest.approx(given["scores"].shares.max())


def test_figures_are_files_too_and_old_ones_go(tmp_path: Path) -> None:
    given = arguments(tmp_path)
    write_report(tmp_path, **given)
    names = ["confusion", "image_scores", "learning_rate", "loss", "mean_iou", "pixel_accuracy"]
    assert sorted(file.stem for file in (tmp_path / "figures").iterdir()) == names
    for file in (tmp_path / "figures").iterdir():
        with Image.open(file) as picture:
            assert min(picture.size) > 200
    write_report(tmp_path, **given | {"metrics_csv": None})
    assert sorted(file.stem for file in (tmp_path / "figures").iterdir()) == names[:2]


def test_names_are_shown_as_they_are_and_never_as_markup(tmp_path: Path) -> None:
    evil = ("<script>alert(1)</script>", "a & b", "\"'><img src=x>")
    given = arguments(tmp_path, classes=table(evil), statistics=None, title="<b>title</b>")
    given["scores"] = Scores.from_confusion(given["scores"].confusion, evil)
    given["facts"] = {"<i>fact</i>": "</dd><script>"}
    given["results"] = [result("<u>key</u>", 1)]
    page = Page(write_report(tmp_path, **given).read_text(encoding="utf-8"))
    assert not page.tags & {"script", "b", "i", "u"}
    assert all(address.startswith(("data:image/", "#")) for address in page.addresses)
    for words in (*evil, "<b>title</b>", "<i>fact</i>", "</dd><script>", "<u>key</u>"):
        assert words in page.text


def test_the_least_that_can_be_reported(tmp_path: Path) -> None:
    given = arguments(
        tmp_path,
        scores=Scores.from_confusion(np.zeros((3, 3), dtype=int), NAMES),
        results=[],
        image_scores=[],
        metrics_csv=tmp_path / "no such file.csv",
        facts={},
        statistics=None,
    )
    text = squeezed(Page(write_report(tmp_path, **given).read_text(encoding="utf-8")).text)
    assert "0 images" in text
    for heading in ("Images", "Training", "Facts", "Dataset", "Largest confusions"):
        assert heading not in text


def test_scores_of_other_classes_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="other classes"):
        write_report(tmp_path / "report", **arguments(tmp_path, classes=table(("a", "b", "c"))))
    assert not (tmp_path / "report").exists()


def test_a_place_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StorageError):
        write_report(tmp_path / "file" / "report", **arguments(tmp_path))


def decoded(address: str) -> np.ndarray:
    with Image.open(io.BytesIO(base64.b64decode(address.partition(",")[2]))) as picture:
        return np.array(picture)


def test_small_pictures_keep_every_pixel_and_undefined_ones_are_white() -> None:
    shown = result("a", 3)
    pictures = {name: decoded(address) for name, address in pictures_of(shown, table()).items()}
    assert {picture.shape for picture in pictures.values()} == {(48, 64, 3)}
    assert (pictures["truth"][:2] == 255).all()
    assert (pictures["errors"][:2] == 255).all()
    np.testing.assert_array_equal(pictures["prediction"], table().colors[shown.prediction])


def test_large_pictures_are_scaled_without_mixing_labels() -> None:
    shown = result("a", 0, size=(900, 1600))
    pictures = {name: decoded(address) for name, address in pictures_of(shown, table()).items()}
    assert {picture.shape for picture in pictures.values()} == {(360, 640, 3)}
    known = {(128, 64, 128), (70, 130, 180), (250, 200, 0), (255, 255, 255)}
    assert {tuple(color) for color in pictures["truth"].reshape(-1, 3).tolist()} <= known
    assert pictures["truth"][180:].reshape(-1, 3).tolist().count([128, 64, 128]) > 0.9 * 180 * 640


def test_images_of_many_bands_and_sixteen_bits_are_shown() -> None:
    shown = result("a", 1)
    bands = np.random.default_rng(0).integers(0, 60000, (48, 64, 7)).astype(np.uint16)
    pictures = pictures_of(ImageResult("a", bands, shown.truth, shown.prediction, 0.5, 0.5), table())
    assert decoded(pictures["image"]).shape == (48, 64, 3)


def test_a_page_of_large_photographs_stays_small(tmp_path: Path) -> None:
    y, x = np.mgrid[:1200, :1600]
    texture = 127 + 60 * np.sin(x / 9) * np.cos(y / 7) + np.random.default_rng(0).normal(0, 12, (1200, 1600))
    image = texture.clip(0, 255).astype(np.uint8)[..., None].repeat(3, axis=-1)
    one = result("a", 1, size=(1200, 1600))
    results = [ImageResult(f"{number}", image, one.truth, one.prediction, 0.5, 0.1 * number) for number in range(10)]
    file = write_report(tmp_path, **arguments(tmp_path, results=results))
    assert file.stat().st_size < 8_000_000


def test_the_worst_and_the_best_are_chosen_without_repeats() -> None:
    scores = [{"key": str(number), "mean_iou": number / 10} for number in range(9)]
    scores.append({"key": "undefined", "mean_iou": float("nan")})
    assert worst_and_best(scores, 3) == (["0", "1", "2"], ["8", "7", "6"])
    assert worst_and_best(scores[:3], 5) == (["0", "1"], ["2"])
    assert worst_and_best(scores[-1:], 5) == ([], [])
    assert worst_and_best([], 5) == ([], [])


def test_results_in_any_order_are_split_into_worst_and_best() -> None:
    results = [result(str(seed), seed) for seed in (2, 5, 1, 4)]
    worst, best = split_results(results)
    assert ([part.key for part in worst], [part.key for part in best]) == (["5", "4"], ["1", "2"])


def test_more_images_are_shown_smaller() -> None:
    assert [longest_side(count) for count in (0, 1, 12, 48)] == [640, 640, 640, 320]


@pytest.mark.browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [400, 1280])
def test_a_browser_shows_it_within_its_width_and_without_requests(tmp_path: Path, width: int, scheme: str) -> None:
    from playwright import sync_api as playwright

    file = write_report(tmp_path, **arguments(tmp_path))
    complaints: list[str] = []
    requests: list[str] = []
    with playwright.sync_playwright() as engine:
        browser = chromium(engine)
        page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
        page.on("console", lambda message: complaints.append(message.text))
        page.on("request", lambda request: requests.append(request.url))
        page.goto(file.as_uri())
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert page.evaluate("[...document.images].every(image => image.naturalWidth > 0)")
        paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert (paper == "rgb(255, 255, 255)") == (scheme == "light")
        picture = page.locator("article img").first
        before = picture.bounding_box()["width"]
        picture.click()
        assert picture.bounding_box()["width"] > 1.5 * before
        browser.close()
    assert complaints == []
    assert {address.partition(":")[0] for address in requests} <= {"file", "data"}
