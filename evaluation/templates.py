"""Templates: how the question of a suite is put to a model, and which texts stand for its options."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from medchat.prompts import case_text
from medchat.records import Example

_PLACE = re.compile(r"\{(question|context|options|subject)\}")


@dataclass(frozen=True, slots=True)
class Template:
    """The wording around a question.

    text: with the places {question}, {context}, {options} (a line each, "A. text") and {subject}; a context without
    a place stands before the text.
    raw: the text is the whole prompt, for a model that completes; otherwise it is what the user says in a chat.
    stops: texts at which a raw completion ends.
    choices: what is scored by its log-likelihood as an option, its letter or its text; choice_prefix stands before it.
    """

    name: str
    text: str
    raw: bool = False
    stops: tuple[str, ...] = ()
    choice_prefix: str = ""
    choices: Literal["letters", "texts"] = "letters"

    @property
    def has_options(self) -> bool:
        """Whether the text shows the options."""
        return "{options}" in self.text


# Those named lm-eval-* give letter by letter the prompt of the task in lm-evaluation-harness 0.4, without examples.
_TEMPLATES = (
    Template("plain", "{question}"),
    Template(
        "reasoning",
        "{question}\n\nReason step by step from what the case says. Then give the answer in a paragraph of its own.",
    ),
    Template("choice", "{question}\n\nOptions:\n{options}\n\nThe correct option is:"),
    Template(
        "choice-reasoning",
        "{question}\n\nOptions:\n{options}\n\n"
        'Reason step by step. Then write on the last line "The correct option is:" and the letter of one option.',
    ),
    Template(
        "lm-eval-medmcqa", "Question: {question}\nChoices:\n{options}\nAnswer:",
        raw=True, stops=("\n",), choice_prefix=" ",
    ),
    Template("lm-eval-medqa", "Question: {question}\n{options}\nAnswer:", raw=True, stops=("\n",), choice_prefix=" "),
    Template(
        "lm-eval-pubmedqa", "Abstract: {context}\nQuestion: {question}\nAnswer:",
        raw=True, stops=("\n",), choice_prefix=" ", choices="texts",
    ),
    Template(
        "lm-eval-mmlu",
        "The following are multiple choice questions (with answers) about {subject}.\n\n"
        "{question}\n{options}\nAnswer:",
        raw=True, stops=("\n",), choice_prefix=" ",
    ),
)  # fmt: skip

TEMPLATES: Mapping[str, Template] = MappingProxyType({template.name: template for template in _TEMPLATES})


def template_for(template: Template, example: Example) -> Template:
    """The template with which the example is asked.

    That is `template`, except that an example with options is shown them by "choice" where the template neither shows
    nor scores them, and one without options is asked by "plain" where the template would show some.
    """
    if example.options and not template.has_options and template.choices == "letters":
        return TEMPLATES["choice"]
    if template.has_options and not example.options:
        return TEMPLATES["plain"]
    return template


def fill(template: Template, example: Example) -> tuple[str, str]:
    """Question and context as the model is asked; for a raw template the whole prompt, and no context beside it."""
    template = template_for(template, example)
    given = {
        "question": example.question,
        "context": example.context,
        "options": option_lines(example),
        "subject": str(example.meta.get("subject") or "medicine").replace("_", " "),
    }
    text = _PLACE.sub(lambda place: given[place[1]], template.text)  # in one go: braces may stand in a question
    if "{context}" in template.text:
        return text, ""
    return (case_text(text, example.context), "") if template.raw and example.context else (text, example.context)


def option_lines(example: Example) -> str:
    """The options, a line each; "" where there are none."""
    return "\n".join(f"{letter}. {text}" for letter, text in (example.options or {}).items())


def choice_texts(template: Template, example: Example) -> dict[str, str]:
    """Letter of each option -> the text whose log-likelihood after the prompt is the option's; none without options."""
    template = template_for(template, example)
    options = example.options or {}
    scored = {letter: letter if template.choices == "letters" else text for letter, text in options.items()}
    return {letter: template.choice_prefix + text for letter, text in scored.items()}
