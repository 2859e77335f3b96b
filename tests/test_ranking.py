"""Models ranked by votes: published and hand-derived strengths, evalica's, and what cannot be told."""

from dataclasses import replace
from datetime import UTC, datetime
from math import log

import evalica
import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from evaluation.battles import Battles, battles_of, table
from evaluation.bench.coverage import Design, simulated
from evaluation.bradley_terry import Fit, Ties, bradley_terry, pairs_of
from evaluation.human_data import HumanVote, Vote
from evaluation.ranking import Ranking, rank
from evaluation.ranking_intervals import Spread, cells_of, rank_ranges, variances, weights
from evaluation.ranking_style import fit_votes
from evaluation.stats import Floats
from medchat.errors import InvalidInput

# Six brands of chocolate pudding: first, second, first preferred, second preferred, no preference. Davidson (1970).
PUDDINGS = (
    (1, 2, 19, 22, 16), (1, 3, 16, 19, 12), (1, 4, 18, 23, 13), (1, 5, 13, 19, 18), (1, 6, 18, 21, 12),
    (2, 3, 19, 19, 10), (2, 4, 23, 19, 9), (2, 5, 16, 20, 12), (2, 6, 22, 20, 12), (3, 4, 19, 20, 15),
    (3, 5, 16, 15, 17), (3, 6, 13, 18, 10), (4, 5, 17, 14, 16), (4, 6, 14, 19, 18), (5, 6, 11, 21, 12),
)  # fmt: skip

# American League 1987, wins and losses of the home team (row) against each visitor. A. Agresti, Categorical Data
# Analysis, 2nd ed. (2002), section 10.6.
TEAMS = ("Milwaukee", "Detroit", "Toronto", "New York", "Boston", "Cleveland", "Baltimore")
AT_HOME = """
-   4-3 4-2 4-3 6-1 4-2 6-0
3-3 -   4-2 4-3 6-0 6-1 4-3
2-5 4-3 -   2-4 4-3 4-2 6-0
3-3 5-1 2-5 -   4-3 4-2 6-1
5-1 2-5 3-3 4-2 -   5-2 6-0
2-5 3-3 3-4 4-3 4-2 -   2-4
2-5 1-5 1-6 2-4 1-6 3-4 -
"""


def fought(*battles: tuple[int, int, float], raters: int = 1, features: Floats | None = None) -> Battles:
    """Battles of (left, right, outcome), on a case each, of so many raters in turn."""
    left, right, outcome = (np.array(column) for column in zip(*battles, strict=True))
    number = np.arange(len(battles))
    return Battles(left, right, outcome.astype(float), number % raters, number, features)


def baseball() -> Battles:
    games = []
    for home, row in enumerate(AT_HOME.split("\n")[1:-1]):
        for away, score in enumerate(row.split()):
            if score != "-":
                won, lost = map(int, score.split("-"))
                games += [(home, away, 1.0)] * won + [(home, away, 0.0)] * lost
    return fought(*games)


def counted(battles: Battles, n_models: int) -> Floats:
    """Won, tied and lost (1, P, 3) of every pair."""
    wins, ties, losses = table(battles, n_models)
    first, second = pairs_of(n_models)
    return np.stack([wins[first, second], ties[first, second], losses[first, second]], axis=1)[None]


def strengths_of(ranking: Ranking) -> dict[str, float | None]:
    return {row.model: row.strength for row in ranking.rows}


def test_two_models_by_hand() -> None:
    # Davidson with two models fits exactly: 8 won, 2 lost, 4 tied: log odds ln(8 / 2) = 1.386, nu = 4 / sqrt(8 * 2) = 1
    fit = bradley_terry(np.array([[[8.0, 4.0, 2.0]]]), 2)
    assert fit.strengths[0] == pytest.approx([log(4) / 2, -log(4) / 2])
    assert np.exp(fit.log_nu[0]) == pytest.approx(1.0)

    # with ties as half wins 10 to 4: ln(2.5)
    half = bradley_terry(np.array([[[8.0, 4.0, 2.0]]]), 2, "half")
    assert half.strengths[0] == pytest.approx([log(2.5) / 2, -log(2.5) / 2])


