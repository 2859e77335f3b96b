"""Designs of studies: kept and read again, refused where no study can be made of them, and what they are warned of."""

from collections import Counter
from dataclasses import replace
from typing import Any

import pytest

from medchat.errors import InvalidInput
from medchat.rubrics import load_rubrics
from medchat.study_design import Design, QuestionSource, check_design, pairs_of, planned_units, warnings

DESIGN = Design(QuestionSource("suite", "handwritten"), ("a", "b", "c", "d"), tasks="both", raters_per_item=3)


def test_a_design_is_read_again_as_it_was_kept() -> None:
    design = replace(
        DESIGN, questions=QuestionSource("file", "mine.csv", 40), calibration=("x", "y"), metrics=("bleu",)
    )

    assert Design.from_dict(design.as_dict()) == design
    assert Design.from_dict({"questions": {"kind": "suite", "name": "s"}, "models": ["a", "b"]}) == Design(
        QuestionSource("suite", "s"), ("a", "b")
    )


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({}, "questions"),
        ({**DESIGN.as_dict(), "tasks": "guess"}, "tasks"),
        ({**DESIGN.as_dict(), "raters": 3}, "raters"),
        ({**DESIGN.as_dict(), "questions": {"kind": "web", "name": "x"}}, "questions.kind"),
        ({**DESIGN.as_dict(), "raters_per_item": "many"}, "raters_per_item"),
    ],
)
def test_what_is_no_design_is_refused_with_its_field(given: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidInput, match=rf"The design of the study cannot be used: {field}: ") as refused:
        Design.from_dict(given)

    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"questions": QuestionSource("suite", " ")}, "Questions: choose a suite"),
        ({"questions": QuestionSource("suite", "s", 0)}, "Questions: a sample has 1 question or more"),
        ({"models": ("a",)}, "Models: choose 2 to 8; 1 are chosen."),
        ({"models": tuple("abcdefghi")}, "Models: choose 2 to 8; 9 are chosen."),
        ({"models": ("a", "b", "a")}, "Models: a is chosen twice"),
        ({"models": ("a", "gone")}, "Models: there is no gone; choose from"),
        ({"rubric": "nothing"}, "Rubric: there is no 'nothing'; choose clinical-3"),
        ({"rubric": "medpalm2-pairwise"}, "Rubric: 'medpalm2-pairwise' is not made for a single answer"),
        ({"pair_rubric": "clinical-3"}, "Rubric of pairs: 'clinical-3' is not made for two answers"),
        ({"pairs_per_question": 0}, "Pairs per question: 1 or more"),
        ({"raters_per_item": 0}, "Raters per item: a number from 1"),
        ({"repeat_share": 0.5}, "Hidden repeats: a share from 0 to 0.3"),
        ({"repeat_share": float("nan")}, "Hidden repeats: a share from 0 to 0.3"),
        ({"calibration": 5}, "Calibration: a number from 0 to 2."),
        ({"calibration": ("gout", "mumps")}, "Calibration: there is no item mumps."),
        ({"calibration": 2, "pass_share": 0.0}, "Share to pass: above 0"),
        ({"min_seconds": -1.0}, "Minimum time: from 0"),
        ({"tie_rate": 1.0}, "Expected share of ties"),
        ({"consent": "x" * 20_001}, "Consent: 20,001 characters"),
    ],
)
def test_a_design_that_cannot_be_is_refused_with_field_and_remedy(changes: dict[str, Any], told: str) -> None:
    check_design(DESIGN, "abcdefghi", load_rubrics(), ("gout", "asthma"))
    with pytest.raises(InvalidInput) as refused:
        check_design(replace(DESIGN, **changes), "abcdefghi", load_rubrics(), ("gout", "asthma"))

    assert str(refused.value).startswith(told)


def test_a_design_counts_what_a_question_makes() -> None:
    assert (DESIGN.n_pairs, DESIGN.items_per_question) == (6, 10)  # 4 x 3 / 2 pairs and four answers
    assert replace(DESIGN, pairs="reference").items_per_question == 7  # a with b, c and d
    assert replace(DESIGN, tasks="pairwise", pairs_per_question=2).items_per_question == 2
    assert replace(DESIGN, tasks="rate").items_per_question == 4


def test_what_is_planned_is_every_answer_and_the_pairs_that_were_drawn() -> None:
    design = replace(DESIGN, pairs_per_question=2)
    units = planned_units(design, ["q1", "q2", "q3"], seed=5)

    assert len(units) == 3 * (4 + 2)
    assert [unit.id for unit in units] == [str(n) for n in range(1, 19)]
    assert {u.models for u in units if u.kind == "rate" and u.question_id == "q2"} == {("a",), ("b",), ("c",), ("d",)}
    pairs = Counter(unit.models for unit in units if unit.kind == "pair")
    assert set(pairs.values()) == {1}  # three questions with two of six pairs: each pair once
    assert units == planned_units(design, ["q1", "q2", "q3"], seed=5)
    assert pairs_of(replace(DESIGN, tasks="rate"), ["q1"], 0) == []


def test_a_sound_design_is_not_warned_of() -> None:
    assert warnings(DESIGN, 200, ["Cardiology", "Neurology"] * 100, 12, votes_needed=400) == []


@pytest.mark.parametrize(
    ("changes", "items", "specialties", "raters", "told"),
    [
        ({}, 40, ["A", "B"] * 20, 6, "40 questions: fewer than 100."),
        ({}, 1, ["A"], 6, "1 question: fewer than 100."),
        ({}, 120, ["A", "B", ""] * 40, 6, "40 of 120 questions name no specialty"),
        ({}, 120, ["A"] * 120, 6, "All questions with a specialty are of the same one"),
        ({}, 120, ["A", "B"] * 60, 3, "3 raters: intervals that allow for differences between raters"),
        ({"raters_per_item": 1}, 120, ["A", "B"] * 60, 6, "One rater an item"),
        ({"repeat_share": 0.0}, 120, ["A", "B"] * 60, 6, "No hidden repeats"),
        # 120 questions x 1 of 6 pairs x 3 raters = 60 votes for each pair
        ({"pairs_per_question": 1}, 120, ["A", "B"] * 60, 6, "About 60 votes for each pair of models, where 200"),
    ],
)  # fmt: skip
def test_what_weakens_a_study_is_warned_of(
    changes: dict[str, Any], items: int, specialties: list[str], raters: int, told: str
) -> None:
    needed = 200 if "pairs_per_question" in changes else None
    lines = warnings(replace(DESIGN, **changes), items, specialties, raters, needed)

    assert len(lines) == 1
    assert lines[0].startswith(told)
