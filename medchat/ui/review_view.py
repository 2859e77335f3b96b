"""A row to review as HTML: what it says, why somebody is to look at it, and what others decided."""

import json
from collections.abc import Mapping
from typing import Any

from medchat.records import Example
from medchat.store.reviews import Review
from medchat.ui.common import escape
from medchat.ui.data_rows import KINDS
from medchat.ui.review_desk import Task
from medchat.ui.review_entered import DECISIONS
from medchat.ui.review_form import form_html
from medchat.ui.review_marks import FlagShown, changes_between, flag_marks, flags_in, marked_html
from medchat.word_diff import word_diff
from train.quality_flags import FLAGS
from train.review import ABOUT_DOSES, DETAILS_META, FLAGGED, SAMPLED, Outcome, outcome_of

FIELDS = {"context": "Context", "question": "Question", "rationale": "Reasoning", "answer": "Answer"}
SAME_ANSWER = "Its answer was taken over from the row it was made from: check that it still fits."
NOT_HERE = "The row that it was made from is not in this data set."
MADE = {
    "paraphrase": "a paraphrase", "split": "a part of a question with several",
    "perturbation": "the case with one thing changed", "synonyms": "the question in other words",
    "synthetic": "written by a model, without a row before it",
    "distilled": "answered by a model", "labelled": "labelled by a model",
}  # fmt: skip
STATES = {
    "waiting": "A second reviewer has not looked at it yet.",
    "disputed": "Another reviewer differs. Look again: change your decision, or leave it for a third to decide.",
}
THIRD = "Two reviewers differ on this row: your decision settles it."
ALIKE = "Another reviewer decided the same."
ALL_DIFFER = "as the last reviewer decided: no two decided the same"
NUMBERS = {2: "two", 3: "three", 4: "four", 5: "five"}
SPLITS = {
    "train": "Used to teach", "validation": "Used to check, not to teach", "test": "Used to test, not to teach",
}  # fmt: skip


def task_html(task: Task) -> str:
    """The whole page of one row."""
    row = task.row
    flags = flags_in(row.meta.get(DETAILS_META), task.item.flags)
    filled = json.dumps(task.entered.to_json(), ensure_ascii=False)
    base = task.mine.id if task.mine else ""
    return (
        f'<article class="mc-review" data-folder="{escape(task.folder)}" data-row="{task.item.content_sha}" '
        f'data-base="{escape(base)}" data-filled="{escape(filled)}" aria-labelledby="review-row-title">'
        f'<div class="mc-review-reading"><h3 tabindex="-1" id="review-row-title">{_title(task)}</h3>'
        f'<p class="mc-badges">{_badges(row)}</p>{_state_html(task)}{_why_html(task, flags)}'
        f"{_parent_html(task)}{_row_html(row, flags, has_parent=task.parent is not None)}{_others_html(task)}</div>"
        f"{form_html(task, {flag.field for flag in flags})}</article>"
    )


def _title(task: Task) -> str:
    if task.place:
        return f"Your decision {task.place} of {task.decided} <span class=mc-small>row {task.item.number}</span>"
    return f"Row {task.item.number:,} of {task.total:,}"


def _badges(row: Example) -> str:
    facts = [f"Source: {row.source or 'not named'}", f"Licence: {row.licence or 'not stated'}"]
    facts += [SPLITS.get(row.split, row.split), KINDS.get(row.kind, row.kind) if row.kind != "free" else ""]
    return " ".join(f'<span class="mc-badge">{escape(fact)}</span>' for fact in facts if fact)


def _state_html(task: Task) -> str:
    state = task.outcome.state
    if not task.mine:
        told = THIRD if state == "disputed" else ""
    elif state == "decided" and task.others:
        told = _settled_words(task.outcome)
    else:
        told = STATES.get(state, "")
    loud = "mc-review-loud" if state == "disputed" else ""
    return f'<p class="mc-note mc-review-state {loud}" role="note">{told}</p>' if told else ""


def _settled_words(outcome: Outcome) -> str:
    """What counts in the end, and how many said so; of fixes only those with the same texts are the same."""
    counts, n = outcome.review, len(outcome.reviews)
    if counts is None:
        return ""
    alike = sum(outcome_of((one, counts), 2).state == "decided" for one in outcome.reviews)
    if alike == n:
        return ALIKE if n == 2 else "All reviewers decided the same."
    said = f"{NUMBERS.get(alike, alike)} of {NUMBERS.get(n, n)}" if alike > 1 else ALL_DIFFER
    return f"Settled: {DECISIONS[counts.decision]} ({said})."


def _why_html(task: Task, flags: tuple[FlagShown, ...]) -> str:
    """Why somebody is to look at it: the flags with their numbers, or that it was drawn by chance."""
    drawn = f"Drawn at random ({100 * task.share:g} % of the rows)" if task.share else "Drawn at random"
    words = {SAMPLED: drawn, ABOUT_DOSES: "About doses: every flagged one is looked at", FLAGGED: ""}
    rows = [_flag_html(flag) for flag in flags]
    rows += [f"{escape(words.get(why, why.capitalize()))}." for why in task.item.why if words.get(why, why)]
    listed = "".join(f'<li dir="auto">{text}</li>' for text in rows)
    look = "mc-review-why mc-review-loud" if flags else "mc-review-why"
    return f'<section class="{look}" aria-label="Why it is here"><ul>{listed}</ul></section>' if rows else ""


def _flag_html(flag: FlagShown) -> str:
    info = next((info for name, info in FLAGS.items() if name == flag.name), None)
    about = (flag.detail or (info.about if info else "")).rstrip(".")
    held = " Not taught until somebody says keep or fix." if info and info.held else ""
    number = f'<span class="mc-flag-number">{flag.number}</span>'
    return f"{number} <strong>{escape(flag.name)}</strong>: {escape(about)}.{held}"


