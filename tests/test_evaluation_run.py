"""Runs: answers as the chat gives them, options by their likelihood, what is stored, stopped, resumed and refused."""

import json
import threading
import time
import tracemalloc
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from scripted_models import GROUNDER, ByQuestion, asked_model, asked_suite, asking, run, toy

from evaluation.asking import GroundingAsker, Reply, StoppingAt, item_seed
from evaluation.metrics import DONT_KNOW, Answer
from evaluation.run import AskedModel, Prediction, read_predictions, require_same
from evaluation.suites import Suite, load_suite, with_template
from evaluation.summary import table
from medchat.backends.scripted import ScriptedBackend
from medchat.errors import InvalidInput, ModelUnavailable, RateLimited
from medchat.records import Done, Example, Request, Text
from medchat.rundir import RunDir

GOUT = "<start_reasoning>\n1. The red toe points to gout.\n<end_reasoning><SOLUTION>Gout</SOLUTION>"
INVENTED = "<start_reasoning>\n1. The red toe and the fever.\n<end_reasoning><SOLUTION>Pseudogout</SOLUTION>"
UNSURE = f"<start_reasoning>\n1. Nothing fits.\n<end_reasoning><SOLUTION>{DONT_KNOW}</SOLUTION>"
TOE: dict[str, Any] = {"id": "toe", "kind": "diagnosis", "question": "A red toe. What is it?", "answer": "gout"}
CAR: dict[str, Any] = TOE | {"id": "car", "question": "Blue smoke. What is it?", "answer": "outside my knowledge"}
ROWS: list[dict[str, Any]] = [TOE | {"meta": {"condition": "gout"}}, CAR | {"meta": {"condition": None}}]
DIAGNOSES = ("exact", "abstained", "format_ok", "supported")
CHOICE: dict[str, Any] = {
    "id": "c1", "kind": "mcq", "question": "Which swells in gout?", "answer": "B",
    "options": {"A": "an ear", "B": "a toe", "C": "an eye", "D": "a lip"},
}  # fmt: skip


def suite_of(folder: Path, rows: Sequence[dict[str, Any]], name: str = "mine") -> Suite:
    path = folder / f"{name}.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)) + "\n")
    return load_suite(str(path))


def stored(folder: Path) -> dict[str, Prediction]:
    return {prediction.id: prediction for prediction in read_predictions(folder)}


def toes(n: int) -> list[dict[str, Any]]:
    return [TOE | {"id": f"id-{number}", "question": f"Case {number}: a red toe?"} for number in range(n)]


# Answers


def test_a_model_is_asked_and_read_as_in_the_chat(tmp_path: Path) -> None:
    backend = ByQuestion({"toe": GOUT, "smoke": UNSURE})
    run(tmp_path / "out", [asked_model(backend)], [asked_suite(suite_of(tmp_path, ROWS), DIAGNOSES)])
    toe, car = (stored(tmp_path / "out")[name] for name in ("toe", "car"))
    assert (toe.model, toe.suite, toe.raw, toe.finish_reason) == ("toy", "mine", GOUT, "stop")
    assert (toe.reasoning, toe.solution, toe.complete) == ("1. The red toe points to gout.", "Gout", True)
    assert toe.scores == {"exact": 1.0, "abstained": 0.0, "format_ok": 1.0, "supported": 1.0}
    assert car.scores == {"exact": 1.0, "abstained": 1.0, "format_ok": 1.0, "supported": None}
    assert (toe.groups["knowledge"], car.groups["knowledge"]) == ("known", "unknown")
    assert 0 <= (toe.ttft_ms or 0) <= (toe.total_ms or 0)
    assert toe.completion_tokens == len(GOUT.split())  # a scripted token is a word
    assert any("Recognised: red toe." in prompt for prompt in backend.prompts)  # grounded as in the chat
    assert toe.prompt[-1]["content"] in backend.prompts  # what it saw is kept, and how the answer was drawn
    assert (toe.sampling or {})["seed"] == item_seed(0, "toe")
    assert toe.answer_format == "gemma-grpo"


