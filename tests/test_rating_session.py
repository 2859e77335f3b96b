"""A whole rating session through the real server, which is killed on the way; and how it is checked."""

import json
import sqlite3
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from stores import FORM, new_store, uploaded

from evaluation.__main__ import main
from evaluation.bench import table
from evaluation.bench.saves import Heard, Kept, Saved, Session, check_kept, hold_session, report_of
from medchat.errors import InvalidInput
from medchat.store import Store

RATERS, RATINGS, KILLS = 12, 100, 2
HEARD = Heard(1, datetime(2026, 1, 1, tzinfo=UTC), 0.05, 0.05)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_twelve_raters_lose_nothing_though_the_server_is_killed_twice(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    session = hold_session(tmp_path, RATERS, RATINGS, KILLS)

    with capsys.disabled():
        print(f"\n{table(report_of(session, RATERS, KILLS))}")
    acknowledged = sorted((one.key, one.answer_id) for one in session.saved)
    assert len({key for key, _ in acknowledged}) == RATERS * RATINGS
    assert max(one.heard.times_sent for one in session.saved) > 1  # a kill met somebody
    with closing(sqlite3.connect(tmp_path / "medchat.db")) as database:
        assert database.execute("SELECT save_key, answer_id FROM ratings ORDER BY save_key").fetchall() == acknowledged
        assert database.execute("SELECT COUNT(*) FROM ratings WHERE supersedes IS NOT NULL").fetchone() == (0,)
        assert database.execute("SELECT rater, COUNT(*) FROM ratings GROUP BY rater").fetchall() == [
            (rater, RATINGS) for (rater,) in database.execute("SELECT id FROM users WHERE role = 'rater' ORDER BY id")
        ]
        # Every rating is whole: five scores, three steps and a passage.
        for part, number in (("axis_scores", 5), ("step_marks", 3), ("span_marks", 1)):
            counts = f"SELECT DISTINCT (SELECT COUNT(*) FROM {part} WHERE rating_id = ratings.id) FROM ratings"
            assert database.execute(counts).fetchall() == [(number,)]
        assert database.execute("SELECT DISTINCT state FROM queue_items").fetchall() == [("done",)]
        assert database.execute("SELECT COUNT(*) FROM drafts").fetchone() == (0,)
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert session.kept[:2] == (0, 0)


@pytest.mark.slow
def test_the_bench_tells_its_figures(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "saves.json"
    assert main(["bench", "saves", "--raters", "2", "--ratings", "3", "--kills", "1", "--out", str(out)]) == 0
    assert capsys.readouterr().out.startswith("bench saves: raters 2, ratings 6, kills 1\n")
    rows = {row["measure"]: row for row in json.loads(out.read_text())["rows"]}
    assert 0 < rows["2 at once: a save, p50"]["ours"] <= rows["2 at once: a save, p99"]["ours"]
    assert (rows["said to be saved and lost"]["met"], rows["there more than once"]["met"]) == (True, True)


def save(store: Store, n: int, key: str) -> Saved:
    """A rating of the rater's answer number n, as a page is told of it that then knows it by this key."""
    rater = store.user_named("Rater 1")
    assert rater
    answer = uploaded(store, n, rater.id)
    store.add_rating(rater.id, answer.id, replace(FORM, comment=key), key)
    return Saved(answer.id, key, HEARD)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = new_store(tmp_path)
    store.add_user("Admin", "admin", None)
    store.add_user("Rater 1", "rater", None)
    return store


def test_what_is_there_once_is_neither_lost_nor_twice(tmp_path: Path, store: Store) -> None:
    saved = [save(store, 1, "k1"), save(store, 2, "k2")]
    assert check_kept(tmp_path, ["Rater 1"], saved) == Kept(0, 0, 0)


def test_a_rating_that_is_not_there_or_on_another_answer_is_lost(tmp_path: Path, store: Store) -> None:
    saved = [save(store, 1, "k1"), Saved("a", "never stored", HEARD), replace(save(store, 2, "k2"), answer_id="b")]
    assert check_kept(tmp_path, ["Rater 1"], saved) == Kept(2, 0, 0)


def test_a_rating_that_was_stored_under_two_keys_is_there_twice(tmp_path: Path, store: Store) -> None:
    saved = save(store, 1, "k1")
    save(store, 1, "k2")  # the same answer once more
    assert check_kept(tmp_path, ["Rater 1"], [replace(saved, key="k2")]) == Kept(0, 1, 0)


def test_a_rating_that_was_there_before_it_was_sent_again_is_counted(tmp_path: Path, store: Store) -> None:
    later = HEARD._replace(times_sent=2, sent_at=datetime.now(UTC) + timedelta(minutes=1))
    saved = [save(store, 1, "k1"), replace(save(store, 2, "k2"), heard=later)]
    assert check_kept(tmp_path, ["Rater 1"], saved) == Kept(0, 0, 1)


def test_the_times_of_saves_leave_out_those_that_met_a_kill() -> None:
    # 1 to 101 ms, evenly: the median is 51 and the 99th percentile 100
    saved = [Saved("a", str(n), HEARD._replace(took_s=n / 1000)) for n in range(1, 102)]
    met = Saved("a", "met", Heard(3, HEARD.sent_at, 0.5, 4.0))
    rows = {row.measure: row for row in report_of(Session((*saved, met), 10.2, Kept(0, 1, 1)), 4, 1).rows}
    assert rows["4 at once: saves, each after a draft"].ours == 10.0
    assert rows["4 at once: a save, p50"].ours == pytest.approx(51)
    assert rows["4 at once: a save, p99"].ours == pytest.approx(100)
    assert rows["longest wait for a save"].ours == 4.0
    assert rows["sent again after a kill"].ours == 1
    assert (rows["said to be saved and lost"].met, rows["there more than once"].met) == (True, False)


def test_a_session_of_one_rating_is_too_short_to_measure() -> None:
    with pytest.raises(InvalidInput, match="--ratings"):
        report_of(Session((Saved("a", "k", HEARD),), 1.0, Kept(0, 0, 0)), 1, 0)
