"""Conversations as files to keep (Markdown, JSON), and files with a case as the beginning of one."""

import csv
import io
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import PurePath
from typing import Any, NamedTuple

from medchat.errors import InvalidInput
from medchat.records import Sampling
from medchat.store.records import ConversationRecord
from medchat.turns import TurnView
from medchat.uploads import decoded, shown_name

SCHEMA = "medchat-conversation"
SCHEMA_VERSION = 1
PURPOSE = "For research and teaching, never for the care of a patient."
MAX_BYTES = 1_000_000

_ENDS = {
    "done": "",
    "stopped": "The answer was stopped.",
    "cut": "The answer was cut off.",
    "failed": "The answer failed.",
}
# What a file begins with that is no text.
_BINARY = {
    b"%PDF": "a PDF",
    b"PK\x03\x04": "a Word document or an archive",
    b"\xd0\xcf\x11\xe0": "an old Word document",
    b"{\\rtf": "an RTF document",
    b"\x89PNG": "an image",
    b"\xff\xd8\xff": "an image",
    b"GIF8": "an image",
    b"RIFF": "an image or a recording",
    b"II*\x00": "an image",
    b"MM\x00*": "an image",
    b"\x1f\x8b": "an archive",
}
_CODE_OR_MARKUP = re.compile(r"(`+)(?!`).+?(?<!`)\1(?!`)|<|!(?=\[)")
_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})(.*)")
_HEADING = re.compile(r"(?= {0,3}(?:#|=+\s*$|-+\s*$))( {0,3})")


class Case(NamedTuple):
    """What a file asks. note: what the reader should know of how it was read, "" for nothing."""

    context: str
    question: str
    note: str = ""


def to_markdown(conversation: ConversationRecord, turns: Sequence[TurnView]) -> str:
    """The conversation to be read: what was asked as it was typed, the answers with their own formatting."""
    began = conversation.created_at.strftime("%Y-%m-%d %H:%M")
    parts = [f"# {_plain(conversation.title)}", f"A conversation with MedChat, begun {began}. {PURPOSE}"]
    for number, turn in enumerate(turns, 1):
        parts.append(f"## Turn {number}")
        for heading, text in (("Case", _plain(turn.context)), ("Question", _plain(turn.question))):
            parts += [f"### {heading}", text] * bool(text)
        for heading, text in (("Reasoning", _formatted(turn.reasoning)), ("Answer", _formatted(turn.solution))):
            parts += [f"### {heading}", text] * bool(text)
        parts.append("\n".join(f"- {line}" for line in _facts(turn)))
    return "\n\n".join(parts) + "\n"


def to_json(conversation: ConversationRecord, turns: Sequence[TurnView]) -> str:
    """The conversation as one JSON object; times are in milliseconds, null means not known."""
    return json.dumps(
        {
            "schema": SCHEMA,
            "version": SCHEMA_VERSION,
            "purpose": PURPOSE,
            "conversation": {
                "id": conversation.id,
                "title": conversation.title,
                "created_at": conversation.created_at.isoformat(),
                "updated_at": conversation.updated_at.isoformat(),
            },
            "turns": [_turn(turn) for turn in turns],
        },
        ensure_ascii=False,
        indent=2,
    )


def read_case(name: str, data: bytes) -> Case:
    """The case in a file: a text is all context, the others name their context and question.

    Raises InvalidInput with one line for anything else.
    """
    name = shown_name(name)
    read = _READERS.get(PurePath(name).suffix.casefold())
    if not data:
        raise InvalidInput(f"{name} is empty.")
    if len(data) > MAX_BYTES:
        raise InvalidInput(f"{name} is larger than 1 MB; take out the part with the case.")
    for magic, kind in _BINARY.items():
        if data.startswith(magic):
            raise InvalidInput(f"{name} is {kind}; copy its text into the question, or into a .txt file.")
    if read is None:
        raise InvalidInput(f"{name} is none of the files that MedChat reads: .txt, .md, .json, .jsonl and .csv.")
    text, guessed = decoded(name, data, "as a .txt file in UTF-8")
    if not text.strip():
        raise InvalidInput(f"{name} is empty.")
    case = read(name, text)
    return case._replace(note=" ".join(filter(None, (case.note, guessed))))


def _facts(turn: TurnView) -> list[str]:
    """What is to be known of an answer, a line each."""
    speed = f", {turn.tokens_per_s:.0f} tokens/s" if turn.tokens_per_s else ""
    took = f"{turn.total_ms / 1000:.1f} s" if turn.total_ms is not None else ""
    first = f", the first word after {turn.ttft_ms / 1000:.1f} s" if turn.ttft_ms is not None else ""
    lines = {
        "Model": turn.model_name or turn.model_id,
        "Sent to": turn.external,
        "Sampling": _sampling_words(turn.sampling) if turn.sampling else "",
        "Time": took and took + first + speed,
        "Version": f"{turn.version} of {turn.versions}" if turn.versions > 1 else "",
        "Branch": f"{turn.branch} of {turn.branches}" if turn.branches > 1 else "",
        "End": " ".join(filter(None, (_ENDS.get(turn.phase, "The answer is still being written."), turn.error))),
        "Findings in the reasoning that the case does not contain": ", ".join(name for *_, name in turn.unsupported),
        "Note": turn.note,
        "Critical": "A rater says that nobody should be given this answer." if turn.critical else "",
        f"Thumb {turn.thumb}": "; ".join(filter(None, (", ".join(turn.thumb_reasons), turn.thumb_comment)))
        or "no reason given",
    }
    if not turn.thumb:
        del lines["Thumb "]
    return [f"{label}: {_plain(' '.join(text.split()))}" for label, text in lines.items() if text]


