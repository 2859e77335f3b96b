"""How answers reason: steps, their support, the conclusion, what was cut, and length."""

import re

import pytest

from evaluation.metrics import Answer, Tools, metrics
from evaluation.reasoning import answer_words, step_count, supported_steps, truncated
from medchat.knowledge import Knowledge, load_knowledge
from medchat.recognition import Grounding
from medchat.records import Example

CASE = Example("He has a red toe and gravel in his urine. What is it?", "gout")
STEPS = "1. The red toe stands out.\n2. With fever and the red toe, gout fits.\n3. So it is gout."


class Finder:
    """Knows two findings by their names; a case with neither is outside its knowledge."""

    def ground(self, text: str) -> Grounding:
        return Grounding((), (), outside=not re.search("fever|red toe", text))

    def cited(self, reasoning: str) -> list[tuple[int, int, str]]:
        return [(match.start(), match.end(), match[0]) for match in re.finditer("fever|red toe", reasoning)]

    def unsupported(self, reasoning: str, case: str) -> list[tuple[int, int, str]]:
        return [found for found in self.cited(reasoning) if found[2] not in case]


@pytest.fixture(scope="module")
def knowledge() -> Knowledge:
    return load_knowledge()


def test_steps_and_words_are_counted() -> None:
    answers = [Answer("Acute gout.", STEPS), Answer("Gout"), None]
    assert step_count([CASE] * 3, answers) == [3.0, 0.0, None]
    assert answer_words([CASE] * 3, answers) == [2.0, 1.0, None]


def test_a_step_is_supported_when_all_that_it_cites_stands_in_the_case(knowledge: Knowledge) -> None:
    support = metrics(("step_support",), Tools(Finder(), knowledge))["step_support"]
    answers = [
        Answer("gout", STEPS),  # step 1 is, step 2 cites a fever that is not there, step 3 cites nothing: 1 of 2
        Answer("gout", "1. The red toe.\n2. The red toe again."),
        Answer("gout", "1. It must be.\n2. It is."),
        Answer("gout"),
        None,
    ]
    assert support([CASE] * 5, answers) == [0.5, 1.0, None, None, None]
    assert support([Example("What now?", "x")], [Answer("gout", STEPS)]) == [None]  # outside of the knowledge
    assert supported_steps(Finder(), STEPS, CASE.question) == [True, False]


@pytest.mark.parametrize(
    ("solution", "reasoning", "value"),
    [
        ("Gout", STEPS, 1.0),
        ("Cellulitis", STEPS, 0.0),
        ("The diagnosis is a heart attack.", "1. Pain.\n2. This points to myocardial infarction.", 1.0),  # a synonym
        ("Gout", "1. Fits gout.\n2. Cellulitis is less likely: it spreads.", 1.0),  # what is weighed is not concluded
        ("Cellulitis", "1. Fits gout.\n2. Cellulitis is less likely: it spreads.", 0.0),
        ("Gout", "1. So the most likely diagnosis is gout, not cellulitis.", 1.0),
        ("Cellulitis", "1. So the most likely diagnosis is gout, not cellulitis.", 0.0),
        ("Gout", "1. It cannot be gout.", None),
        ("Gout", "1. Gout or cellulitis.", None),  # it is not told which
        ("Asthma", "1. Gout or cellulitis.", 0.0),
        ("Glorp syndrome.", "1. Odd.\n2. It is Glorp Syndrome", 1.0),  # word by word
        ("Blarg syndrome", "1. Odd.\n2. It is Glorp syndrome.", None),
        ("Gout", "", None),
        ("", STEPS, None),
    ],
)
def test_the_conclusion_is_compared_with_the_solution(
    solution: str, reasoning: str, value: float | None, knowledge: Knowledge
) -> None:
    consistent = metrics(("conclusion_consistent",), Tools(Finder(), knowledge))["conclusion_consistent"]
    assert consistent([CASE], [Answer(solution, reasoning)]) == [value]


@pytest.mark.parametrize(
    ("solution", "reasoning", "value"),
    [
        ("B", "1. Urate.\n2. So the answer is B.", 1.0),
        ("A", "1. Urate.\n2. So the answer is B.", 0.0),
        ("B", "1. Urate.\n2. That is hard.", None),
    ],
)
def test_the_conclusion_of_a_choice_is_its_option(
    solution: str, reasoning: str, value: float | None, knowledge: Knowledge
) -> None:
    choice = Example("Which?", "B", kind="mcq", options={"A": "cellulitis", "B": "gout"})
    consistent = metrics(("conclusion_consistent",), Tools(Finder(), knowledge))["conclusion_consistent"]
    assert consistent([choice, choice], [Answer(solution, reasoning), None]) == [value, None]


@pytest.mark.parametrize(
    ("solution", "reasoning", "value"),
    [
        ("93.3 mmHg", "1. (2 x 80 + 120) / 3.\n2. The mean is 93.33 mmHg.", 1.0),  # rounded
        ("90 mmHg", "1. (2 x 80 + 120) / 3.\n2. The mean is 93.33 mmHg.", 0.0),
        ("93.3 mmHg", "1. That cannot be calculated.", None),
    ],
)
def test_the_conclusion_of_a_calculation_is_its_value(
    solution: str, reasoning: str, value: float | None, knowledge: Knowledge
) -> None:
    calculation = Example("Mean pressure?", "93.3", kind="calc", unit="mmHg")
    consistent = metrics(("conclusion_consistent",), Tools(Finder(), knowledge))["conclusion_consistent"]
    assert consistent([calculation], [Answer(solution, reasoning)]) == [value]


def test_what_was_cut_or_left_open_is_truncated() -> None:
    open_text = "<start_reasoning>\n1. The toe"
    closed_text = "<start_reasoning>\n1. Toe.\n<end_reasoning>\n<SOLUTION>Gout</SOLUTION>"
    answers = [
        Answer("Gout", "1. Toe.", True, "gemma-grpo", closed_text, "stop"),
        Answer("", "1. The toe", False, "gemma-grpo", open_text, "length"),
        Answer("", "1. The toe", False, "gemma-grpo", open_text, "stop"),  # left open
        Answer("Gout", "1. Toe.", False, "gemma-grpo", closed_text + " and", "length"),  # cut behind its closer
        Answer("Gout is a", "", False, "plain", "Gout is a", "length"),
        Answer("", "", False, "plain", "", "stop"),  # said nothing at all
        None,
    ]
    assert truncated([CASE] * 7, answers) == [0.0, 1.0, 1.0, 0.0, 1.0, 0.0, None]
