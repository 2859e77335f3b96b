"""The texts that a search reads, kept beside titles and ended answers."""

import unicodedata

from sqlalchemy.orm import Session

from medchat.store.tables import Answer, Conversation, SearchText


def folded(text: str) -> str:
    """The text as it is compared: capitals and ways of writing one character are alike, accents count."""
    # Folding can give what is not composed yet: without the second time the same text would differ.
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())


def shown_text(answer: Answer) -> str:
    """What a reader sees of an answer, and a search looks through."""
    return "\n".join((answer.question, answer.context, answer.reasoning, answer.solution))


def index_title(session: Session, conversation: Conversation) -> None:
    """Make the conversation's title the one that is found."""
    session.merge(SearchText(id=conversation.id, conversation_id=conversation.id, text=folded(conversation.title)))


def index_answer(session: Session, answer: Answer) -> None:
    """Let the answer be found, if it belongs to a conversation."""
    if answer.conversation_id is not None:
        text = folded(shown_text(answer))
        session.merge(SearchText(id=answer.id, conversation_id=answer.conversation_id, text=text))
