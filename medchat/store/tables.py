"""The tables. A change here needs a migration in migrations/versions."""

from datetime import UTC, datetime
from typing import Any, ClassVar
from uuid import uuid4

from sqlalchemy import JSON, BigInteger, DateTime, Dialect, ForeignKey, Index, MetaData, Text, UniqueConstraint
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.types import TypeDecorator


def now() -> datetime:
    """This moment, in UTC."""
    return datetime.now(UTC)


def new_id() -> str:
    """A random id: a sequential one would betray the order in which answers were made."""
    return str(uuid4())


def storable(text: str) -> str:
    """The text without what a database cannot hold: lone surrogates and NUL become U+FFFD."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace").replace("\0", "\ufffd")


class StorableText(TypeDecorator[str]):
    """Text of people and models, which may hold characters that no database takes."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        return None if value is None else storable(value)


class UtcDateTime(TypeDecorator[datetime]):
    """A time with its zone: SQLite would drop the zone and give back a naive one."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return None if value is None else value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class Base(DeclarativeBase):
    """Every constraint has a name, so that a migration can change it."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map: ClassVar = {
        str: StorableText,
        datetime: UtcDateTime,
        dict[str, Any]: JSON(none_as_null=True),
        list[dict[str, Any]]: JSON(none_as_null=True),
        list[str]: JSON(none_as_null=True),
    }


class Model(Base):
    """A model that answered, or came out of a run. recipe, run_id: how it was trained here, "" where it was not."""

    __tablename__ = "models"

    id: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str]
    base: Mapped[str]
    revision: Mapped[str]
    adapter_hash: Mapped[str]
    format: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(default=now)
    recipe: Mapped[str]
    run_id: Mapped[str]


class Question(Base):
    """A question, under the id that equal ones share, in the words in which it was asked first."""

    __tablename__ = "questions"

    id: Mapped[str] = mapped_column(primary_key=True)
    context: Mapped[str]
    question: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(default=now)


class Conversation(Base):
    """Turns of one owner. hidden_at: when it was deleted and had to be kept, because something in it is rated."""

    __tablename__ = "conversations"
    __table_args__ = (Index(None, "owner", "updated_at"),)

    id: Mapped[str] = mapped_column(primary_key=True, default=new_id)
    owner: Mapped[str]
    title: Mapped[str]
    model_id: Mapped[str] = mapped_column(ForeignKey("models.id"))
    created_at: Mapped[datetime] = mapped_column(default=now)
    updated_at: Mapped[datetime] = mapped_column(default=now)
    hidden_at: Mapped[datetime | None]


class Answer(Base):
    """One version of the answer to one question; parent_id: the answer after which it was asked.

    owner: who asked, or uploaded it. base, revision and adapter_hash: what the model was at that time.
    hidden_at: when it was deleted and had to be kept, because it or one with it is rated.
    context and question repeat the question in this asker's own words: spacing and capitals may
    differ from those of the shared row, and the places in `grounding` count characters of these.
    """

    __tablename__ = "answers"
    __table_args__ = (
        UniqueConstraint("conversation_id", "position", "version"),
        Index(None, "conversation_id", "hidden_at", "position"),  # counts the turns without reading the rows
    )

    id: Mapped[str] = mapped_column(primary_key=True, default=new_id)
    question_id: Mapped[str] = mapped_column(ForeignKey("questions.id"), index=True)
    context: Mapped[str]
    question: Mapped[str]
    conversation_id: Mapped[str | None] = mapped_column(ForeignKey("conversations.id"))
    position: Mapped[int | None]
    version: Mapped[int]
    model_id: Mapped[str] = mapped_column(ForeignKey("models.id"))
    status: Mapped[str] = mapped_column(index=True)
    raw: Mapped[str] = mapped_column(default="")
    reasoning: Mapped[str] = mapped_column(default="")
    solution: Mapped[str] = mapped_column(default="")
    complete: Mapped[bool] = mapped_column(default=False)
    finish_reason: Mapped[str | None]
    error: Mapped[str] = mapped_column(default="")
    prompt: Mapped[list[dict[str, Any]] | None]
    sampling: Mapped[dict[str, Any] | None]
    seed: Mapped[int | None] = mapped_column(BigInteger)
    answer_format: Mapped[str]
    grounding: Mapped[dict[str, Any] | None]
    origin: Mapped[str]
    route: Mapped[dict[str, Any] | None]
    prompt_tokens: Mapped[int | None]
    completion_tokens: Mapped[int | None]
    ttft_ms: Mapped[float | None]
    reasoning_ms: Mapped[float | None]
    total_ms: Mapped[float | None]
    note: Mapped[str] = mapped_column(default="")
    created_at: Mapped[datetime] = mapped_column(default=now)
    updated_at: Mapped[datetime] = mapped_column(default=now)
    save_key: Mapped[str | None] = mapped_column(unique=True)
    parent_id: Mapped[str | None] = mapped_column(ForeignKey("answers.id"), index=True)
    selected_at: Mapped[datetime] = mapped_column(default=now)
    hidden_at: Mapped[datetime | None]
    owner: Mapped[str]
    base: Mapped[str]
    revision: Mapped[str]
    adapter_hash: Mapped[str]


