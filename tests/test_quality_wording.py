"""Flags on how an answer is worded, reasoned and sourced: each with a row that sets it off, and a near one."""

from typing import Any

import pytest

from medchat.records import Example
from train.quality_checks import USUAL, flags_of
from train.quality_flags import Flag, FlagName, Thresholds


def row(answer: str, **more: Any) -> Example:
    return Example(more.pop("question", "What is it?"), answer, **more)


def found(name: FlagName, example: Example, thresholds: Thresholds = USUAL, **more: Any) -> list[Flag]:
    return [flag for flag in flags_of(example, thresholds, **more) if flag.name == name]


def words(name: FlagName, example: Example, **more: Any) -> list[str]:
    return [getattr(example, flag.field)[flag.start : flag.end] for flag in found(name, example, **more)]


@pytest.mark.parametrize(
    ("answer", "set_off"),
    [
        ("I'm not sure, but it is probably gout.", "I'm not sure"),
        ("My best guess is gout. Ask a doctor.", "My best guess"),
        ("It is gout, if I remember correctly.", "if I remember correctly"),
        ("It’s hard to say, but gout would fit.", "It’s hard to say"),
        ("Perhaps it is gout. It might be pseudogout. It could be an infection.", "Perhaps"),
    ],
)
def test_a_writer_who_is_not_sure_is_flagged(answer: str, set_off: str) -> None:
    assert words("low confidence", row(answer)) == [set_off]


@pytest.mark.parametrize(
    "answer",
    [
        "Joint pain may be caused by gout. Allopurinol can cause a rash. Attacks may be treated with colchicine.",
        "If you are not sure whether you took the tablet, do not take another one.",
        "Researchers are not sure how the bacterium spreads.",
        'Patients often say "I am not sure what I took". Ask their pharmacy.',
        "Perhaps it is gout. Colchicine treats it. Allopurinol prevents it. Drink water.",
    ],
)
def test_the_usual_caution_of_medicine_is_no_doubt_of_the_writer(answer: str) -> None:
    assert found("low confidence", row(answer)) == []


def test_from_which_share_of_hedged_sentences_on_is_a_setting() -> None:
    answer = "Perhaps it is gout. Colchicine treats it. Allopurinol prevents it."  # 1 of 3 sentences is hedged

    assert found("low confidence", row(answer)) == []
    assert found("low confidence", row(answer), Thresholds(hedged_share=0.3))


@pytest.mark.parametrize(
    "answer",
    ["I'm sorry, but I cannot provide medical advice.", "I don't know.", "As an AI, I am unable to diagnose this."],
)
def test_an_answer_that_declines_is_flagged(answer: str) -> None:
    assert [flag.name for flag in found("refusal", row(answer))] == ["refusal"]


@pytest.mark.parametrize(
    ("answer", "more"),
    [
        ("You cannot take ibuprofen with warfarin: it makes you bleed.", {}),
        ("I cannot help you with that.", {"meta": {"expects": "refusal"}}),
        ("Rest. I do not know of any cure.", {}),
        ("A", {"options": {"A": "I cannot help you with that.", "B": "Rest"}, "kind": "mcq"}),
    ],
)
def test_a_warning_or_a_refusal_that_is_due_is_none(answer: str, more: dict[str, Any]) -> None:
    assert found("refusal", row(answer, **more)) == []


@pytest.mark.parametrize(
    ("answer", "more"),
    [
        ("Treat gout with rest, ice, colchicine and", {}),
        ("The three steps of treatment in an acute attack are: 1. Rest. 2. Ice.\n3.", {}),
        ("Colchicine is given at once in an acute attack (together with", {}),
        ("Give colchicine at once. Rest the joint. Then think about urate-lowering", {"meta": {"teacher": "big"}}),
        ("It is gout.", {"meta": {"finish_reason": "length"}}),
        ("<think>The joint is red and swollen, and the patient is a man of sixty.", {}),
    ],
)
def test_an_answer_that_stops_half_way_is_flagged(answer: str, more: dict[str, Any]) -> None:
    assert len(found("cut off", row(answer, **more))) == 1


@pytest.mark.parametrize(
    "answer",
    [
        "Treat gout with rest, ice and colchicine, and not with aspirin.",
        "The three steps of treatment in an acute attack are:\n1. Rest\n2. Ice\n3. Colchicine",
        "Give colchicine at once. Rest the joint. Then think about urate-lowering drugs",  # a person left out the stop
        "The test shows that a person of this age has had hepatitis A",
        "gout",
    ],
)
def test_an_answer_that_ends_as_people_write_is_none(answer: str) -> None:
    assert found("cut off", row(answer)) == []


REASONING = (
    "The patient is a man of sixty with a red and swollen joint of the big toe. The pain began at night. He eats meat "
    "and drinks beer. There is no fever. {}"
)


def test_reasoning_that_only_retells_has_no_conclusion() -> None:
    retold = REASONING.format("His father had the same trouble in his later years.")

    assert len(found("no conclusion", row("Gout", rationale=retold))) == 1
    assert found("no conclusion", row("Gout", rationale=REASONING.format("So this is gout."))) == []
    assert found("no conclusion", row("Gout", rationale=REASONING.format("Gout runs in families."))) == []
    assert found("no conclusion", row("Gout", rationale="A red big toe.")) == []  # a remark


