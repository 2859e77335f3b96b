"""The parts of a human evaluation's report on raters: agreement, each of them, and metrics that may stand in."""

from collections.abc import Sequence

from evaluation.agreement import CONGER, FLEISS, MISLEADS, WEIGHTED, Coefficient
from evaluation.human import HumanResults
from evaluation.human_agreement import AxisAgreement
from evaluation.human_measures import OVERALL
from evaluation.human_words import NOTHING, decimals, interval, percent, said_value, seconds, tight
from evaluation.metric_agreement import ONE_CLINICIAN, Correlation
from evaluation.report_blocks import Block, Cell, Details, Section, Table, Text
from evaluation.stats import Estimate


def agreement_sections(results: HumanResults) -> list[Section]:
    """All coefficients side by side by axis, when each misleads, and kappa by pair of raters."""
    if not results.agreement:
        return []
    misleads = {one.name: one.misleads for its in results.agreement for one in its.coefficients if one.name != FLEISS}
    votes = [its for its in results.agreement if its.pairwise and its.axis != OVERALL]
    answers = [its for its in results.agreement if its not in votes]
    note = (
        "1 is full agreement, 0 what each coefficient takes for chance. They are set side by side because each"
        " misleads in another case: read the second table before quoting one of them. Intervals are for other questions"
        " judged by these raters."
    )
    blocks: list[Block] = [Text(note)]
    if answers:
        blocks.append(_agreement_table("Agreement on answers, harm and votes", answers))
    if votes:
        blocks.append(_agreement_table("Agreement on the axes of the votes", votes))
    blocks.append(Table("When each misleads", ("Coefficient", "Misleads"), [*map(list, misleads.items())], words=1))
    return [Section("agreement", "Agreement of the raters", [*blocks, *_pair_tables(results)])]


def rater_sections(results: HumanResults) -> list[Section]:
    """Every rater beside the others; those far from the rest are marked, and in all figures."""
    if not results.rater_rows:
        return []
    rows: list[list[str | Cell]] = [
        [Cell(its.name, "note", f"{its.n_ratings} ratings, {its.n_votes} votes"), seconds(its.seconds),
         percent(its.cannot),
         _estimate(its.straight, is_share=True), _estimate(its.repeats, is_share=True),
         f"{its.calibration[0]} of {its.calibration[1]}" if its.calibration else NOTHING,
         _estimate(its.agreement), _estimate(its.bias), _estimate(its.left, is_share=True),
         Cell("far", "note", "; ".join(its.why)) if its.why else "-"]
        for its in results.rater_rows
    ]  # fmt: skip
    headers = (
        "Rater", "Median time", "Cannot rate", "Straight-lining", "Repeats same",
        "Calibration", "Nearness", "Kinder or stricter", "Left chosen", "Far from the others",
    )  # fmt: skip
    note = (
        "Raters are numbered in an order that tells nothing of them, unless names were asked for. A rater who is far"
        " from the rest is shown and not dropped: their judgements are in every figure. Straight-lining: forms with the"
        " same answer to all axes. Repeats same: answers that a hidden repeat gave again. Nearness: how near the"
        " others' scores are, 1 the same. Kinder or stricter: own score less that of the others on a scale from 0 to 1."
    )
    return [Section("raters", "Raters", [Text(note), Table("Raters", headers, rows, words=1)])]


def step_sections(results: HumanResults) -> list[Section]:
    """What raters found of the steps of the reasoning, by model, and how far they agree on it; none without marks."""
    if not results.steps or results.step_agreement is None:
        return []
    rows: list[list[str | Cell]] = [
        [results.models.get(its.model, its.model), str(its.n_answers), str(its.n_ratings), f"{its.n_marks:,}",
         _estimate(its.right, is_share=True), _estimate(its.neutral, is_share=True),
         _estimate(its.wrong, is_share=True), _estimate(its.some_wrong, is_share=True),
         NOTHING if its.middle is None else f"{its.middle:g}",
         ", ".join(f"step {place}: {its.places[place]}" for place in sorted(its.places)) or NOTHING]
        for its in results.steps
    ]  # fmt: skip
    headers = (
        "Model", "Answers", "Ratings", "Marks", "Right steps", "Neutral", "Wrong", "Some step wrong",
        "First wrong, median", "First wrong, all",
    )  # fmt: skip
    its = results.step_agreement
    agreed: list[list[str | Cell]] = [
        [one.name, _coefficient(one), _coefficient(other), one.misleads]
        for one, other in zip(its.marks, _in_order(its.marks, its.some_wrong), strict=True)
    ]
    places = (
        f"Of two raters who both found a wrong step, {_said_share(its.same_place)} named the same one as the first, and"
        f" {_said_share(its.near_place)} that one or the one beside it (n = {its.same_place.n} pairs)."
    )
    agreement = ("Coefficient", "Mark of a step", "Whether any is wrong", "Misleads")
    return [Section("steps", "Reasoning steps", [
        Table("Steps of the reasoning, as raters marked them", headers, rows, words=1),
        Text(places),
        Table("Agreement on the steps", agreement, agreed, words=1),
    ])]  # fmt: skip


