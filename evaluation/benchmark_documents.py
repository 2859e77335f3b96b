"""Benchmarks that are no tables: XML documents (MedQuAD, LiveQA-Med, MEDIQA 2019) and MedDialog's raw text."""

import html
import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from evaluation.benchmark_files import Record, Records, Skipped, opened_text, suffix_of, table_records
from evaluation.benchmark_json import BROKEN_ROW, NOT_UTF8
from medchat.errors import InvalidInput

NO_XML = Skipped("a file that is not XML")
_LONE_LESS = re.compile(r"<(?![/?!]?[A-Za-z])")  # "<5 mg" in a text
_LONE_AND = re.compile(r"&(?!#?\w+;)")
_DIALOGUE = re.compile(r"id=(\d+)\s*\Z")
_SPEAKER = re.compile(r"(patient|doctor)\s*:\s*(.*)\Z", re.IGNORECASE | re.DOTALL)


def medquad_records(path: Path) -> Records:
    """A record for each question of a document, with the document's focus, source and link; or the rows of a table."""
    if suffix_of(path) != ".xml":
        yield from table_records(path)
        return
    place = f"{path.parent.name}/{path.name}"
    document = _document(path)
    if document is None:
        yield place, NO_XML
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


def liveqa_records(path: Path) -> Records:
    """A record for each question of a consumer: question_id, subject, message, summary, parts.

    parts: a list for each part of the question, with its answers. The test file has one part, and other names for its
    answers than the training files have.
    """
    document = _document(path)
    if document is None:
        yield path.name, NO_XML
        return
    questions = list(document.iter("NLM-QUESTION"))
    if not questions:
        yield path.name, Skipped("a file without questions")
    for number, question in enumerate(questions, 1):
        parts = list(question.iter("SUB-QUESTION")) or [question]
        answers = [[_plain(answer) for answer in part.iter("ANSWER")] for part in parts]
        yield Record(
            f"{path.name}, question {number}",
            {
                "question_id": question.get("qid") or question.get("questionid") or "",
                "subject": _plain(question.find(".//SUBJECT")),
                "message": _plain(question.find(".//MESSAGE")),
                "summary": _plain(question.find("NLM-Summary")),
                "parts": [texts for part in answers if (texts := [text for text in part if text])],
            },
        )


def mediqa_records(path: Path) -> Records:
    """A record for each question of MEDIQA 2019's task 3, with its answers and their scores; or the rows of a table."""
    if suffix_of(path) != ".xml":
        yield from table_records(path)
        return
    document = _document(path)
    if document is None:
        yield path.name, NO_XML
        return
    questions = list(document.iter("Question"))
    if not questions:
        yield path.name, Skipped("a file without questions")
    for number, question in enumerate(questions, 1):
        answers = [
            {"text": _plain(answer.find("AnswerText")), "url": _plain(answer.find("AnswerURL")), **answer.attrib}
            for answer in question.iter("Answer")
        ]
        row = {"QID": question.get("QID", ""), "QuestionText": _plain(question.find("QuestionText"))}
        yield Record(f"{path.name}, question {number}", {**row, "AnswerList": answers})


def meddialog_records(path: Path) -> Records:
    """A record for each dialogue of a raw text file; or the rows of the Hub's form."""
    if suffix_of(path) == ".txt":
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


def _plain(element: ElementTree.Element | None) -> str:
    """The text in one line a paragraph; entities that were escaped twice are characters again."""
    lines = html.unescape(html.unescape(_text(element))).strip().splitlines()
    return "\n".join(line for raw in lines if (line := " ".join(raw.split())))


def _dialogues(path: Path) -> Records:
    found = False
    with opened_text(path) as lines:
        for record in _parsed_dialogues(path.name, lines):
            found = True
            try:
                json.dumps(record.row, ensure_ascii=False).encode()
            except UnicodeEncodeError:
                yield record.where, Skipped(BROKEN_ROW, NOT_UTF8)
            else:
                yield record
    if not found:
        yield path.name, Skipped("a file without dialogues")


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