class ThumbRow(Base):
    """A thumb for an answer. Rows are only added: the newest is the one that no other supersedes."""

    __tablename__ = "thumbs"

    id: Mapped[str] = mapped_column(primary_key=True, default=new_id)
    owner: Mapped[str]
    answer_id: Mapped[str] = mapped_column(ForeignKey("answers.id"), index=True)
    thumb: Mapped[str]
    reasons: Mapped[list[str]]
    comment: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(default=now)
    supersedes: Mapped[str | None] = mapped_column(ForeignKey("thumbs.id"), unique=True)
    save_key: Mapped[str | None] = mapped_column(unique=True)


class SearchText(Base):
    """What a search reads: the folded text of an answer under its id, or of a title under its conversation's.

    Only what is shown has a row here. Derived: an export leaves it out.
    """

    __tablename__ = "search_texts"
    __table_args__ = {"info": {"derived": True}}  # noqa: RUF012  read once, when the class is made

    id: Mapped[str] = mapped_column(primary_key=True)
    conversation_id: Mapped[str] = mapped_column(ForeignKey("conversations.id"), index=True)
    text: Mapped[str]


class UserRow(Base):
    """An account. name_key: the name as it is compared. Columns marked secret are in no export."""

    __tablename__ = "users"

    id: Mapped[str] = mapped_column(primary_key=True, default=new_id)
    name: Mapped[str]
    name_key: Mapped[str] = mapped_column(unique=True)
    role: Mapped[str]
    password_hash: Mapped[str | None] = mapped_column(info={"secret": True})
    hub_name: Mapped[str | None] = mapped_column(unique=True)
    disabled: Mapped[bool] = mapped_column(default=False)
    created_at: Mapped[datetime] = mapped_column(default=now)


class SignInRow(Base):
    """A session of a user, under the hash of what the browser keeps."""

    __tablename__ = "sign_ins"

    id: Mapped[str] = mapped_column(primary_key=True, default=new_id)
    user_id: Mapped[str] = mapped_column(ForeignKey("users.id"), index=True)
    token_hash: Mapped[str] = mapped_column(unique=True, info={"secret": True})
    address: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(default=now)
    expires_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]


class AuditRow(Base):
    """Who did what, and when. Rows are only added."""

    __tablename__ = "audit"
    __table_args__ = (Index(None, "action", "created_at"),)

    id: Mapped[str] = mapped_column(primary_key=True, default=new_id)
    created_at: Mapped[datetime] = mapped_column(default=now, index=True)
    actor: Mapped[str]
    action: Mapped[str]
    target: Mapped[str]
    details: Mapped[dict[str, Any]]
    address: Mapped[str]


class Judgement:
    """The columns of what a rater says. Rows are only added."""

    id: Mapped[str] = mapped_column(primary_key=True, default=new_id)
    rater: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(default=now)
    save_key: Mapped[str] = mapped_column(unique=True)


class Comparison(Judgement, Base):
    """One question answered by two models, and on which side the draw put each."""

    __tablename__ = "comparisons"
    __table_args__ = (Index(None, "rater", "created_at"),)

    question_id: Mapped[str] = mapped_column(ForeignKey("questions.id"))
    context: Mapped[str]
    question: Mapped[str]
    left_answer_id: Mapped[str] = mapped_column(ForeignKey("answers.id"), index=True)
    right_answer_id: Mapped[str] = mapped_column(ForeignKey("answers.id"), index=True)
    blinded: Mapped[bool]
    draw_seed: Mapped[int] = mapped_column(BigInteger)
    source: Mapped[dict[str, Any]]


class Preference(Judgement, Base):
    """A vote on a comparison: "a" is its left side. The newest is the one that no other supersedes.

    rubric_id, rubric_version, shown: of the axes' wording; without answered axes none. assignment_id: of a study.
    """

    __tablename__ = "preferences"

    comparison_id: Mapped[str] = mapped_column(ForeignKey("comparisons.id"), index=True)
    vote: Mapped[str]
    axes: Mapped[dict[str, Any]]
    rubric_id: Mapped[str | None]
    rubric_version: Mapped[int | None]
    shown: Mapped[dict[str, Any] | None]
    reason: Mapped[str]
    flag_a: Mapped[bool]
    flag_b: Mapped[bool]
    seconds: Mapped[float]
    blinded: Mapped[bool]
    supersedes: Mapped[str | None] = mapped_column(ForeignKey("preferences.id"), unique=True)
    assignment_id: Mapped[str | None] = mapped_column(ForeignKey("assignments.id"), index=True)


