"""The model card of a run: what came out, made from what, how well it does, and what it is not for.

A card is shown to everybody: it names no rater, no user, no folder of this machine, and nothing of the environment.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import yaml

from medchat import __version__
from medchat.lineage import BEFORE, ON_TRAINING
from medchat.models_file import ModelSpec
from train.data_facts import hub_names
from train.row_counts import counts_words

TAGS = ("medical", "reasoning", "lora", "medchat")
LICENCES = {  # of the catalogue: their names in the front matter of the Hub
    "apache-2.0": "apache-2.0", "mit": "mit", "gemma terms of use": "gemma", "llama 3 community license": "llama3",
    "llama 3.1 community license": "llama3.1", "llama 3.2 community license": "llama3.2",
    "llama 3.3 community license": "llama3.3", "cc-by-4.0": "cc-by-4.0", "cc-by-nc-4.0": "cc-by-nc-4.0",
    "cc-by-sa-4.0": "cc-by-sa-4.0",
}  # fmt: skip
STAGES = {
    "sft": "supervised fine-tuning on questions with reasoning and answer",
    "grpo": "group relative policy optimisation",
    "dpo": "direct preference optimisation",
    "kto": "Kahneman-Tversky optimisation",
}
# Settings of a stage that say how it was trained, in the words of the card.
SETTINGS = {
    "learning_rate": "learning rate", "per_device_train_batch_size": "batch", "gradient_accumulation_steps":
    "batches a step", "max_length": "tokens a row at most", "max_prompt_length": "tokens a prompt at most",
    "max_completion_length": "tokens an answer at most", "num_generations": "answers a question", "beta": "beta",
    "loss_type": "loss", "optim": "optimiser", "precision": "weights of the base held in",
    "compute": "products computed in",
}  # fmt: skip
PAPERS = {
    "lora": ("hu2021lora", "LoRA: Low-Rank Adaptation of Large Language Models", "Hu, Edward J. and others", 2021,
             "2106.09685"),
    "nf4": ("dettmers2023qlora", "QLoRA: Efficient Finetuning of Quantized LLMs", "Dettmers, Tim and others", 2023,
            "2305.14314"),
    "grpo": ("shao2024deepseekmath", "DeepSeekMath: Pushing the Limits of Mathematical Reasoning in Open Language"
             " Models", "Shao, Zhihong and others", 2024, "2402.03300"),
    "dpo": ("rafailov2023dpo", "Direct Preference Optimization: Your Language Model is Secretly a Reward Model",
            "Rafailov, Rafael and others", 2023, "2305.18290"),
    "kto": ("ethayarajh2024kto", "KTO: Model Alignment as Prospect Theoretic Optimization", "Ethayarajh, Kawin and"
            " others", 2024, "2402.01306"),
}  # fmt: skip

MERGED_FRONT = "base_model_relation: finetune\nlibrary_name: transformers"

INTENDED = """\
For research on medical reasoning in language models, and for teaching. It writes a text that looks like a clinician's
reasoning; whether that is right, a clinician has to judge.

