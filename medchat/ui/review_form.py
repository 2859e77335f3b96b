"""The form with which a row is decided on, and the sheet of its keys, as HTML."""

from collections.abc import Collection

from medchat.records import Example
from medchat.ui import rate_form
from medchat.ui.common import escape
from medchat.ui.review_desk import Task
from medchat.ui.review_entered import DECISIONS, REASONS, has_letter

KEYS = (
    ("k", "keep the row as it is"),
    ("f", "fix it: the cursor goes into the answer"),
    ("d", "drop it, with a reason"),
    ("1 … 8", "a reason of the list"),
    ("s", "the source that you checked it against; empty, it takes over the last one"),
    ("Enter", "save; in a long field Ctrl Enter"),
    ("Esc", "out of a field, so that the keys work again"),
    ("p", "your decision before this one, which can be changed"),
    ("n", "your next decision; after the last one, the rows that wait"),
    ("?", "this sheet"),
)
LETTERS = {"keep": "k", "fix": "f", "drop": "d"}
AGAINST = "for example BNF 86, NICE NG28, a page’s address"


def help_html() -> str:
    """The sheet that lists the keys."""
    return rate_form.help_html(KEYS, "review")


def form_html(task: Task, flagged: Collection[str]) -> str:
    """The fields of a decision; review.js fills them in. flagged: the row's fields with something in them."""
    last = task.sources[0] if task.sources else ""
    verb = "Save the change" if task.mine else "Save"
    has_before = task.decided > 0 and task.place != 1
    has_after = task.place > 0 or task.left > 1
    return (
        '<form class="mc-review-form" novalidate aria-label="Your decision">'
        f"{_decisions_html()}{_fields_html(task, flagged)}{''.join(_reasons_html(one) for one in REASONS)}"
        '<label class="mc-label">A remark, or a reason in your own words'
        '<input type="text" name="words" maxlength="20000" dir="auto" autocomplete="off"></label>'
        '<label class="mc-label"><span>Source that you checked it against <kbd>s</kbd></span>'
        f'<input type="text" name="checked" maxlength="2000" dir="auto" autocomplete="off" list="review-sources" '
        f'data-last="{escape(last)}" placeholder="{escape(f"s takes over: {last}" if last else AGAINST)}"></label>'
        f"{_sources_html(task)}"
        '<p class="mc-wrong" role="alert"></p>'
        '<div class="mc-form-buttons"><button type="button" class="mc-button mc-primary" data-do="review-save" '
        f'id="review-save">{verb} <kbd aria-hidden="true">Enter</kbd></button>'
        f"{_way('back', 'Back', 'p', is_open=has_before)}"
        f"{_way('next', 'Next' if task.place else 'Later', 'n', is_open=has_after)}</div>"
        '<p class="mc-small mc-kept" role="status"></p></form>'
    )


def _way(way: str, words: str, key: str, *, is_open: bool) -> str:
    return (
        f'<button type="button" class="mc-button" data-do="review-go" data-way="{way}" id="review-{way}"'
        f"{'' if is_open else ' disabled'}>{words} "
        f'<kbd aria-hidden="true">{key}</kbd></button>'
    )


def _decisions_html() -> str:
    options = "".join(
        f'<label class="mc-option"><input type="radio" name="decision" value="{name}">'
        f'<span>{words} <kbd aria-hidden="true">{LETTERS[name]}</kbd></span></label>'
        for name, words in DECISIONS.items()
    )
    question = "<legend>What becomes of the row?</legend>"
    return f'<fieldset data-of="decision">{question}<div class="mc-options">{options}</div></fieldset>'


def _reasons_html(decision: str) -> str:
    options = "".join(
        f'<label class="mc-option"><input type="radio" name="reason-{decision}" value="{escape(reason)}" '
        f'data-digit="{digit}"><span><kbd aria-hidden="true">{digit}</kbd> {escape(reason)}</span></label>'
        for digit, reason in enumerate(REASONS[decision], 1)
    )
    question = {"fix": "What was wrong with it?", "drop": "Why is it to be dropped?"}[decision]
    return (
        f'<fieldset data-of="reason" data-for="{decision}" hidden><legend>{question}</legend>'
        f'<div class="mc-options">{options}</div></fieldset>'
    )


def _fields_html(task: Task, flagged: Collection[str]) -> str:
    """What can be fixed: the answer and its reasoning; question and context, open where they are new or flagged."""
    row = task.row
    answer = _letters_html(row) if has_letter(row) else _text_html("answer", "Answer", row.answer or "", 6)
    rationale = _text_html("rationale", "Reasoning", row.rationale, 6) if row.rationale else ""
    context = _text_html("context", "Context", row.context, 4) if row.context else ""
    is_open = bool(task.parent_id or row.meta.get("made") or {"question", "context"} & set(flagged))
    asked = f"{_text_html('question', 'Question', row.question, 4)}{context}"
    return (
        f'<div class="mc-review-fix" hidden>{answer}{rationale}<details class="mc-fold"{" open" if is_open else ""}>'
        f"<summary>{'Question and context' if row.context else 'Question'}</summary>{asked}</details></div>"
    )


def _text_html(name: str, label: str, text: str, rows: int) -> str:
    return (
        f'<label class="mc-label">{label}<textarea data-text="{name}" data-was="{escape(text)}" rows="{rows}" '
        f'dir="auto" spellcheck="true"></textarea></label>'
    )


def _letters_html(row: Example) -> str:
    options = "".join(
        f'<option value="{escape(letter)}">{escape(f"{letter}. {text}")}</option>'
        for letter, text in (row.options or {}).items()
    )
    return (
        f'<label class="mc-label">Right option<select data-text="answer" data-was="{escape(row.answer or "")}">'
        f"{options}</select></label>"
    )


def _sources_html(task: Task) -> str:
    options = "".join(f'<option value="{escape(source)}"></option>' for source in task.sources)
    return f'<datalist id="review-sources">{options}</datalist>'
