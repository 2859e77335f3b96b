"""What an investigator decides about a study before it opens: its Design, checked, with what should be reconsidered."""

import json
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from pydantic import ConfigDict, TypeAdapter, ValidationError

from medchat.allocation import Unit, choose_pairs
from medchat.allocation_queues import MOST_REPEATS
from medchat.errors import InvalidInput, one_of
from medchat.rubrics import DEFAULT_RUBRIC, PAIRWISE_RUBRIC, Rubric

FEWEST_MODELS = 2
MOST_MODELS = 8
FEW_QUESTIONS = 100  # below it the seed's own aim of 100 and more, diverse questions is missed
FEW_RATERS = 5  # below it an interval clustered by rater says little
MOST_RATERS_PER_ITEM = 50
MOST_SECONDS = 3600.0
MOST_CHARS = 20_000

Tasks = Literal["rate", "pairwise", "both"]
PairChoice = Literal["all", "reference"]


@dataclass(frozen=True, slots=True)
class QuestionSource:
    """Where the questions come from. sample: so many of them, drawn with the study's seed; None for all."""

    __pydantic_config__ = ConfigDict(extra="forbid")

    kind: Literal["suite", "file", "uploaded answers"]
    name: str
    sample: int | None = None


@dataclass(frozen=True, slots=True)
class Design:
    """How a study is made.

    models: ids of the catalogue; of uploaded answers the names in the file. tasks: each answer is rated, pairs of
    answers to one question are voted on, or both. rubric: of the rating; pair_rubric: of the vote, "" for a vote alone.

    pairs: "all" pairs of the models, or only those of the first model with each other one ("reference").
    pairs_per_question: None gives every question all of them. That takes raters: nobody sees an answer twice, so all
    pairs of M models with k raters an item take k x (M - 1) raters where M is even and k x M where it is odd (8 models
    with 2 raters an item: 14), and "both" takes k x M. With fewer raters, or less time, give each question only some:
    they change from question to question so that over the study each pair has as many questions as any other, within
    one. Up to M / 2 a question share no answer, and then k raters are enough.

    all_axes: whether every question of pair_rubric has to be answered with a vote; else each is optional.
    repeat_share: of each rater's items, how many come again unmarked. calibration: how many of the bundled items with
    known answers, or their ids; 0 for none. pass_share: of them to be answered rightly before the study begins.
    min_seconds: the least time on an item. metrics: automatic ones for the same answers, () for those of the questions.
    tie_rate, icc: what is expected of votes when their number is planned: the share of ties, and how alike the votes
    of several raters on one item are (0 not at all, 1 the same).
    """

    __pydantic_config__ = ConfigDict(extra="forbid")

    questions: QuestionSource
    models: tuple[str, ...]
    tasks: Tasks = "rate"
    rubric: str = DEFAULT_RUBRIC
    pair_rubric: str = PAIRWISE_RUBRIC
    pairs: PairChoice = "all"
    pairs_per_question: int | None = None
    all_axes: bool = False
    raters_per_item: int = 2
    repeat_share: float = 0.1
    calibration: int | tuple[str, ...] = 0
    pass_share: float = 0.7
    min_seconds: float = 0.0
    instructions: str = ""
    consent: str = ""
    metrics: tuple[str, ...] = ()
    tie_rate: float = 0.2
    icc: float = 0.2

    @property
    def rates(self) -> bool:
        """Whether answers are rated one by one."""
        return self.tasks != "pairwise"

    @property
    def votes(self) -> bool:
        """Whether pairs of answers are voted on."""
        return self.tasks != "rate"

    @property
    def n_pairs(self) -> int:
        """The number of pairs of models that are compared; 0 without votes."""
        if not self.votes:
            return 0
        n_models = len(self.models)
        return n_models - 1 if self.pairs == "reference" else math.comb(n_models, 2)

    @property
    def items_per_question(self) -> int:
        """The number of answers to rate and of pairs to vote on that one question makes."""
        pairs = self.n_pairs if self.pairs_per_question is None else min(self.n_pairs, self.pairs_per_question)
        return pairs + (len(self.models) if self.rates else 0)

    def as_dict(self) -> dict[str, Any]:
        """The design in JSON's types, as a study keeps it."""
        return json.loads(json.dumps(asdict(self)))

    @classmethod
    def from_dict(cls, given: Mapping[str, Any]) -> "Design":
        """The design that as_dict gave; what is left out is as by default. Raises InvalidInput naming the field."""
        try:
            return _DESIGN.validate_python(dict(given))
        except ValidationError as error:
            first = error.errors()[0]
            field = ".".join(str(part) for part in first["loc"][:2])
            raise InvalidInput(f"The design of the study cannot be used: {field}: {first['msg']}.") from error


