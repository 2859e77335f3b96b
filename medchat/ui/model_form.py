"""The form that adds a model: its fields, which of them a kind of model has, and the model that they say."""

from pathlib import Path
from typing import Any, Literal, NamedTuple, cast

import gradio as gr

from medchat import own_models
from medchat.catalogue import ModelSpec, Precision
from medchat.errors import InvalidInput
from medchat.formats import FORMATS
from medchat.machine import BITS
from medchat.ui.actions import OUT_OF_DATE
from medchat.ui.common import CLOSED, App, escape, static_html
from medchat.ui.found_models import unlisted

Choices = list[tuple[str, str]]

KINDS = {
    "file": "A GGUF file or model folder on this machine",
    "adapter": "An adapter on this machine",
    "server": "A server",
    "hub": "From the Hugging Face Hub",
}
FORMAT_WORDS = {
    "think": "<think> … </think>, then the answer; also for one that marks nothing",
    "think-response": "<think> and <response>",
    "gemma-grpo": "<start_reasoning> and <SOLUTION>",
    "final-answer": "steps, then Final Answer:",
    "huatuo": "## Thinking, then ## Final Response",
    "medgemma-thought": "MedGemma's thoughts, then the answer",
    "harmony": "the channels of gpt-oss",
    "diagnosis": "no reasoning; the first line is the answer",
    "plain": "no reasoning; all of it is the answer",
}
PICK = "Files and folders that are in no list yet; one that is picked fills in its path."
NOTHING_FOUND = "Nothing that is in no list yet."
FAULT = '<p class="mc-fault" role="alert">{}</p>'
CHECKING = '<p class="mc-checking" role="status"><span class="mc-dots" aria-hidden="true"></span> {}</p>'


class Typed(NamedTuple):
    """What the fields say; one that was never touched says None."""

    kind: str | None
    path: str | None
    base: str | None
    url: str | None
    served_name: str | None
    key_variable: str | None
    repo: str | None
    file: str | None
    revision: str | None
    name: str | None
    answer_format: str | None
    system_prompt: str | None
    prompt: str | None
    precision: str | None


class Form(NamedTuple):
    """The components. fields: all that are read, in the order of Typed."""

    box: gr.Accordion
    kind: gr.Radio
    path: gr.Textbox
    found: gr.Dropdown
    base: gr.Dropdown
    fields: tuple[gr.components.Component, ...]
    place_box: gr.Column
    base_box: gr.Column
    server_box: gr.Column
    hub_box: gr.Column
    add: gr.Button
    told: gr.HTML


def lay_out(app: App) -> Form:
    """The form in the present block; the page shows it to those who may add models."""
    with gr.Accordion("Add a model", open=CLOSED, visible=False, elem_id="models-add-box") as box:
        kind = gr.Radio([(words, key) for key, words in KINDS.items()], value="file", label="What to add",
                        elem_id="models-add-kind")  # fmt: skip
        with gr.Column(elem_id="models-add-place") as place_box:
            path, found = _place_fields(app)
        with gr.Column(visible=False, elem_id="models-add-server") as server_box:
            server = _server_fields()
        with gr.Column(visible=False, elem_id="models-add-hub") as hub_box:
            hub = _hub_fields()
        with gr.Column(visible=False, elem_id="models-add-base-box") as base_box:
            base = gr.Dropdown([], label="Base of the adapter", elem_id="models-add-base",
                               info="The model that the adapter was made for.")  # fmt: skip
        name = gr.Textbox(
            label="Name (optional)", info="What the list calls it.", max_lines=1, elem_id="models-add-name"
        )
        with gr.Accordion("How it is asked, and how it answers (optional)", open=CLOSED, elem_id="models-add-way"):
            ways = _way_fields()
        add = gr.Button("Check and add", variant="primary", elem_id="models-add")
        told = static_html("", "models-add-told")
    fields = (kind, path, base, *server, *hub, name, *ways)
    return Form(box, kind, path, found, base, fields, place_box, base_box, server_box, hub_box, add, told)


def _place_fields(app: App) -> tuple[gr.Textbox, gr.Dropdown]:
    path = gr.Textbox(
        label="Path",
        max_lines=1,
        elem_id="models-add-path",
        placeholder="/…/model.gguf",
        info=f"Inside {_folders_named(app)}.",
    )
    found = gr.Dropdown(
        [],
        label="What lies there already",
        elem_id="models-add-found",
        filterable=False,
        info=PICK,
    )
    return path, found


def _server_fields() -> tuple[gr.Textbox, gr.Textbox, gr.Textbox]:
    return (
        gr.Textbox(
            label="Address",
            max_lines=1,
            placeholder="https://host/v1",
            elem_id="models-add-url",
            info="A server that speaks OpenAI's protocol: vLLM, llama.cpp, Ollama or a provider.",
        ),
        gr.Textbox(label="The model's name there", max_lines=1, elem_id="models-add-served"),
        gr.Textbox(
            label="Environment variable with its key (optional)",
            max_lines=1,
            placeholder="VLLM_API_KEY",
            elem_id="models-add-key",
            info="The name of the variable, never the key itself; MedChat reads it where it was started.",
        ),
    )


