"""Comparisons of two answers, and the votes on them. Both are only added to, never overwritten."""

from collections.abc import Collection, Mapping
from dataclasses import asdict
from typing import Any, get_args

from sqlalchemy import ColumnElement, Select, exists, func, select
from sqlalchemy.orm import Session, aliased

from medchat.errors import InvalidInput, NotFound
from medchat.records import question_id
from medchat.rubrics import Criterion, criteria_of
from medchat.store.answers import answer_record
from medchat.store.database import Database
from medchat.store.judgements import checked_seconds, checked_text, in_a_study, require_ended, saved_before
from medchat.store.ratings import critical_among
from medchat.store.records import (
    AnswerRecord,
    AskedRubric,
    AxisVote,
    CastVote,
    ComparisonRecord,
    PreferenceRecord,
    Vote,
)
from medchat.store.tables import Answer, Comparison, Preference, storable

CRITICAL = "Answer {} is marked as critical, so it cannot be the better one. Vote for the other, a tie, or both bad."


class Comparisons(Database):
    """The verbs of comparisons and preferences."""

    def begin_comparison(
        self,
        rater: str,
        context: str,
        question: str,
        answer_ids: tuple[str, str],
        *,
        blinded: bool,
        draw_seed: int,
        source: Mapping[str, Any],
        save_key: str,
    ) -> ComparisonRecord:
        """The new comparison, or the one that the same save_key made before.

        answer_ids: of the left side and of the right, of two answers that the rater began outside
        conversations to this very question, none of them of a study; else it raises NotFound.
        """
        context, question = storable(context), storable(question)
        values = {
            "rater": rater,
            "question_id": question_id(context, question),
            "context": context,
            "question": question,
            "left_answer_id": answer_ids[0],
            "right_answer_id": answer_ids[1],
            "blinded": blinded,
            "draw_seed": draw_seed,
            "source": dict(source),
            "save_key": save_key,
        }
        return self._write(lambda session: _begin(session, values))

    def comparison(self, rater: str, comparison_id: str) -> ComparisonRecord:
        """One comparison. Raises NotFound when the rater has none under the id."""
        return self._read(lambda session: _record(_require(session, rater, comparison_id)))

    def comparisons_of(self, rater: str, limit: int = 50, offset: int = 0) -> list[ComparisonRecord]:
        """The rater's comparisons outside studies, newest first; offset: how many of these to skip."""
        query = select(Comparison).where(Comparison.rater == rater, ~_in_a_study())
        query = query.order_by(Comparison.created_at.desc(), Comparison.id).limit(limit).offset(offset)
        return self._read(lambda session: [_record(row) for row in session.scalars(query)])

    def answers_of_comparison(self, rater: str, comparison_id: str) -> tuple[AnswerRecord, AnswerRecord]:
        """Its answers, left and right. Raises NotFound when the rater has no such comparison."""

        def work(session: Session) -> tuple[AnswerRecord, AnswerRecord]:
            left, right = _answers(session, _require(session, rater, comparison_id))
            return answer_record(left), answer_record(right)

        return self._read(work)

    def criteria_of_compared(self, rater: str, answer_ids: Collection[str]) -> dict[str, tuple[Criterion, ...]]:
        """The criteria that came with the cases of the rater's comparisons, by the answer's id; only where some did."""
        query = select(Comparison.left_answer_id, Comparison.right_answer_id, Comparison.source)

        def work(session: Session) -> dict[str, tuple[Criterion, ...]]:
            rows = session.execute(query.where(Comparison.rater == rater))
            found = {
                answer_id: criteria_of(row.source, "The case")
                for row in rows
                for answer_id in (row.left_answer_id, row.right_answer_id)
                if answer_id in answer_ids
            }
            return {answer_id: criteria for answer_id, criteria in found.items() if criteria}

        return self._read(work)

    def add_preference(
        self,
        rater: str,
        comparison_id: str,
        vote: Vote,
        axes: Mapping[str, AxisVote],
        reason: str,
        flags: Mapping[str, bool],
        seconds: float,
        save_key: str,
        rubric: AskedRubric | None = None,
    ) -> PreferenceRecord:
        """The rater's newest vote on the comparison, or the one that the same save_key made before.

        axes: which side won on each axis that was answered. flags: the sides, "a" and "b", that are
        flagged. rubric: whose axes they are, not stored without any. Raises NotFound when the rater has no such
        comparison, InvalidInput while an answer is being written, when the better one is critical in anybody's rating,
        for a vote or side that is not known, for axes of no rubric, and for a reason over 20,000 characters.
        """
        values = checked_vote(vote, axes, reason, flags, seconds, rubric)

        def work(session: Session) -> PreferenceRecord:
            earlier = saved_before(session, Preference, rater, save_key, comparison_id=comparison_id)
            if earlier is not None:
                return preference_record(session, earlier)
            comparison = _require(session, rater, comparison_id)
            for answer in _answers(session, comparison):
                require_ended(answer.status)
            better, _ = _better_first(comparison, vote)
            if better and critical_among(session, [better]):
                raise InvalidInput(CRITICAL.format(vote.upper()))
            before = session.scalar(_newest(rater, comparison_id))
            row = Preference(
                **values,
                rater=rater,
                comparison_id=comparison_id,
                blinded=comparison.blinded and before is None,
                supersedes=None if before is None else before.id,
                save_key=save_key,
            )
            session.add(row)
            session.flush()
            return preference_record(session, row)

        return self._write(work)

    def preference_of(self, rater: str, comparison_id: str) -> PreferenceRecord | None:
        """The rater's newest vote on the comparison; None before the first, and for one of a study."""

        def work(session: Session) -> PreferenceRecord | None:
            row = session.scalar(_newest(rater, comparison_id))
            return None if row is None else preference_record(session, row)

        return self._read(work)


