"""What raters said of the same answers as those of a run: the accuracy of their steps, and a judge's agreement."""

import json
from pathlib import Path
from typing import Any

import pytest
from judged_answers import GOUT, RUBRICS, Judges
from openai_servers import answer, fake_server
from stored_predictions import line, write_run

from evaluation.__main__ import main
from evaluation.judge_agreement import JudgeAgreement, judge_notes, judged_by
from evaluation.people import People, people_here, people_of, step_accuracy, with_options
from evaluation.predictions import Prediction
from evaluation.report import write_report
from evaluation.summary import summaries, table
from medchat.records import question_id
from medchat.rubrics import Criterion, shown, with_criteria
from medchat.settings import Settings
from medchat.store import RatingForm, StepMark

STEPS = "1. The toe is red.\n2. It is hot.\n3. So it is gout."
GOOD, BAD = StepMark(1, 1), StepMark(2, -1)
REST, LEECH = Criterion("Names rest.", 6), Criterion("Names a leech.", -5)


def predicted(solution: str = "Gout", reasoning: str = STEPS, question: str = GOUT, **values: Any) -> Prediction:
    plain = {"question": question, "question_id": question_id("", question), "solution": solution, "raw": solution}
    return Prediction(**line(0, **{**plain, "reasoning": reasoning, **values}))


def verdicts(*met: bool | None, metric: str = "healthbench") -> dict[str, Any]:
    """What a judge said of REST and LEECH."""
    rows = [
        {"criterion": its.criterion, "points": float(its.points), "met": one, "fate": "asked"}
        for its, one in zip((REST, LEECH), met, strict=False)
    ]
    return {metric: {"judge": "a-judge", "verdicts": rows}}


def said_by(judges: Judges) -> People:
    return people_of(judges.store.judgements())


# Steps


def test_the_accuracy_of_steps_is_the_mean_over_raters_and_then_over_answers(tmp_path: Path) -> None:
    judges = Judges(tmp_path)
    gout = judges.answer("Gout", STEPS)
    judges.rate(gout, 4, step_marks=(GOOD, BAD))  # 1 of 2
    judges.rate(gout, 4, "bob", step_marks=(GOOD, StepMark(2, 1), StepMark(3, 0), StepMark(4, 0)))  # 2 of 4
    judges.rate(gout, 4, "cyd", step_marks=(GOOD,))  # 1 of 1
    flu = judges.answer("Flu", STEPS)
    judges.rate(flu, 4, step_marks=(StepMark(1, -1),))  # 0 of 1
    people = said_by(judges)
    first = step_accuracy(predicted(), people)
    assert first.value == pytest.approx(2 / 3)  # (1/2 + 1/2 + 1) / 3
    assert first.raters == {"ada", "bob", "cyd"}
    its = [predicted(), predicted("Flu"), predicted("Other")]
    found = summaries(its, people)["toy"]["step_accuracy"]
    assert found.value == pytest.approx(1 / 3)  # (2/3 + 0) / 2
    assert (found.n, found.n_unscored, found.unscored) == (2, 1, {"no steps marked": 1})
    assert found.method.endswith("; marks of 3 raters")


def test_nobody_who_marked_is_no_zero(tmp_path: Path) -> None:
    judges = Judges(tmp_path)
    judges.rate(judges.answer("Gout", STEPS), 4)
    judges.rate(judges.answer("Gout", "1. Another reasoning."), 4, step_marks=(BAD,))
    judges.rate(judges.answer("Flu", STEPS), {}, step_marks=(BAD,), cannot_rate="not my field")
    people = said_by(judges)
    its = [predicted(), predicted("Flu")]
    assert [step_accuracy(one, people).value for one in its] == [None, None]
    assert "step_accuracy" not in summaries(its, people)["toy"]
    assert "step_accuracy" not in summaries(its)["toy"]


def test_an_amended_rating_replaces_its_marks_and_spaces_do_not_matter(tmp_path: Path) -> None:
    judges = Judges(tmp_path)
    answer = judges.answer("Gout ", STEPS.replace("\n", "\n\n"))
    judges.rate(answer, 4, step_marks=(BAD,))
    judges.rate(answer, 4, step_marks=(GOOD,))
    assert step_accuracy(predicted(), said_by(judges)).value == 1.0


