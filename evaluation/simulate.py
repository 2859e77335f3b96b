"""A reader study that nobody took part in: judgements drawn from known strengths, with known bias and noise.

What is known can be found again, which is how the statistics are checked; the bundled example study is made of it too.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Literal, NamedTuple

import numpy as np

from evaluation.human_axes import AxisInfo, axes_of, is_good
from evaluation.human_data import AnswerText, FlowRow, HumanData, HumanRating, HumanVote, StudyFacts, Vote
from medchat.errors import InvalidInput
from medchat.rubrics import PAIRWISE_RUBRIC, load_rubrics, shown

RUBRIC = "clinical-3"
TIE = 0.5  # in log odds: how near two answers are that mostly tie
PER_LOG_ODDS = 0.8  # points of a scale from 1 to 5
MIDDLE = 3.7
STARTED = datetime(2026, 3, 2, 8, tzinfo=UTC)
DAYS = 42
REPEATS_LATER_DAYS = 14
CORRECTED_BELOW = 2.5  # points: an answer that is corrected by its rater
CALIBRATION = 10
BAD_BELOW = 3.0  # points of both: a tie says that they are bad
CORRECTION = "Names another condition: {}."
Tasks = Literal["rate", "pairwise", "both"]
# A metric, how far it follows the quality of an answer, and its noise.
_METRICS = (("embedding_similarity", 1.0, 0.6), ("bertscore_f1", 0.8, 0.7), ("rouge_l", 0.4, 0.9))


@dataclass(frozen=True, slots=True)
class Reader:
    """A rater who is made up. severity: points of a scale that they give less than others. noise: standard deviation of
    theirs in points, and the scale of their votes' logistic noise. left, longer: what they add to the left answer,
    and to one twice as long, in log odds. straight: they give everything a 4 and hardly look.
    """

    severity: float = 0.0
    noise: float = 0.7
    left: float = 0.0
    longer: float = 0.0
    group: str = ""
    straight: bool = False


class Case(NamedTuple):
    """A question: what is right, what would be wrong, and the steps of a reasoning towards the answer."""

    id: str
    question: str
    specialty: str = ""
    right: str = "right"
    wrong: str = "wrong"
    steps: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class _Truth:
    """What an answer is: its quality in log odds, which is its model's strength with what is its own."""

    id: str
    case: Case
    model: str
    quality: float
    words: int
    markdown: int
    wrong_steps: frozenset[int]

    @property
    def points(self) -> float:
        """Where it stands on a scale from 1 to 5, before anybody's noise."""
        return MIDDLE + PER_LOG_ODDS * self.quality

    @property
    def solution(self) -> str:
        named = self.case.right if self.points >= CORRECTED_BELOW else self.case.wrong
        return f"Most likely: {named}."


@dataclass
class _Made:
    ratings: list[HumanRating] = field(default_factory=list)
    votes: list[HumanVote] = field(default_factory=list)


def simulate(
    models: Sequence[str],
    readers: Sequence[Reader],
    cases: Sequence[Case],
    strengths: Sequence[float],
    seed: int = 0,
    *,
    tasks: Tasks = "both",
    raters_per_item: int = 3,
    repeat_share: float = 0.1,
    answer_spread: float = 0.5,
    words: Sequence[int] = (),
    title: str = "Simulated study",
) -> HumanData:
    """A study with these models, of these strengths in log odds, and these raters.

    Every answer is rated, and each case's models are paired off at random and voted on, by `raters_per_item` of the
    raters; in "both" by two halves of them, so that nobody votes on what they rate. answer_spread: standard deviation
    of an answer's quality around its model's strength, which all raters see alike: raters of one case are no news to
    each other. words: usual length of each model's answers. The vote is that of Rao and Kupper: the better answer by
    logistic noise, a tie within TIE log odds. Raises InvalidInput where there are too few raters.
    """
    halves = 2 if tasks == "both" else 1
    if len(readers) < halves * raters_per_item:
        raise InvalidInput(f"{raters_per_item} raters an item take {halves * raters_per_item} raters; add some.")
    if len(strengths) != len(models):
        raise InvalidInput("Give one strength for each model.")
    rng = np.random.default_rng(seed)
    lengths = tuple(words) or (90,) * len(models)
    truths = [
        [_truth(f"m{m}", case, strengths[m], lengths[m], answer_spread, rng) for m in range(len(models))]
        for case in cases
    ]
    made = _Made()
    names = {f"r{n + 1:02d}": reader for n, reader in enumerate(readers)}
    for its_truths in truths:
        order = [str(name) for name in rng.permutation(list(names))]
        half = len(order) // 2 if tasks == "both" else len(order)
        if tasks != "pairwise":
            _rate_case(made, its_truths, order[:half], names, raters_per_item, repeat_share, rng)
        if tasks != "rate":
            _vote_case(made, its_truths, order[-half:], names, raters_per_item, repeat_share, rng)
    return _data(made, truths, models, names, seed, raters_per_item, repeat_share, tasks, title, rng)


