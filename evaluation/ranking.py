"""Models ranked by votes: strengths with ties, intervals for other raters and cases, raw and adjusted for style."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple, get_args

import numpy as np
import numpy.typing as npt

from evaluation.battles import Battles, battles_of, groups_of, reached, table
from evaluation.bradley_terry import FURTHEST, Fit, Ties, bradley_terry, held_finite, pairs_of
from evaluation.human_estimates import FEW_RATERS
from evaluation.ranking_intervals import (
    Cells,
    Clusters,
    Spread,
    cells_of,
    method,
    outcome_counts,
    rank_ranges,
    resampled,
    variances,
)
from evaluation.ranking_style import added, fit_votes, score_sums, strength_influence
from evaluation.stats import SHARES, Estimate, Floats, Interval, kept_within, wilson

__all__ = ["Adjusted", "Battles", "PairRow", "RankRow", "Ranking", "battles_of", "bradley_terry", "rank", "table"]

RESAMPLES = 1000
MODELS = {
    "davidson": "Bradley-Terry with ties (Davidson 1970)",
    "half": "Bradley-Terry, a tie is half a win for each",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class RankRow:
    """A model. win_rate: share of its n votes won, a tie is half a win; None without votes.

    strength: log odds against the average model, with its 95 % interval; an end is None where the model won, or lost,
    everything. rank: 1 is best; rank_low to rank_high: where it may stand, for all models at once. All None where
    models cannot be put on one scale.
    """

    model: str
    n: int
    win_rate: float | None
    strength: float | None = None
    low: float | None = None
    high: float | None = None
    rank: int | None = None
    rank_low: int | None = None
    rank_high: int | None = None


@dataclass(frozen=True, slots=True)
class PairRow:
    """Two models: votes that the first one won, tied and lost, and the difference of their strengths in log odds.

    p: of no difference, by Student's t with a degree of freedom less than there are clusters; q: p adjusted for the
    number of pairs (Benjamini and Hochberg). None where one of the two cannot lose against the other.
    """

    first: str
    second: str
    wins: int
    ties: int
    losses: int
    difference: float | None = None
    low: float | None = None
    high: float | None = None
    p: float | None = None
    q: float | None = None


@dataclass(frozen=True, slots=True)
class Adjusted:
    """The rows of models whose answers have the same length and markup and stand on the same side.

    effects: what doubling a style does to the log odds of an answer, by style.
    """

    rows: tuple[RankRow, ...]
    effects: dict[str, Estimate]
    method: str


@dataclass(frozen=True, slots=True)
class Ranking:
    """Models, the best first; every pair; what the left side does to a vote.

    position_bias: share of votes without ties that the left side won. position_effect: log odds that a place on the
    left adds, in the adjusted model. tie_share: of all votes, "both bad" among them. adjusted: None where the votes
    cannot tell style from model. notes: what a reader has to know, a line each.
    """

    rows: tuple[RankRow, ...]
    pairs: tuple[PairRow, ...]
    method: str
    n_votes: int
    n_both_bad: int
    tie_share: float | None
    position_bias: Estimate
    position_effect: Estimate
    adjusted: Adjusted | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Bout:
    """Votes between models that can be ranked, and how they are resampled. wins, ties: (M, M)."""

    battles: Battles
    names: Sequence[str]
    wins: Floats
    ties: Floats
    cells: Cells
    clusters: Clusters
    tie_model: Ties
    resamples: int

    @property
    def reached(self) -> npt.NDArray[np.bool_]:
        """Whether (M, M) the model of the row has won or tied against that of the column, directly or over others."""
        return reached(self.wins + self.ties > 0)


BY_NAME: dict[str, Clusters] = {name: name for name in get_args(Clusters)}
LEAST = {"rater": FEW_RATERS, "case": 2, "row": 2}  # clusters
TOO_FAR = FURTHEST - 5  # log odds that only ties keep from being without bounds
HELD = "they are held finite by one more vote for each model, half won and half lost (Newman 2023)."
_NONE = Estimate(None, 0, 0, None, None, "nothing to tell it by")


def rank(
    battles: Battles, names: Sequence[str], seed: int = 0, resamples: int = RESAMPLES,
    clusters: Clusters = "rater+case", ties: Ties = "davidson",
) -> Ranking:  # fmt: skip
    """The models of the names, that are numbered in the battles, from the strongest to the weakest.

    The same votes and seed give the same ranking. It never fails for want of votes: notes say what cannot be told.
    """
    wins, tied, _ = table(battles, len(names))
    bare = _bare(names, wins, tied)
    whole = Ranking(
        bare, _bare_pairs(names, wins, tied), MODELS[ties], len(battles.left), battles.n_both_bad,
        float((battles.outcome == 0.5).mean()) if len(battles.left) else None, _NONE, _NONE,
    )  # fmt: skip
    met = wins + wins.T + tied > 0
    played = [number for number in range(len(names)) if met[number].any()]
    unseen = [name for number, name in enumerate(names) if number not in played]
    notes = [f"No votes on {_listed(unseen)}: not ranked."] if unseen else []
    groups = groups_of(met[np.ix_(played, played)])
    if len(groups) != 1:
        if groups:
            apart = "; ".join(_listed([names[played[its]] for its in group]) for group in groups)
            notes.append(
                "No ranking: these groups of models were never compared with each other, directly or through others: "
                f"{apart}. Add votes between them."
            )
        return replace(whole, notes=tuple(notes))
    if (battles.outcome == 0.5).all() or len(battles.left) < 2:
        why = "there is one vote" if len(battles.left) < 2 else "every vote is a tie"
        return replace(whole, notes=(*notes, f"No ranking: {why}."))
    bout, more = _bout(battles, names, played, clusters, ties, resamples)
    return _ranked(bout, whole, [*notes, *more], np.random.default_rng(seed))


def _bout(
    battles: Battles, names: Sequence[str], played: Sequence[int], clusters: Clusters, ties: Ties, resamples: int
) -> tuple[_Bout, list[str]]:
    """The votes on the models that were played, and what has to be said of how they are resampled."""
    number = np.zeros(len(names), dtype=np.int64)
    number[list(played)] = np.arange(len(played))
    fought = replace(battles, left=number[battles.left], right=number[battles.right])
    kept, notes = _usable(battles, clusters)
    wins, tied, _ = table(fought, len(played))
    ranked = [names[its] for its in played]
    return _Bout(fought, ranked, wins, tied, cells_of(fought, kept), kept, ties, resamples), notes


def _usable(battles: Battles, clusters: Clusters) -> tuple[Clusters, list[str]]:
    """The ways of clustering that have clusters enough, and a note on each that has not."""
    kept, notes = [], []
    for way in clusters.split("+"):
        n = len(battles.left) if way == "row" else len(np.unique(getattr(battles, way)))
        if n < LEAST[way]:
            notes.append(f"{n} {way}{'s' * (n > 1)}, too few to tell how others would vote: no interval covers others.")
        else:
            kept.append(way)
    return BY_NAME["+".join(kept) or "row"], notes


def _ranked(bout: _Bout, whole: Ranking, notes: list[str], rng: np.random.Generator) -> Ranking:
    battles, n_models, cells = bout.battles, len(bout.names), bout.cells
    kind, n_kinds = outcome_counts(battles, n_models), 3 * len(pairs_of(n_models)[0])
    fit, is_held = _fits(np.bincount(kind, minlength=n_kinds)[None].astype(float), n_models, bout.tie_model)
    raw = strength_influence(battles, fit, cells, bout.tie_model, is_held=bool(is_held))
    styled = None if is_held else _styled(bout, fit, notes)
    decisive = battles.outcome != 0.5
    sides = np.stack([_by_cell(cells, decisive & (battles.outcome == 1.0)), _by_cell(cells, decisive)], axis=1)
    sums = [sides] if styled is None else [sides, styled.influence]
    counts, drawn = resampled(kind, n_kinds, np.concatenate(sums, axis=1), cells, rng, bout.resamples)
    refits, n_held = _fits(counts, n_models, bout.tie_model, fit)
    if is_held:
        notes.insert(0, _boundless(bout))
    elif n_held:
        notes.append(f"In {n_held:,} of {bout.resamples:,} resamples a model won or lost everything; {HELD}")
    spread = Spread(fit.strengths[0], refits.strengths, variances(raw, cells), cells)
    how = method(cells, bout.clusters, bout.resamples)
    rows = _rows(bout, spread)
    shown = {row.model for row in rows}
    ranking = replace(
        whole, rows=(*rows, *(row for row in whole.rows if row.model not in shown)),
        pairs=_pairs(bout, spread), method=f"{MODELS[bout.tie_model]}; {how}",
        position_bias=_share(sides, drawn[:, :2], cells, how),
    )  # fmt: skip
    if styled is None:
        return replace(ranking, notes=tuple(notes))
    spread = Spread(styled.values, styled.values + drawn[:, 2:], variances(styled.influence, cells), cells)
    low, high = spread.interval()
    effects = {
        name: Estimate(float(styled.values[place]), len(battles.left), 0, _end(low[place]), _end(high[place]), how)
        for place, name in enumerate(("", *styled.styles), start=n_models)
    }
    position = effects.pop("")
    adjusted = None
    if styled.styles:
        strengths = spread.of(np.eye(n_models, len(styled.values)))
        linear = how.replace("bootstrap", "bootstrap of the scores (Kline, Santos 2012)")
        adjusted = Adjusted(_rows(bout, strengths), effects, f"{MODELS[bout.tie_model]}, with side and style; {linear}")
    return replace(ranking, position_effect=position, adjusted=adjusted, notes=tuple(notes))


def _fits(counts: Floats, n_models: int, ties: Ties, start: Fit | None = None) -> tuple[Fit, int]:
    """Strengths of each row of counts (B, 3 P), held finite where they have to be, and how many had to be."""
    tables = counts.reshape(len(counts), -1, 3)
    first, second = pairs_of(n_models)
    beaten = np.zeros((len(counts), n_models, n_models), dtype=bool)
    beaten[:, first, second] = tables[:, :, :2].any(axis=2)
    beaten[:, second, first] = tables[:, :, 1:].any(axis=2)
    found = bradley_terry(tables, n_models, ties, start)
    apart = ~reached(beaten).all(axis=(1, 2)) | (np.abs(found.strengths).max(axis=1) > TOO_FAR)
    if apart.any():
        found.strengths[apart], found.log_nu[apart] = held_finite(tables[apart], n_models, ties)
    return found, int(apart.sum())


class _Styled(NamedTuple):
    """Strengths and effects, the side first, of the model with style (M + E,), and what each cell adds to them."""

    values: Floats
    styles: tuple[str, ...]
    influence: Floats


def _styled(bout: _Bout, fit: Fit, notes: list[str]) -> _Styled | None:
    """With side and style; with side alone where style cannot be told from the models; None where nothing can."""
    battles, n_models = bout.battles, len(bout.names)
    styles = battles.features if battles.features is not None else np.zeros((len(battles.left), 0))
    vary = [number for number in range(styles.shape[1]) if np.ptp(styles[:, number]) > 0]
    if not vary:
        notes.append("No adjusted ranking: the answers' length and markup are not known or do not differ.")
    for used in [vary, []] if vary else [[]]:
        extra = np.concatenate([np.ones((len(battles.left), 1)), styles[:, used]], axis=1)
        found = fit_votes(battles, n_models, extra, bout.tie_model, fit)
        if found.is_sure:
            slopes, bend = score_sums(
                battles, found.strengths, found.log_nu, bout.cells.of_vote, bout.cells.n_cells, bout.tie_model, extra,
                found.effects,
            )  # fmt: skip
            values = np.concatenate([found.strengths, found.effects])
            return _Styled(
                values, tuple(battles.styles[number] for number in used), added(slopes, bend)[:, : len(values)]
            )
        if used:
            notes.append("No adjusted ranking: in these votes style cannot be told from model.")
    return None


def _by_cell(cells: Cells, votes: npt.NDArray[np.bool_]) -> Floats:
    return np.asarray(np.bincount(cells.of_vote, votes, minlength=cells.n_cells), dtype=float)


def _share(sides: Floats, drawn: Floats, cells: Cells, how: str) -> Estimate:
    """The left side's share of votes without ties. sides: its wins and all of these votes by cell (N, 2)."""
    won, n = sides.sum(axis=0)
    if not n:
        return _NONE
    share = won / n
    if won in (0, n):
        low, high = wilson(share * cells.fewest, cells.fewest)
        return Estimate(float(share), int(n), 0, low, high, f"Wilson over {cells.fewest} clusters, 95 %")
    influence = (sides[:, :1] - share * sides[:, 1:]) / n
    draws = drawn[:, :1] / np.maximum(drawn[:, 1:], 1e-9)
    lows, highs = Spread(np.array([share]), draws, variances(influence, cells), cells).interval()
    return Estimate(float(share), int(n), 0, *kept_within(Interval(_end(lows[0]), _end(highs[0]), how), SHARES))


