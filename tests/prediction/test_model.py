"""From pixels to labels, and every file that is made of them."""

from __future__ import annotations

import csv
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fullconv.data.dataset import Dataset
from fullconv.data.resizing import Resize
from fullconv.errors import DataError, PlanError
from fullconv.networks.fcn import FCN
from fullconv.prediction.evaluating import evaluate
from fullconv.prediction.folder import find_images, predict_files
from fullconv.prediction.model import Model
from fullconv.store.package import ModelCard

HEIGHT, WIDTH = 75, 130


@pytest.fixture
def scene() -> np.ndarray:
    image = np.zeros((HEIGHT, WIDTH, 3), dtype=np.uint8)
    image[:, WIDTH // 2 :] = 255
    return image


@pytest.fixture
def truth() -> np.ndarray:
    ids = np.full((HEIGHT, WIDTH), 7, dtype=np.uint8)
    ids[:, WIDTH // 2 :] = 23
    return ids


def test_bright_is_sky(model: Model, scene: np.ndarray, truth: np.ndarray) -> None:
    result = model.predict(scene, probabilities=True)
    assert result.labels.shape == (HEIGHT, WIDTH)
    assert (result.ids == truth).mean() > 0.85
    assert result.probabilities is not None
    np.testing.assert_allclose(result.probabilities.sum(0), 1, atol=1e-5)
    np.testing.assert_array_equal(result.probabilities.argmax(0), result.labels)
    assert sum(result.shares.values()) == pytest.approx(1)


def test_files_arrays_and_grey_give_the_same(model: Model, scene: np.ndarray, tmp_path: Path) -> None:
    Image.fromarray(scene).save(tmp_path / "scene.png")
    Image.fromarray(scene[..., 0]).save(tmp_path / "grey.png")
    expected = model.predict(scene).labels
    for source in (tmp_path / "scene.png", str(tmp_path / "grey.png"), scene[..., 0]):
        np.testing.assert_array_equal(model.predict(source).labels, expected)


def test_resizing_inside_gives_the_original_size_outside(net: FCN, card: ModelCard, scene: np.ndarray) -> None:
    small = Model(net, card.model_copy(update={"resize": Resize(longest_side=64)}), device="cpu")
    result = small.predict(scene, probabilities=True)
    assert result.labels.shape == (HEIGHT, WIDTH)
    assert result.probabilities is not None
    assert result.probabilities.shape == (2, HEIGHT, WIDTH)


def test_the_written_map_has_the_own_ids_and_their_colours(model: Model, scene: np.ndarray, tmp_path: Path) -> None:
    result = model.predict(scene)
    with Image.open(result.save(tmp_path / "labels.png")) as written:
        assert written.mode == "P"
        np.testing.assert_array_equal(np.asarray(written), result.ids)
        assert np.asarray(written.convert("RGB"))[0, 0].tolist() == [120, 80, 20]


def test_pixels_of_another_kind_are_refused(model: Model) -> None:
    with pytest.raises(DataError, match="holds uint16 values, the model was trained on uint8"):
        model.predict(np.zeros((8, 8, 3), dtype=np.uint16))
    with pytest.raises(DataError, match="5 channels"):
        model.predict(np.zeros((8, 8, 5), dtype=np.uint8))


def test_a_folder_becomes_maps_overlays_and_shares(model: Model, scene: np.ndarray, tmp_path: Path) -> None:
    source, out = tmp_path / "in", tmp_path / "out"
    (source / "deep").mkdir(parents=True)
    Image.fromarray(scene).save(source / "a.png")
    Image.fromarray(scene).save(source / "deep" / "a.jpg")
    (source / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nnothing")
    (source / "notes.txt").write_text("no image")
    done = predict_files(model, [source], out, probabilities=True)
    assert sorted(path.relative_to(out).as_posix() for path in done.written) == ["a.png", "deep/a.png"]
    assert [file.name for file, _ in done.failed] == ["broken.png"]
    assert (out / "deep" / "a_overlay.png").is_file()
    assert np.load(out / "a_probabilities.npy").shape == (2, HEIGHT, WIDTH)
    with (out / "shares.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["image"] for row in rows] == ["a", "deep/a"]
    assert float(rows[0]["sky"]) + float(rows[0]["ground"]) == pytest.approx(1, abs=1e-5)


def test_names_that_are_no_utf8_are_written_with_their_bytes(model: Model, scene: np.ndarray, tmp_path: Path) -> None:
    source, out = tmp_path / "in", tmp_path / "out"
    source.mkdir()
    Image.fromarray(scene).save(source / os.fsdecode(b"caf\xe9.png"))
    (source / os.fsdecode(b"no\xff.png")).write_bytes(b"no image")
    for skipped in (0, 1):
        done = predict_files(model, [source], out, skip_existing=True)
        assert (done.skipped, len(done.failed)) == (skipped, 1)
    assert (out / "caf%E9.png").is_file()
    assert (out / "shares.csv").read_text(encoding="utf-8").splitlines()[1].startswith("caf%E9,")


def test_an_interrupted_folder_goes_on(model: Model, scene: np.ndarray, tmp_path: Path) -> None:
    for name in "abc":
        Image.fromarray(scene).save(tmp_path / f"{name}.png")
    predict_files(model, [tmp_path / "a.png", tmp_path / "b.png"], tmp_path / "out")
    done = predict_files(model, [tmp_path / f"{name}.png" for name in "abc"], tmp_path / "out", skip_existing=True)
    assert done.skipped == 2
    assert [path.name for path in done.written] == ["c.png"]
    with (tmp_path / "out" / "shares.csv").open() as stream:
        assert len(stream.readlines()) == 4


@pytest.mark.parametrize("left", ["b,0.5", 'b,"0.5', "b,0.500000,0.5", ""])
def test_an_image_whose_row_was_not_written_is_predicted_again(
    model: Model, scene: np.ndarray, tmp_path: Path, left: str
) -> None:
    for name in "ab":
        Image.fromarray(scene).save(tmp_path / f"{name}.png")
    images, out = [tmp_path / "a.png", tmp_path / "b.png"], tmp_path / "out"
    predict_files(model, images, out)
    whole = (out / "shares.csv").read_text()
    (out / "shares.csv").write_text(whole[: whole.index("b,")] + left)  # killed before the end of the row
    done = predict_files(model, images, out, skip_existing=True)
    assert (done.skipped, [path.name for path in done.written]) == (1, ["b.png"])
    assert (out / "shares.csv").read_text() == whole


def test_an_image_whose_picture_is_gone_is_predicted_again(model: Model, scene: np.ndarray, tmp_path: Path) -> None:
    Image.fromarray(scene).save(tmp_path / "a.png")
    for _ in range(2):
        predict_files(model, [tmp_path / "a.png"], tmp_path / "out", skip_existing=True)
        (tmp_path / "out" / "a.png").unlink()
    assert len((tmp_path / "out" / "shares.csv").read_text().splitlines()) == 2


def test_files_of_one_stem_do_not_overwrite_each_other(tmp_path: Path) -> None:
    for name in ("a.png", "a.jpg"):
        Image.new("RGB", (4, 4)).save(tmp_path / name)
    assert sorted(stem.as_posix() for _, stem in find_images([tmp_path])) == ["a_jpg", "a_png"]


def test_predictions_never_replace_the_images(model: Model, scene: np.ndarray, tmp_path: Path) -> None:
    for name in ("a.png", "sub/b.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.fromarray(scene).save(tmp_path / name)
    for sources in ([tmp_path], [tmp_path / "a.png"]):
        with pytest.raises(DataError, match="written over an image"):
            predict_files(model, sources, tmp_path)
    with pytest.raises(DataError, match="prediction of two images"):
        predict_files(model, [tmp_path, tmp_path], tmp_path / "out")
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "a.png")), scene)
    assert not (tmp_path / "out").exists()


def test_turned_channels_and_missing_values_are_no_obstacle(net: FCN, card: ModelCard, scene: np.ndarray) -> None:
    floating = card.model_copy(update={"image_dtype": "float32"})
    model = Model(net, floating, device="cpu")
    pixels = scene.astype(np.float32)
    expected = model.predict(pixels).labels
    np.testing.assert_array_equal(model.predict(pixels[:, :, ::-1]).labels, expected)
    pixels[3, 3] = np.nan
    assert (model.predict(pixels).labels == expected).mean() > 0.95


def test_eight_bits_are_read_as_sixteen_by_a_model_of_sixteen(net: FCN, card: ModelCard, scene: np.ndarray) -> None:
    deep = card.normalization.model_copy(update={"scale": 65535})
    wide = Model(net, card.model_copy(update={"image_dtype": "uint16", "normalization": deep}), device="cpu")
    np.testing.assert_array_equal(wide.predict(scene).labels, Model(net, card, device="cpu").predict(scene).labels)


@pytest.mark.parametrize("name", ["abacus", "cuda"])
def test_a_device_that_is_not_here_is_one_sentence(
    net: FCN, card: ModelCard, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(PlanError, match=r"no device is named|no CUDA device"):
        Model(net, card, device=name)


@pytest.mark.parametrize("make", [False, True])
def test_no_images_is_one_sentence(tmp_path: Path, make: bool) -> None:
    folder = tmp_path / "empty"
    if make:
        folder.mkdir()
    with pytest.raises(DataError, match=r"holds no images|no such file or folder"):
        find_images([folder])


@pytest.fixture
def dataset(scene: np.ndarray, truth: np.ndarray, tmp_path: Path) -> Dataset:
    root = tmp_path / "set"
    for folder in ("images", "labels"):
        (root / folder).mkdir(parents=True)
    for number in range(10):
        image, ids = scene.copy(), truth.copy()
        image[0, 0] = number
        ids[: number + 1, :5] = 0
        Image.fromarray(image).save(root / "images" / f"{number}.png")
        Image.fromarray(ids).save(root / "labels" / f"{number}.png")
    (root / "classes.txt").write_text("0 void 0 0 0\n7 ground 120 80 20\n23 sky 70 130 180\n")
    return Dataset.from_folders(root)


def test_evaluation_counts_every_labelled_pixel_once(model: Model, dataset: Dataset, tmp_path: Path) -> None:
    scores = evaluate(model, dataset, report=tmp_path / "report", progress=False)
    labelled = sum(int((dataset[index][1] != 255).sum()) for index in range(len(dataset)))
    assert scores.pixels == labelled
    assert scores.pixel_accuracy > 0.8
    page = (tmp_path / "report" / "report.html").read_text()
    assert "sky" in page
    assert "http://" not in page.replace("http://www.w3.org", "")


def test_evaluation_matches_classes_by_name(net: FCN, card: ModelCard, dataset: Dataset) -> None:
    """Oracle: a model whose classes are listed in the other order scores the same."""
    expected = evaluate(Model(net, card, device="cpu"), dataset, progress=False)
    turned = card.classes.model_copy(update={"classes": card.classes.classes[::-1]})
    import copy

    import torch

    swapped = copy.deepcopy(net)
    with torch.no_grad():
        for parameter in swapped.head.parameters():
            parameter.copy_(parameter.flip(0))
    found = evaluate(Model(swapped, card.model_copy(update={"classes": turned}), device="cpu"), dataset, progress=False)
    assert found.confusion.tolist() == expected.confusion.tolist()


def test_other_classes_are_refused(net: FCN, card: ModelCard, dataset: Dataset) -> None:
    other = card.classes.model_copy(
        update={"classes": (card.classes.classes[0], card.classes.classes[1].model_copy(update={"name": "sea"}))}
    )
    with pytest.raises(DataError, match="different classes: sea, sky"):
        evaluate(Model(net, card.model_copy(update={"classes": other}), device="cpu"), dataset, progress=False)
    with pytest.raises(DataError, match="holds uint8 values, the model was trained on float32"):
        evaluate(Model(net, card.model_copy(update={"image_dtype": "float32"}), device="cpu"), dataset, progress=False)
    with pytest.raises(DataError, match="no images"):
        evaluate(Model(net, card, device="cpu"), dataset.subset([]), progress=False)