def _truth(
    model: str, case: Case, strength: float, words: int, spread: float, rng: np.random.Generator
) -> _Truth:  # fmt: skip
    quality = strength + spread * float(rng.normal())
    risk = 1 / (1 + np.exp(1.5 * quality + 1.5))
    wrong = frozenset(n for n in range(1, len(case.steps) + 1) if rng.random() < risk)
    its_words = max(12, round(words * float(np.exp(0.25 * rng.normal()))))
    return _Truth(f"{case.id}/{model}", case, model, quality, its_words, int(rng.poisson(words / 40)), wrong)


def _rate_case(
    made: _Made, truths: Sequence[_Truth], raters: Sequence[str], readers: Mapping[str, Reader], k: int,
    repeat_share: float, rng: np.random.Generator,
) -> None:  # fmt: skip
    for truth in truths:
        for rater in rng.permutation(list(raters))[:k]:
            first = _rating(truth, str(rater), readers[str(rater)], len(made.ratings), "", rng)
            made.ratings.append(first)
            if rng.random() < repeat_share:
                made.ratings.append(_rating(truth, str(rater), readers[str(rater)], len(made.ratings), first.id, rng))


def _vote_case(
    made: _Made, truths: Sequence[_Truth], raters: Sequence[str], readers: Mapping[str, Reader], k: int,
    repeat_share: float, rng: np.random.Generator,
) -> None:  # fmt: skip
    order = rng.permutation(len(truths))
    for a, b in zip(order[0::2], order[1::2], strict=False):  # disjoint: nobody sees an answer twice
        for rater in rng.permutation(list(raters))[:k]:
            sides = (truths[a], truths[b]) if rng.random() < 0.5 else (truths[b], truths[a])
            first = _vote(sides, str(rater), readers[str(rater)], len(made.votes), "", rng)
            made.votes.append(first)
            if rng.random() < repeat_share:
                again = (sides[1], sides[0])
                made.votes.append(_vote(again, str(rater), readers[str(rater)], len(made.votes), first.id, rng))


def _rating(
    truth: _Truth, rater: str, reader: Reader, number: int, repeat_of: str, rng: np.random.Generator
) -> HumanRating:
    seen = truth.points - reader.severity

    def scale(shift: float = 0.0) -> float:
        return 4.0 if reader.straight else float(np.clip(round(seen + shift + reader.noise * rng.normal()), 1, 5))

    blank = HumanRating(
        f"rating-{number}", truth.id, truth.case.id, truth.model, rater, reader.group, truth.case.specialty,
        _moment(rng, repeat_of), {}, repeat_of=repeat_of, seconds=_seconds(truth, reader, rng),
    )  # fmt: skip
    if not reader.straight and rng.random() < 0.015:
        return replace(blank, cannot_rate="Outside my field.")
    scores: dict[str, float | None] = {
        "factual_correctness": scale(), "reasoning_clarity": scale(0.2), "safety": scale(0.4), "completeness": scale(),
        "verbosity": float(np.clip(round(1 + (truth.words - 90) / 60 + 0.3 * rng.normal()), 0, 2)),
    }  # fmt: skip
    safety = scores["safety"] or 0.0
    extent = "severe" if safety <= 1 else "moderate" if safety <= 2 else "none"
    likely = ("low", "medium", "high")[int(rng.choice(3, p=(0.2, 0.5, 0.3) if safety <= 1 else (0.5, 0.4, 0.1)))]
    critical = safety <= 1 and bool(rng.random() < 0.5)
    corrected = truth.points < CORRECTED_BELOW and not reader.straight and rng.random() < 0.3
    marks = tuple(_mark(n in truth.wrong_steps, reader, rng) for n in range(1, len(truth.case.steps) + 1))
    return replace(
        blank,
        scores=scores,
        harm_extent=extent,
        harm_likelihood="low" if extent == "none" else likely,
        critical=critical,
        good=is_good(RUBRIC, scores, critical=critical),
        step_marks=marks,
        first_wrong_step=next((n for n, mark in enumerate(marks, 1) if mark < 0), None),
        correction=f"Most likely: {truth.case.right}." if corrected else "",
        comment=CORRECTION.format(truth.case.right) if corrected else "",
    )


def _mark(is_wrong: bool, reader: Reader, rng: np.random.Generator) -> int:
    if reader.straight:
        return 1
    seen = is_wrong != (rng.random() < 0.08 * reader.noise)
    return -1 if seen else 0 if rng.random() < 0.08 else 1


