"""The examples of a suite: read from disk each time they are gone through, checked, none of them twice."""

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from string import ascii_uppercase

from evaluation.benchmark_files import Skipped, not_utf8
from medchat.errors import InvalidInput
from medchat.records import Example
from medchat.uploads import read_examples, read_upload

Placed = tuple[str, Example | Skipped]  # where it stands
PLACES_NAMED = 3
REPEATED = "a row that was there before"
_FIELDS = tuple(field.name for field in fields(Example))


@dataclass(frozen=True, slots=True)
class Examples:
    """Examples that may be gone through again and again, one in memory at a time; len is their number.

    read: what goes through the source once. strict: a faulty example is an error, otherwise it is left out.
    """

    read: Callable[[], Iterator[Placed]]
    strict: bool
    n: int

    def __len__(self) -> int:
        return self.n

    def __iter__(self) -> Iterator[Example]:
        """Raises InvalidInput when the source has fewer of them than it had."""
        n_read = 0
        for _, example in usable(self.read, strict=self.strict):
            if n_read == self.n:
                return
            if isinstance(example, Example):
                n_read += 1
                yield example
        if n_read < self.n:
            raise InvalidInput("The suite's file was changed while it was in use; start again.")


@dataclass(frozen=True, slots=True)
class Survey:
    """What one pass over a source found. digest: SHA-256 of the examples; skipped: reason -> how many.

    kinds: how many of each. no_answer: how many without a reference. notes: a line for people on each thing that they
    ought to know.
    """

    n: int
    digest: str
    kinds: Mapping[str, int]
    no_answer: int
    skipped: Mapping[str, int]
    notes: tuple[str, ...]


def survey(read: Callable[[], Iterator[Placed]], limit: int | None, *, strict: bool) -> Survey:
    """Go through the first `limit` examples of a source, all of them for None.

    Raises InvalidInput with file and line for one that cannot be used, where strict.
    """
    digest = hashlib.sha256()
    kinds: Counter[str] = Counter()
    skipped: Counter[str] = Counter()
    places: dict[str, list[str]] = {}
    no_answer = 0
    for where, example in usable(read, strict=strict):
        if limit is not None and kinds.total() >= limit:
            break
        if isinstance(example, Skipped):
            skipped[example.reason] += 1
            places.setdefault(example.reason, [])[PLACES_NAMED:] = []
            places[example.reason].append(where)
            continue
        kinds[example.kind] += 1
        no_answer += example.answer is None
        digest.update(_line(example))
    notes = [_skip_note(n, reason, places[reason]) for reason, n in skipped.most_common()]
    if no_answer:
        notes.append(f"{no_answer} of {kinds.total()} have no reference: only what needs none is scored.")
    return Survey(kinds.total(), digest.hexdigest(), kinds, no_answer, skipped, tuple(notes))


def usable(read: Callable[[], Iterator[Placed]], *, strict: bool) -> Iterator[Placed]:
    """The source's examples, each with an id and checked; one that cannot be used is an error, or Skipped.

    Of the ids only 8 bytes each are kept.
    """
    seen: set[bytes] = set()
    for where, found in read():
        if isinstance(found, Skipped):
            yield where, found
            continue
        example = found if found.id else replace(found, id=found.question_id)
        fault = fault_of(example)
        if fault and strict:
            raise InvalidInput(f"{where}: {fault}.")
        mark = hashlib.blake2b(example.id.encode("utf-8", "surrogatepass"), digest_size=8).digest()
        if not fault and mark in seen:
            first = _first_with(read, example.id)
            if first != where and strict:
                raise InvalidInput(f"{where}: the id {example.id[:80]!r} is already in {first.partition(', ')[2]}.")
            fault = REPEATED if first != where else ""
        seen.add(mark)
        yield where, Skipped(fault) if fault else example


def fault_of(example: Example) -> str:
    """What is wrong with the example's options or its key, "" for nothing."""
    options = example.options
    if options is None:
        return "a multiple-choice question needs 'options'" if example.kind == "mcq" else ""
    letters = list(ascii_uppercase[: len(options)])
    if not 2 <= len(options) <= len(ascii_uppercase) or sorted(options) != letters:
        return f"the options are {', '.join(map(str, options)) or 'none'}; they must be lettered A, B and so on"
    if list(options) != letters:
        return f"the options stand in the order {', '.join(options)}; they must be in that of the alphabet"
    if not all(isinstance(text, str) and text.strip() for text in options.values()):
        return "an option is empty or not a text"
    if example.kind == "mcq" and example.answer is not None and example.answer not in options:
        return f"the answer {example.answer[:40]!r} is none of the letters {', '.join(letters)}"
    return ""


def example_lines(path: Path) -> Iterator[Placed]:
    """The Examples in a .jsonl file, a line each; or in a .csv file with question and perhaps answer, context and id.

    Raises InvalidInput with file and line.
    """
    if path.suffix.casefold() == ".csv":
        for number, example in enumerate(read_examples(path.name, read_upload(path, path.name)), 1):
            yield f"{path.name}, row {number}", example
        return
    try:
        with path.open(encoding="utf-8-sig", newline="\n") as lines:
            for number, line in enumerate(lines, 1):
                if line.strip():
                    where = f"{path.name}, line {number}"
                    yield where, Example.from_json(line, where)
    except UnicodeDecodeError as error:
        raise not_utf8(path) from error
    except OSError as error:
        raise InvalidInput(f"{path.name} cannot be read: {error.strerror}.") from error


def _first_with(read: Callable[[], Iterator[Placed]], example_id: str) -> str:
    """Where the first example with the id stands: two ids may share their 8 bytes."""
    for where, example in read():
        if isinstance(example, Example) and (example.id or example.question_id) == example_id:
            return where
    return ""


def _line(example: Example) -> bytes:
    values = [getattr(example, name) for name in _FIELDS]
    return json.dumps(values, ensure_ascii=False, sort_keys=True, default=str).encode("utf-8", "surrogatepass") + b"\n"


def _skip_note(n: int, reason: str, places: list[str]) -> str:
    named = "; ".join(places[:PLACES_NAMED])
    more = f" and {n - PLACES_NAMED} more" if n > PLACES_NAMED else ""
    return f"{n} left out: {reason} ({named}{more})."
