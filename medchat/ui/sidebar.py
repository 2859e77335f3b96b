"""The conversations beside the chat as HTML: the list, what a search found, and the field for it."""

import re
from collections.abc import Sequence
from datetime import datetime

from medchat.store.records import ConversationRecord, FoundConversation
from medchat.ui.common import counted, escape

AT_FIRST = 50
SEARCH = (
    '<div class="mc-search" role="search"><input type="search" id="chat-search-field" autocomplete="off" '
    'maxlength="200" aria-label="Search conversations" placeholder="Search conversations"></div>'
)


def list_html(conversations: Sequence[ConversationRecord], more: bool) -> str:
    """The conversations, newest first; more: there are others behind them."""
    if not conversations:
        return '<p class="mc-small mc-none">No conversations yet.</p>'
    rows = "".join(_row(conversation) for conversation in conversations)
    button = (
        f'<button type="button" data-do="more" data-shown="{len(conversations)}">Show more</button>' if more else ""
    )
    return f'<ul class="mc-conversations">{rows}</ul>{button}'


def found_html(found: Sequence[FoundConversation], text: str) -> str:
    """What a search for this text found; nothing for a text without words."""
    if not text.split():
        return ""
    number = counted(len(found), "conversation") if found else "No conversation"
    rows = "".join(_row(one.conversation, f'<span class="mc-snippet" dir="auto">{marked(one.snippet, text)}</span>',
                        one.answer_id) for one in found)  # fmt: skip
    return f'<p class="mc-small" role="status">{number} found.</p><ul class="mc-conversations">{rows}</ul>'


def marked(snippet: str, text: str) -> str:
    """The snippet escaped, with the words of the text marked wherever they stand."""
    words = sorted(set(text.split()), key=len, reverse=True)
    pattern = re.compile("|".join(re.escape(word) for word in words), re.IGNORECASE)
    parts: list[str] = []
    at = 0
    for hit in pattern.finditer(snippet):
        parts += [escape(snippet[at : hit.start()]), f"<mark>{escape(hit[0])}</mark>"]
        at = hit.end()
    return "".join([*parts, escape(snippet[at:])])


def _row(conversation: ConversationRecord, snippet: str = "", answer_id: str = "") -> str:
    title, key = escape(conversation.title), escape(conversation.id)
    answer = f' data-answer="{escape(answer_id)}"' if answer_id else ""
    return (
        f'<li><button type="button" class="mc-open" data-do="open" data-conversation="{key}"{answer}>'
        f'<span class="mc-name" dir="auto">{title}</span>{snippet}'
        f'<span class="mc-small">{_time(conversation.updated_at)} · {counted(conversation.turns, "turn")}</span>'
        f'</button><button type="button" class="mc-more" data-do="menu" data-conversation="{key}" '
        f'aria-expanded="false" aria-label="More for {title}"><span aria-hidden="true">⋯</span></button></li>'
    )


def _time(moment: datetime) -> str:
    """The moment in UTC; the page says it in its reader's own time."""
    return f'<time datetime="{moment:%Y-%m-%dT%H:%M:%SZ}">{moment:%Y-%m-%d}</time>'
