"""Studies as their investigator sees them: the list, how far one is, what to do next. Nothing here is by model."""

from collections.abc import Mapping, Sequence

from medchat.accounts import User
from medchat.store import StudyRecord
from medchat.study_design import Design
from medchat.study_views import StudyView
from medchat.ui.common import counted, escape
from medchat.ui.job_views import meter_html, owner_name, place_words
from medchat.ui.studies_form import warnings_html
from medchat.ui.studies_order import TASKS

STATUSES: Mapping[str, str] = {
    "draft": "Draft",
    "generating": "Answers are written",
    "ready": "Ready to open",
    "open": "Open",
    "closed": "Closed",
}
ROAD = ("Design", "Answers", "Raters", "Open", "Closed")  # a step for each status
EMPTY = "There is no study yet. Open “New study” above: the form is filled in, so that a first one takes minutes."
LEAVING_OUT = "Each model is then compared on the same questions. They cannot be taken up again in this study."
BLIND = "Nobody sees results by model before the study is closed."
SHOWN_EARLY = "This study shows its results before it is closed; each look is audited."
CLOSING = (
    "Closing unblinds the study: from then on the results say which model wrote what, and no rating or vote can be "
    "added or changed. A closed study is never opened again."
)
DELETING = "Its questions, its answers and its table of who judges what go for good. No judgement is lost: it has none."
OPENING = (
    "From then on its raters find it under “My studies”. Questions, models, forms and seed cannot be changed any more; "
    "raters can still come and go."
)


def listed_html(views: Sequence[StudyView], shown: str, names: Mapping[str, str], reader: User) -> str:
    """All studies, of which one is shown."""
    if not views:
        return f'<p class="mc-note" role="note">{escape(EMPTY)}</p>'
    return (
        f'<ul class="mc-studies">{"".join(_row(view, view.record.id == shown, names, reader) for view in views)}</ul>'
    )


def _row(view: StudyView, is_shown: bool, names: Mapping[str, str], reader: User) -> str:
    record = view.record
    told = [f"{record.created_at:%d %b %Y} by {owner_name(record.owner, names, reader)}"]
    told.append(f"{counted(view.n_questions, 'question')}, {counted(len(view.design.models), 'model')}")
    if view.total:
        told.append(f"{view.done:,} of {view.total:,} judgements")
    return (
        f'<li{" aria-current=true" if is_shown else ""}><button type="button" data-do="study-show" '
        f'data-study="{escape(record.id)}" id="study-row-{escape(record.id)}">'
        f'<span class="mc-name" dir="auto">{escape(record.name)}</span> {badge_html(record)}'
        f'<span class="mc-small">{escape(" · ".join(told))}</span></button></li>'
    )


def badge_html(record: StudyRecord) -> str:
    """The status in words, with a colour that only repeats it."""
    return f'<span class="mc-badge mc-study-{record.status}">{STATUSES[record.status]}</span>'


def head_html(view: StudyView, source: str, model_names: Sequence[str], to_adjudicate: int) -> str:
    """What the study is, how far it is, and what to do next. source: what its questions are from."""
    record = view.record
    said = BLIND if not record.show_results else SHOWN_EARLY
    blind = f'<p class="mc-small">{said}</p>' if record.status in ("ready", "open") else ""
    warned = warnings_html(view.warnings) if record.opened_at is None else ""
    return (
        f'<section class="mc-study-head" data-study="{escape(record.id)}" data-status="{record.status}" '
        f'aria-label="Study"><h2 tabindex="-1" id="study-title">'
        f'<span dir="auto">{escape(record.name)}</span> {badge_html(record)}</h2>'
        f'<p class="mc-small">{escape(design_words(view.design, view.n_questions, source, model_names))}</p>'
        f"{_road(view)}{_next(view, to_adjudicate)}{blind}{warned}</section>"
    )


def design_words(design: Design, n_questions: int, source: str, model_names: Sequence[str]) -> str:
    """The design in a line."""
    parts = [f"{counted(n_questions, 'question')} from {source}", " against ".join(model_names)]
    parts += [TASKS[design.tasks].lower(), f"{counted(design.raters_per_item, 'rater')} an item"]
    if design.repeat_share:
        parts.append(f"{design.repeat_share:.0%} hidden repeats")
    if design.all_axes:
        parts.append("every question on a pair")
    return " · ".join(parts)


