"""The study that `python -m evaluation human --example` reports on: bundled questions, made-up answers and raters."""

from collections.abc import Iterator

from evaluation.human_data import HumanData
from evaluation.simulate import Case, Reader, simulate
from evaluation.suites import load_suite
from medchat.knowledge import Condition, Knowledge, load_knowledge
from medchat.records import Example

TITLE = "Example study"
SUITE = "wordings"
QUESTIONS = 120
MODELS = ("Model A", "Model B", "Model C", "Model D")
STRENGTHS = (0.8, 0.3, 0.0, -1.1)
WORDS = (90, 80, 150, 70)  # Model C says more than is asked: raw and adjusted rankings differ by that
READERS = (
    Reader(severity=0.0, noise=0.6, left=0.1, longer=0.7, group="Internal medicine"),
    Reader(severity=0.5, noise=0.6, left=0.3, longer=0.4, group="Internal medicine"),
    Reader(severity=-0.3, noise=0.7, left=0.2, longer=0.8, group="Internal medicine"),
    Reader(severity=0.1, noise=0.9, left=0.4, longer=0.5, group="Family medicine"),
    Reader(severity=-0.1, noise=0.7, left=0.0, longer=0.6, group="Family medicine"),
    Reader(severity=0.2, noise=0.8, left=0.5, longer=0.9, group="Family medicine"),
    Reader(severity=-0.2, noise=0.7, left=0.2, longer=0.3, group="Emergency medicine"),
    Reader(left=1.5, group="Emergency medicine", straight=True),  # one who hardly looks: to be seen in the report
)


def example_study(seed: int = 0) -> HumanData:
    """4 models, 8 raters and 120 bundled questions; which models are better, and how raters err, is made up."""
    cases = list(_cases())
    return simulate(MODELS, READERS, cases, STRENGTHS, seed, words=WORDS, title=TITLE)


def _cases() -> Iterator[Case]:
    """Questions of all specialties: every n-th of the suite."""
    knowledge = load_knowledge()
    examples = list(load_suite(SUITE).examples)
    for n in range(QUESTIONS):
        example = examples[n * len(examples) // QUESTIONS]
        condition = knowledge.named(example.answer or "")
        if condition is not None:
            yield _case(example, condition, knowledge)


def _case(example: Example, condition: Condition, knowledge: Knowledge) -> Case:
    other = condition.alternatives[0]
    findings = " and ".join(example.key_terms[:3])
    steps = (
        f"The case has {findings}.",
        f"That fits {condition.name}: {condition.definition}",
        f"{knowledge.conditions[other.condition].name} is less likely: {other.apart}",
        f"{condition.test} would settle it.",
    )
    return Case(
        example.id, example.question, condition.specialty, condition.name, knowledge.conditions[other.condition].name,
        steps,
    )  # fmt: skip
