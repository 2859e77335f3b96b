"""The same case of another age, sex or place."""

from random import Random

import pytest

from medchat.knowledge import load_knowledge
from medchat.records import Example
from train.augment_children import Child, Made, Refused
from train.augment_guard import load_guard
from train.augment_people import ages_in, one_age, sex_letters, with_other_sex
from train.augment_perturbation import Facts, perturbed

FACTS = Facts(load_guard(), load_knowledge())


def made_of(
    question: str, answer: str | None = "Rest.", context: str = "", seed: int = 0, **fields: object
) -> list[Made]:
    row = Example(question, answer, id="row", context=context, split="train", licence="MIT", **fields)  # type: ignore[arg-type]
    return list(perturbed(row, FACTS, Random(seed), 3))


def child(made: list[Made], field: str) -> Child:
    return next(one for one in made if isinstance(one, Child) and one.row.meta["changed"]["field"] == field)


def reasons(made: list[Made]) -> list[str]:
    return [one.reason for one in made if isinstance(one, Refused)]


def test_only_the_age_changes_and_by_five_years_at_most() -> None:
    question = "A 44-year-old man has had a dry cough for 4 days. What is it?"

    for seed in range(20):
        its = child(made_of(question, seed=seed), "age").row
        new = int(its.meta["changed"]["to"])
        assert its.question == question.replace("44", str(new))
        assert new != 44
        assert abs(new - 44) <= 5
        assert (its.answer, its.split, its.licence, its.meta["parent"]) == ("Rest.", "train", "MIT", "row")


def test_all_mentions_of_the_age_change_together_in_question_and_context() -> None:
    its = child(made_of("What may the 52-year-old take?", context="A 52 yo man has a cold."), "age").row

    new = its.meta["changed"]["to"]
    assert its.question == f"What may the {new}-year-old take?"
    assert its.context == f"A {new} yo man has a cold."


def test_the_article_fits_the_new_age() -> None:
    questions = {child(made_of("A 82-year-old man has a cold.", seed=seed), "age").row.question for seed in range(5)}

    assert all(question.startswith("An 8") for question in questions)


@pytest.mark.parametrize(
    ("question", "reason"),
    [
        ("A 7-year-old has a cough.", "age: guard: child"),
        ("A 40-year-old nurse and her 42-year-old patient cough.", "age: several ages"),
        ("A 40-year-old man, ill since age 20, has a cough.", "age: another age or a year"),
        ("A 40-year-old man, born in 1970, has a cough.", "age: another age or a year"),
        ("A 40-year-old man has coughed for 40 days.", "age: the age's number stands elsewhere too"),
        ("A 32-year-old woman is pregnant and has a cough.", "age: guard: pregnancy"),
        ("Which vaccines should a 50-year-old man get?", "age: guard: screening"),
    ],
)
def test_an_age_that_matters_is_left(question: str, reason: str) -> None:
    assert reason in reasons(made_of(question))


@pytest.mark.parametrize("answer", ["At 40 years a cough is mostly viral.", "In adults it is mostly viral."])
def test_an_answer_that_speaks_of_the_age_refuses_another_age(answer: str) -> None:
    assert "age: the answer tells of the age" in reasons(made_of("A 40-year-old man has a cough.", answer))


def test_a_calculation_keeps_its_age_and_sex() -> None:
    made = made_of("What dose is it for a 60-year-old man?", "5", kind="calc")

    assert reasons(made) == ["age: the age is part of a calculation", "sex: the sex is part of a calculation"]


def test_an_age_stays_within_those_of_the_condition() -> None:
    for seed in range(20):  # the knowledge base has multiple sclerosis from 18 to 50
        its = child(
            made_of("A 48-year-old man has blurred sight.", "multiple sclerosis", kind="diagnosis", seed=seed), "age"
        )
        assert int(its.row.meta["changed"]["to"]) <= 50


