"""Rows of each public set in its own shape, as the Examples that its adapter makes of them."""

import csv
import gzip
import json
import pickle
from pathlib import Path
from typing import Any

import pytest

from evaluation.benchmark_files import Skipped
from medchat.records import Example
from train.adapters import ADAPTERS, Reading, read, source_of

AS_IT_IS = Reading()
EXPLAINED = Reading(choices="explained")


def rows(name: str, *given: dict[str, Any], reading: Reading = AS_IT_IS) -> list[Example | Skipped]:
    return [found for row in given for found in ADAPTERS[name].examples(row, reading)]


def one(name: str, row: dict[str, Any], reading: Reading = AS_IT_IS) -> Example:
    [found] = rows(name, row, reading=reading)
    assert isinstance(found, Example)
    return found


def in_file(name: str, path: Path, reading: Reading = AS_IT_IS) -> list[Example | Skipped]:
    return [found for _, found in read(source_of(f"{name}={path}"), reading)]


def examples(found: list[Example | Skipped]) -> list[Example]:
    kept = [row for row in found if isinstance(row, Example)]
    assert len(kept) == len(found), found
    return kept


# Conversations

MEDDIALOG = """id=7
https://example.org/7
Description
Cough for weeks

Dialogue
Patient:
I cough.
Since May.
Doctor:
Any fever?
Patient:
Yes, 38.5.
Doctor:
Have an X-ray.
Patient:
Thank you.

id=8
https://example.org/8
Description
Hello
Dialogue
Doctor:
Welcome.
"""


def test_each_reply_of_a_dialogue_has_the_turns_before_it_as_context(tmp_path: Path) -> None:
    (tmp_path / "talks.txt").write_text(MEDDIALOG)
    first, second, alone = in_file("meddialog", tmp_path / "talks.txt")
    assert isinstance(first, Example)
    assert isinstance(second, Example)
    assert (first.context, first.question, first.answer) == ("", "I cough.\nSince May.", "Any fever?")
    assert second.context == "Patient: I cough.\nSince May.\nDoctor: Any fever?"
    assert (second.question, second.answer) == ("Yes, 38.5.", "Have an X-ray.")
    assert first.meta["group"] == second.meta["group"]
    assert first.id != second.id
    assert alone == Skipped("no patient's question with a doctor's answer after it")


def test_of_a_dialogue_the_first_pair_alone_where_it_is_asked_for(tmp_path: Path) -> None:
    (tmp_path / "talks.txt").write_text(MEDDIALOG)
    found = in_file("meddialog", tmp_path / "talks.txt", Reading(dialogues="first"))
    assert [row.question for row in found if isinstance(row, Example)] == ["I cough.\nSince May."]


def test_the_hubs_form_of_a_dialogue_is_the_same_row() -> None:
    turns = {"speaker": [0, 1, 0, 1], "utterance": ["I cough.", "Any fever?", "Yes.", "Have an X-ray."]}
    both = rows("meddialog", {"file_name": "x", "dialogue_id": 7, "dialogue_turns": turns})
    assert [(row.context, row.answer) for row in examples(both)] == [
        ("", "Any fever?"), ("Patient: I cough.\nDoctor: Any fever?", "Have an X-ray.")
    ]  # fmt: skip


def test_healthcaremagic_asks_with_its_input_and_not_with_its_one_instruction(tmp_path: Path) -> None:
    text = (
        '[\r\n    {"instruction": "If you are a doctor, answer.", "input": "My  knee\\r\\n hurts.", "output": "Rest."},'
        '\r\n {"instruction": "If you are a doctor, answer.", "input": "And now?", "output": ""}]'
    )
    (tmp_path / "hcm.json").write_bytes(text.encode())
    first, second = examples(in_file("healthcaremagic", tmp_path / "hcm.json"))
    assert (first.question, first.answer) == ("My knee\nhurts.", "Rest.")
    assert second.answer is None  # to be labelled
    assert first.licence == "not stated"


def test_icliniq_takes_the_doctors_answer_and_no_models() -> None:
    row = {"input": "Why?", "answer_icliniq": "So.", "answer_chatgpt": "Maybe.", "answer_chatdoctor": "Perhaps."}
    assert one("icliniq", row).answer == "So."
    assert rows("icliniq", {"input": " ", "answer_icliniq": "So."}) == [Skipped("no question")]


