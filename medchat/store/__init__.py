"""The store: what MedChat remembers. Verb methods, one transaction each; frozen records come out."""

from medchat.store.answers import Answers
from medchat.store.audit import Audit
from medchat.store.comparisons import Comparisons
from medchat.store.conversations import Conversations
from medchat.store.deletion import Deletion
from medchat.store.drafts import Drafts
from medchat.store.free_answers import FreeAnswers
from medchat.store.judged import Judged, Judgements
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
    CastVote,
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
from medchat.store.reviews import Decision, NewReview, Review, Reviews
from medchat.store.runs import Runs
from medchat.store.search import Search
from medchat.store.studies import Studies
from medchat.store.study_judged import StudyJudged
from medchat.store.study_records import (
    Adjudication,
    Assignment,
    AssignmentState,
    Calibration,
    ItemKind,
    NewAssignment,
    NewItem,
    StudyAnswer,
    StudyItem,
    StudyJudgements,
    StudyRater,
    StudyRecord,
    StudyStatus,
)
from medchat.store.study_work import StudyWork
from medchat.store.thumbs import Thumbs
from medchat.store.users import Users

__all__ = [
    "SPAN_KINDS",
    "THUMB_REASONS",
    "Adjudication",
    "AnswerRecord",
    "AskedRubric",
    "Assignment",
    "AssignmentState",
    "AuditRecord",
    "AxisVote",
    "Calibration",
    "CastVote",
    "ComparisonRecord",
    "ConversationRecord",
    "Decision",
    "EvaluationRecord",
    "FinalStatus",
    "FoundConversation",
    "ItemKind",
    "Judgements",
    "ModelRecord",
    "NewAssignment",
    "NewItem",
    "NewReview",
    "PreferenceRecord",
    "QueueItem",
    "QueueItemState",
    "QueueState",
    "RatingForm",
    "RatingRecord",
    "Removal",
    "Review",
    "RunRecord",
    "SignIn",
    "SpanMark",
    "StepMark",
    "Store",
    "StudyAnswer",
    "StudyItem",
    "StudyJudgements",
    "StudyRater",
    "StudyRecord",
    "StudyStatus",
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
    Studies,
    StudyWork,
    StudyJudged,
    Reviews,
    Users,
    Audit,
    Deletion,
    Search,
):
    """All verbs on one database: those of each noun stand in a file of their own."""
