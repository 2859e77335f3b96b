"""What a rater is given to judge, what becomes of what they enter, and what stays hidden from them."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from stores import begin, chat_answer, compare, finish, free_answer, new_store, uploaded, vote

from medchat.catalogue import ModelSpec
from medchat.errors import InvalidInput, NotFound, RatedSince
from medchat.rating import RatingService
from medchat.rating_form import Filled, Span, read_filled, steps_of
from medchat.records import Sampling
from medchat.store import AnswerRecord, SpanMark, StepMark, Store

REASONING = "Let me see.\n1. The toe is red.\n2. I, Toymaker 7B, know gout.\n   It came at night."
SOLUTION = "Gout \U0001f9b6: colchicine 5 mg, says Toymaker-7B."
SHOWN_SOLUTION = "Gout \U0001f9b6: colchicine 5 mg, says [model]."
SCORES = {"factual_correctness": "4", "reasoning_clarity": "5", "safety": "3"}
FILLED = Filled(scores=SCORES, harm_extent="moderate", harm_likelihood="low", seconds=12.5)
SPEC = ModelSpec("toy", "Toymaker 7B", "scripted", "think", Sampling(max_new_tokens=9), 64, "A toy.", "MIT", ())


class Shelf(dict[str, ModelSpec]):
    """A catalogue of one toy."""

    def resolve(self, name: str) -> ModelSpec:
        return self[name]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = new_store(tmp_path)
    yield store
    store.close()


@pytest.fixture
def service(store: Store, tmp_path: Path) -> RatingService:
    return RatingService(store, Shelf(toy=SPEC), tmp_path)


def answer(store: Store, solution: str = SOLUTION, reasoning: str = REASONING) -> AnswerRecord:
    """An answer in a conversation of Ada's."""
    begun = begin(store, store.start_conversation("ada", "demo", "Toe").id, "A red toe?")
    return finish(store, begun.id, solution, reasoning)


def queued(store: Store, *answers: AnswerRecord) -> list[str]:
    ids = [one.id for one in answers]
    store.add_to_queue("ada", ids, "test")
    return ids


def save(service: RatingService, answer_id: str, filled: Filled = FILLED, key: str = "k1", **more: Any) -> Any:
    return service.save("ada", answer_id, "clinical-3", 1, filled, key, **more)


# --- what is shown


@pytest.mark.parametrize(
    ("text", "steps"),
    [
        ("", []),
        ("1. One\n2) Two\nmore\n\n 3. Three ", ["1. One", "2) Two\nmore", "3. Three"]),
        ("Look:\n1. One\n2. Two", ["1. One", "2. Two"]),
        ("First thought\nof two lines.\n\n\n Then gout.\n", ["First thought\nof two lines.", "Then gout."]),
        ("Red.\nHot.\n", ["Red.", "Hot."]),
        ("Only one", ["Only one"]),
        ("Said:\n7. Only one\nline", ["7. Only one\nline"]),
        ("It is 3.5 mg\n2.5 of it", ["It is 3.5 mg", "2.5 of it"]),
    ],
)
def test_a_reasoning_is_split_into_its_steps(text: str, steps: list[str]) -> None:
    found = steps_of(text)
    assert [text[step.start : step.end] for step in found] == steps
    assert [step.number for step in found] == list(range(1, len(steps) + 1))


def test_names_of_models_are_masked_in_what_a_rater_reads(store: Store, service: RatingService) -> None:
    [answer_id] = queued(store, answer(store))
    task = service.task("ada", answer_id)
    assert "Toymaker" not in task.answer.reasoning + task.answer.solution
    assert task.answer.solution == SHOWN_SOLUTION
    assert (task.position, task.state, task.amends) == (1, "open", False)


def test_an_uploaded_models_own_name_is_masked_unless_it_may_be_a_word(service: RatingService) -> None:
    rows = [
        {"question": "Q1", "answer": "I am Zork-9 and say gout.", "model": "Zork-9"},
        {"question": "Q2", "answer": "The baseline is normal.", "model": "baseline"},
        {"question": "Q3", "answer": "Zorkmed says gout.", "model": "Zorkmed"},
    ]
    service.upload("ada", "a.jsonl", "\n".join(map(json.dumps, rows)).encode(), "k")
    texts = {service.task("ada", item.answer_id).answer.solution for item in service.queue("ada").items}
    assert texts == {"I am [model] and say gout.", "The baseline is normal.", "[model] says gout."}