def _road(view: StudyView) -> str:
    """The steps from design to report: where the study is, and what is done."""
    now = list(STATUSES).index(view.record.status)
    items = "".join(
        f"<li{' class=mc-passed' if number < now else ' aria-current=step' if number == now else ''}>"
        f'{name}<span class="mc-vh">{", done" if number < now else ", now" if number == now else ""}</span></li>'
        for number, name in enumerate(ROAD)
    )
    return f'<ol class="mc-road">{items}</ol>'


def _next(view: StudyView, to_adjudicate: int) -> str:
    status = view.record.status
    if status in ("draft", "generating"):
        return _answers(view)
    if status == "ready":
        return _ready(view)
    return _open(view, to_adjudicate) if status == "open" else _closed(view)


def _answers(view: StudyView) -> str:
    """What is to be done for the answers, and how their job is."""
    if view.design.questions.kind == "uploaded answers":
        missing = "The answers are missing. Upload the file that has them."
        upload = (
            '<button type="button" class="mc-button mc-primary" data-do="study-answers" id="study-answers-button">'
            'Upload answers…</button><input type="file" id="study-answers-file" accept=".jsonl,.csv" '
            'tabindex="-1" hidden aria-label="File of answers">'
        )
        return _told(missing) + _buttons(upload, *_draft(view))
    job = view.job
    if view.record.status == "generating" and job is not None:
        words = f"{view.n_answers:,} of {view.n_answers + view.n_missing:,} answers are there · {place_words(job)}"
        stop = _button("study-stop", "Stop") if job.state.status in ("queued", "starting", "running") else ""
        return _told(words) + meter_html(job.state) + _buttons(stop)
    said, leave = "", ""
    if job is not None:
        ended = job.state.message or "The run that wrote the answers ended before it had all of them."
        kind = "mc-small" if job.state.status == "stopped" else "mc-fault"
        said = f'<p class="{kind}" role="note">{escape(ended)}</p>'
    if view.n_answers:
        leave = _ask("study-leave-out", "Leave these questions out", "Leave out the questions without all answers?",
                     LEAVING_OUT, "Leave them out")  # fmt: skip
    words = "Go on with the answers" if view.n_answers else "Write the answers"
    return _told(_missing_words(view)) + said + _buttons(_button("study-generate", words, True), leave, *_draft(view))


def _missing_words(view: StudyView) -> str:
    missing = f"{counted(view.n_missing, 'answer')} {'is' if view.n_missing == 1 else 'are'}"
    if not view.n_answers:
        return f"Next: {missing} to be written, by every model with its own prompt and sampling."
    of = ", ".join(f"{n:,} of {model}" for model, n in view.missing.items())
    return f"{missing} missing: {of}. A study does not open without them."


def _draft(view: StudyView) -> list[str]:
    delete = _ask("study-delete", "Delete", f"Delete “{view.record.name}”?", DELETING, "Delete")
    return [_button("study-change", "Change the design"), _button("study-copy", "Copy as a new study"), delete]


def _ready(view: StudyView) -> str:
    raters, most = len(_active(view)), view.design.raters_per_item
    if not raters:
        told, can = "Next: choose raters below.", False
    elif raters < most:
        told, can = f"{counted(most, 'rater')} an item, but only {raters} in the study: add raters below.", False
    else:
        judged = f"{counted(view.n_items, 'item')}, {counted(most, 'rater')} each, for {counted(raters, 'rater')}"
        told, can = f"Everything is there: {judged}. Look at the allocation below, or open the study.", True
    ask = _ask("study-open", "Open the study", f"Open “{view.record.name}”?", OPENING, "Open", main=True, can=can)
    return _told(told) + _buttons(ask, *_draft(view))


