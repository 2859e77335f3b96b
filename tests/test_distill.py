"""Teachers' answers as rows and pairs: every answer counted, held-out rows untouched, the same bytes for a seed."""

import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from openai_servers import Reply, delta, sse, usage
from scripted_models import GROUNDER
from teacher_server import Desk as TeacherDesk
from teacher_server import FakeClock, TeacherServer, cut_stream, refusal, said, teacher_server

from evaluation.judge import Judge
from evaluation.metrics import Answer, Tools
from medchat.errors import InvalidInput
from medchat.keys import Limits
from medchat.knowledge import Knowledge
from medchat.records import Example
from train.distill import Desk, distill, estimates, n_comparisons
from train.distill_answers import Unused
from train.distill_command import summary_lines
from train.distill_mix import mixed_counts
from train.distill_options import Mix, Options, mix_of, style_of
from train.distill_rank import Candidate, JudgeRanks, Ranks, RewardModelRanks, pairs_of
from train.plan import each_row
from train.progress import Progress, Stopped
from train.teacher_backend import TeacherBackend
from train.teachers import Ledger, Teacher

TOOLS = Tools(GROUNDER, Knowledge({}, {}, ""))
OPTIONS = {"A": "Asthma", "B": "Croup"}


def row(number: int, answer: str | None = "It depends.", **fields: Any) -> Example:
    return Example(
        f"What helps in case {number}?", answer, f"row-{number}", source="toy", licence="CC0",
        split=fields.pop("split", "train"), **fields,
    )  # fmt: skip


def folder(path: Path, rows: Sequence[Example]) -> Path:
    path.mkdir(parents=True)
    files = {name: path / f"{name}.jsonl" for name in ("train", "validation", "test", "unlabelled")}
    for name, file in files.items():
        its = [r for r in rows if (r.split if r.answer else "unlabelled") == name]
        file.write_text("".join(r.to_json() + "\n" for r in its))
    return path


def rows_in(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text().splitlines()]


def desk(*teachers: TeacherDesk, ranks: Callable[[Teacher], Ranks] | None = None, **fields: Any) -> Desk:
    """A desk of these teachers, named t0, t1 ...; the first one judges too."""

    def opened(ledger: Ledger, stop: Callable[[], bool]) -> list[Teacher]:
        return [its.teacher(ledger, stop, f"t{number}") for number, its in enumerate(teachers)]

    def ranking(ledger: Ledger, stop: Callable[[], bool]) -> tuple[Ranks, str]:
        assert ranks is not None
        return ranks(teachers[0].teacher(ledger, stop, "judge")), "judge"

    return Desk(opened, lambda: TOOLS, ranking if ranks else None, **fields)


def distilled(
    tmp_path: Path, server: TeacherServer, options: Options, rows: Sequence[Example], name: str = "out"
) -> dict[str, Any]:
    source = tmp_path / "in"
    if not source.exists():
        folder(source, rows)
    return distill(source, tmp_path / name, options, desk(TeacherDesk(server, tmp_path / "cache")))


def test_answers_stand_behind_the_rows_they_were_made_from_and_say_who_made_them(tmp_path: Path) -> None:
    rows = [row(0), row(1, context="A child."), row(2, split="validation"), row(3, split="test")]
    with teacher_server(lambda prompt, earlier: said(f"Rest, for {len(prompt)}.")) as server:
        report = distilled(tmp_path, server, Options("response", ("t0",)), rows)

    train = rows_in(tmp_path / "out" / "train.jsonl")
    assert [its["meta"].get("parent", its["id"]) for its in train] == ["row-0", "row-0", "row-1", "row-1"]
    made = train[1]
    assert made["answer"].startswith("Rest, for")
    assert (made["split"], made["licence"], made["source"]) == ("train", "CC0", "toy")
    assert made["meta"] == {
        "parent": "row-0", "made": "distilled", "teacher": "t0", "teacher_terms": "Terms of the teacher",
        "reference": "It depends.",
    }  # fmt: skip
    assert train[3]["context"] == "A child."
    assert [its["id"] for its in rows_in(tmp_path / "out" / "validation.jsonl")] == ["row-2"]
    assert [its["id"] for its in rows_in(tmp_path / "out" / "test.jsonl")] == ["row-3"]
    assert len(server.arrivals) == 2  # held-out rows are not asked about
    assert report["kind"] == "distilled"
    assert report["rows"] == {"train": 4, "validation": 1, "test": 1, "unlabelled": 0}
    assert report["answers"] == {"used": 2, "unused": 0}
    assert json.loads((tmp_path / "out" / "report.json").read_text()) == report
    assert "Teacher answers" in (tmp_path / "out" / "report.html").read_text()
    assert not (tmp_path / "out" / ".work").exists()