def _begin(session: Session, values: dict[str, Any]) -> ComparisonRecord:
    earlier = saved_before(session, Comparison, values["rater"], values["save_key"], question_id=values["question_id"])
    if earlier is not None:
        return _record(earlier)
    fitting = select(func.count()).where(
        Answer.id.in_((values["left_answer_id"], values["right_answer_id"])),
        Answer.owner == values["rater"],
        Answer.question_id == values["question_id"],
        Answer.conversation_id.is_(None),
        ~in_a_study(Answer.id),
    )
    if session.scalar(fitting) != 2:
        raise NotFound("These are not two answers to this question. Ask again.")
    row = Comparison(**values)
    session.add(row)
    session.flush()
    return _record(row)


def _require(session: Session, rater: str, comparison_id: str) -> Comparison:
    row = session.scalar(select(Comparison).where(Comparison.id == comparison_id, ~_in_a_study()))
    if row is None or row.rater != rater:
        raise NotFound("There is no such comparison. Start a new one.")
    return row


def _in_a_study() -> ColumnElement[bool]:
    """Of a row of Comparison: whether it is a pair of a study. It comes into being with its first vote."""
    vote = aliased(Preference)
    return exists().where(vote.comparison_id == Comparison.id, vote.assignment_id.is_not(None))


def _answers(session: Session, row: Comparison) -> tuple[Answer, Answer]:
    return session.get_one(Answer, row.left_answer_id), session.get_one(Answer, row.right_answer_id)


def _newest(rater: str, comparison_id: str) -> Select[Preference]:
    later = aliased(Preference)
    return select(Preference).where(
        Preference.comparison_id == comparison_id,
        Preference.rater == rater,
        Preference.assignment_id.is_(None),
        ~exists().where(later.supersedes == Preference.id),
    )


