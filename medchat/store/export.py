"""The rows of a store as JSONL and Parquet."""

import json
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import JSON, Column, ColumnElement, Connection, Table, not_, select
from sqlalchemy.types import TypeDecorator

from medchat.errors import StoreError
from medchat.store.blinded_rows import blinded_rows
from medchat.store.connection import open_engine, translated
from medchat.store.migrate import check
from medchat.store.tables import Base, storable

if TYPE_CHECKING:
    import pyarrow as pa  # takes a moment to import: only an export does

BATCH_ROWS = 1000
# What a spreadsheet takes for the beginning of a formula, or drops in front of one; with the sign
# itself among them, taking one sign from each text that begins with it gives every text back.
QUOTED_BEGINNINGS = tuple("=+-@\t\r\n＝＋－＠'")


def export(url: str, folder: Path, *, with_open_studies: bool = False) -> dict[str, int]:
    """Writes TABLE.jsonl and TABLE.parquet for every table, all of one moment; returns the number of rows of each.

    Hidden rows are among them; tables that only repeat others for searching, and the hashes of passwords
    and sign-ins, are left out. with_open_studies: False leaves out the rows that would unblind studies that are not
    closed and do not show results. A text that begins as a formula does in a spreadsheet, or with an
    apostrophe, gets an apostrophe in front; what stands within JSON is left as it is. Raises StoreError when
    the folder is not empty or cannot be written, or the store is not current.
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
            left_out = {} if with_open_studies else blinded_rows()
            return {table.name: _write(connection, table, folder, left_out.get(table.name)) for table in tables}
    except OSError as error:
        raise StoreError("The export could not be written; check its folder and the space there.") from error
    finally:
        engine.dispose()


def _write(connection: Connection, table: Table, folder: Path, left_out: ColumnElement[bool] | None) -> int:
    import pyarrow as pa
    from pyarrow.parquet import ParquetWriter

    columns = [column for column in table.columns if not column.info.get("secret")]
    schema = pa.schema([(column.name, _arrow_type(column)) for column in columns])
    in_json = {column.name for column in columns if isinstance(column.type, JSON)}
    query = select(*columns) if left_out is None else select(*columns).where(not_(left_out))
    found = connection.execute(query, execution_options={"yield_per": BATCH_ROWS}).mappings()
    written = 0
    with (
        (folder / f"{table.name}.jsonl").open("w", encoding="utf-8") as lines,
        ParquetWriter(folder / f"{table.name}.parquet", schema) as parquet,
    ):
        for batch in found.partitions():
            rows = [{name: _cell(value) for name, value in row.items()} for row in batch]
            lines.writelines(_json(row) + "\n" for row in rows)
            parquet.write_batch(pa.RecordBatch.from_pylist([_flat(row, in_json) for row in rows], schema))
            written += len(rows)
    return written


def _arrow_type(column: Column[Any]) -> "pa.DataType":
    import pyarrow as pa

    types = {bool: pa.bool_(), int: pa.int64(), float: pa.float64(), datetime: pa.timestamp("us", tz="UTC")}
    kind = column.type.impl_instance if isinstance(column.type, TypeDecorator) else column.type
    return types.get(kind.python_type, pa.string())


def _cell(value: Any) -> Any:
    if isinstance(value, str):
        return "'" + value if value.startswith(QUOTED_BEGINNINGS) else value
    return value


def _flat(row: Mapping[str, Any], in_json: set[str]) -> dict[str, Any]:
    """The row with its JSON as text."""
    return {name: _json(value) if name in in_json and value is not None else value for name, value in row.items()}


def _json(value: Any) -> str:
    # Texts within JSON may hold what no file in UTF-8 can.
    return storable(json.dumps(value, ensure_ascii=False, default=_plain))


def _plain(value: datetime) -> str:
    return str(value)
