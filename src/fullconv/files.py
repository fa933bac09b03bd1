"""Writing to disk so that nothing is ever found half-written, and reading documents back with clear errors."""

from __future__ import annotations

import errno
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from fullconv.errors import DataError, FullconvError, StorageError
from fullconv.plain_yaml import MISREAD
from fullconv.wrong_fields import wrong_field

Document = TypeVar("Document", bound=BaseModel)

_DISK_REMEDIES = {
    errno.ENOSPC: ("no space left on the disk", "free some space and run the same command again"),
    errno.EDQUOT: ("the disk quota is used up", "free some space and run the same command again"),
    errno.EFBIG: ("larger than this system lets a file grow", "raise the limit of file sizes and run it again"),
    errno.EACCES: ("no permission to write here", "choose another folder or change its permissions"),
    errno.EPERM: ("no permission to write here", "choose another folder or change its permissions"),
    errno.EROFS: ("the file system is read-only", "choose another folder"),
    errno.ENOTDIR: ("a file stands where a folder is needed", "choose another path"),
    errno.EISDIR: ("a folder stands where a file is needed", "choose another path"),
    errno.ENOTEMPTY: ("something with this name exists already", "choose another path or remove it first"),
    errno.EEXIST: ("something with this name exists already", "choose another path or remove it first"),
}


@contextmanager
def disk_errors(where: object) -> Iterator[None]:
    """Turn the operating system's errors while writing into one `StorageError` sentence.

    >>> with disk_errors("out"):
    ...     raise OSError(28, "No space left on device")
    Traceback (most recent call last):
    fullconv.errors.StorageError: out: no space left on the disk; free some space and run the same command again.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in _DISK_REMEDIES:
            raise
        problem, remedy = _DISK_REMEDIES[error.errno]
        raise StorageError(problem, where=error.filename or where, remedy=remedy) from error


@contextmanager
def staged_file(final: Path) -> Iterator[IO[bytes]]:
    """Write a file beside its final place and rename it when all went well; on any error nothing remains.

    Raises:
        StorageError: the disk is full or the folder cannot be written.
    """
    partial = final.with_name(f".{final.name[:200]}.{secrets.token_hex(4)}")
    with disk_errors(final):
        final.parent.mkdir(parents=True, exist_ok=True)
        try:
            with partial.open("wb") as stream:
                yield stream
            partial.replace(final)
        finally:
            partial.unlink(missing_ok=True)


def write_atomically(path: Path, content: str | bytes, *, make_folder: bool = True) -> None:
    """Write a whole file or nothing: readers see the old content or the new one, never a part.

    Args:
        path: the file.
        content: text (written as UTF-8) or bytes.
        make_folder: if it is missing; where it is not, somebody may have deleted it just now.

    Raises:
        StorageError: the disk is full, or the folder is gone or cannot be written.
    """
    data = content.encode() if isinstance(content, str) else content
    partial = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    with disk_errors(path):
        if make_folder:
            path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with partial.open("wb") as stream:
                stream.write(data)
                stream.flush()
                os.fsync(stream.fileno())
            partial.replace(path)
        except FileNotFoundError:
            raise StorageError("its folder is gone", where=path, remedy="it was deleted or moved meanwhile") from None
        finally:
            partial.unlink(missing_ok=True)


def staged_name(name: str) -> str:
    """What a folder is called while it is written or deleted: hidden, and as nobody calls a folder of their own."""
    return f".{name}.{secrets.token_hex(4)}.part"


@contextmanager
def staged_directory(final: Path) -> Iterator[Path]:
    """Build a folder beside its final place and rename it when all went well; on any error nothing remains.

    Raises:
        StorageError: the place is taken (by anything but an empty folder), full or not writable.
    """
    with disk_errors(final):
        if final.exists() and (not final.is_dir() or any(final.iterdir())):
            raise StorageError("it exists already", where=final, remedy="choose another name or remove it first")
        final.parent.mkdir(parents=True, exist_ok=True)
        partial = final.with_name(staged_name(final.name))
        partial.mkdir()
        try:
            yield partial
            if final.is_dir():
                final.rmdir()
            partial.rename(final)
        finally:
            shutil.rmtree(partial, ignore_errors=True)


def dump_yaml(value: Any) -> str:
    """YAML text in the order given, with non-ASCII names kept readable.

    >>> dump_yaml({"format": 1, "names": ["Straße"]})
    'format: 1\\nnames:\\n- Straße\\n'
    """
    dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
    return str(yaml.dump(value, Dumper=dumper, sort_keys=False, allow_unicode=True, width=120))


def write_document(path: Path, document: BaseModel) -> None:
    """Write a pydantic document as YAML, atomically.

    Raises:
        StorageError: its folder is gone, full or not writable.
    """
    write_atomically(path, dump_yaml(document.model_dump(mode="json", exclude_none=True)), make_folder=False)


def read_document(path: Path, schema: type[Document], error: type[FullconvError] = DataError) -> Document:
    """Read a YAML document and check it against its schema.

    Raises:
        error: the file is missing, is no YAML, or has a field that is unknown or wrong; the sentence names the field.
    """
    return validate_document(read_yaml(path, error), schema, where=path, error=error)


def read_yaml(path: Path, error: type[FullconvError] = DataError) -> dict[str, Any]:
    """Read a YAML document of names and values.

    Raises:
        error: the file is missing, is no YAML, or holds something else.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise error("no such file", where=path, remedy="check the path") from None
    except (OSError, UnicodeDecodeError) as problem:
        raise error(f"cannot be read ({problem})", where=path, remedy="check that it is a text file") from problem
    try:
        content = yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except MISREAD as problem:
        mark = getattr(problem, "problem_mark", None)
        line = "" if mark is None else f", line {mark.line + 1}"
        raise error("is not valid YAML", where=f"{path}{line}", remedy="mend the syntax there") from problem
    if not isinstance(content, dict):
        raise error("holds no settings", where=path, remedy="see docs/reference for the format")
    return content


def validate_document(
    content: dict[str, Any], schema: type[Document], *, where: object, error: type[FullconvError] = DataError
) -> Document:
    """Check settings against a schema; the first wrong field becomes the sentence."""
    try:
        return schema.model_validate(content)
    except ValidationError as fault:
        wrong = wrong_field(fault, content, schema)
        problem = f"{wrong.field}: {wrong.problem}" if wrong.field else wrong.problem
        raise error(problem, where=where, remedy=wrong.remedy) from fault
