"""Image files → arrays: every band and bit that the file holds, upright, with bombs and broken files refused."""

from __future__ import annotations

import io
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import numpy.typing as npt
import tifffile
from PIL import Image

from fullconv.errors import DataError

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp"})
"""Endings of the files that are taken for images, in lower case."""

MAX_PIXELS = 300_000_000
"""Files that claim more pixels are refused before they are decoded."""

MAX_BYTES = 4 * 2**30
"""Files that claim more bytes, all bands together, are refused before they are decoded."""

_SUSPICIOUS_PIXELS = 50_000_000
_SUSPICIOUS_BYTES = 3 * _SUSPICIOUS_PIXELS
_SUSPICIOUS_RATIO = 1500
_TIFF_MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_PNG_MAGIC = b"\x89PNG\r\n\x1a\n"
_ORIENTATION = 0x0112
_PILLOW_FORMATS = ("JPEG", "PNG", "BMP", "TIFF", "WEBP")
_pillow_limit = threading.Lock()


class TooManyPixels(DataError):
    """An image that claims more than is decoded, or more than its bytes can hold."""


@dataclass(frozen=True)
class ImageInfo:
    """What the header of an image file says, as `read_image` will return it.

    Args:
        height, width: pixels, after the EXIF orientation is applied.
        channels: 1 grey, 3 colour, 4 with alpha, or the number of bands.
        dtype: "uint8", "uint16" or "float32".
        orientation: the EXIF orientation of the file, 1 (as stored) to 8.
    """

    height: int
    width: int
    channels: int
    dtype: str
    orientation: int

    @property
    def nbytes(self) -> int:
        """Bytes of the pixels that `read_image` returns."""
        return self.height * self.width * self.channels * np.dtype(self.dtype).itemsize


@dataclass(frozen=True)
class StoredPixels:
    """The pixels exactly as the file stores them: not turned upright, palettes not expanded, nothing narrowed.

    Args:
        array: (H, W) or (H, W, bands), any dtype; palette files give indices, grey files of 2 or 4 bits their levels.
        palette: (256, 3) uint8 where the file has one.
        orientation: EXIF orientation, 1 to 8.
        bits: bits of a grey level: array * 255 / (2**bits - 1) is what a viewer shows for 1, 2 and 4.
    """

    array: npt.NDArray[Any]
    palette: npt.NDArray[np.uint8] | None
    orientation: int
    bits: int


def image_info(path: Path) -> ImageInfo:
    """Size, channels, dtype and orientation from the header alone.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "grey.png"
    >>> Image.new("L", (4, 3)).save(path)
    >>> image_info(path)
    ImageInfo(height=3, width=4, channels=1, dtype='uint8', orientation=1)

    Raises:
        DataError: no such file, no image, or a decompression bomb.
    """
    with _reading(path):
        head = _head(path)
        if head[:4] in _TIFF_MAGIC:
            with tifffile.TiffFile(path) as tiff:
                height, width, channels, dtype, orientation = _tiff_header(tiff, path)
        else:
            with _open(path) as image:
                width, height = image.size
                channels, dtype = _pillow_bands(image, head)
                orientation = _orientation(image)
    if orientation >= 5:
        height, width = width, height
    return ImageInfo(height, width, channels, dtype, orientation)


