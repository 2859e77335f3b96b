"""What raters of a study are given and what they say: once a key, amended in its place, and only where it belongs."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from judged_answers import Judges
from stores import FORM, values
from studies_stored import give, given, made_study, new_item, new_key, opened_study, rate, vote

from medchat.errors import InvalidInput, NotFound, RatedSince
from medchat.store import CastVote, NewAssignment, RatingForm, RatingRecord, Store


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Judges(tmp_path).store
    yield store
    store.close()


def test_an_allocation_is_kept_with_its_repeats(store: Store) -> None:
    study = made_study(store)
    store.join_study(study.id, "ada")
    items = store.study_items(study.id)
    first = NewAssignment(items[0].id, "ada", 1)
    repeat = NewAssignment(items[0].id, "ada", 3, repeat_of=first.id)
    pair = NewAssignment(items[2].id, "ada", 2, flipped=True)

    made = store.add_assignments(study.id, [repeat, first, pair])

    assert [it.id for it in made] == [repeat.id, first.id, pair.id]
    assert [it.id for it in store.assignments(study.id)] == [first.id, pair.id, repeat.id]
    assert made[0].repeat_of == first.id
    assert (made[2].flipped, made[2].state, made[2].opened_at, made[2].judgement_id) == (True, "open", None, "")
    assert store.assignments(study.id, "bob") == []
    wrong = (
        NewAssignment(items[0].id, "bob", 1),
        NewAssignment("none", "ada", 1),
        NewAssignment(items[1].id, "ada", 1, repeat_of=first.id),
        NewAssignment(items[0].id, "ada", 1, repeat_of=repeat.id),
    )
    for row in wrong:
        with pytest.raises(InvalidInput, match="Allocate it anew"):
            store.add_assignments(study.id, [NewAssignment(items[1].id, "ada", 4), row])
    assert len(store.assignments(study.id)) == 3


def test_what_is_withdrawn_can_no_longer_be_judged_and_what_was_judged_stays(store: Store) -> None:
    study = opened_study(store)
    judged, seen, unseen, _ = (given(store, study, "ada", "rate", n) for n in range(4))
    rating = rate(store, judged)
    store.open_assignment(seen.id, "ada")

    assert store.withdraw_assignments(study.id, [judged.id, seen.id, unseen.id, "none"]) == 2

    states = {it.id: it.state for it in store.assignments(study.id, "ada")}
    assert [states[it.id] for it in (judged, seen, unseen)] == ["done", "withdrawn", "withdrawn"]
    with pytest.raises(InvalidInput, match="taken out of your queue"):
        rate(store, seen)
    with pytest.raises(InvalidInput, match="taken out of your queue"):
        store.open_assignment(unseen.id, "ada")
    assert store.study_judgements(study.id).ratings == {judged.id: rating}


def test_items_dealt_again_are_withdrawn_and_given_as_one(store: Store) -> None:
    study = opened_study(store, ("ada",))
    store.join_study(study.id, "bob")
    first = given(store, study, "ada", "rate")
    with pytest.raises(InvalidInput, match="Allocate it anew"):
        store.replace_assignments(study.id, [first.id], [NewAssignment("none", "bob", 1)])
    assert store.assignments(study.id)[0].state == "open"

    n, [new] = store.replace_assignments(study.id, [first.id], [NewAssignment(first.item_id, "bob", 1)])

    assert (n, new.rater, new.item_id) == (1, "bob", first.item_id)
    assert store.assignments(study.id, "ada")[0].state == "withdrawn"


def test_a_rating_is_done_once_a_key_and_amended_within_its_assignment(store: Store) -> None:
    study = opened_study(store)
    assignment = given(store, study, "ada", "rate")
    first = rate(store, assignment, save_key="k1")

    assert rate(store, assignment, save_key="k1") == first
    with pytest.raises(RatedSince) as since:
        rate(store, assignment)
    assert since.value.rating_id == first.id
    second = rate(store, assignment, form=replace(FORM, scores={"safety": "1"}), base=first.id)

    assert (second.supersedes, second.answer_id) == (first.id, first.answer_id)
    assert store.judgement_of(assignment.id, "ada") == second
    now = next(it for it in store.assignments(study.id, "ada") if it.id == assignment.id)
    assert (now.state, now.judgement_id) == ("done", second.id)
    assert now.opened_at is not None
    assert now.done_at is not None
    assert store.study_judgements(study.id).ratings == {assignment.id: second}
    with pytest.raises(InvalidInput, match="for something else"):
        rate(store, given(store, study, "ada", "rate", 1), save_key="k1")
    with pytest.raises(InvalidInput, match="under another name"):
        rate(store, given(store, study, "bob", "rate"), save_key="k1")


def test_what_cannot_be_rated_says_why_and_may_be_rated_later(store: Store) -> None:
    study = opened_study(store)
    assignment = given(store, study, "ada", "rate")
    first = rate(store, assignment, form=RatingForm("clinical-3", 1, {}, cannot_rate="Not my field."))

    state = store.open_assignment(assignment.id, "ada")
    assert (state.state, state.cannot_reason) == ("cannot", "Not my field.")

    rate(store, assignment, base=first.id)
    after = store.open_assignment(assignment.id, "ada")
    assert (after.state, after.cannot_reason, after.done_at) == ("done", "", state.done_at)


def test_a_hidden_repeat_leaves_the_first_as_it_was(store: Store) -> None:
    study = opened_study(store)
    rated, pair = given(store, study, "ada", "rate"), given(store, study, "ada", "pair")
    again = [NewAssignment(it.item_id, "ada", 90, not it.flipped, it.id) for it in (rated, pair)]
    rated_again, pair_again = store.add_assignments(study.id, again)
    rating, voted = rate(store, rated), vote(store, pair, "a")

    repeated, voted_again = rate(store, rated_again), vote(store, pair_again, "a")

    assert (repeated.supersedes, voted_again.supersedes) == (None, None)
    found = store.study_judgements(study.id)
    assert found.ratings == {rated.id: rating, rated_again.id: repeated}
    # Both times the left side won; the sides had changed places.
    assert found.votes[pair.id].answer_ids == found.votes[pair_again.id].answer_ids[::-1]
    assert (voted.chosen, voted_again.chosen) == found.votes[pair.id].answer_ids


def test_a_vote_counts_for_the_side_on_which_the_answer_was_shown(store: Store) -> None:
    study = made_study(store, n_questions=1)
    [pair] = [item for item in store.study_items(study.id) if item.kind == "pair"]
    store.join_study(study.id, "ada")
    [flipped] = store.add_assignments(study.id, [NewAssignment(pair.id, "ada", 1, flipped=True)])
    store.change_study(study.id, status="open")

    first = vote(store, flipped, "a", axes={"harm": "b"}, reason=" Safer. ", flags={"b": True}, save_key="k1")
    assert vote(store, flipped, "b", save_key="k1") == first
    with pytest.raises(RatedSince):
        vote(store, flipped, "b")
    second = vote(store, flipped, "tie", base=first.id)

    assert (first.chosen, first.rejected, first.blinded, first.rubric) == (*pair.answer_ids[::-1], True, first.rubric)
    assert (second.supersedes, second.comparison_id, second.blinded) == (first.id, first.comparison_id, True)
    newest = store.judgement_of(flipped.id, "ada")
    assert isinstance(newest, CastVote)
    assert (newest.id, newest.vote, newest.answer_ids) == (second.id, "tie", pair.answer_ids[::-1])
    assert store.study_judgements(study.id).votes == {flipped.id: newest}


def test_a_vote_is_not_refused_for_what_another_rater_called_critical(store: Store) -> None:
    study = opened_study(store)
    rate(store, given(store, study, "bob", "rate"), form=replace(FORM, critical=True))

    assert vote(store, given(store, study, "ada", "pair"), "a").vote == "a"


def test_a_pair_that_cannot_be_compared_is_put_aside_with_the_reason(store: Store) -> None:
    study = opened_study(store)
    pair = given(store, study, "ada", "pair")

    aside = store.cannot_compare(pair.id, "ada", " Both cut off. ")

    assert (aside.state, aside.cannot_reason, aside.judgement_id) == ("cannot", "Both cut off.", "")
    vote(store, pair)
    assert store.open_assignment(pair.id, "ada").state == "done"
    with pytest.raises(InvalidInput, match="Change the vote"):
        store.cannot_compare(pair.id, "ada", "Too late")
    with pytest.raises(InvalidInput, match="Say why"):
        store.cannot_compare(given(store, study, "ada", "pair", 1).id, "ada", " ")
    with pytest.raises(InvalidInput, match="answer to be rated"):
        store.cannot_compare(given(store, study, "ada", "rate").id, "ada", "No")


def test_a_judgement_is_refused_where_it_does_not_belong(store: Store) -> None:
    study = opened_study(store)
    rated, pair = given(store, study, "ada", "rate"), given(store, study, "ada", "pair")

    with pytest.raises(NotFound, match="in your queue"):
        store.add_study_rating(rated.id, "bob", FORM, "k")
    with pytest.raises(NotFound, match="in your queue"):
        store.judgement_of(rated.id, "bob")
    with pytest.raises(InvalidInput, match="to be compared"):
        rate(store, pair)
    with pytest.raises(InvalidInput, match="to be rated"):
        vote(store, rated)
    with pytest.raises(InvalidInput, match="without its key"):
        rate(store, rated, save_key="")
    store.leave_study(study.id, "ada")
    with pytest.raises(InvalidInput, match="no part in this study"):
        rate(store, rated)
    store.join_study(study.id, "ada")
    saved = rate(store, rated, save_key="k1")
    store.change_study(study.id, status="closed")
    for late in (lambda: rate(store, rated, base=saved.id), lambda: vote(store, pair)):
        with pytest.raises(InvalidInput, match="study is closed"):
            late()
    assert rate(store, rated, save_key="k1") == saved  # a page that sends again what was saved


def test_nothing_is_judged_before_the_study_is_open(store: Store) -> None:
    study = made_study(store)
    store.join_study(study.id, "ada")
    first = give(store, study.id, ("ada",))[0]

    with pytest.raises(InvalidInput, match="not been opened"):
        rate(store, first)
    with pytest.raises(InvalidInput, match="not been opened"):
        store.add_adjudication(study.id, first.item_id, "dora", [], {}, "", "k")


def test_a_closed_study_takes_nobody_and_gives_nothing_out(store: Store) -> None:
    study = opened_study(store)
    open_one = given(store, study, "ada", "rate")
    store.change_study(study.id, status="closed")
    tries: list[Any] = [
        lambda: store.join_study(study.id, "eve"),
        lambda: store.leave_study(study.id, "ada"),
        lambda: store.add_consent(study.id, "ada", "I agree."),
        lambda: store.add_assignments(study.id, [NewAssignment(open_one.item_id, "ada", 99)]),
        lambda: store.withdraw_assignments(study.id, [open_one.id]),
        lambda: store.add_adjudication(study.id, open_one.item_id, "dora", [], {}, "", "k"),
    ]

    for attempt in tries:
        with pytest.raises(InvalidInput, match="study is closed"):
            attempt()


def test_practice_is_kept_every_time(store: Store) -> None:
    study = made_study(store, n_questions=1)
    rated, _, pair = store.study_items(study.id)
    case = new_item(9, "calibration", "Why?", rated.answer_ids[0], known={"scores": {"safety": 1}})
    store.set_study_items(study.id, [case, new_item(1, "pair", "Why?", *pair.answer_ids)])
    pair, calibration = store.study_items(study.id)
    store.join_study(study.id, "ada")
    store.change_study(study.id, status="open")

    wrong = store.add_calibration(study.id, "ada", calibration.id, {"safety": "5"}, False, "k1")
    right = store.add_calibration(study.id, "ada", calibration.id, {"safety": "1"}, True, "k2")

    assert store.add_calibration(study.id, "ada", calibration.id, {}, True, "k1") == wrong
    assert store.calibrations(study.id, "ada") == [wrong, right] == store.calibrations(study.id)
    assert (wrong.right, right.given) == (False, {"safety": "1"})
    assert store.calibrations(study.id, "bob") == []
    with pytest.raises(NotFound, match="practise"):
        store.add_calibration(study.id, "ada", pair.id, {}, True, "k3")
    with pytest.raises(NotFound, match="no rater"):
        store.add_calibration(study.id, "eve", calibration.id, {}, True, "k4")
    with pytest.raises(InvalidInput, match="Allocate it anew"):
        store.add_assignments(study.id, [NewAssignment(calibration.id, "ada", 1)])


def test_a_decision_is_replaced_and_the_one_before_is_kept(store: Store, tmp_path: Path) -> None:
    study = opened_study(store)
    item_id = given(store, study, "ada", "rate").item_id
    first = store.add_adjudication(study.id, item_id, "dora", ["harm"], {"scores": {"safety": 2}}, " Hm. ", "k1")

    assert store.add_adjudication(study.id, item_id, "dora", [], {}, "", "k1") == first
    with pytest.raises(RatedSince):
        store.add_adjudication(study.id, item_id, "dora", [], {}, "", "k2")
    second = store.add_adjudication(study.id, item_id, "dan", ["harm"], {"scores": {"safety": 4}}, "", "k3", first.id)

    assert (first.adjudicator, first.reasons, first.comment) == ("dora", ["harm"], "Hm.")
    assert (second.supersedes, second.adjudicator) == (first.id, "dan")
    assert store.adjudications(study.id) == [second]
    assert store.study_judgements(study.id).adjudications == (second,)
    assert sorted(values(tmp_path, "SELECT rater FROM adjudications")) == ["dan", "dora"]
    with pytest.raises(NotFound, match="no such item"):
        store.add_adjudication(study.id, "none", "dora", [], {}, "", "k4")


def test_raters_who_save_at_once_lose_nothing(store: Store, tmp_path: Path) -> None:
    raters = ("ada", "bob", "cy", "dee")
    study = opened_study(store, raters, n_questions=3)
    other = Store(f"sqlite:///{tmp_path / 'medchat.db'}")  # as of another process
    work = [(rater, n, of) for rater, of in zip(raters, (store, other) * 2, strict=True) for n in range(6)]

    def save(task: tuple[str, int, Store]) -> RatingRecord:
        rater, n, of = task
        assignment, key = given(of, study, rater, "rate", n), new_key()
        saved = rate(of, assignment, save_key=key)
        assert rate(store, assignment, save_key=key) == saved
        return saved

    with ThreadPoolExecutor(8) as pool:
        saved = list(pool.map(save, work))
    other.close()

    found = store.study_judgements(study.id)
    assert {it.id for it in found.ratings.values()} == {it.id for it in saved}
    assert len(found.ratings) == 24  # 4 raters, 3 questions with two answers each
    assert [it.state for it in found.assignments].count("done") == 24


def test_of_two_windows_that_save_the_same_case_one_is_told(store: Store) -> None:
    study = opened_study(store)
    assignment = given(store, study, "ada", "rate")

    def save(key: str) -> str:
        try:
            return rate(store, assignment, save_key=key).id
        except RatedSince as since:
            return f"since {since.rating_id}"

    with ThreadPoolExecutor(2) as pool:
        first, second = sorted(pool.map(save, (new_key(), new_key())), key=lambda said: said.startswith("since"))

    assert second == f"since {first}"
