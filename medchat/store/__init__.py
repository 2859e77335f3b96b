"""The store: what MedChat remembers. Verb methods, one transaction each; frozen records come out."""

from medchat.store.answers import Answers
from medchat.store.conversations import Conversations
from medchat.store.deletion import Deletion
from medchat.store.models import Models
from medchat.store.records import (
    THUMB_REASONS,
    AnswerRecord,
    ConversationRecord,
    FinalStatus,
    FoundConversation,
    ModelRecord,
    Removal,
    Thumb,
    ThumbRecord,
    selected_path,
)
from medchat.store.search import Search
from medchat.store.thumbs import Thumbs

__all__ = [
    "THUMB_REASONS",
    "AnswerRecord",
    "ConversationRecord",
    "FinalStatus",
    "FoundConversation",
    "ModelRecord",
    "Removal",
    "Store",
    "Thumb",
    "ThumbRecord",
    "selected_path",
]


class Store(Models, Conversations, Answers, Thumbs, Deletion, Search):
    """All verbs on one database: those of each noun stand in a file of their own."""