def test_every_answer_is_used_or_counted_with_its_reason(tmp_path: Path) -> None:
    answers = {
        "case 0?": said("Rest and fluids."),
        "case 1?": said("Take 500 mg of", reason="length"),
        "case 2?": said("I'm sorry, but I can't help with that."),
        "case 3?": Reply(sse(delta(content=" "), delta("stop"), usage(5, 1), "[DONE]")),
        "case 4?": refusal(500, {"error": {"message": "boom"}}),
        "case 5?": said("It depends."),
    }
    with teacher_server(
        lambda prompt, earlier: next(reply for words, reply in answers.items() if words in prompt)
    ) as server:
        report = distilled(tmp_path, server, Options("response", ("t0",)), [row(n) for n in range(6)])

    assert report["answers"] == {"used": 1, "unused": 5}
    counted = {reason: its["n"] for reason, its in report["unused"].items()}
    failed = next(reason for reason in counted if "status 500" in reason)
    assert counted == {
        "cut off": 1, "refused": 1, "empty": 1, failed: 1, "the same answer was there already": 1
    }  # fmt: skip
    assert report["unused"]["cut off"]["examples"] == [{"source": "toy", "where": "row-1", "text": "Take 500 mg of"}]
    assert (tmp_path / "out" / ".work").exists()  # one question is still to be asked
    assert report["teachers"]["t0"]["asked"] == 5
    assert report["teachers"]["t0"]["failed"] == 4  # attempts


def test_a_flagged_answer_is_never_taught_and_counted_by_its_flags(tmp_path: Path) -> None:
    answers = {
        "case 0?": "Take 40 g of paracetamol, and no doctor is needed.",
        "case 1?": "Call John Smith, born on 12/03/1961, at 555-123-4567.",
        "case 2?": "Rest and fluids.",
        "case 3?": "Take 40 g of paracetamol at once.\nThe correct option is: B",
    }
    rows = [*(row(n) for n in range(3)), row(3, "B", kind="mcq", options=OPTIONS)]
    with teacher_server(
        lambda prompt, earlier: said(next(text for words, text in answers.items() if words in prompt))
    ) as server:
        report = distilled(tmp_path, server, Options("response", ("t0",)), rows)

    train = rows_in(tmp_path / "out" / "train.jsonl")
    assert [its["answer"] for its in train if "teacher" in its["meta"]] == ["Rest and fluids."]
    counted = {reason: its["n"] for reason, its in report["unused"].items()}
    assert sum(n for reason, n in counted.items() if "dose out of range" in reason) == 2
    assert counted["flagged: patient identifier"] == 1
    assert report["answers"] == {"used": 1, "unused": 3}