def _open(view: StudyView, to_adjudicate: int) -> str:
    share = view.done / view.total if view.total else 0.0
    left = view.total - view.done
    words = f"{view.done:,} of {view.total:,} judgements are done"
    meter = (
        '<div class="mc-meter" role="progressbar" aria-label="Judgements" aria-valuemin="0" aria-valuemax="100" '
        f'aria-valuenow="{round(100 * share)}"><span style="width: {share:.1%}"></span></div>'
    )
    waiting = (
        f'<p class="mc-small">{counted(to_adjudicate, "item")} on which raters differ '
        f"{'waits' if to_adjudicate == 1 else 'wait'} for an adjudicator.</p>"
        if to_adjudicate
        else ""
    )
    still = [f"{counted(left, 'judgement')} {'is' if left == 1 else 'are'} still open."] if left else []
    still += [f"{counted(to_adjudicate, 'item')} would stay without adjudication."] if to_adjudicate else []
    close = _ask(
        "study-close", "Close and unblind", f"Close “{view.record.name}”?", " ".join([*still, CLOSING]),
        "Close the study", main=not left,
    )  # fmt: skip
    look = [_button("study-to-results", "Results so far")] if view.record.show_results else []
    return _told(words) + meter + waiting + _buttons(close, *look, _button("study-copy", "Copy as a new study"))


def _closed(view: StudyView) -> str:
    when = f"{view.record.closed_at:%d %b %Y %H:%M} UTC" if view.record.closed_at else ""
    return _told(f"Closed on {when} with {view.done:,} of {view.total:,} judgements. It is unblinded.") + _buttons(
        _button("study-to-results", "Open the results", True),
        _button("study-to-train", "Make training data"),
        _button("study-copy", "Copy as a new study"),
    )


def _active(view: StudyView) -> list[str]:
    return [one.rater for one in view.raters if one.left_at is None]


def _told(words: str) -> str:
    return f'<p class="mc-next">{escape(words)}</p>'


def _buttons(*buttons: str) -> str:
    made = "".join(buttons)
    return f'<div class="mc-form-buttons">{made}</div>' if made else ""


def _button(verb: str, words: str, main: bool = False, place: str = "") -> str:
    """place: its id, where it is not the verb's."""
    return (
        f'<button type="button" class="mc-button{" mc-primary" if main else ""}" data-do="{verb}" '
        f'id="{place or f"{verb}-button"}">{words}</button>'
    )


def _ask(
    verb: str, words: str, ask: str, told: str, yes: str, *, main: bool = False, can: bool = True, place: str = ""
) -> str:
    """A button that asks once before it does something: ask and told, with yes on the button."""
    return (
        f'<button type="button" class="mc-button{" mc-primary" if main else ""}" data-do="{verb}" '
        f'id="{place or f"{verb}-button"}" data-ask="{escape(ask)}" data-told="{escape(told)}" data-yes="{escape(yes)}"'
        f"{'' if can else ' aria-disabled=true'}>{words}</button>"
    )


def switches_html(record: StudyRecord) -> str:
    """What an investigator allows while the study goes on, each with what follows from it."""
    if record.status == "closed":
        return ""
    train = _switch(
        "training", "Training data", record.may_train,
        ("Its judgements may go into training data now.", "Its judgements stay out of it until it is closed."),
        ("Allow", "Leave out again"), "Use the judgements for training before the study is closed?",
        "A model trained on them has seen the judgements of this study: do not evaluate it by them. It is audited.",
    )  # fmt: skip
    results = _switch(
        "results", "Results by model", record.show_results,
        ("They can be looked at now; each look is audited.", "Hidden until the study is closed."),
        ("Show them", "Hide them again"), "Show results by model before the study is closed?",
        "Whoever looks may stop the study when the numbers please, which makes intervals and p values too good. The "
        "switch and each look are audited; say so in the report.",
    )  # fmt: skip
    return (
        '<section class="mc-study-part" aria-label="What is allowed"><h3>While it goes on</h3>'
        f'<div class="mc-switches">{train}{results}</div></section>'
    )


def _switch(
    name: str, title: str, is_on: bool, told: tuple[str, str], words: tuple[str, str], ask: str, consequence: str
) -> str:
    """told, words: of the state that is on and of the other one; of the button that switches it on and off."""
    place = f"study-{name}-button"
    if is_on:
        button = _button(f"study-{name}-no", words[1], place=place)
    else:
        button = _ask(f"study-{name}-yes", words[0], ask, consequence, words[0], place=place)
    state = f'<span class="mc-badge">{"on" if is_on else "off"}</span>'
    return (
        f'<div class="mc-switch-row"><span><strong>{title}</strong> {state}</span>'
        f'<span class="mc-small">{told[0] if is_on else told[1]}</span>{button}</div>'
    )
