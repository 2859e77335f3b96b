"""The models as cards: pure functions from the catalogue to escaped HTML. models.js filters them on the page."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from medchat.catalogue import ModelSpec
from medchat.formats import FORMATS
from medchat.hub import Download
from medchat.language import language_name
from medchat.lineage import Lineage
from medchat.machine import Fit, Machine, kind_of, size
from medchat.ui.common import counted, escape
from medchat.ui.model_lineage import lineage_html

GROUPS = {
    "here": "On this machine",
    "download": "Fits and can be downloaded",
    "server": "Servers: your text leaves this machine",
    "large": "Too large for this machine",
}
VERDICTS = {
    "here": ("mc-yes", "✓", "Ready to use"),
    "fits": ("mc-yes", "✓", "Fits this machine"),
    "tight": ("mc-perhaps", "!", "Fits when other programs make room"),
    "too_large": ("mc-no", "✕", "Too large for this machine"),
    "external": ("mc-perhaps", "↗", "Your text leaves this machine"),
}
FILTERS = (
    '<div class="mc-filters" role="search" aria-label="Models"><input type="search" id="models-search" '
    'class="mc-field" autocomplete="off" maxlength="200" aria-label="Search models" placeholder="Search models">'
    '<label><input type="checkbox" id="models-fits"> Fits this machine</label>'
    '<label>Show <select id="models-kind" class="mc-field"><option value="">all models</option>'
    '<option value="here">on this machine</option><option value="download">to download</option>'
    '<option value="server">servers</option></select></label>'
    '<p class="mc-small" id="models-count" role="status"></p></div>'
)


@dataclass(frozen=True, slots=True)
class Card:
    """A model as it is here. fault: why what was asked of it failed. has_key: whether no key of its server is missing.

    managed: whether the reader may fetch and remove models. is_default: it answers at first, and so it stays.
    lineage: of a model that was trained here, for a reader who may see results.
    """

    spec: ModelSpec
    fit: Fit
    download: Download | None = None
    fault: str = ""
    has_key: bool = True
    managed: bool = False
    is_default: bool = False
    lineage: Lineage | None = None

    @property
    def is_fetched(self) -> bool:
        """Whether its download runs now."""
        return self.download is not None and self.download.state == "running"

    @property
    def is_lost(self) -> bool:
        """Whether its files are not here and nothing can fetch them."""
        return not (self.spec.is_here or self.spec.hub or self.spec.adapter_hub)

    @property
    def group(self) -> str:
        """Where it stands in the list: a key of GROUPS."""
        if self.is_lost:
            return "here"
        return {"here": "here", "external": "server", "too_large": "large"}.get(self.fit.state, "download")


def machine_html(machine: Machine, free_disk_gb: float, models_dir: Path) -> str:
    """What this machine has for models."""
    card = size(machine.gpu.memory_gb) if machine.gpu else "none"
    facts = {
        "Memory": size(machine.memory_gb),
        "Graphics memory": card,
        "Free disk": f"{size(free_disk_gb)} for {models_dir}",
    }
    return f'<dl class="mc-machine" aria-label="This machine">{_pairs(facts)}</dl>'


def list_html(cards: Sequence[Card]) -> str:
    """All cards in their groups; a group without one is left out."""
    sections = []
    for key, title in GROUPS.items():
        own = [card for card in cards if card.group == key]
        if own:
            sections.append(
                f'<section class="mc-models" data-group="{key}"><h2>{title} <span class="mc-small">{len(own)}</span>'
                f"</h2>{''.join(map(card_html, own))}</section>"
            )
    return "".join(sections)


def card_html(card: Card) -> str:
    """One model: whether it can be used here and what can be done with it, the rest folded away.

    A server without its key is its name in one line.
    """
    spec = card.spec
    kind = "server" if spec.external else "here" if spec.is_here else "download"
    fits = str(card.fit.state != "too_large").lower()
    short = f"{_verdict(card)}{_line(spec)}"
    if card.has_key:
        look, body = "", f'{short}{_download(card)}<div class="mc-foot">{_buttons(card)}{_more(card, "Details")}</div>'
    else:
        look, body = " mc-folded", f"{_more(card, 'Needs a key', short + _buttons(card))}{_download(card)}"
    return (
        f'<article class="mc-model{look}" tabindex="-1" aria-label="{escape(spec.name)}" '
        f'data-model="{escape(spec.id)}" data-kind="{kind}" data-fits="{fits}" data-words="{escape(_words(spec))}">'
        f"<h3>{escape(spec.name)}</h3>{body}</article>"
    )


def _line(spec: ModelSpec) -> str:
    """How it runs, its size and its licence, cut where the line ends."""
    extent = size(spec.download_gb) if spec.download_gb else parameters_of(spec.parameters)
    facts = (kind_of(spec), extent, "gated" if spec.gated else "", spec.licence)
    return f'<p class="mc-small">{escape(" · ".join(filter(None, facts)))}</p>'


def _download(card: Card) -> str:
    """How far it is fetched, or why what was asked of it failed."""
    fault = card.fault or (card.download.error if card.download and card.download.state == "failed" else "")
    told = f'<p class="mc-fault" role="alert">{escape(fault)}</p>' if fault else ""
    progress = progress_html(card.spec, card.download) if card.download and card.is_fetched else ""
    return f'{told}<div class="mc-download">{progress}</div>'


def _more(card: Card, title: str, first: str = "") -> str:
    """All that is known of the model, below this title; `first` stands before it."""
    spec = card.spec
    return (
        f'<details data-key="more-{escape(spec.id)}"><summary aria-label="{title}: {escape(spec.name)}">{title}'
        f"</summary>{first}<p>{escape(spec.description)}</p>{_advice(card)}"
        f'<dl class="mc-facts">{_pairs(facts_of(card))}</dl>{_limits(spec)}{_own_way(spec)}'
        f"{lineage_html(card.lineage) if card.lineage else ''}</details>"
    )


def facts_of(card: Card) -> dict[str, str]:
    """What is known of the model, as words by their title."""
    spec = card.spec
    server = spec.endpoint
    key = server.key_variable if server else ""
    repos = [hub.repo for hub in (spec.hub, spec.adapter_hub) if hub]
    facts = {
        "Runs": kind_of(spec),
        "Parameters": parameters_of(spec.parameters),
        "Download": size(spec.download_gb) if spec.download_gb else "",
        "Memory": size(spec.memory_gb) if spec.memory_gb else "",
        "Answers": "reasoning and solution apart" if FORMATS[spec.answer_format].reasoning_form else "answer only",
        "Languages": ", ".join(language_name(code) for code in spec.languages),
        "Licence": spec.licence,
        "Made from": spec.base,
        "On the Hub": ", ".join(repos) + (" (gated)" if spec.gated else "") if repos else "",
        "Name there": server.model if server else "",
        "Key": f"{key}, {'set' if card.has_key else 'not set'}" if key else "",
        "Name here": spec.id,
    }
    return {title: words for title, words in facts.items() if words}


def progress_html(spec: ModelSpec, download: Download, bytes_per_s: float = 0.0) -> str:
    """The bar of a download with its numbers, as far as the Hub has said them. bytes_per_s: 0 if not known."""
    if not download.total_bytes:
        words, now, width = "Asking the Hub…", "", 0
    else:
        width = min(100, int(100 * download.done_bytes / download.total_bytes))
        words = f"{_megabytes(download.done_bytes)} of {_megabytes(download.total_bytes)}"
        words += f" · {_megabytes(bytes_per_s)}/s" if bytes_per_s else ""
        now = f' aria-valuenow="{width}"'
    return (
        f'<div role="progressbar" class="mc-meter" aria-label="Download of {escape(spec.name)}" aria-valuemin="0" '
        f'aria-valuemax="100"{now} aria-valuetext="{words}"><span style="width:{width}%"></span></div>'
        f'<p class="mc-small">{words}</p>'
    )


def progress_news(spec: ModelSpec, progress: str) -> str:
    """The progress as models.js takes it to the model's card, and shows it nowhere else."""
    return f'<div hidden data-model="{escape(spec.id)}">{progress}</div>'