def _parent_html(task: Task) -> str:
    """The row that it was made from beside it, the words that differ marked."""
    meta, row, parent = task.row.meta, task.row, task.parent
    made = MADE.get(str(meta.get("made", "")), str(meta.get("made", "")))
    facts = [f"This row is {made}." if made else "", _changed_words(meta.get("changed"), row, parent)]
    facts += [f"By {meta['teacher']}." if meta.get("teacher") else ""]
    facts += [SAME_ANSWER if parent and parent.answer and parent.answer == row.answer else ""]
    told = " ".join(fact for fact in facts if fact)
    about = f'<p class="mc-small">{escape(told)}</p>' if told else ""
    if parent is None:
        return about + (f'<p class="mc-small">{NOT_HERE}</p>' if task.parent_id else "")
    before, after = [], []
    for name in ("context", "question"):
        old, new = getattr(parent, name), getattr(row, name)
        left, right = changes_between(old, new)
        before.append(_part_html(FIELDS[name], marked_html(old, left)) if old else "")
        after.append(_part_html(FIELDS[name], marked_html(new, right)) if new else "")
    if (parent.answer or "") != (row.answer or "") and parent.answer:
        before.append(_part_html(FIELDS["answer"], escape(parent.answer)))
    sides = (("What it was made from", before), ("This row", after))
    shown = "".join(f'<section class="mc-one"><h4>{title}</h4>{"".join(parts)}</section>' for title, parts in sides)
    return f'{about}<div class="mc-two mc-review-parent">{shown}</div>'


def _changed_words(changed: object, row: Example, parent: Example | None) -> str:
    """What was changed; of synonyms, which are named by their group, the words as the parent has them."""
    if not isinstance(changed, Mapping):
        return ""
    if {"field", "from", "to"} <= set(changed):
        return f"Changed: {changed['field']}, from {changed['from']} to {changed['to']}."
    pairs = [(str(name).replace("_", " "), str(value)) for name, value in changed.items()]
    if parent:
        left, right = changes_between(parent.question, row.question)
        if left and len(left) == len(right):
            olds = [parent.question[one.start : one.end].strip() for one in left]
            pairs = list(zip(olds, (row.question[one.start : one.end].strip() for one in right), strict=True))
    words = [f"{old} → {new}" for old, new in pairs if old.lower() != new.lower()]
    return f"Changed: {', '.join(words)}." if words else ""


def _row_html(row: Example, flags: tuple[FlagShown, ...], *, has_parent: bool) -> str:
    """The row's parts in the order in which a model meets them. has_parent: its question stands there already."""
    parts = []
    for name, title in FIELDS.items():
        text = getattr(row, name) or ""
        marks = flag_marks(flags, name)
        if text and (name in ("rationale", "answer") or not has_parent or marks):
            words = row.options[text] if name == "answer" and row.options and text in row.options else ""
            more = f" {escape(words)}" if words else ""
            parts.append(_part_html(title, marked_html(text, marks) + more, f"mc-review-{name}"))
        if name == "question" and row.options:
            parts.append(_options_html(row))
    return "".join(parts)


def _part_html(title: str, html: str, look: str = "") -> str:
    return (
        f'<div class="mc-review-part {look}"><span class="mc-tag">{title}</span>'
        f'<p class="mc-review-text" dir="auto">{html}</p></div>'
    )


def _options_html(row: Example) -> str:
    rows = "".join(
        f'<li{" class=mc-right" if letter == row.answer else ""} dir="auto"><strong>{escape(letter)}</strong> '
        f"{escape(text)}</li>"
        for letter, text in (row.options or {}).items()
    )
    return f'<ul class="mc-review-options" aria-label="Options">{rows}</ul>'


def _others_html(task: Task) -> str:
    """What others decided, without their names; review_desk gives it only once both have decided."""
    if not task.others:
        return ""
    shown = task.others if not task.mine else (task.mine, *task.others)
    rows = "".join(_review_html(task, one, number) for number, one in enumerate(shown, 1))
    title = "What reviewers decided"
    return f'<section class="mc-review-others" aria-label="{title}"><h4>{title}</h4>{rows}</section>'


def _review_html(task: Task, review: Review, number: int) -> str:
    is_mine = task.mine is not None and review.id == task.mine.id
    who = "You" if is_mine else ("Another reviewer" if task.mine else f"Reviewer {number}")
    source = (
        f'<p class="mc-small">Checked against: {escape(review.checked_against)}</p>' if review.checked_against else ""
    )
    reason = f": {escape(review.reason)}" if review.reason else ""
    fixes = "".join(_fix_html(task.row, name, str(text)) for name, text in (review.fixed or {}).items())
    texts = escape(json.dumps(review.fixed))
    take = (
        f'<button type="button" class="mc-button" data-do="review-take" data-texts="{texts}">Take this fix over'
        "</button>"
        if review.fixed and not is_mine
        else ""
    )
    return (
        f'<div class="mc-review-said" dir="auto"><p><strong>{who}</strong> '
        f'<span class="mc-badge">{DECISIONS[review.decision]}</span>{reason}</p>{fixes}{source}{take}</div>'
    )


def _fix_html(row: Example, name: str, text: str) -> str:
    tags: dict[str, Any] = {"left": "del", "right": "ins"}
    pieces = "".join(
        f"<{tags[op]}>{escape(words)}</{tags[op]}>" if op in tags else escape(words)
        for op, words in word_diff(getattr(row, name) or "", text)
    )
    return _part_html(FIELDS.get(name, name), pieces)
