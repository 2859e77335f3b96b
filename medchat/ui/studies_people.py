"""The raters of a study as HTML: who they are, how far each is, and what each would be given."""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from uuid import uuid4

from medchat.study_views import AllocationView, Progress, RaterProgress, StudyView
from medchat.ui.common import counted, escape
from medchat.ui.studies_form import Person, raters_html

BEHIND_SHARE = 0.6  # of what the middle rater has done
BEHIND_AFTER = timedelta(days=3)  # without anything done
SHOWN_ROWS = 12
NOBODY = "somebody whose account is gone"
REMOVING = (
    "What {name} has judged stays and counts. What is still open ({left}) is dealt again among the others, with the "
    "study's seed, and {name} no longer sees the study."
)
KIND_WORDS = {"rate": "ratings", "pair": "votes"}


def people_html(view: StudyView, people: Sequence[Person]) -> str:
    """Before the study is open: who is to rate, to be changed."""
    if view.record.status in ("open", "closed"):
        return ""
    chosen = {one.rater: one.group for one in view.raters if one.left_at is None}
    return (
        '<section class="mc-study-part" aria-label="Raters" id="study-people-box" '
        f'data-made="{uuid4().hex}"><h3>Raters</h3>'
        '<p class="mc-small">They see the study once it is open. More can join later.</p>'
        f'{raters_html(people, chosen, "study-set")}<div class="mc-form-buttons">'
        '<button type="button" class="mc-button" data-do="study-people" id="study-people-button">Save the raters'
        "</button></div></section>"
    )


def progress_html(view: StudyView, progress: Progress, people: Sequence[Person], now: datetime) -> str:
    """While the study is open, and after: how far each rater is, who is behind, and who may still join."""
    if view.record.status not in ("open", "closed"):
        return ""
    is_open = view.record.status == "open"
    names = {person.id: person.name for person in people}
    rows = "".join(
        _row(one, names.get(one.rater, NOBODY), is_open, behind(one, progress, now)) for one in progress.raters
    )
    heads = "".join(f'<th scope="col">{name}</th>' for name in _heads(is_open))
    done = f"{progress.adjudicated:,} decided, {progress.to_adjudicate:,} waiting"
    to_judge = (
        f'<p class="mc-small">Items on which raters differ: {done}. '
        '<button type="button" class="mc-link" data-do="study-to-adjudicate">Adjudicate</button></p>'
        if progress.to_adjudicate or progress.adjudicated
        else ""
    )
    return (
        f'<section class="mc-study-part" aria-label="Progress"><h3>Raters</h3>{to_judge}'
        '<div class="mc-scroll" tabindex="0" role="region" aria-label="Progress by rater">'
        f'<table class="mc-table mc-progress"><caption class="mc-vh">Progress by rater</caption><thead><tr>{heads}</tr>'
        f"</thead><tbody>{rows}</tbody></table></div></section>"
    )


def late_html(view: StudyView, people: Sequence[Person]) -> str:
    """Who may still join; nothing where nobody may, or the study takes nobody."""
    here = {one.rater for one in view.raters if one.left_at is None}
    others = [person for person in people if person.id not in here]
    if view.record.status != "open" or not others:
        return ""
    options = "".join(
        f'<option value="{escape(one.id)}">{escape(one.name)} ({escape(one.role)})</option>' for one in others
    )
    return (
        '<section class="mc-study-part" aria-label="A late rater" id="study-late-box" '
        f'data-made="{uuid4().hex}"><h3>Another rater</h3>'
        '<p class="mc-small">Whoever joins takes over a fair part of what the others have not opened yet.</p>'
        f'<div class="mc-late"><label for="study-late">Rater<select id="study-late">{options}</select></label>'
        '<label for="study-late-group">Group, if any<input type="text" id="study-late-group" maxlength="60"></label>'
        '<button type="button" class="mc-button" data-do="study-add" id="study-add-button">Add</button></div></section>'
    )