def test_what_broke_off_is_asked_again_and_both_runs_write_what_is_there(tmp_path: Path) -> None:
    def answers(prompt: str, earlier: int) -> Reply:
        return cut_stream() if any(f"case {n}?" in prompt for n in range(5, 12)) else said("Rest.")

    with teacher_server(answers) as server:
        reports = [distilled(tmp_path, server, Options("response", ("t0",)), [row(n) for n in range(12)])]
        n_first = len(server.arrivals)
        (tmp_path / "out" / "train.jsonl").unlink()
        reports.append(distilled(tmp_path, server, Options("response", ("t0",)), []))

    assert len(server.arrivals) > n_first
    for report in reports:
        assert report["answers"] == {"used": 5, "unused": 7}
        assert report["not_answered"] == 7
        assert summary_lines(report)[-1].startswith("7 not answered")
        assert summary_lines(report)[-1].endswith("the same command asks them again")
        # which of the two it is hangs on when the threads come back; neither names the server
        assert set(report["unused"]) <= {"the server broke off", "not asked: 20 requests in a row failed"}
    assert len(rows_in(tmp_path / "out" / "train.jsonl")) == 12 + 5


def test_progress_is_said_again_only_when_it_has_changed() -> None:
    clock, lines = FakeClock(), list[str]()
    progress = Progress(lines.append, clock=clock.now)
    progress.stage("Asking the teachers", 10)
    for done in (2, 2, 2, 3):
        clock.sleep(2)
        progress.at(done, f"{done} answers; waiting for far")

    assert [line.partition(", about")[0] for line in lines] == [
        "Asking the teachers ...", "Asking the teachers 20%, 2 answers; waiting for far",
        "Asking the teachers 30%, 3 answers; waiting for far",
    ]  # fmt: skip


def test_originals_that_the_mix_leaves_out_are_counted(tmp_path: Path) -> None:
    rows = [*(row(n) for n in range(20)), row(20, split="test")]
    with teacher_server(lambda prompt, earlier: said("Rest.")) as server:
        report = distilled(tmp_path, server, Options("response", ("t0",), mix=Mix(50, 50), limit=4), rows)

    # 4 answers and 4 of the 20 originals to train on; the row of the test stays
    assert (report["rows_in"], report["kept"], report["left_out"]) == (21, 5, 16)
    assert "rows in: 21 = 5 kept + 16 originals left out by the mix" in summary_lines(report)


@pytest.mark.parametrize("kind", ["response", "label", "rank", "self-instruct"])
def test_where_nothing_was_made_nothing_is_written(kind: Any, tmp_path: Path) -> None:
    source = folder(tmp_path / "in", [row(0), row(1, None)])
    judge = RewardModelRanks(lambda pairs: [1.0 for _ in pairs])
    options = Options(kind, ("t0",), reward_model=Path("rm") if kind == "rank" else None)
    with teacher_server(lambda prompt, earlier: said("I'm sorry, but I can't help with that.")) as server:
        its = desk(TeacherDesk(server, tmp_path / "cache"), ranks=lambda teacher: judge)
        with pytest.raises(InvalidInput, match="Nothing was made, and nothing was written") as raised:
            distill(source, tmp_path / "out", options, its)

    assert "\n" not in str(raised.value)
    assert not list((tmp_path / "out").glob("*.jsonl"))


@pytest.mark.parametrize("kind", ["response", "cot", "label", "rank", "self-instruct"])
def test_records_that_may_not_leave_this_machine_are_sent_to_no_server(kind: Any, tmp_path: Path) -> None:
    meta = {"restricted": True}
    source = folder(tmp_path / "in", [row(0, meta=meta), row(1, None, meta=meta)])
    ranks = RewardModelRanks(lambda pairs: [1.0 for _ in pairs])
    options = Options(kind, ("t0",), reward_model=Path("rm") if kind == "rank" else None)
    with teacher_server() as server:
        its = desk(TeacherDesk(server, tmp_path / "cache"), ranks=lambda teacher: ranks)
        with pytest.raises(InvalidInput, match=r"may (not )?leave this machine|fewer than two"):
            distill(source, tmp_path / "out", options, its)
        if kind != "self-instruct":
            [(_, estimate)] = estimates(source, options, [TeacherDesk(server, tmp_path / "cache").teacher()])
            assert (estimate.requests, estimate.restricted) == (0, options.answers)

    assert not server.arrivals


