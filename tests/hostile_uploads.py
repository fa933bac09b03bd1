"""Uploads that mean harm: archives that lead elsewhere or burst, and pictures that are none, or far too large."""

from __future__ import annotations

import io
import os
import pickle
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


_LIES = b'{"a": {"dtype": "F32", "shape": [1000000, 1000000], "data_offsets": [0, 4]}}'


def evil_packages() -> dict[str, bytes]:
    """Uploads that no model may become."""
    card = b"format: 1\nname: evil\nnetwork: {name: fcn8s-squeezenet1_1, classes: 3}\n"
    laughs = b"a: &a [x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a]\nname: [*b,*b,*b,*b,*b,*b]\n"
    pickled = _pickle_of(_Runs())
    return evil_archives() | {
        "a package without weights": _zip(("model.yaml", card)),
        "a package of a pickle": _zip(("model.yaml", card), ("model.safetensors", pickled)),
        "a package with objects": _zip(("model.yaml", b"!!python/object/apply:os.system ['touch evil']")),
        "a package of laughs": _zip(("model.yaml", laughs), ("model.safetensors", b"")),
        "a deep package": _zip(("model.yaml", b"[" * 10_000), ("model.safetensors", b"")),
        "a package of no text": _zip(("model.yaml", b"\xff\xfe\0"), ("model.safetensors", b"")),
        "two packages": _zip(("a/model.yaml", card), ("b/model.yaml", card)),
        "a deep name": _zip(("model.yaml", card.replace(b"evil", b"../../evil")), ("model.safetensors", b"x")),
        "code": _zip(("model.yaml", card.replace(b"fcn8s-squeezenet1_1", b"network.py:build")), ("network.py", b"1/0")),
    }


def evil_weights() -> dict[str, bytes]:
    """Uploads that are no weights: pickles that run code, or tensors far larger than their file."""
    import torch

    def saved(content: object, **options: bool) -> bytes:
        stream = io.BytesIO()
        torch.save(content, stream, **options)
        return stream.getvalue()

    wide = torch.zeros(1, dtype=torch.float16).expand(10**6, 10**6)
    good = saved({"a.weight": torch.zeros(4)})
    return {
        "nothing": b"",
        "text": b"hello",
        "a pickle that runs": _pickle_of(_Runs()),
        "weights that run": saved({"a.weight": _Runs()}),
        "old weights that run": saved({"a.weight": _Runs()}, _use_new_zipfile_serialization=False),
        "a whole network": saved(torch.nn.Linear(2, 2)),
        "one number a million million times": saved({"a.weight": wide}),
        "the same, half of it": saved({"a.weight": wide[:, :1000], "b.weight": wide[:1000]}),
        "half": good[: len(good) // 2],
        "no tensors": saved({"a": 1}),
        "a header without end": struct.pack("<Q", 2**63) + b"{}",
        "a header that lies": struct.pack("<Q", len(_LIES)) + _LIES + b"1234",
        "an archive": _zip(("../evil.txt", b"evil")),
        "a bomb": _zip(("archive/data.pkl", bytes(2**23))),
    }


class _Runs:
    """Runs a command when it is unpickled."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (os.mkdir, ("/tmp/fullconv-evil",))


def _pickle_of(content: object) -> bytes:
    return pickle.dumps(content)


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
