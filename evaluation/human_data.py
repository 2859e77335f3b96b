"""What raters said, apart from where it is stored: the records that all statistics on people are made of.

evaluation.human_source reads them from the store, evaluation.simulate makes them up.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Literal

from evaluation.human_axes import AxisInfo

Vote = Literal["a", "b", "tie", "both_bad"]


@dataclass(frozen=True, slots=True)
class HumanRating:
    """A rater's form on one answer.

    scores: by axis id, the numbers of AxisInfo; None where not answered. cannot_rate: why not, "" when rated (all else
    is empty then). harm_extent: none, moderate, severe or ""; harm_likelihood: low, medium, high or "". good: see
    human_axes.GOOD_WORDS. step_marks: 1 right, 0 neutral, -1 wrong by step from the first one on, None where a step
    was not marked; empty where none was. first_wrong_step: its number from 1. repeat_of: the id of the first rating
    that this hidden repeat repeats, "" for none. blinded: its rater did not know the model.
    """

    id: str
    answer_id: str
    question_id: str
    model: str
    rater: str
    group: str
    specialty: str
    at: datetime
    scores: Mapping[str, float | None]
    cannot_rate: str = ""
    harm_extent: str = ""
    harm_likelihood: str = ""
    critical: bool = False
    good: bool | None = None
    step_marks: tuple[int | None, ...] = ()
    first_wrong_step: int | None = None
    seconds: float = 0.0
    repeat_of: str = ""
    correction: str = ""
    comment: str = ""
    blinded: bool = True


@dataclass(frozen=True, slots=True)
class HumanVote:
    """A rater's vote on two answers; "a" is the left one as it was shown.

    pair, models: of left and right. axes: the side that was chosen on each axis, as stored: on a reversed one the worse
    one. words, markdown: words, and headings, list items and bold passages, of left and right. repeat_of: as above.
    """

    id: str
    pair: tuple[str, str]
    question_id: str
    models: tuple[str, str]
    rater: str
    group: str
    specialty: str
    at: datetime
    vote: Vote
    axes: Mapping[str, str] = field(default_factory=dict)
    seconds: float = 0.0
    repeat_of: str = ""
    words: tuple[int, int] = (0, 0)
    markdown: tuple[int, int] = (0, 0)
    flags: frozenset[str] = frozenset()
    comment: str = ""


@dataclass(frozen=True, slots=True)
class AnswerText:
    """An answer that was judged, and what it answers."""

    question_id: str
    question: str
    context: str
    reasoning: str
    solution: str
    model: str
    specialty: str = ""


@dataclass(frozen=True, slots=True)
class FlowRow:
    """What became of the assignments of one kind ("rate", "pair"). repeats: the hidden ones among those dealt.

    asked: judgements that the design asks for, without hidden repeats. Of these, dealt_again: assignments dealt after
    the opening, as raters came or went; short: that nobody has or had; not_made: short and waiting ones together.
    withdrawn_repeats: hidden ones among those withdrawn, which are not dealt again.
    """

    kind: str
    dealt: int
    done: int
    cannot: int
    withdrawn: int
    waiting: int
    repeats: int
    asked: int
    dealt_again: int = 0
    short: int = 0
    not_made: int = 0
    withdrawn_repeats: int = 0


@dataclass(frozen=True, slots=True)
class EarlyLooks:
    """Who could see results by model before the closing, as the audit has it.

    spans: from when to when they were shown, None for until the closing, or until now. looks: at results that were
    shown, users: who looked, raters: how many of these judge in the study. refused: looks at what was not shown.
    """

    spans: tuple[tuple[datetime, datetime | None], ...] = ()
    looks: int = 0
    users: int = 0
    raters: int = 0
    refused: int = 0


@dataclass(frozen=True, slots=True)
class StudyFacts:
    """How the study was set up, and what became of it.

    rubrics: title and version of each that was asked. design: as the study keeps it. specialties: questions of each.
    joined: raters whom the study had once it was open; of these, raters: who took part, that is judged at least once;
    dropped_out: who left before the end, dropped_out_raters: those among them who took part; consented: who agreed.
    """

    status: str
    design: Mapping[str, Any]
    rubrics: tuple[str, ...]
    seed: int
    questions: int
    specialties: Mapping[str, int]
    joined: int
    raters: int
    dropped_out: int
    dropped_out_raters: int
    consented: int
    flow: tuple[FlowRow, ...]
    early: EarlyLooks = EarlyLooks()
    opened_at: datetime | None = None
    closed_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Adjudicated:
    """An adjudicator's decision on an item on which raters differed; the raters' own judgements stay beside it.

    number: of the item in the study. scores: as of HumanRating, empty of a pair. vote: "a" for the first of answer_ids,
    "" of a single answer.
    """

    number: int
    answer_ids: tuple[str, ...]
    question_id: str
    reasons: tuple[str, ...]
    comment: str
    at: datetime
    scores: Mapping[str, float | None] = field(default_factory=dict)
    harm_extent: str = ""
    harm_likelihood: str = ""
    critical: bool = False
    vote: str = ""


@dataclass(frozen=True, slots=True)
class HumanData:
    """All that raters said of a study, or of everything (study_id "" and facts None).

    ratings, votes: oldest first, with hidden repeats; `first_ratings` and `first_votes` leave these out. models: names
    by id, in the order of the study. raters: name, or "Rater 1..n", by id. automatic: metrics of the same answers, None
    where one could not be scored. calibration: right answers and their number, by rater. n_open: assignments that wait.
    """

    title: str
    study_id: str
    simulated: bool
    ratings: Sequence[HumanRating]
    votes: Sequence[HumanVote]
    axes: tuple[AxisInfo, ...]
    models: Mapping[str, str]
    raters: Mapping[str, str]
    answers: Mapping[str, AnswerText]
    automatic: Mapping[str, Mapping[str, float | None]] = field(default_factory=dict)
    calibration: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    adjudications: Sequence[Adjudicated] = ()
    n_open: int = 0
    facts: StudyFacts | None = None

    @property
    def first_ratings(self) -> list[HumanRating]:
        """Without hidden repeats, which are for consistency only; those that could not be rated are among them."""
        return [rating for rating in self.ratings if not rating.repeat_of]

    @property
    def first_votes(self) -> list[HumanVote]:
        """Without hidden repeats."""
        return [vote for vote in self.votes if not vote.repeat_of]

    @property
    def rate_axes(self) -> list[AxisInfo]:
        """Those of one answer."""
        return [axis for axis in self.axes if not axis.pairwise]

    @property
    def pair_axes(self) -> list[AxisInfo]:
        """Those of two answers side by side."""
        return [axis for axis in self.axes if axis.pairwise]


def filtered(
    data: HumanData,
    specialty: str | None = None,
    model: str | None = None,
    group: str | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
) -> HumanData:
    """Only the judgements that fit all that is given; until is not itself in it. A vote fits either of its models.

    Decisions stay on what any judgement is left of.
    """

    def fits(one: HumanRating | HumanVote) -> bool:
        models = one.models if isinstance(one, HumanVote) else (one.model,)
        return (
            (specialty is None or one.specialty == specialty)
            and (model is None or model in models)
            and (group is None or one.group == group)
            and (since is None or one.at >= since)
            and (until is None or one.at < until)
        )

    ratings, votes = [its for its in data.ratings if fits(its)], [vote for vote in data.votes if fits(vote)]
    judged = {*(frozenset([its.answer_id]) for its in ratings), *(frozenset(vote.pair) for vote in votes)}
    decisions = [its for its in data.adjudications if frozenset(its.answer_ids) in judged]
    return replace(data, ratings=ratings, votes=votes, adjudications=decisions)
