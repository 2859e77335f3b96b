"""Benchmarks in their original shapes: a small row of each with its oddities, and the real files where they are."""

import csv
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from evaluation.benchmark_files import MAX_RECORD_CHARS, Record, Skipped, table_records
from evaluation.benchmarks import BENCHMARKS, read_benchmark
from evaluation.suites import load_suite
from medchat.errors import InvalidInput
from medchat.records import Example
from medchat.settings import ROOT

REAL = ROOT.parent / "shared" / "data"


def read(name: str, path: Path) -> list[Example | Skipped]:
    return [found for _, found in read_benchmark(BENCHMARKS[name], path)]


def of_rows(name: str, folder: Path, *rows: dict[str, Any]) -> list[Example | Skipped]:
    path = folder / f"{name}.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return read(name, path)


def one(name: str, folder: Path, row: dict[str, Any]) -> Any:
    [found] = of_rows(name, folder, row)
    return found


def medmcqa_row(cop: int, **fields: Any) -> dict[str, Any]:
    options = {"opa": "Femur", "opb": "Tibia", "opc": "Fibula", "opd": "Talus"}
    row = {"question": "Which bone?", "exp": None, "cop": cop, "subject_name": "Anatomy", "topic_name": None}
    return row | options | {"id": f"id-{cop}", "choice_type": "single"} | fields


# MedMCQA


@pytest.mark.parametrize(
    ("cops", "answers"), [([1, 4], ["A", "D"]), ([0, 3], ["A", "D"]), ([0, 1, -1], ["A", "B", None])]
)
def test_medmcqa_counts_its_key_from_one_or_from_zero(
    tmp_path: Path, cops: list[int], answers: list[str | None]
) -> None:
    found = of_rows("medmcqa", tmp_path, *map(medmcqa_row, cops))
    assert [example.answer for example in found if isinstance(example, Example)] == answers


def test_medmcqa_does_not_guess_from_where_it_counts(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"^medmcqa\.jsonl: its field cop has only 1 2, .* add a field cop_base"):
        of_rows("medmcqa", tmp_path, medmcqa_row(1), medmcqa_row(2))
    with pytest.raises(InvalidInput, match="both 0 and 4"):
        of_rows("medmcqa", tmp_path, medmcqa_row(0), medmcqa_row(4))
    told = of_rows("medmcqa", tmp_path, medmcqa_row(1, cop_base=1), medmcqa_row(2, cop_base=1))
    assert [example.answer for example in told if isinstance(example, Example)] == ["A", "B"]


@pytest.mark.parametrize(
    ("explanation", "rationale"),
    [
        (None, ""),
        ("Ans-a. Femur is long.", "Femur is long."),
        ("Ans. c. Fibula", "Fibula"),
        ("Answer- D (Talus)", "(Talus)"),
        ("Ans. In this case", "Ans. In this case"),
        ("Answering: it is long", "Answering: it is long"),
    ],
)
def test_medmcqa_explanations_lose_the_letter_at_their_head(
    tmp_path: Path, explanation: str | None, rationale: str
) -> None:
    assert one("medmcqa", tmp_path, medmcqa_row(4, exp=explanation)).rationale == rationale


def test_medmcqa_keeps_wording_doubled_options_and_several_choices(tmp_path: Path) -> None:
    row = medmcqa_row(4, question="Which\nbone? ", opb="Femur", choice_type="multi")
    example = one("medmcqa", tmp_path, row)
    assert example.question == "Which\nbone? "
    assert example.options == {"A": "Femur", "B": "Femur", "C": "Fibula", "D": "Talus"}
    assert (example.answer, example.accepted) == ("D", ("Talus",))
    assert example.meta == {"subject": "Anatomy", "choice_type": "multi"}
    assert one("medmcqa", tmp_path, medmcqa_row(4, opc=" ")) == Skipped("an option is empty")
    assert one("medmcqa", tmp_path, medmcqa_row(5, cop_base=1)) == Skipped("the key is none of the options")