def checked_vote(
    vote: str,
    axes: Mapping[str, str],
    reason: str,
    flags: Mapping[str, bool],
    seconds: float,
    rubric: AskedRubric | None,
) -> dict[str, Any]:
    """The columns of a vote. Raises InvalidInput as add_preference does."""
    if vote not in get_args(Vote):
        raise InvalidInput("A vote is for A, for B, a tie, or that both are bad.")
    if not set(axes.values()) <= set(get_args(AxisVote)):
        raise InvalidInput("On an axis A is better, or B, or it is a tie.")
    if not set(flags) <= {"a", "b"}:
        raise InvalidInput("Only the sides A and B can be flagged.")
    if axes and rubric is None:
        raise InvalidInput("The answers came without their questions. Reload the page and vote again.")
    return {
        **(asdict(rubric) if axes and rubric else {}),
        "vote": vote,
        "axes": dict(axes),
        "reason": checked_text("reason", reason),
        "flag_a": bool(flags.get("a")),
        "flag_b": bool(flags.get("b")),
        "seconds": checked_seconds(seconds),
    }


def _record(row: Comparison) -> ComparisonRecord:
    return ComparisonRecord(
        id=row.id,
        rater=row.rater,
        question_id=row.question_id,
        context=row.context,
        question=row.question,
        answer_ids=(row.left_answer_id, row.right_answer_id),
        blinded=row.blinded,
        draw_seed=row.draw_seed,
        source=row.source,
        created_at=row.created_at,
    )


def _better_first(row: Comparison, vote: str) -> tuple[str | None, str | None]:
    """The ids of the better answer and of the other one; twice None where neither is better."""
    left, right = row.left_answer_id, row.right_answer_id
    return {"a": (left, right), "b": (right, left)}.get(vote, (None, None))


def cast_votes() -> Select[Preference, str, str]:
    """Votes, each with the ids of its left and of its right answer: what cast_vote takes."""
    query = select(Preference, Comparison.left_answer_id, Comparison.right_answer_id)
    return query.join(Comparison, Comparison.id == Preference.comparison_id)


def newest_votes() -> Select[Preference, str, str]:
    """Those of cast_votes that no later one supersedes, of all raters."""
    later = aliased(Preference)
    return cast_votes().where(~exists().where(later.supersedes == Preference.id))


def cast_vote(row: Preference, left: str, right: str) -> CastVote:
    """The vote as it is read with many others."""
    return CastVote(
        id=row.id,
        rater=row.rater,
        comparison_id=row.comparison_id,
        answer_ids=(left, right),
        vote=row.vote,  # type: ignore[arg-type]  # only checked ones come in
        axes=row.axes,
        reason=row.reason,
        flags=frozenset(side for side, is_flagged in (("a", row.flag_a), ("b", row.flag_b)) if is_flagged),
        seconds=row.seconds,
        created_at=row.created_at,
        rubric=_rubric(row),
    )


def preference_record(session: Session, row: Preference) -> PreferenceRecord:
    """The vote as it is handed out."""
    chosen, rejected = _better_first(session.get_one(Comparison, row.comparison_id), row.vote)
    is_flagged = {"a": row.flag_a, "b": row.flag_b}.get(row.vote)
    if chosen and (is_flagged or critical_among(session, [chosen])):
        chosen = rejected = None
    return PreferenceRecord(
        id=row.id,
        rater=row.rater,
        comparison_id=row.comparison_id,
        vote=row.vote,  # type: ignore[arg-type]  # only checked ones come in
        axes=row.axes,
        reason=row.reason,
        flags={"a": row.flag_a, "b": row.flag_b},
        seconds=row.seconds,
        created_at=row.created_at,
        supersedes=row.supersedes,
        blinded=row.blinded,
        chosen=chosen,
        rejected=rejected,
        rubric=_rubric(row),
    )


def _rubric(row: Preference) -> AskedRubric | None:
    if row.rubric_id is None or row.rubric_version is None or row.shown is None:
        return None
    return AskedRubric(row.rubric_id, row.rubric_version, row.shown)
