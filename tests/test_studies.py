"""Studies from questions to their closing: answers by a run, raters, the table, rights and what the audit keeps."""

import json
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml
from openai_servers import answer, fake_server
from study_rooms import GOOD, MODELS, Room, design, new_key, own_models, questions

from medchat import accounts
from medchat.errors import InvalidInput, ModelUnavailable, NotAllowed, NotFound
from medchat.intake import require_released, studies_on, take_in
from medchat.jobs import Jobs
from medchat.records import Example, Message
from medchat.rubrics import load_rubrics, shown
from medchat.rundir import RunDir
from medchat.store import RatingForm
from medchat.studies import StudyService
from medchat.study_design import QuestionSource
from medchat.study_questions import StudyQuestion
from train.feedback import collect
from train.launch import launch


@pytest.fixture
def room(tmp_path: Path) -> Iterator[Room]:
    made = Room(tmp_path)
    yield made
    made.store.close()


def details(room: Room, action: str) -> list[dict[str, Any]]:
    return [row.details for row in room.store.audit(action=action)]


# Making a study


def test_a_study_keeps_its_questions_its_forms_and_its_design(room: Room) -> None:
    view = room.made(3, tasks="both")
    assert (view.record.status, view.n_questions, view.n_items) == ("draft", 3, 0)
    assert view.missing == {"alpha-1": 3, "beta-2": 3}
    assert view.record.rubrics["rate"]["title"] == "Clinical, short"
    assert view.record.rubrics["pair"]["pairwise"] is True
    assert [its.question for its in room.studies.questions(view.record.id)] == [
        f"Case {i}: what is it?" for i in range(3)
    ]
    assert any("fewer than 100" in line for line in view.warnings)
    assert any("name no specialty" in line for line in view.warnings)


def test_the_same_request_makes_one_study(room: Room) -> None:
    made = [room.studies.create("ines", "Gout", design(), questions(2), "same key") for _ in range(2)]
    assert made[0].record.id == made[1].record.id
    assert len(room.studies.views()) == 1


def test_a_sample_is_drawn_with_the_seed(room: Room) -> None:
    wanted = design(questions=QuestionSource("suite", "handwritten", sample=5))
    drawn = [room.studies.create("ines", "A", wanted, questions(40), new_key(), seed=s) for s in (1, 1, 2)]
    ids = [[its.id for its in room.studies.questions(view.record.id)] for view in drawn]
    assert len(ids[0]) == 5
    assert ids[0] == ids[1] != ids[2]


def test_the_options_of_a_multiple_choice_question_stand_under_it_and_models_get_the_example() -> None:
    example = Example("Which?", "B", "c1", kind="mcq", options={"A": "ear", "B": "toe"}, meta={"specialty": "Joints"})
    question = StudyQuestion.of(example)
    assert question.question == "Which?\n\nA. ear\nB. toe"
    assert (question.specialty, question.asked) == ("Joints", example)


@pytest.mark.parametrize(
    ("rows", "line"),
    [
        ([], "no questions"),
        ([StudyQuestion("", " ")], "Question 1 is empty"),
        ([StudyQuestion("", "Why?"), StudyQuestion("", "why?")], "Question 2 is there twice"),
    ],
)
def test_questions_that_cannot_be_used_make_no_study(room: Room, rows: list[StudyQuestion], line: str) -> None:
    with pytest.raises(InvalidInput, match=line):
        room.studies.create("ines", "Gout", design(), rows, new_key())
    assert room.store.studies() == []


def test_an_unknown_model_makes_no_study(room: Room) -> None:
    with pytest.raises(InvalidInput, match="gamma"):
        room.made(models=("alpha-1", "gamma"))


# Answers


