"""Suites: read from files and folders in constant memory, with clear faults; templates and what they ask."""

import json
import tracemalloc
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from metric_tools import NO_TOOLS

from evaluation.hub_rows import kept_rows
from evaluation.metric_table import METRICS
from evaluation.metrics import Answer
from evaluation.suite_files import FileHub, read_suite_file
from evaluation.suites import (
    SUITES,
    groups_of,
    load_suite,
    question_text,
    suite_metrics,
    suite_names,
    suites,
    with_template,
)
from evaluation.templates import TEMPLATES, choice_texts, fill
from medchat.errors import DownloadFailed, InvalidInput, NotFound
from medchat.records import Example

TOE: dict[str, Any] = {"id": "toe", "kind": "diagnosis", "question": "A red toe. What is it?", "answer": "gout"}
CAR: dict[str, Any] = TOE | {"id": "car", "question": "Blue smoke. What is it?", "answer": "outside my knowledge"}
PICK: dict[str, Any] = {
    "id": "pick", "kind": "mcq", "question": "Which joint?", "answer": "B", "options": {"A": "Knee", "B": "Toe"}
}  # fmt: skip
BUNDLED = [info.name for info in suites() if info.family == "bundled"]
OWN = """
name: mine
title: Mine
about: Questions of our ward.
family: own
licence: private
examples: mine.jsonl
template: reasoning
sampling: {max_new_tokens: 64, temperature: 0.5}
metrics: [exact]
references:
  - {metric: exact, value: 80 %, who: our ward, note: target}
pass_line: {metric: exact, share: 0.6}
groups: [kind, knowledge, ward]
"""


def suite_file(folder: Path, rows: Sequence[dict[str, Any]], name: str = "mine.jsonl") -> str:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(map(json.dumps, rows)) + "\n")
    return str(path)


# Files of Examples


def test_a_suite_is_read_in_its_order_and_cut_at_the_limit(tmp_path: Path) -> None:
    name = suite_file(tmp_path, [TOE, CAR])
    suite = load_suite(name)
    assert [example.id for example in suite.examples] == ["toe", "car"]
    assert [example.id for example in suite.examples] == ["toe", "car"]  # and again
    assert (suite.name, suite.family, suite.n, len(suite.examples)) == ("mine", "own", 2, 2)
    assert [example.id for example in load_suite(name, limit=1).examples] == ["toe"]


def test_blank_lines_and_a_byte_order_mark_are_no_fault(tmp_path: Path) -> None:
    path = tmp_path / "mine.jsonl"
    path.write_bytes(b"\xef\xbb\xbf" + json.dumps(TOE).encode() + b"\r\n\r\n" + json.dumps(CAR).encode())
    assert load_suite(str(path)).n == 2


def test_an_example_without_an_id_gets_that_of_its_question(tmp_path: Path) -> None:
    name = suite_file(tmp_path, [{"question": "Q?", "answer": "A"}])
    assert [example.id for example in load_suite(name).examples] == [Example("Q?", "A").question_id]


