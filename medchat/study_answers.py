"""The answers of a study: out of the predictions of its run, or out of an uploaded file, and the items made of them."""

import json
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from medchat.errors import InvalidInput
from medchat.records import Example, Message, Sampling
from medchat.rundir import RunDir
from medchat.store import AnswerRecord, NewItem, Store, StudyAnswer, StudyRecord, UploadedRow
from medchat.study_calibration import calibration_items
from medchat.study_design import Design, check_design, pairs_of
from medchat.study_questions import QUESTIONS, StudyQuestion, kept_questions, questions_of, sampled
from medchat.uploads import UploadedAnswer

ORIGIN = "study"
PREDICTIONS = "predictions.jsonl"
FINISHED = ("stop", "length", "cancelled")
UPLOADED = "uploaded:"

Row = Mapping[str, Any]  # a line of predictions.jsonl
Written = Mapping[tuple[str, str], Row]  # by model and the id of the question
Answers = Mapping[tuple[str, str], AnswerRecord]  # by the id of the question and model


def written(run_dir: RunDir) -> Written:
    """What models have answered so far; only answers with some text. One in a damaged line is missing."""
    path = run_dir.path / PREDICTIONS
    try:
        stat = path.stat()
    except OSError:
        return {}
    return _read(path, stat.st_mtime_ns, stat.st_size)


@lru_cache(maxsize=4)  # a page looks at it again and again
def _read(path: Path, changed: int, size: int) -> Written:
    found: dict[tuple[str, str], Row] = {}
    with path.open("rb") as lines:
        for line in lines:
            if not line.endswith(b"\n"):  # it is being written
                break
            try:
                row = json.loads(line)
                if row["reasoning"].strip() or row["solution"].strip():
                    found[row["model"], row["id"]] = row
            except (ValueError, KeyError, TypeError, AttributeError):
                continue
    return found


def missing(design: Design, questions: Sequence[StudyQuestion], rows: Written) -> dict[str, int]:
    """Model -> questions that it has not answered; only models that lack some."""
    counts = {model: sum((model, q.id) not in rows for q in questions) for model in design.models}
    return {model: n for model, n in counts.items() if n}


def store_written(store: Store, record: StudyRecord, design: Design, run_dir: RunDir) -> Answers:
    """The run's answers, stored; the same ones again are stored once."""
    rows, facts = written(run_dir), _facts(run_dir)
    keys = [(question, model) for question in questions_of(record) for model in design.models]
    answers = [
        _answer(record, question, rows[model, question.id], facts.get(model, {}), run_dir.id)
        for question, model in keys
    ]
    stored = store.add_study_answers(record.owner, answers, ORIGIN)
    return {(question.id, model): answer for (question, model), answer in zip(keys, stored, strict=True)}


def _facts(run_dir: RunDir) -> dict[str, Mapping[str, str]]:
    """What each model was, by its id."""
    return {str(row.get("model_id", "")): row for row in run_dir.config().get("models") or ()}


def _answer(
    record: StudyRecord, question: StudyQuestion, row: Row, facts: Mapping[str, str], run_id: str
) -> StudyAnswer:
    sampling = row.get("sampling")
    prompt = tuple(Message(message["role"], message["content"]) for message in row.get("prompt") or ())
    reason = row.get("finish_reason")
    return StudyAnswer(
        context=question.context,
        question=question.question,
        model_id=row["model"],
        solution=row["solution"],
        save_key=f"study:{record.id}:{run_id}:{row['model']}:{question.id}",
        reasoning=row["reasoning"],
        raw=row["raw"],
        complete=bool(row["complete"]),
        finish_reason=reason if reason in FINISHED else None,
        base=facts.get("base") or "",
        revision=facts.get("revision") or "",
        adapter_hash=facts.get("adapter_hash") or "",
        prompt=prompt or None,
        sampling=Sampling(**sampling) if sampling else None,
        seed=sampling["seed"] if sampling else None,
        answer_format=row.get("answer_format") or "plain",
        prompt_tokens=row.get("prompt_tokens"),
        completion_tokens=row.get("completion_tokens"),
        ttft_ms=row.get("ttft_ms"),
        total_ms=row.get("total_ms"),
    )


def take_in_study(run_dir: RunDir, store: Store) -> None:
    """Takes the answers of a run that has ended into the study that waits for them, if there is one."""
    waiting = (its for its in store.studies() if its.run_id == run_dir.id and its.status == "generating")
    for record in waiting:
        finish(store, record, run_dir)


def finish(store: Store, record: StudyRecord, run_dir: RunDir) -> StudyRecord:
    """The study, ready with its items where no answer is missing, else a draft again."""
    design, questions = Design.from_dict(record.design), questions_of(record)
    if not questions or missing(design, questions, written(run_dir)):
        return store.change_study(record.id, status="draft")
    answers = store_written(store, record, design, run_dir)
    if store.study(record.id).status != "generating":  # somebody else was faster
        return store.study(record.id)
    store.set_study_items(record.id, items_of(store, record, design, answers))
    return store.change_study(record.id, status="ready")


