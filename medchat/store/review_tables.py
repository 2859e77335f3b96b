"""The table of reviews. A change here needs a migration in migrations/versions."""

from typing import Any

from sqlalchemy import ForeignKey
from sqlalchemy.orm import Mapped, mapped_column

from medchat.store.tables import Base, Judgement


class ReviewRow(Judgement, Base):
    """What somebody decided on a row of training data. The newest is the one that no other supersedes.

    The row itself stands in files: set_id and row_id say where it was shown, content_sha what it said.
    """

    __tablename__ = "reviews"

    set_id: Mapped[str] = mapped_column(index=True)
    row_id: Mapped[str]
    content_sha: Mapped[str] = mapped_column(index=True)
    decision: Mapped[str]
    reason: Mapped[str]
    fixed: Mapped[dict[str, Any] | None]
    checked_against: Mapped[str]
    seconds: Mapped[float]
    supersedes: Mapped[str | None] = mapped_column(ForeignKey("reviews.id"), unique=True)
