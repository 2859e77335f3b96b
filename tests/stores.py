"""Stores with conversations, answers and comparisons, for tests of what the store does with them."""

import random
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any, Literal

from sqlalchemy import insert

from medchat.store import (
    AnswerRecord,
    AskedRubric,
    ComparisonRecord,
    FinalStatus,
    ModelRecord,
    RatingForm,
    Store,
    UploadedRow,
    migrate,
)
from medchat.store.tables import Answer, Conversation, Question, SearchText, new_id, now

PAIRWISE = AskedRubric("pairs", 2, {"axes": [{"id": "harm", "question": "Which does more harm?"}]})
FORM = RatingForm("clinical-3", 1, {"axes": [{"id": "safety", "question": "Is it safe?"}]}, {"safety": "4"})


def new_store(folder: Path) -> Store:
    """A store of the current version in folder/medchat.db, with the model 'demo'."""
    url = f"sqlite:///{folder / 'medchat.db'}"
    migrate.upgrade(url, folder / "backups")
    store = Store(url)
    store.add_model(ModelRecord("demo", "Demo"))
    return store


def begin(store: Store, conversation_id: str, question: str = "Why the fever?", **more: Any) -> AnswerRecord:
    """A new answer of Ada's, after none where `parent_id` is not given."""
    values: dict[str, Any] = {
        "context": "", "prompt": None, "sampling": None, "answer_format": "think", "parent_id": None
    }  # fmt: skip
    owner = more.pop("owner", "ada")
    return store.begin_answer(owner, conversation_id, question=question, model_id="demo", **{**values, **more})


def finish(store: Store, answer_id: str, solution: str = "Rest.", reasoning: str = "") -> AnswerRecord:
    """The answer as it has ended."""
    return store.finish_answer(
        answer_id, "done", raw=solution, reasoning=reasoning, solution=solution, complete=True, finish_reason="stop"
    )


def answered(
    store: Store, conversation_id: str, question: str, solution: str, parent: AnswerRecord | None = None, **more: Any
) -> AnswerRecord:
    """A question after `parent`, and the end of its answer."""
    begun = begin(store, conversation_id, question, parent_id=parent and parent.id, **more)
    return finish(store, begun.id, solution)


def values(folder: Path, query: str) -> list[Any]:
    with closing(sqlite3.connect(folder / "medchat.db")) as connection:
        return [row[0] for row in connection.execute(query)]


def chat_answer(store: Store, owner: str = "ada") -> AnswerRecord:
    """The answer in a conversation of the owner's."""
    return answered(store, store.start_conversation(owner, "demo", "Fever").id, "Why the fever?", "Rest.", owner=owner)


def free_answer(
    store: Store, owner: str = "ada", question: str = "Why?", status: Literal["writing"] | FinalStatus = "done"
) -> AnswerRecord:
    """An answer outside conversations; 'writing' has not ended."""
    begun = store.begin_free_answer(owner, "", question, "demo", prompt=None, sampling=None, answer_format="think")
    if status == "writing":
        return begun
    return store.finish_answer(
        begun.id, status, raw="Rest.", reasoning="", solution="Rest.", complete=True, finish_reason="stop"
    )


def uploaded(store: Store, n: int, owner: str = "ada") -> AnswerRecord:
    row = UploadedRow("", f"Why {n}?", "", f"So {n}.", f"So {n}.", "big", f"{owner}{n}")
    return store.add_uploaded_answers(owner, [row], "upload")[0]


def compare(store: Store, left: AnswerRecord, right: AnswerRecord, **more: Any) -> ComparisonRecord:
    values = {"blinded": True, "draw_seed": 7, "source": {"kind": "typed"}, "save_key": f"{left.id}:{right.id}", **more}
    return store.begin_comparison(left.owner, "", "Why?", (left.id, right.id), **values)


def vote(store: Store, comparison_id: str, save_key: str, vote: Any = "a", rater: str = "ada", **more: Any) -> Any:
    values: dict[str, Any] = {"axes": {}, "reason": "", "flags": {}, "seconds": 3.5, "rubric": PAIRWISE, **more}
    return store.add_preference(rater, comparison_id, vote, save_key=save_key, **values)


def fill(store: Store, conversations: int, turns: int, owner: str = "ada") -> list[str]:
    """Puts conversations with answers of 2,000 characters into the store; returns the words used."""
    rng = random.Random(3)
    words = ["".join(rng.choices("abcdefghijklmnoprstuvwyzäé", k=rng.randint(3, 11))) for _ in range(5000)]

    def text(n_chars: int) -> str:
        return " ".join(rng.choices(words, k=n_chars // 7))[:n_chars]

    rows: dict[Any, list[dict[str, Any]]] = {Conversation: [], Question: [], Answer: [], SearchText: []}
    same = {
        "context": "", "model_id": "demo", "status": "done", "complete": True, "error": "", "note": "", "version": 1,
        "answer_format": "think", "origin": "chat", "prompt": [{"role": "user", "content": "x" * 4000}],
        "owner": owner, "base": "", "revision": "", "adapter_hash": "",
    }  # fmt: skip
    for n in range(conversations):
        talk, parent = new_id(), None
        rows[Conversation].append({"id": talk, "owner": owner, "title": f"Talk {n}", "model_id": "demo"})
        rows[SearchText].append({"id": talk, "conversation_id": talk, "text": f"talk {n}"})
        for position in range(turns):
            answer, question, reasoning, solution = new_id(), text(200), text(1000), text(1000)
            place = {"conversation_id": talk, "position": position, "parent_id": parent, "question_id": answer}
            texts = {"question": question, "reasoning": reasoning, "solution": solution, "raw": reasoning + solution}
            rows[Question].append({"id": answer, "context": "", "question": question})
            rows[Answer].append({"id": answer, "created_at": now(), **place, **texts, **same})
            folded = f"{question}\n\n{reasoning}\n{solution}"
            rows[SearchText].append({"id": answer, "conversation_id": talk, "text": folded})
            parent = answer
    with store._engine.begin() as connection:  # by the verbs it would take a minute
        for table, entries in rows.items():
            connection.execute(insert(table), entries)
    return words