@pytest.mark.parametrize(
    ("second_line", "fault"),
    [
        ('{"question": "Q?"', "not JSON"),
        ("[1]", "expected a JSON object"),
        ("[" * 100_000, "not JSON (nested too deep)"),
        ("9" * 5000, "not JSON (a number has too many digits)"),
        ('{"question": "Q?", "answer": "5", "tolerance": "5 %"}', "'tolerance' is no share"),
        ('{"question": "Q?"}', "'answer' is missing"),
        ('{"question": " ", "answer": "A"}', "'question' is missing"),
        ('{"question": "Q?", "answer": "A", "anwser": "B"}', "unknown field 'anwser'"),
        ('{"question": "Q?", "answer": "A", "meta": ["x"]}', "'meta' is not an object"),
        ('{"question": "Q?", "answer": "A", "id": "toe"}', "the id 'toe' is already in line 1"),
        (json.dumps(PICK | {"answer": "C"}), "the answer 'C' is none of the letters A, B"),
        (json.dumps(PICK | {"options": {"B": "Toe", "A": "Knee"}}), "the options stand in the order B, A"),
        (json.dumps(PICK | {"options": {"A": "Knee", "C": "Toe"}}), "the options are A, C; they must be lettered"),
        (json.dumps(PICK | {"options": {"A": "Knee", "B": " "}}), "an option is empty"),
        (json.dumps(PICK | {"options": None}), "a multiple-choice question needs 'options'"),
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
    with pytest.raises(InvalidInput, match=r"^mine\.jsonl, line 1: this is not UTF-8 text; save"):
        load_suite(str(path))


def test_the_line_that_is_not_utf_8_is_named(tmp_path: Path) -> None:
    path = tmp_path / "mine.jsonl"
    path.write_bytes(json.dumps(TOE).encode() + b"\n" + json.dumps(CAR).encode() + b"\n\xe9\n")
    with pytest.raises(InvalidInput, match=r"^mine\.jsonl, line 3: this is not UTF-8 text"):
        load_suite(str(path))


def test_a_file_of_another_form_is_refused_by_its_name(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("Why?\n")
    with pytest.raises(InvalidInput, match=r"^mine\.txt is neither a \.jsonl nor a \.csv file"):
        load_suite(str(tmp_path / "mine.txt"))


def test_a_table_whose_encoding_was_guessed_says_so(tmp_path: Path) -> None:
    path = tmp_path / "ward.csv"
    path.write_bytes("question,answer\nHat sie Fieber M\u00e4dchen?,ja\n".encode("latin-1"))
    assert "not in UTF-8 and was read as Windows-1252" in load_suite(str(path)).notes[-1]


def test_each_kind_of_a_mixed_file_is_scored_by_its_own_metrics(tmp_path: Path) -> None:
    rows = [PICK, {"id": "sum", "kind": "calc", "question": "In mg?", "answer": "5", "unit": "mg"},
            {"id": "why", "question": "Why?", "answer": "Because."}]  # fmt: skip
    suite = load_suite(suite_file(tmp_path, rows))
    assert {"mcq_generated", "calc_correct", "rouge_l", "exact", "abstained"} <= set(suite.metrics)
    assert "diagnosis" not in suite.metrics
    plain = replace(suite, metrics=("mcq_generated", "calc_correct", "exact", "abstained"))
    found = suite_metrics(plain, NO_TOOLS)
    scores = {
        name: metric(list(suite.examples), [Answer("B"), Answer("5 mg"), Answer("Because.")])
        for name, metric in found.items()
    }
    assert scores == {
        "mcq_generated": [1.0, None, None],
        "calc_correct": [None, 1.0, None],
        "exact": [None, None, 1.0],
        "abstained": [0.0, 0.0, 0.0],
    }


def test_a_suite_without_examples_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"^mine\.jsonl has no examples"):
        load_suite(suite_file(tmp_path, []))


def test_an_unknown_suite_is_answered_with_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=r"no suite 'handwriten'\. Did you mean 'handwritten'\? Name a .*medmcqa"):
        load_suite("handwriten")
    with pytest.raises(NotFound, match="no file"):
        load_suite(str(tmp_path / "none.jsonl"))


def test_cases_of_a_spreadsheet_are_a_suite_too(tmp_path: Path) -> None:
    path = tmp_path / "ward.csv"
    path.write_text("question,answer\nA red toe. What is it?,gout\nBlue smoke?,\n")
    suite = load_suite(str(path))
    assert [example.answer for example in suite.examples] == ["gout", None]
    assert suite.notes == ("1 of 2 have no reference: only what needs none is scored.",)


def test_ten_thousand_items_take_the_memory_of_a_few(tmp_path: Path) -> None:
    # 10,000 cases of 2,000 characters are 20 MB of text
    rows = [{"id": f"id-{n}", "question": f"{n} " + "x" * 2000, "answer": "a"} for n in range(10_000)]
    name = suite_file(tmp_path, rows)
    del rows
    tracemalloc.start()
    suite = load_suite(name)
    assert sum(1 for _ in suite.examples) == 10_000
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 4_000_000


def test_an_item_of_50_000_characters_goes_through(tmp_path: Path) -> None:
    long = "word " * 10_000
    [example] = load_suite(suite_file(tmp_path, [TOE | {"context": long}])).examples
    assert example.context == long


def test_a_file_that_shrinks_while_it_is_used_is_noticed(tmp_path: Path) -> None:
    suite = load_suite(suite_file(tmp_path, [TOE, CAR]))
    suite_file(tmp_path, [TOE])
    with pytest.raises(InvalidInput, match="changed while it was in use"):
        list(suite.examples)


def test_the_digest_tells_other_examples_and_other_prompts_apart(tmp_path: Path) -> None:
    name = suite_file(tmp_path, [TOE, CAR])
    suite = load_suite(name)
    same = load_suite(suite_file(tmp_path / "copy", [TOE, CAR]))
    changed = load_suite(suite_file(tmp_path / "other", [TOE, CAR | {"answer": "gout"}]))
    digests = {suite.digest, changed.digest, load_suite(name, limit=1).digest, with_template(suite, "reasoning").digest}
    assert same.digest == suite.digest
    assert len(digests) == 4


# Suite files


def test_a_suite_of_the_users_own_is_found_in_the_data_folder(tmp_path: Path) -> None:
    suite_file(tmp_path / "suites", [TOE | {"meta": {"condition": None, "ward": 7}}])
    (tmp_path / "suites" / "mine.yaml").write_text(OWN)
    suite = load_suite("mine", data_dir=tmp_path)
    assert (suite.title, suite.family, suite.licence, suite.n) == ("Mine", "own", "private", 1)
    assert suite.sampling is not None
    assert (suite.sampling.max_new_tokens, suite.sampling.temperature, suite.sampling.top_p) == (64, 0.5, 1.0)
    assert (suite.references[0].value, suite.references[0].who) == ("80 %", "our ward")
    # the lower end of the interval decides
    assert (suite.passed(0.6), suite.passed(0.59), suite.passed(None)) == (True, False, None)
    [example] = suite.examples
    assert groups_of(suite, example) == {"kind": "diagnosis", "knowledge": "unknown", "ward": "7"}
    info = next(info for info in suites(data_dir=tmp_path) if info.name == "mine")
    assert (info.family, info.n, info.missing) == ("own", 1, "")


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("title: Mine", "titel: Mine", r"^mine\.yaml:\d+: (titel: a suite has no such field|title: this is missing)"),
        ("name: mine", "name: ours", r"^mine\.yaml:2: the name 'ours' is not that of the file"),
        ("template: reasoning", "template: resoning", r"^mine\.yaml:8: unknown template 'resoning'; choose one of"),
        ("temperature: 0.5", "temperature: 5", r"^mine\.yaml:9: temperature is 5; it goes from 0 to 2"),
        ("metric: exact, share: 0.6", "metric: exakt, share: 0.6", r"^mine\.yaml:13: the suite has no metric 'exakt'"),
        ("share: 0.6", "share: 60", r"^mine\.yaml:13: pass_line\.share: input should be less than 1"),
        ("examples: mine.jsonl", "benchmark: medmcq", r"^mine\.yaml:7: unknown benchmark 'medmcq'"),
        ("examples: mine.jsonl\n", "", r"^mine\.yaml:2: a suite has either 'examples'"),
        ("[exact]", "exact", r"^mine\.yaml:10: metrics: input should be a valid list"),
    ],
)
def test_a_faulty_suite_file_is_named_with_its_line(tmp_path: Path, old: str, new: str, fault: str) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(OWN.replace(old, new, 1))
    with pytest.raises(InvalidInput, match=fault):
        read_suite_file(path)


