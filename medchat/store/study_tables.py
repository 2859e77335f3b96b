"""The tables of studies. A change here needs a migration in migrations/versions."""

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, ForeignKey, Index, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from medchat.store.tables import Base, Judgement, new_id, now


class StudyRow(Base):
    """A study, from its draft to its end."""

    __tablename__ = "studies"

    id: Mapped[str] = mapped_column(primary_key=True, default=new_id)
    name: Mapped[str]
    owner: Mapped[str]
    status: Mapped[str] = mapped_column(default="draft")
    design: Mapped[dict[str, Any]]
    rubrics: Mapped[dict[str, Any]]
    seed: Mapped[int] = mapped_column(BigInteger)
    run_id: Mapped[str] = mapped_column(default="")
    may_train: Mapped[bool] = mapped_column(default=False)
    show_results: Mapped[bool] = mapped_column(default=False)
    created_at: Mapped[datetime] = mapped_column(default=now, index=True)
    opened_at: Mapped[datetime | None]
    closed_at: Mapped[datetime | None]
    save_key: Mapped[str] = mapped_column(unique=True)


class StudyItemRow(Base):
    """What is judged: an answer, or a pair of them in no order that means anything."""

    __tablename__ = "study_items"
    __table_args__ = (UniqueConstraint("study_id", "number"),)

    id: Mapped[str] = mapped_column(primary_key=True, default=new_id)
    study_id: Mapped[str] = mapped_column(ForeignKey("studies.id"))
    number: Mapped[int]
    kind: Mapped[str]
    question_id: Mapped[str]
    context: Mapped[str]
    question: Mapped[str]
    answer_id: Mapped[str] = mapped_column(ForeignKey("answers.id"), index=True)
    other_answer_id: Mapped[str | None] = mapped_column(ForeignKey("answers.id"), index=True)
    specialty: Mapped[str]
    known: Mapped[dict[str, Any] | None]


class StudyRaterRow(Base):
    """A rater of a study, also one who dropped out."""

    __tablename__ = "study_raters"

    study_id: Mapped[str] = mapped_column(ForeignKey("studies.id"), primary_key=True)
    rater: Mapped[str] = mapped_column(primary_key=True, index=True)
    group: Mapped[str]
    joined_at: Mapped[datetime] = mapped_column(default=now)
    left_at: Mapped[datetime | None]
    consented_at: Mapped[datetime | None]
    consent_text: Mapped[str] = mapped_column(default="")


class AssignmentRow(Base):
    """An item that is given to a rater. judgement_id: of their newest rating or vote on it."""

    __tablename__ = "assignments"
    __table_args__ = (Index(None, "study_id", "rater", "position"),)

    id: Mapped[str] = mapped_column(primary_key=True, default=new_id)
    study_id: Mapped[str] = mapped_column(ForeignKey("studies.id"))
    item_id: Mapped[str] = mapped_column(ForeignKey("study_items.id"), index=True)
    rater: Mapped[str]
    position: Mapped[int]
    flipped: Mapped[bool]
    repeat_of: Mapped[str | None] = mapped_column(ForeignKey("assignments.id"))
    state: Mapped[str] = mapped_column(default="open")
    opened_at: Mapped[datetime | None]
    done_at: Mapped[datetime | None]
    judgement_id: Mapped[str] = mapped_column(default="")
    cannot_reason: Mapped[str] = mapped_column(default="")


class CalibrationRow(Judgement, Base):
    """What a rater said of a case whose answer is known. Rows are only added."""

    __tablename__ = "calibrations"
    __table_args__ = (Index(None, "study_id", "rater"),)

    study_id: Mapped[str] = mapped_column(ForeignKey("studies.id"))
    item_id: Mapped[str] = mapped_column(ForeignKey("study_items.id"))
    given: Mapped[dict[str, Any]]
    right: Mapped[bool]


class AdjudicationRow(Judgement, Base):
    """A decision on an item; rater: who adjudicated. The newest is the one that no other supersedes."""

    __tablename__ = "adjudications"

    study_id: Mapped[str] = mapped_column(ForeignKey("studies.id"), index=True)
    item_id: Mapped[str] = mapped_column(ForeignKey("study_items.id"), index=True)
    reasons: Mapped[list[str]]
    decision: Mapped[dict[str, Any]]
    comment: Mapped[str]
    supersedes: Mapped[str | None] = mapped_column(ForeignKey("adjudications.id"), unique=True)
