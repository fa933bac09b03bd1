"""Each check finds what it is for, names the place, and says what to do."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from folders import COLORS, class_file, label, picture, save_label, write_set
from fullconv.data.examination import Examination, examine
from fullconv.data.problems import KINDS, Problem, worst_first
from fullconv.errors import DataError


def found(examination: Examination, kind: str) -> Problem:
    """The one problem of a kind."""
    chosen = [problem for problem in examination.problems if problem.kind == kind]
    assert len(chosen) == 1, [problem.kind for problem in examination.problems]
    return chosen[0]


def kinds(examination: Examination, severity: str) -> list[str]:
    return [problem.kind for problem in examination.problems if problem.severity == severity]


def test_a_sound_set_has_no_errors_and_no_warnings(tmp_path: Path):
    examination = examine(write_set(tmp_path, 24))
    assert kinds(examination, "error") == []
    assert kinds(examination, "warning") == []


def test_a_truncated_image_is_named(tmp_path: Path):
    root = write_set(tmp_path)
    path = root / "images" / "003.png"
    path.write_bytes(path.read_bytes()[:200])
    problem = found(examine(root), "unreadable-image")
    assert problem.severity == "error"
    assert problem.where == "images/003.png"
    assert "--allow unreadable-image" in problem.remedy


def test_a_truncated_label_is_named_once(tmp_path: Path):
    root = write_set(tmp_path)
    path = root / "labels" / "003.png"
    path.write_bytes(path.read_bytes()[:60])
    assert found(examine(root), "unreadable-label").where == "labels/003.png"


def test_many_broken_files_are_one_problem_that_lists_them(tmp_path: Path):
    root = write_set(tmp_path)
    for number in (1, 4, 7):
        (root / "images" / f"{number:03}.png").write_bytes(b"no picture")
    problem = found(examine(root), "unreadable-image")
    assert problem.count == 3
    assert problem.files == ("images/001.png", "images/004.png", "images/007.png")


def test_sizes_that_differ_are_told(tmp_path: Path):
    root = write_set(tmp_path)
    Image.fromarray(label(2, (24, 30))).save(root / "labels" / "002.png")
    problem = found(examine(root), "size-mismatch")
    assert problem.where == "labels/002.png"
    assert "32×24" in problem.message
    assert "30×24" in problem.message


def test_an_id_that_is_no_class_has_count_file_and_pixel(tmp_path: Path):
    root = write_set(tmp_path)
    for number in (5, 6):
        ids = label(number)
        ids[7, 9:12] = 9
        Image.fromarray(ids).save(root / "labels" / f"{number:03}.png")
    problem = found(examine(root), "unknown-class-code")
    assert problem.where == "labels/005.png"
    assert problem.count == 6
    assert problem.message == "9 is no class: 6 pixels in 2 images, the first at row 7, column 9"
    assert "--remap" in problem.remedy


def test_a_color_that_is_no_class_is_shown_as_hex(tmp_path: Path):
    root = write_set(tmp_path, kind="colors")
    colors = COLORS[label(5)]
    colors[0, 0] = (1, 2, 3)
    Image.fromarray(colors).save(root / "labels" / "005.png")
    assert "#010203 is no class: 1 pixels in 1 image" in found(examine(root), "unknown-class-code").message


def test_many_strange_codes_are_summed_up(tmp_path: Path):
    root = write_set(tmp_path)
    ids = label(5)
    ids[0, :12] = np.arange(100, 112)
    Image.fromarray(ids).save(root / "labels" / "005.png")
    problems = [problem for problem in examine(root).problems if problem.kind == "unknown-class-code"]
    assert len(problems) == 9
    assert any("4 more codes" in problem.message for problem in problems)


def smooth(ids: np.ndarray) -> np.ndarray:
    colors = Image.fromarray(COLORS[ids])
    return np.asarray(colors.resize((96, 72), Image.Resampling.BILINEAR).resize((32, 24), Image.Resampling.BILINEAR))


def test_smoothed_labels_are_recognised(tmp_path: Path):
    root = write_set(tmp_path, kind="colors")
    for number in range(12):
        Image.fromarray(smooth(label(number))).save(root / "labels" / f"{number:03}.png")
    problem = found(examine(root), "blurred-label")
    assert problem.severity == "error"
    assert "smooth edges" in problem.message
    assert problem.count == 12


def test_a_few_levels_along_smooth_edges_are_recognised_over_all_files(tmp_path: Path):
    root = write_set(tmp_path)
    for number in range(12):
        mask = np.zeros((24, 32), dtype=np.uint8)
        mask[6:20, 8:26] = 85
        mask[7:19, 9:25] = 170
        mask[8:18, 10:24] = 255
        Image.fromarray(mask).save(root / "labels" / f"{number:03}.png")
    problem = found(examine(root), "blurred-label")
    assert "2 different codes lie near or between those of the classes, the first at row 6, column 8" in problem.message
    assert problem.count == 12


def test_jpeg_labels_are_recognised(tmp_path: Path):
    size = (120, 160)
    root = write_set(tmp_path, kind="colors", size=size)
    for number in range(12):
        Image.fromarray(COLORS[label(number, size)]).save(root / "labels" / f"{number:03}.jpg", quality=80)
        (root / "labels" / f"{number:03}.png").unlink()
    assert "JPEG" in found(examine(root), "blurred-label").message


def test_labels_without_any_class_are_listed(tmp_path: Path):
    root = write_set(tmp_path)
    (root / "classes.txt").write_text("0 background 0 0 0\n1 road 1 1 1\n2 sky 2 2 2\n3 rider 3 3 3\n255 void 9 9 9\n")
    save_label(root / "labels" / "004.png", np.full((24, 32), 255, dtype=np.uint8))
    problem = found(examine(root), "all-ignored-label")
    assert (problem.severity, problem.where) == ("warning", "labels/004.png")


def test_a_set_without_any_labelled_pixel_is_an_error(tmp_path: Path):
    root = write_set(tmp_path)
    (root / "classes.txt").write_text("0 road 0 0 0\n255 void 9 9 9\n")
    for number in range(12):
        save_label(root / "labels" / f"{number:03}.png", np.full((24, 32), 255, dtype=np.uint8))
    assert found(examine(root), "nothing-labelled").severity == "error"


def test_a_class_that_never_occurs_is_named(tmp_path: Path):
    root = write_set(tmp_path, classes=3)
    class_file(root)
    problem = found(examine(root), "class-never-occurs")
    assert problem.severity == "warning"
    assert "'rider'" in problem.message


def test_a_set_of_one_class_is_an_error(tmp_path: Path):
    root = write_set(tmp_path)
    for number in range(12):
        save_label(root / "labels" / f"{number:03}.png", np.ones((24, 32), dtype=np.uint8))
    assert "'road'" in found(examine(root), "single-class").message


def test_the_same_picture_in_two_splits_is_found_by_its_pixels(tmp_path: Path):
    root = write_set(tmp_path, splits={"train": 10, "val": 10})
    Image.fromarray(picture(4)).save(root / "val" / "images" / "012.bmp")
    (root / "val" / "images" / "012.png").unlink()
    problem = found(examine(root), "same-picture-in-two-splits")
    assert problem.severity == "error"
    assert problem.files == ("train/images/004.png", "val/images/012.bmp")


def test_copies_are_kept_in_one_split_when_the_program_splits(tmp_path: Path):
    root = write_set(tmp_path, 20)
    for number in range(10, 20):
        Image.fromarray(picture(number - 10)).save(root / "images" / f"{number:03}.png")
    examination = examine(root)
    assert "same-picture-in-two-splits" not in kinds(examination, "error")
    assert found(examination, "same-picture-twice").severity == "note"
    assert set(examination.splits) == {"train", "val", "test"}


def test_a_class_that_training_never_sees_is_named(tmp_path: Path):
    root = write_set(tmp_path, splits={"train": 12, "val": 12}, classes=3)
    class_file(root)
    ids = label(15)
    ids[0] = 3
    save_label(root / "val" / "labels" / "015.png", ids)
    assert "'rider'" in found(examine(root), "class-missing-in-training").message


def test_a_tiny_set_is_a_warning(tmp_path: Path):
    assert "5 images" in found(examine(write_set(tmp_path, 5)), "tiny-set").message


def test_only_test_images_cannot_be_trained_on(tmp_path: Path):
    root = write_set(tmp_path, splits={"val": 5, "test": 5})
    assert found(examine(root), "no-training-image").severity == "error"


def test_channels_that_do_not_fit_together_are_an_error(tmp_path: Path):
    import tifffile

    root = write_set(tmp_path)
    (root / "images" / "003.png").unlink()
    tifffile.imwrite(root / "images" / "003.tif", np.zeros((24, 32, 6), np.uint8), photometric="rgb")
    problem = found(examine(root), "mixed-channels")
    assert problem.where == "images/003.tif"


def test_grey_images_among_colored_ones_are_only_remarked(tmp_path: Path):
    root = write_set(tmp_path)
    Image.fromarray(picture(3)).convert("L").save(root / "images" / "003.png")
    examination = examine(root)
    assert kinds(examination, "error") == []
    assert examination.channels == 3


def test_a_bomb_is_refused_unread(tmp_path: Path):
    root = write_set(tmp_path)
    Image.new("1", (20000, 20000)).save(root / "images" / "003.png")
    assert found(examine(root), "decompression-bomb").where == "images/003.png"


def test_orientation_that_nothing_settles_is_refused(tmp_path: Path):
    root = write_set(tmp_path)
    exif = Image.Exif()
    exif[0x0112] = 3
    Image.fromarray(picture(3)).save(root / "images" / "003.png", exif=exif)
    assert found(examine(root), "orientation-mismatch").where == "labels/003.png"


def test_a_quarter_turn_that_the_sizes_settle_is_read(tmp_path: Path):
    root = write_set(tmp_path)
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(picture(3)).save(root / "images" / "003.png", exif=exif)
    save_label(root / "labels" / "003.png", label(3, (32, 24)))
    examination = examine(root)
    assert kinds(examination, "error") == []
    assert (32, 24) in {inspection.size for inspection in examination.inspections}


def test_images_without_label_are_listed_and_left_out(tmp_path: Path):
    root = write_set(tmp_path)
    (root / "labels" / "003.png").unlink()
    examination = examine(root)
    assert found(examination, "unmatched-image").where == "images/003.png"
    assert len(examination.inspections) == 11


def test_labels_without_image_are_listed(tmp_path: Path):
    root = write_set(tmp_path)
    (root / "images" / "003.png").unlink()
    assert found(examine(root), "unmatched-label").where == "labels/003.png"


def test_two_images_of_one_name_are_left_out(tmp_path: Path):
    root = write_set(tmp_path)
    Image.fromarray(picture(3)).save(root / "images" / "003.jpg")
    examination = examine(root)
    assert found(examination, "doubtful-pair").severity == "warning"
    assert not examination.errors


@pytest.mark.parametrize(
    ("kind", "file"), [("unreadable-image", "images/003.png"), ("unreadable-label", "labels/003.png")]
)
def test_allowed_errors_leave_the_sample_out(tmp_path: Path, kind: str, file: str):
    root = write_set(tmp_path)
    (root / file).write_bytes(b"")
    examination = examine(root, allow=[kind])
    assert found(examination, kind).severity == "warning"
    assert len(examination.inspections) == 11
    assert not examination.errors


def test_what_is_no_error_cannot_be_allowed(tmp_path: Path):
    with pytest.raises(DataError, match="'tiny-set'"):
        examine(write_set(tmp_path), allow=["tiny-set"])


def test_problems_come_worst_first():
    def problem(kind: str, count: int = 1) -> Problem:
        return Problem(severity=KINDS[kind], kind=kind, where="a", message="m", remedy="r", count=count)

    mixed = [problem("remark"), problem("tiny-set"), problem("unknown-class-code", 3), problem("unknown-class-code", 9)]
    mixed += [problem("unreadable-image"), problem("class-never-occurs")]
    assert [(found.kind, found.count) for found in worst_first(mixed)] == [
        ("unreadable-image", 1),
        ("unknown-class-code", 9),
        ("unknown-class-code", 3),
        ("class-never-occurs", 1),
        ("tiny-set", 1),
        ("remark", 1),
    ]


def test_several_problems_come_in_one_report(tmp_path: Path):
    root = write_set(tmp_path)
    (root / "images" / "001.png").write_bytes(b"")
    Image.fromarray(label(2, (9, 9))).save(root / "labels" / "002.png")
    ids = label(4)
    ids[0, 0] = 77
    Image.fromarray(ids).save(root / "labels" / "004.png")
    found_kinds = kinds(examine(root), "error")
    assert found_kinds == ["unreadable-image", "size-mismatch", "unknown-class-code"]


@pytest.mark.parametrize("kind", ["no-usable-image", "nothing-labelled", "mixed-channels", "float-among-integers"])
def test_what_makes_the_whole_set_useless_cannot_be_allowed(tmp_path: Path, kind: str):
    with pytest.raises(DataError, match=f"'{kind}'"):
        examine(write_set(tmp_path), allow=[kind])


def test_of_very_many_strange_codes_the_commonest_are_kept_and_all_are_counted(tmp_path: Path):
    size = (60, 80)
    root = write_set(tmp_path, kind="colors", size=size)
    colors = np.zeros((*size, 3), dtype=np.uint8)
    colors[..., 0] = 255
    colors[..., 1:] = np.arange(60 * 80).reshape(*size, 1) // [80, 1] % 80 + 1
    colors[:5] = COLORS[1]
    Image.fromarray(colors).save(root / "labels" / "003.png")
    examination = examine(root)
    seen = next(found for found in examination.inspections if found.unknown)
    assert len(seen.unknown) == 64
    assert (seen.unknown_codes, seen.unknown_pixels) == (55 * 80, 55 * 80)
    problems = [problem for problem in examination.problems if problem.severity == "error"]
    assert sum(problem.count for problem in problems) == 55 * 80
    assert any("at least 56 more codes" in problem.message for problem in problems)
