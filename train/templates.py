"""Prompt templates: how data is asked and answered in training, and from then on wherever the model is asked.

A folder of data names one in its report; the model that is trained on it keeps it in its entry of the catalogue, so
that medchat/prompts.py renders the row that is trained on, a question of an evaluation and one of the chat alike.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from evaluation.templates import TEMPLATES as SUITE_TEMPLATES
from evaluation.templates import fill
from medchat.errors import InvalidInput, one_of
from medchat.formats import FORMATS, render
from medchat.models_file import ModelSpec, unknown_model
from medchat.prompts import answer_request, as_answer, build_messages
from medchat.records import Example, Sampling
from train.recipe_schema import Recipe

AS_RECIPE = "recipe"  # the prompt, or the answer format, that the recipe names, or else the base's own


@dataclass(frozen=True, slots=True)
class Template:
    """A way to ask. letter: as people call it.

    prompt, prompt_with_context: the whole prompt, of a template that takes no chat or for a base without one.
    case_form, answer_start: what patient and doctor say in a chat; "" for a template that takes none.
    end: what ends an answer in a file of text; a model in training ends it as its base does.
    """

    name: str
    letter: str
    about: str
    prompt: str
    prompt_with_context: str = ""
    case_form: str = ""
    answer_start: str = ""
    end: str = ""


_ALL = (
    Template(
        "instruction", "A", "plain text for any base: Question, Context where there is one, Answer",
        "Question: {question}\nAnswer:", "Question: {question}\nContext: {context}\nAnswer:", end="\n<|endoftext|>",
    ),
    Template(
        "role", "B", "a talk between Patient and Doctor, in the base's own chat template where it has one",
        "<|user|> Patient: {question}<|end|>\n<|assistant|> Doctor:", case_form="Patient: {case}",
        answer_start="Doctor:", end="<|end|>",
    ),
)  # fmt: skip
TEMPLATES: Mapping[str, Template] = MappingProxyType({template.name: template for template in _ALL})


class Chosen(NamedTuple):
    """What a folder of data names: a template and an answer format, each AS_RECIPE where it leaves that to the recipe.

    The name of a template is one of TEMPLATES, that of a format one of FORMATS.
    """

    template: str = AS_RECIPE
    answer_format: str = AS_RECIPE

    @property
    def words(self) -> str:
        """Both, for people; "" where it names neither."""
        parts = [] if self.template == AS_RECIPE else [template_words(self.template)]
        parts += [] if self.answer_format == AS_RECIPE else [f"answers in the format {self.answer_format}"]
        return ", ".join(parts)


class Prompted(NamedTuple):
    """A base with the prompt and the format with which it is trained. note: a line for people on what the data names.

    template: the data's, or AS_RECIPE.
    """

    spec: ModelSpec
    template: str
    note: str


def template_words(name: str) -> str:
    """What a template is called."""
    return f"template {TEMPLATES[name].letter} ({name})"


def chosen_of(report: Mapping[str, Any]) -> Chosen:
    """What the report of a folder names. Raises InvalidInput for a name that nobody knows here."""
    return checked(report.get("template"), report.get("answer_format"))


def checked(template: object, answer_format: object) -> Chosen:
    """The choice; nothing, or an empty name, stands for the recipe's own. Raises InvalidInput."""
    chosen = Chosen(str(template or AS_RECIPE), str(answer_format or AS_RECIPE))
    if chosen.template not in (AS_RECIPE, *TEMPLATES):
        names = one_of([AS_RECIPE, *TEMPLATES])
        raise InvalidInput(f"There is no prompt template {chosen.template[:80]!r}; choose {names}.")
    if chosen.answer_format not in (AS_RECIPE, *FORMATS):
        names = one_of([AS_RECIPE, *FORMATS])
        raise InvalidInput(f"There is no answer format {chosen.answer_format[:80]!r}; choose {names}.")
    return chosen


def question_of(row: Any) -> tuple[str, str]:
    """Question and context of a row as they are asked: one with options shows them, as an evaluation does."""
    if isinstance(row, Example):
        return fill(SUITE_TEMPLATES["plain"], row)
    example = Example(row["question"], None, context=row.get("context", ""), options=row.get("options"))
    return fill(SUITE_TEMPLATES["plain"], example)


