"""report.html: words before tables, every count in it, nothing that runs or is fetched, readable on a phone."""

import re
from html import unescape
from typing import Any

import pytest
from playwright.sync_api import Browser

from train.made_report import MADE
from train.prepare_report import to_html

SPLITS = ("train", "validation", "test")
REPORT: dict[str, Any] = {
    "kind": "prepared",
    "command": "python -m train prepare --source medmcqa=medmcqa --source meddialog=talks --seed 7 --out DIR",
    "seed": 1700,
    "settings": {"dialogues": "each", "abstracts": False, "limits": {"max_answer_chars": 4000}, "frozen": None},
    "rows": {"train": 850, "validation": 100, "test": 95, "unlabelled": 30},
    "rows_in": 1400, "kept": 945, "dropped": 425,
    "sources": [
        {
            "adapter": "medmcqa", "title": "MedMCQA", "source": "medmcqa", "home": "https://medmcqa.github.io",
            "licences": {"MIT": 600}, "group": "knowledge", "sha256": "ab" * 32, "rows_in": 800, "kept": 600,
            "unlabelled": 30, "dropped": {"too short": 20, "near duplicate": 100, "in the evaluation suite medqa": 50},
            "repaired": {"mark-up": 12}, "rows": {"train": 500, "validation": 60, "test": 40},
            "official_splits": True, "weight": 1.0, "copies": 1.0,
        },
        {
            "adapter": "meddialog", "title": "Talks <b>raw</b>", "source": "talks", "home": "", "licences": {"": 345},
            "group": "conversation", "sha256": "cd" * 32, "rows_in": 600, "kept": 345, "unlabelled": 0,
            "dropped": {"boilerplate": 155, "near duplicate": 100}, "repaired": {"boilerplate": 200},
            "rows": {"train": 250, "validation": 40, "test": 55}, "official_splits": False, "weight": 1.0,
            "copies": 1.4,
        },
    ],
    "rules": {
        "near duplicate": {
            "about": "Nothing but spelling differs from a row that was there before.", "n": 200,
            "examples": [{"source": "talks", "where": "a.txt, line 12", "text": "<script>alert(1)</script> fever"}],
        },
        "boilerplate": {"about": "Greetings are taken out.", "n": 155, "examples": []},
    },
    "lengths": {
        "question": {
            "edges": [1, 5, 10, None], "counts": {"train": [10, 700, 40], "validation": [0, 90, 10]},
            "median": 7.0, "p95": 11.0, "unit": "words",
        },
        "context": {"edges": [1, 5, 10, None], "counts": {"train": [0, 0, 0]}, "median": None, "p95": None},
    },
    "duplicates": {
        "same": 0, "near": 200, "other_answer": 3, "tied_groups": 61,
        "examples": [{"a": "What is gout?", "b": "What's gout?", "similarity": 0.934}],
    },
    "leaks": {"medqa": 50},
    "balance": {
        "asked": {"knowledge": 75.0, "conversation": 25.0}, "before": {"knowledge": 500, "conversation": 250},
        "after": {"knowledge": 500, "conversation": 350},
        "upsampled": [{"source": "talks", "rows": 250, "used": 350, "copies": 1.4}],
        "brief_answers": {"asked": None, "before": 30.0, "after": 28.5}, "notes": ["knowledge: 75 % was asked for."],
    },
    "template": "role", "answer_format": "final-answer", "format": "jsonl",
    "sha256": {"train": "ef" * 32}, "licences": {"": 345, "CC-BY-SA-4.0": 3, "MIT": 597},
}  # fmt: skip


def words_of(html: str) -> str:
    """What somebody reads, without tags."""
    return unescape(re.sub(r"\s+", " ", re.sub(r"<style>.*?</style>|<[^>]+>", " ", html))).replace("\u00a0", " ")


def test_it_begins_with_what_went_in_and_what_came_out_in_words() -> None:
    said = words_of(to_html(REPORT))

    # 945 of 1,400 are 67.5 %, 425 are 30.4 %
    assert "1,400 rows were read from 2 sources: 945 (68 %) were kept, 30 have no answer yet, 425 (30 %)" in said
    assert "850 to train on 100 to validate with 95 kept for the test 30 questions without an answer" in said
    # 850 + 100 + 95 - 945
    assert "100 of the rows to train on are there again, because the balance asks for it." in said
    assert "Dropped most often: near duplicate (200), boilerplate (155), in the evaluation suite medqa (50)." in said
    assert "1,400 read = 945 kept + 30 without an answer + 425 dropped" in said


def test_it_says_what_to_look_at_before_training() -> None:
    said = words_of(to_html(REPORT))

    assert "345 rows state no licence: ask the owners before you pass anything on." in said
    assert "Licence CC-BY-SA-4.0 (3 rows): share-alike" in said
    assert "A training row of Talks <b>raw</b> is there 1.40 times on average (upsampled)." in said
    assert "50 rows stood in an evaluation suite and were taken out" in said
    assert "Licence MIT" not in said
    assert "nothing but spelling differs" in said.casefold()


def test_every_rule_hash_and_setting_is_in_it() -> None:
    html = to_html(REPORT)
    said = words_of(html)

    for source in REPORT["sources"]:
        for n in (*source["dropped"].values(), *source["repaired"].values(), source["rows_in"], source["kept"]):
            assert f" {n:,} " in said
        assert source["sha256"] in html
    assert REPORT["sha256"]["train"] in html
    assert REPORT["command"] in said
    assert "limits: max answer chars 4,000" in said
    assert "seed 1700" in said
    assert "frozen" not in said


