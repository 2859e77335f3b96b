"""The settings of an answer: fields for how a model samples, and what of them is its reader's own choice."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, NamedTuple

import gradio as gr

from medchat.catalogue import ModelSpec
from medchat.errors import InvalidInput
from medchat.records import SAMPLING_RANGES, Sampling
from medchat.ui.common import CLOSED, static_html

Values = list[float | int]


class Setting(NamedTuple):
    """A field of Sampling as the page shows it. off: the value with which it does nothing."""

    name: str
    title: str
    meaning: str
    step: float
    off: float | None = None


SETTINGS = (
    Setting("temperature", "Temperature", "0 always takes the likeliest word; higher varies more.", 0.05),
    Setting("top_p", "Top-p", "Only the likeliest words that together have this share; 1 is all.", 0.01, 1),
    Setting("top_k", "Top-k", "Only so many of the likeliest words; 0 is all.", 1, 0),
    Setting("seed", "Seed", "The same seed and settings give the same answer.", 1),
    Setting("max_new_tokens", "Length", "Tokens of the answer at most; a token is about ¾ of a word.", 1),
    Setting("presence_penalty", "Presence penalty", "Above 0, words that stand in the answer come less.", 0.05, 0),
)


class SamplingFields(NamedTuple):
    """The components of the settings."""

    box: gr.Accordion
    note: gr.HTML
    fields: tuple[gr.Number, ...]
    reset: gr.Button


def lay_out(spec: ModelSpec, place: str = "chat") -> SamplingFields:
    """The fields, filled with the model's own. place: what the ids on the page begin with."""
    with gr.Accordion("Settings", open=CLOSED, elem_id=f"{place}-settings") as box:
        note = static_html(note_html(spec), f"{place}-settings-note")
        with gr.Row(elem_id=f"{place}-settings-fields"):
            fields = tuple(
                gr.Number(
                    value, label=s.title, info=s.meaning, step=s.step, min_width=200,
                    precision=0 if s.step == 1 else None, elem_id=f"{place}-setting-{s.name.replace('_', '-')}",
                )
                for s, value in zip(SETTINGS, own_values(spec), strict=True)
            )  # fmt: skip
        reset = gr.Button("Model's own", size="sm", elem_id=f"{place}-settings-reset", min_width=120)
    return SamplingFields(box, note, fields, reset)


def own_values(spec: ModelSpec) -> Values:
    """The model's own sampling, in the order of SETTINGS."""
    return [getattr(spec.sampling, setting.name) for setting in SETTINGS]


def chosen_sampling(spec: ModelSpec, values: Sequence[Any]) -> Sampling:
    """What the fields say; an empty field is the model's own.

    Raises InvalidInput, which names the field, for what is no number or out of its range.
    """
    if len(values) != len(SETTINGS):
        raise InvalidInput("The settings were not sent with the question. Reload the page and send it again.")
    chosen: dict[str, float | int] = asdict(spec.sampling)
    for setting, value in zip(SETTINGS, values, strict=True):
        if value is None or value == "":
            continue
        low, most = SAMPLING_RANGES[setting.name]
        if setting.name == "max_new_tokens":
            most = min(most, spec.n_ctx - 1)
        if not _is_between(low, value, most) and value != chosen[setting.name]:
            raise InvalidInput(f"{setting.title}: give a number from {low:g} to {most:,.10g}.")
        chosen[setting.name] = int(value) if setting.step == 1 else float(value)
    return Sampling(**chosen)  # type: ignore[arg-type]


def note_html(spec: ModelSpec) -> str:
    """Where the values come from."""
    if spec.endpoint and not spec.endpoint.sends_sampling:
        return '<p class="mc-small">This server sets all of these itself, save the length.</p>'
    return (
        '<p class="mc-small">The model\'s own, until you change them; kept for each model while this page is open.</p>'
    )


def _is_between(low: float, value: Any, high: float) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and low <= value <= high