_DESIGN = TypeAdapter(Design)


def pairs_of(design: Design, question_ids: Sequence[str], seed: int) -> list[tuple[str, str, str]]:
    """The pairs that are voted on, (question id, model, model), in the order of the questions; none without votes.

    Which ones a question gets, where it does not get all, is drawn with the seed.
    """
    if not design.votes:
        return []
    reference = design.pairs == "reference"
    return choose_pairs(question_ids, design.models, design.pairs_per_question, reference, seed)


def planned_units(design: Design, question_ids: Sequence[str], seed: int) -> list[Unit]:
    """What there is to judge, question by question: the answers to rate, then the pairs to vote on; ids from "1" on."""
    pairs: dict[str, list[tuple[str, str]]] = {question_id: [] for question_id in question_ids}
    for question_id, left, right in pairs_of(design, question_ids, seed):
        pairs[question_id].append((left, right))
    units: list[Unit] = []
    for question_id in question_ids:
        for model in design.models if design.rates else ():
            units.append(Unit(str(len(units) + 1), "rate", question_id, (model,)))
        for pair in pairs[question_id]:
            units.append(Unit(str(len(units) + 1), "pair", question_id, pair))
    return units


def check_design(
    design: Design,
    models: Collection[str] | None = None,
    rubrics: Mapping[str, Rubric] | None = None,
    calibration: Collection[str] | None = None,
) -> None:
    """Raises InvalidInput, naming the field and what to do, unless a study can be made of it.

    models, rubrics, calibration: the ids that there are; None leaves them unchecked.
    """
    for problem in (
        _source_problem(design), _models_problem(design, models), _tasks_problem(design, rubrics),
        _numbers_problem(design), _calibration_problem(design, calibration),
    ):  # fmt: skip
        if problem:
            raise InvalidInput(problem)


def _source_problem(design: Design) -> str:
    source = design.questions
    if not source.name.strip():
        return "Questions: choose a suite, or give a file."
    if source.sample is not None and source.sample < 1:
        return "Questions: a sample has 1 question or more; leave it empty for all."
    return ""


def _models_problem(design: Design, known: Collection[str] | None) -> str:
    if not FEWEST_MODELS <= len(design.models) <= MOST_MODELS:
        return f"Models: choose {FEWEST_MODELS} to {MOST_MODELS}; {len(design.models)} are chosen."
    twice = [model for model in dict.fromkeys(design.models) if design.models.count(model) > 1]
    if twice:
        return f"Models: {one_of(twice)} is chosen twice; take each once."
    unknown = [model for model in design.models if known is not None and model not in known]
    if unknown and design.questions.kind == "uploaded answers":
        return f"Models: the file has no answers of {one_of(unknown)}."
    if unknown:
        return f"Models: there is no {one_of(unknown)}; choose from the list of models."
    return ""


def _tasks_problem(design: Design, rubrics: Mapping[str, Rubric] | None) -> str:
    if design.pairs_per_question is not None and design.votes and design.pairs_per_question < 1:
        return "Pairs per question: 1 or more; leave it empty for all pairs."
    if design.rates and not design.rubric:
        return "Rubric: choose the form that answers are rated with."
    wanted = [(design.rubric, False, "Rubric", "a single answer")] if design.rates else []
    if design.votes and design.pair_rubric:
        wanted.append((design.pair_rubric, True, "Rubric of pairs", "two answers side by side"))
    for rubric_id, pairwise, field, what in wanted if rubrics is not None else []:
        assert rubrics is not None
        if rubric_id not in rubrics:
            return f"{field}: there is no {rubric_id!r}; choose {one_of(_fitting(rubrics, pairwise))}."
        if rubrics[rubric_id].pairwise != pairwise:
            return f"{field}: {rubric_id!r} is not made for {what}; choose {one_of(_fitting(rubrics, pairwise))}."
    return ""