def test_a_faulty_suite_of_the_user_does_not_hide_the_others(tmp_path: Path) -> None:
    (tmp_path / "suites").mkdir()
    (tmp_path / "suites" / "mine.yaml").write_text("name: mine\n")
    infos = {info.name: info for info in suites(data_dir=tmp_path)}
    assert infos["mine"].missing.startswith("mine.yaml:")
    assert infos["handwritten"].missing == ""


@pytest.mark.parametrize("name", BUNDLED)
def test_every_suite_that_comes_with_it_can_be_read(name: str) -> None:
    suite = load_suite(name)
    assert all(example.answer for example in suite.examples)
    assert suite.notes == ()


@pytest.mark.parametrize("name", suite_names())
def test_every_suite_asks_for_metrics_that_there_are(name: str) -> None:
    file = read_suite_file(SUITES / f"{name}.yaml")
    assert set(file.metrics) <= set(METRICS)
    people = {"human_rating"}  # a figure of the ratings, which no program gives
    assert {reference.metric for reference in file.references} <= set(METRICS) | people


def test_figures_without_a_source_say_so() -> None:
    medqa, medmcqa, medquad = (read_suite_file(SUITES / f"{name}.yaml") for name in ("medqa", "medmcqa", "medquad"))
    assert [(r.value, r.note) for r in medmcqa.references] == [("about 90 %", "GPT-4"), ("80-85 %", "target")]
    assert [(r.value, r.note) for r in medqa.references] == [("85 %", "GPT-4"), ("70 %", "target")]
    assert medqa.pass_line is not None
    assert medqa.pass_line.share == 0.6
    everything = [r for name in suite_names() for r in read_suite_file(SUITES / f"{name}.yaml").references]
    assert {r.who for r in everything} == {"the seed, unsourced"}
    # a threshold for BERTScore holds for roberta-large without rescaling alone
    assert {r.metric for r in everything if "bertscore" in r.metric} == {"bertscore_f1_roberta"}
    assert [r.value for r in medquad.references if r.metric == "key_term_f1"] == ["> 0.9"]


