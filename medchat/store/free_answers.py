"""Answers outside conversations: those of comparisons and uploaded ones."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy.orm import Session

from medchat.errors import InvalidInput
from medchat.records import Message, Sampling
from medchat.store.answers import add_answer, answer_record, answer_saved_before, asked, how
from medchat.store.database import Database
from medchat.store.judgements import require_to_judge
from medchat.store.records import AnswerRecord, UploadedRow
from medchat.store.tables import Answer, Model

UNKNOWN = "unknown"


class FreeAnswers(Database):
    """The verbs of answers outside conversations."""

    def begin_free_answer(
        self,
        owner: str,
        context: str,
        question: str,
        model_id: str,
        *,
        prompt: Sequence[Message] | None,
        sampling: Sampling | None,
        answer_format: str,
        grounding: Mapping[str, Any] | None = None,
        origin: str = "compare",
        route: Mapping[str, Any] | None = None,
        note: str = "",
        save_key: str | None = None,
    ) -> AnswerRecord:
        """A new answer in status 'writing', or the one that the same save_key made before.

        It grows and ends by the same verbs as one of a conversation. Raises NotFound for a model that was
        never added.
        """
        values = {
            **asked(owner, context, question, model_id, origin, save_key),
            **how(prompt, sampling, answer_format, grounding, route, note),
            "status": "writing",
        }
        return self._write(lambda session: add_once(session, values))

    def add_uploaded_answers(self, owner: str, rows: Sequence[UploadedRow], origin: str) -> list[AnswerRecord]:
        """The answers, each new or as the same save_key made it before; all of them, or none.

        Their models are stored as "uploaded:" and the name, "uploaded:unknown" for an empty one; prompt,
        sampling and seed are None. Raises InvalidInput for an answer without any text.
        """
        if any(not (row.reasoning.strip() or row.solution.strip()) for row in rows):
            raise InvalidInput("There is neither a reasoning nor a solution: an answer needs some text.")
        return self._write(lambda session: [_uploaded(session, owner, row, origin) for row in rows])

    def answer_to_judge(self, rater: str, answer_id: str) -> AnswerRecord:
        """The answer, for a rater who owns it, has it in their queue, or was given it by a study.

        Raises NotFound for everybody else, also for who owns the answer of a study.
        """

        def work(session: Session) -> AnswerRecord:
            require_to_judge(session, rater, [answer_id])
            return answer_record(session.get_one(Answer, answer_id))

        return self._read(work)


def add_once(session: Session, values: Mapping[str, Any]) -> AnswerRecord:
    """The new answer outside conversations, or the one that the same save_key made before."""
    row = answer_saved_before(session, values["owner"], values["save_key"])
    return answer_record(row or add_answer(session, **values, version=1))


def _uploaded(session: Session, owner: str, row: UploadedRow, origin: str) -> AnswerRecord:
    name = " ".join(row.model_name.split()) or UNKNOWN
    model_id = f"uploaded:{name}"
    if session.get(Model, model_id) is None:
        session.add(
            Model(id=model_id, name=name, base="", revision="", adapter_hash="", format="plain", recipe="", run_id="")
        )
        session.flush()
    values = {
        **asked(owner, row.context, row.question, model_id, origin, row.save_key),
        **how(None, None, "plain", None, None, ""),
        "status": "done",
        "reasoning": row.reasoning,
        "solution": row.solution,
        "raw": row.raw,
        "complete": bool(row.solution.strip()),
    }
    return add_once(session, values)
