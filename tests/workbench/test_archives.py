from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import random
import shutil
import stat
import struct
import tarfile
import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fullconv.errors import DataError, FullconvError, StorageError
from fullconv.progress import told_to
from fullconv.workbench.refusals import TooLarge, Unsupported
from fullconv.workbench.security.archives import unpack
from fullconv.workbench.security.member_names import member_path
from fullconv.workbench.settings import Limits

SMALL = Limits(upload=2**20, archive=2**20, members=50)
FILES = {"images/1.png": b"image", "labels/1.png": b"label", "classes.txt": b"road\n"}
UNSAFE = (
    "../up.txt",
    "images/../../up.txt",
    "/etc/cron.d/evil",
    "..\\up.txt",
    "images\\..\\..\\up.txt",
    "C:\\windows\\evil.txt",
    "C:evil.txt",
    "//server/share/evil",
    "line\nbreak.png",
    "bell\x07.png",
    "a/" * 40 + "deep.png",
    "x" * 300 + ".png",
)


def zipped(
    path: Path, files: Iterable[tuple[str, bytes]], *, mode: int = 0, method: int = zipfile.ZIP_DEFLATED
) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in files:
            entry = zipfile.ZipInfo(name)
            entry.compress_type = method
            entry.external_attr = mode << 16
            archive.writestr(entry, content)
    return path


def tarred(path: Path, files: Iterable[tuple[str, bytes]], form: str = "w:gz", **changes: object) -> Path:
    with tarfile.open(path, form) as archive:
        for name, content in files:
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            for key, value in changes.items():
                setattr(entry, key, value)
            archive.addfile(entry, io.BytesIO(content) if entry.isreg() else None)
    return path


def below(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def refused(tmp_path: Path) -> Callable[..., FullconvError]:
    """Unpacks something that is refused, and looks that nothing is left of it."""

    def attempt(archive: Path, kind: type[FullconvError] = DataError, limits: Limits = SMALL) -> FullconvError:
        before = sorted(str(path) for path in tmp_path.rglob("*"))
        with pytest.raises(kind) as told:
            unpack(archive, tmp_path / "out" / "made", limits)
        left = [path for path in sorted(str(path) for path in tmp_path.rglob("*")) if path not in before]
        assert left in ([], [str(tmp_path / "out")])
        assert str(tmp_path) not in str(told.value)
        return told.value

    return attempt


@pytest.mark.parametrize("form", ["zip", "stored", "w", "w:gz", "w:bz2", "w:xz"])
def test_a_folder_comes_out_as_it_was(tmp_path: Path, form: str) -> None:
    archive = tmp_path / "upload"
    if form in ("zip", "stored"):
        zipped(archive, FILES.items(), method=zipfile.ZIP_DEFLATED if form == "zip" else zipfile.ZIP_STORED)
    else:
        tarred(archive, [(f"./{name}", content) for name, content in FILES.items()], form)
    done = unpack(archive, tmp_path / "out", SMALL)
    assert below(tmp_path / "out") == FILES
    assert (done.files, done.size, done.left_out) == (3, 15, 0)


def test_what_systems_add_is_left_out_and_nothing_can_be_run(tmp_path: Path) -> None:
    added = {"__MACOSX/images/._1.png": b"x", ".DS_Store": b"x", "images/.hidden": b"x", "Thumbs.db": b"x"}
    archive = zipped(tmp_path / "a.zip", (FILES | added).items(), mode=stat.S_IFREG | stat.S_ISUID | 0o777)
    assert unpack(archive, tmp_path / "out", SMALL).left_out == 4
    assert below(tmp_path / "out") == FILES
    assert not any(path.stat().st_mode & 0o7111 for path in (tmp_path / "out").rglob("*") if path.is_file())


def test_progress_is_told(tmp_path: Path) -> None:
    said = []
    with told_to(lambda what, done, total, seconds: said.append((what, done, total))):
        unpack(zipped(tmp_path / "a.zip", FILES.items()), tmp_path / "out", SMALL)
    assert said == [("unpacking", 1, 3), ("unpacking", 2, 3), ("unpacking", 3, 3)]


@pytest.mark.parametrize("name", UNSAFE)
@pytest.mark.parametrize("pack", [zipped, tarred])
def test_names_that_lead_elsewhere_are_refused(
    tmp_path: Path, refused: Callable[..., FullconvError], pack: Callable[..., Path], name: str
) -> None:
    refused(pack(tmp_path / "upload", [*FILES.items(), (name, b"evil")]))


@pytest.mark.parametrize(
    "names",
    [
        ("a.png", "a.png"),
        ("a.png", "A.PNG"),
        ("Images/1.png", "images/2.png"),
        ("a", "a/b.png"),
        ("a/b.png", "a"),
        ("a/b.png", "A"),
        ("ä.png", "a\u0308.png"),
        ("./a.png", "a.png"),
    ],
)
@pytest.mark.parametrize("pack", [zipped, tarred])
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_names_that_clash_are_refused(
    tmp_path: Path, refused: Callable[..., FullconvError], pack: Callable[..., Path], names: tuple[str, ...]
) -> None:
    assert "clashes" in str(refused(pack(tmp_path / "upload", [(name, b"x") for name in names])))


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR, stat.S_IFBLK, stat.S_IFSOCK])
def test_links_and_devices_in_a_zip_are_refused(
    tmp_path: Path, refused: Callable[..., FullconvError], kind: int
) -> None:
    assert "link" in str(refused(zipped(tmp_path / "a.zip", [("images", b"/etc")], mode=kind | 0o777)))