# Multiple choice


def medmcqa_row(**fields: Any) -> dict[str, Any]:
    options = {"opa": "Femur", "opb": "Tibia", "opc": "Fibula", "opd": "Both A and B"}
    return {"question": "The longest bone is", "cop": 1, "cop_base": 1, "exp": None, **options, "id": "q1"} | fields


@pytest.mark.parametrize(
    ("fields", "question", "answer"),
    [
        ({}, "The longest bone is", "Femur"),
        ({"exp": "Ans-a. It is 48 cm long."}, "The longest bone is", "Femur. It is 48 cm long."),
        ({"exp": "Femur is longest."}, "The longest bone is", "Femur is longest."),
        (
            {"question": "Which of the following is long?"},
            "Which of the following is long?\nA. Femur\nB. Tibia\nC. Fibula\nD. Both A and B",
            "Femur",
        ),
        ({"cop": 4}, "The longest bone is\nA. Femur\nB. Tibia\nC. Fibula\nD. Both A and B", "Both A and B"),
    ],
)
def test_a_choice_as_a_question_whose_answer_is_explained(fields: dict[str, Any], question: str, answer: str) -> None:
    example = one("medmcqa", medmcqa_row(**fields), EXPLAINED)
    assert (example.kind, example.options, example.question, example.answer) == ("free", None, question, answer)


def test_a_choice_keeps_its_options_and_its_explanation_otherwise() -> None:
    example = one("medmcqa", medmcqa_row(exp="It is long."))
    assert (example.kind, example.answer, example.rationale, example.id) == ("mcq", "A", "It is long.", "medmcqa:q1")


def test_without_a_key_a_choice_stays_one_and_is_to_be_labelled() -> None:
    for reading in (Reading(), EXPLAINED):
        example = one("medmcqa", medmcqa_row(cop=-1), reading)
        assert (example.kind, example.answer) == ("mcq", None)


PUBMED = {"QUESTION": "Does it help?", "CONTEXTS": ["We tried."], "LABELS": ["METHODS"], "LONG_ANSWER": "It may help."}


def test_the_abstract_is_context_only_where_it_is_asked_for() -> None:
    row = PUBMED | {"final_decision": "maybe", "_id": "11"}
    assert one("pubmedqa", row).context == ""
    assert one("pubmedqa", row, Reading(abstracts=True)).context == "We tried."
    explained = one("pubmedqa", row, EXPLAINED)
    assert (explained.question, explained.answer) == ("Does it help?", "Maybe. It may help.")


def test_pubmedqa_without_a_decision_is_labelled_or_answered_with_its_conclusion() -> None:
    assert one("pubmedqa", PUBMED).answer is None
    assert one("pubmedqa", PUBMED, EXPLAINED).answer == "It may help."


def test_bioasq_without_an_exact_answer_is_answered_with_the_ideal_one() -> None:
    row = {"id": "b", "type": "factoid", "body": "Which gene?", "ideal_answer": ["It is TP53."]}
    example = one("bioasq", row)
    assert (example.answer, example.rationale) == ("It is TP53.", "")
    assert one("bioasq", row | {"ideal_answer": []}).answer is None
    yes = {"id": "y", "type": "yesno", "body": "Is it?", "exact_answer": "Yes", "ideal_answer": "It is so."}
    assert one("bioasq", yes, EXPLAINED).answer == "Yes. It is so."


# Symptoms


def symptom_file(path: Path) -> None:
    header = ["itching", "fluid_overload", "spotting_ urination", "foul_smell_of urine", "dischromic _patches",
              "toxic_look_(typhos)", "fluid_overload", "prognosis", ""]  # fmt: skip
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([
            header,
            ["1", "0", "1", "1", "1", "1", "1", "Diabetes ", ""],
            ["0", "1", "0", "0", "0", "0", "1", "Peptic ulcer diseae", ""],
            ["0", "0", "0", "0", "0", "0", "0", "GERD", ""],
            ["2", "0", "0", "0", "0", "0", "0", "GERD", ""],
        ])  # fmt: skip