**Not for the care of a patient**: not for diagnosis, treatment, triage or advice to anybody who is ill. It is no
medical device, and nobody has tested it as one."""
BIAS = """\
A model repeats what its base and its training data hold, and leaves out what they leave out: conditions of people who
are written about less (by age, sex, origin, skin, language, income, disability), rare diseases, and practice outside
the countries and languages that the texts come from. What was measured here was not told apart by such groups; measure
that on cases of your own before you draw a conclusion for any of them."""
JUDGED = """\
Its training used judgements of raters: their own habits and blind spots are in it too."""


def model_card(
    spec: ModelSpec,
    base_name: str,
    revision: str,
    config: Mapping[str, Any],
    result: Mapping[str, Any],
    *,
    name: str = "",
) -> str:
    """The card as Markdown with its front matter.

    spec: what came out, as the catalogue has it. base_name, revision: of the base as others find it, "" for an
    unknown one. config, result: config.yaml and result.json of the run. name: of the model, its own where "".
    """
    data = result.get("data") or {}
    front = yaml.safe_dump(_front_matter(spec, base_name, config, data), sort_keys=False, allow_unicode=True)
    parts = (
        f"---\n{front}---",
        f"# {name or spec.name}",
        _what(spec, base_name, revision, config, result),
        f"## Intended use\n\n{INTENDED}",
        "## Limits\n\n" + "\n".join(f"- {limit}" for limit in spec.limits),
        "## How well it does\n\n" + _metrics(result),
        "## Training\n\n" + "\n".join(_training(config, result)),
        "## Data\n\n" + "\n".join(_data(data)),
        "## Bias\n\n" + _bias(data),
        "## Citation\n\n" + _citation(config),
    )
    return "\n\n".join(parts) + "\n"


def merged_card(card: str) -> str:
    """The card of an adapter as that of the whole model, with the adapter in its weights."""
    return card.replace("base_model_relation: adapter\nlibrary_name: peft", MERGED_FRONT, 1).replace(
        "A LoRA adapter for `", "A merged model: a LoRA adapter in the weights of `", 1
    )


def licence_name(licence: str) -> str:
    """The licence as the Hub's front matter calls it; "other" for one, or a mixture, that it has no name for."""
    return LICENCES.get(licence.casefold().strip(), "other")


def _front_matter(
    spec: ModelSpec, base_name: str, config: Mapping[str, Any], data: Mapping[str, Any]
) -> dict[str, Any]:
    licence = licence_name(spec.licence)
    front: dict[str, Any] = {"base_model": base_name, "base_model_relation": "adapter", "library_name": "peft",
                             "pipeline_tag": "text-generation", "license": licence}  # fmt: skip
    if licence == "other":
        front["license_name"] = spec.licence
    if spec.languages:
        front["language"] = list(spec.languages)
    if datasets := hub_names(data.get("sources") or ()):
        front["datasets"] = datasets
    kinds = dict.fromkeys(stage["kind"] for stage in _stages(config))
    front["tags"] = [*TAGS, *kinds]
    return front


