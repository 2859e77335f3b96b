"""What comes out of a run: its adapter as a model of the catalogue, with a card."""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

from medchat.catalogue import ModelSpec
from medchat.errors import MedChatError
from medchat.models_file import row_of
from medchat.run_files import write_whole, writing
from medchat.rundir import RunDir
from train.cards import model_card
from train.data_facts import data_facts
from train.plan import Base, Data
from train.recipe_schema import Recipe
from train.row_counts import seen_words

ADAPTER_GGUF = "adapter.gguf"
MERGED_GGUF = "merged.gguf"
SERVED_AS = "q8_0"  # the type in which the bundled bases are served
CARD = "README.md"
LIMIT = "Trained here, by the recipe {}: whether it is better than its base, evaluation and clinicians have to say."
NAME_CHARS = 80
ID_CHARS = 12  # of a run's own id that is no name


def finish_run(
    run_dir: RunDir,
    recipe: Recipe,
    base: Base,
    data: Data,
    config: Mapping[str, Any],
    result: dict[str, Any],
    cache_dir: Path,
    say: Callable[[str], None],
) -> dict[str, Any]:
    """result.json with what the run was trained on, and the row of the catalogue for what came out of it.

    Writes the card beside the adapter, and for a base that llama.cpp serves the adapter as GGUF; where that cannot be
    made, transformers is to serve it, and a line says so. cache_dir: where the converter is fetched to. Raises RunError
    when the disk is full.
    """
    adapter = run_dir.path / result["stages"][-1]["adapter"]
    runnable = served(base, adapter, cache_dir, say)
    learnt = ", then ".join(f"{stage['kind'].upper()} on {seen_words(stage['rows'])}" for stage in result["stages"])
    made_on = datetime.now().strftime("%d %b %Y %H:%M")
    spec = replace(
        runnable,
        id=model_id(run_dir.id, recipe.name),
        name=f"{_without_training(base.spec)} + {recipe.name}, {made_on}"[:NAME_CHARS],
        base=base.spec.name,
        description=f"{base.spec.name} after {learnt}, by the recipe {recipe.name}.",
        limits=(LIMIT.format(recipe.name), *(limit for limit in base.spec.limits if not limit.startswith(LIMIT[:13]))),
        download_gb=None,
        gated=False,
        own=True,
    )
    whole = result | {"data": data_facts(data), "model": row_of(spec)}
    card = model_card(spec, base.name, _revision(base.spec), config, whole)
    with writing():
        write_whole(adapter / CARD, card)
    say(f"{spec.name} can be chosen as {spec.id}.")
    return whole


def model_id(run_id: str, recipe: str) -> str:
    """An id for the model that tells the run: the run's own, after the recipe's name where it does not begin so."""
    plain = re.sub(r"[^a-z0-9._-]+", "-", run_id.lower()).strip("-._")
    return plain if plain.startswith(recipe) else f"{recipe}-{plain[-ID_CHARS:].strip('-._')}"


def _without_training(spec: ModelSpec) -> str:
    """The name of what stands below all training: a model that is trained on keeps a short name."""
    return spec.name.partition(" + ")[0]


def _revision(spec: ModelSpec) -> str:
    return spec.hub.revision if spec.hub else ""


def served(base: Base, adapter: Path, cache_dir: Path, say: Callable[[str], None]) -> ModelSpec:
    """The base's spec with the adapter in the form in which its backend takes it, or else for transformers."""
    spec = _fitted(base)
    if spec.backend != "llamacpp":
        return replace(spec, adapter=adapter, adapter_hub=None)
    try:
        return _for_llamacpp(spec, base, adapter, cache_dir, say)
    except MedChatError as error:
        say(f"transformers will run the model, not llama.cpp: {error}")
        return replace(
            spec, backend="transformers", path=base.folder, safetensors=None, hub=None, adapter=adapter,
            adapter_hub=None, precision="fp32",
        )  # fmt: skip


def _for_llamacpp(spec: ModelSpec, base: Base, adapter: Path, cache_dir: Path, say: Callable[[str], None]) -> ModelSpec:
    """The same with the adapter as GGUF, or, where GGUF has no form for it, with the whole model merged.

    It was compared with what was trained. Raises MedChatError when it cannot be made, or says something else.
    """
    from train.export import adapter_to_gguf, to_gguf, why_not_plain
    from train.fidelity import check_gguf, original

    assert spec.path is not None  # llama.cpp has a file
    before = original(spec, base.folder, adapter)
    if not why_not_plain(adapter):
        target = adapter / ADAPTER_GGUF
        adapter_to_gguf(adapter, base.folder, target, cache_dir, say)
        check_gguf(before, spec.path, SERVED_AS, target)
        return replace(spec, adapter=target, adapter_hub=None)
    from train.merge import merge

    merged = adapter / "merged"
    merge(base.folder, adapter, merged)
    target = adapter / MERGED_GGUF
    to_gguf(merged, target, SERVED_AS, cache_dir, say)
    check_gguf(before, target, SERVED_AS)
    return replace(spec, path=target, hub=None, safetensors=merged, adapter=None, adapter_hub=None)


def _fitted(base: Base) -> ModelSpec:
    """The base's spec; for one that nobody has described, with the context that its config.json tells."""
    spec = base.spec
    try:
        config = json.loads((base.folder / "config.json").read_bytes())
        n_ctx = int(config.get("max_position_embeddings") or 0)
    except (OSError, ValueError, TypeError, AttributeError):
        return spec
    if not n_ctx or n_ctx >= spec.n_ctx:
        return spec
    sampling = replace(spec.sampling, max_new_tokens=min(spec.sampling.max_new_tokens, max(1, n_ctx // 2)))
    return replace(spec, n_ctx=n_ctx, sampling=sampling)
