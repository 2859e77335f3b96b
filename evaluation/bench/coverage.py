"""How often 95 % intervals of a ranking hold the truth, in simulated studies of which the truth is known.

Raters lean to models and to the left side, cases suit some models, and strengths are what votes of all raters on all
cases would give: that is what an interval is about.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from evaluation.battles import Battles
from evaluation.bench import Report, Row
from evaluation.bradley_terry import bradley_terry, pairs_of
from evaluation.ranking import Ranking, rank
from evaluation.ranking_intervals import Clusters, Spread, cells_of, outcome_counts, resampled, variances
from evaluation.ranking_style import strength_influence
from evaluation.stats import Floats

STRENGTHS = (-0.8, -0.4, 0.0, 0.4, 0.8)
QUADRATURE = 60  # points
WORDS: dict[Clusters, str] = {
    "rater+case": "strengths, by rater and case", "rater": "strengths, by rater alone",
    "case": "strengths, by case alone", "row": "strengths, rows drawn anew",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Design:
    """A study: k raters vote on every pair of models on every question, sides by chance.

    All but the counts in log odds: what raters and cases add to a model (standard deviations), what the left side adds
    for a rater (mean and standard deviation), and the logarithm of Davidson's nu.
    """

    raters: int = 12
    questions: int = 200
    raters_per_item: int = 2
    rater_spread: float = 0.3
    case_spread: float = 0.4
    side: float = 0.2
    side_spread: float = 0.3
    log_nu: float = -0.5
    strengths: tuple[float, ...] = STRENGTHS


class Truth(NamedTuple):
    """Strengths (M,) and the left side's share of votes without ties, over all raters and cases."""

    strengths: Floats
    left_share: float


class Hit(NamedTuple):
    """Share of a study's intervals that held the truth, and their mean width."""

    held: float
    width: float


def measure(runs: int, resamples: int = 500, design: Design | None = None) -> Report:
    """Coverage of each way to make intervals over so many studies, with its Monte Carlo error."""
    design = design or Design()
    truth = true_values(design)
    names = [str(model) for model in range(len(design.strengths))]
    found: dict[str, list[Hit]] = {}
    ranks, sides = [], []
    for number in range(runs):
        rng = np.random.default_rng(number)
        battles = simulated(design, rng)
        for clusters, words in WORDS.items():
            ranking = rank(battles, names, number, resamples, clusters)
            found.setdefault(words, []).append(_hit(_ends(ranking, names), truth.strengths))
            if clusters == "rater+case":
                ranks.append(_ranks_held(ranking, truth.strengths))
                low, high = ranking.position_bias.low, ranking.position_bias.high
                sides.append(low is not None and high is not None and low <= truth.left_share <= high)
        for words, ends in _plainer(battles, len(names), resamples, rng).items():
            found.setdefault(words, []).append(_hit(ends, truth.strengths))
    conditions: dict[str, str | int | float] = {
        "studies": runs, "models": len(names), "raters": design.raters, "questions": design.questions,
        "votes": len(battles.left), "resamples": resamples, "in brackets": "Monte Carlo error",
    }  # fmt: skip
    rest = [_share("all true ranks within their ranges", ranks), _share("the left side's share of votes", sides)]
    return Report("coverage", conditions, [*_coverages(found), *rest])


def simulated(design: Design, rng: np.random.Generator) -> Battles:
    """The votes of one study."""
    n_models = len(design.strengths)
    first, second = pairs_of(n_models)
    n_items = design.questions * len(first)
    case = np.repeat(np.arange(design.questions), len(first) * design.raters_per_item)
    pair = np.tile(np.repeat(np.arange(len(first)), design.raters_per_item), design.questions)
    rater = rng.random((n_items, design.raters)).argsort(axis=1)[:, : design.raters_per_item].ravel()
    turned = rng.random(len(case)) < 0.5
    left, right = np.where(turned, second[pair], first[pair]), np.where(turned, first[pair], second[pair])
    liked = np.array(design.strengths) + rng.normal(0, design.rater_spread, (design.raters, n_models))  # (T, M)
    suited = rng.normal(0, design.case_spread, (design.questions, n_models))  # (Q, M)
    side = rng.normal(design.side, design.side_spread, design.raters)
    odds = liked[rater, left] - liked[rater, right] + suited[case, left] - suited[case, right] + side[rater]
    won, tied, _ = _chances(odds, design.log_nu)
    drawn = rng.random(len(odds))
    outcome = np.where(drawn < won, 1.0, np.where(drawn < won + tied, 0.5, 0.0))
    return Battles(left, right, outcome, rater, case)


