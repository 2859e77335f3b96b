"""The files in which rows are written: JSONL, CSV, or text pairs in the chosen prompt template."""

import csv
import io
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from medchat.errors import InvalidInput, one_of
from medchat.records import Example
from train.row_files import row_bytes
from train.templates import AS_RECIPE, TEMPLATES, Chosen, checked, text_pair

FORMATS = ("jsonl", "csv", "text")
COLUMNS = ("id", "context", "question", "answer", "rationale", "kind", "options", "source", "licence", "split")
RENDERED = ("prompt", "completion")  # of a CSV file for which a template was chosen


@dataclass(frozen=True, slots=True)
class RowFormat:
    """How rows become a file. header: its first bytes; encode: of a row, with the end of its last line."""

    suffix: str
    header: bytes
    encode: Callable[[Example], bytes]


def writer(name: str, template: str = AS_RECIPE, answer_format: str = AS_RECIPE) -> RowFormat:
    """How rows are written. name: one of FORMATS; template, answer_format: as `prepare` is told.

    jsonl: the whole Example; what is chosen stands in the report alone. csv: its main columns, with the prompt and the
    completion where a template was chosen. text: prompt and answer, and a mark that ends each pair.
    Raises InvalidInput for a name that nobody knows, and for text without a template.
    """
    chosen = checked(template, answer_format)
    if name == "jsonl":
        return RowFormat(".jsonl", b"", row_bytes)
    if name == "csv":
        columns = COLUMNS if chosen.template == AS_RECIPE else (*COLUMNS, *RENDERED)
        return RowFormat(".csv", _csv_line(columns), partial(_csv_row, chosen=chosen))
    if name != "text":
        raise InvalidInput(f"There is no format {name[:80]!r} for rows; choose {one_of(FORMATS)}.")
    if chosen.template == AS_RECIPE:
        raise InvalidInput(
            f"--format text is written in a prompt template: add --template {' or --template '.join(TEMPLATES)}, or"
            " choose another --format."
        )
    return RowFormat(".txt", b"", partial(_text_row, chosen=chosen))


def _csv_row(example: Example, chosen: Chosen) -> bytes:
    options = json.dumps(dict(example.options), ensure_ascii=False) if example.options else ""
    cells = [example.id, example.context, example.question, example.answer or "", example.rationale, example.kind,
             options, example.source, example.licence, example.split]  # fmt: skip
    return _csv_line(cells if chosen.template == AS_RECIPE else [*cells, *text_pair(example, chosen)])


def _csv_line(cells: Sequence[str]) -> bytes:
    line = io.StringIO(newline="")
    csv.writer(line, lineterminator="\n").writerow(cells)
    return line.getvalue().encode()


def _text_row(example: Example, chosen: Chosen) -> bytes:
    prompt, answer = text_pair(example, chosen)
    return f"{prompt}{answer}{TEMPLATES[chosen.template].end}\n".encode()
