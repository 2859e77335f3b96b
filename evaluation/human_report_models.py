"""The parts of a human evaluation's report on models: ranking, axes, harm, differences."""

from collections.abc import Mapping, Sequence

from evaluation.human import HumanResults, Profile
from evaluation.human_differences import HALF, HumanDifference
from evaluation.human_measures import OVERALL
from evaluation.human_plots import harm_plots, pair_plot, profile_plots, ranking_plot
from evaluation.human_words import (
    NOTHING,
    change,
    count,
    decimals,
    directed,
    effect,
    head_to_head,
    interval,
    percent,
    q_and_p,
    said,
    said_value,
    tight,
    verdict,
)
from evaluation.ranking import Ranking, RankRow
from evaluation.report_blocks import Block, Cell, Details, Figures, Heading, Points, Section, Table, Text
from evaluation.report_words import probability
from evaluation.stats import Estimate

MOST_DIFFERENCES = 80  # rows of a table, beyond which the report has those against the first model alone


def ranking_sections(results: HumanResults) -> list[Section]:
    """Strengths raw and adjusted side by side, votes between pairs, position bias; none without votes."""
    ranking, plot = results.ranking, ranking_plot(results)
    if ranking is None:
        return []
    blocks: list[Block] = [Text(f"{count(ranking.n_votes, 'vote')}. {ranking.method}.", "note")]
    blocks += [Points(ranking.notes)] if ranking.notes else []
    blocks += [plot.figure] if plot else []
    blocks += [_rank_table(ranking, results), *_effects(ranking), Heading("Wins, ties and losses")]
    blocks += [_matrix(results), _pair_table(ranking, results)]
    return [Section("ranking", "Ranking", blocks)]


def axis_sections(results: HumanResults) -> list[Section]:
    """Every measure of single answers by model, drawn and listed, with how often each answer was given."""
    if not results.profiles:
        return []
    figures = [plot.figure for plot in profile_plots(results)]
    blocks: list[Block] = [*figures, _profile_table("Axes by model", results.profiles, results)]
    return [Section("axes", "Axes", [*blocks, *_distributions(results)])]


def pair_axis_sections(results: HumanResults) -> list[Section]:
    """The same of votes; none without any."""
    plot = pair_plot(results)
    if plot is None:
        return []
    note = "Axes that ask which answer has more of something bad are turned here: more is better on all of them."
    table = _profile_table("Share of preferences by axis and model", results.pair_profiles, results)
    return [Section("pair-axes", "Axes of the votes", [Text(note), plot.figure, table])]


def harm_sections(results: HumanResults) -> list[Section]:
    """Extent by likelihood of harm for each model; none where it was not asked."""
    if not results.harm:
        return []
    rows = [
        [
            results.models[its.model], str(its.n), str(its.none), *(str(n) for row in its.counts for n in row),
            str(its.critical),
        ]
        for its in results.harm
    ]  # fmt: skip
    headers = (
        "Model", "Ratings", "No harm", "Mild or moderate, low", "Mild or moderate, medium", "Mild or moderate, high",
        "Severe or death, low", "Severe or death, medium", "Severe or death, high", "Critical",
    )  # fmt: skip
    note = (
        "Extent of the worst realistic harm, and how likely it is among all who would act on the answer. Shares with"
        " their intervals stand among the axes. Where harm is rare, none seen is no proof of none: see the upper ends."
    )
    figures = Figures([plot.figure for plot in harm_plots(results)])
    return [Section("harm", "Harm", [Text(note), figures, Table("Ratings by harm", headers, rows)])]


def difference_sections(results: HumanResults) -> list[Section]:
    """Every pair of models on every measure; none with one model."""
    blocks: list[Block] = []
    if results.differences:
        blocks += _differences("Differences between models, ratings", results.differences, results.models)
    overall = [its for its in results.pair_differences if its.measure == OVERALL]
    others = [its for its in results.pair_differences if its.measure != OVERALL]
    if overall:
        blocks += _differences("Head to head, votes overall", overall, results.models)
    if others:
        inside = _differences("Head to head, axes of the votes", others, results.models)
        blocks.append(Details("Head to head on each axis of the votes", inside))
    return [Section("differences", "Differences between models", blocks)] if blocks else []


def _differences(caption: str, found: Sequence[HumanDifference], models: Mapping[str, str]) -> list[Block]:
    first = next(iter(models))
    shown = found if len(found) <= MOST_DIFFERENCES else [its for its in found if first in (its.first, its.second)]
    of_votes = found[0].equal == HALF
    rows: list[list[str | Cell]] = [
        [its.label, f"{models[its.second]} against {models[its.first]}",
         head_to_head(its, models) if of_votes else change(its), *q_and_p(its),
         verdict(its, models), effect(its), str(its.n_questions)]
        for its in shown
    ]  # fmt: skip
    value = "Share of their votes, ties halved" if of_votes else "Difference"
    size = "Effect size against 50 %" if of_votes else "Effect size"
    headers = ("Measure", "Models", value, "p", "q", "Verdict", size, "Questions")
    table = Table(caption, headers, rows, labels=2, texts=("Verdict",))
    if len(shown) == len(found):
        return [table]
    note = (
        f"Only those against {models[first]}; all {len(found)} are in the tables, and q is adjusted over all of them."
    )
    return [Text(note, "note"), table]


