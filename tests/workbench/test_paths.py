from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from fullconv.errors import DataError, FullconvError
from fullconv.workbench.refusals import Forbidden, NotThere
from fullconv.workbench.security import paths
from fullconv.workbench.security.paths import allowed_path, listing
from fullconv.workbench.settings import ServerSettings
from fullconv.workspace import Workspace


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ServerSettings:
    """A root with two folders of images, a folder beside it that nobody may see, and links between them."""
    monkeypatch.setenv("HOME", str(tmp_path / "person"))
    for folder in ("open/streets/images", "open/streets/labels", "open/.hidden", "secret/inside", "person/data"):
        (tmp_path / folder).mkdir(parents=True)
    for number in range(3):
        Image.new("L", (2, 2)).save(tmp_path / f"open/streets/images/{number}.PNG")
    (tmp_path / "open/streets/notes.txt").write_text("notes")
    (tmp_path / "open/.hidden/key").write_text("key")
    (tmp_path / "secret/key").write_text("key")
    (tmp_path / "open/away").symlink_to(tmp_path / "secret")
    (tmp_path / "open/key").symlink_to(tmp_path / "secret/key")
    (tmp_path / "open/within").symlink_to(tmp_path / "open/streets")
    (tmp_path / "open/nowhere").symlink_to(tmp_path / "open/not-there")
    (tmp_path / "open/round").symlink_to(tmp_path / "open/round")
    home = Workspace(tmp_path / "home")
    for folder in ("datasets/d", "workbench", "jobs"):
        (home.root / folder).mkdir(parents=True)
    (home.root / "workbench/secret").write_text("secret")
    (home.root / "workbench.sqlite").write_text("database")
    return ServerSettings(home, roots=(tmp_path / "open",))


def test_what_lies_in_a_root_is_found(place: ServerSettings, tmp_path: Path) -> None:
    assert allowed_path(place, str(tmp_path / "open")) == tmp_path / "open"
    assert allowed_path(place, f"{tmp_path}/open/./streets//images/") == tmp_path / "open/streets/images"
    assert allowed_path(place, f"{tmp_path}/open/streets/../streets/notes.txt").name == "notes.txt"
    assert allowed_path(place, f"{tmp_path}/open/within/images") == tmp_path / "open/streets/images"
    assert allowed_path(place, f"{tmp_path}/home/datasets/d") == tmp_path / "home/datasets/d"


def test_the_tilde_is_the_home_of_who_started_the_server(place: ServerSettings, tmp_path: Path) -> None:
    at_home = ServerSettings(place.home)
    assert allowed_path(at_home, "~") == tmp_path / "person"
    assert allowed_path(at_home, "~/data") == tmp_path / "person/data"
    for text in ("~root", "~root/.ssh", "~~", "~data"):
        with pytest.raises(DataError, match="absolute"):
            allowed_path(at_home, text)


@pytest.mark.parametrize(
    "text",
    [
        "{0}",
        "{0}/secret",
        "{0}/secret/key",
        "{0}/secret/not-there",
        "{0}/open/../secret/key",
        "{0}/open/streets/../../secret",
        "{0}/open/not-there/../../secret/key",
        "{0}/open/away",
        "{0}/open/away/inside",
        "{0}/open/away/not-there",
        "{0}/open/key",
        "{0}/openly",
        "{0}/open/.hidden",
        "{0}/open/.hidden/key",
        "{0}/open/.not-there",
        "{0}/home/workbench",
        "{0}/home/workbench/secret",
        "{0}/home/workbench.sqlite",
        "{0}/home/workbench.sqlite-wal",
        "/",
        "//",
        "/etc/passwd",
        "/etc/not-there",
        "/proc/self/environ",
        "/proc/self/root{0}/secret/key",
        "/dev/stdin",
    ],
)
def test_what_lies_elsewhere_is_refused_whether_it_exists_or_not(
    place: ServerSettings, tmp_path: Path, text: str
) -> None:
    with pytest.raises(Forbidden, match="outside the allowed folders"):
        allowed_path(place, text.format(tmp_path))


@pytest.mark.parametrize(
    "name", ["not-there", "nowhere", "round", "round/on", "streets/notes.txt/on", "streets/\u202e"]
)
def test_what_is_missing_in_a_root_is_not_there(place: ServerSettings, tmp_path: Path, name: str) -> None:
    with pytest.raises(NotThere):
        allowed_path(place, f"{tmp_path}/open/{name}")


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        ".",
        "streets",
        "../secret",
        "./open",
        "C:\\windows",
        "\\\\server\\share",
        "file:///etc/passwd",
        " /etc/passwd",
        "{0}/open/streets\0.png",
        "\0",
        "{0}/open/a\nb",
        "{0}/open/\x1b[31m",
        "{0}/open/\x7f",
        "{0}/open/\x85",
        "{0}/open/\u2028",
        "{0}/open/\ud800",
        "{0}/open/" + "x" * 256,
        "{0}/open/" + "ä" * 128,
        "{0}/open" + "/x" * 3000,
        "/" * 5000,
    ],
)
def test_what_is_no_path_is_refused(place: ServerSettings, tmp_path: Path, text: str) -> None:
    with pytest.raises(DataError) as told:
        allowed_path(place, text.format(tmp_path))
    assert len(str(told.value)) < 600


