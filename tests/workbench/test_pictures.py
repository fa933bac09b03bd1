from __future__ import annotations

import io
import random
import struct
import zlib
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from fullconv.errors import DataError, FullconvError
from fullconv.workbench.refusals import TooLarge
from fullconv.workbench.security import pictures
from fullconv.workbench.security.pictures import checked_image, read_checked
from fullconv.workbench.settings import Limits

SMALL = Limits(pixels=10_000)


def png(width: int, height: int, *, bits: int = 8, color: int = 0, content: bytes = b"") -> bytes:
    """A PNG that claims a size."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">L", len(body)) + kind + body + struct.pack(">L", zlib.crc32(kind + body))

    header = struct.pack(">LLBBBBB", width, height, bits, color, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(content)) + chunk(b"IEND", b"")


def tiff(width: int, height: int, **changes: int) -> bytes:
    """A TIFF that claims a size, of one strip."""
    tags = {256: width, 257: height, 258: 8, 259: 1, 262: 1, 273: 8, 277: 1, 278: height, 279: 100} | {
        int(key[1:]): value for key, value in changes.items()
    }
    entries = b"".join(struct.pack("<HHLL", tag, 4, 1, value) for tag, value in sorted(tags.items()))
    return b"II*\0" + struct.pack("<L", 8) + struct.pack("<H", len(tags)) + entries + struct.pack("<L", 0)


def bmp(width: int, height: int) -> bytes:
    return (
        b"BM"
        + struct.pack("<LHHLLllHHLLllLL", 154, 0, 0, 54, 40, width, height, 1, 24, 0, 100, 0, 0, 0, 0)
        + bytes(100)
    )


def jpeg(width: int, height: int) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (8, 8)).save(stream, "JPEG")
    content = bytearray(stream.getvalue())
    struct.pack_into(">HH", content, content.find(b"\xff\xc0") + 5, height, width)
    return bytes(content)


def webp(width: int, height: int) -> bytes:
    bits = (width - 1) | (height - 1) << 14
    body = b"VP8L" + struct.pack("<L", 30) + b"\x2f" + struct.pack("<L", bits) + bytes(25)
    return b"RIFF" + struct.pack("<L", len(body) + 4) + b"WEBP" + body


HUGE = {
    "png": png(100_000, 100_000),
    "png of 16 bits": png(60_000, 60_000, bits=16, color=6),
    "png of the largest size": png(2**31 - 1, 2**31 - 1),
    "narrow png": png(2**31 - 1, 1),
    "tiff": tiff(100_000, 100_000),
    "tiff of the largest size": tiff(2**32 - 1, 2**32 - 1),
    "tiff of many bands": tiff(10_000, 10_000, t277=60_000),
    "bmp": bmp(60_000, 60_000),
    "jpeg": jpeg(65_000, 65_000),
    "webp": webp(16_384, 16_384),
}


@pytest.fixture
def undecoded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing may be decoded."""

    def fail(path: Path) -> None:
        raise AssertionError(f"{path} was decoded")

    monkeypatch.setattr(pictures, "read_image", fail)


@pytest.mark.parametrize("name", HUGE)
@pytest.mark.usefixtures("undecoded")
def test_huge_images_are_refused_before_they_are_decoded(tmp_path: Path, name: str) -> None:
    path = tmp_path / "upload-0123"
    path.write_bytes(HUGE[name])
    for limits in (SMALL, Limits()):
        with pytest.raises(FullconvError) as told:
            read_checked(path, limits, where="photo.png")
        assert isinstance(told.value, TooLarge) or name == "tiff of many bands"
        assert str(tmp_path) not in str(told.value)
        assert str(told.value).startswith("photo.png: ")


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".bmp", ".tif", ".webp"])
def test_the_limit_is_in_pixels_and_exact(tmp_path: Path, suffix: str) -> None:
    for size, fits in (((100, 100), True), ((100, 101), False)):
        path = tmp_path / f"image{suffix}"
        Image.fromarray(np.random.default_rng(0).integers(0, 255, (*size, 3), np.uint8)).save(path)
        if fits:
            assert read_checked(path, SMALL).shape == (100, 100, 3)
        else:
            with pytest.raises(TooLarge, match="more than"):
                read_checked(path, SMALL)


def test_bands_and_bits_stay(tmp_path: Path) -> None:
    bands = np.arange(6 * 5 * 7, dtype=np.uint16).reshape(6, 5, 7)
    tifffile.imwrite(tmp_path / "bands.tif", bands, photometric="minisblack", planarconfig="contig")
    assert (read_checked(tmp_path / "bands.tif", SMALL) == bands).all()
    assert checked_image(tmp_path / "bands.tif", SMALL).channels == 7


NO_IMAGES = {
    "nothing": b"",
    "text": b"hello",
    "a page": b"<html><script>alert(1)</script>",
    "a drawing": b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>',
    "postscript": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n",
    "a gif": b"GIF89a\x01\x00\x01\x00\x00\x00\x00;",
    "an icon": b"\0\0\1\0\1\0\x10\x10\0\0\1\0\x20\0" + bytes(100),
    "a cut png": png(10, 10)[:40],
    "an empty png": png(10, 10),
    "a png without size": png(0, 0),
    "a tiff whose data lie elsewhere": tiff(10, 10, t273=2**31),
    "a pickle": b"cos\nsystem\n(S'true'\ntR.",
}


@pytest.mark.parametrize("name", NO_IMAGES)
def test_what_is_no_image_is_refused_in_one_sentence(tmp_path: Path, name: str) -> None:
    path = tmp_path / "upload-0123.png"
    path.write_bytes(NO_IMAGES[name])
    with pytest.raises(FullconvError) as told:
        read_checked(path, SMALL, where="<img onerror>.png")
    assert str(tmp_path) not in str(told.value)
    assert "upload-0123" not in str(told.value)


def damaged(content: bytes, chance: random.Random) -> bytes:
    broken = bytearray(content)
    for _ in range(chance.randrange(1, 8)):
        broken[chance.randrange(len(broken))] = chance.randrange(256)
    return bytes(broken[: chance.randrange(len(broken) // 3, len(broken) + 1)])


@pytest.mark.parametrize("form", ["PNG", "JPEG", "BMP", "TIFF", "WEBP"])
@pytest.mark.filterwarnings("ignore")
def test_damaged_images_are_read_or_refused_and_nothing_else(tmp_path: Path, form: str) -> None:
    chance, stream = random.Random(form), io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (20, 30, 3), np.uint8)).save(stream, form)
    for _ in range(60):
        (tmp_path / "image").write_bytes(damaged(stream.getvalue(), chance))
        with suppress(DataError, TooLarge):
            assert read_checked(tmp_path / "image", SMALL).size <= 10_000 * 4


def test_pages_that_lead_in_a_circle_end(tmp_path: Path) -> None:
    (tmp_path / "image").write_bytes(tiff(10, 10, t273=0)[:-4] + struct.pack("<L", 8) + bytes(100))
    assert read_checked(tmp_path / "image", SMALL).shape == (10, 10, 1)
