"""Who judged the answers of a run, what became of the questions to the judge, and how far it agrees with clinicians."""

from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from evaluation.judge import JudgeCounts, Verdict, share_of_points
from evaluation.kappa import cohen_of
from evaluation.people import People, newest_forms
from evaluation.predictions import Prediction
from evaluation.stats import wilson
from medchat.store import RatingForm

MIN_ITEMS = 30  # below it the agreement counts as not shown
# What a judge goes by, for each metric of evaluation.judge.
RUBRICS: Mapping[str, str] = {
    "healthbench": "the criteria of each question",
    "must_have": "the necessary statements of each question",
    "nice_to_have": "the desirable statements of each question",
}
SCALE, CORRECTNESS, CORRECT = "clinical-3", "factual_correctness", 4  # from where on a clinician finds an answer right
BY_CORRECTNESS = ("healthbench", "must_have")  # metrics of which a half is an answer that the judge finds right
HALF = 0.5
CRITERIA = "marks on the same criteria"
SCALED = f"factual correctness of {CORRECT} or 5 against a score of {HALF} or more"


@dataclass(frozen=True, slots=True)
class JudgeAgreement:
    """n: items that both judged. n_unscored: rated ones without a verdict of the judge.

    agreement: the mean over items of the share of its clinicians that said the same, with its 95 % interval
    (Wilson over items). kappa: Cohen's, over all pairs of verdict and rating; None where chance alone explains all.
    """

    n: int
    n_unscored: int = 0
    agreement: float | None = None
    low: float | None = None
    high: float | None = None
    kappa: float | None = None

    @property
    def is_shown(self) -> bool:
        """Whether enough items were compared for a score of the judge to be used."""
        return self.n >= MIN_ITEMS and self.agreement is not None

    @property
    def label(self) -> str:
        """In words, to stand beside a score."""
        if not self.is_shown or self.agreement is None or self.low is None or self.high is None:
            return f"not shown to agree with clinicians (n = {self.n})"
        kappa = "not defined" if self.kappa is None else f"{self.kappa:.2f}"
        return (
            f"agrees with clinicians in {self.agreement:.0%} ({self.low:.0%} to {self.high:.0%}), kappa {kappa},"
            f" n = {self.n}"
        )


def judge_agreement(verdicts: Mapping[str, Hashable | None], ratings: Iterable[tuple[str, Hashable]]) -> JudgeAgreement:
    """The agreement of the judge's verdicts with clinicians' ratings of the same items.

    verdicts: item -> what the judge said (True, "a", ...), None for no verdict. ratings: item and what one clinician
    said of it, in the same values; an item may have several. The item is an answer, an answer with a criterion, or a
    comparison: whatever both were asked.
    """
    by_item: dict[str, list[Hashable]] = {}
    for item, value in ratings:
        if item in verdicts:
            by_item.setdefault(item, []).append(value)
    judged = {item: values for item, values in by_item.items() if verdicts[item] is not None}
    shares = [sum(value == verdicts[item] for value in values) / len(values) for item, values in judged.items()]
    n_unscored = len(by_item) - len(judged)
    if not shares:
        return JudgeAgreement(0, n_unscored)
    low, high = wilson(sum(shares), len(shares))
    pairs = [(verdicts[item], value) for item, values in judged.items() for value in values]
    return JudgeAgreement(len(shares), n_unscored, sum(shares) / len(shares), low, high, cohen_of(pairs))


# Judges of runs


@dataclass(frozen=True, slots=True)
class JudgeNote:
    """What stands beside each score of a judge. judge: its id. rubric: what it went by.

    counts: of the questions about one model's answers. agreement: over all answers to the suite; basis: which ratings
    it was measured by, "" for none.
    """

    judge: str
    rubric: str
    counts: JudgeCounts
    agreement: JudgeAgreement
    basis: str = ""

    @property
    def label(self) -> str:
        """In words: who judged, by what, and whether its agreement with clinicians was shown."""
        basis = f", by {self.basis}" if self.basis else ""
        return f"judged by {self.judge} with {self.rubric}: {self.agreement.label}{basis}"

    @property
    def counted(self) -> str:
        """In words: what became of the questions to the judge."""
        its = self.counts
        n = its.asked + its.cached + its.over_cap + its.too_long
        return (
            f"{n} questions to the judge: {its.asked} asked, {its.cached} answered before; {its.unparsable} replies"
            f" unparsable, {its.over_cap} over the cap, {its.too_long} too long"
        )

    def row(self) -> dict[str, Any]:
        """As summary.json has it."""
        agreement = {**asdict(self.agreement), "is_shown": self.agreement.is_shown, "basis": self.basis}
        return {"model": self.judge, "rubric": self.rubric, "label": self.label, "counts": asdict(self.counts),
                "counted": self.counted, "agreement": agreement}  # fmt: skip