def _rows(bout: _Bout, spread: Spread) -> tuple[RankRow, ...]:
    order = np.argsort(-spread.values, kind="stable")
    spread = spread.of(np.eye(len(order))[order])
    known = bout.reached[np.ix_(order, order)]
    n = (bout.wins + bout.wins.T + bout.ties).sum(axis=1)[order]
    won = (bout.wins + bout.ties / 2).sum(axis=1)[order]
    low, high = spread.interval()
    best, worst = rank_ranges(len(order), spread.of(_contrasts(len(order))))
    return tuple(
        RankRow(
            bout.names[model], int(n[place]), float(won[place] / n[place]), float(spread.values[place]),
            _end(low[place], bool(known[place].all())), _end(high[place], bool(known[:, place].all())),
            1 + int((spread.values > spread.values[place] + 1e-9).sum()), int(best[place]), int(worst[place]),
        )
        for place, model in enumerate(order)
    )  # fmt: skip


def _contrasts(n_models: int) -> Floats:
    """Of every pair (P, M): the first one less the second."""
    first, second = pairs_of(n_models)
    return np.eye(n_models)[first] - np.eye(n_models)[second]


def _pairs(bout: _Bout, spread: Spread) -> tuple[PairRow, ...]:
    """Every pair, the stronger model first."""
    from scipy.stats import false_discovery_control
    from scipy.stats import t as student_t

    order = np.argsort(-spread.values, kind="stable")
    differences = spread.of(_contrasts(len(order)) @ np.eye(len(order))[order])
    low, high = differences.interval()
    size = np.abs(differences.values) / np.where(differences.errors > 0, differences.errors, np.nan)
    p = 2 * student_t.sf(size, differences.cells.fewest - 1)
    rows = []
    for place, (a, b) in enumerate(zip(*(order[side] for side in pairs_of(len(order))), strict=True)):
        wins, ties, losses = (int(its) for its in (bout.wins[a, b], bout.ties[a, b], bout.wins[b, a]))
        bounded = bool(bout.reached[a, b]), bool(bout.reached[b, a])
        rows.append(PairRow(
            bout.names[a], bout.names[b], wins, ties, losses, float(differences.values[place]),
            _end(low[place], bounded[0]), _end(high[place], bounded[1]), _end(p[place], all(bounded)),
        ))  # fmt: skip
    told = [row.p for row in rows if row.p is not None]
    control = iter(false_discovery_control(told, method="bh") if told else ())
    return tuple(replace(row, q=float(next(control))) if row.p is not None else row for row in rows)