# Benchmarks


def test_a_benchmark_without_its_files_says_how_to_get_them(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=r"MedMCQA does not come .* medmcqa=PATH, .* suites/medmcqa .* medmcqa=hub\.$"):
        load_suite("medmcqa", data_dir=tmp_path)
    info = next(info for info in suites(data_dir=tmp_path) if info.name == "medmcqa")
    assert info.on_hub
    assert info.missing.startswith("Get its files from https://")


def test_a_benchmark_is_read_from_a_path_or_out_of_the_data_folder(tmp_path: Path) -> None:
    row = {"question": "Why?", "options": {"A": "x", "B": "y"}, "answer": "y", "answer_idx": "B"}
    path = suite_file(tmp_path / "suites" / "medqa", [row], "test.jsonl")
    by_path, by_folder = load_suite(f"medqa={path}"), load_suite("medqa", data_dir=tmp_path)
    assert by_path.digest == by_folder.digest
    assert (by_path.name, by_path.family, by_path.pass_line) == ("medqa", "benchmark", ("mcq_generated", 0.6))


def test_rows_that_give_no_example_are_counted_and_told(tmp_path: Path) -> None:
    good = {"question": "Why?", "options": {"A": "x", "B": "y"}, "answer": "y", "answer_idx": "B"}
    rows = [good, good | {"answer_idx": "E"}, good, good | {"question": "How?", "answer": "x"}]
    suite = load_suite(f"medqa={suite_file(tmp_path, rows)}")
    assert suite.n == 1
    assert dict(suite.skipped) == {
        "the key is none of the options": 1,
        "a row that was there before": 1,
        "the key and the answer's text do not agree": 1,
    }
    assert "1 left out: the key is none of the options (mine.jsonl, line 2)." in suite.notes


def test_a_file_of_another_benchmark_is_refused_with_the_reasons(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"^No example for medqa could be read\. 2 left out: .* no field options"):
        load_suite(f"medqa={suite_file(tmp_path, [TOE, CAR])}")
    with pytest.raises(InvalidInput, match=r"2 left out: it has no field opa, opb, opc, opd"):
        load_suite(f"medmcqa={suite_file(tmp_path, [TOE, CAR])}")
    (tmp_path / "empty.json").write_text("{}")
    with pytest.raises(InvalidInput, match=r"^No example for pubmedqa could be read\. There is nothing in its file"):
        load_suite(f"pubmedqa={tmp_path / 'empty.json'}")
    with pytest.raises(NotFound, match="no file or folder"):
        load_suite("medqa=nowhere")
    with pytest.raises(InvalidInput, match="has its own examples"):
        load_suite(f"handwritten={tmp_path}")


class FakeHub:
    """Stands for datasets.load_dataset: gives the rows of each configuration, and remembers what was asked for."""

    def __init__(self, rows: dict[str | None, list[dict[str, Any]]]) -> None:
        self._rows = rows
        self.asked: list[tuple[str, str | None, str, bool]] = []

    def __call__(self, repo: str, config: str | None, *, split: str, streaming: bool, **_: Any) -> Any:
        self.asked.append((repo, config, split, streaming))
        return iter(self._rows[config])


def test_rows_of_the_hub_are_streamed_once_and_kept(tmp_path: Path) -> None:
    choices = {"question": "Which?", "choices": ["a", "b", "c", "d"], "answer": 3}
    fake = FakeHub({"anatomy": [choices | {"subject": "anatomy"}], "virology": [choices | {"subject": "virology"}]})
    hub = FileHub(repo="some/mmlu", split="test", configs=["anatomy", "virology"])
    path = kept_rows("mmlu_medical", hub, tmp_path / "cache", None, fake)
    assert fake.asked == [("some/mmlu", "anatomy", "test", True), ("some/mmlu", "virology", "test", True)]
    suite = load_suite(f"mmlu_medical={path}")
    assert [(example.answer, example.accepted) for example in suite.examples] == [("D", ("d",))]
    assert sum(suite.skipped.values()) == 1  # virology is none of the six
    assert kept_rows("mmlu_medical", hub, tmp_path / "cache", 1, FakeHub({})) == path  # nothing is fetched again


