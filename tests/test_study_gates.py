"""Before a study is closed no way through the store tells who wrote what, and nothing of it is read elsewhere."""

import json
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from judged_answers import Judges
from panels import service
from stores import FORM, PAIRWISE, compare, free_answer
from stores import vote as vote_outside
from studies_stored import given, made_study, new_item, opened_study, rate, vote

from evaluation.people import people_here
from medchat.asked_models import Models
from medchat.errors import InvalidInput, NotFound
from medchat.rating import RatingService
from medchat.rating_form import Filled
from medchat.settings import Settings
from medchat.store import NewAssignment, RatingForm, StepMark, Store, StudyRecord
from medchat.store.backup import backup
from medchat.store.drafts import STUDY_DRAFT
from medchat.store.export import export
from medchat.store.migrate import upgrade
from medchat.store.tables import Base
from train.feedback import collect

NO_MODELS: Models = {}  # type: ignore[assignment]  # a catalogue that knows none


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Judges(tmp_path).store
    yield store
    store.close()


def sides_of(store: Store, study: StudyRecord) -> tuple[str, ...]:
    """Ids of the two answers of the first pair."""
    return next(item.answer_ids for item in store.study_items(study.id) if item.kind == "pair")


def test_a_vote_in_a_study_shows_no_names_by_any_call_of_the_compare_tab(store: Store) -> None:
    study = opened_study(store)
    comparison_id = vote(store, given(store, study, "ada", "pair")).comparison_id
    panel = service(store, {"demo": None})  # type: ignore[dict-item]  # nothing is asked

    for call in (panel.view, panel.reveal, panel.send_to_rating, store.comparison, store.answers_of_comparison):
        with pytest.raises(NotFound, match="no such comparison"):
            call("ada", comparison_id)
    with pytest.raises(NotFound, match="no such comparison"):
        store.add_preference("ada", comparison_id, "b", {}, "", {}, 1.0, "k")
    assert store.preference_of("ada", comparison_id) is None
    assert store.comparisons_of("ada") == []
    assert panel.latest("ada") is None
    assert store.answers_to_queue("ada", "comparisons") == []
    store.change_study(study.id, status="closed")
    with pytest.raises(NotFound):
        panel.reveal("ada", comparison_id)


def test_a_comparison_outside_the_study_is_still_there(store: Store) -> None:
    vote(store, given(store, opened_study(store), "ada", "pair"))
    mine = compare(store, free_answer(store), free_answer(store))
    vote_outside(store, mine.id, "k1")

    assert [its.id for its in store.comparisons_of("ada")] == [mine.id]
    assert set(store.answers_to_queue("ada", "comparisons")) == set(mine.answer_ids)


def test_answers_of_a_study_are_judged_by_those_to_whom_they_were_given_and_only_there(
    store: Store, tmp_path: Path
) -> None:
    study = opened_study(store, ("ada",))
    left, right = sides_of(store, study)
    assert store.answer_to_judge("ada", left).id == left

    for rater in ("ines", "bob"):  # ines owns it
        with pytest.raises(NotFound, match="no such answer"):
            store.answer_to_judge(rater, left)
        with pytest.raises(NotFound, match="no such answer"):
            store.add_rating(rater, left, FORM, "k1")
    for use in (lambda: store.add_rating("ada", left, FORM, "k2"), lambda: store.add_to_queue("ada", [left], "x")):
        with pytest.raises(InvalidInput, match="judged under Studies alone"):
            use()
    question = store.answer_to_judge("ada", left)
    for rater in ("ines", "ada"):
        with pytest.raises(NotFound, match="not two answers"):
            store.begin_comparison(
                rater, question.context, question.question, (left, right),
                blinded=True, draw_seed=1, source={}, save_key=f"k {rater}",
            )  # fmt: skip
    assert RatingService(store, NO_MODELS, tmp_path).my_ratings("ada") == []


def test_an_answer_is_shown_from_the_opening_on_until_it_is_withdrawn(store: Store) -> None:
    study = made_study(store, n_questions=1)
    item = store.study_items(study.id)[0]
    store.join_study(study.id, "ada")
    [only] = store.add_assignments(study.id, [NewAssignment(item.id, "ada", 1)])
    with pytest.raises(NotFound):
        store.answer_to_judge("ada", item.answer_ids[0])

    store.change_study(study.id, status="open")
    assert store.answer_to_judge("ada", item.answer_ids[0]).id == item.answer_ids[0]

    store.withdraw_assignments(study.id, [only.id])
    with pytest.raises(NotFound):
        store.answer_to_judge("ada", item.answer_ids[0])