def take_in_upload(store: Store, record: StudyRecord, rows: Sequence[UploadedAnswer], digest: str) -> StudyRecord:
    """The study with the questions, models and answers of the file, ready; nothing is changed when it cannot be used.

    digest: of the file. Raises InvalidInput.
    """
    models = uploaded_models(rows)
    design = replace(Design.from_dict(record.design), models=models)
    check_design(design, models)
    questions = sampled(uploaded_questions(rows), design.questions.sample, record.seed)
    wanted = {question.question_id for question in questions}
    kept = [row for row in rows if _of(row) in wanted]
    rubrics = {**record.rubrics, QUESTIONS: kept_questions(questions)}
    record = replace(record, design=design.as_dict(), rubrics=rubrics)
    answers = _store_uploaded(store, record, questions, kept, digest)
    items = items_of(store, record, design, answers)
    store.set_study_items(record.id, items)
    return store.change_study(record.id, design=record.design, rubrics=rubrics, status="ready")


def rebuild(store: Store, record: StudyRecord, answers: Answers) -> StudyRecord:
    """The study, ready, with items of these answers as its design wants them; as it is where some are not there."""
    design = Design.from_dict(record.design)
    wanted = [(question.id, model) for question in questions_of(record) for model in design.models]
    if not wanted or any(key not in answers for key in wanted):
        return record
    store.set_study_items(record.id, items_of(store, record, design, answers))
    return store.change_study(record.id, status="ready")


def stored_answers(store: Store, record: StudyRecord) -> Answers:
    """The answers that the items of the study are made of."""
    ids = {question.question_id: question.id for question in questions_of(record)}
    held = store.study_judgements(record.id)
    its = (answer_id for item in held.items if item.kind != "calibration" for answer_id in item.answer_ids)
    answers = [held.answers[answer_id] for answer_id in its]
    return {(ids[answer.question_id], answer.model_id.removeprefix(UPLOADED)): answer for answer in answers}


def uploaded_questions(rows: Sequence[UploadedAnswer]) -> list[StudyQuestion]:
    """The questions of uploaded answers, each once, in the order of the file."""
    found: dict[str, StudyQuestion] = {}
    for row in rows:
        meta = {"specialty": row.specialty} if row.specialty else {}
        if row.criteria:
            meta["criteria"] = [criterion._asdict() for criterion in row.criteria]  # type: ignore[assignment]
        question = StudyQuestion.of(Example(row.question, None, context=row.context, meta=meta))
        found.setdefault(question.question_id, question)
    return list(found.values())


def uploaded_models(rows: Sequence[UploadedAnswer]) -> tuple[str, ...]:
    """The names of the models in the file, once each. Raises InvalidInput where an answer has none."""
    unnamed = sum(not row.model_name.strip() for row in rows)
    if unnamed:
        told = "1 answer does not say whose it is" if unnamed == 1 else f"{unnamed} answers do not say whose they are"
        raise InvalidInput(f"{told}: give each row its model.")
    return tuple(dict.fromkeys(" ".join(row.model_name.split()) for row in rows))


def _store_uploaded(
    store: Store,
    record: StudyRecord,
    questions: Sequence[StudyQuestion],
    rows: Sequence[UploadedAnswer],
    digest: str,
) -> Answers:
    """The uploaded answers, stored. Raises InvalidInput unless each model has one answer to each question."""
    models = uploaded_models(rows)
    ids = {question.question_id: question.id for question in questions}
    keys = [(ids[_of(row)], " ".join(row.model_name.split())) for row in rows]
    twice = [key for key, n in Counter(keys).items() if n > 1]
    if twice:
        raise InvalidInput(f"{len(twice)} questions have two answers of one model, {twice[0][1]}; leave one of each.")
    lacking = {model: n for model in models if (n := sum((q.id, model) not in set(keys) for q in questions))}
    if lacking:
        told = ", ".join(f"{model} lacks {n}" for model, n in lacking.items())
        raise InvalidInput(f"Each model must have an answer to each of the {len(questions)} questions: {told}.")
    stored = store.add_uploaded_answers(
        record.owner,
        [
            UploadedRow(row.context, row.question, row.reasoning, row.solution, row.raw, model,
                        f"study:{record.id}:{digest}:{model}:{question}")
            for row, (question, model) in zip(rows, keys, strict=True)
        ],
        ORIGIN,
    )  # fmt: skip
    return dict(zip(keys, stored, strict=True))


def _of(row: UploadedAnswer) -> str:
    return StudyQuestion(row.context, row.question).question_id


def items_of(store: Store, record: StudyRecord, design: Design, answers: Answers) -> list[NewItem]:
    """What is judged, in an order drawn from the study's seed so that a number tells of no model; calibration last."""
    questions = {question.id: question for question in questions_of(record)}
    units: list[tuple[StudyQuestion, tuple[str, ...]]] = []
    if design.rates:
        units += [(question, (model,)) for question in questions.values() for model in design.models]
    units += [(questions[id_], (left, right)) for id_, left, right in pairs_of(design, list(questions), record.seed)]
    random.Random(record.seed).shuffle(units)
    items = [
        NewItem(
            number,
            "rate" if len(models) == 1 else "pair",
            question.question_id,
            question.context,
            question.question,
            tuple(answers[question.id, model].id for model in models),
            question.specialty,
        )
        for number, (question, models) in enumerate(units, 1)
    ]
    return [*items, *calibration_items(store, record, design, len(items) + 1)]
