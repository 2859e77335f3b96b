"""A backup of a SQLite store."""

import os
import sqlite3
from contextlib import closing
from pathlib import Path

from medchat.errors import StoreError
from medchat.store.connection import sqlite_file, translated


def backup(url: str, file: Path) -> None:
    """Copies a SQLite store into one file, also while it is in use.

    Raises StoreError when the file exists, when the store is no SQLite file, or when it cannot be
    read or the copy not written; then no half copy stays behind.
    """
    source = sqlite_file(url)
    if source is None:
        raise StoreError("Only an SQLite store can be backed up here; use the database's own tool, such as pg_dump.")
    if not source.is_file():
        raise StoreError("There is no database to back up yet.")
    if file.exists():
        raise StoreError("The backup's file exists already; choose another name.")
    partial = file.with_name(file.name + ".partial")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        partial.unlink(missing_ok=True)
        try:
            with translated():
                _copy(source, partial)
            os.replace(partial, file)
        finally:
            partial.unlink(missing_ok=True)
    except OSError as error:
        raise StoreError("The backup could not be written; check its folder and the space there.") from error


def _copy(source: Path, target: Path) -> None:
    # SQLite's own copying includes what so far stands only in the log beside the file.
    with closing(sqlite3.connect(source)) as reading, closing(sqlite3.connect(target)) as writing:
        reading.backup(writing)
        writing.execute("PRAGMA journal_mode=DELETE")  # the copy is one file, without a log