Items = dict[str, tuple[bool | None, list[bool]]]  # item -> what the judge said of it, and what clinicians said


@dataclass(slots=True)
class Judged:
    """The verdicts on one model's answers by one metric, and what people said of those that they rated.

    by_criterion: of each criterion of an answer that somebody marked. by_scale: of each answer that has a scale.
    """

    metric: str
    judge: str
    counts: JudgeCounts = field(default_factory=JudgeCounts)
    by_criterion: Items = field(default_factory=dict)
    by_scale: Items = field(default_factory=dict)

    def add(self, prediction: Prediction, people: People | None) -> None:
        """Take in the verdicts on one answer, with the ratings of it."""
        verdicts = verdicts_of(prediction, self.metric)
        for verdict in verdicts:
            self.counts.add(verdict.fate, was_read=verdict.met is not None)
        forms = newest_forms(people.on(prediction)) if people else []
        answer = f"{prediction.question_id}|{' '.join(prediction.solution.split())}"
        for verdict in verdicts:
            marks = [met for form in forms for text, met in _marks(form) if text == verdict.criterion]
            if marks:
                self.by_criterion[f"{answer}|{verdict.criterion}"] = verdict.met, marks
        found_correct = [its for form in forms if (its := _found_correct(form)) is not None]
        if found_correct and self.metric in BY_CORRECTNESS:
            score = share_of_points(verdicts)
            self.by_scale[answer] = None if score is None else score >= HALF, found_correct


def judged_by(predictions: Iterable[Prediction], people: People | None) -> dict[str, Judged]:
    """By metric what a judge said of these answers; nothing where none was judged."""
    found: dict[str, Judged] = {}
    for prediction in predictions:
        add_judged(found, prediction, people)
    return found


def add_judged(found: dict[str, Judged], prediction: Prediction, people: People | None) -> None:
    """Take in what a judge said of one answer, by metric."""
    for metric, its in prediction.judged.items():
        found.setdefault(metric, Judged(metric, str(its.get("judge", "")))).add(prediction, people)


def judge_notes(by_model: Mapping[str, Mapping[str, Judged]]) -> dict[str, dict[str, JudgeNote]]:
    """By model and metric. The agreement of a judge is measured over the answers of all models that it judged."""
    everything = [judged for its in by_model.values() for judged in its.values()]

    def note(judged: Judged) -> JudgeNote:
        same = [one for one in everything if (one.metric, one.judge) == (judged.metric, judged.judge)]
        agreement, basis = _agreement(same)
        rubric = RUBRICS.get(judged.metric, "its own rubric")
        return JudgeNote(judged.judge, rubric, judged.counts, agreement, basis)

    return {model: {metric: note(judged) for metric, judged in its.items()} for model, its in by_model.items()}


def verdicts_of(prediction: Prediction, metric: str) -> list[Verdict]:
    """What the judge said of the answer, criterion by criterion."""
    rows: Sequence[Mapping[str, Any]] = prediction.judged.get(metric, {}).get("verdicts", ())
    return [Verdict(**row) for row in rows]


def _agreement(judged: Sequence[Judged]) -> tuple[JudgeAgreement, str]:
    """By marks on the criteria themselves where there are any, else by scales; the same item counts once."""
    for parts, basis in (([one.by_criterion for one in judged], CRITERIA), ([one.by_scale for one in judged], SCALED)):
        items = {item: both for part in parts for item, both in part.items()}
        if items:
            ratings = [(item, value) for item, (_, values) in items.items() for value in values]
            return judge_agreement({item: met for item, (met, _) in items.items()}, ratings), basis
    return JudgeAgreement(0), ""


def _marks(form: RatingForm) -> Iterator[tuple[str, bool]]:
    """The criteria of a form that were judged, each with whether it is met."""
    for axis in form.shown.get("axes") or ():
        value = form.scores.get(axis.get("id"))
        if axis.get("kind") == "criteria" and value in ("met", "not_met"):
            yield str(axis.get("question", "")).strip(), value == "met"


def _found_correct(form: RatingForm) -> bool | None:
    value = form.scores.get(CORRECTNESS) if form.rubric_id == SCALE else None
    return None if value is None else int(value) >= CORRECT