def status_html(text: str, model_id: str = "") -> str:
    """A line that is shown and spoken; the page goes to the card of model_id."""
    to = f' data-goto="{escape(model_id)}"' if model_id else ""
    return f'<p class="mc-told" role="status"{to}>{escape(text)}</p>'


def _verdict(card: Card) -> str:
    look, sign, words = VERDICTS[card.fit.state]
    reason = card.fit.words
    if card.is_fetched:
        look, sign, words = "mc-perhaps", "↓", "Being fetched"
    elif card.is_lost:
        look, sign, words = "mc-no", "✕", "Its files are gone"
        reason = "put them back where they were, or remove it from the list"
    return (
        f'<p class="mc-verdict {look}"><span class="mc-sign" aria-hidden="true">{sign}</span>'
        f"<strong>{words}</strong> <span>{escape(reason)}</span></p>"
    )


def _limits(spec: ModelSpec) -> str:
    items = "".join(f"<li>{escape(limit)}</li>" for limit in spec.limits)
    title = "What it cannot do" if spec.own else "What its authors say it cannot do"
    return f"<h4>{title}</h4><ul>{items}</ul>" if items else ""


def _own_way(spec: ModelSpec) -> str:
    """The prompt that is part of the model, to the letter, and how it samples."""
    prompts = {
        "System prompt": spec.system_prompt,
        "Prompt": spec.prompt,
        "Prompt where there is a patient context": spec.prompt_with_context,
        "How a question is put": spec.case_form,
        "How each answer begins": spec.answer_start,
        "Told to its chat template": ", ".join(f"{name}: {value}" for name, value in spec.template_options.items()),
    }
    written = "".join(
        f'<h4>{title}</h4><pre tabindex="0" role="region" aria-label="{title} of {escape(spec.name)}">'
        f"{escape(text)}</pre>"
        for title, text in prompts.items()
        if text
    )
    own = written or "<h4>Prompt</h4><p>The chat template that comes with the model, and nothing before it.</p>"
    return f'{own}<h4>Settings</h4><dl class="mc-facts">{_pairs(_settings(spec))}</dl>'


