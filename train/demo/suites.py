"""The generated test suites: unseen combinations of findings, and unseen wordings of them."""

import random
from pathlib import Path

from medchat.knowledge import Knowledge, TeachingCases
from medchat.records import Example
from train.demo.lessons import QUESTIONS
from train.demo.vignettes import vignette

SUITES = ("combinations", "wordings")
CASES_A_CONDITION = 4


def write_suites(knowledge: Knowledge, cases: TeachingCases, folder: Path, seed: int) -> None:
    """One JSONL file of Examples a suite; nothing in them is ever trained on. Same seed, same files."""
    for suite in SUITES:
        rng = random.Random(f"{seed} {suite}")
        lines = []
        for number in range(CASES_A_CONDITION):
            for condition in knowledge.conditions.values():
                case = vignette(knowledge, condition, suite, rng, cases.filler)
                example = Example(
                    id=f"{suite}-{condition.id}-{number + 1}",
                    kind="diagnosis",
                    question=f"{case.text} {rng.choice(QUESTIONS['diagnosis'])}",
                    answer=condition.name,
                    accepted=(*condition.lay_names, *condition.synonyms),
                    key_terms=tuple(knowledge.findings[f].name for f in case.present),
                    source="generated from assets/knowledge",
                    licence="Apache-2.0",
                    split="test",
                    meta={"condition": condition.id},
                )
                lines.append(example.to_json())
        (folder / f"{suite}.jsonl").write_text("\n".join(lines) + "\n")