def _sampling_words(sampling: Sampling) -> str:
    words = f"temperature {sampling.temperature:g}, top-p {sampling.top_p:g}, top-k {sampling.top_k}"
    words += f", presence penalty {sampling.presence_penalty:g}" if sampling.presence_penalty else ""
    return f"{words}, seed {sampling.seed}, at most {sampling.max_new_tokens} tokens"


def _turn(turn: TurnView) -> dict[str, Any]:
    return {
        "answer_id": turn.answer_id,
        "context": turn.context,
        "question": turn.question,
        "model": {"id": turn.model_id, "name": turn.model_name, "external": turn.external},
        "sampling": asdict(turn.sampling) if turn.sampling else None,
        "reasoning": turn.reasoning,
        "solution": turn.solution,
        "status": turn.phase,
        "complete": turn.complete,
        "critical": turn.critical,
        "error": turn.error,
        "note": turn.note,
        "unsupported": [name for *_, name in turn.unsupported],
        "version": turn.version,
        "versions": turn.versions,
        "branch": turn.branch,
        "branches": turn.branches,
        "tokens": {"prompt": turn.prompt_tokens, "completion": turn.completion_tokens},
        "timings": {
            "first_token_ms": turn.ttft_ms,
            "reasoning_ms": turn.reasoning_ms,
            "total_ms": turn.total_ms,
            "tokens_per_s": turn.tokens_per_s,
        },
        "thumb": {"thumb": turn.thumb, "reasons": list(turn.thumb_reasons), "comment": turn.thumb_comment}
        if turn.thumb
        else None,
    }


def _plain(text: str) -> str:
    """Text that Markdown shows as it was typed, line by line."""
    lines = []
    for line in text.strip().splitlines():
        body = line.lstrip()
        body = re.sub(r"([\\`*_{}\[\]<>#|~&$])", r"\\\1", body)
        body = re.sub(r"^(\d{1,9})(?=[.)](?:\s|$))", r"\1\\", body)
        body = re.sub(r"^(?=[-+](?:\s|$)|[-=]+\s*$)", r"\\", body)
        indent = "\u00a0" * len(line[: len(line) - len(line.lstrip())].expandtabs(4))
        lines.append(indent + body.rstrip())
    return "  \n".join(lines)  # two spaces keep the line break


def _formatted(text: str) -> str:
    """An answer's own Markdown, kept within its place: no headings, no HTML, no images, no open code block."""
    lines, fence = [], ""
    for line in text.strip().splitlines():
        found = _FENCE.fullmatch(line)
        if fence:
            if found and found[1].startswith(fence) and not found[2].strip():
                fence = ""
        elif found and not (found[1][0] == "`" and "`" in found[2]):
            fence = found[1]
        elif not line.startswith(("    ", "\t")):
            line = _CODE_OR_MARKUP.sub(lambda m: m[0] if m[1] else "\\" + m[0], line)
            line = _HEADING.sub(r"\1\\", line, count=1) if _HEADING.match(line) else line
        else:
            line = line.replace("<", "&lt;")
        lines.append(line)
    return "\n".join([*lines, fence] if fence else lines)


def _from_text(name: str, text: str) -> Case:
    return Case(text.strip(), "")


def _from_json(name: str, text: str) -> Case:
    value = _json(name, text)
    rows = value if isinstance(value, list) else [value]
    return _first(name, rows)


def _from_jsonl(name: str, text: str) -> Case:
    lines = [line for line in text.split("\n") if line.strip()]
    return _first(name, [_json(name, lines[0]), *lines[1:]])


def _from_csv(name: str, text: str) -> Case:
    header = text.lstrip().split("\n", 1)[0]
    delimiter = max(",;\t", key=header.count)
    try:
        rows = [row for row in csv.reader(io.StringIO(text.lstrip()), delimiter=delimiter) if any(map(str.strip, row))]
    except csv.Error:
        raise InvalidInput(f"{name} is not a CSV table that can be read.") from None
    columns = [column.strip().casefold() for column in rows[0]]
    if "question" not in columns and "context" not in columns:
        raise InvalidInput(f"{name} has no column 'question' or 'context' in its first line.")
    return _first(name, [dict(zip(columns, row, strict=False)) for row in rows[1:]])


def _json(name: str, text: str) -> object:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise InvalidInput(f"{name} is not valid JSON.") from None


def _first(name: str, rows: Sequence[object]) -> Case:
    """The first of the rows as a case."""
    row = rows[0] if rows else None
    if not isinstance(row, Mapping):
        raise InvalidInput(f"{name} holds no case: an object with 'question', and 'context' if there is one.")
    context, question = (row.get(field) or "" for field in ("context", "question"))
    if not isinstance(context, str) or not isinstance(question, str) or not (context + question).strip():
        raise InvalidInput(f"{name} holds no case: 'question', and 'context' if there is one, must be texts.")
    options = row.get("options")
    if isinstance(options, Mapping):
        question += "".join(f"\n{letter}. {option}" for letter, option in options.items())
    note = f"{name} holds {len(rows):,} cases; the first was taken." if len(rows) > 1 else ""
    return Case(context.strip(), question.strip(), note)


_READERS = {
    ".txt": _from_text,
    ".md": _from_text,
    ".json": _from_json,
    ".jsonl": _from_jsonl,
    ".csv": _from_csv,
}
