"""A comparison as HTML: pure functions from views to escaped text.

Before the vote they are given nothing that tells which model is which.
"""

from collections.abc import Collection, Sequence
from datetime import datetime

from medchat.catalogue import ModelSpec
from medchat.machine import size
from medchat.panel import PanelView, Revealed, Side, SideView
from medchat.panel_views import SIDES
from medchat.turns import ENDED
from medchat.ui.common import counted, duration, escape
from medchat.ui.compare_vote import VOTES
from medchat.ui.model_cards import parameters_of
from medchat.ui.sampling import SETTINGS
from medchat.ui.transcript import CRITICAL, prose, whole_steps
from medchat.word_diff import Op, Piece, word_diff

DIGEST_CHARS = 12
STATES = {
    "stopped": ("Stopped", "What was shown so far is kept."),
    "cut": ("Cut off", "It ends before its end."),
    "failed": ("Failed", ""),
}
NOT_MARKED = "One side did not mark its reasoning, so the two are not compared word by word."
QUESTION_CHARS = 120
_ONLY: dict[Op, tuple[str, str]] = {"left": ("del", "A"), "right": ("ins", "B")}


def case_html(view: PanelView) -> str:
    """Patient context and question that both were asked."""
    context = ""
    if view.context:
        context = (
            f'<p class="mc-context" dir="auto"><span class="mc-tag">Patient context</span> {escape(view.context)}</p>'
        )
    return f'<div class="mc-question mc-case">{context}<p dir="auto">{escape(view.question)}</p></div>'


def notice_html(text: str) -> str:
    """What holds for both answers together; nothing for an empty text."""
    return f'<p class="mc-leaves" role="note">{escape(text)}</p>' if text else ""


def leaves_html(specs: Sequence[ModelSpec]) -> str:
    """The notice that what is asked leaves the machine; nothing where it stays."""
    hosts = sorted({spec.external for spec in specs if spec.external})
    return notice_html(f"This text leaves your machine: it will be sent to {' and to '.join(hosts)}." if hosts else "")


def side_html(view: PanelView, side: Side, critical: Collection[str] = (), root: str = "compare") -> str:
    """One column: its reasoning, its solution, how it ended, and once it is known who wrote it.

    critical: ids of answers that a rater marked so; shown with the names only. root: what ids begin with.
    """
    shown = view.left if side == SIDES[0] else view.right
    who = view.revealed and (view.revealed.a if side == SIDES[0] else view.revealed.b)
    name = f' <span class="mc-name" dir="auto">{escape(who.name)}</span>' if who else ""
    stop = ""
    if shown.phase not in ENDED:
        stop = (
            f'<button type="button" class="mc-button" id="compare-stop-{side}" data-do="compare-stop" '
            f'data-side="{side}">Stop {shown.label}</button>'
        )
    red = CRITICAL if who and who.turn.answer_id in critical else ""
    red += _not_chosen(view, side)
    facts = facts_html(who, shown) if who and shown.phase in ENDED else ""
    return (
        f'<section class="mc-side" data-side="{side}" data-phase="{escape(shown.phase)}" '
        f'aria-label="Answer {shown.label}"><div class="mc-side-head"><h2><span class="mc-letter">{shown.label}</span>'
        f"{name}</h2>{stop}</div>{red}{_reasoning(shown, side, root)}{_solution(shown)}{_state(shown)}{facts}</section>"
    )


def _not_chosen(view: PanelView, side: Side) -> str:
    """Why the better answer is none to learn from; nothing for one that is, and for the other one."""
    if view.voted is None or view.voted.vote != side or view.voted.chosen:
        return ""
    why = "flagged in your vote" if view.voted.flags.get(side) else "marked as critical"
    return f'<p class="mc-small">Not used as a good example: {why}.</p>'


def _reasoning(side: SideView, key: Side, root: str) -> str:
    """Open as long as its reader leaves it open: both columns look alike whatever they have come to."""
    if not side.reasoning.strip():
        return ""
    running = side.phase == "reasoning"
    dots = '<span class="mc-dots" aria-hidden="true"></span>' if running else ""
    text = whole_steps(side.reasoning) if running else side.reasoning
    return (
        f'<details class="mc-reasoning" data-fold="reasoning-{key}" open><summary id="{root}-reasoning-{key}">'
        f'Reasoning{dots}</summary><div class="mc-body">{prose(text)}</div></details>'
    )


def _solution(side: SideView) -> str:
    if not side.solution.strip():
        return ""
    return f'<div class="mc-solution"><h3 class="mc-title">Solution</h3>{prose(side.solution)}</div>'


def _state(side: SideView) -> str:
    if side.phase == "waiting":
        return '<p class="mc-state">Waiting for both<span class="mc-dots" aria-hidden="true"></span></p>'
    if side.phase not in STATES:
        return ""
    badge, words = STATES[side.phase]
    words = side.error or (words if side.has_text else "")
    failed = " mc-failed" if side.phase == "failed" else ""
    return f'<p class="mc-state{failed}"><span class="mc-badge">{badge}</span> {escape(words)}</p>'


def facts_html(who: Revealed, side: SideView) -> str:
    """What is known of a side's model, and what its answer took."""
    rows = "".join(f"<div><dt>{name}</dt><dd>{escape(value)}</dd></div>" for name, value in _facts(who, side) if value)
    note = f'<p class="mc-small">{escape(who.turn.note)}</p>' if who.turn.note else ""
    return f'<dl class="mc-facts">{rows}</dl>{note}'


