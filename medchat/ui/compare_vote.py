"""The vote as HTML, and what the page sends of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, cast, get_args

from medchat.errors import InvalidInput
from medchat.panel import PanelView
from medchat.rubrics import Axis, Rubric
from medchat.store import AxisVote, PreferenceRecord, Vote
from medchat.ui.actions import OUT_OF_DATE, Action
from medchat.ui.common import escape

MOST_MS = 7 * 24 * 3600 * 1000
VOTES: Mapping[Vote, tuple[str, str]] = {
    "a": ("A better", "a"),
    "b": ("B better", "b"),
    "tie": ("Tie", "t"),
    "both_bad": ("Both bad", "x"),
}
WAIT = "You can vote when both have ended."
NOTHING = "There is nothing to compare: one side gave no answer."
ASK = "Which answer is better?"
NO_ANSWER = ("", "No answer")
ALL_ASKED = "Answer every question; a reason and a flag are optional."

BarState = Literal["waiting", "nothing", "open", "saved"]


class Around(NamedTuple):
    """What differs between the pages that have a vote.

    root: what the ids of its elements begin with. may_leave: whether the next one can come before the vote. more:
    further buttons. is_open: the questions beside the choice stand there unfolded. is_required: each has to be
    answered, and they cannot be folded away.
    """

    root: str = "compare"
    may_leave: bool = True
    more: str = ""
    is_open: bool = False
    is_required: bool = False


IN_COMPARE = Around()


@dataclass(frozen=True, slots=True)
class Ballot:
    """A vote as it stands in the form, perhaps half filled. of: the vote that it changes, "" for the first."""

    vote: str = ""
    axes: Mapping[str, str] = field(default_factory=dict)
    reason: str = ""
    flags: Sequence[str] = ()
    seconds: float = 0.0
    of: str = ""

    @property
    def checked_vote(self) -> Vote:
        """The vote. Raises InvalidInput when none is chosen."""
        if self.vote not in get_args(Vote):
            raise InvalidInput("Choose first: A better, B better, a tie, or both bad.")
        return cast("Vote", self.vote)

    @property
    def checked_axes(self) -> dict[str, AxisVote]:
        """The answers to the questions; the rubric has checked them before."""
        return cast("dict[str, AxisVote]", dict(self.axes))

    def to_json(self) -> dict[str, Any]:
        """As a draft keeps it."""
        return {"vote": self.vote, "axes": dict(self.axes), "reason": self.reason, "flags": list(self.flags),
                "seconds": self.seconds, "of": self.of}  # fmt: skip


def sent_ballot(action: Action) -> Ballot:
    """What the page sends. Raises InvalidInput when it is no such thing."""
    axes = dict(text.partition("=")[::2] for text in action.texts("axes"))
    flags = action.texts("flags")
    if not set(flags) <= {"a", "b"}:
        raise InvalidInput(OUT_OF_DATE)
    return Ballot(
        action.text("vote", ""), {axis: value for axis, value in axes.items() if value}, action.text("reason", ""),
        tuple(flags), action.number("ms", 0, MOST_MS) / 1000, action.text("of", ""),
    )  # fmt: skip


def saved_ballot(voted: PreferenceRecord) -> Ballot:
    """A saved vote, to be changed; its time begins anew."""
    flags = tuple(side for side, flagged in voted.flags.items() if flagged)
    return Ballot(voted.vote, voted.axes, voted.reason, flags, 0.0, voted.id)


def bar_state(view: PanelView, ballot: Ballot | None) -> BarState:
    """ballot: what is being filled in."""
    if view.phase != "ended":
        return "waiting"
    if ballot is not None:
        return "open"
    if view.voted:
        return "saved"
    return "open" if view.can_vote else "nothing"


def newest(view: PanelView) -> str:
    """The id of the vote that holds; "" before the first."""
    return view.voted.id if view.voted else ""


def kept_html(number: str) -> str:
    """Tells the page's script which of the things it sent is kept now."""
    return f'<span class="mc-vh" data-kept="{escape(number)}"></span>'


def bar_html(view: PanelView, ballot: Ballot | None = None, rater: str = "", around: Around = IN_COMPARE) -> str:
    """The choice, and what comes after it. ballot: what is being filled in, or was before a reload."""
    state = bar_state(view, ballot)
    ballot = ballot or Ballot()
    if state in ("waiting", "open"):
        body = _choices(ballot.vote, enabled=state == "open") + _open_buttons(view, around, enabled=state == "open")
    else:
        body = _ended_buttons(view, around)
    line = {"waiting": WAIT, "nothing": NOTHING, "open": ASK}.get(state) or _voted_line(view)
    return (
        f'<div class="mc-bar-vote" id="{around.root}-vote" data-state="{state}" '
        f'data-comparison="{escape(view.comparison_id)}" data-of="{escape(newest(view))}" '
        f'data-rater="{escape(rater)}" '
        f'data-ms="{ballot.seconds * 1000:.0f}">'
        f'<p class="mc-vote-line">{escape(line)}</p><div class="mc-vote-row">{body}</div></div>'
    )