def test_davidsons_own_example_with_ties() -> None:
    fit = bradley_terry(np.array([[[won, tied, lost] for _, _, won, lost, tied in PUDDINGS]], dtype=float), 6)

    worth = np.exp(fit.strengths[0])
    assert worth / worth.sum() == pytest.approx([0.139, 0.173, 0.162, 0.165, 0.159, 0.202], abs=5e-4)
    assert np.exp(fit.log_nu[0]) == pytest.approx(0.747, abs=5e-4)


def test_published_strengths_without_ties() -> None:
    strengths = bradley_terry(counted(baseball(), 7), 7).strengths[0]

    # against Baltimore
    assert strengths - strengths[6] == pytest.approx([1.58, 1.44, 1.29, 1.25, 1.11, 0.68, 0.0], abs=0.005)


def test_published_effect_of_playing_at_home_is_the_position_effect() -> None:
    fit = fit_votes(baseball(), 7, np.ones((273, 1)), "half", Fit(np.zeros((1, 7)), np.array([-np.inf])))
    assert fit.effects == pytest.approx([0.302], abs=5e-4)

    ranking = rank(baseball(), TEAMS, clusters="row")

    assert ranking.position_effect.value == pytest.approx(0.302, abs=5e-4)
    # standard error 0.131: 0.302 -+ 1.96 * 0.131
    assert ranking.position_effect.low == pytest.approx(0.046, abs=0.05)
    assert ranking.position_effect.high == pytest.approx(0.559, abs=0.05)
    # 154 of 273 games were won at home: 0.5641, standard error sqrt(0.5641 * 0.4359 / 273) = 0.0300
    assert ranking.position_bias.value == pytest.approx(154 / 273)
    assert ranking.position_bias.low == pytest.approx(0.5641 - 0.0588, abs=0.008)
    assert [row.model for row in ranking.rows] == list(TEAMS)


@pytest.mark.parametrize("ties", ["davidson", "half"])
def test_strengths_are_those_of_evalica(ties: Ties) -> None:
    battles = simulated(Design(questions=40), np.random.default_rng(3))
    winner = {1.0: evalica.Winner.X, 0.5: evalica.Winner.Draw, 0.0: evalica.Winner.Y}
    votes = battles.left.tolist(), battles.right.tolist(), [winner[its] for its in battles.outcome]
    compute = evalica.newman if ties == "davidson" else evalica.bradley_terry
    scores = np.log(compute(*votes, tolerance=1e-12, limit=10_000).scores.sort_index().to_numpy())

    ranked = strengths_of(rank(battles, "01234", resamples=10, ties=ties))

    assert [ranked[name] for name in "01234"] == pytest.approx(scores - scores.mean(), abs=1e-6)


def test_style_with_half_ties_is_a_logistic_regression() -> None:
    rng = np.random.default_rng(4)
    battles = simulated(Design(questions=30), rng)
    style = rng.normal(size=(len(battles.left), 2))
    start = bradley_terry(counted(battles, 5), 5, "half")
    fit = fit_votes(battles, 5, np.c_[np.ones(len(style)), style], "half", start)

    design = np.c_[np.eye(5)[battles.left] - np.eye(5)[battles.right], np.ones(len(style)), style]
    theirs = LogisticRegression(C=np.inf, fit_intercept=False, tol=1e-10, max_iter=10_000).fit(
        np.r_[design, design], np.repeat([1, 0], len(design)), np.r_[battles.outcome, 1 - battles.outcome]
    )
    strengths = theirs.coef_[0][:5]
    assert fit.strengths == pytest.approx(strengths - strengths.mean(), abs=1e-4)
    assert fit.effects == pytest.approx(theirs.coef_[0][5:], abs=1e-4)


def test_adjusted_ranking_takes_out_what_length_did() -> None:
    # Both answers are equally good; the longer one wins by log odds of 1 a doubling, and model 1 writes at more length.
    rng = np.random.default_rng(5)
    left = rng.integers(2, size=6000)
    longer = rng.normal(0.6, 1.0, 6000) * np.where(left == 1, 1, -1)
    outcome = (rng.random(6000) < 1 / (1 + np.exp(-longer))).astype(float)
    battles = Battles(
        left, 1 - left, outcome, np.arange(6000) % 40, np.arange(6000) % 150, np.c_[longer, np.zeros(6000)]
    )

    ranking = rank(battles, ["short", "long"])

    assert ranking.rows[0].model == "long"
    assert ranking.rows[0].low is not None
    assert ranking.rows[0].low > 0.1
    assert ranking.adjusted is not None
    assert list(ranking.adjusted.effects) == ["twice as many words"]
    assert ranking.adjusted.effects["twice as many words"].value == pytest.approx(1.0, abs=0.1)
    assert ranking.adjusted.rows[0].low is not None
    assert ranking.adjusted.rows[0].low < 0