def _facts(who: Revealed, side: SideView) -> list[tuple[str, str]]:
    turn = who.turn
    parameters = f"{parameters_of(who.parameters)} parameters" if who.parameters else ""
    memory = f"{size(who.memory_gb)} in memory" if who.memory_gb else ""
    adapter = f"adapter {who.adapter_hash[:DIGEST_CHARS]}" if who.adapter_hash else ""
    revision = f"revision {who.revision[:DIGEST_CHARS]}" if who.revision else ""
    first = f"first words after {duration(turn.ttft_ms)}" if turn.ttft_ms is not None else ""
    whole = f"{duration(turn.total_ms)} in all" if turn.total_ms is not None else ""
    tokens = counted(turn.completion_tokens, "token") if turn.completion_tokens else ""
    values = [(s, getattr(who.sampling, s.name)) for s in SETTINGS] if who.sampling else []
    settings = [f"{setting.title} {value:,.10g}" for setting, value in values if value != setting.off]
    return [
        ("Size", _joined(parameters, memory)),
        ("Made from", _joined(who.base, revision, adapter)),
        ("Sent to", who.external),
        ("Time", _joined(first, whole)),
        ("Speed", f"{turn.tokens_per_s:,.0f} tokens/s" if turn.tokens_per_s else ""),
        ("Length", _joined(f"reasoning {_words(side.reasoning)}", f"solution {_words(side.solution)}", tokens)),
        ("Settings", _joined(*settings)),
    ]


def _words(text: str) -> str:
    return counted(len(text.split()), "word")


def _joined(*parts: str) -> str:
    return " · ".join(filter(None, parts))


def diff_html(view: PanelView) -> str:
    """Word by word, where the two differ; nothing before the names are known and both have ended."""
    if view.revealed is None or view.phase != "ended" or not view.can_vote:
        return ""
    left, right = view.left, view.right
    if bool(left.reasoning.strip()) != bool(right.reasoning.strip()):
        return f'<p class="mc-small">{NOT_MARKED}</p>'
    parts = [_diff("solutions", left.solution, right.solution), _diff("reasonings", left.reasoning, right.reasoning)]
    return f'<div class="mc-diffs">{"".join(parts)}</div>'


def _diff(what: str, left: str, right: str) -> str:
    if not (left.strip() and right.strip()):
        return ""
    if left == right:
        body = '<p class="mc-small">They are the same, word for word.</p>'
    else:
        pieces = "".join(map(_piece, word_diff(left, right)))
        body = (
            '<p class="mc-small">Struck out after <b>A</b>: only A has it. Underlined after <b>B</b>: only B has it.'
            "</p>"
            f'<p class="mc-diff" dir="auto">{pieces}</p>'
        )
    return (
        f'<details data-fold="diff-{what}"><summary id="compare-diff-{what}">Where the {what} differ</summary>'
        f"{body}</details>"
    )


def _piece(piece: Piece) -> str:
    if piece.op == "same":
        return escape(piece.text)
    tag, letter = _ONLY[piece.op]
    return f'<{tag}><b>{letter}</b><span class="mc-vh"> only: </span>{escape(piece.text)}</{tag}>'


def mine_html(views: Sequence[tuple[datetime, PanelView]] | None = None) -> str:
    """The rater's comparisons with their times, newest first, to be opened; None while nobody asked for them."""
    if views is None:
        body = ""
    elif not views:
        body = '<p class="mc-small">You have compared nothing yet.</p>'
    else:
        body = f'<ul class="mc-mine">{"".join(_mine(*row) for row in views)}</ul>'
    is_open = "" if views is None else " open"
    return f'<details class="mc-say"{is_open}><summary data-do="compare-mine">My comparisons</summary>{body}</details>'


def _mine(moment: datetime, view: PanelView) -> str:
    question = " ".join(view.question.split())
    short = question if len(question) <= QUESTION_CHARS else f"{question[: QUESTION_CHARS - 1]}…"
    names = f" · A {view.revealed.a.name}, B {view.revealed.b.name}" if view.revealed else ""
    voted = (
        f"voted: {VOTES[view.voted.vote][0]}" if view.voted else "not voted" if view.can_vote else "no vote possible"
    )
    if view.phase != "ended":
        voted = "being written"
    return (
        f'<li><span class="mc-name" dir="auto">{escape(short)}</span><span class="mc-small">'
        f'<time datetime="{moment:%Y-%m-%dT%H:%M:%SZ}">{moment:%Y-%m-%d %H:%M} UTC</time> · '
        f'{escape(voted + names)}</span><button type="button" class="mc-button" data-do="compare-open" '
        f'data-comparison="{escape(view.comparison_id)}" aria-label="Open: {escape(short)}">Open</button></li>'
    )


def status_html(text: str, focus: str = "") -> str:
    """A line that screen readers speak when it changes. focus: the part of the page that the keyboard goes to then."""
    goes = f' data-focus="{focus}"' if focus else ""
    return f'<p role="status" aria-live="polite" class="mc-vh"{goes}>{escape(text)}</p>'


def status_text(view: PanelView) -> str:
    """What is going on, in one sentence; it changes with the phase, not with each word."""
    if view.phase == "waiting":
        return "Both were asked. Waiting for the first words of both."
    if view.phase == "writing":
        return "Both answers are being written."
    names = f" A was {view.revealed.a.name}, B was {view.revealed.b.name}." if view.revealed else ""
    if view.voted:
        return f"Your vote is saved.{names}"
    return "Both answers are there. You can vote." if view.can_vote else f"One side gave no answer.{names}"
