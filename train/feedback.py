"""Ratings to training data: rows for SFT, DPO, KTO and GRPO, and marked steps, behind one gate.

The rule: theta is the share of raters who would prefer an answer. It starts at Beta(1, 1); each vote for or against
adds its rater's weight to a side, a tie half of it to each. A row is made when P(theta > 1/2) reaches min_probability.
The weight of a rater is their agreement with the others, and 1 where that cannot be told. No answer is taught that
anybody marked as critical, found harmful or flagged; questions of evaluation suites are left out; a question is in
one split only. What was amended does not count any more.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from evaluation.agreement import MIN_SHARED, Disagreement, Rated, RaterAgreement, krippendorff_alpha
from medchat.errors import InvalidInput
from medchat.records import Example
from medchat.run_files import write_whole, writing
from medchat.store import Judgements, RatingRecord, Store
from medchat.store.judged import HeldBack
from train.feedback_rows import (
    Row,
    Sieve,
    answer_examples,
    label_rows,
    pair_rows,
    prompt_examples,
    step_rows,
    taught,
)
from train.feedback_votes import Gathered, agreements, gather, pair_ratings, vote_disagreement
from train.plan import each_row
from train.verdicts import axis_values

FILES = ("sft", "grpo", "dpo", "kto", "steps")
FEW_QUESTIONS = 10  # with fewer none validates: each is needed to learn from
N_SHOWN = 3


@dataclass(frozen=True, slots=True)
class FeedbackSettings:
    """min_probability: from which on a row is made. validation_share: of the questions.

    Raises InvalidInput when a value makes no sense.
    """

    min_probability: float = 0.7
    validation_share: float = 0.1
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0.5 < self.min_probability < 1:
            raise InvalidInput("The probability from which on a pair is used lies between 0.5 and 1, both excluded.")
        if not 0 <= self.validation_share <= 0.5:
            raise InvalidInput("The share of questions that validate lies between 0 and 0.5.")


@dataclass(frozen=True, slots=True)
class Feedback:
    """The rows of each file with their splits, and the report on them."""

    sft: tuple[Example, ...]
    grpo: tuple[Example, ...]
    dpo: tuple[Row, ...]
    kto: tuple[Row, ...]
    steps: tuple[Row, ...]
    report: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Preview:
    """What is shown before anything is trained on ratings.

    rows: file -> split -> number. pairs: up to three rows of dpo.jsonl, of different questions where there are as many.
    left_out: file -> reason -> number. agreement: "votes" and the axes of rubrics, each as an Alpha. raters: id ->
    their agreement, its n and their weight. disagreement: None where it cannot be measured. notes: lines for people.
    """

    rows: dict[str, dict[str, int]]
    pairs: tuple[Row, ...]
    left_out: dict[str, dict[str, int]]
    agreement: dict[str, dict[str, Any]]
    raters: dict[str, dict[str, Any]]
    disagreement: float | None
    notes: tuple[str, ...]


def collect(store: Store, held_out: Mapping[str, str], settings: FeedbackSettings = FeedbackSettings()) -> Feedback:
    """All rows that the store's ratings give. held_out: question id -> suite (suite_questions.suite_questions).

    The same store, suites and settings give the same rows.
    """
    judgements = store.judgements()
    gathered = gather(judgements)
    raters = agreements(gathered)
    weights = {name: its.agreement for name, its in raters.items() if its.agreement is not None}
    sieve = Sieve(gathered, weights, held_out, settings.min_probability)
    pairs, labels, steps = pair_rows(sieve), label_rows(sieve), step_rows(sieve)
    its, untaught = taught(sieve)
    questions = {row["question_id"] for made in (pairs, labels, steps) for row in made.rows}
    split = _splits(questions | {one.completion.question_id for one in its}, settings)
    disagree = vote_disagreement(gathered)
    left_out = {"sft": untaught, "dpo": pairs.left_out, "kto": labels.left_out, "steps": steps.left_out}
    report: dict[str, Any] = {
        "kind": "feedback",
        "settings": asdict(settings),
        "considered": _considered(judgements),
        "open_studies": judgements.held_back._asdict(),
        "left_out": {name: dict(sorted(reasons.items())) for name, reasons in left_out.items()},
        "suites": sorted(set(held_out.values())),
        "agreement": _agreement(gathered, judgements.ratings),
        "raters": {name: {**asdict(one), "weight": weights.get(name, 1.0)} for name, one in raters.items()},
        "disagreement": disagree.share,
        "disagreement_pairs": disagree.n,
        "notes": [*_open_notes(judgements.held_back), *_notes(split, disagree, raters)],
    }
    feedback = Feedback(
        sft=_examples_in(answer_examples(its), split),
        grpo=_examples_in(prompt_examples(its), split),
        dpo=_rows_in(pairs.rows, split),
        kto=_rows_in(labels.rows, split),
        steps=_rows_in(steps.rows, split),
        report=report,
    )
    report["rows"] = {name: _by_split(feedback, name) for name in FILES}
    report["sha256"] = {name: hashlib.sha256(_lines(feedback, name).encode()).hexdigest() for name in FILES}
    return feedback


def preview(feedback: Feedback) -> Preview:
    """What is to be shown of these rows before they are used."""
    by_question: dict[str, Row] = {}
    for row in feedback.dpo:
        by_question.setdefault(row["question_id"], row)
    others = [row for row in feedback.dpo if row is not by_question[row["question_id"]]]
    report = feedback.report
    return Preview(
        rows=report["rows"],
        pairs=tuple([*by_question.values(), *others][:N_SHOWN]),
        left_out={name: reasons for name, reasons in report["left_out"].items() if reasons},
        agreement=report["agreement"],
        raters=report["raters"],
        disagreement=report["disagreement"],
        notes=tuple(report["notes"]),
    )


def preview_of(folder: Path, report: dict[str, Any]) -> Preview:
    """The same of rows that were written there. Raises InvalidInput when their report is damaged."""
    try:
        rows = tuple(row for _, row in each_row("dpo", folder / "dpo.jsonl"))
        return preview(Feedback((), (), rows, (), (), report))
    except (KeyError, TypeError) as error:
        raise InvalidInput("report.json of this folder is damaged; take the ratings as they are now.") from error


def write(feedback: Feedback, folder: Path) -> None:
    """sft, grpo, dpo, kto and steps as .jsonl, and report.json; files of the same names give way to them.

    Raises RunError when the folder cannot be written.
    """
    with writing():
        folder.mkdir(parents=True, exist_ok=True)
        for name in FILES:
            write_whole(folder / f"{name}.jsonl", _lines(feedback, name))
        write_whole(folder / "report.json", json.dumps(feedback.report, ensure_ascii=False, indent=2) + "\n")


def _lines(feedback: Feedback, name: str) -> str:
    rows: Sequence[Example | Row] = getattr(feedback, name)
    texts = (row.to_json() if isinstance(row, Example) else json.dumps(row, ensure_ascii=False) for row in rows)
    return "".join(f"{text}\n" for text in texts)


def _splits(questions: set[str], settings: FeedbackSettings) -> dict[str, str]:
    """Question id -> split, by a hash of seed and question, so that it stays where it is when others come in."""
    if len(questions) < FEW_QUESTIONS:
        return dict.fromkeys(questions, "train")
    return {question: "validation" if _drawn(question, settings.seed) < settings.validation_share else "train"
            for question in questions}  # fmt: skip


def _drawn(question: str, seed: int) -> float:
    """A number in [0, 1) that only depends on these."""
    return int(hashlib.sha256(f"{seed} {question}".encode()).hexdigest()[:12], 16) / 16**12


def _examples_in(examples: Sequence[Example], split: Mapping[str, str]) -> tuple[Example, ...]:
    return tuple(replace(example, split=split[example.question_id]) for example in examples)


def _rows_in(rows: Sequence[Row], split: Mapping[str, str]) -> tuple[Row, ...]:
    return tuple({**row, "split": split[row["question_id"]]} for row in rows)


def _by_split(feedback: Feedback, name: str) -> dict[str, int]:
    rows: Sequence[Example | Row] = getattr(feedback, name)
    counts = Counter(row.split if isinstance(row, Example) else row["split"] for row in rows)
    return {split: counts[split] for split in ("train", "validation")}


def _considered(judgements: Judgements) -> dict[str, int]:
    raters = {one.rater for one in judgements.ratings} | {one.rater for one in judgements.votes}
    return {"ratings": len(judgements.ratings), "votes": len(judgements.votes), "raters": len(raters)}


def _agreement(gathered: Gathered, ratings: Sequence[RatingRecord]) -> dict[str, dict[str, Any]]:
    """Krippendorff's alpha of the votes on pairs, and of each axis of each rubric that has a direction."""
    by_axis: dict[str, dict[tuple[str, str], Rated]] = {}
    for rating in ratings:
        form = rating.form
        for axis, value in axis_values(form).items():
            name = f"{form.rubric_id}/{form.rubric_version}/{axis}"
            by_axis.setdefault(name, {})[rating.answer_id, rating.rater] = Rated(rating.answer_id, rating.rater, value)
    axes = {name: asdict(krippendorff_alpha(its.values(), "ordinal")) for name, its in sorted(by_axis.items())}
    return {"votes": asdict(krippendorff_alpha(pair_ratings(gathered), "ordinal")), **axes}


def _open_notes(held: HeldBack) -> list[str]:
    if not held.studies:
        return []
    studies = "a study that is" if held.studies == 1 else f"{held.studies} studies that are"
    return [
        f"{held.ratings} ratings and {held.votes} votes are left out: they belong to {studies} still open. They count"
        " once it is closed, or its investigator allows training on it."
    ]


def _notes(split: Mapping[str, str], disagree: Disagreement, raters: Mapping[str, RaterAgreement]) -> list[str]:
    notes = []
    if split and len(split) < FEW_QUESTIONS:
        notes.append(f"With fewer than {FEW_QUESTIONS} questions all of them are trained on, and none validates.")
    if disagree.share is None:
        notes.append(
            f"How often raters disagree cannot be measured: they judged the same pair {disagree.n} times, and"
            f" {MIN_SHARED} are needed."
        )
    if raters and all(one.agreement is None for one in raters.values()):
        notes.append("Every rater counts the same: too little was judged by several of them to tell who agrees.")
    return notes


__all__ = ["FILES", "Feedback", "FeedbackSettings", "Preview", "collect", "preview", "preview_of", "write"]
