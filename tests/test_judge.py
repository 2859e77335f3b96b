"""A model as a judge: its verdicts, their points, what is asked once, and how it agrees with clinicians."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from metric_tools import NO_TOOLS

from evaluation.judge import (
    AT_ONCE,
    Criterion,
    Judge,
    Verdict,
    clipped_mean,
    criteria_of,
    healthbench,
    must_have,
    nice_to_have,
    read_verdict,
    rubric_of_statements,
)
from evaluation.judge_agreement import JudgeAgreement, judge_agreement
from evaluation.metrics import Answer
from medchat.backends.scripted import ScriptedBackend
from medchat.errors import InvalidInput, ModelUnavailable
from medchat.models_file import ModelSpec, unknown_model
from medchat.records import Done, Example, Request, Text

SPEC = replace(unknown_model("scripted"), id="judge", name="A judge", answer_format="think", n_ctx=4096)
MET, NOT_MET, NONSENSE = '{"reason": "yes", "met": true}', '{"reason": "no", "met": false}', "It is met, I think."

CASE = Example(
    "What helps?", None, meta={
        "criteria": [
            {"criterion": "Names rest.", "points": 6, "tags": []},
            {"criterion": "Names water.", "points": 4, "tags": []},
            {"criterion": "Names a leech.", "points": -5, "tags": []},
        ],
        "must_have": ["Rest helps", "Water helps"],
        "nice_to_have": [],
    },
)  # fmt: skip


class CountingBackend(ScriptedBackend):
    """A script that keeps what it was asked."""

    def __init__(self, replies: Sequence[str], **options: int) -> None:
        super().__init__(replies, **options)
        self.prompts: list[str] = []

    def generate(self, requests: Sequence[Request]) -> Iterator[Text | Done]:
        self.prompts += [request.messages[-1].content for request in requests]
        return super().generate(requests)


def judge_of(*replies: str, folder: Path, most_calls: int = 100, spec: ModelSpec = SPEC, **options: int) -> Judge:
    return Judge(spec, CountingBackend(replies, **options), folder, most_calls)


# Criteria


def test_points_met_are_divided_by_the_positive_ones(tmp_path: Path) -> None:
    # met: 6 and -5 of 6 + 4
    judge = judge_of(MET, NOT_MET, MET, folder=tmp_path)

    assert judge.score_criteria([CASE], [Answer("Rest, and a leech.")], criteria_of) == [pytest.approx(0.1)]


def test_a_bad_answer_is_below_zero_and_the_mean_is_clipped(tmp_path: Path) -> None:
    judge = judge_of(NOT_MET, NOT_MET, MET, folder=tmp_path)

    assert judge.score_criteria([CASE], [Answer("A leech.")], criteria_of) == [-0.5]  # -5 of 10
    assert clipped_mean([-0.5, 0.1, None]) == 0.0  # (-0.5 + 0.1) / 2
    assert clipped_mean([1.0, 0.5]) == 0.75
    assert clipped_mean([None]) is None


def test_an_answer_with_a_verdict_missing_is_not_scored(tmp_path: Path) -> None:
    judge = judge_of(MET, NONSENSE, MET, folder=tmp_path)

    assert judge.score_criteria([CASE, CASE], [Answer("Rest."), None], criteria_of) == [None, None]
    assert judge.counts.unparsable == 1


def test_an_example_without_criteria_is_not_asked_about(tmp_path: Path) -> None:
    judge = judge_of(MET, folder=tmp_path)

    assert judge.score_criteria([Example("Q?", None)], [Answer("Rest.")], criteria_of) == [None]
    assert judge.counts.asked == 0


def test_the_judge_sees_question_answer_and_statement(tmp_path: Path) -> None:
    backend = CountingBackend([MET])
    judge = Judge(SPEC, backend, tmp_path, 10)

    judge.score_criteria([Example("What helps?", None, context="A {cold}.")], [Answer("Rest.", reasoning="Secret.")],
                         lambda _: (Criterion("Names rest.", 1.0),))  # fmt: skip

    (prompt,) = backend.prompts
    assert "A {cold}." in prompt
    assert "What helps?" in prompt
    assert "Rest." in prompt
    assert "Names rest." in prompt
    assert "Secret." not in prompt


def test_statements_are_a_point_each(tmp_path: Path) -> None:
    judge = judge_of(MET, NOT_MET, folder=tmp_path)

    assert judge.score_criteria([CASE], [Answer("Rest.")], rubric_of_statements("must_have")) == [0.5]


def test_metrics_without_a_judge_or_without_statements_are_not_scored(tmp_path: Path) -> None:
    with_judge = replace(NO_TOOLS, judge=judge_of(MET, folder=tmp_path))

    for metric in (healthbench, must_have, nice_to_have):
        assert metric(NO_TOOLS)([CASE], [Answer("Rest.")]) == [None]
    assert must_have(with_judge)([CASE], [Answer("Rest, water.")]) == [1.0]
    assert nice_to_have(with_judge)([CASE], [Answer("Rest.")]) == [None]


@pytest.mark.parametrize(
    "row", ["text", {"criterion": "", "points": 1}, {"criterion": "x"}, {"criterion": "x", "points": True}]
)
def test_what_is_no_criterion_is_left_out(row: object) -> None:
    assert criteria_of(Example("Q?", None, meta={"criteria": [row]})) == ()


# Verdicts


@pytest.mark.parametrize("reply", [MET, f"```json\n{MET}\n```", f"Here it is:\n```\n{MET}\n```\nDone.", f"\n {MET} \n"])
def test_a_verdict_may_stand_in_a_code_fence(reply: str) -> None:
    assert read_verdict(reply) == {"reason": "yes", "met": True}


@pytest.mark.parametrize(
    "reply",
    ["", NONSENSE, f"I say {MET}", "{met: true}", "[true]", f"```\n{MET}\n```\n```\n{NOT_MET}\n```", '{"met": tr',
     "[" * 90000],
)  # fmt: skip
def test_anything_else_is_no_verdict(reply: str) -> None:
    assert read_verdict(reply) is None


@pytest.mark.parametrize("reply", ['{"met": "true"}', '{"met": 1}', '{"reason": "yes"}'])
def test_a_verdict_of_the_wrong_type_is_none(reply: str, tmp_path: Path) -> None:
    judge = judge_of(reply, folder=tmp_path)

    [verdicts] = judge.judge_criteria([CASE], [Answer("Rest.")], criteria_of)
    assert [verdict.met for verdict in verdicts or ()] == [None, None, None]


def test_the_reasoning_of_the_judge_is_no_verdict(tmp_path: Path) -> None:
    judge = judge_of(f"<think>{NOT_MET}</think>{MET}", folder=tmp_path)

    verdicts = judge.judge_criteria([CASE], [Answer("Rest.")], lambda _: (Criterion("Rest.", 1.0),))
    assert verdicts == [[Verdict("Rest.", 1.0, True, "asked")]]


# Comparison


@pytest.mark.parametrize(
    ("forth", "back", "winner"),
    [
        ("1", "2", "a"),
        ("2", "1", "b"),
        ("1", "1", "tie"),  # always the first: a flip
        ("2", "2", "tie"),
        ('"tie"', '"tie"', "tie"),
        ("1", '"tie"', "tie"),
        ("3", "1", None),
        ("true", "1", None),
    ],
)
def test_both_orders_are_asked_and_a_flip_is_a_tie(forth: str, back: str, winner: str | None, tmp_path: Path) -> None:
    judge = judge_of(f'{{"better": {forth}}}', f'{{"better": {back}}}', folder=tmp_path)

    assert judge.compare(CASE, Answer("Rest."), Answer("Water.")) == winner


def test_the_second_question_has_the_answers_exchanged(tmp_path: Path) -> None:
    backend = CountingBackend(['{"better": 1}'])

    Judge(SPEC, backend, tmp_path, 10).compare(CASE, Answer("Rest."), Answer("Water."))

    first, second = backend.prompts
    assert first.index("Rest.") < first.index("Water.")
    assert second.index("Water.") < second.index("Rest.")


# Cache and cap


def test_nothing_is_asked_twice_and_a_new_judge_finds_the_verdicts(tmp_path: Path) -> None:
    first = judge_of(MET, folder=tmp_path)
    first.score_criteria([CASE, CASE], [Answer("Rest."), Answer("Rest.")], criteria_of)
    second = judge_of(NOT_MET, folder=tmp_path)

    assert second.score_criteria([CASE], [Answer("Rest.")], criteria_of) == [pytest.approx(0.5)]  # 6 + 4 - 5 of 10
    assert (first.counts.asked, second.counts.asked, second.counts.cached) == (3, 0, 3)


def test_another_model_or_another_answer_is_asked_anew(tmp_path: Path) -> None:
    judge_of(MET, folder=tmp_path).score_criteria([CASE], [Answer("Rest.")], criteria_of)
    other_model = judge_of(MET, folder=tmp_path, spec=replace(SPEC, id="other"))
    other_answer = judge_of(MET, folder=tmp_path)

    other_model.score_criteria([CASE], [Answer("Rest.")], criteria_of)
    other_answer.score_criteria([CASE], [Answer("Water.")], criteria_of)

    assert (other_model.counts.cached, other_answer.counts.cached) == (0, 0)


def test_what_is_kept_holds_the_reply_and_nothing_of_the_case(tmp_path: Path) -> None:
    judge_of(MET, folder=tmp_path).score_criteria([CASE], [Answer("Rest.")], criteria_of)

    files = list(tmp_path.iterdir())
    assert len(files) == 3
    assert [json.loads(file.read_text()) for file in files] == [{"model": "judge", "reply": MET}] * 3


def test_a_torn_verdict_is_asked_for_again(tmp_path: Path) -> None:
    judge_of(MET, folder=tmp_path).score_criteria([CASE], [Answer("Rest.")], criteria_of)
    for file in tmp_path.iterdir():
        file.write_text('{"reply": ')
    judge = judge_of(MET, folder=tmp_path)

    assert judge.score_criteria([CASE], [Answer("Rest.")], criteria_of) == [0.5]
    assert judge.counts.asked == 3


def test_verdicts_before_a_failure_are_kept(tmp_path: Path) -> None:
    class FailsAtItsSecondBatch(CountingBackend):
        def generate(self, requests: Sequence[Request]) -> Iterator[Text | Done]:
            if self.prompts:
                raise ModelUnavailable("The model stopped unexpectedly.")
            return super().generate(requests)

    cases = [replace(CASE, question=f"Question {n}?") for n in range(7)]
    answers = [Answer("Rest.")] * 7

    with pytest.raises(ModelUnavailable):
        Judge(SPEC, FailsAtItsSecondBatch([MET]), tmp_path, 100).score_criteria(cases, answers, criteria_of)
    judge = judge_of(MET, folder=tmp_path)

    assert judge.score_criteria(cases, answers, criteria_of) == [0.5] * 7
    assert (judge.counts.cached, judge.counts.asked) == (AT_ONCE, 21 - AT_ONCE)


def test_beyond_the_cap_nothing_is_asked_or_scored(tmp_path: Path) -> None:
    judge = judge_of(MET, folder=tmp_path, most_calls=4)
    two = [CASE, replace(CASE, question="Another?")]

    assert judge.score_criteria(two, [Answer("Rest."), Answer("Rest.")], criteria_of) == [0.5, None]
    assert (judge.counts.asked, judge.counts.over_cap) == (4, 2)


def test_what_does_not_fit_into_the_judge_is_not_scored(tmp_path: Path) -> None:
    judge = judge_of(MET, folder=tmp_path, n_ctx=1500)  # a quarter of which is for the verdict
    long = Answer("rest " * 2000)

    assert judge.score_criteria([CASE, CASE], [long, Answer("Rest.")], criteria_of) == [None, 0.5]
    assert judge.counts.too_long == 3


def test_a_cache_that_cannot_be_written_is_said_in_a_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(InvalidInput, match="cannot be kept"):
        judge_of(MET, folder=tmp_path / "file").score_criteria([CASE], [Answer("Rest.")], criteria_of)


# Agreement with clinicians


def test_agreement_counts_items_and_is_corrected_for_chance() -> None:
    verdicts = {"a": True, "b": True, "c": False, "d": False, "e": None}
    ratings = [("a", True), ("b", False), ("c", False), ("d", False), ("e", True), ("not asked", True)]

    found = judge_agreement(verdicts, ratings)

    # 3 of 4 agree; by chance: judge half true, clinicians a quarter: 0.5 * 0.25 + 0.5 * 0.75 = 0.5;
    # kappa = (0.75 - 0.5) / (1 - 0.5). Wilson for 3 of 4: 0.301 to 0.954
    assert (found.n, found.n_unscored, found.agreement) == (4, 1, 0.75)
    assert found.kappa == pytest.approx(0.5)
    assert found.low == pytest.approx(0.3006, abs=1e-3)
    assert found.high == pytest.approx(0.9544, abs=1e-3)


def test_several_clinicians_of_one_item_are_one_item() -> None:
    found = judge_agreement({"a": "a", "b": "tie"}, [("a", "a"), ("a", "b"), ("b", "tie")])

    assert (found.n, found.agreement) == (2, 0.75)  # (1/2 + 1) / 2


def test_without_common_items_nothing_is_shown() -> None:
    assert judge_agreement({"a": True}, [("b", True)]) == JudgeAgreement(0)
    assert judge_agreement({"a": None}, [("a", True)]) == JudgeAgreement(0, 1)


def test_one_and_the_same_verdict_of_everything_has_no_kappa() -> None:
    assert judge_agreement({"a": True, "b": True}, [("a", True), ("b", True)]).kappa is None


def test_a_judge_says_whether_its_agreement_was_shown() -> None:
    few = judge_agreement({str(n): True for n in range(29)}, [(str(n), True) for n in range(29)])
    enough = judge_agreement({str(n): n < 20 for n in range(30)}, [(str(n), n < 20) for n in range(30)])

    assert few.label == "not shown to agree with clinicians (n = 29)"
    # Wilson for 30 of 30: from 89 %
    assert enough.label == "agrees with clinicians in 100% (89% to 100%), kappa 1.00, n = 30"