def _stages(config: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    return (config.get("recipe") or {}).get("stages") or ()


def _what(spec: ModelSpec, base_name: str, revision: str, config: Mapping[str, Any], result: Mapping[str, Any]) -> str:
    kinds = ", then ".join(STAGES[stage["kind"]] for stage in result["stages"])
    at = f" at revision `{revision}`" if revision else ""
    recipe = config.get("recipe") or {}
    lines = [
        f"A LoRA adapter for `{base_name}`{at}, trained with MedChat {__version__} by the recipe"
        f" `{recipe.get('name', '')}`: {kinds}.",
        f"Licence: {spec.licence}, as its base.",
    ]
    if note := (config.get("prompt") or {}).get("note"):
        lines.append(note)
    if spec.demo:
        lines.append(
            "Its base is the small teaching model that comes with MedChat: it knows the conditions of the teaching"
            " facts and nothing else."
        )
    return "\n".join(lines)


def _metrics(result: Mapping[str, Any]) -> str:
    """A table of what was measured before and after each stage, with 95 % intervals."""
    rows = [row for number, stage in enumerate(result["stages"]) for row in _metric_rows(number, stage)]
    if not rows:
        return "Nothing was measured on held-out rows: its recipe asked for none."
    head = "| stage | metric | before | after | on rows trained on | n |\n|---|---|---|---|---|---|"
    return "\n".join(
        ["Measured on rows that were held out of training, with 95 % intervals.", "", head, *rows]
    )  # fmt: skip


def _metric_rows(number: int, stage: Mapping[str, Any]) -> Iterator[str]:
    metrics: Mapping[str, Any] = stage.get("metrics") or {}
    for name, after in metrics.items():
        if name.endswith((BEFORE, ON_TRAINING)):
            continue
        shown = (_estimate(metrics.get(other)) for other in (name + BEFORE, name, name + ON_TRAINING))
        yield f"| {number}-{stage['kind']} | {name} | {' | '.join(shown)} | {after['n']} |"


def _estimate(found: Mapping[str, Any] | None) -> str:
    if not found or found.get("value") is None:
        return "–"
    low, high = found.get("low"), found.get("high")
    interval = "" if low is None or high is None else f" ({low:.3f} to {high:.3f})"
    return f"{found['value']:.3f}{interval}"


def _training(config: Mapping[str, Any], result: Mapping[str, Any]) -> Iterator[str]:
    for number, (stage, done) in enumerate(zip(_stages(config), result["stages"], strict=False)):
        lora = stage.get("lora")
        if lora:
            yield (
                f"LoRA of rank {lora['r']}, alpha {lora['alpha']}, dropout {lora['dropout']}, on"
                f" {', '.join(lora['targets'])}.\n"
            )
        settings = "; ".join(f"{words} {stage[key]}" for key, words in SETTINGS.items() if stage.get(key) is not None)
        yield (
            f"- **{number}-{stage['kind']}**: {done['final_step']} steps, the adapter of step {done['step']} was kept;"
            f" {settings}."
        )
        if rows := done.get("rows"):
            yield f"  Rows: {counts_words(rows)}."
        if rewards := stage.get("rewards"):
            listed = ", ".join(f"{reward['name']} x {reward['weight']}" for reward in rewards)
            yield f"  Rewards: {listed}."
        for note in done.get("notes") or ():
            yield f"  {note}"
    versions = config.get("versions") or {}
    used = ", ".join(
        f"{name} {versions[name]}" for name in ("torch", "transformers", "trl", "peft") if name in versions
    )
    if used:
        yield f"\nMade with {used}; seed {(config.get('recipe') or {}).get('seed')}."


def _data(data: Mapping[str, Any]) -> Iterator[str]:
    sources, files = data.get("sources") or (), data.get("files") or ()
    if not sources:
        yield "What it was trained on was not recorded."
        return
    yield "| source | licence | rows in the files |\n|---|---|---|"
    yield from (f"| {_cell(row['name'])} | {_cell(row['licence'])} | {row['rows']:,} |" for row in sources)
    yield "\n| file | rows in it | SHA-256 |\n|---|---|---|"
    yield from (f"| {_cell(row['file'])} | {row['rows']:,} | `{row['sha256']}` |" for row in files)
    if data.get("ratings"):
        disagreement = data.get("disagreement")
        measured = "was not measured" if disagreement is None else f"was {disagreement:.2f}"
        yield (
            f"\n{data['ratings']:,} ratings and votes of {_raters(data.get('raters'))} stand behind these rows; their"
            f" disagreement {measured}."
        )


def _raters(number: Any) -> str:
    return "raters" if not number else "1 rater" if number == 1 else f"{number} raters"


def _cell(text: object) -> str:
    return " ".join(str(text).split()).replace("|", "\\|")


def _bias(data: Mapping[str, Any]) -> str:
    return f"{BIAS}\n\n{JUDGED}" if data.get("ratings") else BIAS


def _citation(config: Mapping[str, Any]) -> str:
    stages = _stages(config)
    used = ["lora", *(["nf4"] if any(stage.get("precision") == "nf4" for stage in stages) else []),
            *dict.fromkeys(stage["kind"] for stage in stages)]  # fmt: skip
    software = f"@software{{medchat,\n  title = {{MedChat}},\n  version = {{{__version__}}}\n}}"
    return "```bibtex\n" + "\n".join([software, *_papers(used)]) + "\n```"


def _papers(used: Iterable[str]) -> Iterator[str]:
    for key, title, author, year, arxiv in (PAPERS[name] for name in used if name in PAPERS):
        yield (
            f"@article{{{key},\n  title = {{{title}}},\n  author = {{{author}}},\n  year = {{{year}}},\n"
            f"  journal = {{arXiv:{arxiv}}}\n}}"
        )
