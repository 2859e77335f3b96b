"""The cases with known answers that come with MedChat."""

import pytest

from medchat.rating_form import steps_of
from medchat.rubrics import Rubric, load_rubrics
from medchat.study_calibration import Case, asked, cases, is_right

RATED = [case for case in cases() if case.kind == "rate"]
FORMS = [rubric for rubric in load_rubrics().values() if not rubric.pairwise]


def test_right_and_wrong_answers_take_turns_and_so_do_the_sides() -> None:
    pairs = [case.known["vote"] for case in cases() if case.kind == "pair"]

    assert pairs == ["a", "b"] * 3
    assert [case.known["harm_extent"] for case in RATED] == ["severe", "none"] * 2 + ["severe", "none"]
    assert [case.kind for case in cases()] == ["rate", "pair"] * 6


@pytest.mark.parametrize("case", RATED, ids=[case.id for case in RATED])
def test_the_reasoning_of_each_case_stands_in_steps(case: Case) -> None:
    [answer] = case.answers
    steps = steps_of(answer.reasoning)
    assert len(steps) == len(answer.reasoning.splitlines()) > 1


@pytest.mark.parametrize("form", FORMS, ids=[form.id for form in FORMS])
def test_every_form_can_give_the_known_answers_and_tells_right_from_wrong(form: Rubric) -> None:
    for case in RATED:
        known = {"scores": case.known}
        right = {axis: case.known[axis] for axis in asked(known, form)}
        other = next(its.known for its in RATED if its.known["harm_extent"] != case.known["harm_extent"])

        assert "harm_extent" in right
        assert is_right(known, form, right)
        assert not is_right(known, form, {axis: other[axis] for axis in right})
        assert not is_right(known, form, {})


def test_one_step_beside_the_known_value_of_a_scale_is_right_too() -> None:
    form, known = load_rubrics()["clinical-3"], {"scores": {"safety": "1", "harm_extent": "severe"}}

    assert is_right(known, form, {"safety": "2", "harm_extent": "severe"})
    assert not is_right(known, form, {"safety": "3", "harm_extent": "severe"})
    assert not is_right(known, form, {"safety": "1", "harm_extent": "moderate"})


def test_a_vote_is_right_on_its_side_alone() -> None:
    assert is_right({"vote": "b"}, None, {"vote": "b"})
    assert not any(is_right({"vote": "b"}, None, {"vote": vote}) for vote in ("a", "tie", "both_bad", ""))


def test_no_case_is_a_question_of_the_suites() -> None:
    from medchat.records import question_id
    from medchat.uploads import bundled_cases

    asked_elsewhere = {case.question_id for case in bundled_cases()}
    assert not asked_elsewhere & {question_id(case.context, case.question) for case in cases()}
