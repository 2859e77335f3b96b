"""lm-eval on a model of the catalogue, the same options as ours, and the bench that compares the two."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from scripted_models import toy
from tiny_hf import write_random_model

from evaluation.__main__ import main
from evaluation.bench import mcq
from evaluation.bench.mcq import Flip, Question, Rival, compare, flips, ours, questions_of, weights_of
from evaluation.harness import BY_WILSON, METHOD, Tasks, read_results, settings_of, tasks_of
from medchat.errors import InvalidInput, NotFound
from medchat.records import Request
from medchat.rundir import RunDir
from medchat.settings import Settings

TASK = """\
task: toes   # a task of our own
dataset_path: json
dataset_kwargs: {data_files: {test: questions.jsonl}}
test_split: test
output_type: multiple_choice
doc_to_text: "Question: {{question}}\\nChoices:\\nA. {{a}}\\nB. {{b}}\\nAnswer:"
doc_to_choice: ["A", "B"]
doc_to_target: key
metric_list: [{metric: acc}]
"""
WORDS = ("toe", "ear", "eye", "lip", "knee", "heel")


def rows(n: int) -> list[dict[str, Any]]:
    asked = [f"Case {i}: which {WORDS[i % 6]} hurts {'more ' * (i % 7)}" for i in range(n)]
    return [{"question": text, "a": WORDS[i % 5], "b": "none", "key": i % 2} for i, text in enumerate(asked)]


def task_folder(folder: Path, n: int = 12) -> Path:
    folder.mkdir()
    (folder / "toes.yaml").write_text(TASK)
    (folder / "questions.jsonl").write_text("\n".join(map(json.dumps, rows(n))))
    return folder


# What lm-eval is told, and what it tells


def test_a_folder_gives_its_tasks_and_a_list_lm_evals_own(tmp_path: Path) -> None:
    folder = task_folder(tmp_path / "tasks")
    assert tasks_of(str(folder)) == Tasks(("toes",), folder)
    assert tasks_of("medmcqa, mmlu_anatomy") == Tasks(("medmcqa", "mmlu_anatomy"))


@pytest.mark.parametrize(("given", "line"), [("{}/empty", "holds no task"), ("{}/none", "There is no folder")])
def test_what_holds_no_task_is_refused(tmp_path: Path, given: str, line: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises((InvalidInput, NotFound), match=line):
        tasks_of(given.format(tmp_path))


def test_the_model_is_told_with_its_adapter_and_precision(tmp_path: Path) -> None:
    spec = replace(toy(), backend="transformers", path=tmp_path / "model", adapter=tmp_path / "adapter")
    told = settings_of(spec, Tasks(("toes",), tmp_path), tmp_path / "out", "nf4", 5, 3)
    assert told["model_args"] == {
        "pretrained": str(tmp_path / "model"), "trust_remote_code": False, "load_in_4bit": True,
        "peft": str(tmp_path / "adapter"),
    }  # fmt: skip
    assert (told["tasks"], told["include_path"], told["limit"], told["seed"]) == (["toes"], str(tmp_path), 5, 3)
    assert settings_of(spec, Tasks(("a",)), tmp_path, "bf16", None, 0)["model_args"]["dtype"] == "bfloat16"


def test_a_model_without_weights_for_transformers_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="needs weights for transformers, and Toy has none"):
        settings_of(replace(toy(), backend="llamacpp"), Tasks(("a",)), tmp_path, "fp32", None, 0)


def test_results_are_read_with_the_interval_of_lm_eval(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    found = {
        "results": {
            "toes": {"alias": "toes", "acc,none": 0.5, "acc_stderr,none": 0.1, "exact_match,strict": 0.25,
                     "exact_match_stderr,strict": "N/A"},
            "a_group": {"acc,none": 0.4, "acc_stderr,none": 0.1},
        },
        "n-samples": {"toes": {"original": 30, "effective": 24}},
        "configs": {"toes": {"task": "toes"}}, "versions": {"toes": 1},
    }  # fmt: skip
    (tmp_path / "model/results_2026-11-20.json").write_text(json.dumps(found))
    [result] = read_results(tmp_path)
    assert (result.suite, result.n, len(result.suite_hash)) == ("lm-eval:toes", 24, 64)
    acc, strict = result.summary["acc"], result.summary["exact_match (strict)"]
    # 0.5 +- 1.96 x 0.1
    assert (acc.value, acc.n, acc.method) == (0.5, 24, METHOD)
    assert [acc.low, acc.high] == pytest.approx([0.304, 0.696])
    assert (strict.value, strict.low) == (0.25, None)
    (tmp_path / "model/results_2026-11-20.json").write_text("{}")
    with pytest.raises(InvalidInput, match=r"results_2026-11-20\.json is no file of results"):
        read_results(tmp_path)


def test_a_share_of_three_questions_keeps_to_its_range(tmp_path: Path) -> None:
    # 1 of 3 right: s / sqrt(n) = sqrt(1/3 x 2/3 / 2) = 1/3, as lm-eval has it; Wilson 0.0615 to 0.7923
    found = {
        "results": {"toes": {"acc,none": 1 / 3, "acc_stderr,none": 1 / 3, "f1,none": 0.1, "f1_stderr,none": 0.1,
                             "word_perplexity,none": 12.5, "word_perplexity_stderr,none": 1.0}},
        "n-samples": {"toes": {"original": 3, "effective": 3}},
    }  # fmt: skip
    (tmp_path / "results_1.json").write_text(json.dumps(found))
    [result] = read_results(tmp_path)

    acc, f1, perplexity = (result.summary[name] for name in ("acc", "f1", "word_perplexity"))
    assert (acc.low, acc.high) == pytest.approx((0.0615, 0.7923), abs=1e-4)
    assert acc.method == BY_WILSON
    assert (f1.low, f1.high) == pytest.approx((0.0, 0.296))
    assert f1.method == f"{METHOD}, cut to what it can be: from 0 to 1"
    assert perplexity.high == pytest.approx(14.46)


# The bench


class Told:
    """Answers every question with the scores it was told, in turn."""

    def __init__(self, scores: Sequence[list[float] | None]) -> None:
        self._scores = list(scores)

    def loglikelihoods(self, requests: Sequence[Request], options: Sequence[Sequence[str]]) -> list[list[float] | None]:
        return self._scores[: len(requests)]

    def scores(self, questions: Sequence[Question], batch_size: int, *, exact: bool = False) -> tuple[float, Any]:
        return 2.0, self._scores


QUESTIONS = [Question(f"q{n}", f"Question {n}?", [" A", " B"], n % 2) for n in range(4)]


def test_flips_are_listed_with_the_margins_of_both(capsys: pytest.CaptureFixture[str]) -> None:
    mine, other = [[-1.0, -2.0]] * 4, [[-1.0, -2.0], [-1.5, -1.25], [-1.0, -1.0], [-1.0, -3.0]]
    assert flips(QUESTIONS, mine, other) == [Flip("q1", 0, 1, 1.0, 0.25)]  # a tie takes the first
    speed, _, same, right = compare("fp32", QUESTIONS, Told(mine), Told(other))  # type: ignore[arg-type]
    assert "flip in fp32: q1: option 1 here by 1.0000 nats, option 2 in lm-eval by 0.2500" in capsys.readouterr().out
    assert (same.ours, same.met) == (0.75, False)
    assert speed.theirs == 2.0  # 4 questions in 2 s
    assert (right.ours, right.theirs) == (0.5, 0.75)  # keys 0, 1, 0, 1; ours always 0, theirs 0, 1, 0, 0


def test_a_question_that_the_model_cannot_read_ends_the_bench() -> None:
    with pytest.raises(InvalidInput, match="1 of the questions are too long"):
        compare("fp32", QUESTIONS, Told([None, *[[-1.0, -2.0]] * 3]), Told([[0.0, 1.0]] * 4))  # type: ignore[arg-type]


def test_questions_are_those_of_the_suite_that_have_options(tmp_path: Path) -> None:
    lines = [
        {"question": "Why?", "answer": "x"},
        {"id": "m", "kind": "mcq", "question": "Which?", "answer": "B", "options": {"A": "ear", "B": "toe"}},
    ]
    (tmp_path / "mine.jsonl").write_text("\n".join(map(json.dumps, lines)))
    settings = Settings(data_dir=tmp_path)
    [question] = questions_of(str(tmp_path / "mine.jsonl"), 5, settings)
    assert question == Question("m", "Question: Which?\nChoices:\nA. ear\nB. toe\nAnswer:", [" A", " B"], 1)
    with pytest.raises(InvalidInput, match="has no folder of weights"):
        weights_of(toy())


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_random_model(tmp_path / "model")


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_the_same_options_are_chosen_as_by_lm_eval(model: Path, tmp_path: Path, precision: str) -> None:
    settings = Settings(data_dir=tmp_path, threads=1, n_ctx=1024)
    questions = [
        Question(str(n), f"Question: {row['question']}\nAnswer:", [" A", " B", " C", " D"], None)
        for n, row in enumerate(rows(100))
    ]
    requests = [mcq.request_of(question) for question in questions]
    with ours(model, precision, settings) as backend, Rival(model, precision, 1) as rival:
        found = backend.loglikelihoods(requests, [question.options for question in questions])
        theirs = rival.scores(questions, 8, exact=True)[1]
    assert len(flips(questions, [its for its in found if its], theirs)) <= 1
    tolerance = 1e-3 if precision == "fp32" else 0.3  # logits of 30 are 0.125 apart in bf16
    assert found == [pytest.approx(its, abs=tolerance) for its in theirs]


@pytest.mark.slow
def test_the_harness_runs_a_task_of_ones_own_without_a_network(model: Path, tmp_path: Path) -> None:
    folder, out, data = task_folder(tmp_path / "tasks"), tmp_path / "out", tmp_path / "data"
    command = ["harness", "--model", str(model), "--tasks", str(folder), "--out", str(out), "--data-dir", str(data)]
    assert main([*command, "--limit", "10"]) == 0
    [row] = (RunDir(out).result() or {})["evaluations"]
    assert (row["suite"], row["n"], row["summary"]["acc"]["method"]) == ("lm-eval:toes", 10, BY_WILSON)
    assert RunDir(out).state().status == "done"


@pytest.mark.slow
def test_a_task_that_lm_eval_cannot_run_gives_one_line(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = task_folder(tmp_path / "tasks")
    (folder / "questions.jsonl").unlink()
    command = ["harness", "--model", str(model), "--tasks", str(folder), "--out", str(tmp_path / "out")]
    assert main([*command, "--data-dir", str(tmp_path / "data")]) == 1
    assert capsys.readouterr().err.startswith("evaluation: lm-eval failed: ")
    assert RunDir(tmp_path / "out").state().status == "failed"