def automatic_sections(results: HumanResults) -> list[Section]:
    """Each automatic metric of the same answers against the clinicians; none where no answer has any."""
    if len(results.automatic) < 2:
        return []
    rows: list[list[str | Cell]] = [
        [Cell(its.title, "note", "what a metric is to reach") if its.metric == ONE_CLINICIAN else its.title, str(its.n),
         str(its.n_unscored), _correlation(its.spearman), _correlation(its.icc), _correlation(its.absolute)]
        for its in results.automatic
    ]  # fmt: skip
    headers = ("Metric", "n", "Unscored", "Rank correlation (Spearman)", "ICC(3,1), consistency", "ICC(2,1), absolute")
    note = (
        "Each metric against the mean score of the raters of the same answer; turned where lower is better, so that 1"
        " is best everywhere. A metric may stand in for a clinician where it reaches what one clinician reaches against"
        " the others. Values are over these questions and models; over others they may differ."
    )
    table = Table("Automatic metrics against clinicians", headers, rows)
    return [Section("automatic", "Automatic metrics against clinicians", [Text(note), table])]


def _agreement_table(caption: str, found: Sequence[AxisAgreement]) -> Table:
    """An axis a row, a coefficient a column; Fleiss' kappa is nearly nominal alpha and stands in the files alone.

    Of two values the weighted kappa is the plain one, which stands in its column.
    """
    apart = {one.name for its in found for one in its.coefficients} - {FLEISS}
    apart -= {CONGER} if WEIGHTED in apart else set()
    names = [name for name in MISLEADS if name in apart]
    rows: list[list[str | Cell]] = [[_judged(its), *_coefficients(its, names)] for its in found]
    return Table(caption, ("Axis", *names), rows)


def _judged(its: AxisAgreement) -> Cell:
    """What was judged, and under it how often by more than one."""
    n_items, n_raters = max((one.n_items, one.n_raters) for one in its.coefficients)
    return Cell(its.label, "note", f"{n_items} items, {n_raters} raters")


def _in_order(names: Sequence[Coefficient], found: Sequence[Coefficient]) -> list[Coefficient | None]:
    """Those found, in the order of these names."""
    by_name = {one.name: one for one in found}
    return [by_name.get(one.name) for one in names]


def _said_share(its: Estimate) -> str:
    return said_value(its.value, its.low, its.high, is_share=True)


def _coefficient(one: Coefficient | None) -> str | Cell:
    if one is None:
        return NOTHING
    if one.value is None:
        return Cell(NOTHING, "note", one.reason)
    return Cell(decimals(one.value), "note", tight(interval(one.low, one.high)))


def _coefficients(its: AxisAgreement, names: Sequence[str]) -> list[str | Cell]:
    found = {one.name: one for one in its.coefficients}
    if CONGER in found:
        found.setdefault(WEIGHTED, found[CONGER])
    return [_coefficient(found.get(name)) for name in names]


def _pair_tables(results: HumanResults) -> list[Block]:
    """Weighted kappa of every two raters, folded in: an axis each; of votes the overall one. All are in the tables."""
    blocks: list[Block] = []
    for its in results.agreement:
        if its.pairwise and its.axis != OVERALL:
            continue
        rows = [
            [f"{results.raters[one.raters[0]]} and {results.raters[one.raters[1]]}", str(one.n_items),
             said_value(one.value, one.low, one.high) if one.value is not None else one.reason]
            for one in its.pairs
        ]  # fmt: skip
        if rows:
            table = Table(f"{its.label}: Cohen's kappa, weighted by squared steps", ("Raters", "Items", "Kappa"), rows)
            blocks.append(Details(f"{its.label}: kappa by pair of raters", [table]))
    return blocks


def _estimate(its: Estimate, *, is_share: bool = False) -> str | Cell:
    """The value, and its interval under it."""
    if its.value is None:
        return NOTHING
    text = percent(its.value) if is_share else decimals(its.value)
    return Cell(text, "note", tight(interval(its.low, its.high, is_share=is_share)))


def _correlation(its: Correlation) -> str | Cell:
    if its.value is None:
        return Cell(NOTHING, "note", its.reason)
    return Cell(decimals(its.value), "note", tight(interval(its.low, its.high)))