def true_values(design: Design) -> Truth:
    """Of votes without end, by Gauss-Hermite quadrature over raters and cases."""
    strengths = np.array(design.strengths)
    first, second = pairs_of(len(strengths))
    at, weight = np.polynomial.hermite_e.hermegauss(QUADRATURE)
    spread = np.sqrt(2 * design.rater_spread**2 + 2 * design.case_spread**2 + design.side_spread**2)
    odds = (strengths[first] - strengths[second])[:, None] + spread * at  # (P, points)
    as_dealt, turned = (
        [chance @ weight / weight.sum() for chance in _chances(odds + side, design.log_nu)]
        for side in (design.side, -design.side)
    )
    counts = np.stack([one + other for one, other in zip(as_dealt, turned, strict=True)], axis=1)[None]  # (1, P, 3)
    on_left, on_right = as_dealt[0] + turned[2], as_dealt[2] + turned[0]
    share = on_left.sum() / (on_left.sum() + on_right.sum())
    return Truth(bradley_terry(counts, len(strengths)).strengths[0], float(share))


def _chances(odds: Floats, log_nu: float) -> tuple[Floats, Floats, Floats]:
    """That the left side wins, ties and loses."""
    up, down, tie = np.exp(odds / 2), np.exp(-odds / 2), np.exp(log_nu)
    whole = up + down + tie
    return up / whole, tie / whole, down / whole


def _plainer(
    battles: Battles, n_models: int, resamples: int, rng: np.random.Generator
) -> dict[str, tuple[Floats, Floats]]:
    """Ends of plain 95 % percentile intervals, of the pigeonhole bootstrap as it is, and with its spread matched."""
    kind, n_kinds = outcome_counts(battles, n_models), 3 * len(pairs_of(n_models)[0])
    cells = cells_of(battles, "rater+case")
    fit = bradley_terry(np.bincount(kind, minlength=n_kinds).reshape(1, -1, 3).astype(float), n_models)
    counts, _ = resampled(kind, n_kinds, np.zeros((cells.n_cells, 0)), cells, rng, resamples)
    draws = bradley_terry(counts.reshape(resamples, -1, 3), n_models, start=fit).strengths
    spread = Spread(fit.strengths[0], draws, variances(strength_influence(battles, fit, cells), cells), cells)
    return {
        f"strengths, {words}": (np.quantile(its, 0.025, axis=0), np.quantile(its, 0.975, axis=0))
        for words, its in (("pigeonhole as it is", draws), ("plain percentiles", spread.matched()))
    }


def _ends(ranking: Ranking, names: Sequence[str]) -> tuple[Floats, Floats]:
    rows = {row.model: row for row in ranking.rows}
    low, high = ([getattr(rows[name], end) for name in names] for end in ("low", "high"))
    return np.array(low, dtype=float), np.array(high, dtype=float)  # None becomes NaN, which holds nothing


def _hit(ends: tuple[Floats, Floats], truth: Floats) -> Hit:
    low, high = ends
    return Hit(float(((low <= truth) & (truth <= high)).mean()), float((high - low).mean()))


def _ranks_held(ranking: Ranking, truth: Floats) -> bool:
    true_rank = {str(model): 1 + int((truth > its).sum()) for model, its in enumerate(truth)}
    return all((row.rank_low or 0) <= true_rank[row.model] <= (row.rank_high or 0) for row in ranking.rows)


def _coverages(found: dict[str, list[Hit]]) -> list[Row]:
    """Against rows drawn anew. Of ours the figure is by how many points it covers more."""
    naive, _ = _percent([hit.held for hit in found[WORDS["row"]]])
    rows = []
    for words, hits in found.items():
        covered, error = _percent([hit.held for hit in hits])
        width = float(np.mean([hit.width for hit in hits]))
        measured = f"{words} ({error:.1f}), width {width:.2f}"
        is_ours = words == WORDS["rater+case"]
        aim = ">= 90 %, 5 more than rows" if is_ours else ""
        met = (covered >= 90 and covered - naive >= 5) if is_ours else None
        rows.append(Row(measured, "% covered", covered, "rows", naive, covered - naive, aim, met))
    return rows


def _share(words: str, held: Sequence[bool]) -> Row:
    covered, error = _percent(held)
    return Row(f"{words} ({error:.1f})", "% of studies", covered, "", aim=">= 90 %", met=covered >= 90)


def _percent(held: Sequence[float]) -> tuple[float, float]:
    """The mean and its standard error, in per cent."""
    return 100 * float(np.mean(held)), 100 * float(np.std(held) / len(held) ** 0.5)
