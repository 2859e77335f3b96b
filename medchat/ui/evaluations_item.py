"""One question with the answers to it: reasoning apart from solution, every score, and the key terms marked."""

from collections.abc import Mapping, Sequence
from math import exp
from typing import Literal, NamedTuple

from evaluation.judge_agreement import verdicts_of
from evaluation.metric_table import METRICS
from evaluation.predictions import Prediction
from evaluation.report_words import directed, said, unit_of
from evaluation.terms import KeyTerms, compared, key_terms_of, terms_in
from evaluation.unsafe import find_unsafe
from evaluation.unscored import why_unscored
from evaluation.vocabulary import vocabulary_of
from medchat.knowledge import Knowledge
from medchat.records import Example, ExampleKind
from medchat.ui.common import escape
from medchat.ui.evaluations_data import verdict_of
from medchat.ui.evaluations_items import SIGNS
from medchat.ui.transcript import prose

LONG_CHARS = 3000

TermKind = Literal["matched", "missed", "contradicted", "added"]
TERMS: Mapping[TermKind, tuple[str, str]] = {
    "matched": ("✓", "in both, in the same sense"),
    "contradicted": ("✕", "affirmed by one and denied by the other"),
    "missed": ("○", "only in the reference"),
    "added": ("+", "only in the answer"),
}
MET = {True: "Met:", False: "Not met:", None: "No verdict:"}
FINISHES = {"length": "reached the limit on its length", "cancelled": "cancelled"}


class _Place(NamedTuple):
    start: int
    end: int
    kind: TermKind


def item_html(metric: str, answers: Mapping[str, Prediction], knowledge: Knowledge) -> str:
    """The question and the answers, by what their models are called. metric: by which they are right or wrong."""
    first = next(iter(answers.values()))
    example = example_of(first)
    columns = "".join(_answer(label, its, metric, example, knowledge) for label, its in answers.items())
    groups = ", ".join(f"{name}: {value}" for name, value in first.groups.items())
    return (
        f'<p class="mc-small">{escape(" · ".join(filter(None, (first.id, groups))))}</p>'
        f"<h4>Question</h4>{_context(first.context)}{_text(first.question, 'Question')}{_options(first, answers)}"
        f"{_reference(first, example, answers, knowledge)}"
        f'<div class="mc-answers">{columns}</div>{_scores(answers)}'
    )


def example_of(its: Prediction) -> Example:
    """The example that was answered, as far as the prediction tells."""
    kind: ExampleKind = its.kind if its.kind in ("free", "mcq", "calc", "diagnosis") else "free"  # type: ignore[assignment]
    condition = {"condition": None} if its.groups.get("knowledge") == "unknown" else {}
    return Example(
        its.question, its.reference, its.id, kind, its.context, its.options, tuple(its.accepted),
        key_terms=tuple(its.key_terms), meta=condition,
    )  # fmt: skip


def _context(context: str) -> str:
    if not context.strip():
        return ""
    return f'<p class="mc-small">Context</p>{_text(context, "Context")}'


def _text(text: str, label: str, inner: str = "") -> str:
    """A text as it was written; a long one scrolls by itself."""
    scrolls = f' mc-long" tabindex="0" role="region" aria-label="{label}' if len(text) > LONG_CHARS else ""
    return f'<div class="mc-written{scrolls}" dir="auto">{inner or escape(text)}</div>'


def _options(first: Prediction, answers: Mapping[str, Prediction]) -> str:
    if not first.options:
        return ""
    likely = {label: _likelihoods(its.option_logprobs) for label, its in answers.items()}
    rows = []
    for letter, text in first.options.items():
        notes = ["right"] if letter == first.reference else []
        notes += [f"chosen by {label}" for label, its in answers.items() if its.choice == letter]
        notes += [f"{label}: {100 * its[letter]:.0f} % likely" for label, its in likely.items() if letter in its]
        look = " mc-right-option" if letter == first.reference else ""
        told = f' <span class="mc-small">({escape("; ".join(notes))})</span>' if notes else ""
        rows.append(f'<li class="mc-letter-option{look}"><strong>{escape(letter)}.</strong> {escape(text)}{told}</li>')
    return f'<ul class="mc-letter-options" aria-label="Options">{"".join(rows)}</ul>'