def test_reasoning_that_ends_with_another_option_does_not_support_the_answer() -> None:
    options = {"A": "Gout", "B": "Septic arthritis"}
    more: dict[str, Any] = {"options": options, "kind": "mcq"}

    other = row("A", rationale=REASONING.format("\n\nThe answer is B."), **more)
    same = row("A", rationale=REASONING.format("\n\nSeptic arthritis is less likely. The answer is A."), **more)

    assert words("unsupported conclusion", other) == ["The answer is B."]
    assert found("unsupported conclusion", same) == []


@pytest.mark.parametrize(
    ("answer", "end"),
    [
        ("Gout", "Therefore the final answer is septic arthritis, and it is not gout."),
        ("Gout", "The correct answer is septic arthritis."),
        ("Yes", "So the final answer is no."),
        ("Gout", "Final answer: not gout."),
        ("Rest", "The final answer is colchicine."),
    ],
)
def test_reasoning_that_calls_another_answer_the_final_one_does_not_support_it(answer: str, end: str) -> None:
    for text in (end, REASONING.format(end)):  # short reasoning too
        assert len(found("unsupported conclusion", row(answer, rationale=text))) == 1


@pytest.mark.parametrize(
    ("answer", "end"),
    [
        ("Gout", "Therefore the final answer is gout, and it is not septic arthritis."),
        ("Gout", "The final answer is an acute attack of gout."),
        ("Heart attack", "The final answer is myocardial infarction."),
        ("MI", "The final answer is myocardial infarction."),
        ("Gout", "Septic arthritis would be the wrong answer. The correct answer is gouty arthritis."),
        ("Yes", "The final answer is yes, though no trial was large."),
        ("It is gout, which is treated with rest and colchicine.", "The final answer is septic arthritis."),
    ],
)
def test_the_same_final_answer_in_other_words_supports_it(answer: str, end: str) -> None:
    flags = found("unsupported conclusion", row(answer, rationale=end))

    assert [flag.detail for flag in flags if "final one" in flag.detail] == []


def test_reasoning_that_ends_with_another_value_does_not_support_the_answer() -> None:
    steps = "1. The weight of the patient is 70 kg, and the dose of the drug is 2 mg for each kg of it.\n2. {}"
    more: dict[str, Any] = {"kind": "calc", "unit": "mg", "question": "What is the dose in mg?"}
    long = Thresholds(reasoning_words=10)

    assert found("unsupported conclusion", row("14 mg", rationale=steps.format("70 x 2 = 140 mg"), **more), long)
    assert not found("unsupported conclusion", row("140 mg", rationale=steps.format("70 x 2 = 140 mg"), **more), long)


def test_reasoning_whose_last_step_denies_the_answer_does_not_support_it() -> None:
    steps = "1. The joint is red, hot and swollen.\n2. Crystals are absent, so there is {} here in this patient at all."
    long = Thresholds(reasoning_words=10)

    assert found("unsupported conclusion", row("Gout", rationale=steps.format("no gout")), long)
    assert not found("unsupported conclusion", row("Gout", rationale=steps.format("most likely gout")), long)


@pytest.mark.parametrize(
    ("example", "reference", "is_apart"),
    [
        (row("The x-ray shows no fracture."), "The x-ray shows a fracture.", True),
        (row("The x-ray shows a fracture."), "There is a fracture on the x-ray.", False),
        (row("Yes, it is safe."), "No, it is not safe.", True),
        (row("Yes, it is safe."), "Yes.", False),
        (row("A", options={"A": "Gout", "B": "Lupus"}, kind="mcq"), "B", True),
        (row("A", options={"A": "Gout", "B": "Lupus"}, kind="mcq"), "A", False),
        (row("21 mg", kind="calc", unit="mg"), "12 mg", True),
        (row("12.1 mg", kind="calc", unit="mg"), "12 mg", False),
        (row("It causes fever.", key_terms=("no fever",)), None, True),
        (row("It causes no fever.", key_terms=("no fever",)), None, False),
        (row("No fracture.", meta={"reference": "A fracture."}), None, True),
        (row("The x-ray shows no fracture."), None, False),
    ],
)
def test_an_answer_against_its_reference_is_flagged_in_the_sense_that_it_has(
    example: Example, reference: str | None, is_apart: bool
) -> None:
    assert bool(found("contradicts the reference", example, reference=reference)) == is_apart


@pytest.mark.parametrize(
    ("text", "detail"),
    [
        ("Colchicine helps (PMID: 31415926).", "unverified (record number)"),
        ("Colchicine helps (PMID: 12345678).", "unverified (record number); its number looks made up"),
        ("Colchicine helps (doi:10.1234/5678).", "unverified (DOI); its number looks made up"),
        ("Colchicine helps (doi:10.1056/nejmoa1215817).", "unverified (DOI)"),
        ("Colchicine helps (Smith et al., 2011).", "unverified (author)"),
        ("Colchicine helps. Rheumatol. 2003;24(9):577-584.", "unverified (volume and pages)"),
    ],
)
def test_a_source_that_the_row_does_not_give_is_unverified_and_never_called_fake(text: str, detail: str) -> None:
    flags = found("unverified citation", row(text))

    assert [flag.detail for flag in flags] == [detail]
    assert "fake" not in detail


def test_sources_that_the_row_gives_and_general_talk_of_studies_are_no_flag() -> None:
    assert not found("unverified citation", row("See PMID: 31415926.", meta={"sources": ["PMID 31415926"]}))
    assert not found("unverified citation", row("See PMID: 31415926.", context="From PMID 31415926: colchicine helps."))
    assert not found("unverified citation", row("Studies show that colchicine helps."))
    assert not found("unverified citation", row("See https://www.nih.gov/gout for more."))
    assert found("unverified citation", row("See https://www.nih.gov/gout for more.", meta={"teacher": "big"}))