def with_recipe(spec: ModelSpec, recipe: Recipe) -> ModelSpec:
    """The spec with the prompt and the answer format that the recipe names."""
    if recipe.prompt is not None:
        spec = _raw(spec, recipe.prompt, recipe.prompt_with_context or "")
    if recipe.system_prompt is not None:
        plain = replace(spec, prompt="", prompt_with_context="", max_input_tokens=0, case_form="", answer_start="")
        spec = replace(plain, system_prompt=recipe.system_prompt)
    return replace(spec, answer_format=recipe.answer_format or spec.answer_format)


def prompted(spec: ModelSpec, recipe: Recipe, report: Mapping[str, Any], folder: Path | None) -> Prompted:
    """The spec, which has the recipe's prompt already, with what the data's report names in its place.

    folder: of the base's weights; None where they are not here, which is taken to have a chat template. Raises
    InvalidInput.
    """
    chosen = chosen_of(report)
    asked = spec
    if chosen.template != AS_RECIPE:
        asked = with_template(spec, TEMPLATES[chosen.template], chat=folder is None or has_chat_template(folder))
    if chosen.answer_format != AS_RECIPE:
        asked = replace(asked, answer_format=chosen.answer_format)
    return Prompted(asked, chosen.template, _note(chosen, recipe, asked))


def _note(chosen: Chosen, recipe: Recipe, asked: ModelSpec) -> str:
    if not chosen.words:
        return ""
    unused = []
    if chosen.template != AS_RECIPE and recipe.prompt is not None:
        unused.append("prompt")
    if recipe.system_prompt is not None and asked.system_prompt != recipe.system_prompt:
        unused.append("system prompt")
    if recipe.answer_format is not None and asked.answer_format != recipe.answer_format:
        unused.append(f"answer format {recipe.answer_format}")
    left = f" The recipe names its own {' and '.join(unused)}: not used." if unused else ""
    return f"The data was prepared for {chosen.words}.{left}"


def with_template(spec: ModelSpec, template: Template, *, chat: bool) -> ModelSpec:
    """The spec with the template. chat: whether the base has a chat template of its own."""
    if not (chat and template.case_form):
        return _raw(spec, template.prompt, template.prompt_with_context)
    return replace(
        spec, prompt="", prompt_with_context="", max_input_tokens=0, case_form=template.case_form,
        answer_start=template.answer_start,
    )  # fmt: skip


def _raw(spec: ModelSpec, prompt: str, prompt_with_context: str) -> ModelSpec:
    return replace(
        spec, prompt=prompt, prompt_with_context=prompt_with_context, system_prompt="", case_form="", answer_start="",
        grounded=False,
    )  # fmt: skip


def has_chat_template(folder: Path) -> bool:
    """Whether the tokenizer in the folder brings a chat template."""
    if any((folder / name).is_file() for name in ("chat_template.jinja", "chat_template.json")):
        return True
    try:
        config = json.loads((folder / "tokenizer_config.json").read_bytes())
    except (OSError, ValueError):
        return False
    return isinstance(config, dict) and bool(config.get("chat_template"))


def text_pair(example: Example, chosen: Chosen) -> tuple[str, str]:
    """Prompt and answer of a row as plain text, for a base without a chat template.

    Without a format the answer stands alone, as in `plain`. Raises InvalidInput where no template is chosen.
    """
    if chosen.template == AS_RECIPE:
        raise InvalidInput(f"Text pairs need a prompt template; choose {one_of(list(TEMPLATES))}.")
    spec = with_template(unknown_model("transformers"), TEMPLATES[chosen.template], chat=False)
    request = answer_request(spec, build_messages(spec, *question_of(example)), Sampling())
    answer_format = "plain" if chosen.answer_format == AS_RECIPE else chosen.answer_format
    answer = render(answer_format, example.rationale, example.answer or "")
    return request.messages[-1].content, as_answer(request, answer)
