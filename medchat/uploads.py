"""Uploaded files: answers to rate and cases to compare, out of JSONL and CSV; and the cases that come with MedChat."""

import csv
import io
import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path, PurePath
from typing import Any

from medchat.errors import InvalidInput
from medchat.records import Example
from medchat.rubrics import Criterion, criteria_of
from medchat.settings import ASSETS

SUITES = ASSETS / "suites"
MAX_BYTES = 5_000_000
MAX_ROWS = 20_000
MAX_ANSWERS = 2_000  # each is stored, which takes longer than reading it
MAX_CHARS = 100_000  # of one text; csv itself gives up at 131,072

# Column or field: where it may stand, the first name is the one that messages use.
_NAMES = {
    "question": ("question",),
    "context": ("context",),
    "reasoning": ("reasoning",),
    "solution": ("answer", "solution"),
    "model_name": ("model", "model_name"),
    "raw": ("raw",),
    "specialty": ("specialty",),
}
_WORKBOOK = "is an Excel workbook; save it there as 'CSV UTF-8' and upload that"
_NO_TEXT = {
    b"PK\x03\x04": _WORKBOOK,
    b"\xd0\xcf\x11\xe0": _WORKBOOK,
    b"%PDF": "is a PDF; put its answers into a .csv file",
    b"\x1f\x8b": "is an archive; unpack it first",
}
_BINARY = re.compile(r"[\x00-\x08\x0b\x0e-\x1f\x7f-\x9f\ufffe\uffff]")
_SEPARATOR_LINE = re.compile(r'"?sep=(.)"?\r?\n')  # Excel's own hint

_Row = tuple[str, Mapping[str, Any]]  # where it stands, and its fields by name


@dataclass(frozen=True, slots=True)
class UploadedAnswer:
    """One answer out of a file. raw: all that the model wrote, "" where the file does not say.

    criteria: those that came with the question, none for the rubric's own. specialty: of the question, "" for unsaid.
    """

    question: str
    context: str
    reasoning: str
    solution: str
    model_name: str
    raw: str = ""
    criteria: tuple[Criterion, ...] = ()
    specialty: str = ""


def read_upload(path: Path, name: str) -> bytes:
    """The bytes of an uploaded file. Raises InvalidInput, before it is read, when it is too large."""
    try:
        _check_size(shown_name(name), path.stat().st_size)
        return path.read_bytes()
    except OSError as error:
        raise InvalidInput(f"{shown_name(name)} cannot be read: {error.strerror}.") from error


def read_answers(name: str, data: bytes) -> list[UploadedAnswer]:
    """The answers in a .jsonl or .csv file, in its order; at most MAX_ANSWERS.

    A line of an evaluation's predictions.jsonl names its case by id: it is looked up among those that come with
    MedChat, and a line without any answer is left out. Raises InvalidInput with one line, and the line in the file.
    """
    name, text = shown_name(name), _checked_text(name, data)
    answers = [answer for answer in map(_answer, _rows(name, text, ("question", "solution"), MAX_ANSWERS)) if answer]
    if not answers:
        raise InvalidInput(f"{name} has no answer that could be rated.")
    return answers


def read_examples(name: str, data: bytes) -> list[Example]:
    """The cases in a .jsonl file of Examples, or in a .csv file with question and perhaps context, answer and id.

    Each has an id: its own or its question_id; the answer is None where there is none. Raises InvalidInput with one
    line, and the line in the file.
    """
    name, text = shown_name(name), _checked_text(name, data)
    from_row = _example_of_csv if _suffix(name) == ".csv" else _example_of_json
    examples: dict[str, Example] = {}
    first_at: dict[str, str] = {}
    for where, row in _rows(name, text, ("question",), MAX_ROWS):
        example = from_row(where, row)
        criteria_of(example.meta, where)
        example = replace(example, id=example.id or example.question_id)
        if example.id in examples:
            raise InvalidInput(f"{where}: the same id or case is already in {first_at[example.id]}.")
        examples[example.id] = example
        first_at[example.id] = where.removeprefix(f"{name}, ")
    return list(examples.values())


def encoding_note(name: str, data: bytes) -> str:
    """What to say of a file whose encoding had to be guessed, "" for nothing."""
    return decoded(shown_name(name), data)[1]


