"""The form of a command on data as HTML, and what would run."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple
from uuid import uuid4

from medchat.jobs import JobView
from medchat.ui.common import counted, escape
from medchat.ui.data_fields import SEPARATOR, Field, Form, Section
from medchat.ui.data_order import NAME_CHARS, Order

MOST_NAMED = 3  # jobs in line before it


class Offered(NamedTuple):
    """What the fields offer. models: label and id of those that can be asked here."""

    models: Sequence[tuple[str, str]]


def form_html(form: Form, order: Order, offered: Offered, free_name: str) -> str:
    """The whole form. free_name: of the folder that comes out where nobody names one."""
    sections = "".join(_section_html(form, section, order, offered) for section in form.sections)
    ident = f"data-form-{order.command}"
    titled = "" if order.command == "prepare" else _title_html(form, order)
    return (
        f'{titled}<form id="{ident}" class="mc-data-form" data-command="{escape(order.command)}" '
        f'data-folder="{escape(order.folder)}" data-made="{uuid4().hex}" autocomplete="off" '
        f'aria-label="{escape(form.title)}">'
        f'<p class="mc-small">{escape(form.about)}</p>{sections}'
        f'<label class="mc-label mc-set-name">Name of the new data set<input type="text" id="{ident}-name" data-name '
        f'maxlength="{NAME_CHARS}" placeholder="{escape(free_name)}" value="{escape(order.name)}" spellcheck="false">'
        "</label></form>"
    )


def _title_html(form: Form, order: Order) -> str:
    return (
        f'<div class="mc-titled"><h3 id="data-refine-title" tabindex="-1">{escape(form.title)}: '
        f'<span dir="auto">{escape(order.folder)}</span></h3><button type="button" class="mc-button" '
        'data-do="data-refine-close" id="data-refine-close">Close</button></div>'
    )


def fault_html(message: str) -> str:
    """What is wrong with the form; nothing of what was typed is lost."""
    return f'<p class="mc-fault" role="alert">{escape(message)}</p>'


def start_html(
    order: Order, command: str, out: Path, before: Sequence[JobView], leaves: Sequence[str], *, verb: str,
    estimates: bool,
) -> str:  # fmt: skip
    """What would run, and the button that begins it. before: the jobs in line before it. leaves: hosts that rows are
    sent to.
    """
    called = (
        f'<p class="mc-small mc-called" role="status">It will be called <strong>{escape(out.name)}</strong>.</p>'
        if order.name and order.name != out.name
        else ""
    )
    told = f'<p class="mc-small">It is written to {escape(str(out))}.</p>{_before_html(before)}'
    sent = "".join(
        f'<p class="mc-leaves" role="note"><strong>Rows leave your machine:</strong> they will be sent to '
        f"<strong>{escape(host)}</strong>.</p>"
        for host in leaves
    )
    name = escape(order.command)
    ask = (
        f'<button type="button" class="mc-button" data-do="data-estimate" data-command="{name}" '
        f'id="data-estimate-{name}">Estimate cost and time</button>'
        if estimates
        else ""
    )
    return (
        f'{called}<h3>Command line</h3><div class="mc-command"><pre class="mc-code" tabindex="0" role="region" '
        f'aria-label="Command line">{escape(command)}</pre><button type="button" class="mc-button" data-do="data-copy" '
        f'id="data-copy-{name}">Copy</button></div>{told}{sent}<div class="mc-form-buttons">{ask}'
        f'<button type="button" class="mc-button mc-primary" data-do="data-start" data-command="{name}" '
        f'id="data-start-{name}">{escape(verb)}</button></div>'
    )


def _before_html(before: Sequence[JobView]) -> str:
    """The jobs in line before it; the data jobs with the way to them."""
    if not before:
        return ""
    named = ", ".join(
        f'<button type="button" class="mc-link" data-do="data-to-run" data-run="{escape(view.job.id)}" '
        f'id="data-to-run-{escape(view.job.id)}">{escape(view.job.name)}</button>'
        if view.job.kind == "prepare"
        else f'<span dir="auto">{escape(view.job.name)}</span>'
        for view in before[:MOST_NAMED]
    )
    further = f" and {len(before) - MOST_NAMED} more" if len(before) > MOST_NAMED else ""
    return f'<p class="mc-small">{counted(len(before), "run")} before it in line: {named}{further}.</p>'


def _section_html(form: Form, section: Section, order: Order, offered: Offered) -> str:
    fields = "".join(_field_html(field, order, offered) for field in section.fields)
    key = f"data-{order.command}-{section.title}"
    changed = any(order.typed.get(field.key, field.default) != field.default for field in section.fields)
    opened = " open" if section.is_open or changed else ""
    return (
        f'<details class="mc-section" data-key="{escape(key)}"{opened}><summary>{escape(section.title)}</summary>'
        f'<div class="mc-settings">{fields}</div></details>'
    )


def _field_html(field: Field, order: Order, offered: Offered) -> str:
    value = order.typed.get(field.key, field.default)
    ident = f"data-f-{order.command}-{field.key}"
    about = f'<p class="mc-small" id="{ident}-about">{escape(field.about)}</p>'
    if field.kind in ("many", "models"):
        return _boxes_html(field, value, ident, about, offered)
    return (
        f'<div class="mc-setting"><label for="{ident}">{escape(field.label)}</label>'
        f"{_input_html(field, value, ident, offered)}{about}</div>"
    )


def _input_html(field: Field, value: str, ident: str, offered: Offered) -> str:
    given = f'id="{ident}" data-set="{field.key}" aria-describedby="{ident}-about"'
    choices = {
        "choice": field.choices,
        "switch": (("", "no"), ("yes", "yes")),
        "model": (("", "none"), *((model, label) for label, model in offered.models)),
    }.get(field.kind)
    if choices is not None:
        return f"<select {given}>{_options(choices, value)}</select>"
    mode = ' inputmode="decimal"' if field.kind in ("whole", "number") else ""
    listed = ' list="data-paths"' if field.kind == "file" else ""
    return f'<input type="text" {given} value="{escape(value)}" spellcheck="false"{mode}{listed}>'


def _boxes_html(field: Field, value: str, ident: str, about: str, offered: Offered) -> str:
    ticked = set(filter(None, value.split(SEPARATOR)))
    choices = field.choices if field.kind == "many" else [(model, label) for label, model in offered.models]
    boxes = "".join(
        f'<label class="mc-pick"><input type="checkbox" value="{escape(given)}" id="{ident}-{number}"'
        f"{' checked' if given in ticked else ''}> {escape(words)}</label>"
        for number, (given, words) in enumerate(choices)
    )
    none = '<p class="mc-small">No model can be asked here now; see the Models tab.</p>' if not choices else ""
    return (
        f'<fieldset class="mc-setting mc-boxes" data-many="{field.key}" id="{ident}" aria-describedby="{ident}-about">'
        f"<legend>{escape(field.label)}</legend>{about}<div>{boxes}{none}</div></fieldset>"
    )


def _options(choices: Sequence[tuple[str, str]], value: str) -> str:
    known: Mapping[str, str] = dict(choices)
    every = [*choices, (value, f"{value} (not here)")] if value not in known else choices
    return "".join(
        f'<option value="{escape(given)}"{" selected" if given == value else ""}>{escape(words)}</option>'
        for given, words in every
    )