def _hub_fields() -> tuple[gr.Textbox, gr.Textbox, gr.Textbox]:
    return (
        gr.Textbox(label="Repository", max_lines=1, placeholder="owner/name", elem_id="models-add-repo"),
        gr.Textbox(
            label="GGUF file (optional)",
            max_lines=1,
            placeholder="model-Q4_K_M.gguf",
            elem_id="models-add-file",
            info="One file of the repository for llama.cpp; without it all its weights, for transformers.",
        ),
        gr.Textbox(
            label="Revision (optional)",
            max_lines=1,
            placeholder="main",
            elem_id="models-add-revision",
            info="A branch, a tag or a commit.",
        ),
    )


def _way_fields() -> tuple[gr.Dropdown, gr.Textbox, gr.Textbox, gr.Dropdown]:
    formats = [("as usual", ""), *((FORMAT_WORDS.get(key, key), key) for key in FORMATS)]
    precisions = [("as usual", ""), *((f"{words} ({key})", key) for key, words in BITS.items())]
    return (
        gr.Dropdown(
            formats, value="", label="How it marks its reasoning", filterable=False, elem_id="models-add-format"
        ),
        gr.Textbox(label="System prompt", lines=2, max_lines=8, elem_id="models-add-system"),
        gr.Textbox(
            label="A prompt of its own, instead of a chat",
            lines=2,
            max_lines=8,
            elem_id="models-add-prompt",
            info="To the letter, as it was trained with; {question} stands where the question goes.",
        ),
        gr.Dropdown(
            precisions,
            value="",
            label="Precision",
            filterable=False,
            elem_id="models-add-precision",
            info="In which transformers loads it.",
        ),
    )


def found_choices(app: App, kind: str | None) -> Choices:
    """What lies in MedChat's folders for this kind: its place there, and its path."""
    wanted: Literal["model", "adapter"] = "adapter" if kind == "adapter" else "model"
    folders = _folders(app)
    return [(_short(path, folders), str(path)) for path in unlisted(folders, app.catalogue, wanted)]


def base_choices(app: App, kind: str | None) -> Choices:
    """The models that an adapter can go onto; one of the Hub need not be here yet."""
    bases = [s for s in app.catalogue.values() if s.backend in ("llamacpp", "transformers") and not s.adapter]
    whole = [("none: it is a whole model", "")] if kind == "hub" else []
    return [*whole, *((spec.name, spec.id) for spec in bases if kind == "hub" or spec.is_here)]


def read_model(app: App, typed: Typed) -> ModelSpec:
    """The model that the fields say, checked; one of the Hub as far as it can be unfetched. Raises a MedChatError."""
    wishes = own_models.Wishes(
        name=_line(typed.name),
        answer_format=_line(typed.answer_format),
        system_prompt=(typed.system_prompt or "").strip(),
        prompt=typed.prompt or "",
        precision=cast(Precision, typed.precision) if typed.precision in BITS else None,
    )
    base = _line(typed.base)
    if typed.kind == "hub":
        return own_models.from_hub(
            _line(typed.repo), app.catalogue, app.downloads, file=_line(typed.file),
            revision=_line(typed.revision) or "main", base=base, wishes=wishes,
        )  # fmt: skip
    if typed.kind == "server":
        return own_models.from_endpoint(
            _line(typed.url), _line(typed.served_name), app.catalogue, app.backends,
            key_variable=_line(typed.key_variable), wishes=wishes,
        )  # fmt: skip
    if typed.kind not in KINDS:
        raise InvalidInput(OUT_OF_DATE)
    if not _line(typed.path):
        raise InvalidInput("Give the path of what is to be added, or pick one of what lies there.")
    if typed.kind == "adapter" and not base:
        raise InvalidInput("Choose the model that the adapter was made for as its base.")
    return own_models.from_file(
        Path(_line(typed.path)), app.catalogue, app.backends, base=base if typed.kind == "adapter" else "",
        wishes=wishes, allowed_dirs=_folders(app),
    )  # fmt: skip


def fault_html(words: str) -> str:
    """Why nothing was added, in the form."""
    return FAULT.format(escape(words))


def checking_html(kind: str | None) -> str:
    """What is being done, in the form."""
    asked = {"server": "Asking the server", "hub": "Asking the Hub"}
    return CHECKING.format(asked.get(kind or "", "Looking at the model"))


def _line(text: Any) -> str:
    return text.strip() if isinstance(text, str) else ""


def _folders(app: App) -> list[Path]:
    """Where models may be taken from: the models folder first, so that what is in both is named after it."""
    return list(dict.fromkeys((app.settings.models_dir, app.settings.data_dir)))


def _folders_named(app: App) -> str:
    models_dir, data_dir = app.settings.models_dir, app.settings.data_dir
    if models_dir.is_relative_to(data_dir):
        return f"the data folder {data_dir}, best in its models folder {models_dir}"
    return f"the models folder {models_dir} or the data folder {data_dir}"


def _short(path: Path, folders: list[Path]) -> str:
    """The path below the first folder that it is in."""
    for folder in folders:
        if path.is_relative_to(folder.resolve()):
            return str(path.relative_to(folder.resolve()))
    return str(path)