def test_records_that_may_not_leave_are_counted_and_not_asked_about_later(tmp_path: Path) -> None:
    rows = [row(0), row(1, meta={"restricted": True})]
    with teacher_server(lambda prompt, earlier: said("Rest.")) as server:
        report = distilled(tmp_path, server, Options("response", ("t0",)), rows)

    assert ["case 1?" in arrival.prompt for arrival in server.arrivals] == [False]
    assert {reason: its["n"] for reason, its in report["unused"].items()} == {
        "records that may not leave this machine": 1
    }  # fmt: skip
    assert report["not_answered"] == 0
    assert not (tmp_path / "out" / ".work").exists()


def test_a_judge_at_a_server_sees_no_record_that_may_not_leave(tmp_path: Path) -> None:
    answers = [Candidate(Answer("Rest."), "a"), Candidate(Answer("Drink."), "b")]
    with teacher_server(judged) as server:
        teacher = TeacherDesk(server, tmp_path / "cache").teacher()
        judge = Judge(teacher.spec, TeacherBackend(teacher), tmp_path / "judge", 1000)  # type: ignore[arg-type]
        [found] = pairs_of([(row(0, meta={"restricted": True}), answers)], JudgeRanks(judge), "judge")

    assert found == Unused("records that may not leave this machine")
    assert not server.arrivals


def test_a_chain_of_thought_is_split_at_its_final_answer(tmp_path: Path) -> None:
    steps = "1. Rule out gout.\n2. Think of sepsis."
    answers = {"case 0?": f"{steps}\n\nFinal Answer: Septic arthritis.", "case 1?": "Gout."}
    with teacher_server(
        lambda prompt, earlier: said(next(text for words, text in answers.items() if words in prompt))
    ) as server:
        report = distilled(tmp_path, server, Options("cot", ("t0",), mix=Mix(100, 0)), [row(0), row(1)])

    [made] = rows_in(tmp_path / "out" / "train.jsonl")
    assert made["rationale"] == steps
    assert made["answer"] == "Septic arthritis."
    assert {reason: its["n"] for reason, its in report["unused"].items()} == {"no 'Final Answer:'": 1}
    assert all("Final Answer:" in arrival.prompt for arrival in server.arrivals)


def test_a_key_stays_and_only_a_teacher_who_comes_to_it_gives_the_reasoning(tmp_path: Path) -> None:
    rows = [
        row(0, "B", kind="mcq", options=OPTIONS),
        row(1, "A", kind="mcq", options=OPTIONS),
        row(2, "Croup", kind="diagnosis"),
    ]
    text = "Stridor speaks for a narrow larynx.\nThe correct option is: B"
    with teacher_server(lambda prompt, earlier: said("Croup" if "case 2?" in prompt else text)) as server:
        report = distilled(tmp_path, server, Options("response", ("t0",)), rows)

    train = rows_in(tmp_path / "out" / "train.jsonl")
    assert [(its["id"], its["answer"]) for its in train if "teacher" not in its["meta"]] == [
        ("row-0", "B"), ("row-1", "A"), ("row-2", "Croup")
    ]  # fmt: skip
    [made] = [its for its in train if "teacher" in its["meta"]]
    assert (made["answer"], made["meta"]["parent"]) == ("B", "row-0")
    assert "Stridor" in made["rationale"]
    assert {reason: its["n"] for reason, its in report["unused"].items()} == {
        "another answer than the reference": 1, "the same answer was there already": 1
    }  # fmt: skip
    assert sum("A. Asthma\nB. Croup" in arrival.prompt for arrival in server.arrivals) == 2