def test_medmcqa_as_parquet_is_read_too(tmp_path: Path) -> None:
    import pyarrow
    from pyarrow import parquet

    parquet.write_table(pyarrow.Table.from_pylist([medmcqa_row(0), medmcqa_row(3)]), tmp_path / "dev.parquet")
    found = read("medmcqa", tmp_path)  # the folder
    assert [example.answer for example in found if isinstance(example, Example)] == ["A", "D"]
    (tmp_path / "dev.parquet").write_text("no table")
    with pytest.raises(InvalidInput, match=r"dev\.parquet is no Parquet file"):
        read("medmcqa", tmp_path)


# MedQA, PubMedQA, MMLU


def test_medqa_in_both_of_its_forms(tmp_path: Path) -> None:
    row = {
        "question": "What now?", "answer": "Rest", "options": {"A": "Run", "B": "Rest"}, "meta_info": "step2&3",
        "answer_idx": "B", "metamap_phrases": ["now"],
    }  # fmt: skip
    endings = {"id": "7", "sent1": "What now?", "sent2": "", **{f"ending{n}": f"e{n}" for n in range(4)}, "label": 2}
    first, second = of_rows("medqa", tmp_path, row, endings)
    assert isinstance(first, Example)
    assert isinstance(second, Example)
    assert (first.answer, first.accepted, first.meta) == ("B", ("Rest",), {"step": "step2&3"})
    assert (second.answer, second.id) == ("C", "7")


def test_pubmedqa_by_its_ids_and_as_rows(tmp_path: Path) -> None:
    record = {
        "QUESTION": "Does it work?", "CONTEXTS": ["We tried.", "It did."], "LABELS": ["METHODS", "RESULTS"],
        "MESHES": [], "YEAR": None, "reasoning_required_pred": "yes", "final_decision": "maybe",
        "LONG_ANSWER": "It may.",
    }  # fmt: skip
    unlabelled = {name: value for name, value in record.items() if name != "final_decision"}
    (tmp_path / "ori.json").write_text(json.dumps({"111": record, "222": unlabelled}, indent=4))
    first, second = read("pubmedqa", tmp_path / "ori.json")
    assert isinstance(first, Example)
    assert (first.id, first.answer, first.accepted, first.rationale) == ("111", "C", ("maybe",), "It may.")
    assert (first.context, first.meta) == ("We tried.\nIt did.", {"sections": ["METHODS", "RESULTS"]})
    assert first.options == {"A": "yes", "B": "no", "C": "maybe"}
    assert isinstance(second, Example)
    assert second.answer is None

    row = {
        "pubid": 111, "question": "Does it work?", "context": {"contexts": ["We tried.", "It did."], "labels": []},
        "long_answer": "It may.", "final_decision": "yes",
    }  # fmt: skip
    [hub] = of_rows("pubmedqa", tmp_path, row)
    assert isinstance(hub, Example)
    assert (hub.id, hub.answer, hub.context) == ("111", "A", first.context)


def test_mmlu_without_a_header_with_odd_line_ends_and_only_its_medical_part(tmp_path: Path) -> None:
    text = '"What, then?\r\nSay.",one,"two\nlines",thrée,four,C\r\nWhy?,1,2,3,4,A\r\nHow?,1,2,3,4,E\r\n'
    (tmp_path / "clinical_knowledge_test.csv").write_bytes(text.encode())
    (tmp_path / "econometrics_test.csv").write_text("Price?,1,2,3,4,A\n")
    first, second, third, fourth = read("mmlu_medical", tmp_path)
    assert isinstance(first, Example)
    assert (first.question, first.options) == (
        "What, then?\nSay.", {"A": "one", "B": "two\nlines", "C": "thrée", "D": "four"}
    )  # fmt: skip
    assert (first.answer, first.meta) == ("C", {"subject": "clinical_knowledge"})
    assert isinstance(second, Example)
    assert third == Skipped("the key is none of the options")
    assert fourth == Skipped("not one of the 6 medical subjects")


# Free answers