def read_image(path: Path) -> npt.NDArray[Any]:
    """Read a JPEG, PNG, BMP, TIFF or WebP file with all its bands and bits, upright.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "red.png"
    >>> Image.new("RGB", (4, 3), "red").save(path)
    >>> read_image(path).shape, read_image(path)[0, 0].tolist()
    ((3, 4, 3), [255, 0, 0])

    Returns:
        (H, W, C): uint8, uint16 or float32; grey gives C = 1, alpha is kept as a fourth band, palette and CMYK
        become RGB, other integers become float32.

    Raises:
        DataError: no such file, no image, truncated, or a decompression bomb.
    """
    stored = read_stored(path)
    array = stored.array
    if stored.palette is not None:
        with _reading(path):  # it may have fewer colours than the pixels name
            array = stored.palette[array]
    elif stored.bits < 8:
        array = array * np.uint8(255 // (2**stored.bits - 1))
    if array.ndim == 2:
        array = array[:, :, None]
    return np.ascontiguousarray(upright(array, stored.orientation).astype(_image_dtype(array.dtype), copy=False))


def read_stored(path: Path) -> StoredPixels:
    """Read the pixels as they are stored; label files need the indices and levels themselves.

    Raises:
        DataError: no such file, no image, truncated, or a decompression bomb.
    """
    with _reading(path):
        head = _head(path)
        if head[:4] in _TIFF_MAGIC:
            return _read_tiff(path)
        with _open(path) as image:
            orientation = _orientation(image)
            bits, wide = _png_bits(head)
            if wide:
                return StoredPixels(imagecodecs.png_decode(path.read_bytes()), None, orientation, 16)
            if image.mode == "P":
                return StoredPixels(np.asarray(image), _palette(image), orientation, 8)
            if image.mode == "1":
                return StoredPixels((np.asarray(image.convert("L")) != 0).view(np.uint8), None, orientation, 1)
            if image.mode in ("PA", "RGBa", "La"):
                image = image.convert("LA" if image.mode == "La" else "RGBA")
            elif image.mode in ("CMYK", "YCbCr", "LAB", "HSV", "RGBX"):
                image = image.convert("RGB")
            array = np.asarray(image)
            if bits in (2, 4) and image.mode == "L":
                return StoredPixels(array // np.uint8(255 // (2**bits - 1)), None, orientation, bits)
            return StoredPixels(array, None, orientation, array.dtype.itemsize * 8)


def own_pixels(content: bytes) -> npt.NDArray[Any]:
    """The pixels of a PNG that this library wrote, as they are stored, however many they are.

    Returns:
        (H, W) or (H, W, bands) uint8 or uint16; of a palette its indices.
    """
    with _without_limit():
        image = Image.open(io.BytesIO(content), formats=("PNG",))
    return np.asarray(image)


def upright(array: npt.NDArray[Any], orientation: int) -> npt.NDArray[Any]:
    """Turn and mirror (H, W, …) as the EXIF orientation 1 to 8 says; a view where possible.

    >>> upright(np.array([[1, 2, 3]]), 6).tolist()
    [[1], [2], [3]]
    """
    if orientation in (5, 6, 7, 8):
        array = array.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        array = array[::-1]
    if orientation in (2, 3, 6, 7):
        array = array[:, ::-1]
    return array


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    try:
        yield
    except DataError:
        raise
    except FileNotFoundError:
        raise DataError("no such file", where=path, remedy="check the path") from None
    except IsADirectoryError:
        raise DataError("is a folder, not an image", where=path, remedy="give a file") from None
    except PermissionError:
        raise DataError("may not be read", where=path, remedy="change its permissions") from None
    except MemoryError:
        raise DataError("is too large for the memory", where=path, remedy="cut it into tiles") from None
    except Exception as error:  # decoders raise nearly everything on broken files
        size = path.stat().st_size
        cause = "is empty (0 bytes)" if size == 0 else f"cannot be read as an image ({str(error).strip() or error!r})"
        raise DataError(cause, where=path, remedy="replace or remove the file") from error


def _head(path: Path) -> bytes:
    with path.open("rb") as stream:
        return stream.read(32)


def _open(path: Path) -> Image.Image:
    """Open with our own limit in place of Pillow's, which would warn at a third of it."""
    with _without_limit():
        image = Image.open(path, formats=_PILLOW_FORMATS)
    try:
        refuse_bomb(path, image.height, image.width, len(image.getbands()))
    except DataError:
        image.close()
        raise
    return image


@contextmanager
def _without_limit() -> Iterator[None]:
    with _pillow_limit:
        limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            yield
        finally:
            Image.MAX_IMAGE_PIXELS = limit


def refuse_bomb(path: Path, height: int, width: int, bytes_per_pixel: int) -> None:
    """Raise TooManyPixels for a file that claims far more pixels than anyone's picture, or than its bytes can hold."""
    pixels = height * width
    if pixels > MAX_PIXELS:
        raise TooManyPixels(
            f"claims {width}×{height} pixels, more than the {MAX_PIXELS // 1_000_000} million that are read "
            "(a decompression bomb?)",
            where=path,
            remedy="cut it into tiles or remove it",
        )
    size, claimed = path.stat().st_size, pixels * bytes_per_pixel
    if claimed > MAX_BYTES:
        raise TooManyPixels(
            f"claims {width}×{height} pixels of {bytes_per_pixel} bytes, more than the {MAX_BYTES // 2**30} GiB that "
            "are read (a decompression bomb?)",
            where=path,
            remedy="cut it into tiles, leave bands out or remove it",
        )
    if (pixels > _SUSPICIOUS_PIXELS or claimed > _SUSPICIOUS_BYTES) and claimed > _SUSPICIOUS_RATIO * size:
        raise TooManyPixels(
            f"claims {width}×{height} pixels in a file of {size} bytes (a decompression bomb?)",
            where=path,
            remedy="check where it comes from, save it anew or remove it",
        )


def _orientation(image: Image.Image) -> int:
    try:
        # The method of the base class: the one for PNG would decode the whole file.
        value = Image.Image.getexif(image).get(_ORIENTATION, 1)
    except Exception:  # damaged EXIF blocks raise nearly everything
        return 1
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def _png_bits(head: bytes) -> tuple[int, bool]:
    """Bits per sample, and whether Pillow would narrow it (16 bits in more than one band)."""
    if head[:8] != _PNG_MAGIC or len(head) < 26:
        return 8, False
    bits, color = struct.unpack("BB", head[24:26])
    return bits, bits == 16 and color != 0


def _pillow_bands(image: Image.Image, head: bytes) -> tuple[int, str]:
    mode = image.mode
    if _png_bits(head)[1]:
        return {2: 3, 4: 2, 6: 4}[head[25]], "uint16"
    if mode.startswith("I;16"):
        return 1, "uint16"
    if mode in ("I", "F"):
        return 1, "float32"
    if mode in ("P", "CMYK", "YCbCr", "LAB", "HSV", "RGBX"):
        return 3, "uint8"
    return {"1": 1, "L": 1, "LA": 2, "La": 2, "PA": 4, "RGBa": 4}.get(mode, len(image.getbands())), "uint8"


def _palette(image: Image.Image) -> npt.NDArray[np.uint8]:
    palette = np.zeros((256, 3), dtype=np.uint8)
    colors = np.array(image.getpalette("RGB") or [], dtype=np.uint8).reshape(-1, 3)
    palette[: len(colors)] = colors
    return palette


def _image_dtype(dtype: np.dtype[Any]) -> np.dtype[Any]:
    if dtype == np.bool_:
        return np.dtype(np.uint8)
    return dtype.newbyteorder("=") if dtype in (np.uint8, np.uint16) else np.dtype(np.float32)


def _tiff_header(tiff: Any, path: Path) -> tuple[int, int, int, str, int]:
    """Height, width, bands, dtype and orientation of the first picture of a TIFF file; its pages may be its bands."""
    series, page = tiff.series[0], tiff.pages[0]
    height, width = int(page.imagelength), int(page.imagewidth)
    samples = int(page.samplesperpixel)
    if not height or not width:
        raise DataError("has no pixels", where=path, remedy="replace or remove the file")
    if page.imagedepth != 1:
        raise DataError("is a volume, not a picture", where=path, remedy="save its slices as files of their own")
    pages = int(np.prod(series.shape)) // max(1, height * width * samples)
    channels = samples if samples > 1 or pages <= 1 else pages
    refuse_bomb(path, height, width, channels * page.dtype.itemsize)
    if page.photometric == tifffile.PHOTOMETRIC.PALETTE and channels > 1:
        raise DataError("has a palette for several bands", where=path, remedy="save it in colour or grey")
    if page.photometric in (tifffile.PHOTOMETRIC.PALETTE, tifffile.PHOTOMETRIC.SEPARATED):
        channels = 3
    tag = page.tags.get(_ORIENTATION)
    orientation = int(tag.value) if tag is not None and 1 <= int(tag.value) <= 8 else 1
    return height, width, channels, _image_dtype(page.dtype).name, orientation


def _read_tiff(path: Path) -> StoredPixels:
    with tifffile.TiffFile(path) as tiff:
        height, width, _, _, orientation = _tiff_header(tiff, path)
        page: Any = tiff.pages[0]
        photometric, samples = page.photometric, int(page.samplesperpixel)
        palette = None
        if samples > 1 or len(tiff.pages) == 1:
            array = page.asarray()
            planar = page.planarconfig == tifffile.PLANARCONFIG.SEPARATE and samples > 1
            array = np.moveaxis(array.reshape(samples, height, width), 0, -1) if planar else array
            array = array.reshape(height, width, samples)
        else:
            array = np.moveaxis(tiff.series[0].asarray().reshape(-1, height, width), 0, -1)
        if photometric == tifffile.PHOTOMETRIC.PALETTE and page.colormap is not None:
            colors = np.asarray(page.colormap).T
            palette = np.zeros((max(256, len(colors)), 3), dtype=np.uint8)
            palette[: len(colors)] = colors >> 8 if colors.max(initial=0) > 255 else colors
    if array.shape[2] == 1:
        array = array[:, :, 0]
    if photometric == tifffile.PHOTOMETRIC.MINISWHITE and array.dtype.kind in "bu":
        array = ~array
    elif photometric == tifffile.PHOTOMETRIC.SEPARATED and array.ndim == 3 and array.dtype == np.uint8:
        array = np.asarray(Image.fromarray(array[:, :, :4], mode="CMYK").convert("RGB"))
    bits = 1 if array.dtype == np.bool_ else array.dtype.itemsize * 8
    return StoredPixels((array != 0).view(np.uint8) if bits == 1 else array, palette, orientation, bits)