def _rank_table(ranking: Ranking, results: HumanResults) -> Table:
    adjusted = {row.model: row for row in ranking.adjusted.rows} if ranking.adjusted else {}
    rows = [
        [results.models[row.model], str(row.n), percent(row.win_rate), _strength(row), _rank(row),
         _strength(adjusted.get(row.model)), _rank(adjusted.get(row.model))]
        for row in ranking.rows
    ]  # fmt: skip
    headers = (
        "Model",
        "Votes",
        "Won, ties halved",
        "Strength, raw",
        "Rank, raw",
        "Strength, adjusted",
        "Rank, adjusted",
    )
    return Table("Ranking, raw and adjusted for length, Markdown and side", headers, rows)


def _strength(row: RankRow | None) -> str:
    if row is None or row.strength is None:
        return NOTHING
    if row.low is None and row.high is None:
        return decimals(row.strength)
    low = decimals(row.low) if row.low is not None else "no end"
    high = decimals(row.high) if row.high is not None else "no end"
    return f"{decimals(row.strength)} ({low} to {high})"


def _rank(row: RankRow | None) -> str:
    return NOTHING if row is None or row.rank is None else f"{row.rank} ({row.rank_low} to {row.rank_high})"


def _effects(ranking: Ranking) -> list[Block]:
    """What the left side, length and Markdown do to a vote."""
    bias = ranking.position_bias
    rows = [["The left side wins, share of votes without a tie", said(bias, is_share=True), str(bias.n), bias.method]]
    if ranking.position_effect.value is not None:
        its = ranking.position_effect
        rows.append(["A place on the left, log odds", said(its, is_share=False), str(its.n), its.method])
    for name, its in (ranking.adjusted.effects if ranking.adjusted else {}).items():
        rows.append([f"{name[:1].upper()}{name[1:]}, log odds", said(its, is_share=False), str(its.n), its.method])
    headers = ("What", "Effect", "Votes", "Method")
    return [
        Heading("Position and style"),
        Table("Position bias, and what style does to a vote", headers, rows, words=1),
    ]


def _matrix(results: HumanResults) -> Table:
    models = list(results.models)
    cells = {(its.first, its.second): (its.wins, its.ties + its.both_bad, its.losses) for its in results.votes}
    rows = []
    for one in models:
        row = [results.models[one]]
        for other in models:
            won = cells.get((one, other)) or tuple(reversed(cells.get((other, one), ())))
            row.append(" / ".join(map(str, won)) if won else NOTHING)
        rows.append(row)
    headers = ("Model", *(f"against {results.models[model]}" for model in models))
    return Table("Won / tied / lost, both bad among the ties", headers, rows)


def _pair_table(ranking: Ranking, results: HumanResults) -> Table:
    bad = {frozenset((its.first, its.second)): its.both_bad for its in results.votes}
    rows = [
        [f"{results.models[its.first]} and {results.models[its.second]}", str(its.wins), str(its.ties),
         str(bad.get(frozenset((its.first, its.second)), 0)), str(its.losses),
         said_value(its.difference, its.low, its.high),
         NOTHING if its.p is None else probability(its.p), NOTHING if its.q is None else probability(its.q)]
        for its in ranking.pairs
    ]  # fmt: skip
    headers = ("Models", "First won", "Ties", "Both bad among them", "Second won", "Difference, log odds", "p", "q")
    return Table("Pairs of models", headers, rows)


def _profile_table(caption: str, profiles: Sequence[Profile], results: HumanResults) -> Table:
    rows: list[list[str | Cell]] = []
    for its in profiles:
        cells = [
            NOTHING if found.value is None
            else _estimate(found, is_share=its.measure.is_share)
            for found in its.models.values()
        ]  # fmt: skip
        rows.append([directed(its.measure), *cells, _methods(its, results.models)])
    return Table(caption, ("Axis", *results.models.values(), "Method"), rows, words=1)


def _methods(profile: Profile, models: Mapping[str, str]) -> str:
    """How the intervals were found; where that differs by model, whose is which."""
    by_method: dict[str, list[str]] = {}
    for model, found in profile.models.items():
        if found.value is not None:
            by_method.setdefault(found.method, []).append(models[model])
    if len(by_method) < 2:
        return "".join(by_method)
    return "; ".join(f"{', '.join(names)}: {method}" for method, names in by_method.items())


def _distributions(results: HumanResults) -> list[Block]:
    """A table an axis: how often each answer was given."""
    tables = []
    for axis in dict.fromkeys(its.axis for its in results.distributions):
        own = [its for its in results.distributions if its.axis == axis]
        rows = [[results.models[its.model], *_shares([n for _, n in its.counts]), str(its.unanswered)] for its in own]
        headers = ("Model", *(label for label, _ in own[0].counts), "Not answered")
        tables.append(Table(f"{own[0].label}: how often each answer was given", headers, rows))
    return [Details("How often each answer was given, by axis", tables)] if tables else []


def _shares(counts: Sequence[int]) -> list[str]:
    whole = max(1, sum(counts))
    return [f"{n} ({percent(n / whole)})" for n in counts]


def _estimate(found: Estimate, *, is_share: bool) -> Cell:
    """The value, and under it interval and number."""
    ends = interval(found.low, found.high, is_share=is_share)
    under = ", ".join(tight(part) for part in (ends, f"n = {found.n}") if part)
    return Cell(percent(found.value) if is_share else decimals(found.value), "note", under)