def test_the_symptom_table_with_its_doubled_and_misspelt_columns(tmp_path: Path) -> None:
    symptom_file(tmp_path / "Training.csv")
    first, second, none, odd = in_file("symptoms132", tmp_path / "Training.csv")
    assert isinstance(first, Example)
    assert isinstance(second, Example)
    assert first.key_terms == [
        "itching", "spotting urination", "foul smell of urine", "dyschromic patches", "toxic look (typhoid)",
        "fluid overload",
    ]  # fmt: skip
    assert first.question == f"My symptoms are: {', '.join(first.key_terms)}. What is the most likely diagnosis?"
    assert (first.answer, first.kind, first.meta) == ("Diabetes", "diagnosis", {"diagnosis": "diabetes"})
    assert second.key_terms == ["fluid overload"]  # once, though both columns have it
    assert (second.answer, second.accepted) == ("Peptic ulcer disease", ("Peptic ulcer diseae",))
    assert (none, odd) == (Skipped("no symptom"), Skipped("a symptom is neither 0 nor 1"))


def test_the_long_form_of_the_symptom_table_is_the_same_row() -> None:
    row = {"Disease": "Fungal infection", "Symptom_1": "itching", "Symptom_2": " skin_rash", "Symptom_3": None}
    example = one("symptoms132", row)
    assert (example.key_terms, example.answer) == (["itching", "skin rash"], "Fungal infection")


# Patients' records


def drug_row(*answers: str) -> dict[str, Any]:
    names = ("Answer_Structured", "Answer_Unstructured", "Multimodal_Answer")
    return {"NL_Question": "Which dose?", "SQL_Query": "", **dict(zip(names, answers, strict=True)), "hadm_id": 100}


@pytest.mark.parametrize(
    ("given", "answer", "accepted"),
    [
        (("5 MG", "", ""), "5 MG", []),
        (("", "10 mg", ""), "10 mg", []),
        (("ASPIRIN", "Aspirin", ""), "Aspirin", []),
        (("5 MG", "daily", "5 mg daily"), "5 mg daily", ["5 MG", "daily"]),
    ],
)
def test_drugehrqa_takes_whichever_answers_there_are(given: tuple[str, ...], answer: str, accepted: list[str]) -> None:
    example = one("drugehrqa", drug_row(*given))
    assert (example.answer, list(example.accepted)) == (answer, accepted)
    assert example.meta["restricted"] is True


def test_drugehrqa_without_any_answer_is_left_out_for_nobody_could_give_it() -> None:
    assert rows("drugehrqa", drug_row("", " ", "nan")) == [Skipped("no answer")]


NOTE = """Name:  ___   Unit No:  ___

Chief Complaint:
Cough

History of Present Illness:
Patient: reports cough for 2 weeks.

Brief Hospital Course:
Treated with antibiotics: ceftriaxone. Improved.

Discharge Diagnosis:
Community acquired pneumonia

Discharge Instructions:
___

Followup Instructions:
In a week.
"""


def test_sections_of_a_discharge_note_are_asked_for_with_what_stands_before_them(tmp_path: Path) -> None:
    note = tmp_path / "note"
    note.mkdir()
    with gzip.open(note / "discharge.csv.gz", "wt", newline="") as file:
        table = csv.writer(file)
        table.writerow(["note_id", "subject_id", "hadm_id", "text"])
        table.writerows([["10-DS-1", "10", "20", NOTE], ["10-DS-2", "10", "21", "Nothing to see."]])
    (note / "radiology.csv").write_text("note_id,text\n1,Lungs\n")
    course, diagnosis, none = in_file("mimic_iv", tmp_path)  # what is left of the instructions is a blank
    assert isinstance(course, Example)
    assert isinstance(diagnosis, Example)
    assert course.answer == "Treated with antibiotics: ceftriaxone. Improved."
    assert course.context.endswith("Patient: reports cough for 2 weeks.")
    assert diagnosis.answer == "Community acquired pneumonia"
    assert "ceftriaxone" in diagnosis.context
    assert diagnosis.answer not in diagnosis.context
    assert course.meta == {"group": "patient 10", "note": "10-DS-1", "restricted": True}
    assert none == Skipped("no section of the note that can be asked for")


