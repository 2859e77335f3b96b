"""Conversations as files, and files with a case."""

import json
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from medchat.conversation_file import read_case, to_json, to_markdown
from medchat.errors import InvalidInput
from medchat.records import Sampling
from medchat.store.records import ConversationRecord
from medchat.turns import TurnView

BEGAN = datetime(2026, 11, 20, 14, 3, tzinfo=UTC)
CONVERSATION = ConversationRecord("c1", "dr-a", "Fever & *rash*", "demo", BEGAN, BEGAN, 2)
FIRST = TurnView(
    answer_id="a1",
    position=0,
    question="What is it?",
    context="A child with # fever\n  39.5 °C",
    model_id="demo",
    model_name="Demo model",
    reasoning="Fever and a rash.",
    solution="**Measles** is likely.",
    phase="done",
    complete=True,
    sampling=Sampling(max_new_tokens=200, temperature=0.6, top_p=0.95, top_k=20, seed=7),
    unsupported=((0, 5, "cough"), (6, 9, "sore eyes")),
    ttft_ms=500.0,
    total_ms=2500.0,
    completion_tokens=41,
    version=2,
    versions=3,
    thumb="down",
    thumb_reasons=("factual error", "unclear"),
    thumb_comment="No <vaccine> asked.",
)
SECOND = TurnView(
    answer_id="a2",
    position=1,
    question="And then?",
    context="",
    model_id="far",
    model_name="Far model",
    solution="Rest",
    phase="failed",
    error="host.example.org broke off the answer; ask again.",
    external="host.example.org",
    note="1 earlier turn was left out.",
)

MARKDOWN = """\
# Fever \\& \\*rash\\*

A conversation with MedChat, begun 2026-11-20 14:03. For research and teaching, never for the care of a patient.

## Turn 1

### Case

A child with \\# fever{br}
\u00a0\u00a039.5 °C

### Question

What is it?

### Reasoning

Fever and a rash.

### Answer

**Measles** is likely.

- Model: Demo model
- Sampling: temperature 0.6, top-p 0.95, top-k 20, seed 7, at most 200 tokens
- Time: 2.5 s, the first word after 0.5 s, 20 tokens/s
- Version: 2 of 3
- Findings in the reasoning that the case does not contain: cough, sore eyes
- Thumb down: factual error, unclear; No \\<vaccine\\> asked.

## Turn 2

### Question

And then?

### Answer

Rest

- Model: Far model
- Sent to: host.example.org
- End: The answer failed. host.example.org broke off the answer; ask again.
- Note: 1 earlier turn was left out.
""".format(br="  ")


def test_a_conversation_reads_well_in_markdown() -> None:
    # 40 tokens after the first in 2 s: 20 a second.
    assert to_markdown(CONVERSATION, [FIRST, SECOND]) == MARKDOWN


def test_an_empty_conversation_is_a_heading() -> None:
    assert to_markdown(CONVERSATION, []).count("\n") == 3


@pytest.mark.parametrize(
    ("typed", "written"),
    [
        ("1. one\n2) two", "1\\. one  \n2\\) two"),
        ("- a\n+ b\n* c", "\\- a  \n\\+ b  \n\\* c"),
        ("> quote <b>", "\\> quote \\<b\\>"),
        ("===\n---", "\\===  \n\\---"),
        ("`code` [x](y) ![x](y)", "\\`code\\` \\[x\\](y) !\\[x\\](y)"),
        ("a_b \\ &lt; 1|2", "a\\_b \\\\ \\&lt; 1\\|2"),
        ("-1.5 mmol", "-1.5 mmol"),
        ("2.5 mg", "2.5 mg"),
    ],
)
def test_what_was_typed_does_not_become_markup(typed: str, written: str) -> None:
    text = to_markdown(CONVERSATION, [replace(FIRST, context="", question=typed)])
    assert f"### Question\n\n{written}\n\n### Reasoning" in text


@pytest.mark.parametrize(
    ("answered", "written"),
    [
        ("**bold**\n\n- a\n- b\n\n| x | y |\n|---|---|", "**bold**\n\n- a\n- b\n\n| x | y |\n|---|---|"),
        ("# Title\n## Plan", "\\# Title\n\\## Plan"),
        ("Title\n=====\nPlan\n---", "Title\n\\=====\nPlan\n\\---"),
        ("if p < 0.05 <!-- and", "if p \\< 0.05 \\<!-- and"),
        ("`a < b` and ``c ` < d`` but e < f", "`a < b` and ``c ` < d`` but e \\< f"),
        ("![x](http://example.org/leak)", "\\![x](http://example.org/leak)"),
        ("```\n# no heading < here\n```\n# out", "```\n# no heading < here\n```\n\\# out"),
        ("````python\nopen\n```", "````python\nopen\n```\n````"),
        ("~~~\nopen", "~~~\nopen\n~~~"),
    ],
)
def test_an_answer_keeps_its_formatting_within_its_place(answered: str, written: str) -> None:
    text = to_markdown(CONVERSATION, [replace(FIRST, solution=answered)])
    assert f"### Answer\n\n{written}\n\n- Model: " in text


