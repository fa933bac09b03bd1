"""Every band and bit of an image file arrives, upright; what cannot be read says so."""

from __future__ import annotations

from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image, ImageOps

from folders import write_grey_png
from fullconv.data.images import MAX_PIXELS, image_info, own_pixels, read_image, read_stored, upright
from fullconv.errors import DataError

RGB = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
DEEP = np.random.default_rng(1).integers(0, 65536, (5, 7, 3), dtype=np.uint16)


def save(folder: Path, name: str, mode: str, **options: object) -> Path:
    path = folder / name
    image = Image.fromarray(RGB).convert(mode)
    if mode == "RGBA":
        image.putalpha(Image.fromarray(RGB[..., 0]))
    image.save(path, **options)
    return path


@pytest.mark.parametrize(
    ("name", "mode", "channels"),
    [
        *[(f"a.{suffix}", "RGB", 3) for suffix in ("jpg", "png", "bmp", "tif", "webp")],
        ("a.png", "L", 1),
        ("a.png", "LA", 2),
        ("a.png", "RGBA", 4),
        ("a.png", "P", 3),
        ("a.png", "1", 1),
        ("a.jpg", "L", 1),
        ("a.jpg", "CMYK", 3),
        ("a.tif", "CMYK", 3),
        ("a.tif", "L", 1),
        ("a.tif", "1", 1),
        ("a.tif", "P", 3),
        ("a.webp", "RGBA", 4),
    ],
)
def test_header_and_pixels_agree(tmp_path: Path, name: str, mode: str, channels: int) -> None:
    path = save(tmp_path, name, mode)
    info, image = image_info(path), read_image(path)
    assert image.shape == (5, 7, channels) == (info.height, info.width, info.channels)
    assert image.dtype == np.uint8 == np.dtype(info.dtype)