def test_answers_come_from_the_run_with_prompt_sampling_and_seed(room: Room) -> None:
    view = room.made(2)
    job_id = room.studies.generate(view.record.id, "ines")
    argv = room.jobs.view(job_id).job.argv
    assert [argv[n + 1] for n, part in enumerate(argv) if part == "--model"] == ["alpha-1", "beta-2"]
    assert (argv[argv.index("--seed") + 1], "--quiet" in argv) == ("7", True)
    assert room.studies.view(view.record.id).record.status == "generating"

    room.write(job_id)

    view = room.studies.view(view.record.id)
    assert (view.record.status, view.n_answers, view.n_missing, view.n_items) == ("ready", 4, 0, 4)
    held = room.store.study_judgements(view.record.id)
    said = next(its for its in held.answers.values() if "beta-2 of q1" in its.solution)
    assert (said.model_id, said.seed, said.adapter_hash) == ("beta-2", 11, "abc")
    assert said.prompt == (Message("user", "asked beta-2: Case 1: what is it?"),)
    assert said.sampling is not None
    assert (said.raw, said.reasoning, said.answer_format) == ("raw beta-2 q1", "I am beta-2.", "think")


def test_an_order_of_items_tells_of_no_model(room: Room) -> None:
    view = room.ready(40)
    held = room.store.study_judgements(view.record.id)
    models = [held.answers[item.answer_ids[0]].model_id for item in held.items]
    first = Counter(models[:40])  # of 80
    assert 10 < first["alpha-1"] < 30


def test_a_run_that_was_taken_in_twice_changes_nothing(room: Room) -> None:
    view = room.ready(2)
    before = [item.id for item in room.store.study_items(view.record.id)]
    take_in(room.jobs.run_dir(view.record.run_id), room.store, room.catalogue)
    room.studies.take_in_answers(view.record.id)
    assert [item.id for item in room.store.study_items(view.record.id)] == before


def test_a_study_with_missing_answers_does_not_open_and_may_go_on_without_the_question(room: Room) -> None:
    study_id = room.made(3).record.id
    room.studies.set_raters(study_id, "ines", [("ada", "")])
    room.write(room.studies.generate(study_id, "ines"), leave=[("beta-2", "q1")])
    view = room.studies.view(study_id)
    assert (view.record.status, view.missing, view.n_answers) == ("draft", {"beta-2": 1}, 5)
    with pytest.raises(InvalidInput, match="1 of 6 answers are missing"):
        room.studies.open(study_id, "ines")

    view = room.studies.leave_out_missing(study_id, "ines")

    assert (view.record.status, view.n_questions, view.n_missing) == ("ready", 2, 0)
    assert room.studies.open(study_id, "ines").record.status == "open"


def test_an_answer_in_a_damaged_line_is_missing_and_the_list_of_studies_still_opens(room: Room) -> None:
    study_id = room.made(2).record.id
    job_id = room.studies.generate(study_id, "ines")
    run_dir = room.write(job_id, leave=[("beta-2", "q1")])
    with (run_dir.path / "predictions.jsonl").open("a") as file:
        file.write("{torn\n")
    [view] = room.studies.views()
    assert (view.record.status, view.missing) == ("draft", {"beta-2": 1})


def test_a_run_that_was_stopped_goes_on(room: Room) -> None:
    study_id = room.made(2).record.id
    first = room.studies.generate(study_id, "ines")
    room.jobs.stop(first)
    assert room.studies.view(study_id).record.status == "draft"
    assert room.studies.generate(study_id, "ines") == first
    assert room.jobs.view(first).state.status == "queued"


def test_while_answers_are_written_the_study_stays_as_it_is(room: Room) -> None:
    study_id = room.made(2).record.id
    room.studies.generate(study_id, "ines")
    for act in (
        partial(room.studies.generate, study_id, "ines"),
        partial(room.studies.change, study_id, "ines", design=design(tasks="both")),
        partial(room.studies.open, study_id, "ines"),
        partial(room.studies.delete, study_id, "ines"),
    ):
        with pytest.raises(InvalidInput, match="being written"):
            act()


def test_a_run_that_a_study_needs_is_not_deleted_unnoticed(room: Room) -> None:
    view = room.ready(2)
    assert studies_on(room.jobs.run_dir(view.record.run_id), room.store) == ["the study Gout"]


