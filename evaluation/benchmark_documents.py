"""Benchmarks that are no tables: MedQuAD's XML documents and MedDialog's raw text, record by record."""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from evaluation.benchmark_files import Record, Records, Skipped, table_records
from medchat.errors import InvalidInput

_LONE_LESS = re.compile(r"<(?![/?!]?[A-Za-z])")  # "<5 mg" in a text
_LONE_AND = re.compile(r"&(?!#?\w+;)")
_DIALOGUE = re.compile(r"id=(\d+)\s*\Z")
_SPEAKER = re.compile(r"(patient|doctor)\s*:\s*(.*)\Z", re.IGNORECASE | re.DOTALL)


def medquad_records(path: Path) -> Records:
    """A record for each question of a document, with the document's focus, source and link; or the rows of a table."""
    if path.suffix.casefold() != ".xml":
        yield from table_records(path)
        return
    place = f"{path.parent.name}/{path.name}"
    document = _document(path)
    if document is None:
        yield place, Skipped("a file that is not XML")
        return
    pairs = list(document.iter("QAPair"))
    if not pairs:
        yield place, Skipped("a file without questions")
    for number, pair in enumerate(pairs, 1):
        question = pair.find("Question")
        qid = question.get("qid", "") if question is not None else ""
        yield Record(
            f"{place}, question {number}",
            {
                "question_id": f"{path.parent.name}/{qid or f'{path.stem}-{number}'}",
                "question": _text(question),
                "question_type": question.get("qtype", "") if question is not None else "",
                "answer": _text(pair.find("Answer")),
                "question_focus": _text(document.find("Focus")),
                "document_source": document.get("source") or document.get("corpus") or path.parent.name,
                "document_url": document.get("url", ""),
                "umls_semantic_group": _text(document.find(".//SemanticGroup")),
            },
        )


def meddialog_records(path: Path) -> Records:
    """A record for each dialogue of a raw text file; or the rows of the Hub's form."""
    if path.suffix.casefold() == ".txt":
        yield from _dialogues(path)
    else:
        yield from table_records(path)


def turns_of(row: Any) -> list[tuple[str, str]]:
    """The turns of a dialogue as ("patient" or "doctor", text); those of one speaker in a row are one.

    They come as a list of {speaker, utterance}, or as two lists; the speaker is a name, or 0 for the patient, 1 for
    the doctor.
    """
    turns = row.get("dialogue_turns")
    if isinstance(turns, dict):
        turns = [
            {"speaker": speaker, "utterance": utterance}
            for speaker, utterance in zip(turns.get("speaker") or [], turns.get("utterance") or [], strict=False)
        ]
    merged: list[tuple[str, str]] = []
    for turn in turns if isinstance(turns, list) else []:
        who, text = turn.get("speaker"), turn.get("utterance")
        speaker = ("patient", "doctor")[who] if who in (0, 1) else str(who).strip().rstrip(":").casefold()
        if not isinstance(text, str) or not text.strip():
            continue
        named = _SPEAKER.match(text.strip())
        said = named[2].strip() if named and named[1].casefold() == speaker else text.strip()
        if merged and merged[-1][0] == speaker:
            merged[-1] = (speaker, f"{merged[-1][1]}\n{said}")
        else:
            merged.append((speaker, said))
    return merged


def _document(path: Path) -> ElementTree.Element | None:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise InvalidInput(f"{path.name} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError:
        return None
    for attempt in (text, _LONE_AND.sub("&amp;", _LONE_LESS.sub("&lt;", text))):
        try:
            return ElementTree.fromstring(attempt)
        except (ElementTree.ParseError, ValueError):
            continue
    return None


def _text(element: ElementTree.Element | None) -> str:
    return "" if element is None else "".join(element.itertext())


def _dialogues(path: Path) -> Iterator[Record]:
    try:
        with path.open(encoding="utf-8-sig") as lines:
            yield from _parsed_dialogues(path.name, lines)
    except OSError as error:
        raise InvalidInput(f"{path.name} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise InvalidInput(f"{path.name}: this is not UTF-8 text.") from error


def _parsed_dialogues(name: str, lines: Iterable[str]) -> Iterator[Record]:
    where, row = "", dict[str, Any]()
    part = ""  # "Description" or "Dialogue", whichever was the last heading
    for number, line in enumerate(lines, 1):
        text = line.strip()
        begins = _DIALOGUE.match(text)
        if begins:
            if row:
                yield Record(where, row)
            where, part = f"{name}, line {number}", ""
            row = {"dialogue_id": begins[1], "dialogue_url": "", "description": "", "dialogue_turns": []}
        elif not row or not text:
            continue
        elif text in ("Description", "Dialogue"):
            part = text
        elif part == "Description":
            row["description"] = f"{row['description']} {text}".strip()
        elif part == "Dialogue":
            _add_line(row["dialogue_turns"], text)
        elif not row["dialogue_url"]:
            row["dialogue_url"] = text
    if row:
        yield Record(where, row)


def _add_line(turns: list[dict[str, str]], text: str) -> None:
    speaks = _SPEAKER.match(text)
    if speaks:
        turns.append({"speaker": speaks[1].casefold(), "utterance": speaks[2]})
    elif turns:
        turns[-1]["utterance"] = f"{turns[-1]['utterance']}\n{text}".strip()
