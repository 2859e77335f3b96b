"""The models that can be chosen, and what the page says of the chosen one."""

from collections.abc import Mapping, Sequence

from medchat.catalogue import ModelSpec
from medchat.errors import NotFound
from medchat.knowledge import load_knowledge
from medchat.language import language_name
from medchat.machine import kind_of, size
from medchat.settings import secret
from medchat.ui.common import App, counted, escape


def choices(app: App) -> list[tuple[str, str]]:
    """Label and id of each model that answers as things are: it is here, or on a server whose key is set."""
    return [(label(spec), spec.id) for spec in app.catalogue.values() if spec.is_here and not missing_key(spec)]


def missing_key(spec: ModelSpec) -> str:
    """The environment variable that must hold a server's key and is not set; "" when none is missing."""
    variable = spec.endpoint.key_variable if spec.endpoint else ""
    return variable if variable and not secret(variable) else ""


def label(spec: ModelSpec) -> str:
    """Its name, the memory it takes and how it runs."""
    memory = size(spec.memory_gb) if spec.memory_gb and not spec.endpoint else ""
    return " · ".join(filter(None, (spec.name, memory, kind_of(spec))))


def spec_of(app: App, model_id: str | None) -> ModelSpec:
    """The model of this id. Raises NotFound when it cannot be chosen here."""
    spec = app.catalogue.get(model_id) if isinstance(model_id, str) else None
    if spec is None:
        raise NotFound("There is no such model here any more. Reload the page and choose another one.")
    return spec


def known_conditions(app: App) -> dict[str, list[str]]:
    """Names of the conditions that the bundled models know, by specialty."""
    grounder = app.grounding.get(0)
    knowledge = grounder.knowledge if grounder else load_knowledge()
    names: dict[str, list[str]] = {}
    for condition in knowledge.conditions.values():
        names.setdefault(condition.specialty, []).append(condition.name)
    return names


def about_html(spec: ModelSpec) -> str:
    """What the model is, in a line."""
    return f'<p class="mc-small">{escape(spec.description)}</p>'


def leaves_html(spec: ModelSpec) -> str:
    """The notice that what is asked leaves the machine; nothing where it stays."""
    if not spec.external:
        return ""
    return (
        '<p class="mc-leaves" role="note"><strong>This text leaves your machine:</strong> it will be sent, with the '
        f"conversation above it, to <strong>{escape(spec.external)}</strong>.</p>"
    )


def send_label(spec: ModelSpec) -> str:
    """What the button says that sends a question."""
    return f"Send to {spec.external}" if spec.external else "Send"


def limits_html(spec: ModelSpec, conditions: Mapping[str, Sequence[str]]) -> str:
    """What the model cannot do, what its authors ask, and the conditions that it knows by specialty."""
    facts = "".join(f"<p>{escape(fact)}</p>" for fact in _facts(spec))
    number = sum(len(names) for names in conditions.values())
    return (
        f'<div class="mc-limits"><ul>{_items(spec.limits)}</ul>{facts}</div>'
        f"{_known_html(conditions, number) if number else ''}"
    )


def _facts(spec: ModelSpec) -> list[str]:
    """Licence, languages, terms and what is peculiar about its prompt."""
    facts = [f"Licence: {spec.licence.removesuffix('.')}."]
    if spec.languages:
        facts.append(f"Languages that its authors name: {', '.join(language_name(code) for code in spec.languages)}.")
    if spec.gated:
        facts.append("Its authors want their terms accepted on the Hugging Face Hub before it can be fetched.")
    if spec.prompt:
        facts.append("It is asked with the one prompt that it was trained with: it reads no earlier turns.")
    if spec.max_input_tokens:
        facts.append(f"It reads {spec.max_input_tokens:,} tokens at most; the end of a longer case is left out.")
    if spec.external:
        facts.append(f"It runs at {spec.external}: what you ask is sent there.")
    return facts


def _known_html(conditions: Mapping[str, Sequence[str]], number: int) -> str:
    groups = "".join(
        f"<section><h2>{escape(specialty)}</h2><ul>{_items(names)}</ul></section>"
        for specialty, names in conditions.items()
    )
    return (
        f'<p class="mc-limits">It knows these {counted(number, "condition")} and no others:</p>'
        '<input type="search" id="known-filter" class="mc-filter" data-filter="known-list" autocomplete="off" '
        'aria-label="Search the conditions it knows" placeholder="Search the conditions it knows">'
        f'<p class="mc-small mc-filtered" role="status"></p><div class="mc-known" id="known-list">{groups}</div>'
    )


def _items(texts: Sequence[str]) -> str:
    return "".join(f"<li>{escape(text)}</li>" for text in texts)