def test_unlabelled_questions_get_answers_and_the_rest_stays_unlabelled(tmp_path: Path) -> None:
    rows = [
        row(0), row(1, None), row(2, None, split=""), row(3, None, split="validation"), row(4, split="test"),
        row(4, None, kind="free"), row(5, None, kind="mcq", options=OPTIONS), row(6, None),
    ]  # fmt: skip
    with teacher_server(
        lambda prompt, earlier: said(
            "The correct option is: A" if "case 5?" in prompt else "cut" if "case 6?" in prompt else "Rest.",
            reason="length" if "case 6?" in prompt else "stop",
        )
    ) as server:
        report = distilled(tmp_path, server, Options("label", ("t0",)), rows)

    train = rows_in(tmp_path / "out" / "train.jsonl")
    assert [(its["meta"].get("parent", its["id"]), its["answer"]) for its in train] == [
        ("row-0", "It depends."), ("row-1", "Rest."), ("row-2", "Rest."), ("row-5", "A")
    ]  # fmt: skip
    assert all(its["meta"]["made"] == "labelled" for its in train[1:])
    # row-3 belongs to validation, and the question of row-4 is one of the test
    assert [its["id"] for its in rows_in(tmp_path / "out" / "unlabelled.jsonl")] == ["row-3", "row-4", "row-6"]
    assert report["questions"] == {"asked about": 4, "not chosen": 0, "held out": 2}
    assert report["answers"] == {"used": 3, "unused": 1}
    assert report["rows_in"] == 8


def test_several_teachers_are_told_one_style_and_vote_on_an_option(tmp_path: Path) -> None:
    options = Options("label", ("t0", "t1", "t2"), style=style_of("Answer as a ship's doctor."))
    source = folder(tmp_path / "in", [row(0, None, kind="mcq", options=OPTIONS), row(1, None)])

    def server_saying(letter: str) -> Any:
        return teacher_server(
            lambda prompt, earlier: said(f"The correct option is: {letter}" if "A. Asthma" in prompt else "Rest.")
        )

    with server_saying("A") as a, server_saying("B") as b, server_saying("B") as c:
        desks = [TeacherDesk(server, tmp_path / "cache") for server in (a, b, c)]
        report = distill(source, tmp_path / "out", options, desk(*desks))

    train = rows_in(tmp_path / "out" / "train.jsonl")
    assert {its["answer"] for its in train} == {"B", "Rest."}
    assert {reason: its["n"] for reason, its in report["unused"].items()} == {
        "the teachers name different options": 1, "the same answer was there already": 3
    }  # fmt: skip
    prompts = {arrival.prompt for server in (a, b, c) for arrival in server.arrivals}
    assert len(prompts) == 2
    assert all(prompt.startswith("Answer as a ship's doctor.") for prompt in prompts)


@pytest.mark.parametrize(
    ("n_teacher", "n_original", "mix", "taken"),
    [
        (100, 100, None, (100, 100)),
        (100, 100, Mix(50, 50), (100, 100)),
        (100, 100, Mix(70, 30), (99, 43)),  # 142 rows: 99.4 and 42.6
        (30, 100, Mix(70, 30), (29, 13)),  # 42 rows: 29.4 and 12.6
        (7, 5, Mix(50, 50), (5, 5)),
        (3, 0, Mix(100, 0), (3, 0)),
        (0, 9, Mix(50, 50), (0, 0)),
    ],
)
def test_the_mix_is_exact_within_rounding(
    n_teacher: int, n_original: int, mix: Mix | None, taken: tuple[int, int]
) -> None:
    found = mixed_counts(n_teacher, n_original, mix)

    assert found == taken
    if mix and sum(found):
        assert abs(found[0] - sum(found) * mix.teacher / 100) <= 0.5


def test_the_same_seed_gives_the_same_bytes_and_another_draws_others(tmp_path: Path) -> None:
    rows = [row(n) for n in range(20)]
    with teacher_server(lambda prompt, earlier: said(f"Rest {len(server.arrivals)}.")) as server:
        for name, seed in (("one", 1), ("again", 1), ("other", 2)):
            options = Options("response", ("t0",), mix=Mix(70, 30), seed=seed)
            report = distilled(tmp_path, server, options, rows, name)

    one, again, other = (
        (tmp_path / name / "train.jsonl").read_bytes() for name in ("one", "again", "other")
    )  # fmt: skip
    assert one == again != other
    assert report["mix"] == {
        "originals": 8, "teachers' rows": 20, "originals left out by the mix": 12,
        "teachers' rows left out by the mix": 0,
    }  # fmt: skip
    # Greedy answers are the same whatever the seed, so that only which rows are taken differs: 20 / 0.7 = 28 rows.
    assert len(one.splitlines()) == 28