def test_other_tasks_keep_the_answers_and_other_models_do_not(room: Room) -> None:
    view = room.ready(2)
    both = room.studies.change(view.record.id, "ines", design=design(tasks="both"))
    assert (both.record.status, both.n_items, both.record.run_id) == ("ready", 6, view.record.run_id)
    other = room.studies.change(view.record.id, "ines", questions=questions(3))
    assert (other.record.status, other.n_items, other.n_missing, other.record.run_id) == ("draft", 0, 6, "")


def test_a_model_that_is_not_here_is_told_before_the_run(room: Room) -> None:
    study_id = room.made(2).record.id
    room.settings.own_models_file.unlink()
    with pytest.raises((NotFound, ModelUnavailable)):
        room.studies.generate(study_id, "ines")
    assert room.studies.view(study_id).record.status == "draft"


def uploaded(room: Room, rows: list[dict[str, str]]) -> Any:
    wanted = design(questions=QuestionSource("uploaded answers", "answers.jsonl"), models=())
    study_id = room.studies.create("ines", "Uploads", wanted, [], new_key()).record.id
    data = "\n".join(map(json.dumps, rows)).encode()
    return study_id, lambda: room.studies.upload_answers(study_id, "ines", "answers.jsonl", data)


def test_uploaded_answers_make_a_study_of_their_models(room: Room) -> None:
    rows = [
        {"question": f"Why {n}?", "answer": f"{m} says {n}.", "model": m, "specialty": "Joints"}
        for n in range(2)
        for m in ("Gamma 3", "Delta 4")
    ]
    study_id, upload = uploaded(room, rows)
    view = upload()
    assert (view.record.status, view.design.models, view.n_items) == ("ready", ("Gamma 3", "Delta 4"), 4)
    assert {item.specialty for item in room.store.study_items(study_id)} == {"Joints"}
    room.studies.set_raters(study_id, "ines", [("ada", ""), ("bob", "")])
    room.studies.open(study_id, "ines")
    task: Any = room.desk.step(study_id, "ada")
    assert "Gamma" not in task.task.answer.solution
    assert "Delta" not in task.task.answer.solution


def test_an_upload_with_a_gap_changes_nothing(room: Room) -> None:
    rows = [{"question": "Why?", "answer": "So.", "model": m} for m in ("Gamma 3", "Delta 4")]
    study_id, upload = uploaded(room, [*rows, {"question": "When?", "answer": "Now.", "model": "Gamma 3"}])
    with pytest.raises(InvalidInput, match="Delta 4 lacks 1"):
        upload()
    assert room.studies.view(study_id).n_questions == 0


# The table


def test_the_same_seed_gives_the_same_table_and_another_one_another(room: Room) -> None:
    study_id = room.ready(6, raters_per_item=2).record.id
    room.studies.set_raters(study_id, "ines", [(rater, "") for rater in ("ada", "bob", "cleo", "dan")])
    tables = [room.studies.allocate(study_id, seed, dry_run=True).rows for seed in (3, 3, 4)]
    assert tables[0] == tables[1] != tables[2]
    assert room.store.assignments(study_id) == []
    assert room.studies.view(study_id).record.seed == 7

    room.studies.allocate(study_id, 3)
    room.studies.open(study_id, "ines")

    numbers = {item.id: str(item.number) for item in room.store.study_items(study_id)}
    given = [(its.rater, numbers[its.item_id], its.position) for its in room.store.assignments(study_id)]
    assert sorted(given) == sorted((row.rater, row.unit_id, row.position) for row in tables[0])


def test_any_seed_is_drawn_again_with_the_raters_of_the_opening_whoever_came_and_went(room: Room) -> None:
    study_id = room.ready(6, raters_per_item=2).record.id
    room.studies.set_raters(study_id, "ines", [(rater, "") for rater in ("ada", "bob", "cleo", "dan")])
    room.studies.remove_rater(study_id, "ines", "dan")
    before = {seed: room.studies.allocate(study_id, seed, dry_run=True).rows for seed in (7, 3)}
    room.studies.open(study_id, "ines")
    room.rate("bob", study_id)

    room.studies.remove_rater(study_id, "ines", "bob")
    room.studies.add_rater(study_id, "ines", "eve")
    room.studies.add_rater(study_id, "ines", "dan")  # who had left before the opening
    room.studies.add_rater(study_id, "ines", "bob")  # who comes back

    assert {row.rater for row in before[7]} == {"ada", "bob", "cleo"}
    assert {seed: room.studies.allocate(study_id, seed, dry_run=True).rows for seed in (7, 3)} == before
    with pytest.raises(InvalidInput, match="has begun"):
        room.studies.allocate(study_id, 7)
    room.studies.close(study_id, "ines")
    assert room.studies.allocate(study_id, dry_run=True).rows == before[7]