MEDQUAD = """<?xml version="1.0" encoding="UTF-8"?>
<Document {root}>
{focus}
<QAPairs>
<QAPair pid="1"><Question qid="9-1" qtype="treatment">What helps   Gout ?</Question>
<Answer>A dose &lt;5 mg.    These help:    - Rest    - Cold

  {more}</Answer></QAPair>
<QAPair pid="2"><Question qid="9-2" qtype="outlook">And Gout ?</Question><Answer></Answer></QAPair>
</QAPairs></Document>"""


def test_medquad_documents_with_their_oddities(tmp_path: Path) -> None:
    folder = tmp_path / "5_NIDDK_QA"
    folder.mkdir()
    whole = {"root": 'id="9" source="NIDDK" url="http://x"', "focus": "<Focus>Gout</Focus>", "more": "See it."}
    odd = {"root": 'corpus="CDC" docid="9"', "focus": "", "more": "When urate < 5 & pain < before."}
    (folder / "1.xml").write_text(MEDQUAD.format(**whole))
    (folder / "2.xml").write_text(MEDQUAD.format(**odd).replace("9-", "8-"))
    (folder / "3.xml").write_text('<Document fid="3"><QAPairs/></Document>')
    (folder / "4.xml").write_text("no document")
    first, empty, second, _, no_pairs, no_xml = read("medquad", tmp_path)
    assert isinstance(first, Example)
    assert isinstance(second, Example)
    assert (first.question, first.id) == ("What helps Gout?", "5_NIDDK_QA/9-1")
    assert first.answer == "A dose <5 mg.\nThese help:\n- Rest\n- Cold\nSee it."
    assert first.meta == {"focus": "Gout", "type": "treatment", "origin": "NIDDK", "url": "http://x"}
    assert empty == Skipped("no answer")
    assert second.answer is not None
    assert second.answer.endswith("When urate < 5 & pain < before.")
    assert second.meta == {"type": "treatment", "origin": "CDC"}
    assert (no_pairs, no_xml) == (Skipped("a file without questions"), Skipped("a file that is not XML"))


def test_bioasq_questions_of_each_type(tmp_path: Path) -> None:
    questions = [
        {"id": "f", "type": "factoid", "body": "Which gene?", "exact_answer": [["TP53", "p53"]],
         "ideal_answer": ["It is TP53."], "snippets": [{"text": "TP53 is."}, {"text": "TP53 is."}, {"text": "So."}]},
        {"id": "l", "type": "list", "body": "Which two?", "exact_answer": [["iron", "Fe"], ["zinc"]]},
        {"id": "y", "type": "yesno", "body": "Is it?", "exact_answer": "Yes", "ideal_answer": "It is."},
        {"id": "s", "type": "summary", "body": "What is it?", "ideal_answer": ["This.", "That."]},
        {"id": "n", "type": "factoid", "body": "Not yet?"},
    ]  # fmt: skip
    path = tmp_path / "bioasq.json"
    path.write_text(json.dumps({"version": 1, "questions": questions}))
    factoid, items, yes, summary, none = read("bioasq", path)
    assert isinstance(factoid, Example)
    assert (factoid.answer, factoid.accepted, factoid.context) == ("TP53", ["p53"], "TP53 is.\nSo.")
    assert isinstance(items, Example)
    assert (items.answer, items.key_terms) == ("iron\nzinc", ["iron", "zinc"])
    assert items.meta["answers"] == [["iron", "Fe"], ["zinc"]]
    assert isinstance(yes, Example)
    assert (yes.kind, yes.answer, yes.options) == ("mcq", "A", {"A": "yes", "B": "no"})
    assert isinstance(summary, Example)
    assert (summary.answer, summary.accepted) == ("This.", ["That."])
    assert none == Skipped("no answer")