def test_a_cut_answer_is_not_complete_and_goes_on_only_as_often_as_in_the_chat(tmp_path: Path) -> None:
    asked = [asked_suite(suite_of(tmp_path, ROWS[:1]), DIAGNOSES)]
    backend, spec = ByQuestion({"toe": GOUT}), toy(max_new_tokens=4)  # the reply has 9 words
    run(tmp_path / "cut", [asked_model(backend, spec, continues=0)], asked)
    cut = stored(tmp_path / "cut")["toe"]
    assert (cut.complete, cut.finish_reason, cut.scores["format_ok"], cut.scores["exact"]) == (
        False,
        "length",
        0.0,
        0.0,
    )
    run(tmp_path / "whole", [asked_model(backend, spec, continues=2)], asked)
    whole = stored(tmp_path / "whole")["toe"]
    assert (whole.complete, whole.scores["format_ok"], whole.raw) == (True, 1.0, GOUT)


@pytest.mark.parametrize("names", [DIAGNOSES, ("mcq_loglikelihood",)])
def test_what_does_not_fit_into_the_model_is_unscored_with_its_reason_and_the_rest_goes_on(
    tmp_path: Path, names: Sequence[str]
) -> None:
    rows = [CHOICE | {"id": "long", "question": "toe " * 12_500}, CHOICE | {"question": "A toe?"}]  # 50,000 characters
    backend = ByQuestion({"toe": GOUT}, {"A": -3.0, "B": -1.0, "C": -2.0, "D": -4.0}, n_ctx=1000)
    found = run(tmp_path / "out", [asked_model(backend)], [asked_suite(suite_of(tmp_path, rows), names)])
    long = stored(tmp_path / "out")["long"]
    assert (long.raw, long.solution, long.complete, long.ttft_ms) == ("", "", False, None)
    assert set(long.scores.values()) == {None}
    assert "tokens" in long.fault
    assert "conversation" not in long.fault
    assert found
    first = found["mine"]["toy"][names[0]]
    assert (first.n, first.n_unscored, first.unscored) == (1, 1, {"too long for the model": 1})
    assert "1 (too long for the model: 1)" in table(found["mine"])
    assert found["mine"]["toy"]["unanswered"].value == 0.5


def test_the_recogniser_alone_answers_diagnoses_and_nothing_else(tmp_path: Path) -> None:
    rows = [*ROWS, {"id": "why", "question": "A red toe. Why?", "answer": "urate", "kind": "free"}]
    model = AskedModel("grounding", {"model_id": "grounding"}, lambda _: {}, lambda *_: GroundingAsker(GROUNDER))
    run(tmp_path / "out", [model], [asked_suite(suite_of(tmp_path, rows), DIAGNOSES)])
    found = stored(tmp_path / "out")
    assert (found["toe"].solution, found["toe"].scores["exact"]) == ("gout", 1.0)
    assert (found["car"].solution, found["car"].scores["exact"]) == (DONT_KNOW, 1.0)
    assert (found["toe"].scores["format_ok"], found["toe"].scores["supported"]) == (None, None)
    assert set(found["why"].scores.values()) == {None}


def test_the_seed_of_an_answer_hangs_on_the_run_and_the_example_alone(tmp_path: Path) -> None:
    seeds = []
    for number, (rows, seed) in enumerate([(toes(5), 7), (toes(5)[3:], 7), (toes(5), 8)]):
        backend = ByQuestion({"toe": GOUT})
        suite = suite_of(tmp_path, rows)
        run(
            tmp_path / str(number),
            [asked_model(backend, toy(temperature=1.0), seed=seed)],
            [asked_suite(suite, DIAGNOSES)],
        )
        seeds.append(
            {request.messages[-1].content.split(":")[0]: request.sampling.seed for request in backend.requests}
        )
    assert seeds[1] == {name: seed for name, seed in seeds[0].items() if name in ("Case 3", "Case 4")}
    assert len(set(seeds[0].values())) == 5
    assert not set(seeds[0].values()) & set(seeds[2].values())
    assert seeds[0]["Case 0"] == item_seed(7, "id-0")