@cache
def bundled_cases(folder: Path = SUITES) -> tuple[Example, ...]:
    """The cases that come with MedChat, each with an id of its own: those written by hand, then the generated ones.

    Of the suites only what asks for a diagnosis; of demographic pairs, which hardly differ, none.
    """
    paths = sorted(folder.glob("*.jsonl"))
    examples = [example for path in paths for example in read_examples(path.name, path.read_bytes())]
    cases = [example for example in examples if example.kind == "diagnosis" and "pair" not in example.meta]
    return tuple(sorted(cases, key=lambda case: case.source.startswith("generated")))


def shown_name(name: str) -> str:
    """A file's name as it may stand in a message."""
    printable = "".join(char for char in re.split(r"[\\/]", name)[-1] if char.isprintable())
    return printable if len(printable) <= 60 else f"{printable[:40]}\u2026{printable[-15:]}"


def decoded(name: str, data: bytes, wanted: str = "in UTF-8") -> tuple[str, str]:
    """The text, and a note where its encoding had to be guessed.

    Raises InvalidInput, which says how the file is wanted, when it is none.
    """
    note = ""
    try:
        if data.startswith((b"\xff\xfe", b"\xfe\xff")):
            text = data.decode("utf-16")
        else:
            try:
                text = data.decode("utf-8-sig")
            except UnicodeDecodeError:
                text = data.decode("cp1252")
                note = f"{name} is not in UTF-8 and was read as Windows-1252; look at its accents."
    except UnicodeDecodeError:
        raise InvalidInput(f"{name} is not a text; save it {wanted}.") from None
    if _BINARY.search(text):
        raise InvalidInput(f"{name} is not a text; save it {wanted}.")
    return text, note


def _check_size(name: str, n_bytes: int) -> None:
    if n_bytes > MAX_BYTES:
        raise InvalidInput(f"{name} has {n_bytes / 1e6:.1f} MB; at most {MAX_BYTES / 1e6:.0f} MB are taken: split it.")


def _checked_text(name: str, data: bytes) -> str:
    name = shown_name(name)
    _check_size(name, len(data))
    for magic, fault in _NO_TEXT.items():
        if data.startswith(magic):
            raise InvalidInput(f"{name} {fault}.")
    if _suffix(name) not in _READERS:
        raise InvalidInput(f"{name} is none of the files that can be read here: .jsonl and .csv.")
    text, _ = decoded(name, data)
    if not text.strip():
        raise InvalidInput(f"{name} is empty.")
    return text


def _suffix(name: str) -> str:
    return PurePath(name).suffix.casefold()


def _rows(name: str, text: str, columns: tuple[str, ...], most: int) -> Iterator[_Row]:
    """The file's rows; a CSV file must have these columns. Raises InvalidInput when there are none, or over `most`."""
    n_rows = 0
    for n_rows, row in enumerate(_READERS[_suffix(name)](name, text, columns), 1):
        if n_rows > most:
            raise InvalidInput(f"{name} has more than {most:,} rows; split it.")
        yield row
    if not n_rows:
        raise InvalidInput(f"{name} has no rows under its first line.")


def _jsonl_rows(name: str, text: str, columns: tuple[str, ...]) -> Iterator[_Row]:
    for number, line in enumerate(text.split("\n"), 1):  # other line ends may stand within a text
        if not line.strip():
            continue
        where = f"{name}, line {number}"
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            reason = f" ({error.msg})" if isinstance(error, json.JSONDecodeError) else ""
            raise InvalidInput(f"{where}: not JSON{reason}; each line must be one JSON object.") from error
        if not isinstance(row, dict):
            raise InvalidInput(f"{where}: not a JSON object.")
        yield where, row


def _csv_rows(name: str, text: str, columns: tuple[str, ...]) -> Iterator[_Row]:
    hint = _SEPARATOR_LINE.match(text)
    text = text[hint.end() :] if hint else text
    header = re.split(r"[\r\n]", text.lstrip(), maxsplit=1)[0]
    separator = hint[1] if hint else max(",;\t", key=header.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, skipinitialspace=True, strict=True)
    names: list[str] = []
    for begin, cells in _csv_lines(name, reader, 1 if hint else 0):
        where = f"{name}, line {begin}"
        if not any(map(str.strip, cells)):
            continue
        if not names:
            names = _header(where, cells, columns)
            continue
        if any(map(str.strip, cells[len(names) :])):
            raise InvalidInput(
                f"{where}: {len(cells)} cells for {len(names)} columns; a text with the separator in it needs quotes."
            )
        yield where, {column: cell.replace("\r\n", "\n") for column, cell in zip(names, cells, strict=False) if column}


