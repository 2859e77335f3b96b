"""The Compare tab's components and where they stand."""

from typing import NamedTuple

import gradio as gr

from medchat.catalogue import ModelSpec
from medchat.ui import compare_view, model_picker, sampling
from medchat.ui.case_lists import BUNDLED, FILE, OWN_FILE, CaseLists
from medchat.ui.common import CLOSED, App, static_html

INTRO = (
    '<p class="mc-intro">Put one case to two models and say which answer is better. '
    "For research and teaching only: leave out names, dates of birth and other patient identifiers.</p>"
)
CASE_FILE = (
    '<button type="button" id="compare-file-button" class="mc-button" data-do="compare-file" '
    f'title="JSONL or CSV with a column question, at most 5 MB">{OWN_FILE}</button>'
    '<input type="file" id="compare-file" accept=".jsonl,.csv" tabindex="-1" hidden aria-label="File of cases">'
)
LEGEND = (
    '<p class="mc-small mc-legend">Keys, outside of text fields: <kbd>a</kbd> A better, <kbd>b</kbd> B better, '
    "<kbd>t</kbd> tie, <kbd>x</kbd> both bad, <kbd>Enter</kbd> saves, <kbd>n</kbd> next case.</p>"
)


class Picker(NamedTuple):
    """One of the two models. described: the one that notice and settings are about; kept: the settings of others."""

    model: gr.Dropdown
    settings: sampling.SamplingFields
    described: gr.Textbox
    kept: gr.State


class CompareTab(NamedTuple):
    """The components of the tab. sent, page_key, save_key: filled by the page's scripts as they send an event."""

    setup: gr.Accordion
    pickers: tuple[Picker, Picker]
    leaves: gr.HTML
    blinded: gr.Checkbox
    source: gr.Dropdown
    next: gr.Button
    place: gr.HTML
    question: gr.Textbox
    context: gr.Textbox
    context_box: gr.Accordion
    ask: gr.Button
    case: gr.HTML
    notice: gr.HTML
    left: gr.HTML
    right: gr.HTML
    bar: gr.HTML
    form: gr.HTML
    diff: gr.HTML
    status: gr.HTML
    mine: gr.HTML
    kept: gr.HTML  # what was kept last of a vote that is being filled in
    act: gr.Button
    upload: gr.Button
    open: gr.Button
    draw: gr.Button  # as `next` does, which is not there while the setup is closed
    drawn: gr.Textbox  # the key of the case in the fields, as far as it came from a list
    sent: gr.Textbox
    page_key: gr.Textbox
    save_key: gr.Textbox


def default_pair(app: App) -> tuple[ModelSpec, ModelSpec]:
    """The two models that are chosen at first: the app's own and another one, where there is one."""
    others = (spec for spec in app.catalogue.values() if spec.is_here and spec.id != app.default.id)
    return app.default, next(others, app.default)


def lay_out(app: App, cases: CaseLists) -> CompareTab:
    """The components, laid out in the present block."""
    specs = default_pair(app)
    with gr.Column(elem_id="compare-page"):
        static_html(INTRO, "compare-intro")
        with gr.Accordion("Models and case", open=True, elem_id="compare-setup") as setup:
            with gr.Row(elem_id="compare-models"):
                pickers = _picker(app, specs[0], 1), _picker(app, specs[1], 2)
            blinded = gr.Checkbox(
                True, label="Hide the names until I have voted", elem_id="compare-blinded", container=False,
                info="The sides A and B are then drawn at random. Shown at once, the first model is A.",
            )  # fmt: skip
            leaves = static_html(compare_view.leaves_html(specs), "compare-leaves")
            source, following, place, question, context, context_box, ask = _case(cases)
        mine = static_html(compare_view.mine_html(), "compare-mine")
        case = static_html("", "compare-case")
        notice = static_html("", "compare-notice")
        with gr.Row(elem_id="compare-sides"):
            left, right = static_html("", "compare-a"), static_html("", "compare-b")
        bar = static_html("", "compare-bar")
        form = static_html("", "compare-form")
        diff = static_html("", "compare-diff")
        static_html(LEGEND, "compare-legend")
        status = static_html(compare_view.status_html(""), "compare-status")
        kept = static_html("", "compare-kept")
    act, upload, opened, draw = (
        gr.Button(visible="hidden", elem_id=f"compare-{name}") for name in ("act", "upload", "open", "draw")
    )
    drawn, sent, page_key, save_key = (gr.Textbox(visible=False) for _ in range(4))
    return CompareTab(
        setup, pickers, leaves, blinded, source, following, place, question, context, context_box, ask, case, notice,
        left, right, bar, form, diff, status, mine, kept, act, upload, opened, draw, drawn, sent, page_key, save_key,
    )  # fmt: skip


def _picker(app: App, spec: ModelSpec, number: int) -> Picker:
    with gr.Column(elem_id=f"compare-model-{number}-box", min_width=240):
        # Each page gets the models of its moment as the tab is opened.
        model = gr.Dropdown(
            model_picker.choices(app), value=spec.id, label=("First model", "Second model")[number - 1],
            elem_id=f"compare-model-{number}", filterable=False,
        )  # fmt: skip
        settings = sampling.lay_out(spec, f"compare-{number}")
    return Picker(model, settings, gr.Textbox(spec.id, visible=False), gr.State({}))


def _case(
    cases: CaseLists,
) -> tuple[gr.Dropdown, gr.Button, gr.HTML, gr.Textbox, gr.Textbox, gr.Accordion, gr.Button]:
    with gr.Row(elem_id="compare-cases"):
        # Each page gets its rater's lists as it is loaded.
        source = gr.Dropdown(
            [*cases.choices(""), (OWN_FILE, FILE)], value=BUNDLED, label="Cases from", elem_id="compare-source",
            filterable=False, min_width=200,
        )  # fmt: skip
        following = gr.Button("Next case", size="md", elem_id="compare-next", min_width=110)
        static_html(CASE_FILE, "compare-case-file")
    place = static_html("", "compare-place")
    with gr.Accordion("Patient context (optional)", open=CLOSED, elem_id="compare-context-box") as context_box:
        context = gr.Textbox(
            label="Patient context", show_label=False, placeholder="Age, history, medicines, allergies", lines=2,
            max_lines=6, elem_id="compare-context",
        )  # fmt: skip
    with gr.Row(elem_id="compare-row"):
        question = gr.Textbox(
            label="Case or question", placeholder="Type a case, or press Next case. Enter asks both.", lines=1,
            max_lines=8, elem_id="compare-question", scale=5,
        )  # fmt: skip
        ask = gr.Button("Ask both", variant="primary", elem_id="compare-ask", min_width=110, scale=0)
    return source, following, place, question, context, context_box, ask
