"""The database of the workbench: SQLite in the workspace, or PostgreSQL by its URL."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Engine, event, func, make_url, select, text
from sqlalchemy.exc import (
    ArgumentError,
    DBAPIError,
    InterfaceError,
    NoSuchModuleError,
    OperationalError,
    TimeoutError,
)
from sqlmodel import Session, SQLModel, create_engine

from fullconv.errors import StorageError
from fullconv.workbench import tables
from fullconv.workbench.refusals import Busy

WAIT_SECONDS = 30
"""How long a writer waits for another one."""
_WRITERS = 0x66636E77
"""PostgreSQL's number of the lock that writers hold."""


def connect(url: str) -> Engine:
    """Open the database and make its tables where they are missing.

    Args:
        url: as "sqlite:///folder/workbench.sqlite" or "postgresql://user@host/name". A database belongs to one
            workspace.

    Returns:
        An engine that several threads may use.

    Raises:
        StorageError: it cannot be opened, or another version of the program made it.

    >>> connect("sqlite://").dialect.name
    'sqlite'
    """
    try:
        parsed = _with_our_driver(make_url(url))
        options: dict[str, Any] = {}
        if parsed.get_backend_name() == "sqlite":
            options["connect_args"] = {"timeout": WAIT_SECONDS, "check_same_thread": False}
            if parsed.database not in (None, "", ":memory:"):
                Path(str(parsed.database)).parent.mkdir(parents=True, exist_ok=True)
            else:
                from sqlalchemy.pool import StaticPool

                options["poolclass"] = StaticPool
        else:
            options["pool_pre_ping"] = True
        engine = create_engine(parsed, **options)
    except (ArgumentError, NoSuchModuleError, ModuleNotFoundError) as problem:
        remedy = "write it as sqlite:///FILE or postgresql://USER@HOST/NAME"
        if isinstance(problem, ModuleNotFoundError):
            remedy = "install the driver: pip install 'fullconv[postgresql]'"
        raise StorageError(
            f"is no database that can be opened ({problem})", where="--database", remedy=remedy
        ) from None
    except OSError as problem:
        raise StorageError(f"cannot be made ({problem})", where="--database", remedy="choose another place") from None
    if engine.dialect.name == "sqlite":
        _as_sqlite_should_be(engine)
    else:
        _as_postgresql_should_be(engine)
    try:
        with writing(engine) as session:
            SQLModel.metadata.create_all(session.connection(), checkfirst=True)
            _check_schema(session)
    except StorageError:
        engine.dispose()
        raise
    except (DBAPIError, Busy) as problem:
        engine.dispose()
        where = make_url(url).render_as_string(hide_password=True)
        cause = problem.__cause__ if isinstance(problem, Busy) else problem
        said = " ".join(str(getattr(cause, "orig", cause)).split())
        raise StorageError(f"cannot be used ({said})", where=where, remedy="check the place and its rights") from None
    return engine


@contextmanager
def reading(engine: Engine) -> Iterator[Session]:
    """A session that reads; it sees one state of the database and blocks nobody.

    Raises:
        Busy: the database is locked for long, full, or away.
    """
    with _in_a_sentence(), Session(engine, expire_on_commit=False) as session:
        yield session


@contextmanager
def writing(engine: Engine) -> Iterator[Session]:
    """A session that writes: all or nothing, and no other writer in between.

    Raises:
        Busy: as `reading`.
    """
    exclusive = engine.execution_options(writes=True)
    with _in_a_sentence(), Session(exclusive, expire_on_commit=False) as session, session.begin():
        locking = session.connection()  # now, and not with the first statement; SQLite locks the whole file by itself
        if engine.dialect.name == "postgresql":
            locking.execute(select(func.pg_advisory_xact_lock(_WRITERS)))
        yield session


@contextmanager
def _in_a_sentence() -> Iterator[None]:
    """A database that cannot be used for a while is nobody's mistake, and no reason for a traceback."""
    try:
        yield
    except (OperationalError, InterfaceError, TimeoutError) as problem:
        said = getattr(problem, "orig", None)
        why = f" ({said})" if isinstance(said, sqlite3.Error) else ""  # others tell of hosts and users
        remedy = "ask again in a moment; if it stays so, look at the server's disk and database"
        raise Busy(f"cannot be used just now{why}", where="the workbench's database", remedy=remedy) from problem


def check_integrity(engine: Engine) -> str:
    """What SQLite says of its own file: "ok", or what is broken. Other databases look after that themselves."""
    if engine.dialect.name != "sqlite":
        return "ok"
    with reading(engine) as session:
        return str(session.connection().execute(text("PRAGMA integrity_check")).scalar_one())


def _with_our_driver(url: URL) -> URL:
    """PostgreSQL by the names that people give it is reached with psycopg."""
    return url.set(drivername="postgresql+psycopg") if url.drivername in ("postgresql", "postgres") else url


def _as_sqlite_should_be(engine: Engine) -> None:
    """Readers beside a writer (WAL), and writers that lock at once instead of failing halfway."""

    @event.listens_for(engine, "connect")
    def _connected(connection: Any, record: Any) -> None:
        connection.isolation_level = None  # BEGIN is said below, not by the driver
        cursor = connection.cursor()
        for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "foreign_keys=ON"):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @event.listens_for(engine, "begin")
    def _begun(connection: Any) -> None:
        writes = connection.get_execution_options().get("writes", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _as_postgresql_should_be(engine: Engine) -> None:
    """Nobody waits for ever for a writer that hangs."""

    @event.listens_for(engine, "connect")
    def _connected(connection: Any, record: Any) -> None:
        with connection.cursor() as cursor:
            cursor.execute(f"SET lock_timeout = '{WAIT_SECONDS}s'")
        connection.commit()


def schema() -> str:
    """Stands for the form of all tables: their columns and types. Another one on disk is refused."""
    columns = (
        f"{table.name}.{column.name} {column.type}" for table in SQLModel.metadata.tables.values() for column in table.c
    )
    return hashlib.sha256("\n".join(sorted(columns)).encode()).hexdigest()[:12]


def _check_schema(session: Session) -> None:
    found, wanted = session.get(tables.Schema, 1), schema()
    if found is None:
        session.add(tables.Schema(id=1, version=wanted))
    elif found.version != wanted:
        raise StorageError(
            "was made by another version of this program",
            where="the workbench's database",
            remedy="move the file away and run fullconv workspace rebuild; only the list of jobs is lost",
        )
