"""A rater's desk: consent, practice, cases one by one without names, time, drafts, going back and coming late."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from study_rooms import GOOD, MODELS, Room, new_key

from medchat.errors import InvalidInput, NotFound, RatedSince
from medchat.rating_form import Filled
from medchat.study_desk import StudyDesk
from medchat.study_views import CalibrationTask, Consent, Finished, NotOpen, PairTask, RateTask


@pytest.fixture
def room(tmp_path: Path) -> Iterator[Room]:
    made = Room(tmp_path)
    yield made
    made.store.close()


def rate_task(room: Room, study_id: str, rater: str = "ada") -> RateTask:
    task = room.desk.step(study_id, rater)
    assert isinstance(task, RateTask)
    return task


def pair_task(room: Room, study_id: str, rater: str = "ada") -> PairTask:
    task = room.desk.step(study_id, rater)
    assert isinstance(task, PairTask)
    return task


def filled(**more: Any) -> Filled:
    values: dict[str, Any] = {"scores": GOOD, "harm_extent": "none", "harm_likelihood": "low", **more}
    return Filled(**values)


# What comes when


def test_a_rater_sees_their_own_studies_once_these_are_open(room: Room) -> None:
    study_id = room.ready(2).record.id
    room.studies.set_raters(study_id, "ines", [("ada", ""), ("bob", "")])
    assert room.desk.my_studies("ada") == []
    room.studies.open(study_id, "ines")
    [mine] = room.desk.my_studies("ada")
    assert (mine.name, mine.status, mine.done, mine.total, mine.step) == ("Gout", "open", 0, 2, "work")
    assert room.desk.my_studies("eve") == []
    with pytest.raises(NotFound, match="no such study"):
        room.desk.step(study_id, "eve")


def test_the_consent_comes_first_and_is_kept_as_it_was_read(room: Room) -> None:
    study_id = room.opened("ada", "bob", consent="I agree.", instructions="Rate what is there.")
    step = room.desk.step(study_id, "ada")
    assert step == Consent(study_id, "Gout", "I agree.", "Rate what is there.")
    [first] = [its for its in room.store.assignments(study_id, "ada") if its.position == 0]
    with pytest.raises(InvalidInput, match="come first"):
        room.desk.save_rating("ada", first.id, 1, filled(), new_key())

    assert isinstance(room.desk.agree(study_id, "ada"), RateTask)

    [ada, bob] = room.store.study_raters(study_id)
    assert (ada.consent_text, bob.consent_text) == ("I agree.", "")
    assert ada.consented_at is not None


def test_a_case_after_the_other_until_none_is_left(room: Room) -> None:
    study_id = room.opened("ada", "bob", n=2)  # 4 answers, 2 each
    first = rate_task(room, study_id)
    assert (first.place.position, first.place.done, first.place.left, first.place.total) == (1, 0, 2, 2)
    room.rate_task("ada", first)
    second = rate_task(room, study_id)
    assert (second.place.position, second.place.done, second.place.left) == (2, 1, 1)
    assert second.assignment_id != first.assignment_id
    room.rate_task("ada", second)
    assert room.desk.step(study_id, "ada") == Finished(study_id, "Gout", 2, 2, closed=False)
    room.studies.close(study_id, "ines")
    assert room.desk.step(study_id, "ada") == Finished(study_id, "Gout", 2, 2, closed=True)


def test_who_left_is_told_so_and_saves_nothing(room: Room) -> None:
    study_id = room.opened("ada", "bob")
    task = rate_task(room, study_id)
    room.studies.remove_rater(study_id, "ines", "ada")
    step = room.desk.step(study_id, "ada")
    assert isinstance(step, NotOpen)
    assert "no part in this study any more" in step.text
    with pytest.raises(InvalidInput, match="no part"):
        room.rate_task("ada", task)


def test_a_case_of_another_rater_cannot_be_opened_or_judged(room: Room) -> None:
    study_id = room.opened("ada", "bob")
    task = rate_task(room, study_id, "bob")
    for call in (
        lambda: room.desk.task(study_id, "ada", task.assignment_id),
        lambda: room.desk.save_rating("ada", task.assignment_id, 1, filled(), new_key()),
        lambda: room.desk.save_draft("ada", task.assignment_id, filled()),
    ):
        with pytest.raises(NotFound, match="no such case"):
            call()


# Blinding


def test_nothing_that_a_rater_is_sent_names_a_model_or_an_answer(room: Room) -> None:
    study_id = room.opened("ada", "bob", "cleo", "dan", n=3, tasks="both")
    held = room.store.study_judgements(study_id)
    secret = {*MODELS, *held.answers, *(item.id for item in held.items)}
    for rater in ("ada", "bob", "cleo", "dan"):
        seen = [its.id for its in room.store.assignments(study_id, rater)]
        shown = "".join(repr(room.desk.task(study_id, rater, its)) for its in seen)
        assert "It is gout, says [model]" in shown
        assert not any(word in shown for word in secret)


def test_a_hidden_repeat_looks_like_any_other_case_and_supersedes_nothing(room: Room) -> None:
    study_id = room.opened("ada", n=8, repeat_share=0.25, raters_per_item=1, models=MODELS)
    given = room.store.assignments(study_id, "ada")
    repeat = next(its for its in given if its.repeat_of)
    first, again = (room.desk.task(study_id, "ada", id_) for id_ in (repeat.repeat_of or "", repeat.id))
    assert isinstance(first, RateTask)
    assert isinstance(again, RateTask)
    assert first.task.answer == again.task.answer
    assert first.task.answer_id != again.task.answer_id
    room.rate_task("ada", first, safety="5")
    again = room.desk.task(study_id, "ada", repeat.id)
    assert isinstance(again, RateTask)
    assert (again.amends, again.task.filled) == (False, Filled())
    room.rate_task("ada", again, safety="2")
    ratings = room.store.study_judgements(study_id).ratings
    assert ratings[repeat.repeat_of or ""].form.scores["safety"] == "5"
    assert ratings[repeat.id].form.scores["safety"] == "2"


def test_a_pair_is_shown_as_its_sides_were_drawn(room: Room) -> None:
    study_id = room.opened("ada", n=6, tasks="pairwise")
    held = room.store.study_judgements(study_id)
    items = {item.id: item for item in held.items}
    given = held.assignments
    assert {its.flipped for its in given} == {True, False}
    for its in given:
        task = pair_task(room, study_id)
        assert task.assignment_id == its.id
        assert task.view.revealed is None
        assert task.view.can_vote
        room.desk.save_vote("ada", task.assignment_id, "a", save_key=new_key(), flags={"b": True}, seconds=9.0)
    votes = room.store.study_judgements(study_id).votes
    for its in given:
        first, second = items[its.item_id].answer_ids
        left = second if its.flipped else first
        assert votes[its.id].answer_ids[0] == left
        assert (votes[its.id].vote, votes[its.id].flags) == ("a", frozenset("b"))


# Saving


def test_a_case_is_not_done_before_the_least_time_and_nothing_is_lost(room: Room) -> None:
    study_id = room.opened("ada", "bob", min_seconds=30.0)
    began = datetime.now(UTC)
    clock = iter([began + timedelta(seconds=10), began + timedelta(seconds=40)])
    desk = StudyDesk(room.store, room.catalogue, now=lambda: next(clock))
    task = rate_task(room, study_id)
    with pytest.raises(InvalidInput, match=r"at least 30 seconds for each case: 2[01] more"):
        desk.save_rating("ada", task.assignment_id, 1, filled(comment="Careful."), new_key())
    kept = rate_task(room, study_id)
    assert (kept.assignment_id, kept.task.filled.comment) == (task.assignment_id, "Careful.")
    assert desk.save_rating("ada", task.assignment_id, 1, filled(), new_key()).form.scores == GOOD


def test_what_cannot_be_judged_is_done_at_once_with_its_reason(room: Room) -> None:
    study_id = room.opened("ada", "bob", min_seconds=3600.0)
    task = rate_task(room, study_id)
    room.desk.save_rating("ada", task.assignment_id, 1, Filled(cannot_rate="Not my field."), new_key(), can_rate=False)
    given = next(its for its in room.store.assignments(study_id, "ada") if its.id == task.assignment_id)
    assert (given.state, given.cannot_reason) == ("cannot", "Not my field.")
    assert rate_task(room, study_id).assignment_id != task.assignment_id


def test_a_form_that_misses_something_is_not_saved(room: Room) -> None:
    study_id = room.opened("ada", "bob")
    task = rate_task(room, study_id)
    with pytest.raises(InvalidInput, match="not answered yet"):
        room.desk.save_rating("ada", task.assignment_id, 1, Filled(), new_key())
    with pytest.raises(InvalidInput, match="does not fit"):
        room.desk.save_rating("ada", task.assignment_id, 9, filled(), new_key())
    assert rate_task(room, study_id).assignment_id == task.assignment_id


def test_a_repeated_request_saves_once(room: Room) -> None:
    study_id = room.opened("ada", "bob")
    task = rate_task(room, study_id)
    saved = [room.desk.save_rating("ada", task.assignment_id, 1, filled(), "one key") for _ in range(2)]
    assert saved[0] == saved[1]


def test_a_draft_stays_until_it_is_saved_and_not_beside_a_newer_rating(room: Room) -> None:
    study_id = room.opened("ada", "bob")
    task = rate_task(room, study_id)
    assert room.desk.save_draft("ada", task.assignment_id, filled(comment="So far."))
    assert rate_task(room, study_id).task.filled.comment == "So far."
    saved = room.rate_task("ada", task)
    assert not room.desk.save_draft("ada", task.assignment_id, filled(comment="Late."))
    again = room.desk.task(study_id, "ada", task.assignment_id)
    assert isinstance(again, RateTask)
    assert (again.amends, again.task.filled.base, again.task.filled.comment) == (True, saved.id, "")


def test_an_earlier_case_can_be_amended_until_the_closing(room: Room) -> None:
    study_id = room.opened("ada", "bob")
    first = room.rate("ada", study_id, safety="2")
    now = rate_task(room, study_id)
    assert now.may_go_back
    back = room.desk.back(study_id, "ada", now.assignment_id)
    assert isinstance(back, RateTask)
    assert (back.assignment_id, back.task.filled.scores["safety"]) == (first, "2")
    room.rate_task("ada", back, safety="5")
    assert room.store.study_judgements(study_id).ratings[first].form.scores["safety"] == "5"
    with pytest.raises(RatedSince):
        room.desk.save_rating("ada", first, 1, filled(base=back.task.filled.base), new_key())
    with pytest.raises(NotFound, match="first of your cases"):
        room.desk.back(study_id, "ada", first)


def test_a_vote_can_be_changed_and_a_pair_put_aside(room: Room) -> None:
    study_id = room.opened("ada", n=2, tasks="pairwise")
    task = pair_task(room, study_id)
    assert room.desk.save_draft("ada", task.assignment_id, {"vote": "b", "of": ""})
    assert (pair_task(room, study_id).draft or {})["vote"] == "b"
    saved = room.desk.save_vote("ada", task.assignment_id, "a", save_key=new_key(), reason="Clear.")
    back = room.desk.back(study_id, "ada")
    assert isinstance(back, PairTask)
    assert back.view.voted is not None
    assert (back.view.voted.id, back.view.voted.vote, back.draft) == (saved.id, "a", None)
    room.desk.save_vote("ada", task.assignment_id, "tie", save_key=new_key(), base=saved.id)
    assert room.store.study_judgements(study_id).votes[task.assignment_id].vote == "tie"
    other = pair_task(room, study_id)
    room.desk.cannot_compare("ada", other.assignment_id, "Not my field.")
    assert room.desk.step(study_id, "ada") == Finished(study_id, "Gout", 2, 2, closed=False)


# Practice


def practise(room: Room, study_id: str, right: bool) -> Any:
    """The result of the next case to practise on, answered as it is known or the other way round."""
    task = room.desk.step(study_id, "ada")
    assert isinstance(task, CalibrationTask)
    item = next(its for its in room.store.study_items(study_id) if its.id == task.item_id)
    assert item.known is not None
    if isinstance(task.task, PairTask):
        known = item.known["vote"]
        said = {"vote": known if right else {"a": "b", "b": "a"}.get(known, "a")}
        return room.desk.answer_calibration(study_id, "ada", task.item_id, said, new_key())
    known = item.known["scores"]
    extent = known["harm_extent"] if right else {"none": "severe"}.get(known["harm_extent"], "none")
    scores = {axis: known.get(axis, "3") for axis in GOOD}
    given = filled(scores=scores, harm_extent=extent)
    return room.desk.answer_calibration(study_id, "ada", task.item_id, given, new_key())


def test_the_practice_is_passed_before_the_study_and_wrong_cases_come_again(room: Room) -> None:
    study_id = room.opened("ada", n=2, calibration=3, pass_share=1.0, raters_per_item=1)
    first = practise(room, study_id, right=False)
    assert (first.right, first.n_right, first.n, first.passed) == (False, 0, 3, None)
    assert first.given["harm_extent"] != first.expected["harm_extent"]
    assert first.why
    assert practise(room, study_id, right=True).passed is None
    third = practise(room, study_id, right=True)
    assert (third.n_right, third.passed) == (2, False)
    again = room.desk.step(study_id, "ada")
    assert isinstance(again, CalibrationTask)
    assert again.again
    assert practise(room, study_id, right=True).passed is True
    assert isinstance(room.desk.step(study_id, "ada"), RateTask)
    [ada] = room.studies.progress(study_id).raters
    assert ada.calibration == (2, 3)  # at the first try


def test_a_vote_is_practised_too(room: Room) -> None:
    study_id = room.opened("ada", n=2, tasks="pairwise", calibration=("vote-gout",))
    task = room.desk.step(study_id, "ada")
    assert isinstance(task, CalibrationTask)
    assert isinstance(task.task, PairTask)
    assert practise(room, study_id, right=True).passed is True
    assert isinstance(room.desk.step(study_id, "ada"), PairTask)


def test_cases_to_practise_on_are_no_assignments_and_no_results(room: Room) -> None:
    study_id = room.opened("ada", n=2, calibration=2)
    practise(room, study_id, right=True)
    held = room.store.study_judgements(study_id)
    assert (len(held.calibrations), len(held.ratings)) == (1, 0)
    assert {its.item_id for its in held.assignments}.isdisjoint(
        item.id for item in held.items if item.kind == "calibration"
    )


# A study that asks for every question on a pair

NINE = ("consensus", "comprehension", "recall", "reasoning", "irrelevant_content", "omission", "demographic_bias",
        "harm_extent", "harm_likelihood")  # fmt: skip


def test_where_every_question_has_to_be_answered_a_vote_without_one_names_it_and_is_not_kept(room: Room) -> None:
    study_id = room.opened("ada", n=2, tasks="pairwise", all_axes=True)
    task = pair_task(room, study_id)
    assert task.all_axes
    axes: dict[str, Any] = dict.fromkeys(NINE, "tie")
    lacking = {axis: side for axis, side in axes.items() if axis not in ("recall", "omission")}
    missing = "every question; not answered yet: Which shows more correct medical knowledge\\?$"

    for said, line in (({}, "not answered yet: Which is closer to what medicine"), (lacking, missing)):
        with pytest.raises(InvalidInput, match=line):
            room.desk.save_vote("ada", task.assignment_id, "a", save_key=new_key(), axes=said)
    assert room.store.study_judgements(study_id).votes == {}

    saved = room.desk.save_vote("ada", task.assignment_id, "a", save_key=new_key(), axes=axes)
    with pytest.raises(InvalidInput, match="Which shows more correct"):  # nor are they taken away afterwards
        room.desk.save_vote("ada", task.assignment_id, "b", save_key=new_key(), base=saved.id, axes=lacking)


def test_a_vote_alone_is_enough_where_there_is_no_question_or_none_is_asked_for(room: Room) -> None:
    for more in ({"all_axes": True, "pair_rubric": ""}, {"all_axes": False}):
        study_id = room.opened("ada", n=1, tasks="pairwise", **more)
        task = pair_task(room, study_id)
        room.desk.save_vote("ada", task.assignment_id, "a", save_key=new_key())
        assert isinstance(room.desk.step(study_id, "ada"), Finished)
