"""Prompt templates travel: the row that is trained on, a question of an evaluation and one of the chat are one text."""

import csv
import io
import json
from dataclasses import replace
from pathlib import Path
from threading import Event
from types import SimpleNamespace
from typing import Any, cast

import pytest
from scripted_models import GROUNDER, ByQuestion
from tiny_hf import write_random_model
from tiny_models import CHAT_TEMPLATE
from tiny_training import run_recipe, stage, write_data, write_recipe, write_rows

from evaluation.asking import Asker, FittedGrounding
from evaluation.templates import TEMPLATES as SUITE_TEMPLATES
from medchat.errors import InvalidInput
from medchat.formats import parse
from medchat.live import LiveAnswer, Turn, write_answer
from medchat.models_file import ModelSpec, parse_models, row_of, unknown_model
from medchat.prompts import answer_request, as_answer, build_messages
from medchat.records import Example, Request, Sampling
from medchat.rundir import RunDir
from medchat.turns import TurnView
from train.completions import Encoder
from train.recipe_schema import Recipe
from train.recipes import load_recipe
from train.row_formats import writer
from train.templates import TEMPLATES, Chosen, chosen_of, has_chat_template, prompted, question_of

FREE = Example("What is it?", "Gout", context="Man, 60, red toe.", rationale="1. Red toe.")
ALONE = replace(FREE, context="")
CHOICE = Example("Which joint?", "B", kind="mcq", options={"A": "Hip", "B": "Toe"})
ANSWER = " 1. Red toe.\n\nFinal Answer: Gout<|end|>"
# What is trained on, to the byte; <|end|> is how the tiny base ends a text, and its chat template a turn.
GOLDEN = {
    ("instruction", "chat", "free"): "Question: What is it?\nContext: Man, 60, red toe.\nAnswer:" + ANSWER,
    ("instruction", "chat", "alone"): "Question: What is it?\nAnswer:" + ANSWER,
    ("instruction", "none", "free"): "Question: What is it?\nContext: Man, 60, red toe.\nAnswer:" + ANSWER,
    ("instruction", "none", "alone"): "Question: What is it?\nAnswer:" + ANSWER,
    ("instruction", "none", "choice"): (
        "Question: Which joint?\n\nOptions:\nA. Hip\nB. Toe\n\nThe correct option is:\nAnswer: Final Answer: B<|end|>"
    ),
    ("role", "chat", "free"): (
        "<|start|>user\nPatient: Man, 60, red toe.\n\nWhat is it?<|end|>\n<|start|>assistant\nDoctor:" + ANSWER
    ),
    ("role", "chat", "alone"): "<|start|>user\nPatient: What is it?<|end|>\n<|start|>assistant\nDoctor:" + ANSWER,
    ("role", "chat", "choice"): (
        "<|start|>user\nPatient: Which joint?\n\nOptions:\nA. Hip\nB. Toe\n\nThe correct option is:<|end|>\n"
        "<|start|>assistant\nDoctor: Final Answer: B<|end|>"
    ),
    ("role", "none", "free"): (
        "<|user|> Patient: Man, 60, red toe.\n\nWhat is it?<|end|>\n<|assistant|> Doctor:" + ANSWER
    ),
    ("role", "none", "alone"): "<|user|> Patient: What is it?<|end|>\n<|assistant|> Doctor:" + ANSWER,
}
EXAMPLES = {"free": FREE, "alone": ALONE, "choice": CHOICE}