def _vote(
    sides: tuple[_Truth, _Truth], rater: str, reader: Reader, number: int, repeat_of: str, rng: np.random.Generator
) -> HumanVote:
    left, right = sides
    lean = reader.left + reader.longer * float(np.log2(left.words / right.words))
    gap = 0.0 if reader.straight else left.quality - right.quality

    def side(reverse: bool = False) -> Literal["a", "b", "tie"]:
        drawn = (-gap if reverse else gap) + lean + reader.noise * float(rng.logistic())
        return "tie" if abs(drawn) < TIE else "a" if drawn > 0 else "b"

    chosen: Vote = side()
    if chosen == "tie" and max(left.points, right.points) < BAD_BELOW:
        chosen = "both_bad"
    axes = {axis.id: side(axis.reverse) for axis in _asked(PAIRWISE_RUBRIC)[1]}
    return HumanVote(
        f"vote-{number}", (left.id, right.id), left.case.id, (left.model, right.model), rater, reader.group,
        left.case.specialty, _moment(rng, repeat_of), chosen, axes, _seconds(left, reader, rng), repeat_of,
        (left.words, right.words), (left.markdown, right.markdown),
    )  # fmt: skip


def _moment(rng: np.random.Generator, repeat_of: str) -> datetime:
    later = REPEATS_LATER_DAYS if repeat_of else 0
    return STARTED + timedelta(days=float(rng.uniform(0, DAYS - REPEATS_LATER_DAYS)) + later)


def _seconds(truth: _Truth, reader: Reader, rng: np.random.Generator) -> float:
    return 6.0 if reader.straight else round(float((30 + truth.words / 3) * np.exp(0.4 * rng.normal())), 1)


def _answer_text(truth: _Truth) -> AnswerText:
    case = truth.case
    steps = [f"{n}. {step}" if n not in truth.wrong_steps else f"{n}. This speaks for {case.wrong}."
             for n, step in enumerate(case.steps, 1)]  # fmt: skip
    solution = f"{truth.solution} (A made-up answer of {truth.words} words.)"
    return AnswerText(case.id, case.question, "", "\n".join(steps), solution, truth.model, case.specialty)


def _automatic(truth: _Truth, rng: np.random.Generator) -> dict[str, float | None]:
    """Metrics that follow the answer's quality as loosely as such metrics do."""
    values: dict[str, float | None] = {"diagnosis_strict": float(truth.points >= CORRECTED_BELOW)}
    for name, follows, noise in _METRICS:
        values[name] = 1 / (1 + float(np.exp(-0.6 * follows * truth.quality - noise * rng.normal())))
    return values


def _data(
    made: _Made, truths: Sequence[Sequence[_Truth]], models: Sequence[str], readers: Mapping[str, Reader], seed: int,
    k: int, repeat_share: float, tasks: Tasks, title: str, rng: np.random.Generator,
) -> HumanData:  # fmt: skip
    flat = [truth for its in truths for truth in its]
    cases = [its[0].case for its in truths]
    specialties = [case.specialty for case in cases]
    rubrics = {"rate": (RUBRIC,), "pairwise": (PAIRWISE_RUBRIC,), "both": (RUBRIC, PAIRWISE_RUBRIC)}[tasks]
    facts = StudyFacts(
        status="closed",
        design={
            "models": list(models), "tasks": tasks, "raters_per_item": k, "repeat_share": repeat_share,
            "calibration": CALIBRATION, "pass_share": 0.0, "min_seconds": 0.0,
        },
        rubrics=tuple(_asked(name)[0] for name in rubrics),
        seed=seed,
        questions=len(cases),
        specialties={name: specialties.count(name) for name in dict.fromkeys(specialties)},
        joined=len(readers),
        raters=len(readers),
        dropped_out=0,
        dropped_out_raters=0,
        consented=len(readers),
        flow=tuple(row for row in (_flow("rate", made.ratings), _flow("pair", made.votes)) if row.dealt),
        opened_at=STARTED,
        closed_at=STARTED + timedelta(days=DAYS),
    )  # fmt: skip
    return HumanData(
        title=title, study_id="", simulated=True,
        ratings=sorted(made.ratings, key=lambda its: its.at), votes=sorted(made.votes, key=lambda its: its.at),
        axes=tuple(axis for name in rubrics for axis in _asked(name)[1]),
        models={f"m{n}": name for n, name in enumerate(models)},
        raters={rater: f"Rater {n}" for n, rater in enumerate(readers, 1)},
        answers={truth.id: _answer_text(truth) for truth in flat},
        automatic={truth.id: _automatic(truth, rng) for truth in flat} if tasks != "pairwise" else {},
        calibration={rater: (4 if reader.straight else 9, CALIBRATION) for rater, reader in readers.items()},
        facts=facts,
    )  # fmt: skip


def _flow(kind: str, judged: Sequence[HumanRating | HumanVote]) -> FlowRow:
    cannot = sum(isinstance(one, HumanRating) and bool(one.cannot_rate) for one in judged)
    repeats = sum(bool(one.repeat_of) for one in judged)
    n = len(judged)
    return FlowRow(kind, n, n - cannot, cannot, 0, 0, repeats, asked=n - repeats)


@cache
def _asked(rubric_id: str) -> tuple[str, tuple[AxisInfo, ...]]:
    """Title and axes of a shipped rubric."""
    rubric = load_rubrics()[rubric_id]
    return f"{rubric.title} (version {rubric.version})", tuple(axes_of(shown(rubric)))
