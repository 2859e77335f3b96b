"""Definitions of the taught conditions, asked in wordings that no lesson has."""

import random
import re

from medchat.knowledge import Knowledge
from medchat.records import Example
from train.demo.case_groups import condition_groups_of

# See lessons.DEFINITIONS for those that are taught.
WORDINGS = (
    "In one sentence, what do clinicians mean by {name}?",
    "How would you describe {name} to a first-year student?",
    "Please give the textbook definition of {name}.",
    "Put into words for a patient's family what kind of illness {name} is.",
)

# Words between the terms of a definition.
_BETWEEN = re.compile(
    r",|(?<![\w-])(?:a|an|the|of|in|on|by|with|to|and|or|from|that|which|when|as|over|after|its|their|more|even|at|it|is|"
    r"are|be|not|does|can|cannot|may|so|where|between|behind|beneath|around|outside|inside|into|about|usually|most|"
    r"mostly|often|especially|fully|least|anywhere|along|many|both|against|having|made|make|makes|enough|caused|causes|"
    r"causing|due|linked|marked|called|begins|arises|form|fills|lets|obstructs|leaving|surrounds|split|pump|meet|needs|"
    r"inflames|inflame|damages|implants|impairs|raises|reverse|threatens|fuse|cuts|off|stops|overstimulate|block|"
    r"blocking|lining the|people)(?![\w-])"
)


def definitions(knowledge: Knowledge, rng: random.Random) -> list[Example]:
    """A question for each condition, the wordings equally often."""
    wordings = [WORDINGS[number % len(WORDINGS)] for number in range(len(knowledge.conditions))]
    rng.shuffle(wordings)
    examples = []
    for condition, wording in zip(knowledge.conditions.values(), wordings, strict=True):
        answer = f"{condition.name} is {condition.definition}."
        examples.append(
            Example(
                wording.format(name=condition.name),
                answer[:1].upper() + answer[1:],
                id=f"definition-{condition.id}",
                accepted=(f"{condition.definition[:1].upper()}{condition.definition[1:]}.",),
                key_terms=key_terms(condition.definition),
                source="generated from assets/knowledge",
                licence="Apache-2.0",
                split="test",
                meta=condition_groups_of(condition),
            )
        )
    return examples


def key_terms(definition: str) -> tuple[str, ...]:
    """The terms of a definition, as they stand in it: what lies between its small words and verbs."""
    parts = (part.strip() for part in _BETWEEN.split(definition))
    return tuple(dict.fromkeys(part for part in parts if len(part) > 2))