def test_the_hubs_own_count_of_the_key_travels_with_its_rows(tmp_path: Path) -> None:
    row = {"question": "Which?", "opa": "a", "opb": "b", "opc": "c", "opd": "d", "cop": 2, "id": "x", "exp": None}
    hub = FileHub(repo="some/medmcqa", split="validation", add={"cop_base": 0})
    path = kept_rows("medmcqa", hub, tmp_path, 5, FakeHub({None: [row]}))
    assert path.name == "medmcqa-validation-first-5.jsonl"
    assert [example.answer for example in load_suite(f"medmcqa={path}").examples] == ["C"]


@pytest.mark.slow
def test_rows_come_through_the_real_library_as_they_would_from_the_hub(tmp_path: Path) -> None:
    from datasets import load_dataset

    source = suite_file(tmp_path, [{"input_text": "My toe is red.", "output_text": "gout"}])

    def local(repo: str, config: str | None, *, split: str, streaming: bool, **_: Any) -> Any:
        return load_dataset(
            "json", data_files={split: source}, split=split, streaming=streaming, cache_dir=str(tmp_path / "hf")
        )

    hub = FileHub(repo="some/symptoms", split="test")
    [example] = load_suite(f"symptom2disease={kept_rows('symptom2disease', hub, tmp_path, None, local)}").examples
    assert (example.question, example.answer) == ("My toe is red.", "gout")


def test_a_hub_that_cannot_be_reached_is_one_line_and_leaves_nothing(tmp_path: Path) -> None:
    def unreachable(*_: Any, **__: Any) -> Any:
        raise ConnectionError("no route\nto host")

    with pytest.raises(DownloadFailed, match=r"^some/x could not be read from the Hub \(ConnectionError: no route to"):
        kept_rows("x", FileHub(repo="some/x", split="test"), tmp_path, None, unreachable)
    assert not list(tmp_path.glob("*.jsonl"))


# Templates


def test_options_are_shown_and_an_example_without_any_is_asked_plainly(tmp_path: Path) -> None:
    suite = load_suite(suite_file(tmp_path, [TOE, PICK | {"context": "A {question} of feet."}]))
    toe, pick = suite.examples
    assert question_text(suite, toe) == ("A red toe. What is it?", "")
    assert question_text(suite, pick) == (
        "Which joint?\n\nOptions:\nA. Knee\nB. Toe\n\nThe correct option is:",
        "A {question} of feet.",
    )
    assert choice_texts(suite.template, pick) == {"A": "A", "B": "B"}
    assert choice_texts(suite.template, toe) == {}


@pytest.mark.parametrize(
    ("template", "prompt"),
    [
        ("lm-eval-medmcqa", "Question: Which joint?\nChoices:\nA. Knee\nB. Toe\nAnswer:"),
        ("lm-eval-medqa", "Question: Which joint?\nA. Knee\nB. Toe\nAnswer:"),
        ("lm-eval-pubmedqa", "Abstract: Feet.\nQuestion: Which joint?\nAnswer:"),
        (
            "lm-eval-mmlu",
            "The following are multiple choice questions (with answers) about college medicine.\n\n"
            "Which joint?\nA. Knee\nB. Toe\nAnswer:",
        ),
    ],
)
def test_prompts_of_the_harness_are_raw_and_to_the_letter(tmp_path: Path, template: str, prompt: str) -> None:
    context = "Feet." if "pubmed" in template else ""
    row = PICK | {"meta": {"subject": "college_medicine"}, "context": context}
    suite = with_template(load_suite(suite_file(tmp_path, [row])), template)
    [example] = suite.examples
    assert question_text(suite, example) == (prompt, "")
    assert suite.template.raw
    scored = {"A": " Knee", "B": " Toe"} if "pubmed" in template else {"A": " A", "B": " B"}
    assert choice_texts(suite.template, example) == scored


def test_a_raw_prompt_keeps_a_context_for_which_it_has_no_place() -> None:
    example = Example("Which?", "A", kind="mcq", options={"A": "x", "B": "y"}, context="A case.")
    assert fill(TEMPLATES["lm-eval-medqa"], example) == ("A case.\n\nQuestion: Which?\nA. x\nB. y\nAnswer:", "")


def test_an_unknown_template_is_answered_with_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=r"no template 'lm-eval'; choose one of: plain"):
        with_template(load_suite(suite_file(tmp_path, [TOE])), "lm-eval")