def _likelihoods(logprobs: Mapping[str, float] | None) -> dict[str, float]:
    """The probability of each option among the options."""
    if not logprobs:
        return {}
    highest = max(logprobs.values())
    weights = {letter: exp(value - highest) for letter, value in logprobs.items()}
    return {letter: weight / sum(weights.values()) for letter, weight in weights.items()}


def _reference(first: Prediction, example: Example, answers: Mapping[str, Prediction], knowledge: Knowledge) -> str:
    if first.reference is None:
        return '<h4>Reference</h4><p class="mc-small">There is none.</p>'
    if example.options and first.reference in example.options:
        return ""
    accepted = f'<p class="mc-small">Accepted too: {escape("; ".join(first.accepted))}</p>' if first.accepted else ""
    marked = escape(first.reference)
    if len(answers) == 1:  # what is missed is another thing for each answer
        marked = _marked(first.reference, _places(first.reference, example, next(iter(answers.values())), knowledge))
    return f"<h4>Reference</h4>{_text(first.reference, 'Reference', marked)}{accepted}"


def _answer(label: str, its: Prediction, metric: str, example: Example, knowledge: Knowledge) -> str:
    verdict = verdict_of(metric, its.scores.get(metric))
    sign = f'<span class="mc-verdict-sign mc-{verdict}"><span aria-hidden="true">{SIGNS[verdict]}</span></span>'
    facts = [its.outcome, FINISHES.get(its.finish_reason, ""), "" if its.complete else "not complete"]
    told = "; ".join(dict.fromkeys(fact for fact in facts if fact and fact != verdict))
    fault = f'<p class="mc-fault">{escape(its.fault)}</p>' if its.fault else ""
    reasoning = ""
    if its.reasoning.strip():
        reasoning = (
            f'<details class="mc-answer-reasoning" open data-key="reasoning-{escape(label)}">'
            f"<summary>Reasoning</summary>{prose(its.reasoning)}</details>"
        )
    return (
        f'<article class="mc-answer" aria-label="{escape(label)}"><h4>{escape(label)}</h4>'
        f'<p class="mc-small">{sign} {verdict}{"; " if told else ""}{escape(told)}</p>{fault}{reasoning}'
        f"{_solution(its, example, knowledge)}{_unsafe(its, example)}{_terms(its, example, knowledge)}{_verdicts(its)}"
        "</article>"
    )


def _solution(its: Prediction, example: Example, knowledge: Knowledge) -> str:
    if its.solution.strip():
        marked = _marked(its.solution, _places(its.solution, example, its, knowledge))
        written = _text(its.solution, "Solution", marked)
        return f'<div class="mc-solution"><span class="mc-tag">Solution</span>{written}</div>'
    if its.choice and not its.raw:
        return '<p class="mc-small">Asked by likelihood alone: it chose an option and wrote nothing.</p>'
    as_written = f"{_text(its.raw, 'As it was written')}" if its.raw.strip() and not its.reasoning.strip() else ""
    return f'<p class="mc-small">It gave no solution.</p>{as_written}'


def _unsafe(its: Prediction, example: Example) -> str:
    """The passages that rules of safety find."""
    if not its.scores.get("unsafe_advice"):
        return ""
    items = "".join(
        f"<li>“{escape(its.solution[flag.start : flag.end].strip())}”: {escape(flag.why)}</li>"
        for flag in find_unsafe(its.solution, example)
    )
    return f'<div class="mc-unsafe"><p class="mc-small">Unsafe advice</p><ul>{items}</ul></div>' if items else ""


