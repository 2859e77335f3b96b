"""Model folders of a few hundred kilobytes for tests, as transformers reads them, made in a moment.

Their tokenizer knows single bytes and a few special tokens, as that of tiny_models.py; BioGPT's is its own, of single
letters. A chain model's answer is known beforehand: the last token alone decides the next. A random one's depends
on everything before it.
"""

import json
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, get_peft_model
from tiny_models import CHAT_TEMPLATE, CONTROL, END, N_CTX_TRAIN, START, byte_letters, token_ids
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import (
    BioGptConfig,
    BioGptForCausalLM,
    BioGptTokenizer,
    Gemma2Config,
    Gemma2ForCausalLM,
    Gemma3ForCausalLM,
    Gemma3TextConfig,
    GptOssConfig,
    GptOssForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    PreTrainedTokenizerFast,
    Qwen3_5ForCausalLM,
    Qwen3_5TextConfig,
)

ARCHITECTURES = ("biogpt", "gemma2", "gemma3", "llama", "mistral")
UNLIKE_THOSE = ("gpt_oss", "qwen3_5")  # with experts and sinks; with layers that keep a state
N_VOCAB = len(CONTROL) + 256
HIDDEN = 64
WINDOW = 16  # of the layers that see only so many tokens back
BIOGPT_CONTROL = ("<s>", "<pad>", "</s>", "<unk>")
# What adds to a token's own embedding, so that a chain model can do without.
ADDS = ("o_proj", "out_proj", "down_proj", "fc2", "embed_positions")


def write_chain_model(folder: Path, chains: Sequence[str], architecture: str = "llama", **how: Any) -> Path:
    """A model that, after the first token of a chain, goes on with the rest of it, greedily.

    No token but a last one may have two successors; other tokens are followed by the next byte value. To BioGPT the
    first letter of a chain is a word and the rest another, or each letter one where the chain has no end.
    """
    model = _new_model(architecture, hidden=256, layers=1)
    state = model.state_dict()
    for name, weight in state.items():
        if any(part in name for part in ADDS):
            weight.zero_()
    embeddings = torch.randn(N_VOCAB, 256, generator=torch.Generator().manual_seed(0))
    output = torch.zeros_like(embeddings)
    for token, successor in _successors(architecture, chains).items():
        output[successor] += embeddings[token]
    model.get_input_embeddings().weight.data.copy_(embeddings)
    model.get_output_embeddings().weight.data.copy_(output / 16)
    return _write(folder, model, architecture, **how)


def write_random_model(folder: Path, architecture: str = "llama", *, seed: int = 0, **how: Any) -> Path:
    """A model with random weights: gibberish that depends on every token before it."""
    torch.manual_seed(seed)
    model = _new_model(architecture, hidden=HIDDEN, layers=2)
    embedded = HIDDEN**-0.5 if architecture in ("gemma2", "gemma3", "biogpt") else 1.0  # these scale it up again
    for name, weight in model.state_dict().items():
        if weight.dim() == 2:
            torch.nn.init.normal_(weight, std=embedded if "embed" in name else 1.0 if _is_output(name) else 0.2)
        if _is_output(name) and architecture != "biogpt":
            printable = token_ids("".join(map(chr, range(32, 127))))
            weight[[token for token in range(N_VOCAB) if token not in printable]] = 0  # it rarely ends by itself
    return _write(folder, model, architecture, **how)


def write_adapter(folder: Path, base: Path, *, seed: int = 0, **settings: Any) -> Path:
    """A LoRA for the model in a folder, with random weights that change what it says."""
    from transformers import AutoModelForCausalLM

    torch.manual_seed(seed)
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    settings = {"r": 4, "lora_alpha": 8, "target_modules": ["q_proj", "v_proj"]} | settings
    adapted = get_peft_model(model, LoraConfig(task_type="CAUSAL_LM", **settings))
    for name, weight in adapted.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, std=0.3)
    adapted.save_pretrained(folder)
    return folder


def as_bin(folder: Path, *, shards: int = 1) -> Path:
    """The folder with its weights as the .bin files of older days."""
    from safetensors.torch import load_file

    state = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    if shards == 1:
        torch.save(state, folder / "pytorch_model.bin")
        return folder
    weight_map: dict[str, str] = {}
    for number in range(shards):
        name = f"pytorch_model-{number + 1:05d}-of-{shards:05d}.bin"
        part = dict(list(state.items())[number::shards])
        torch.save(part, folder / name)
        weight_map |= dict.fromkeys(part, name)
    (folder / "pytorch_model.bin.index.json").write_text(json.dumps({"weight_map": weight_map}))
    return folder


def _is_output(name: str) -> bool:
    return name.startswith(("lm_head", "output_projection"))


