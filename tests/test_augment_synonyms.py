"""Terms put for others of the same meaning, and those that never are."""

from pathlib import Path
from random import Random

import pytest

from evaluation.vocabulary import Vocabulary
from medchat.errors import InvalidInput
from medchat.knowledge import load_knowledge
from medchat.records import Example
from train.augment_children import Child, Refused
from train.augment_synonyms import forbidden_swap, load_synonyms, register_of, synonym_variants

VOCABULARY = Vocabulary({"pulmonary embolism": (), "low back pain": (), "ovarian tumor": ()})


def variants(question: str, most: int = 5, **fields: object) -> list[str]:
    row = Example(question, "An answer.", id="row", split="train", **fields)  # type: ignore[arg-type]
    made = synonym_variants(row, load_synonyms(), VOCABULARY, Random(0), most)
    return [one.row.question for one in made if isinstance(one, Child)]


def test_a_safe_pair_is_exchanged_and_the_answer_stays() -> None:
    made = list(synonym_variants(
        Example("Which medicine helps?", "Rest.", id="row"), load_synonyms(), VOCABULARY, Random(0), 2
    ))  # fmt: skip

    assert [one.row.question for one in made if isinstance(one, Child)] == ["Which medication helps?"]
    assert [one.row.answer for one in made if isinstance(one, Child)] == ["Rest."]


def test_a_patient_gets_no_clinical_term_and_a_case_no_lay_one() -> None:
    assert register_of("I have itching.") == "lay"
    assert variants("I have itching.") == ["I have itchiness."]
    assert variants("A 40-year-old presents with dyspnea.") == ["A 40-year-old presents with shortness of breath."]
    assert set(variants("What helps against itching?")) == {
        "What helps against itchiness?",
        "What helps against pruritus?",
    }


@pytest.mark.parametrize(
    "question",
    [
        "What is pulmonary hypertension?",  # the phrase is left
        "Is internal medicine hard?",
        "An ovarian tumor, is it rare?",  # a part of a longer term
        "My skin is itching.",  # a verb
        "I have an itching rash.",  # an adjective
        "What is high blood pressure also called?",  # asks for the word itself
        "What does hypertension mean?",
        "Is the cold worse than the flu?",
    ],
)
def test_a_term_is_left_where_it_means_something_else(question: str) -> None:
    assert variants(question) == []


def test_the_new_term_must_not_stand_in_the_answer_or_the_options() -> None:
    row = Example("What is a heart attack?", "A myocardial infarction.", id="row")

    made = list(synonym_variants(row, load_synonyms(), VOCABULARY, Random(0), 2))

    assert [one.reason for one in made if isinstance(one, Refused)] == ["the new term stands in the row already"]
    assert len(made) == 1


@pytest.mark.parametrize(
    ("question", "changed"),
    [
        ("Is a doctor needed? I cough.", "Is a physician needed? I cough."),
        ("An earache keeps me awake.", "An ear ache keeps me awake."),
        ("What helps against Kidney Stones?", "What helps against Renal Calculi?"),
        ("An x-ray was taken of the patient's hand.", "A radiograph was taken of the patient's hand."),
        ("Hives came up, and I itch.", None),  # a patient does not say urticaria
    ],
)
def test_letter_case_and_article_fit(question: str, changed: str | None) -> None:
    found = variants(question)

    assert changed in found if changed else found == []


@pytest.mark.parametrize("number", range(len(load_synonyms().forbidden)))
def test_a_forbidden_pair_is_found_in_both_directions(number: int) -> None:
    one, other, why = load_synonyms().forbidden[number]

    assert why
    there = forbidden_swap(f"What helps against {one}?", f"What helps against {other}?", load_synonyms())
    back = forbidden_swap(f"What helps against {other}?", f"What helps against {one}?", load_synonyms())
    assert there is not None
    assert back is not None
    assert {there.one, there.other} == {back.one, back.other}


def test_a_text_is_not_given_two_spellings() -> None:
    row = Example("Is diarrhea with low hemoglobin bad?", "Yes.", id="row")

    made = list(synonym_variants(row, load_synonyms(), VOCABULARY, Random(0), 2))

    assert [one.reason for one in made if isinstance(one, Refused)] == ["two spellings would mix"]
    assert variants("Is diarrhea bad?") == ["Is diarrhoea bad?"]


def test_both_terms_of_a_forbidden_pair_may_stand_together() -> None:
    text = "Is it a cold or the flu?"

    assert forbidden_swap(text, "A cold, or is it the flu?", load_synonyms()) is None


def test_groups_of_a_condition_hold_names_that_the_knowledge_base_gives_it() -> None:
    knowledge = load_knowledge()
    groups = [group for group in load_synonyms().groups if group.condition]

    assert len(groups) >= 5
    for group in groups:
        names = {name.casefold() for name in knowledge.conditions[group.condition].all_names}
        assert {term.casefold() for term in group.terms} <= names, group.id


def test_no_group_joins_two_conditions_of_the_knowledge_base() -> None:
    knowledge = load_knowledge()

    for group in load_synonyms().groups:
        found = {its.id for term in group.terms if (its := knowledge.named(term)) is not None}
        assert len(found) <= 1, group.id


def test_a_table_that_contradicts_itself_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "synonyms.yaml"
    file.write_text(
        "version: 1\nsafe:\n  - {id: ill, any: [cold, flu], why: both are ill}\n"
        "forbidden:\n  - {pair: [cold, flu], why: another infection}\n"
    )

    with pytest.raises(InvalidInput, match=r"synonyms.yaml:3: 'cold' and 'flu' are forbidden"):
        load_synonyms(file)