def test_a_case_to_practise_on_is_shown_to_the_raters_of_the_study(store: Store) -> None:
    study = made_study(store, n_questions=1)
    shown = store.study_items(study.id)[0].answer_ids[0]
    store.set_study_items(study.id, [new_item(1, "calibration", "Why?", shown)])
    for rater in ("ada", "bob"):
        store.join_study(study.id, rater)
    store.change_study(study.id, status="open")
    store.leave_study(study.id, "bob")

    assert store.answer_to_judge("ada", shown).id == shown
    for rater in ("bob", "eve"):
        with pytest.raises(NotFound):
            store.answer_to_judge(rater, shown)


def test_a_rating_stays_blinded_after_a_vote_on_the_same_answer(store: Store) -> None:
    study = opened_study(store)
    vote(store, given(store, study, "ada", "pair"))

    assert rate(store, given(store, study, "ada", "rate")).form.blinded
    assert not rate(store, given(store, study, "ada", "rate", 1), form=replace(FORM, blinded=False)).form.blinded


def test_ratings_of_a_study_are_in_no_list_of_the_rate_tab(store: Store, tmp_path: Path) -> None:
    saved = rate(store, given(store, opened_study(store), "ada", "rate"))

    assert store.my_ratings("ada") == []
    assert store.ratings_of(saved.answer_id) == []
    assert store.queue("ada").items == ()
    assert store.answers_to_queue("ada", "chat") == []
    with pytest.raises(InvalidInput, match="judged under Studies alone"):
        RatingService(store, NO_MODELS, tmp_path).save(
            "ada", saved.answer_id, "clinical-3", 1, Filled(cannot_rate="Not my field."), "k1", can_rate=False
        )


@pytest.mark.parametrize(
    ("may_train", "closed", "named", "to_learn", "to_show"),
    [
        (False, False, False, False, False),
        (True, False, False, True, False),
        (False, False, True, True, True),
        (False, True, False, True, True),
    ],
)
def test_what_was_said_in_a_study_is_read_once_it_is_closed_or_its_investigator_allows_it(
    store: Store, may_train: bool, closed: bool, named: bool, to_learn: bool, to_show: bool
) -> None:
    study, other = opened_study(store), opened_study(store)
    rated, pair = given(store, study, "ada", "rate"), given(store, study, "ada", "pair")
    expected = {rate(store, rated).id, vote(store, pair).id}
    for first in (rated, pair):
        [again] = store.add_assignments(study.id, [NewAssignment(first.item_id, "ada", 90, repeat_of=first.id)])
        (rate if first is rated else vote)(store, again)
    rate(store, given(store, other, "bob", "rate"))
    outside = store.add_rating("eve", free_answer(store, "eve").id, FORM, "k1").id
    store.change_study(study.id, may_train=may_train)
    if closed:
        store.change_study(study.id, status="closed")

    for learn, is_read in ((True, to_learn), (False, to_show)):
        found = store.judgements([study.id] if named else [], to_learn=learn)
        ids = {it.id for it in found.ratings} | {it.id for it in found.votes}
        assert ids == ({outside} | expected if is_read else {outside})
        assert (set(sides_of(store, study)) <= found.answers.keys()) == is_read


def test_a_report_on_an_equal_answer_says_nothing_of_an_open_study(store: Store, tmp_path: Path) -> None:
    study = opened_study(store)
    rate(store, given(store, study, "ada", "rate"), form=RatingForm("clinical-3", 1, {}, step_marks=(StepMark(1, 1),)))
    store.change_study(study.id, may_train=True)
    settings = Settings(data_dir=tmp_path)

    people = people_here(settings)
    assert people is not None
    assert people.by_answer == {}
    store.change_study(study.id, status="closed")
    people = people_here(settings)
    assert people is not None
    assert len(people.by_answer) == 1


def test_training_data_is_made_of_a_study_that_may_train(store: Store) -> None:
    study = opened_study(store)
    vote(store, given(store, study, "ada", "pair"), "a")
    left, right = sides_of(store, study)
    assert collect(store, {}).dpo == ()

    store.change_study(study.id, may_train=True)

    [row] = collect(store, {}).dpo
    texts = store.study_judgements(study.id).answers
    assert texts[left].solution in json.dumps(row["chosen"])
    assert texts[right].solution in json.dumps(row["rejected"])


def test_a_backup_and_an_export_in_mid_study_hold_all_of_it(store: Store, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'medchat.db'}"
    study = opened_study(store)
    assignment = given(store, study, "ada", "rate")
    first = rate(store, assignment)
    store.open_assignment(given(store, study, "ada", "rate", 1).id, "ada")

    backup(url, tmp_path / "copy.db")
    counts = export(url, tmp_path / "out", with_open_studies=True)
    second = rate(store, assignment, base=first.id)

    copy = Store(f"sqlite:///{tmp_path / 'copy.db'}")
    assert copy.study_judgements(study.id).ratings == {assignment.id: first}
    assert rate(copy, assignment, base=first.id).supersedes == first.id  # the copy goes on where it was made
    copy.close()
    with closing(sqlite3.connect(tmp_path / "copy.db")) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    assert store.study_judgements(study.id).ratings == {assignment.id: second}
    names = ("studies", "study_items", "study_raters", "assignments", "ratings", "answers", "adjudications")
    assert [counts[name] for name in names] == [1, 6, 2, 12, 1, 4, 0]
    [rating] = map(json.loads, (tmp_path / "out" / "ratings.jsonl").read_text().splitlines())
    assert rating["assignment_id"] == assignment.id


