"""Multiple choice: the option that a text names, the likeliest one, outcomes, and shuffled options."""

from typing import Any

import pytest

from evaluation.choices import (
    choice_of,
    in_order,
    mcq_consistency,
    mcq_generated,
    mcq_loglikelihood,
    mcq_loglikelihood_norm,
    original_letter,
    outcome_of,
    read_choice,
    shuffled_orders,
)
from evaluation.metrics import Answer
from medchat.records import Example

DRUGS = {
    "A": "Erythromycin ointment",
    "B": "Ketotifen eye drops",
    "C": "Warm compresses",
    "D": "Warm compresses and eye drops",
}
WORDS = {"A": "yes", "B": "no", "C": "maybe"}
SIGNS = {"A": "10% ethanol", "B": "10% formalin", "C": "1% formalin", "D": "Hexosaminidase A", "E": ">1500/ mm3"}
DOSES = {"A": "5 mg", "B": "15 mg", "C": "1.5 mg", "D": "None of these"}


def question(key: str | None = "B", options: dict[str, str] | None = None, **fields: Any) -> Example:
    return Example("Which?", key, kind="mcq", options=options or DRUGS, **fields)


@pytest.mark.parametrize(
    ("text", "letter"),
    [
        # a letter
        ("B", "B"), ("b", "B"), ("(b)", "B"), ("B.", "B"), ("**B**", "B"), ("$\\boxed{B}$", "B"), ("Option B", "B"),
        ("C. Warm compresses", "C"), ("**C.** Warm compresses", "C"), ("B) Ketotifen eye drops, as they calm", "B"),
        ("D because it has both", "D"), ("B - the others do nothing", "B"), ("B\n\nA is wrong because it stings.", "B"),
        # a statement
        ("The correct option is: B", "B"), ("Answer: D", "D"), ("answer is **D**.", "D"), ("Answer:\nB", "B"),
        ("The correct option is:\n\nB. Ketotifen eye drops", "B"), ("So the best answer should be (B), not A.", "B"),
        ("B is the correct answer", "B"), ("I would choose option (d).", "D"), ("It is B.", "B"),
        ("The final answer is $\\boxed{C}$.", "C"), ("The answer is A. Wait. The answer is B.", "B"),
        ("A might do. C might do.\nThe correct option is: C", "C"), ("First A, then C.\n\nB", "B"),
        ("Option A stings. Option C is slow. The answer: B", "B"),
        # the option's own words
        ("Ketotifen eye drops", "B"), ("ketotifen eye drops.", "B"), ("Warm compresses and eye drops", "D"),
        ("The answer is ketotifen eye drops, an antihistamine", "B"),
        ("I would start ketotifen eye drops rather than warm compresses.", "B"),
        # what names none, or two
        ("", None), ("It depends.", None), ("The answer is A or B", None), ("Option A and option B both help.", None),
        ("\n".join(f"{letter}. {text}" for letter, text in DRUGS.items()), None),
        ("The answer is a beta blocker", None), ("A 35-year-old man has an allergy", None), ("I think so", None),
        ("The answer is not A", None), ("The answer is none of the options", None),
        ("Erythromycin ointment or ketotifen eye drops", None), ("E", None), ("Not warm compresses", None),
    ],
)  # fmt: skip
def test_an_option_is_read_however_it_is_written(text: str, letter: str | None) -> None:
    assert read_choice(text, DRUGS).letter == letter


@pytest.mark.parametrize(
    ("text", "letter"),
    [
        ("Yes, it does.", "A"), ("No", "B"), ("no.", "B"), ("Maybe; more is needed.", "C"), ("The answer is: yes", "A"),
        ("There is no evidence for it", None), ("Yes and no", None), ("A", "A"), ("B. no", "B"),
    ],
)  # fmt: skip
def test_yes_no_and_maybe_are_answers_only_where_they_answer(text: str, letter: str | None) -> None:
    assert read_choice(text, WORDS).letter == letter


@pytest.mark.parametrize(
    ("text", "letter"),
    [("5 mg", "A"), ("15 mg", "B"), ("1.5 mg", "C"), ("Give 1.5 mg daily", "C"), ("None of these", "D")],
)
def test_a_dose_is_not_read_out_of_another(text: str, letter: str) -> None:
    assert read_choice(text, DOSES).letter == letter


@pytest.mark.parametrize(
    ("text", "letter"),
    [
        ("I think 10% formalin is most likely", "B"), ("Take 1 % formalin", "C"), ("A count >1500/mm3 will do", "E"),
        ("I think Hexosaminidase A is most likely.", "D"), ("I think A is most likely.", "A"),
    ],
)  # fmt: skip
def test_signs_and_letters_within_an_options_own_text_are_its_text(text: str, letter: str) -> None:
    assert read_choice(text, SIGNS).letter == letter


OUTCOMES: list[tuple[Answer, str, float]] = [
    (Answer("The correct option is: B"), "right", 1.0),
    (Answer("(c)"), "wrong", 0.0),
    (Answer("It depends."), "unparsable", 0.0),
    (Answer(""), "unparsable", 0.0),
    (Answer("I don't know."), "refused", 0.0),
    (Answer("I'm sorry, but I cannot provide medical advice."), "refused", 0.0),
    (Answer("As an AI I am unable to give a diagnosis."), "refused", 0.0),
    (Answer("", complete=False), "cut off", 0.0),
    (Answer("Ketotifen eye drops might help, while", complete=False), "cut off", 0.0),
    (Answer("The answer is B, since the other", complete=False), "right", 1.0),
]


@pytest.mark.parametrize(("answer", "outcome", "value"), OUTCOMES)
def test_what_became_of_a_question(answer: Answer, outcome: str, value: float) -> None:
    assert outcome_of(question(), answer) == outcome
    assert mcq_generated([question()], [answer]) == [value]