class Rating(Judgement, Base):
    """A filled form on an answer. The newest of a rater and rubric is the one that no other supersedes.

    assignment_id: of a study, where it was filled in for one; then the newest is that of the assignment.
    """

    __tablename__ = "ratings"
    __table_args__ = (Index(None, "rater", "created_at"),)

    answer_id: Mapped[str] = mapped_column(ForeignKey("answers.id"), index=True)
    rubric_id: Mapped[str]
    rubric_version: Mapped[int]
    shown: Mapped[dict[str, Any]]
    harm_extent: Mapped[str]
    harm_likelihood: Mapped[str]
    critical: Mapped[bool]
    cannot_rate: Mapped[str]
    first_wrong_step: Mapped[int | None]
    corrected_reasoning: Mapped[str]
    corrected_solution: Mapped[str]
    comment: Mapped[str]
    seconds: Mapped[float]
    blinded: Mapped[bool]
    supersedes: Mapped[str | None] = mapped_column(ForeignKey("ratings.id"), unique=True)
    assignment_id: Mapped[str | None] = mapped_column(ForeignKey("assignments.id"), index=True)


class AxisScore(Base):
    """What a rating says on one axis of its rubric."""

    __tablename__ = "axis_scores"

    rating_id: Mapped[str] = mapped_column(ForeignKey("ratings.id"), primary_key=True)
    axis: Mapped[str] = mapped_column(primary_key=True)
    value: Mapped[Any] = mapped_column(JSON)


class StepMarkRow(Base):
    """What a rating says on one step of the reasoning: 1 correct, 0 neutral, -1 wrong."""

    __tablename__ = "step_marks"

    rating_id: Mapped[str] = mapped_column(ForeignKey("ratings.id"), primary_key=True)
    step: Mapped[int] = mapped_column(primary_key=True)
    mark: Mapped[int]


class SpanMarkRow(Base):
    """A passage that a rating marks; number: counts these from 1."""

    __tablename__ = "span_marks"

    rating_id: Mapped[str] = mapped_column(ForeignKey("ratings.id"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    part: Mapped[str]
    start_char: Mapped[int]
    end_char: Mapped[int]
    quote: Mapped[str]
    kind: Mapped[str]
    comment: Mapped[str]


class QueueRow(Base):
    """An answer that waits for a rater, or waited. criteria: those that came with its question."""

    __tablename__ = "queue_items"
    __table_args__ = (UniqueConstraint("rater", "answer_id"), Index(None, "rater", "position"))

    id: Mapped[str] = mapped_column(primary_key=True, default=new_id)
    rater: Mapped[str]
    answer_id: Mapped[str] = mapped_column(ForeignKey("answers.id"), index=True)
    source: Mapped[str]
    position: Mapped[int]
    state: Mapped[str] = mapped_column(default="open")
    criteria: Mapped[list[dict[str, Any]] | None]
    created_at: Mapped[datetime] = mapped_column(default=now)
    updated_at: Mapped[datetime] = mapped_column(default=now)


class Draft(Base):
    """A form that is being filled in: the only thing a rater writes that is overwritten."""

    __tablename__ = "drafts"

    rater: Mapped[str] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    data: Mapped[dict[str, Any]]
    updated_at: Mapped[datetime] = mapped_column(default=now)


class Run(Base):
    """A run that has ended. Its folder, path, holds all that it wrote."""

    __tablename__ = "runs"
    __table_args__ = (Index(None, "kind", "created_at"),)

    id: Mapped[str] = mapped_column(primary_key=True)
    kind: Mapped[str]
    name: Mapped[str]
    owner: Mapped[str]
    recipe: Mapped[str]
    base: Mapped[str]
    model_id: Mapped[str]
    config: Mapped[dict[str, Any]]
    status: Mapped[str]
    created_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]
    metrics: Mapped[dict[str, Any]]
    path: Mapped[str]


class Evaluation(Base):
    """What a run found out about one model, as it was then, on one suite."""

    __tablename__ = "evaluations"
    __table_args__ = (Index(None, "model_id", "suite"),)

    id: Mapped[str] = mapped_column(primary_key=True)
    run_id: Mapped[str] = mapped_column(ForeignKey("runs.id"), index=True)
    model_id: Mapped[str]
    base: Mapped[str]
    revision: Mapped[str]
    adapter_hash: Mapped[str]
    suite: Mapped[str]
    suite_hash: Mapped[str]
    sampling: Mapped[dict[str, Any]]
    n: Mapped[int]
    summary: Mapped[dict[str, Any]]
    created_at: Mapped[datetime]
    path: Mapped[str]