def test_a_bare_copy_of_the_file_is_the_store_of_an_earlier_moment_and_a_copy_with_its_log_is_whole(
    store: Store, tmp_path: Path
) -> None:
    study = opened_study(store)
    first, second = (given(store, study, "ada", "rate", nth) for nth in (0, 1))
    rate(store, first)
    with closing(sqlite3.connect(tmp_path / "medchat.db")) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    rate(store, second)  # stands in the log beside the file alone

    for name, endings, done in (("bare", ("",), [first.id]), ("both", ("", "-wal"), [first.id, second.id])):
        copy = tmp_path / name / "medchat.db"
        copy.parent.mkdir()
        for ending in endings:
            shutil.copy(f"{tmp_path / 'medchat.db'}{ending}", f"{copy}{ending}")

        assert upgrade(f"sqlite:///{copy}", tmp_path) is None
        with closing(Store(f"sqlite:///{copy}")) as opened:
            held = opened.study_judgements(study.id)
            assert sorted(held.ratings) == sorted(done)
            assert sorted(its.id for its in held.assignments if its.state == "done") == sorted(done)
            opened.change_study(study.id, status="closed")  # it can be worked with
        with closing(sqlite3.connect(copy)) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
            assert connection.execute("PRAGMA foreign_key_check").fetchall() == []


REFERENCES = [(table, column, key.column) for table in Base.metadata.sorted_tables if not table.info.get("derived")
              for column in table.columns for key in column.foreign_keys]  # fmt: skip


@pytest.mark.parametrize("opens", ["closed", "shows results"])
def test_an_export_leaves_out_what_would_unblind_an_open_study_and_no_reference_hangs(
    store: Store, tmp_path: Path, opens: str
) -> None:
    url = f"sqlite:///{tmp_path / 'medchat.db'}"
    hidden, seen = opened_study(store), opened_study(store)
    ids: dict[str, set[str]] = {hidden.id: set(), seen.id: set()}
    for study in (hidden, seen):
        first, pair = given(store, study, "ada", "rate"), given(store, study, "ada", "pair")
        amended = rate(store, first)
        ids[study.id] |= {amended.id, rate(store, first, base=amended.id).id, vote(store, pair).id}
        ids[study.id] |= {item.id for item in store.study_items(study.id)}
        ids[study.id] |= set(store.study_judgements(study.id).answers)
        store.save_draft("bob", STUDY_DRAFT + given(store, study, "bob", "rate").id, {"scores": {"safety": study.id}})
    outside = store.add_rating("eve", free_answer(store, "eve").id, FORM, "k1").id
    if opens == "closed":
        store.change_study(seen.id, status="closed")
    else:
        store.change_study(seen.id, show_results=True)

    counts = export(url, tmp_path / "out")

    rows = {
        table: [json.loads(line) for line in (tmp_path / "out" / f"{table}.jsonl").read_text().splitlines()]
        for table in counts
    }
    found = {row["id"] for table in rows.values() for row in table if "id" in row}
    assert not found & ids[hidden.id]
    assert found > ids[seen.id] | {outside, hidden.id}  # that there is a study is no secret
    assert [row["data"]["scores"]["safety"] for row in rows["drafts"]] == [seen.id]
    # Of one study: 6 items for each of 2 raters; 2 ratings and Eve's, 1 vote with its comparison.
    names = ("study_items", "assignments", "ratings", "preferences", "comparisons", "studies")
    assert [counts[name] for name in names] == [6, 12, 3, 1, 1, 2]
    for table, column, target in REFERENCES:
        known = {row[target.name] for row in rows[target.table.name]}
        assert {row[column.name] for row in rows[table.name]} - {None} <= known, f"{table.name}.{column.name}"


def test_a_vote_is_read_with_all_that_was_said_when_it_was_cast(store: Store) -> None:
    study = opened_study(store)
    first = vote(store, given(store, study, "ada", "pair"), "b")
    amended = {"axes": {"harm": "a"}, "reason": "Safer.", "flags": {"a": True}, "seconds": 7.5, "base": first.id}
    vote(store, given(store, study, "ada", "pair"), "b", **amended)
    store.change_study(study.id, status="closed")

    [cast] = store.judgements().votes

    assert (cast.vote, cast.axes, cast.reason, cast.flags, cast.seconds) == (
        "b", {"harm": "a"}, "Safer.", frozenset("a"), 7.5,
    )  # fmt: skip
    assert (cast.rubric, cast.answer_ids) == (PAIRWISE, sides_of(store, study))
