"""Stores with a conversation, for tests of what the store does with it."""

from pathlib import Path
from typing import Any

from medchat.store import AnswerRecord, ModelRecord, Store, migrate


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