@pytest.mark.parametrize(
    ("text", "sex", "changed"),
    [
        ("A 45-year-old man coughs. He says his chest hurts him.", "male",
         "A 45-year-old woman coughs. She says her chest hurts her."),
        ("The woman rubs her eyes; light bothers her. She hurt herself.", "female",
         "The man rubs his eyes; light bothers him. He hurt himself."),
        ("Her doctor sees her in the morning.", "female", "His doctor sees him in the morning."),
        ("45F with a cough at 101F.", "female", "45M with a cough at 101F."),
    ],
)  # fmt: skip
def test_every_word_of_the_sex_is_put_into_the_other(text: str, sex: str, changed: str) -> None:
    assert with_other_sex(text, sex) == changed  # type: ignore[arg-type]


def test_a_pronoun_that_can_be_read_in_two_ways_refuses_the_change() -> None:
    made = made_of("A 45-year-old woman has a cough. Somebody gave her syrup.")

    assert "sex: a pronoun that can be read in two ways" in reasons(made)


@pytest.mark.parametrize(
    ("question", "reason"),
    [
        ("A 45-year-old man and his wife cough.", "sex: other people, or a name"),
        ("Maria is a 45-year-old woman with a cough.", "sex: other people, or a name"),
        ("A 45-year-old man was told by her that he snores.", "sex: people of both sexes"),
        ("A 45-year-old man has an enlarged prostate.", "sex: guard: male_organs"),
        ("A 25-year-old man takes isotretinoin.", "sex: guard: harm_to_unborn"),
        ("A man has a cough.", "sex: nobody's age is told, or a child's"),
    ],
)
def test_a_sex_that_matters_is_left(question: str, reason: str) -> None:
    assert reason in reasons(made_of(question))


def test_an_answer_with_a_pronoun_refuses_the_other_sex() -> None:
    assert "sex: the answer tells of the sex" in reasons(made_of("A 45-year-old man coughs.", "He should rest."))


def test_a_place_changes_into_one_of_the_same_level_of_care() -> None:
    its = child(made_of("A man comes to the emergency department with a cut finger."), "setting").row

    assert its.question == "A man comes to the emergency room with a cut finger."


@pytest.mark.parametrize(
    ("question", "answer", "reason"),
    [
        ("A man comes to the clinic and then to the emergency room with a cut.", "Clean it.",
         "setting: several places of care"),
        ("A man comes to the clinic with a cut.", "Send him to the emergency department.",
         "setting: the answer tells of the place of care"),
        ("A man comes to the clinic; he was discharged last week.", "Rest.", "setting: guard: place_as_a_fact"),
    ],
)  # fmt: skip
def test_a_place_that_matters_is_left(question: str, answer: str, reason: str) -> None:
    assert reason in reasons(made_of(question, answer))


def test_temperatures_and_measures_are_no_ages() -> None:
    assert one_age("Her temperature is 98.6F, later 101F; 5 M saline; 30 m walked.") == ([], None)


@pytest.mark.parametrize(
    "trap",
    [
        "Is transthyretin V30M amyloidosis treated with tafamidis?", "Is C282Y common?", "F508del in the CFTR gene",
        "He smoked 5F-ADB.", "He smoked 45F-ADB.", "H1N1 spreads.", "M30 is an antigen.", "TTR p.V30M was found.",
        "10M cells were given.", "30M cells were given.", "A 3F bed was free.", "A 30 M NaCl solution was given.",
        "30 M NaCl", "The 30M variant is found.", "A 30M mutation is found.", "TTR 30M, a variant.",
        "It fell to 90F.", "The fever was 90F, then less.", "In 30 male mice with gout.", "A V122 year-old trap.",
        "Val30M-45 male",
    ],
)  # fmt: skip
def test_variants_concentrations_and_counts_are_no_ages_of_a_person(trap: str) -> None:
    assert ages_in(trap) == []
    assert sex_letters(trap) == []
    assert [one for one in made_of(trap, seed=1) if isinstance(one, Child)] == []


@pytest.mark.parametrize(
    "text",
    ["45M with V30M amyloidosis", "I (45F) have a cough", "A 45 F presents today", "Pt is 45M, smoker",
     "a 45 male with C282Y", "I'm a 45M who coughs"],
)  # fmt: skip
def test_a_person_told_by_a_letter_has_an_age(text: str) -> None:
    assert [age.years for age in ages_in(text)] == [45]


def test_a_row_without_a_person_offers_nothing() -> None:
    assert made_of("What is gout?") == []
