"""Sources, options and folders for the tests of `prepare`."""

from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from medchat.records import Example
from train.adapters import Source
from train.leaks import LeakCheck
from train.prepare import prepare
from train.prepare_options import Options
from train.row_files import FILES, read_rows

DISEASES = ("gout", "asthma", "migraine", "anaemia", "psoriasis", "cholera", "measles", "rickets", "scurvy", "malaria")
ASKED = (
    "What relieves", "Which organ suffers first from", "How do clinicians confirm", "Who inherits",
    "When does fever join", "Why do travellers fear", "Which vitamin prevents", "Where did epidemics begin of",
    "What complicates surgery in", "Which blood test follows",
)  # fmt: skip
PLACES = (
    "winter",
    "pregnancy",
    "childhood",
    "hospital",
    "prison",
    "Antarctica",
    "retirement",
    "school",
    "space",
    "war",
)
N_ROWS = len(DISEASES) * len(ASKED) * len(PLACES)


def questions(n: int, start: int = 0) -> list[str]:
    """Different questions that nobody would take for paraphrases of each other, N_ROWS at most."""
    found = []
    for number in range(start, start + n):
        asked, disease, place = ASKED[number // 100], DISEASES[number // 10 % 10], PLACES[number % 10]
        found.append(f"{asked} {disease} during {place}, case {number} of registry {number * 7919 % 10007}?")
    return found


def rows(n: int, start: int = 0, **fields: Any) -> list[Example]:
    """Rows with an answer each; fields: of all of them."""
    return [
        Example(question, f"Answer {number}: look it up on page {number}.", licence="MIT", **fields)
        for number, question in enumerate(questions(n, start), start)
    ]


def source(path: Path, found: Iterable[Example]) -> Source:
    """A file with the rows."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"".join(row.to_json().encode() + b"\n" for row in found))
    return Source("examples", path, text=f"examples={path.name}")


@cache
def leaks() -> LeakCheck:
    """The check of MedChat's own suites, made once."""
    return LeakCheck(None)


def prepared(sources: Iterable[Source], out: Path, **options: Any) -> dict[str, Any]:
    """The report; without a balance unless one is asked for."""
    return prepare(list(sources), out, Options(**{"balance": None, **options}), leaks=leaks())


def in_files(out: Path) -> dict[str, list[Example]]:
    """The rows of each file."""
    return {name: [row for _, row in read_rows(out, [name])] for name in FILES}


def contents(out: Path) -> dict[str, bytes]:
    """Every file of the folder."""
    return {path.name: path.read_bytes() for path in sorted(out.iterdir()) if path.is_file()}


def adds_up(report: Mapping[str, Any]) -> bool:
    """Whether every row that was read is in one count, of each source and of all."""
    found = [report, *report["sources"]]
    for its in found:
        dropped = its["dropped"] if isinstance(its["dropped"], int) else sum(its["dropped"].values())
        unlabelled = its["unlabelled"] if "unlabelled" in its else its["rows"]["unlabelled"]
        if its["rows_in"] != its["kept"] + unlabelled + dropped:
            return False
    return True