@pytest.mark.parametrize(
    "kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE, b"S"]
)
def test_links_and_devices_in_a_tar_are_refused(
    tmp_path: Path, refused: Callable[..., FullconvError], kind: bytes
) -> None:
    refused(tarred(tmp_path / "a.tar", [("images", b"")], "w", type=kind, linkname="/etc/passwd"))


def test_a_link_and_a_file_through_it_write_nothing_outside(
    tmp_path: Path, refused: Callable[..., FullconvError]
) -> None:
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        link = tarfile.TarInfo("images")
        link.type, link.linkname = tarfile.SYMTYPE, str(tmp_path)
        archive.addfile(link)
        through = tarfile.TarInfo("images/evil.txt")
        through.size = 4
        archive.addfile(through, io.BytesIO(b"evil"))
    refused(tmp_path / "a.tar")
    assert not (tmp_path / "evil.txt").exists()


def test_encrypted_members_are_refused(tmp_path: Path, refused: Callable[..., FullconvError]) -> None:
    content = bytearray(zipped(tmp_path / "a.zip", FILES.items()).read_bytes())
    for mark, place in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        found = content.find(mark)
        while found >= 0:
            content[found + place] |= 1
            found = content.find(mark, found + 1)
    (tmp_path / "a.zip").write_bytes(content)
    assert "encrypted" in str(refused(tmp_path / "a.zip"))


def test_more_bytes_than_allowed_are_refused(tmp_path: Path, refused: Callable[..., FullconvError]) -> None:
    many = [(f"{number}.bin", bytes(2**18)) for number in range(5)]
    refused(zipped(tmp_path / "a.zip", many), TooLarge)
    refused(tarred(tmp_path / "a.tgz", many), TooLarge)


def test_more_files_than_allowed_are_refused(tmp_path: Path, refused: Callable[..., FullconvError]) -> None:
    many = [(f"{number}.txt", b"") for number in range(51)]
    refused(zipped(tmp_path / "a.zip", many), TooLarge)
    refused(tarred(tmp_path / "a.tgz", many), TooLarge)


@pytest.mark.parametrize("opener", [gzip.open, bz2.open, lzma.open])
def test_a_bomb_is_stopped_early(
    tmp_path: Path, refused: Callable[..., FullconvError], opener: Callable[..., io.BufferedIOBase]
) -> None:
    entry = tarfile.TarInfo("zeros.bin")
    entry.size = 2**40
    with opener(tmp_path / "a", "wb") as stream:
        stream.write(entry.tobuf() + bytes(2**24))
    refused(tmp_path / "a", TooLarge, Limits())
    refused(tmp_path / "a", TooLarge)


