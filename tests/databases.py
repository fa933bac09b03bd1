"""Databases for tests: SQLite files, and a PostgreSQL server of our own, or the one that a variable names."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

GIVEN = "FULLCONV_TEST_POSTGRESQL"
"""URL of a PostgreSQL database in which tests may make schemas."""


def missing() -> str | None:
    """Why there is no PostgreSQL for tests; None where there is."""
    try:
        import psycopg  # noqa: F401
    except ImportError:
        return "psycopg is not installed"
    if os.environ.get(GIVEN) or _programs() is not None:
        return None
    return f"there is no PostgreSQL server; install one, or give its URL as {GIVEN}"


@contextmanager
def postgresql() -> Iterator[str]:
    """URL of a server for as long as this lasts; it listens on a socket file that only it and we can reach."""
    given = os.environ.get(GIVEN)
    if given:
        yield given
        return
    programs = _programs()
    assert programs is not None
    with tempfile.TemporaryDirectory(prefix="pg-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        rights: dict[str, Any] = {}
        if os.geteuid() == 0:  # the server refuses to run with all rights
            shutil.chown(folder, "nobody")
            rights = {"user": "nobody", "group": "nogroup", "extra_groups": []}
        data = folder / "data"
        make = [programs / "initdb", "-D", data, "-U", "fullconv", "-A", "trust", "-E", "UTF8", "--locale=C", "-N"]
        subprocess.run(make, check=True, capture_output=True, cwd=folder, **rights)
        quick = "-c fsync=off -c synchronous_commit=off -c full_page_writes=off -c shared_buffers=16MB"
        control = [programs / "pg_ctl", "-D", data, "-w", "-l", folder / "log"]
        options = f"-k {folder} -c listen_addresses='' {quick}"
        subprocess.run([*control, "-o", options, "start"], check=True, capture_output=True, cwd=folder, **rights)
        try:
            yield f"postgresql://fullconv@/postgres?host={folder}"
        finally:
            stop = [*control, "-m", "immediate", "stop"]
            subprocess.run(stop, check=False, capture_output=True, cwd=folder, **rights)


@contextmanager
def schema_of(url: str, name: str) -> Iterator[str]:
    """URL of a part of a PostgreSQL database that nobody else uses, for as long as this lasts."""
    import psycopg

    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f'create schema "{name}"')
        try:
            yield f"{url}{'&' if '?' in url else '?'}options=-csearch_path%3D{name}"
        finally:
            with suppress(psycopg.Error):
                connection.execute(f'drop schema "{name}" cascade')


def _programs() -> Path | None:
    """Where the server's programs lie; Debian keeps them out of the path."""
    found = shutil.which("initdb") or shutil.which("postgres")
    places = [Path(found).resolve().parent] if found else []
    places += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    return next((place for place in places if (place / "initdb").exists() and (place / "pg_ctl").exists()), None)
