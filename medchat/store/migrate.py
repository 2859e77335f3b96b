"""The version of a database: reading it, and bringing it up to date.

Migrations are the numbered files of migrations/versions. A database without any is new, one whose
number is not among them comes from a newer MedChat. To write the next one: change tables.py, then
make versions/NNNN_what_it_does.py from migrations/script.py.mako.
"""

from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import Engine, inspect, text

from medchat.errors import StoreError, StoreTooNew
from medchat.store.backup import backup
from medchat.store.connection import OUTDATED, open_engine, sqlite_file, translated

MIGRATIONS = Path(__file__).parent / "migrations"


def revisions(migrations: Path = MIGRATIONS) -> list[str]:
    """The numbers of all migrations, oldest first."""
    return sorted(file.name.partition("_")[0] for file in (migrations / "versions").glob("[0-9]*.py"))


def upgrade(url: str, backup_dir: Path, migrations: Path = MIGRATIONS) -> Path | None:
    """Creates the database or brings it up to date; returns the backup taken before, if it was older.

    A failure leaves the database as it was. Raises StoreTooNew when a newer MedChat wrote it, and
    StoreError when it is not MedChat's, or cannot be opened, backed up or written.
    """
    engine = open_engine(url, foreign_keys=False)  # changing a table may mean making it anew
    try:
        with translated():
            known = revisions(migrations)
            revision = _revision(engine, known)
            if revision == known[-1]:
                return None
            saved = None
            if revision is not None and sqlite_file(url) is not None:
                moment = datetime.now(UTC).strftime("%Y%m%dT%H%M%S")
                saved = backup_dir / f"medchat-{revision}-{moment}.db"
                backup(url, saved)
            _migrate(engine, migrations)
            return saved
    finally:
        engine.dispose()


def check(url: str, migrations: Path = MIGRATIONS) -> None:
    """Returns when the database is of this MedChat's version; never creates or changes one.

    Raises StoreTooNew when a newer MedChat wrote it, StoreError when it is older or missing.
    """
    file = sqlite_file(url)
    if file is not None and not file.exists():
        raise StoreError("There is no database yet; start the app once, or run: python -m medchat db upgrade")
    engine = open_engine(url)
    try:
        with translated():
            known = revisions(migrations)
            if _revision(engine, known) != known[-1]:
                raise StoreError(OUTDATED)
    finally:
        engine.dispose()


def _revision(engine: Engine, known: list[str]) -> str | None:
    """The database's version; None for an empty one."""
    with engine.connect() as connection:
        tables = inspect(connection).get_table_names()
        if "alembic_version" not in tables:
            if tables:
                raise StoreError("This database belongs to another program. Choose another one with --db.")
            return None
        revision: str | None = connection.scalar(text("SELECT version_num FROM alembic_version"))
    if revision is not None and revision not in known:
        raise StoreTooNew(
            f"The database was written by a newer MedChat (version {revision}). "
            "Update MedChat, or choose another data folder."
        )
    return revision


def _migrate(engine: Engine, migrations: Path) -> None:
    from alembic import command  # a start that finds nothing to migrate does without it
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(migrations).replace("%", "%%"))
    with engine.execution_options(writes=True).connect() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