def test_a_bomb_in_a_file_that_is_left_out_is_stopped_too(
    tmp_path: Path, refused: Callable[..., FullconvError]
) -> None:
    entry = tarfile.TarInfo(".hidden")
    entry.size = 2**40
    with gzip.open(tmp_path / "a", "wb") as stream:
        stream.write(entry.tobuf() + bytes(2**24))
    refused(tmp_path / "a", TooLarge)


def test_a_small_archive_of_very_much_is_refused(
    tmp_path: Path, refused: Callable[..., FullconvError], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fullconv.workbench.security.archives.UNSUSPICIOUS", 2**20)
    zeros = [("zeros.bin", bytes(3 * 2**20))]
    assert "bomb" in str(refused(zipped(tmp_path / "a.zip", zeros), TooLarge, Limits()))
    assert "bomb" in str(refused(tarred(tmp_path / "a.tgz", zeros), TooLarge, Limits()))


def test_a_zip_that_lies_about_its_sizes_is_refused(tmp_path: Path, refused: Callable[..., FullconvError]) -> None:
    content = bytearray(zipped(tmp_path / "a.zip", [("zeros.bin", bytes(2**19))]).read_bytes())
    struct.pack_into("<L", content, content.find(b"PK\1\2") + 24, 10)
    (tmp_path / "a.zip").write_bytes(content)
    refused(tmp_path / "a.zip")


def test_a_tar_header_that_claims_gigabytes_is_refused(tmp_path: Path, refused: Callable[..., FullconvError]) -> None:
    for kind in (tarfile.XHDTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.XGLTYPE):
        entry = tarfile.TarInfo("name")
        entry.type, entry.size = kind, 2**32
        (tmp_path / "a.tar").write_bytes(entry.tobuf() + bytes(2**16))
        refused(tmp_path / "a.tar")


def test_tar_headers_without_end_are_refused(tmp_path: Path, refused: Callable[..., FullconvError]) -> None:
    sparse = tarfile.TarInfo("sparse")
    sparse.type = tarfile.GNUTYPE_SPARSE
    extended = bytearray(sparse.tobuf(tarfile.GNU_FORMAT))
    extended[482] = 1  # more of it follows
    extended[148:156] = b"%06o\0 " % tarfile.calc_chksums(bytes(extended))[0]
    mapped = tarfile.TarInfo("mapped")
    mapped.pax_headers, mapped.size = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0"}, 2**20
    for header, more in (
        (bytes(extended), bytes(504) + b"\1".ljust(8, b"\0")),
        (mapped.tobuf(tarfile.PAX_FORMAT) + b"99999999\n", b"1\n" * 256),
    ):
        (tmp_path / "a.tar").write_bytes(header + more * 2048)
        assert "very long" in str(refused(tmp_path / "a.tar", limits=Limits()))


def test_attributes_of_all_members_cannot_be_piled_up(tmp_path: Path, refused: Callable[..., FullconvError]) -> None:
    for count in (1, 200):
        shared = {f"key-{number}": "value" for number in range(count)}
        with tarfile.open(tmp_path / f"{count}.tar", "w", pax_headers=shared) as archive:
            archive.addfile(tarfile.TarInfo("a.txt"))
    assert unpack(tmp_path / "1.tar", tmp_path / "out" / "fine", SMALL).files == 1
    shutil.rmtree(tmp_path / "out")
    assert "very long" in str(refused(tmp_path / "200.tar"))


def test_a_tar_leaves_room_on_the_disk(
    tmp_path: Path, refused: Callable[..., FullconvError], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fullconv.workbench.security.archives.SPARE", 2**62)
    assert "no space left" in str(refused(tarred(tmp_path / "a.tgz", FILES.items()), StorageError))


def test_the_disk_is_looked_at_again_while_a_tar_comes_out(
    tmp_path: Path, refused: Callable[..., FullconvError], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fullconv.workbench.security.archives._LOOK", 2**16)
    free = iter([2**40, 2**40])
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=next(free, 0)))
    many = [(f"{number}.bin", bytes(2**16)) for number in range(4)]
    assert "no space left" in str(refused(tarred(tmp_path / "a.tar", many, "w"), StorageError))


def test_a_zip_with_an_endless_list_is_refused_before_it_is_read(
    tmp_path: Path, refused: Callable[..., FullconvError]
) -> None:
    central = struct.pack("<4s6H3L5H2L", b"PK\1\2", *[0] * 16)
    count = 2**21 // len(central)
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 1, 1, count * len(central), 4, 0)
    (tmp_path / "a.zip").write_bytes(b"PK\3\4" + central * count + end)
    refused(tmp_path / "a.zip", TooLarge)