@pytest.mark.parametrize(
    ("raters", "k", "line"), [([], 1, "no raters"), (["ada"], 2, "only 1 rater"), (["ada", "bob", "cleo"], 4, "only 3")]
)
def test_a_study_without_enough_raters_does_not_open(room: Room, raters: list[str], k: int, line: str) -> None:
    study_id = room.ready(2, raters_per_item=k).record.id
    room.studies.set_raters(study_id, "ines", [(rater, "") for rater in raters])
    with pytest.raises(InvalidInput, match=line):
        room.studies.open(study_id, "ines")
    assert room.studies.view(study_id).record.status == "ready"


def test_who_drops_out_keeps_what_they_judged_and_the_rest_is_dealt_again(room: Room) -> None:
    study_id = room.opened("ada", "bob", "cleo", n=6, raters_per_item=1)
    kept = room.rate("ada", study_id)
    before = len(room.store.assignments(study_id, "ada"))

    done = room.studies.remove_rater(study_id, "ines", "ada")

    assert (done.withdrawn, done.added, done.short) == (before - 1, before - 1, 0)
    states = Counter(its.state for its in room.store.assignments(study_id, "ada"))
    assert states == {"done": 1, "withdrawn": before - 1}
    standing = [its for its in room.store.assignments(study_id) if its.state != "withdrawn"]
    assert Counter(its.item_id for its in standing) == dict.fromkeys({its.item_id for its in standing}, 1)
    assert len(standing) == 12  # 6 questions x 2 models, each by one rater
    assert kept in room.store.study_judgements(study_id).ratings


def test_who_comes_late_takes_from_the_others_what_they_have_not_seen(room: Room) -> None:
    study_id = room.opened("ada", "bob", n=9)  # 18 items, 9 each
    room.rate("ada", study_id)
    done = room.studies.add_rater(study_id, "ines", "cleo", "junior")
    left = Counter(its.rater for its in room.store.assignments(study_id) if its.state == "open")
    assert done.added == done.withdrawn
    assert max(left.values()) - min(left.values()) <= 1
    assert sum(left.values()) == 17
    with pytest.raises(InvalidInput, match="already"):
        room.studies.add_rater(study_id, "ines", "cleo")


# Results, rights and the audit


def test_nobody_sees_results_before_the_closing_and_each_look_is_noted(room: Room) -> None:
    study_id = room.opened("ada", "bob")
    with pytest.raises(NotAllowed, match="hidden until the study is closed"):
        room.studies.look(study_id, "eve")
    room.studies.show_results(study_id, "ines", True)
    assert room.studies.look(study_id, "ines").id == study_id
    assert details(room, accounts.STUDY_SHOWS) == [{"yes": True}]
    assert details(room, accounts.STUDY_LOOKED) == [{"allowed": True}, {"allowed": False}]
    room.studies.show_results(study_id, "ines", False)
    room.studies.close(study_id, "ines")
    assert room.studies.look(study_id, "eve").status == "closed"
    assert len(details(room, accounts.STUDY_LOOKED)) == 2


def test_what_a_run_found_out_about_the_models_comes_with_the_closing(room: Room) -> None:
    study_id = room.opened("ada", "bob")
    assert room.store.evaluations() == []
    room.studies.close(study_id, "ines")
    assert sorted(its.model_id for its in room.store.evaluations()) == list(MODELS)
    assert room.studies.view(study_id).record.closed_at is not None


