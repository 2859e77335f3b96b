"""What the bundled models are taught: a prompt as the app writes it, and the reasoned answer to it."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from evaluation.metrics import DONT_KNOW
from medchat.formats import render
from medchat.grounding import Grounder
from medchat.knowledge import Alternative, Condition, Knowledge, TeachingCases
from medchat.recognition import MAX_DENIED, MAX_OUTSIDE, MAX_TELLING, prompt_text
from train.demo.vignettes import Vignette, vignette

FORMAT = "gemma-grpo"

QUESTIONS = {
    "diagnosis": (
        "What is the most likely diagnosis?",
        "Most likely diagnosis?",
        "What is the diagnosis?",
        "Which condition best explains this?",
        "What does this patient have?",
        "What could this be?",
        "Name the most likely condition.",
        "Dx?",
        "What is going on?",
        "What might be wrong?",
        "What do you think this is?",
        "Any ideas?",
        "Any idea what this might be?",
        "Which single diagnosis fits best?",
        "What would you call this?",
        "Leading diagnosis?",
        "Your diagnosis?",
        "Please help, what is it?",
        "What is the cause?",
        "Which diagnosis is most likely?",
        "What is this?",
    ),
    "test": (
        "What is the next best test?",
        "Which investigation should be done next?",
        "Best next investigation?",
        "Which test confirms the diagnosis?",
        "What test should be ordered?",
        "Next test?",
    ),
    "treatment": (
        "What is the first treatment?",
        "What is the best initial treatment?",
        "How should this be treated?",
        "First-line therapy?",
        "How do you treat this?",
        "Treatment?",
    ),
    "mechanism": (
        "Why does this happen?",
        "What is the mechanism?",
        "What causes this?",
        "Explain the pathophysiology.",
        "What goes wrong in the body here?",
    ),
}
DEFINITIONS = (
    "What is {name}?",
    "Explain {name}.",
    "Define {name}.",
    "What does {name} mean?",
    "Tell me about {name}.",
)
NAMED = {
    "test": ("How is {name} diagnosed?", "What is the key test for {name}?", "Which test confirms {name}?"),
    "treatment": ("How is {name} treated?", "What is the first treatment of {name}?", "Treatment of {name}?"),
    "mechanism": ("What causes {name}?", "Why does {name} happen?", "What is the mechanism of {name}?"),
}
_SHARES = {"diagnosis": 0.46, "test": 0.13, "treatment": 0.13, "mechanism": 0.06, "named": 0.1, "outside": 0.12}


@dataclass(frozen=True, slots=True)
class Lesson:
    """One prompt with its answer. question_text: the case without what grounding adds; cited: finding names."""

    kind: str
    condition: str
    question_text: str
    history: tuple[tuple[str, str], ...]
    grounding_text: str
    reasoning: str
    solution: str
    cited: tuple[str, ...] = ()

    @property
    def answer(self) -> str:
        """The answer in the models' format."""
        return render(FORMAT, self.reasoning, self.solution)