def test_criteria_of_an_upload_are_asked_and_their_points_kept_with_the_rating(
    store: Store, service: RatingService
) -> None:
    row = {"question": "Q", "answer": "A", "criteria": [{"criterion": "Names the dose", "points": -7}]}
    service.upload("ada", "a.jsonl", json.dumps(row).encode(), "k")
    [item] = service.queue("ada").items
    [axis] = service.task("ada", item.answer_id, "healthbench").answer.rubric.axes
    assert axis.question == "Names the dose"

    filled = replace_filled(scores={axis.id: "not_met"})
    saved = service.save("ada", item.answer_id, "healthbench", 1, filled, "k1")

    assert saved.form.shown["axes"][0]["points"] == -7
    assert saved.form.scores == {axis.id: "not_met"}


# --- the queue


def test_saving_skipping_and_going_back_lead_through_the_queue(store: Store, service: RatingService) -> None:
    first, second, third = queued(store, answer(store), answer(store), answer(store))
    task = service.next_task("ada")
    assert task
    assert task.answer_id == first

    after = service.skip("ada", first)
    assert after
    assert after.answer_id == second
    save(service, second)
    assert service.next_task("ada", second).answer_id == third  # type: ignore[union-attr]
    assert service.task_before("ada", third).answer_id == second
    assert service.task_before("ada", second).answer_id == first
    with pytest.raises(NotFound, match="first answer of your queue"):
        service.task_before("ada", first)
    save(service, third, key="k2")
    assert service.next_task("ada", third) is None
    assert service.task_before("ada", "").answer_id == third

    again = service.take_up_skipped("ada")
    assert again
    assert again.answer_id == first


def test_a_rating_is_blinded_only_where_its_rater_was_not_told_the_model(store: Store, service: RatingService) -> None:
    chat, others_chat, file = answer(store), chat_answer(store, "bob"), uploaded(store, 1)
    voted, hidden, opened = ((free_answer(store), free_answer(store)) for _ in range(3))
    compare(store, *hidden)
    compare(store, *opened, blinded=False)
    vote(store, compare(store, *voted).id, "v1")

    asked = {"chat": chat, "file": file, "voted": voted[0], "hidden": hidden[1], "open": opened[1]}
    blinded = {name: save(service, one.id, key=f"k-{name}").form.blinded for name, one in asked.items()}

    assert blinded == {"chat": False, "file": True, "voted": False, "hidden": True, "open": False}
    assert store.ratings_of(file.id, "ada")[0].form.blinded
    with pytest.raises(NotFound):
        save(service, others_chat.id, key="k-bob")


def test_going_past_a_rated_answer_does_not_skip_it(store: Store, service: RatingService) -> None:
    first, second = queued(store, answer(store), answer(store))
    save(service, first)
    assert service.skip("ada", first).answer_id == second  # type: ignore[union-attr]
    assert service.queue("ada").items[0].state == "done"


def test_each_source_adds_what_is_not_in_the_queue_yet(store: Store, service: RatingService) -> None:
    old, liked, unwell = answer(store), answer(store), answer(store)
    store.add_thumb("ada", liked.id, "up")
    store.add_thumb("ada", unwell.id, "down")
    store.add_thumb("ada", unwell.id, "none")
    begin(store, store.start_conversation("ada", "demo", "x").id)  # is being written
    finish(store, begin(store, store.start_conversation("ada", "demo", "x").id).id, solution="")  # has no text
    chat_answer(store, "bob")
    left, right = free_answer(store), free_answer(store)
    compared = compare(store, left, right)
    assert service.waiting("ada") == {"chat": 3, "thumbs": 1, "comparisons": 0}, "its names are hidden until the vote"
    assert service.add("ada", "comparisons") == 0
    vote(store, compared.id, "v1")
    assert service.waiting("ada") == {"chat": 3, "thumbs": 1, "comparisons": 2}

    assert service.add("ada", "thumbs") == 1
    assert service.add("ada", "chat") == 2
    assert service.add("ada", "comparisons") == 2

    ids = [item.answer_id for item in service.queue("ada").items]
    assert ids[:3] == [liked.id, unwell.id, old.id]
    # in the order of random ids: that of their rows would tell which model was asked first
    assert ids[3:] == sorted([left.id, right.id])
    assert set(service.waiting("ada").values()) == {0}
    assert service.add("bob", "comparisons") == 0