def test_style_that_is_the_model_itself_is_said_to_be_so() -> None:
    battles = fought(*[(0, 1, 1.0), (1, 0, 1.0), (0, 1, 0.0), (1, 0, 0.5)] * 10)
    same = replace(battles, features=np.c_[np.where(battles.left == 0, 1.0, -1.0), np.zeros(40)])

    ranking = rank(same, "ab")

    assert ranking.adjusted is None
    assert "No adjusted ranking: in these votes style cannot be told from model." in ranking.notes
    assert ranking.position_effect.value is not None


def test_position_bias_by_hand() -> None:
    # of 8 decisive votes the left side won 6; two ties do not count
    ranking = rank(fought(*[(0, 1, 1.0), (1, 0, 1.0), (1, 0, 0.0), (0, 1, 1.0)] * 2, (0, 1, 0.5), (1, 0, 0.5)), "ab")

    assert ranking.position_bias.value == pytest.approx(6 / 8)
    assert ranking.position_bias.n == 8
    assert ranking.tie_share == pytest.approx(0.2)


def test_both_bad_is_a_tie_and_counted_apart_and_repeats_are_left_out() -> None:
    said: list[tuple[Vote, str]] = [("a", ""), ("both_bad", ""), ("tie", ""), ("b", ""), ("a", "first")]
    votes = [
        HumanVote(
            str(number), ("x", "y"), f"q{number}", ("m", "n"), "r", "", "", datetime(2026, 1, 1, tzinfo=UTC), vote,
            repeat_of=repeat, words=(7, 3), markdown=(1, 0),
        )
        for number, (vote, repeat) in enumerate(said)
    ]  # fmt: skip
    battles = battles_of(votes, ["n", "m"])

    assert battles.outcome.tolist() == [1.0, 0.5, 0.5, 0.0]
    assert battles.left.tolist() == [1, 1, 1, 1]
    assert battles.n_both_bad == 1
    assert battles.features is not None
    assert battles.features[0].tolist() == [1.0, 1.0]  # log2(8 / 4), log2(2 / 1)
    wins, ties, losses = table(battles, 2)
    assert (wins[1, 0], ties[1, 0], losses[1, 0]) == (1, 2, 1)
    with pytest.raises(InvalidInput, match="not to be ranked: m; add"):
        battles_of(votes, ["n"])


def test_models_that_never_met_are_not_put_on_one_scale() -> None:
    ranking = rank(fought(*[(0, 1, 1.0), (1, 0, 1.0), (2, 3, 0.0), (3, 2, 0.0)] * 5), ["A", "B", "C", "D", "E"])

    assert [row.strength for row in ranking.rows] == [None] * 5
    assert ranking.rows[0].win_rate == 0.5
    assert ranking.rows[4].win_rate is None
    assert ranking.notes == (
        "No votes on E: not ranked.",
        "No ranking: these groups of models were never compared with each other, directly or through others: "
        "A, B; C, D. Add votes between them.",
    )


def test_a_model_that_won_everything_is_first_and_has_no_upper_end() -> None:
    ranking = rank(
        fought(*[(0, 1, 1.0), (2, 0, 0.0), (1, 2, 1.0), (2, 1, 1.0), (1, 2, 0.5)] * 6, raters=12), ["A", "B", "C"]
    )

    first = ranking.rows[0]
    assert (first.model, first.win_rate, first.rank, first.high) == ("A", 1.0, 1, None)
    assert first.strength is not None
    assert 1 < first.strength < 5
    assert ranking.notes[0].startswith("Won every vote against the rest: A. Lost every one: B, C. Such strengths")
    assert "one more vote for each model" in ranking.notes[0]
    assert ranking.pairs[0].high is None
    assert ranking.pairs[0].p is None