class Teacher:
    """Makes lessons.

    Natural cases come with what the real Grounder says of them, synthetic ones with an imitation that is often
    incomplete and sometimes wrong, so that the model learns to weigh it.
    """

    def __init__(self, knowledge: Knowledge, cases: TeachingCases, grounder: Grounder):
        self.knowledge, self.cases = knowledge, cases
        self._ground = lru_cache(maxsize=4096)(grounder.ground)
        self._conditions = tuple(knowledge.conditions.values())
        self._natural = [(text, c) for c, texts in cases.known.items() for text in texts]
        self._outside = [text for texts in cases.outside.values() for text in texts]

    def lesson(self, rng: random.Random, *, imitated: bool = True) -> Lesson:
        """A lesson of any kind for training; unless imitated, with what the real Grounder says of every case."""
        kind = rng.choices(list(_SHARES), list(_SHARES.values()))[0]
        if kind == "outside":
            return self._outside_lesson(rng)
        if kind == "named":
            return self.named_lesson(rng.choice(self._conditions), rng)
        if rng.random() < 0.3:
            return self._natural_lesson(kind, rng)
        make = self.case_lesson if imitated else self.told_lesson
        return make(kind, rng.choice(self._conditions), "train", rng)

    def told_lesson(self, kind: str, condition: Condition, split: str, rng: random.Random) -> Lesson:
        """A synthetic case of this condition with what the real Grounder says of it."""
        case = vignette(self.knowledge, condition, split, rng, self.cases.filler)
        said = self._ground(case.text)
        near = [(n.name, n.probability) for n in said.near]
        return self._case(kind, condition, case, list(said.telling), list(said.denied[:MAX_DENIED]), near, rng)

    def case_lesson(self, kind: str, condition: Condition, split: str, rng: random.Random) -> Lesson:
        """A synthetic case of this condition."""
        case = vignette(self.knowledge, condition, split, rng, self.cases.filler)
        near = self._imitated_near(condition, rng)
        recognised = self._imitated(case.present, [c for c, _ in near], rng)
        denied = [self.knowledge.findings[f].name for f in case.denied]
        named = [(c.name, probability) for c, probability in near]
        if rng.random() < 0.04:
            return self._dont_know(case.text, rng, recognised, denied, named)
        return self._case(kind, condition, case, recognised, denied, named, rng)

    def _case(
        self,
        kind: str,
        condition: Condition,
        case: Vignette,
        recognised: list[str],
        denied: list[str],
        near: list[tuple[str, float]],
        rng: random.Random,
    ) -> Lesson:
        own = {self.knowledge.findings[f].name for f in condition.all_findings}
        true = {self.knowledge.findings[f].name for f in case.present} & own
        cited = [name for name in recognised if name in true]
        reasoning = self._reasoning(kind, condition, cited, [d for d in denied if d not in own])
        text, history = self._asked(kind, case.text, condition, rng)
        return Lesson(
            kind,
            condition.id,
            text,
            history,
            prompt_text(recognised, denied, near, False),
            reasoning,
            self._solution(kind, condition),
            tuple(cited),
        )

    def _natural_lesson(self, kind: str, rng: random.Random) -> Lesson:
        text, condition_id = rng.choice(self._natural)
        condition = self.knowledge.conditions[condition_id]
        said = self._ground(text)
        own = tuple(r.finding for r in said.recognised if not r.negated and r.finding in condition.all_findings)
        near = [(n.name, n.probability) for n in said.near]
        case = Vignette(text, condition_id, 0, "", own, ())
        return self._case(kind, condition, case, list(said.telling), list(said.denied[:MAX_DENIED]), near, rng)

    def named_lesson(self, condition: Condition, rng: random.Random) -> Lesson:
        """A question about a condition by one of its names."""
        kind = rng.choice(("definition", "definition", *NAMED))
        name = rng.choice((condition.name, condition.name, *condition.all_names))
        text = rng.choice(NAMED.get(kind, DEFINITIONS)).format(name=name)
        if rng.random() < 0.2:
            text = text.lower()
        said = self._ground(text)
        near = [(n.name, n.probability) for n in said.near]
        core = " and ".join(self.knowledge.findings[f].name for f in condition.core[:2])
        steps = [f"The question is about {condition.name}."]
        if name != condition.name:
            steps = [f"{_capital(name)} is another name for {condition.name}."]
        steps += [
            f"{_capital(condition.name)} is {condition.definition}.",
            f"Its most telling findings are {core}.",
            self._conclusion(kind, condition),
        ]
        return Lesson(
            kind,
            condition.id,
            text,
            (),
            prompt_text(said.telling, said.denied[:MAX_DENIED], near, False, condition.name),
            _numbered(steps),
            self._solution(kind, condition),
        )

    def _outside_lesson(self, rng: random.Random) -> Lesson:
        text = rng.choice(self.cases.chatter) if rng.random() < 0.25 else rng.choice(self._outside)
        said = self._ground(text)
        if rng.random() < 0.6:
            text = f"{text} {rng.choice(QUESTIONS[rng.choice(tuple(QUESTIONS))])}"
        return self._dont_know(
            text,
            rng,
            list(said.telling),
            list(said.denied[:MAX_DENIED]),
            [(n.name, n.probability) for n in said.near],
            asked=True,
        )

    def _dont_know(
        self,
        text: str,
        rng: random.Random,
        recognised: list[str],
        denied: list[str],
        near: list[tuple[str, float]],
        asked: bool = False,
    ) -> Lesson:
        outside = rng.random() < 0.93
        if outside:  # as in Grounding.prompt_text
            recognised, near = recognised[:MAX_OUTSIDE], [(name, 0.0) for name, _ in near]
        found = (
            f"Findings that I recognise: {_listed(recognised[:4])}."
            if recognised
            else "I recognise no finding that I was taught."
        )
        steps = [
            found,
            f"{_capital(near[0][0])} comes nearest of what I know, but does not explain this well.",
            "So this is outside what I was taught, and I cannot answer it.",
        ]
        if not asked:
            text, _ = self._asked("diagnosis", text, None, rng)
        return Lesson(
            "outside",
            "",
            text,
            (),
            prompt_text(recognised, denied, near, outside),
            _numbered(steps),
            DONT_KNOW,
            tuple(recognised[:4]),
        )

    def _asked(
        self, kind: str, case: str, condition: Condition | None, rng: random.Random
    ) -> tuple[str, tuple[tuple[str, str], ...]]:
        """The case with its question; now and then as the second turn after a first one about the diagnosis."""
        question = rng.choice(QUESTIONS[kind])
        if condition and kind != "diagnosis" and rng.random() < 0.25:
            reasoning = self._reasoning("diagnosis", condition, [], [])
            first = f"{case} {rng.choice(QUESTIONS['diagnosis'])}"
            return question, ((first, render(FORMAT, reasoning, self._solution("diagnosis", condition))),)
        if kind == "diagnosis" and rng.random() < 0.15:
            return case, ()
        return (f"{case} {question}" if rng.random() < 0.85 else f"{question} {case}"), ()

    def _reasoning(self, kind: str, condition: Condition, cited: Sequence[str], denied: Sequence[str]) -> str:
        name = condition.name
        steps = []
        if cited:
            steps.append(f"Findings in this case: {_listed(cited)}.")
            steps.append(self._pointer(cited, condition))
        else:
            steps.append(f"Few findings are certain here; the picture as a whole points to {name}.")
        steps += [self._weighed(alternative, condition, denied) for alternative in condition.alternatives[:2]]
        steps.append(self._conclusion(kind, condition))
        return _numbered(steps)

    def _pointer(self, cited: Sequence[str], condition: Condition) -> str:
        """What the two most telling of the cited findings say."""
        core = {self.knowledge.findings[f].name for f in condition.core}
        first = _capital(" with ".join(sorted(cited, key=lambda name: name not in core)[:2]))
        if core & set(cited):
            return f"{first} points to {condition.name}."
        return f"{first} fits {condition.name}, though it is not specific."

    def _weighed(self, alternative: Alternative, condition: Condition, denied: Sequence[str]) -> str:
        other = self.knowledge.conditions[alternative.condition].name
        finding = self.knowledge.findings[alternative.finding].name
        if finding in denied:
            return f"{_capital(other)} is unlikely without {finding}."
        return f"{_capital(other)} is less likely: {alternative.apart}."

    def _conclusion(self, kind: str, condition: Condition) -> str:
        name = condition.name
        return {
            "diagnosis": f"So the most likely diagnosis is {name}.",
            "definition": f"In short, it is {condition.definition}.",
            "test": f"The key test for {name} is {condition.test}.",
            "treatment": f"The first treatment of {name} is {condition.treatment}.",
            "mechanism": f"It happens because {condition.mechanism}.",
        }[kind]

    def _solution(self, kind: str, condition: Condition) -> str:
        return _capital(
            {
                "diagnosis": condition.name,
                "definition": f"{condition.name} is {condition.definition}.",
                "test": condition.test,
                "treatment": condition.treatment,
                "mechanism": f"{condition.mechanism}.",
            }[kind]
        )

    def _imitated(self, present: Sequence[str], near: Sequence[Condition], rng: random.Random) -> list[str]:
        """The telling findings as a recogniser might see them: some missing, some wrong, as Grounding.telling."""
        told = list(dict.fromkeys(f for condition in near for f in condition.all_findings))
        kept = [f for f in present if f in told and rng.random() < 0.85]
        for _ in range(rng.choice((0, 0, 0, 1, 1, 2, 3))):
            kept.insert(rng.randint(0, len(kept)), rng.choice(told))
        return [self.knowledge.findings[f].name for f in dict.fromkeys(kept)][:MAX_TELLING]

    def _imitated_near(self, condition: Condition, rng: random.Random) -> list[tuple[Condition, float]]:
        """Near conditions as a classifier might rank them: the right one first in most cases."""
        others = [self.knowledge.conditions[a.condition] for a in condition.alternatives]
        others += rng.sample(self._conditions, 3)
        ranked = list({c.id: c for c in others if c.id != condition.id}.values())
        rng.shuffle(ranked)
        place = rng.choices((0, 1, 2, None), (0.88, 0.07, 0.03, 0.02))[0]
        first = rng.choice((0.95, 0.95, 0.9, 0.7, 0.5, 0.3)) if place == 0 else rng.choice((0.7, 0.5, 0.3))
        if place is not None:
            ranked.insert(place, condition)
        second = (1 - first) * rng.uniform(0.3, 0.9)
        return list(zip(ranked, (first, second, second * rng.uniform(0.1, 0.8)), strict=False))


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _numbered(steps: Sequence[str]) -> str:
    return "\n".join(f"{i}. {step}" for i, step in enumerate(steps, 1))


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
