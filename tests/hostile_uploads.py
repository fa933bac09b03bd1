"""Uploads that mean harm: archives that lead elsewhere or burst, and pictures that are none, or far too large."""

from __future__ import annotations

import io
import stat
import struct
import tarfile
import zipfile
import zlib


def evil_archives() -> dict[str, bytes]:
    """Uploads that no folder may become."""
    slip = ("../../evil.txt", "/tmp/evil.txt", "a/../../../evil.txt", "..\\evil.txt", "C:\\evil.txt", "a\nb.txt")
    found = {f"zip with {name!r}": _zip((name, b"evil")) for name in slip}
    found |= {f"tar with {name!r}": _tar((name, b"evil", tarfile.REGTYPE)) for name in slip}
    found |= {
        "zip with a link": _zip(("link", b"/etc"), mode=stat.S_IFLNK | 0o777),
        "tar with a link": _tar(("link", b"", tarfile.SYMTYPE)),
        "tar with a hard link": _tar(("link", b"", tarfile.LNKTYPE)),
        "tar with a device": _tar(("zero", b"", tarfile.CHRTYPE)),
        "tar with a file through a link": _tar(("a", b"", tarfile.SYMTYPE), ("a/evil.txt", b"evil", tarfile.REGTYPE)),
        "zip with names that clash": _zip(("a.png", b"x"), ("A.PNG", b"x")),
        "zip bomb": _zip(("zeros.bin", bytes(2**23))),
        "tar bomb": _tar(("zeros.bin", bytes(2**23), tarfile.REGTYPE)),
        "zip of very many": _zip(*((f"{number}.txt", b"") for number in range(600))),
        "zip of nothing": _zip(),
        "half a zip": _zip(("a.png", b"x" * 1000))[:100],
        "no archive": b"hello",
        "a picture": png(4, 4),
        "nothing": b"",
    }
    return found


def evil_pictures() -> dict[str, bytes]:
    """Uploads that are no image, or far too large a one."""
    return {
        "nothing": b"",
        "text": b"hello",
        "a page": b"<html><script>alert(1)</script>",
        "a drawing": b'<svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"/>',
        "postscript": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n(/etc/passwd) (r) file",
        "a pickle": b"cos\nsystem\n(S'true'\ntR.",
        "a huge png": png(100_000, 100_000),
        "the hugest png": png(2**31 - 1, 2**31 - 1),
        "a png above the limit": png(2_000, 1_001),
        "a png without rows": png(100, 100),
        "half a png": png(4, 4)[:30],
        "a huge tiff": _tiff(2**32 - 1, 2**32 - 1),
        "a zip": _zip(("../evil.txt", b"evil")),
    }


def png(width: int, height: int) -> bytes:
    """A PNG file that claims a size and holds nothing."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">L", len(body)) + kind + body + struct.pack(">L", zlib.crc32(kind + body))

    header = struct.pack(">LLBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


def _tiff(width: int, height: int) -> bytes:
    tags = ((256, width), (257, height), (258, 8), (259, 1), (262, 1), (273, 8), (277, 1), (278, height), (279, 9))
    entries = b"".join(struct.pack("<HHLL", tag, 4, 1, value) for tag, value in tags)
    return b"II*\0" + struct.pack("<LH", 8, len(tags)) + entries + bytes(4)


def _zip(*files: tuple[str, bytes], mode: int = 0) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files:
            entry = zipfile.ZipInfo(name)
            entry.compress_type, entry.external_attr = zipfile.ZIP_DEFLATED, mode << 16
            archive.writestr(entry, content)
    return stream.getvalue()


def _tar(*files: tuple[str, bytes, bytes]) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as archive:
        for name, content, kind in files:
            entry = tarfile.TarInfo(name)
            entry.size, entry.type, entry.linkname = len(content), kind, "/etc"
            archive.addfile(entry, io.BytesIO(content))
    return stream.getvalue()