def _settings(spec: ModelSpec) -> dict[str, str]:
    sampling = spec.sampling
    varies = sampling.temperature > 0
    settings = {
        "Temperature": f"{sampling.temperature:g}" if varies else "0: always the likeliest word",
        "Top-p": f"{sampling.top_p:g}" if varies else "",
        "Top-k": (f"{sampling.top_k}" if sampling.top_k else "all") if varies else "",
        "Presence penalty": f"{sampling.presence_penalty:g}" if sampling.presence_penalty else "",
        "Answer": f"at most {counted(sampling.max_new_tokens, 'token')}",
        "Prompt and answer": f"{counted(spec.n_ctx, 'token')} together",
        "Question": f"cut at {counted(spec.max_input_tokens, 'token')}" if spec.max_input_tokens else "",
    }
    return {title: words for title, words in settings.items() if words}


def _advice(card: Card) -> str:
    """What is to be done before the model can be used; addresses as text, never a link."""
    spec = card.spec
    hubs = [hub for hub in (spec.hub, spec.adapter_hub) if hub]
    advice = []
    if spec.gated and not spec.is_here and hubs:
        advice.append(
            f"Before its download: accept its authors’ terms at https://huggingface.co/{escape(hubs[0].repo)} and set "
            "HF_TOKEN to a token of that account."
        )
    if spec.endpoint and not card.has_key:
        variable = escape(spec.endpoint.key_variable)
        advice.append(f"To use it, set <code>{variable}</code> to a key and start MedChat again.")
    if card.group == "download" and not card.managed:
        command = escape(f"python -m medchat models fetch {spec.id}")
        advice.append(f"Who runs this MedChat can fetch it: <code>{command}</code>")
    return "".join(f"<p>{line}</p>" for line in advice)


def _buttons(card: Card) -> str:
    spec = card.spec
    buttons = []
    if spec.is_here and card.has_key:
        buttons.append(_button("model-use", "Use in chat", spec, "mc-primary"))
    elif card.managed and card.is_fetched:
        buttons.append(_button("model-cancel", "Cancel", spec))
    elif card.managed and card.group == "download":
        buttons.append(_button("model-fetch", _fetch_words(card), spec))
    if card.managed and spec.own and not card.is_default:
        buttons.append(_button("model-remove", "Remove", spec))
    return f'<div class="mc-form-buttons">{"".join(buttons)}</div>' if buttons else ""


def _fetch_words(card: Card) -> str:
    what = f" {size(card.spec.download_gb)}" if card.spec.download_gb else ""
    if card.fault or (card.download and card.download.state == "failed"):
        return "Try again"
    begun = card.download and card.download.done_bytes
    return f"Go on with the download{what and f' of{what}'}" if begun else f"Download{what}"


def _button(verb: str, text: str, spec: ModelSpec, look: str = "") -> str:
    """What screen readers say begins as the text does."""
    return (
        f'<button type="button" class="mc-button {look}" data-do="{verb}" data-model="{escape(spec.id)}" '
        f'aria-label="{text}: {escape(spec.name)}">{text}</button>'
    )


def _words(spec: ModelSpec) -> str:
    """What the search field looks through, in small letters."""
    repos = [hub.repo for hub in (spec.hub, spec.adapter_hub) if hub]
    languages = [language_name(code) for code in spec.languages]
    parts = [spec.name, spec.id, spec.base, spec.description, spec.licence, kind_of(spec), *repos, *languages]
    return " ".join(parts).lower()


def parameters_of(billions: float | None) -> str:
    """How many parameters, in words: 1.24 billion, 5 million; "" where nobody said."""
    if not billions:
        return ""
    return f"{billions:.3g} billion" if billions >= 1 else f"{1000 * billions:.3g} million"


def _megabytes(n_bytes: float) -> str:
    return size(n_bytes / 1e9) if n_bytes >= 20e6 else f"{n_bytes / 1e6:.1f} MB"


def _pairs(facts: dict[str, str]) -> str:
    return "".join(f"<div><dt>{escape(title)}</dt><dd>{escape(words)}</dd></div>" for title, words in facts.items())