def test_a_spending_limit_leaves_the_rest_for_the_next_run(tmp_path: Path) -> None:
    rows = [row(n) for n in range(6)]
    with teacher_server() as server:
        limited = distilled(tmp_path, server, Options("response", ("t0",), budget=0.0003), rows)
        n_asked = len(server.arrivals)
        same = distilled(tmp_path, server, Options("response", ("t0",), budget=0.0003), rows)
        n_same = len(server.arrivals)
        more = distilled(tmp_path, server, Options("response", ("t0",), budget=1.0), rows)

    assert 0 < n_asked == n_same < 6
    assert limited["not_asked_yet"] == same["not_asked_yet"] == 6 - n_asked
    assert limited["cost"] <= 0.0003
    assert more["not_asked_yet"] == 0
    assert len(server.arrivals) == 6
    assert more["teachers"]["t0"]["asked"] == 6  # in all its parts
    assert more["cost"] == pytest.approx(6 * 2e-5)  # 10 tokens in at $1 and 5 out at $2 a million, six times


def test_the_estimate_asks_nothing(tmp_path: Path) -> None:
    source = folder(tmp_path / "in", [row(n) for n in range(5)])
    with teacher_server() as server:
        teacher = TeacherDesk(server, tmp_path / "cache").teacher()
        [(_, its)] = estimates(source, Options("response", ("teacher",), per_question=2), [teacher])

    assert (its.requests, its.cached) == (10, 0)
    assert its.completion_tokens == 1000  # 100 each at most
    assert n_comparisons(source, Options("rank", ("teacher",), per_question=3)) == 5 * 3 * 2
    assert not server.arrivals


class StandingClock(FakeClock):
    """A minute that never ends."""

    def sleep(self, seconds: float) -> None:
        time.sleep(0.01)


class StopsAfter:
    """Where a run writes its state; somebody asks it to stop once so many answers are there."""

    def __init__(self, asked: Callable[[], int], n: int) -> None:
        self._asked, self._n = asked, n

    def stop_requested(self) -> bool:
        return self._asked() >= self._n

    def stage(self, name: str, steps: int) -> None:
        pass

    def record(self, step: int, **values: float | None) -> None:
        pass


def test_a_run_that_is_stopped_writes_nothing_and_goes_on_where_it_was(tmp_path: Path) -> None:
    rows = [row(n) for n in range(30)]
    source = folder(tmp_path / "in", rows)
    options = Options("response", ("t0",))
    with teacher_server() as server:
        writer: Any = StopsAfter(lambda: len(server.arrivals), 5)
        progress = Progress(lambda line: None, writer)
        five_a_minute = Limits(requests_per_minute=5)
        teacher = TeacherDesk(server, tmp_path / "cache", limits=five_a_minute, clock=StandingClock())
        its = desk(teacher, progress=progress)
        with pytest.raises(Stopped):
            distill(source, tmp_path / "out", options, its)
        n = len(server.arrivals)
        assert not (tmp_path / "out" / "train.jsonl").exists()
        report = distilled(tmp_path, server, options, rows)

    assert n == 5
    assert len(server.arrivals) == 30
    assert report["teachers"]["t0"]["asked"] == 30
    assert report["teachers"]["t0"]["kept before"] == 0  # all of them are this run's own


def verdict(better: object) -> str:
    return json.dumps({"reason": "", "better": better})


