"""The parts of a human evaluation's report on single cases: disputes with full texts, corrections, time."""

from collections.abc import Mapping, Sequence

from evaluation.human import HumanResults
from evaluation.human_axes import AxisInfo
from evaluation.human_cases import DisputedCase
from evaluation.human_data import AnswerText
from evaluation.human_plots import trend_plots
from evaluation.human_words import count, day, percent, said_value
from evaluation.report_blocks import Block, Details, Heading, Passage, Section, Table, Text

GONE = "This answer was deleted by its owner; its judgements are kept."
QUESTION_CHARS = 90
SIDES = ("First answer", "Second answer")


def case_sections(results: HumanResults, answers: Mapping[str, AnswerText]) -> list[Section]:
    """The cases on which raters differ most, each with its texts folded in."""
    if not results.cases:
        return []
    note = (
        "Widest differences first: the two raters furthest apart, as a share of the scale; of votes, how many the side"
        " with fewer has for each of the other. Open a case for its full texts."
    )
    blocks: list[Block] = [Text(note)]
    for title, size in (("Single answers", 1), ("Votes on two answers", 2)):
        own = [its for its in results.cases if len(its.answer_ids) == size]
        if own:
            cases = [_case(number, its, results, answers) for number, its in enumerate(own, 1)]
            blocks += [Heading(title), *cases]
    return [Section("cases", "Cases with the largest disagreement", blocks)]


def correction_sections(results: HumanResults, answers: Mapping[str, AnswerText]) -> list[Section]:
    """Every correction beside the answer that it corrects."""
    if not results.corrections:
        return []
    blocks: list[Block] = [
        Text(f"{count(len(results.corrections), 'answer was', 'answers were')} corrected by a rater.")
    ]
    for number, its in enumerate(results.corrections, 1):
        answer = answers.get(its.answer_id)
        asked = in_short(answer.question) if answer else GONE
        inside: list[Block] = [
            *(
                [Passage("Question", _asked(answer)), Passage("The answer", answer.solution)]
                if answer
                else [Text(GONE)]
            ),
            Passage(f"Corrected by {results.raters.get(its.rater, 'a rater')}", its.text),
        ]
        blocks.append(Details(f"{number}. {results.models.get(its.model, its.model)}: {asked}", inside))
    return [Section("corrections", "Corrections", blocks)]


def trend_sections(results: HumanResults, axis: AxisInfo | None) -> list[Section]:
    """Ratings and flags by model over time; none where all was judged in one span."""
    if not results.trend or axis is None:
        return []
    rows = [
        [results.models[row.model], day(row.since), str(row.n), said_value(row.value, row.low, row.high),
         f"{row.n_flagged} ({percent(row.flagged)})"]
        for row in results.trend
    ]  # fmt: skip
    step = results.trend[0].step
    note = (
        f"{axis.label} by {step}. Within a study raters judge the same answers at other times, so a trend there is one"
        " of the raters; over all ratings it may be one of the models."
    )
    headers = ("Model", f"{step.capitalize()} from", "Ratings", axis.label, "Flagged")
    table = Table("Ratings and flags over time", headers, rows, labels=2)
    return [Section("trend", "Over time", [Text(note), *(plot.figure for plot in trend_plots(results)), table])]


def full_texts(answers: Sequence[AnswerText | None], models: Mapping[str, str]) -> list[Block]:
    """The question, and what is left of its answer, or of the two of a pair."""
    known = [answer for answer in answers if answer is not None]
    blocks: list[Block] = [Passage("Question", _asked(known[0]))] if known else [Text(GONE)]
    for side, answer in zip(SIDES, answers, strict=False):
        if answer is not None:
            label = f"{side if len(answers) > 1 else 'Answer'} ({models.get(answer.model, answer.model)})"
            blocks += [Passage(f"{label}: reasoning", answer.reasoning)] if answer.reasoning.strip() else []
            blocks.append(Passage(f"{label}: solution", answer.solution))
    return blocks


def in_short(text: str) -> str:
    """The text on one line, cut where it is long."""
    words = " ".join(text.split())
    return words if len(words) <= QUESTION_CHARS else f"{words[:QUESTION_CHARS].rstrip()}\u2026"


def _case(number: int, its: DisputedCase, results: HumanResults, answers: Mapping[str, AnswerText]) -> Details:
    texts = [answers.get(answer) for answer in its.answer_ids]
    known = [answer for answer in texts if answer is not None]
    models = " and ".join(results.models.get(answer.model, answer.model) for answer in known)
    asked = in_short(known[0].question) if known else GONE
    blocks = full_texts(texts, results.models)
    rows = [[results.raters.get(one.rater, one.rater), one.text, one.comment or "-"] for one in its.said]
    blocks.append(Table("What the raters said", ("Rater", "Judgement", "Comment"), rows, words=2))
    apart = f"{100 * its.spread:.0f} % of the scale apart" if len(texts) == 1 else f"split {100 * its.spread:.0f} %"
    return Details(f"{number}. {models}: {its.where}, {apart}. {asked}", blocks)


def _asked(answer: AnswerText) -> str:
    return "\n\n".join(part for part in (answer.context, answer.question) if part.strip())