@pytest.mark.parametrize(
    ("battles", "note"),
    [
        ([(0, 1, 0.5)] * 4, "No ranking: every vote is a tie."),
        ([(0, 1, 1.0)], "No ranking: there is one vote."),
    ],
)
def test_what_tells_nothing_is_a_line_and_no_number(battles: list[tuple[int, int, float]], note: str) -> None:
    ranking = rank(fought(*battles), "ab")

    assert ranking.notes == (note,)
    assert [row.strength for row in ranking.rows] == [None, None]


def test_few_raters_are_no_sample_of_raters() -> None:
    votes = [(0, 1, 1.0), (1, 0, 1.0), (0, 1, 1.0), (0, 1, 0.5)] * 10

    ranking = rank(fought(*votes, raters=2), "ab")

    assert "2 raters, too few to tell how others would vote" in ranking.notes[0]
    assert "bootstrap over 40 cases" in ranking.method


def test_two_way_variance_by_hand() -> None:
    # Raters 1 1 2 2 on cases 1 2 1 2 with influences 3 1 -1 -3: raters add up to 4, -4: 2 * 32 = 64; cases to 2, -2:
    # 2 * 8 = 16; each vote: 4 / 3 * 20 = 26.67; two ways 64 + 16 - 26.67 = 53.33, less than raters alone say
    numbers = np.array([0, 0, 1, 1]), np.array([0, 1, 0, 1])
    battles = Battles(np.zeros(4, int), np.ones(4, int), np.ones(4), *numbers)
    cells = cells_of(battles, "rater+case")
    covariances = variances(np.array([[3.0], [1.0], [-1.0], [-3.0]]), cells)

    assert [float(its[0, 0]) for its in covariances] == pytest.approx([64, 16, 64 + 16 - 80 / 3])
    assert Spread(np.zeros(1), np.zeros((2, 1)), covariances, cells).errors == pytest.approx([8.0])


def test_a_vote_counts_as_often_as_its_rater_times_its_case_is_drawn() -> None:
    battles = simulated(Design(raters=3, questions=4), np.random.default_rng(0))
    cells = cells_of(battles, "rater+case")
    times = np.concatenate(list(weights(cells, np.random.default_rng(1), 4000)), axis=1)

    # Means of 1; the variance of a product of two counts of variance 2/3 and 3/4: (1 + 2/3)(1 + 3/4) - 1 = 1.9167
    assert times.mean(axis=1) == pytest.approx(np.ones(cells.n_cells), abs=0.1)
    assert times.var(axis=1) == pytest.approx(np.full(cells.n_cells, 1.9167), abs=0.35)


def test_ranks_overlap_where_the_difference_may_be_chance() -> None:
    # Differences 0.1, 5.1, 5 with standard errors of 1 and draws that go as far: only the last model is surely below.
    draws = np.array([0.1, 5.1, 5.0]) + np.random.default_rng(0).normal(size=(2000, 3))
    battles = fought(*[(0, 1, 1.0)] * 50, raters=50)
    spread = Spread(np.array([0.1, 5.1, 5.0]), draws, [np.eye(3)], cells_of(battles, "row"))

    best, worst = rank_ranges(3, spread)

    assert best.tolist() == [1, 1, 3]
    assert worst.tolist() == [2, 2, 3]


def test_p_of_pairs_falls_with_the_difference_and_is_adjusted() -> None:
    ranking = rank(simulated(Design(questions=60), np.random.default_rng(6)), "01234")
    by_pair = {(row.first, row.second): row for row in ranking.pairs}
    widest = by_pair["4", "0"]

    assert len(by_pair) == 10
    assert widest.p is not None
    assert widest.q is not None
    assert widest.low is not None
    assert widest.p < 0.001
    assert widest.q >= widest.p
    assert widest.low > 0
    assert widest.wins + widest.ties + widest.losses == 120


def test_the_same_seed_gives_the_same_ranking() -> None:
    battles = simulated(Design(questions=20), np.random.default_rng(7))

    assert rank(battles, "01234", seed=3, resamples=50) == rank(battles, "01234", seed=3, resamples=50)
    assert rank(battles, "01234", seed=3, resamples=50) != rank(battles, "01234", seed=4, resamples=50)
