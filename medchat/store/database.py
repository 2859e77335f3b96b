"""The open database, and one transaction at a time. The verbs of each noun stand in a file of their own."""

from collections.abc import Callable
from contextlib import nullcontext
from threading import Lock
from typing import TypeVar

from sqlalchemy import Update, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session, sessionmaker

from medchat.store.connection import empty_log, open_engine, translated
from medchat.store.tables import Model

Result = TypeVar("Result")


class Database:
    """The database behind a SQLAlchemy URL, for any number of threads at once.

    It must be of the current version (migrate.upgrade or migrate.check come first). Every method
    raises StoreError when the database cannot be read or written.
    """

    def __init__(self, url: str) -> None:
        """Raises SettingsError for a URL that names no database; opens nothing yet."""
        self._engine = open_engine(url)
        self._reading = sessionmaker(self._engine, expire_on_commit=False)
        # SQLite lets writers wait in no order, the unlucky ones for seconds: here they queue.
        self._turn = Lock() if self._engine.dialect.name == "sqlite" else nullcontext()
        self._writing = sessionmaker(self._engine.execution_options(writes=True), expire_on_commit=False)

    def ping(self) -> None:
        """Returns when the database answers."""
        self._read(lambda session: session.scalar(select(Model.id).limit(1)))

    def close(self) -> None:
        """Close all connections; calling it again does nothing."""
        self._engine.dispose()

    def _read(self, work: Callable[[Session], Result]) -> Result:
        with translated(), self._reading.begin() as session:
            return work(session)

    def _write(self, work: Callable[[Session], Result]) -> Result:
        """The result of `work` in one transaction."""
        with self._turn, translated():
            try:
                with self._writing.begin() as session:
                    return work(session)
            except IntegrityError:
                # Another transaction added the same key meanwhile: this time `work` finds it.
                with self._writing.begin() as session:
                    return work(session)

    def _empty_log(self) -> None:
        with self._turn, translated():
            empty_log(self._engine)


def rows_changed(session: Session, query: Update) -> int:
    """How many rows the change met."""
    # The rows are not in the session: nothing there needs to follow the change.
    return session.connection().execute(query).rowcount