def _choices(chosen: str, enabled: bool) -> str:
    disabled = "" if enabled else ' aria-disabled="true"'
    buttons = "".join(
        f'<button type="button" class="mc-button mc-choice" data-do="compare-choose" data-vote="{vote}" '
        f'aria-pressed="{str(vote == chosen).lower()}"{disabled}>{label}{_key(key)}</button>'
        for vote, (label, key) in VOTES.items()
    )
    return f'<div class="mc-choices" role="group" aria-label="{ASK}">{buttons}</div>'


def _open_buttons(view: PanelView, around: Around, enabled: bool) -> str:
    disabled = "" if enabled else ' aria-disabled="true"'
    save = (
        '<button type="button" class="mc-button mc-primary" data-do="compare-save"'
        f"{disabled}>Save{_key('Enter')}</button>"
    )
    leave = _button("compare-next", "Next case", "n") if around.may_leave else ""
    other = _button("compare-keep", "Keep my vote") if view.voted else leave
    return f'<div class="mc-vote-do">{save}{other}{_send(view)}{around.more}</div>'


def _ended_buttons(view: PanelView, around: Around) -> str:
    change = _button("compare-change", "Change vote") if view.voted else ""
    following = _button("compare-next", "Next case", "n", "mc-primary")
    return f'<div class="mc-vote-do">{following}{change}{_send(view)}{around.more}</div>'


def _send(view: PanelView) -> str:
    """Not while names are hidden: whoever rates the answers one by one would come back with another eye."""
    return _button("compare-send", "Send both to Rate") if view.revealed and view.can_vote else ""


def _voted_line(view: PanelView) -> str:
    return f"You voted: {VOTES[view.voted.vote][0]}." if view.voted else ""


def _button(verb: str, text: str, key: str = "", kind: str = "") -> str:
    """key: what presses it, "" for nothing."""
    return f'<button type="button" class="{f"mc-button {kind}".strip()}" data-do="{verb}">{text}{_key(key)}</button>'


def _key(key: str) -> str:
    return f' <kbd aria-hidden="true">{key}</kbd>' if key else ""


def form_html(view: PanelView, rubric: Rubric, ballot: Ballot | None = None, around: Around = IN_COMPARE) -> str:
    """What may be said beside the choice; nothing while there is no choice to make."""
    if bar_state(view, ballot) != "open":
        return ""
    ballot = ballot or Ballot()
    sections: dict[str, list[str]] = {}
    for axis in rubric.axes:
        sections.setdefault(axis.section, []).append(_axis(axis, ballot.axes.get(axis.id, ""), around))
    axes = "".join(
        f'<section><h3 class="mc-title">{escape(title)}</h3><div class="mc-pairs">{"".join(fields)}</div></section>'
        for title, fields in sections.items()
    )
    body = (
        f'<div class="mc-body">{axes}'
        f'<label class="mc-reason">Reason<textarea id="{around.root}-reason" rows="2" maxlength="20000" '
        f'placeholder="Enter saves, Shift+Enter begins a new line">{escape(ballot.reason)}</textarea></label>'
        f'<div class="mc-two-flags" role="group" aria-label="Flags">{_flag("a", ballot)}{_flag("b", ballot)}</div>'
        "</div>"
    )
    if around.is_required:
        return f'<div class="mc-say"><p class="mc-say-all" id="{around.root}-say">{ALL_ASKED}</p>{body}</div>'
    is_open = " open" if around.is_open or ballot.axes or ballot.reason or ballot.flags else ""
    return (
        f'<details class="mc-say" data-fold="say-{escape(view.comparison_id)}"{is_open}>'
        f'<summary id="{around.root}-say">Say more (optional): questions, a reason, a flag</summary>{body}</details>'
    )


def _axis(axis: Axis, chosen: str, around: Around) -> str:
    options = [(option.value, option.label) for option in axis.options]
    if not around.is_required:
        options.append(NO_ANSWER)
    inputs = "".join(
        f'<label><input type="radio" name="{around.root}-{escape(axis.id)}" data-axis="{escape(axis.id)}" '
        f'value="{escape(value)}"{" checked" if value == chosen else ""}> {escape(label)}</label>'
        for value, label in options
    )
    return f'<fieldset class="mc-pair"><legend>{escape(axis.question)}</legend>{inputs}</fieldset>'


def _flag(side: str, ballot: Ballot) -> str:
    checked = " checked" if side in ballot.flags else ""
    return (
        f'<label><input type="checkbox" data-flag="{side}"{checked}> '
        f"Flag {side.upper()}: something is wrong with it</label>"
    )
