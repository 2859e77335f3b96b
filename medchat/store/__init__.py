"""The store: what MedChat remembers. Verb methods, one transaction each; frozen records come out."""

from medchat.store.answers import Answers
from medchat.store.audit import Audit
from medchat.store.comparisons import Comparisons
from medchat.store.conversations import Conversations
from medchat.store.deletion import Deletion
from medchat.store.drafts import Drafts
from medchat.store.free_answers import FreeAnswers
from medchat.store.judged import CastVote, Judged, Judgements
from medchat.store.models import Models
from medchat.store.rating_queue import RatingQueue
from medchat.store.ratings import Ratings
from medchat.store.records import (
    SPAN_KINDS,
    THUMB_REASONS,
    AnswerRecord,
    AskedRubric,
    AuditRecord,
    AxisVote,
    ComparisonRecord,
    ConversationRecord,
    EvaluationRecord,
    FinalStatus,
    FoundConversation,
    ModelRecord,
    PreferenceRecord,
    QueueItem,
    QueueItemState,
    QueueState,
    RatingForm,
    RatingRecord,
    Removal,
    RunRecord,
    SignIn,
    SpanMark,
    StepMark,
    Thumb,
    ThumbRecord,
    UploadedRow,
    UserRecord,
    Vote,
    selected_path,
)
from medchat.store.runs import Runs
from medchat.store.search import Search
from medchat.store.thumbs import Thumbs
from medchat.store.users import Users

__all__ = [
    "SPAN_KINDS",
    "THUMB_REASONS",
    "AnswerRecord",
    "AskedRubric",
    "AuditRecord",
    "AxisVote",
    "CastVote",
    "ComparisonRecord",
    "ConversationRecord",
    "EvaluationRecord",
    "FinalStatus",
    "FoundConversation",
    "Judgements",
    "ModelRecord",
    "PreferenceRecord",
    "QueueItem",
    "QueueItemState",
    "QueueState",
    "RatingForm",
    "RatingRecord",
    "Removal",
    "RunRecord",
    "SignIn",
    "SpanMark",
    "StepMark",
    "Store",
    "Thumb",
    "ThumbRecord",
    "UploadedRow",
    "UserRecord",
    "Vote",
    "selected_path",
]


class Store(
    Models,
    Conversations,
    Answers,
    FreeAnswers,
    Thumbs,
    Comparisons,
    Ratings,
    Judged,
    RatingQueue,
    Drafts,
    Runs,
    Users,
    Audit,
    Deletion,
    Search,
):
    """All verbs on one database: those of each noun stand in a file of their own."""
