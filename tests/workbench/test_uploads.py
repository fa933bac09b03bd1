from __future__ import annotations

import asyncio
import io
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from nicegui.elements.upload_files import SmallFileUpload, create_file_upload
from starlette.datastructures import UploadFile

from fullconv.errors import FullconvError
from fullconv.workbench.refusals import TooLarge
from fullconv.workbench.security.uploads import CHUNK, received

CONTENT = bytes(range(256)) * 10_000


async def pieces(content: bytes) -> AsyncIterator[bytes]:
    for place in range(0, len(content), CHUNK // 3):
        yield content[place : place + CHUNK // 3]


def sources(content: bytes) -> list[object]:
    return [
        UploadFile(io.BytesIO(content), filename="../../evil.sh"),
        SmallFileUpload("../../evil.sh", "image/png", content),
        pieces(content),
    ]


@pytest.mark.parametrize("which", range(3))
def test_an_upload_comes_to_disk_under_a_name_of_our_own(tmp_path: Path, which: int) -> None:
    path = asyncio.run(received(sources(CONTENT)[which], len(CONTENT), folder=tmp_path / "in", suffix=".png"))  # type: ignore[arg-type]
    assert path.read_bytes() == CONTENT
    assert path.parent == tmp_path / "in"
    assert path.suffix == ".png"
    assert "evil" not in path.name
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("which", range(3))
def test_one_byte_too_many_is_refused_and_nothing_is_left(tmp_path: Path, which: int) -> None:
    with pytest.raises(TooLarge, match=r"photo.*larger than"):
        asyncio.run(received(sources(CONTENT)[which], len(CONTENT) - 1, folder=tmp_path, where="photo"))  # type: ignore[arg-type]
    assert not list(tmp_path.iterdir())


def test_nothing_is_left_of_an_upload_that_breaks_off(tmp_path: Path) -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield b"half"
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        asyncio.run(received(broken(), 100, folder=tmp_path))
    assert not list(tmp_path.iterdir())


def test_nothing_is_left_of_what_a_large_upload_was_kept_in_on_its_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "on-its-way"))
    (tmp_path / "on-its-way").mkdir()

    async def dropped() -> Path:
        upload = await create_file_upload(UploadFile(io.BytesIO(CONTENT), filename="photo.png"))
        assert len(list((tmp_path / "on-its-way").iterdir())) == 1
        return await received(upload, len(CONTENT), folder=tmp_path / "in")

    assert asyncio.run(dropped()).read_bytes() == CONTENT
    assert not list((tmp_path / "on-its-way").iterdir())


def test_a_place_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("here")
    with pytest.raises(FullconvError):
        asyncio.run(received(pieces(b"x"), 100, folder=tmp_path / "file"))