def test_a_server_that_takes_no_more_for_now_is_asked_again(tmp_path: Path) -> None:
    class Busy(ByQuestion):
        def generate(self, requests: Sequence[Request]) -> Iterator[Text | Done]:
            if len(self.requests) < 2:
                self.requests.append(requests[0])
                raise RateLimited("Too many requests.", retry_after_s=0.01)
            return super().generate(requests)

    run(tmp_path / "out", [asked_model(Busy({"toe": GOUT}))], [asked_suite(suite_of(tmp_path, ROWS[:1]), DIAGNOSES)])
    assert stored(tmp_path / "out")["toe"].raw == GOUT


# Multiple choice


def test_options_are_compared_many_at_a_time_with_the_prompt_of_lm_eval(tmp_path: Path) -> None:
    rows = [CHOICE | {"id": f"c{n}", "question": f"Question {n}?", "answer": "ABCD"[n % 4]} for n in range(20)]
    backend = ByQuestion({}, {" A": -3.0, " B": -1.0, " C": -2.0, " D": -4.0})
    suite = with_template(suite_of(tmp_path, rows), "lm-eval-medmcqa")
    found = run(tmp_path / "out", [asked_model(backend)], [asked_suite(suite, ["mcq_loglikelihood"])])
    assert found
    assert found["mine"]["toy"]["mcq_loglikelihood"].value == 0.25  # the likeliest is always B
    prompt = "Question: Question 3?\nChoices:\nA. an ear\nB. a toe\nC. an eye\nD. a lip\nAnswer:"
    assert (prompt, [" A", " B", " C", " D"]) in backend.compared
    right, wrong = stored(tmp_path / "out")["c1"], stored(tmp_path / "out")["c2"]
    assert (right.choice, right.outcome, wrong.choice, wrong.outcome) == ("B", "right", "B", "wrong")
    assert right.option_logprobs == {"A": -3.0, "B": -1.0, "C": -2.0, "D": -4.0}
    assert not backend.requests  # nothing was written


def test_a_model_that_tells_no_likelihoods_is_unscored_and_says_so(tmp_path: Path) -> None:
    asked = [asked_suite(suite_of(tmp_path, [CHOICE]), ["mcq_loglikelihood"])]
    run(tmp_path / "out", [asked_model(ByQuestion({}))], asked)
    found = stored(tmp_path / "out")["c1"]
    assert (found.scores, found.choice) == ({"mcq_loglikelihood": None}, None)
    assert (found.fault, found.why) == (
        "This model does not tell how likely an option is.", "the model tells no likelihoods"
    )  # fmt: skip


def test_shuffled_options_are_asked_for_and_told_by_their_original_letters(tmp_path: Path) -> None:
    (tmp_path / "shuffled.yaml").write_text(
        "name: shuffled\ntitle: Shuffled\nabout: x\nfamily: own\nlicence: none\nexamples: shuffled.jsonl\n"
        "template: choice\nmetrics: [mcq_loglikelihood, mcq_consistency]\nshuffles: 3\ngroups: []\n"
    )
    (tmp_path / "shuffled.jsonl").write_text(json.dumps(CHOICE) + "\n")
    suite = load_suite("shuffled", folder=tmp_path)
    # It always takes the letter A, whatever stands there.
    backend = ByQuestion({}, {"A": -1.0, "B": -2.0, "C": -3.0, "D": -4.0})
    found = run(tmp_path / "out", [asked_model(backend)], [asked_suite(suite, suite.metrics)])
    assert len(backend.compared) == 4
    first = [prompt.split("A. ")[1].split("\n")[0] for prompt, _ in backend.compared]
    assert first[0] == "an ear"
    assert found
    consistency = found["shuffled"]["toy"]["mcq_consistency"].value
    assert consistency == pytest.approx(sum(text == "an ear" for text in first[1:]) / 3)