# Other questions

LIVEQA_TEST = """<?xml version="1.0"?><Set><NLM-QUESTION qid="TQ1"><Original-Question qfile="1.txt">
<SUBJECT>Gluten</SUBJECT><MESSAGE>Is it free of it &amp;quot;really&amp;quot;?</MESSAGE></Original-Question>
<NLM-Summary>Is it gluten free?</NLM-Summary><ReferenceAnswers>
<RefAnswer aid="1"><ANSWER>Yes,
   it is.</ANSWER><AnswerURL>http://x</AnswerURL></RefAnswer>
<ReferenceAnswer aid="2"><ANSWER>It is free.</ANSWER></ReferenceAnswer></ReferenceAnswers></NLM-QUESTION>
<NLM-QUESTION qid="TQ2"><SUBJECT/><MESSAGE/></NLM-QUESTION></Set>"""
LIVEQA_TRAIN = """<S><NLM-QUESTION questionid="Q1"><SUBJECT>thyroid</SUBJECT><MESSAGE>What is my Thyroid?</MESSAGE>
<SUB-QUESTIONS><SUB-QUESTION><ANSWERS><ANSWER>A gland.</ANSWER><ANSWER>An organ.</ANSWER></ANSWERS></SUB-QUESTION>
<SUB-QUESTION><ANSWERS><ANSWER>In the neck.</ANSWER></ANSWERS></SUB-QUESTION></SUB-QUESTIONS></NLM-QUESTION></S>"""


def test_liveqa_in_the_form_of_its_test_and_of_its_training_files(tmp_path: Path) -> None:
    (tmp_path / "LiveQA-Test.xml").write_text(LIVEQA_TEST)
    (tmp_path / "LiveQA-Train-1.xml").write_text(LIVEQA_TRAIN)
    test, none, train = in_file("liveqa", tmp_path)
    assert isinstance(test, Example)
    assert isinstance(train, Example)
    assert (test.question, test.answer) == ('Gluten\nIs it free of it "really"?', "Yes,\nit is.")
    assert (test.accepted, test.meta["summary"], test.split) == (["It is free."], "Is it gluten free?", "test")
    assert none == Skipped("no question")
    assert (train.question, train.answer, train.split) == ("What is my Thyroid?", "A gland.\n\nIn the neck.", "train")


def test_mediqa_2019_takes_the_best_answer_that_is_right(tmp_path: Path) -> None:
    def answer(rank: int, score: int) -> str:
        ranks = f'SystemRank="1" ReferenceRank="{rank}" ReferenceScore="{score}"'
        return f"<Answer AID='a' {ranks}><AnswerURL/><AnswerText>Rank {rank}, score {score}.</AnswerText></Answer>"

    right, wrong = answer(2, 3) + answer(1, 4) + answer(3, 2), answer(1, 2)
    both = "".join(
        f'<Question QID="{n}"><QuestionText>Why {n}?</QuestionText><AnswerList>{its}</AnswerList></Question>'
        for n, its in enumerate((right, wrong))
    )
    (tmp_path / "MEDIQA2019-Task3-QA-ValidationSet.xml").write_text(f"<M>{both}</M>")
    first, second = examples(in_file("mediqa", tmp_path))
    assert (first.answer, first.accepted, first.source) == ("Rank 1, score 4.", ["Rank 2, score 3."], "mediqa/2019")
    assert (first.split, second.answer) == ("validation", None)


def test_mediqa_2021_as_an_excel_file(tmp_path: Path) -> None:
    from openpyxl import Workbook

    book = Workbook()
    sheet = book.worksheets[0]
    for line in (["q_id", "NLM Question", "Summary"], [96, "My lip  hurts.", "What helps a lip?"], [None], [97, None]):
        sheet.append(line)
    path = tmp_path / "TestSet.xlsx"
    book.save(path)
    example, none = in_file("mediqa", path)
    assert isinstance(example, Example)
    assert (example.context, example.answer, example.split) == ("My lip hurts.", "What helps a lip?", "test")
    assert none == Skipped("no question")


