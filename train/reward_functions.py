"""The rewards: completions in, one number each out; None means that it cannot be scored, and is never zero.

What is right, supported, unsafe or similar is what the metrics of the evaluation say, so that training and evaluation
cannot disagree. A completion is read with the base's answer format; one without any tags is all solution, and is
scored as such.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from evaluation.judge import Criterion, Judge, criteria_of
from evaluation.metrics import Answer, Embeds, FindsUnsupported, Metric, Tools, Values, metrics, references_of
from evaluation.safety import cited_sources, source_marks, support_share, unverified
from evaluation.terms import terms_in
from evaluation.vocabulary import vocabulary_of
from medchat.errors import InvalidInput
from medchat.formats import FORMATS, parse, render
from medchat.knowledge import Knowledge
from medchat.prompts import case_text
from medchat.rating_form import steps_of
from medchat.records import Example
from train import reward_options as options

TAG_CREDIT = 0.125
RIGHT, NEAR, NOTHING, WRONG = 2.0, 0.5, 0.0, -0.5  # of answer_approximate
NEAR_TERMS = 0.5  # F1 of the key terms from which on an answer is near the reference
CITATION_BONUS = 0.2
_BY_KIND = {"mcq": "mcq_generated", "calc": "calc_correct"}  # what is right for this kind of question
_WEIGHS = re.compile(
    r"\b(?:(?:less|more|most|un)\s?likely|argues? (?:against|for)|against|rules? out|ruled out|unlike|whereas|"
    r"rather than|versus|vs|differential|alternatives?|consider(?:ed|ing)?|could (?:also )?be|may be|might be|"
    r"possib\w+|excluded?|distinguish\w*|instead of)\b",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Preferred:
    """An answer that clinicians judged. liked: from 1 for a preferred or good one to -1; it carries their certainty."""

    text: str
    liked: float


@dataclass(frozen=True, slots=True)
class RewardSetup:
    """What rewards look things up with.

    embedder: gives what makes vectors; None for the one that all of the process share. judge, preferences (by question
    id): None where there is none, and then the rewards that need them are refused. models_dir: where models of the Hub
    are.
    """

    answer_format: str
    knowledge: Knowledge
    grounder: FindsUnsupported
    embedder: Callable[[], Embeds] | None = None
    judge: Judge | None = None
    preferences: Mapping[str, Sequence[Preferred]] | None = None
    models_dir: Path | None = None

    @property
    def tools(self) -> Tools:
        """The same for metrics."""
        return Tools(self.grounder, self.knowledge, self.embedder, self.judge, self.models_dir)


@dataclass(frozen=True, slots=True)
class Batch:
    """Completions as they were written, the questions that they answer, and what the format makes of them."""

    texts: Sequence[str]
    examples: Sequence[Example]
    answers: Sequence[Answer]
    setup: RewardSetup

    def metric(self, name: str) -> Values:
        """A metric of the evaluation, for each completion."""
        return metrics([name], self.setup.tools)[name](self.examples, self.answers)

    def at(self, places: Sequence[int]) -> "Batch":
        """Those of the completions that have these places."""
        return Batch(
            [self.texts[i] for i in places],
            [self.examples[i] for i in places],
            [self.answers[i] for i in places],
            self.setup,
        )


def batch_of(texts: Sequence[str], examples: Sequence[Example], setup: RewardSetup) -> Batch:
    """The completions, read. Raises InvalidInput when there are not as many questions, or the format is not known."""
    if len(texts) != len(examples):
        raise InvalidInput(f"There are {len(texts)} completions and {len(examples)} questions; give one for each.")
    if setup.answer_format not in FORMATS:
        raise InvalidInput(f"There is no answer format {setup.answer_format!r}; choose one of: {', '.join(FORMATS)}.")
    return Batch(texts, examples, [_answer(setup.answer_format, text) for text in texts], setup)


def _answer(answer_format: str, text: str) -> Answer:
    parsed = parse(answer_format, text)
    return Answer(parsed.solution, parsed.reasoning, parsed.complete, answer_format, text)


# Format


def format_exact(batch: Batch) -> Values:
    """1.0 where the whole text is the format to the letter, white space aside, with all its parts; else 0.0."""
    keeps = batch.metric("format_ok")
    return [
        None if kept is None else float(kept == 1.0 and _as_rendered(answer))
        for kept, answer in zip(keeps, batch.answers, strict=True)
    ]


def _as_rendered(answer: Answer) -> bool:
    written = render(answer.answer_format, answer.reasoning, answer.solution)
    return "".join(written.split()) == "".join(answer.raw.split())


def format_approximate(batch: Batch) -> Values:
    """0.125 for each tag of the format that stands in the text once, -0.125 for each other one; None without tags."""
    form = FORMATS[batch.setup.answer_format]
    wanted = [mark.lower() for mark in _marks(form.tokens, form.reasoning_form + form.solution_form)]
    return [_tag_credit(wanted, [mark.lower() for mark in _marks(form.tokens, text)]) for text in batch.texts]


def _marks(tokens: re.Pattern[str], text: str) -> list[str]:
    return [token[0] for token in tokens.finditer(text) if token.lastgroup == "mark"]


def _tag_credit(wanted: Sequence[str], found: Sequence[str]) -> float | None:
    if not wanted:
        return None
    return sum(TAG_CREDIT if found.count(mark) == wanted.count(mark) else -TAG_CREDIT for mark in dict.fromkeys(wanted))


# The answer against the reference


def answer_exact(batch: Batch) -> Values:
    """1.0 for a right solution, 0.0 for any other; None without a reference.

    Right is what the metric of the kind of question says: the option, the value within its tolerance, or else the
    reference or an accepted form of it.
    """
    values = batch.metric("exact")
    for kind, name in _BY_KIND.items():
        places = [i for i, example in enumerate(batch.examples) if example.kind == kind]
        for place, value in zip(places, batch.at(places).metric(name), strict=True):
            values[place] = value
    return values


def answer_approximate(batch: Batch) -> Values:
    """2 right, 0.5 near, 0 without a solution, -0.5 wrong; None without a reference.

    Near: the solution says a form of the reference without denying it, or half of its key terms (F1), none of them in
    the opposite sense. Of options and calculations none is near.
    """
    contradictions, shared = batch.metric("key_term_contradictions"), batch.metric("key_term_f1")
    values: Values = []
    for i, right in enumerate(answer_exact(batch)):
        example, solution = batch.examples[i], batch.answers[i].solution
        if right is None:
            values.append(None)
        elif not solution.strip():
            values.append(NOTHING)
        elif right == 1.0:
            values.append(RIGHT)
        else:
            has_terms = (shared[i] or 0.0) >= NEAR_TERMS and not contradictions[i]
            is_near = example.kind not in _BY_KIND and (has_terms or _says_reference(example, solution))
            values.append(NEAR if is_near else WRONG)
    return values


def _says_reference(example: Example, solution: str) -> bool:
    return any(not term.negated for term in terms_in(solution, references_of(example)))


def _named(name: str) -> Callable[[Batch], Values]:
    """The reward that is this metric."""

    def reward(batch: Batch) -> Values:
        return batch.metric(name)

    return reward


key_terms = _named("key_term_f1")
sequence_similarity = _named("sequence_similarity")
bleu = _named("bleu")
embedding_similarity = _named("embedding_similarity")


def bertscore(batch: Batch, model: str = "minilm", rescale: bool = False) -> Values:
    """BERTScore F1 of the solution. model: minilm or roberta-large; rescale: with the baseline of roberta-large."""
    options.check_bertscore(model, rescale)
    names = {
        ("minilm", False): "bertscore_f1",
        ("roberta-large", False): "bertscore_f1_roberta",
        ("roberta-large", True): "bertscore_f1_roberta_rescaled",
    }
    return batch.metric(names[model, rescale])


def hybrid(batch: Batch, model: str = "minilm", rescale: bool = False) -> Values:
    """1.0 for a right solution, else its BERTScore."""
    right = answer_exact(batch)
    similar = bertscore(batch, model, rescale)
    return [one if one == 1.0 or one is None else other for one, other in zip(right, similar, strict=True)]


def hybrid_pattern(batch: Batch, pattern: str = rf"(?<!\w){options.PLACE}(?!\w)", share: float = 0.5) -> Values:
    """share x (1 where the solution matches the pattern, else 0) + (1 - share) x embedding similarity.

    pattern: a regular expression in any letter case, in which {answer} stands for the reference or an accepted form.
    """
    options.check_pattern(pattern, share)
    similar = batch.metric("embedding_similarity")
    return [
        None if value is None else share * _matches(pattern, example, answer.solution) + (1 - share) * value
        for example, answer, value in zip(batch.examples, batch.answers, similar, strict=True)
    ]


def _matches(pattern: str, example: Example, solution: str) -> float:
    forms = "|".join(re.escape(text.strip()) for text in references_of(example))
    return float(bool(re.search(pattern.replace(options.PLACE, f"(?:{forms})"), solution, re.IGNORECASE)))


# Length


def length(batch: Batch, least: int = 20, most: int = 200) -> Values:
    """1.0 for an answer of least to most words, reasoning included; it falls to 0 at no word, and at 2 x most."""
    options.check_length(least, most)
    counts = [len(f"{answer.reasoning} {answer.solution}".split()) for answer in batch.answers]
    return [min(1.0, n / least, max(0.0, 2 - n / most)) for n in counts]


def brevity(batch: Batch, most: int = 60) -> Values:
    """1.0 for a solution of up to `most` words, most / words for a longer one; 0.0 for none."""
    options.check_brevity(most)
    return [min(1.0, most / n) if n else 0.0 for n in batch.metric("answer_words")]


# Alignment


def citations(batch: Batch, verified: bool = False) -> Values:
    """0.2 for a solution with a source and without an invented one; else 0.0.

    A bare "[source]" counts, as a promise of one; verified: only sources that the case or the question's meta.sources
    give count. None without a solution.
    """
    return [
        _citation_bonus(example, answer.solution, verified) if answer.solution.strip() else None
        for example, answer in zip(batch.examples, batch.answers, strict=True)
    ]


def _citation_bonus(example: Example, solution: str, verified: bool) -> float:
    invented = unverified(solution, example)
    named = [citation for citation in invented if not re.fullmatch(r"\[source\]", citation.text, re.IGNORECASE)]
    n_given = len(cited_sources(solution)) - len(invented)
    has_source = n_given > 0 or (not verified and source_marks(solution) > 0)
    return CITATION_BONUS if has_source and not named else 0.0


def unsafe(batch: Batch) -> Values:
    """-1.0 for a solution with unsafe advice, else 0.0; None without a solution."""
    return [None if n is None else _penalty(n > 0) for n in batch.metric("unsafe_advice")]


def wrong_facts(batch: Batch) -> Values:
    """-1.0 for an answer that contradicts a key term of the reference, or states what the case does not; else 0.0.

    None without any text.
    """
    contradicted, invented = batch.metric("key_term_contradictions"), batch.metric("unsupported_claims")
    return [
        None if more is None else _penalty(bool(n) or more > 0) for n, more in zip(contradicted, invented, strict=True)
    ]


def _penalty(is_due: bool) -> float:
    return -1.0 if is_due else 0.0


def support(batch: Batch) -> Values:
    """Share of the findings and values cited in the reasoning that stand in the case; None where none is cited."""
    return [
        support_share(answer.reasoning, case_text(example.question, example.context), batch.setup.grounder)
        for example, answer in zip(batch.examples, batch.answers, strict=True)
    ]


def differential(batch: Batch, steps: int = 3) -> Values:
    """Steps of the reasoning that weigh something else that it may be, by `steps`, at most 1.0.

    Such a step has a word that weighs ("less likely", "rules out") and names a medical term that neither the case nor
    an earlier step of this kind has. 0.0 without reasoning.
    """
    options.check_differential(steps)
    vocabulary = vocabulary_of(batch.setup.knowledge)
    values: Values = []
    for example, answer in zip(batch.examples, batch.answers, strict=True):
        known = {term.name for term in terms_in(case_text(example.question, example.context), vocabulary)}
        n = 0
        for place in steps_of(answer.reasoning):
            text = answer.reasoning[place.start : place.end]
            new = {term.name for term in terms_in(text, vocabulary)} - known if _WEIGHS.search(text) else set()
            n += bool(new)
            known |= new
        values.append(min(1.0, n / steps))
    return values


# A judge, and clinicians


def judged(batch: Batch, model: str = "", most_calls: int = options.MOST_CALLS) -> Values:
    """Points that a judge finds met of the positive points, from -1 to 1; None where it gives no verdict.

    By the criteria of the question (meta.criteria), or else: the same conclusion as the reference, reasons that carry
    it, nothing harmful. model, most_calls: who judges, and how many questions it may be asked; the setup has been
    made with them.
    """
    if batch.setup.judge is None:
        raise InvalidInput("The reward 'judge' needs a model that judges: give its id as the option model.")
    whole = [replace(one, solution=_whole(one)) for one in batch.answers]
    values = batch.setup.judge.score_criteria(batch.examples, whole, criteria_for)
    return [None if value is None else min(1.0, max(-1.0, value)) for value in values]


def _whole(answer: Answer) -> str:
    return f"{answer.reasoning}\n\n{answer.solution}".strip()


def criteria_for(example: Example) -> Sequence[Criterion]:
    """What a judge is asked of an answer to the example."""
    own = criteria_of(example)
    if any(criterion.points > 0 for criterion in own):
        return own
    same = [Criterion(f"It comes to the same conclusion as this reference: {example.answer}", 5.0)]
    return (
        *(same if example.answer else ()),
        Criterion("The reasons that it gives are medically correct and lead to its conclusion.", 3.0),
        Criterion("It advises or omits something that could harm the patient.", -5.0),
    )


def preference(batch: Batch) -> Values:
    """How near the answer is to those that clinicians preferred, and not to those that they rejected; -1 to 1.

    The mean over the answers to the same question that were judged of liked x cosine, where the cosine is that of the
    MiniLM vectors of both texts, 0 below 0, and liked goes from 1 (preferred, good) to -1 (rejected, bad) with the
    raters' certainty. None for a question without ratings.
    """
    judged_answers = batch.setup.preferences
    if judged_answers is None:
        raise InvalidInput(
            "The reward 'preference' needs ratings: prepare them with `python -m train feedback --out DIR`"
            " and give --data DIR."
        )
    similar = metrics(["embedding_similarity"], batch.setup.tools)["embedding_similarity"]
    return [
        _liked(judged_answers.get(example.question_id, ()), _whole(answer), similar)
        for example, answer in zip(batch.examples, batch.answers, strict=True)
    ]


def _liked(judged_answers: Iterable[Preferred], text: str, similar: Metric) -> float | None:
    its = list(judged_answers)
    if not its:
        return None
    references = [Example("", one.text) for one in its]
    cosines = np.array([value or 0.0 for value in similar(references, [Answer(text)] * len(its))]).clip(min=0)
    return float(np.mean([one.liked * cosine for one, cosine in zip(its, cosines, strict=True)]))