def test_many_headers_in_a_row_are_refused(tmp_path: Path, refused: Callable[..., FullconvError]) -> None:
    entry = tarfile.TarInfo("name")
    entry.type, entry.size = tarfile.GNUTYPE_LONGNAME, 1
    (tmp_path / "a.tar").write_bytes((entry.tobuf() + b"x".ljust(512, b"\0")) * 2000)
    refused(tmp_path / "a.tar")


def test_what_is_no_archive_is_said_to_be_none(tmp_path: Path, refused: Callable[..., FullconvError]) -> None:
    for content in (b"", b"hello", b"\x89PNG\r\n\x1a\n" + bytes(1000), os.urandom(2000)):
        (tmp_path / "a").write_bytes(content)
        refused(tmp_path / "a", Unsupported)
    (tmp_path / "a").write_bytes(b"\x28\xb5\x2f\xfd" + bytes(100))
    refused(tmp_path / "a", Unsupported)


def test_an_archive_of_nothing_is_refused(tmp_path: Path, refused: Callable[..., FullconvError]) -> None:
    refused(zipped(tmp_path / "a.zip", []))
    refused(tarred(tmp_path / "a.tar", [("only-a-folder", b"")], "w", type=tarfile.DIRTYPE))


def test_a_folder_that_is_there_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").write_text("mine")
    with pytest.raises(StorageError):
        unpack(zipped(tmp_path / "a.zip", FILES.items()), tmp_path / "out", SMALL)
    assert below(tmp_path / "out") == {"mine": b"mine"}


def test_damaged_archives_are_refused_and_leave_nothing(tmp_path: Path, refused: Callable[..., FullconvError]) -> None:
    chance = random.Random(0)
    whole = [
        zipped(tmp_path / "z", FILES.items()),
        tarred(tmp_path / "t", FILES.items()),
        tarred(tmp_path / "x", FILES.items(), "w:xz"),
    ]
    for path in whole:
        good = path.read_bytes()
        for _ in range(40):
            content = bytearray(good)
            for _ in range(chance.randrange(1, 6)):
                content[chance.randrange(len(content))] = chance.randrange(256)
            (tmp_path / "damaged").write_bytes(content[: chance.randrange(len(content) // 2, len(content) + 1)])
            try:
                unpack(tmp_path / "damaged", tmp_path / "out" / "made", SMALL)
            except FullconvError:
                assert not list((tmp_path / "out").iterdir())
            else:  # the damage lay where nobody looks
                inside = list((tmp_path / "out").iterdir())
                assert inside == [tmp_path / "out" / "made"]
                for found in sorted(inside[0].rglob("*"), reverse=True):
                    found.rmdir() if found.is_dir() else found.unlink()
                inside[0].rmdir()


@settings(max_examples=200, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(
    st.text(max_size=60)
    | st.lists(st.sampled_from(["..", ".", "", "a", "A", "/", "\\", "c:"]), max_size=8).map("/".join)
)
def test_no_name_leads_out(name: str) -> None:
    try:
        path = member_path(name)
    except DataError:
        return
    if path is not None:
        assert os.path.normpath(f"/top/{path}") == f"/top/{path}"
        assert not path.is_absolute()
