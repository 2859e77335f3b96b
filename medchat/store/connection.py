"""Opening a database, and its errors in words. What is particular to SQLite stands here and in backup.py."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import (
    ArgumentError,
    DataError,
    DBAPIError,
    IntegrityError,
    NoSuchModuleError,
    NotSupportedError,
    ProgrammingError,
)
from sqlalchemy.exc import TimeoutError as PoolTimeout

from medchat.errors import SettingsError, StoreError

BUSY_TIMEOUT_MS = 5000
LOG_TIMEOUT_MS = 200  # a page that asks for what is new reads for less than this
BACK_UP_HINT = "Restore a backup, or choose another data folder."

# SQLite's primary result codes: what happened and what to do.
EXPLANATIONS = {
    sqlite3.SQLITE_FULL: "The disk is full: the database could not be written. Free some space and try again.",
    sqlite3.SQLITE_IOERR: (
        "The database could not be read or written: the disk is full or faulty. Free some space and try again."
    ),
    sqlite3.SQLITE_BUSY: "Another program keeps the database locked. Close it and try again.",
    sqlite3.SQLITE_LOCKED: "Another program keeps the database locked. Close it and try again.",
    sqlite3.SQLITE_CORRUPT: f"The database file is damaged. {BACK_UP_HINT}",
    sqlite3.SQLITE_NOTADB: f"The database file is damaged, or is no database at all. {BACK_UP_HINT}",
    sqlite3.SQLITE_CANTOPEN: (
        "The database cannot be opened: its folder is missing, is a file, or may not be used. "
        "Check the data folder, or choose another one."
    ),
    sqlite3.SQLITE_READONLY: "The database is read-only. Allow writing to the data folder, or choose another one.",
    sqlite3.SQLITE_PERM: "The database may not be opened. Allow access to the data folder, or choose another one.",
}
OUTDATED = "The database is older than this MedChat; run: python -m medchat db upgrade"


def sqlite_file(url: str) -> Path | None:
    """The file behind a SQLite URL; None for another kind of database.

    Raises SettingsError when it is no database URL.
    """
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        message = "--db is no database URL; write, for example, sqlite:////folder/medchat.db"
        raise SettingsError(message) from error
    return Path(parsed.database or "") if parsed.get_backend_name() == "sqlite" else None


def open_engine(url: str, foreign_keys: bool = True) -> Engine:
    """An engine for the URL; nothing is opened before its first use.

    Raises SettingsError when it is no database URL or its driver is not installed.
    """
    file = sqlite_file(url)
    try:
        engine = create_engine(url)
    except NoSuchModuleError as error:
        raise SettingsError("--db names a kind of database that is not known here.") from error
    except ModuleNotFoundError as error:
        raise SettingsError(f"--db needs the Python package {error.name}; install it.") from error
    if file is not None:
        _tune_sqlite(engine, foreign_keys)
    return engine


def _tune_sqlite(engine: Engine, foreign_keys: bool) -> None:
    @event.listens_for(engine, "connect")
    def set_pragmas(connection: Any, _: object) -> None:
        connection.execute(f"PRAGMA busy_timeout={BUSY_TIMEOUT_MS}")
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=NORMAL")
        connection.execute("PRAGMA secure_delete=ON")  # deleted text is written over
        connection.execute(f"PRAGMA foreign_keys={'ON' if foreign_keys else 'OFF'}")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        # Left alone, Python's driver would begin late and leave changes of the schema outside.
        # A transaction that reads and then writes fails at once, without waiting, when another
        # wrote in between; one that says at its beginning that it will write waits its turn.
        writes = connection.get_execution_options().get("writes")
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def empty_log(engine: Engine) -> None:
    """Empties SQLite's log, in which deleted text would stand on; does nothing for another database.

    While others read, the log stays as it is until the next time, or until the last connection closes.
    """
    if engine.dialect.name != "sqlite":
        return
    connection = engine.raw_connection()
    try:
        connection.execute(f"PRAGMA busy_timeout={LOG_TIMEOUT_MS}")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    finally:
        connection.execute(f"PRAGMA busy_timeout={BUSY_TIMEOUT_MS}")
        connection.close()


@contextmanager
def translated() -> Iterator[None]:
    """Turns the database's failures into StoreError; what could only be our own mistake passes."""
    try:
        yield
    except (IntegrityError, ProgrammingError, DataError, NotSupportedError):
        raise
    except PoolTimeout as error:
        raise StoreError("Too many requests wait for the database. Try again in a moment.") from error
    except DBAPIError as error:
        raise StoreError(_explanation(error.orig)) from error
    except sqlite3.Error as error:  # from opening a connection, and from a backup
        raise StoreError(_explanation(error)) from error


def _explanation(error: BaseException | None) -> str:
    if not isinstance(error, sqlite3.Error):
        return "The database does not answer. Check that it runs and that --db is right, and try again."
    if "no such table" in str(error) or "no such column" in str(error):
        return OUTDATED
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    return EXPLANATIONS.get(code, "The database refused a request. Try again; if it happens again, restart MedChat.")