def test_kqa_with_and_without_answers(tmp_path: Path) -> None:
    row = {
        "Question": "May I?", "Free_form_answer": "Yes.", "Must_have": ["May"], "Nice_to_have": [], "Sources": "x",
        "ICD_10_diag": None,
    }  # fmt: skip
    answered, asked, empty = of_rows(
        "kqa", tmp_path, row, {"Question": "And now?", "entity_text": None}, row | {"Free_form_answer": " "}
    )
    assert isinstance(answered, Example)
    assert (answered.answer, answered.meta) == ("Yes.", {"must_have": ["May"], "sources": "x"})
    assert isinstance(asked, Example)
    assert asked.answer is None
    assert empty == Skipped("no answer")


def test_healthbench_keeps_turns_criteria_and_canary(tmp_path: Path) -> None:
    turns = [
        {"role": "user", "content": "Duele"}, {"role": "assistant", "content": "¿Dónde?"},
        {"role": "user", "content": "Aquí"},
    ]  # fmt: skip
    criteria = [{"criterion": "Asks", "points": 5, "tags": []}, {"criterion": "Harms", "points": -8, "tags": []}]
    row = {
        "example_tags": ["theme:hedging"], "ideal_completions_data": None, "prompt": turns, "prompt_id": "p1",
        "rubrics": criteria, "canary": "canary:1",
    }  # fmt: skip
    example = one("healthbench", tmp_path, row)
    assert (example.id, example.question, example.answer) == ("p1", "Aquí", None)
    assert example.context == "User: Duele\n\nAssistant: ¿Dónde?"
    assert example.meta == {"theme": "hedging", "turns": turns[:2], "criteria": criteria, "canary": "canary:1"}
    ideal = row | {"ideal_completions_data": {"ideal_completion": "Reposo."}}
    assert one("healthbench", tmp_path, ideal).answer == "Reposo."
    assert one("healthbench", tmp_path, row | {"prompt": turns[:2]}) == Skipped("the last turn is not the user's")


MEDDIALOG = """id=1
https://example.org/1
Description
My knee

Dialogue
Patient:
My knee hurts.
Since May.

Doctor:
Rest it.

id=2
https://example.org/2
Description
Hello
Dialogue
Doctor:
Welcome.
"""


def test_meddialog_as_raw_text_and_in_the_hubs_forms(tmp_path: Path) -> None:
    (tmp_path / "raw.txt").write_text(MEDDIALOG)
    first, second = read("meddialog", tmp_path / "raw.txt")
    assert isinstance(first, Example)
    assert (first.id, first.question, first.answer) == ("1", "My knee hurts.\nSince May.", "Rest it.")
    assert first.meta == {"description": "My knee", "url": "https://example.org/1"}
    assert isinstance(second, Skipped)
    listed = {"dialogue_id": 3, "dialogue_turns": [
        {"speaker": "Patient", "utterance": "Patient: A"}, {"speaker": "patient", "utterance": "B"},
        {"speaker": "Doctor", "utterance": "C"},
    ]}  # fmt: skip
    columns = {"dialogue_id": 4, "dialogue_turns": {"speaker": [0, 1], "utterance": ["A", "C"]}}
    third, fourth = of_rows("meddialog", tmp_path, listed, columns)
    assert isinstance(third, Example)
    assert isinstance(fourth, Example)
    assert (third.question, third.answer, fourth.question, fourth.answer) == ("A\nB", "C", "A", "C")


def test_medical_o1_takes_its_own_question_and_passes_over_what_is_no_text(tmp_path: Path) -> None:
    row = {"Question": "Why?", "Complex_CoT": "Hmm.", "Response": "So."}
    other = {
        "question": "With options?", "options": {"A": "x"}, "Open-ended Verifiable Question": "Without?",
        "Ground-True Answer": "x",
    }  # fmt: skip
    (tmp_path / "o1.json").write_text(json.dumps([row, row | {"Response": None}, row | {"Question": 3}, other]))
    first, no_answer, no_question, second = read("medical_o1", tmp_path / "o1.json")
    assert isinstance(first, Example)
    assert (first.question, first.answer, first.rationale) == ("Why?", "So.", "Hmm.")
    assert (no_answer, no_question) == (Skipped("no answer"), Skipped("no question"))
    assert isinstance(second, Example)
    assert (second.question, second.answer) == ("Without?", "x")