def test_a_report_on_the_run_of_a_study_waits_for_the_closing_too(room: Room) -> None:
    study_id = room.opened("ada", "bob")
    run_dir = room.jobs.run_dir(room.studies.view(study_id).record.run_id)
    with pytest.raises(NotAllowed, match="not closed"):
        require_released(run_dir, room.settings)
    assert details(room, accounts.STUDY_LOOKED) == [{"allowed": False}]
    room.studies.close(study_id, "ines")
    require_released(run_dir, room.settings)


def test_nothing_that_an_investigator_is_shown_meanwhile_tells_of_judgements_by_model(room: Room) -> None:
    study_id = room.opened("ada", "bob")
    room.rate("ada", study_id, safety="1")
    shown = repr(room.studies.progress(study_id)) + repr(room.adjudication.items(study_id))
    assert not any(model in shown for model in MODELS)
    progress = room.studies.progress(study_id)
    ada = next(its for its in progress.raters if its.rater == "ada")
    assert (ada.done, ada.left, ada.cannot, ada.kinds) == (1, 3, 0, {"rate": (1, 4)})
    assert (progress.done, progress.total) == (1, 8)


def test_who_opens_closes_and_changes_raters_is_in_the_audit(room: Room) -> None:
    study_id = room.opened("ada", "bob")
    room.studies.remove_rater(study_id, "ines", "ada")
    room.studies.allow_training(study_id, "ines", True)
    room.studies.close(study_id, "ines")
    actions = {row.action for row in room.store.audit() if row.target == study_id and row.actor == "ines"}
    assert actions == {
        accounts.STUDY_ADDED, accounts.STUDY_RATERS, accounts.STUDY_OPENED, accounts.STUDY_TRAINS,
        accounts.STUDY_CLOSED,
    }  # fmt: skip
    assert actions <= set(accounts.ACTIONS)


def test_an_open_study_keeps_its_form_whatever_becomes_of_the_file(room: Room) -> None:
    folder = room.settings.data_dir / "rubrics"
    folder.mkdir()
    rubric: dict[str, Any] = {
        "id": "ward", "version": 1, "title": "Ward", "description": "Ours.",
        "axes": [{"id": "right", "question": "Is it right?", "kind": "choice",
                  "options": [{"value": "yes"}, {"value": "no"}]}],
    }  # fmt: skip
    (folder / "ward.yaml").write_text(yaml.safe_dump(rubric), encoding="utf-8")
    study_id = room.opened("ada", "bob", rubric="ward")
    rubric |= {"version": 2, "axes": [{**rubric["axes"][0], "question": "Is it true?"}]}
    (folder / "ward.yaml").write_text(yaml.safe_dump(rubric), encoding="utf-8")

    task: Any = room.desk.step(study_id, "ada")

    assert task.task.answer.rubric.version == 1
    assert task.task.answer.rubric.axes[0].question == "Is it right?"
    with pytest.raises(InvalidInput, match="has begun"):
        room.studies.change(study_id, "ines", design=design(rubric="clinical-3"))


def test_a_closed_study_never_opens_again_and_takes_nothing(room: Room) -> None:
    study_id = room.opened("ada", "bob")
    task: Any = room.desk.step(study_id, "ada")
    room.studies.close(study_id, "ines")
    with pytest.raises(InvalidInput, match="closed"):
        room.studies.open(study_id, "ines")
    with pytest.raises(InvalidInput, match="closed"):
        room.rate_task("ada", task)
    with pytest.raises(InvalidInput, match="closed"):
        room.studies.add_rater(study_id, "ines", "cleo")


def test_a_study_is_deleted_until_somebody_has_judged(room: Room) -> None:
    study_id = room.opened("ada", "bob")
    room.rate("ada", study_id)
    with pytest.raises(InvalidInput, match="kept"):
        room.studies.delete(study_id, "ines")
    other = room.ready(2).record.id
    room.studies.delete(other, "ines")
    assert [view.record.id for view in room.studies.views()] == [study_id]
    assert not (room.settings.data_dir / "studies" / other).exists()


