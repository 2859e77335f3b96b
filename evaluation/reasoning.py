"""How an answer reasons: its steps, what they rest on, and whether they lead to its solution.

Steps are split as the rating form splits them, so that people and metrics speak of the same ones.
"""

import re
from collections.abc import Callable, Mapping

from evaluation.choice_text import read_choice
from evaluation.metrics import Answer, FindsUnsupported, Metric, Tools, per_answer
from evaluation.quantities import kind_of, read_quantity, within
from evaluation.vocabulary import Vocabulary
from medchat.formats import FORMATS, parse
from medchat.knowledge import Knowledge
from medchat.prompts import case_text
from medchat.rating_form import steps_of
from medchat.records import Example

SAME_VALUE = 0.01  # a value written again, rounded, is within 1 % of itself
# What a step concludes stands behind such words; what is less likely is weighed, not concluded.
_CONCLUDES = re.compile(
    r"\b(?:so|thus|hence|therefore|conclu\w+|most likely|diagnosis(?: is| of)?|points? to|consistent with|fits?|"
    r"answer)\b",
    re.IGNORECASE,
)
_WEIGHED = re.compile(r"[^.\n]*\b(?:less likely|argues? against|unlike|whereas)\b[^.\n]*", re.IGNORECASE)


def _step_count(_: Example, answer: Answer) -> float | None:
    return float(len(steps_of(answer.reasoning)))


def _answer_words(_: Example, answer: Answer) -> float | None:
    return float(len(answer.solution.split()))


def _truncated(_: Example, answer: Answer) -> float | None:
    if answer.complete:
        return 0.0
    if answer.finish_reason == "length":
        closed = answer.answer_format in FORMATS and parse(answer.answer_format, answer.raw).closed
        return float(not closed)
    return float(bool(answer.raw.strip() or answer.reasoning.strip() or answer.solution.strip()))


step_count = per_answer(_step_count)  # 0.0 for an answer without reasoning
answer_words = per_answer(_answer_words)  # of the solution
# 1.0 where the answer reached the limit on its length before its format closed, or ended with the format open; 0.0 for
# one that is complete, and for one that ended without having said anything.
truncated = per_answer(_truncated)


def step_support(tools: Tools) -> Metric:
    """Share of the steps that cite findings in which every cited finding stands in the case.

    None where no step cites one, and where the case is outside of the knowledge: nothing can be looked up there.
    """

    def one(example: Example, answer: Answer) -> float | None:
        case = case_text(example.question, example.context)
        supported = supported_steps(tools.grounder, answer.reasoning, case)
        return sum(supported) / len(supported) if supported else None

    return per_answer(one)


def supported_steps(grounder: FindsUnsupported, reasoning: str, case: str) -> list[bool]:
    """Of each step that cites findings, whether all of them stand in the case; empty where nothing can be looked up."""
    cited = [start for start, _, _ in grounder.cited(reasoning)]
    if not cited or grounder.ground(case).outside:
        return []
    missing = [start for start, _, _ in grounder.unsupported(reasoning, case)]
    return [
        not any(step.start <= start < step.end for start in missing)
        for step in steps_of(reasoning)
        if any(step.start <= start < step.end for start in cited)
    ]


def conclusion_consistent(tools: Tools) -> Metric:
    """1.0 where the reasoning concludes with what the solution says, 0.0 where with something else.

    What the last step says: the option of a multiple-choice question, the value of a calculation; else the condition
    that the last step to name one concludes with, by any of its names; else the solution itself, word by word. None
    where this cannot be told, and without reasoning or a solution.
    """
    return per_answer(conclusion_check(tools.knowledge))


def conclusion_check(knowledge: Knowledge) -> Callable[[Example, Answer], float | None]:
    """The same for one answer."""
    conditions = _condition_names(knowledge)

    def one(example: Example, answer: Answer) -> float | None:
        steps = [answer.reasoning[step.start : step.end] for step in steps_of(answer.reasoning)]
        if not steps or not answer.solution.strip():
            return None
        if example.options:
            return _same_option(example.options, steps[-1], answer.solution)
        if example.kind == "calc":
            return _same_value(example, steps[-1], answer.solution)
        return _same_condition(conditions, steps, answer.solution)

    return one


def _condition_names(knowledge: Knowledge) -> Vocabulary:
    return Vocabulary({condition.name: condition.all_names for condition in knowledge.conditions.values()})


def _same_option(options: Mapping[str, str], step: str, solution: str) -> float | None:
    concluded, said = (read_choice(text, options).letter for text in (step, solution))
    return None if concluded is None or said is None else float(concluded == said)


def _same_value(example: Example, step: str, solution: str) -> float | None:
    kind = kind_of(example)
    concluded, said = (read_quantity(text, example.unit, kind) for text in (step, solution))
    if concluded is None or said is None or concluded.unit != said.unit:
        return None
    return float(within(concluded.value, said.value, kind, SAME_VALUE))


def _same_condition(conditions: Vocabulary, steps: list[str], solution: str) -> float | None:
    said = {term.name for term in conditions.find(solution) if not term.negated}
    for step in reversed(steps):
        concluded = _concluded(conditions, step)
        if concluded and said:
            return None if len(concluded) > 1 and concluded & said else float(bool(concluded & said))
    if said:
        return None
    repeated = Vocabulary({solution.strip().partition("\n")[0]: ()}).find(steps[-1])
    return 1.0 if any(not term.negated for term in repeated) else None


def _concluded(conditions: Vocabulary, step: str) -> set[str]:
    """The condition behind the step's last concluding words; without them all that it neither denies nor weighs."""
    weighed = [match.span() for match in _WEIGHED.finditer(step)]
    named = [
        term
        for term in conditions.find(step)
        if not term.negated and not any(start <= term.start < end for start, end in weighed)
    ]
    for cue in reversed(list(_CONCLUDES.finditer(step))):
        behind = [term for term in named if term.start >= cue.end()]
        if behind:
            return {behind[0].name}
    return {term.name for term in named}