def test_mts_dialog_asks_for_a_section_of_the_note(tmp_path: Path) -> None:
    text = 'ID,section_header,section_text,dialogue\r\n0,GENHX,Had pain.,"""Doctor: Pain? \r\n Guest_family: Yes."\r\n'
    (tmp_path / "mts.csv").write_bytes(text.encode())
    [example] = read("mts_dialog", tmp_path / "mts.csv")
    assert isinstance(example, Example)
    assert "history of present illness" in example.question
    assert (example.context, example.answer) == ("Doctor: Pain?\nGuest_family: Yes.", "Had pain.")


# Calculations and diagnoses


@pytest.mark.parametrize(
    ("given", "answer", "meta"),
    [
        (("decimal", "-2", "-2.1", "-1.9"), "-2", {"output_type": "decimal", "lower": -2.1, "upper": -1.9}),
        (("decimal", "-2", "-1.9", "-2.1"), "-2", {"output_type": "decimal", "lower": -2.1, "upper": -1.9}),
        (("decimal", "10", "", ""), "10", {"output_type": "decimal", "lower": 9.5, "upper": 10.5}),
        (("integer", "3", "", ""), "3", {"output_type": "integer", "lower": 3.0, "upper": 3.0}),
        (
            ("date", "09/23/2014", "09/23/2014", "09/23/2014"),
            "09/23/2014",
            {"output_type": "date", "lower": "09/23/2014", "upper": "09/23/2014"},
        ),
        (
            ("integer", "('17 weeks', '6 days')", "('17 weeks', '6 days')", "('17 weeks', '6 days')"),
            "17 weeks, 6 days",
            {"output_type": "weeks and days", "lower": "17 weeks, 6 days", "upper": "17 weeks, 6 days"},
        ),
    ],
)
def test_medcalc_truths_with_their_limits(
    tmp_path: Path, given: tuple[str, str, str, str], answer: str, meta: dict[str, Any]
) -> None:
    example = one("medcalc_bench", tmp_path, medcalc_row(*given))
    assert (example.kind, example.context, example.answer) == ("calc", "A note.", answer)
    assert {name: example.meta[name] for name in meta} == meta
    assert example.meta["entities"] == "{'age': [83, 'years']}"


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        (("decimal", "N/A", "N/A", "N/A"), "the truth is N/A"),
        (("decimal", "about 3", "", ""), "the truth is no number"),
        (("date", "soon", "", ""), "the truth is no date"),
    ],
)
def test_medcalc_rows_without_a_truth_are_left_out(
    tmp_path: Path, given: tuple[str, str, str, str], reason: str
) -> None:
    assert one("medcalc_bench", tmp_path, medcalc_row(*given)) == Skipped(reason)


def medcalc_row(kind: str, truth: str, low: str, high: str) -> dict[str, Any]:
    return {
        "Unique ID": 5, "Calculator ID": 2, "Calculator Name": "Age", "Category": "lab", "Output Type": kind,
        "Note Type": "Extracted", "Patient Note": "A note.", "Question": "What is it?",
        "Relevant Entities": "{'age': [83, 'years']}", "Ground Truth Answer": truth, "Lower Limit": low,
        "Upper Limit": high, "Ground Truth Explanation": "So.",
    }  # fmt: skip


def test_symptoms_whose_index_restarts_and_whose_texts_repeat(tmp_path: Path) -> None:
    path = tmp_path / "s.csv"
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(
            [["", "label", "text"], ["0", "Gout", "Toe, red"], ["1", "gout ", "Toe, red"], ["0", "Acne", "Spots"]]
        )
    suite = load_suite(f"symptom2disease={path}")
    assert [(e.question, e.answer, e.kind) for e in suite.examples] == [
        ("Toe, red", "Gout", "diagnosis"), ("Spots", "Acne", "diagnosis")
    ]  # fmt: skip
    assert suite.skipped == {"a row that was there before": 1}


# Files