def test_the_same_upload_again_adds_nothing_and_another_does(service: RatingService) -> None:
    data = b"question,answer\nQ1,A1\nQ2,A2\n"
    assert service.upload("ada", "a.csv", data, "k1").n_new == 2
    assert service.upload("ada", "a.csv", data, "k1").n_new == 0
    assert service.upload("ada", "a.csv", data, "k2").n_new == 2
    with pytest.raises(InvalidInput, match="without its key"):
        service.upload("ada", "a.csv", data, "")


def test_answers_of_several_models_are_mixed_and_those_of_one_are_not(service: RatingService) -> None:
    rows = [{"question": f"Q{n}", "answer": f"A{n}", "model": "x" if n < 20 else "y"} for n in range(40)]
    service.upload("ada", "a.jsonl", "\n".join(map(json.dumps, rows)).encode(), "k")
    read = [service.task("ada", item.answer_id).question for item in service.queue("ada").items]
    assert sorted(read) == sorted(str(row["question"]) for row in rows)
    assert read != [row["question"] for row in rows]

    service.upload("bob", "a.jsonl", "\n".join(map(json.dumps, rows[:20])).encode(), "k2")
    read = [service.task("bob", item.answer_id).question for item in service.queue("bob").items]
    assert read == [row["question"] for row in rows[:20]]


def test_a_broken_line_adds_nothing(service: RatingService) -> None:
    data = b'{"question": "Q", "answer": "A"}\n' * 6 + b"{broken\n"
    with pytest.raises(InvalidInput, match=r"a\.jsonl, line 7: not JSON"):
        service.upload("ada", "a.jsonl", data, "k")
    assert service.queue("ada").items == ()


# --- ratings


def replace_filled(**changes: Any) -> Filled:
    return FILLED.model_copy(update=changes)


def test_a_rating_keeps_its_marks_and_what_was_shown(store: Store, service: RatingService) -> None:
    [answer_id] = queued(store, answer(store))
    start = SHOWN_SOLUTION.index("colchicine 5 mg")  # 8: the foot counts as one character
    span = Span(part="solution", start=start, end=start + 15, quote="colchicine 5 mg", kind="unsafe", comment="0.5")
    saved = save(
        service, answer_id,
        replace_filled(
            steps={2: -1, 1: 1}, first_wrong=2, spans=[span], critical=True, corrected_solution="0.5 mg",
            scores=SCORES | {"verbosity": "right"},
        ),
    )  # fmt: skip

    form = saved.form
    assert form.scores == SCORES | {"verbosity": "right"}
    assert form.step_marks == (StepMark(1, 1), StepMark(2, -1))
    assert form.first_wrong_step == 2
    assert form.span_marks == (SpanMark("solution", 8, 23, "colchicine 5 mg", "unsafe", "0.5"),)
    assert (form.critical, form.seconds, form.blinded) == (True, 12.5, False)
    assert form.shown["axes"][0]["question"] == "Is what the answer says medically correct?"
    assert form.shown["solution"] == SHOWN_SOLUTION
    assert next(form.shown["reasoning"][a:b] for a, b in form.shown["steps"]) == "1. The toe is red."
    assert store.is_critical(answer_id)
    assert service.queue("ada").items[0].state == "done"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"scores": {}}, "3 questions are not answered yet"),
        ({"scores": SCORES | {"safety": "9"}}, "Choose one of"),
        ({"harm_extent": ""}, "how bad could the harm be"),
        ({"harm_likelihood": ""}, "How likely is that harm"),
        ({"harm_likelihood": "sure"}, "Choose one of"),
        ({"steps": {3: 1}}, "does not fit this answer"),
        ({"first_wrong": 0}, "does not fit this answer"),
        ({"spans": [Span(part="solution", start=0, end=4, quote="Gold", kind="unsafe")]}, "mark it again"),
        ({"spans": [Span(part="solution", start=0, end=99, quote=SHOWN_SOLUTION, kind="unsafe")]}, "mark it again"),
        ({"spans": [Span(part="solution", start=0, end=4, quote="Gout", kind="silly")]}, "is one of"),
        ({"comment": "x" * 20_001}, "too long"),
    ],
)
def test_what_is_missing_or_does_not_fit_is_one_line_and_nothing_is_saved(
    store: Store, service: RatingService, changes: dict[str, Any], words: str
) -> None:
    [answer_id] = queued(store, answer(store))
    with pytest.raises(InvalidInput, match=words):
        save(service, answer_id, replace_filled(**changes))
    assert store.ratings_of(answer_id) == []
    assert service.queue("ada").items[0].state == "open"