def _csv_lines(name: str, reader: Any, skipped: int) -> Iterator[tuple[int, list[str]]]:
    """Each row with the line on which it begins; `skipped` lines stand before what the reader sees."""
    while True:
        begin = reader.line_num + 1 + skipped
        try:
            cells = next(reader, None)
        except csv.Error as error:
            raise InvalidInput(
                f"{name}, line {begin}: no row of a table; perhaps a quotation mark is missing ({error})."
            ) from error
        if cells is None:
            return
        yield begin, cells


def _header(where: str, cells: list[str], wanted: tuple[str, ...]) -> list[str]:
    """The names of the columns. Raises InvalidInput when one is missing or there twice."""
    names = [" ".join(cell.split()).casefold() for cell in cells]
    for column in names:
        if column and names.count(column) > 1:
            raise InvalidInput(f"{where}: the column {column!r} is there twice.")
    for column in wanted:
        if not set(_NAMES[column]) & set(names):
            there = ", ".join(filter(None, names))
            known = " or ".join(map(repr, _NAMES[column]))
            raise InvalidInput(f"{where}: there is no column {known}; the columns here are: {there[:200]}.")
    return names


def _answer(placed: _Row) -> UploadedAnswer | None:
    where, row = placed
    case = None if "question" in row else _case_of(where, row)
    texts = {field: _text(where, row, names) for field, names in _NAMES.items()}
    if case:
        texts |= {"question": case.question, "context": case.context}
    if not texts["question"]:
        raise InvalidInput(f"{where}: 'question' is empty.")
    if not texts["solution"] and not texts["reasoning"]:
        if "complete" in row:  # a prediction: the model could not read the question, or said nothing
            return None
        raise InvalidInput(f"{where}: 'answer' is missing or empty.")
    meta = case.meta if case else row if "criteria" in row else row.get("meta")
    if isinstance(meta, Mapping):
        texts["specialty"] = texts["specialty"] or str(meta.get("specialty") or "")
    return UploadedAnswer(**texts, criteria=criteria_of(meta if isinstance(meta, Mapping) else {}, where))


def _case_of(where: str, row: Mapping[str, Any]) -> Example:
    """The case whose id a prediction names."""
    if not isinstance(row.get("id"), str):
        raise InvalidInput(f"{where}: 'question' is missing.")
    case = _cases_by_id().get(row["id"])
    if case is None:
        raise InvalidInput(
            f"{where}: no case that comes with MedChat has the id {row['id'][:80]!r}; add 'question' to each line."
        )
    return case


@cache
def _cases_by_id() -> dict[str, Example]:
    return {case.id: case for case in bundled_cases()}


def _text(where: str, row: Mapping[str, Any], names: tuple[str, ...]) -> str:
    """The text under one of the names, "" for none."""
    given = [name for name in names if row.get(name) not in (None, "")]
    if len(given) > 1:
        raise InvalidInput(f"{where}: both {given[0]!r} and {given[1]!r} are there; leave only the one to be rated.")
    if not given:
        return ""
    text = row[given[0]]
    if not isinstance(text, str):
        raise InvalidInput(f"{where}: {given[0]!r} is not a text.")
    if len(text) > MAX_CHARS:
        raise InvalidInput(f"{where}: {given[0]!r} has {len(text):,} characters; at most {MAX_CHARS:,} are taken.")
    return text.strip()


def _example_of_json(where: str, row: Mapping[str, Any]) -> Example:
    for field in ("question", "context", "answer"):
        _text(where, row, (field,))
    return Example.from_json(json.dumps({"answer": None, **row}), where)


def _example_of_csv(where: str, row: Mapping[str, Any]) -> Example:
    question, context, answer, example_id = (_text(where, row, (f,)) for f in ("question", "context", "answer", "id"))
    if not question:
        raise InvalidInput(f"{where}: 'question' is empty.")
    return Example(question, answer or None, id=example_id, context=context)


_READERS: dict[str, Callable[[str, str, tuple[str, ...]], Iterator[_Row]]] = {
    ".jsonl": _jsonl_rows,
    ".csv": _csv_rows,
}