def _new_model(architecture: str, *, hidden: int, layers: int) -> Any:
    common = {
        "vocab_size": N_VOCAB, "hidden_size": hidden, "intermediate_size": 2 * hidden, "num_hidden_layers": layers,
        "num_attention_heads": 4, "max_position_embeddings": N_CTX_TRAIN, "tie_word_embeddings": False,
        "bos_token_id": START, "eos_token_id": END, "pad_token_id": None,
    }  # fmt: skip
    grouped = common | {"num_key_value_heads": 2, "head_dim": hidden // 4}
    if architecture == "llama":
        return LlamaForCausalLM(LlamaConfig(**grouped))
    if architecture == "mistral":
        return MistralForCausalLM(MistralConfig(**grouped, sliding_window=WINDOW))
    if architecture == "gemma2":
        return Gemma2ForCausalLM(Gemma2Config(**grouped, sliding_window=WINDOW, query_pre_attn_scalar=hidden // 4))
    if architecture == "gemma3":
        kinds = (["sliding_attention", "full_attention"] * layers)[:layers]
        return Gemma3ForCausalLM(
            Gemma3TextConfig(**grouped, sliding_window=WINDOW, layer_types=kinds, query_pre_attn_scalar=hidden // 4)
        )
    if architecture == "gpt_oss":
        experts = {"num_local_experts": 4, "num_experts_per_tok": 2, "sliding_window": WINDOW}
        return GptOssForCausalLM(GptOssConfig(**grouped, **experts))
    if architecture == "qwen3_5":
        kinds = (["linear_attention", "full_attention"] * layers)[:layers]
        heads = {"linear_num_key_heads": 2, "linear_num_value_heads": 4}
        widths = {"linear_key_head_dim": 16, "linear_value_head_dim": 16}
        return Qwen3_5ForCausalLM(Qwen3_5TextConfig(**grouped, **heads, **widths, layer_types=kinds))
    tokens = {"bos_token_id": 0, "pad_token_id": 1, "eos_token_id": 2}
    return BioGptForCausalLM(BioGptConfig(**common | tokens))


def _write(folder: Path, model: Any, architecture: str, *, template: str | None = CHAT_TEMPLATE) -> Path:
    model.save_pretrained(folder)
    if architecture == "biogpt":
        _write_biogpt_tokenizer(folder)
    else:
        write_tokenizer(folder, template)
    return folder


def write_tokenizer(folder: Path, template: str | None = CHAT_TEMPLATE, *, more: Sequence[str] = ()) -> None:
    """A tokenizer of bytes; `more` are further tokens at its end."""
    names = [*CONTROL, *byte_letters(), *more]
    tokenizer = Tokenizer(models.BPE({name: token for token, name in enumerate(names)}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(name, special=True, normalized=False) for name in CONTROL])
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token=CONTROL[END], bos_token=CONTROL[START])
    fast.chat_template = template
    fast.save_pretrained(folder)


# BioGPT's tokens: a letter within a word, or one that ends it


def _biogpt_vocabulary() -> dict[str, int]:
    letters = [chr(code) for code in range(33, 127)] + list("é€😀")
    names = [*BIOGPT_CONTROL, *letters, *(letter + "</w>" for letter in letters)]
    return {name: token for token, name in enumerate(names)}


def _write_biogpt_tokenizer(folder: Path) -> None:
    (folder / "vocab.json").write_text(json.dumps(_biogpt_vocabulary()), encoding="utf-8")
    (folder / "merges.txt").write_text("#version: 0.2\n", encoding="utf-8")
    tokenizer = BioGptTokenizer(str(folder / "vocab.json"), str(folder / "merges.txt"))
    tokenizer.add_tokens([AddedToken("<unused94>", special=True)], special_tokens=True)
    tokenizer.save_pretrained(folder)


def _successors(architecture: str, chains: Sequence[str]) -> dict[int, int]:
    if architecture != "biogpt":
        found = {token: token + 1 for token in range(len(CONTROL), N_VOCAB - 1)}
        for chain in chains:
            found |= dict(pairwise(token_ids(chain)))
        return found
    names = _biogpt_vocabulary()
    names["<unused94>"] = len(names)
    found = {}
    for chain in chains:
        found |= dict(pairwise(_biogpt_ids(chain, names)))
    return found


def _biogpt_ids(chain: str, names: dict[str, int]) -> list[int]:
    letters = chain.removesuffix(CONTROL[END])
    if letters == chain:
        return [names[letter + "</w>"] for letter in letters]
    before, special, after = letters.partition("<unused94>")
    ids = [names[before[0] + "</w>"], *(names[letter] for letter in before[1:])]
    if special:
        ids += [names[special], *(names[letter] for letter in after)]
    return [*ids, names["</s>"]]