def test_lengths_are_drawn_with_their_numbers_and_what_is_not_there_is_said() -> None:
    said = words_of(to_html(REPORT))

    assert "Questions: half have at most 7 words, 95 % at most 11." in said
    assert "10 to more: 40" in said  # the last bin is open
    assert "Contexts: there is none." in said


def test_what_the_rows_are_prepared_for_is_written_out() -> None:
    said = words_of(to_html(REPORT))
    open_to_the_recipe = words_of(to_html({**REPORT, "template": "recipe", "answer_format": "recipe"}))

    assert (
        "<|user|> Patient: {context} {question}<|end|> <|assistant|> Doctor: {reasoning} Final Answer: {answer}" in said
    )
    assert "The recipe of the training says how the rows are asked and answered" in open_to_the_recipe


def test_what_rows_say_is_escaped_and_nothing_is_fetched() -> None:
    html = to_html(REPORT)

    assert "<script" not in html
    assert "&lt;script&gt;alert(1)&lt;/script&gt; fever" in html
    assert "Talks <b>" not in html
    assert not re.search(r"(src|href)=\"(?!#)", html)
    assert html == to_html(REPORT)


def test_no_bar_is_without_its_number_in_words() -> None:
    html = to_html(REPORT)

    drawings = re.findall(r"<svg xmlns.*?</svg>", html, re.DOTALL)
    assert len(drawings) >= 5
    assert all('role="img"' in one and "<title>" in one and re.search(r"<desc>[^<]*\d", one) for one in drawings)


@pytest.mark.parametrize("kind", ["prepared", *MADE])
def test_a_report_that_says_little_is_a_page_too(kind: str) -> None:
    for report in ({"kind": kind}, {"kind": kind, "rows": {"train": 3}, "sources": [], "rules": {}, "lengths": {}}):
        assert "In short" in words_of(to_html(report))


def test_counts_reasons_and_examples_of_made_rows_are_shown() -> None:
    said = words_of(to_html({
        "kind": "augmented", "command": "python -m train augment D --kind synonyms", "rows": {"train": 12, "test": 2},
        "children": 7, "by_kind": {"synonyms": 5, "split": 2},
        "refused": {"another number": {"about": "A child has the numbers of its parent.", "n": 4, "examples": [
            {"where": "train.jsonl, line 3", "parent": "Take 5 mg.", "child": "Take 50 mg."}]}},
        "teachers": [{"model": "big", "requests": 9, "cost": 0.25}], "licences": {"MIT": 14},
    }))  # fmt: skip

    assert "More questions: what was made and what was refused" in said
    assert "14 rows in this folder." in said
    assert "synonyms 5 (71 %)" in said  # 5 of 7
    assert "another number: 4 A child has the numbers of its parent." in said
    assert "train.jsonl, line 3 Parent: Take 5 mg. Child: Take 50 mg." in said
    assert "big 9 0.25" in said


def test_of_teacher_answers_it_says_what_was_used_what_was_not_and_what_it_cost() -> None:
    said = words_of(to_html({
        "kind": "distilled", "rows": {"train": 9}, "rows_in": 9, "answers": {"used": 8, "unused": 2},
        "unused": {"a refusal": {"n": 2, "examples": [{"where": "train.jsonl, line 3", "text": "I cannot help."}]}},
        "teachers": {"big": {"used": 8, "asked": 10, "cost": 0.5, "terms": "its own"}}, "cost": 0.5,
        "possibly_charged": 0, "not_asked_yet": 1,
    }))  # fmt: skip

    assert "8 answers of big were used, 2 were not: the reasons stand below." in said
    assert "1 of these were not asked yet; the same command again goes on with them. It cost 0.50 US dollars." in said
    assert "a refusal 2 (20 %)" in said  # 2 of 10
    assert "train.jsonl, line 3 I cannot help." in said


def test_of_quality_it_says_what_is_held_back_and_what_goes_to_people() -> None:
    said = words_of(to_html({
        "kind": "quality", "rows": {"train": 390}, "rows_in": 400, "kept": 390, "held_rows": 10,
        "review": {"rows": 30, "share": 0.05, "why": {"random sample": 20, "flagged": 10}},
        "flags": {
            "refusal": {"about": "It declines.", "n": 10, "held_back": True, "reasons": {"I cannot": 10}, "examples": [
                {"source": "talks", "where": "a.txt, line 1", "why": "I cannot", "text": "\u27e6I cannot\u27e7"}]},
            "cut off": {"about": "It ends within a sentence.", "n": 0, "examples": []},
        },
    }))  # fmt: skip

    assert "400 rows were checked: 390 stay, 10 (2.5 %) are held back until people have decided." in said
    assert "30 rows go to people, a random 5 % among them." in said
    assert "It declines. Such rows are held back until people have decided. talks, a.txt, line 1" in said
    assert "Not found in any row: cut off." in said


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_is_read_on_a_phone_without_scrolling_sideways(chromium: Browser, scheme: Any) -> None:
    page = chromium.new_page(viewport={"width": 400, "height": 800}, color_scheme=scheme)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.set_content(to_html(REPORT))

    assert page.evaluate("document.documentElement.scrollWidth <= 400")
    boxes = [box for label in page.locator("svg text").all() if (box := label.bounding_box())]
    assert boxes
    assert all(box["x"] >= 0 and box["x"] + box["width"] <= 400 for box in boxes)
    assert asked == []
    page.close()