def judged(prompt: str, earlier: int) -> Reply:
    """As a teacher another answer each time; as a judge for the one that says "rest"."""
    if "<answer_1>" not in prompt:
        return said("Take rest." if earlier % 2 == 0 else "Take opium.")
    first = prompt.partition("<answer_2>")[0]
    if "case 2?" in prompt:
        return said(verdict(1))  # whatever stands first
    if "case 3?" in prompt:
        return said("Both are fine.")
    return said(verdict(1 if "rest" in first.partition("<answer_1>")[2] else 2))


def test_a_judge_makes_pairs_and_is_asked_within_the_same_limits(tmp_path: Path) -> None:
    source = folder(tmp_path / "in", [row(n) for n in range(4)])
    options = Options("rank", ("t0",), judge="judge")
    with teacher_server(judged) as server:
        its = desk(
            TeacherDesk(server, tmp_path / "cache"),
            ranks=lambda teacher: JudgeRanks(
                Judge(teacher.spec, TeacherBackend(teacher), tmp_path / "judge", 1000)  # type: ignore[arg-type]
            ),
        )
        report = distill(source, tmp_path / "out", options, its)

    pairs = rows_in(tmp_path / "out" / "dpo.jsonl")
    assert [pair["question"] for pair in pairs] == ["What helps in case 0?", "What helps in case 1?"]
    assert {pair["chosen"]["solution"] for pair in pairs} == {"Take rest."}
    assert {pair["rejected"]["solution"] for pair in pairs} == {"Take opium."}
    assert pairs[0]["teachers"] == {"chosen": "t0", "rejected": "t0"}
    assert report["pairs"] == {"questions": 4, "pairs": 2, "without a pair": 2}
    assert {reason: n["n"] for reason, n in report["no_pair"].items()} == {
        "no clear winner": 1, "no verdict of the judge": 1
    }  # fmt: skip
    assert report["answers"] == {"used": 8, "unused": 0}
    lines = summary_lines(report)
    assert lines[lines.index("answers: 8 = 8 used + 0 not") + 1] == "questions: 4 = 2 pairs + 2 without"
    assert report["judge"]["judge"]["asked"] == 8  # each of four questions in both orders
    assert report["cost"] == pytest.approx(16 * 2e-5)
    read = list(each_row("dpo", tmp_path / "out" / "dpo.jsonl"))  # as training reads it
    assert len(read) == 2
    assert len(rows_in(tmp_path / "out" / "train.jsonl")) == 4


def test_criteria_of_the_question_are_what_its_answers_are_judged_by(tmp_path: Path) -> None:
    criteria = [{"criterion": "It advises rest.", "points": 5}, {"criterion": "It advises opium.", "points": -5}]
    source = folder(tmp_path / "in", [row(0, meta={"criteria": criteria})])

    def answers(prompt: str, earlier: int) -> Reply:
        if "<statement>" not in prompt:
            return said("Take rest." if earlier == 0 else "Take opium.")
        _, _, answer = prompt.partition("<answer>")
        named = "rest" if "advises rest" in prompt else "opium"
        return said(json.dumps({"reason": "", "met": f"Take {named}" in answer.partition("</answer>")[0]}))

    with teacher_server(answers) as server:
        its = desk(
            TeacherDesk(server, tmp_path / "cache"),
            ranks=lambda teacher: JudgeRanks(
                Judge(teacher.spec, TeacherBackend(teacher), tmp_path / "judge", 1000)  # type: ignore[arg-type]
            ),
        )
        distill(source, tmp_path / "out", Options("rank", ("t0",), judge="judge"), its)

    [pair] = rows_in(tmp_path / "out" / "dpo.jsonl")
    assert (pair["chosen"]["solution"], pair["rejected"]["solution"]) == ("Take rest.", "Take opium.")
    assert pair["margin"] == 2.0  # 5 / 5 and -5 / 5