def test_wrong_unparsable_and_cut_answers_are_counted_apart(tmp_path: Path) -> None:
    said = {"one": "B", "two": "A", "three": "Hm.", "four": "word " * 50}
    rows = [CHOICE | {"id": name, "question": f"Question {name}?"} for name in said]
    spec = toy(answer_format="plain", max_new_tokens=20)
    asked = [asked_suite(suite_of(tmp_path, rows), ["mcq_generated"])]
    found = run(
        tmp_path / "out", [asked_model(ByQuestion({f" {name}?": reply for name, reply in said.items()}), spec)], asked
    )
    outcomes = {name: prediction.outcome for name, prediction in stored(tmp_path / "out").items()}
    assert outcomes == {"one": "right", "two": "wrong", "three": "unparsable", "four": "cut off"}
    assert found
    shares = {name: estimate.value for name, estimate in found["mine"]["toy"].items()}
    assert shares == {
        "mcq_generated": 0.25, "mcq_wrong": 0.25, "mcq_unparsable": 0.25, "mcq_refused": 0.0, "mcq_cut_off": 0.25
    }  # fmt: skip


def test_a_raw_completion_ends_at_its_stop_and_nobody_knows_its_tokens(tmp_path: Path) -> None:
    suite = with_template(suite_of(tmp_path, [CHOICE]), "lm-eval-medmcqa")
    backend = ByQuestion({"": " B\nQuestion: another one"}, chunk_chars=3)
    run(tmp_path / "out", [asked_model(backend)], [asked_suite(suite, ["mcq_generated"])])
    found = stored(tmp_path / "out")["c1"]
    assert (found.raw, found.choice, found.finish_reason, found.completion_tokens) == (" B", "B", "stop", None)
    assert backend.requests[0].raw
    assert backend.prompts[0].endswith("\nAnswer:")


@pytest.mark.parametrize("chunk", [1, 2, 3, 50])
def test_a_stop_of_several_characters_is_found_however_it_is_cut(chunk: int) -> None:
    stopping = StoppingAt(ScriptedBackend(["one two</end> three"], chunk_chars=chunk), ["</end>", "</e2>"])
    events = list(stopping.generate([Request(())]))
    assert "".join(event.text for event in events if isinstance(event, Text)) == "one two"
    assert stopping.stopped
    whole = StoppingAt(ScriptedBackend(["one </en"], chunk_chars=chunk), ["</end>"])
    assert "".join(event.text for event in whole.generate([Request(())]) if isinstance(event, Text)) == "one </en"
    assert not whole.stopped


# Files


def test_files_hold_every_prediction_and_every_estimate(tmp_path: Path) -> None:
    suite = suite_of(tmp_path, [*ROWS, TOE | {"id": "again", "meta": {"condition": "gout"}}])
    run(
        tmp_path / "deep/out",
        [asked_model(ByQuestion({"toe": INVENTED, "smoke": UNSURE}))],
        [asked_suite(suite, DIAGNOSES)],
    )
    out = tmp_path / "deep" / "out"
    assert set(stored(out)) == {"toe", "car", "again"}
    summary = json.loads((out / "summary.json").read_text())["toy"]
    assert list(summary["exact"]) == ["value", "n", "n_unscored", "low", "high", "method"]
    # the car is right, both toes are wrong; one of the two findings cited for each toe is invented
    assert summary["exact"]["value"] == pytest.approx(1 / 3)
    assert (summary["exact_known"]["value"], summary["exact_unknown"]["value"]) == (0.0, 1.0)
    assert (summary["supported"]["value"], summary["supported"]["n"], summary["supported"]["n_unscored"]) == (0.5, 2, 1)
    assert summary["supported_unknown"]["value"] is None
    result = RunDir(out).result()
    assert result
    [row] = result["evaluations"]
    assert (row["model_id"], row["adapter_hash"], row["suite"], row["suite_hash"]) == (
        "toy",
        "abc",
        "mine",
        suite.digest,
    )
    assert (row["n"], row["summary"]["exact"]["n"]) == (3, 3)
    assert RunDir(out).state().status == "done"


