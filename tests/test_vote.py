"""The vote of several models on stored predictions."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pytest

from evaluation.vote import Vote, agreement, ballot_of, tally, vote
from medchat.knowledge import Knowledge, load_knowledge


@dataclass(frozen=True)
class Item:
    """What is voted with of a prediction."""

    id: str
    model: str
    solution: str
    scores: Mapping[str, float | None]
    kind: str = "diagnosis"
    choice: str | None = None
    option_logprobs: Mapping[str, float] | None = None
    suite: str = "mine"
    question_id: str = ""
    groups: Mapping[str, str] = field(default_factory=dict)


@pytest.fixture(scope="module")
def knowledge() -> Knowledge:
    return load_knowledge()


def voted(knowledge: Knowledge, said: Mapping[str, Sequence[tuple[str, float | None]]]) -> Vote | None:
    predictions = {
        model: [Item(f"q{n}", model, text, {"exact": right}) for n, (text, right) in enumerate(answers)]
        for model, answers in said.items()
    }
    return vote(predictions, "exact", knowledge, np.random.default_rng(0))


def test_most_votes_win_and_synonyms_are_one_answer(knowledge: Knowledge) -> None:
    condition = next(c for c in knowledge.conditions.values() if c.synonyms)
    found = voted(
        knowledge,
        {
            "a": [(condition.name, 1.0), ("Asthma", 0.0)],
            "b": [(condition.synonyms[0].upper(), 1.0), ("Measles", 1.0)],
            "c": [("Something else", 0.0), ("Measles.", 1.0)],
        },
    )

    assert found is not None
    assert (found.equal.value, found.n, found.n_ties) == (1.0, 2, 0)
    assert [found.members[model].value for model in "abc"] == [0.5, 1.0, 0.5]
    assert found.against["a"].value == 0.5


def test_a_tie_earns_what_drawing_lots_would() -> None:
    scores = {"a": 1.0, "b": 0.0, "c": 0.0}

    assert tally({"a": "gout", "b": "asthma", "c": None}, scores, dict.fromkeys("abc", 1.0)) == (0.5, True)
    assert tally({"a": "gout", "b": "asthma", "c": "asthma"}, scores, dict.fromkeys("abc", 1.0)) == (0.0, False)
    assert tally({"a": "gout", "b": "asthma", "c": None}, scores, {"a": 0.7, "b": 0.6, "c": 1.0}) == (1.0, False)
    assert tally({"a": None, "b": None, "c": None}, scores, dict.fromkeys("abc", 1.0)) == (0.0, False)


def test_ballots_are_options_conditions_or_first_lines() -> None:
    names = {"acute gout": "gout", "gout": "gout"}

    def ballot(metric: str = "exact", **values: object) -> str | None:
        return ballot_of(Item("q", "m", **({"solution": "", "scores": {}} | values)), metric, names)  # type: ignore[arg-type]

    assert ballot(solution="Acute gout.\nBecause of the toe.") == "gout"
    assert ballot(solution="  Bone  cancer ") == "bone cancer"
    assert ballot(solution="I don't know: this is outside my teaching knowledge.") == "does not know"
    assert ballot(solution="") is None
    assert ballot(kind="mcq", choice="B", solution="B") == "B"
    assert ballot(kind="mcq", choice=None, solution="perhaps") is None
    assert ballot("mcq_loglikelihood", kind="mcq", choice="B", option_logprobs={"A": -0.1, "B": -3.0}) == "A"


def test_items_that_not_all_were_scored_on_are_left_out(knowledge: Knowledge) -> None:
    found = voted(
        knowledge, {"a": [("x", 1.0), ("x", 1.0), ("x", 1.0)], "b": [("x", 1.0), ("x", None)], "c": [("x", 1.0)] * 3}
    )

    assert found is not None
    assert (found.n, found.n_left_out) == (1, 2)
    assert voted(knowledge, {"a": [("x", None)], "b": [("x", 1.0)]}) is None


def test_weights_come_from_the_other_half(knowledge: Knowledge) -> None:
    # a is always right and alone; b and c are always wrong, each for itself: equal votes are three-way ties
    said = {model: [(f"{model} {n}", float(model == "a")) for n in range(200)] for model in "abc"}
    found = voted(knowledge, said)

    assert found is not None
    assert found.n_ties == 200
    assert found.equal.value == pytest.approx(1 / 3)
    assert found.weighted is not None
    assert found.weighted.value == 1.0
    assert all(weights["a"] > 0.9 > 0.1 > weights["b"] for weights in found.weights)


def test_an_answer_never_weighs_its_own_model(knowledge: Knowledge) -> None:
    # Scores that are pure chance: weighting by what is judged would make the vote look better than its members
    rng = np.random.default_rng(4)
    said = {model: [(f"{model} {n}", float(rng.random() < 0.5)) for n in range(400)] for model in "abc"}
    found = voted(knowledge, said)

    assert found is not None
    assert found.weighted is not None
    assert found.weighted.value == pytest.approx(0.5, abs=0.08)


def test_too_few_questions_are_not_weighted(knowledge: Knowledge) -> None:
    found = voted(knowledge, {model: [("x", 1.0)] * 15 for model in "abc"})

    assert found is not None
    assert (found.weighted, found.weights) == (None, ())


def test_agreement_by_hand() -> None:
    # a and b: same on 2 of 3; a and c: on 1 of 2, c having no answer to the third
    ballots: list[dict[str, str | None]] = [
        {"a": "x", "b": "x", "c": "x"},
        {"a": "x", "b": "y", "c": "y"},
        {"a": "y", "b": "y", "c": None},
    ]

    found = agreement(["a", "b", "c"], ballots)

    assert found.pairs == {("a", "b"): pytest.approx(2 / 3), ("a", "c"): 0.5, ("b", "c"): 1.0}
    # two full items: agreement (1 + 1/3) / 2 = 2/3; x 4/6, y 2/6: by chance 20/36; (2/3 - 5/9) / (4/9) = 1/4
    assert found.fleiss == pytest.approx(0.25)
    assert found.randolph == pytest.approx(1 / 3)  # (2/3 - 1/2) / (1/2)
    assert (found.n_items, found.n_answers) == (2, 2)


def test_everybody_saying_one_thing_has_no_kappa() -> None:
    found = agreement(["a", "b"], [{"a": "x", "b": "x"}] * 3)

    assert (found.fleiss, found.randolph) == (None, None)
    assert found.pairs["a", "b"] == 1.0