def test_json_is_read_in_pieces_whatever_its_layout(tmp_path: Path) -> None:
    rows = [{"n": n, "text": "x" * 3000} for n in range(100)]  # several times what is read at once
    layouts = {
        "lines.json": "\n".join(map(json.dumps, rows)),
        "list.json": json.dumps(rows),
        "pretty.json": json.dumps(rows, indent=2),
        "ids.json": json.dumps({str(row["n"]): row for row in rows}),
    }
    for name, text in layouts.items():
        (tmp_path / name).write_text(text, encoding="utf-8-sig")
        records = list(table_records(tmp_path / name, "by_id" if name == "ids.json" else "rows"))
        assert [record.row["n"] for record in records if isinstance(record, Record)] == list(range(100)), name
    assert isinstance(records[7], Record)
    assert records[7].row["_id"] == "7"
    pretty = [where for where, _ in table_records(tmp_path / "pretty.json")]
    assert pretty[:2] == ["pretty.json, line 2", "pretty.json, line 6"]  # four lines each


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ('{"a": 1}\n{"a": ', r"^f\.json, line 2: not JSON"),
        ('[{"a": 1} {"a": 2}]', r"^f\.json, line 1: not JSON \(',' is missing\)"),
        ('[{"a": 1},\n 3]', r"^f\.json, line 2: not a JSON object"),
        ("[" * 100_000, r"^f\.json, line 1: not JSON \(nested too deep\)"),
        ('[{"a": 1}', r"^f\.json, line 1: not JSON"),
    ],
)
def test_broken_json_is_named_with_its_line(tmp_path: Path, text: str, fault: str) -> None:
    (tmp_path / "f.json").write_text(text)
    with pytest.raises(InvalidInput, match=fault):
        read("kqa", tmp_path / "f.json")
    assert len(text) < MAX_RECORD_CHARS  # so that it is not refused for its length


def test_files_that_are_no_text_and_folders_without_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"has no \.json or \.jsonl or \.csv or \.parquet file"):
        read("kqa", tmp_path)
    for name in ("f.jsonl", "f.csv"):
        (tmp_path / name).write_bytes(b"\xff\xfe\x00")
        with pytest.raises(InvalidInput, match=rf"^{name.replace('.', '[.]')}, .*not UTF-8 text"):
            read("kqa", tmp_path / name)


# The real files, where they are

EXPECTED = {  # records that give an example, and those that do not
    "medmcqa=medmcqa/dev.json": (300, 0),
    "medqa=medqa_usmle": (300, 0),
    "pubmedqa=pubmedqa": (300, 0),
    "mmlu_medical=mmlu_medical/test": (300, 0),
    "medquad=medquad": (321, 5),  # three answers are empty, two files have no questions
    "kqa=kqa/questions_w_answers.jsonl": (201, 0),
    "kqa=kqa/questions.jsonl": (149, 1),
    "healthbench=healthbench": (30, 0),
    "medcalc_bench=medcalc_bench": (300, 0),
    "symptom2disease=symptom2disease": (298, 2),
    "medical_o1=medical_o1_sft": (2, 0),
    "mts_dialog=mts_dialog": (300, 0),
}


@pytest.mark.skipif(not REAL.is_dir(), reason="the real files are not here")
@pytest.mark.parametrize("given", EXPECTED)
def test_real_files_go_through(given: str) -> None:
    name, _, path = given.partition("=")
    suite = load_suite(f"{name}={REAL / path}")
    assert (suite.n, sum(suite.skipped.values())) == EXPECTED[given]
    examples = list(suite.examples)
    assert len({example.id for example in examples}) == suite.n
    answers = Counter(example.answer for example in examples)
    if name == "medmcqa":
        assert answers == {"A": 82, "B": 95, "C": 67, "D": 56}  # as cop 1, 2, 3 and 4 are in the file
    if name == "pubmedqa":
        assert answers == {"A": 161, "B": 103, "C": 36}  # yes, no, maybe
    if name == "healthbench":
        assert all(example.meta["canary"].startswith("healthbench:") for example in examples)