def _fitting(rubrics: Mapping[str, Rubric], pairwise: bool) -> list[str]:
    return [rubric.id for rubric in rubrics.values() if rubric.pairwise == pairwise] or ["another one"]


def _numbers_problem(design: Design) -> str:
    if not 1 <= design.raters_per_item <= MOST_RATERS_PER_ITEM:
        return f"Raters per item: a number from 1 to {MOST_RATERS_PER_ITEM}."
    if not 0 <= design.repeat_share <= MOST_REPEATS:
        return f"Hidden repeats: a share from 0 to {MOST_REPEATS}."
    if not 0 <= design.min_seconds <= MOST_SECONDS:
        return f"Minimum time: from 0 to {MOST_SECONDS:.0f} seconds."
    if not 0 <= design.tie_rate < 1:
        return "Expected share of ties: from 0 to below 1."
    if not 0 <= design.icc <= 1:
        return "Expected likeness of raters' votes: from 0 to 1."
    for field, text in (("Instructions", design.instructions), ("Consent", design.consent)):
        if len(text) > MOST_CHARS:
            return f"{field}: {len(text):,} characters; at most {MOST_CHARS:,} are taken."
    return ""


def _calibration_problem(design: Design, known: Collection[str] | None) -> str:
    chosen = design.calibration
    if not 0 < design.pass_share <= 1 and chosen:
        return "Share to pass: above 0, and 1 at most."
    if isinstance(chosen, int):
        if chosen < 0 or (known is not None and chosen > len(known)):
            return f"Calibration: a number from 0 to {len(known) if known is not None else 'those there are'}."
        return ""
    if len(set(chosen)) < len(chosen):
        return "Calibration: an item is chosen twice; take each once."
    unknown = [item for item in chosen if known is not None and item not in known]
    return f"Calibration: there is no item {one_of(unknown)}." if unknown else ""


def warnings(
    design: Design,
    items: int,
    specialties: Collection[str],
    raters: int,
    votes_needed: int | None = None,
) -> list[str]:
    """What an investigator should reconsider, a line each; nothing of it keeps a study from opening.

    items: the number of questions. specialties: one entry a question, "" where it is not known. votes_needed: decisive
    votes for each pair of models, from the planning of power; None says nothing of it.
    """
    lines: list[str] = []
    if items < FEW_QUESTIONS:
        lines.append(
            f"{items} question{'s' * (items != 1)}: fewer than {FEW_QUESTIONS}. Small differences between models will "
            f"not show; take {FEW_QUESTIONS} or more from several specialties."
        )
    empty = sum(not specialty.strip() for specialty in specialties)
    known = {specialty.strip().casefold() for specialty in specialties if specialty.strip()}
    if empty:
        lines.append(f"{empty} of {items} questions name no specialty: results cannot be told apart by it.")
    if len(known) == 1 and items > 1:
        lines.append("All questions with a specialty are of the same one: the results hold for it alone.")
    lines += _rater_lines(design, raters)
    if design.votes and votes_needed is not None:
        lines += _power_lines(design, items, votes_needed)
    return lines


def _rater_lines(design: Design, raters: int) -> list[str]:
    lines: list[str] = []
    if design.raters_per_item < 2:
        lines.append("One rater an item: how far raters agree cannot be told. Take 2 or more, Med-PaLM 2 had 3.")
    if 0 < raters < FEW_RATERS:
        lines.append(
            f"{raters} rater{'s' * (raters != 1)}: intervals that allow for differences between raters are unsure with "
            f"fewer than {FEW_RATERS}."
        )
    if not design.repeat_share:
        lines.append("No hidden repeats: whether a rater is consistent cannot be told.")
    return lines


def _power_lines(design: Design, items: int, votes_needed: int) -> list[str]:
    per_question = design.items_per_question - (len(design.models) if design.rates else 0)
    votes = items * per_question * design.raters_per_item / design.n_pairs
    if votes >= votes_needed:
        return []
    return [
        f"About {votes:.0f} votes for each pair of models, where {votes_needed} are needed: a real preference may be "
        "missed. Take more questions, more raters an item or fewer models."
    ]
