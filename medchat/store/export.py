"""The rows of a store as JSONL."""

import json
from pathlib import Path

from sqlalchemy import Connection, Table, select

from medchat.errors import StoreError
from medchat.store.connection import open_engine, translated
from medchat.store.migrate import check
from medchat.store.tables import Base


def export(url: str, folder: Path) -> dict[str, int]:
    """Writes TABLE.jsonl for every table, all of one moment; returns the number of rows of each.

    Hidden rows are among them; tables that only repeat others for searching are left out.
    Raises StoreError when the folder is not empty or cannot be written, or the store is not current.
    """
    check(url)
    engine = open_engine(url)
    # A transaction of SQLite sees one moment by itself; other databases must be asked to.
    moment = engine if engine.dialect.name == "sqlite" else engine.execution_options(isolation_level="REPEATABLE READ")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise StoreError("The folder for the export is not empty; choose another one.")
        with translated(), moment.connect() as connection:
            tables = [table for table in Base.metadata.sorted_tables if not table.info.get("derived")]
            return {table.name: _write(connection, table, folder) for table in tables}
    except OSError as error:
        raise StoreError("The export could not be written; check its folder and the space there.") from error
    finally:
        engine.dispose()


def _write(connection: Connection, table: Table, folder: Path) -> int:
    rows = connection.execute(select(table), execution_options={"yield_per": 1000}).mappings()
    written = 0
    with (folder / f"{table.name}.jsonl").open("w", encoding="utf-8") as out:
        for row in rows:
            out.write(json.dumps(dict(row), ensure_ascii=False, default=str) + "\n")
            written += 1
    return written
