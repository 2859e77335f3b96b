"""The form of a study as HTML: questions, models, what raters do, who they are; and what stands against it."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple
from uuid import uuid4

from medchat.rubrics import Rubric
from medchat.ui.common import escape
from medchat.ui.studies_order import ANSWERS, NAME_CHARS, TASKS, Order

PAIR_HINT = "Pairs are voted on (A better, B better, tie, both bad), with nine questions beside."
PAIRS = (("all", "Every model with every other"), ("reference", "The first model with each other one"))


class Person(NamedTuple):
    """Somebody who may rate."""

    id: str
    name: str
    role: str


class ModelChoice(NamedTuple):
    """A model that can be put into a study. usable: it can be asked here now. told: what it is, and what it lacks."""

    id: str
    name: str
    told: str
    usable: bool


class Offers(NamedTuple):
    """What can be chosen. sources: value and words."""

    sources: Sequence[tuple[str, str]]
    models: Sequence[ModelChoice]
    rubrics: Sequence[Rubric]
    people: Sequence[Person]


def form_html(order: Order, offers: Offers) -> str:
    """The whole form with this order in it."""
    parts = (
        _questions(order, offers), _models(order, offers.models), _tasks(order, offers.rubrics),
        _raters(order, offers.people), _quality(order), _words(order),
    )  # fmt: skip
    return (
        f'<form id="study-form" class="mc-study-form" autocomplete="off" data-study="{escape(order.study)}" '
        f'data-made="{uuid4().hex}" tabindex="-1">'
        f"{''.join(parts)}</form>"
    )


def _questions(order: Order, offers: Offers) -> str:
    known = [value for value, _ in offers.sources]
    options = [*offers.sources, *([] if order.source in known else [(order.source, "Not here any more")])]
    upload = (
        '<div class="mc-form-buttons">'
        '<button type="button" class="mc-button" data-do="study-file" data-kind="questions" id="study-questions-up" '
        'title="JSONL or CSV with question, and perhaps context and answer; at most 5 MB">Upload questions…</button>'
        '<button type="button" class="mc-button" data-do="study-file" data-kind="answers" id="study-answers-up" '
        'title="JSONL or CSV with question, answer and model; at most 5 MB">Upload answers…</button>'
        '<input type="file" id="study-file" accept=".jsonl,.csv" tabindex="-1" hidden aria-label="File"></div>'
    )
    return _section(
        "Questions",
        _text("name", "Name of the study", order.name, f'maxlength="{NAME_CHARS}" placeholder="What it is to find out"')
        + _select("source", "Questions", options, order.source)
        + _text("sample", "How many", order.sample, 'inputmode="numeric"', "Drawn by the seed. Empty: all of them.")
        + _text("seed", "Seed", order.seed, 'inputmode="numeric"', "Draws the questions, and who judges what."),
        below=upload,
    )


def _models(order: Order, models: Sequence[ModelChoice]) -> str:
    if order.source.startswith(ANSWERS):
        told = "The answers are in the file: its models are compared."
        return f'<fieldset class="mc-part"><legend>Models</legend><p class="mc-small">{told}</p></fieldset>'
    here = [one for one in models if one.usable or one.id in order.models]
    rows = "".join(_model(one, one.id in order.models, number) for number, one in enumerate(here))
    away = sum(not one.usable for one in models if one.id not in order.models)
    more = f" {away} more can be fetched in the Models tab." if away else ""
    return (
        '<fieldset class="mc-part"><legend>Models <span class="mc-small">two to eight</span></legend>'
        f'<div class="mc-picks" data-list="models">{rows}</div>'
        f'<p class="mc-small">Each answers every question with its own prompt and sampling.{more}</p></fieldset>'
    )


def _model(one: ModelChoice, chosen: bool, number: int) -> str:
    return (
        f'<label class="mc-pick"><input type="checkbox" value="{escape(one.id)}" id="study-model-{number}"'
        f'{" checked" if chosen else ""}><span>{escape(one.name)} <span class="mc-small">{escape(one.told)}</span>'
        "</span></label>"
    )


def _tasks(order: Order, rubrics: Sequence[Rubric]) -> str:
    radios = "".join(
        f'<label class="mc-pick"><input type="radio" name="tasks" data-field="tasks" value="{value}" '
        f'id="study-tasks-{value}"{" checked" if value == order.tasks else ""}><span>{words}</span></label>'
        for value, words in TASKS.items()
    )
    forms = [(rubric.id, rubric.title) for rubric in rubrics if not rubric.pairwise]
    if order.rubric not in [value for value, _ in forms]:
        forms.append((order.rubric, f"{order.rubric} (not here any more)"))
    about = next((rubric.description for rubric in rubrics if rubric.id == order.rubric), "")
    form = _select("rubric", "Rating form", forms, order.rubric, f"{about} The study keeps this version of it.")
    pairs = _select("pairs", "Pairs", PAIRS, order.pairs, PAIR_HINT)
    of_each = _text(
        "pairs_per_question", "Pairs for each question", order.pairs_per_question,
        'inputmode="numeric" placeholder="all of them"',
        "Nobody sees an answer twice: all pairs of many models take many raters, one or two a question few.",
    )  # fmt: skip
    return (
        f'<fieldset class="mc-part"><legend>What raters do</legend><div class="mc-picks">{radios}</div>'
        f'<div class="mc-fields"><div class="mc-for-ratings">{form}</div><div class="mc-for-pairs">{pairs}</div>'
        f'<div class="mc-for-pairs">{of_each}</div></div><div class="mc-picks mc-for-pairs">{_all_axes(order)}</div>'
        "</fieldset>"
    )


def _all_axes(order: Order) -> str:
    return (
        '<label class="mc-pick"><input type="checkbox" data-field="all_axes" value="yes" id="study-all-axes"'
        f"{' checked' if order.all_axes else ''}><span>Every question on a pair has to be answered "
        '<span class="mc-small">Else raters may answer some of the nine, or none.</span></span></label>'
    )


def _raters(order: Order, people: Sequence[Person]) -> str:
    item = _text(
        "raters_per_item", "Raters for each item", order.raters_per_item,
        'inputmode="numeric" placeholder="all, at most 3"',
        "Three or more on an item tell how far raters agree.",
    )  # fmt: skip
    return (
        '<fieldset class="mc-part"><legend>Raters</legend>'
        f"{raters_html(people, order.raters, 'study-rater')}"
        f'<div class="mc-fields">{item}</div></fieldset>'
    )


def raters_html(people: Sequence[Person], chosen: Mapping[str, str], prefix: str) -> str:
    """Everybody who may rate, to be ticked, each with a group. prefix: of the ids. chosen: id -> group."""
    gone = [
        Person(id_, "an account that is gone or disabled", "") for id_ in chosen if id_ not in {p.id for p in people}
    ]
    rows = "".join(_rater(one, chosen, f"{prefix}-{number}") for number, one in enumerate([*people, *gone]))
    if not rows:
        rows = '<p class="mc-note">Nobody has an account. Add raters in the Admin tab.</p>'
    return f'<div class="mc-people" data-people="{prefix}">{rows}</div>'


def _rater(one: Person, chosen: Mapping[str, str], identity: str) -> str:
    role = f' <span class="mc-small">{escape(one.role)}</span>' if one.role else ""
    return (
        f'<div class="mc-person" data-rater="{escape(one.id)}"><label class="mc-pick"><input type="checkbox" '
        f'id="{identity}"{" checked" if one.id in chosen else ""}><span><span dir="auto">{escape(one.name)}</span>'
        f'{role}</span></label><input type="text" maxlength="60" id="{identity}-group" placeholder="Group, if any" '
        f'aria-label="Group of {escape(one.name)}" value="{escape(chosen.get(one.id, ""))}"></div>'
    )


def _quality(order: Order) -> str:
    number = 'inputmode="decimal"'
    fields = (
        _text("repeats", "Hidden repeats, %", order.repeats, number,
              "Shown again later, to see who is consistent. At most 30.")
        + _text("calibration", "Calibration items", order.calibration, number,
                "With known answers, judged before the first item. 0: none.")
        + _text("pass_share", "Right of these, %, to begin", order.pass_share, number,
                "Below it the rater tries again.")
        + _text("min_seconds", "Least time for an item, s", order.min_seconds, number, "A save before it is held back.")
        + _text("ties", "Ties to be expected, %", order.ties, number, "For the power of votes; nothing else uses it.")
        + _text("icc", "Likeness of votes on one item", order.icc, number,
                "For the power too: 0 if raters agree only by chance, 1 if always.")
    )  # fmt: skip
    return _fold("study-quality", "Repeats, calibration, least time", f'<div class="mc-fields">{fields}</div>')


def _words(order: Order) -> str:
    fields = _area("instructions", "Instructions, shown at the start", order.instructions) + _area(
        "consent", "Consent, agreed to before the first item; empty: none is asked for", order.consent
    )
    return _fold("study-words", "Instructions and consent", fields)


def fault_html(message: str) -> str:
    """What is wrong with the form; nothing of what was typed is lost."""
    return f'<p class="mc-fault" role="alert">{escape(message)}</p>'


def check_html(notes: Sequence[str], warnings: Sequence[str], buttons: Sequence[tuple[str, str]], place: str) -> str:
    """What the study would be, what to think of, and the buttons, as verb and words; the first is the main one.

    place: of the buttons' ids.
    """
    told = "".join(f"<li>{escape(note)}</li>" for note in notes)
    made = "".join(
        f'<button type="button" class="mc-button{" mc-primary" if number == 0 else ""}" data-do="{verb}" '
        f'id="{place}-{verb}">{escape(words)}</button>'
        for number, (verb, words) in enumerate(buttons)
    )
    return (
        f'<div role="status"><ul class="mc-plain mc-study-notes">{told}</ul></div>{warnings_html(warnings)}'
        f'<div class="mc-form-buttons">{made}</div>'
    )


def warnings_html(warnings: Sequence[str]) -> str:
    """What speaks against the design and yet does not hinder it; nothing for none."""
    if not warnings:
        return ""
    items = "".join(f"<li>{escape(warning)}</li>" for warning in warnings)
    return f'<div class="mc-leaves" role="note"><strong>Think of this first</strong><ul>{items}</ul></div>'


def _section(title: str, fields: str, below: str = "") -> str:
    return f'<fieldset class="mc-part"><legend>{title}</legend><div class="mc-fields">{fields}</div>{below}</fieldset>'


def _fold(key: str, title: str, body: str) -> str:
    return f'<details class="mc-fold" data-key="{key}"><summary id="{key}">{title}</summary>{body}</details>'


def _select(name: str, label: str, options: Sequence[tuple[str, str]], value: str, about: str = "") -> str:
    made = "".join(
        f'<option value="{escape(given)}"{" selected" if given == value else ""}>{escape(words)}</option>'
        for given, words in options
    )
    return _field(
        name, label, f'<select data-field="{name}" id="study-{name}"{_described(name, about)}>{made}</select>', about
    )


def _text(name: str, label: str, value: str, attributes: str = "", about: str = "") -> str:
    given = f'data-field="{name}" id="study-{name}" value="{escape(value)}" {attributes}{_described(name, about)}'
    return _field(name, label, f'<input type="text" {given}>', about)


def _area(name: str, label: str, value: str) -> str:
    return _field(
        name, label, f'<textarea data-field="{name}" id="study-{name}" rows="4">\n{escape(value)}</textarea>', ""
    )


def _described(name: str, about: str) -> str:
    return f' aria-describedby="study-{name}-about"' if about else ""


def _field(name: str, label: str, control: str, about: str) -> str:
    told = f'<p class="mc-small" id="study-{name}-about">{escape(about)}</p>' if about else ""
    return f'<div class="mc-study-field"><label for="study-{name}">{escape(label)}</label>{control}{told}</div>'