def test_json_holds_everything_that_is_shown() -> None:
    told = json.loads(to_json(CONVERSATION, [FIRST, SECOND]))
    assert (told["schema"], told["version"]) == ("medchat-conversation", 1)
    assert told["purpose"] == "For research and teaching, never for the care of a patient."
    assert told["conversation"] == {
        "id": "c1",
        "title": "Fever & *rash*",
        "created_at": "2026-11-20T14:03:00+00:00",
        "updated_at": "2026-11-20T14:03:00+00:00",
    }
    first, second = told["turns"]
    assert first["context"] == "A child with # fever\n  39.5 °C"
    assert (first["reasoning"], first["solution"]) == ("Fever and a rash.", "**Measles** is likely.")
    assert first["model"] == {"id": "demo", "name": "Demo model", "external": ""}
    assert first["sampling"]["temperature"] == 0.6
    assert first["sampling"]["seed"] == 7
    assert first["timings"] == {
        "first_token_ms": 500.0,
        "reasoning_ms": None,
        "total_ms": 2500.0,
        "tokens_per_s": 20.0,
    }
    assert first["thumb"] == {
        "thumb": "down",
        "reasons": ["factual error", "unclear"],
        "comment": "No <vaccine> asked.",
    }
    assert first["unsupported"] == ["cough", "sore eyes"]
    assert second["thumb"] is None
    assert second["sampling"] is None
    assert (second["status"], second["complete"], second["note"]) == ("failed", False, "1 earlier turn was left out.")
    assert "dr-a" not in to_json(CONVERSATION, [FIRST])


@pytest.mark.parametrize(
    ("name", "data", "expected"),
    [
        ("case.txt", b" A man, 60. \r\nChest pain.\n", ("A man, 60. \r\nChest pain.", "", "")),
        ("Case.MD", b"# Case", ("# Case", "", "")),
        ("case.txt", "\ufeffDoppelsichtigkeit für 3 Tage".encode(), ("Doppelsichtigkeit für 3 Tage", "", "")),
        ("case.txt", "Größe".encode("utf-16"), ("Größe", "", "")),
        ("case.txt", b"\xfe\xff" + "Größe".encode("utf-16-be"), ("Größe", "", "")),
        (
            "case.txt", "Größe 1,80 – 2".encode("cp1252"),
            ("Größe 1,80 – 2", "", "case.txt is not in UTF-8 and was read as Windows-1252; look at its accents."),
        ),
        ("e.json", b'{"question": "Which?", "context": "A case", "answer": "x"}', ("A case", "Which?", "")),
        ("e.json", b'{"question": "Which?", "context": null}', ("", "Which?", "")),
        ("e.json", b'{"question": "Which?", "options": {"A": "one", "B": "two"}}', ("", "Which?\nA. one\nB. two", "")),
        (
            "e.json", b'[{"question": "1?"}, {"question": "2?"}]',
            ("", "1?", "e.json holds 2 cases; the first was taken."),
        ),
        ("e.jsonl", b'\n{"context": "c", "question": "q"}\n', ("c", "q", "")),
        (
            "e.jsonl", b'{"question": "1?"}\n{"question": "2?"}\nnot looked at\n',
            ("", "1?", "e.jsonl holds 3 cases; the first was taken."),
        ),
        ("t.csv", b'Question,Context\n"What, now?","a\nb"\n', ("a\nb", "What, now?", "")),
        (
            "t.csv", b"\xef\xbb\xbfid;question\n1;Why?\n\n2;How?\n",
            ("", "Why?", "t.csv holds 2 cases; the first was taken."),
        ),
        ("t.csv", b"context\tanswer\nfever\tx", ("fever", "", "")),
    ],
)  # fmt: skip
def test_a_case_is_read(name: str, data: bytes, expected: tuple[str, str, str]) -> None:
    assert read_case(name, data) == expected


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("scan.pdf", b"%PDF-1.7\n%", "scan.pdf is a PDF; copy its text into the question, or into a .txt file."),
        ("renamed.txt", b"%PDF-1.7\n%", "renamed.txt is a PDF;"),
        ("letter.docx", b"PK\x03\x04\x14\x00", "letter.docx is a Word document or an archive;"),
        ("letter.doc", b"\xd0\xcf\x11\xe0\xa1", "letter.doc is an old Word document;"),
        ("x.png", b"\x89PNG\r\n\x1a\n", "x.png is an image;"),
        ("x.jpg", b"\xff\xd8\xff\xe0", "x.jpg is an image;"),
        ("x.exe", b"MZ", "x.exe is none of the files that MedChat reads: .txt, .md, .json, .jsonl and .csv."),
        ("case", b"text", "case is none of the files that MedChat reads"),
        ("x.txt", b"a\x00b", "x.txt is not a text; save it as a .txt file in UTF-8."),
        ("x.txt", b"\x81\x8d\x90", "x.txt is not a text;"),
        ("x.txt", b"\xff\xfea", "x.txt is not a text;"),
        ("x.txt", b"\xff\xfe\x00\x00a\x00\x00\x00", "x.txt is not a text;"),
        ("x.txt", b"", "x.txt is empty."),
        ("x.txt", b" \n\t", "x.txt is empty."),
        ("x.txt", b"\xef\xbb\xbf", "x.txt is empty."),
        ("x.txt", b"a" * 1_000_001, "x.txt is larger than 1 MB; take out the part with the case."),
        ("x.json", b"{", "x.json is not valid JSON."),
        ("x.json", b"[" * 100_000, "x.json is not valid JSON."),
        ("x.json", b"[]", "x.json holds no case:"),
        ("x.json", b'"text"', "x.json holds no case:"),
        ("x.json", b'{"question": 5}', "x.json holds no case:"),
        ("x.json", b'{"answer": "a"}', "x.json holds no case:"),
        ("x.jsonl", b"not JSON", "x.jsonl is not valid JSON."),
        ("x.csv", b"name,age\nx,5", "x.csv has no column 'question' or 'context' in its first line."),
        ("x.csv", b"question", "x.csv holds no case:"),
        ("x.csv", b'question\n"' + b"a" * 200_000, "x.csv is not a CSV table that can be read."),
        ("../../etc/\x1bpasswd.exe", b"x", "passwd.exe is none of"),
    ],
)
def test_what_is_no_case_is_refused_in_one_line(name: str, data: bytes, message: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        read_case(name, data)
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)
