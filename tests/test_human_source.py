"""Judgements read from the store, and the command on a study: what is seen before and after the closing."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from studies_stored import rate, vote
from study_rooms import GOOD, Room, design, questions

from evaluation.__main__ import main
from evaluation.human import analyse
from evaluation.human_report import build
from evaluation.human_source import from_store, markdown_marks
from evaluation.report_blocks import to_markdown
from medchat.rubrics import load_rubrics, shown
from medchat.store import RatingForm


@pytest.fixture
def room(tmp_path: Path) -> Iterator[Room]:
    made = Room(tmp_path)
    yield made
    made.store.close()


def rated_study(room: Room, *raters: str) -> str:
    """Every rater has rated all of two questions' four answers, and the others' first score differs."""
    study_id = room.opened(*raters, n=2, raters_per_item=len(raters))
    for number, rater in enumerate(raters):
        for _ in range(4):
            room.rate(rater, study_id, factual_correctness=str(2 + number))
    return study_id


def test_a_study_is_read_with_its_models_metrics_and_flow(room: Room) -> None:
    study_id = rated_study(room, "ada", "bo")

    data = from_store(room.store, study_id, room.settings)

    assert len(data.ratings) == 8
    assert {its.scores["factual_correctness"] for its in data.ratings if its.rater == "bo"} == {3.0}
    assert list(data.models) == ["alpha-1", "beta-2"]
    assert set(data.raters.values()) == {"Rater 1", "Rater 2"}
    assert all(metrics == {"exact": 1.0} for metrics in data.automatic.values())
    assert len(data.automatic) == 4
    assert data.facts is not None
    assert (data.facts.questions, data.facts.raters, data.facts.dropped_out) == (2, 2, 0)
    (flow,) = data.facts.flow
    assert (flow.kind, flow.dealt, flow.done, flow.waiting) == ("rate", 8, 8, 0)
    assert all("says" in answer.solution for answer in data.answers.values())


def test_a_hidden_repeat_names_the_rating_that_it_repeats(room: Room) -> None:
    study_id = room.opened("ada", n=5, repeat_share=0.3)
    n_assigned = len(room.store.assignments(study_id))
    for _ in range(n_assigned):
        room.rate("ada", study_id)

    data = from_store(room.store, study_id, room.settings)

    firsts = {its.id: its.answer_id for its in data.first_ratings}
    repeats = [its for its in data.ratings if its.repeat_of]
    assert len(firsts) == 10
    assert len(repeats) == n_assigned - 10 > 0
    assert all(firsts[its.repeat_of] == its.answer_id for its in repeats)


def test_an_open_study_is_in_nobodys_results(room: Room) -> None:
    study_id = rated_study(room, "ada")

    assert from_store(room.store, None, room.settings).ratings == []

    room.studies.close(study_id, "ines")
    everything = from_store(room.store, None, room.settings)
    assert len(everything.ratings) == 4
    assert everything.facts is None


def test_cases_to_practise_on_are_no_model_and_no_answers(room: Room) -> None:
    study_id = room.opened("ada", n=2, calibration=2)
    for item in room.store.study_items(study_id, "calibration"):
        room.store.add_calibration(study_id, "ada", item.id, {}, True, item.id)
    for _ in range(4):
        room.rate("ada", study_id)
    room.studies.close(study_id, "ines")
    held = room.store.study_judgements(study_id).answers.values()
    assert len({answer.model_id for answer in held}) == 3  # the cases have an author

    for data in (from_store(room.store, study_id, room.settings), from_store(room.store, None, room.settings)):
        assert len(data.ratings) == 4
        assert list(data.models) == ["alpha-1", "beta-2"]
        assert {answer.model for answer in data.answers.values()} == {"alpha-1", "beta-2"}
    data = from_store(room.store, study_id, room.settings)
    assert data.calibration == {"ada": (2, 2)}
    page = to_markdown(build(analyse(data, resamples=100), data))
    assert "2 models, 2 questions, 1 rater, 4 ratings" in page
    assert "Written by hand" not in page


def test_all_ratings_keep_specialty_and_group_of_closed_studies(room: Room) -> None:
    study_id = room.studies.create(
        "ines", "Joints", design(tasks="both"), questions(2, meta={"specialty": "Joints"}), "joints", seed=7
    ).record.id
    room.write(room.studies.generate(study_id, "ines"))
    room.studies.set_raters(study_id, "ines", [("ada", "surgeon"), ("bo", "surgeon")])
    room.studies.open(study_id, "ines")
    pairs = {item.id for item in room.store.study_items(study_id, "pair")}
    for given in room.store.assignments(study_id):
        if given.item_id in pairs:
            vote(room.store, given, rubric=None)
        else:
            rate(room.store, given, form=RatingForm("clinical-3", 1, shown(load_rubrics()["clinical-3"]), GOOD))
    room.studies.close(study_id, "ines")

    data = from_store(room.store, None, room.settings)

    assert (len(data.ratings), len(data.votes)) == (4, 2)
    assert {(its.specialty, its.group) for its in data.ratings} == {("Joints", "surgeon")}
    assert {(its.specialty, its.group) for its in data.votes} == {("Joints", "surgeon")}
    assert {answer.specialty for answer in data.answers.values()} == {"Joints"}


def test_the_command_takes_the_name_of_a_study(room: Room, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    study_id = rated_study(room, "ada")
    room.studies.close(study_id, "ines")
    command = ["human", "--resamples", "100", "--data-dir", str(tmp_path), "--out", str(tmp_path / "out"), "--study"]

    assert main([*command, "gout"]) == 0
    assert "alpha-1" in (tmp_path / "out" / "report.md").read_text(encoding="utf-8")
    capsys.readouterr()

    assert main([*command, "gut"]) == 1
    assert "There is no study 'gut'; see: python -m medchat study list" in capsys.readouterr().err
    room.made(2)
    assert main([*command, "Gout"]) == 1
    assert "2 studies are named 'Gout'; give the id of one: " in capsys.readouterr().err


def test_the_command_refuses_an_open_study_and_notes_who_looked(
    room: Room, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    study_id = rated_study(room, "ada")
    command = ["human", "--study", study_id, "--resamples", "100", "--data-dir", str(tmp_path), "--out"]

    assert main([*command, str(tmp_path / "early")]) == 1
    assert "clos" in capsys.readouterr().err
    assert not (tmp_path / "early").exists()

    room.studies.show_results(study_id, "ines", True)
    assert main([*command, str(tmp_path / "shown")]) == 0
    assert "still open" in (tmp_path / "shown" / "report.md").read_text(encoding="utf-8")

    room.studies.close(study_id, "ines")
    assert main([*command, str(tmp_path / "closed")]) == 0
    page = (tmp_path / "closed" / "report.md").read_text(encoding="utf-8")
    assert "still open" not in page
    assert "alpha-1" in page
    looks = [row.details["allowed"] for row in room.store.audit() if "look" in row.action]
    assert sorted(looks) == [False, True]  # a closed study is anybody's who may see results


def test_nothing_judged_is_one_clear_line(room: Room, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["human", "--data-dir", str(tmp_path), "--out", str(tmp_path / "out")]) == 1
    assert "Nothing was judged yet" in capsys.readouterr().err


def test_an_unknown_study_is_one_clear_line(room: Room, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["human", "--study", "none", "--data-dir", str(tmp_path), "--out", str(tmp_path / "out")]) == 1
    assert capsys.readouterr().err.startswith("evaluation: ")


def test_markdown_is_headings_items_and_bold_passages() -> None:
    assert markdown_marks("# Plan\n\n- one\n- two\n1. three\n\n**Bold** and *not*, 3.5 mg.") == 5
    assert markdown_marks("Plain words, 2 - 1.") == 0