def test_miriad_gives_its_passage_only_where_it_is_asked_for() -> None:
    row = {"qa_id": "38", "question": "Why?", "answer": "So.", "passage_text": "As we found.", "year": 2001}
    assert (one("miriad", row).id, one("miriad", row).context) == ("miriad:38", "")
    assert one("miriad", row, Reading(abstracts=True)).context == "As we found."


@pytest.mark.parametrize(
    ("row", "context", "question", "answer"),
    [
        ({"question": "Why?", "answer": "So.", "context": "Then."}, "Then.", "Why?", "So."),
        ({"Context": " ", "Question": "Why?", "Answer": None}, "", "Why?", None),
        ({"prompt": "Why?", "response": "So."}, "", "Why?", "So."),
        ({"instruction": "Explain.", "input": "A note.", "output": "So."}, "A note.", "Explain.", "So."),
        ({"question": "How many?", "answer": 3}, "", "How many?", "3"),
    ],
)
def test_plain_question_and_answer_under_common_names(
    row: dict[str, Any], context: str, question: str, answer: str | None
) -> None:
    example = one("qca", row)
    assert (example.context, example.question, example.answer) == (context, question, answer)


@pytest.mark.parametrize("suffix", ["jsonl", "json", "csv", "parquet"])
def test_plain_question_and_answer_in_each_format(tmp_path: Path, suffix: str) -> None:
    given = [{"question": f"Why {n}, then?", "answer": f"So {n}.", "context": ""} for n in range(3)]
    path = tmp_path / f"own.{suffix}"
    if suffix == "parquet":
        import pyarrow
        from pyarrow import parquet

        parquet.write_table(pyarrow.Table.from_pylist(given), path)
    elif suffix == "csv":
        with path.open("w", newline="") as file:
            table = csv.DictWriter(file, given[0])
            table.writeheader()
            table.writerows(given)
    else:
        path.write_text(json.dumps(given) if suffix == "json" else "\n".join(map(json.dumps, given)))
    assert [row.question for row in examples(in_file("qca", path))] == [row["question"] for row in given]


def test_our_own_rows_keep_their_id_source_licence_and_split(tmp_path: Path) -> None:
    row = Example("Why?", "So.", id="x", source="mine", licence="CC0", split="validation", meta={"parent": "y"})
    option = {"question": "Which?", "answer": "C", "kind": "mcq", "options": {"A": "one", "B": "two"}}
    (tmp_path / "rows.jsonl").write_text(f'{row.to_json()}\n{json.dumps(option)}\n{{"question": "Why?", "more": 1}}\n')
    kept, fault, unknown = in_file("examples", tmp_path / "rows.jsonl")
    assert isinstance(kept, Example)
    assert kept.to_json() == row.to_json()
    assert fault == Skipped("the answer 'C' is none of the letters A, B")
    assert unknown == Skipped(
        "not in the format of MedChat's own rows", "unknown field 'more'; put what is your own into 'meta'."
    )


def test_a_question_without_an_answer_is_kept_to_be_labelled() -> None:
    assert one("medquad", {"question": "What helps?", "answer": ""}).answer is None
    assert one("medical_o1", {"Question": "Why?", "Complex_CoT": 3, "Response": None}).answer is None
    assert one("kqa", {"Question": "Why?", "Free_form_answer": " "}).answer is None


def test_a_row_whose_fields_are_of_another_kind_is_a_broken_one() -> None:
    odd: dict[str, dict[str, Any]] = {
        "healthbench": {"prompt": 3}, "bioasq": {"body": "Why?", "type": "list", "snippets": 3}
    }  # fmt: skip
    for name, row in odd.items():
        [found] = rows(name, row)
        assert isinstance(found, Skipped)
        assert found.broken
        assert found.detail == "its fields are not of the kind that this source has (TypeError)"


def test_every_adapter_can_be_handed_to_another_process_and_says_what_it_needs() -> None:
    for name, adapter in ADAPTERS.items():
        assert pickle.loads(pickle.dumps(adapter)).title == adapter.title
        assert adapter.name == name
        assert adapter.needs
        assert adapter.own or adapter.home
        assert adapter.licence or name == "examples"