def _terms(its: Prediction, example: Example, knowledge: Knowledge) -> str:
    """The key terms of reference and solution by how they compare, with what the marks mean."""
    found = compared(example, its.solution, vocabulary_of(knowledge))
    if found is None:
        return ""
    items = "".join(
        f'<li><span class="mc-term mc-{kind}">{TERMS[kind][0]} {kind}</span> {escape(", ".join(sorted(its_names)))} '
        f'<span class="mc-small">({TERMS[kind][1]})</span></li>'
        for kind, its_names in _by_kind(found).items()
        if its_names
    )
    return f'<div class="mc-terms"><p class="mc-small">Key terms</p><ul>{items}</ul></div>' if items else ""


def _by_kind(found: KeyTerms) -> dict[TermKind, frozenset[str]]:
    return {
        "matched": found.matched, "contradicted": found.contradicted, "missed": found.missed, "added": found.added,
    }  # fmt: skip


def _places(text: str, example: Example, its: Prediction, knowledge: Knowledge) -> list[_Place]:
    """Where the text, reference or solution, says the key terms, and how each compares."""
    vocabulary = vocabulary_of(knowledge)
    found = compared(example, its.solution, vocabulary)
    if found is None:
        return []
    readable, _ = key_terms_of(example, vocabulary)
    kinds = {name: kind for kind, names in _by_kind(found).items() for name in names}
    return [_Place(term.start, term.end, kinds[term.name]) for term in terms_in(text, readable) if term.name in kinds]


def _marked(text: str, places: Sequence[_Place]) -> str:
    """The text with its terms marked, by a sign and a line of their own, and in words for screen readers."""
    parts, at = [], 0
    for place in places:
        if place.start < at:
            continue
        sign, meaning = TERMS[place.kind]
        parts.append(escape(text[at : place.start]))
        parts.append(
            f'<mark class="mc-term mc-{place.kind}" title="{place.kind}: {meaning}">'
            f'<span aria-hidden="true">{sign} </span>{escape(text[place.start : place.end])}'
            f'<span class="mc-vh"> ({place.kind})</span></mark>'
        )
        at = place.end
    return "".join([*parts, escape(text[at:])])


def _scores(answers: Mapping[str, Prediction]) -> str:
    """Every score of every answer; what each says is folded away."""
    names = dict.fromkeys(name for its in answers.values() for name in its.scores)
    head = "".join(f'<th scope="col">{escape(label)}</th>' for label in answers)
    rows = "".join(
        f'<tr><th scope="row">{escape(directed(name))}</th>'
        + "".join(f'<td data-label="{escape(label)}">{_score(name, its)}</td>' for label, its in answers.items())
        + "</tr>"
        for name in names
    )
    about = "".join(
        f"<dt>{escape(METRICS[name].title)}</dt><dd>{escape(METRICS[name].about)}</dd>"
        for name in names
        if name in METRICS
    )
    return (
        '<h4>Scores</h4><div class="mc-scroll" tabindex="0" role="region" aria-label="Scores">'
        '<table class="mc-table mc-narrow"><caption class="mc-vh">Scores</caption>'
        f'<thead><tr><th scope="col">Metric</th>{head}</tr></thead><tbody>{rows}</tbody></table></div>'
        '<details class="mc-more-metrics" data-key="about"><summary>What the metrics say</summary>'
        f'<dl class="mc-about">{about}</dl></details>'
    )


def _score(metric: str, its: Prediction) -> str:
    """The value, or why there is none; HTML."""
    value = its.scores.get(metric)
    if value is None:
        return f'unscored <span class="mc-small">({escape(why_unscored(its, metric))})</span>'
    counts = unit_of(metric) == "number" and value == int(value)
    return f"{value:,.0f}" if counts else said(metric, value)


def _verdicts(its: Prediction) -> str:
    """What a judge said of the answer, criterion by criterion."""
    rows = [
        (verdict, str(judged.get("judge", "")))
        for metric, judged in its.judged.items()
        for verdict in verdicts_of(its, metric)
    ]
    items = "".join(
        f"<li><strong>{MET[verdict.met]}</strong> {escape(verdict.criterion)} "
        f'<span class="mc-small">({verdict.points:g} points, judged by {escape(judge)})</span></li>'
        for verdict, judge in rows
    )
    return f'<div class="mc-terms"><p class="mc-small">Criteria</p><ul>{items}</ul></div>' if items else ""
