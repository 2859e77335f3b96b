"""A rating form as a page sends it and a draft keeps it, and the steps of a reasoning that it marks."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from medchat.errors import InvalidInput
from medchat.rubrics import Rubric, asked_axes, check_safety, check_scores, kept_likelihood, shown
from medchat.store.records import AnswerPart, RatingForm, RatingRecord, SpanMark, StepMark

OUT_OF_DATE = "The form of this page does not fit this answer any more. Reload the page; your draft is kept."
MOVED = "A marked passage is not in the answer as it is shown. Remove it and mark it again."
TOO_MANY = "At most 200 passages and 200 steps of an answer can be marked. Remove some."
NO_REASON = "Say in a few words why this answer cannot be rated."
MOST_MARKS = 200
MOST_SECONDS = 24 * 3600
_NUMBERED = re.compile(r"^[ \t]*\d{1,3}[.)][ \t]+(?=\S)", re.MULTILINE)
_BLANK_LINES = re.compile(r"\n[ \t]*\n\s*")


class Step(NamedTuple):
    """One step of a reasoning: its number, from 1, and where it stands in the text."""

    number: int
    start: int
    end: int


class _Sent(BaseModel):
    model_config = ConfigDict(frozen=True, allow_inf_nan=False)


class Span(_Sent):
    """A passage, in characters of the part as it is shown, and what is wrong with it."""

    part: AnswerPart
    start: int
    end: int
    quote: str
    kind: str
    comment: str = ""


class Filled(_Sent):
    """What a rater has entered so far. base: the id of the rating that was the newest when it was begun, or ""."""

    base: str = ""
    scores: dict[str, str] = {}
    harm_extent: str = ""
    harm_likelihood: str = ""
    critical: bool = False
    steps: dict[int, Literal[-1, 0, 1]] = {}
    first_wrong: int | None = None
    spans: list[Span] = []
    corrected_reasoning: str = ""
    corrected_solution: str = ""
    comment: str = ""
    cannot_rate: str = ""
    seconds: Annotated[float, Field(ge=0, le=MOST_SECONDS)] = 0.0


class Shown(NamedTuple):
    """What a rater sees of an answer: the rubric with the question's criteria, and texts with models' names masked."""

    rubric: Rubric
    reasoning: str
    solution: str
    masked: bool

    def part(self, name: AnswerPart) -> str:
        """The text of this part."""
        return self.reasoning if name == "reasoning" else self.solution


def read_filled(sent: Mapping[str, Any]) -> Filled:
    """What a page sent. Raises InvalidInput when it is no filled form, or has too many marks."""
    try:
        filled = Filled.model_validate(sent)
    except ValidationError as error:
        raise InvalidInput(OUT_OF_DATE) from error
    if max(len(filled.spans), len(filled.steps)) > MOST_MARKS:
        raise InvalidInput(TOO_MANY)
    return filled


def filled_again(rating: RatingRecord, answer: Shown) -> Filled:
    """A rating as its rater left it, to be amended, as far as the form still asks the same."""
    form = rating.form
    options = {axis.id: axis.values for axis in answer.rubric.axes}
    spans = [Span(part=s.part, start=s.start, end=s.end, quote=s.quote, kind=s.kind, comment=s.comment)
             for s in form.span_marks]  # fmt: skip
    return Filled(
        base=rating.id,
        scores={axis: value for axis, value in form.scores.items() if value in options.get(axis, ())},
        harm_extent=form.harm_extent,
        harm_likelihood=form.harm_likelihood,
        critical=form.critical,
        steps={mark.step: mark.mark for mark in form.step_marks},
        first_wrong=form.first_wrong_step,
        spans=spans,
        corrected_reasoning=form.corrected_reasoning,
        corrected_solution=form.corrected_solution,
        comment=form.comment,
        cannot_rate=form.cannot_rate,
    )


def standing(filled: Filled, answer: Shown) -> Filled:
    """The form without marks that the answer, as it is shown now, has no place for."""
    numbers = {step.number for step in steps_of(answer.reasoning)}
    kept = {
        "steps": {number: mark for number, mark in filled.steps.items() if number in numbers},
        "first_wrong": filled.first_wrong if filled.first_wrong in numbers else None,
        "spans": [span for span in filled.spans if _stands(span, answer)],
    }
    return filled.model_copy(update=kept)


def rating_form(filled: Filled, answer: Shown) -> RatingForm:
    """The form to be saved. Raises InvalidInput when something is missing or does not fit the answer."""
    form = _form(filled, answer)
    check_scores(answer.rubric, form.scores)
    check_safety(form.harm_extent, form.harm_likelihood)
    return form


def not_ratable(filled: Filled, answer: Shown) -> RatingForm:
    """The form of an answer that cannot be rated: the reason, and whatever was entered before.

    Raises InvalidInput without a reason, and when something does not fit the answer.
    """
    reason = filled.cannot_rate.strip()
    if not reason:
        raise InvalidInput(NO_REASON)
    form = _form(filled, answer)
    check_scores(answer.rubric, form.scores, is_partial=True)
    check_safety(form.harm_extent, form.harm_likelihood, is_partial=True)
    return replace(form, cannot_rate=reason)


def _form(filled: Filled, answer: Shown) -> RatingForm:
    rubric = answer.rubric
    asked = {axis.id for axis in asked_axes(rubric, filled.scores)}
    marked = {*filled.steps, filled.first_wrong} - {None}
    if not marked <= {step.number for step in steps_of(answer.reasoning)}:
        raise InvalidInput(OUT_OF_DATE)
    if not all(_stands(span, answer) for span in filled.spans):
        raise InvalidInput(MOVED)
    return RatingForm(
        rubric.id,
        rubric.version,
        as_shown(answer),
        {axis: value for axis, value in filled.scores.items() if axis in asked},
        harm_extent=filled.harm_extent,
        harm_likelihood=kept_likelihood(filled.harm_extent, filled.harm_likelihood),
        critical=filled.critical,
        first_wrong_step=filled.first_wrong,
        step_marks=tuple(StepMark(number, mark) for number, mark in sorted(filled.steps.items())),
        span_marks=tuple(SpanMark(s.part, s.start, s.end, s.quote, s.kind, s.comment) for s in filled.spans),
        corrected_reasoning=filled.corrected_reasoning,
        corrected_solution=filled.corrected_solution,
        comment=filled.comment,
        seconds=filled.seconds,
    )


def as_shown(answer: Shown) -> dict[str, Any]:
    """What a rating keeps of what was shown: the rubric, where the steps stand, and texts that were masked."""
    steps = [[step.start, step.end] for step in steps_of(answer.reasoning)]
    texts = {"reasoning": answer.reasoning, "solution": answer.solution} if answer.masked else {}
    return shown(answer.rubric) | {"steps": steps} | texts


def steps_of(reasoning: str) -> list[Step]:
    """The steps: lines that begin with a number, each with the lines up to the next.

    Where none does, its paragraphs, and where there is but one, its lines. What stands before the first
    numbered line is no step.
    """
    starts = [found.start() for found in _NUMBERED.finditer(reasoning)]
    if not starts:
        starts = [0, *(found.end() for found in _BLANK_LINES.finditer(reasoning.rstrip()))]
    if len(starts) == 1 and not _NUMBERED.match(reasoning, starts[0]):
        starts = [0, *(found.end() for found in re.finditer("\n", reasoning))]
    return [Step(number, *place) for number, place in enumerate(_pieces(reasoning, starts), start=1)]


def _pieces(text: str, starts: list[int]) -> Iterator[tuple[int, int]]:
    for start, end in zip(starts, [*starts[1:], len(text)], strict=True):
        piece = text[start:end]
        if piece.strip():
            yield start + len(piece) - len(piece.lstrip()), start + len(piece.rstrip())


def _stands(span: Span, answer: Shown) -> bool:
    """Whether the passage is where it was marked."""
    text = answer.part(span.part)
    return 0 <= span.start < span.end <= len(text) and text[span.start : span.end] == span.quote
