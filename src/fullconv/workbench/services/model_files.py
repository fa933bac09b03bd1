"""Packages and weights that come and go as files: uploads that are looked at before they appear, and downloads."""

from __future__ import annotations

import re
import secrets
import shutil
from collections.abc import AsyncIterable, Iterator
from pathlib import Path

from anyio import to_thread

from fullconv.errors import DataError, FullconvError, PackageError
from fullconv.files import disk_errors, staged_directory, write_document
from fullconv.networks.own_file import COPY
from fullconv.store.checking import checked_package
from fullconv.store.package import CARD, WEIGHTS, HistoryEntry, ModelCard
from fullconv.store.stored_weights import keep_weights
from fullconv.workbench.refusals import Forbidden
from fullconv.workbench.security.archives import unpack
from fullconv.workbench.security.uploads import Dropped, Form, received
from fullconv.workbench.services.model_views import ModelFacts
from fullconv.workbench.services.models import files_of, model_facts, refuse_taken
from fullconv.workbench.services.predictions import package_of
from fullconv.workbench.services.weights import WeightsFacts, weights_facts
from fullconv.workbench.stored import PackageKind
from fullconv.workbench.workbench import Workbench
from fullconv.workbench.zipping import zipped
from fullconv.workspace import checked_name

WEIGHTS_KIND = ".safetensors"
CONVERTED = "safetensors.torch.save_file(fullconv.surgery.weight_files.read_weights('net.pth'), 'net.safetensors')"
"""How a state dict that torch.save wrote becomes such a file, on the machine of whoever has it."""
_KEPT = (CARD, WEIGHTS, COPY)
Content = Form | Dropped | AsyncIterable[bytes]


async def upload_package(bench: Workbench, content: Content, *, name: str | None = None) -> ModelFacts:
    """Take a model package that somebody packed as a zip; nothing in it is run.

    Args:
        content: of the archive: a package's folder, or the files of it.
        name: in the store; the one that the package says of itself if not given.

    Raises:
        Conflict: the name is taken.
        PackageError: it holds no package, or one whose files do not fit each other.
        Forbidden: its network is Python code, and the workbench was started without --allow-code.
        TooLarge, Unsupported, DataError: as `unpack`.
    """
    bench.must_be_writable()
    if name is not None:
        refuse_taken(bench, name)
    folder = bench.scratch.folder("uploads")
    archive = await received(content, bench.settings.limits.upload, folder=folder, where="package")
    try:
        made = await to_thread.run_sync(_unpacked, bench, archive, name)
    finally:
        archive.unlink(missing_ok=True)
    return await to_thread.run_sync(model_facts, bench, made, "model")


async def upload_weights(
    bench: Workbench, content: Content, *, file_name: str, name: str | None = None
) -> WeightsFacts:
    """Take a weight file as start values for runs: safetensors alone, since a pickle can hold programs.

    Args:
        content: of the file. file_name: what the visitor calls it, for its kind.
        name: in the store; made of the file's name if not given.

    Raises:
        Conflict: the name is taken.
        DataError: another kind of file. PackageError: it holds no weights that can be read.
    """
    bench.must_be_writable()
    suffix = Path(file_name).suffix.lower()
    if suffix != WEIGHTS_KIND:
        remedy = f"make one of it in Python: {CONVERTED}"
        raise DataError(f"is no {WEIGHTS_KIND} file", where=file_name[:100], remedy=remedy)
    chosen = name or name_from(file_name)
    refuse_taken(bench, chosen)
    folder = bench.scratch.folder("uploads")
    path = await received(content, bench.settings.limits.upload, folder=folder, suffix=suffix, where="weights")
    try:
        await to_thread.run_sync(_kept, bench, path, chosen, file_name)
    finally:
        path.unlink(missing_ok=True)
    return await to_thread.run_sync(weights_facts, bench, chosen)


def packed(bench: Workbench, name: str, kind: PackageKind | None = None) -> tuple[str, Iterator[bytes]]:
    """A model as a zip, piece by piece.

    Returns:
        The name of the file, and its content.
    """
    package = package_of(bench, name, kind)
    return f"{name}.zip", zipped([(path, f"{name}/{path.name}") for path in files_of(package.directory)])


def name_from(file_name: str) -> str:
    """A name for the store that is close to a file's.

    >>> name_from("VGG 16 (imagenet).pth")
    'VGG-16-imagenet'
    """
    return re.sub(r"[^A-Za-z0-9._-]+", "-", Path(file_name).stem).strip("-._")[:100] or "weights"


def _unpacked(bench: Workbench, archive: Path, name: str | None) -> str:
    """Unpack aside, look at all of it, and put it in its place."""
    aside = bench.scratch.folder("packages") / secrets.token_hex(6)
    try:
        try:
            unpack(archive, aside, bench.settings.limits)
        except FullconvError as problem:
            where = "package" if problem.where == archive.name else problem.where
            raise type(problem)(problem.problem, where=where, remedy=problem.remedy) from None
        found = _package_in(aside)
        card = _checked(found)
        if card.network.code is not None and not bench.settings.allow_code:
            raise Forbidden(
                f"its network ({card.network.name[:100]}) is Python code, which models here must not bring",
                where="package",
                remedy="start the workbench with --allow-code, if you trust whoever made it",
            )
        chosen = name or _own_name(card)
        refuse_taken(bench, chosen)
        uploaded = card.model_copy(
            update={"name": chosen, "history": (*card.history, HistoryEntry.now("uploaded", called=card.name[:200]))}
        )
        with staged_directory(bench.home.model(chosen)) as folder, disk_errors(folder):
            for kept in _KEPT if card.network.code is not None else (CARD, WEIGHTS):
                if kept != CARD:
                    shutil.move(found / kept, folder / kept)
            write_document(folder / CARD, uploaded)
    except ValueError as problem:
        raise PackageError("holds a value that cannot be written", where=CARD, remedy="take it out") from problem
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    bench.catalogue.refresh()
    return chosen


def _package_in(folder: Path) -> Path:
    """The folder of the one package that was unpacked."""
    found = [path.parent for path in (folder / CARD, *folder.glob(f"*/{CARD}")) if path.is_file()]
    if len(found) != 1:
        said = "holds no model package" if not found else f"holds {len(found)} model packages"
        remedy = f"pack one folder with {CARD} and {WEIGHTS}"
        raise PackageError(said, where="package", remedy=remedy)
    return found[0]


def _checked(folder: Path) -> ModelCard:
    """The card; paths of the server are left out of what is said."""
    try:
        return checked_package(folder)
    except FullconvError as problem:
        said = problem.problem.replace(f"{folder}/", "").replace(str(folder), "the package")
        where = Path(str(problem.where)).name if problem.where else "package"
        raise PackageError(said, where=where if where in _KEPT else "package", remedy=problem.remedy) from None


def _own_name(card: ModelCard) -> str:
    try:
        return checked_name(card.name)
    except FullconvError:
        return name_from(f"{card.name}.zip") if card.name.strip() else "model"


def _kept(bench: Workbench, path: Path, name: str, source: str) -> None:
    try:
        keep_weights(bench.home.model(name), path, source=source[:200])
    except FullconvError as problem:
        said = problem.problem.replace(str(path), "the file")
        raise type(problem)(said, where=source[:100], remedy=problem.remedy) from None
    bench.catalogue.refresh()
