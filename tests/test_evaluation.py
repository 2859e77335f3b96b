"""`python -m evaluation`: suites and their faults, answers as the chat gives them, and the files that come out."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from evaluation.__main__ import main
from evaluation.bench import Report, Row, at_least, at_most, publish
from evaluation.bench.load import Asked, clients_at_once, mean_and_p95, tokens_before, tokens_per_s
from evaluation.metrics import DONT_KNOW, metrics
from evaluation.run import (
    Answerer,
    chat_answerer,
    grounding_answerer,
    make_folder,
    predict,
    summarise,
    table,
    write_results,
)
from evaluation.suites import Suite, load_suite, suite_names
from medchat.backends.scripted import ScriptedBackend
from medchat.catalogue import ModelSpec
from medchat.errors import InvalidInput, ModelUnavailable, NotFound
from medchat.recognition import Grounding, Near, Recognised
from medchat.records import Done, Example, Request, Sampling, Text
from medchat.settings import ROOT

GOUT = "<start_reasoning>\n1. The red toe points to gout.\n<end_reasoning><SOLUTION>Gout</SOLUTION>"
INVENTED = "<start_reasoning>\n1. The red toe and the fever.\n<end_reasoning><SOLUTION>Pseudogout</SOLUTION>"
UNSURE = f"<start_reasoning>\n1. Nothing fits.\n<end_reasoning><SOLUTION>{DONT_KNOW}</SOLUTION>"
TOE: dict[str, Any] = {"id": "toe", "kind": "diagnosis", "question": "A red toe. What is it?", "answer": "gout"}
CAR: dict[str, Any] = TOE | {"id": "car", "question": "Blue smoke. What is it?", "answer": "outside my knowledge"}
ROWS: list[dict[str, Any]] = [TOE | {"meta": {"condition": "gout"}}, CAR | {"meta": {"condition": None}}]


class WordGrounder:
    """Recognises two words, and knows one condition."""

    def ground(self, text: str) -> Grounding:
        recognised = tuple(
            Recognised(word, word, text.find(word), text.find(word) + len(word), False, 1.0)
            for word in ("red toe", "fever")
            if word in text
        )
        telling = tuple(r.name for r in recognised)
        return Grounding(recognised, (Near("gout", "gout", 0.9),), outside=not recognised, telling=telling)

    def cited(self, reasoning: str) -> list[tuple[int, int, str]]:
        words = (word for word in ("red toe", "fever") if word in reasoning)
        return [(reasoning.find(word), reasoning.find(word) + len(word), word) for word in words]

    def unsupported(self, reasoning: str, case: str) -> list[tuple[int, int, str]]:
        return [found for found in self.cited(reasoning) if found[2] not in case]


GROUNDER: Any = WordGrounder()


class ByQuestion(ScriptedBackend):
    """Answers a request with the reply to the first of the words that its question contains."""

    def __init__(self, replies: dict[str, str], **options: Any) -> None:
        super().__init__([""], **options)
        self._by_word = replies
        self._options = options
        self.prompts: list[str] = []

    def generate(self, requests: Sequence[Request]) -> Iterator[Text | Done]:
        question = requests[0].messages[-1].content
        self.prompts.append(question)
        reply = next(reply for word, reply in self._by_word.items() if word in question)
        return ScriptedBackend([reply], **self._options).generate(requests)


def model(*, answer_format: str = "gemma-grpo", max_new_tokens: int = 200, grounded: bool = True) -> ModelSpec:
    return ModelSpec(
        id="toy", name="Toy", backend="scripted", path=Path("toy"), answer_format=answer_format,
        sampling=Sampling(max_new_tokens=max_new_tokens), n_ctx=4096, description="", licence="", limits=("A toy.",),
        grounded=grounded,
    )  # fmt: skip


def suite_file(folder: Path, rows: Sequence[dict[str, Any]]) -> str:
    path = folder / "mine.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)) + "\n")
    return str(path)


def predictions_of(answerer: Answerer, suite: Suite, at_once: int = 4) -> list[Any]:
    return predict("toy", answerer, suite.examples, metrics(GROUNDER), at_once=at_once, report=lambda line: None)


# Suites


def test_a_suite_is_read_in_its_order_and_cut_at_the_limit(tmp_path: Path) -> None:
    name = suite_file(tmp_path, ROWS)
    assert [example.id for example in load_suite(name).examples] == ["toe", "car"]
    assert [example.id for example in load_suite(name, limit=1).examples] == ["toe"]
    assert load_suite(name).name == "mine"


def test_blank_lines_and_a_byte_order_mark_are_no_fault(tmp_path: Path) -> None:
    path = tmp_path / "mine.jsonl"
    path.write_bytes(b"\xef\xbb\xbf" + json.dumps(TOE).encode() + b"\r\n\r\n" + json.dumps(CAR).encode())
    assert len(load_suite(str(path)).examples) == 2


def test_an_example_without_an_id_gets_that_of_its_question(tmp_path: Path) -> None:
    name = suite_file(tmp_path, [{"question": "Q?", "answer": "A"}])
    assert load_suite(name).examples[0].id == Example("Q?", "A").question_id


@pytest.mark.parametrize(
    ("second_line", "fault"),
    [
        ('{"question": "Q?"', "not JSON"),
        ("[1]", "expected a JSON object"),
        ('{"question": "Q?"}', "'answer' is missing"),
        ('{"question": " ", "answer": "A"}', "'question' is missing"),
        ('{"question": "Q?", "answer": "A", "anwser": "B"}', "unknown field 'anwser'"),
        ('{"question": "Q?", "answer": "A", "meta": ["x"]}', "'meta' is not an object"),
        ('{"question": "Q?", "answer": "A", "id": "toe"}', "the id 'toe' is already in line 1"),
    ],
)
def test_a_broken_line_is_named_with_its_file(tmp_path: Path, second_line: str, fault: str) -> None:
    path = tmp_path / "mine.jsonl"
    path.write_text(f"{json.dumps(TOE)}\n{second_line}\n")
    with pytest.raises(InvalidInput) as raised:
        load_suite(str(path))
    assert str(raised.value).startswith("mine.jsonl, line 2: ")
    assert fault in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_file_that_is_no_text_is_named(tmp_path: Path) -> None:
    path = tmp_path / "mine.jsonl"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InvalidInput, match=r"^mine\.jsonl, after line 0: this is not UTF-8 text\.$"):
        load_suite(str(path))


def test_a_suite_without_examples_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"^mine\.jsonl has no examples"):
        load_suite(suite_file(tmp_path, []))


def test_an_unknown_suite_is_answered_with_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=r"no suite 'handwriten'.*handwritten"):
        load_suite("handwriten")
    with pytest.raises(NotFound, match="no file"):
        load_suite(str(tmp_path / "none.jsonl"))


@pytest.mark.parametrize("name", suite_names())
def test_every_suite_that_comes_with_it_can_be_read(name: str) -> None:
    assert all(example.answer for example in load_suite(name).examples)


# Answers


def test_a_model_is_asked_and_read_as_in_the_chat(tmp_path: Path) -> None:
    backend = ByQuestion({"toe": GOUT, "smoke": UNSURE})
    answerer = chat_answerer(model(), backend, GROUNDER, max_auto_continues=0)
    toe, car = predictions_of(answerer, load_suite(suite_file(tmp_path, ROWS)))
    assert (toe.id, toe.model, toe.raw) == ("toe", "toy", GOUT)
    assert (toe.reasoning, toe.solution, toe.complete) == ("1. The red toe points to gout.", "Gout", True)
    assert toe.scores == {"exact": 1.0, "abstained": 0.0, "format_ok": 1.0, "supported": 1.0}
    assert car.scores == {"exact": 1.0, "abstained": 1.0, "format_ok": 1.0, "supported": None}
    assert 0 <= toe.ttft_ms <= toe.total_ms
    assert toe.completion_tokens == len(GOUT.split())  # a scripted token is a word
    assert any("Recognised: red toe." in prompt for prompt in backend.prompts)  # grounded as in the chat


def test_predictions_keep_the_order_of_the_suite_whoever_answers_first(tmp_path: Path) -> None:
    rows = [{"id": f"id-{n}", "question": f"Case {n} toe?", "answer": "gout"} for n in range(20)]
    suite = load_suite(suite_file(tmp_path, rows))

    def answerer(example: Example) -> None:
        time.sleep(0.02 if example.id in ("id-0", "id-7") else 0)

    assert [p.id for p in predictions_of(answerer, suite, at_once=8)] == [f"id-{n}" for n in range(20)]


def test_a_cut_answer_is_not_complete_and_goes_on_only_as_often_as_in_the_chat(tmp_path: Path) -> None:
    suite = load_suite(suite_file(tmp_path, ROWS[:1]))
    backend = ByQuestion({"toe": GOUT})
    spec = model(max_new_tokens=4)  # the reply has 9 words
    (cut,) = predictions_of(chat_answerer(spec, backend, GROUNDER, max_auto_continues=0), suite)
    assert (cut.complete, cut.scores["format_ok"], cut.scores["exact"]) == (False, 0.0, 0.0)
    (whole,) = predictions_of(chat_answerer(spec, backend, GROUNDER, max_auto_continues=2), suite)
    assert (whole.complete, whole.scores["format_ok"], whole.raw) == (True, 1.0, GOUT)


def test_what_does_not_fit_into_the_model_is_unscored_and_the_rest_goes_on(tmp_path: Path) -> None:
    rows = [TOE | {"id": "long", "question": "toe " * 4000}, TOE | {"id": "vast", "question": "toe " * 6000}, TOE]
    suite = load_suite(suite_file(tmp_path, rows))
    answerer = chat_answerer(model(), ByQuestion({"toe": GOUT}, n_ctx=1000), GROUNDER, max_auto_continues=0)
    long, vast, toe = predictions_of(answerer, suite)
    for unread in (long, vast):
        assert (unread.raw, unread.solution, unread.complete, unread.ttft_ms) == ("", "", False, None)
        assert set(unread.scores.values()) == {None}
    assert toe.scores["exact"] == 1.0
    summary = summarise(suite.examples, [long, vast, toe])
    assert (summary["exact"].value, summary["exact"].n, summary["exact"].n_unscored) == (1.0, 1, 2)


def test_a_model_that_breaks_down_ends_the_run(tmp_path: Path) -> None:
    suite = load_suite(suite_file(tmp_path, ROWS))
    broken = ByQuestion({"": GOUT}, fail_after=1)
    with pytest.raises(ModelUnavailable):
        predictions_of(chat_answerer(model(), broken, GROUNDER, max_auto_continues=0), suite)


def test_the_recogniser_alone_answers_diagnoses_and_nothing_else(tmp_path: Path) -> None:
    rows = [*ROWS, {"id": "why", "question": "A red toe. Why?", "answer": "urate", "kind": "free"}]
    toe, car, why = predictions_of(grounding_answerer(GROUNDER), load_suite(suite_file(tmp_path, rows)), at_once=1)
    assert (toe.solution, toe.scores["exact"]) == ("gout", 1.0)
    assert (car.solution, car.scores["exact"]) == (DONT_KNOW, 1.0)
    assert (toe.scores["format_ok"], toe.scores["supported"]) == (None, None)
    assert set(why.scores.values()) == {None}


# Files


def test_files_hold_every_prediction_and_every_estimate(tmp_path: Path) -> None:
    suite = load_suite(suite_file(tmp_path, [*ROWS, TOE | {"id": "again", "meta": {"condition": "gout"}}]))
    backend = ByQuestion({"toe": INVENTED, "smoke": UNSURE})
    predictions = predictions_of(chat_answerer(model(), backend, GROUNDER, max_auto_continues=0), suite)
    out = tmp_path / "deep" / "out"
    make_folder(out)
    write_results(out, predictions, {"toy": summarise(suite.examples, predictions)})
    lines = [json.loads(line) for line in (out / "predictions.jsonl").read_text().splitlines()]
    assert [line["id"] for line in lines] == ["toe", "car", "again"]
    assert list(lines[0]) == [
        "id", "model", "raw", "reasoning", "solution", "complete", "scores", "ttft_ms", "total_ms", "completion_tokens"
    ]  # fmt: skip
    assert lines[1]["scores"]["supported"] is None
    summary = json.loads((out / "summary.json").read_text())["toy"]
    assert list(summary["exact"]) == ["value", "n", "n_unscored", "low", "high", "method"]
    # the car is right, both toes are wrong; one of the two findings cited for each toe is invented
    assert summary["exact"]["value"] == pytest.approx(1 / 3)
    assert (summary["exact_known"]["value"], summary["exact_unknown"]["value"]) == (0.0, 1.0)
    assert (summary["supported"]["value"], summary["supported"]["n"], summary["supported"]["n_unscored"]) == (0.5, 2, 1)
    assert summary["supported_unknown"]["value"] is None
    assert {path.name for path in out.iterdir()} == {"predictions.jsonl", "summary.json"}


def test_without_conditions_in_the_suite_there_are_no_groups(tmp_path: Path) -> None:
    suite = load_suite(suite_file(tmp_path, [TOE]))
    predictions = predictions_of(
        chat_answerer(model(), ByQuestion({"toe": GOUT}), GROUNDER, max_auto_continues=0), suite
    )
    assert list(summarise(suite.examples, predictions)) == ["exact", "abstained", "format_ok", "supported"]


def test_the_table_shows_values_with_intervals_and_what_is_unscored(tmp_path: Path) -> None:
    suite = load_suite(suite_file(tmp_path, [TOE]))
    predictions = predictions_of(grounding_answerer(GROUNDER), suite)
    lines = table({"grounding": summarise(suite.examples, predictions)}).splitlines()
    # Wilson, 1 of 1: low = 1 / (1 + 1.95996^2) = 0.207
    assert lines[1].split() == ["grounding", "exact", "1.000", "0.207", "to", "1.000", "1", "0"]
    assert lines[3].split() == ["grounding", "format_ok", "-", "-", "0", "1"]


# Command line


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--model", "default", "--suite", "nothing"], "evaluation: There is no suite 'nothing'"),
        (["--model", "nobody", "--suite", "handwritten"], "evaluation: There is no model 'nobody'"),
        (["--model", "grounding", "--suite", "{folder}/broken.jsonl"], "evaluation: broken.jsonl, line 1: not JSON"),
        (["--model", "grounding", "--suite", "{folder}/empty.jsonl"], "evaluation: empty.jsonl has no examples"),
        (
            ["--model", "default", "--suite", "handwritten", "--out", "{folder}/file/out"],
            "evaluation: {folder}/file/out",
        ),
    ],
)
def test_what_cannot_be_run_gives_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], line: str
) -> None:
    (tmp_path / "broken.jsonl").write_text("{\n")
    (tmp_path / "empty.jsonl").write_text("")
    (tmp_path / "file").write_text("")
    filled = [argument.format(folder=tmp_path) for argument in arguments]
    status = main(["run", "--out", str(tmp_path / "out"), "--data-dir", str(tmp_path / "data"), *filled])
    error = capsys.readouterr().err
    assert status == 1
    assert error.startswith(line.format(folder=tmp_path))
    assert error.count("\n") == 1
    assert not (tmp_path / "data").exists()  # it failed before anything slow


@pytest.mark.parametrize(
    "arguments",
    [[], ["run"], ["run", "--model", "demo", "--suite", "x", "--out", "o", "--limit", "0"], ["bench", "nothing"]],
)
def test_wrong_arguments_exit_with_2(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(arguments)
    assert left.value.code == 2


@pytest.mark.slow
def test_the_whole_command_from_cases_to_files(tmp_path: Path) -> None:
    flags = ["--model", "grounding", "--model", "default", "--suite", "handwritten", "--limit", "3"]
    folders = ["--out", str(tmp_path / "out"), "--data-dir", str(tmp_path / "data")]
    command = [sys.executable, "-m", "evaluation", "run", *flags, *folders]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=170)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("handwritten: 3 examples\nmodel ")
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert list(summary) == ["grounding", "demo"]
    assert summary["demo"]["format_ok"]["n"] == 3


# Benches


def test_tokens_are_counted_up_to_the_end_of_the_time() -> None:
    answer = Asked(began=0.0, first=1.0, last=3.0, tokens=21)  # one at 1 s, then 10 a second
    assert [tokens_before(answer, moment) for moment in (0.5, 1.0, 2.0, 3.0, 9.0)] == [0, 1, 11, 21, 21]


def test_speed_of_streams_leaves_out_the_time_to_the_first_token() -> None:
    # 20 tokens in 2 s and 10 in 1 s after the first: 30 / 3
    answers = [Asked(0.0, 1.0, 3.0, 21), Asked(0.0, 5.0, 6.0, 11)]
    assert tokens_per_s(answers) == 10.0
    assert mean_and_p95(answers) == (3.0, 5.0)


def test_clients_ask_again_until_the_time_is_up() -> None:
    asked_numbers: list[int] = []

    def ask(number: int) -> Asked:
        asked_numbers.append(number)
        began = time.monotonic()
        time.sleep(0.05)
        return Asked(began, time.monotonic(), time.monotonic(), 10)

    asked, speed = clients_at_once(ask, clients=3, seconds=0.3)
    assert sorted(asked_numbers) == list(range(len(asked)))  # each number once
    assert 6 <= len(asked) <= 18  # at most 6 times 3, on a busy machine fewer
    assert 0 < speed <= 18 * 10 / 0.3


def test_a_client_that_fails_fails_the_bench() -> None:
    def ask(number: int) -> Asked:
        raise ModelUnavailable("gone")

    with pytest.raises(ModelUnavailable, match="gone"):
        clients_at_once(ask, clients=2, seconds=0.05)


def test_a_report_says_which_aims_are_met(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [
        at_least("speed", "tokens/s", 3.0, "other", 4.0, 0.8),  # 0.75
        at_most("wait", "s", 1.0, "other", 8.0, 0.2),  # 0.125
        Row("share", "s", 2.0, "without", 1.0, 2.0),
    ]
    publish(Report("toy", {"threads": 2}, rows), tmp_path / "new" / "bench.json")
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "bench toy: threads 2"
    assert lines[2].split() == ["speed,", "tokens/s", "3", "4", "other", "0.75", "ratio", ">=", "0.8", "MISSED"]
    assert lines[3].split() == ["wait,", "s", "1", "8", "other", "0.125", "ratio", "<=", "0.2", "met"]
    assert lines[4].split() == ["share,", "s", "2", "1", "without", "2"]
    written = json.loads((tmp_path / "new" / "bench.json").read_text())
    assert [row["met"] for row in written["rows"]] == [False, True, None]
    assert written["machine"]["cores"] >= 1