def test_a_question_that_was_rated_with_its_options_is_the_same(tmp_path: Path) -> None:
    options = {"A": "an ear", "B": "a toe"}
    judges = Judges(tmp_path)
    asked = with_options("Which?", options)
    assert asked == "Which?\n\nA. an ear\nB. a toe"
    judges.rate(judges.answer("B", STEPS, asked), 4, step_marks=(GOOD,))
    people = said_by(judges)
    assert step_accuracy(predicted("B", question="Which?", options=options), people).value == 1.0
    assert step_accuracy(predicted("B", question="Which?"), people).value is None


def test_the_store_is_read_where_there_is_one(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path)
    assert people_here(settings) is None
    assert not list(tmp_path.iterdir())
    judges = Judges(tmp_path)
    judges.rate(judges.answer("Gout", STEPS), 4, step_marks=(GOOD,))
    people = people_here(settings)
    assert people is not None
    assert step_accuracy(predicted(), people).value == 1.0


def test_the_report_shows_the_accuracy_of_steps_where_there_is_any(tmp_path: Path) -> None:
    judges = Judges(tmp_path)
    judges.rate(judges.answer("Gout", STEPS), 4, step_marks=(GOOD, BAD))
    row = line(0, question=GOUT, question_id=question_id("", GOUT), solution="Gout", raw="Gout", reasoning=STEPS)
    run = write_run(tmp_path / "run", [row, line(1)])
    without = write_report([run], tmp_path / "without.html")[1].read_text()
    beside = write_report([run], tmp_path / "beside.html", people=said_by(judges))[1].read_text()
    assert "Step accuracy" not in without
    [found] = [row for row in beside.splitlines() if "Step accuracy, from people" in row]
    assert "50.0 %" in found
    assert "no steps marked: 1" in found
    assert "marks of 1 rater" in found


# A judge


def marked(judges: Judges, solution: str, rater: str, **marks: str) -> None:
    """A rating of the answer by REST and LEECH."""
    rubric = with_criteria(RUBRICS["healthbench"], (REST, LEECH))
    ids = [axis.id for axis in rubric.axes]
    form = RatingForm("healthbench", 1, shown(rubric), dict(zip(ids, marks.values(), strict=True)))
    judges.store.add_rating(rater, judges.answer(solution, owner=rater).id, form, f"{rater} {solution}")


def test_a_judge_agrees_with_the_marks_of_clinicians_on_the_same_criteria(tmp_path: Path) -> None:
    judges = Judges(tmp_path)
    marked(judges, "Rest.", "ada", rest="met", leech="not_met")
    marked(judges, "Rest.", "bob", rest="met", leech="met")
    marked(judges, "Leech.", "ada", rest="cannot_judge", leech="met")
    its = [
        predicted("Rest.", judged=verdicts(True, False)),
        predicted("Leech.", judged=verdicts(False, None)),
        predicted("Unrated.", judged=verdicts(True, True)),
    ]
    judged = judged_by(its, said_by(judges))
    note = judge_notes({"toy": judged})["toy"]["healthbench"]
    # REST of "Rest.": both agree; LEECH of "Rest.": one of two; LEECH of "Leech.": no verdict
    assert (note.agreement.n, note.agreement.n_unscored, note.agreement.agreement) == (2, 1, 0.75)
    assert (note.counts.asked, note.counts.unparsable) == (6, 1)
    assert note.label == (
        "judged by a-judge with the criteria of each question: not shown to agree with clinicians (n = 2), by marks on"
        " the same criteria"
    )
    assert judge_notes({"toy": judged_by(its, None)})["toy"]["healthbench"].agreement == JudgeAgreement(0)


def test_without_marks_on_criteria_the_scale_of_correctness_counts(tmp_path: Path) -> None:
    judges = Judges(tmp_path)
    its = []
    for number in range(30):
        solution = f"Answer {number}"
        judges.rate(judges.answer(solution), 4 if number < 20 else 3)
        met = number < 20
        its.append(predicted(solution, judged=verdicts(met, not met)))  # 6 of 6 points, or -5
    people = said_by(judges)
    note = judge_notes({"toy": judged_by(its, people)})["toy"]["healthbench"]
    assert (note.agreement.n, note.agreement.agreement, note.agreement.is_shown) == (30, 1.0, True)
    assert "by factual correctness of 4 or 5 against a score of 0.5 or more" in note.label
    nice = [predicted("Answer 1", judged=verdicts(True, metric="nice_to_have"))]  # need not be in a right answer
    assert judge_notes({"toy": judged_by(nice, people)})["toy"]["nice_to_have"].agreement.n == 0