def test_several_models_and_suites_go_into_one_run(tmp_path: Path) -> None:
    suites = [suite_of(tmp_path, ROWS[:1], "one"), suite_of(tmp_path, ROWS, "two")]
    models = [
        asked_model(ByQuestion({"toe": said, "smoke": UNSURE}), name=name)
        for name, said in (("a", GOUT), ("b", INVENTED))
    ]
    found = run(tmp_path / "out", models, [asked_suite(suite, DIAGNOSES) for suite in suites])
    assert found
    values = {(suite, model): of["exact"].value for suite, its in found.items() for model, of in its.items()}
    assert values == {("one", "a"): 1.0, ("one", "b"): 0.0, ("two", "a"): 1.0, ("two", "b"): 0.5}
    assert json.loads((tmp_path / "out/two/summary.json").read_text())["b"]["exact"]["n"] == 2
    assert len(list(read_predictions(tmp_path / "out"))) == 6
    assert [row["suite"] for row in (RunDir(tmp_path / "out").result() or {})["evaluations"]] == ["one", "two"] * 2


def test_the_table_shows_values_with_intervals_and_what_is_unscored(tmp_path: Path) -> None:
    backend = ByQuestion({"toe": "<SOLUTION>Gout</SOLUTION>"})
    found = run(tmp_path / "out", [asked_model(backend)], [asked_suite(suite_of(tmp_path, [TOE]), DIAGNOSES)])
    assert found
    lines = table(found["mine"]).splitlines()
    # Wilson, 1 of 1: low = 1 / (1 + 1.95996^2) = 0.207
    assert lines[1].split() == ["toy", "exact", "1.000", "0.207", "to", "1.000", "1", "0"]
    assert lines[4].split()[:6] == ["toy", "supported", "-", "-", "0", "1"]
    assert lines[4].endswith("1 (no finding cited, or outside the knowledge: 1)")


@pytest.mark.slow
def test_ten_thousand_items_take_no_more_memory_than_a_few(tmp_path: Path) -> None:
    path = tmp_path / "long.jsonl"
    with path.open("w") as lines:
        for number in range(10_000):
            lines.write(json.dumps({"id": str(number), "question": f"{number} toe", "answer": "gout"}) + "\n")
    suite = load_suite(str(path))

    def tasks(examples: Sequence[Example]) -> Iterator[Any]:
        for example in examples:
            yield partial(lambda e: [(e, Reply(Answer("gout " * 400, raw="gout " * 400)))], example)  # 4,000 characters

    model = AskedModel("toy", {"model_id": "toy"}, lambda _: {}, asking(tasks))
    tracemalloc.start()
    found = run(tmp_path / "out", [model], [asked_suite(suite, ["abstained"])])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found
    assert found["long"]["toy"]["abstained"].n == 10_000
    assert (tmp_path / "out/predictions.jsonl").stat().st_size > 40e6
    assert peak < 12e6


# Stopped, killed and gone on with


def test_a_model_that_breaks_down_ends_the_run_and_what_was_answered_is_not_asked_again(tmp_path: Path) -> None:
    asked = [asked_suite(suite_of(tmp_path, toes(12)), DIAGNOSES)]

    class Breaking(ByQuestion):
        def generate(self, requests: Sequence[Request]) -> Iterator[Text | Done]:
            if len(self.requests) >= 5:
                raise ModelUnavailable("The model is gone.")
            return super().generate(requests)

    with pytest.raises(ModelUnavailable):
        run(tmp_path / "out", [asked_model(Breaking({"": GOUT}), at_once=1)], asked)
    assert RunDir(tmp_path / "out").state().message == "The model is gone."
    assert len(stored(tmp_path / "out")) == 5
    rest = ByQuestion({"": GOUT})
    found = run(tmp_path / "out", [asked_model(rest)], asked, resume=True)
    assert len(rest.requests) == 7
    assert found
    assert found["mine"]["toy"]["exact"].n == 12
    assert len((tmp_path / "out/predictions.jsonl").read_text().splitlines()) == 12


