"""Sets whose images and labels contradict each other, and one broken label in each format."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import tifffile
from PIL import Image

from damages import damage, options, replace_labels, truncate
from folders import COLORS, label, picture, save_label, write_set

# Images and labels that contradict each other


@damage("the image is 32×24, the label 30×24")
def label_of_another_size(root: Path) -> None:
    save_label(root / "labels" / "003.png", label(3, (24, 30)))


@damage("EXIF orientation")
def orientation_of_the_image_alone(root: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 3
    Image.fromarray(picture(3)).save(root / "images" / "003.png", exif=exif)


@damage("9 is no class")
def id_beyond_the_class_file(root: Path) -> None:
    ids = label(3)
    ids[5, 6] = 9
    save_label(root / "labels" / "003.png", ids)


@damage("#010203 is no class")
def color_beyond_the_class_file(root: Path) -> None:
    replace_labels(root, lambda number, path: Image.fromarray(COLORS[label(number)]).save(f"{path}.png"))
    colors = COLORS[label(3)]
    colors[5, 6] = (1, 2, 3)
    Image.fromarray(colors).save(root / "labels" / "003.png")


@damage("JPEG")
def labels_saved_as_jpeg(root: Path) -> list[str]:
    size = (120, 160)
    other = write_set(root / "other", kind="colors", size=size)
    replace_labels(other, lambda number, path: Image.fromarray(COLORS[label(number, size)]).save(f"{path}.jpg"))
    return options(other)


@damage("smooth edges")
def labels_with_smooth_edges(root: Path) -> None:
    def write(number: int, path: Path) -> None:
        large = Image.fromarray(COLORS[label(number)]).resize((100, 70), Image.Resampling.BILINEAR)
        large.resize((32, 24), Image.Resampling.BILINEAR).save(f"{path}.png")

    replace_labels(root, write)


@damage("all are ignored")
def nothing_is_labelled(root: Path) -> None:
    (root / "classes.txt").write_text("0 void 0 0 0\n1 road 9 9 9\n")
    replace_labels(root, lambda number, path: save_label(Path(f"{path}.png"), np.zeros((24, 32), np.uint8)))


@damage("nothing to tell apart")
def only_one_class(root: Path) -> None:
    replace_labels(root, lambda number, path: save_label(Path(f"{path}.png"), np.ones((24, 32), np.uint8)))


@damage("channels")
def images_with_different_channels(root: Path) -> None:
    (root / "images" / "003.png").unlink()
    tifffile.imwrite(root / "images" / "003.tif", np.zeros((24, 32, 7), np.uint8), photometric="rgb")


@damage("same picture")
def one_picture_in_two_splits(root: Path) -> list[str]:
    other = write_set(root / "other", splits={"train": 10, "val": 6})
    Image.fromarray(picture(2)).save(other / "val" / "images" / "011.png")
    return options(other)


@damage("no image is for training")
def no_training_images(root: Path) -> list[str]:
    return options(write_set(root / "other", splits={"val": 5, "test": 5}))


# One broken label in each format


@damage("labels/003.png")
def broken_palette_label(root: Path) -> list[str]:
    other = write_set(root / "other", kind="palette")
    truncate(other / "labels" / "003.png", 0.7)
    return options(other)


@damage("labels/003.png")
def broken_color_label(root: Path) -> list[str]:
    other = write_set(root / "other", kind="colors")
    truncate(other / "labels" / "003.png")
    return options(other)


def written(root: Path, levels: list[int], suffix: str = ".png", dtype: type = np.uint8) -> list[str]:
    """Labels whose four classes are these levels, the third file cut short."""
    (root / "classes.txt").unlink()

    def write(number: int, path: Path) -> None:
        ids = np.array(levels, dtype=dtype)[label(number)]
        if suffix == ".tif":
            tifffile.imwrite(f"{path}.tif", ids)
        else:
            Image.fromarray(ids).save(f"{path}{suffix}")

    replace_labels(root, write)
    truncate(root / "labels" / f"003{suffix}")
    return options(root)


@damage("labels/003.png")
def broken_binary_label(root: Path) -> list[str]:
    return written(root, [0, 255, 255, 0])


@damage("labels/003.png")
def broken_grey_code_label(root: Path) -> list[str]:
    return written(root, [0, 85, 170, 255])


@damage("labels/003.png")
def broken_16_bit_png_label(root: Path) -> list[str]:
    return written(root, [0, 300, 7000, 40000], dtype=np.uint16)


@damage("labels/003.tif")
def broken_16_bit_tiff_label(root: Path) -> list[str]:
    return written(root, [0, 300, 7000, 40000], ".tif", np.uint16)


def masks(root: Path) -> None:
    """One binary file per class: masks/car/003.png, masks/bus/003.png."""
    (root / "classes.txt").unlink()
    for value, name in ((1, "car"), (2, "bus")):
        for number in range(12):
            save_label(root / "labels" / name / f"{number:03}.png", (label(number) == value).astype(np.uint8) * 255)
    for path in (root / "labels").glob("*.png"):
        path.unlink()


@damage("labels/bus/003.png")
def broken_mask_of_several(root: Path) -> None:
    masks(root)
    truncate(root / "labels" / "bus" / "003.png")


@damage("the other masks of this image are 9×9")
def mask_of_another_size(root: Path) -> None:
    masks(root)
    save_label(root / "labels" / "bus" / "003.png", np.full((9, 9), 255, np.uint8))


@damage("berlin_000003_gtFine_labelIds.png")
def broken_cityscapes_label(root: Path) -> list[str]:
    other = root / "cityscapes"
    for number in range(12):
        image = other / "leftImg8bit" / "train" / "berlin" / f"berlin_{number:06}_leftImg8bit.png"
        image.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture(number)).save(image)
        name = f"berlin_{number:06}_gtFine_labelIds.png"
        save_label(other / "gtFine" / "train" / "berlin" / name, np.array([7, 8, 11, 26], np.uint8)[label(number)])
    truncate(other / "gtFine" / "train" / "berlin" / "berlin_000003_gtFine_labelIds.png")
    return options(other)


@damage("SegmentationClass/003.png")
def broken_voc_label(root: Path) -> list[str]:
    other = root / "VOC2012"
    for number in range(12):
        image = other / "JPEGImages" / f"{number:03}.jpg"
        image.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture(number)).save(image)
        save_label(other / "SegmentationClass" / f"{number:03}.png", label(number), "palette")
    truncate(other / "SegmentationClass" / "003.png", 0.8)
    return options(other)