def behind(one: RaterProgress, progress: Progress, now: datetime) -> str:
    """Why a rater counts as behind, in a few words; "" for one who does not."""
    if one.left_at is not None or not one.left:
        return ""
    if one.seen_at is None:
        return "has not begun"
    shares = sorted(_share(other) for other in progress.raters if other.left_at is None)
    middle = shares[len(shares) // 2]
    if len(shares) > 1 and _share(one) < BEHIND_SHARE * middle:
        return "behind the others"
    days = (now - one.seen_at.astimezone(UTC)).days
    return f"nothing for {counted(days, 'day')}" if timedelta(days=days) >= BEHIND_AFTER else ""


def _share(one: RaterProgress) -> float:
    total = one.done + one.left
    return one.done / total if total else 1.0


def _heads(is_open: bool) -> list[str]:
    return [
        "Rater",
        "Group",
        "Progress",
        "Left",
        "Could not judge",
        "Calibration",
        "Last seen",
        *(["Change"] if is_open else []),
    ]


def _row(one: RaterProgress, name: str, is_open: bool, why: str) -> str:
    total = one.done + one.left
    percent = round(100 * _share(one))
    kinds = ", ".join(f"{done:,} of {n:,} {KIND_WORDS.get(kind, kind)}" for kind, (done, n) in one.kinds.items())
    meter = (
        f'<div class="mc-meter" role="progressbar" aria-label="Progress of {escape(name)}" aria-valuemin="0" '
        f'aria-valuemax="100" aria-valuenow="{percent}"><span style="width: {percent}%"></span></div>'
        f'<span class="mc-small">{escape(kinds if len(one.kinds) > 1 else f"{one.done:,} of {total:,}")}</span>'
    )
    left = f' <span class="mc-badge">left {one.left_at:%d %b}</span>' if one.left_at else ""
    mark = f' <span class="mc-badge mc-behind">{escape(why)}</span>' if why and is_open else ""
    right, tried = one.calibration
    cells = [
        escape(one.group), meter, f"{one.left:,}", f"{one.cannot:,}" if one.cannot else "",
        f"{right:,} of {tried:,}" if tried else "", _time(one.seen_at) or "not yet",
    ]  # fmt: skip
    if is_open:
        cells.append(_remove(one, name) if one.left_at is None else "")
    body = "".join(f'<td data-label="{head}">{cell}</td>' if cell else "<td></td>"
                   for head, cell in zip(_heads(is_open)[1:], cells, strict=True))  # fmt: skip
    off = " class=mc-off" if one.left_at else ""
    return f'<tr{off}><th scope="row"><span dir="auto">{escape(name)}</span>{left}{mark}</th>{body}</tr>'


def _remove(one: RaterProgress, name: str) -> str:
    told = REMOVING.format(name=name, left=counted(one.left, "item"))
    return (
        f'<button type="button" class="mc-button" data-do="study-remove" data-rater="{escape(one.rater)}" '
        f'id="study-remove-{escape(one.rater)}" data-ask="Remove {escape(name)} from the study?" '
        f'data-told="{escape(told)}" data-yes="Remove" aria-label="Remove {escape(name)}">Remove…</button>'
    )


def _time(moment: datetime | None) -> str:
    if moment is None:
        return ""
    utc = moment.astimezone(UTC)
    return f'<time datetime="{utc:%Y-%m-%dT%H:%M:%SZ}">{utc:%d %b %H:%M} UTC</time>'


def preview_html(view: AllocationView, people: Mapping[str, str], numbers: Mapping[str, int]) -> str:
    """What each rater would be given, and the first rows. numbers: question id -> its place in the study."""
    kinds = {unit.id: unit for unit in view.units}
    raters = sorted({row.rater for row in view.rows}, key=lambda rater: people.get(rater, rater))
    heads = "".join(
        f'<th scope="col">{head}</th>' for head in ("Rater", "Ratings", "Votes", "Hidden repeats", "In all")
    )
    body = "".join(_share_row(rater, view, kinds, people.get(rater, rater)) for rater in raters)
    rows = sorted(view.rows, key=lambda row: (row.position, row.rater))[:SHOWN_ROWS]
    first = "".join(
        f"<li>{escape(people.get(row.rater, row.rater))}: question {numbers.get(kinds[row.unit_id].question_id, 0)}, "
        f"{'a pair' if kinds[row.unit_id].kind == 'pair' else 'an answer'}"
        f"{' (hidden repeat)' if row.repeat_of is not None else ''}</li>"
        for row in rows
    )
    return (
        '<section class="mc-study-part mc-preview" tabindex="-1" aria-label="Allocation"><h3>Allocation by seed '
        f'{view.seed}</h3><p class="mc-small">Balanced over raters, models, sides and order; the same seed gives the '
        'same table.</p><div class="mc-fitting mc-scroll" tabindex="0" role="region" aria-label="What each rater gets">'
        f'<table class="mc-table mc-small-table"><caption class="mc-vh">What each rater gets</caption><thead><tr>'
        f'{heads}</tr></thead><tbody>{body}</tbody></table></div><details class="mc-fold" data-key="study-first">'
        f'<summary>The first of them</summary><ol class="mc-plain">{first}</ol></details></section>'
    )


def _share_row(rater: str, view: AllocationView, kinds: Mapping[str, object], name: str) -> str:
    mine = [row for row in view.rows if row.rater == rater]
    first = Counter(getattr(kinds[row.unit_id], "kind", "") for row in mine if row.repeat_of is None)
    repeats = sum(row.repeat_of is not None for row in mine)
    cells = zip(("Ratings", "Votes", "Hidden repeats", "In all"), (first["rate"], first["pair"], repeats, len(mine)),
                strict=True)  # fmt: skip
    body = "".join(f'<td class="mc-number" data-label="{head}">{n:,}</td>' for head, n in cells)
    return f'<tr><th scope="row" dir="auto">{escape(name)}</th>{body}</tr>'


def allocation_html(view: StudyView) -> str:
    """The way to a preview of who would judge what; nothing before there are answers, and once it is open."""
    if view.record.status != "ready" or not view.raters:
        return ""
    return (
        '<section class="mc-study-part" aria-label="Allocation"><h3>Who judges what</h3>'
        f'<div class="mc-late"><label for="study-draw">Seed<input type="text" inputmode="numeric" id="study-draw" '
        f'value="{view.record.seed}"></label><button type="button" class="mc-button" data-do="study-preview" '
        'id="study-preview-button">Preview the allocation</button></div></section>'
    )
