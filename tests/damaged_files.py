"""Sets with folders that are missing and files that are broken."""

from __future__ import annotations

from pathlib import Path

import tifffile
from PIL import Image

from damages import damage, options, png_header, truncate
from folders import picture

# Nothing there


@damage("no such")
def folder_is_missing(root: Path) -> list[str]:
    return options(root / "nowhere")


@damage("no image")
def folder_is_empty(root: Path) -> list[str]:
    (root / "empty").mkdir()
    return options(root / "empty")


@damage("classes.txt: is a file, not a folder")
def root_is_a_file(root: Path) -> list[str]:
    return options(root / "classes.txt")


@damage("no image")
def only_text_files(root: Path) -> list[str]:
    (root / "texts").mkdir()
    (root / "texts" / "a.txt").write_text("no picture")
    return options(root / "texts")


@damage("label")
def images_without_any_label(root: Path) -> list[str]:
    return options(root / "images")


@damage("set: holds no images")
def labels_without_any_image(root: Path) -> None:
    for path in (root / "images").iterdir():
        path.unlink()


@damage("no such")
def label_folder_is_missing(root: Path) -> list[str]:
    return options(root / "images", str(root / "masks"))


@damage("masks: holds no labels")
def label_folder_is_empty(root: Path) -> list[str]:
    (root / "masks").mkdir()
    return options(root / "images", str(root / "masks"))


@damage("photographs")
def label_folder_given_as_images(root: Path) -> list[str]:
    return options(root / "labels", str(root / "images"))


@damage("is given as images and as labels")
def images_given_as_labels_too(root: Path) -> list[str]:
    return options(root / "images", str(root / "images"))


@damage("none of the 12 labels matches one of the 12 images by name")
def names_that_do_not_match(root: Path) -> None:
    for number, path in enumerate(sorted((root / "labels").iterdir())):
        path.rename(path.with_name(f"other{number * 7919 % 1000}x.png"))


# Broken files


@damage("images/003.png")
def truncated_png_image(root: Path) -> None:
    truncate(root / "images" / "003.png")


@damage("images/003.jpg")
def truncated_jpeg_image(root: Path) -> None:
    (root / "images" / "003.png").unlink()
    Image.fromarray(picture(3)).save(root / "images" / "003.jpg")
    truncate(root / "images" / "003.jpg")


@damage("images/003.tif")
def truncated_tiff_image(root: Path) -> None:
    (root / "images" / "003.png").unlink()
    tifffile.imwrite(root / "images" / "003.tif", picture(3), photometric="rgb")
    truncate(root / "images" / "003.tif")


@damage("images/003.webp")
def truncated_webp_image(root: Path) -> None:
    (root / "images" / "003.png").unlink()
    Image.fromarray(picture(3)).save(root / "images" / "003.webp")
    truncate(root / "images" / "003.webp")


@damage("images/003.bmp")
def truncated_bmp_image(root: Path) -> None:
    (root / "images" / "003.png").unlink()
    Image.fromarray(picture(3)).save(root / "images" / "003.bmp")
    truncate(root / "images" / "003.bmp")


@damage("images/003.png")
def empty_image_file(root: Path) -> None:
    (root / "images" / "003.png").write_bytes(b"")


@damage("images/003.png")
def text_named_png(root: Path) -> None:
    (root / "images" / "003.png").write_text("<html>404</html>")


@damage("labels/003.png")
def truncated_label(root: Path) -> None:
    truncate(root / "labels" / "003.png")


@damage("labels/003.png")
def empty_label_file(root: Path) -> None:
    (root / "labels" / "003.png").write_bytes(b"")


@damage("none of the 12 label files can be read")
def every_label_is_broken(root: Path) -> None:
    for path in (root / "labels").iterdir():
        path.write_bytes(b"broken")


@damage("none of 12 images can be used")
def every_image_is_broken(root: Path) -> None:
    for path in (root / "images").iterdir():
        path.write_bytes(b"broken")


@damage("bomb")
def image_is_a_bomb(root: Path) -> None:
    (root / "images" / "003.png").write_bytes(png_header(50_000, 50_000))


@damage("bomb")
def label_is_a_bomb(root: Path) -> None:
    (root / "labels" / "003.png").write_bytes(png_header(50_000, 50_000))
