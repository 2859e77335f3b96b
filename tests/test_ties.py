"""Which questions are the same, which stay together, and which have nothing to do with each other."""

import pytest

from medchat.records import Example
from train.ties import Tie, said, similarity, tie_of

ANSWER = "Rest, ice, and an anti-inflammatory drug for a few days."


def tie(first: str, second: str, answer: str | None = ANSWER, other: str | None = ANSWER) -> Tie:
    a, b = Example(question=first, answer=answer), Example(question=second, answer=other)
    assert tie_of(said(a), said(b)) is tie_of(said(b), said(a))
    return tie_of(said(a), said(b))


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("What are the symptoms of gout?", "what are the symptoms of GOUT"),
        ("What are the symptoms of gout?", "Hello doctor, what are symptoms of the gout ??"),
        ("Is diarrhoea a sign of anaemia?", "Is diarrhea a sign of anemia?"),
        ("Which treatment helps psoriasis?", "Which treatment helps psorasis?"),
        ("Which treatment helps psoriasis?", "Which treatmnet helps psoriasis?"),
        ("My husband's temperature is 38.5", "my husbands temperature is 38.5 !"),
    ],
)
def test_the_way_of_typing_tells_no_two_questions_apart(first: str, second: str) -> None:
    assert tie(first, second) is Tie.SAME


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("He has chest pain, what is it?", "He has no chest pain, what is it?"),
        ("Chest pain without fever, what is it?", "Chest pain with fever, what is it?"),
        ("He has no chest pain but fever", "He has chest pain but no fever"),
        ("She denies cough and has fever", "She has cough and denies fever"),
        ("The test was positive, what now?", "The test was negative, what now?"),
        ("Can I take 5 mg of warfarin?", "Can I take 50 mg of warfarin?"),
        ("Can I take 5 mg of warfarin?", "Can I take 5 mcg of warfarin?"),
        ("Can I take 0.5 mg of warfarin?", "Can I take .5 mg of warfarin?"),
        ("Count 10⁵ per ml, what now?", "Count 105 per ml, what now?"),
        ("Blood pressure <90, what now?", "Blood pressure >90, what now?"),
        ("A man of 40 with gout, what now?", "A woman of 40 with gout, what now?"),
        ("What if he takes it daily?", "What if she takes it daily?"),
        ("A 6-month-old with fever, what now?", "A 6-year-old with fever, what now?"),
        ("Am I contagious?", "Is it contagious?"),
        ("Is this what my son has?", "Is this what your son has?"),
        ("Pain in the left arm, what now?", "Pain in the right arm, what now?"),
        ("Take it once daily with food?", "Take it twice daily with food?"),
        ("An HIV+ patient with cough, what now?", "An HIV- patient with cough, what now?"),
    ],
)
def test_what_care_depends_on_ties_two_questions_and_makes_them_no_copies(first: str, second: str) -> None:
    assert tie(first, second) is Tie.TIED


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("macrocytic", "microcytic"), ("dysphagia", "dysphasia"), ("nitrate", "nitrite"), ("ileum", "ilium"),
        ("quinine", "quinidine"), ("hypertension", "hypotension"), ("typical", "atypical"), ("adduction", "abduction"),
        ("chloride", "chlorine"), ("prednisone", "prednisolone"), ("gout", "goat"), ("cefixime", "cefepime"),
    ],
)  # fmt: skip
def test_words_that_look_alike_are_no_typos(one: str, other: str) -> None:
    assert tie(f"What should he know about {one}?", f"What should he know about {other}?") is not Tie.SAME


def test_a_typo_is_one_only_beside_a_telling_answer() -> None:
    assert tie("Which drug helps psoriasis?", "Which drug helps psorasis?", "Yes", "Yes") is Tie.TIED


def test_another_answer_makes_the_same_question_no_copy() -> None:
    assert tie("What helps?", "what helps", ANSWER, "Nothing that is known.") is Tie.TIED
    assert tie("What helps?", "what helps", ANSWER, ANSWER.replace("few", "two")) is Tie.TIED
    assert tie("What helps?", "what helps", ANSWER, f"  {ANSWER.upper()}") is Tie.SAME
    assert tie("What helps?", "what helps", "A", "I") is Tie.TIED
    assert tie("What helps?", "what helps", None, ANSWER) is Tie.TIED
    assert tie("What helps?", "what helps", None, None) is Tie.SAME


def test_one_pattern_for_many_diseases_ties_nothing() -> None:
    assert tie("What are the symptoms of gout?", "What are the symptoms of lupus?") is Tie.APART
    assert tie("What are the genetic changes related to Marfan syndrome?",
               "What are the genetic changes related to Turner syndrome?") is Tie.APART  # fmt: skip
    assert tie("What is gastritis?", "What to do for gastritis?") is not Tie.SAME
    assert tie("Which drug did patient 123456 get?", "Which drug did patient 654321 get?") is Tie.APART


def test_a_long_case_with_a_word_changed_is_tied() -> None:
    case = "He woke at night with a hot swollen painful toe after beer, liver and a heavy supper with old friends; {}?"

    assert tie(case.format("diagnosis"), case.format("management")) is Tie.TIED


def test_options_belong_to_the_question() -> None:
    question = "Which is true?"
    first = Example(question=question, kind="mcq", options={"A": "Gout is viral.", "B": "Uric acid rises."}, answer="B")
    second = Example(question=question, kind="mcq", options={"A": "Lupus is viral.", "B": "Iron falls."}, answer="B")

    assert tie_of(said(first), said(second)) is not Tie.SAME


def test_similarity_is_that_of_the_meaning_words() -> None:
    # {helps, gout} of both and "what": {what, helps, gout} against {what, helps, lupus}: 2 of 4
    assert similarity(said(Example("What helps gout?", "")), said(Example("What helps lupus?", ""))) == 0.5
    assert similarity(said(Example("Take 5 mg?", "")), said(Example("Take 50 mg?", ""))) == 1.0