def test_the_agreement_is_measured_over_all_models_and_an_answer_counts_once(tmp_path: Path) -> None:
    judges = Judges(tmp_path)
    for solution in ("One", "Two"):
        judges.rate(judges.answer(solution), 5)
    people = said_by(judges)
    its = {
        "a": judged_by([predicted(s, judged=verdicts(True, False)) for s in ("One", "Two")], people),
        "b": judged_by([predicted("One", judged=verdicts(True, False))], people),
    }
    notes = judge_notes(its)
    assert [notes[model]["healthbench"].agreement.n for model in "ab"] == [2, 2]
    assert [notes[model]["healthbench"].counts.asked for model in "ab"] == [4, 2]


def test_table_and_report_say_that_agreement_was_not_shown(tmp_path: Path) -> None:
    rows = [line(n, scores={"healthbench": 1.0}, judged=verdicts(True, False)) for n in range(3)]
    found = summaries(Prediction(**row) for row in rows)
    label = "judged by a-judge with the criteria of each question: not shown to agree with clinicians (n = 0)"
    assert f"healthbench of toy: {label}. 6 questions to the judge: 6 asked" in table(found)
    row = found["toy"]["healthbench"].row()["judge"]
    assert (row["model"], row["label"], row["counts"]["asked"]) == ("a-judge", label, 6)
    html, markdown = (
        path.read_text() for path in write_report([write_run(tmp_path / "run", rows)], tmp_path / "r.html")
    )
    for text in (html, markdown):
        assert text.count("not shown to agree with clinicians (n = 0)") >= 3  # at a glance, in the suite, in the table
        assert "Do not rely on it before that is shown." in text


def test_a_run_keeps_each_verdict_and_its_cap_holds_when_it_goes_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [
        {"id": f"q{n}", "question": f"Fever and cough {n}?", "answer": "flu", "kind": "diagnosis",
         "meta": {"must_have": ["It names flu", f"It names rest {n}"]}}
        for n in range(3)
    ]  # fmt: skip
    (tmp_path / "mine.jsonl").write_text("\n".join(map(json.dumps, rows)))
    out = tmp_path / "out"
    with fake_server() as server:
        server.reply(answer('{"reason": "so", "met": true}'), answer("Perhaps."), answer('{"met": false}'))
        spec = {
            "id": "a-judge", "name": "A judge", "backend": "openai", "answer_format": "plain", "n_ctx": 8192,
            "endpoint": {"base_url": server.url, "model": "x"}, "sampling": {"max_new_tokens": 64}, "description": "x",
            "licence": "x", "limits": ["x"],
        }  # fmt: skip
        (tmp_path / "models.yaml").write_text(json.dumps({"models": [spec]}))
        command = ["run", "--model", "grounding", "--suite", str(tmp_path / "mine.jsonl"), "--metrics", "must_have"]
        command += ["--judge", "a-judge", "--judge-calls", "3", "--out", str(out), "--data-dir", str(tmp_path)]
        assert main(command) == 0
        kept = (out / "predictions.jsonl").read_text().splitlines(keepends=True)[:2]
        (out / "predictions.jsonl").write_text("".join(kept))  # as if it had been killed there
        assert main([*command, "--resume"]) == 0
        assert len(server.asked) == 3
    first = json.loads(kept[0])["judged"]["must_have"]
    assert first["judge"] == "a-judge"
    assert {verdict["criterion"] for verdict in first["verdicts"]} == {
        "The answer says, or clearly implies: It names flu", "The answer says, or clearly implies: It names rest 0"
    }  # fmt: skip
    row = json.loads((out / "summary.json").read_text())["grounding"]["must_have"]
    assert row["judge"]["counts"] == {"asked": 3, "cached": 0, "unparsable": 1, "over_cap": 3, "too_long": 0}
    assert row["n"] + row["n_unscored"] == 3
    assert "must_have of grounding: judged by a-judge with the necessary statements" in capsys.readouterr().out