def test_a_reward_model_ranks_by_its_numbers_and_unsafe_advice_is_never_chosen(tmp_path: Path) -> None:
    source = folder(tmp_path / "in", [row(0), row(1)])
    texts = {
        "case 0?": ["Rest for a week, and drink.", "Rest."],
        "case 1?": ["Rest.", "Take 20 g of paracetamol at once."],
    }

    def answers(prompt: str, earlier: int) -> Reply:
        return said(next(its for words, its in texts.items() if words in prompt)[earlier % 2])

    with teacher_server(answers) as server:
        its = desk(
            TeacherDesk(server, tmp_path / "cache", at_once=1),
            ranks=lambda teacher: RewardModelRanks(lambda pairs: [float(len(answer)) for _, answer in pairs]),
        )
        report = distill(source, tmp_path / "out", Options("rank", ("t0",), reward_model=Path("rm")), its)

    pairs = rows_in(tmp_path / "out" / "dpo.jsonl")
    assert [pair["chosen"]["solution"] for pair in pairs] == ["Rest for a week, and drink."]
    assert list(report["no_pair"]) == ["the best answer is flagged: dose out of range"]


def test_new_questions_are_new_in_no_suite_and_go_to_review(tmp_path: Path) -> None:
    rows = [row(n) for n in range(3)] + [Example("Which drug treats gout best?", "Colchicine.", "gout", split="train")]
    listed = [
        "Which drug treats gout best?", "Too short?", "How is croup treated at home by parents?",
        "How is croup treated at home by parents?", "What is on the exam about scurvy?", "When does measles infect?",
        "Why does anaemia make people tired?",
    ]  # fmt: skip

    def answers(prompt: str, earlier: int) -> Reply:
        if "JSON list" in prompt:
            return said(json.dumps(listed) if earlier == 0 and len(server.arrivals) == 1 else "No more.")
        return said("By rest.")

    with teacher_server(answers) as server:
        source = folder(tmp_path / "in", rows)
        its = desk(
            TeacherDesk(server, tmp_path / "cache"),
            in_suite=lambda rows: ["exam" if "exam" in its.question else "" for its in rows],
        )
        report = distill(source, tmp_path / "out", Options("self-instruct", ("t0",), questions=2), its)

    made = [its for its in rows_in(tmp_path / "out" / "train.jsonl") if "teacher" in its["meta"]]
    assert [its["question"] for its in made] == [
        "How is croup treated at home by parents?", "When does measles infect?"
    ]  # fmt: skip
    assert all(its["meta"]["review"] == "needed" and its["meta"]["made"] == "synthetic" for its in made)
    assert not any("parent" in its["meta"] for its in made)
    assert {reason: its["n"] for reason, its in report["questions_refused"].items()} == {
        "a question that is there already, or nearly": 2, "in the evaluation suite exam": 1,
        "more questions than were wanted": 1, "question too short": 1,
    }  # fmt: skip
    assert report["rows"]["train"] == 4 + 2


def test_the_template_of_the_rows_travels_on(tmp_path: Path) -> None:
    source = folder(tmp_path / "in", [row(0)])
    (source / "report.json").write_text(json.dumps({"kind": "prepared", "template": "role", "answer_format": "think"}))
    with teacher_server() as server:
        report = distilled(tmp_path, server, Options("response", ("t0",)), [])

    assert (report["template"], report["answer_format"]) == ("role", "think")


@pytest.mark.parametrize("kind", ["label", "response", "self-instruct"])
def test_nothing_to_ask_about_is_one_line(kind: Any, tmp_path: Path) -> None:
    rows = [row(0)] if kind == "label" else [row(0, None)]
    with teacher_server() as server, pytest.raises(InvalidInput, match="holds no"):
        distilled(tmp_path, server, Options(kind, ("t0",)), rows)


@pytest.mark.parametrize("text", ["", "50", "60/30", "0/100", "a/b", "120/-20"])
def test_a_mix_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match="--mix"):
        mix_of(text)


def test_rows_are_not_written_over_those_they_are_made_of(tmp_path: Path) -> None:
    with teacher_server() as server, pytest.raises(InvalidInput, match="another folder"):
        distilled(tmp_path, server, Options("response", ("t0",)), [row(0)], "in")