def test_a_copy_of_the_store_alone_goes_on(room: Room, tmp_path: Path) -> None:
    """The folder of the run and the file of the questions are not in a backup of the store."""
    study_id = room.opened("ada", "bob")
    room.rate("ada", study_id)
    elsewhere = replace(room.settings, data_dir=tmp_path / "elsewhere", db=room.settings.db_url)
    studies = StudyService(room.store, room.catalogue, None, elsewhere)
    assert (studies.view(study_id).job, studies.view(study_id).done) == (None, 1)
    room.rate("ada", study_id)
    assert studies.close(study_id, "ines").record.status == "closed"


# What is learned from a study


def test_nothing_is_learned_from_an_open_study_until_its_investigator_says_so(room: Room) -> None:
    study_id = room.opened("ada", "bob")
    room.rate("ada", study_id)
    room.rate("bob", study_id)
    held = collect(room.store, {}).report
    assert held["open_studies"] == {"ratings": 2, "votes": 0, "studies": 1}
    assert held["considered"]["ratings"] == 0
    assert any("2 ratings and 0 votes are left out" in note for note in held["notes"])

    room.studies.allow_training(study_id, "ines", True)

    told = collect(room.store, {}).report
    assert told["open_studies"] == {"ratings": 0, "votes": 0, "studies": 0}
    assert told["considered"]["ratings"] == 2
    assert details(room, accounts.STUDY_TRAINS) == [{"yes": True}]


def test_what_an_open_study_finds_harmful_is_taught_from_nowhere_else(room: Room) -> None:
    study_id = room.opened("ada", n=1)
    said = next(iter(room.store.study_judgements(study_id).answers.values()))
    again = room.store.begin_free_answer(
        "zoe", said.context, said.question, "demo", prompt=None, sampling=None, answer_format="think"
    )
    room.store.finish_answer(
        again.id, "done", raw=said.raw, reasoning=said.reasoning, solution=said.solution, complete=True,
        finish_reason="stop",
    )  # fmt: skip
    form = RatingForm("clinical-3", 1, shown(load_rubrics()["clinical-3"]), dict.fromkeys(GOOD, "5"), "none", "low")
    room.store.add_rating("zoe", again.id, form, new_key())
    assert len(collect(room.store, {}).sft) == 1
    for its in room.store.assignments(study_id, "ada"):
        room.rate_task("ada", room.desk.task(study_id, "ada", its.id), critical=True)
    assert collect(room.store, {}).sft == ()


# A run as it really is


@pytest.mark.slow
def test_answers_are_written_by_the_real_command(room: Room) -> None:
    with fake_server() as alpha, fake_server() as beta:
        for model, server in zip(MODELS, (alpha, beta), strict=True):
            server.reply(answer(f"<think>I am {model}.</think>It is gout, says {model}."))
        urls = dict(zip(MODELS, (alpha.url, beta.url), strict=True))
        room.settings.own_models_file.write_text(own_models(urls), encoding="utf-8")
        check_the_real_command(room)


def check_the_real_command(room: Room) -> None:
    jobs = Jobs(
        room.settings.runs_dir,
        lambda job, run_dir: launch(job, run_dir, room.settings),
        lambda run_dir: take_in(run_dir, room.store, room.catalogue),
        poll_s=0.1,
    )
    studies = StudyService(room.store, room.catalogue, jobs, room.settings)
    study_id = studies.create("ines", "Gout", design(), questions(3), new_key(), seed=5).record.id
    job_id = studies.generate(study_id, "ines")
    jobs.start()
    try:
        until = time.monotonic() + 120
        while studies.view(study_id).record.status == "generating" and time.monotonic() < until:
            time.sleep(0.2)
    finally:
        jobs.close()
    view = studies.view(study_id)
    assert (view.record.status, view.n_items) == ("ready", 6)
    answers = list(room.store.study_judgements(study_id).answers.values())
    assert {its.solution for its in answers} == {f"It is gout, says {model}." for model in MODELS}
    assert all(its.prompt and "Case" in its.prompt[-1].content for its in answers)
    assert len({its.seed for its in answers}) == 3  # one a question, the same for every model
    log = RunDir(room.settings.runs_dir / job_id).log_file.read_text(encoding="utf-8")
    assert "exact" not in log  # the summary by model is not printed
