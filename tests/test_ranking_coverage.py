"""Simulated studies with known strengths: the ranking is found again, and its intervals hold what they say."""

import json
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest

from evaluation.__main__ import main
from evaluation.bench import Row
from evaluation.bench.coverage import STRENGTHS, Design, measure, simulated, true_values
from evaluation.bench.votes import measure as measure_votes
from evaluation.ranking import rank


def covered(rows: Iterable[Row]) -> dict[str, Row]:
    """Rows by the first words of what they measure."""
    return {row.measure.split(" (")[0]: row for row in rows}


def test_known_strengths_are_ranked_again() -> None:
    truth = true_values(Design()).strengths
    ranking = rank(simulated(Design(), np.random.default_rng(1)), "abcde")

    assert [row.model for row in ranking.rows] == list("edcba")
    assert [row.strength for row in ranking.rows] == pytest.approx(truth[::-1], abs=0.3)
    assert all(row.rank_low <= row.rank <= row.rank_high for row in ranking.rows)  # type: ignore[operator]


def test_votes_without_end_have_the_strengths_that_they_were_drawn_with() -> None:
    alike = true_values(Design(rater_spread=0, case_spread=0, side=0, side_spread=0))
    assert alike.strengths == pytest.approx(STRENGTHS)
    assert alike.left_share == pytest.approx(0.5)

    # What differs by rater and case draws shares of votes towards a half; a million votes say the same.
    study = Design(raters=400, questions=1000, raters_per_item=20)
    ranked = {
        row.model: row.strength for row in rank(simulated(study, np.random.default_rng(2)), "01234", resamples=2).rows
    }
    assert [ranked[name] for name in "01234"] == pytest.approx(true_values(study).strengths, abs=0.05)
    assert true_values(study).strengths[4] < 0.75


def test_intervals_by_rater_and_case_hold_more_than_rows_do() -> None:
    found = covered(measure(30, resamples=300).rows)

    ours = found["strengths, by rater and case"]
    assert ours.ours >= 88  # 30 studies: give or take 2
    assert ours.figure is not None
    assert ours.figure >= 5


@pytest.mark.slow
def test_coverage_over_400_studies(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "coverage", "--studies", "400", "--out", str(tmp_path / "coverage.json")]) == 0
    with capsys.disabled():
        print(f"\n{capsys.readouterr().out}")

    rows = json.loads((tmp_path / "coverage.json").read_text())["rows"]
    found = covered(Row(**row) for row in rows)
    ours = found["strengths, by rater and case"]
    assert ours.met
    assert 92 <= ours.ours <= 98.5
    assert ours.figure is not None
    assert ours.figure >= 5
    # What is resampled by rater and by case without more covers too much, and plain percentiles too little
    assert found["strengths, pigeonhole as it is"].ours > ours.ours > found["strengths, plain percentiles"].ours
    assert found["all true ranks within their ranges"].met
    assert found["the left side's share of votes"].met


def test_the_bench_of_votes_prints_both_and_they_agree(capsys: pytest.CaptureFixture[str]) -> None:
    report = measure_votes(4000, 5, 12, 40, 50)

    assert [row.met for row in report.rows] == [True, True, True, True]
    assert report.rows[0].theirs is not None
    assert main(["bench", "votes", "--models", "1"]) == 1
    assert "A ranking needs at least 2 models" in capsys.readouterr().err