@pytest.fixture(scope="module")
def bases(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A base with a chat template and one without."""
    folder = tmp_path_factory.mktemp("bases")
    return {
        name: write_random_model(folder / name, template=template)
        for name, template in (("chat", CHAT_TEMPLATE), ("none", None))
    }


def recipe(**changes: Any) -> Recipe:
    return load_recipe("demo-sft").model_copy(update=changes)


def base_spec(folder: Path) -> ModelSpec:
    return replace(unknown_model("transformers"), id="trained", name="Trained", path=folder)


def travelled(spec: ModelSpec) -> ModelSpec:
    """The spec after it was written to the catalogue and read again, as a trained model's is."""
    [read] = parse_models({"models": [row_of(spec)]}, "models.yaml", Path(), own=True).values()
    return read


def chat_request(spec: ModelSpec, example: Example) -> Request:
    """What the chat asks of a backend."""
    question, context = question_of(example)
    backend = ByQuestion({"": "Gout"})
    live = LiveAnswer(TurnView("", 0, question, context, spec.id), spec.answer_format)
    for _ in write_answer(live, Turn(spec, Sampling(), question, context), backend, FittedGrounding(GROUNDER), 0):
        pass
    return backend.requests[0]


def evaluation_request(spec: ModelSpec, example: Example) -> Request:
    """What an evaluation asks of a backend."""
    backend = ByQuestion({"": "Gout"})
    suite: Any = SimpleNamespace(template=SUITE_TEMPLATES["plain"], sampling=None, shuffles=0)
    asker = Asker(spec, cast(Any, backend), GROUNDER, suite, ("exact",), 0, 1, 0, Event())
    for task in asker.tasks([replace(example, id="1")]):
        task()
    return backend.requests[0]


@pytest.mark.parametrize(("template", "base", "row"), GOLDEN)
def test_training_evaluation_and_chat_render_the_same_bytes(
    bases: dict[str, Path], template: str, base: str, row: str
) -> None:
    folder, example = bases[base], EXAMPLES[row]
    report = {"template": template, "answer_format": "final-answer"}
    spec = prompted(base_spec(folder), recipe(), report, folder).spec
    encoder = Encoder(spec, folder, None)
    messages = encoder.messages(*question_of(example))
    prompt = encoder.prompt(messages, 4096) or []
    answer = encoder.answer(messages, prompt, example.rationale, example.answer or "")

    assert encoder.tokens.decode([*prompt, *answer]) == GOLDEN[template, base, row]
    for request in (chat_request(travelled(spec), example), evaluation_request(travelled(spec), example)):
        asked = encoder.tokens.prompt(request.messages, request.prefill, request.raw, 4096, {})
        assert asked == prompt


def test_a_cut_answer_goes_on_behind_the_start_of_the_turn() -> None:
    spec = replace(unknown_model("scripted"), case_form="Patient: {case}", answer_start="Doctor:")
    messages = build_messages(spec, "What is it?")

    assert answer_request(spec, messages, Sampling(), " 1. Red").prefill == "Doctor: 1. Red"
    assert as_answer(answer_request(spec, messages, Sampling()), "Gout") == " Gout"


def test_earlier_turns_are_told_in_the_same_roles() -> None:
    spec = replace(unknown_model("scripted"), case_form="Patient: {case}", answer_start="Doctor:")

    said = [message.content for message in build_messages(spec, "And now?", history=[("A rash {case}.", "Measles")])]

    assert said == ["Patient: A rash {case}.", "Doctor: Measles", "Patient: And now?"]


def test_what_was_recognised_is_told_after_the_patient_s_words() -> None:
    spec = replace(unknown_model("scripted"), case_form="Patient: {case}", grounded=True)

    assert build_messages(spec, "Fever?", grounding_text="Recognised: fever.")[0].content == (
        "Patient: Fever?\n\nRecognised: fever."
    )


def test_options_are_compared_as_they_were_trained_behind_a_word() -> None:
    spec = replace(unknown_model("scripted"), id="m", prompt="Question: {question}\nAnswer:")
    backend = ByQuestion({}, {" A": -1.0, " B": -0.5})
    suite: Any = SimpleNamespace(template=SUITE_TEMPLATES["choice"], sampling=None, shuffles=0)
    asker = Asker(spec, cast(Any, backend), GROUNDER, suite, ("mcq_loglikelihood",), 0, 1, 0, Event())
    [task] = asker.tasks([replace(CHOICE, id="1")])

    [(_, reply)] = task()

    assert [list(options) for _, options in backend.compared] == [[" A", " B"]]
    assert reply.choice == "B"


# What the data names, and what the recipe does


def test_the_recipe_s_own_prompt_is_kept_to_the_letter_where_the_data_says_recipe(bases: dict[str, Path]) -> None:
    own = replace(base_spec(bases["chat"]), prompt="Ask: {question}\n", answer_format="diagnosis")

    for report in ({}, {"template": "recipe", "answer_format": "recipe"}, {"template": "", "answer_format": None}):
        found = prompted(own, recipe(prompt="Ask: {question}\n"), report, bases["chat"])
        assert (found.spec, found.note) == (own, "")


def test_a_template_takes_the_place_of_the_recipe_s_prompt_and_one_line_says_so(bases: dict[str, Path]) -> None:
    own = replace(base_spec(bases["chat"]), prompt="Ask: {question}\n", answer_format="think")
    of_recipe = recipe(prompt="Ask: {question}\n", answer_format="think")

    found = prompted(own, of_recipe, {"template": "role", "answer_format": "final-answer"}, bases["chat"])

    assert (found.spec.prompt, found.spec.case_form, found.spec.answer_start) == ("", "Patient: {case}", "Doctor:")
    assert found.spec.answer_format == "final-answer"
    assert found.note == (
        "The data was prepared for template B (role), answers in the format final-answer. The recipe names its own"
        " prompt and answer format think: not used."
    )


def test_a_system_prompt_stays_in_a_talk_and_goes_where_there_is_no_chat(bases: dict[str, Path]) -> None:
    of_recipe = recipe(system_prompt="Reason.")
    own = replace(base_spec(bases["chat"]), system_prompt="Reason.")

    talk = prompted(own, of_recipe, {"template": "role"}, bases["chat"])
    text = prompted(own, of_recipe, {"template": "instruction"}, bases["chat"])

    assert (talk.spec.system_prompt, talk.note.count("not used")) == ("Reason.", 0)
    assert (text.spec.system_prompt, "names its own system prompt: not used" in text.note) == ("", True)


def test_an_answer_format_alone_leaves_the_prompt_as_it_was(bases: dict[str, Path]) -> None:
    own = replace(base_spec(bases["chat"]), system_prompt="Reason.")

    found = prompted(own, recipe(), {"answer_format": "huatuo"}, bases["chat"])

    assert found.spec == replace(own, answer_format="huatuo")
    assert found.note == "The data was prepared for answers in the format huatuo."


@pytest.mark.parametrize("report", [{"template": "chatml"}, {"answer_format": "xml"}])
def test_a_name_that_nobody_knows_is_said(report: dict[str, str]) -> None:
    with pytest.raises(InvalidInput, match=r"no (prompt template 'chatml'|answer format 'xml'); choose recipe"):
        chosen_of(report)


def test_a_chat_template_is_found_in_either_of_its_files(tmp_path: Path, bases: dict[str, Path]) -> None:
    assert has_chat_template(bases["chat"])
    assert not has_chat_template(bases["none"])
    (tmp_path / "tokenizer_config.json").write_text('{"chat_template": "{{ messages }}"}')
    assert has_chat_template(tmp_path)


@pytest.mark.slow
def test_a_run_says_what_its_data_was_prepared_for_and_its_model_keeps_it(
    bases: dict[str, Path], tmp_path: Path
) -> None:
    data = write_data(tmp_path / "data")
    report = {"kind": "prepared", "template": "role", "answer_format": "final-answer"}
    (data / "report.json").write_text(json.dumps(report))
    said: list[str] = []
    file = write_recipe(tmp_path / "r.yaml", bases["chat"], data, [stage("sft", max_steps=2, eval_steps=0)])

    result = run_recipe(file, tmp_path / "run", said=said)

    assert result
    line = (
        "The data was prepared for template B (role), answers in the format final-answer. The recipe names its own"
        " answer format think: not used."
    )
    assert line in said
    row = result["model"]
    assert (row["case_form"], row["answer_start"], row["answer_format"]) == (
        "Patient: {case}",
        "Doctor:",
        "final-answer",
    )
    config = RunDir(tmp_path / "run").config()["prompt"]
    assert (config["template"], config["note"], config["answer_start"]) == ("role", line, "Doctor:")
    assert line in (tmp_path / "run" / "artifacts" / "0-sft" / "README.md").read_text()
    (data / "report.json").write_text(json.dumps(report | {"template": "instruction"}))
    with pytest.raises(InvalidInput, match=r"prompt\.template differs"):
        run_recipe(file, tmp_path / "run", resume=True)


# Files of rows


def test_text_pairs_are_the_prompt_and_the_answer_of_a_base_without_a_chat() -> None:
    said = [writer("text", name, "final-answer").encode(FREE).decode() for name in TEMPLATES]

    assert said == [
        "Question: What is it?\nContext: Man, 60, red toe.\nAnswer: 1. Red toe.\n\nFinal Answer: Gout\n<|endoftext|>\n",
        "<|user|> Patient: Man, 60, red toe.\n\nWhat is it?<|end|>\n<|assistant|> Doctor: 1. Red toe.\n\n"
        "Final Answer: Gout<|end|>\n",
    ]


def test_every_answer_format_stands_in_text_pairs_as_its_parser_reads_it() -> None:
    for name in ("gemma-grpo", "think-response", "think", "final-answer", "huatuo", "medgemma-thought", "harmony"):
        text = writer("text", "instruction", name).encode(ALONE).decode()
        answer = text.removeprefix("Question: What is it?\nAnswer:").removesuffix("\n<|endoftext|>\n")
        parsed = parse(name, answer)
        assert (parsed.reasoning, parsed.solution) == ("1. Red toe.", "Gout")


def test_a_csv_file_gives_the_rows_back_with_the_prompt_that_was_chosen() -> None:
    form = writer("csv", "instruction", "plain")

    rows = list(
        csv.DictReader(io.StringIO((form.header + form.encode(FREE) + form.encode(CHOICE)).decode(), newline=""))
    )

    assert [(row["question"], row["context"], row["answer"], row["rationale"]) for row in rows] == [
        ("What is it?", "Man, 60, red toe.", "Gout", "1. Red toe."),
        ("Which joint?", "", "B", ""),
    ]
    assert rows[0]["prompt"] + rows[0]["completion"] == (
        "Question: What is it?\nContext: Man, 60, red toe.\nAnswer: Gout"
    )
    assert json.loads(rows[1]["options"]) == {"A": "Hip", "B": "Toe"}
    assert writer("csv").header == b"id,context,question,answer,rationale,kind,options,source,licence,split\n"


def test_jsonl_holds_the_whole_row_whatever_is_chosen(tmp_path: Path) -> None:
    form = writer("jsonl", "role", "think")

    assert Example.from_json(form.encode(CHOICE).decode()) == replace(CHOICE, accepted=[], key_terms=[])
    assert (form.suffix, form.header) == (".jsonl", b"")


def test_text_pairs_want_a_template() -> None:
    with pytest.raises(InvalidInput, match="add --template instruction or --template role"):
        writer("text")
    with pytest.raises(InvalidInput, match="no format 'xml' for rows"):
        writer("xml")
    assert Chosen().words == ""


def test_pairs_with_options_are_asked_as_an_evaluation_asks_them(tmp_path: Path) -> None:
    row = {"question": "Which joint?", "context": "", "options": {"A": "Hip", "B": "Toe"}}
    write_rows(tmp_path / "dpo.jsonl", [row])

    assert question_of(row) == question_of(CHOICE)
    assert question_of({"question": "Dx?"}) == ("Dx?", "")
