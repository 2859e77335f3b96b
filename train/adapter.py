"""What an adapter is: it reads the files of one public set, record by record, and makes Examples of each."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from evaluation.benchmark_files import Records, Skipped, table_records
from evaluation.benchmark_json import BROKEN_FILE, BROKEN_ROW
from medchat.errors import InvalidInput
from medchat.records import Example
from train.adapter_rows import Reading, Row, Rows
from train.adapter_splits import split_named

TABLES = (".json", ".jsonl", ".csv", ".tsv", ".parquet", ".xlsx")
_ODD_FIELDS = "its fields are not of the kind that this source has"


@dataclass(frozen=True, slots=True)
class Hub:
    """A data set of the Hugging Face Hub. splits: () for all that it has; add: fields that every row gets."""

    repo: str
    splits: tuple[str, ...] = ("train",)
    configs: tuple[str, ...] = ()
    revision: str = "main"
    data_file: str = ""
    add: tuple[tuple[str, str | int], ...] = ()


@dataclass(frozen=True, slots=True)
class Adapter:
    """How a source is read.

    licence: of rows that say none. needs: what is needed to get it. group: for the balance. rows_of: the rows that come
    of a record, without input or output. records_of: the records of a file. suffixes and files: which files of a folder
    are read. tried: whether it was run on real files; tried_on: on which, where not on all kinds of them. note: what
    whoever uses it ought to know. own: a format of one's own, no public set. marks: fields, one of which at least each
    of the set's records has and other people's questions and answers have not; none where there are no such fields.
    may_be_fetched: False where it only may come from a folder that its licensed user gives.
    """

    name: str
    title: str
    licence: str
    home: str
    needs: str
    group: Literal["knowledge", "conversation"]
    rows_of: Callable[[Row, Reading], Rows]
    records_of: Callable[[Path], Records] = table_records
    suffixes: tuple[str, ...] = TABLES
    files: str = "*"
    hub: Hub | None = None
    tried: bool = False
    tried_on: str = ""
    note: str = ""
    own: bool = False
    marks: frozenset[str] = frozenset()
    may_be_fetched: bool = True

    @property
    def share_alike(self) -> bool:
        """Whether what is made of it has to carry the same licence."""
        return "-SA" in self.licence

    def records(self, path: Path) -> Records:
        """The file's records, those that cannot be read as Skipped; a file that cannot is one of them."""
        try:
            yield from self.records_of(path)
        except InvalidInput as error:
            yield path.name, Skipped(BROKEN_FILE, str(error).rstrip("."))
        except OSError as error:
            yield path.name, Skipped(BROKEN_FILE, f"it cannot be read ({error.strerror or type(error).__name__})")

    def examples(self, row: Row, reading: Reading, split: str = "") -> Rows:
        """The record's Examples, or why it has none: each with id, source, licence, and its split or "".

        split: the official one of its file. A row whose fields are of other kinds than they should be is a broken one.
        """
        try:
            found = self.rows_of(row, reading)
        except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
            return (Skipped(BROKEN_ROW, f"{_ODD_FIELDS} ({type(error).__name__})"),)
        return [one if isinstance(one, Skipped) else self._settled(one, split) for one in found]

    def _settled(self, example: Example, split: str) -> Example:
        """The adapter is in id and source, for ids of different sets are the same number at times."""
        its = example.id or example.question_id[:16]
        subset = example.meta.get("subset")
        named = f"{self.name}/{subset}" if subset else self.name
        keeps = self.name == "examples"
        return replace(
            example, id=its if keeps else f"{self.name}:{its}", source=(keeps and example.source) or named,
            licence=example.licence or self.licence, split=split_named(example.split) or split,
        )  # fmt: skip
