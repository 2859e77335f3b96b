"""Questions with several parts, split by rules."""

import pytest

from medchat.records import Example
from train.augment_children import Child, Refused
from train.augment_split import LEANS, looks_compound, parts_of, split_row


def parts(question: str) -> list[str]:
    found = parts_of(question)
    return [found] if isinstance(found, str) else [part.question for part in found]


@pytest.mark.parametrize(
    ("question", "split"),
    [
        ("Causes and medication for headache + stomach ache?",
         ["What are the causes of headache + stomach ache?", "What is the medication for headache + stomach ache?"]),
        ("What are the causes, symptoms and treatment of gout?",
         ["What are the causes of gout?", "What are the symptoms of gout?", "What is the treatment of gout?"]),
        ("What are the signs and symptoms and the treatment of gout?",
         ["What are the signs and symptoms of gout?", "What is the treatment of gout?"]),
        ("What is gout and how is it treated?", ["What is gout?", "How is gout treated?"]),
        ("What causes asthma and how can it be prevented?", ["What causes asthma?", "How can asthma be prevented?"]),
        ("What is metformin and what are the side effects?",
         ["What is metformin?", "What are the side effects of metformin?"]),
        ("I have asthma. Can I take ibuprofen? Should I get a flu shot? Thank you!",
         ["I have asthma. Can I take ibuprofen?", "I have asthma. Should I get a flu shot?"]),
        ("My father has leukemia. Is it curable at all? Does it run in families?",
         ["My father has leukemia. Is it curable at all?", "My father has leukemia. Does it run in families?"]),
    ],
)  # fmt: skip
def test_a_question_with_several_parts_is_split(question: str, split: list[str]) -> None:
    assert looks_compound(question)
    assert parts(question) == split


@pytest.mark.parametrize(
    "question",
    ["What are the signs and symptoms of measles?", "What is gout?", "And how does it spread?", "Who gets gout??"],
)
def test_a_single_question_is_left_alone(question: str) -> None:
    assert not looks_compound(question)
    assert list(split_row(Example(question, "x", id="row"))) == []


@pytest.mark.parametrize(
    ("question", "reason"),
    [
        ("How do I treat a burn at home? Is this the same for children?", LEANS),
        ("Can I take ibuprofen? I have asthma. Should I get a flu shot?", "statements between or behind the questions"),
        ("I have a burn. How do I treat a burn? And for kids?", "a part that is no whole question"),
        (
            "What is the difference between croup and asthma and how are they treated?",
            "several parts, no rule splits them",
        ),
    ],
)
def test_parts_that_need_each_other_stay_together(question: str, reason: str) -> None:
    made = list(split_row(Example(question, "x", id="row")))

    assert [one.reason for one in made if isinstance(one, Refused)] == [reason]


def test_a_part_gets_its_own_part_of_an_answer_with_headings() -> None:
    row = Example(
        "What are the causes and treatment of gout?", "Causes: uric acid crystals.\nTreatment: colchicine, rest.",
        id="row", split="train", licence="MIT",
    )  # fmt: skip

    made = [one.row for one in split_row(row) if isinstance(one, Child)]

    assert [its.answer for its in made] == ["uric acid crystals.", "colchicine, rest."]
    assert {its.meta["parent"] for its in made} == {"row"}
    assert {(its.split, its.licence) for its in made} == {("train", "MIT")}


def test_a_part_gets_its_own_number_of_a_numbered_answer() -> None:
    row = Example("I have asthma. Can I take ibuprofen? Should I get a flu shot?", "1. Ask first.\n2. Yes.", id="row")

    assert [one.row.answer for one in split_row(row) if isinstance(one, Child)] == ["Ask first.", "Yes."]


@pytest.mark.parametrize("answer", ["Gout comes of uric acid and is treated with colchicine.", "Causes: uric acid."])
def test_parts_have_no_answer_where_the_answer_has_none_for_each(answer: str) -> None:
    row = Example("What are the causes and treatment of gout?", answer, id="row")

    assert [one.row.answer for one in split_row(row) if isinstance(one, Child)] == [None, None]


def test_multiple_choice_is_not_split() -> None:
    row = Example("What is gout and how is it treated?", "A", kind="mcq", options={"A": "x", "B": "y"})

    assert list(split_row(row)) == []