def test_kinds_are_checked(place: ServerSettings, tmp_path: Path) -> None:
    folder, file = str(tmp_path / "open/streets"), str(tmp_path / "open/streets/notes.txt")
    assert allowed_path(place, folder, kind="folder")
    assert allowed_path(place, file, kind="file")
    with pytest.raises(DataError, match="is a folder"):
        allowed_path(place, folder, kind="file")
    with pytest.raises(DataError, match="is a file"):
        allowed_path(place, file, kind="folder", where="images")


def test_pipes_and_sockets_are_refused(place: ServerSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo(tmp_path / "open/pipe")
    monkeypatch.chdir(tmp_path / "open")
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind("socket")
        for name in ("pipe", "socket"):
            with pytest.raises(DataError, match="neither a file nor a folder"):
                allowed_path(place, str(tmp_path / "open" / name))


def test_a_root_may_be_a_link_or_hidden(place: ServerSettings, tmp_path: Path) -> None:
    (tmp_path / "linked").symlink_to(tmp_path / "secret")
    linked = ServerSettings(place.home, roots=(tmp_path / "linked", tmp_path / "open/.hidden"))
    assert allowed_path(linked, f"{tmp_path}/linked/inside") == tmp_path / "secret/inside"
    assert allowed_path(linked, f"{tmp_path}/open/.hidden/key")
    with pytest.raises(Forbidden):
        allowed_path(linked, f"{tmp_path}/open/streets")


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    st.lists(
        st.sampled_from(
            ["..", ".", "", "open", "secret", "away", "within", "streets", "key", ".hidden", "home", "workbench"]
        )
        | st.text(max_size=3),
        max_size=8,
    )
)
def test_no_path_leads_out(place: ServerSettings, tmp_path: Path, parts: list[str]) -> None:
    try:
        found = allowed_path(place, "/".join([str(tmp_path), *parts]))
    except FullconvError:
        return
    assert found.is_relative_to(tmp_path / "open") or found.is_relative_to(tmp_path / "home")
    assert ".hidden" not in found.parts
    assert not found.is_relative_to(tmp_path / "home/workbench")


def test_without_a_folder_the_roots_are_listed(place: ServerSettings, tmp_path: Path) -> None:
    for nothing in (None, ""):
        shown = listing(place, nothing)
        assert [folder.path for folder in shown.folders] == [str(tmp_path / "open"), str(tmp_path / "home")]
        assert (shown.path, shown.parent) == (None, None)


def test_a_listing_has_folders_with_their_images_and_nothing_hidden(place: ServerSettings, tmp_path: Path) -> None:
    shown = listing(place, str(tmp_path / "open"))
    assert [folder.name for folder in shown.folders] == ["streets", "within"]
    assert (shown.path, shown.parent, shown.images, shown.more) == (str(tmp_path / "open"), None, 0, False)
    inside = listing(place, str(tmp_path / "open/streets"))
    assert [(folder.name, folder.images) for folder in inside.folders] == [("images", 3), ("labels", 0)]
    assert inside.parent == str(tmp_path / "open")
    assert listing(place, str(tmp_path / "open/within/images")).images == 3
    assert [folder.name for folder in listing(place, str(tmp_path / "home")).folders] == ["datasets", "jobs"]


def test_a_long_listing_is_cut_and_says_so(
    place: ServerSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(20):
        (tmp_path / f"open/labels{number:02}").mkdir()
    monkeypatch.setattr(paths, "SHOWN", 5)
    shown = listing(place, str(tmp_path / "open"))
    assert [folder.name for folder in shown.folders] == [f"labels{number:02}" for number in range(5)]
    assert shown.more
    monkeypatch.setattr(paths, "LOOKED_AT", 10)
    assert listing(place, str(tmp_path / "open")).more


def test_names_that_cannot_be_shown_are_left_out(place: ServerSettings, tmp_path: Path) -> None:
    for name in (b"latin-\xe9", b"line\nbreak", b"bell\x07"):
        os.mkdir(os.fsencode(tmp_path / "open") + b"/" + name)  # noqa: PTH102
    shown = listing(place, str(tmp_path / "open"))
    assert [folder.name for folder in shown.folders] == ["streets", "within"]
    assert shown.model_dump_json().encode()


@pytest.mark.parametrize(
    ("name", "kind"),
    [("streets/notes.txt", DataError), ("not-there", NotThere), ("away", Forbidden), (".hidden", Forbidden)],
)
def test_only_folders_in_roots_are_listed(
    place: ServerSettings, tmp_path: Path, name: str, kind: type[FullconvError]
) -> None:
    with pytest.raises(kind):
        listing(place, str(tmp_path / "open" / name))


@pytest.fixture
def unreadable(place: ServerSettings, tmp_path: Path) -> Callable[[], None]:
    return lambda: (tmp_path / "open/streets").chmod(0)


@pytest.mark.skipif(os.geteuid() == 0, reason="for the administrator nothing is unreadable")
def test_a_folder_that_may_not_be_read_is_refused(
    place: ServerSettings, tmp_path: Path, unreadable: Callable[[], None]
) -> None:
    unreadable()
    with pytest.raises(Forbidden, match="may not be read"):
        listing(place, str(tmp_path / "open/streets"))
