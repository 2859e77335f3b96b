"""The generated test suites. Nothing in them is ever trained on; the same seed gives the same files."""

import random
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from medchat.knowledge import Knowledge, TeachingCases
from medchat.records import Example
from train.demo.case_groups import case_groups
from train.demo.lessons import QUESTIONS
from train.demo.suite_calculations import calculations
from train.demo.suite_choices import choices
from train.demo.suite_definitions import definitions
from train.demo.suite_pairs import pairs
from train.demo.vignettes import vignette

CASES_A_CONDITION = 4


def write_suites(knowledge: Knowledge, cases: TeachingCases, folder: Path, seed: int) -> None:
    """One JSONL file of Examples a suite."""
    make: Mapping[str, Callable[[random.Random], list[Example]]] = {
        "combinations": partial(vignettes, knowledge, cases, "combinations"),
        "wordings": partial(vignettes, knowledge, cases, "wordings"),
        "choices": partial(choices, knowledge),
        "calculations": calculations,
        "definitions": partial(definitions, knowledge),
        "pairs": partial(pairs, knowledge),
    }
    for suite, examples_of in make.items():
        lines = [example.to_json() for example in examples_of(random.Random(f"{seed} {suite}"))]
        (folder / f"{suite}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")


def vignettes(knowledge: Knowledge, cases: TeachingCases, suite: str, rng: random.Random) -> list[Example]:
    """Cases of every condition: unseen combinations of findings, or unseen wordings of them."""
    examples = []
    for number in range(CASES_A_CONDITION):
        for condition in knowledge.conditions.values():
            case = vignette(knowledge, condition, suite, rng, cases.filler)
            examples.append(
                Example(
                    id=f"{suite}-{condition.id}-{number + 1}",
                    kind="diagnosis",
                    question=f"{case.text} {rng.choice(QUESTIONS['diagnosis'])}",
                    answer=condition.name,
                    accepted=(*condition.lay_names, *condition.synonyms),
                    key_terms=tuple(knowledge.findings[f].name for f in case.present),
                    source="generated from assets/knowledge",
                    licence="Apache-2.0",
                    split="test",
                    meta=case_groups(condition, case.text, case.age, case.sex),
                )
            )
    return examples
