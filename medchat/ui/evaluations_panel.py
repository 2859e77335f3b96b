"""What opens in the place of the lists of evaluations: a comparison, or single answers; and what can be pressed there.

results.js sends `data-do` with the fields of `data-send`, and those of the named fields around it.
"""

import json
from collections.abc import Mapping
from typing import Any

from medchat.ui.common import escape


def panel_html(title: str, note: str, actions: str, body: str, key: str) -> str:
    """The panel. title, note: plain text; actions, body: HTML. key: another one for each thing that is opened."""
    told = f'<p class="mc-small">{escape(note)}</p>' if note else ""
    return (
        f'<section class="mc-panel" data-key="{escape(key)}" aria-label="{escape(title)}">'
        '<button type="button" class="mc-link" id="panel-close" data-do="results-close">‹ All results</button>'
        f'<h3 class="mc-panel-title" tabindex="-1">{escape(title)}</h3>{told}'
        f'<div class="mc-form-buttons">{actions}</div>{body}</section>'
    )


def waiting_html(text: str) -> str:
    """The panel while its content is being made."""
    return f'<section class="mc-panel"><p class="mc-checking" role="status">{escape(text)}</p></section>'


def button(verb: str, text: str, fields: Mapping[str, Any], element_id: str, look: str = "", more: str = "") -> str:
    """A button that sends the verb with these fields. more: further attributes, as HTML."""
    return (
        f'<button type="button" class="mc-button {look}" id="{escape(element_id)}" data-do="results-{verb}" '
        f'data-send="{sent(fields)}" {more}>{escape(text)}</button>'
    )


def link(text: str, address: str) -> str:
    """A way to a file of the app, in a page of its own."""
    return f'<a class="mc-button" href="{escape(address)}" target="_blank" rel="noopener">{escape(text)}</a>'


def sent(fields: Mapping[str, Any]) -> str:
    """Fields as they stand in data-send."""
    return escape(json.dumps(fields))
