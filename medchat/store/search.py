"""Full-text search over an owner's conversations, in SQL that every database has."""

from bisect import bisect_left
from collections.abc import Sequence

from sqlalchemy import ColumnElement, case, exists, select
from sqlalchemy.orm import Session, load_only

from medchat.errors import InvalidInput
from medchat.store.conversations import conversation_record, conversations
from medchat.store.database import Database
from medchat.store.records import FoundConversation
from medchat.store.search_texts import folded, shown_text
from medchat.store.tables import Answer, Conversation, SearchText

SEARCH_CHARS = 300
SNIPPET_CHARS = 160
SNIPPET_LEAD_CHARS = 40  # of these before the word


class Search(Database):
    """The verb that finds."""

    def search_conversations(self, owner: str, text: str, limit: int = 50) -> list[FoundConversation]:
        """The owner's conversations that hold every word of the text, the one used last first.

        A word may be any part of the title or of a question, context, reasoning or solution; several may
        stand in several of these. Capitals do not count, accents do. No words find nothing. Raises
        InvalidInput for more than 300 characters.
        """
        if len(text) > SEARCH_CHARS:
            raise InvalidInput(f"The search is too long: shorten it to {SEARCH_CHARS} characters.")
        # The longest is likely the rarest: where it is missing, the others need not be looked for.
        words = sorted(dict.fromkeys(folded(text).split()), key=len, reverse=True)
        if not words:
            return []
        here = SearchText.conversation_id == Conversation.id
        query = conversations(owner).where(*(exists().where(here, _holds(word)) for word in words)).limit(limit)

        def work(session: Session) -> list[FoundConversation]:
            found = [conversation_record(row, turns) for row, turns in session.execute(query)]
            answers = _best_answers(session, [conversation.id for conversation in found], words)
            return [
                FoundConversation(conversation, _snippet(shown_text(answer), words), answer.id)
                if (answer := answers.get(conversation.id))
                else FoundConversation(conversation, "", "")
                for conversation in found
            ]

        return self._read(work)


def _holds(word: str) -> ColumnElement[bool]:
    return SearchText.text.contains(word, autoescape=True)


def _best_answers(session: Session, conversation_ids: Sequence[str], words: Sequence[str]) -> dict[str, Answer]:
    """Of each conversation the answer with most of the words, the first of equal ones; none if no answer has any."""
    held = [case((_holds(word), 1), else_=0) for word in words]
    hits = sum(held[1:], start=held[0]).label("hits")
    query = (
        select(SearchText.id, SearchText.conversation_id, hits)
        .join(Answer, Answer.id == SearchText.id)
        .where(SearchText.conversation_id.in_(conversation_ids))
        .order_by(hits, Answer.position.desc(), Answer.version.desc())
    )
    best = {row.conversation_id: row.id for row in session.execute(query) if row.hits}
    texts = load_only(Answer.conversation_id, Answer.question, Answer.context, Answer.reasoning, Answer.solution)
    rows = session.scalars(select(Answer).options(texts).where(Answer.id.in_(best.values())))
    return {row.conversation_id: row for row in rows if row.conversation_id is not None}


def _snippet(text: str, words: Sequence[str]) -> str:
    """One line of the text around the first of the words in it."""
    line = " ".join(text.split())
    compared = folded(line)
    # The stored text may have been folded by an older Python, which knew fewer characters: then the line's beginning.
    first = min((word for word in words if word in compared), key=compared.index, default="")
    # Folding changes lengths: the shortest beginning that holds the word says where it ends in the line.
    word_end = bisect_left(range(len(line)), True, key=lambda n: first in folded(line[:n]))
    start = max(0, word_end - len(first) - SNIPPET_LEAD_CHARS)
    end = start + SNIPPET_CHARS
    return ("\u2026" if start else "") + line[start:end].strip() + ("\u2026" if end < len(line) else "")