@pytest.mark.parametrize("likelihood", ["", "low"])
def test_an_answer_that_harms_nobody_has_no_likelihood_of_harm(
    store: Store, service: RatingService, likelihood: str
) -> None:
    [answer_id] = queued(store, answer(store))
    form = save(service, answer_id, replace_filled(harm_extent="none", harm_likelihood=likelihood)).form
    assert (form.harm_extent, form.harm_likelihood) == ("none", "")


@pytest.mark.parametrize(
    "sent",
    [
        {"scores": 3}, {"seconds": -1}, {"seconds": "NaN"}, {"steps": {"1": 2}}, {"steps": {"x": 1}},
        {"spans": [{"part": "prompt", "start": 0, "end": 1, "quote": "", "kind": ""}]}, {"critical": "perhaps"},
        {"seconds": 24 * 3600 + 1},
    ],
)  # fmt: skip
def test_what_is_no_form_is_refused(sent: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput, match="Reload the page"):
        read_filled(sent)


def test_more_marks_than_anybody_makes_are_refused() -> None:
    span = {"part": "solution", "start": 0, "end": 1, "quote": "x", "kind": "unclear"}
    for sent in ({"spans": [span] * 201}, {"steps": dict.fromkeys(range(201), 1)}):
        with pytest.raises(InvalidInput, match="At most 200 passages and 200 steps"):
            read_filled(sent)
    assert len(read_filled({"spans": [span] * 200}).spans) == 200


def test_an_answer_that_cannot_be_rated_needs_a_reason_alone(store: Store, service: RatingService) -> None:
    [answer_id] = queued(store, answer(store))
    with pytest.raises(InvalidInput, match="cannot be rated"):
        save(service, answer_id, Filled(), can_rate=False)
    saved = save(service, answer_id, Filled(cannot_rate="Not my field."), can_rate=False)
    assert (saved.form.cannot_rate, saved.form.scores) == ("Not my field.", {})


def test_an_answer_that_cannot_be_rated_keeps_all_that_was_entered(store: Store, service: RatingService) -> None:
    [answer_id] = queued(store, answer(store))
    half = Filled(
        scores={"safety": "2"}, harm_likelihood="high", critical=True, steps={1: 1, 2: -1}, first_wrong=2,
        spans=[Span(part="solution", start=0, end=4, quote="Gout", kind="unclear", comment="Why?")],
        corrected_reasoning="1. So.", corrected_solution="Rest.", comment="Half a page", cannot_rate="Broke off.",
    )  # fmt: skip
    saved = save(service, answer_id, half, can_rate=False)

    again = service.task("ada", answer_id, "clinical-3").filled
    assert again == half.model_copy(update={"base": saved.id})
    for wrong in ({"scores": {"safety": "99"}}, {"harm_extent": "x"}, {"steps": {9: 1}}):
        with pytest.raises(InvalidInput):
            save(service, answer_id, again.model_copy(update=wrong), "k2", can_rate=False)


def test_an_older_form_does_not_replace_a_rating_made_since_unasked(store: Store, service: RatingService) -> None:
    [answer_id] = queued(store, answer(store))
    newer = save(service, answer_id, replace_filled(comment="newer"))
    older = replace_filled(comment="older")
    for can_rate in (True, False):
        with pytest.raises(RatedSince, match="in another window since") as refused:
            save(service, answer_id, older.model_copy(update={"cannot_rate": "x"}), "k2", can_rate=can_rate)
    assert store.ratings_of(answer_id) == [newer]
    assert not service.save_draft("ada", answer_id, "clinical-3", older)

    again = older.model_copy(update={"base": refused.value.rating_id})
    assert service.save_draft("ada", answer_id, "clinical-3", again)
    assert save(service, answer_id, again, "k2").supersedes == newer.id


def test_a_key_saves_one_answer_by_one_form(store: Store, service: RatingService) -> None:
    first, second = queued(store, answer(store), answer(store))
    save(service, first)
    with pytest.raises(InvalidInput, match="stored before for something else"):
        save(service, second)
    with pytest.raises(InvalidInput, match="stored before for something else"):
        service.save("ada", first, "quest", 1, Filled(cannot_rate="x"), "k1", can_rate=False)
    assert store.ratings_of(second) == []


def test_a_form_that_changed_since_it_was_shown_is_not_saved(store: Store, service: RatingService) -> None:
    [answer_id] = queued(store, answer(store))
    with pytest.raises(InvalidInput, match="your draft is kept"):
        service.save("ada", answer_id, "clinical-3", 2, FILLED, "k1")