def test_without_a_key_options_or_an_answer_there_is_nothing_to_score() -> None:
    examples = [question(None), Example("Why?", "B"), question()]
    answers = [Answer("B", option_logprobs={"A": -1.0, "B": -2.0}), Answer("B"), None]
    for metric in (mcq_generated, mcq_loglikelihood, mcq_loglikelihood_norm, mcq_consistency):
        assert metric(examples, answers) == [None, None, None]
    assert [outcome_of(*pair) for pair in zip(examples, answers, strict=True)] == ["", "", ""]


def test_either_of_two_options_with_the_same_text_is_right() -> None:
    doubled = question("A", {"A": "Rest", "B": "rest.", "C": "Run"})
    assert outcome_of(doubled, Answer("B")) == "right"
    assert outcome_of(doubled, Answer("Rest")) == "right"
    assert outcome_of(doubled, Answer("C")) == "wrong"


def test_the_likeliest_option_counts_and_of_equal_ones_the_first() -> None:
    answers = [
        Answer("", option_logprobs={"A": -3.0, "B": -1.0, "C": -2.0, "D": -9.0}),
        Answer("", option_logprobs={"A": -1.0, "B": -1.0, "C": -2.0, "D": -9.0}),
        Answer("B"),
    ]
    assert mcq_loglikelihood([question()] * 3, answers) == [1.0, 0.0, None]


def test_a_long_option_is_not_worse_for_its_length() -> None:
    # -4 / 3 characters = -1.33 for A, -6 / 12 = -0.5 for B
    example = question("B", {"A": "Ice", "B": "Rest and ice"})
    answer = Answer("", option_logprobs={"A": -4.0, "B": -6.0})
    assert mcq_loglikelihood([example], [answer]) == [0.0]
    assert mcq_loglikelihood_norm([example], [answer]) == [1.0]


def test_consistency_is_the_share_of_shuffles_with_the_same_option() -> None:
    answers = [
        Answer("B", shuffled_choices=("B", "B", "C", None)),  # 2 of 4
        Answer("", option_logprobs={"A": -1.0, "B": -2.0}, shuffled_choices=("A", "B")),  # A: 1 of 2
        Answer("B"),  # not asked shuffled
        Answer("It depends.", shuffled_choices=("B",)),  # nothing to be the same as
    ]
    assert mcq_consistency([question()] * 4, answers) == [0.5, 0.5, None, None]


def test_options_are_shuffled_by_seed_and_question_and_led_back() -> None:
    example = question(id="q1")
    orders = shuffled_orders(example, 5, seed=1)
    assert orders == shuffled_orders(example, 5, seed=1)
    assert orders != shuffled_orders(example, 5, seed=2)
    assert orders != shuffled_orders(question(id="q2"), 5, seed=1)
    assert len(set(orders)) == 5
    assert tuple("ABCD") not in orders
    for order in orders:
        shown = in_order(example, order)
        assert shown.options is not None
        assert list(shown.options) == list("ABCD")
        assert sorted(shown.options.values()) == sorted(DRUGS.values())
        assert shown.answer is not None
        assert shown.options[shown.answer] == "Ketotifen eye drops"
        assert original_letter(order, shown.answer) == "B"
    assert original_letter(orders[0], None) is None


def test_every_order_is_as_likely_as_another() -> None:
    # of 3 options 5 orders are not the plain one; 500 questions give each about 100, four standard deviations are 36
    options = {"A": "x", "B": "y", "C": "z"}
    drawn = [shuffled_orders(question("A", options, id=str(n)), 1, seed=0)[0] for n in range(500)]
    counts = [drawn.count(order) for order in set(drawn)]
    assert len(counts) == 5
    assert all(64 <= count <= 136 for count in counts)


def test_there_are_only_as_many_orders_as_there_are() -> None:
    assert shuffled_orders(question("A", {"A": "x", "B": "y"}), 9, seed=0) == [("B", "A")]
    many = question("A", {letter: f"option {n}" for n, letter in enumerate("ABCDEFG")} | {"A": "first"})
    assert len(set(shuffled_orders(question("A", {letter: letter * 3 for letter in "ABCDEFG"}), 9, seed=0))) == 9
    assert shuffled_orders(many, 9, seed=0) == []  # "option 1" may mean another one


@pytest.mark.parametrize("last", ["All of the above", "None of the above.", "Both A and B", "A & C", "Only B"])
def test_options_that_speak_of_others_stay_where_they_are(last: str) -> None:
    assert shuffled_orders(question("A", {"A": "x", "B": "y", "C": "z", "D": last}), 3, seed=0) == []


def test_a_chosen_letter_is_none_where_the_answer_was_cut_before() -> None:
    assert choice_of(question(), Answer("B")) == "B"
    assert choice_of(question(), Answer("The use of ketotifen eye drops and", complete=False)) is None


@pytest.mark.parametrize(
    "text",
    ["A\nB\nC\nD", "A, B, C, D", "A\nB", "(A)\n(B)", "A.\nB.\nC.\nD.", "Erythromycin ointment\nWarm compresses", "A/B",
     "- A\n- C", "A, B and C", "A, B, C, D are all wrong", "A. Erythromycin ointment\nB"],
)  # fmt: skip
def test_a_list_of_options_chooses_none(text: str) -> None:
    read = read_choice(text, DRUGS)
    assert (read.letter, read.outcome) == (None, "unparsable")


def test_the_letter_below_a_list_is_chosen() -> None:
    listed = "\n".join(f"{letter}. {text}" for letter, text in DRUGS.items())
    assert read_choice(f"{listed}\n\nB", DRUGS).letter == "B"
    assert read_choice("B\nB", DRUGS).letter == "B"