def _end(value: float, is_told: bool = True) -> float | None:
    return float(value) if is_told and np.isfinite(value) else None


def _bare(names: Sequence[str], wins: Floats, tied: Floats) -> tuple[RankRow, ...]:
    n, won = (wins + wins.T + tied).sum(axis=1), (wins + tied / 2).sum(axis=1)
    return tuple(
        RankRow(name, int(its), float(half / its) if its else None)
        for name, its, half in zip(names, n, won, strict=True)
    )  # fmt: skip


def _bare_pairs(names: Sequence[str], wins: Floats, tied: Floats) -> tuple[PairRow, ...]:
    return tuple(
        PairRow(names[a], names[b], int(wins[a, b]), int(tied[a, b]), int(wins[b, a]))
        for a, b in zip(*pairs_of(len(names)), strict=True)
    )


def _boundless(bout: _Bout) -> str:
    known = bout.reached
    best = [name for place, name in enumerate(bout.names) if not (known[:, place] & ~known[place]).any()]
    worst = [name for place, name in enumerate(bout.names) if not (known[place] & ~known[:, place]).any()]
    won = f"Won every vote against the rest: {_listed(best)}. Lost every one: {_listed(worst)}. "
    said = "The few votes besides ties all went one way. " if known.all() else won
    return f"{said}Such strengths have no bounds; {HELD} No ranking adjusted for style."


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names)