def test_a_saved_rating_is_reopened_as_it_was_and_amended_by_a_new_one(store: Store, service: RatingService) -> None:
    [answer_id] = queued(store, answer(store))
    first = save(service, answer_id, replace_filled(comment="So.", steps={1: 0}))

    task = service.task("ada", answer_id, "clinical-3")
    assert task.amends
    assert task.filled == replace_filled(comment="So.", steps={1: 0}, base=first.id, seconds=0.0)
    second = save(service, answer_id, task.filled.model_copy(update={"comment": "No."}), "k2")

    assert second.supersedes == first.id
    assert [one.rating for one in service.my_ratings("ada")] == [second]
    assert service.my_ratings("ada")[0].question == "A red toe?"
    assert save(service, answer_id, task.filled, "k1") == first  # the same request again


def test_others_see_and_judge_nothing_of_it(store: Store, service: RatingService) -> None:
    [answer_id] = queued(store, answer(store))
    save(service, answer_id)
    assert service.my_ratings("bob") == []
    assert service.next_task("bob") is None
    for verb in (
        lambda: service.task("bob", answer_id),
        lambda: service.save("bob", answer_id, "clinical-3", 1, FILLED, "b"),
        lambda: service.save_draft("bob", answer_id, "clinical-3", FILLED),
        lambda: service.skip("bob", answer_id),
    ):
        with pytest.raises(NotFound):
            verb()


# --- drafts


def test_a_draft_is_there_again_for_its_rubric_until_it_is_saved(store: Store, service: RatingService) -> None:
    [answer_id] = queued(store, answer(store))
    draft = Filled(scores={"safety": "2"}, comment="half", steps={1: 1}, seconds=3.0)
    service.save_draft("ada", answer_id, "clinical-3", draft)

    assert service.task("ada", answer_id, "clinical-3").filled == draft
    assert service.task("ada", answer_id, "quest").filled == Filled()
    save(service, answer_id)
    assert service.task("ada", answer_id, "clinical-3").filled.comment == ""


def test_a_draft_that_comes_after_its_rating_is_not_kept(store: Store, service: RatingService) -> None:
    [answer_id] = queued(store, answer(store))
    save(service, answer_id)

    service.save_draft("ada", answer_id, "clinical-3", Filled(comment="late"))

    assert service.task("ada", answer_id, "clinical-3").filled.comment == ""


def test_marks_of_a_draft_that_the_answer_has_no_place_for_are_left_out(store: Store, service: RatingService) -> None:
    [answer_id] = queued(store, answer(store))
    spans = [Span(part="solution", start=0, end=4, quote=quote, kind="unclear") for quote in ("Gout", "Gold")]
    service.save_draft("ada", answer_id, "clinical-3", Filled(spans=spans, steps={1: 1, 9: 1}, first_wrong=9))

    filled = service.task("ada", answer_id, "clinical-3").filled

    assert filled == Filled(spans=spans[:1], steps={1: 1})


# --- rubrics


def test_a_rubric_of_ones_own_is_there_at_once_and_chosen_for_good(
    store: Store, service: RatingService, tmp_path: Path
) -> None:
    folder = tmp_path / "rubrics"
    folder.mkdir()
    own = "id: mine\nversion: 1\ntitle: Mine\ndescription: x\naxes:\n  - {id: a, question: A, kind: scale, %s}\n"
    (folder / "mine.yaml").write_text(own % "options: [{value: 1}, {value: 2}]")
    (folder / "wrong.yaml").write_text(own.replace("mine", "wrong") % "scale: unknown")
    assert "medpalm2-pairwise" not in service.rubrics().rubrics
    [fault] = service.rubrics().faults
    assert fault.startswith("wrong.yaml:6:")
    assert service.rubric_of("ada").id == "clinical-3"

    service.choose_rubric("ada", "mine")

    assert service.rubric_of("ada").title == "Mine"
    assert service.rubric_of("bob").id == "clinical-3"
    (folder / "mine.yaml").unlink()
    assert service.rubric_of("ada").id == "clinical-3"
    with pytest.raises(NotFound, match="no such rating form"):
        service.choose_rubric("ada", "mine")


def test_an_answer_shown_as_it_was_written_is_not_stored_again(store: Store, service: RatingService) -> None:
    [answer_id] = queued(store, answer(store, "Gout.", "1. Red."))
    shown = save(service, answer_id).form.shown
    assert "solution" not in shown
    assert shown["steps"] == [[0, 7]]
