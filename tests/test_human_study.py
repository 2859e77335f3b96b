"""What a study's report says of how it went: who took part, what was left, who looked early, what was decided."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from human_records import OMISSION, STARTED, human_data, rating, vote
from study_rooms import GOOD, Room, new_key

from evaluation.human import analyse
from evaluation.human_axes import AxisInfo
from evaluation.human_data import Adjudicated, HumanData, StudyFacts, filtered
from evaluation.human_report import build
from evaluation.human_source import from_store
from evaluation.report_blocks import to_html, to_markdown
from medchat.errors import NotAllowed

LENGTH = AxisInfo(
    "length", "Length", "neither", ("short", "right", "long"), numbers=(0.0, 1.0, 2.0),
    labels=("Too short", "Right", "Too long"), kind="choice",
)  # fmt: skip


@pytest.fixture
def room(tmp_path: Path) -> Iterator[Room]:
    made = Room(tmp_path)
    yield made
    made.store.close()


def facts_of(room: Room, study_id: str) -> StudyFacts:
    facts = from_store(room.store, study_id, room.settings).facts
    assert facts is not None
    return facts


def report_of(data: HumanData) -> str:
    return to_markdown(build(analyse(data, resamples=100), data))


def test_a_drop_out_whose_cases_nobody_could_take_is_told_in_figures(room: Room) -> None:
    # Four answers for each of three raters: 12. Ada rates her four, bo one, cleo none; the three of bo that come back
    # have been given to both others already. So 12 - 5 are not made, and 3 of them are in nobody's queue.
    study_id = room.ready(2, raters_per_item=3).record.id
    three = [("ada", ""), ("bo", ""), ("cleo", "")]
    room.studies.set_raters(study_id, "ines", [*three, ("zoe", "")])
    room.studies.set_raters(study_id, "ines", three)  # zoe was never one of the study's raters
    room.studies.open(study_id, "ines")
    for rater in ("ada", "ada", "ada", "ada", "bo"):
        room.rate(rater, study_id)
    room.studies.remove_rater(study_id, "ines", "bo")
    room.studies.close(study_id, "ines")

    facts = facts_of(room, study_id)
    page = report_of(from_store(room.store, study_id, room.settings))

    assert (facts.joined, facts.raters, facts.dropped_out, facts.dropped_out_raters) == (3, 2, 1, 1)
    (flow,) = facts.flow
    assert (flow.asked, flow.dealt, flow.withdrawn, flow.dealt_again) == (12, 12, 3, 0)
    assert (flow.short, flow.not_made, flow.waiting) == (3, 7, 4)
    assert "2 models, 2 questions, 2 raters, 5 ratings" in page
    assert "2 raters took part; 3 asked for each item" in page
    assert "3 raters joined: 2 took part, which is to have judged at least once, and 1 judged nothing." in page
    assert "1 left before the end, 1 of them after having judged" in page
    assert "3 assignments were withdrawn and 0 dealt again; 3 judgements that the design asks for had no rater" in page
    assert "**The study was closed with 7 of 12 judgements not made, of which 3 were left with no rater.**" in page


def test_what_is_dealt_after_the_opening_is_not_said_to_be_of_its_table(room: Room) -> None:
    study_id = room.opened("ada", "bo", n=2)  # four answers, two for each
    later = "what was dealt later, after raters came or went, is not from that table"
    assert later not in report_of(from_store(room.store, study_id, room.settings))

    room.studies.remove_rater(study_id, "ines", "bo")
    for _ in range(4):
        room.rate("ada", study_id)
    room.studies.close(study_id, "ines")

    (flow,) = facts_of(room, study_id).flow
    page = report_of(from_store(room.store, study_id, room.settings))
    assert (flow.asked, flow.dealt, flow.dealt_again, flow.withdrawn) == (4, 6, 2, 2)
    assert (flow.short, flow.not_made) == (0, 0)
    assert later in page
    assert "2 assignments were withdrawn and 2 dealt again. What" in page
    assert "not made" not in page  # who left came to nothing, and all was judged


def test_results_that_were_shown_before_the_closing_are_said_with_who_looked(room: Room) -> None:
    study_id = room.ready(2).record.id
    room.studies.set_raters(study_id, "ines", [("ada", "")])
    for yes in (True, False):  # before the opening nothing was there to be seen
        room.studies.show_results(study_id, "ines", yes)
    room.studies.open(study_id, "ines")
    room.rate("ada", study_id)
    assert facts_of(room, study_id).early.spans == ()
    assert "shown to nobody while the study was open" in report_of(from_store(room.store, study_id, room.settings))

    room.studies.show_results(study_id, "ines", True)
    for actor in ("ines", "ada", "ada"):
        room.studies.look(study_id, actor)
    room.studies.show_results(study_id, "ines", False)
    with pytest.raises(NotAllowed):
        room.studies.look(study_id, "ines")
    room.studies.close(study_id, "ines")
    room.studies.show_results(study_id, "ines", True)  # it is closed: that shows nothing new
    room.studies.look(study_id, "bo")

    early = facts_of(room, study_id).early
    page = report_of(from_store(room.store, study_id, room.settings))
    ((since, until),) = early.spans
    assert until is not None
    assert since < until
    assert (early.looks, early.users, early.raters, early.refused) == (3, 2, 1, 1)
    assert "**Results by model were shown while the study was open, from 20" in page
    assert "3 looks, by 2 users, 1 of them a rater of this study; 1 look refused" in page


def test_a_decision_on_an_answer_is_read_with_its_number_and_scores(room: Room) -> None:
    study_id = room.opened("ada", "bo", n=1, raters_per_item=2)
    for rater, score in (("ada", "1"), ("ada", "4"), ("bo", "4"), ("bo", "4")):
        room.rate(rater, study_id, factual_correctness=score)
    [item] = room.adjudication.items(study_id, "judge")
    said = {"scores": {**GOOD, "verbosity": "too_long"}, "harm_extent": "severe", "harm_likelihood": "low"}
    room.adjudication.decide("judge", study_id, item.item_id, said, "Twice the dose.", new_key())

    [decided] = from_store(room.store, study_id, room.settings).adjudications

    assert (decided.number, decided.comment, decided.critical) == (item.number, "Twice the dose.", False)
    assert decided.scores["factual_correctness"] == 4.0
    assert decided.scores["verbosity"] == 2.0
    assert (decided.harm_extent, decided.harm_likelihood) == ("severe", "low")


def decision(*answers: str, **more: Any) -> Adjudicated:
    return Adjudicated(7, answers, "q1", ("whether it can do harm",), "Too much of it.", STARTED, **more)


def test_a_decision_stands_beside_what_the_raters_said_in_words_that_they_read() -> None:
    ratings = [
        rating("q1", "m1", "r1", 1.0, harm_extent="severe", harm_likelihood="high", critical=True, comment="No!"),
        rating("q1", "m1", "r2", 4.0),
        rating("q1", "m2", "r2", 5.0),
    ]
    ratings[0] = replace(ratings[0], scores={"correct": 1.0, "length": 2.0})
    decided = decision("q1/m1", scores={"correct": 2.0, "length": 1.0}, harm_extent="moderate", harm_likelihood="low")
    data = human_data(ratings, axes=(*human_data().axes, LENGTH), adjudications=[decided])

    document = build(analyse(data, resamples=100), data)
    page = to_markdown(document)

    part = page[page.index("## Adjudication") : page.index("## How to read this")]
    assert "#### Item 7: M1. What of" in part
    assert "Raters differed on: whether it can do harm." in part
    rows = [line for line in part.splitlines() if line.startswith("|")]
    assert rows == [
        "| Asked | Rater 1 | Rater 2 | Decision |",
        "|---|---|---|---|",
        "| Correct | 1 | 4 | 2 |",
        "| Length | Too long | - | Right |",
        "| Extent of harm | Severe or death | None | Mild or moderate |",
        "| Likelihood of harm | High | - | Low |",
        "| Critical | Yes | No | No |",
        "| Comment | No! | - | Too much of it. |",
    ]
    assert "> It is m1." in part  # its full text
    assert "m2" not in part
    html = to_html(document)
    assert 'class="number"' not in html[html.index('id="adjudication"') : html.index('id="method"')]


def test_a_decision_on_two_answers_names_the_model_whichever_side_it_was_shown_on() -> None:
    omission = replace(OMISSION, question="Which one leaves out more?")
    votes = [
        vote("q1", "m1", "m2", "r1", "a", axes={"omission": "b"}, flags=frozenset("b")),
        vote("q1", "m2", "m1", "r2", "a", axes={"omission": "tie"}, comment="Shorter."),  # turned: for m2
    ]
    data = human_data(votes=votes, axes=(omission,), adjudications=[decision("q1/m1", "q1/m2", vote="b")])

    page = report_of(data)

    part = page[page.index("## Adjudication") :]
    assert "#### Item 7: M1 and M2." in part
    assert "| Which is better | M1 | M2 | M2 |" in part
    assert "| Which one leaves out more? | M2 | A tie | - |" in part
    assert "| Flagged as critical | M2 | - | - |" in part
    assert "| Comment | - | Shorter. | Too much of it. |" in part


def test_a_filter_leaves_out_decisions_on_what_it_leaves_out() -> None:
    data = human_data(
        [rating("q1", "m1", "r1", 1.0), rating("q1", "m2", "r1", 5.0)],
        adjudications=[decision("q1/m1"), decision("q1/m2")],
    )

    assert [its.answer_ids for its in filtered(data, model="m2").adjudications] == [("q1/m2",)]


def test_the_report_says_that_markdown_was_read_as_plain_text() -> None:
    assert "Raters read the answers as plain text" in report_of(human_data([rating("q1", "m1", "r1", 1.0)]))
