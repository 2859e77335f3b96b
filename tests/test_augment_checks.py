"""What must be the same in a child and its parent."""

import numpy as np
import pytest
from numpy.typing import NDArray

from evaluation.vocabulary import Vocabulary
from medchat.records import Example
from train.augment_checks import dedup_mark, fault, numbers, quantities, similarities
from train.augment_children import Child, Kind, child_of
from train.augment_synonyms import load_synonyms

VOCABULARY = Vocabulary({"fever": (), "chest pain": (), "gout": (), "colchicine": ()})


def made(before: str, after: str, kind: Kind = "paraphrase", **changed: str) -> Child:
    return child_of(kind, Example(before, "x", id="row"), question=after, answer="x", changed=changed)


def reason(before: str, after: str, kind: Kind = "paraphrase", **changed: str) -> str:
    return fault(made(before, after, kind, **changed), VOCABULARY, load_synonyms())[0]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("How is gout treated?", "What is the treatment of gout?"),
        ("I had a fever for 3 days.", "For three days I had a fever."),
        ("Is 38.5 °C a fever?", "Do 38.5 degrees Celsius count as a fever?"),
        ("She denies chest pain. What next?", "Without chest pain, what next for her?"),
        ("May I take 1,000 mg of colchicine?", "Am I allowed 1000 mg of colchicine?"),
    ],
)
def test_another_wording_of_the_same_passes(before: str, after: str) -> None:
    assert reason(before, after) == ""


@pytest.mark.parametrize(
    ("before", "after", "why"),
    [
        ("May I take 400 mg?", "May I take 600 mg?", "numbers differ"),
        ("May I take it twice a day?", "May I take it three times a day?", "numbers differ"),
        ("Is 38 C high?", "Is 38 F high?", "units differ"),
        ("I take 5 mg of it.", "I take 5 g of it.", "units differ"),
        ("I have no allergies.", "I have some allergies.", "negations differ"),
        ("I have no allergy and no fever.", "I have an allergy, no fever.", "another fact, allergies"),
        ("I am pregnant. May I fly?", "May I fly?", "another fact, pregnancy and breast-feeding"),
        ("My left knee hurts.", "My right knee hurts.", "another fact, side"),
        ("My mother coughs.", "My father coughs.", "another fact, who"),
        ("A child coughs.", "Somebody coughs.", "another fact, stage of life"),
        ("I take it daily.", "I take it weekly.", "another fact, how often"),
        ("An acute cough, what is it?", "A chronic cough, what is it?", "another fact, course"),
        ("A man coughs.", "A woman coughs.", "another fact, sex"),
        ("All are true except", "All are true", "a word that turns the question"),
        ("Which drug is contraindicated?", "Which drug is given?", "a word that turns the question"),
        ("How is gout treated?", "What causes gout?", "something else is asked"),
        ("No fever, but chest pain.", "No chest pain, but fever.", "a finding is said by one and denied by the other"),
        ("I have gout and fever.", "I have gout.", "a medical term is lost"),
        ("How is gout treated?", "Is gout treated with colchicine?", "a new medical term"),
        ("How do I treat a cold?", "How do I treat the flu?", "a forbidden replacement"),
    ],
)
def test_another_fact_refuses_a_paraphrase(before: str, after: str, why: str) -> None:
    assert reason(before, after) == why


def test_a_part_may_say_less_and_nothing_more() -> None:
    whole = "I have had fever for 3 days. Can I take 5 mg? How long does gout last?"

    assert reason(whole, "How long does gout last?", "split") == ""
    assert reason(whole, "Can I take 10 mg?", "split") == "numbers differ"
    assert reason(whole, "How long does colchicine work?", "split") == "a new medical term"


def test_a_perturbation_changes_the_declared_field_alone() -> None:
    before = "A 45-year-old man has had fever for 4 days."
    age = {"field": "age", "from": "45", "to": "47"}
    sex = {"field": "sex", "from": "male", "to": "female"}

    assert reason(before, before.replace("45", "47"), "perturbation", **age) == ""
    assert (
        reason(before, before.replace("45", "47").replace("4 days", "5 days"), "perturbation", **age)
        == "numbers differ"
    )
    assert (
        reason(before, before.replace("45", "47").replace("man", "woman"), "perturbation", **age) == "another fact, sex"
    )
    assert reason(before, before.replace("man", "woman"), "perturbation", **sex) == ""
    assert reason(before, before.replace("man", "woman").replace("45", "47"), "perturbation", **sex) == "numbers differ"


def test_an_abbreviation_written_out_is_no_other_fact() -> None:
    before, after = "What is COPD?", "What is chronic obstructive pulmonary disease?"

    assert reason(before, after, "synonyms", copd="chronic obstructive pulmonary disease") == ""


def test_numbers_and_quantities_are_compared_by_value() -> None:
    assert numbers("Two tablets, 1,000 mg, twice") == numbers("2 tablets, 1000 mg, twice")
    assert quantities("1 g") == quantities("1000 mg")  # both are one gram
    assert quantities("1 g") != quantities("1 g and 1 g")


def test_punctuation_and_letter_case_do_not_make_another_question() -> None:
    assert dedup_mark(Example("What is Gout?", None)) == dedup_mark(Example("what is gout", None))
    assert dedup_mark(Example("Is it < 5?", None)) != dedup_mark(Example("Is it > 5?", None))
    assert dedup_mark(Example("b", None, context="a")) != dedup_mark(Example("a b", None))


class Letters:
    """Vectors of two numbers: texts with an x point one way, others the other."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def embed(self, texts: list[str]) -> NDArray[np.float32]:
        self.texts += texts
        return np.array([[1.0, 0.0] if "x" in text else [0.0, 1.0] for text in texts], np.float32)


def test_similarity_is_the_cosine_of_parent_and_child() -> None:
    children = [made("a x", "b x"), made("a", "b x")]

    assert similarities(children, Letters()) == [1.0, 0.0]  # type: ignore[arg-type]
    assert similarities([], Letters()) == []  # type: ignore[arg-type]


def test_of_a_long_case_what_differs_is_compared_with_some_words_around_it() -> None:
    words = [f"w{number}" for number in range(200)]
    before = " ".join([*words, "medicine", *words])
    embedder = Letters()

    similarities([made(before, before.replace("medicine", "medication"), "synonyms", medicine="medication")], embedder)  # type: ignore[arg-type]

    around = (" ".join(words[180:]), " ".join(words[:20]))  # 20 words before and behind
    assert embedder.texts == [f"{around[0]} {word} {around[1]}" for word in ("medicine", "medication")]