@pytest.mark.parametrize(("name", "mode"), [("a.png", "P"), ("a.tif", "P"), ("a.jpg", "CMYK"), ("a.tif", "CMYK")])
def test_palette_and_cmyk_become_the_colours_that_viewers_show(tmp_path: Path, name: str, mode: str) -> None:
    path = save(tmp_path, name, mode)
    with Image.open(path) as image:
        assert np.array_equal(read_image(path), np.asarray(image.convert("RGB")))


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_grey_of_few_bits_spans_black_to_white(tmp_path: Path, bits: int) -> None:
    levels = np.arange(2**bits, dtype=np.uint8)[None]
    path = tmp_path / "grey.png"
    write_grey_png(path, levels, bits)
    assert read_image(path)[0, :, 0].tolist() == [level * 255 // (2**bits - 1) for level in range(2**bits)]


def test_sixteen_bit_colour_png_is_not_narrowed(tmp_path: Path) -> None:
    path = tmp_path / "deep.png"
    path.write_bytes(imagecodecs.png_encode(DEEP))
    assert image_info(path).dtype == "uint16"
    assert np.array_equal(read_image(path), DEEP)


def test_sixteen_bit_grey_png_is_not_narrowed(tmp_path: Path) -> None:
    path = tmp_path / "deep.png"
    Image.fromarray(DEEP[..., 0]).save(path)
    assert (image_info(path).dtype, image_info(path).channels) == ("uint16", 1)
    assert np.array_equal(read_image(path)[..., 0], DEEP[..., 0])


@pytest.mark.parametrize("planar", ["contig", "separate"])
@pytest.mark.parametrize("compression", [None, "zlib", "lzw", "zstd"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_tiff_with_many_bands(tmp_path: Path, planar: str, compression: str | None, dtype: type) -> None:
    bands = np.random.default_rng(2).integers(0, 200, (9, 6, 5)).astype(dtype)
    stored = bands if planar == "contig" else np.moveaxis(bands, -1, 0)
    path = tmp_path / "bands.tif"
    tifffile.imwrite(path, stored, planarconfig=planar, photometric="minisblack", compression=compression)
    info = image_info(path)
    assert (info.height, info.width, info.channels, info.dtype) == (9, 6, 5, np.dtype(dtype).name)
    assert np.array_equal(read_image(path), bands)


def test_tiff_pages_are_bands(tmp_path: Path) -> None:
    pages = np.random.default_rng(3).integers(0, 9, (4, 6, 5)).astype(np.uint16)
    path = tmp_path / "pages.tif"
    with tifffile.TiffWriter(path) as writer:
        for page in pages:
            writer.write(page, contiguous=True)
    assert image_info(path).channels == 4
    assert np.array_equal(read_image(path), np.moveaxis(pages, 0, -1))


@pytest.mark.parametrize("dtype", [np.int16, np.int32, np.uint32, np.float64, np.float16])
def test_other_numbers_become_float32(tmp_path: Path, dtype: type) -> None:
    path = tmp_path / "numbers.tif"
    tifffile.imwrite(path, np.arange(12).reshape(3, 4).astype(dtype))
    image = read_image(path)
    assert image.dtype == np.float32 == np.dtype(image_info(path).dtype)
    assert image[..., 0].ravel().tolist() == list(range(12))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.webp", "a.tif"])
def test_orientation_is_applied_as_pillow_does(tmp_path: Path, name: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = save(tmp_path, name, "RGB", exif=exif)
    with Image.open(path) as image:
        expected = np.asarray(ImageOps.exif_transpose(image))
    info = image_info(path)
    assert (info.height, info.width, info.orientation) == (*expected.shape[:2], orientation)
    assert np.array_equal(read_image(path), expected)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_upright_keeps_further_axes(orientation: int) -> None:
    assert upright(np.zeros((2, 3, 4)), orientation).shape == ((2, 3, 4) if orientation < 5 else (3, 2, 4))


def test_a_bomb_is_refused_before_decoding(tmp_path: Path) -> None:
    path = tmp_path / "bomb.png"
    write_grey_png(path, np.zeros((1, 8), dtype=np.uint8), 8, claimed=(100_000, 100_000))
    for look in (image_info, read_image):
        with pytest.raises(DataError, match=r"claims 100000×100000 pixels, more than the 300 million"):
            look(path)


def test_a_claim_that_the_bytes_cannot_hold_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "claim.png"
    write_grey_png(path, np.zeros((1, 8), dtype=np.uint8), 8, claimed=(9_000, 9_000))
    with pytest.raises(DataError, match=r"claims 9000×9000 pixels in a file of \d+ bytes"):
        read_image(path)


def test_a_tiff_bomb_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "bomb.tif"
    tifffile.imwrite(path, np.zeros((256, 256), dtype=np.uint8), tile=(256, 256))
    with tifffile.TiffFile(path, mode="r+b") as tiff:
        for name in ("ImageWidth", "ImageLength"):
            tiff.pages[0].tags[name].overwrite(60_000)
    with pytest.raises(DataError, match="decompression bomb"):
        image_info(path)


def test_a_tiff_that_claims_bands_without_end_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "bands.tif"
    for bands, sentence in ((4_000, r"in a file of \d+ bytes"), (60_000, "of 60000 bytes, more than the 4 GiB")):
        tifffile.imwrite(path, np.zeros((1, 1, bands), dtype=np.uint8), photometric="minisblack", planarconfig="contig")
        with tifffile.TiffFile(path, mode="r+b") as tiff:
            for name in ("ImageWidth", "ImageLength"):
                tiff.pages[0].tags[name].overwrite(300)
        for look in (image_info, read_image):
            with pytest.raises(DataError, match=rf"claims 300×300 pixels {sentence}"):
                look(path)


def changed_tiff(path: Path, pixels: np.ndarray, changes: dict[str, int], **options: object) -> Path:
    """A TIFF whose header says something else than what was written."""
    tifffile.imwrite(path, pixels, metadata=None, **options)
    with tifffile.TiffFile(path, mode="r+b") as tiff:
        for name, value in changes.items():
            tiff.pages[0].tags[name].overwrite(value)
    return path


def test_a_tiff_that_hides_many_slices_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    for shape, kind in (((5, 16, 16, 3), "rgb"), ((5, 16, 16), "minisblack")):
        tifffile.imwrite(path, np.zeros(shape, np.uint8), photometric=kind, volumetric=True, metadata=None)
        for look in (image_info, read_image, read_stored):
            with pytest.raises(DataError, match="a volume"):
                look(path)


def test_a_tiff_without_pixels_is_refused(tmp_path: Path) -> None:
    for name in ("ImageWidth", "ImageLength"):
        path = changed_tiff(tmp_path / "a.tif", RGB, {name: 0}, photometric="rgb")
        for look in (image_info, read_image):
            with pytest.raises(DataError, match=r"a\.tif"):
                look(path)


def test_a_palette_that_does_not_fit_the_pixels_is_refused(tmp_path: Path) -> None:
    colors = np.arange(3 * 256, dtype=np.uint16).reshape(3, 256)
    several = tmp_path / "several.tif"
    with tifffile.TiffWriter(several) as writer:
        for _ in range(2):
            writer.write(RGB[..., 0], photometric="palette", colormap=colors, contiguous=True)
    for look in (image_info, read_image):
        with pytest.raises(DataError, match="a palette for several bands"):
            look(several)
    few = [(320, 3, 3 * 256, tuple(colors.ravel().tolist()), True)]
    deep = np.full((4, 4), 300, dtype=np.uint16)
    path = changed_tiff(tmp_path / "deep.tif", deep, {"PhotometricInterpretation": 3}, extratags=few)
    assert read_stored(path).array.max() == 300, "labels need no colours"
    with pytest.raises(DataError, match="cannot be read as an image"):
        read_image(path)


@pytest.mark.parametrize("kind", ["GIF", "PPM", "PCX", "TGA"])
def test_other_formats_under_the_name_of_a_known_one_are_refused(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "a.png"
    Image.fromarray(RGB).save(path, format=kind)
    for look in (image_info, read_image):
        with pytest.raises(DataError, match="cannot be read as an image"):
            look(path)


def test_large_pictures_below_the_limit_raise_no_warning(tmp_path: Path) -> None:
    assert Image.MAX_IMAGE_PIXELS < 100_000_000 < MAX_PIXELS
    path = tmp_path / "large.png"
    noise = np.random.default_rng(4).integers(0, 256, 40_000, dtype=np.uint8)
    write_grey_png(path, noise[None], 8, claimed=(2_500, 40_000), repeat=True)
    assert image_info(path).width == 40_000


@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.bmp", "a.tif", "a.webp"])
def test_truncated_files_say_so(tmp_path: Path, name: str) -> None:
    noise = np.random.default_rng(5).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    path = tmp_path / name
    Image.fromarray(noise).save(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(DataError, match=rf"{name}: cannot be read as an image .*; replace or remove the file"):
        read_image(path)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [(b"", "is empty"), (b"no image at all", "cannot be read"), (b"II*\0\xff", "cannot be read")],
)
def test_files_that_are_no_images(tmp_path: Path, content: bytes, sentence: str) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(content)
    for look in (image_info, read_image):
        with pytest.raises(DataError, match=sentence):
            look(path)


def test_missing_file_and_folder(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file"):
        image_info(tmp_path / "none.png")
    with pytest.raises(DataError, match="is a folder"):
        read_image(tmp_path)


def test_own_pictures_may_have_any_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = save(tmp_path, "a.png", "P")
    with Image.open(path) as image:
        expected = np.asarray(image)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    assert np.array_equal(own_pixels(path.read_bytes()), expected)
    assert Image.MAX_IMAGE_PIXELS == 10