def test_a_line_that_was_being_written_when_it_was_killed_is_asked_again(tmp_path: Path) -> None:
    asked = [asked_suite(suite_of(tmp_path, toes(6)), DIAGNOSES)]
    run(tmp_path / "whole", [asked_model(ByQuestion({"": GOUT}))], asked)
    lines = (tmp_path / "whole/predictions.jsonl").read_bytes().splitlines(keepends=True)
    (tmp_path / "out").mkdir()
    (tmp_path / "out/predictions.jsonl").write_bytes(b"".join(lines[:3]) + lines[3][:200])
    backend = ByQuestion({"": GOUT})
    found = run(tmp_path / "out", [asked_model(backend)], asked, resume=True)
    assert len(backend.requests) == 3
    timeless = [
        {name: {**vars_of(p), "ttft_ms": 0, "total_ms": 0} for name, p in stored(tmp_path / folder).items()}
        for folder in ("whole", "out")
    ]
    assert timeless[0] == timeless[1]
    assert found
    assert found["mine"]["toy"]["exact"].n == 6


def vars_of(prediction: Prediction) -> dict[str, Any]:
    return {name: getattr(prediction, name) for name in Prediction.__slots__}


def test_a_damaged_line_within_the_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "predictions.jsonl").write_text('{"id": "a"\n{}\n')
    with pytest.raises(InvalidInput, match=r"^predictions\.jsonl, line 1: this is no prediction"):
        list(read_predictions(tmp_path))


def test_a_run_that_is_asked_to_stop_ends_within_seconds_and_keeps_what_it_has(tmp_path: Path) -> None:
    asked = [asked_suite(suite_of(tmp_path, toes(40)), DIAGNOSES)]
    backend = ByQuestion({"Case": GOUT}, delay_s=0.05)  # six chunks an answer
    timer = threading.Timer(1.0, (tmp_path / "out/stop").touch)
    timer.start()
    began = time.monotonic()
    assert run(tmp_path / "out", [asked_model(backend, at_once=2)], asked) is None
    assert time.monotonic() - began < 4
    n_kept = len(stored(tmp_path / "out"))
    assert 0 < n_kept < 40
    state = RunDir(tmp_path / "out").state()
    assert (state.status, state.step) == ("stopped", n_kept)
    rest = ByQuestion({"": GOUT})
    assert run(tmp_path / "out", [asked_model(rest)], asked, resume=True)
    assert len(rest.requests) == 40 - n_kept


def test_progress_tells_how_far_it_is_and_how_long_it_will_take(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(tmp_path / "out", [asked_model(ByQuestion({"": GOUT}))], [asked_suite(suite_of(tmp_path, toes(6)), DIAGNOSES)])
    last = RunDir(tmp_path / "out").progress()[-1]
    assert (last["step"], last["stage"], last["answered"], last["of"], last["left_s"]) == (6, "toy on mine", 6, 6, 0.0)
    assert "toy on mine: 6 of 6 answered" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("now", "line"),
    [
        ({"seed": 1, "suites": [{"name": "a", "n": 3}]}, "its seed was 0 and is 1 now"),
        ({"seed": 0, "suites": [{"name": "a", "n": 4}]}, "its suites 1 n was 3 and is 4 now"),
        ({"seed": 0, "suites": []}, "its suites was"),
    ],
)
def test_a_run_is_not_gone_on_with_under_other_settings(now: dict[str, Any], line: str) -> None:
    before = {"seed": 0, "suites": [{"name": "a", "n": 3}], "name": "x"}
    require_same(before | {"name": "y"}, before, ("seed", "suites"))
    with pytest.raises(InvalidInput) as raised:
        require_same(now, before, ("seed", "suites"))
    assert line in str(raised.value)
